"""Losses of single elements: values, gradients, logits behind probabilities, masks, bits, errors."""

import numpy as np
import pytest
from slopes import slopes

import neurenix as nx
from neurenix import _rust
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.nn import functional as F
from neurenix.testing import assert_same_bits, check_gradient, random_array

SHAPE = (3, 4, 5)


def probabilities(*shape, seed=0):
    return 1 / (1 + np.exp(-random_array(*shape, seed=seed)))


def softplus(x):
    return np.logaddexp(0, x)


LOSSES = [
    (F.mse_loss, {}, lambda x, t: (x - t) ** 2),
    (F.l1_loss, {}, lambda x, t: abs(x - t)),
    (F.smooth_l1_loss, {"beta": 0.7}, lambda x, t: np.where(abs(x - t) < 0.7, (x - t) ** 2 / 1.4, abs(x - t) - 0.35)),
    (F.huber_loss, {"delta": 0.7}, lambda x, t: np.where(abs(x - t) < 0.7, (x - t) ** 2 / 2, 0.7 * (abs(x - t) - 0.35))),
    (F.binary_cross_entropy_with_logits, {}, lambda x, t: softplus(x) - t * x),
    (F.kl_div, {"log_target": True}, lambda x, t: np.exp(t) * (t - x)),
    (F.poisson_nll_loss, {}, lambda x, t: np.exp(x) - t * x),
    (F.soft_margin_loss, {}, lambda x, t: softplus(-x * t)),
]


@pytest.mark.parametrize(("fn", "settings", "by_hand"), LOSSES)
def test_values_and_gradients(fn, settings, by_hand):
    x, t = random_array(*SHAPE), random_array(*SHAPE, seed=1)
    want = by_hand(x, t)
    np.testing.assert_allclose(fn(x, t, reduction="none", **settings).numpy(), want, rtol=1e-12)
    np.testing.assert_allclose(fn(x, t, reduction="sum", **settings).item(), want.sum(), rtol=1e-12)
    np.testing.assert_allclose(fn(x, t, **settings).item(), want.mean(), rtol=1e-12)
    for reduction in ("none", "mean"):
        check_gradient(lambda x, t, how=reduction: fn(x, t, reduction=how, **settings), x, t)


@pytest.mark.parametrize(
    ("fn", "settings"),
    [(F.binary_cross_entropy, {}), (F.kl_div, {"reduction": "batchmean"}), (F.poisson_nll_loss, {"log_input": False, "full": True})],
)
def test_gradients_of_positive_numbers(fn, settings):
    check_gradient(
        lambda x, t: fn(x, t, **settings), probabilities(*SHAPE), 0.1 + probabilities(*SHAPE, seed=1) * 3 * (fn is F.poisson_nll_loss)
    )


def test_binary_cross_entropy_by_hand():
    p, t, w = np.array([0.0, 1.0, 0.25]), np.array([1.0, 1.0, 0.0]), np.array([1.0, 1.0, 2.0])
    want = np.array([100.0, 0.0, -2 * np.log(0.75)])
    np.testing.assert_allclose(F.binary_cross_entropy(p, t, w, reduction="none").numpy(), want, rtol=1e-14)
    assert F.binary_cross_entropy(p, t, w).item() == pytest.approx(want.mean())


def test_weights_spread():
    x, t, w = random_array(2, 3, 4), probabilities(2, 3, 4), np.array([1.0, 2.0, 0.0]).reshape(3, 1)
    p = np.array([3.0, 1.0, 1.0, 0.5])
    want = w * ((1 - t) * x + (1 + (p - 1) * t) * softplus(-x))
    got = F.binary_cross_entropy_with_logits(x, t, w, pos_weight=p, reduction="none").numpy()
    np.testing.assert_allclose(got, want, rtol=1e-12)
    check_gradient(lambda x, t: F.binary_cross_entropy_with_logits(x, t, w, pos_weight=p), x, t)


def test_weighted_errors_divide_by_the_weights():
    x, t, w = random_array(3, 4), random_array(3, 4, seed=1), np.array([1.0, 2.0, 0.0, 4.0])
    full = np.broadcast_to(w, (3, 4))
    for fn, want in ((F.mse_loss, (x - t) ** 2), (F.l1_loss, abs(x - t))):
        assert fn(x, t, weight=w).item() == pytest.approx((full * want).sum() / full.sum())
        assert fn(x, t, weight=w, reduction="sum").item() == pytest.approx((full * want).sum())


