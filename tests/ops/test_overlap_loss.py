"""Losses of overlap, centre lines and boundaries: formulas, perfect and empty predictions, what is left out, gradients, errors."""

import numpy as np
import pytest
from scipy import ndimage

import neurenix as nx
from neurenix import nn
from neurenix.errors import ArgumentError, ShapeError
from neurenix.nn import functional as F
from neurenix.testing import assert_same_bits, check_gradient, check_used_twice

RNG = np.random.default_rng(0)
P = RNG.random((2, 3, 6, 7)) * 0.9 + 0.05
LOGITS = RNG.standard_normal((2, 3, 6, 7))
LABELS = RNG.integers(0, 3, (2, 6, 7))
T = np.moveaxis(np.eye(3)[LABELS], -1, 1)
OVERLAPS = [F.dice_loss, F.jaccard_loss, F.tversky_loss, F.focal_tversky_loss, F.generalized_dice_loss, F.soft_cldice_loss]
ALL = [*OVERLAPS, F.lovasz_softmax_loss, F.boundary_loss]
AXES = {False: (0, 2, 3), True: (2, 3)}


def tversky(p, t, axes, alpha, beta, smooth=1.0):
    tp, fp, fn = (p * t).sum(axes), (p * (1 - t)).sum(axes), ((1 - p) * t).sum(axes)
    return (tp + smooth) / (tp + alpha * fp + beta * fn + smooth)


@pytest.mark.parametrize("per_sample", [False, True])
def test_formulas(per_sample):
    axes, how = AXES[per_sample], {"per_sample": per_sample, "reduction": "none"}
    both, apart = (P * T).sum(axes), P.sum(axes) + T.sum(axes)
    near = {"rtol": 1e-12, "atol": 1e-14}
    np.testing.assert_allclose(F.dice_loss(P, T, **how).numpy(), 1 - (2 * both + 1) / (apart + 1), **near)
    squares = (P * P).sum(axes) + (T * T).sum(axes)
    np.testing.assert_allclose(F.dice_loss(P, T, 0.0, squared=True, **how).numpy(), 1 - 2 * both / squares, **near)
    np.testing.assert_allclose(F.jaccard_loss(P, T, 0.5, **how).numpy(), 1 - (both + 0.5) / (apart - both + 0.5), **near)
    np.testing.assert_allclose(F.tversky_loss(P, T, 0.2, 0.9, **how).numpy(), 1 - tversky(P, T, axes, 0.2, 0.9), **near)
    focal = (1 - tversky(P, T, axes, 0.3, 0.7)) ** 0.75
    np.testing.assert_allclose(F.focal_tversky_loss(P, T, **how).numpy(), focal, **near)
    for weighting, power in (("square", 2), ("simple", 1), ("uniform", 0)):
        w = T.sum(axes) ** -float(power)
        want = 1 - 2 * (w * both).sum(-1) / (w * apart).sum(-1)
        np.testing.assert_allclose(F.generalized_dice_loss(P, T, weighting=weighting, **how).numpy(), want, **near)


def test_tversky_contains_dice_and_jaccard():
    assert F.tversky_loss(P, T, 0.5, 0.5, smooth=0.0).item() == pytest.approx(F.dice_loss(P, T, 0.0).item())
    assert F.tversky_loss(P, T, 1.0, 1.0).item() == pytest.approx(F.jaccard_loss(P, T).item())


@pytest.mark.parametrize("loss", ALL, ids=lambda f: f.__name__)
def test_class_numbers_activations_and_gradients(loss):
    assert loss(P, LABELS).item() == loss(P, T).item() == loss(P, T.astype(bool)).item()
    marked = nx.Tensor(LOGITS).softmax(1)
    assert loss(LOGITS, LABELS, activation="softmax").item() == loss(marked, LABELS).item()
    assert loss(LOGITS, T, activation="sigmoid").item() == loss(nx.Tensor(LOGITS).sigmoid(), T).item()
    check_gradient(lambda x: loss(x, LABELS), P)
    check_gradient(lambda x: loss(x, LABELS, activation="softmax", ignore_index=1), LOGITS)
    check_used_twice(lambda x: loss(x, LABELS), P)


