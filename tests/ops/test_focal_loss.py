"""Focal losses: formulas, saturation, weights, what is left out."""

import numpy as np
import pytest

import neurenix as nx
from neurenix import nn
from neurenix.errors import ArgumentError
from neurenix.nn import functional as F
from neurenix.testing import check_gradient, random_array

X, T = random_array(2, 3, 4, 5), (random_array(2, 3, 4, 5, seed=1) > 0).astype(np.float64)
LABELS = np.random.default_rng(0).integers(0, 3, (2, 4, 5))


@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2), (0.6, 0), (-1, 1.5), (0.5, 0.5)])
def test_sigmoid_form(alpha, gamma):
    p = 1 / (1 + np.exp(-X))
    pt = p * T + (1 - p) * (1 - T)
    want = -np.log(pt) * (1 - pt) ** gamma * ((alpha * T + (1 - alpha) * (1 - T)) if alpha >= 0 else 1)
    np.testing.assert_allclose(F.sigmoid_focal_loss(X, T, alpha, gamma).numpy(), want, rtol=1e-11)
    assert F.sigmoid_focal_loss(X, T, alpha, gamma, "sum").item() == pytest.approx(want.sum())
    assert nn.SigmoidFocalLoss(alpha, gamma)(X, T).item() == pytest.approx(want.mean())
    check_gradient(lambda x: F.sigmoid_focal_loss(x, T, alpha, gamma), X)
    keep = np.arange(5) < 3
    broken = np.where(keep, X, np.nan)
    for settings in ({"mask": keep}, {"ignore_index": float("nan")}):
        t = T if "mask" in settings else np.where(keep, T, np.nan)
        assert F.sigmoid_focal_loss(broken, t, alpha, gamma, "mean", **settings).item() == pytest.approx(want[..., :3].mean())


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_softmax_form(gamma):
    logp = X - np.log(np.exp(X).sum(1, keepdims=True))
    own = np.take_along_axis(logp, LABELS[:, None], 1)[:, 0]
    want = -own * (1 - np.exp(own)) ** gamma
    np.testing.assert_allclose(F.focal_loss(X, LABELS, gamma=gamma, reduction="none").numpy(), want, rtol=1e-10)
    w, heavy = np.array([0.5, 1.0, 2.0]), np.abs(random_array(2, 4, 5, seed=3))
    got = F.focal_loss(X, LABELS, w, gamma, 1, pixel_weight=heavy).item()
    kept = LABELS != 1
    assert got == pytest.approx((want * w[LABELS] * heavy)[kept].sum() / kept.sum())
    assert nn.FocalLoss(w, gamma, 1)(X, LABELS, mask=heavy > 0.5).item() == pytest.approx(
        (want * w[LABELS])[kept & (heavy > 0.5)].sum() / (kept & (heavy > 0.5)).sum()
    )
    check_gradient(lambda x: F.focal_loss(x, LABELS, w, gamma, 1), X)
    assert F.focal_loss(X, LABELS, gamma=0.0).item() == pytest.approx(F.cross_entropy(X, LABELS).item())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_saturation(dtype, gamma):
    x = nx.Tensor(np.array([1e4, -1e4, 90.0, -90.0], dtype), requires_grad=True)
    loss = F.sigmoid_focal_loss(x, np.array([1, 1, 0, 0]), -1, gamma)
    np.testing.assert_allclose(loss.numpy(), [0, 1e4, 90, 0], atol=1e-12)
    loss.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [0, -1, 1, 0], atol=1e-12)
    z = nx.Tensor(np.array([[1e4, 0.0], [0.0, 1e4]], dtype), requires_grad=True)
    classes = F.focal_loss(z, np.array([0, 0]), gamma=gamma, reduction="sum")
    classes.backward()
    assert classes.item() == 1e4
    np.testing.assert_allclose(z.grad.numpy(), [[0, 0], [-1, 1]], atol=1e-12)


def test_errors():
    with pytest.raises(ArgumentError, match="expected logits, got the output of sigmoid"):
        F.sigmoid_focal_loss(nx.Tensor(X).sigmoid(), T)
    with pytest.raises(ArgumentError, match="focal_loss: expected class numbers, got float64"):
        F.focal_loss(X, T)
    with pytest.raises(ArgumentError, match="expected gamma of at least 0, got -1"):
        F.focal_loss(X, LABELS, gamma=-1)
