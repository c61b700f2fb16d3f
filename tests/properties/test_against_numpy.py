"""Values against NumPy and SciPy: every element type, broadcasting, views, sizes of one and of zero."""

from __future__ import annotations

import functools
import warnings

import numpy as np
import pytest
import scipy.signal
import scipy.special
from hypothesis import given, strategies as st
from properties.draws import Draw
from properties.layouts import pair

import neurenix as nx
from neurenix.nn import functional as F

FLOATS, INTEGERS = ("float32", "float64"), ("int8", "int16", "int32", "int64", "uint8")
NEAR = {"float32": 3e-5, "float64": 1e-12}


def drawn(names):
    """One test a name, with a ``Draw`` for each example, of elements or of none."""

    def decorate(test):
        @pytest.mark.parametrize("name", names)
        @given(data=st.data())
        def run(name, data):
            test(name, Draw(data.draw, empty=data.draw(st.integers(0, 4)) == 4))

        run.__name__ = test.__name__
        return run

    return decorate


def check(got, want, dtype):
    """Same shape, and values within rounding; exact for integers."""
    got = got.numpy()
    assert got.shape == want.shape
    if got.dtype.kind != "f":
        np.testing.assert_array_equal(got, want)
    else:
        assert str(got.dtype) == dtype
        scale = max(1.0, float(np.abs(want).max(initial=0)))
        np.testing.assert_allclose(got, want, rtol=NEAR[dtype], atol=NEAR[dtype] * scale)


def array(d, shape, dtype, low=-2.0, high=2.0):
    """Random numbers of some element type in some memory order."""
    if dtype in FLOATS:
        a = d.numbers(*shape, low=low, high=high).astype(dtype)
    else:
        a = np.asarray(d.generator().integers(0 if dtype == "uint8" else -20, 21, shape)).astype(dtype)
    return pair(a, d)[1]


UNARY = {
    name: getattr(np, name)
    for name in (
        "abs", "ceil", "cos", "cosh", "exp", "exp2", "expm1", "floor", "negative", "sign", "sin", "sinh", "square", "tan", "tanh", "trunc",
        "deg2rad", "rad2deg", "isnan", "isinf", "isfinite", "round", "arctan", "arcsinh", "logical_not", "nan_to_num", "reciprocal",
    )
}  # fmt: skip
UNARY |= {"erf": scipy.special.erf, "erfc": scipy.special.erfc, "sigmoid": scipy.special.expit, "frac": lambda x: x - np.trunc(x)}
POSITIVE = {"sqrt": np.sqrt, "log": np.log, "log10": np.log10, "log1p": np.log1p, "log2": np.log2, "rsqrt": lambda x: 1 / np.sqrt(x)}


@drawn([*UNARY, *POSITIVE])
def test_unary(name, d):
    dtype = d.pick(*FLOATS)
    x = array(d, d.shape(), dtype, low=0.1 if name in POSITIVE or name == "reciprocal" else -2.0)
    check(getattr(nx, name)(x), np.asarray({**UNARY, **POSITIVE}[name](x.astype(np.float64))), dtype)


BINARY = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "maximum": np.maximum, "minimum": np.minimum, "eq": np.equal,
    "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "logical_and": np.logical_and,
    "logical_or": np.logical_or, "logical_xor": np.logical_xor, "bitwise_and": np.bitwise_and, "bitwise_or": np.bitwise_or,
    "bitwise_xor": np.bitwise_xor, "atan2": np.arctan2, "hypot": np.hypot, "logaddexp": np.logaddexp, "div": np.divide,
    "floor_divide": np.floor_divide, "remainder": np.remainder, "fmod": np.fmod,
}  # fmt: skip


