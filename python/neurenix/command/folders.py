"""From two folders to batches: which files are pairs, what masks hold, which files are held back, how windows are made."""

from __future__ import annotations

import argparse
import copy
from pathlib import Path
from typing import Any

import numpy as np

from neurenix.command.tasks import Task, recognise
from neurenix.command.together import tell
from neurenix.data import (
    Compose,
    DataLoader,
    ForegroundCrop,
    GaussianNoise,
    ImageMaskFolder,
    RandomBrightness,
    RandomContrast,
    RandomHorizontalFlip,
    RandomRotate90,
    RandomVerticalFlip,
)
from neurenix.errors import FileError
from neurenix.normalization import Normalization
from neurenix.parallel import ranks


def data(given: argparse.Namespace) -> tuple[ImageMaskFolder, Task, ImageMaskFolder, ImageMaskFolder]:
    """The folder, what its masks are, and its two parts by file."""
    settings: dict[str, Any] = {"mask_suffix": given.mask_suffix, "channels": given.channels, "unpaired": "skip"}
    folder = ImageMaskFolder(given.images, given.masks, mask_type="instances", **settings)
    for path in folder.unpaired[:10]:
        tell(f"left out, without a partner: {path}", ranks())
    if len(folder.unpaired) > 10:
        tell(f"left out, without a partner: {len(folder.unpaired) - 10} files more", ranks())
    found = recognise(folder)
    kind = found.kind if given.masks_are == "auto" else given.masks_are
    task = found if kind == found.kind else Task(kind, max(found.classes, 2) if kind == "classes" else 1)
    classes: dict[str, Any] = {"num_classes": task.classes} if kind == "classes" else {}
    folder = ImageMaskFolder(given.images, given.masks, mask_type=kind, **settings, **classes)
    files = sorted({item[0] for item in folder.items})
    chosen = np.random.default_rng(given.seed).permutation(len(files))[: round(given.validate * len(files)) if len(files) > 1 else 0]
    held = {files[i] for i in chosen}
    return folder, task, _part(folder, held, inside=False), _part(folder, held, inside=True)


def _part(folder: ImageMaskFolder, files: set[Path], *, inside: bool) -> ImageMaskFolder:
    part = copy.copy(folder)
    part.items = [item for item in folder.items if (item[0] in files) == inside]
    return part


def look_at(folder: ImageMaskFolder) -> tuple[int, int]:
    """Channels of the images, and the least of their heights and widths."""
    shapes = {folder[i][0].shape for i in range(len(folder))}
    channels = {shape[0] for shape in shapes}
    if len(channels) > 1:
        raise FileError(f"train: expected images of as many channels each, got {sorted(channels)}; pass --channels 1 or 3")
    return channels.pop(), min(min(shape[1:]) for shape in shapes)


def normalization(train: ImageMaskFolder) -> Normalization:
    """Mean and spread of each channel, of the first images."""
    images = [train[i][0].astype(np.float64) for i in range(min(len(train), 50))]
    mean = np.mean([x.mean((1, 2)) for x in images], 0)
    spread = np.sqrt(np.mean([((x - mean[:, None, None]) ** 2).mean((1, 2)) for x in images], 0))
    return Normalization([round(float(m), 4) for m in mean], [max(round(float(s), 4), 1e-3) for s in spread])


def loader(
    train: ImageMaskFolder, task: Task, crop: int, steps: int, given: argparse.Namespace, device: str, share: tuple[int, int]
) -> DataLoader:
    """All batches of the run: windows, half of them on foreground, turned, flipped, brightened, with noise."""
    turns = [RandomHorizontalFlip(), RandomVerticalFlip(), RandomRotate90()]
    light = [RandomBrightness(0.2), RandomContrast(0.2), GaussianNoise(sigma=(0, 0.03))]
    part = copy.copy(train)
    part.transform = Compose(
        [ForegroundCrop(crop, foreground=0.5, per_label=True), *turns, *light, lambda image, mask: (image, task.target(mask))]
    )
    part.repeats = -(-steps * given.batch // len(train.items))
    return DataLoader(part, batch_size=given.batch, shuffle=True, num_workers=1, seed=given.seed, drop_last=True, part=share, device=device)
