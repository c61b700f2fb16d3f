"""Products, running sums and running products along one axis."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neurenix import autograd, layout
from neurenix._typing import Array, DTypeLike
from neurenix.backend import new
from neurenix.backend.kernel import Enum, In, Out, Size, kernel
from neurenix.ops.convert import cast
from neurenix.ops.reduce import Fold, axis_of, floats_only, fold, kept_shape
from neurenix.ops.softmax import by_axis, sizes_around, undo
from neurenix.tensor import Tensor, as_tensor


@kernel("wide")
def scan(y: Out, x: In, outer: Size, n: Size, inner: Size, op: Enum, reverse: Enum) -> None:
    """y[o, k, i] = the sum (op 0) or product (1) of x[o, :k+1, i], or of x[o, k:, i] where reverse is 1."""


@kernel("floats")
def prod_grad(gx: Out, g: In, x: In, outer: Size, n: Size, inner: Size) -> None:
    """gx[o, k, i] = g[o, i] times the product of x[o, j, i] over all j but k."""


@kernel("floats")
def cumprod_grad(gx: Out, g: In, x: In, outer: Size, n: Size, inner: Size) -> None:
    """gx[o, k, i] = the sum over j >= k of g[o, j, i] times the product of x[o, :j+1, i] without x[o, k, i]."""


def _summable(input: Any, dtype: DTypeLike | None, name: str) -> Tensor:
    x = as_tensor(input)
    if dtype is not None:
        x = cast(x, dtype)
    if x.dtype.kind in "iub":
        return cast(x, np.int64)
    floats_only(name, x)
    return x


def _as_asked(y: Tensor, dtype: DTypeLike | None) -> Tensor:
    """The result in the element type that was named: smaller integers are computed in int64."""
    return y if dtype is None else cast(y, dtype)


def _scanned(x: Array, dim: int, op: int, reverse: int) -> Array:
    dense, order, place = by_axis(x, dim)
    y = new(dense, dense.shape)
    scan(y, dense, *sizes_around(dense.shape, place), op, reverse)
    return undo(y, order)


def cumsum(input: Any, dim: int, *, dtype: DTypeLike | None = None) -> Tensor:
    """Running sums along ``dim``; integers give int64.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.cumsum(nx.tensor([1, 2, 3]), dim=0)
    tensor([1, 3, 6])
    """
    x = _summable(input, dtype, "cumsum")
    at = axis_of("cumsum", dim, x.ndim)

    def vjp(g: Array) -> tuple[Array]:
        return (_scanned(g, at, 0, 1),)

    return _as_asked(autograd.record("cumsum", _scanned(x._array, at, 0, 0), (x,), vjp), dtype)


def cumprod(input: Any, dim: int, *, dtype: DTypeLike | None = None) -> Tensor:
    """Running products along ``dim``; integers and bools give int64. Zeros have exact gradients.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.cumprod(nx.tensor([1, 2, 3, 4]), dim=0)
    tensor([ 1,  2,  6, 24])
    """
    x = _summable(input, dtype, "cumprod")
    at = axis_of("cumprod", dim, x.ndim)
    array = x._array

    def vjp(g: Array) -> tuple[Array]:
        dense, order, place = by_axis(array, at)
        gx = new(dense, dense.shape)
        cumprod_grad(gx, layout.contiguous(g.transpose(order)), dense, *sizes_around(dense.shape, place))
        return (undo(gx, order),)

    return _as_asked(autograd.record("cumprod", _scanned(array, at, 1, 0), (x,), vjp), dtype)


def prod(input: Any, dim: int | None = None, keepdim: bool = False, *, dtype: DTypeLike | None = None) -> Tensor:
    """Product of all elements, or along ``dim``; integers and bools give int64. Zeros have exact gradients.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.prod(nx.tensor([2.0, 3.0, 4.0])).item(), nx.prod(nx.tensor([[1, 2], [3, 4]]), dim=1)
    (24.0, tensor([ 2, 12]))
    """
    x = _summable(input, dtype, "prod")
    axes = tuple(range(x.ndim)) if dim is None else (axis_of("prod", dim, x.ndim),)[: x.ndim]
    array = x._array
    y = fold(Fold.PROD, array, axes)

    def vjp(g: Array) -> tuple[Array]:
        if dim is None:
            dense = layout.contiguous(array)
            gx = new(dense, dense.shape)
            prod_grad(gx, layout.contiguous(g), dense, 1, math.prod(dense.shape), 1)
            return (gx,)
        dense, order, place = by_axis(array, axes[0] if axes else 0)
        gx = new(dense, dense.shape)
        spread = g.reshape(kept_shape(array.shape, axes)).transpose(order)
        prod_grad(gx, layout.contiguous(spread), dense, *sizes_around(dense.shape, place))
        return (undo(gx, order),)

    return _as_asked(autograd.record("prod", y.reshape(kept_shape(x.shape, axes)) if keepdim else y, (x,), vjp), dtype)