# --- logits behind probabilities


def saturated(recorded=True):
    z = nx.Tensor(np.array([[[-300.0, -5.0], [0.5, 200.0]]], np.float32), requires_grad=recorded)
    return z, z.sigmoid()


TARGET = np.array([[[1.0, 0.0], [1.0, 0.0]]], np.float32)


def test_a_saturated_sigmoid_still_learns():
    z, p = saturated()
    loss = F.binary_cross_entropy(p, TARGET, reduction="sum")
    loss.backward()
    want = 1 / (1 + np.exp(-z.numpy().astype(np.float64))) - TARGET
    np.testing.assert_allclose(z.grad.numpy(), want, rtol=1e-6)
    stable = np.minimum(100, softplus(np.where(TARGET > 0, -z.numpy(), z.numpy())))
    assert loss.item() == pytest.approx(stable.sum(), rel=1e-6)


def test_one_value_however_the_output_was_made():
    _, p = saturated()
    want = F.binary_cross_entropy(p, TARGET).numpy()
    with nx.no_grad():
        assert_same_bits(F.binary_cross_entropy(saturated()[1], TARGET).numpy(), want)
    assert_same_bits(F.binary_cross_entropy(saturated(False)[1], TARGET).numpy(), want)
    assert_same_bits(F.binary_cross_entropy(saturated()[1].squeeze(0), TARGET[0]).numpy(), want)
    assert_same_bits(F.binary_cross_entropy(saturated()[1].reshape(4), TARGET.reshape(4)).numpy(), want)
    moved = saturated()[1].permute(2, 0, 1)
    assert F.binary_cross_entropy(moved, TARGET.transpose(2, 0, 1)).item() == pytest.approx(float(want), rel=1e-6)


def test_arithmetic_drops_the_logits():
    z, p = saturated()
    F.binary_cross_entropy(p * 1, TARGET).backward()
    assert z.grad.numpy()[0, 0, 0] == 0  # the gradient of a saturated sigmoid


def test_a_probability_that_wants_a_gradient_gets_one():
    with nx.no_grad():
        p = nx.Tensor(np.array([0.3])).sigmoid()
    p.requires_grad_()
    F.binary_cross_entropy(p, np.array([1.0])).backward()
    assert p.grad.item() == pytest.approx(-1 / p.item())


def test_probabilities_are_refused_where_logits_belong():
    _, p = saturated()
    for fn in (F.binary_cross_entropy_with_logits, F.multilabel_soft_margin_loss):
        with pytest.raises(ArgumentError, match=r"expected logits, got the output of sigmoid.*final_activation=None"):
            fn(p, TARGET)


# --- masks


def test_masked_elements_do_not_count():
    x, t = random_array(2, 3, 4), (random_array(2, 3, 4, seed=1) > 0).astype(np.int64)
    mask = np.array([True, False, True, True])
    x[..., 1] = np.nan
    kept = softplus(x[..., mask]) - t[..., mask] * x[..., mask]
    fn = F.binary_cross_entropy_with_logits
    assert fn(x, t, mask=mask).item() == pytest.approx(kept.mean())
    assert fn(x, t, mask=mask, weight=np.full(4, 2.0), reduction="sum").item() == pytest.approx(2 * kept.sum())
    labelled = t.copy()
    labelled[..., 1] = 255
    assert fn(x, labelled, ignore_index=255).item() == pytest.approx(kept.mean())
    assert F.mse_loss(x, t, mask=mask).item() == pytest.approx(((x - t)[..., mask] ** 2).mean())
    z = nx.Tensor(x, requires_grad=True)
    fn(z, labelled, ignore_index=255).backward()
    assert (z.grad.numpy()[..., 1] == 0).all()
    assert np.isfinite(z.grad.numpy()).all()


