"""Channels in front, and grey and colour converted to one another."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from neurenix.errors import DTypeError, ShapeError
from neurenix.images.source import Array


def planes(image: Array, path: Path, channels: int | None) -> Array:
    """(H, W) or (H, W, C) pixels as (C, H, W), converted to grey (1) or RGB (3) where that is asked for.

    Raises
    ------
    DTypeError
        If they are no numbers.
    ShapeError
        If there are other axes, or channels that cannot be converted.
    """
    if image.dtype.kind not in "biuf":
        raise DTypeError(f"ImageMaskFolder: expected numbers, got {image.dtype} in {path.name}; store integers or floats")
    if image.ndim not in (2, 3):
        raise ShapeError(
            f"ImageMaskFolder: expected (H, W) or (H, W, C) pixels, got shape {image.shape} in {path.name}; store one image a file"
        )
    image = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
    have = len(image)
    if channels is None or have == channels:
        return image
    if have not in (1, 2, 3, 4):
        raise ShapeError(f"ImageMaskFolder: expected 1 to 4 channels to convert, got {have} in {path.name}; leave out channels=")
    colour = image[:1].repeat(3, axis=0) if have < 3 else image[:3]
    if channels == 3:
        return colour
    red, green, blue = colour.astype(np.float64)
    grey: Array = (0.299 * red + 0.587 * green + 0.114 * blue)[
        None
    ]  # not a product of matrices: its sums depend on how many pixels there are
    return grey.astype(image.dtype) if image.dtype.kind == "f" else np.rint(grey).astype(image.dtype)
