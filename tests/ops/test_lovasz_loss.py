"""Lovász losses: by definition over sets, by the published recipe, ties, what is left out."""

import itertools

import numpy as np
import pytest

import neurenix as nx
from neurenix import nn
from neurenix.errors import ArgumentError
from neurenix.nn import functional as F
from neurenix.testing import check_gradient


def extension(errors, truth):
    """The sum over sorted errors of each times what its pixel adds to the Jaccard loss of the set before it."""
    order, total, before, wrong = np.argsort(-errors, kind="stable"), 0.0, 0.0, set()
    objects = {i for i, t in enumerate(truth) if t}
    for i in order:
        wrong.add(int(i))
        union = len(objects | wrong)
        loss = 1 - len(objects - wrong) / union if union else 0.0
        total, before = total + errors[i] * (loss - before), loss
    return total


@pytest.mark.parametrize("n", [1, 5, 40])
def test_hinge_by_definition(n):
    rng = np.random.default_rng(n)
    x, t = rng.standard_normal((3, n)) * 2, (rng.random((3, n)) > 0.4).astype(float)
    want = [extension(np.maximum(1 - a * (2 * b - 1), 0), b) for a, b in zip(x, t, strict=True)]
    np.testing.assert_allclose(F.lovasz_hinge_loss(x, t, reduction="none").numpy(), want, rtol=1e-12, atol=1e-14)
    whole = extension(np.maximum(1 - x * (2 * t - 1), 0).ravel(), t.ravel())
    assert F.lovasz_hinge_loss(x, t, per_sample=False).item() == pytest.approx(whole)
    check_gradient(lambda x: F.lovasz_hinge_loss(x, t), x)


def test_softmax_by_definition():
    rng = np.random.default_rng(3)
    p, t = rng.random((2, 4, 5, 6)), rng.integers(0, 3, (2, 5, 6))  # class 3 does not occur

    def of(p, t, classes):
        q = np.moveaxis(p, 1, -1).reshape(-1, 4)
        return np.mean([extension(np.abs((t.ravel() == c) - q[:, c]), t.ravel() == c) for c in classes])

    assert F.lovasz_softmax_loss(p, t).item() == pytest.approx(of(p, t, (0, 1, 2)))
    assert F.lovasz_softmax_loss(p, t, classes="all").item() == pytest.approx(of(p, t, (0, 1, 2, 3)))
    assert F.lovasz_softmax_loss(p, t, classes=[1, 3]).item() == pytest.approx(of(p, t, (1, 3)))
    single = [of(p[i : i + 1], t[i], (0, 1, 2)) for i in range(2)]
    np.testing.assert_allclose(F.lovasz_softmax_loss(p, t, per_sample=True, reduction="none").numpy(), single)
    check_gradient(lambda p: F.lovasz_softmax_loss(p, t, per_sample=True, reduction="sum"), p)


def test_at_corners_it_is_the_jaccard_loss():
    truth = np.array([1, 1, 0, 0, 1])
    for guess in itertools.product((0.0, 1.0), repeat=5):
        p = np.array(guess)
        union = np.count_nonzero(p + truth)
        want = 1 - (p * truth).sum() / union
        assert F.lovasz_softmax_loss(p.reshape(1, 1, 5), truth.reshape(1, 1, 5)).item() == pytest.approx(want)


def test_large_float32_maps_keep_their_gradient():
    rng = np.random.default_rng(1)
    x, t = rng.standard_normal((1, 200, 200)), rng.random((1, 200, 200)) > 0.5
    slopes = []
    for dtype in (np.float32, np.float64):
        z = nx.Tensor(x.astype(dtype), requires_grad=True)
        F.lovasz_hinge_loss(z, t).backward()
        slopes.append(z.grad.numpy())
    np.testing.assert_allclose(slopes[0], slopes[1], rtol=1e-4, atol=1e-12)


def test_left_out_perfect_and_empty():
    rng = np.random.default_rng(5)
    x, t = rng.standard_normal((2, 3, 8)), (rng.random((2, 3, 8)) > 0.5).astype(float)
    want = F.lovasz_hinge_loss(x[..., :5], t[..., :5]).item()
    broken, keep = np.where(np.arange(8) < 5, x, np.nan), np.arange(8) < 5
    assert F.lovasz_hinge_loss(broken, t, mask=keep).item() == pytest.approx(want)
    assert F.lovasz_hinge_loss(broken, np.where(keep, t, 255), ignore_index=255).item() == pytest.approx(want)
    assert nn.LovaszHingeLoss(ignore_index=255)(broken, np.where(keep, t, 255)).item() == pytest.approx(want)
    assert F.lovasz_hinge_loss(x, t, mask=np.zeros(8)).item() == 0
    assert F.lovasz_hinge_loss(np.where(t > 0, 2.0, -2.0), t).item() == 0
    labels = np.zeros((1, 4), int)
    assert F.lovasz_softmax_loss(np.full((1, 2, 4), 0.5), np.full((1, 4), 255), ignore_index=255).item() == 0
    assert nn.LovaszSoftmaxLoss()(np.stack([1.0 - labels, labels * 1.0], 1), labels).item() == 0


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: F.lovasz_softmax_loss(np.ones((1, 2, 3)), np.zeros((1, 3), int), classes="some"),
            "expected classes 'present', 'all' or a list",
        ),
        (lambda: F.lovasz_softmax_loss(np.ones((1, 2, 3)), np.zeros((1, 3), int), classes=[2]), "expected classes from 0 to 1"),
        (
            lambda: F.lovasz_hinge_loss(nx.Tensor([[0.5]]).sigmoid(), [[1.0]]),
            "expected logits, got the output of sigmoid.*lovasz_softmax_loss",
        ),
    ],
)
def test_errors(call, text):
    with pytest.raises(ArgumentError, match=text):
        call()
