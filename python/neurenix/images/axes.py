"""Named axes: which of a file's are rows, columns and channels, and how many images the others make."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from neurenix.errors import ShapeError
from neurenix.images.source import Array


def split(axes: str, shape: tuple[int, ...], path: Path) -> tuple[str | None, tuple[str, ...]]:
    """The axis that holds channels, if any, and those that count images.

    Raises
    ------
    ShapeError
        If there are no rows and columns.
    """
    if axes.count("Y") != 1 or axes.count("X") != 1:
        raise ShapeError(f"open_image: expected axes with Y and X, got {axes or 'none'} of {shape} in {path.name}; name the axes")
    channel = next((a for a in "SC" if a in axes), None)
    return channel, tuple(a for a in axes if a not in ("Y", "X", channel))


def count(axes: str, shape: tuple[int, ...], path: Path) -> int:
    """How many images there are."""
    _, others = split(axes, shape, path)
    return int(np.prod([shape[axes.index(a)] for a in others], dtype=np.int64))


def place(axes: str, shape: tuple[int, ...], path: Path, image: int) -> dict[str, int]:
    """Where image number ``image`` lies along the axes that count."""
    _, others = split(axes, shape, path)
    index = np.unravel_index(image, [shape[axes.index(a)] for a in others]) if others else ()
    return {a: int(i) for a, i in zip(others, index, strict=True)}


def ordered(pixels: Array, axes: str) -> Array:
    """Pixels of the axes Y, X and perhaps channels as (C, H, W)."""
    channel = axes.replace("Y", "").replace("X", "")
    return np.ascontiguousarray(pixels.transpose([axes.index(a) for a in f"{channel}YX"]).reshape(-1, *_plane(pixels, axes)))


def _plane(pixels: Array, axes: str) -> tuple[int, int]:
    return pixels.shape[axes.index("Y")], pixels.shape[axes.index("X")]