def test_dice():
    p, t = probabilities(2, 3, 4, 5), (random_array(2, 3, 4, 5, seed=1) > 0).astype(np.uint8)
    both, apart = (p * t).sum((0, 2, 3)), p.sum((0, 2, 3)) + t.sum((0, 2, 3))
    assert F.dice_loss(p, t).item() == pytest.approx((1 - (2 * both + 1) / (apart + 1)).mean())
    both, apart = (p * t).sum((2, 3)), p.sum((2, 3)) + t.sum((2, 3))
    assert F.dice_loss(p, t, per_sample=True, smooth=0.5).item() == pytest.approx((1 - (2 * both + 0.5) / (apart + 0.5)).mean())
    mask = np.ones((4, 5), bool)
    mask[:, 2:] = False
    broken = p.copy()
    broken[..., 2:] = np.nan
    want = F.dice_loss(p[..., :2], t[..., :2]).item()
    assert F.dice_loss(broken, t, mask=mask).item() == pytest.approx(want)
    labelled = t.copy()
    labelled[..., 2:] = 255
    assert F.dice_loss(p, labelled, ignore_index=255).item() == pytest.approx(want)
    check_gradient(lambda p: F.dice_loss(p, t.astype(np.float64)), p)


# --- bits, types, errors


def test_bits_do_not_depend_on_threads_or_levels(each_thread_count):
    x, t = random_array(9, 5001).astype(np.float32), probabilities(9, 5001, seed=1).astype(np.float32)

    def run():
        z = nx.Tensor(x, requires_grad=True)
        loss = F.binary_cross_entropy_with_logits(z, t)
        loss.backward()
        return loss.numpy(), z.grad.numpy()

    results = each_thread_count(run)
    before = _rust.level()
    for level in _rust.levels():
        _rust.set_level(level)
        results.append(run())
    _rust.set_level(before)
    for loss, gradient in results:
        assert_same_bits(loss, results[0][0])
        assert_same_bits(gradient, results[0][1])


def test_maps_channels_last_are_not_turned():
    x, t, w = (random_array(2, 5, 6, 7, seed=i) for i in range(3))
    last = lambda a: np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)  # noqa: E731
    for how in ("none", "mean"):
        found = []
        for lay in (np.asarray, last):
            a, b = nx.Tensor(lay(x), requires_grad=True), nx.Tensor(t, requires_grad=True)
            y = F.mse_loss(a, b, weight=np.abs(w), reduction=how)
            y.backward(np.ones(y.shape) if how == "none" else None)
            found.append([y.numpy(), a.grad.numpy(), b.grad.numpy()])
            assert a.grad.numpy().strides == lay(x).strides
        for got, want in zip(*found, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-12)


def test_empty_and_old_switches():
    empty = np.zeros((0, 3))
    assert np.isnan(F.mse_loss(empty, empty).item())
    assert F.mse_loss(empty, empty, reduction="sum").item() == 0
    x, t = random_array(4), random_array(4, seed=1)
    with pytest.warns(DeprecationWarning, match="use reduction"):
        assert F.mse_loss(x, t, False).item() == F.mse_loss(x, t, reduction="sum").item()
    with pytest.warns(DeprecationWarning, match="use reduction"):
        assert F.mse_loss(x, t, None, False).shape == (4,)


def test_bools_and_integers_are_cast():
    p = np.array([0.25, 0.5], np.float32)
    want = F.binary_cross_entropy(p, np.array([1, 0], np.float32)).item()
    for kind in (np.bool_, np.uint8, np.int64):
        assert F.binary_cross_entropy(p, np.array([1, 0], kind)).item() == want


def test_targets_of_0_follow_pytorch():
    x, t = nx.tensor([0.5, 0.5, 0.5]), nx.tensor([0.0, 1.0, 2.0], requires_grad=True)
    F.poisson_nll_loss(x, t, full=True, reduction="sum").backward()
    np.testing.assert_allclose(t.grad.numpy(), [np.nan, -0.5, np.log(2) + 0.25 - 0.5], rtol=1e-6)
    t = nx.tensor([0.0, 1.0], requires_grad=True)
    F.kl_div(nx.tensor([-1.0, -1.0]), t, reduction="sum").backward()
    np.testing.assert_allclose(t.grad.numpy(), [np.nan, 2], rtol=1e-6)


def test_the_slope_of_l1_at_nan_is_0():
    """As PyTorch's; that of other losses stays NaN."""
    for fn, more, slope in (
        (F.l1_loss, {}, 0.0),
        (F.smooth_l1_loss, {"beta": 0.0}, 0.0),
        (F.smooth_l1_loss, {}, np.nan),
        (F.huber_loss, {}, np.nan),
    ):
        x = nx.tensor([np.nan, 2.0], requires_grad=True)
        fn(x, nx.tensor([1.0, -3.0]), reduction="sum", **more).backward()
        np.testing.assert_array_equal(x.grad.numpy(), [slope, 1.0])


