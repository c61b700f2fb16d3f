"""Burt and Adelson's two steps of a pyramid: half the size through a binomial filter, and back to a given size.

Floats go through tables, with a gradient; integers through sums of shifted views, rounded once, so that every machine gives
the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np

from neurenix import backend, layout
from neurenix._typing import Array
from neurenix.errors import DTypeError, ShapeError
from neurenix.ops._arguments import integer
from neurenix.ops._axis import Table
from neurenix.ops._frame import frame
from neurenix.ops.convert import cast
from neurenix.ops.elementwise import IntegerBinary, integer_binary, integer_map2, scalar
from neurenix.ops.padding import border_index, take_axes
from neurenix.ops.power import clamp
from neurenix.ops.resize import apply_tables
from neurenix.tensor import Tensor, as_tensor

# Differences and wavelet coefficients of a type fit the type beside it; int64 wraps, and comes back all the same.
DIFFERENCES: Final = {
    "uint8": "int16", "int8": "int16", "uint16": "int32", "int16": "int32", "uint32": "int64", "int32": "int64", "int64": "int64",
}  # fmt: skip
TAPS: Final = 5


def difference_type(op: str, x: Tensor) -> np.dtype[Any]:
    """The type that holds differences of ``x``'s elements: itself for floats, a wider one for integers.

    Raises
    ------
    DTypeError
        For bools, float16 and uint64.
    """
    name = x.dtype.name
    if name not in ("float32", "float64", *DIFFERENCES):
        advice = "convert it with .to(nx.uint8)" if name == "bool" else "convert it with .float()"
        raise DTypeError(f"{op}: expected float32, float64 or integers up to int64, got {name}; {advice}")
    return np.dtype(DIFFERENCES.get(name, name))


def fitted(x: Tensor, dtype: Any) -> Tensor:
    """``x`` as another type, integers outside its range at the nearest end of it."""
    if x.dtype.kind != "f" and x.dtype != dtype:
        limits = np.iinfo(dtype)
        x = clamp(x, int(limits.min), int(limits.max))
    return cast(x, dtype)


def _check(op: str, input: Any) -> Tensor:
    x: Tensor = as_tensor(input)
    if x.ndim not in (3, 4) or 0 in x.shape[-3:]:
        raise ShapeError(
            f"{op}: expected x (N, C, H, W) or (C, H, W) of at least one pixel, got shape {x.shape}; add the missing axes, e.g. x[None]"
        )
    difference_type(op, x)
    return x


def pyramid_reduce(input: Any) -> Tensor:
    """Smooth with (1, 4, 6, 4, 1) / 16 along both axes and keep every second pixel, from the first on.

    Parameters
    ----------
    input : Tensor, shape (N, C, H, W) or (C, H, W)
        float32, float64 or integers, any memory order. At the border the image is mirrored about its edge pixels.

    Returns
    -------
    Tensor, shape (..., ceil(H / 2), ceil(W / 2)), dtype and device of ``input``
        Integers are rounded to the nearest, halves up.

    Raises
    ------
    ShapeError
        If ``input`` has other axes or is empty.
    DTypeError
        For bools, float16 and uint64.

    References
    ----------
    .. [1] P. Burt, E. Adelson, "The Laplacian pyramid as a compact image code", IEEE Trans. Communications 31, 1983.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.pyramid_reduce(nx.tensor([[[0, 0, 16, 0, 0]]]))
    tensor([[[2, 6, 2]]])
    """
    x = _check("pyramid_reduce", input)
    if x.dtype.kind == "f":
        return apply_tables("pyramid_reduce", x, [reduce_table(n) for n in x.shape[-2:]])
    halves = [border_index(n, 2, 2, "reflect") for n in x.shape[-2:]]
    sizes = [(n + 1) // 2 for n in x.shape[-2:]]
    return Tensor._wrap(_integers(x._array, halves, sizes, _smoothed, 8))


def pyramid_expand(input: Any, size: Sequence[int]) -> Tensor:
    """Put a pixel between every two, and smooth: the step back from :func:`pyramid_reduce` to ``size``.

    Parameters
    ----------
    input : Tensor, shape (N, C, H, W) or (C, H, W)
        float32, float64 or integers, any memory order.
    size : (int, int)
        Height and width, of which ``input`` has half, rounded up.

    Returns
    -------
    Tensor, shape (..., size[0], size[1]), dtype and device of ``input``
        Pixels of even number are (1, 6, 1) / 8 of their neighbours, those of odd number (4, 4) / 8, along both axes. Integers
        are rounded to the nearest, halves up.

    Raises
    ------
    ShapeError
        If ``input`` has other axes, is empty, or is not half of ``size``.
    DTypeError
        For bools, float16 and uint64.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.pyramid_expand(nx.tensor([[[0, 16, 0]]]), (1, 5))
    tensor([[[ 4,  8, 12,  8,  4]]])
    """
    op = "pyramid_expand"
    x = _check(op, input)
    given = list(size) if isinstance(size, Sequence) and not isinstance(size, str) else [size]
    sizes = [integer(op, "size", n, 1) for n in given]
    if len(sizes) != 2 or any((n + 1) // 2 != m for n, m in zip(sizes, x.shape[-2:], strict=True)):
        h, w = x.shape[-2:]
        raise ShapeError(
            f"{op}: expected size of which {(h, w)} is half, rounded up, got {tuple(sizes)}; pass ({2 * h - 1} or {2 * h}, {2 * w - 1} or {2 * w})"
        )
    if x.dtype.kind == "f":
        return apply_tables(op, x, [expand_table(n) for n in sizes])
    return Tensor._wrap(_integers(x._array, [_around(n) for n in sizes], sizes, _doubled, 6))


# --- floats: tables


@lru_cache(maxsize=256)
def reduce_table(size: int) -> Table:
    """The sparse matrix of ``pyramid_reduce`` along an axis of ``size`` pixels."""
    outputs = (size + 1) // 2
    source = border_index(size, 2, 2, "reflect")[2 * np.arange(outputs)[:, None] + np.arange(TAPS)]
    return Table(TAPS * np.arange(outputs + 1), source.reshape(-1), np.tile(np.array([1.0, 4, 6, 4, 1]) / 16, outputs))


@lru_cache(maxsize=256)
def expand_table(size: int) -> Table:
    """The sparse matrix of ``pyramid_expand`` along an axis, to ``size`` pixels."""
    around, i = _around(size), np.arange(size)
    odd = i % 2
    source = around[(i // 2)[:, None] + np.arange(3)]
    weight = np.where(odd[:, None] == 1, [0.0, 4, 4], [1.0, 6, 1]) / 8
    keep = weight > 0
    start = np.concatenate([[0], np.cumsum(3 - odd)])
    return Table(start.astype(np.int64), source[keep], weight[keep])


def _around(size: int) -> np.ndarray[Any, Any]:
    """The pixels of the half, and one more at each end: the grid of ``size`` pixels between, mirrored about its edge pixels."""
    return border_index(size, 2, 2, "reflect")[::2][: (size + 1) // 2 + 2] // 2


# --- integers: sums of shifted views


def _integers(x: Array, indices: Sequence[Any], sizes: Sequence[int], step: Callable[[Array, int, int], Array], bits: int) -> Array:
    """Pad by ``indices``, filter each axis to its size in a wide type, and divide by ``2 ** bits``, rounded."""
    f = frame(x, 2)
    y = layout.cast(take_axes(f, indices, 0), np.int32 if x.dtype.itemsize < 4 else np.int64)
    for i in (1, 0):
        y = step(y, len(f.lead) + i, sizes[i])
    y = integer_map2(IntegerBinary.ADD, y, scalar(y, 1 << (bits - 1)))
    return f.logical(layout.cast(integer_map2(IntegerBinary.SHIFT_RIGHT, y, scalar(y, bits)), x.dtype))


def _part(x: Array, axis: int, start: int, count: int, step: int = 1) -> Array:
    """``count`` slices along an axis, a view."""
    return x[(slice(None),) * axis + (slice(start, start + step * count, step),)]


def _weighted(x: Array, bits: int) -> Array:
    return integer_map2(IntegerBinary.SHIFT_LEFT, x, scalar(x, bits))


def _smoothed(x: Array, axis: int, size: int) -> Array:
    """(1, 4, 6, 4, 1) about every second pixel of an axis that was padded by two."""
    a, b, c, d, e = (_part(x, axis, k, size, 2) for k in range(TAPS))
    add = IntegerBinary.ADD
    outer = integer_map2(add, integer_map2(add, a, e), _weighted(integer_map2(add, integer_map2(add, b, d), c), 2))
    return integer_map2(add, outer, _weighted(c, 1))


def _doubled(x: Array, axis: int, size: int) -> Array:
    """(1, 6, 1) at pixels of even number and (4, 4) between them, of an axis that was padded by one."""
    even, odd = (size + 1) // 2, size // 2
    y = backend.new(x, (*x.shape[:axis], size, *x.shape[axis + 1 :]))
    a, b, c = (_part(x, axis, k, even) for k in range(3))
    add = IntegerBinary.ADD
    middle = integer_map2(add, _weighted(b, 2), _weighted(b, 1))
    integer_binary(_part(y, axis, 0, even, 2), integer_map2(add, a, c), middle, add)
    between = integer_map2(add, _part(b, axis, 0, odd), _part(c, axis, 0, odd))
    integer_binary(_part(y, axis, 1, odd, 2), between, np.broadcast_to(scalar(x, 2), between.shape), IntegerBinary.SHIFT_LEFT)
    return y
