"""Padding and cropping by an index an axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from neurenix import autograd, backend
from neurenix._typing import Array
from neurenix.backend.kernel import In, Index, Out, Size, kernel
from neurenix.errors import ArgumentError, ShapeError
from neurenix.layout import contiguous
from neurenix.memory import require_room
from neurenix.ops._arguments import choice, integer
from neurenix.ops._axis import Host, Table, identity, picks, place, placed
from neurenix.ops._frame import Frame
from neurenix.ops.resize import resize
from neurenix.tensor import Tensor, as_tensor
from neurenix.window_rules import Framed, Rules

MODES = ("constant", "reflect", "replicate", "circular")


@kernel("bytes")
def take_map(y: Out, x: In, fill: In, rows: Index, cols: Index, outer: Size, h: Size, w: Size, inner: Size, oh: Size, ow: Size) -> None:
    """y[o, i, j, c] = x[o, rows[i], cols[j], c], or fill[0] where either index is negative."""


def _take(x: Array, shape: tuple[int, ...], fill: float, rows: Host, cols: Host, sizes: tuple[int, int, int, int]) -> Array:
    device = backend.device_of(x)
    y = backend.new(x, shape)
    value = placed(np.array([fill], np.float64), x.dtype.name, device)
    outer, h, w, inner = sizes
    take_map(y, x, value, placed(rows, "int64", device), placed(cols, "int64", device), outer, h, w, inner, len(rows), len(cols))
    return y


def take_axes(f: Frame, index: Sequence[Host], fill: float) -> Array:
    """Pick pixels along every spatial axis of a frame: its buffer with the new sizes."""
    buffer, axes = f.buffer, list(range(len(f.lead), len(f.lead) + len(index)))
    return take_many(buffer, dict(zip(axes, index, strict=True)), fill)


def take_many(x: Array, index: dict[int, Host], fill: float) -> Array:
    """Pick along several axes of a dense array: neighbours two at a time."""
    for rows, cols in _pairs(index):
        x = _apply(x, rows, cols, lambda y, a, b, shape, sizes: _take(y, shape, fill, a, b, sizes), index)
    return x


def _pairs(axes: dict[int, Any]) -> list[tuple[int | None, int]]:
    """Axes joined with their neighbours, the last first: (rows or None, columns)."""
    left, pairs = sorted(axes), []
    while left:
        col = left.pop()
        row = left.pop() if left and left[-1] == col - 1 else None
        pairs.append((row, col))
    return pairs


def _apply(x: Array, row: int | None, col: int, run: Any, tables: dict[int, Any]) -> Array:
    """Run a kernel over axes ``row`` and ``col`` of a dense array, which becomes (outer, h, w, inner)."""
    one = np.zeros(1, np.int64)
    first = col if row is None else row
    h, w = (1 if row is None else x.shape[row]), x.shape[col]
    rows, cols = (one if row is None else tables[row]), tables[col]
    sizes = (math.prod(x.shape[:first]), h, w, math.prod(x.shape[col + 1 :]))
    new = ([] if row is None else [len(rows)]) + [len(cols)]
    return run(x, rows, cols, (*x.shape[:first], *new, *x.shape[col + 1 :]), sizes)


def _add_back(g: Array, index: dict[int, Host], sizes: dict[int, int]) -> Array:
    """The gradient: each pixel the sum of the outputs it was picked for."""
    for row, col in _pairs(index):
        h, w = (1 if row is None else sizes[row]), sizes[col]
        rows = identity(1) if row is None else picks(index[row]).transposed(h)
        cols = picks(index[col]).transposed(w)
        g = _sum(g, row, col, rows, cols, h, w)
    return g


def _sum(g: Array, row: int | None, col: int, rows: Table, cols: Table, h: int, w: int) -> Array:
    first = col if row is None else row
    before = (1 if row is None else g.shape[row], g.shape[col])
    lead, tail = g.shape[:first], g.shape[col + 1 :]
    y = backend.new(g, (*lead, *(() if row is None else (h,)), w, *tail))
    resize(y, g, *place(rows, g), *place(cols, g), None, None, math.prod(lead), *before, math.prod(tail), h, w)
    return y


@lru_cache(maxsize=512)
def border_index(size: int, low: int, high: int, mode: str) -> Host:
    """The input of each output along one padded axis; -1 is the fill value."""
    i = np.arange(-low, size + high, dtype=np.int64)
    if mode == "constant":
        return np.where((i >= 0) & (i < size), i, -1)
    if mode == "replicate":
        return np.clip(i, 0, size - 1)
    if mode == "circular":  # the other end of what is left after cropping
        first, left = max(-low, 0), size - max(-low, 0) - max(-high, 0)
        return first + np.mod(i - first, left)
    period = max(2 * (size - 1), 1)
    i = np.mod(i, period)
    return np.where(i >= size, period - i, i)


def _where(index: Host, size: int) -> Host:
    """The output that each input went to, -1 where it was cropped."""
    where = np.full(size, -1, np.int64)
    where[index[index >= 0]] = np.flatnonzero(index >= 0)
    return where


def _check(op: str, x: Tensor, pad: Sequence[int], mode: str) -> dict[int, tuple[int, int]]:
    """The (low, high) of each padded axis."""
    choice(op, "mode", mode, MODES)
    if len(pad) % 2 or len(pad) > 2 * x.ndim:
        raise ArgumentError(
            f"{op}: expected two numbers an axis for at most {x.ndim} axes, got {tuple(pad)}; pass (left, right, top, bottom)"
        )
    if mode != "constant" and not (len(pad) // 2 in (x.ndim - 1, x.ndim - 2) and 1 <= len(pad) // 2 <= 3):
        raise ShapeError(
            f"{op}: expected 2, 4 or 6 numbers for the spatial axes in mode {mode!r}, got {tuple(pad)} for shape {x.shape}; pass one pair each"
        )
    axes = {x.ndim - 1 - a: (pad[2 * a], pad[2 * a + 1]) for a in range(len(pad) // 2)}
    for axis, (low, high) in axes.items():
        n = x.shape[axis]
        if n + low + high < 0 or (mode != "constant" and n + low + high < 1):
            raise ShapeError(f"{op}: expected an output that is not empty along axis {axis}, got {n} + {low} + {high}; crop less")
        limit = {"reflect": n - 1, "circular": n}.get(mode)
        if limit is not None and max(low, high) > limit:
            raise ShapeError(
                f"{op}: expected padding of at most {limit} along axis {axis} in mode {mode!r}, got {max(low, high)}; use mode='replicate'"
            )
        if mode != "constant" and n == 0:
            raise ShapeError(f"{op}: expected axis {axis} not empty in mode {mode!r}, got shape {x.shape}; use mode='constant'")
    require_room(op, [n + sum(axes.get(axis, (0, 0))) for axis, n in enumerate(x.shape)], x.dtype.itemsize)
    return {axis: ends for axis, ends in axes.items() if ends != (0, 0)}


def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Add pixels around a map, or with negative numbers take them away.

    Parameters
    ----------
    input : Tensor
        Any element type and memory order. Modes other than "constant" pad the spatial axes of (N, C, ...) or (C, ...).
    pad : sequence of int
        (left, right, top, bottom, ...): two numbers an axis, the last axis first.
    mode : {"constant", "reflect", "replicate", "circular"}
        ``value``; the map mirrored without its edge; its edge; its other end.
    value : float, optional
        Of the added pixels in mode "constant"; 0 where ``None``.

    Returns
    -------
    Tensor

    Raises
    ------
    ShapeError
        If an axis is too short for what is asked.
    ArgumentError
        If numbers do not come in pairs or the mode is unknown.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([[[1.0, 2.0, 3.0]]])
    >>> nx.nn.functional.pad(x, (2, 1), mode="reflect").numpy()[0, 0]
    array([3., 2., 1., 2., 3., 2.], dtype=float32)
    """
    op = "pad"
    x = as_tensor(input)
    ends = _check(op, x, [_number(op, n) for n in pad], mode)
    if value and mode != "constant":
        raise ArgumentError(f"{op}: expected a value only in mode 'constant', got {value!r} in mode {mode!r}; leave it out")
    if not ends:
        return autograd.record(op, x._array, (x,), lambda g: (g,))
    order = _memory_order(x._array)
    inverse = sorted(range(x.ndim), key=order.__getitem__)
    buffer = contiguous(x._array.transpose(order))
    index = {inverse[axis]: border_index(x.shape[axis], low, high, mode) for axis, (low, high) in ends.items()}
    y = take_many(buffer, index, 0.0 if value is None else float(value))
    sizes = {inverse[axis]: x.shape[axis] for axis in ends}

    def vjp(g: Array) -> tuple[Array]:
        g = contiguous(g.transpose(order))
        if mode == "constant":  # each pixel went to one place at most
            back = {axis: _where(index[axis], n) for axis, n in sizes.items()}
            return (take_many(g, back, 0.0).transpose(inverse),)
        return (_add_back(g, index, sizes).transpose(inverse),)

    return autograd.record(op, y.transpose(inverse), (x,), vjp, lambda: _local(x.ndim, ends, mode))


def _local(ndim: int, ends: dict[int, tuple[int, int]], mode: str) -> Rules | None:
    """Where a padded map's pixels come from; around the circle from the other side."""
    if mode == "circular" or min(min(sides) for sides in ends.values()) < 0:
        return None
    rows, columns = (Framed(*sides, max(sides) + 1 if mode == "reflect" else 1) for sides in (ends.get(ndim + a, (0, 0)) for a in (-2, -1)))
    return rows, columns


def _number(op: str, value: Any) -> int:
    return integer(op, "pad", value, -(1 << 62))


def _memory_order(x: Array) -> tuple[int, ...]:
    """Channels last where a 4-D map lies so (or could as well), else the order of C."""
    if x.ndim >= 3 and x.shape[1 if x.ndim > 3 else 0] > 1:
        c = 1 if x.ndim > 3 else 0
        order = (*range(c), *range(c + 1, x.ndim), c)
        if x.transpose(order).flags.c_contiguous:
            return order
    return tuple(range(x.ndim))
