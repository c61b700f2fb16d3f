"""The U-Nets of the benchmarks: ours, PyTorch's plain and compiled in both memory orders, and the engines, with the same weights."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _engines import ENGINES
from _peers import attempt, error_of, take_weights, torch_unet, try_side, write_unet

import neurenix as nx
from neurenix.multiscale import UNet

Run = Callable[[], Any]
HALF = "bfloat16"
# Slower than the same engine's other ways on large images: left out there, since all sides stand in memory at once.
SPARED = ("PyTorch", "PyTorch compiled", "MNN, least memory")


class Case(NamedTuple):
    """Channels of the levels, images in a batch, their size, and whether a training step is timed."""

    features: list[int]
    batch: int
    size: int
    train: bool

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Images and masks."""
        rng = np.random.default_rng(0)
        x = rng.random((self.batch, 3, self.size, self.size), dtype=np.float32)
        return x, (rng.random((self.batch, 1, self.size, self.size)) > 0.5).astype(np.float32)


LARGE, SMALL = [64, 128, 256, 512], [16, 32, 64, 128]
CASES = {
    "inference 64..512 256x256 b1": Case(LARGE, 1, 256, False),
    "inference 64..512 512x512 b1": Case(LARGE, 1, 512, False),
    "inference 16..128 256x256 b4": Case(SMALL, 4, 256, False),
    "training 64..512 256x256 b1": Case(LARGE, 1, 256, True),
    "training 16..128 256x256 b4": Case(SMALL, 4, 256, True),
    "training 64..512 256x256 b2": Case(LARGE, 2, 256, True),  # its memory
}


def our_unet(features: list[int]) -> UNet:
    """Ours, giving logits, with running statistics of its own maps."""
    nx.manual_seed(0)
    model, rng = UNet(3, 1, features, final_activation=None), np.random.default_rng(2)
    with nx.no_grad():
        for _ in range(10):
            model(rng.random((2, 3, 64, 64), dtype=np.float32))
    return model


def ours(case: Case, model: UNet, half: bool = False) -> Run:
    """A run of ours, or one under bfloat16 autocast."""
    images, masks = map(nx.tensor, case.arrays())
    model.train(case.train)
    loss_fn, optimizer = nx.nn.BCEWithLogitsLoss(), nx.optim.Adam(model.parameters(), lr=1e-3)

    def infer() -> nx.Tensor:
        with nx.no_grad(), nx.autocast("cpu", nx.bfloat16, enabled=half):
            return model(images)

    def step() -> nx.Tensor:
        optimizer.zero_grad()
        with nx.autocast("cpu", nx.bfloat16, enabled=half):
            loss = loss_fn(model(images), masks)
        loss.backward()
        optimizer.step()
        return loss

    return step if case.train else infer


def torchs(case: Case, twin: Any, side: str) -> Run:
    """The same of PyTorch, as the side's name says."""
    import torch

    memory = torch.channels_last if "channels last" in side else torch.contiguous_format
    model = copy.deepcopy(twin).to(memory_format=memory).train(case.train)
    images, masks = (torch.from_numpy(a) for a in case.arrays())
    images = images.contiguous(memory_format=memory)
    loss_fn, optimizer = torch.nn.BCEWithLogitsLoss(), torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    run = torch.compile(model, dynamic=False) if "compiled" in side else model

    def infer() -> Any:
        with torch.inference_mode():
            return run(images)

    def step() -> Any:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=HALF in side):
            loss = loss_fn(run(images), masks)
        loss.backward()
        optimizer.step()
        return loss

    return step if case.train else infer


def torch_sides(case: Case) -> list[str]:
    """Names of PyTorch's ways."""
    plain = [f"PyTorch{kind}{memory}" for kind in ("", " compiled") for memory in ("", ", channels last")]
    half = [f"PyTorch{kind} {HALF}, channels last" for kind in ("", " compiled")] * (case.train and torch_has_half())
    return [side for side in plain + half if takes_part(side, case)]


def torch_has_half() -> bool:
    """Whether PyTorch's convolutions have bfloat16 on this processor; where they do not, a step takes it minutes."""
    import torch

    has = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    if not has:
        print(f"  left out: PyTorch {HALF}: this processor has none", flush=True)
    return has


def takes_part(side: str, case: Case) -> bool:
    """Whether a side is measured in this case."""
    return case.size < 512 or side not in SPARED


def exact(case: Case, model: UNet) -> np.ndarray:
    """The logits in float64."""
    with nx.no_grad():
        return copy.deepcopy(model).eval().double()(case.arrays()[0].astype(np.float64)).numpy()


def sides(case: Case, folder: Path) -> tuple[dict[str, Run], dict[str, float]]:
    """Every run that is possible here by name, and the errors of inferences."""
    model = our_unet(case.features)
    right = None if case.train else exact(case, model)
    found: dict[str, Run] = {"neurenix": ours(case, model), f"neurenix {HALF}": ours(case, model, True)}
    twin = attempt("PyTorch", lambda: twin_of(model, case.features))
    if twin is not None:
        for side in torch_sides(case):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about its own compiler
                try_side(found, side, lambda side=side: torchs(case, twin, side))
    errors = {} if right is None else {side: error_of(run().numpy(), right) for side, run in found.items()}
    if right is not None and twin is not None:
        engines = engine_sides(case, twin, folder)
        errors |= {side: error_of(run(), right) for side, run in engines.items()}
        found |= engines
    return found, errors


def twin_of(model: UNet, features: list[int]) -> Any:
    """The network in PyTorch, with the weights of ours."""
    twin = torch_unet(features, final=False)
    take_weights(twin, model)
    return twin


def engine_sides(case: Case, twin: Any, folder: Path) -> dict[str, Run]:
    """The engines' inferences."""
    x, threads, found = case.arrays()[0], nx.get_num_threads(), {}
    path = attempt("engines", lambda: write_unet(folder / "unet.onnx", copy.deepcopy(twin), x))
    for name, engine in ENGINES.items() if path else ():
        if takes_part(name, case):
            try_side(found, name, lambda engine=engine: engine(path, x, threads))
    return found
