"""Searches, counts and differences against NumPy."""

import numpy as np
import pytest

import neurenix as nx
from neurenix.errors import ArgumentError, RangeError, ShapeError
from neurenix.testing import check_gradient, random_array

pytestmark = pytest.mark.everywhere

RNG = np.random.default_rng(5)
LINE = np.sort(RNG.integers(0, 20, 33))
VALUES = RNG.integers(-2, 24, (4, 9))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("dtype", ["f4", "f8", "i8"])
def test_searchsorted(side, dtype):
    line, values = LINE.astype(dtype), VALUES.astype(dtype)
    np.testing.assert_array_equal(nx.searchsorted(line, values, side=side).numpy(), np.searchsorted(line, values, side))
    np.testing.assert_array_equal(nx.bucketize(values, line, right=side == "right").numpy(), np.searchsorted(line, values, side))
    rows = np.sort(RNG.standard_normal((3, 8)), -1)
    wanted = RNG.standard_normal((3, 5))
    got = nx.searchsorted(rows, wanted, right=side == "right", out_int32=True)
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got.numpy(), [np.searchsorted(r, w, side) for r, w in zip(rows, wanted, strict=True)])


def test_searchsorted_with_nan_empty_and_one():
    line = np.array([1.0, 2.0, np.nan, np.nan])
    values = np.array([0.0, 2.0, 5.0, np.nan])
    for side in ("left", "right"):
        np.testing.assert_array_equal(nx.searchsorted(line, values, side=side).numpy(), np.searchsorted(line, values, side))
    assert nx.searchsorted(nx.zeros(0), nx.tensor([1.0])).tolist() == [0]
    assert nx.bucketize(3.0, nx.tensor([1.0, 2.0])).item() == 2


def test_counts():
    x = RNG.integers(0, 6, 40)
    np.testing.assert_array_equal(nx.bincount(x, minlength=9).numpy(), np.bincount(x, minlength=9))
    w = RNG.random(40)
    np.testing.assert_allclose(nx.bincount(x, w).numpy(), np.bincount(x, w), rtol=1e-14)
    y = RNG.standard_normal(100)
    np.testing.assert_array_equal(nx.histc(y, 7, -1, 1).numpy(), np.histogram(y, 7, (-1, 1))[0])
    np.testing.assert_array_equal(nx.histc(y, 5).numpy(), np.histogram(y, 5)[0])
    np.testing.assert_array_equal(nx.isin(x, [1, 4]).numpy(), np.isin(x, [1, 4]))
    np.testing.assert_array_equal(nx.isin(x, nx.tensor([1, 4]), invert=True).numpy(), np.isin(x, [1, 4], invert=True))


def test_unique():
    x = RNG.integers(0, 5, (6, 3))
    for got, want in zip(nx.unique(x, return_inverse=True, return_counts=True), np.unique(x, False, True, True), strict=True):
        np.testing.assert_array_equal(got.numpy(), want)
    got = nx.unique(x, return_inverse=True, return_counts=True, dim=0)
    want = np.unique(x, False, True, True, axis=0)
    for ours, theirs in zip(got, want, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.reshape(ours.shape))
    assert nx.unique(nx.zeros(0)).shape == (0,)
    values, counts = nx.unique_consecutive(nx.tensor([1, 1, 2, 2, 1]), return_counts=True)
    assert (values.tolist(), counts.tolist()) == ([1, 2, 1], [2, 2, 1])


def test_mode_and_order():
    x = np.array([[3.0, 1.0, 3.0, 1.0], [2.0, 2.0, 5.0, 7.0]])
    found = nx.mode(x)
    assert found.values.tolist() == [1, 2]
    np.testing.assert_array_equal(np.take_along_axis(x, found.indices.numpy()[:, None], 1)[:, 0], [1, 2])
    check_gradient(lambda t: nx.mode(t, 1).values, random_array(3, 4))
    np.testing.assert_array_equal(nx.msort(x).numpy(), np.sort(x, 0))
    assert [t.tolist() for t in nx.unravel_index(nx.tensor([5, -1]), (2, 3))] == [[1, 1], [2, 2]]
    for name in ("tril_indices", "triu_indices"):
        for k in (-1, 0, 2):
            np.testing.assert_array_equal(getattr(nx, name)(3, 4, k).numpy(), getattr(np, name)(3, k, 4))


def test_refusals():
    with pytest.raises(ArgumentError, match="searchsorted: expected side"):
        nx.searchsorted(LINE, VALUES, side="up")
    with pytest.raises(ShapeError, match="searchsorted: expected values of shape"):
        nx.searchsorted(nx.zeros(2, 3), nx.zeros(3, 3))
    with pytest.raises(RangeError, match="bincount: expected numbers of at least 0"):
        nx.bincount(nx.tensor([-1]))
    with pytest.raises(RangeError, match="unravel_index"):
        nx.unravel_index(nx.tensor([9]), (2, 3))
    with pytest.raises(ShapeError, match="mode: expected elements"):
        nx.mode(nx.zeros(2, 0))


def test_histc_counts_beyond_what_the_elements_type_holds():
    """Counts of uint8 once wrapped at 256."""
    counts = nx.histc(nx.zeros(300, dtype=nx.uint8), 2, 0, 1)
    assert counts.dtype == np.int64 and counts.tolist() == [300, 0]


def test_isin_says_that_a_number_does_not_fit():
    with pytest.raises(ArgumentError, match="expected numbers that the type holds"):
        nx.isin(nx.tensor([44], dtype=nx.uint8), 300)
