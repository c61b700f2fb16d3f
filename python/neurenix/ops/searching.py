"""Searches in sorted values, counts and what is different."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neurenix import backend
from neurenix._typing import DTypeLike
from neurenix.errors import ArgumentError, DTypeError, RangeError, ShapeError
from neurenix.ops.arithmetic import add, div, floor_divide, is_number, mul, remainder, sub
from neurenix.ops.compare import eq, ge, isnan, le, logical_and, logical_not, logical_or, lt, ne
from neurenix.ops.convert import cast
from neurenix.ops.elementwise import filled
from neurenix.ops.indexing import getitem, masked_select, nonzero
from neurenix.ops.layouts import where
from neurenix.ops.ordering import max as largest, sort
from neurenix.ops.parts import cat, narrow
from neurenix.ops.reduce import Extreme, amax, amin, axis_of
from neurenix.ops.scan import cumsum
from neurenix.ops.scatter import gather, index_select, scatter_add
from neurenix.ops.shape import flatten, movedim, ravel, reshape, squeeze
from neurenix.ops.truth import any as any_of
from neurenix.ops.unary import floor
from neurenix.tensor import Tensor, as_tensor


def _constant(like: Tensor, shape: tuple[int, ...], value: float, dtype: DTypeLike | None = None) -> Tensor:
    return Tensor._wrap(filled(like._array, shape, value, dtype))


def searchsorted(
    sorted_sequence: Any, input: Any, *, out_int32: bool = False, right: bool = False, side: str | None = None, sorter: Any = None
) -> Tensor:
    """Where ``input`` would go into values sorted along the last axis: before equals, or behind them with ``right`` (``side="right"``).

    Places are int64, or int32 with ``out_int32``, of ``input``'s shape. ``sorter`` is the argsort of a sequence that is not sorted yet.

    Raises
    ------
    ArgumentError
        If ``side`` is neither "left" nor "right", or contradicts ``right``.
    ShapeError
        If the axes before the last differ.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.searchsorted(nx.tensor([1, 3, 5]), nx.tensor([3, 6]))
    tensor([1, 3])
    """
    edges = as_tensor(sorted_sequence).detach()
    x = as_tensor(input).detach()
    if side not in (None, "left", "right") or (side == "left" and right):
        raise ArgumentError(f'searchsorted: expected side "left" or "right" that agrees with right={right}, got {side!r}; give one of both')
    if edges.ndim != 1 and edges.shape[:-1] != x.shape[:-1]:
        raise ShapeError(f"searchsorted: expected values of shape {edges.shape[:-1]} and one axis more, got {x.shape}; broadcast them")
    if not edges.ndim:
        raise ShapeError("searchsorted: expected a sequence with an axis, got a 0-d tensor; reshape it to (1,)")
    if sorter is not None:
        edges = gather(edges, -1, sorter)
    if edges.dtype != x.dtype:
        kind = np.result_type(edges.dtype, x.dtype)
        edges, x = cast(edges, kind), cast(x, kind)
    places = _search(edges, x, right or side == "right")
    return cast(places, np.int32) if out_int32 else places


def _search(edges: Tensor, x: Tensor, right: bool) -> Tensor:
    """Bisection of all values together."""
    n = edges.shape[-1]
    shape = x.shape
    values = ravel(x) if edges.ndim == 1 else x
    low, high = _constant(x, values.shape, 0, np.int64), _constant(x, values.shape, n, np.int64)
    for _ in range(n.bit_length()):
        middle = floor_divide(add(low, high), 2)
        there = gather(edges, -1, where(lt(middle, n), middle, n - 1))
        before = le(there, values) if right else lt(there, values)
        if there.dtype.kind == "f":  # NaN is the largest
            before = logical_or(before, logical_and(isnan(values), logical_not(isnan(there))))
            before = logical_or(before, isnan(values)) if right else before
        open_ = lt(low, high)
        low = where(logical_and(open_, before), add(middle, 1), low)
        high = where(logical_and(open_, logical_not(before)), middle, high)
    return reshape(low, shape)


def bucketize(input: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False) -> Tensor:
    """In which of the intervals between sorted ``boundaries`` each element lies: 0 below the first; int64, or int32 with ``out_int32``.

    An element equal to a boundary belongs below it, with ``right=True`` above.

    Raises
    ------
    ShapeError
        If the boundaries are not a vector.

    Examples
    --------
    >>> import neurenix as nx
    >>> edges = nx.tensor([1.0, 2.0, 3.0])
    >>> nx.bucketize(nx.tensor([0.5, 2.0, 9.0]), edges), nx.bucketize(nx.tensor([2.0]), edges, right=True)
    (tensor([0, 1, 3]), tensor([2]))
    """
    edges = as_tensor(boundaries)
    if edges.ndim != 1:
        raise ShapeError(f"bucketize: expected boundaries with one axis, got shape {edges.shape}; use searchsorted")
    x = as_tensor(input, edges) if is_number(input) else as_tensor(input)
    return searchsorted(edges, x, out_int32=out_int32, right=right)


def bincount(input: Any, weights: Any = None, minlength: int = 0) -> Tensor:
    """How often each whole number from 0 on occurs in a vector (int64), or the sum of its weights; at least ``minlength`` numbers.

    Raises
    ------
    DTypeError, ShapeError, RangeError
        Unless it is a vector of integers of at least 0.
    ArgumentError
        If ``minlength`` is negative.

    Examples
    --------
    >>> import neurenix as nx
    >>> labels = nx.tensor([0, 2, 2, 1, 2])
    >>> nx.bincount(labels), nx.bincount(labels, weights=nx.tensor([1.0, 0.5, 0.5, 1.0, 2.0]))
    (tensor([1, 1, 3]), tensor([1., 1., 3.]))
    """
    x = as_tensor(input)
    if x.dtype.kind not in "iu":
        raise DTypeError(f"bincount: expected integers, got {x.dtype}; convert them with .long()")
    w = None if weights is None else as_tensor(weights).detach()
    if x.ndim != 1 or (w is not None and w.shape != x.shape):
        raise ShapeError(f"bincount: expected a vector and as many weights, got shape {x.shape}; use .ravel()")
    if minlength < 0:
        raise ArgumentError(f"bincount: expected minlength of at least 0, got {minlength}; pass how many counts to give at least")
    x = cast(x, np.int64)
    if x.shape[0] and int(amin(x).item()) < 0:
        raise RangeError(f"bincount: expected numbers of at least 0, got {int(amin(x).item())}; shift them")
    size = max(int(amax(x).item()) + 1 if x.shape[0] else 0, minlength)
    w = _constant(x, x.shape, 1) if w is None else w if w.dtype == np.float32 else cast(w, np.float64)
    return scatter_add(_constant(w, (size,), 0), 0, x, w)


def histc(input: Any, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """How many elements lie in each of ``bins`` equal intervals from ``min`` to ``max`` (those of the input if both are equal).

    Counts have the input's type if it is a float type, else int64.

    Raises
    ------
    ArgumentError
        If ``bins`` is below 1, or ``max`` below ``min``.

    Examples
    --------
    >>> import neurenix as nx
    >>> grey = nx.tensor([0.1, 0.2, 0.6, 0.9])
    >>> nx.histc(grey, bins=4, min=0, max=1)
    tensor([2., 0., 1., 1.])
    """
    x = ravel(as_tensor(input).detach())
    if bins < 1 or max < min:
        raise ArgumentError(f"histc: expected bins of at least 1 and min <= max, got {bins}, {min} and {max}; change them")
    low, high = float(min), float(max)
    if low == high and x.shape[0]:
        low, high = float(amin(x).item()), float(amax(x).item())
    if low == high:
        low, high = low - 1, high + 1
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ArgumentError(f"histc: expected a finite range, got [{low}, {high}]; pass min and max")
    inside = masked_select(x, logical_and(ge(x, low), le(x, high)))
    whole = cast(inside, np.float64)
    place = cast(floor(div(mul(sub(whole, low), float(bins)), high - low)), np.int64)
    place = where(eq(place, bins), bins - 1, place)
    counts = scatter_add(_constant(x, (bins,), 0, np.int64), 0, place, _constant(x, place.shape, 1, np.int64))
    return cast(counts, x.dtype) if x.dtype.kind == "f" else counts


def isin(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False) -> Tensor:  # noqa: ARG001 - no need
    """Whether each element is among ``test_elements``: bools of ``elements``' shape; ``invert`` asks whether it is not.

    ``assume_unique`` is accepted as in PyTorch and not needed.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.isin(nx.tensor([[0, 1], [2, 255]]), nx.tensor([0, 255]))
    tensor([[ True, False],
            [False,  True]])
    """
    x = as_tensor(elements, as_tensor(test_elements)) if is_number(elements) else as_tensor(elements)
    tests = ravel(as_tensor(test_elements, x))
    if x.dtype != tests.dtype:
        kind = np.result_type(x.dtype, tests.dtype)
        x, tests = cast(x, kind), cast(tests, kind)
    if not tests.shape[0]:
        return _constant(x, x.shape, invert, np.bool_)
    line = sort(tests.detach()).values
    place = searchsorted(line, x)
    found = getitem(line, where(lt(place, line.shape[0]), place, line.shape[0] - 1))
    return ne(found, x) if invert else eq(found, x)


def unique(input: Any, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None) -> Any:  # noqa: ARG001 - always is
    """The different elements in order, or the different slices along ``dim``; always sorted.

    With ``return_inverse`` also where each element went, with ``return_counts`` how often each occurs (both int64).

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.unique(nx.tensor([3, 1, 3]), return_counts=True)
    (tensor([1, 3]), tensor([1, 2]))
    """
    rows, at = _rows("unique", input, dim)
    order = _row_order(rows)
    return _different(as_tensor(input), rows, order, at, dim, return_inverse, return_counts)


def unique_consecutive(input: Any, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None) -> Any:
    """Elements, or slices along ``dim``, without those that equal the one before.

    With ``return_inverse`` also where each element went, with ``return_counts`` how many each stands for (both int64).

    Examples
    --------
    >>> import neurenix as nx
    >>> values, lengths = nx.unique_consecutive(nx.tensor([0, 0, 1, 1, 1, 0]), return_counts=True)
    >>> values, lengths
    (tensor([0, 1, 0]), tensor([2, 3, 1]))
    """
    rows, at = _rows("unique_consecutive", input, dim)
    order = cumsum(_constant(rows, (rows.shape[0],), 1, np.int64), 0) - 1
    return _different(as_tensor(input), rows, order, at, dim, return_inverse, return_counts)


def _rows(name: str, input: Any, dim: int | None) -> tuple[Tensor, int]:
    """The elements, or the slices along ``dim``, as rows of a matrix."""
    x = as_tensor(input).detach()
    if dim is None:
        return reshape(x, -1, 1) if x._array.size else reshape(x, 0, 1), 0
    at = axis_of(name, dim, x.ndim)
    front = movedim(x, at, 0)
    if x.shape[at] == 0 or not x._array.size:
        if x.shape[at]:
            raise ShapeError(f"{name}: expected slices with elements, got shape {x.shape}; choose another dim")
        return reshape(front, 0, 1) if not x._array.size else front, at
    return flatten(front, 1) if front.ndim > 1 else reshape(front, -1, 1), at


def _row_order(rows: Tensor) -> Tensor:
    """Where the rows in order are: stable sorts from the last column to the first."""
    order = sort(narrow(rows, 1, rows.shape[1] - 1, 1), 0).indices if rows.shape[0] else _constant(rows, (0, 1), 0, np.int64)
    order = reshape(order, -1)
    for column in range(rows.shape[1] - 2, -1, -1):
        values = reshape(narrow(rows, 1, column, 1), -1)
        order = index_select(order, 0, sort(index_select(values, 0, order), 0).indices)
    return order


def _different(x: Tensor, rows: Tensor, order: Tensor, at: int, dim: int | None, inverse: bool, counts: bool) -> Any:
    n = rows.shape[0]
    ordered = index_select(rows, 0, order)
    first = _constant(rows, (min(n, 1),), True, np.bool_)
    if n > 1:
        changed = any_of(ne(narrow(ordered, 0, 1, n - 1), narrow(ordered, 0, 0, n - 1)), 1)
        first = cat([first, changed])
    starts = reshape(nonzero(first), -1)
    kept = index_select(order, 0, starts)
    values = index_select(x if dim is not None else ravel(x), at, kept).detach()
    if not (inverse or counts):
        return values
    found: tuple[Any, ...] = (values,)
    if inverse:
        group = cumsum(cast(first, np.int64), 0) - 1
        there = scatter_add(_constant(rows, (n,), 0, np.int64), 0, order, group)
        found += (reshape(there, x.shape) if dim is None else there,)
    if counts:
        ends = cat([narrow(starts, 0, 1, starts.shape[0] - 1), _constant(rows, (1,), n, np.int64)]) if n else starts
        found += (sub(ends, starts),)
    return found


def mode(input: Any, dim: int = -1, keepdim: bool = False) -> Any:
    """The most frequent element along ``dim`` (the smallest of several), and where it is last: (``values``, ``indices``).

    Raises
    ------
    ShapeError
        If there are no elements along ``dim``.

    Examples
    --------
    >>> import neurenix as nx
    >>> value, index = nx.mode(nx.tensor([3, 1, 3, 2]))
    >>> value.item(), index.item()
    (3, 2)
    """
    x = as_tensor(input)
    at = axis_of("mode", dim, x.ndim)
    if not x.ndim:
        return largest(x, 0)
    n = x.shape[at]
    if not n:
        raise ShapeError(f"mode: expected elements along dim {dim}, got shape {x.shape}; give a dim whose size is not 0")
    found = sort(x.detach(), at)
    changed = ne(narrow(found.values, at, 1, n - 1), narrow(found.values, at, 0, n - 1))
    one = (*x.shape[:at], 1, *x.shape[at + 1 :])
    run = cumsum(cast(cat([_constant(x, one, False, np.bool_), changed], at), np.int64), at)
    count = scatter_add(_constant(x, x.shape, 0, np.int64), at, run, _constant(x, x.shape, 1, np.int64))
    best = largest(count, at, True)
    ends = sub(gather(cumsum(count, at), at, best.indices), 1)
    place = gather(found.indices, at, ends)
    values = gather(x, at, place)
    return Extreme(values, place) if keepdim else Extreme(squeeze(values, at), squeeze(place, at))


def msort(input: Any) -> Tensor:
    """The elements in ascending order along the first axis.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.msort(nx.tensor([[3, 1], [2, 5]]))
    tensor([[2, 1],
            [3, 5]])
    """
    return sort(input, 0).values


def unravel_index(indices: Any, shape: Any) -> tuple[Tensor, ...]:
    """Places in the flattened array of ``shape`` as places along each axis; negative ones count from the end.

    Raises
    ------
    DTypeError, RangeError
        Unless they are integers that lie inside.

    Examples
    --------
    >>> import neurenix as nx
    >>> scores = nx.tensor([[0.1, 0.7], [0.2, 0.3]])
    >>> row, column = nx.unravel_index(nx.argmax(scores), scores.shape)
    >>> row.item(), column.item()
    (0, 1)
    """
    sizes = (int(shape),) if is_number(shape) else tuple(int(n) for n in (shape.tolist() if isinstance(shape, Tensor) else shape))
    left = as_tensor(indices)
    if left.dtype.kind not in "iu":
        raise DTypeError(f"unravel_index: expected integers, got {left.dtype}; convert them with .long()")
    left, total = cast(left, np.int64), math.prod(sizes)
    if left._array.size and not -total <= int(amin(left).item()) <= int(amax(left).item()) < total:
        raise RangeError(f"unravel_index: expected places from {-total} to {total - 1}, got others; check the shape")
    left = where(lt(left, 0), add(left, total), left)
    places: list[Tensor] = []
    for size in reversed(sizes):
        places.insert(0, remainder(left, size) if size else left)
        left = floor_divide(left, size) if size else left
    return tuple(places)


def _check_sizes(name: str, row: int, col: int) -> None:
    if row < 0 or col < 0:
        raise ShapeError(f"{name}: expected sizes of at least 0, got {row} and {col}; pass the matrix's")


def tril_indices(row: int, col: int, offset: int = 0, *, dtype: DTypeLike = np.int64, device: str | None = None) -> Tensor:
    """Rows and columns of the lower triangle of a (row, col) matrix, a (2, count) tensor, row by row.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.tril_indices(2, 3)
    tensor([[0, 1, 1],
            [0, 0, 1]])
    """
    _check_sizes("tril_indices", row, col)
    table = np.stack(np.nonzero(np.tri(row, col, offset, dtype=np.bool_)))
    return Tensor._wrap(backend.to_device(table.astype(dtype), device or "cpu"))


def triu_indices(row: int, col: int, offset: int = 0, *, dtype: DTypeLike = np.int64, device: str | None = None) -> Tensor:
    """Rows and columns of the upper triangle of a (row, col) matrix, a (2, count) tensor, row by row.

    Examples
    --------
    >>> import neurenix as nx
    >>> rows, columns = nx.triu_indices(3, 3, offset=1)
    >>> rows, columns
    (tensor([0, 0, 1]), tensor([1, 2, 2]))
    """
    _check_sizes("triu_indices", row, col)
    table = np.stack(np.nonzero(~np.tri(row, col, offset - 1, dtype=np.bool_)))
    return Tensor._wrap(backend.to_device(table.astype(dtype), device or "cpu"))
