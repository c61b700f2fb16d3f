"""Rarer functions of two elements, and questions about signs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neurenix import autograd
from neurenix._typing import Array
from neurenix.errors import DTypeError
from neurenix.ops.arithmetic import maximum, minimum, mul, operands, remainder
from neurenix.ops.compare import eq, gt, isnan, logical_and, logical_or, lt
from neurenix.ops.convert import cast
from neurenix.ops.elementwise import Binary, Unary, map1, map2
from neurenix.ops.layouts import where
from neurenix.ops.power import pow as power
from neurenix.ops.reduce import sum_to
from neurenix.ops.shape import broadcast_tensors
from neurenix.ops.truth import any as any_of
from neurenix.ops.unary import abs as magnitude, as_floats, neg, reciprocal, sign
from neurenix.tensor import Tensor, as_tensor


def _float_operands(name: str, input: Any, other: Any) -> tuple[Tensor, Tensor]:
    x, y = operands(name, input, other)
    return as_floats(name, x), as_floats(name, y)


def signbit(input: Any) -> Tensor:
    """Whether an element is negative, also -0.0.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.signbit(nx.tensor([-1.0, -0.0, 0.0]))
    tensor([ True,  True, False])
    """
    x = as_tensor(input).detach()
    if x.dtype.kind != "f":
        return lt(x, 0)
    return logical_or(lt(x, 0), logical_and(eq(x, 0), lt(reciprocal(x), 0)))


def isposinf(input: Any) -> Tensor:
    """Whether an element is positive infinity.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.isposinf(nx.tensor([1.0, float("inf"), float("-inf")]))
    tensor([False,  True, False])
    """
    return eq(as_tensor(input), math.inf)


def isneginf(input: Any) -> Tensor:
    """Whether an element is negative infinity.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.isneginf(nx.tensor([1.0, float("inf"), float("-inf")]))
    tensor([False, False,  True])
    """
    return eq(as_tensor(input), -math.inf)


def isreal(input: Any) -> Tensor:
    """Whether each element is real: all are, for there are no complex types here.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.isreal(nx.tensor([1.0, float("nan")]))
    tensor([ True,  True])
    """
    x = as_tensor(input)
    return logical_or(eq(x, x), isnan(x))


def sgn(input: Any) -> Tensor:
    """-1, 0 or 1: :func:`neurenix.sign` of real numbers.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.sgn(nx.tensor([-2, 0, 3]))
    tensor([-1,  0,  1])
    """
    return sign(input)


def positive(input: Any) -> Tensor:
    """The input itself.

    Raises
    ------
    DTypeError
        If it holds bools.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.positive(nx.tensor([-1.0, 2.0]))
    tensor([-1.,  2.])
    """
    x = as_tensor(input)
    if x.dtype == np.bool_:
        raise DTypeError("positive: expected numbers, got bools; convert them with .to(nx.int64)")
    return x


def copysign(input: Any, other: Any) -> Tensor:
    """The magnitude of ``input`` with the sign of ``other``, broadcast.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.copysign(nx.tensor([1.0, -2.0]), nx.tensor([-1.0, 3.0]))
    tensor([-1.,  2.])
    """
    x, y = _float_operands("copysign", input, other)
    size = magnitude(x)
    signed: Tensor = where(signbit(y), neg(size), size)
    return signed


def float_power(input: Any, exponent: Any) -> Tensor:
    """``input`` to the power ``exponent``, computed and returned in float64, broadcast.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.float_power(nx.tensor([2, 3]), -1)
    tensor([0.5   , 0.3333], dtype=float64)
    """
    base = cast(input, np.float64) if not isinstance(input, (int, float)) else input
    top = cast(exponent, np.float64) if not isinstance(exponent, (int, float)) else float(exponent)
    return power(base, top)


def fmax(input: Any, other: Any) -> Tensor:
    """The larger of two elements, or the one that is not NaN, broadcast; equals share the gradient.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.fmax(nx.tensor([1.0, float("nan")]), nx.tensor([2.0, 3.0]))
    tensor([2., 3.])
    """
    x, y = operands("fmax", input, other)
    return maximum(x, y) if x.dtype.kind != "f" else maximum(*_numbers(x, y))


def fmin(input: Any, other: Any) -> Tensor:
    """The smaller of two elements, or the one that is not NaN, broadcast; equals share the gradient.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.fmin(nx.tensor([1.0, float("nan")]), nx.tensor([2.0, 3.0]))
    tensor([1., 3.])
    """
    x, y = operands("fmin", input, other)
    return minimum(x, y) if x.dtype.kind != "f" else minimum(*_numbers(x, y))


def _numbers(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Both operands, each in the place of the other where that is NaN."""
    return where(isnan(x), y, x), where(isnan(y), x, y)


