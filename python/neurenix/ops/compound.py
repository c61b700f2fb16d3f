"""Functions made of a few others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from neurenix import autograd
from neurenix._typing import Array, Dims
from neurenix.errors import ArgumentError
from neurenix.ops.arithmetic import add, div, maximum, mul, operands, sub
from neurenix.ops.compare import isnan
from neurenix.ops.convert import cast
from neurenix.ops.elementwise import Binary, Unary, map1, map2
from neurenix.ops.layouts import where
from neurenix.ops.parts import cat, narrow
from neurenix.ops.power import clamp
from neurenix.ops.reduce import amax, amin, axis_of, sum as sum_of, sum_to
from neurenix.ops.shape import movedim, reshape, transpose, unsqueeze
from neurenix.ops.unary import abs as magnitude, as_floats, exp, log, log1p, neg, sqrt, square
from neurenix.tensor import Tensor, as_tensor


def addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Tensor:
    """``input + value * tensor1 * tensor2``, broadcast."""
    return add(input, mul(tensor1, tensor2), alpha=value)


def addcdiv(input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Tensor:
    """``input + value * tensor1 / tensor2``, broadcast."""
    return add(input, div(tensor1, tensor2), alpha=value)


def lerp(input: Any, end: Any, weight: Any) -> Tensor:
    """``input + weight * (end - input)``, broadcast."""
    return add(input, mul(sub(end, input), weight))


def hypot(input: Any, other: Any) -> Tensor:
    """``sqrt(input ** 2 + other ** 2)``, broadcast."""
    return sqrt(add(square(input), square(other)))


def logaddexp(input: Any, other: Any) -> Tensor:
    """``log(exp(input) + exp(other))`` without overflow, broadcast."""
    x, y = operands("logaddexp", input, other)
    return add(maximum(x, y), log1p(exp(neg(magnitude(sub(x, y))))))


def xlogy(input: Any, other: Any) -> Tensor:
    """``input * log(other)``, and 0 where the input is 0, broadcast."""
    x, y = (as_floats("xlogy", t) for t in operands("xlogy", input, other))
    a, b = x._array, y._array
    needs = (x.requires_grad, y.requires_grad)

    def vjp(g: Array) -> tuple[Array | None, ...]:
        return (
            sum_to(map2(Binary.XLOGY, g, b), a.shape) if needs[0] else None,
            sum_to(map2(Binary.DIV, map2(Binary.MUL, g, a), b), b.shape) if needs[1] else None,
        )

    return autograd.record("xlogy", map2(Binary.XLOGY, a, b), (x, y), vjp)


def erfc(input: Any) -> Tensor:
    """One minus the error function, without cancellation."""
    x = as_floats("erfc", input)
    array = x._array

    def vjp(g: Array) -> tuple[Array]:
        return (map1(Unary.NEG, map2(Binary.ERF_GRAD, g, array)),)

    return autograd.record("erfc", map1(Unary.ERFC, array), (x,), vjp)


def logit(input: Any, eps: float | None = None) -> Tensor:
    """``log(input / (1 - input))``, the inverse of sigmoid; the input is kept ``eps`` away from 0 and 1."""
    x = as_floats("logit", input)
    x = x if eps is None else clamp(x, eps, 1 - eps)
    return log(div(x, sub(1, x)))


def deg2rad(input: Any) -> Tensor:
    """Degrees as radians."""
    return mul(as_floats("deg2rad", input), math.pi / 180)


def rad2deg(input: Any) -> Tensor:
    """Radians as degrees."""
    return mul(as_floats("rad2deg", input), 180 / math.pi)


def nansum(input: Any, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Sum over ``dim`` of what is not NaN."""
    x = as_tensor(input)
    return sum_of(where(isnan(x), 0, x), dim, keepdim)


def nanmean(input: Any, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Mean over ``dim`` of what is not NaN."""
    x = as_tensor(input)
    missing = isnan(x)
    return div(sum_of(where(missing, 0, x), dim, keepdim), sum_of(cast(~missing, x.dtype), dim, keepdim))


def aminmax(input: Any, *, dim: int | None = None, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The smallest and the largest element, of everything or along ``dim``."""
    dims = () if dim is None else dim
    return amin(input, dims, keepdim), amax(input, dims, keepdim)


def diff(input: Any, n: int = 1, dim: int = -1) -> Tensor:
    """Differences of neighbours along ``dim``, ``n`` times.

    Raises
    ------
    ArgumentError
        If ``n`` is negative.
    """
    x = as_tensor(input)
    at = axis_of("diff", dim, x.ndim)
    if n < 0:
        raise ArgumentError(f"diff: expected n of at least 0, got {n}; pass how often to take differences")
    for _ in range(n):
        size = max(x.shape[at] - 1, 0)
        x = sub(narrow(x, at, min(1, x.shape[at]), size), narrow(x, at, 0, size))
    return x


def hstack(tensors: Sequence[Any]) -> Tensor:
    """Side by side: along the second axis, 1-d tensors along their only one."""
    given = [_with_axes(t, 1) for t in tensors]
    return cat(given, 0 if given and given[0].ndim == 1 else 1)


def vstack(tensors: Sequence[Any]) -> Tensor:
    """One under the other: along the first axis, 1-d tensors as rows."""
    return cat([_with_axes(t, 2) for t in tensors], 0)


def dstack(tensors: Sequence[Any]) -> Tensor:
    """One behind the other: along the third axis."""
    wide = [_with_axes(t, 2) for t in tensors]
    return cat([unsqueeze(t, 2) if t.ndim == 2 else t for t in wide], 2)


def _with_axes(x: Any, ndim: int) -> Tensor:
    t = as_tensor(x)
    while t.ndim < ndim:
        t = unsqueeze(t, 0)
    return t


def diag_embed(input: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices, zero but for the last axis on the diagonal of ``dim1`` and ``dim2``."""
    x = as_tensor(input)
    size = x.shape[-1] + abs(offset)
    places = as_tensor(np.eye(size, size, offset, dtype=np.bool_)).to(device=x.device)
    room = reshape(x, (*x.shape[:-1], x.shape[-1], 1) if offset >= 0 else (*x.shape[:-1], 1, x.shape[-1]))
    if offset:
        gap = list(room.shape)
        gap[-2 if offset > 0 else -1] = abs(offset)
        room = cat([room, as_tensor(np.zeros(gap, x.dtype)).to(device=x.device)], -2 if offset > 0 else -1)
    return movedim(where(places, room, 0), (-2, -1), (dim1, dim2))


def cdist(x1: Any, x2: Any, p: float = 2.0) -> Tensor:
    """The distance of order ``p`` between each row of one and each row of the other matrix, batched."""
    from neurenix.ops.statistics import vector_norm

    x, y = operands("cdist", unsqueeze(x1, -2), transpose(unsqueeze(x2, -2), -2, -3))
    return vector_norm(sub(x, y), p, -1)
