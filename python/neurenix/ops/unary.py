"""Functions of one element."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurenix import autograd, layout
from neurenix._typing import Array
from neurenix.errors import DTypeError
from neurenix.ops._named import named
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
    """``-input`` of floats or integers, which wrap.

    Raises
    ------
    DTypeError
        For bools (``~input`` is what is meant) and float16.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.neg(nx.tensor([1, -2])), -nx.tensor([0.5])
    (tensor([-1,  2]), tensor([-0.5]))
    """
    x = as_tensor(input)
    if x.dtype == np.bool_:
        raise DTypeError("neg: expected numbers, got bools; use ~x")
    if x.dtype.kind != "f":
        return _integer(IntegerUnary.NEG, x)
    floats_only("neg", x)

    def vjp(g: Array) -> tuple[Array]:
        return (map1(Unary.NEG, g),)

    return autograd.record("neg", map1(Unary.NEG, x._array), (x,), vjp)


negative = named("negative", neg)


def abs(input: Any) -> Tensor:
    """Absolute value of floats or integers; the gradient at 0 is 0.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([-2.0, 0.0, 3.0], requires_grad=True)
    >>> nx.abs(x).sum().backward()
    >>> x.grad
    tensor([-1.,  0.,  1.])
    """
    x = as_tensor(input)
    return unary_with("abs", x, Unary.ABS, Binary.ABS_GRAD) if x.dtype.kind == "f" else _integer(IntegerUnary.ABS, x)


absolute = named("absolute", abs)


def square(input: Any) -> Tensor:
    """``input * input``; integers stay integers, and wrap.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.square(nx.tensor([-3.0, 0.5])), nx.square(nx.tensor([3]))
    (tensor([9.  , 0.25]), tensor([9]))
    """
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
    """-1, 0 or 1 in the input's type; the gradient is 0.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.sign(nx.tensor([-0.1, 0.0, 7.0]))
    tensor([-1.,  0.,  1.])
    """
    x = as_tensor(input)
    return _steps("sign", x, Unary.SIGN) if x.dtype.kind == "f" else _integer(IntegerUnary.SIGN, x)


def floor(input: Any) -> Tensor:
    """The largest whole number not above each element; integers stay as they are; the gradient is 0.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.floor(nx.tensor([-1.5, 1.5]))
    tensor([-2.,  1.])
    """
    return _steps("floor", input, Unary.FLOOR)


def ceil(input: Any) -> Tensor:
    """The smallest whole number not below each element; integers stay as they are; the gradient is 0.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.ceil(nx.tensor([-1.5, 1.5]))
    tensor([-1.,  2.])
    """
    return _steps("ceil", input, Unary.CEIL)


def trunc(input: Any) -> Tensor:
    """Each element rounded towards zero; integers stay as they are; the gradient is 0.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.trunc(nx.tensor([-1.5, 1.5]))
    tensor([-1.,  1.])
    """
    return _steps("trunc", input, Unary.TRUNC)


def round(input: Any, *, decimals: int = 0) -> Tensor:
    """The nearest number with ``decimals`` decimals, halves to even; the gradient is 0.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.round(nx.tensor([0.5, 1.5, 2.5])), nx.round(nx.tensor([1234.0]), decimals=-2)
    (tensor([0., 2., 2.]), tensor([1200.]))
    """
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
    """What is behind the decimal point, with the sign of the input; the gradient is 1.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.frac(nx.tensor([-1.25, 2.5]))
    tensor([-0.25,  0.5 ])
    """
    x = as_floats("frac", input)

    def vjp(g: Array) -> tuple[Array]:
        return (g,)

    return autograd.record("frac", map1(Unary.FRAC, x._array), (x,), vjp)


def sqrt(input: Any) -> Tensor:
    """Square root, NaN below 0; its gradient at 0 is infinite. Integers become float32.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.sqrt(nx.tensor([4.0, 2.0, -1.0]))
    tensor([2.    , 1.4142,    nan])
    """
    return unary_from("sqrt", input, Unary.SQRT, Binary.SQRT_GRAD)


def rsqrt(input: Any) -> Tensor:
    """One over the square root: infinite at 0, NaN below.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.rsqrt(nx.tensor([4.0, 0.25, 0.0]))
    tensor([0.5, 2. , inf])
    """
    return unary_from("rsqrt", input, Unary.RSQRT, Binary.RSQRT_GRAD)


def reciprocal(input: Any) -> Tensor:
    """``1 / input``, infinite at 0. Integers become float32.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.reciprocal(nx.tensor([4.0, 0.0]))
    tensor([0.25,  inf])
    """
    return unary_from("reciprocal", input, Unary.RECIPROCAL, Binary.RECIPROCAL_GRAD)


def exp(input: Any) -> Tensor:
    """e to the power of the input; infinite from about 88.7 on in float32. Integers become float32.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.exp(nx.tensor([0.0, 1.0, 89.0]))
    tensor([1.    , 2.7183,    inf])
    """
    return unary_from("exp", input, Unary.EXP, Binary.MUL)


def expm1(input: Any) -> Tensor:
    """``exp(input) - 1``, without cancellation near 0.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([1e-6])
    >>> print(f"{nx.expm1(x).item():.3g} {(nx.exp(x) - 1).item():.3g}")
    1e-06 9.54e-07
    """
    return unary_from("expm1", input, Unary.EXPM1, Binary.EXPM1_GRAD)


def exp2(input: Any) -> Tensor:
    """2 to the power of the input. Integers become float32.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.exp2(nx.tensor([-1, 0, 3]))
    tensor([0.5, 1. , 8. ])
    """
    return unary_from("exp2", input, Unary.EXP2, Binary.EXP2_GRAD)


def log(input: Any) -> Tensor:
    """Natural logarithm: minus infinity at 0, NaN below. Integers become float32.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.log(nx.tensor([1.0, 2.0, 0.0, -1.0]))
    tensor([0.    , 0.6931,   -inf,    nan])
    """
    return unary_with("log", input, Unary.LOG, Binary.DIV)


def log1p(input: Any) -> Tensor:
    """``log(1 + input)``, without cancellation near 0.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([1e-6])
    >>> print(f"{nx.log1p(x).item():.3g} {nx.log(1 + x).item():.3g}")
    1e-06 9.54e-07
    """
    return unary_with("log1p", input, Unary.LOG1P, Binary.LOG1P_GRAD)


def log2(input: Any) -> Tensor:
    """Logarithm to base 2: minus infinity at 0, NaN below.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.log2(nx.tensor([1.0, 8.0, 0.5]))
    tensor([ 0.,  3., -1.])
    """
    return unary_with("log2", input, Unary.LOG2, Binary.LOG2_GRAD)


def log10(input: Any) -> Tensor:
    """Logarithm to base 10: minus infinity at 0, NaN below.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.log10(nx.tensor([1.0, 1000.0, 0.01]))
    tensor([ 0.,  3., -2.])
    """
    return unary_with("log10", input, Unary.LOG10, Binary.LOG10_GRAD)


def erf(input: Any) -> Tensor:
    """The error function, ``2 / sqrt(pi)`` times the integral of ``exp(-t^2)`` from 0 to the input.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.erf(nx.tensor([0.0, 1.0, -1.0]))
    tensor([ 0.    ,  0.8427, -0.8427])
    """
    return unary_with("erf", input, Unary.ERF, Binary.ERF_GRAD)


fix = named("fix", trunc)
