"""Operations that are bound by memory, and whole U-Nets, on a GPU beside PyTorch: `python benches/cuda_memory.py [--only pool]`.

Not yet run on a GPU; `--device cpu` goes through the same motions without one. For an operation the table shows the bytes that it
must read and write a second, and their share of what a copy of 256 MB reaches; for a U-Net images a second. PyTorch runs channels
last, TF32 on and off and in bfloat16 for the U-Nets, plain and compiled. Results go to results/cuda_memory_CARD.json.
"""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from _peers import torch_unet
from cuda_conv import CACHE, Clock, ceilings, machine, medians, peer, report, setting

import neurenix as nx
from neurenix.multiscale import UNet
from neurenix.nn import functional as F

SETTINGS = ("ieee", "fast", "tf32", "bf16")


def flat(x: Any) -> Any:
    """All elements of a channels-last map, a view in either library."""
    return x.permute(0, 2, 3, 1).reshape(-1)


# name: (ours, PyTorch's, maps read and written, in units of the input's bytes)
OPERATIONS: dict[str, tuple[Callable[[Any], Any], Callable[[Any, Any], Any], float]] = {
    "relu": (F.relu, lambda t, x: t.relu(x), 2),
    "gelu": (F.gelu, lambda t, x: t.nn.functional.gelu(x), 2),
    "add": (lambda x: x + x, lambda _, x: x + x, 2),
    "transpose to channels first": (lambda x: x.permute(0, 2, 3, 1).clone(), lambda _, x: x.permute(0, 2, 3, 1).contiguous(), 2),
    "max_pool2d": (lambda x: F.max_pool2d(x, 2), lambda t, x: t.nn.functional.max_pool2d(x, 2), 1.25),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 2), lambda t, x: t.nn.functional.avg_pool2d(x, 2), 1.25),
    "bilinear x2": (
        lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
        lambda t, x: t.nn.functional.interpolate(x, scale_factor=2, mode="bilinear"),
        5,
    ),
    "batch_norm training": (
        lambda x: F.batch_norm(x, None, None, training=True),
        lambda t, x: t.nn.functional.batch_norm(x, None, None, training=True),
        3,
    ),
    "softmax over channels": (lambda x: F.softmax(x, dim=1), lambda t, x: t.softmax(x, 1), 2),
    "cat": (lambda x: nx.cat([x, x], 1), lambda t, x: t.cat([x, x], 1), 4),
    "to float16": (lambda x: x.to(dtype=nx.float16), lambda _, x: x.half(), 1.5),
    "argmax over channels": (lambda x: x.argmax(dim=1), lambda _, x: x.argmax(dim=1), 1 + 2 / 64),
    "cumsum along rows": (lambda x: x.cumsum(dim=3), lambda _, x: x.cumsum(dim=3), 2),
    "softmax of rows": (lambda x: F.softmax(x, dim=3), lambda t, x: t.softmax(x, 3), 2),
    "sort of all": (lambda x: nx.sort(flat(x), 0).values, lambda t, x: t.sort(flat(x), 0, stable=True).values, 4),
    "chosen by a mask": (lambda x: x[x > 0.5], lambda _, x: x[x > 0.5], 2),
    "sum": (lambda x: x.sum(), lambda _, x: x.sum(), 1),
    "sum over pixels": (lambda x: x.sum(dim=(0, 2, 3)), lambda _, x: x.sum(dim=(0, 2, 3)), 1),
    "mse_loss": (lambda x: F.mse_loss(x, x), lambda t, x: t.nn.functional.mse_loss(x, x), 1),
}


