"""Splits, stacks, windows and products of sets against NumPy."""

import itertools

import numpy as np
import pytest

import neurenix as nx
from neurenix.errors import ArgumentError, RangeError, ShapeError
from neurenix.testing import check_adjoint, random_array

pytestmark = pytest.mark.everywhere

X = random_array(4, 5, 6)


@pytest.mark.parametrize("name", ["hsplit", "vsplit", "dsplit"])
def test_splits(name):
    for where in (2 if name != "hsplit" else 5, [1, 3]):
        for got, want in zip(getattr(nx, name)(X, where), getattr(np, name)(X, where), strict=True):
            np.testing.assert_array_equal(got.numpy(), want)
    for where in (3, (1, 2, 9), [-1]):
        for got, want in zip(nx.tensor_split(X, where, 1), np.array_split(X, where, 1), strict=True):
            np.testing.assert_array_equal(got.numpy(), want)


def test_stacks_and_axes():
    np.testing.assert_array_equal(nx.column_stack([X[0, 0], X[0, 0]]).numpy(), np.column_stack([X[0, 0], X[0, 0]]))
    np.testing.assert_array_equal(nx.row_stack([X[0, 0], X[0, 0]]).numpy(), np.vstack([X[0, 0], X[0, 0]]))
    for value in (np.array(1.0), X[0, 0], X[0], X):
        for name in ("atleast_1d", "atleast_2d", "atleast_3d"):
            np.testing.assert_array_equal(getattr(nx, name)(nx.tensor(value)).numpy(), getattr(np, name)(value))
    assert [t.shape for t in nx.atleast_2d(nx.tensor(1.0), nx.tensor([1.0]))] == [(1, 1), (1, 1)]
    assert nx.broadcast_shapes((2, 1), 3, (1, 3)) == (2, 3)


def test_products_of_sets():
    a, b = nx.tensor([1, 2]), nx.tensor([3, 4, 5])
    assert nx.cartesian_prod(a, b).tolist() == [list(p) for p in itertools.product([1, 2], [3, 4, 5])]
    assert nx.combinations(b).tolist() == [[3, 4], [3, 5], [4, 5]]
    assert nx.combinations(a, 2, True).tolist() == [[1, 1], [1, 2], [2, 2]]
    assert nx.block_diag(a, nx.tensor([[7], [8]])).tolist() == [[1, 2, 0], [0, 0, 7], [0, 0, 8]]
    assert nx.diagflat(a, 1).tolist() == [[0, 1, 0], [0, 0, 2], [0, 0, 0]]


def test_windows_and_sums():
    x = nx.Tensor(X)
    want = np.lib.stride_tricks.sliding_window_view(X, 3, 1)[:, ::2]
    np.testing.assert_array_equal(x.unfold(1, 3, 2).numpy(), want)
    assert x.unfold(0, 4, 1).shape == (1, 5, 6, 4)
    np.testing.assert_allclose(x.sum_to_size(5, 1).numpy(), X.sum((0, 2))[:, None], rtol=1e-13)
    check_adjoint(lambda t: t.unfold(1, 3, 1), X)
    check_adjoint(lambda t: nx.repeat_interleave(t, nx.tensor([1, 0, 2, 3]), 0), X)
    np.testing.assert_array_equal(nx.repeat_interleave(X, nx.tensor([1, 0, 2, 3]), 0).numpy(), np.repeat(X, [1, 0, 2, 3], 0))
    norms = np.linalg.norm(nx.renorm(X, 2, 0, 1.0).numpy().reshape(4, -1), axis=1)
    np.testing.assert_allclose(norms, 1, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int32])
def test_the_sum_of_one_integer_is_int64(dtype):
    for x in (np.array(1, dtype), np.ones((1, 1), dtype)):
        total = nx.Tensor(x).sum_to_size(())
        assert total.dtype == np.int64 and total.shape == () and total.item() == 1


def test_new_tensors_like_this_one():
    x = nx.zeros(2, dtype=nx.float64)
    assert (x.new_ones(3).dtype, x.new_full((2, 2), 4).tolist(), x.new_zeros((1, 2)).shape) == (np.float64, [[4, 4], [4, 4]], (1, 2))
    assert (x.new_empty(2, dtype=nx.int64).dtype, nx.rand_like(x).dtype, nx.randn_like(x).shape) == (np.int64, np.float64, (2,))
    assert set(nx.randint_like(x, 3, 5).tolist()) <= {3, 4}


def test_refusals():
    with pytest.raises(ArgumentError, match="hsplit: expected sections that divide 5"):
        nx.hsplit(X, 2)
    with pytest.raises(ShapeError, match="vsplit: expected at least 2 axes"):
        nx.vsplit(X[0, 0], 2)
    with pytest.raises(ArgumentError, match="tensor_split: expected a number of sections or places"):
        nx.tensor_split(X, "a")
    with pytest.raises(RangeError, match="unfold: expected a size from 0 to 5"):
        nx.Tensor(X).unfold(1, 6, 1)
    with pytest.raises(ShapeError, match="sum_to_size"):
        nx.Tensor(X).sum_to_size(3)
    with pytest.raises(ShapeError, match="cartesian_prod: expected vectors"):
        nx.cartesian_prod(X)
    with pytest.raises(ShapeError, match="repeat_interleave: expected 1 or 4 whole numbers"):
        nx.repeat_interleave(X, nx.tensor([1, 2]), 0)


def test_counts_that_are_no_integers_are_refused():
    x = nx.arange(5)
    for call in (lambda: nx.tensor_split(x, 2.5), lambda: nx.tensor_split(x, (1.5,)), lambda: nx.topk(x, 1.5), lambda: nx.kthvalue(x, 1.5)):
        with pytest.raises(ArgumentError, match="as an integer, got"):
            call()
    with pytest.raises(ShapeError, match="flipud: expected at least 1 axis"):
        nx.flipud(nx.tensor(1.0))
    with pytest.raises(ShapeError, match="meshgrid: expected vectors"):
        nx.meshgrid(nx.zeros(2, 2), x)
    with pytest.raises(ArgumentError, match="full: expected a number that uint8 holds, got 300"):
        nx.full((2,), 300, dtype=nx.uint8)
