"""Fusion: exact sums, the same as concatenating and projecting, weights that sum to one, sizes and errors."""

import numpy as np
import pytest

import neurenix as nx
from neurenix import ops
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.multiscale import AttentionFusion, FeatureFusion, ScaleFusion
from neurenix.nn import functional
from neurenix.testing import assert_same_bits, check_gradient, random_array

METHODS = ["concat", "sum", "attention"]


def maps(*shapes, dtype=np.float64):
    return [random_array(*s, seed=i, dtype=dtype) for i, s in enumerate(shapes)]


def test_concat_projects_the_concatenation():
    fuse = FeatureFusion([2, 3], 4).double()
    x, y = maps((2, 2, 6, 5), (2, 3, 6, 5))
    want = functional.conv2d(ops.cat([nx.Tensor(x), nx.Tensor(y)], dim=1), fuse.project.weight, fuse.project.bias)
    np.testing.assert_allclose(fuse([x, y]).numpy(), want.numpy(), rtol=1e-12, atol=1e-12)


def test_projecting_first_is_the_same_function():
    fuse = FeatureFusion([2, 3], 4).double()
    x, y = maps((2, 2, 3, 4), (2, 3, 6, 5))
    wide = functional.interpolate(x, size=(6, 5), mode="bilinear").numpy()
    np.testing.assert_allclose(fuse([x, y]).numpy(), fuse([wide, y]).numpy(), rtol=1e-10, atol=1e-12)


def test_equal_channels_are_an_exact_sum():
    fuse = FeatureFusion([3, 3, 3], 3, "sum")
    x, y, z = maps(*[(2, 3, 4, 5)] * 3, dtype=np.float32)
    assert fuse.num_parameters() == 0
    assert_same_bits(fuse([x, y, z]), x + y + z)
    mixed = FeatureFusion([3, 2], 3, "sum")
    assert [n for n, _ in mixed.named_parameters()] == ["projections.1.weight", "projections.1.bias"]


def test_attention_weighs_by_a_softmax():
    fuse = AttentionFusion([3, 3], 3).double()
    for project in fuse.projections:
        project.weight.assign_(np.eye(3).reshape(3, 3, 1, 1))
        project.bias.assign_(np.zeros(3))
    x, y = maps((2, 3, 4, 5), (2, 3, 4, 5))
    weight = fuse.score.weight.numpy()[0, :, 0, 0]
    a, b = (np.exp(np.einsum("c,nchw->nhw", weight, m))[:, None] for m in (x, y))
    np.testing.assert_allclose(fuse([x, y]).numpy(), (a * x + b * y) / (a + b), rtol=1e-10)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sizes", [((7, 5), (4, 3), (2, 2)), ((1, 1), (1, 1), (1, 1)), ((3, 8), (6, 2), (1, 1))])
def test_sizes(method, sizes):
    fuse = FeatureFusion([2, 3, 4], 5, method)
    y = fuse([random_array(1, c, *s, dtype=np.float32) for c, s in zip([2, 3, 4], sizes, strict=True)])
    assert y.shape == (1, 5, max(s[0] for s in sizes), max(s[1] for s in sizes))
    y.sum().backward()
    assert all(p.grad is not None for p in fuse.parameters())


@pytest.mark.parametrize("method", METHODS)
def test_one_source(method):
    x = random_array(1, 3, 4, 4, dtype=np.float32)
    y = FeatureFusion([3], 3, method)([x])
    assert y.shape == (1, 3, 4, 4)
    if method == "sum":
        assert_same_bits(y, x)


@pytest.mark.parametrize("method", METHODS)
def test_gradients(method):
    fuse = FeatureFusion([2, 3], 2, method).double()
    check_gradient(lambda *t: fuse(list(t)), *maps((2, 2, 5, 4), (2, 3, 3, 2)))


def test_scale_fusion():
    fuse = ScaleFusion([0.5, 1.0, 0.25], 4, 3)
    y = fuse(maps((1, 4, 4, 3), (1, 4, 9, 7), (1, 4, 3, 2), dtype=np.float32))
    assert y.shape == (1, 3, 9, 7)
    assert ScaleFusion([2, 0.5], 1, 1, "sum")(maps((1, 1, 8, 8), (1, 1, 2, 2))).shape == (1, 1, 8, 8)
    assert ScaleFusion([1, 1 / 64], 1, 1, "sum")(maps((1, 1, 8, 8), (1, 1, 1, 1))).shape == (1, 1, 8, 8)
    with pytest.raises(ArgumentError, match="ScaleFusion: expected 3 maps, got 2"):
        fuse(maps((1, 4, 4, 3), (1, 4, 9, 7)))
    with pytest.raises(ShapeError, match=r"ScaleFusion: expected a map of about \(4, 4\) at scale 0.5 \(\(9, 7\) at 1.0\), got \(9, 7\)"):
        fuse(maps((1, 4, 9, 7), (1, 4, 9, 7), (1, 4, 2, 1)))


def test_wrong_features():
    fuse = FeatureFusion([2, 3], 4)
    good = maps((1, 2, 4, 4), (1, 3, 4, 4), dtype=np.float32)
    with pytest.raises(ArgumentError, match="FeatureFusion: expected 2 maps, got 1; pass one a source"):
        fuse(good[:1])
    with pytest.raises(DTypeError, match="FeatureFusion: expected a list of 2 maps, got Tensor"):
        fuse(nx.Tensor(good[0]))
    with pytest.raises(ShapeError, match=r"FeatureFusion: feature 1: expected x with 3 channels \(N, 3, H, W\), got shape \(1, 2, 4, 4\)"):
        fuse([good[0], good[0]])
    with pytest.raises(ShapeError, match="expected one batch size, got 1 and, for feature 1, 2"):
        fuse([good[0], np.concatenate([good[1]] * 2)])
    with pytest.raises(DTypeError, match="expected one element type, got float32 and, for feature 1, float64"):
        fuse([nx.Tensor(good[0]), nx.Tensor(good[1].astype(np.float64))])
    with pytest.raises(DTypeError, match="expected a tensor or array, got str"):
        fuse([good[0], "x"])
