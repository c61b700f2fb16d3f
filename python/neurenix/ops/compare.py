"""Comparisons, logic and bits: results are bools, without gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurenix import layout
from neurenix._typing import Array
from neurenix.errors import ArgumentError, DTypeError
from neurenix.ops.arithmetic import operands
from neurenix.ops.elementwise import IntegerBinary, IntegerUnary, Question, ask, integer_map2, integer_unary, result, scalar
from neurenix.tensor import Tensor, as_tensor


def _compared(name: str, op: Question, input: Any, other: Any) -> Tensor:
    x, y = operands(name, input, other)
    return Tensor._wrap(ask(op, x._array, y._array))


def eq(input: Any, other: Any) -> Tensor:
    """``input == other``, broadcast."""
    return _compared("eq", Question.EQ, input, other)


def ne(input: Any, other: Any) -> Tensor:
    """``input != other``, broadcast."""
    return _compared("ne", Question.NE, input, other)


def lt(input: Any, other: Any) -> Tensor:
    """``input < other``, broadcast."""
    return _compared("lt", Question.LT, input, other)


def le(input: Any, other: Any) -> Tensor:
    """``input <= other``, broadcast."""
    return _compared("le", Question.LE, input, other)


def gt(input: Any, other: Any) -> Tensor:
    """``input > other``, broadcast."""
    return _compared("gt", Question.GT, input, other)


def ge(input: Any, other: Any) -> Tensor:
    """``input >= other``, broadcast."""
    return _compared("ge", Question.GE, input, other)


def _classified(op: Question, input: Any) -> Tensor:
    x = as_tensor(input)
    if x.dtype.kind != "f":
        return Tensor._wrap(ask(Question.EQ if op is Question.FINITE else Question.NE, x._array, x._array))
    array = layout.cast(x._array, np.float32) if x.dtype == np.float16 else x._array
    return Tensor._wrap(ask(op, array, array))


def isnan(input: Any) -> Tensor:
    """Whether an element is NaN."""
    return _classified(Question.NAN, input)


def isinf(input: Any) -> Tensor:
    """Whether an element is infinite."""
    return _classified(Question.INFINITE, input)


def isfinite(input: Any) -> Tensor:
    """Whether an element is neither infinite nor NaN."""
    return _classified(Question.FINITE, input)


def isclose(input: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """Whether ``|input - other| <= atol + rtol * |other|``, or both are equal."""
    from neurenix.ops.arithmetic import add, mul, sub
    from neurenix.ops.unary import abs as magnitude

    if rtol < 0 or atol < 0:
        raise ArgumentError(f"isclose: expected tolerances of at least 0, got rtol={rtol} and atol={atol}; change them")
    x, y = (t.detach() for t in operands("isclose", input, other))
    if x.dtype == np.bool_:
        return eq(x, y)
    near = logical_and(le(magnitude(sub(x, y)), add(mul(magnitude(y), rtol), atol)), isfinite(y))
    same = logical_or(near, eq(x, y))
    return logical_or(same, logical_and(isnan(x), isnan(y))) if equal_nan else same


def allclose(input: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """Whether all elements are close, see :func:`isclose`."""
    from neurenix.ops.truth import all as all_of

    return bool(all_of(isclose(input, other, rtol, atol, equal_nan)).item())


def equal(input: Any, other: Any) -> bool:
    """Whether both have one shape and equal elements."""
    from neurenix.ops.truth import all as all_of

    x, y = as_tensor(input), as_tensor(other)
    return x.shape == y.shape and bool(all_of(eq(x, y)).item())


def _truth(x: Tensor) -> Array:
    return layout.cast(x._array, np.bool_)


def _logic(name: str, op: IntegerBinary, input: Any, other: Any) -> Tensor:
    x = as_tensor(input)
    y = as_tensor(other, x)
    if x.shape != y.shape:
        from neurenix.ops.elementwise import common_shape

        common_shape(name, x.shape, y.shape)
    return Tensor._wrap(integer_map2(op, _truth(x), _truth(y)))


def logical_and(input: Any, other: Any) -> Tensor:
    """Whether both elements are not zero."""
    return _logic("logical_and", IntegerBinary.AND, input, other)


def logical_or(input: Any, other: Any) -> Tensor:
    """Whether one of two elements is not zero."""
    return _logic("logical_or", IntegerBinary.OR, input, other)


def logical_xor(input: Any, other: Any) -> Tensor:
    """Whether exactly one of two elements is not zero."""
    return _logic("logical_xor", IntegerBinary.XOR, input, other)


def logical_not(input: Any) -> Tensor:
    """Whether an element is zero."""
    truth = _truth(as_tensor(input))
    return Tensor._wrap(ask(Question.EQ, truth, scalar(truth, False)))


def _bits(name: str, op: IntegerBinary, input: Any, other: Any) -> Tensor:
    x, y = operands(name, input, other)
    if x.dtype.kind == "f":
        raise DTypeError(f"{name}: expected integers or bools, got {x.dtype}; compare first, e.g. x > 0")
    return Tensor._wrap(integer_map2(op, x._array, y._array))


def bitwise_and(input: Any, other: Any) -> Tensor:
    """``input & other`` of integers or bools."""
    return _bits("bitwise_and", IntegerBinary.AND, input, other)


def bitwise_or(input: Any, other: Any) -> Tensor:
    """``input | other`` of integers or bools."""
    return _bits("bitwise_or", IntegerBinary.OR, input, other)


def bitwise_xor(input: Any, other: Any) -> Tensor:
    """``input ^ other`` of integers or bools."""
    return _bits("bitwise_xor", IntegerBinary.XOR, input, other)


def bitwise_left_shift(input: Any, other: Any) -> Tensor:
    """``input << other`` of integers."""
    return _bits("bitwise_left_shift", IntegerBinary.SHIFT_LEFT, input, other)


def bitwise_right_shift(input: Any, other: Any) -> Tensor:
    """``input >> other`` of integers."""
    return _bits("bitwise_right_shift", IntegerBinary.SHIFT_RIGHT, input, other)


def bitwise_not(input: Any) -> Tensor:
    """``~input`` of integers or bools."""
    x = as_tensor(input)
    if x.dtype.kind == "f":
        raise DTypeError(f"bitwise_not: expected integers or bools, got {x.dtype}; compare first, e.g. x > 0")
    if x.dtype == np.bool_:
        return logical_not(x)
    y = result(x.shape, x._array)
    integer_unary(y, x._array, IntegerUnary.NOT)
    return Tensor._wrap(y)


not_equal = ne
less = lt
less_equal = le
greater = gt
greater_equal = ge
