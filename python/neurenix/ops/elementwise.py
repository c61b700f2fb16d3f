"""One expression an element: the kernel rows, the numbers of the expressions, and both on arrays.

Nothing here knows the tape; arithmetic, comparisons, activations and gradients are made of it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from neurenix import backend, layout
from neurenix._typing import Array, DTypeLike
from neurenix.backend.kernel import Enum, In, Mask, MaskOut, Out, Real, Strided, kernel
from neurenix.errors import ShapeError


@kernel("floats")
def unary(y: Strided[Out], x: Strided[In], op: Enum, a: Real, b: Real) -> None:
    """y = op(x, a, b), element by element."""


@kernel("floats")
def binary(y: Strided[Out], x: Strided[In], other: Strided[In], op: Enum, a: Real, b: Real) -> None:
    """y = op(x, other, a, b), element by element; all of one shape."""


@kernel("floats")
def ternary(y: Strided[Out], g: Strided[In], x: Strided[In], other: Strided[In], op: Enum) -> None:
    """y = op(g, x, other): gradients of operations on two elements."""


@kernel("integers")
def integer_unary(y: Strided[Out], x: Strided[In], op: Enum) -> None:
    """y = op(x) of integers, which wrap."""


@kernel("integers")
def integer_binary(y: Strided[Out], x: Strided[In], other: Strided[In], op: Enum) -> None:
    """y = op(x, other) of integers, which wrap; division by zero gives zero."""


@kernel("numbers")
def compare(x: Strided[In], other: Strided[In], y: Strided[MaskOut], op: Enum) -> None:
    """y = whether op(x, other); the inputs come first, for the element type is theirs."""


@kernel("bytes")
def select(y: Strided[Out], mask: Strided[Mask], x: Strided[In], other: Strided[In]) -> None:
    """y = x where mask, else other."""


class Unary(IntEnum):
    """Expressions of one element and the numbers a, b."""

    NEG = 0
    ABS = 1
    SIGN = 2
    SQRT = 3
    RSQRT = 4
    RECIPROCAL = 5
    SQUARE = 6
    EXP = 7
    EXPM1 = 8
    EXP2 = 9
    LOG = 10
    LOG1P = 11
    LOG2 = 12
    LOG10 = 13
    TANH = 14
    SIGMOID = 15
    ERF = 16
    FLOOR = 17
    CEIL = 18
    ROUND = 19
    TRUNC = 20
    SIN = 21
    COS = 22
    TAN = 23
    ASIN = 24
    ACOS = 25
    ATAN = 26
    SINH = 27
    COSH = 28
    ASINH = 29
    ACOSH = 30
    ATANH = 31
    ADD_NUMBER = 32
    MUL_NUMBER = 33
    NUMBER_MINUS = 34
    DIV_NUMBER = 35
    NUMBER_OVER = 36
    POW_NUMBER = 37
    NUMBER_POW = 38
    CLAMP = 39
    RELU = 40
    LEAKY_RELU = 41
    ELU = 42
    CELU = 43
    GELU = 44
    GELU_TANH = 45
    SILU = 46
    MISH = 47
    LOG_SIGMOID = 48
    SOFTPLUS = 49
    SOFTSIGN = 50
    TANHSHRINK = 51
    HARDSIGMOID = 52
    HARDSWISH = 53
    THRESHOLD = 54
    HARDSHRINK = 55
    SOFTSHRINK = 56
    FRAC = 57
    CUBE = 58
    ERFC = 59
    NAN_TO = 60
    ERFINV = 61
    LGAMMA = 62
    DIGAMMA = 63
    TRIGAMMA = 64
    I0 = 65
    I0E = 66
    I1 = 67
    I1E = 68
    NDTRI = 69
    NEAREST_BFLOAT16 = 70
    NEAREST_FLOAT16 = 71


class Activation(NamedTuple):
    """An expression of one element as kernels take it; 0 for none."""

    op: int = 0
    a: float = 0.0
    b: float = 0.0


NONE, RELU = Activation(), Activation(Unary.RELU)


class Binary(IntEnum):
    """Expressions of two elements and the numbers a, b; those that end in GRAD take a result's gradient first."""

    ADD = 0
    SUB = 1
    MUL = 2
    DIV = 3
    ADD_SCALED = 4
    FLOOR_DIV = 5
    TRUNC_DIV = 6
    REMAINDER = 7
    FMOD = 8
    POW = 9
    MAXIMUM = 10
    MINIMUM = 11
    ATAN2 = 12
    SCALED_MUL = 13
    ABS_GRAD = 14
    SQRT_GRAD = 15
    RSQRT_GRAD = 16
    RECIPROCAL_GRAD = 17
    LOG1P_GRAD = 18
    TANH_GRAD = 19
    SIGMOID_GRAD = 20
    ERF_GRAD = 21
    SIN_GRAD = 22
    COS_GRAD = 23
    TAN_GRAD = 24
    ASIN_GRAD = 25
    ACOS_GRAD = 26
    ATAN_GRAD = 27
    SINH_GRAD = 28
    COSH_GRAD = 29
    ASINH_GRAD = 30
    ACOSH_GRAD = 31
    ATANH_GRAD = 32
    POW_NUMBER_GRAD = 33
    CLAMP_GRAD = 34
    RELU_GRAD = 35
    LEAKY_RELU_GRAD = 36
    ELU_GRAD = 37
    CELU_GRAD = 38
    GELU_GRAD = 39
    GELU_TANH_GRAD = 40
    SILU_GRAD = 41
    MISH_GRAD = 42
    LOG_SIGMOID_GRAD = 43
    SOFTPLUS_GRAD = 44
    SOFTSIGN_GRAD = 45
    TANHSHRINK_GRAD = 46
    INSIDE_GRAD = 47
    HARDSIGMOID_GRAD = 48
    HARDSWISH_GRAD = 49
    THRESHOLD_GRAD = 50
    SHRINK_GRAD = 51
    XLOGY = 52
    EXP2_GRAD = 53
    LOG2_GRAD = 54
    LOG10_GRAD = 55
    EXPM1_GRAD = 56
    NUMBER_OVER_GRAD = 57
    SQUARE_GRAD = 58
    CUBE_GRAD = 59


