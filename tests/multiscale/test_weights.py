"""Which source decides where: the weights of attention, of every class that has them."""

import numpy as np
import pytest

import neurenix as nx
from neurenix import nn
from neurenix.errors import ArgumentError
from neurenix.multiscale import AttentionFusion, FeatureFusion, MultiScaleModel, ScaleFusion
from neurenix.testing import assert_same_bits, check_gradient, random_array


def fusions():
    maps = [random_array(2, 3, 8, 6), random_array(2, 3, 4, 3)]
    return [
        (AttentionFusion([3, 3], 4).double(), maps),
        (FeatureFusion([3, 3], 4, "attention").double(), maps),
        (ScaleFusion([1.0, 0.5], 3, 4, "attention").double(), maps),
        (MultiScaleModel([1.0, 0.5], None, "attention").double(), random_array(2, 3, 8, 6)),
    ]


@pytest.mark.parametrize(("model", "given"), fusions())
def test_weights_are_shares(model, given):
    fused, weights = model(given, return_weights=True)
    assert_same_bits(fused, model(given))
    assert weights.shape == (2, 2, 8, 6)
    assert (weights.numpy() >= 0).all()
    np.testing.assert_allclose(weights.numpy().sum(1), 1.0, atol=1e-14)


def test_weights_are_those_of_the_sum():
    fuse = AttentionFusion([3, 2], 4).double()
    x, y = random_array(1, 3, 5, 5), random_array(1, 2, 5, 5)
    fused, weights = fuse([x, y], return_weights=True)
    a, b = (p(m).numpy() for p, m in zip(fuse.projections, (x, y), strict=True))
    w = weights.numpy()
    np.testing.assert_allclose(fused.numpy(), w[:, :1] * a + w[:, 1:] * b, atol=1e-14)


def test_weights_of_a_model_mix_its_scales():
    model = MultiScaleModel([1.0, 1.0 + 1e-6], None, "attention", final_activation="sigmoid").double()
    x = random_array(1, 2, 6, 6)
    out, weights = model(x, return_weights=True)
    np.testing.assert_allclose(weights.numpy(), 0.5, atol=1e-12)  # equal images, equal shares
    np.testing.assert_allclose(out.numpy(), 1 / (1 + np.exp(-x)), atol=1e-12)


def test_one_source_has_it_all():
    x = random_array(1, 3, 4, 4)
    for model, given in ((AttentionFusion([3], 2).double(), [x]), (MultiScaleModel([1.0], None, "attention").double(), x)):
        _, weights = model(given, return_weights=True)
        assert_same_bits(weights, np.ones((1, 1, 4, 4)))


def test_vectors_and_added_scales():
    base = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = MultiScaleModel([1.0, 0.5], base, "attention")
    model.add_scale(0.25)
    out, weights = model(random_array(2, 3, 8, 8, dtype=np.float32), return_weights=True)
    assert out.shape == (2, 3)
    assert weights.shape == (2, 3, 1, 1)
    np.testing.assert_allclose(weights.numpy().sum(1), 1.0, atol=1e-6)


def test_gradient_through_the_weights():
    fuse = AttentionFusion([2, 2], 3).double()
    check_gradient(lambda a, b: fuse([a, b], return_weights=True), random_array(1, 2, 4, 3), random_array(1, 2, 2, 2, seed=1))
    model = MultiScaleModel([1.0, 0.5], None, "attention").double()
    check_gradient(lambda a: model(a, return_weights=True)[1], random_array(1, 2, 5, 4))


def test_checkpointing_changes_no_weight():
    base = nn.Conv2d(3, 4, kernel_size=3, padding=1)
    model = MultiScaleModel([1.0, 0.5], base, "attention")
    x = random_array(1, 3, 8, 8, dtype=np.float32)
    _, want = model(x, return_weights=True)
    with nx.enable_gradient_checkpointing():
        _, found = model(x, return_weights=True)
    assert_same_bits(found, want)


@pytest.mark.parametrize("method", ["concat", "sum"])
def test_other_methods_have_none(method):
    text = f"expected return_weights only with fusion_method 'attention', got it with '{method}'; leave it out"
    x = random_array(1, 3, 4, 4, dtype=np.float32)
    with pytest.raises(ArgumentError, match=f"FeatureFusion: {text}"):
        FeatureFusion([3, 3], 3, method)([x, x], return_weights=True)
    with pytest.raises(ArgumentError, match=f"ScaleFusion: {text}"):
        ScaleFusion([1.0, 2.0], 3, 3, method)([x, x], return_weights=True)
    with pytest.raises(ArgumentError, match=f"MultiScaleModel: {text}"):
        MultiScaleModel([1.0, 0.5], None, method)(x, return_weights=True)
    with pytest.raises(ArgumentError, match="AttentionFusion: expected return_weights True or False, got 1; pass a bool"):
        AttentionFusion([3], 3)([x], return_weights=1)