@drawn(list(BINARY))
def test_binary(name, d):
    whole = name.startswith("bitwise")
    real = name in ("atan2", "hypot", "logaddexp", "div")
    dtype = d.pick(*(INTEGERS if whole else FLOATS if real else (*FLOATS, *INTEGERS)))
    shape = d.shape()
    x, y = array(d, shape, dtype), array(d, d.narrower(shape), dtype, low=0.3)
    if name in ("floor_divide", "remainder", "fmod"):
        y = np.where(y == 0, 3, y).astype(dtype)
    if d.flag():
        x, y = (y, np.where(x == 0, 1, x).astype(dtype)) if name in ("floor_divide", "remainder", "fmod", "div") else (y, x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(getattr(nx, name)(x, y), BINARY[name](x, y) if dtype in INTEGERS else BINARY[name](x.astype(float), y.astype(float)), dtype)


REDUCE = {"sum": np.sum, "amax": np.max, "amin": np.min, "mean": np.mean, "any": np.any, "all": np.all, "count_nonzero": np.count_nonzero}
REDUCE |= {"var": functools.partial(np.var, ddof=0), "std": functools.partial(np.std, ddof=0), "logsumexp": scipy.special.logsumexp}


@drawn(list(REDUCE))
def test_reductions(name, d):
    if name not in ("sum", "any", "all", "count_nonzero"):
        d.empty = False
    dtype = d.pick(*(FLOATS if name in ("mean", "var", "std", "logsumexp") else (*FLOATS, *INTEGERS)))
    shape = d.shape(least=1)
    x = array(d, shape, dtype)
    dims = d.dims(len(shape))
    options = {} if name == "count_nonzero" else {"keepdim": d.flag()}
    more = {"correction": 0} if name in ("var", "std") else {}
    want = REDUCE[name](x.astype(float), axis=dims, **({"keepdims": options["keepdim"]} if options else {}))
    check(getattr(nx, name)(x, dims, **options, **more), np.asarray(want), dtype)


SCANS = {"cumsum": np.cumsum, "cumprod": np.cumprod, "argmax": np.argmax, "argmin": np.argmin, "flip": np.flip}


@drawn([*SCANS, "prod", "sort", "argsort", "roll", "softmax", "log_softmax", "max", "min", "diff", "topk", "median"])
def test_along_an_axis(name, d):
    if name in ("argmax", "argmin", "max", "min", "topk", "median"):
        d.empty = False
    dtype = d.pick(*FLOATS)
    shape = d.shape(least=1)
    x, dim = array(d, shape, dtype), d.dim(len(shape))
    wide = x.astype(np.float64)
    function = getattr(nx, name)
    if name in SCANS:
        check(function(x, dim), np.asarray(SCANS[name](wide, axis=dim)), dtype)
    elif name == "prod":
        check(function(x, dim), np.prod(wide, axis=dim), dtype)
    elif name == "sort":
        check(function(x, dim, descending=True).values, -np.sort(-wide, axis=dim), dtype)
    elif name == "argsort":
        check(function(x, dim), np.argsort(wide, axis=dim, kind="stable"), dtype)
    elif name == "roll":
        check(function(x, 2, dim), np.roll(wide, 2, dim), dtype)
    elif name in ("max", "min"):
        values, index = function(x, dim)
        check(values, getattr(np, name)(wide, axis=dim), dtype)
        check(index, getattr(np, f"arg{name}")(wide, axis=dim), dtype)
    elif name == "diff":
        check(function(x, dim=dim), np.diff(wide, axis=dim), dtype)
    elif name == "topk":
        k = d.int(1, shape[dim])
        check(function(x, k, dim).values, np.take(-np.sort(-wide, axis=dim), range(k), axis=dim), dtype)
    elif name == "median":
        check(function(x, dim).values, np.take(np.sort(wide, axis=dim), (shape[dim] - 1) // 2, axis=dim), dtype)
    else:
        check(function(x, dim), getattr(scipy.special, name)(wide, axis=dim) if x.size else wide, dtype)


def keys(d, shape):
    """An index of some kind that fits a shape."""
    kind = d.pick("basic", "mask", "integers", "mixed")
    if kind == "mask":
        return d.mask(*shape[: d.int(1, len(shape))])
    if kind == "integers" and all(shape):
        count = d.int(0, 4)
        return tuple(d.index(s, count) for s in shape[: d.int(1, len(shape))])
    key = []
    for s in shape[: d.int(0, len(shape))]:
        whole = d.flag() and s > 0
        key.append(d.int(-s, s - 1) if whole else slice(d.pick(None, 0, 1, -2), d.pick(None, 1, -1, 9), d.pick(None, 1, 2, -1)))
    return (*key, Ellipsis) if kind == "mixed" else tuple(key)


@drawn(["getitem"])
def test_indices(name, d):
    dtype = d.pick(*FLOATS, *INTEGERS)
    shape = d.shape(least=1)
    x = array(d, shape, dtype)
    key = keys(d, shape)
    check(nx.Tensor(x)[key], np.asarray(x[key]), dtype)


@drawn(["matmul", "einsum", "tensordot", "outer"])
def test_products(name, d):
    dtype = d.pick(*FLOATS)
    m, k, n = (d.int(0 if d.empty else 1, 6) for _ in range(3))
    batch = d.shape(most=2, side=3) if not d.empty else ()
    a, b = array(d, (*d.narrower(batch), m, k), dtype), array(d, (*batch, k, n), dtype)
    u, v = a.astype(float), b.astype(float)
    if name == "matmul":
        check(nx.matmul(a, b), u @ v, dtype)
    elif name == "einsum":
        check(nx.einsum("...ij,...jk->...ik", a, b), u @ v, dtype)
    elif name == "tensordot":
        check(nx.tensordot(a, b, ([a.ndim - 1], [b.ndim - 2])), np.tensordot(u, v, ([a.ndim - 1], [b.ndim - 2])), dtype)
    else:
        check(nx.outer(a.reshape(-1), b.reshape(-1)), np.outer(u, v), dtype)


@drawn([1, 2, 3])
def test_convolutions(name, d):
    n = name
    dtype = d.pick(*FLOATS)
    groups = d.int(1, 2)
    inputs, outputs, kernel = groups * d.int(1, 2), groups * d.int(1, 2), [d.int(1, 3) for _ in range(n)]
    stride, dilation = [d.int(1, 3) for _ in range(n)], [d.int(1, 2) for _ in range(n)]
    batch = d.int(1, 2)
    x, w = array(d, (batch, inputs, *(d.int(5, 7) for _ in range(n))), dtype), array(d, (outputs, inputs // groups, *kernel), dtype)
    spread = np.zeros((*w.shape[:2], *((k - 1) * s + 1 for k, s in zip(kernel, dilation, strict=True))))
    spread[(..., *(slice(None, None, s) for s in dilation))] = w
    want = []
    for i in range(batch):
        maps = []
        for o in range(outputs):
            first = o // (outputs // groups) * (inputs // groups)
            maps.append(sum(scipy.signal.correlate(x[i, first + c].astype(float), spread[o, c], "valid") for c in range(inputs // groups)))
        want.append(maps)
    want = np.array(want)[(..., *(slice(None, None, s) for s in stride))]
    with nx.set_float32_precision(d.pick("ieee", "fast")):
        check(getattr(F, f"conv{n}d")(x, w, stride=stride, dilation=dilation, groups=groups), want, dtype)


MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


@drawn(list(MODES))
def test_padding(name, d):
    dtype = d.pick(*FLOATS)
    n = d.int(1, 3)
    x = array(d, d.map(n, low=3), dtype)
    widths = [(d.int(0, 2), d.int(0, 2)) for _ in range(n)]
    flat = [w for pair_ in reversed(widths) for w in pair_]
    check(
        F.pad(x, flat, mode=name),
        np.pad(x.astype(float), [(0, 0), (0, 0), *widths], mode=MODES[name]) if x.size else F.pad(x, flat, mode=name).numpy(),
        dtype,
    )


@drawn(["max", "avg"])
def test_pooling(name, d):
    dtype = d.pick(*FLOATS)
    n = d.int(1, 3)
    x = array(d, d.map(n, low=4, high=7), dtype)
    kernel, stride = [d.int(1, 3) for _ in range(n)], [d.int(1, 3) for _ in range(n)]
    axes = tuple(range(2, n + 2))
    windows = np.lib.stride_tricks.sliding_window_view(x.astype(float), kernel, axis=axes)
    windows = windows[(slice(None), slice(None), *(slice(None, None, s) for s in stride))]
    want = {"max": np.max, "avg": np.mean}[name](windows, axis=tuple(range(-n, 0)))
    check(getattr(F, f"{name}_pool{n}d")(x, kernel, stride), want, dtype)
