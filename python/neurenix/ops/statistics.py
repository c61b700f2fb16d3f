"""Variances, norms and distances."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neurenix import autograd, layout
from neurenix._typing import Array, Dims, DTypeLike
from neurenix.backend import new
from neurenix.backend.kernel import DoubleOut, In, Out, Size, kernel
from neurenix.errors import ArgumentError, ShapeError
from neurenix.ops.arithmetic import add, div, mul, operands, sub
from neurenix.ops.convert import cast
from neurenix.ops.elementwise import Binary, Question, Unary, ask, choose, expanded, filled, map1, map2, scalar
from neurenix.ops.power import clamp_min
from neurenix.ops.reduce import Fold, amax, amin, axes_of, floats_only, fold, kept_shape, mean, sum as sum_of
from neurenix.ops.unary import abs as magnitude
from neurenix.tensor import Tensor, as_tensor


@kernel("floats")
def nuclear_norm(
    y: Out, slope: Out, values: DoubleOut, left: DoubleOut, right: DoubleOut, x: In, batch: Size, rows: Size, columns: Size
) -> None:
    """y = the sum of the singular values of each matrix of x = U S V', slope = its gradient U V'; left = U S and right = V by columns."""


def _spread_arguments(dim: Any, unbiased: Any, keepdim: Any, correction: Any) -> tuple[Any, bool, float]:
    """PyTorch's two forms: (dim, unbiased, keepdim) and (unbiased); ``correction`` wins."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased is None or unbiased else 0
    return dim, bool(keepdim), float(correction)


def var(input: Any, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: float | None = None) -> Tensor:
    """Variance over ``dim`` (all axes for ``None``): squares around the mean over ``count - correction``.

    ``correction`` is 1 unless given, and 0 for ``unbiased=False``, PyTorch's older name.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.var(nx.tensor([1.0, 2.0, 3.0])).item()
    1.0
    """
    return _spread("var", Fold.VAR, input, *_spread_arguments(dim, unbiased, keepdim, correction))


def std(input: Any, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: float | None = None) -> Tensor:
    """The square root of the variance over ``dim``, see :func:`var` for the arguments; its gradient where it is 0 is 0.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.std(nx.tensor([[1.0, 3.0], [2.0, 2.0]]), dim=1), nx.std(nx.tensor([1.0, 3.0]), correction=0)
    (tensor([1.4142, 0.    ]), tensor(1.))
    """
    return _spread("std", Fold.STD, input, *_spread_arguments(dim, unbiased, keepdim, correction))


def _spread(name: str, op: Fold, input: Any, dim: Dims, keepdim: bool, correction: float) -> Tensor:
    x = as_tensor(input)
    floats_only(name, x)
    axes = axes_of(name, dim, x.ndim)
    array = x._array
    kept = kept_shape(x.shape, axes)
    count = math.prod(x.shape[i] for i in axes)
    y = fold(op, array, axes, correction)

    def vjp(g: Array) -> tuple[Array]:
        mean = fold(Fold.MEAN, array, axes).reshape(kept)
        around, freedom, g = map2(Binary.SUB, array, mean), count - correction, g.reshape(kept)
        scale = 2.0 / freedom if freedom else math.inf
        if op is Fold.STD:
            scale, g = 0.5 * scale, _over_nonzero(g, y.reshape(kept))
        if freedom <= 0 and dim is None:  # infinite, and at the mean none
            around, scale = choose(ask(Question.EQ, array, mean), scalar(array, 0.0), scalar(array, 1.0)), math.inf
        return (map2(Binary.MUL, around, map1(Unary.MUL_NUMBER, g, scale)),)

    return autograd.record(name, y.reshape(kept) if keepdim else y, (x,), vjp)


def _over_nonzero(g: Array, divisor: Array) -> Array:
    """``g / divisor``, and 0 where the divisor is 0."""
    zero = scalar(g, 0.0)
    return choose(ask(Question.EQ, divisor, zero), zero, map2(Binary.DIV, g, divisor))


def var_mean(
    input: Any, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: float | None = None
) -> tuple[Tensor, Tensor]:
    """Variance and mean over ``dim``, see :func:`var` for the arguments.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.var_mean(nx.tensor([1.0, 2.0, 3.0]))
    (tensor(1.), tensor(2.))
    """
    return var(input, dim, unbiased, keepdim, correction=correction), mean(input, None if isinstance(dim, bool) else dim, keepdim)


def std_mean(
    input: Any, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: float | None = None
) -> tuple[Tensor, Tensor]:
    """Standard deviation and mean over ``dim``, see :func:`var` for the arguments.

    Examples
    --------
    >>> import neurenix as nx
    >>> images = nx.tensor([[[0.0, 2.0], [4.0, 6.0]]])  # C, H, W
    >>> deviation, mean = nx.std_mean(images, dim=(1, 2), correction=0)
    >>> deviation, mean
    (tensor([2.2361]), tensor([3.]))
    """
    return std(input, dim, unbiased, keepdim, correction=correction), mean(input, None if isinstance(dim, bool) else dim, keepdim)


