"""From two folders to batches: which files are pairs, what masks hold, which files are held back, how windows are made."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np

from neurenix.command.brightness import Seen, merged, told_scale
from neurenix.command.sayings import said
from neurenix.command.tasks import Task, numbers_of, recognise
from neurenix.command.together import tell, watched
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
from neurenix.data.masks import mask_rule
from neurenix.errors import DTypeError, FileError, ShapeError
from neurenix.images.opening import orientation_of
from neurenix.normalization import Normalization
from neurenix.parallel import Ranks, ranks

T = TypeVar("T")
_FAULTS: Final = (FileError, ShapeError, DTypeError)  # of a file; others are not its fault


class Data(NamedTuple):
    """What two folders hold."""

    folder: ImageMaskFolder
    train: ImageMaskFolder
    rest: ImageMaskFolder  # to validate by
    task: Task
    channels: int
    smallest: int  # of all heights and widths
    lost: list[Path]  # images that were left out because they or their masks cannot be read


class _Folder(ImageMaskFolder):
    """A folder in which a pair of files whose pages cannot be counted is left out, where that is asked for."""

    def __init__(self, given: argparse.Namespace, lost: list[Path]) -> None:
        self._given, self._lost = given, lost
        settings: dict[str, Any] = {"mask_suffix": given.mask_suffix, "channels": given.channels, "scale": given.scale, "unpaired": "skip"}
        super().__init__(given.images, given.masks, mask_type="instances", **settings)

    def take(self, task: Task) -> None:
        """Read masks as those of a task from now on."""
        self.mask_type, self.rule = task.kind, mask_rule(task.kind, task.classes if task.kind == "classes" else None, None, None, None)

    def items_of_all(self) -> list[tuple[Path, Path, int]]:
        """Files are opened for that, which may take long where there are many."""
        return [item for pair in watched(self.pairs, "counting images", ranks()) for item in self.items_of(pair)]

    def items_of(self, pair: tuple[Path, Path]) -> list[tuple[Path, Path, int]]:
        """One item a page."""
        try:
            return super().items_of(pair)
        except (*_FAULTS, OSError) as error:
            _lose(self._given, self._lost, pair[0], error)
            return []


def data(given: argparse.Namespace) -> Data:
    """Read all files once: what masks hold, the images' sizes, and two parts by file.

    Raises
    ------
    FileError, ShapeError, DTypeError
        With the name of a file that cannot be read or does not fit, unless such files are to be left out.
    """
    lost: list[Path] = []
    folder = _Folder(given, lost)
    tell_unpaired(folder, ranks())
    found = recognise(_each(given, lost, folder, "masks", lambda i: numbers_of(*folder.items[i][1:])), given.masks_are)
    kind = found.kind if given.masks_are == "auto" else given.masks_are
    task = found if kind == found.kind else Task(kind, max(found.classes, 2) if kind == "classes" else 1)
    folder.take(task)
    channels, smallest, seen = _look_at(given, lost, folder)
    if given.scale is None:
        folder.scale = told_scale(seen)
    files = sorted({item[0] for item in folder.items})
    chosen = np.random.default_rng(given.seed).permutation(len(files))[: min(round(given.validate * len(files)), len(files) - 1)]
    held = {files[i] for i in chosen}
    return Data(folder, _part(folder, held, inside=False), _part(folder, held, inside=True), task, channels, smallest, lost)


def tell_unpaired(folder: ImageMaskFolder, here: Ranks) -> None:
    """Say which files are left out because they have no partner."""
    for path in folder.unpaired[:10]:
        tell(f"left out, without a partner: {path}", here)
    if len(folder.unpaired) > 10:
        tell(f"left out, without a partner: {len(folder.unpaired) - 10} files more", here)


class Turned:
    """Says of the first image that its file turns it and its mask's file does not turn that, or the other way round.

    Parameters
    ----------
    here : Ranks
        The first of which says it.
    """

    def __init__(self, here: Ranks) -> None:
        self._here, self._said = here, False

    def look(self, image: Path, mask: Path) -> None:
        """Look at a pair."""
        if self._said or orientation_of(image) == orientation_of(mask):
            return
        self._said = True
        turned, other = (mask, image) if orientation_of(image) == 1 else (image, mask)
        tell(
            f"{turned.name} is turned as its orientation tag says, and {other.parent.name}/{other.name} is not so: if the mask was drawn with a "
            "program that does not mind the tag (ImageJ, napari), it does not lie on the image; remove the tag or save both without it",
            self._here,
        )


def _each(given: argparse.Namespace, lost: list[Path], folder: ImageMaskFolder, what: str, read: Callable[[int], T]) -> Iterator[T]:
    """What is read of each item; one that cannot be ends the command, or leaves the folder."""
    whole = []
    for number, item in enumerate(watched(folder.items, f"reading {what}", ranks())):
        try:
            found = read(number)
        except (*_FAULTS, OSError) as error:
            _lose(given, lost, item[0], error)
        else:
            whole.append(item)
            yield found
    if not whole:
        raise FileError(f"train: expected images in {given.images} that can be read, got none; mend them")
    folder.items = whole


def _lose(given: argparse.Namespace, lost: list[Path], path: Path, error: Exception) -> None:
    if given.on_error == "stop":
        raise error
    lost.append(path)
    tell(f"left out: {said(error)}", ranks())


def _part(folder: ImageMaskFolder, files: set[Path], *, inside: bool) -> ImageMaskFolder:
    part = copy.copy(folder)
    part.items = [item for item in folder.items if (item[0] in files) == inside]
    return part


def _look_at(given: argparse.Namespace, lost: list[Path], folder: ImageMaskFolder) -> tuple[int, int, dict[str, Seen]]:
    """Channels of the images, the least of their heights and widths, and what pixels there are of each type."""
    first: dict[int, str] = {}
    smallest: list[int] = []
    turned = Turned(ranks())
    types: dict[str, Seen] = {}

    def look(number: int) -> None:
        image, path = folder.stored(number)[0], folder.items[number][0]
        if not (finite := np.isfinite(image)).all():
            place = [int(i) for i in np.argwhere(~finite)[0]]
            raise FileError(
                f"train: expected finite pixels, got {image[tuple(place)]} in {path.name} at channel, row, column {place}; mend the image"
            )
        first.setdefault(image.shape[0], path.name)
        smallest.append(min(image.shape[1:]))
        turned.look(*folder.items[number][:2])
        types[image.dtype.name] = merged(types.get(image.dtype.name), image, path)

    for _ in _each(given, lost, folder, "images", look):
        pass
    if len(first) > 1:
        seen = ", ".join(f"{channels} in {name}" for channels, name in sorted(first.items()))
        raise FileError(f"train: expected images of as many channels each, got {seen}; pass --channels 1 or 3")
    return next(iter(first)), min(smallest), types


def normalization(train: ImageMaskFolder) -> Normalization:
    """Mean and spread of each channel, of the first images."""
    images = [train[i][0].astype(np.float64) for i in range(min(len(train), 50))]
    mean = np.mean([x.mean((1, 2)) for x in images], 0)
    spread = np.sqrt(np.mean([((x - mean[:, None, None]) ** 2).mean((1, 2)) for x in images], 0))
    return Normalization([round(float(m), 4) for m in mean], [max(round(float(s), 4), 1e-3) for s in spread], train.scale)


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
