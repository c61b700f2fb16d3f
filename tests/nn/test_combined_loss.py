"""Weighted sums of losses, deep supervision, pixel weights, resized labels."""

import numpy as np
import pytest

import neurenix as nx
from neurenix import nn
from neurenix.errors import ArgumentError, ShapeError
from neurenix.nn import functional as F
from neurenix.testing import check_gradient, random_array


def targets(*shape):
    return (random_array(*shape, seed=4) > 0.3).astype(np.float64)


def test_combined_loss_is_the_sum_and_keeps_the_parts():
    x, t = random_array(2, 1, 5, 6), targets(2, 1, 5, 6)
    loss = nn.CombinedLoss(nn.BCEWithLogitsLoss(), nn.MSELoss(), weights=[2.0, 0.25])
    bce, mse = F.binary_cross_entropy_with_logits(x, t).item(), F.mse_loss(x, t).item()
    assert loss(x, t).item() == pytest.approx(2 * bce + mse / 4)
    assert [v.item() for v in loss.values] == [bce, mse]
    assert not loss.values[0].requires_grad
    check_gradient(lambda x: loss(x, t), x)
    mask = targets(2, 1, 5, 6) > 0
    assert nn.CombinedLoss(nn.MSELoss())(x, t, mask=mask).item() == pytest.approx(F.mse_loss(x, t, mask=mask).item())


def test_deep_supervision_halves_weights_and_resizes_targets():
    t = targets(2, 1, 9, 12)
    outputs = [random_array(2, 1, *size, seed=i) for i, size in enumerate([(9, 12), (5, 6), (3, 3)])]
    loss = nn.DeepSupervisionLoss(nn.BCEWithLogitsLoss())

    def by_hand(mode):
        parts = [F.binary_cross_entropy_with_logits(y, F.resize_labels(t, y.shape[2:], mode)).item() for y in outputs]
        return parts[0] + parts[1] / 2 + parts[2] / 4

    assert loss([nx.Tensor(y) for y in outputs], t).item() == pytest.approx(by_hand("nearest"))
    largest = nn.DeepSupervisionLoss(nn.BCEWithLogitsLoss(), mode="max", normalize=True)
    assert largest([nx.Tensor(y) for y in outputs], t).item() == pytest.approx(by_hand("max") / 1.75)
    check_gradient(lambda *ys: loss(list(ys), t), *outputs)
    assert loss(nx.Tensor(outputs[0]), t).item() == pytest.approx(F.binary_cross_entropy_with_logits(outputs[0], t).item())


def test_deep_supervision_resizes_outputs_and_maps():
    t, y = np.random.default_rng(0).integers(0, 3, (2, 8, 6)), random_array(2, 3, 4, 3)
    loss = nn.DeepSupervisionLoss(nn.CrossEntropyLoss(), weights=[1.0, 0.0, 5.0], resize="output")
    up = F.interpolate(nx.Tensor(y), size=(8, 6), mode="bilinear")
    assert loss([nx.Tensor(y), nx.Tensor(y)], t).item() == pytest.approx(F.cross_entropy(up, t).item())
    weight = np.abs(random_array(2, 8, 6))
    small = F.cross_entropy(y, F.resize_labels(t, (4, 3)), pixel_weight=F.resize_labels(weight, (4, 3)))
    assert nn.DeepSupervisionLoss(nn.CrossEntropyLoss())([nx.Tensor(y)], t, pixel_weight=weight).item() == pytest.approx(small.item())


