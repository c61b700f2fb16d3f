"""Losses over classes: values, gradients, ignored labels, logits behind softmax, bits, errors."""

import numpy as np
import pytest

import neurenix as nx
from neurenix import _rust
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.nn import functional as F
from neurenix.testing import assert_same_bits, check_gradient, random_array

SHAPES = [(5,), (4, 5), (2, 5, 3), (2, 5, 3, 4), (3, 40, 7)]


def labels(shape, classes):
    rest = shape[:1] + shape[2:] if len(shape) > 1 else ()
    return np.random.default_rng([1, *shape]).integers(0, classes, rest)


def log_softmax(x):
    axis = min(1, x.ndim - 1)
    return x - np.log(np.exp(x).sum(axis, keepdims=True))


def classes_last(x):
    return np.moveaxis(x, min(1, x.ndim - 1), -1)


def by_hand(x, t, weight=None, smoothing=0.0, ignore=-100):
    """Losses and shares of the rows."""
    logp = classes_last(log_softmax(x))
    n = logp.shape[-1]
    w = np.ones(n) if weight is None else weight
    keep = t != ignore
    safe = np.where(keep, t, 0)
    own = -w[safe] * np.take_along_axis(logp, safe[..., None], -1)[..., 0]
    loss = (1 - smoothing) * own - smoothing / n * (w * logp).sum(-1)
    return np.where(keep, loss, 0), np.where(keep, w[safe], 0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy(shape, smoothing, weighted):
    x, classes = random_array(*shape), shape[min(1, len(shape) - 1)]
    t, w = labels(shape, classes), np.abs(random_array(classes, seed=2)) if weighted else None
    ignore = 1 if t.ndim else -100
    loss, share = by_hand(x, t, w, smoothing, ignore)
    settings = {"weight": w, "label_smoothing": smoothing, "ignore_index": ignore}
    np.testing.assert_allclose(F.cross_entropy(x, t, reduction="none", **settings).numpy(), loss, rtol=1e-11, atol=1e-13)
    assert F.cross_entropy(x, t, reduction="sum", **settings).item() == pytest.approx(loss.sum(), rel=1e-11)
    assert F.cross_entropy(x, t, **settings).item() == pytest.approx(loss.sum() / share.sum(), rel=1e-11)
    for how in ("none", "mean", "sum"):
        check_gradient(lambda x, how=how: F.cross_entropy(x, t, reduction=how, **settings), x)


@pytest.mark.parametrize("shape", SHAPES)
def test_cross_entropy_with_probabilities(shape):
    x, t, classes = random_array(*shape), np.exp(log_softmax(random_array(*shape, seed=1))), shape[min(1, len(shape) - 1)]
    w = np.abs(random_array(classes, seed=2))
    soft = 0.9 * classes_last(t) + 0.1 / classes
    want = -(w * soft * classes_last(log_softmax(x))).sum(-1)
    settings = {"weight": w, "label_smoothing": 0.1}
    np.testing.assert_allclose(F.cross_entropy(x, t, reduction="none", **settings).numpy(), want, rtol=1e-11)
    assert F.cross_entropy(x, t, **settings).item() == pytest.approx(want.mean(), rel=1e-11)
    for how in ("none", "mean"):
        check_gradient(lambda x, t, how=how: F.cross_entropy(x, t, reduction=how, **settings), x, t)


@pytest.mark.parametrize("shape", SHAPES)
def test_nll_loss(shape):
    x, classes = random_array(*shape), shape[min(1, len(shape) - 1)]
    t, w = labels(shape, classes), np.abs(random_array(classes, seed=2))
    loss, share = by_hand(x, t, w)
    assert F.nll_loss(log_softmax(x), t, w).item() == pytest.approx(loss.sum() / share.sum(), rel=1e-11)
    for how in ("none", "mean"):
        check_gradient(lambda x, how=how: F.nll_loss(x, t, w, reduction=how), x)


def test_far_logits_and_ignored_rows():
    x = nx.tensor(np.array([[1e4, -1e4], [np.inf, 0.0], [0.0, 0.0]]), requires_grad=True)
    loss = F.cross_entropy(x, np.array([1, 255, 0]), ignore_index=255, reduction="none")
    np.testing.assert_allclose(loss.numpy(), [2e4, 0, np.log(2)])
    loss.backward(np.ones(3))
    np.testing.assert_allclose(x.grad.numpy(), [[1, -1], [0, 0], [-0.5, 0.5]])
    assert np.isnan(F.cross_entropy(x, np.full(3, 255), ignore_index=255).item())


@pytest.mark.parametrize("shape", [(5,), (2, 5, 3)])
def test_weights_beside_probabilities_learn(shape):
    x, p, w = random_array(*shape), np.abs(random_array(*shape, seed=1)), np.abs(random_array(5, seed=2))
    check_gradient(lambda x, p, w: F.cross_entropy(x, p, w, label_smoothing=0.1), x, p, w)
    want = F.cross_entropy(x, p, w, label_smoothing=0.1).item()
    assert F.cross_entropy(x, p, nx.tensor(w, requires_grad=True), label_smoothing=0.1).item() == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("classes", [3, 40])
def test_an_infinite_logit_leaves_no_probabilities(classes):
    logits = np.zeros((2, classes), np.float32)
    logits[0, 0] = np.inf
    x = nx.tensor(logits, requires_grad=True)
    loss = F.cross_entropy(x, nx.tensor([1, 1]), reduction="none")
    loss.sum().backward()
    assert np.isnan(loss[0].item()) and np.isfinite(loss[1].item())
    assert np.isnan(x.grad.numpy()[0]).all() and np.isfinite(x.grad.numpy()[1]).all()


def test_channels_last_and_uint8_labels():
    x = random_array(2, 6, 5, 4)
    t = labels(x.shape, 6)
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    want = F.cross_entropy(x, t).numpy()
    assert_same_bits(F.cross_entropy(last, t).numpy(), want)
    assert_same_bits(F.cross_entropy(last, t.astype(np.uint8)).numpy(), want)


def test_probabilities_of_softmax():
    x = nx.Tensor(np.array([[500.0, 0.0], [1.0, 2.0]]), requires_grad=True)
    t = np.array([1, 0])
    loss = F.nll_loss(x.softmax(1), t, reduction="sum")
    assert loss.item() == pytest.approx(100 + np.log(1 + np.e))
    loss.backward()
    p = np.exp(log_softmax(x.numpy()))
    np.testing.assert_allclose(x.grad.numpy(), p - np.eye(2)[t], rtol=1e-12)
    with pytest.raises(ArgumentError, match=r"cross_entropy: expected logits, got the output of softmax.*final_activation=None"):
        F.cross_entropy(x.softmax(1), t)
    with pytest.raises(ArgumentError, match=r"nll_loss: expected log-probabilities, got the output of sigmoid"):
        F.nll_loss(x.sigmoid(), t)


def test_margins():
    x = np.array([[0.1, 0.8, 0.5], [0.3, 0.2, 0.9]])
    t = np.array([2, 0])
    want = np.array([(0.6 + 1.3) / 3, (0.9 + 1.6) / 3])
    np.testing.assert_allclose(F.multi_margin_loss(x, t, reduction="none").numpy(), want)
    assert F.multi_margin_loss(x, t, weight=np.array([2.0, 1.0, 0.5])).item() == pytest.approx((want * [0.5, 2]).mean())
    listed = np.array([[2, 0, -1], [1, -1, 0]])
    want = np.array([(1 - 0.5 + 0.8 + 1 - 0.1 + 0.8) / 3, (1 - 0.2 + 0.3 + 1 - 0.2 + 0.9) / 3])
    np.testing.assert_allclose(F.multilabel_margin_loss(x, listed, reduction="none").numpy(), want)
    for fn in (lambda x: F.multi_margin_loss(x, t, p=2), lambda x: F.multilabel_margin_loss(x, listed, reduction="none")):
        check_gradient(fn, x)
    soft = np.logaddexp(0, x) - np.eye(3)[t] * x
    assert F.multilabel_soft_margin_loss(x, np.eye(3)[t]).item() == pytest.approx(soft.mean())


@pytest.mark.parametrize("classes", [2, 4, 21, 70])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_bits_do_not_depend_on_threads_levels_or_memory_order(classes, smoothing, each_thread_count):
    x, t = random_array(3, classes, 20, 21).astype(np.float32), labels((3, classes, 20, 21), classes)
    t[0, :3] = -100
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)

    def run(x=x):
        z = nx.Tensor(x, requires_grad=True)
        loss = F.cross_entropy(z, t, label_smoothing=smoothing)
        loss.backward()
        return loss.numpy(), z.grad.numpy()

    results = [*each_thread_count(run), run(last)]
    before = _rust.level()
    for level in _rust.levels():
        _rust.set_level(level)
        results += [run(), run(last)]
    _rust.set_level(before)
    for loss, gradient in results:
        assert_same_bits(loss, results[0][0])
        assert_same_bits(gradient, results[0][1])


