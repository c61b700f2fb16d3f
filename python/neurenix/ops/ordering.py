"""Elements in order: sort, topk, and the extremes along an axis with their places."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from neurenix import autograd, layout
from neurenix._typing import Array
from neurenix.backend import new
from neurenix.backend.kernel import Enum, In, IndexOut, Out, Size, kernel
from neurenix.errors import ArgumentError, ShapeError
from neurenix.ops._arguments import integer
from neurenix.ops.arithmetic import maximum, minimum
from neurenix.ops.elementwise import Binary, IntegerBinary, Question, ask, integer_map2, map2, scalar
from neurenix.ops.reduce import Extreme, Fold, amax, amin, axis_of, floats_only, fold, where_extreme
from neurenix.ops.scatter import gathered, scattered
from neurenix.ops.softmax import by_axis, sizes_around, undo
from neurenix.tensor import Tensor, as_tensor


@kernel("numbers")
def sort_rows(values: Out, indices: IndexOut, x: In, outer: Size, n: Size, inner: Size, descending: Enum) -> None:
    """values = x sorted along n of (outer, n, inner), indices = where each was; stable, NaN is the largest."""


def _placed(name: str, x: Tensor, values: Array, indices: Array, dim: int) -> Extreme:
    """Values that stood at ``indices`` along ``dim``, whose gradient goes back there."""
    shape = x.shape

    def vjp(g: Array) -> tuple[Array]:
        if not shape:
            return (g.reshape(()),)
        return (scattered(g, indices, dim, shape[dim]),)

    return Extreme(autograd.record(name, values, (x,), vjp), Tensor._wrap(indices))


def sort(input: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Extreme:  # noqa: ARG001 - always is
    """The elements in ascending (``descending=True``: descending) order along ``dim``, and where each was: (``values``, ``indices``).

    The order of equals is kept whatever ``stable`` says; NaN is the largest.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.sort(nx.tensor([3.0, 1.0, 2.0])).indices
    tensor([1, 2, 0])
    """
    x = as_tensor(input)
    if x.dtype == np.float16:
        floats_only("sort", x)
    at = axis_of("sort", dim, x.ndim)
    dense, order, place = by_axis(x._array, at)
    values, indices = new(dense, dense.shape), new(dense, dense.shape, np.int64)
    sort_rows(values, indices, dense, *sizes_around(dense.shape, place), int(descending))
    return _placed("sort", x, undo(values, order), undo(indices, order), at)


def argsort(input: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:  # noqa: ARG001 - always is
    """Where the elements in ascending (``descending=True``: descending) order along ``dim`` are: int64; always stable, NaN is largest.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.argsort(nx.tensor([3.0, 1.0, 2.0]))
    tensor([1, 2, 0])
    """
    return sort(as_tensor(input).detach(), dim, descending).indices


def topk(input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Extreme:  # noqa: ARG001 - always is
    """The ``k`` largest (or smallest) elements along ``dim``, and where they are; always in order.

    Parameters
    ----------
    input : Tensor
    k : int
    dim : int
    largest : bool
        Whether the largest, else the smallest.
    sorted : bool
        Taken for PyTorch's sake and without effect.

    Returns
    -------
    values, indices : Tensor
        Of the shape of ``input`` with ``k`` elements along ``dim``; indices are int64. Equal elements come in the order in which they stand.

    Raises
    ------
    ArgumentError
        If there are fewer than ``k``.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.topk(nx.tensor([3.0, 1.0, 4.0, 1.0]), 2).indices.tolist()
    [2, 0]
    """
    x = as_tensor(input)
    at = axis_of("topk", dim, x.ndim)
    size = x.shape[at] if x.ndim else 1
    if not 0 <= integer("topk", "k", k, 0) <= size:
        raise ArgumentError(f"topk: expected k from 0 to {size}, got {k}; the axis has no more elements")
    found = sort(x.detach(), at, descending=largest)
    if not x.ndim:
        return _placed("topk", x, found.values._array, found.indices._array, at)
    part = (slice(None),) * at + (slice(0, int(k)),)
    return _placed("topk", x, found.values._array[part], layout.contiguous(found.indices._array[part]), at)


def kthvalue(input: Any, k: int, dim: int = -1, keepdim: bool = False) -> Extreme:
    """The ``k``-th smallest element along ``dim``, counted from 1, and where it is: a named pair (``values``, ``indices``).

    Raises
    ------
    ArgumentError
        If there are fewer than ``k`` elements, or ``k`` is below 1.

    Examples
    --------
    >>> import neurenix as nx
    >>> value, index = nx.kthvalue(nx.tensor([4.0, 1.0, 3.0]), 2)
    >>> value.item(), index.item()
    (3.0, 2)
    """
    x = as_tensor(input)
    at = axis_of("kthvalue", dim, x.ndim)
    size = x.shape[at] if x.ndim else 1
    if not 1 <= integer("kthvalue", "k", k, 1) <= size:
        raise ArgumentError(f"kthvalue: expected k from 1 to {size}, got {k}; the axis has no more elements")
    return _single("kthvalue", x, at, k - 1, keepdim)


def median(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle element (the lower of two) of everything, or along ``dim`` with where it is; NaN if there is one.

    Raises
    ------
    ShapeError
        If there are no elements along ``dim``.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.median(nx.tensor([4.0, 1.0, 3.0, 2.0])).item()
    2.0
    >>> values, indices = nx.median(nx.tensor([[4.0, 1.0, 3.0], [5.0, 6.0, 7.0]]), dim=1)
    >>> values, indices
    (tensor([3., 6.]), tensor([2, 1]))
    """
    from neurenix.ops.shape import ravel

    x = as_tensor(input)
    whole = dim is None
    if whole:
        x = ravel(x)
    at = axis_of("median", 0 if dim is None else dim, x.ndim)
    size = x.shape[at] if x.ndim else 1
    if size == 0 and whole and x.dtype.kind == "f":
        return Tensor._wrap(scalar(x._array, math.nan))
    if size == 0:
        raise ShapeError(f"median: expected elements along dim, got shape {x.shape}; give a dim whose size is not 0")
    found = _single("median", x, at, (size - 1) // 2, keepdim and not whole)
    if x.dtype.kind == "f":
        largest = _extreme_along("median", 0, x, at, keepdim and not whole)  # the first NaN, if there is one
        from neurenix.ops.compare import isnan
        from neurenix.ops.layouts import where

        bad = isnan(largest.values)
        found = Extreme(where(bad, largest.values, found.values), where(bad, largest.indices, found.indices))
    return shared("median", x, found.values._array) if whole else found


def shared(name: str, x: Tensor, value: Array) -> Tensor:
    """One value of everything, whose gradient all elements share that equal it (all NaN where it is NaN)."""
    array = x._array

    def vjp(g: Array) -> tuple[Array]:
        both = integer_map2(IntegerBinary.AND, ask(Question.NAN, array, array), ask(Question.NAN, value, value))
        hit = layout.cast(integer_map2(IntegerBinary.OR, ask(Question.EQ, array, value), both), array.dtype)
        share = map2(Binary.DIV, g, fold(Fold.SUM, hit, tuple(range(array.ndim))))
        return (map2(Binary.MUL, hit, share),)

    return autograd.record(name, value, (x,), vjp)


def _single(name: str, x: Tensor, at: int, k: int, keepdim: bool) -> Extreme:
    from neurenix.ops.shape import squeeze

    found = sort(x.detach(), at)
    if not x.ndim:
        return _placed(name, x, found.values._array, found.indices._array, at)
    part = (slice(None),) * at + (slice(k, k + 1),)
    one = _placed(name, x, found.values._array[part], layout.contiguous(found.indices._array[part]), at)
    return one if keepdim else Extreme(squeeze(one.values, at), squeeze(one.indices, at))


def max(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """Largest element of everything; along ``dim`` with where it is (``values``, ``indices``); or the larger of two tensors.

    ``max(x)`` shares the gradient between equals, ``max(x, dim)`` gives it to the first, whose index it returns.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([[3.0, 1.0], [2.0, 4.0]])
    >>> nx.max(x).item(), nx.max(x, dim=1).indices
    (4.0, tensor([0, 1]))
    """
    if other is not None or isinstance(dim, Tensor):
        return maximum(input, dim if other is None else other)
    return _of_everything("max", amax, input) if dim is None else _extreme_along("max", 0, input, dim, keepdim)


def min(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """Smallest element of everything; along ``dim`` with where it is (``values``, ``indices``); or the smaller of two tensors.

    Gradients go as those of :func:`max`.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([[3.0, 1.0], [2.0, 4.0]])
    >>> nx.min(x).item(), nx.min(x, dim=0).values
    (1.0, tensor([2., 1.]))
    """
    if other is not None or isinstance(dim, Tensor):
        return minimum(input, dim if other is None else other)
    return _of_everything("min", amin, input) if dim is None else _extreme_along("min", 1, input, dim, keepdim)


def _of_everything(name: str, extreme: Callable[[Tensor], Tensor], input: Any) -> Tensor:
    x = as_tensor(input)
    found = extreme(x.detach())
    return shared(name, x, found._array) if x.dtype.kind == "f" else found


def _extreme_along(name: str, op: int, input: Any, dim: int, keepdim: bool) -> Extreme:
    x = as_tensor(input)
    if x.dtype == np.float16:
        floats_only(name, x)
    at = axis_of(name, dim, x.ndim)
    if not x.ndim:
        return _placed(name, x, layout.copy(x._array), where_extreme(op, x._array, ()), 0)
    if x.shape[at] == 0:
        raise ShapeError(f"{name}: expected elements along dim {dim}, got shape {x.shape}; give a dim whose size is not 0")
    one = (*x.shape[:at], 1, *x.shape[at + 1 :])
    index = layout.contiguous(where_extreme(op, x._array, (at,)).reshape(one))
    found = _placed(name, x, gathered(x._array, index, at), index, at)
    if keepdim:
        return found
    from neurenix.ops.shape import squeeze

    return Extreme(squeeze(found.values, at), squeeze(found.indices, at))