def heaviside(input: Any, values: Any) -> Tensor:
    """0 below zero, 1 above, and ``values`` at zero, broadcast; no gradient.

    Raises
    ------
    DTypeError
        If the types differ.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.heaviside(nx.tensor([-1.0, 0.0, 2.0]), nx.tensor([0.5]))
    tensor([0. , 0.5, 1. ])
    """
    x, y = as_tensor(input).detach(), as_tensor(values).detach()
    if x.dtype != y.dtype:
        raise DTypeError(f"heaviside: expected values of type {x.dtype}, got {y.dtype}; convert them with .to({x.dtype})")
    chosen: Tensor = where(eq(x, 0), y, cast(gt(x, 0), x.dtype))
    return chosen


def ldexp(input: Any, other: Any) -> Tensor:
    """``input * 2 ** other``, broadcast.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.ldexp(nx.tensor([1.0, 0.75]), nx.tensor([3, 2]))
    tensor([8., 3.])
    """
    x, y = as_tensor(input), as_tensor(other)
    if not y.is_floating_point():
        x = as_floats("ldexp", x)
        y = cast(y, x.dtype)
    return mul(x, power(2.0, y))


def logaddexp(input: Any, other: Any) -> Tensor:
    """``log(exp(input) + exp(other))`` without overflow, broadcast.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.logaddexp(nx.tensor([1000.0, 1000.0]), nx.tensor([1000.0, 0.0]))
    tensor([1000.6932, 1000.    ])
    """
    return _log_of_sum("logaddexp", input, other, Unary.EXP, 1.0)


def logaddexp2(input: Any, other: Any) -> Tensor:
    """``log2(2 ** input + 2 ** other)`` without overflow, broadcast.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.logaddexp2(nx.tensor([3.0, 1000.0]), nx.tensor([3.0, 1000.0]))
    tensor([   4., 1001.])
    """
    return _log_of_sum("logaddexp2", input, other, Unary.EXP2, math.log(2.0))


def _log_of_sum(name: str, input: Any, other: Any, exponential: Unary, scale: float) -> Tensor:
    x, y = _float_operands(name, input, other)
    wide, high = broadcast_tensors(x.detach(), y.detach())
    a, b = wide._array, high._array
    gap = map2(Binary.SUB, a, b)
    apart = map1(exponential, map1(Unary.NEG, map1(Unary.ABS, gap)))
    more = map1(Unary.DIV_NUMBER, map1(Unary.LOG1P, apart), scale)
    value = Tensor._wrap(map2(Binary.ADD, map2(Binary.MAXIMUM, a, b), more))
    same = logical_and(eq(wide, high), logical_or(isposinf(wide), isneginf(wide)))
    needs, shapes = (x.requires_grad, y.requires_grad), (x.shape, y.shape)

    def vjp(g: Array) -> tuple[Array | None, ...]:
        def share(difference: Array) -> Array:
            return map2(Binary.DIV, g, map1(Unary.ADD_NUMBER, map1(exponential, difference), 1.0))

        return (
            sum_to(share(map1(Unary.NEG, gap)), shapes[0]) if needs[0] else None,
            sum_to(share(gap), shapes[1]) if needs[1] else None,
        )

    return autograd.record(name, where(same, wide, value)._array, (x, y), vjp)


def gcd(input: Any, other: Any) -> Tensor:
    """The greatest common divisor of integers, broadcast, by Euclid's algorithm.

    Raises
    ------
    DTypeError
        If they are not integers.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.gcd(nx.tensor([12, 18, 0]), 8)
    tensor([4, 2, 8])
    """
    x, y = operands("gcd", input, other)
    if x.dtype.kind not in "iu":
        raise DTypeError(f"gcd: expected integers, got {x.dtype}; convert them with .long()")
    x, y = broadcast_tensors(magnitude(x), magnitude(y))
    while any_of(y).item():
        left = eq(y, 0)
        x, y = where(left, x, y), where(left, 0, remainder(x, where(left, 1, y)))
    return x


def lcm(input: Any, other: Any) -> Tensor:
    """The least common multiple of integers, broadcast; 0 where one is 0. A :class:`DTypeError` for floats.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.lcm(nx.tensor([4, 6, 0]), 10)
    tensor([20, 30,  0])
    """
    from neurenix.ops.arithmetic import floor_divide

    x, y = operands("lcm", input, other)
    divisor = gcd(x, y)
    none = eq(divisor, 0)
    return magnitude(where(none, 0, mul(floor_divide(x, where(none, 1, divisor)), y)))