def test_weights_of_labels_learn():
    x, t, w = random_array(3, 4), (random_array(3, 4, seed=1) > 0).astype(float), np.abs(random_array(4, seed=2))
    check_gradient(lambda x, w: F.multilabel_soft_margin_loss(x, t, w), x, w)


def test_errors():
    p = np.full((2, 1, 3, 3), 0.5, np.float32)
    with pytest.raises(ShapeError, match=r"binary_cross_entropy: expected a target of shape \(2, 1, 3, 3\), got \(2, 3, 3\)"):
        F.binary_cross_entropy(p, p[:, 0])
    with pytest.raises(ArgumentError, match=r"binary_cross_entropy: expected probabilities in \[0, 1\], got values outside"):
        F.binary_cross_entropy(p * 3, p)
    with pytest.raises(ArgumentError, match=r"binary_cross_entropy: expected probabilities"):
        F.binary_cross_entropy(p * np.nan, p, reduction="none")
    with pytest.raises(DTypeError, match="mse_loss: expected a target of float32, got float64"):
        F.mse_loss(p, p.astype(np.float64))
    with pytest.raises(DTypeError, match="l1_loss: expected a prediction of float32 or float64, got int64"):
        F.l1_loss(np.ones(2, np.int64), np.ones(2, np.int64))
    with pytest.raises(ArgumentError, match="huber_loss: expected reduction 'none', 'mean' or 'sum', got 'median'"):
        F.huber_loss(p, p, reduction="median")
    with pytest.raises(ShapeError, match=r"binary_cross_entropy: expected weight that spreads over \(2, 1, 3, 3\), got \(4,\)"):
        F.binary_cross_entropy(p, p, np.ones(4, np.float32))
    with pytest.raises(ArgumentError, match="huber_loss: expected delta above 0"):
        F.huber_loss(p, p, delta=0.0)
    with pytest.raises(ArgumentError, match="smooth_l1_loss: expected beta of at least 0"):
        F.smooth_l1_loss(p, p, beta=-1.0)
    with pytest.raises(ArgumentError, match="mse_loss: expected weight or mask, got both"):
        F.mse_loss(p, p, weight=p, mask=p > 0)


def test_targets_of_infinite_logits_and_infinite_counts_as_in_pytorch():
    inf = np.inf
    x = np.array([-inf, inf])
    for weight in (None, np.array([3.0, 3.0])):
        f = lambda t, w=weight: F.binary_cross_entropy_with_logits(nx.tensor(x), t, pos_weight=w, reduction="none")  # noqa: E731
        assert slopes(f, [0.25, 0.25])[1] == [[inf, -inf]]
    f = lambda a, t, log: F.poisson_nll_loss(a, t, log_input=log, reduction="none")  # noqa: E731
    assert slopes(lambda a, t: f(a, t, True), [-inf, 1.0, -1.0], [inf] * 3) == ([inf, -inf, inf], [[-inf] * 3, [inf, -1, 1]])
    assert slopes(lambda a, t: f(a, t, False), [0.5, 2.0], [inf, inf])[0] == [inf, -inf]


@pytest.mark.parametrize(
    ("loss", "want", "slope"),  # PyTorch 2.15's numbers
    [
        (lambda x, t, w: F.huber_loss(x, t, "mean", 2.0, w), 6.140625, [[0.25, 1.0], [-1.5, 0.0625]]),
        (lambda x, t, w: F.mse_loss(x, t, weight=w), 9.25, [[0.3076923, 2.4615386], [-2.7692308, 0.0769231]]),
        (lambda x, t, w: F.l1_loss(x, t, weight=w), 2.8076923, [[0.1538462, 0.3076923], [-0.4615385, 0.0769231]]),
    ],
)
def test_means_with_weights_are_pytorchs(loss, want, slope):
    x = nx.tensor([[1.0, 4.0], [-2.0, 0.5]], requires_grad=True)
    found = loss(x, nx.tensor([[0.0, 0.0], [1.0, 0.0]]), nx.tensor([[1.0, 2.0], [3.0, 0.5]]))
    found.backward()
    assert found.item() == pytest.approx(want)
    assert x.grad.numpy() == pytest.approx(np.array(slope), rel=1e-6)
