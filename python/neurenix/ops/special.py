"""Gamma and Bessel functions, the normal distribution, entropies and their kin."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neurenix import autograd
from neurenix._typing import Array
from neurenix.errors import ArgumentError
from neurenix.ops.arithmetic import add, div, mul, operands, sub
from neurenix.ops.compare import eq, gt, isnan, le, lt
from neurenix.ops.compound import erfc
from neurenix.ops.elementwise import Binary, Unary, map1, map2
from neurenix.ops.layouts import where
from neurenix.ops.reduce import sum_to
from neurenix.ops.trigonometry import cos, sin
from neurenix.ops.unary import as_floats, erf, exp, log, log1p, neg
from neurenix.tensor import Tensor, as_tensor

_ROOT_2 = math.sqrt(2.0)


def _with_slope(name: str, input: Any, op: Unary, slope: Unary) -> Tensor:
    """``op(x)`` whose derivative is ``slope(x)``."""
    x = as_floats(name, input)
    array = x._array

    def vjp(g: Array) -> tuple[Array]:
        return (map2(Binary.MUL, g, map1(slope, array)),)

    return autograd.record(name, map1(op, array), (x,), vjp)


def lgamma(input: Any) -> Tensor:
    """Logarithm of the gamma function's magnitude: of ``(n - 1)!`` for a whole n. Integers become float32.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.lgamma(nx.tensor([1.0, 4.0])), nx.log(nx.tensor([6.0]))
    (tensor([0.    , 1.7918]), tensor([1.7918]))
    """
    return _with_slope("lgamma", input, Unary.LGAMMA, Unary.DIGAMMA)


def digamma(input: Any) -> Tensor:
    """Derivative of :func:`lgamma`.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.digamma(nx.tensor([1.0, 2.0]))
    tensor([-0.5772,  0.4228])
    """
    return _with_slope("digamma", input, Unary.DIGAMMA, Unary.TRIGAMMA)


def mvlgamma(input: Any, p: int) -> Tensor:
    """Logarithm of the gamma function of ``p`` dimensions: ``p (p - 1) / 4 log(pi) + sum of lgamma(x - j / 2)``.

    Raises
    ------
    ArgumentError
        If ``p`` is below 1.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.mvlgamma(nx.tensor([2.0]), p=2)
    tensor([0.4516])
    """
    if isinstance(p, bool) or not isinstance(p, int) or p < 1:
        raise ArgumentError(f"mvlgamma: expected p of at least 1, got {p!r}; pass the number of dimensions")
    x = as_floats("mvlgamma", input)
    total = lgamma(x)
    for j in range(1, p):
        total = add(total, lgamma(sub(x, j / 2)))
    return add(total, p * (p - 1) / 4 * math.log(math.pi))


def erfinv(input: Any) -> Tensor:
    """The number whose error function is ``input``; infinite at -1 and 1, NaN beyond.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.erfinv(nx.tensor([0.0, 0.5, -0.9]))
    tensor([ 0.    ,  0.4769, -1.1631])
    """
    x = as_floats("erfinv", input)
    y = map1(Unary.ERFINV, x._array)

    def vjp(g: Array) -> tuple[Array]:
        slope = map1(Unary.MUL_NUMBER, map1(Unary.EXP, map1(Unary.SQUARE, y)), math.sqrt(math.pi) / 2)
        return (map2(Binary.MUL, g, slope),)

    return autograd.record("erfinv", y, (x,), vjp)


def i0(input: Any) -> Tensor:
    """Modified Bessel function of the first kind, order 0; Kaiser's window is made of it.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.i0(nx.tensor([0.0, 1.0]))
    tensor([1.    , 1.2661])
    """
    return _with_slope("i0", input, Unary.I0, Unary.I1)


def _less(first: Array, factor: Array, second: Array) -> Array:
    return map2(Binary.SUB, first, map2(Binary.MUL, factor, second))


def i0e(input: Any) -> Tensor:
    """``exp(-|x|)`` times :func:`i0`, which does not overflow."""
    x = as_floats("i0e", input)
    array = x._array
    y = map1(Unary.I0E, array)

    def vjp(g: Array) -> tuple[Array]:
        return (map2(Binary.MUL, g, _less(map1(Unary.I1E, array), map1(Unary.SIGN, array), y)),)

    return autograd.record("i0e", y, (x,), vjp)


def _bessel_one(name: str, input: Any, first: Unary, zeroth: Unary, scaled: bool) -> Tensor:
    x = as_floats(name, input)
    array = x._array
    y = map1(first, array)

    def vjp(g: Array) -> tuple[Array]:
        at_zero = eq(Tensor._wrap(array), 0)
        safe = where(at_zero, 1.0, Tensor._wrap(array))._array
        slope = map2(Binary.SUB, map1(zeroth, array), map2(Binary.DIV, y, safe))
        slope = _less(slope, map1(Unary.SIGN, array), y) if scaled else slope
        return (map2(Binary.MUL, g, where(at_zero, 0.5, Tensor._wrap(slope))._array),)

    return autograd.record(name, y, (x,), vjp)


def i1(input: Any) -> Tensor:
    """Modified Bessel function of the first kind, order 1."""
    return _bessel_one("i1", input, Unary.I1, Unary.I0, scaled=False)


def i1e(input: Any) -> Tensor:
    """``exp(-|x|)`` times :func:`i1`, which does not overflow."""
    return _bessel_one("i1e", input, Unary.I1E, Unary.I0E, scaled=True)


def sinc(input: Any) -> Tensor:
    """``sin(pi x) / (pi x)``, and 1 at 0.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.sinc(nx.tensor([0.0, 0.5, 1.5]))
    tensor([ 1.    ,  0.6366, -0.2122])
    """
    x = as_floats("sinc", input)
    array = x._array
    at_zero = eq(x.detach(), 0)
    safe = where(at_zero, 1.0, x.detach())
    angle = mul(safe, math.pi)
    y = where(at_zero, 1.0, div(sin(angle), angle))._array

    def vjp(g: Array) -> tuple[Array]:
        slope = div(sub(cos(angle), div(sin(angle), angle)), safe)
        return (map2(Binary.MUL, g, where(at_zero, 0.0, slope)._array),)

    return autograd.record("sinc", y.reshape(array.shape), (x,), vjp)


def xlog1py(input: Any, other: Any) -> Tensor:
    """``input * log(1 + other)``, and 0 where the input is 0, broadcast."""
    x, y = (as_floats("xlog1py", t) for t in operands("xlog1py", input, other))
    a, b = x._array, y._array
    needs = (x.requires_grad, y.requires_grad)

    zero = eq(x.detach(), 0)

    def vjp(g: Array) -> tuple[Array | None, ...]:
        slope = where(zero & le(y.detach(), -1), 0.0, Tensor._wrap(map2(Binary.MUL, g, map1(Unary.LOG1P, b))))._array
        return (
            sum_to(slope, a.shape) if needs[0] else None,
            sum_to(map2(Binary.DIV, map2(Binary.MUL, g, a), map1(Unary.ADD_NUMBER, b, 1.0)), b.shape) if needs[1] else None,
        )

    value = where(zero & ~isnan(y.detach()), 0.0, Tensor._wrap(map2(Binary.MUL, a, map1(Unary.LOG1P, b))))
    return autograd.record("xlog1py", value._array, (x, y), vjp)


def entr(input: Any) -> Tensor:
    """``-x log(x)``: 0 at 0, minus infinity below."""
    x = as_floats("entr", input)
    inside = gt(x, 0)
    safe = where(inside, x.detach(), 1.0)
    outside = where(lt(x.detach(), 0), -math.inf, x.detach())
    array = x._array
    y = where(inside, neg(mul(safe, log(safe))), outside)._array

    def vjp(g: Array) -> tuple[Array]:
        return (map2(Binary.MUL, g, neg(add(log(Tensor._wrap(array)), 1.0))._array),)

    return autograd.record("entr", y, (x,), vjp)


def ndtr(input: Any) -> Tensor:
    """The normal distribution: how likely a standard normal number is to lie below."""
    x = as_floats("ndtr", input)
    scaled = div(x, _ROOT_2)
    near = mul(add(erf(scaled), 1.0), 0.5)
    half = mul(erfc(mul(scaled, -1.0)), 0.5)
    chosen: Tensor = where(lt(x.detach(), 1.0), half, near)
    return chosen


def log_ndtr(input: Any) -> Tensor:
    """Logarithm of :func:`ndtr`, also far below 0."""
    x = as_floats("log_ndtr", input)
    low = lt(x.detach(), -1.0)
    scaled = div(x, -_ROOT_2)
    far = where(low, scaled, 1.0)
    tail = sub(log(mul(erfcx(far), 0.5)), mul(far, far))
    near = log1p(mul(erfc(where(low, 0.0, neg(scaled))), -0.5))
    chosen: Tensor = where(low, tail, near)
    return chosen


def ndtri(input: Any) -> Tensor:
    """The number below which a standard normal number lies with probability ``input``."""
    x = as_floats("ndtri", input)
    y = map1(Unary.NDTRI, x._array)

    def vjp(g: Array) -> tuple[Array]:
        density = map1(Unary.EXP, map1(Unary.MUL_NUMBER, map1(Unary.SQUARE, y), 0.5))
        return (map2(Binary.MUL, g, map1(Unary.MUL_NUMBER, density, math.sqrt(2 * math.pi))),)

    return autograd.record("ndtri", y, (x,), vjp)


def erfcx(input: Any) -> Tensor:
    """``exp(x^2) erfc(x)``, also where erfc underflows (a continued fraction from 8 on)."""
    x = as_floats("erfcx", input)
    large, low = gt(x.detach(), 8.0), lt(x.detach(), -27.0 if x.dtype == np.float64 else -9.5)
    near = where(large | low, 0.0, x)
    far = where(large, x, 8.0)
    fraction = far
    for k in range(24, 0, -1):
        fraction = add(far, div(k / 2, fraction))
    chosen = where(large, div(1 / math.sqrt(math.pi), fraction), mul(exp(mul(near, near)), erfc(near)))
    endless = mul(where(low, x, -1.0), -math.inf)  # beyond the largest number, and so is the slope
    everywhere: Tensor = where(low, endless, chosen)
    return everywhere


def polygamma(n: int, input: Any) -> Tensor:
    """The ``n``-th derivative of :func:`digamma`, of order 0 or 1.

    Raises
    ------
    ArgumentError
        For another order, or of order 1 for an input that takes a gradient.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.polygamma(1, nx.tensor([1.0]))
    tensor([1.6449])
    """
    if n not in (0, 1):
        raise ArgumentError(f"polygamma: expected an order of 0 or 1, got {n!r}; higher ones are not there")
    if n == 0:
        return digamma(input)
    x = as_floats("polygamma", as_tensor(input))
    if x.requires_grad:
        raise ArgumentError("polygamma: expected an input without gradient for order 1, got one that requires it; use .detach()")
    return Tensor._wrap(map1(Unary.TRIGAMMA, x._array))
