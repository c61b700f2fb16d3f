"""Tiles that overlap and are blended: where they lie, and what each weighs at each of its pixels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from neurenix.errors import ArgumentError
from neurenix.ops._arguments import integer

Host = np.ndarray[Any, Any]


class Laps(NamedTuple):
    """An image cut into tiles that overlap, row by row of them; a pixel lies in four at most.

    Attributes
    ----------
    size : (int, int)
        Rows and columns of the image.
    tile : (int, int)
    overlap : int
        Of neighbours, in pixels.
    """

    size: tuple[int, int]
    tile: tuple[int, int]
    overlap: int

    @property
    def rows(self) -> list[slice]:
        """Of each row of tiles, its rows of pixels."""
        return list(_steps(self.size[0], self.tile[0], self.overlap))

    @property
    def columns(self) -> list[slice]:
        """Of each column of tiles, its columns of pixels."""
        return list(_steps(self.size[1], self.tile[1], self.overlap))

    @property
    def down(self) -> int:
        """Rows of tiles."""
        return _count(self.size[0], self.tile[0], self.overlap)

    @property
    def across(self) -> int:
        """Columns of tiles."""
        return _count(self.size[1], self.tile[1], self.overlap)

    def place(self, tile: int) -> tuple[slice, slice]:
        """Rows and columns of a tile by its number."""
        row, column = divmod(tile, self.across)
        found = []
        for at, full, length in zip((row, column), self.size, self.tile, strict=True):
            start = at * (length - self.overlap)
            found.append(slice(start, min(start + length, full)))
        return found[0], found[1]

    def weight(self, rows: slice, columns: slice, dtype: Any) -> Host:
        """Of each pixel of a tile; those of all tiles that hold a pixel add to one."""
        ramps = (_ramp(part, full, self.overlap) for part, full in zip((rows, columns), self.size, strict=True))
        return np.outer(*ramps).astype(dtype)


def laps(op: str, size: tuple[int, int], tile: tuple[int, int], overlap: int | None) -> Laps:
    """The tiles of an image, which overlap by a quarter of the shorter side unless ``overlap`` says otherwise.

    Raises
    ------
    ArgumentError
        If they would overlap by more than half of it.
    """
    lap = min(tile) // 4 if overlap is None else integer(op, "overlap", overlap, 0)
    if lap * 2 > min(tile):
        raise ArgumentError(f"{op}: expected an overlap of at most half the tile {tile}, got {lap}; use a smaller one")
    return Laps(size, tile, lap)


def _steps(full: int, tile: int, lap: int) -> Iterator[slice]:
    start = 0
    while start + tile < full:
        yield slice(start, start + tile)
        start += tile - lap
    yield slice(start, full)


def _count(full: int, tile: int, lap: int) -> int:
    return 1 + max(0, -(-(full - tile) // (tile - lap)))


def _ramp(part: slice, full: int, lap: int) -> Host:
    """Weights along one axis: up over the overlap with the tile before, down over that with the next; two of them add to one."""
    weight = np.ones(part.stop - part.start)
    up = (np.arange(lap) + 0.5) / max(lap, 1)
    if part.start > 0:
        weight[:lap] = up[: len(weight)]
    if part.stop < full:
        weight[-lap:] *= 1 - up if lap else 1
    return weight