class Ternary(IntEnum):
    """Gradients (g, operand, other operand) of operations on two elements."""

    MAXIMUM = 0
    MINIMUM = 1
    DIVISOR = 2
    BASE = 3
    EXPONENT = 4
    NOT_BELOW = 5
    BOUND = 6
    ATAN2_FIRST = 7
    ATAN2_SECOND = 8
    PRODUCT = 9


class IntegerUnary(IntEnum):
    """Expressions of one integer."""

    NEG = 0
    ABS = 1
    SIGN = 2
    NOT = 3
    LOGICAL_NOT = 4


class IntegerBinary(IntEnum):
    """Expressions of two integers."""

    ADD = 0
    SUB = 1
    MUL = 2
    FLOOR_DIV = 3
    TRUNC_DIV = 4
    REMAINDER = 5
    FMOD = 6
    POW = 7
    MAXIMUM = 8
    MINIMUM = 9
    AND = 10
    OR = 11
    XOR = 12
    SHIFT_LEFT = 13
    SHIFT_RIGHT = 14


class Question(IntEnum):
    """What ``compare`` can tell; the last three look at the first operand only."""

    EQ = 0
    NE = 1
    LT = 2
    LE = 3
    GT = 4
    GE = 5
    NAN = 6
    INFINITE = 7
    FINITE = 8


# --- the rows on arrays


