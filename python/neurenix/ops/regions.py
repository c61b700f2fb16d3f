"""Regions of images: connected components, distances, floods. Rows, and both on arrays; none has a gradient."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from neurenix import backend, layout
from neurenix._typing import Array
from neurenix.backend.kernel import Enum, In, Index, IndexOut, Mask, Out, Real, Size, kernel
from neurenix.errors import ArgumentError
from neurenix.ops.elementwise import choose, scalar


@kernel("integers")
def label_components(values: In, labels: IndexOut, depth: Size, height: Size, width: Size, connectivity: Size) -> None:
    """labels = the number of each region of equal values other than 0, in the order of their first pixels; 0 where values are 0."""


@kernel("floats")
def distance_pass(y: Out, x: In, outer: Size, n: Size, inner: Size, spacing: Real) -> None:
    """y[o, k, i] = the least of x[o, j, i] + (spacing (k - j))^2 over all j; x is at least 0."""


@kernel("floats")
def watershed_flood(
    image: In, markers: Index, mask: Mask, labels: IndexOut, depth: Size, height: Size, width: Size, connectivity: Size, line: Enum
) -> None:
    """labels = markers, flooded over the mask in the order of the image's values; with line 1, pixels where floods meet are 0."""


def spacing_of(op: str, spacing: Any, ndim: int) -> tuple[float, ...]:
    """The distance between neighbours along each axis: 1 for ``None``, one number for all, or one an axis.

    Raises
    ------
    ArgumentError
        Unless they are finite numbers above 0.
    """
    given = (1.0,) * ndim if spacing is None else tuple(spacing) if isinstance(spacing, Sequence | np.ndarray) else (spacing,) * ndim
    if len(given) != ndim or not all(isinstance(s, int | float | np.number) and math.isfinite(s) and s > 0 for s in given):
        raise ArgumentError(f"{op}: expected spacing as a number above 0 or {ndim} of them, got {spacing!r}; pass e.g. {(1.0,) * ndim}")
    return tuple(float(s) for s in given)


def squared_distance(inside: Array, spacing: tuple[float, ...]) -> Array:
    """The squared distance of every pixel to the nearest that is not inside, over the last axes; infinity where there is none."""
    dense = layout.contiguous(inside)
    y = layout.contiguous(choose(dense, scalar(dense, math.inf, np.float64), scalar(dense, 0.0, np.float64)))
    for axis, step in enumerate(spacing, y.ndim - len(spacing)):
        x, y = y, backend.new(y, y.shape)
        distance_pass(y, x, math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :]), step)
    return y
