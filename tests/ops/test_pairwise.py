"""Rarer functions of two elements and of signs: values, gradients, infinities."""

import numpy as np
import pytest
from slopes import same, slopes

import neurenix as nx
from neurenix import special
from neurenix.errors import DTypeError
from neurenix.testing import check_gradient, random_array

pytestmark = pytest.mark.everywhere

A, B = random_array(3, 4), random_array(4, seed=1)
EDGES = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan])
LEFT, RIGHT = (t.ravel() for t in np.meshgrid(EDGES, EDGES))


@pytest.mark.parametrize("name", ["copysign", "float_power", "fmax", "fmin", "logaddexp", "logaddexp2", "hypot"])
def test_values_are_numpys_also_at_the_edges(name):
    with np.errstate(all="ignore"):
        for a, b in ((np.abs(A), B), (LEFT, RIGHT)):
            want = getattr(np, name)(a, b)
            got = getattr(nx, name)(a, np.broadcast_to(b, np.broadcast_shapes(a.shape, b.shape)))
            np.testing.assert_allclose(got.numpy(), want, rtol=1e-13)


def test_signs():
    for name in ("signbit", "isposinf", "isneginf"):
        np.testing.assert_array_equal(getattr(nx, name)(EDGES).numpy(), getattr(np, name)(EDGES))
    np.testing.assert_array_equal(nx.sgn(EDGES).numpy(), [0, 0, 1, -1, 1, -1, 0])  # of NaN: 0
    assert nx.signbit(nx.tensor([-2, 3])).tolist() == [True, False]
    assert nx.isreal(nx.tensor([1.0, np.nan])).tolist() == [True, True]


def test_steps():
    values = np.full(EDGES.shape, 0.5)
    np.testing.assert_array_equal(nx.heaviside(EDGES, values).numpy(), [0.5, 0.5, 1, 0, 1, 0, 0])


def test_whole_numbers():
    a, b = np.arange(-6, 7), np.array([[4], [6], [0]])
    np.testing.assert_array_equal(nx.gcd(a, b).numpy(), np.gcd(a, b))
    np.testing.assert_array_equal(nx.lcm(a, b).numpy(), np.lcm(a, b))
    np.testing.assert_array_equal(nx.ldexp(nx.tensor([1.5, 2.0]), nx.tensor([3, -1])).numpy(), [12, 1])
    assert nx.fmax(nx.tensor([1, 5]), nx.tensor([3, 2])).tolist() == [3, 5]


def test_gradients():
    for f in (nx.copysign, nx.fmax, nx.fmin, nx.logaddexp, nx.logaddexp2, nx.hypot):
        check_gradient(f, A, B)
    assert nx.hypot(np.array([1e200]), np.array([1e200])).item() == np.hypot(1e200, 1e200)


def test_refusals():
    with pytest.raises(DTypeError, match="gcd: expected integers, got float64"):
        nx.gcd(A, A)
    with pytest.raises(DTypeError, match="positive: expected numbers, got bools"):
        nx.positive(nx.tensor([True]))
    with pytest.raises(DTypeError, match="heaviside: expected values of type float64"):
        nx.heaviside(A, nx.tensor([1]))


def test_kinks_and_nan_of_activations_follow_pytorch():
    f = nx.nn.functional
    x = nx.tensor([np.nan, np.inf, -np.inf], requires_grad=True)
    f.elu(x).sum().backward()
    assert x.grad.tolist() == [1, 1, 0]
    assert np.isnan(f.mish(nx.tensor([-np.inf], dtype=nx.float64)).item())
    assert f.mish(nx.tensor([-700.0], dtype=nx.float64)).item() == pytest.approx(-700 * np.exp(-700.0), rel=1e-12)
    assert f.logsigmoid(nx.tensor([np.inf, -np.inf])).tolist() == [0, -np.inf]
    y, z = (nx.tensor([0.0], requires_grad=True) for _ in range(2))
    nx.atan2(y, z).sum().backward()
    assert (y.grad.item(), z.grad.item()) == (0, 0)
    assert special.expit is nx.sigmoid


def test_larger_and_smaller_ones_share_at_ties_as_in_pytorch():
    nan = np.nan
    x, y = [1.0, 2.0, nan, 3.0], [1.0, nan, 4.0, 5.0]
    assert slopes(nx.fmax, x, y) == ([1, 2, 4, 5], [[0.5, 1, 0, 0], [0.5, 0, 1, 1]])
    assert slopes(nx.fmin, x, y) == ([1, 2, 4, 3], [[0.5, 1, 0, 1], [0.5, 0, 1, 0]])


def test_whole_numbers_take_the_type_of_exponents():
    got = nx.ldexp(nx.tensor([1, 2]), np.array([-1.0, 0.5]))
    assert got.dtype == np.float64 and same(got.tolist(), [0.5, 2 * 2**0.5])
