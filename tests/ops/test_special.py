"""Special functions against SciPy."""

import numpy as np
import pytest
from scipy import special as reference
from slopes import same, slopes

import neurenix as nx
from neurenix import special
from neurenix.errors import ArgumentError
from neurenix.testing import check_gradient, random_array

pytestmark = pytest.mark.everywhere

LINE = np.concatenate([np.linspace(-7.3, 9.1, 83), [1e-9, 31.0, 45.5, -40.25]])
SHARES = np.concatenate([np.linspace(0.01, 0.99, 31), [1e-12, 1e-200, 1 - 1e-9]])
OF_LINE = {
    "gammaln": reference.gammaln,
    "digamma": reference.digamma,
    "i0": reference.i0,
    "i0e": reference.i0e,
    "i1": reference.i1,
    "i1e": reference.i1e,
    "ndtr": reference.ndtr,
    "log_ndtr": reference.log_ndtr,
    "erfcx": reference.erfcx,
    "sinc": np.sinc,
}


@pytest.mark.parametrize("name", OF_LINE)
def test_values(name):
    np.testing.assert_allclose(getattr(special, name)(LINE).numpy(), OF_LINE[name](LINE), rtol=2e-12, atol=1e-14)


def test_inverses_and_entropy():
    np.testing.assert_allclose(nx.erfinv(2 * SHARES - 1).numpy(), reference.erfinv(2 * SHARES - 1), rtol=1e-12)
    np.testing.assert_allclose(special.ndtri(SHARES).numpy(), reference.ndtri(SHARES), rtol=1e-12)
    np.testing.assert_allclose(special.entr([0.0, 0.5, 2.0, -1.0]).numpy(), reference.entr([0.0, 0.5, 2.0, -1.0]), rtol=1e-6)
    np.testing.assert_allclose(special.xlog1py(0.0, np.array([-1.0])).numpy(), [0])
    np.testing.assert_allclose(nx.mvlgamma(SHARES + 2, 3).numpy(), [reference.multigammaln(v + 2, 3) for v in SHARES], rtol=1e-12)
    assert nx.erfinv(nx.tensor([1.0, -1.0])).tolist() == [np.inf, -np.inf]
    assert np.isnan(nx.erfinv(nx.tensor([1.5])).item())


@pytest.mark.parametrize(
    "f",
    [nx.lgamma, nx.digamma, nx.i0, special.i0e, special.i1, special.i1e, special.ndtr, special.log_ndtr, special.erfcx, nx.sinc],
)
def test_gradients(f):
    check_gradient(f, random_array(7) + 0.1)


def test_gradients_of_shares():
    for f in (nx.erfinv, special.ndtri, special.entr):
        check_gradient(f, np.linspace(0.1, 0.9, 9))
    check_gradient(special.xlog1py, random_array(5), np.linspace(0.1, 2, 5))
    x = nx.tensor([0.0], requires_grad=True)
    nx.sinc(x).sum().backward()
    assert x.grad.item() == 0


def test_refusals():
    with pytest.raises(ArgumentError, match="polygamma: expected an order of 0 or 1, got 4"):
        nx.polygamma(4, LINE)
    with pytest.raises(ArgumentError, match="mvlgamma: expected p of at least 1, got 0"):
        nx.mvlgamma(LINE, 0)
    np.testing.assert_allclose(nx.polygamma(1, LINE).numpy(), reference.polygamma(1, LINE), rtol=1e-11)


def test_erfcx_falls_without_bound():
    value, (slope,) = slopes(special.erfcx, [-np.inf, -100.0, 0.0])
    assert value == [np.inf, np.inf, 1] and same(slope, [-np.inf, -np.inf, -2 / np.pi**0.5])
    low = nx.tensor([-9.0, -9.6], requires_grad=True)
    special.erfcx(low).sum().backward()
    assert np.isfinite(low.grad.numpy()[0]) and low.grad.numpy()[1] == -np.inf
