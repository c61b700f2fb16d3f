"""One item's arrays, and the geometry that waits to be done to them.

Flips, rotations, scalings, crops and an elastic field are not done one by one: they are joined into one map from output pixels
to places in the source, and every array is interpolated once, however many they are. Where the map moves whole pixels (flips,
quarter turns, crops) nothing is interpolated: the result is exact, and a view where it can be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from neurenix.data._checks import check_fill
from neurenix.ops import warp

Image: TypeAlias = np.ndarray[Any, Any]
Matrix: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Size: TypeAlias = tuple[int, int]

_WHOLE = 1e-9  # a matrix whose entries are that near to integers moves whole pixels


class Rule(NamedTuple):
    """How images are interpolated, and what lies outside them."""

    interpolation: str | None = "bilinear"  # None where pixels are only moved
    fill_mode: str = "symmetric"
    fill: float = 0.0
    ignore_index: int | None = None

    def joined(self, other: Rule | None) -> Rule | None:
        """One rule for both, or None where they contradict."""
        if other is None:
            return self
        if self[1:] != other[1:] or (self.interpolation and other.interpolation and self.interpolation != other.interpolation):
            return None
        return self._replace(interpolation=self.interpolation or other.interpolation)


class Scene:
    """The arrays of one item: which are images, and the geometry that waits.

    Parameters
    ----------
    arrays : sequence of array, shape (..., H, W)
    is_image : sequence of bool
        Images are interpolated and change brightness; the others hold labels.
    """

    def __init__(self, arrays: Sequence[Image], is_image: Sequence[bool]) -> None:
        self._arrays, self.is_image = list(arrays), list(is_image)
        self._rest()

    def _rest(self) -> None:
        """Nothing waits."""
        self.size: Size = self._arrays[0].shape[-2:]
        self._before, self._after = np.eye(3), np.eye(3)
        self._field: Image | None = None
        self._rule: Rule | None = None

    @property
    def arrays(self) -> list[Image]:
        """The arrays with all geometry done."""
        self._settle()
        return self._arrays

    def change(self, function: Callable[[Image], Image]) -> None:
        """Put every image through a function that keeps its size."""
        self._settle()
        self._arrays = [function(a) if i else a for a, i in zip(self._arrays, self.is_image, strict=True)]

    def replace(self, arrays: Sequence[Image]) -> None:
        """Go on with other arrays; those that were there are done."""
        self._arrays = list(arrays)
        self.is_image = (self.is_image + [False] * len(self._arrays))[: len(self._arrays)]
        self._rest()

    def move(self, matrix: Matrix, size: Size, rule: Rule | None = None) -> None:
        """Pixel (i, j) of an output of ``size`` comes from ``matrix @ (i, j, 1)``; ``rule`` where it falls between pixels or outside."""
        self._take(rule)
        if self._field is None:
            self._before = self._before @ matrix
        else:
            self._after = self._after @ matrix
        self.size = size

    def bend(self, field: Image, rule: Rule) -> None:
        """Pixel (i, j) comes from ``(i, j) + field[:, i, j]``."""
        if self._field is not None:
            self._settle()
        self._take(rule)
        self._field, self._after = field, np.eye(3)

    def _take(self, rule: Rule | None) -> None:
        """Wait under this rule too; do what waits first where it has another."""
        if rule is not None:
            joined = rule.joined(self._rule)
            if joined is None:
                self._settle()
            self._rule = joined or rule

    def waiting_labels(self) -> Image | None:
        """The first array of labels as it was before what waits."""
        return next((a for a, i in zip(self._arrays, self.is_image, strict=True) if not i), None)

    def locate(self, row: int, column: int) -> tuple[int, int]:
        """Where a pixel of the waiting arrays comes to lie, roughly: the field is inverted by iteration."""
        there = np.linalg.solve(self._before, [row, column, 1.0])[:2]
        place = there
        if self._field is not None:
            limit = np.array(self._field.shape[1:]) - 1
            for _ in range(8):
                i, j = np.clip(np.rint(place), 0, limit).astype(int)
                place = there - self._field[:, i, j]
            place = np.linalg.solve(self._after, [*place, 1.0])[:2]
        return int(np.rint(place[0])), int(np.rint(place[1]))

    def _settle(self) -> None:
        """Do what waits."""
        rule = self._rule or Rule()
        matrix = self._before if self._field is None else None
        whole = None if matrix is None else np.rint(matrix)
        if matrix is not None and whole is not None and np.abs(matrix - whole).max() < _WHOLE and _permutes(whole):
            if self.size != self._arrays[0].shape[-2:] or (whole != np.eye(3)).any():
                moved = [_moved(a, whole.astype(int), self.size, rule, i) for a, i in zip(self._arrays, self.is_image, strict=True)]
                self._arrays = moved
        else:
            points = warp.points_of(self._after, self._before, self._field, self.size)
            self._arrays = [_sampled(a, points, rule, i) for a, i in zip(self._arrays, self.is_image, strict=True)]
        self._rest()


def _permutes(matrix: Matrix) -> bool:
    return bool((np.abs(matrix[:2, :2]).sum(axis=0) == 1).all() and (np.abs(matrix[:2, :2]).sum(axis=1) == 1).all())


def _outside(rule: Rule, kind: np.dtype[Any], is_image: bool) -> tuple[str, float]:
    """The way to fill, and with what; ArgumentError where an array's type does not hold that."""
    labels = not is_image and rule.ignore_index is not None
    mode, fill = ("constant", float(rule.ignore_index or 0)) if labels else (rule.fill_mode, rule.fill if is_image else 0.0)
    if mode == "constant":
        given = ("ignore_index", fill, kind, "store masks as int64") if labels else ("fill", fill, kind, "convert images to floats")
        check_fill("Compose", *given)
    return mode, fill


def _sampled(array: Image, points: Image, rule: Rule, is_image: bool) -> Image:
    """An array interpolated at points; labels take the nearest pixel, so that their numbers stay whole."""
    smooth = is_image and array.dtype != np.bool_
    dense = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    filling = _outside(rule, array.dtype, is_image)
    out: Image = warp.sample_at(dense, points, (rule.interpolation or "bilinear") if smooth else "nearest", *filling)
    return out


def _moved(array: Image, matrix: Image, size: Size, rule: Rule, is_image: bool) -> Image:
    """An array whose pixels are moved as they are."""
    if matrix[0, 0] == 0:
        array, matrix = array.swapaxes(-1, -2), matrix[[1, 0, 2]]
    mode, fill = _outside(rule, array.dtype, is_image)
    out = array
    for axis in (0, 1):
        index = matrix[axis, axis] * np.arange(size[axis]) + matrix[axis, 2]
        out = _picked(out, index, axis - 2, mode, fill)
    return out


def _picked(array: Image, index: Image, axis: int, mode: str, fill: float) -> Image:
    """``array`` at consecutive places of an axis: a view where they all lie inside."""
    length, step = array.shape[axis], index[1] - index[0] if len(index) > 1 else 1
    inside = (index >= 0) & (index < length)
    if inside.all():
        stop = int(index[-1] + step)
        part = slice(int(index[0]), None if stop < 0 else stop, int(step))
        return array[(..., part, *[slice(None)] * (-axis - 1))]
    if mode in ("symmetric", "reflect"):
        shared = int(mode == "reflect")
        period = max(2 * (length - shared), 1)
        index = np.mod(index, period)
        index = np.minimum(index, period - 1 + shared - index)
    out = np.take(array, np.clip(index, 0, length - 1), axis=axis)
    if mode == "constant":
        out[(..., ~inside, *[slice(None)] * (-axis - 1))] = fill
    return out