@pytest.mark.parametrize("loss", OVERLAPS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("smooth", [0.0, 1.0])
def test_perfect_empty_and_saturated_predictions(loss, smooth):
    for dtype in (np.float32, np.float64):
        assert loss(T.astype(dtype), LABELS, smooth=smooth).item() == pytest.approx(0, abs=1e-6)
        nothing = np.zeros((1, 1, 4, 5), dtype)
        assert loss(nothing, nothing, smooth=smooth).item() == 0
        x = nx.Tensor(np.full((2, 3, 6, 7), 1e4, dtype) * np.where(T > 0, -1, 1).astype(dtype), requires_grad=True)
        y = loss(x, LABELS, smooth=smooth, activation="softmax")
        y.backward()
        assert np.isfinite(y.item())
        assert np.isfinite(x.grad.numpy()).all()
    exact = nx.Tensor(T.copy(), requires_grad=True)
    loss(exact, LABELS, smooth=smooth).backward()
    assert np.isfinite(exact.grad.numpy()).all()


@pytest.mark.parametrize("loss", ALL, ids=lambda f: f.__name__)
def test_what_is_left_out_counts_for_nothing(loss):
    keep = np.ones(LABELS.shape, bool)
    keep[:, 4:] = False
    broken = np.where(keep[:, None], P, np.nan)
    nodata = np.where(keep, LABELS, 255)
    full = loss(np.where(keep[:, None], P, 0), np.where(keep[:, None], T, 0)).item()
    if loss is F.boundary_loss:
        far = F.signed_distance(T)
        for got in (loss(broken, None, distance=far, mask=keep), loss(broken, nodata, distance=far, ignore_index=255)):
            assert got.item() == pytest.approx((P * far.numpy())[:, :, :4].mean())
        return
    if loss is F.lovasz_softmax_loss:
        full = loss(P[:, :, :4], LABELS[:, :4]).item()
    assert loss(broken, LABELS, mask=keep).item() == pytest.approx(full)
    assert loss(broken, LABELS, mask=keep[:, None]).item() == pytest.approx(full)
    assert loss(broken, nodata, ignore_index=255).item() == pytest.approx(full)
    assert loss(broken, np.where(keep[:, None], T, np.nan), ignore_index=float("nan")).item() == pytest.approx(full)
    x = nx.Tensor(P.copy(), requires_grad=True)
    loss(x, nodata, ignore_index=255).backward()
    assert not x.grad.numpy()[:, :, 4:].any()
    assert x.grad.numpy()[:, :, :4].any()


def test_channel_weights():
    w = np.array([0.0, 1.0, 3.0])
    single = F.dice_loss(P, T, reduction="none").numpy()
    assert F.dice_loss(P, T, weight=w).item() == pytest.approx((w * single).sum() / 4)
    assert F.dice_loss(P, T, weight=w, reduction="sum").item() == pytest.approx((w * single).sum())
    assert F.dice_loss(P, T, weight=w, per_sample=True).item() == pytest.approx(
        (w * F.dice_loss(P, T, per_sample=True, reduction="none").numpy()).sum() / 8
    )


def test_rare_classes_do_not_overflow():
    t = np.zeros((1, 2, 400, 400), np.float32)
    t[0, 0] = 1
    t[0, 0, 0, 0], t[0, 1, 0, 0] = 0, 1
    assert F.generalized_dice_loss(t, t).item() == pytest.approx(0, abs=1e-6)
    assert 0.9 < F.generalized_dice_loss(1 - t, t).item() <= 1
    absent = np.stack([np.ones((4, 4)), np.zeros((4, 4))])[None]
    assert F.generalized_dice_loss(absent, absent).item() == 0


def test_signed_distance_is_the_papers():
    t = np.stack([ndimage.gaussian_filter(RNG.random((20, 23)), 2) > 0.5 for _ in range(4)]).reshape(2, 2, 20, 23)
    want = np.empty(t.shape)
    for i in np.ndindex(2, 2):
        want[i] = ndimage.distance_transform_edt(~t[i]) * ~t[i] - (ndimage.distance_transform_edt(t[i]) - 1) * t[i]
    got = F.signed_distance(t.astype(np.float64))
    assert_same_bits(got.numpy(), want)
    assert F.boundary_loss(P[:, :2, :, :], np.zeros((2, 2, 6, 7))).item() == 0  # no boundary
    p = RNG.random(t.shape)
    assert F.boundary_loss(p, t).item() == pytest.approx((p * want).mean(), rel=1e-6)
    assert F.boundary_loss(p, None, distance=got, weight=[0.0, 2.0]).item() == pytest.approx((2 * p * want)[:, 1].sum() / t.size)
    spaced = F.signed_distance(t[:1, :1].astype(np.float64), spacing=(2.0, 0.5)).numpy()[0, 0]
    assert spaced.max() == pytest.approx(ndimage.distance_transform_edt(~t[0, 0], (2.0, 0.5)).max())
    assert F.signed_distance(np.ones((1, 1, 3, 3, 3), np.uint8)).numpy().max() == 0


def test_skeletons_of_bars_and_volumes():
    bar = np.zeros((1, 1, 9, 20))
    bar[..., 2:7, :] = 1
    line = np.zeros_like(bar)
    line[..., 4, :] = 1
    assert F.soft_skeleton(bar, 3).numpy()[..., 3:-3].tolist() == line[..., 3:-3].tolist()
    assert F.soft_cldice_loss(line, bar, 3).item() < F.dice_loss(line, bar).item()  # width does not matter
    gap = line.copy()
    gap[..., 9:11] = 0
    assert F.soft_cldice_loss(gap, bar, 3).item() > F.soft_cldice_loss(line, bar, 3).item()
    x = RNG.random((1, 1, 5, 6, 7))
    check_gradient(lambda x: F.soft_cldice_loss(x, np.ones((1, 1, 5, 6, 7)), 2), x)


def test_layers_are_their_functions():
    w = np.array([0.5, 1.0, 2.0])
    more = {"smooth": 0.5, "weight": w, "activation": "softmax", "ignore_index": 1, "per_sample": True, "reduction": "sum"}
    for layer, function in (
        (nn.DiceLoss(**more), F.dice_loss),
        (nn.JaccardLoss(**more), F.jaccard_loss),
        (nn.TverskyLoss(0.3, 0.7, **more), F.tversky_loss),
        (nn.FocalTverskyLoss(**more), F.focal_tversky_loss),
        (nn.SoftClDiceLoss(10, **more), F.soft_cldice_loss),
    ):
        assert layer(LOGITS, LABELS, mask=LABELS > 0).item() == function(LOGITS, LABELS, mask=LABELS > 0, **more).item()
        assert "activation='softmax'" in repr(layer)
    general = nn.GeneralizedDiceLoss(weighting="simple", activation="softmax")
    assert general(LOGITS, LABELS).item() == F.generalized_dice_loss(LOGITS, LABELS, weighting="simple", activation="softmax").item()
    boundary = nn.BoundaryLoss(activation="softmax", spacing=2.0)
    assert boundary(LOGITS, LABELS).item() == F.boundary_loss(LOGITS, LABELS, activation="softmax", spacing=2.0).item()


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: F.dice_loss(LOGITS, T),
            ArgumentError,
            r"dice_loss: expected probabilities in \[0, 1\], got values from -.*activation='sigmoid'",
        ),
        (lambda: F.dice_loss(nx.Tensor(P).sigmoid(), T, activation="sigmoid"), ArgumentError, "expected logits, got the output of sigmoid"),
        (lambda: F.dice_loss(P, T, activation="relu"), ArgumentError, "expected activation one of 'sigmoid', 'softmax', got 'relu'"),
        (lambda: F.dice_loss(P, LABELS + 1), ArgumentError, "expected class numbers from 0 to 2, got 1 to 3; pass ignore_index"),
        (lambda: F.dice_loss(P[:, :1], LABELS), ShapeError, r"expected a target of shape \(2, 1, 6, 7\), got \(2, 6, 7\)"),
        (lambda: F.dice_loss(P, T, weight=[1.0]), ShapeError, r"expected a weight \(3,\), one a channel, got \(1,\)"),
        (lambda: F.dice_loss(P[0, 0, 0], T[0, 0, 0]), ShapeError, r"expected \(N, C, ...\), got \(7,\)"),
        (lambda: F.tversky_loss(P, T, -1), ArgumentError, "tversky_loss: expected alpha of at least 0, got -1"),
        (lambda: F.focal_tversky_loss(P, T, gamma=0), ArgumentError, "expected gamma above 0, got 0"),
        (lambda: F.generalized_dice_loss(P, T, weighting="cube"), ArgumentError, "weighting one of 'square', 'simple', 'uniform'"),
        (lambda: F.signed_distance(np.ones((3, 3))), ShapeError, r"signed_distance: expected \(N, C, ...\)"),
        (lambda: F.soft_skeleton(np.ones((3, 3))), ShapeError, r"soft_skeleton: expected \(N, C, H, W\) or \(N, C, D, H, W\)"),
        (lambda: F.soft_skeleton(P, -1), ArgumentError, "expected iterations of at least 0, got -1"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()
