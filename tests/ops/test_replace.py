"""Elements replaced at indices, under masks and in slices, against loops."""

import numpy as np
import pytest

import neurenix as nx
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.testing import check_gradient, random_array

X, S = random_array(4, 3), random_array(2, 3, seed=1)
AT = np.array([3, 1])
ROWS = np.array([[0, 2, 1], [3, 2, 0]])


def test_slices_at_indices():
    want = X.copy()
    want[AT] = S
    np.testing.assert_array_equal(nx.index_copy(X, 0, AT, S).numpy(), want)
    np.testing.assert_allclose(nx.index_add(X, 0, nx.tensor([1, 1]), S, alpha=2).numpy()[1], X[1] + 2 * S.sum(0), rtol=1e-14)
    want[AT] = 7
    np.testing.assert_array_equal(nx.index_fill(X, 0, AT, 7.0).numpy(), want)
    for f in (nx.index_copy, nx.index_add):
        check_gradient(lambda x, s, f=f: f(x, 0, AT, s), X, S)
    assert nx.index_add(nx.tensor(1.0), 0, nx.tensor([0]), nx.tensor([2.0])).item() == 3


def test_elements_at_indices():
    want = X.copy()
    want[AT, 1:] = 0.5
    np.testing.assert_array_equal(nx.index_put(X, (AT, None), np.array([9.0, 0.5, 0.5])).numpy()[AT][:, 1:], want[AT][:, 1:])
    total = X.copy()
    np.add.at(total, (np.array([0, 0]), np.array([1, 1])), 1.0)
    np.testing.assert_allclose(nx.index_put(X, (np.array([0, 0]), np.array([1, 1])), np.array(1.0), accumulate=True).numpy(), total)
    mask = X > 0
    filled = X.copy()
    filled[mask] = np.arange(mask.sum())
    np.testing.assert_array_equal(nx.masked_scatter(X, mask, np.arange(12.0)).numpy(), filled)
    check_gradient(lambda x, s: nx.masked_scatter(x, mask, s), X, random_array(12, seed=2))
    check_gradient(lambda x, v: nx.index_put(x, (AT,), v), X, S)


@pytest.mark.parametrize("reduce", ["sum", "prod", "mean", "amax", "amin"])
@pytest.mark.parametrize("include_self", [True, False])
def test_reductions_at_indices(reduce, include_self):
    got = nx.scatter_reduce(X, 0, ROWS, S, reduce, include_self=include_self).numpy()
    fold = {"sum": np.sum, "prod": np.prod, "mean": np.mean, "amax": np.max, "amin": np.min}[reduce]
    for i in range(4):
        for j in range(3):
            new = [S[k, j] for k in range(2) if ROWS[k, j] == i]
            values = ([X[i, j]] if include_self or not new else []) + new
            np.testing.assert_allclose(got[i, j], fold(values), rtol=1e-13)
    check_gradient(lambda x, s: nx.scatter_reduce(x, 0, ROWS, s, reduce, include_self=include_self), X, S)


def test_equal_extremes_share_the_gradient():
    x, s = nx.tensor([2.0, 0.0], requires_grad=True), nx.tensor([2.0, 2.0], requires_grad=True)
    nx.scatter_reduce(x, 0, nx.tensor([0, 0]), s, "amax").sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [1 / 3, 1])
    np.testing.assert_allclose(s.grad.numpy(), [1 / 3, 1 / 3])


def test_what_an_extreme_replaces_still_has_its_share():
    x, s = nx.tensor([2.0, 3.0], requires_grad=True), nx.tensor([2.0, 2.0], requires_grad=True)
    nx.scatter_reduce(x, 0, nx.tensor([0, 0]), s, "amin", include_self=False).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [0, 1])
    np.testing.assert_allclose(s.grad.numpy(), [1 / 3, 1 / 3])


def test_scatter_takes_a_source_with_gradient_a_value_and_reductions():
    check_gradient(lambda x, s: nx.scatter(x, 0, np.array([[0, 2, 1], [3, 1, 0]]), s), X, S)
    assert nx.scatter(nx.zeros(3), 0, nx.tensor([1]), value=4.0).tolist() == [0, 4, 0]
    assert nx.scatter(nx.ones(3), 0, nx.tensor([1, 1]), nx.tensor([2.0, 3.0]), reduce="multiply").tolist() == [1, 6, 1]
    assert nx.scatter(nx.ones(3), 0, nx.tensor([1, 1]), 2.0, reduce="add").tolist() == [1, 5, 1]


def test_slices():
    for ours, key in (
        (nx.select_scatter(X, S[:, 0].repeat(2), 1, -1), (slice(None), -1)),
        (nx.slice_scatter(X, S, 0, 1, None, 2), (slice(1, None, 2),)),
    ):
        want = X.copy()
        want[key] = S if want[key].ndim == 2 else S[:, 0].repeat(2)
        np.testing.assert_array_equal(ours.numpy(), want)
    want = X.copy()
    want[[0, 1], [1, 2]] = 5
    np.testing.assert_array_equal(nx.diagonal_scatter(X, np.full(2, 5.0), 1).numpy(), want)
    check_gradient(lambda x, s: nx.slice_scatter(x, s, 0, 1, None, 2), X, S)
    check_gradient(lambda x, s: nx.diagonal_scatter(x, s, 1), X, random_array(2))
    check_gradient(lambda x, s: nx.select_scatter(x, s, 0, 2), X, random_array(3))


def test_take_along_dim_broadcasts_and_gather_of_nothing():
    place = np.argsort(X, 0)[:1]
    np.testing.assert_array_equal(nx.take_along_dim(X, place, 0).numpy(), np.take_along_axis(X, place, 0))
    assert nx.take_along_dim(X, np.array([[1], [0], [2], [2]]), 1).shape == (4, 1)
    assert nx.take_along_dim(X, np.array([0, 11])).tolist() == [X[0, 0], X[3, 2]]
    assert nx.gather(nx.zeros(3), 0, nx.zeros(2, 0, dtype=nx.int64)).shape == (2, 0)


def test_refusals():
    with pytest.raises(ArgumentError, match="scatter_reduce: expected reduce of"):
        nx.scatter_reduce(X, 0, ROWS, S, "most")
    with pytest.raises(ShapeError, match=r"index_copy: expected a source of shape \(2, 3\)"):
        nx.index_copy(X, 0, AT, X)
    with pytest.raises(ShapeError, match="masked_scatter: expected at least"):
        nx.masked_scatter(X, X == X, np.zeros(3))
    with pytest.raises(DTypeError, match="index_add: expected a source of type"):
        nx.index_add(X, 0, AT, S.astype("f4"))
    with pytest.raises(ShapeError, match="select_scatter: expected an index inside"):
        nx.select_scatter(X, S, 0, 9)
