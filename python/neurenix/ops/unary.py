"""Functions of one element."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurenix import autograd, layout
from neurenix._typing import Array
from neurenix.errors import DTypeError
from neurenix.ops.convert import cast
from neurenix.ops.elementwise import Binary, IntegerUnary, Unary, filled, integer_unary, map1, map2, result
from neurenix.ops.reduce import floats_only
from neurenix.tensor import Tensor, as_tensor


def as_floats(name: str, input: Any) -> Tensor:
    """The input as a tensor of floats; integers become float32."""
    x = as_tensor(input)
    if x.dtype.kind != "f":
        return cast(x, np.float32)
    if x.dtype == np.float16:
        floats_only(name, x)
    return x


def unary_with(name: str, input: Any, op: Unary, rule: Binary, a: float = 0.0, b: float = 0.0) -> Tensor:
    """``op(x, a, b)`` whose gradient is ``rule(g, x, a, b)``."""
    x = as_floats(name, input)
    array = x._array

    def vjp(g: Array) -> tuple[Array]:
        return (map2(rule, g, array, a, b),)

    return autograd.record(name, map1(op, array, a, b), (x,), vjp)


def unary_from(name: str, input: Any, op: Unary, rule: Binary) -> Tensor:
    """``y = op(x)`` whose gradient is ``rule(g, y)``: the result is kept, the input is not."""
    x = as_floats(name, input)
    y = map1(op, x._array)

    def vjp(g: Array) -> tuple[Array]:
        return (map2(rule, g, y),)

    return autograd.record(name, y, (x,), vjp)


def _integer(op: IntegerUnary, x: Tensor) -> Tensor:
    y = result(x.shape, x._array)
    integer_unary(y, x._array, op)
    return Tensor._wrap(y)


def neg(input: Any) -> Tensor:
    """``-input``."""
    x = as_tensor(input)
    if x.dtype == np.bool_:
        raise DTypeError("neg: expected numbers, got bools; use ~x")
    if x.dtype.kind != "f":
        return _integer(IntegerUnary.NEG, x)
    floats_only("neg", x)

    def vjp(g: Array) -> tuple[Array]:
        return (map1(Unary.NEG, g),)

    return autograd.record("neg", map1(Unary.NEG, x._array), (x,), vjp)


negative = neg


def abs(input: Any) -> Tensor:
    """Absolute value; the gradient at 0 is 0."""
    x = as_tensor(input)
    return unary_with("abs", x, Unary.ABS, Binary.ABS_GRAD) if x.dtype.kind == "f" else _integer(IntegerUnary.ABS, x)


absolute = abs


def square(input: Any) -> Tensor:
    """``input * input``."""
    x = as_tensor(input)
    if x.dtype.kind != "f":
        from neurenix.ops.arithmetic import mul

        x = cast(x, np.int64) if x.dtype == np.bool_ else x
        return mul(x, x)
    return unary_with("square", x, Unary.SQUARE, Binary.SQUARE_GRAD)


def _steps(name: str, input: Any, op: Unary, a: float = 0.0) -> Tensor:
    """A function whose gradient is zero; integers stay as they are."""
    x = as_tensor(input)
    if x.dtype.kind != "f":
        return Tensor._wrap(layout.copy(x._array))
    floats_only(name, x)

    def vjp(g: Array) -> tuple[Array]:
        return (filled(g, g.shape, 0.0),)

    return autograd.record(name, map1(op, x._array, a), (x,), vjp)


def sign(input: Any) -> Tensor:
    """-1, 0 or 1."""
    x = as_tensor(input)
    return _steps("sign", x, Unary.SIGN) if x.dtype.kind == "f" else _integer(IntegerUnary.SIGN, x)


def floor(input: Any) -> Tensor:
    """The largest whole number not above."""
    return _steps("floor", input, Unary.FLOOR)


def ceil(input: Any) -> Tensor:
    """The smallest whole number not below."""
    return _steps("ceil", input, Unary.CEIL)


def trunc(input: Any) -> Tensor:
    """Rounded towards zero."""
    return _steps("trunc", input, Unary.TRUNC)


def round(input: Any, *, decimals: int = 0) -> Tensor:
    """The nearest number with ``decimals`` decimals, halves to even."""
    if decimals == 0:
        return _steps("round", input, Unary.ROUND)
    scale = 10.0 ** np.abs(decimals)
    there, back = (Unary.MUL_NUMBER, Unary.DIV_NUMBER) if decimals > 0 else (Unary.DIV_NUMBER, Unary.MUL_NUMBER)
    x = as_floats("round", input)

    def vjp(g: Array) -> tuple[Array]:
        return (filled(g, g.shape, 0.0),)

    y = map1(back, map1(Unary.ROUND, map1(there, x._array, scale)), scale)
    return autograd.record("round", y, (x,), vjp)


def frac(input: Any) -> Tensor:
    """What is behind the decimal point, with the sign of the input."""
    x = as_floats("frac", input)

    def vjp(g: Array) -> tuple[Array]:
        return (g,)

    return autograd.record("frac", map1(Unary.FRAC, x._array), (x,), vjp)


def sqrt(input: Any) -> Tensor:
    """Square root; its gradient at 0 is infinite."""
    return unary_from("sqrt", input, Unary.SQRT, Binary.SQRT_GRAD)


def rsqrt(input: Any) -> Tensor:
    """One over the square root."""
    return unary_from("rsqrt", input, Unary.RSQRT, Binary.RSQRT_GRAD)


def reciprocal(input: Any) -> Tensor:
    """``1 / input``."""
    return unary_from("reciprocal", input, Unary.RECIPROCAL, Binary.RECIPROCAL_GRAD)


def exp(input: Any) -> Tensor:
    """e to the power of the input."""
    return unary_from("exp", input, Unary.EXP, Binary.MUL)


def expm1(input: Any) -> Tensor:
    """``exp(input) - 1``, without cancellation."""
    return unary_from("expm1", input, Unary.EXPM1, Binary.EXPM1_GRAD)


def exp2(input: Any) -> Tensor:
    """2 to the power of the input."""
    return unary_from("exp2", input, Unary.EXP2, Binary.EXP2_GRAD)


def log(input: Any) -> Tensor:
    """Natural logarithm."""
    return unary_with("log", input, Unary.LOG, Binary.DIV)


def log1p(input: Any) -> Tensor:
    """``log(1 + input)``, without cancellation."""
    return unary_with("log1p", input, Unary.LOG1P, Binary.LOG1P_GRAD)


def log2(input: Any) -> Tensor:
    """Logarithm to base 2."""
    return unary_with("log2", input, Unary.LOG2, Binary.LOG2_GRAD)


def log10(input: Any) -> Tensor:
    """Logarithm to base 10."""
    return unary_with("log10", input, Unary.LOG10, Binary.LOG10_GRAD)


def erf(input: Any) -> Tensor:
    """The error function."""
    return unary_with("erf", input, Unary.ERF, Binary.ERF_GRAD)


def sin(input: Any) -> Tensor:
    """Sine."""
    return unary_with("sin", input, Unary.SIN, Binary.SIN_GRAD)


def cos(input: Any) -> Tensor:
    """Cosine."""
    return unary_with("cos", input, Unary.COS, Binary.COS_GRAD)


def tan(input: Any) -> Tensor:
    """Tangent."""
    return unary_from("tan", input, Unary.TAN, Binary.TAN_GRAD)


def asin(input: Any) -> Tensor:
    """Inverse sine."""
    return unary_with("asin", input, Unary.ASIN, Binary.ASIN_GRAD)


def acos(input: Any) -> Tensor:
    """Inverse cosine."""
    return unary_with("acos", input, Unary.ACOS, Binary.ACOS_GRAD)


def atan(input: Any) -> Tensor:
    """Inverse tangent."""
    return unary_with("atan", input, Unary.ATAN, Binary.ATAN_GRAD)


def sinh(input: Any) -> Tensor:
    """Hyperbolic sine."""
    return unary_with("sinh", input, Unary.SINH, Binary.SINH_GRAD)


def cosh(input: Any) -> Tensor:
    """Hyperbolic cosine."""
    return unary_with("cosh", input, Unary.COSH, Binary.COSH_GRAD)


def asinh(input: Any) -> Tensor:
    """Inverse hyperbolic sine."""
    return unary_with("asinh", input, Unary.ASINH, Binary.ASINH_GRAD)


def acosh(input: Any) -> Tensor:
    """Inverse hyperbolic cosine."""
    return unary_with("acosh", input, Unary.ACOSH, Binary.ACOSH_GRAD)


def atanh(input: Any) -> Tensor:
    """Inverse hyperbolic tangent."""
    return unary_with("atanh", input, Unary.ATANH, Binary.ATANH_GRAD)


def tanh(input: Any) -> Tensor:
    """Hyperbolic tangent."""
    return unary_from("tanh", input, Unary.TANH, Binary.TANH_GRAD)


arcsin = asin
arccos = acos
arctan = atan
arcsinh = asinh
arccosh = acosh
arctanh = atanh
fix = trunc