def norm(input: Any, p: Any = "fro", dim: Dims = None, keepdim: bool = False, dtype: DTypeLike | None = None) -> Tensor:
    """The vector norm of order ``p`` over ``dim``; its gradient at a zero vector is 0.

    ``"fro"`` is 2; ``"nuc"`` is the sum of the singular values of matrices, which are two axes.

    Raises
    ------
    ArgumentError
        For another name of an order.
    ShapeError
        If there are no elements and the order is negative, or for "nuc" without two axes.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([[3.0, 4.0], [6.0, 8.0]])
    >>> nx.norm(x, dim=1), nx.norm(x, 1, dim=1), nx.norm(x, float("inf"), dim=1)
    (tensor([ 5., 10.]), tensor([ 7., 14.]), tensor([4., 8.]))
    """
    x = as_tensor(input) if dtype is None else cast(input, dtype)
    floats_only("norm", x)
    if p == "nuc":
        return _nuclear_norm(x, dim, keepdim)
    if not (p is None or p == "fro" or isinstance(p, (int, float))):
        raise ArgumentError(f'norm: expected a number or "fro" for p, got {p!r}; pass e.g. p=2')
    order = 2.0 if p is None or p == "fro" else float(p)
    if order in (math.inf, -math.inf):
        return (amax if order > 0 else amin)(magnitude(x), () if dim is None else dim, keepdim)
    axes = axes_of("norm", dim, x.ndim)
    if order < 0 and not all(x.shape[i] for i in axes):
        raise ShapeError(f"norm: expected elements for the order {order}, got shape {x.shape}; a norm of none has orders of at least 0")
    array = x._array
    kept = kept_shape(x.shape, axes)
    op = {0.0: Fold.NONZERO, 1.0: Fold.ABS_SUM, 2.0: Fold.NORM}.get(order, Fold.POWER)
    y = fold(op, array, axes, order)

    def vjp(g: Array) -> tuple[Array]:
        return (_norm_gradient(g.reshape(kept), array, y.reshape(kept), order),)

    return autograd.record("norm", y.reshape(kept) if keepdim else y, (x,), vjp)


def _nuclear_norm(x: Tensor, dim: Dims, keepdim: bool) -> Tensor:
    """The sum of the singular values of matrices that two axes hold."""
    axes = axes_of("norm", dim, x.ndim)
    if len(axes) != 2:
        raise ShapeError(f'norm: expected two axes of matrices for p="nuc", got {len(axes)} of shape {x.shape}; name two in dim')
    order = [i for i in range(x.ndim) if i not in axes] + list(axes)
    dense = layout.contiguous(x._array.transpose(order))
    lead = dense.shape[:-2]
    rows, columns = dense.shape[-2:]
    y, slope = new(dense, lead), new(dense, dense.shape)
    values, left, right = (new(dense, (*lead, *sides), np.float64) for sides in ((columns,), (rows, columns), (columns, columns)))
    nuclear_norm(y, slope, values, left, right, dense, math.prod(lead), rows, columns)
    kept = kept_shape(x.shape, axes)

    def vjp(g: Array) -> tuple[Array]:
        back = slope.transpose(sorted(range(len(order)), key=order.__getitem__))
        return (map2(Binary.MUL, back, g.reshape(kept)),)

    return autograd.record("norm", y.reshape(kept) if keepdim else y, (x,), vjp)


def _norm_gradient(g: Array, x: Array, y: Array, order: float) -> Array:
    if order == 0:
        return filled(x, x.shape, 0.0)
    if order == 1:
        return map2(Binary.ABS_GRAD, expanded(g, x.shape), x)
    if order == 2:
        return map2(Binary.MUL, x, _over_nonzero(g, y))
    # g |x|^(p - 1) sign(x) / y^(p - 1)
    power = map1(Unary.POW_NUMBER, map1(Unary.ABS, x), order - 1)
    inverse = map1(Unary.POW_NUMBER, y, abs(order - 1))
    share = _over_nonzero(g, inverse) if order > 1 else map2(Binary.MUL, g, inverse)
    slope = map2(Binary.ABS_GRAD, map2(Binary.MUL, power, share), x)
    # Below order 1 the slope at 0 is infinite, with either sign.
    return slope if order > 1 else choose(ask(Question.EQ, x, scalar(x, 0.0)), scalar(x, 0.0), slope)


def normalize(input: Any, p: float = 2.0, dim: Dims = 1, eps: float = 1e-12) -> Tensor:
    """The input over its norm of order ``p`` along ``dim``, which counts as at least ``eps``.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.normalize(nx.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6, 0.8],
            [0. , 0. ]])
    """
    x = as_tensor(input)
    return div(x, clamp_min(norm(x, p, dim, keepdim=True), eps))


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between vectors along ``dim``, broadcast; each length counts as at least ``eps``.

    Examples
    --------
    >>> import neurenix as nx
    >>> a, b = nx.tensor([[1.0, 0.0], [1.0, 1.0]]), nx.tensor([[0.0, 2.0], [2.0, 2.0]])
    >>> nx.cosine_similarity(a, b)
    tensor([0., 1.])
    """
    x, y = operands("cosine_similarity", x1, x2)
    x, y = _together(x, y)
    a, b = clamp_min(norm(x, 2, dim, keepdim=True), eps), clamp_min(norm(y, 2, dim, keepdim=True), eps)
    return sum_of(mul(div(x, a), div(y, b)), dim)


def _together(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    from neurenix.ops.shape import broadcast_tensors

    return broadcast_tensors(x, y)


def pairwise_distance(x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The norm of order ``p`` of ``x1 - x2 + eps`` along the last axis: (N, D) and (N, D) give (N,).

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.pairwise_distance(nx.tensor([[0.0, 0.0]]), nx.tensor([[3.0, 4.0]]))
    tensor([5.])
    """
    return norm(add(sub(x1, x2), eps), p, -1, keepdim)


def dist(input: Any, other: Any, p: float = 2) -> Tensor:
    """The norm of order ``p`` of ``input - other``, broadcast: one number.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.dist(nx.tensor([0.0, 0.0]), nx.tensor([3.0, 4.0])).item()
    5.0
    """
    return norm(sub(input, other), p)
