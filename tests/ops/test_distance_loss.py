"""Losses of distances by their formulas."""

import numpy as np
import pytest

import neurenix as nx
from neurenix.errors import ArgumentError, RangeError, ShapeError
from neurenix.testing import check_gradient, random_array

F = nx.nn.functional
X, Y, Z = (random_array(5, 3, seed=s) for s in range(3))
SIGNS = np.array([1.0, -1.0, 1.0, -1.0, -1.0])


def reduced(values, how):
    return {"none": values, "mean": values.mean(), "sum": values.sum()}[how]


@pytest.mark.parametrize("how", ["none", "mean", "sum"])
def test_values(how):
    var = np.abs(Z)
    want = 0.5 * (np.log(var) + (X - Y) ** 2 / var)
    np.testing.assert_allclose(F.gaussian_nll_loss(X, Y, var, reduction=how).numpy(), reduced(want, how), rtol=1e-12)
    want += 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(nx.nn.GaussianNLLLoss(full=True, reduction=how)(X, Y, var).numpy(), reduced(want, how), rtol=1e-12)
    d = np.abs(X[:, 0])
    want = np.where(SIGNS == 1, d, np.maximum(0, 1.5 - d))
    np.testing.assert_allclose(nx.nn.HingeEmbeddingLoss(1.5, reduction=how)(d, SIGNS).numpy(), reduced(want, how))
    want = np.maximum(0, 0.2 - SIGNS * (X[:, 0] - Y[:, 0]))
    np.testing.assert_allclose(nx.nn.MarginRankingLoss(0.2, reduction=how)(X[:, 0], Y[:, 0], SIGNS).numpy(), reduced(want, how))
    cos = (X * Y).sum(1) / np.linalg.norm(X, axis=1) / np.linalg.norm(Y, axis=1)
    want = np.where(SIGNS == 1, 1 - cos, np.maximum(0, cos - 0.1))
    np.testing.assert_allclose(nx.nn.CosineEmbeddingLoss(0.1, reduction=how)(X, Y, SIGNS).numpy(), reduced(want, how), rtol=1e-10)
    near, far, other = (np.linalg.norm(a - b + 1e-6, axis=1) for a, b in ((X, Y), (X, Z), (Y, Z)))
    want = np.maximum(0, near - np.minimum(far, other) + 1)
    np.testing.assert_allclose(nx.nn.TripletMarginLoss(swap=True, reduction=how)(X, Y, Z).numpy(), reduced(want, how), rtol=1e-12)

    def distance(a, b):
        return (a - b).abs().sum(-1)

    loss = nx.nn.TripletMarginWithDistanceLoss(distance_function=distance, reduction=how)
    want = np.maximum(0, np.abs(X - Y).sum(1) - np.abs(X - Z).sum(1) + 1)
    np.testing.assert_allclose(loss(nx.Tensor(X), nx.Tensor(Y), nx.Tensor(Z)).numpy(), reduced(want, how), rtol=1e-12)


def test_distances_of_all_pairs():
    full = np.linalg.norm(X[:, None] - X[None], axis=-1)
    np.testing.assert_allclose(F.pdist(X).numpy(), full[np.triu_indices(5, 1)], rtol=1e-12)
    assert F.pdist(X[:1]).shape == (0,)


def test_gradients():
    check_gradient(F.gaussian_nll_loss, X, Y, np.abs(Z) + 0.1)
    check_gradient(lambda a, b: F.cosine_embedding_loss(a, b, SIGNS, 0.1), X, Y)
    check_gradient(F.triplet_margin_loss, X, Y, Z)
    check_gradient(F.pdist, X)
    var = nx.tensor([1e-9], requires_grad=True)  # below eps: counts as eps, and the gradient passes
    F.gaussian_nll_loss(nx.zeros(1), nx.zeros(1), var).backward()
    assert var.grad.item() == pytest.approx(0.5e6)


def test_refusals():
    with pytest.raises(RangeError, match="gaussian_nll_loss: expected variances of at least 0"):
        F.gaussian_nll_loss(X, Y, -np.abs(Z))
    with pytest.raises(ShapeError, match="gaussian_nll_loss: expected var of shape"):
        F.gaussian_nll_loss(X, Y, np.ones((2, 2)))
    with pytest.raises(ShapeError, match="cosine_embedding_loss"):
        F.cosine_embedding_loss(X, Y, np.ones((5, 3)))
    with pytest.raises(ArgumentError, match="triplet_margin_loss: expected a margin above 0"):
        F.triplet_margin_loss(X, Y, Z, margin=0)
    with pytest.raises(ShapeError, match="pdist: expected a matrix"):
        F.pdist(X[0])
