"""Operations on each element by itself."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from properties.draws import Draw
from properties.table import Example, constant, function, row

import neurenix as nx
from neurenix.nn import functional as F

UNARY: dict[str, dict[str, Any]] = {
    "abs": {"kinks": (0,)},
    "acos": {"low": -0.9, "high": 0.9},
    "acosh": {"low": 1.2, "high": 4},
    "asin": {"low": -0.9, "high": 0.9},
    "asinh": {},
    "atan": {},
    "atanh": {"low": -0.9, "high": 0.9},
    "ceil": {"kinks": (-2, -1, 0, 1, 2)},
    "cos": {},
    "cosh": {},
    "deg2rad": {},
    "erf": {},
    "erfc": {},
    "exp": {},
    "exp2": {},
    "expm1": {},
    "floor": {"kinks": (-2, -1, 0, 1, 2)},
    "frac": {"kinks": (-2, -1, 0, 1, 2)},
    "log": {"low": 0.2, "high": 3},
    "log10": {"low": 0.2, "high": 3},
    "log1p": {"low": -0.8, "high": 3},
    "log2": {"low": 0.2, "high": 3},
    "logit": {"low": 0.1, "high": 0.9},
    "neg": {},
    "rad2deg": {},
    "reciprocal": {"kinks": (0,), "gap": 0.2},
    "round": {"kinks": (-1.5, -0.5, 0.5, 1.5)},
    "rsqrt": {"low": 0.2, "high": 3},
    "sigmoid": {},
    "sign": {"kinks": (0,)},
    "sin": {},
    "sinh": {},
    "sqrt": {"low": 0.1, "high": 3},
    "square": {},
    "tan": {"low": -1.2, "high": 1.2},
    "tanh": {},
    "trunc": {"kinks": (-2, -1, 0, 1, 2)},
    "celu": {"kinks": (0,)},
    "elu": {"kinks": (0,)},
    "hardshrink": {"kinks": (-0.5, 0.5)},
    "hardsigmoid": {"low": -4, "high": 4, "kinks": (-3, 3)},
    "hardswish": {"low": -4, "high": 4, "kinks": (-3, 3)},
    "hardtanh": {"kinks": (-1, 1)},
    "leaky_relu": {"kinks": (0,)},
    "logsigmoid": {},
    "mish": {},
    "relu": {"kinks": (0,)},
    "relu6": {"low": -2, "high": 8, "kinks": (0, 6)},
    "selu": {"kinks": (0,)},
    "silu": {},
    "softplus": {},
    "softshrink": {"kinks": (-0.5, 0.5)},
    "softsign": {"kinks": (0,)},
    "tanhshrink": {},
    "nan_to_num": {},
}
LINEAR = {"neg", "deg2rad", "rad2deg", "nan_to_num"}


def unary(name: str, domain: dict[str, Any], d: Draw) -> Example:
    return function(name), d.numbers(*d.shape(), **domain)


for _name, _domain in UNARY.items():
    _linear = (0,) if _name in LINEAR else ()
    row(_name, partial(unary, _name, _domain), linear=_linear, batched=(0,), empty=True)

BINARY: dict[str, dict[str, Any]] = {
    "add": {},
    "sub": {},
    "rsub": {},
    "mul": {},
    "div": {"low": 0.4},
    "atan2": {"low": 0.1},
    "hypot": {"low": 0.1},
    "logaddexp": {},
    "xlogy": {"low": 0.2},
    "pow": {"low": 0.3},
}


def binary(name: str, domain: dict[str, Any], d: Draw) -> Example:
    shape = d.shape()
    shapes = [shape, d.narrower(shape)]
    first, second = shapes if d.flag() else shapes[::-1]
    return function(name), d.numbers(*first, **domain), d.numbers(*second, **domain)


for _name, _domain in BINARY.items():
    _linear = {"add": (0, 1), "sub": (0, 1), "rsub": (0, 1), "mul": (0, 1), "div": (0,), "xlogy": (0,)}.get(_name, ())
    row(_name, partial(binary, _name, _domain), linear=_linear, empty=True)


def apart(name: str, d: Draw) -> Example:
    """Two arrays that are equal nowhere."""
    shape = d.shape()
    x = d.distinct(*shape)
    return function(name), x, np.asarray(x + d.numbers(*shape, kinks=(0,)))


row("maximum", partial(apart, "maximum"), empty=True)
row("minimum", partial(apart, "minimum"), empty=True)


def modulo(name: str, d: Draw) -> Example:
    """Quotients away from integers."""
    shape = d.shape()
    divisor = d.numbers(*d.narrower(shape), low=0.5)
    whole = d.generator().integers(-3, 4, shape)
    return function(name), np.asarray(divisor * (whole + d.numbers(*shape, low=0.1, high=0.9))), divisor


for _name in ("remainder", "fmod", "floor_divide"):
    row(_name, partial(modulo, _name), empty=True)


def ternary(name: str, d: Draw, **keywords: Any) -> Example:
    shape = d.shape()
    others = [d.numbers(*d.narrower(shape), low=0.4) for _ in range(2)]
    return partial(function(name), **keywords), d.numbers(*shape), *others


row("addcmul", lambda d: ternary("addcmul", d, value=0.7), linear=(0, 1, 2), empty=True)
row("addcdiv", lambda d: ternary("addcdiv", d, value=0.7), linear=(0, 1), empty=True)
row("lerp", lambda d: ternary("lerp", d), linear=(0, 1, 2), empty=True)

row("pow/number", lambda d: (partial(nx.pow, exponent=d.pick(0, 1, 2, 3, -1, 0.5, -2.5)), d.numbers(*d.shape(), low=0.3)), empty=True)
row("clamp", lambda d: (lambda x: nx.clamp(x, -0.5, 0.7), d.numbers(*d.shape(), kinks=(-0.5, 0.7))), empty=True)
row("clamp_min", lambda d: (lambda x: nx.clamp_min(x, 0.1), d.numbers(*d.shape(), kinks=(0.1,))), empty=True)
row("clamp_max", lambda d: (lambda x: nx.clamp_max(x, 0.1), d.numbers(*d.shape(), kinks=(0.1,))), empty=True)
row("threshold", lambda d: (lambda x: F.threshold(x, 0.3, -1.0), d.numbers(*d.shape(), kinks=(0.3,))), empty=True)
row("gelu", lambda d: (partial(F.gelu, approximate=d.pick("none", "tanh")), d.numbers(*d.shape())), empty=True)


def prelu(d: Draw) -> Example:
    shape = d.map(d.int(0, 2))
    return F.prelu, d.numbers(*shape, kinks=(0,)), d.numbers(d.pick(1, shape[1]))


def glu(d: Draw) -> Example:
    shape = list(d.shape(least=1))
    dim = d.dim(len(shape))
    shape[dim] = 2 * d.int(1, 3)
    return partial(F.glu, dim=dim), d.numbers(*shape)


row("prelu", prelu, batched=(0,), empty=True)
row("glu", glu)


def chosen(d: Draw) -> Example:
    shape = d.shape()
    mask = d.mask(*d.narrower(shape))
    return (lambda x, y: nx.where(constant(mask, x), x, y)), d.numbers(*shape), d.numbers(*d.narrower(shape))


def filled(d: Draw) -> Example:
    shape = d.shape()
    return (lambda x, m: nx.masked_fill(x, m, 0.25)), d.numbers(*shape), d.mask(*d.narrower(shape))


row("where", chosen, linear=(0, 1), empty=True)
row("masked_fill", filled, linear=(0,), empty=True)


def dropped(name: str, n: int, d: Draw) -> Example:
    def fn(x: nx.Tensor) -> Any:
        nx.manual_seed(5)
        return function(name)(x, 0.4, training=True)

    return fn, d.numbers(*d.map(n))


for _name, _n in (("dropout", 2), ("dropout1d", 1), ("dropout2d", 2), ("dropout3d", 3), ("alpha_dropout", 2), ("feature_alpha_dropout", 2)):
    row(_name, partial(dropped, _name, _n), linear=(0,))


def leaky(training: bool, d: Draw) -> Example:
    def fn(x: nx.Tensor) -> Any:
        nx.manual_seed(5)
        return F.rrelu(x, training=training)

    return fn, d.numbers(*d.shape(), kinks=(0,))


row("rrelu", partial(leaky, False))
row("rrelu/training", partial(leaky, True))
