"""Numbered objects of an image of any size: connected regions band by band, joined across the bands' borders.

The numbers are those of :func:`neurenix.labelling.connected_components` and :func:`neurenix.labelling.objects_of_classes` over the whole
image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from neurenix.images.source import Array
from neurenix.labelling import connected_components, grow
from neurenix.slides.tiles import FileRows

BAND = 1 << 20  # pixels that are numbered at once
Reader = Callable[[slice], Array]  # rows of a mask, (h, W)


def write_regions(path: Path, mask: Reader, size: tuple[int, int], *, min_size: int = 1) -> FileRows:
    """Number the connected regions of a mask, or of equal whole numbers, into a file of int32 rows."""
    joined = _Joined()
    for band in _bands(size):
        joined.add(mask(band))
    numbers = joined.numbers(min_size)
    with path.open("wb") as file:
        base = 0
        for band in _bands(size):
            labels = connected_components(mask(band))
            most = int(labels.max(initial=0))
            table = np.concatenate([[0], numbers[base + 1 : base + most + 1]]).astype(np.int32)
            file.write(table[labels].data)
            base += most
    return FileRows(path, size, np.int32)


def write_grown(path: Path, cores: FileRows, inside: Reader, steps: int) -> FileRows:
    """Let numbered regions grow over a mask by so many steps, into a file of int32 rows: a band needs as many rows around it."""
    _, height, width = cores.shape
    with path.open("wb") as file:
        for band in _bands((height, width)):
            around = slice(max(0, band.start - steps), min(height, band.stop + steps))
            grown = grow(cores.read(0, around), inside(around), steps=steps)
            file.write(np.ascontiguousarray(grown[band.start - around.start : band.stop - around.start], np.int32).data)
    return FileRows(path, (height, width), np.int32)


def _bands(size: tuple[int, int]) -> Iterator[slice]:
    step = max(16, BAND // size[1])
    for start in range(0, size[0], step):
        yield slice(start, min(start + step, size[0]))


class _Joined:
    """Regions of bands, numbered on from band to band, and which of them are one."""

    def __init__(self) -> None:
        self._sizes = [np.zeros(1, np.int64)]
        self._merges: list[Array] = []
        self._count = 0
        self._last: tuple[Array, Array] | None = None  # values and numbers of the row before

    def add(self, values: Array) -> None:
        """The next band of a mask."""
        labels = connected_components(values)
        most = int(labels.max(initial=0))
        self._sizes.append(np.bincount(labels.ravel(), minlength=most + 1)[1:])
        first = np.where(labels[0] > 0, labels[0] + self._count, 0)
        if self._last is not None:
            same = (self._last[1] > 0) & (first > 0) & (self._last[0] == values[0])
            self._merges.append(np.unique(np.stack([self._last[1][same], first[same]]), axis=1))
        self._last = values[-1].copy(), np.where(labels[-1] > 0, labels[-1] + self._count, 0)
        self._count += most

    def numbers(self, min_size: int) -> Array:
        """For each band's number the image's, in order of the regions' first pixels; 0 for regions of fewer pixels."""
        parents: Array = np.arange(self._count + 1, dtype=np.int32 if self._count < 1 << 31 else np.int64)
        for merges in self._merges:
            for above, below in merges.T:
                a, b = _root(parents, above), _root(parents, below)
                parents[max(a, b)] = min(a, b)  # the smaller number has the earlier first pixel
        while not np.array_equal(parents, further := parents[parents]):
            parents = further
        sizes = np.zeros(self._count + 1, np.int64)
        start = 0
        for part in self._sizes:
            np.add.at(sizes, parents[start : start + len(part)], part)
            start += len(part)
        kept = sizes >= min_size
        kept[0] = False
        kept &= np.arange(self._count + 1, dtype=parents.dtype) == parents
        ranks: Array = np.cumsum(kept, dtype=parents.dtype)
        ranks *= kept
        numbers: Array = ranks[parents]
        return numbers


def _root(parents: Array, number: int) -> int:
    while parents[number] != number:
        parents[number] = parents[parents[number]]
        number = parents[number]
    return int(number)