def last(x: np.ndarray) -> np.ndarray:
    """The map, channels last in memory."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def operation(name: str, device: str, size: int, torch: Any, cupy: Any, repeats: int, copy_gbs: float) -> dict[str, Any]:
    """One operation's row."""
    mine, theirs, maps = OPERATIONS[name]
    x = np.random.default_rng(0).standard_normal((4, 64, size, size), np.float32)
    turns = 1 if device == "cpu" else max(2, min(8, CACHE // x.nbytes))
    inputs = [nx.tensor(last(x)).to(device) for _ in range(turns)]

    def ours(i: int) -> object:
        with nx.no_grad():
            return mine(inputs[i % turns])

    sides: dict[str, tuple[Clock, Callable[[int], object]]] = {"ours": (Clock(cupy), ours)}
    if torch is not None:
        maps_of_torch = [torch.from_numpy(x).to("cuda", memory_format=torch.channels_last) for _ in range(turns)]
        sides["torch"] = (Clock(torch), lambda i: theirs(torch, maps_of_torch[i % turns]))
    row: dict[str, Any] = {"case": name}
    for side, ms in medians(sides, repeats).items():
        row |= {f"{side} ms": ms, f"{side} GB/s": maps * x.nbytes / ms / 1e6}
        if copy_gbs:
            row[f"{side} of copy"] = row[f"{side} GB/s"] / copy_gbs
    return row


def ours_of(train: bool, features: list[int], x: np.ndarray, y: np.ndarray, device: str, name: str) -> Callable[[int], object]:
    """A forward pass or a training step of our U-Net."""
    nx.manual_seed(0)
    model, images, masks = UNet(3, 1, features).to(device).train(train), nx.tensor(x).to(device), nx.tensor(y).to(device)
    optimizer, loss = nx.optim.Adam(model.parameters(), lr=1e-3), nx.nn.BCELoss()

    def step(_: int) -> object:
        optimizer.zero_grad()
        with setting(name, device):
            value = loss(model(images), masks)
        value.backward()
        optimizer.step()
        return value

    def infer(_: int) -> object:
        with nx.no_grad(), setting(name, device):
            return model(images)

    return step if train else infer


def theirs_of(
    torch: Any, train: bool, features: list[int], x: np.ndarray, y: np.ndarray, name: str, compiled: bool
) -> Callable[[int], object]:
    """The same of PyTorch."""
    model = torch_unet(features, final=False).to("cuda", memory_format=torch.channels_last).train(train)
    images, masks = torch.from_numpy(x).to("cuda", memory_format=torch.channels_last), torch.from_numpy(y).to("cuda")
    optimizer, loss = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True), torch.nn.BCEWithLogitsLoss()
    run = torch.compile(model) if compiled else model

    def settings() -> Any:
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
        return torch.autocast("cuda", torch.bfloat16, enabled=name == "bf16")

    def step(_: int) -> object:
        optimizer.zero_grad()
        with settings():
            value = loss(run(images), masks)
        value.backward()
        optimizer.step()
        return value

    def infer(_: int) -> object:
        with torch.inference_mode(), settings():
            return torch.sigmoid(run(images))

    return step if train else infer


def model(train: bool, features: list[int], batch: int, size: int, device: str, torch: Any, cupy: Any, repeats: int) -> dict[str, Any]:
    """One U-Net's row: images a second of each side."""
    rng = np.random.default_rng(0)
    x, y = rng.random((batch, 3, size, size), np.float32), (rng.random((batch, 1, size, size)) > 0.5).astype(np.float32)
    sides = {f"ours {name}": (Clock(cupy), ours_of(train, features, x, y, device, name)) for name in SETTINGS}
    if torch is not None:
        for name in ("tf32 off", "tf32", "bf16"):
            for compiled in (False, True):
                run = theirs_of(torch, train, features, x, y, name, compiled)
                sides[f"torch {name}{' compiled' if compiled else ''}"] = (Clock(torch), run)
    times = medians(sides, repeats)
    return {"case": f"U-Net {'training' if train else 'inference'} {features[0]}..{features[-1]} {size} b{batch}"} | {
        f"{side} images/s": batch * 1e3 / ms for side, ms in times.items()
    }


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    options = parser.parse_args()
    about, cupy, torch = machine(), None, None
    if options.device == "cuda":
        nx.cuda.warm_up()
        cupy, torch = importlib.import_module("cupy"), peer()
        about |= ceilings(cupy) | {"card": nx.cuda.get_device_name(), "torch": getattr(torch, "__version__", "none")}
    size, copy_gbs = (256, about["copy_gbs"]) if cupy is not None else (16, 0.0)
    common = (options.device, torch, cupy, options.repeats)
    rows = [operation(name, options.device, size, torch, cupy, options.repeats, copy_gbs) for name in OPERATIONS if options.only in name]
    features, batches = ([64, 128, 256, 512], (1, 8)) if cupy is not None else ([4, 8], (1,))
    if options.only in "unet":
        rows += [model(train, features, batch, size, *common) for train in (False, True) for batch in batches]
    if options.device == "cpu":
        print(*rows, sep="\n")
    else:
        report("cuda_memory_" + re.sub(r"\W+", "_", about["card"]), rows, about)


if __name__ == "__main__":
    main()
