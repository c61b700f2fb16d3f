"""Elements by index, in order, and in other places."""

import numpy as np
import pytest

import neurenix as nx
from neurenix.errors import ArgumentError, DTypeError, GraphError, RangeError, ShapeError
from neurenix.nn import functional as F
from neurenix.testing import check_adjoint, check_gradient, random_array

X = random_array(4, 5, 6)
MASK = X > 0.3
INDEX, J = np.array([[0, -1], [3, 1]]), np.array([2, 0])
KEYS = [
    0, -1, slice(1, 3), slice(None, None, 2), slice(3, 0, -1), ..., None, (0, 1, 2), (slice(None), 0), (..., 1), (0, ..., slice(1, 4)),
    (None, ..., None, 0), INDEX, (INDEX, J), (slice(None), J), (INDEX, slice(None), J), (slice(1, 3), INDEX, J), (J, None, 1), MASK,
    MASK[:, :, 0], (slice(None), MASK[0]), (MASK[:, 0, 0], 1), ([0, 2], [1, 1]), (..., J), np.zeros(4, bool), np.zeros((0,), np.int64),
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_getitem_is_numpys(key):
    def ours(k):
        return nx.tensor(k) if isinstance(k, np.ndarray) else k

    mine = tuple(map(ours, key)) if isinstance(key, tuple) else ours(key)
    np.testing.assert_array_equal(nx.Tensor(X)[mine].numpy(), X[key])
    check_adjoint(lambda t: t[mine], X)
    last = np.ascontiguousarray(X.transpose(2, 0, 1)).transpose(1, 2, 0)
    np.testing.assert_array_equal(nx.Tensor(last)[mine].numpy(), X[key])


def test_integers_drop_their_axes_before_tensors_choose():
    assert nx.Tensor(X)[0, :, nx.tensor(J)].shape == (5, 2)
    np.testing.assert_array_equal(nx.Tensor(X)[0, :, nx.tensor(J)].numpy(), X[0][:, J])
    assert nx.Tensor(X)[True].shape == (1, 4, 5, 6)
    assert nx.Tensor(X)[nx.tensor(False), 0].shape == (0, 5, 6)
    assert nx.tensor(3.0)[nx.tensor(True)].tolist() == [3.0]


def test_getitem_errors():
    x = nx.zeros(2, 3)
    with pytest.raises(RangeError, match=r"getitem: expected an index inside shape \(2, 3\), got 5"):
        x[5]
    with pytest.raises(RangeError, match="getitem: expected indices from -2 to 1, got 7"):
        x[nx.tensor([0, 7])]
    with pytest.raises(RangeError, match=r"getitem: expected a mask of shape \(2, 3\), got \(2, 2\)"):
        x[nx.ones(2, 2) > 0]
    with pytest.raises(DTypeError, match="getitem: expected integers, slices"):
        x[1.5]
    with pytest.raises(RangeError, match="index"):
        x[0, 0, 0]
    with pytest.raises(GraphError, match=r"use nx.where\(mask, value, x\)"):
        x[0] = 1
    with pytest.raises(AttributeError, match=r"use x = x.add\(...\)"):
        x.add_(1)
    for name, how in (("zero_", "zeros_like"), ("copy_", r"assign_\(other\)")):
        with pytest.raises(AttributeError, match=rf"{name}: expected an operation that makes a new tensor.*{how}"):
            getattr(x, name)


def test_gather_scatter_and_index_select():
    index = np.random.default_rng(0).integers(0, 5, (4, 3, 6))
    np.testing.assert_array_equal(nx.gather(X, 1, index).numpy(), np.take_along_axis(X, index, 1))
    check_adjoint(lambda t: nx.gather(t, 1, index), X)
    check_adjoint(lambda t: nx.gather(t, 1, index[:2, :, :4]), X)
    check_adjoint(lambda t: nx.index_select(t, 2, np.array([5, 0, 0])), X)
    src = random_array(4, 3, 6, seed=2)
    want = X.copy()
    np.add.at(want, (np.arange(4)[:, None, None], index, np.arange(6)), src)
    np.testing.assert_allclose(nx.scatter_add(X, 1, index, src).numpy(), want)
    check_gradient(lambda a, b: nx.scatter_add(a, 1, index, b), X, src)
    small = nx.scatter(nx.zeros(3), 0, nx.tensor([2, 0]), nx.tensor([5.0, 6.0]))
    assert small.tolist() == [6.0, 0.0, 5.0]
    assert nx.scatter(nx.zeros(3), 0, nx.tensor([1]), 9.0).tolist() == [0.0, 9.0, 0.0]
    with pytest.raises(RangeError, match="index_select: expected indices from -5 to 4, got 5"):
        nx.index_select(X, 1, nx.tensor([5]))
    with pytest.raises(ShapeError, match="gather: expected an index with 3 axes"):
        nx.gather(X, 1, nx.tensor([1]))
    with pytest.raises(DTypeError, match="index_select: expected integer indices, got float32"):
        nx.index_select(X, 1, nx.zeros(1))


def test_embedding_and_one_hot():
    weight, index = random_array(7, 3), np.array([[1, 2], [2, 6]])
    np.testing.assert_array_equal(F.embedding(index, weight).numpy(), weight[index])
    check_adjoint(lambda w: F.embedding(index, w), weight)
    w = nx.Tensor(weight, requires_grad=True)
    F.embedding(index, w, padding_idx=2).sum().backward()
    assert w.grad.numpy()[:, 0].tolist() == [0, 1, 0, 0, 0, 0, 1]
    np.testing.assert_array_equal(F.one_hot(nx.tensor([0, 2])).numpy(), np.eye(3)[[0, 2]])
    with pytest.raises(RangeError, match="one_hot: expected indices from 0 to 1, got 2"):
        F.one_hot(nx.tensor([0, 2]), 2)


def test_where_and_masks():
    y = random_array(6, seed=1)
    np.testing.assert_array_equal(nx.where(MASK, X, y).numpy(), np.where(MASK, X, y))
    check_gradient(lambda a, b: nx.where(MASK, a, b), X, y)
    check_gradient(lambda a: nx.masked_fill(a, MASK, 2.0), X)
    np.testing.assert_array_equal(nx.masked_select(X, MASK).numpy(), X[MASK])
    for ours, theirs in zip(nx.where(nx.tensor(MASK)), np.nonzero(MASK), strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs)
    np.testing.assert_array_equal(nx.nonzero(MASK).numpy(), np.argwhere(MASK))
    assert nx.where(nx.tensor([True, False]), 1, nx.tensor([5, 6])).tolist() == [1, 6]
    with pytest.raises(DTypeError, match="where: expected a bool mask, got int64"):
        nx.where(nx.tensor([1]), 1.0, nx.zeros(1))


def test_sort_topk_and_extremes_along_an_axis():
    for dim in (0, 1, -1):
        got = nx.sort(X, dim)
        np.testing.assert_array_equal(got.values.numpy(), np.sort(X, dim))
        np.testing.assert_array_equal(got.indices.numpy(), np.argsort(X, dim, kind="stable"))
        check_adjoint(lambda t, d=dim: nx.sort(t, d, descending=True).values, X)
        check_adjoint(lambda t, d=dim: nx.topk(t, 2, d).values, X)
        check_adjoint(lambda t, d=dim: nx.max(t, d).values, X)
        np.testing.assert_array_equal(nx.min(X, dim, keepdim=True).values.numpy(), X.min(dim, keepdims=True))
        np.testing.assert_array_equal(nx.max(X, dim).indices.numpy(), X.argmax(dim))
        np.testing.assert_array_equal(nx.kthvalue(X, 2, dim).values.numpy(), np.sort(X, dim).take(1, dim))
    assert nx.sort(nx.tensor([2.0, np.nan, 1.0]), descending=True).indices.tolist() == [1, 0, 2]
    assert nx.argsort(nx.tensor([1, 1, 0])).tolist() == [2, 0, 1]
    assert nx.topk(nx.tensor([3, 1, 2]), 2, largest=False).values.tolist() == [1, 2]
    assert nx.median(nx.tensor([3.0, 1.0, 2.0, 4.0])).item() == 2.0
    assert nx.median(nx.tensor([[3.0, np.nan]]), 1).values.isnan().item()
    with pytest.raises(ArgumentError, match="topk: expected k from 0 to 6, got 7"):
        nx.topk(X, 7)


def test_flips_rolls_and_repetitions():
    np.testing.assert_array_equal(nx.flip(X, (0, 2)).numpy(), X[::-1, :, ::-1])
    np.testing.assert_array_equal(nx.roll(X, (1, -2), (0, 2)).numpy(), np.roll(X, (1, -2), (0, 2)))
    np.testing.assert_array_equal(nx.roll(X, 7).numpy(), np.roll(X, 7))
    np.testing.assert_array_equal(nx.Tensor(X).repeat(2, 1, 3).numpy(), np.tile(X, (2, 1, 3)))
    np.testing.assert_array_equal(nx.tile(X, (2,)).numpy(), np.tile(X, 2))
    np.testing.assert_array_equal(nx.repeat_interleave(X, 2, 1).numpy(), np.repeat(X, 2, 1))
    for k in range(-1, 4):
        np.testing.assert_array_equal(nx.rot90(X, k, (0, 1)).numpy(), np.rot90(X, k))
    for fn in (
        lambda t: nx.flip(t, 1),
        lambda t: nx.roll(t, 2, 1),
        lambda t: t.repeat(2, 1, 1, 2),
        nx.rot90,
        nx.tril,
        lambda t: nx.triu(t, 1),
    ):
        check_adjoint(fn, X)
    np.testing.assert_array_equal(nx.tril(X, -1).numpy(), np.tril(X, -1))
    np.testing.assert_array_equal(nx.triu(X, 2).numpy(), np.triu(X, 2))


def test_diagonals():
    for offset in (-6, -2, 0, 3, 9):
        np.testing.assert_array_equal(nx.diagonal(X, offset, 2, 0).numpy(), np.diagonal(X, offset, 2, 0))
        check_adjoint(lambda t, k=offset: nx.diagonal(t, k), X)
    for offset in (-1, 0, 2):
        np.testing.assert_array_equal(nx.diag(X[0, 0], offset).numpy(), np.diag(X[0, 0], offset))
        np.testing.assert_array_equal(nx.diag(X[0], offset).numpy(), np.diag(X[0], offset))
        check_adjoint(lambda t, k=offset: nx.diag(t, k), X[0, 0])