def test_deep_supervision_over_the_levels_of_a_model():
    model = nx.multiscale.UNet(1, 1, features=[4, 8], final_activation=None, deep_supervision=True)
    loss = nn.DeepSupervisionLoss(nn.BCEWithLogitsLoss(ignore_index=255), mode="max")
    x, t = random_array(2, 1, 13, 18, dtype=np.float32), targets(2, 1, 13, 18).astype(np.float32)
    loss(model(nx.Tensor(x)), t).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_resized_labels():
    t = np.array([[0, 1, 2, 3, 4]])
    assert F.resize_labels(t, (1, 3)).numpy().tolist() == [[0, 2, 4]]
    assert F.resize_labels(t, (1, 3), "max").numpy().tolist() == [[1, 3, 4]]
    assert F.resize_labels(t, (2, 10)).numpy().tolist() == [[0, 0, 1, 1, 2, 2, 3, 3, 4, 4]] * 2
    ignored = np.array([[255, 1, 255, 255]], np.uint8)
    got = F.resize_labels(ignored, (1, 2), "max", ignore_index=255)
    assert got.numpy().tolist() == [[1, 255]]
    assert got.dtype == np.uint8
    assert F.resize_labels(np.array([1.0, np.nan, np.nan, np.nan]), (2,), "max", ignore_index=np.nan).numpy().tolist()[0] == 1.0
    assert F.resize_labels(np.zeros((2, 3, 4, 5, 6)), (2, 2, 2), "max").shape == (2, 3, 2, 2, 2)
    thin = np.zeros((1, 8, 8), bool)
    thin[0, 5] = True
    assert F.resize_labels(thin, (2, 2), "max").numpy().tolist() == [[[False, False], [True, True]]]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_pixel_weights_of_classes(smoothing):
    x, t = random_array(2, 4, 3, 5), np.random.default_rng(1).integers(0, 4, (2, 3, 5))
    w, classes = np.abs(random_array(2, 3, 5, seed=2)), np.abs(random_array(4, seed=3))
    settings = {"weight": classes, "ignore_index": 2, "label_smoothing": smoothing}
    each = F.cross_entropy(x, t, reduction="none", **settings).numpy()
    np.testing.assert_allclose(F.cross_entropy(x, t, reduction="none", pixel_weight=w, **settings).numpy(), w * each, rtol=1e-12)
    share = w * classes[t] * (t != 2)
    assert F.cross_entropy(x, t, pixel_weight=w, **settings).item() == pytest.approx((w * each).sum() / share.sum())
    check_gradient(lambda x: F.cross_entropy(x, t, pixel_weight=w, **settings), x)
    mask = w > 0.5
    broken = x.copy()
    broken[:, :, 0, 0] = np.nan
    mask[:, 0, 0] = False
    masked = F.cross_entropy(broken, t, mask=mask, **settings).item()
    assert masked == pytest.approx(each[mask].sum() / (classes[t] * (t != 2))[mask].sum())
    logp = F.log_softmax(nx.Tensor(x), 1)
    assert F.nll_loss(logp, t, classes, pixel_weight=w).item() == pytest.approx(F.cross_entropy(x, t, classes, pixel_weight=w).item())
    soft = np.moveaxis(np.eye(4)[t], -1, 1)
    soft_each = F.cross_entropy(x, soft, reduction="none").numpy()
    assert F.cross_entropy(x, soft, pixel_weight=w).item() == pytest.approx((w * soft_each).sum() / w.sum())
    assert nn.CrossEntropyLoss()(x, t, pixel_weight=w).item() == pytest.approx(F.cross_entropy(x, t, pixel_weight=w).item())


def test_pixel_weights_of_masks_and_nodata():
    x, t = random_array(2, 1, 3, 5), targets(2, 1, 3, 5)
    w = np.abs(random_array(2, 1, 3, 5, seed=2))
    each = F.binary_cross_entropy_with_logits(x, t, reduction="none").numpy()
    want = (w * each).sum() / w.sum()
    assert F.binary_cross_entropy_with_logits(x, t, pixel_weight=w).item() == pytest.approx(want)
    assert nn.BCELoss()(nx.Tensor(x).sigmoid(), t, pixel_weight=w).item() == pytest.approx(want)
    t[0, 0, 1] = np.nan
    kept = ~np.isnan(t)
    got = F.binary_cross_entropy_with_logits(x, t, ignore_index=float("nan"), pixel_weight=w).item()
    assert got == pytest.approx((w * each)[kept].sum() / w[kept].sum())


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (nn.CombinedLoss, ArgumentError, r"CombinedLoss: expected losses, got \(\)"),
        (
            lambda: nn.CombinedLoss(nn.MSELoss(), weights=[1, 2]),
            ArgumentError,
            r"expected weights as 1 numbers of at least 0, got \[1, 2\]",
        ),
        (lambda: nn.DeepSupervisionLoss(3), ArgumentError, "DeepSupervisionLoss: expected a loss, got 3"),
        (lambda: nn.DeepSupervisionLoss(nn.MSELoss(), [-1.0]), ArgumentError, "expected weights as numbers of at least 0"),
        (lambda: nn.DeepSupervisionLoss(nn.MSELoss(), resize="both"), ArgumentError, "expected resize one of 'target', 'output'"),
        (lambda: nn.DeepSupervisionLoss(nn.MSELoss(), [1.0])([X, X], X), ArgumentError, "expected 1 to 1 outputs, got 2"),
        (lambda: nn.DeepSupervisionLoss(nn.MSELoss())([], X), ArgumentError, "outputs, got 0"),
        (lambda: F.resize_labels(np.zeros(3), (2, 2)), ShapeError, "expected a target of at least 2 axes"),
        (
            lambda: F.cross_entropy(np.zeros((1, 2, 3)), np.zeros((1, 3), int), pixel_weight=np.ones(4)),
            ShapeError,
            "pixel_weight that spreads",
        ),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()


X = nx.Tensor(shape=(1, 1, 4, 4))
