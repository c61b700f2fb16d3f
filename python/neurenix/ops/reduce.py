"""Reductions over any set of axes: the kernel rows, both on arrays, and sums, means, products, extremes."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np

from neurenix import autograd, backend, layout
from neurenix._typing import Array, Dims, DTypeLike
from neurenix.backend.kernel import Enum, In, IndexOut, Out, Real, Size, Strided, kernel
from neurenix.errors import ArgumentError, DTypeError, RangeError, ShapeError
from neurenix.ops.convert import cast
from neurenix.ops.elementwise import Binary, Question, Unary, ask, expanded, map1, map2
from neurenix.tensor import Tensor, as_tensor
from neurenix.window import seen_whole
from neurenix.window_rules import Local, at_place


@kernel("wide")
def reduce(y: Out, x: Strided[In], kept: Size, op: Enum, a: Real) -> None:
    """y = op(x) over all axes behind the first ``kept``; a norm's exponent or a variance's correction is ``a``."""


@kernel("numbers")
def arg_reduce(x: Strided[In], index: IndexOut, kept: Size, op: Enum) -> None:
    """index = where the largest (op 0) or smallest (1) element is among the axes behind the first ``kept``."""


_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


class Fold(IntEnum):
    """The reductions."""

    SUM = 0
    MEAN = 1
    PROD = 2
    MAX = 3
    MIN = 4
    ABS_SUM = 5
    NORM = 6
    ABS_MAX = 7
    ABS_MIN = 8
    NONZERO = 9
    POWER = 10
    VAR = 13
    STD = 14
    LOGSUMEXP = 15


class Extreme(NamedTuple):
    """The extreme elements along an axis, and where they are."""

    values: Tensor
    indices: Tensor


# --- the rows on arrays


def fold(op: Fold, x: Array, axes: tuple[int, ...], a: float = 0.0) -> Array:
    """``op`` over ``axes`` of floats or int64, which are dropped."""
    kept = [i for i in layout.order_of(x) if i not in axes]
    y = backend.new(x, tuple(x.shape[i] for i in kept))
    reduce(y, x.transpose(kept + list(axes)), len(kept), op, a)
    return y if kept == sorted(kept) else y.transpose(sorted(range(len(kept)), key=kept.__getitem__))


def sum_to(g: Array, shape: tuple[int, ...]) -> Array:
    """The sum of ``g`` over the axes along which ``shape`` was broadcast to it."""
    if g.shape == shape:
        return g
    lead = g.ndim - len(shape)
    axes = tuple(range(lead)) + tuple(i + lead for i, n in enumerate(shape) if n == 1 and g.shape[i + lead] != 1)
    return fold(Fold.SUM, g, axes).reshape(shape)


def kept_shape(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    """``shape`` with size 1 along ``axes``."""
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


# --- arguments


def axis_of(op: str, dim: Any, ndim: int) -> int:
    """An axis number counted from the front.

    Raises
    ------
    DTypeError
        If it is not an integer.
    RangeError
        If there is no such axis.
    """
    if isinstance(dim, bool) or not isinstance(dim, (int, np.integer)):
        raise DTypeError(f"{op}: expected dim to be an integer, got {dim!r}; pass e.g. dim=1")
    if not -max(ndim, 1) <= dim < max(ndim, 1):
        raise RangeError(
            f"{op}: expected dim from {-max(ndim, 1)} to {max(ndim, 1) - 1} for {ndim} axes, got {dim}; check the input's shape"
        )
    return int(dim) % max(ndim, 1)


def axes_of(op: str, dim: Dims, ndim: int) -> tuple[int, ...]:
    """The axes that ``dim`` names, in order; all for ``None`` and for an empty tuple.

    Raises
    ------
    ArgumentError
        If an axis is named twice.
    """
    if dim is None or (isinstance(dim, (tuple, list)) and not dim):
        return tuple(range(ndim))
    named = [axis_of(op, d, ndim) for d in (dim if isinstance(dim, (tuple, list)) else (dim,))]
    if len(set(named)) != len(named):
        raise ArgumentError(f"{op}: expected different axes, got dim={dim}; name each once")
    return tuple(sorted(named)) if ndim else ()


def floats_only(op: str, x: Tensor) -> None:
    """Refuse elements that are not float32 or float64.

    Raises
    ------
    DTypeError
        With the conversion that helps.
    """
    if x.dtype not in _FLOATS:
        raise DTypeError(f"{op}: expected float32 or float64, got {x.dtype}; convert it with .float()")


def _finish(y: Array, x: Array, axes: tuple[int, ...], keepdim: bool) -> Array:
    return y.reshape(kept_shape(x.shape, axes)) if keepdim else y


def _spread(g: Array, shape: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    """A result's gradient beside every element it was reduced from, a view."""
    return expanded(g.reshape(kept_shape(shape, axes)), shape)


