"""Running extremes, log-sums, areas, slopes and quantiles against NumPy."""

import numpy as np
import pytest
from slopes import same

import neurenix as nx
from neurenix.errors import ArgumentError, RangeError, ShapeError
from neurenix.testing import check_gradient, random_array

pytestmark = pytest.mark.everywhere

X = random_array(3, 7, 2)


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_running_extremes(dim):
    for ours, theirs in ((nx.cummax, np.maximum), (nx.cummin, np.minimum)):
        found = ours(X, dim)
        np.testing.assert_array_equal(found.values.numpy(), theirs.accumulate(X, dim))
        np.testing.assert_array_equal(np.take_along_axis(X, found.indices.numpy(), dim), found.values.numpy())
        check_gradient(lambda t, f=ours: f(t, dim).values, X)
    np.testing.assert_allclose(nx.logcumsumexp(X, dim).numpy(), np.logaddexp.accumulate(X, dim), rtol=1e-13)
    check_gradient(lambda t: nx.logcumsumexp(t, dim), X)


def test_running_extremes_of_equals_and_nan():
    found = nx.cummax(nx.tensor([1.0, 1.0, np.nan, 2.0]), 0)
    assert found.indices.tolist() == [0, 1, 2, 2]
    assert nx.cummin(nx.tensor(3), 0).values.item() == 3
    assert nx.cummax(nx.zeros(0), 0).values.shape == (0,)
    assert nx.logcumsumexp(nx.tensor([1e3, 1e3]), 0).tolist() == pytest.approx([1e3, 1e3 + np.log(2)])


def test_areas_and_slopes():
    t = np.sort(random_array(7))
    np.testing.assert_allclose(nx.trapezoid(X, t, dim=1).numpy(), np.trapezoid(X, t, axis=1), rtol=1e-13)
    np.testing.assert_allclose(nx.trapezoid(X, dx=0.5).numpy(), np.trapezoid(X, dx=0.5), rtol=1e-13)
    assert nx.cumulative_trapezoid(nx.tensor([1.0, 3.0, 5.0]), dim=0).tolist() == [2, 6]
    for order in (1, 2):
        np.testing.assert_allclose(
            nx.gradient(X, spacing=0.3, dim=1, edge_order=order)[0].numpy(), np.gradient(X, 0.3, axis=1, edge_order=order)
        )
        np.testing.assert_allclose(
            nx.gradient(X, spacing=(t,), dim=1, edge_order=order)[0].numpy(), np.gradient(X, t, axis=1, edge_order=order)
        )
    assert len(nx.gradient(X)) == 3
    check_gradient(lambda v: nx.gradient(v, dim=1, edge_order=2)[0], X)
    check_gradient(lambda v: nx.cumulative_trapezoid(v, dim=1), X)


@pytest.mark.parametrize("way", ["linear", "lower", "higher", "midpoint", "nearest"])
def test_quantiles(way):
    q = np.array([0.0, 0.3, 0.5, 1.0])
    np.testing.assert_allclose(nx.quantile(X, q, interpolation=way).numpy(), np.quantile(X, q, method=way), rtol=1e-13)
    for dim in (0, 1):
        want = np.quantile(X, q, axis=dim, keepdims=True, method=way)
        np.testing.assert_allclose(nx.quantile(X, q, dim, True, interpolation=way).numpy(), want, rtol=1e-13)
    holes = np.where(X > 1, np.nan, X)
    np.testing.assert_allclose(
        nx.nanquantile(holes, q, 1, interpolation=way).numpy(), np.nanquantile(holes, q, axis=1, method=way), rtol=1e-13
    )
    assert np.isnan(nx.quantile(np.array([1.0, np.nan]), 0.5, interpolation=way).item())


def test_a_number_has_no_axis_1():
    assert nx.quantile(nx.tensor(2.0), 0.5, dim=-1).item() == 2
    with pytest.raises(RangeError, match="quantile: "):
        nx.quantile(nx.tensor(2.0), 0.5, dim=1)


def test_quantiles_between_a_finite_element_and_infinity():
    ends = nx.tensor([1.0, np.inf])
    assert nx.quantile(ends, 0.25).item() == np.inf
    assert np.isnan(nx.quantile(ends, 0.5).item()) and np.isnan(nx.nanquantile(ends, 0.75).item())
    assert nx.quantile(ends, 1.0, interpolation="lower").item() == np.inf


def test_medians_and_gradients():
    holes = nx.tensor([[np.nan, 3.0, 1.0, 2.0], [np.nan] * 4])
    found = nx.nanmedian(holes, 1)
    assert (found.values[0].item(), found.indices[0].item()) == (2, 3)
    assert np.isnan(found.values[1].item())
    assert nx.nanmedian(holes).item() == 2
    check_gradient(lambda t: nx.quantile(t, 0.4, 1), X)
    check_gradient(lambda t: nx.nanmedian(t, 1).values, X)


def test_refusals():
    with pytest.raises(RangeError, match="quantile: expected q from 0 to 1"):
        nx.quantile(X, 1.5)
    with pytest.raises(ArgumentError, match="quantile: expected interpolation"):
        nx.quantile(X, 0.5, interpolation="cubic")
    with pytest.raises(ShapeError, match="gradient: expected at least 3 samples"):
        nx.gradient(X, dim=2, edge_order=2)
    with pytest.raises(ArgumentError, match="gradient: expected different axes"):
        nx.gradient(X, dim=(1, 1))
    with pytest.raises(ShapeError, match="trapezoid: expected x with 7 places"):
        nx.trapezoid(X, np.zeros(3), dim=1)


def test_the_median_and_extremes_of_everything_share_their_gradient_between_equals():
    for f, want in ((nx.median, [0, 0.5, 0.5, 0]), (nx.nanmedian, [0, 0.5, 0.5, 0]), (nx.max, [0, 0, 0, 1]), (nx.min, [1, 0, 0, 0])):
        x = nx.tensor([1.0, 2.0, 2.0, 7.0], requires_grad=True)
        f(x).backward()
        assert x.grad.tolist() == want
    x = nx.tensor([1.0, np.nan, np.nan], requires_grad=True)
    nx.max(x).backward()
    assert x.grad.tolist() == [0, 0.5, 0.5]
    assert nx.median(nx.tensor([[1.0, np.nan, np.nan]]), 1).indices.tolist() == [1]


def test_slopes_look_at_no_sample_but_their_own():
    inf, nan = np.inf, np.nan
    assert same(nx.gradient([inf, -inf, 1.0, nan, 4.0])[0].tolist(), [-inf, -inf, nan, 1.5, nan])
    assert same(nx.gradient([1.0, inf, 1.0, 2.0, 4.0], edge_order=2)[0].tolist(), [inf, 0, -inf, 1.5, 2.5])
