"""Activations: formulas, gradients, kinks, errors."""

import numpy as np
import pytest
from scipy import special

import neurenix as nx
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.nn import functional as F
from neurenix.testing import check_gradient, random_array

pytestmark = pytest.mark.everywhere

X = random_array(6, 8) * 4
FORMULAS = [
    (F.relu, (), lambda x: np.maximum(x, 0)), (F.leaky_relu, (0.2,), lambda x: np.where(x > 0, x, 0.2 * x)),
    (F.elu, (1.5,), lambda x: np.where(x > 0, x, 1.5 * np.expm1(x))), (F.celu, (2.0,), lambda x: np.where(x > 0, x, 2 * np.expm1(x / 2))),
    (F.selu, (), lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x))),
    (F.gelu, (), lambda x: x * special.ndtr(x)), (F.silu, (), lambda x: x * special.expit(x)),
    (F.gelu, ("tanh",), lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))),
    (F.mish, (), lambda x: x * np.tanh(np.log1p(np.exp(x)))), (F.logsigmoid, (), lambda x: -np.log1p(np.exp(-x))),
    (F.softplus, (2.0,), lambda x: np.log1p(np.exp(2 * x)) / 2), (F.softsign, (), lambda x: x / (1 + np.abs(x))),
    (F.tanhshrink, (), lambda x: x - np.tanh(x)), (F.hardtanh, (-2.0, 1.0), lambda x: np.clip(x, -2, 1)), (F.relu6, (), lambda x: np.clip(x, 0, 6)),
    (F.hardsigmoid, (), lambda x: np.clip(x + 3, 0, 6) / 6), (F.hardswish, (), lambda x: x * np.clip(x + 3, 0, 6) / 6),
    (F.threshold, (0.5, 9.0), lambda x: np.where(x > 0.5, x, 9)), (F.hardshrink, (0.7,), lambda x: np.where(np.abs(x) > 0.7, x, 0)),
    (F.softshrink, (0.7,), lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.7, 0)), (F.sigmoid, (), special.expit), (F.tanh, (), np.tanh),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(FORMULAS)), ids=[f"{f.__name__}{a}" for f, a, _ in FORMULAS])
def test_formulas_and_gradients(case):
    fn, args, want = FORMULAS[case]
    np.testing.assert_allclose(fn(X, *args).numpy(), want(X), rtol=2e-13, atol=1e-14)
    np.testing.assert_allclose(fn(X.astype(np.float32), *args).numpy(), want(X), rtol=2e-5, atol=2e-6)
    check_gradient(lambda t: fn(t, *args), X)


def test_kinks():
    x = nx.tensor([0.0, -0.0], requires_grad=True)
    for fn, slope in ((F.relu, 0.0), (F.leaky_relu, 0.01), (F.elu, 1.0), (F.hardshrink, 0.0), (nx.abs, 0.0)):
        x.grad = None
        fn(x).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), slope, rtol=1e-6)
    assert np.isnan(F.relu(nx.tensor([np.nan])).item())
    big = nx.tensor([-1000.0, 1000.0])
    for fn in (F.silu, F.mish, F.softplus, F.gelu, F.logsigmoid, F.elu, F.selu):
        assert np.isfinite(fn(big).numpy()).all()


def test_gradients_at_nan():
    """Where PyTorch's elements and vectors differ, its elements: they pass. Elsewhere none, or NaN where a formula is evaluated."""
    passes = (F.hardtanh, F.relu6, F.hardshrink, F.softshrink, F.elu, F.celu, F.hardswish)
    stays = (F.mish, F.silu, F.gelu, F.softplus, F.logsigmoid, F.tanhshrink, F.softsign)
    for dtype in (np.float32, np.float64):
        for fn in (*passes, *stays, F.hardsigmoid):
            x = nx.tensor(np.array([np.nan, 0.25] * 9, dtype), requires_grad=True)
            fn(x).sum().backward()
            g = x.grad.numpy()
            assert (np.isnan(g[::2]) if fn in stays else g[::2] == (fn in passes)).all(), fn.__name__
            assert np.isfinite(g[1::2]).all(), fn.__name__


def test_prelu_and_glu():
    w = np.array([0.1, 0.2, 0.3])
    x = random_array(2, 3, 4)
    np.testing.assert_allclose(F.prelu(x, w).numpy(), np.where(x > 0, x, w[:, None] * x))
    check_gradient(F.prelu, x, w)
    check_gradient(F.prelu, x, w[:1])
    np.testing.assert_allclose(F.glu(x).numpy(), x[..., :2] * special.expit(x[..., 2:]))
    check_gradient(lambda t: F.glu(t, -1), x)
    with pytest.raises(ShapeError, match=r"prelu: expected a weight of shape \(1,\) or \(3,\), got \(2,\)"):
        F.prelu(x, w[:2])
    with pytest.raises(ShapeError, match="glu: expected an even size along dim 1"):
        F.glu(x, 1)


def test_errors():
    with pytest.raises(DTypeError, match="silu: expected float32 or float64, got int64"):
        F.silu(nx.tensor([1]))
    with pytest.raises(ArgumentError, match='gelu: expected approximate "none" or "tanh"'):
        F.gelu(X, "erf")
    with pytest.raises(ArgumentError, match="hardtanh: expected min_val up to max_val"):
        F.hardtanh(X, 1.0, 0.0)
    with pytest.raises(ArgumentError, match="softshrink: expected lambd of at least 0"):
        F.softshrink(X, -1.0)
    with pytest.raises(ArgumentError, match="celu: expected alpha other than 0"):
        F.celu(X, 0.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_mish_far_below_0_is_what_is_left_of_it(dtype):
    """In double it once stood still at -200."""
    y = nx.nn.functional.mish(np.array([-800.0, -300.0, -40.0], dtype)).numpy()
    np.testing.assert_allclose(y, [0, -300 * np.exp(-300.0) if dtype == np.float64 else 0, -40 * np.exp(-40.0)], rtol=1e-6, atol=0)