# --- sums


def sum(input: Any, dim: Dims = None, keepdim: bool = False, *, dtype: DTypeLike | None = None) -> Tensor:
    """Sum over ``dim`` (all axes for ``None``); integers and bools sum to int64.

    Floats are summed in double and rounded once, in an order that depends on the shape only.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.sum(nx.tensor([[1.0, 2.0], [3.0, 4.0]]), dim=1)
    tensor([3., 7.])
    """
    x = as_tensor(input)
    if dtype is not None:
        x = cast(x, dtype)
    x = cast(x, np.int64) if x.dtype.kind in "iub" and x.dtype != np.int64 else x
    total = _linear("sum", Fold.SUM, x, dim, keepdim)
    return total if dtype is None else cast(total, dtype)


def mean(input: Any, dim: Dims = None, keepdim: bool = False, *, dtype: DTypeLike | None = None) -> Tensor:
    """Mean over ``dim`` (all axes for ``None``).

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.mean(nx.tensor([[1.0, 2.0], [3.0, 4.0]])).item()
    2.5
    """
    x = as_tensor(input)
    x = x if dtype is None else cast(x, dtype)
    floats_only("mean", x)
    return _linear("mean", Fold.MEAN, x, dim, keepdim)


def _linear(name: str, op: Fold, x: Tensor, dim: Dims, keepdim: bool) -> Tensor:
    if x.dtype == np.float16:
        floats_only(name, x)
    axes = axes_of(name, dim, x.ndim)
    if {x.ndim - 2, x.ndim - 1} <= set(axes):
        return seen_whole(name, x, lambda whole: _summed(name, op, whole, axes, keepdim))
    return _summed(name, op, x, axes, keepdim)


def _summed(name: str, op: Fold, x: Tensor, axes: tuple[int, ...], keepdim: bool) -> Tensor:
    shape = x.shape
    count = int(np.prod([shape[i] for i in axes], dtype=np.int64))
    y = _finish(fold(op, x._array, axes), x._array, axes, keepdim)

    def vjp(g: Array) -> tuple[Array]:
        g = g if op is Fold.SUM else map1(Unary.DIV_NUMBER, g, count)
        return (_spread(g, shape, axes),)

    return autograd.record(name, y, (x,), vjp, _local(x, axes, keepdim))


def _local(x: Tensor, axes: Sequence[int], keepdim: bool) -> Local | None:
    """A reduction over channels or images leaves pixels where they are."""
    return at_place if keepdim and max(axes, default=0) < x.ndim - 2 else None


# --- extremes


def amax(input: Any, dim: Dims = (), keepdim: bool = False) -> Tensor:
    """Largest element over ``dim`` (all axes for ``()``); equals share the gradient, NaN is largest.

    Raises
    ------
    ShapeError
        If there are no elements along ``dim``.

    Examples
    --------
    >>> import neurenix as nx
    >>> features = nx.tensor([[[[1.0, 5.0], [2.0, 3.0]]]])  # N, C, H, W
    >>> nx.amax(features, dim=(2, 3))
    tensor([[5.]])
    """
    return _extreme("amax", Fold.MAX, as_tensor(input), dim, keepdim)


