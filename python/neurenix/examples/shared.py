"""What the examples on the bundled image of nuclei share: the image, a training loop, and pictures of the result."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np

import neurenix as nx
from neurenix.data import (
    ArrayDataset,
    Compose,
    DataLoader,
    GaussianNoise,
    RandomCrop,
    RandomGamma,
    RandomHorizontalFlip,
    RandomRotate90,
    RandomVerticalFlip,
)
from neurenix.normalization import Normalization
from neurenix.optim import AdamW, ExponentialMovingAverage
from neurenix.optim.lr_scheduler import OneCycleLR
from neurenix.picture import Pixels, overlay, pillow, read_picture, rgb, save_picture
from neurenix.progress import Progress

TRAIN = np.s_[:, :342]  # columns 0-341 are for training
HELD_OUT = np.s_[:, 342:]  # columns 342-511 are seen when everything is done
CROP, BATCH = 128, 8
GREEN, RED, BLUE = (40, 220, 80), (255, 60, 40), (70, 130, 255)
BORDER, LINE = 24, 14  # pixels around a plot; height of a line of text

Loss = Callable[[nx.Tensor, nx.Tensor], nx.Tensor]


def load_nuclei() -> tuple[Pixels, Pixels]:
    """The image, uint8 (512, 512), and its nuclei, int64 (512, 512): 0 background, 1 and up one number a nucleus."""
    folder = files("neurenix.examples") / "data" / "nuclei"
    with as_file(folder / "image.png") as image, as_file(folder / "labels.png") as labels:
        return read_picture(image, 1), read_picture(labels).astype(np.int64)


def arguments(description: str, out: str, steps: int, argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line that the examples have in common."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(out), help="folder for the model and the pictures")
    parser.add_argument("--seed", type=int, default=0, help="of initial weights, crops and augmentation")
    parser.add_argument("--steps", type=int, default=steps, help="training steps")
    given = parser.parse_args(argv)
    if given.steps < 1:
        parser.error(f"--steps: expected at least 1, got {given.steps}")
    given.out.mkdir(parents=True, exist_ok=True)
    return given


def batches(image: Pixels, target: Pixels, steps: int, seed: int) -> DataLoader:
    """Random crops of one image and its target, flipped, turned, brightened or darkened, with noise: ``steps`` batches."""
    flips = [RandomHorizontalFlip(), RandomVerticalFlip(), RandomRotate90()]
    augment = Compose([RandomCrop(CROP), *flips, RandomGamma(1.5), GaussianNoise(sigma=(0, 0.05))])
    scaled = image[None].astype(np.float32) / np.float32(255)
    dataset = ArrayDataset([scaled], [target], transform=augment, repeats=steps * BATCH)
    return DataLoader(dataset, batch_size=BATCH, num_workers=1, seed=seed)


def train(model: nx.nn.Module, image: Pixels, target: Pixels, criterion: Loss, *, steps: int, seed: int, peak: float = 3e-3) -> list[float]:
    """Train on an image and its target; the model ends with the average of its late weights. The loss of each step."""
    values = image / 255
    normalize = Normalization(round(float(values.mean()), 3), round(float(values.std()), 3))
    model.input_normalization = normalize  # kept with the model: predict and nx.save know it
    optimizer = AdamW(model.parameters(), lr=peak, weight_decay=0.01)
    schedule = OneCycleLR(optimizer, peak, total_steps=steps)
    statistics = [b for b in model.buffers() if b.is_floating_point()]
    average = ExponentialMovingAverage([*model.parameters(), *statistics], decay=0.98)
    losses: list[float] = []
    progress = Progress(batches(image, target, steps, seed), "step")
    for images, targets in progress:
        loss = criterion(model(normalize(images)), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        average.update()
        losses.append(loss.item())
        progress.note(f"loss {losses[-1]:.3f}")
    average.copy_to()
    return losses


def save_and_reload(model: nx.nn.Module, path: Path, image: Pixels, prediction: Pixels) -> nx.nn.Module:
    """Save the model, load it back, and make sure that it predicts the same bits."""
    nx.save(model, path)
    loaded: nx.nn.Module = nx.load(path)
    again = nx.predict(loaded, image, tta=True)
    if again.tobytes() != prediction.tobytes():
        raise SystemExit(f"the model loaded from {path} predicts something else than the one that was saved there")
    return loaded


def visible(image: Pixels) -> Pixels:
    """The image with its dark parts lifted, to look at: its square root."""
    return np.sqrt(image.astype(np.float32))


def agreement(image: Pixels, prediction: Pixels, truth: Pixels) -> Pixels:
    """The image with what was found in green, what was found wrongly in red, and what was missed in blue."""
    picture = rgb(visible(image))
    for mask, colour in ((prediction & truth, GREEN), (prediction & ~truth, RED), (~prediction & truth, BLUE)):
        picture = overlay(picture, mask, color=colour, fill=0.2 if colour == GREEN else 0.8, thickness=0)
    return overlay(picture, prediction, color=GREEN, fill=0.0)


def save_panels(path: Path, panels: dict[str, Pixels], zoom: int = 2) -> None:
    """Write pictures side by side, each under its name."""
    shown = [np.kron(rgb(p), np.ones((zoom, zoom, 1), np.uint8)) for p in panels.values()]
    height, gap = max(p.shape[0] for p in shown), 6
    sheet = np.full((height + LINE + 2, sum(p.shape[1] + gap for p in shown) - gap, 3), 255, np.uint8)
    left, texts = 0, []
    for name, panel in zip(panels, shown, strict=True):
        sheet[LINE + 2 :][: panel.shape[0], left : left + panel.shape[1]] = panel
        texts.append(((left + 2, 1), name))
        left += panel.shape[1] + gap
    save_picture(path, _written(sheet, texts))


def save_curve(path: Path, losses: Sequence[float], size: tuple[int, int] = (320, 640)) -> None:
    """Write a plot of the loss of each step, with a running mean."""
    height, width = size
    sheet = np.full((height, width, 3), 255, np.uint8)
    values = np.asarray(losses)
    keep = min(10, len(values))
    smooth = np.convolve(values, np.ones(keep) / keep, "valid")
    top = float(values.max(initial=0.0)) or 1.0
    curves = []
    for curve, first, colour in ((values, 0, (200, 200, 200)), (smooth, keep - 1, (30, 90, 200))):
        x = BORDER + (first + np.arange(len(curve))) * (width - 2 * BORDER) / max(len(values) - 1, 1)
        y = height - BORDER - curve / top * (height - 2 * BORDER)
        curves.append((list(zip(x.tolist(), y.tolist(), strict=True)), colour))
    axes = [(BORDER, BORDER), (BORDER, height - BORDER), (width - BORDER, height - BORDER)]
    texts = [((BORDER, 6), f"loss, {top:.2f} at the top, {values[-1]:.3f} at the end"), ((width - 90, height - 18), f"{len(values)} steps")]
    save_picture(path, _written(sheet, texts, [(axes, (0, 0, 0)), *curves]))


def save_result(path: Path, result: dict[str, Any]) -> None:
    """Write numbers as JSON."""
    path.write_text(json.dumps(result, indent=2) + "\n")


def _written(sheet: Pixels, texts: Sequence[tuple[tuple[int, int], str]], lines: Sequence[tuple[Any, Any]] = ()) -> Pixels:
    """``sheet`` with lines and words on it."""
    from PIL import ImageDraw

    picture = pillow("drawing").fromarray(sheet)
    draw = ImageDraw.Draw(picture)
    for points, colour in lines:
        draw.line(points, fill=colour, width=1)
    for place, text in texts:
        draw.text(place, text, fill=(0, 0, 0))
    return np.asarray(picture)
