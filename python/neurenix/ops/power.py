"""Powers of two operands, and bounds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neurenix import autograd
from neurenix._typing import Array
from neurenix.errors import ArgumentError
from neurenix.ops._named import named
from neurenix.ops.arithmetic import is_number, operands, weak
from neurenix.ops.convert import cast
from neurenix.ops.elementwise import Binary, IntegerBinary, Question, Ternary, Unary, ask, choose, integer_map2, map1, map2, map3, scalar
from neurenix.ops.reduce import sum_to
from neurenix.ops.unary import reciprocal, sqrt, square, unary_with
from neurenix.tensor import Tensor, as_tensor


def pow(input: Any, exponent: Any) -> Tensor:
    """``input`` to the power ``exponent``, broadcast; ``x ** 0`` is 1 with gradient 0, also at 0.

    Raises
    ------
    ArgumentError
        If integers are raised to a negative whole number.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.pow(nx.tensor([2.0, 3.0]), 2), nx.pow(2, nx.tensor([0, 1, 10]))
    (tensor([4., 9.]), tensor([   1,    2, 1024]))
    """
    if is_number(exponent) and not is_number(input):
        return _pow_number(as_tensor(input), exponent)
    x, y = operands("pow", input, exponent)
    a, b = x._array, y._array
    if x.dtype.kind != "f":
        return Tensor._wrap(integer_map2(IntegerBinary.POW, a, b))
    needs = (x.requires_grad, y.requires_grad)

    def vjp(g: Array) -> tuple[Array | None, ...]:
        return (
            sum_to(map3(Ternary.BASE, g, a, b), a.shape) if needs[0] else None,
            sum_to(map3(Ternary.EXPONENT, g, b, a), b.shape) if needs[1] else None,
        )

    return autograd.record("pow", map2(Binary.POW, a, b), (x, y), vjp)


def _pow_number(x: Tensor, exponent: Any) -> Tensor:
    if x.dtype.kind != "f":
        number = weak("pow", exponent, x)
        if number.dtype.kind == "f":
            return _pow_number(cast(x, np.float32), exponent)
        if exponent < 0:
            raise ArgumentError(f"pow: expected an exponent of at least 0 for integers, got {exponent}; convert the base with .float()")
        return Tensor._wrap(integer_map2(IntegerBinary.POW, cast(x, number.dtype)._array, number._array))
    special = {2: square, 0.5: sqrt, -1: reciprocal}.get(exponent)
    if special is not None:
        return special(x)
    if exponent == -0.5:
        return unary_with("pow", x, Unary.RSQRT, Binary.POW_NUMBER_GRAD, -0.5)
    if exponent == 3:
        return unary_with("pow", x, Unary.CUBE, Binary.CUBE_GRAD)
    return unary_with("pow", x, Unary.POW_NUMBER, Binary.POW_NUMBER_GRAD, float(exponent))


def clamp(input: Any, min: Any = None, max: Any = None) -> Tensor:
    """``input`` kept from ``min`` to ``max``, numbers or tensors; ``max`` where they cross.

    The gradient passes at a bound.

    Raises
    ------
    ArgumentError
        If neither bound is given.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.clamp(nx.tensor([-1.0, 0.5, 2.0]), 0.0, 1.0)
    tensor([0. , 0.5, 1. ])
    """
    if min is None and max is None:
        raise ArgumentError("clamp: expected min, max or both, got neither; pass e.g. min=0")
    x = as_tensor(input)
    if x.dtype.kind == "f" and all(b is None or is_number(b) for b in (min, max)):
        low, high = -np.inf if min is None else float(min), np.inf if max is None else float(max)
        if math.isnan(low) or math.isnan(high):
            return unary_with("clamp", x, Unary.MUL_NUMBER, Binary.CLAMP_GRAD, math.nan, math.nan)
        return unary_with("clamp", x, Unary.CLAMP, Binary.CLAMP_GRAD, low, high)
    if min is not None and max is not None and x.dtype.kind == "f":
        return _between(x, min, max)
    x = x if min is None else _bounded(x, min, 1)
    return x if max is None else _bounded(x, max, -1)


def _between(x: Tensor, low: Any, high: Any) -> Tensor:
    """``x`` between two bounds, each of which takes the gradient of what it decides; the lower one nothing where both meet."""
    x, low = operands("clamp", x, low)
    x, high = operands("clamp", x, high)
    a, b, c = x._array, low._array, high._array
    y = map2(Binary.MINIMUM, map2(Binary.MAXIMUM, a, b), c)
    needs = (x.requires_grad, low.requires_grad, high.requires_grad)

    def vjp(g: Array) -> tuple[Array | None, ...]:
        zero = scalar(g, 0.0)
        inside = integer_map2(IntegerBinary.AND, ask(Question.GE, a, b), ask(Question.LE, a, c))
        under = integer_map2(IntegerBinary.AND, ask(Question.LT, a, b), ask(Question.LT, b, c))
        over = integer_map2(IntegerBinary.OR, ask(Question.GT, a, c), ask(Question.LT, c, b))
        parts = ((inside, a), (under, b), (over, c))
        return tuple(sum_to(choose(m, g, zero), t.shape) if need else None for need, (m, t) in zip(needs, parts, strict=True))

    return autograd.record("clamp", y, (x, low, high), vjp)


def _bounded(x: Tensor, bound: Any, sign: int) -> Tensor:
    """``x`` not below (sign 1) or not above (sign -1) a bound that has a gradient of its own."""
    x, y = operands("clamp", x, bound)
    a, b = x._array, y._array
    if x.dtype.kind != "f":
        return Tensor._wrap(integer_map2(IntegerBinary.MAXIMUM if sign > 0 else IntegerBinary.MINIMUM, a, b))
    needs = (x.requires_grad, y.requires_grad)

    def vjp(g: Array) -> tuple[Array | None, ...]:
        p, q = (a, b) if sign > 0 else (map1(Unary.NEG, a), map1(Unary.NEG, b))
        return (
            sum_to(map3(Ternary.NOT_BELOW, g, p, q), a.shape) if needs[0] else None,
            sum_to(map3(Ternary.BOUND, g, q, p), b.shape) if needs[1] else None,
        )

    return autograd.record("clamp", map2(Binary.MAXIMUM if sign > 0 else Binary.MINIMUM, a, b), (x, y), vjp)


def clamp_min(input: Any, min: Any) -> Tensor:
    """``input``, not below ``min``, a number or a tensor, broadcast; NaN stays NaN.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.clamp_min(nx.tensor([-1.0, 0.5, 2.0]), 0)
    tensor([0. , 0.5, 2. ])
    """
    return clamp(input, min=min)


def clamp_max(input: Any, max: Any) -> Tensor:
    """``input``, not above ``max``, a number or a tensor, broadcast; NaN stays NaN.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.clamp_max(nx.tensor([-1.0, 0.5, 2.0]), nx.tensor([0.0, 1.0, 1.0]))
    tensor([-1. ,  0.5,  1. ])
    """
    return clamp(input, max=max)


clip = named("clip", clamp)


def nan_to_num(input: Any, nan: float | None = 0.0, posinf: float | None = None, neginf: float | None = None) -> Tensor:
    """``nan`` in the place of NaN (0 for ``None``), ``posinf`` and ``neginf`` of infinities: the largest finite numbers unless given.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nan_to_num(nx.tensor([1.0, float("nan"), float("inf")]), posinf=255)
    tensor([  1.,   0., 255.])
    """
    for name, value in (("nan", nan), ("posinf", posinf), ("neginf", neginf)):
        if isinstance(value, str):
            raise ArgumentError(f"nan_to_num: expected {name} as a number, got {value!r}; pass e.g. {name}=0.0")
    x = as_tensor(input)
    if x.dtype.kind != "f":
        return x
    limits = np.finfo(x.dtype)
    array = x._array
    y = map1(Unary.NAN_TO, array, 0.0 if nan is None else nan)
    high = scalar(array, float(limits.max) if posinf is None else posinf)
    low = scalar(array, float(limits.min) if neginf is None else neginf)
    y = choose(ask(Question.EQ, array, scalar(array, np.inf)), high, y)
    y = choose(ask(Question.EQ, array, scalar(array, -np.inf)), low, y)

    def vjp(g: Array) -> tuple[Array]:
        return (choose(ask(Question.FINITE, array, array), g, scalar(array, 0.0)),)

    return autograd.record("nan_to_num", y, (x,), vjp)