def amin(input: Any, dim: Dims = (), keepdim: bool = False) -> Tensor:
    """Smallest element over ``dim`` (all axes for ``()``); equals share the gradient, NaN is smallest.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([1.0, 1.0, 2.0], requires_grad=True)
    >>> nx.amin(x).backward()
    >>> x.grad
    tensor([0.5, 0.5, 0. ])
    """
    return _extreme("amin", Fold.MIN, as_tensor(input), dim, keepdim)


def _extreme(name: str, op: Fold, x: Tensor, dim: Dims, keepdim: bool) -> Tensor:
    axes = axes_of(name, dim, x.ndim)
    _nonempty(name, x.shape, axes)
    if x.dtype.kind != "f":
        y = _finish(fold(op, layout.cast(x._array, np.int64), axes), x._array, axes, keepdim)
        return Tensor._wrap(layout.cast(y, x.dtype))
    floats_only(name, x)
    array = x._array
    reduced = fold(op, array, axes)

    def vjp(g: Array) -> tuple[Array]:
        best = _spread(reduced, array.shape, axes)
        hit = ask(Question.EQ, array, best)
        count = fold(Fold.SUM, layout.cast(hit, array.dtype), axes)
        share = map2(Binary.DIV, g.reshape(count.shape), count)
        return (map2(Binary.MUL, layout.cast(hit, array.dtype), _spread(share, array.shape, axes)),)

    return autograd.record(name, _finish(reduced, array, axes, keepdim), (x,), vjp, _local(x, axes, keepdim))


def _nonempty(name: str, shape: tuple[int, ...], axes: Sequence[int]) -> None:
    if any(shape[i] == 0 for i in axes):
        raise ShapeError(f"{name}: expected elements along dim, got shape {shape}; give a dim whose size is not 0")


def argmax(input: Any, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Index (int64) of the largest element along ``dim``, or in the flattened input; the first of equals; NaN is largest.

    Examples
    --------
    >>> import neurenix as nx
    >>> logits = nx.tensor([[0.1, 2.0, 0.3], [1.5, 0.2, 0.1]])
    >>> nx.argmax(logits, dim=1), nx.argmax(logits).item()
    (tensor([1, 0]), 1)
    """
    return _arg("argmax", 0, input, dim, keepdim)


def argmin(input: Any, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Index (int64) of the smallest element along ``dim``, or in the flattened input; the first of equals; NaN is smallest.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.argmin(nx.tensor([[3.0, 1.0], [2.0, 4.0]]), dim=1, keepdim=True)
    tensor([[1],
            [0]])
    """
    return _arg("argmin", 1, input, dim, keepdim)


def _arg(name: str, op: int, input: Any, dim: int | None, keepdim: bool) -> Tensor:
    x = as_tensor(input)
    if x.dtype == np.float16:
        floats_only(name, x)
    axes = tuple(range(x.ndim)) if dim is None else (axis_of(name, dim, x.ndim),)[: x.ndim]
    _nonempty(name, x.shape, axes)
    return Tensor._wrap(_finish(where_extreme(op, x._array, axes), x._array, axes, keepdim))


def where_extreme(op: int, x: Array, axes: tuple[int, ...]) -> Array:
    """Where the largest (0) or smallest (1) element is along ``axes``, which are dropped."""
    kept = [i for i in layout.order_of(x) if i not in axes]
    y = backend.new(x, tuple(x.shape[i] for i in kept), np.int64)
    arg_reduce(x.transpose(kept + list(axes)), y, len(kept), op)
    return y if kept == sorted(kept) else y.transpose(sorted(range(len(kept)), key=kept.__getitem__))
