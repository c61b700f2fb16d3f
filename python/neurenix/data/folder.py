"""Folders of images and masks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np

from neurenix.data.crops import RandomCrop
from neurenix.data.dataset import Dataset, Transform, check_count, check_transform, item_number
from neurenix.data.spatial import RandomFlip, RandomTurn
from neurenix.data.transforms import Compose
from neurenix.errors import ArgumentError, FileError, ShapeError
from neurenix.picture import read_picture, scaled

_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".npy")
_NAMED = 5  # so many file names in a message


class ImageMaskFolder(Dataset):
    """Images in one folder and their masks in another, paired by file name.

    An item is ``(image, mask)``: the image float32 (C, H, W) in [0, 1]; the mask float32 (1, H, W) of zeros and ones
    ("binary": whatever is not zero is one), or int64 (H, W) as stored ("classes"). They are read when they are asked for.

    Parameters
    ----------
    images, masks : path
        The folders. Files are PNG, JPEG, BMP, GIF, TIFF (read with Pillow) or ``.npy``, in any mixture.
    mask_type : {"binary", "classes"}
        What the masks hold.
    mask_suffix : str
        What a mask's name has more than its image's: ``"_mask"`` pairs ``a.jpg`` with ``a_mask.png``.
    channels : {1, 3}, optional
        Convert every image to grey or to RGB; as stored if ``None``.
    crop : int or (int, int), optional
        Size of a random window of each item.
    flips, turns : bool
        Random mirror images and quarter turns, the same for image and mask.
    transform : callable, optional
        ``transform(image, mask)``, after the above.
    repeats : int
        How often each pair is counted.
    unpaired : {"error", "skip"}
        What to do about files without a partner; they are listed in the attribute of that name.

    Raises
    ------
    FileError
        If a folder is missing, has no pairs, or has files without a partner.
    BackendUnavailableError
        If a file needs Pillow and it is not installed.
    """

    def __init__(
        self,
        images: str | os.PathLike[str],
        masks: str | os.PathLike[str],
        *,
        mask_type: Literal["binary", "classes"] = "binary",
        mask_suffix: str = "",
        channels: int | None = None,
        crop: int | tuple[int, int] | None = None,
        flips: bool = False,
        turns: bool = False,
        transform: Transform | None = None,
        repeats: int = 1,
        unpaired: Literal["error", "skip"] = "error",
    ) -> None:
        _check_choice("mask_type", mask_type, ("binary", "classes"))
        _check_choice("unpaired", unpaired, ("error", "skip"))
        _check_choice("channels", channels, (None, 1, 3))
        steps: list[Any] = [] if crop is None else [RandomCrop(crop)]
        steps += [RandomFlip()] if flips else []
        steps += [RandomTurn()] if turns else []
        extra = check_transform("ImageMaskFolder", transform)
        self.transform = Compose(steps if extra is None else [*steps, extra])
        self.repeats = check_count("ImageMaskFolder", "repeats", repeats)
        self.mask_type, self.channels = mask_type, channels
        self.pairs, self.unpaired = find_pairs(Path(images), Path(masks), mask_suffix)
        if self.unpaired and unpaired == "error":
            raise FileError(
                f"ImageMaskFolder: expected a mask for every image, got files without partner: {_listed(self.unpaired)}; "
                "add what is missing, pass mask_suffix= if masks are named differently, or unpaired='skip'"
            )
        if not self.pairs:
            raise FileError(
                f"ImageMaskFolder: expected images in {images} with masks in {masks}, got no pair; check the folders and mask_suffix="
            )

    def __len__(self) -> int:
        return len(self.pairs) * self.repeats

    def __getitem__(self, index: int) -> Any:
        image_path, mask_path = self.pairs[item_number("ImageMaskFolder", index, len(self)) % len(self.pairs)]
        image = _planes(scaled(read_picture(image_path, self.channels)), image_path)
        mask = read_picture(mask_path, 1 if self.mask_type == "binary" else None)
        if mask.ndim != 2 or mask.shape != image.shape[-2:]:
            raise ShapeError(
                f"ImageMaskFolder: expected a mask of {image.shape[-2:]} pixels and one channel for {image_path.name}, "
                f"got {mask.shape} in {mask_path.name}; the mask must have its image's size"
            )
        mask = (mask != 0).astype(np.float32)[None] if self.mask_type == "binary" else mask.astype(np.int64)
        return self.transform(image, mask)


def find_pairs(images: Path, masks: Path, suffix: str = "") -> tuple[list[tuple[Path, Path]], list[Path]]:
    """Pairs of files, in order of name, and the files that have no partner."""
    pictures, drawings = _by_stem(images), _by_stem(masks)
    pairs = [(path, drawings[stem + suffix]) for stem, path in pictures.items() if stem + suffix in drawings]
    used = {path for pair in pairs for path in pair}
    return pairs, [path for path in (*pictures.values(), *drawings.values()) if path not in used]


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise FileError(f"ImageMaskFolder: expected a folder, got {str(folder)!r}, which is none; check the path")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in _ENDINGS or path.name.startswith("."):
            continue
        if path.stem in found:
            raise FileError(
                f"ImageMaskFolder: expected one file named {path.stem!r} in {folder}, got {found[path.stem].name} and {path.name}; remove one"
            )
        found[path.stem] = path
    return found


def _planes(image: np.ndarray[Any, Any], path: Path) -> np.ndarray[Any, Any]:
    """(H, W) or (H, W, C) pixels as (C, H, W)."""
    if image.ndim not in (2, 3):
        raise ShapeError(
            f"ImageMaskFolder: expected (H, W) or (H, W, C) pixels, got shape {image.shape} in {path.name}; store one image a file"
        )
    return image[None] if image.ndim == 2 else image.transpose(2, 0, 1)


def _listed(paths: list[Path]) -> str:
    names = ", ".join(f"{p.parent.name}/{p.name}" for p in paths[:_NAMED])
    return names if len(paths) <= _NAMED else f"{names} and {len(paths) - _NAMED} more"


def _check_choice(name: str, value: Any, choices: tuple[Any, ...]) -> None:
    if value not in choices:
        raise ArgumentError(f"ImageMaskFolder: expected {name} to be one of {choices}, got {value!r}; pass one of them")
