"""Functions of one element: values, gradients, edges, integers."""

import numpy as np
import pytest
from scipy import special

import neurenix as nx
from neurenix.errors import DTypeError
from neurenix.testing import check_gradient, random_array

pytestmark = pytest.mark.everywhere

POSITIVE = np.abs(random_array(4, 5)) + 0.2
INSIDE = np.tanh(random_array(4, 5))
ANY = random_array(4, 5)
FUNCTIONS = [
    ("exp", np.exp, ANY), ("expm1", np.expm1, ANY), ("exp2", np.exp2, ANY), ("log", np.log, POSITIVE), ("log1p", np.log1p, POSITIVE),
    ("log2", np.log2, POSITIVE), ("log10", np.log10, POSITIVE), ("sqrt", np.sqrt, POSITIVE), ("rsqrt", lambda x: x**-0.5, POSITIVE),
    ("reciprocal", np.reciprocal, POSITIVE), ("square", np.square, ANY), ("abs", np.abs, ANY), ("neg", np.negative, ANY),
    ("sin", np.sin, ANY), ("cos", np.cos, ANY), ("tan", np.tan, INSIDE), ("asin", np.arcsin, INSIDE), ("acos", np.arccos, INSIDE),
    ("atan", np.arctan, ANY), ("sinh", np.sinh, ANY), ("cosh", np.cosh, ANY), ("tanh", np.tanh, ANY), ("asinh", np.arcsinh, ANY),
    ("acosh", np.arccosh, POSITIVE + 1), ("atanh", np.arctanh, INSIDE), ("erf", special.erf, ANY), ("sigmoid", special.expit, ANY),
    ("frac", lambda x: x - np.trunc(x), ANY), ("floor", np.floor, ANY), ("ceil", np.ceil, ANY), ("trunc", np.trunc, ANY),
    ("round", np.round, ANY * 3), ("sign", np.sign, ANY),
]  # fmt: skip


@pytest.mark.parametrize(("name", "want", "x"), FUNCTIONS, ids=[f[0] for f in FUNCTIONS])
def test_values_and_gradients(name, want, x):
    fn = getattr(nx, name)
    np.testing.assert_allclose(fn(x).numpy(), want(x), rtol=4e-15, atol=1e-300)
    single = fn(x.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single.numpy(), want(x.astype(np.float32)), rtol=1e-6, atol=1e-7)
    assert np.array_equal(getattr(nx.Tensor(x), name)().numpy(), fn(x).numpy())
    check_gradient(fn, x)
    assert fn(np.zeros((0, 2))).shape == (0, 2)


def test_edges():
    inf, nan = np.inf, np.nan
    x = nx.tensor([0.0, inf, -inf, nan, 1e-45, -0.0])
    np.testing.assert_array_equal(nx.exp(x).numpy(), np.array([1, inf, 0, nan, 1, 1], np.float32))
    np.testing.assert_allclose(nx.log(x).numpy()[[0, 1, 3, 4]], np.array([-inf, inf, nan, np.log(np.float32(1e-45))]), rtol=1e-6)
    np.testing.assert_array_equal(nx.tanh(x).numpy()[:4], np.array([0, 1, -1, nan], np.float32))
    np.testing.assert_array_equal(nx.sign(x).numpy()[:3], np.array([0, 1, -1], np.float32))
    np.testing.assert_array_equal(nx.acosh(nx.tensor([-1e5, -1e30, -inf, 0.0, 1.0])).numpy(), np.array([nan, nan, nan, nan, 0], np.float32))
    assert nx.round(nx.tensor([0.5, 1.5, -2.5, 1.25])).tolist() == [0.0, 2.0, -2.0, 1.0]
    np.testing.assert_allclose(nx.round(nx.tensor([1.25, 123.0]), decimals=1).numpy(), [1.2, 123.0], rtol=1e-6)
    assert nx.round(nx.tensor([123.0]), decimals=-2).tolist() == [100.0]


def test_integers():
    i = nx.tensor([-2, 0, 3])
    assert i.abs().tolist() == [2, 0, 3]
    assert i.sign().tolist() == [-1, 0, 1]
    assert i.square().tolist() == [4, 0, 9]
    assert i.floor().dtype == np.int64
    assert i.exp().dtype == np.float32
    assert nx.sigmoid(i).dtype == np.float32


def test_half_is_refused():
    with pytest.raises(DTypeError, match=r"exp: expected float32 or float64, got float16; convert it with .float\(\)"):
        nx.zeros(2).half().exp()