def test_errors():
    x = np.zeros((2, 3, 4, 4), np.float32)
    t = np.zeros((2, 4, 4), np.int64)
    with pytest.raises(ArgumentError, match=r"cross_entropy: expected target classes of 0 to 2 or ignore_index=-100, got 7"):
        F.cross_entropy(x, t + 7)
    with pytest.raises(
        ShapeError, match=r"cross_entropy: expected a target of shape \(2, 4, 4\) for input \(2, 3, 4, 4\), got \(2, 1, 4, 4\)"
    ):
        F.cross_entropy(x, t[:, None])
    with pytest.raises(ShapeError, match=r"cross_entropy: expected a target of shape \(2, 3, 4, 4\)"):
        F.cross_entropy(x, np.zeros((2, 3, 4, 5), np.float32))
    with pytest.raises(DTypeError, match=r"cross_entropy: expected integer class numbers, or probabilities of shape \(2, 3, 4, 4\)"):
        F.cross_entropy(x, t.astype(np.float32))
    with pytest.raises(ShapeError, match=r"nll_loss: expected a weight float32\(3,\), one a class, got float32\(4,\)"):
        F.nll_loss(x, t, np.ones(4, np.float32))
    with pytest.raises(DTypeError, match="nll_loss: expected class numbers, got float32"):
        F.nll_loss(x, t.astype(np.float32))
    with pytest.raises(ArgumentError, match=r"cross_entropy: expected label_smoothing in \[0, 1\], got 2"):
        F.cross_entropy(x, t, label_smoothing=2)
    with pytest.raises(ShapeError, match="cross_entropy: expected .*got a 0-d input"):
        F.cross_entropy(np.float32(1), np.int64(0))
    with pytest.raises(ArgumentError, match="multi_margin_loss: expected p of 1 or 2, got 3"):
        F.multi_margin_loss(x[:, :, 0, 0], np.zeros(2, np.int64), p=3)
    with pytest.raises(ShapeError, match="multi_margin_loss: expected 2 class numbers"):
        F.multi_margin_loss(x[:, :, 0, 0], np.zeros(3, np.int64))
    with pytest.raises(ShapeError, match=r"multi_margin_loss: expected \(C,\) or \(N, C\)"):
        F.multi_margin_loss(x, np.zeros(2, np.int64))
    with pytest.raises(ShapeError, match="multilabel_margin_loss: expected class numbers of shape"):
        F.multilabel_margin_loss(x[:, :, 0, 0], np.zeros(2, np.int64))