def common_shape(op: str, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that all broadcast to.

    Raises
    ------
    ShapeError
        If two sizes of one axis differ and neither is 1.
    """
    first = shapes[0]
    if all(shape == first for shape in shapes):
        return first
    ndim = max(map(len, shapes))
    sizes = []
    for i in range(-ndim, 0):
        here = {shape[i] for shape in shapes if len(shape) >= -i} - {1}
        if len(here) > 1:
            raise ShapeError(
                f"{op}: expected shapes that broadcast, got {' and '.join(map(str, shapes))}; "
                f"axis {i} has sizes {' and '.join(map(str, sorted(here)))}: make them equal or 1, e.g. with unsqueeze"
            )
        sizes.append(here.pop() if here else 1)
    return tuple(sizes)


def expanded(x: Array, shape: tuple[int, ...]) -> Array:
    """``x`` broadcast to ``shape``, a view."""
    return x if x.shape == shape else np.broadcast_to(x, shape)


def result(shape: tuple[int, ...], *operands: Array, dtype: DTypeLike | None = None) -> Array:
    """A new array of ``shape`` in the memory order of the first operand that has it."""
    for x in operands:
        if x.shape == shape:
            return backend.new(x, shape, dtype) if x.flags.c_contiguous else layout.empty_like(x, dtype)
    return backend.new(operands[0], shape, dtype)


def filled(like: Array, shape: tuple[int, ...], value: float, dtype: DTypeLike | None = None) -> Array:
    """A new array with one value in all elements."""
    y = backend.new(like, shape, dtype)
    if type(y) is np.ndarray:
        y.fill(value)
    else:
        layout.copy_into(y, expanded(scalar(like, value, y.dtype), shape))
    return y


def scalar(like: Array, value: float, dtype: DTypeLike | None = None) -> Array:
    """A number as a 0-d array beside ``like``, of its element type unless ``dtype`` says otherwise."""
    return backend.to_device(np.array(value, like.dtype if dtype is None else dtype), backend.device_of(like))


def map1(op: Unary, x: Array, a: float = 0.0, b: float = 0.0) -> Array:
    """``op(x, a, b)``, element by element."""
    y = result(x.shape, x)
    unary(y, x, op, a, b)
    return y


def map2(op: Binary, x: Array, other: Array, a: float = 0.0, b: float = 0.0) -> Array:
    """``op(x, other, a, b)``, element by element, broadcast; the shapes are known to fit."""
    shape = x.shape if x.shape == other.shape else np.broadcast_shapes(x.shape, other.shape)
    y = result(shape, x, other)
    binary(y, expanded(x, shape), expanded(other, shape), op, a, b)
    return y


def map3(op: Ternary, g: Array, x: Array, other: Array) -> Array:
    """``op(g, x, other)``; ``x`` and ``other`` are broadcast to the gradient ``g``."""
    y = result(g.shape, g)
    ternary(y, g, expanded(x, g.shape), expanded(other, g.shape), op)
    return y


def integer_map2(op: IntegerBinary, x: Array, other: Array) -> Array:
    """``op(x, other)`` of integers or bools, broadcast; the shapes are known to fit."""
    shape = np.broadcast_shapes(x.shape, other.shape)
    y = result(shape, x, other)
    integer_binary(y, expanded(x, shape), expanded(other, shape), op)
    return y


def ask(op: Question, x: Array, other: Array) -> Array:
    """Whether ``op(x, other)``, as bools; the shapes are known to fit."""
    shape = x.shape if x.shape == other.shape else np.broadcast_shapes(x.shape, other.shape)
    y = result(shape, x, other, dtype=np.bool_)
    compare(expanded(x, shape), expanded(other, shape), y, op)
    return y


def choose(mask: Array, x: Array, other: Array) -> Array:
    """``x`` where ``mask``, else ``other``; broadcast, the shapes are known to fit."""
    shape = np.broadcast_shapes(mask.shape, x.shape, other.shape)
    y = result(shape, x, other, mask, dtype=x.dtype)
    select(y, expanded(mask, shape), expanded(x, shape), expanded(other, shape))
    return y
