"""From masks to objects: connected components, and growing them back over a mask."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.metrics import Mask, as_mask, host


def connected_components(mask: Any, *, connectivity: int = 4, min_size: int = 1) -> Mask:
    """Number the connected regions of a mask.

    Parameters
    ----------
    mask : array or Tensor, shape (H, W)
        Bool; or floats, of which those above 0.5 count; or integers, of which those above 0 count.
    connectivity : {4, 8}
        Whether regions that touch at a corner only are one.
    min_size : int
        Regions of fewer pixels become background.

    Returns
    -------
    numpy.ndarray, shape (H, W), int64
        0 for background, 1, 2, ... in order of each region's first pixel, row by row.

    Examples
    --------
    >>> from neurenix.labelling import connected_components
    >>> connected_components([[1, 0, 1], [0, 1, 1]])
    array([[1, 0, 2],
           [0, 2, 2]])
    """
    inside = as_mask(host(mask, "connected_components"))
    if inside.ndim != 2:
        raise ShapeError(f"connected_components: expected a mask (H, W), got {inside.shape}; pass one image's mask, e.g. mask[0]")
    if connectivity not in (4, 8):
        raise ArgumentError(f"connected_components: expected connectivity 4 or 8, got {connectivity!r}; pass one of them")
    row, start, stop = _runs(inside)
    first = _joined(row, start, stop, int(connectivity == 8))
    sizes = np.bincount(first, stop - start, minlength=len(first))
    kept = (sizes >= min_size) & (np.arange(len(first)) == first)
    number = np.cumsum(kept) * kept
    labels = np.zeros(inside.shape, np.int64)
    labels[inside] = np.repeat(number[first], stop - start)
    return labels


def grow(labels: Any, mask: Any, steps: int | None = None) -> Mask:
    """Let objects grow over the pixels of a mask that belong to none, one pixel a step, until they meet.

    A pixel that two of them reach at once goes to the larger number.

    Parameters
    ----------
    labels : integer array, shape (H, W)
        0 is background.
    mask : bool array, shape (H, W)
        Where they may grow.
    steps : int, optional
        At most so many pixels far; as far as there is room if ``None``.

    Examples
    --------
    >>> from neurenix.labelling import grow
    >>> grow([[1, 0, 0, 0, 2, 0]], [[1, 1, 1, 1, 1, 0]])
    array([[1, 1, 2, 2, 2, 0]])
    """
    grown, inside = host(labels, "grow").astype(np.int64), as_mask(host(mask, "grow"))
    if grown.shape != inside.shape or grown.ndim != 2:
        raise ShapeError(f"grow: expected labels and a mask (H, W) of one shape, got {grown.shape} and {inside.shape}; pass one image's")
    if steps is not None and (isinstance(steps, bool) or not isinstance(steps, int) or steps < 0):
        raise DTypeError(f"grow: expected steps to be an integer of at least 0, got {steps!r}; pass None to fill the mask")
    left = sum(grown.shape) * 2 + grown.size if steps is None else steps
    while left > 0:
        around = np.pad(grown, 1)
        nearest = np.maximum.reduce([around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:]])
        new = (grown == 0) & inside & (nearest > 0)
        if not new.any():
            break
        grown[new] = nearest[new]
        left -= 1
    return grown


def _runs(inside: Mask) -> tuple[Mask, Mask, Mask]:
    """Row, first column and column after the last of each run of foreground pixels, row by row."""
    edges = np.diff(np.pad(inside.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    row, start = np.nonzero(edges == 1)
    return row, start, np.nonzero(edges == -1)[1]


def _joined(row: Mask, start: Mask, stop: Mask, reach: int) -> Mask:
    """For each run the first run of its region: union and find, each root the smallest of its region."""
    parent = list(range(len(row)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    rows, starts, stops = row.tolist(), start.tolist(), stop.tolist()
    above = 0
    for run in range(len(rows)):
        # Runs are sorted: skip those above that end before this one starts, then join all that begin before it ends.
        while above < run and (rows[above] < rows[run] - 1 or (rows[above] == rows[run] - 1 and stops[above] + reach <= starts[run])):
            above += 1
        other = above
        while other < run and rows[other] == rows[run] - 1 and starts[other] < stops[run] + reach:
            a, b = sorted((root(other), root(run)))
            parent[b] = a
            other += 1
    return np.array([root(i) for i in range(len(rows))], np.int64)
