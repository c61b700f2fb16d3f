"""Comparisons, logic and bits: results are bools, without gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurenix import layout
from neurenix._typing import Array
from neurenix.errors import ArgumentError, DTypeError
from neurenix.ops._named import named
from neurenix.ops.arithmetic import operands
from neurenix.ops.elementwise import IntegerBinary, IntegerUnary, Question, ask, integer_map2, integer_unary, result, scalar
from neurenix.tensor import Tensor, as_tensor


def _compared(name: str, op: Question, input: Any, other: Any) -> Tensor:
    x, y = operands(name, input, other)
    return Tensor._wrap(ask(op, x._array, y._array))


def eq(input: Any, other: Any) -> Tensor:
    """``input == other``, broadcast: bools; NaN equals nothing.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.eq(nx.tensor([1.0, float("nan")]), nx.tensor([1.0, float("nan")]))
    tensor([ True, False])
    """
    return _compared("eq", Question.EQ, input, other)


def ne(input: Any, other: Any) -> Tensor:
    """``input != other``, broadcast: bools.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.ne(nx.tensor([1, 2, 3]), 2)
    tensor([ True, False,  True])
    """
    return _compared("ne", Question.NE, input, other)


def lt(input: Any, other: Any) -> Tensor:
    """``input < other``, broadcast: bools; false where either is NaN.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.lt(nx.tensor([1.0, 2.0, float("nan")]), 2)
    tensor([ True, False, False])
    """
    return _compared("lt", Question.LT, input, other)


def le(input: Any, other: Any) -> Tensor:
    """``input <= other``, broadcast: bools; false where either is NaN.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.le(nx.tensor([1, 2, 3]), 2)
    tensor([ True,  True, False])
    """
    return _compared("le", Question.LE, input, other)


def gt(input: Any, other: Any) -> Tensor:
    """``input > other``, broadcast: bools; false where either is NaN.

    Examples
    --------
    >>> import neurenix as nx
    >>> probabilities = nx.tensor([[0.2, 0.9], [0.6, 0.5]])
    >>> nx.gt(probabilities, 0.5)
    tensor([[False,  True],
            [ True, False]])
    """
    return _compared("gt", Question.GT, input, other)


def ge(input: Any, other: Any) -> Tensor:
    """``input >= other``, broadcast: bools; false where either is NaN.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.ge(nx.tensor([[1], [3]]), nx.tensor([1, 2]))
    tensor([[ True, False],
            [ True,  True]])
    """
    return _compared("ge", Question.GE, input, other)


def _classified(op: Question, input: Any) -> Tensor:
    x = as_tensor(input)
    if x.dtype.kind != "f":
        return Tensor._wrap(ask(Question.EQ if op is Question.FINITE else Question.NE, x._array, x._array))
    array = layout.cast(x._array, np.float32) if x.dtype == np.float16 else x._array
    return Tensor._wrap(ask(op, array, array))


def isnan(input: Any) -> Tensor:
    """Whether each element is NaN: bools; integers never are.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.isnan(nx.tensor([1.0, float("nan"), float("inf")]))
    tensor([False,  True, False])
    """
    return _classified(Question.NAN, input)


def isinf(input: Any) -> Tensor:
    """Whether each element is infinite, of either sign: bools.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.isinf(nx.tensor([1.0, float("nan"), float("-inf")]))
    tensor([False, False,  True])
    """
    return _classified(Question.INFINITE, input)


def isfinite(input: Any) -> Tensor:
    """Whether each element is neither infinite nor NaN: bools.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.isfinite(nx.tensor([1.0, float("nan"), float("inf")]))
    tensor([ True, False, False])
    """
    return _classified(Question.FINITE, input)


def isclose(input: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """Whether ``|input - other| <= atol + rtol * |other|``, or both are equal: bools, broadcast.

    NaNs are close with ``equal_nan``. An :class:`ArgumentError` if a tolerance is negative.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.isclose(nx.tensor([100.0, 1e-9]), nx.tensor([100.0001, 0.0]))
    tensor([ True,  True])
    >>> nx.isclose(nx.tensor([float("nan")]), nx.tensor([float("nan")]), equal_nan=True)
    tensor([ True])
    """
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
    """Whether all elements are close, a Python bool; see :func:`isclose` for the arguments.

    Examples
    --------
    >>> import neurenix as nx
    >>> x, y = nx.tensor([1.0, 2.0]), nx.tensor([1.0001, 2.0])
    >>> nx.allclose(x, y), nx.allclose(x, y, rtol=1e-3)
    (False, True)
    """
    from neurenix.ops.truth import all as all_of

    return bool(all_of(isclose(input, other, rtol, atol, equal_nan)).item())


def equal(input: Any, other: Any) -> bool:
    """Whether both have one shape and equal elements, a Python bool; unlike :func:`eq` nothing is broadcast.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.equal(nx.ones(2), nx.ones(2)), nx.equal(nx.ones(2), nx.ones(1))
    (True, False)
    """
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
    """Whether both elements are not zero: bools, broadcast.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.logical_and(nx.tensor([0, 1, 2]), nx.tensor([True, False, True]))
    tensor([False, False,  True])
    """
    return _logic("logical_and", IntegerBinary.AND, input, other)


def logical_or(input: Any, other: Any) -> Tensor:
    """Whether at least one of two elements is not zero: bools, broadcast.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.logical_or(nx.tensor([0, 1, 2]), nx.tensor([False, False, True]))
    tensor([False,  True,  True])
    """
    return _logic("logical_or", IntegerBinary.OR, input, other)


def logical_xor(input: Any, other: Any) -> Tensor:
    """Whether exactly one of two elements is not zero: bools, broadcast.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.logical_xor(nx.tensor([0, 1, 2]), nx.tensor([False, False, True]))
    tensor([False,  True, False])
    """
    return _logic("logical_xor", IntegerBinary.XOR, input, other)


def logical_not(input: Any) -> Tensor:
    """Whether each element is zero: bools.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.logical_not(nx.tensor([0.0, 0.5, -1.0]))
    tensor([ True, False, False])
    """
    truth = _truth(as_tensor(input))
    return Tensor._wrap(ask(Question.EQ, truth, scalar(truth, False)))


def _bits(name: str, op: IntegerBinary, input: Any, other: Any) -> Tensor:
    x, y = operands(name, input, other)
    if x.dtype.kind == "f":
        raise DTypeError(f"{name}: expected integers or bools, got {x.dtype}; compare first, e.g. x > 0")
    return Tensor._wrap(integer_map2(op, x._array, y._array))


def bitwise_and(input: Any, other: Any) -> Tensor:
    """``input & other`` of integers or bools, broadcast; a :class:`DTypeError` for floats.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.bitwise_and(nx.tensor([12, 5]), 6)
    tensor([4, 4])
    """
    return _bits("bitwise_and", IntegerBinary.AND, input, other)


def bitwise_or(input: Any, other: Any) -> Tensor:
    """``input | other`` of integers or bools, broadcast; a :class:`DTypeError` for floats.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.bitwise_or(nx.tensor([True, False]), nx.tensor([False, False]))
    tensor([ True, False])
    """
    return _bits("bitwise_or", IntegerBinary.OR, input, other)


def bitwise_xor(input: Any, other: Any) -> Tensor:
    """``input ^ other`` of integers or bools, broadcast; a :class:`DTypeError` for floats.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.bitwise_xor(nx.tensor([12, 5]), 6)
    tensor([10,  3])
    """
    return _bits("bitwise_xor", IntegerBinary.XOR, input, other)


def bitwise_left_shift(input: Any, other: Any) -> Tensor:
    """``input << other`` of integers, broadcast: times a power of 2; a :class:`DTypeError` for floats.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.bitwise_left_shift(nx.tensor([1, 3]), nx.tensor([4, 1]))
    tensor([16,  6])
    """
    return _bits("bitwise_left_shift", IntegerBinary.SHIFT_LEFT, input, other)


def bitwise_right_shift(input: Any, other: Any) -> Tensor:
    """``input >> other`` of integers, broadcast; the sign stays. A :class:`DTypeError` for floats.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.bitwise_right_shift(nx.tensor([16, -5]), 1)
    tensor([ 8, -3])
    """
    return _bits("bitwise_right_shift", IntegerBinary.SHIFT_RIGHT, input, other)


def bitwise_not(input: Any) -> Tensor:
    """``~input`` of integers or bools; a :class:`DTypeError` for floats.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.bitwise_not(nx.tensor([0, 5])), ~nx.tensor([True, False])
    (tensor([-1, -6]), tensor([False,  True]))
    """
    x = as_tensor(input)
    if x.dtype.kind == "f":
        raise DTypeError(f"bitwise_not: expected integers or bools, got {x.dtype}; compare first, e.g. x > 0")
    if x.dtype == np.bool_:
        return logical_not(x)
    y = result(x.shape, x._array)
    integer_unary(y, x._array, IntegerUnary.NOT)
    return Tensor._wrap(y)


not_equal = named("not_equal", ne)
less = named("less", lt)
less_equal = named("less_equal", le)
greater = named("greater", gt)
greater_equal = named("greater_equal", ge)
