"""Circular and hyperbolic functions and their inverses; angles are in radians."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurenix import autograd
from neurenix._typing import Array
from neurenix.ops._named import named
from neurenix.ops.arithmetic import operands
from neurenix.ops.convert import cast
from neurenix.ops.elementwise import Binary, Ternary, Unary, map2, map3
from neurenix.ops.reduce import sum_to
from neurenix.ops.unary import unary_from, unary_with
from neurenix.tensor import Tensor


def sin(input: Any) -> Tensor:
    """Sine of an angle in radians. Integers become float32.

    Examples
    --------
    >>> import numpy as np
    >>> import neurenix as nx
    >>> nx.sin(nx.tensor([0.0, np.pi / 6, np.pi / 2]))
    tensor([0. , 0.5, 1. ])
    """
    return unary_with("sin", input, Unary.SIN, Binary.SIN_GRAD)


def cos(input: Any) -> Tensor:
    """Cosine of an angle in radians. Integers become float32.

    Examples
    --------
    >>> import numpy as np
    >>> import neurenix as nx
    >>> nx.cos(nx.tensor([0.0, np.pi / 3, np.pi]))
    tensor([ 1. ,  0.5, -1. ])
    """
    return unary_with("cos", input, Unary.COS, Binary.COS_GRAD)


def tan(input: Any) -> Tensor:
    """Tangent of an angle in radians. Integers become float32.

    Examples
    --------
    >>> import numpy as np
    >>> import neurenix as nx
    >>> nx.tan(nx.tensor([0.0, np.pi / 4, -np.pi / 4]))
    tensor([ 0.,  1., -1.])
    """
    return unary_from("tan", input, Unary.TAN, Binary.TAN_GRAD)


def asin(input: Any) -> Tensor:
    """Inverse sine in radians, from -pi / 2 to pi / 2; NaN outside [-1, 1].

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.rad2deg(nx.asin(nx.tensor([0.5, 1.0, 2.0])))
    tensor([30., 90., nan])
    """
    return unary_with("asin", input, Unary.ASIN, Binary.ASIN_GRAD)


def acos(input: Any) -> Tensor:
    """Inverse cosine in radians, from 0 to pi; NaN outside [-1, 1].

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.rad2deg(nx.acos(nx.tensor([0.5, -1.0, 2.0])))
    tensor([ 60., 180.,  nan])
    """
    return unary_with("acos", input, Unary.ACOS, Binary.ACOS_GRAD)


def atan(input: Any) -> Tensor:
    """Inverse tangent in radians, from -pi / 2 to pi / 2; :func:`atan2` knows all quadrants.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.rad2deg(nx.atan(nx.tensor([1.0, -1.0, float("inf")])))
    tensor([ 45., -45.,  90.])
    """
    return unary_with("atan", input, Unary.ATAN, Binary.ATAN_GRAD)


def sinh(input: Any) -> Tensor:
    """Hyperbolic sine, ``(exp(x) - exp(-x)) / 2``.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.sinh(nx.tensor([0.0, 1.0, -1.0]))
    tensor([ 0.    ,  1.1752, -1.1752])
    """
    return unary_with("sinh", input, Unary.SINH, Binary.SINH_GRAD)


def cosh(input: Any) -> Tensor:
    """Hyperbolic cosine, ``(exp(x) + exp(-x)) / 2``.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.cosh(nx.tensor([0.0, 1.0, -1.0]))
    tensor([1.    , 1.5431, 1.5431])
    """
    return unary_with("cosh", input, Unary.COSH, Binary.COSH_GRAD)


def asinh(input: Any) -> Tensor:
    """Inverse hyperbolic sine, ``log(x + sqrt(x^2 + 1))``.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.asinh(nx.tensor([0.0, 1.0, -1.0]))
    tensor([ 0.    ,  0.8814, -0.8814])
    """
    return unary_with("asinh", input, Unary.ASINH, Binary.ASINH_GRAD)


def acosh(input: Any) -> Tensor:
    """Inverse hyperbolic cosine, ``log(x + sqrt(x^2 - 1))``; NaN below 1.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.acosh(nx.tensor([1.0, 2.0, 0.5]))
    tensor([0.   , 1.317,   nan])
    """
    return unary_with("acosh", input, Unary.ACOSH, Binary.ACOSH_GRAD)


def atanh(input: Any) -> Tensor:
    """Inverse hyperbolic tangent, ``log((1 + x) / (1 - x)) / 2``; infinite at -1 and 1, NaN beyond.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.atanh(nx.tensor([0.5, 1.0, 2.0]))
    tensor([0.5493,    inf,    nan])
    """
    return unary_with("atanh", input, Unary.ATANH, Binary.ATANH_GRAD)


def tanh(input: Any) -> Tensor:
    """Hyperbolic tangent, from -1 to 1.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.tanh(nx.tensor([0.0, 1.0, -100.0]))
    tensor([ 0.    ,  0.7616, -1.    ])
    """
    return unary_from("tanh", input, Unary.TANH, Binary.TANH_GRAD)


def atan2(input: Any, other: Any) -> Tensor:
    """The angle of the point (x, y) = (other, input) in radians, from -pi to pi, broadcast; integers become float32.

    Examples
    --------
    >>> import neurenix as nx
    >>> y, x = nx.tensor([1.0, 1.0, -1.0]), nx.tensor([1.0, -1.0, -1.0])
    >>> nx.rad2deg(nx.atan2(y, x))
    tensor([  45.,  135., -135.])
    """
    x, y = (cast(t, np.float32) if t.dtype.kind != "f" else t for t in operands("atan2", input, other))
    a, b = x._array, y._array
    needs = (x.requires_grad, y.requires_grad)

    def vjp(g: Array) -> tuple[Array | None, ...]:
        return (
            sum_to(map3(Ternary.ATAN2_FIRST, g, a, b), a.shape) if needs[0] else None,
            sum_to(map3(Ternary.ATAN2_SECOND, g, b, a), b.shape) if needs[1] else None,
        )

    return autograd.record("atan2", map2(Binary.ATAN2, a, b), (x, y), vjp)


arcsin = named("arcsin", asin)
arccos = named("arccos", acos)
arctan = named("arctan", atan)
arcsinh = named("arcsinh", asinh)
arccosh = named("arccosh", acosh)
arctanh = named("arctanh", atanh)
arctan2 = named("arctan2", atan2)
