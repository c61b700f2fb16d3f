"""Pooling, padding and upsampling layers: they check their arguments and call their functions."""

import numpy as np
import pytest

from neurenix import nn
from neurenix.errors import ArgumentError
from neurenix.nn import functional as F
from neurenix.testing import assert_same_bits, random_array

X = random_array(2, 8, 6, 8, dtype=np.float32)


@pytest.mark.parametrize(
    ("layer", "function"),
    [
        (nn.MaxPool2d(3, 2, 1, ceil_mode=True), lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True)),
        (nn.AvgPool2d(2, count_include_pad=False), lambda x: F.avg_pool2d(x, 2)),
        (nn.AdaptiveAvgPool2d((None, 3)), lambda x: F.adaptive_avg_pool2d(x, (None, 3))),
        (nn.AdaptiveMaxPool2d(2), lambda x: F.adaptive_max_pool2d(x, 2)),
        (nn.ConstantPad2d(1, 3.0), lambda x: F.pad(x, (1, 1, 1, 1), value=3.0)),
        (nn.ZeroPad2d((1, 2, 0, -1)), lambda x: F.pad(x, (1, 2, 0, -1))),
        (nn.ReflectionPad2d(2), lambda x: F.pad(x, (2, 2, 2, 2), "reflect")),
        (nn.ReplicationPad2d(2), lambda x: F.pad(x, (2, 2, 2, 2), "replicate")),
        (nn.CircularPad2d(2), lambda x: F.pad(x, (2, 2, 2, 2), "circular")),
        (nn.Upsample(scale_factor=2, mode="bicubic"), lambda x: F.interpolate(x, scale_factor=2, mode="bicubic")),
        (nn.UpsamplingNearest2d(size=(3, 4)), lambda x: F.interpolate(x, (3, 4))),
        (nn.UpsamplingBilinear2d(scale_factor=2), lambda x: F.upsample_bilinear(x, scale_factor=2)),
        (nn.PixelShuffle(2), lambda x: F.pixel_shuffle(x, 2)),
        (nn.PixelUnshuffle(2), lambda x: F.pixel_unshuffle(x, 2)),
        (nn.ChannelShuffle(4), lambda x: F.channel_shuffle(x, 4)),
        (nn.Unfold(3, padding=1), lambda x: F.unfold(x, 3, padding=1)),
    ],
)
def test_layers_call_their_functions(layer, function):
    assert_same_bits(layer(X), function(X))
    assert not list(layer.state_dict())


def test_pairs_of_values_and_indices():
    y, index = nn.MaxPool2d(2, return_indices=True)(X)
    assert nn.MaxUnpool2d(2)(y, index).shape == X.shape
    assert nn.AdaptiveMaxPool2d(2, return_indices=True)(X)[1].dtype == np.int64
    assert_same_bits(nn.Fold((6, 8), 2, stride=2)(nn.Unfold(2, stride=2)(X)), X)


def test_lines():
    x = X[:, :, 0]
    assert nn.MaxPool1d(2)(x).shape == (2, 8, 4)
    assert nn.AvgPool1d(2)(x).shape == (2, 8, 4)
    assert nn.AdaptiveAvgPool1d(3)(x).shape == (2, 8, 3)
    assert nn.AdaptiveMaxPool1d(3)(x).shape == (2, 8, 3)
    for layer in (nn.ConstantPad1d(1, 0.0), nn.ZeroPad1d(1), nn.ReflectionPad1d(1), nn.ReplicationPad1d(1), nn.CircularPad1d((0, 2))):
        assert layer(x).shape == (2, 8, 10)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.MaxPool2d(0),
        lambda: nn.MaxPool2d(2, padding=2),
        lambda: nn.MaxPool1d((2, 2)),
        lambda: nn.AvgPool2d(True),
        lambda: nn.AdaptiveAvgPool2d((1, 2, 3)),
        lambda: nn.ZeroPad2d((1, 2)),
        nn.Upsample,
        lambda: nn.Upsample(2, 2),
        lambda: nn.Upsample(2, mode="cubic"),
        lambda: nn.PixelShuffle(0),
        lambda: nn.ChannelShuffle(1.5),
    ],
)
def test_constructors_check_their_arguments(make):
    with pytest.raises(ArgumentError):
        make()


def test_patches_are_checked_in_the_constructor():
    for make in (lambda: nn.Unfold(0), lambda: nn.Unfold(2, stride=0), lambda: nn.Fold((4, 4), 2, padding=-1), lambda: nn.Fold(0, 2)):
        with pytest.raises(ArgumentError, match="old: expected .* of at least"):
            make()
