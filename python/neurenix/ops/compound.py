"""Functions made of a few others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from neurenix import autograd
from neurenix._typing import Array, Dims, DTypeLike
from neurenix.errors import ArgumentError, ShapeError
from neurenix.ops._named import named
from neurenix.ops.arithmetic import add, div, is_number, mul, operands, sub
from neurenix.ops.compare import eq, gt, isnan, le, logical_and, logical_not, logical_or, logical_xor, lt
from neurenix.ops.convert import cast
from neurenix.ops.elementwise import Binary, Unary, map1, map2
from neurenix.ops.layouts import where
from neurenix.ops.parts import cat, narrow
from neurenix.ops.reduce import amax, amin, axis_of, sum as sum_of, sum_to
from neurenix.ops.shape import movedim, reshape, transpose, unsqueeze
from neurenix.ops.unary import abs as magnitude, as_floats, log, sqrt, square
from neurenix.tensor import Tensor, as_tensor

_DISTANCE_MODES = (None, "use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist")


def addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Tensor:
    """``input + value * tensor1 * tensor2``, broadcast; of integers ``value`` is cut to a whole number, as in PyTorch.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.addcmul(nx.tensor([1.0, 1.0]), nx.tensor([2.0, 3.0]), nx.tensor([10.0, 10.0]), value=0.1)
    tensor([3., 4.])
    """
    x, product = as_tensor(input), mul(tensor1, tensor2)
    return add(x, product, alpha=value if "f" in (x.dtype.kind, product.dtype.kind) else int(value))


def addcdiv(input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Tensor:
    """``input + value * tensor1 / tensor2``, broadcast; floats, for integers divide to float32.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.addcdiv(nx.tensor([1.0, 1.0]), nx.tensor([2.0, 3.0]), nx.tensor([4.0, 4.0]), value=2)
    tensor([2. , 2.5])
    """
    return add(input, div(tensor1, tensor2), alpha=value)


def lerp(input: Any, end: Any, weight: Any) -> Tensor:
    """``input + weight * (end - input)``, broadcast; computed from the nearer end, so that weights 0 and 1 give the ends exactly.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.lerp(nx.tensor([0.0, 10.0]), nx.tensor([1.0, 20.0]), 0.25)
    tensor([ 0.25, 12.5 ])
    """
    x, y = operands("lerp", input, end)
    gap = sub(y.detach(), x.detach())
    w = as_tensor(weight, x)
    share = weight if is_number(weight) else w.detach()
    rest = 1.0 - share
    near, far = add(x.detach(), mul(gap, share)), sub(y.detach(), mul(gap, rest))
    value = where(lt(magnitude(share), 0.5), near, far) if isinstance(share, Tensor) else near if abs(share) < 0.5 else far
    needs = (x.requires_grad, y.requires_grad, w.requires_grad)

    def vjp(g: Array) -> tuple[Array | None, ...]:
        parts = [(rest, x), (share, y), (gap, w)]
        return tuple(
            sum_to(mul(Tensor._wrap(g), factor)._array, t.shape) if need else None for need, (factor, t) in zip(needs, parts, strict=True)
        )

    return autograd.record("lerp", value._array, (x, y, w), vjp)


def hypot(input: Any, other: Any) -> Tensor:
    """``sqrt(input^2 + other^2)`` without overflow, broadcast; the length of a vector of two components, e.g. a gradient's.

    Examples
    --------
    >>> import neurenix as nx
    >>> dx, dy = nx.tensor([3.0, 5.0]), nx.tensor([4.0, 12.0])
    >>> nx.hypot(dx, dy)
    tensor([ 5., 13.])
    """
    x, y = (as_floats("hypot", t) for t in operands("hypot", input, other))
    a, b = map1(Unary.ABS, x._array), map1(Unary.ABS, y._array)
    long, short = Tensor._wrap(map2(Binary.MAXIMUM, a, b)), Tensor._wrap(map2(Binary.MINIMUM, a, b))
    endless = logical_or(eq(Tensor._wrap(a), math.inf), eq(Tensor._wrap(b), math.inf))
    ratio = div(short, where(eq(long, 0), 1.0, long))
    r = where(endless, math.inf, mul(long, sqrt(add(square(ratio), 1.0))))._array
    needs, u, v = (x.requires_grad, y.requires_grad), x._array, y._array

    def vjp(g: Array) -> tuple[Array | None, ...]:
        return tuple(
            sum_to(map2(Binary.MUL, g, map2(Binary.DIV, t, r)), t.shape) if need else None for need, t in zip(needs, (u, v), strict=True)
        )

    return autograd.record("hypot", r, (x, y), vjp)


def xlogy(input: Any, other: Any) -> Tensor:
    """``input * log(other)``, and 0 where the input is 0, broadcast.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.xlogy(nx.tensor([0.0, 2.0]), nx.tensor([0.0, 1.0]))
    tensor([0., 0.])
    """
    x, y = (as_floats("xlogy", t) for t in operands("xlogy", input, other))
    a, b = x._array, y._array
    needs = (x.requires_grad, y.requires_grad)

    def vjp(g: Array) -> tuple[Array | None, ...]:
        return (
            sum_to(_xlogy_slope(g, a, b), a.shape) if needs[0] else None,
            sum_to(map2(Binary.DIV, map2(Binary.MUL, g, a), b), b.shape) if needs[1] else None,
        )

    return autograd.record("xlogy", map2(Binary.XLOGY, a, b), (x, y), vjp)


def _xlogy_slope(g: Array, a: Array, b: Array) -> Array:
    """``g log(b)``, and 0 where there is no slope: the input 0, the logarithm infinite or none."""
    none = logical_and(eq(Tensor._wrap(a), 0), le(Tensor._wrap(b), 0))
    return where(none, 0.0, Tensor._wrap(map2(Binary.XLOGY, g, b)))._array


def erfc(input: Any) -> Tensor:
    """``1 - erf(input)``, without cancellation where :func:`erf` is near 1.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([5.0])
    >>> print(f"{nx.erfc(x).item():.3g} {(1 - nx.erf(x)).item():.3g}")
    1.54e-12 0
    """
    x = as_floats("erfc", input)
    array = x._array

    def vjp(g: Array) -> tuple[Array]:
        return (map1(Unary.NEG, map2(Binary.ERF_GRAD, g, array)),)

    return autograd.record("erfc", map1(Unary.ERFC, array), (x,), vjp)


def logit(input: Any, eps: float | None = None) -> Tensor:
    """``log(input / (1 - input))``, the inverse of sigmoid; the input is kept ``eps`` away from 0 and 1.

    The gradient of what lies outside is 0 with ``eps`` and NaN without.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.logit(nx.tensor([0.5, 0.8, 1.0])), nx.logit(nx.tensor([1.0]), eps=0.001)
    (tensor([0.    , 1.3863,    inf]), tensor([6.9068]))
    """
    x = as_floats("logit", input)
    low, high = (0.0, 1.0) if eps is None else (eps, 1 - eps)
    plain = x.detach()
    inside = logical_not(logical_or(lt(plain, low), gt(plain, high)))
    kept = plain if eps is None else where(lt(plain, low), low, where(gt(plain, high), high, plain))
    y = log(div(kept, sub(1, kept)))._array

    def vjp(g: Array) -> tuple[Array]:
        slope = div(Tensor._wrap(g), magnitude(mul(plain, sub(1, plain))))
        return (where(inside, slope, math.nan if eps is None else 0.0)._array,)

    return autograd.record("logit", y, (x,), vjp)


def deg2rad(input: Any) -> Tensor:
    """Degrees as radians. Integers become float32.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.deg2rad(nx.tensor([90.0, 180.0]))
    tensor([1.5708, 3.1416])
    """
    return mul(as_floats("deg2rad", input), math.pi / 180)


def rad2deg(input: Any) -> Tensor:
    """Radians as degrees. Integers become float32.

    Examples
    --------
    >>> import numpy as np
    >>> import neurenix as nx
    >>> nx.rad2deg(nx.tensor([np.pi / 2, np.pi]))
    tensor([ 90., 180.])
    """
    return mul(as_floats("rad2deg", input), 180 / math.pi)


def nansum(input: Any, dim: Dims = None, keepdim: bool = False, *, dtype: DTypeLike | None = None) -> Tensor:
    """Sum over ``dim`` (all axes for ``None``) of what is not NaN; 0 where all is.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nansum(nx.tensor([[1.0, float("nan")], [float("nan"), float("nan")]]), dim=1)
    tensor([1., 0.])
    """
    x = as_tensor(input)
    return sum_of(where(isnan(x), 0, x), dim, keepdim, dtype=dtype)


def nanmean(input: Any, dim: Dims = None, keepdim: bool = False, *, dtype: DTypeLike | None = None) -> Tensor:
    """Mean over ``dim`` (all axes for ``None``) of what is not NaN; NaN where all is.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nanmean(nx.tensor([[1.0, float("nan"), 3.0], [4.0, 5.0, 6.0]]), dim=1)
    tensor([2., 5.])
    """
    x = as_tensor(input) if dtype is None else cast(as_tensor(input), dtype)
    missing = isnan(x)
    return div(sum_of(where(missing, 0, x), dim, keepdim), sum_of(cast(~missing, x.dtype), dim, keepdim))


class Range(NamedTuple):
    """The smallest and the largest element."""

    min: Tensor
    max: Tensor


def aminmax(input: Any, *, dim: int | None = None, keepdim: bool = False) -> Range:
    """The smallest and the largest element, of everything or along ``dim``: a named pair (``min``, ``max``).

    A :class:`ShapeError` if there are no elements.

    Examples
    --------
    >>> import neurenix as nx
    >>> low, high = nx.aminmax(nx.tensor([[3.0, 1.0], [2.0, 5.0]]), dim=1)
    >>> low, high
    (tensor([1., 2.]), tensor([3., 5.]))
    """
    dims = () if dim is None else dim
    return Range(amin(input, dims, keepdim), amax(input, dims, keepdim))


def diff(input: Any, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Tensor:
    """Differences of neighbours along ``dim``, ``n`` times; whether they differ for bools.

    ``prepend`` and ``append`` are put before and behind the input first.

    Raises
    ------
    ArgumentError
        If ``n`` is negative.
    ShapeError
        For a 0-d input.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.diff(nx.tensor([1, 4, 9, 16])), nx.diff(nx.tensor([1, 4, 9, 16]), n=2)
    (tensor([3, 5, 7]), tensor([2, 2]))
    """
    x = as_tensor(input)
    if not x.ndim:
        raise ShapeError("diff: expected at least 1 axis, got a 0-d tensor; reshape it to (1,)")
    at = axis_of("diff", dim, x.ndim)
    if n < 0:
        raise ArgumentError(f"diff: expected n of at least 0, got {n}; pass how often to take differences")
    parts = [t for t in (prepend, x, append) if t is not None]
    x = cat(parts, at) if len(parts) > 1 and n else x
    between = logical_xor if x.dtype == np.bool_ else sub
    for _ in range(n):
        size = max(x.shape[at] - 1, 0)
        x = between(narrow(x, at, min(1, x.shape[at]), size), narrow(x, at, 0, size))
    return x


def hstack(tensors: Sequence[Any]) -> Tensor:
    """Side by side: along the second axis, 1-d tensors along their only one. The other sizes are equal, else a :class:`ShapeError`.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.hstack([nx.zeros(2, 3), nx.zeros(2, 1)]).shape
    (2, 4)
    """
    given = [_with_axes(t, 1) for t in tensors]
    return cat(given, 0 if given and given[0].ndim == 1 else 1)


def vstack(tensors: Sequence[Any]) -> Tensor:
    """One under the other: along the first axis, 1-d tensors as rows. The other sizes are equal, else a :class:`ShapeError`.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.vstack([nx.tensor([1, 2]), nx.tensor([3, 4])])
    tensor([[1, 2],
            [3, 4]])
    """
    return cat([_with_axes(t, 2) for t in tensors], 0)


row_stack = named("row_stack", vstack)


def dstack(tensors: Sequence[Any]) -> Tensor:
    """One behind the other: along the third axis, which 1-d and 2-d tensors get as (1, n, 1) and (m, n, 1).

    Examples
    --------
    >>> import neurenix as nx
    >>> red, green, blue = nx.zeros(4, 5), nx.ones(4, 5), nx.zeros(4, 5)
    >>> nx.dstack([red, green, blue]).shape
    (4, 5, 3)
    """
    wide = [_with_axes(t, 2) for t in tensors]
    return cat([unsqueeze(t, 2) if t.ndim == 2 else t for t in wide], 2)


def _with_axes(x: Any, ndim: int) -> Tensor:
    t = as_tensor(x)
    while t.ndim < ndim:
        t = unsqueeze(t, 0)
    return t


def diag_embed(input: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices with the input's last axis on the diagonal of ``dim1`` and ``dim2``, zeros elsewhere: (..., n) gives (..., n, n).

    A positive ``offset`` is a diagonal above the main one; the matrices grow by it.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.diag_embed(nx.tensor([[1, 2], [3, 4]]))
    tensor([[[1, 0],
             [0, 2]],
    <BLANKLINE>
            [[3, 0],
             [0, 4]]])
    >>> nx.diag_embed(nx.tensor([1, 2]), offset=1).shape
    (3, 3)
    """
    x = as_tensor(input)
    size = x.shape[-1] + abs(offset)
    places = as_tensor(np.eye(size, size, offset, dtype=np.bool_)).to(device=x.device)
    room = reshape(x, (*x.shape[:-1], x.shape[-1], 1) if offset >= 0 else (*x.shape[:-1], 1, x.shape[-1]))
    if offset:
        gap = list(room.shape)
        gap[-2 if offset > 0 else -1] = abs(offset)
        room = cat([room, as_tensor(np.zeros(gap, x.dtype)).to(device=x.device)], -2 if offset > 0 else -1)
    return movedim(where(places, room, Tensor(np.zeros((), x.dtype), device=x.device)), (-2, -1), (dim1, dim2))


def cdist(x1: Any, x2: Any, p: float = 2.0, compute_mode: str | None = None) -> Tensor:
    """The distance of order ``p`` between each row of one and each row of the other matrix: (..., m, d), (..., n, d) give (..., m, n).

    ``compute_mode`` chooses between PyTorch's ways to the same numbers; here differences are always taken.

    Raises
    ------
    ArgumentError
        For an unknown ``compute_mode``, or a negative ``p``.

    Examples
    --------
    >>> import neurenix as nx
    >>> points, centres = nx.tensor([[0.0, 0.0], [3.0, 4.0]]), nx.tensor([[0.0, 0.0], [0.0, 4.0], [3.0, 0.0]])
    >>> nx.cdist(points, centres)
    tensor([[0., 4., 3.],
            [5., 3., 4.]])
    """
    from neurenix.ops.statistics import norm

    if compute_mode not in _DISTANCE_MODES or p < 0:
        raise ArgumentError(f"cdist: expected p of at least 0 and a compute_mode of PyTorch, got {p} and {compute_mode!r}; leave it out")
    x, y = operands("cdist", unsqueeze(x1, -2), transpose(unsqueeze(x2, -2), -2, -3))
    return norm(sub(x, y), p, -1)
