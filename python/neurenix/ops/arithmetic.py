"""Arithmetic of two operands, with broadcasting and PyTorch's rules for mixed types."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neurenix import autograd, backend, window
from neurenix._typing import Array
from neurenix.errors import ArgumentError, DTypeError
from neurenix.ops._named import named
from neurenix.ops.convert import cast
from neurenix.ops.elementwise import (
    Binary,
    IntegerBinary,
    Question,
    Ternary,
    Unary,
    ask,
    common_shape,
    integer_map2,
    map1,
    map2,
    map3,
    scalar,
)
from neurenix.ops.reduce import sum_to
from neurenix.tensor import Tensor, as_tensor

_KINDS = "buif"  # the order in which types give way; signed and unsigned integers are one step


def is_number(value: Any) -> bool:
    """Whether ``value`` is a Python or NumPy number, whose type gives way to a tensor's."""
    return isinstance(value, (int, float, np.generic))


def _step(kind: str) -> int:
    return {"b": 0, "u": 1, "i": 1, "f": 2}[kind]


def common_dtype(op: str, x: Tensor, other: Tensor) -> np.dtype[Any]:
    """The element type of a result: floats before integers before bools, tensors with axes before those without.

    Raises
    ------
    DTypeError
        If both are floats of different types, or a type that is only stored.
    """
    a, b = x.dtype, other.dtype
    if a != b:
        low, high = sorted((a, b), key=lambda t: _step(t.kind))
        if low.kind == high.kind == "f":
            raise DTypeError(f"{op}: expected operands of one float type, got {a} and {b}; convert one, e.g. with .to(x.dtype)")
        if _step(low.kind) < _step(high.kind):
            a = high
        elif bool(x.ndim) != bool(other.ndim):
            a = a if x.ndim else b
        else:
            a = np.result_type(a, b)
    if a == np.float16:
        raise DTypeError(f"{op}: expected float32, float64, integers or bool, got float16; convert it with .float()")
    return a


def weak(op: str, value: Any, x: Tensor) -> Tensor:
    """A number as a 0-d tensor of ``x``'s type, or of its own kind's default where that is the higher one."""
    kind = np.asarray(value).dtype.kind
    if kind not in _KINDS:
        raise DTypeError(f"{op}: expected a tensor, an array or a number, got {type(value).__name__}; convert it with nx.tensor")
    dtype = x.dtype
    if _step(kind) > _step(dtype.kind):
        dtype = np.dtype(np.float32 if kind == "f" else np.int64)
    try:
        return Tensor._wrap(scalar(x._array, value, dtype))
    except OverflowError:
        raise ArgumentError(
            f"{op}: expected a number that {dtype} holds, got {value}; convert the tensor first, e.g. with .long()"
        ) from None


def operands(op: str, input: Any, other: Any) -> tuple[Tensor, Tensor]:
    """Both operands as tensors of one element type on one device.

    Raises
    ------
    DTypeError, DeviceError
        If there is no common type, or they are on different devices.
    """
    if is_number(other) or other is None:
        x = as_tensor(input)
        y = weak(op, other, x)
    elif is_number(input):
        y = as_tensor(other)
        x = weak(op, input, y)
    else:
        x, y = as_tensor(input), as_tensor(other)
    if x.dtype != y.dtype or x.dtype == np.float16:
        dtype = common_dtype(op, x, y)
        x, y = cast(x, dtype), cast(y, dtype)
    if type(x._array) is not np.ndarray or type(y._array) is not np.ndarray:
        backend.same_device(op, x._array, y._array)
    if x._window is not None and y._window is not None:
        x, y = window.aligned(op, (x, y))
    if x.shape != y.shape:
        common_shape(op, x.shape, y.shape)
    return x, y


def _float_and_number(input: Any, other: Any) -> Tensor | None:
    """The input where it is a tensor of floats and the other a number, the common fast case."""
    if isinstance(other, (int, float)) and isinstance(input, Tensor) and input.dtype in (np.float32, np.float64):
        return input
    return None


def _with_number(name: str, x: Tensor, op: Unary, number: float, factor: float) -> Tensor:
    """An expression of a number that is linear in ``x``, with slope ``factor``."""
    y = map1(op, x._array, number)

    def vjp(g: Array) -> tuple[Array]:
        return (g if factor == 1.0 else map1(Unary.MUL_NUMBER, g, factor),)

    return autograd.record(name, y, (x,), vjp)


