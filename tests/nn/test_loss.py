"""Losses as layers: what the functions give, weights as buffers, plain arrays, errors."""

import numpy as np
import pytest

import neurenix as nx
from neurenix import nn
from neurenix.errors import ArgumentError, ShapeError
from neurenix.nn import functional as F
from neurenix.testing import random_array

X, T = random_array(4, 3), random_array(4, 3, seed=1)
P, HARD = 1 / (1 + np.exp(-X)), (T > 0).astype(np.int64)
LABELS = np.array([0, 2, 1, 1])


@pytest.mark.parametrize(
    ("layer", "function", "x", "t", "settings"),
    [
        (nn.BCELoss, F.binary_cross_entropy, P, HARD, {"reduction": "sum"}),
        (nn.BCELoss, F.binary_cross_entropy, P, HARD, {"ignore_index": 1}),
        (nn.BCEWithLogitsLoss, F.binary_cross_entropy_with_logits, X, HARD, {"pos_weight": np.array([1.0, 2.0, 3.0])}),
        (nn.CrossEntropyLoss, F.cross_entropy, X, LABELS, {"weight": np.array([1.0, 2.0, 3.0]), "label_smoothing": 0.1}),
        (nn.NLLLoss, F.nll_loss, X, LABELS, {"ignore_index": 1}),
        (nn.MSELoss, F.mse_loss, X, T, {"reduction": "none"}),
        (nn.L1Loss, F.l1_loss, X, T, {}),
        (nn.SmoothL1Loss, F.smooth_l1_loss, X, T, {"beta": 0.5}),
        (nn.HuberLoss, F.huber_loss, X, T, {"delta": 0.5}),
        (nn.KLDivLoss, F.kl_div, X, P, {"reduction": "batchmean"}),
        (nn.KLDivLoss, F.kl_div, X, T, {"log_target": True}),
        (nn.PoissonNLLLoss, F.poisson_nll_loss, X, P, {"full": True}),
        (nn.SoftMarginLoss, F.soft_margin_loss, X, 2 * HARD - 1, {}),
        (nn.MultiMarginLoss, F.multi_margin_loss, X, LABELS, {"p": 2}),
        (nn.MultiLabelMarginLoss, F.multilabel_margin_loss, X, np.array([[0, -1, 0]] * 4), {}),
        (nn.MultiLabelSoftMarginLoss, F.multilabel_soft_margin_loss, X, HARD, {}),
        (nn.DiceLoss, F.dice_loss, P, HARD, {"smooth": 0.5, "per_sample": True}),
    ],
)
def test_layer_is_function(layer, function, x, t, settings):
    np.testing.assert_array_equal(layer(**settings)(x, t).numpy(), function(x, t, **settings).numpy())


def test_masks():
    mask = np.array([True, False, True, True])
    for layer in (nn.BCELoss(), nn.MSELoss(), nn.L1Loss(), nn.SmoothL1Loss(), nn.HuberLoss(), nn.DiceLoss()):
        want = layer(P[mask], HARD[mask].astype(np.float64)).item()
        assert layer(P, HARD, mask=mask[:, None]).item() == pytest.approx(want)


def test_weights_are_saved():
    loss = nn.CrossEntropyLoss(weight=nx.tensor([1.0, 2.0]))
    assert list(loss.state_dict()) == ["weight"]
    assert list(loss.parameters()) == []


def test_a_saturated_model_learns():
    z = nx.tensor([[-200.0]], requires_grad=True)
    nn.BCELoss()(z.sigmoid(), nx.tensor([[1]])).backward()
    assert z.grad.tolist() == [[-1.0]]


def test_errors():
    with pytest.raises(ArgumentError, match="BCELoss: expected reduction 'none', 'mean' or 'sum', got 'avg'"):
        nn.BCELoss(reduction="avg")
    with pytest.raises(ArgumentError, match="binary_cross_entropy_with_logits: expected logits, got the output of sigmoid"):
        nn.BCEWithLogitsLoss()(nx.tensor([0.5]).sigmoid(), nx.tensor([1.0]))
    with pytest.raises(ShapeError, match="binary_cross_entropy: expected a target of shape"):
        nn.BCELoss()(np.full((2, 1, 4, 4), 0.5, np.float32), np.ones((2, 4, 4), np.float32))


def test_settings_that_a_loss_refuses():
    with pytest.raises(ArgumentError, match="HuberLoss: expected delta as a number, got 'a'; pass e.g. delta=1.0"):
        nn.HuberLoss(delta="a")
    x = np.zeros((2, 3), np.float32)
    with pytest.raises(
        ArgumentError, match="cross_entropy: expected class numbers beside ignore_index=1, got probabilities; leave ignore_index out"
    ):
        nn.CrossEntropyLoss(ignore_index=1)(x, x)
    assert nn.CrossEntropyLoss(ignore_index=-1)(x, x).item() == 0.0


def test_settings_are_checked_in_the_constructor():
    makes = [nn.DiceLoss, nn.JaccardLoss, nn.TverskyLoss, nn.GeneralizedDiceLoss, nn.SoftClDiceLoss, nn.BoundaryLoss, nn.LovaszSoftmaxLoss]
    for make in makes:
        with pytest.raises(ArgumentError, match=f"{make.__name__}: expected activation one of"):
            make(activation="relu")
    with pytest.raises(ArgumentError, match="GeneralizedDiceLoss: expected weighting one of"):
        nn.GeneralizedDiceLoss(weighting="cube")
    for make in (nn.FocalLoss, nn.SigmoidFocalLoss):
        with pytest.raises(ArgumentError, match=f"{make.__name__}: expected gamma of at least 0"):
            make(gamma=-1.0)
