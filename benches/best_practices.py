"""The API document's best practices, measured: `python benches/best_practices.py` (some minutes).

Fusion methods and numbers of scales are trained alike on the real image (columns 0-341) and judged on columns that they never saw
(342-511), with three seeds; gradient checkpointing is measured on training steps. `docs/comparison.md` shows the tables.
"""

from __future__ import annotations

import time
from importlib.resources import files
from pathlib import Path

import numpy as np
from _harness import fair_environment, machine, report

import neurenix as nx
from neurenix.multiscale import FeatureFusion, MultiScaleModel, PyramidNetwork, UNet
from neurenix.nn import BCEWithLogitsLoss, Conv2d, GroupNorm, Module, ReLU, Sequential
from neurenix.optim import AdamW
from neurenix.picture import read_picture

SPLIT, CROP, BATCH, STEPS, SEEDS = 342, 96, 4, 150, (0, 1, 2)
METHODS = ("concat", "sum", "attention")
SCALES = ([1.0], [1.0, 0.5], [1.0, 0.5, 0.25], [1.0, 0.75, 0.5, 0.25])


class FusedPyramid(Module):
    """Levels of a pyramid network, fused, and a 1x1 convolution to one logit a pixel."""

    def __init__(self, method: str, width: int = 16) -> None:
        self.pyramid = PyramidNetwork(1, width, num_levels=3, base_channels=width, norm="group")
        self.fusion = FeatureFusion([width, 2 * width, 4 * width], width, method)
        self.head = Conv2d(width, 1, kernel_size=1)

    def forward(self, x: nx.Tensor) -> nx.Tensor:
        self.pyramid(x)
        return self.head(self.fusion(self.pyramid.get_features()))


def scaled_model(scales: list[float], width: int = 16) -> Module:
    """One base model at several scales, concatenated, and a 1x1 convolution to one logit a pixel."""
    layers = [Conv2d(1, width, kernel_size=3, padding=1), GroupNorm(4, width), ReLU()]
    for _ in range(2):
        layers += [Conv2d(width, width, kernel_size=3, padding=1), GroupNorm(4, width), ReLU()]
    return Sequential(MultiScaleModel(scales, Sequential(*layers), "concat"), Conv2d(width * len(scales), 1, kernel_size=1))


def nuclei() -> tuple[np.ndarray, np.ndarray]:
    """Image from 0 to 1, and mask."""
    folder = Path(str(files("neurenix.examples") / "data" / "nuclei"))
    image = read_picture(folder / "image.png", channels=1).astype(np.float32)
    return (image - image.min()) / (image.max() - image.min()), (read_picture(folder / "labels.png") > 0).astype(np.float32)


def train(model: Module, image: np.ndarray, mask: np.ndarray, seed: int) -> float:
    """Train on crops of the training columns; seconds a step."""
    rng = np.random.default_rng(seed)
    criterion, optimizer = BCEWithLogitsLoss(), AdamW(model.parameters(), lr=3e-3)
    times = []
    for _ in range(STEPS):
        corners = [(rng.integers(image.shape[0] - CROP + 1), rng.integers(SPLIT - CROP + 1)) for _ in range(BATCH)]
        x, y = (np.stack([a[r : r + CROP, c : c + CROP] for r, c in corners])[:, None] for a in (image, mask))
        begin = time.perf_counter()
        loss = criterion(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        times.append(time.perf_counter() - begin)
    return float(np.quantile(times, 0.1))  # what it takes when nothing else runs


def held_out_iou(model: Module, image: np.ndarray, mask: np.ndarray) -> float:
    """Intersection over union on the columns that were not trained on."""
    model.eval()
    with nx.no_grad():
        found = model(image[None, None, :, SPLIT:]).numpy()[0, 0] > 0
    truth = mask[:, SPLIT:] > 0
    return float((found & truth).sum() / (found | truth).sum())


def trained_rows(models: dict[str, object]) -> list[dict]:
    """One row a way to build a model: parameters, time, IoU of each seed."""
    image, mask = nuclei()
    rows = []
    for name, build in models.items():
        seconds, ious = [], []
        for seed in SEEDS:
            nx.manual_seed(seed)
            model = build()
            seconds.append(train(model, image, mask, seed))
            ious.append(held_out_iou(model, image, mask))
        parameters = sum(p.numpy().size for p in model.parameters())
        step = round(1000 * min(seconds), 1)
        rows.append({"": name, "parameters": f"{parameters:,}", "ms a step": step, "IoU, three seeds": " ".join(f"{i:.3f}" for i in ious)})
    return rows


def step_memory(model: Module, x: np.ndarray, checkpointing: bool) -> tuple[float, float]:
    """(peak MiB, seconds) of a forward and backward pass, the fastest of five."""
    fastest = float("inf")
    for _ in range(5):
        for p in model.parameters():
            p.grad = None
        nx.empty_cache()
        nx.reset_peak()
        begin = time.perf_counter()
        if checkpointing:
            with nx.enable_gradient_checkpointing():
                model(x).mean().backward()
        else:
            model(x).mean().backward()
        fastest = min(fastest, time.perf_counter() - begin)
    return nx.memory_stats()["peak"] / 2**20, fastest


def memory_rows() -> list[dict]:
    """Training steps with and without checkpointing."""
    rng = np.random.default_rng(0)
    cases = {
        "UNet 16..128, 4 x 256x256": (lambda: UNet(3, 1, [16, 32, 64, 128]), (4, 3, 256, 256)),
        "UNet 64..512, 1 x 256x256": (lambda: UNet(3, 1), (1, 3, 256, 256)),
        "PyramidNetwork 32, 4 levels, 4 x 256x256": (lambda: PyramidNetwork(3, 1, 4, 32), (4, 3, 256, 256)),
    }
    rows = []
    for name, (build, shape) in cases.items():
        x = rng.standard_normal(shape).astype(np.float32)
        (plain, fast), (less, slow) = (step_memory(build(), x, on) for on in (False, True))
        rows.append(
            {
                "": name,
                "MiB plain": round(plain),
                "MiB checkpointed": round(less),
                "memory": f"{less / plain:.2f}x",
                "s plain": round(fast, 2),
                "s checkpointed": round(slow, 2),
                "time": f"{slow / fast:.2f}x",
            }
        )
    return rows


def main() -> None:
    """Measure and write the three tables."""
    about = machine()
    report("best_practices_fusion", trained_rows({m: (lambda m=m: FusedPyramid(m)) for m in METHODS}), about)
    report("best_practices_scales", trained_rows({str(s): (lambda s=s: scaled_model(s)) for s in SCALES}), about)
    report("best_practices_memory", memory_rows(), about)


if __name__ == "__main__":
    fair_environment()
    main()