def add(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """``input + alpha * other``, broadcast.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.add(nx.tensor([1.0, 2.0]), nx.tensor([[10.0], [20.0]]))
    tensor([[11., 12.],
            [21., 22.]])
    """
    x = _float_and_number(input, other)
    if x is not None:
        return _with_number("add", x, Unary.ADD_NUMBER, other * alpha, 1.0)
    return _add("add", input, other, alpha, Binary.ADD, IntegerBinary.ADD)


def sub(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """``input - alpha * other``, broadcast. A :class:`DTypeError` for bools: ``logical_xor`` is their difference.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.sub(nx.tensor([5.0, 6.0]), nx.tensor([[1.0], [2.0]]))
    tensor([[4., 5.],
            [3., 4.]])
    """
    x = _float_and_number(input, other)
    if x is not None:
        return _with_number("sub", x, Unary.ADD_NUMBER, -other * alpha, 1.0)
    y = _float_and_number(other, input)
    if y is not None and alpha == 1:
        return _with_number("sub", y, Unary.NUMBER_MINUS, input, -1.0)
    return _add("sub", input, other, -alpha, Binary.SUB, IntegerBinary.SUB)


def rsub(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """``other - alpha * input``, broadcast.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.rsub(nx.tensor([0.25, 0.5]), 1)
    tensor([0.75, 0.5 ])
    """
    return sub(other, input, alpha=alpha)


def _add(name: str, input: Any, other: Any, alpha: float, op: Binary, integer_op: IntegerBinary) -> Tensor:
    x, y = operands(name, input, other)
    a, b = x._array, y._array
    plain = alpha == (1 if op is Binary.ADD else -1)
    if x.dtype.kind != "f":
        if name == "sub" and x.dtype == np.bool_:
            raise DTypeError("sub: expected numbers, got bools; use logical_xor or convert with .to(nx.int64)")
        if not plain:
            if isinstance(alpha, float):
                raise DTypeError(f"{name}: expected a whole alpha for integers, got {abs(alpha)}; convert the tensors with .float()")
            factor = np.uint64(int(alpha) & 0xFFFF_FFFF_FFFF_FFFF).astype(b.dtype)  # it wraps as the integers do
            b, integer_op = integer_map2(IntegerBinary.MUL, b, scalar(b, factor)), IntegerBinary.ADD
        return Tensor._wrap(integer_map2(IntegerBinary.OR if x.dtype == np.bool_ else integer_op, a, b))
    needs = (x.requires_grad, y.requires_grad)
    sa, sb = x.shape, y.shape

    def vjp(g: Array) -> tuple[Array | None, ...]:
        gb = sum_to(g, sb) if needs[1] else None
        if gb is not None and alpha != 1:
            gb = map1(Unary.MUL_NUMBER, gb, alpha)
        return sum_to(g, sa) if needs[0] else None, gb

    out = map2(op, a, b) if plain else map2(Binary.ADD_SCALED, a, b, alpha)
    return autograd.record(name, out, (x, y), vjp)


def mul(input: Any, other: Any) -> Tensor:
    """``input * other``, broadcast; of bools whether both hold.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.mul(nx.tensor([1.0, 2.0]), nx.tensor([[10.0], [20.0]]))
    tensor([[10., 20.],
            [20., 40.]])
    """
    x = _float_and_number(input, other)
    if x is not None:
        return _with_number("mul", x, Unary.MUL_NUMBER, other, other)
    x, y = operands("mul", input, other)
    a, b = x._array, y._array
    if x.dtype.kind != "f":
        return Tensor._wrap(integer_map2(IntegerBinary.AND if x.dtype == np.bool_ else IntegerBinary.MUL, a, b))
    needs = (x.requires_grad, y.requires_grad)

    def vjp(g: Array) -> tuple[Array | None, ...]:
        return (
            sum_to(map2(Binary.MUL, g, b), a.shape) if needs[0] else None,
            sum_to(map2(Binary.MUL, g, a), b.shape) if needs[1] else None,
        )

    return autograd.record("mul", map2(Binary.MUL, a, b), (x, y), vjp)


def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """``input / other``, broadcast; integers give float32.

    Parameters
    ----------
    input, other : Tensor, array or number
    rounding_mode : {None, "trunc", "floor"}
        Round the quotient; integers then stay integers.

    Raises
    ------
    ArgumentError
        For another mode, or an integer divided by zero.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.div(nx.tensor([7, -7]), 2), nx.div(nx.tensor([7, -7]), 2, rounding_mode="floor")
    (tensor([ 3.5, -3.5]), tensor([ 3, -4]))
    """
    if rounding_mode is not None:
        return _rounded_div(input, other, rounding_mode)
    x = _float_and_number(input, other)
    if x is not None:
        return _with_number("div", x, Unary.DIV_NUMBER, other, _inverse(other))
    if all(isinstance(t, Tensor) and t.dtype.kind != "f" for t in (input, other)):
        input, other = cast(input, np.float32), cast(other, np.float32)
    x, y = operands("div", input, other)
    if x.dtype.kind != "f":
        x, y = cast(x, np.float32), cast(y, np.float32)
    a, b = x._array, y._array
    needs = (x.requires_grad, y.requires_grad)

    def vjp(g: Array) -> tuple[Array | None, ...]:
        return (
            sum_to(map2(Binary.DIV, g, b), a.shape) if needs[0] else None,
            sum_to(map3(Ternary.DIVISOR, g, b, a), b.shape) if needs[1] else None,
        )

    return autograd.record("div", map2(Binary.DIV, a, b), (x, y), vjp)


def _inverse(number: float) -> float:
    return 1.0 / number if number else math.copysign(math.inf, number)


def _rounded_div(input: Any, other: Any, mode: str) -> Tensor:
    if mode not in ("trunc", "floor"):
        raise ArgumentError(f'div: expected rounding_mode None, "trunc" or "floor", got {mode!r}; choose one of them')
    x, y = operands("div", input, other)
    if x.dtype.kind != "f":
        _refuse_zero("div", y)
        return Tensor._wrap(integer_map2(IntegerBinary.FLOOR_DIV if mode == "floor" else IntegerBinary.TRUNC_DIV, x._array, y._array))
    return flat("div", Binary.FLOOR_DIV if mode == "floor" else Binary.TRUNC_DIV, x, y)


def flat(name: str, op: Binary, x: Tensor, y: Tensor) -> Tensor:
    """An expression of two operands whose gradient is zero."""
    shapes = x.shape, y.shape

    def vjp(g: Array) -> tuple[Array, ...]:
        from neurenix.ops.elementwise import filled

        return tuple(filled(g, shape, 0.0) for shape in shapes)

    return autograd.record(name, map2(op, x._array, y._array), (x, y), vjp)


def _refuse_zero(name: str, divisor: Tensor) -> None:
    from neurenix.ops.truth import any as any_of

    if any_of(Tensor._wrap(ask(Question.EQ, divisor._array, scalar(divisor._array, 0)))).item():
        raise ArgumentError(f"{name}: expected integer divisors other than 0, got 0; divide floats, or mask it out with where")


def floor_divide(input: Any, other: Any) -> Tensor:
    """``input // other``: the quotient rounded down, in the operands' type; the gradient is 0.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.floor_divide(nx.tensor([7, -7]), 2)
    tensor([ 3, -4])
    """
    return _rounded_div(input, other, "floor")


def remainder(input: Any, other: Any) -> Tensor:
    """``input % other`` as Python has it: the sign is the divisor's. An :class:`ArgumentError` for integers by 0.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.remainder(nx.tensor([7, -7]), 3)
    tensor([1, 2])
    """
    return _modulo("remainder", input, other, Binary.REMAINDER, IntegerBinary.REMAINDER, Binary.FLOOR_DIV)


def fmod(input: Any, other: Any) -> Tensor:
    """The remainder of a division rounded towards zero: the sign is the input's. An :class:`ArgumentError` for integers by 0.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.fmod(nx.tensor([7, -7]), 3)
    tensor([ 1, -1])
    """
    return _modulo("fmod", input, other, Binary.FMOD, IntegerBinary.FMOD, Binary.TRUNC_DIV)


def _modulo(name: str, input: Any, other: Any, op: Binary, integer_op: IntegerBinary, quotient: Binary) -> Tensor:
    x, y = operands(name, input, other)
    a, b = x._array, y._array
    if x.dtype.kind != "f":
        _refuse_zero(name, y)
        return Tensor._wrap(integer_map2(integer_op, a, b))
    needs = (x.requires_grad, y.requires_grad)

    def vjp(g: Array) -> tuple[Array | None, ...]:
        gb = map1(Unary.NEG, map2(Binary.MUL, g, map2(quotient, a, b))) if needs[1] else None
        return sum_to(g, a.shape) if needs[0] else None, None if gb is None else sum_to(gb, b.shape)

    return autograd.record(name, map2(op, a, b), (x, y), vjp)


def maximum(input: Any, other: Any) -> Tensor:
    """The larger of two elements, broadcast; NaN if either is; equals share the gradient.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.maximum(nx.tensor([1.0, 5.0, float("nan")]), nx.tensor([2.0, 4.0, 0.0]))
    tensor([ 2.,  5., nan])
    """
    return _larger("maximum", input, other, Binary.MAXIMUM, IntegerBinary.MAXIMUM, Ternary.MAXIMUM)


def minimum(input: Any, other: Any) -> Tensor:
    """The smaller of two elements, broadcast; NaN if either is; equals share the gradient.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.minimum(nx.tensor([1, 5]), 3)
    tensor([1, 3])
    """
    return _larger("minimum", input, other, Binary.MINIMUM, IntegerBinary.MINIMUM, Ternary.MINIMUM)


def _larger(name: str, input: Any, other: Any, op: Binary, integer_op: IntegerBinary, rule: Ternary) -> Tensor:
    x, y = operands(name, input, other)
    a, b = x._array, y._array
    if x.dtype.kind != "f":
        return Tensor._wrap(integer_map2(integer_op, a, b))
    needs = (x.requires_grad, y.requires_grad)

    def vjp(g: Array) -> tuple[Array | None, ...]:
        return (
            sum_to(map3(rule, g, a, b), a.shape) if needs[0] else None,
            sum_to(map3(rule, g, b, a), b.shape) if needs[1] else None,
        )

    return autograd.record(name, map2(op, a, b), (x, y), vjp)


subtract = named("subtract", sub)
multiply = named("multiply", mul)
divide = named("divide", div)
true_divide = named("true_divide", div)
