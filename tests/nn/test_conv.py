"""Convolution and linear layers: parameters, initial values, padding modes, errors."""

import math

import numpy as np
import pytest

import neurenix as nx
from neurenix import nn
from neurenix.errors import ArgumentError, ShapeError
from neurenix.nn import functional as F
from neurenix.testing import assert_same_bits, random_array


def test_parameters_are_pytorchs():
    layer = nn.Conv2d(6, 8, (3, 5), stride=2, padding=1, dilation=(1, 2), groups=2)
    assert {n: p.shape for n, p in layer.named_parameters()} == {"weight": (8, 3, 3, 5), "bias": (8,)}
    assert {n: p.shape for n, p in nn.ConvTranspose2d(6, 8, 3, groups=2).named_parameters()} == {"weight": (6, 4, 3, 3), "bias": (8,)}
    assert {n: p.shape for n, p in nn.Linear(6, 8).named_parameters()} == {"weight": (8, 6), "bias": (8,)}
    assert [n for n, _ in nn.Conv1d(2, 3, 3, bias=False).named_parameters()] == ["weight"]
    assert nn.Conv2d(1, 2, 3, dtype=nx.float64).weight.dtype == np.float64


@pytest.mark.parametrize(("layer", "fan"), [(nn.Conv2d(16, 32, 3), 144), (nn.ConvTranspose2d(16, 32, 2), 128), (nn.Linear(100, 50), 100)])
def test_initial_values_fill_pytorchs_range(layer, fan):
    bound = 1 / math.sqrt(fan)
    for p in (layer.weight, layer.bias):
        assert np.abs(p.numpy()).max() <= bound
    assert np.abs(layer.weight.numpy()).max() > 0.95 * bound
    assert abs(layer.weight.numpy().std() - bound / math.sqrt(3)) < 0.05 * bound


def test_layers_call_the_functions():
    x = random_array(2, 4, 9, 8, dtype=np.float32)
    layer = nn.Conv2d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2)
    assert_same_bits(layer(x).numpy(), F.conv2d(x, layer.weight, layer.bias, 2, 1, 2, 2).numpy())
    layer = nn.Conv1d(4, 6, 3, padding="same")
    assert_same_bits(layer(x[:, :, 0]).numpy(), F.conv1d(x[:, :, 0], layer.weight, layer.bias, padding="same").numpy())
    layer = nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2, bias=False)
    assert_same_bits(layer(x).numpy(), F.conv_transpose2d(x, layer.weight, None, 2, 1, 1, 2).numpy())
    layer = nn.ConvTranspose1d(4, 6, 3, stride=2)
    assert_same_bits(layer(x[:, :, 0]).numpy(), F.conv_transpose1d(x[:, :, 0], layer.weight, layer.bias, 2).numpy())
    layer = nn.Linear(8, 3)
    assert_same_bits(layer(x).numpy(), F.linear(x, layer.weight, layer.bias).numpy())
    assert nn.Identity(3, any_argument=1)(x).shape == x.shape
    assert nn.Flatten()(x).shape == (2, 4 * 9 * 8)


@pytest.mark.parametrize(("mode", "numpy_mode"), [("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")])
@pytest.mark.parametrize(("padding", "around"), [(1, ((1, 1), (1, 1))), ((2, 1), ((2, 2), (1, 1))), ("same", ((0, 1), (1, 1)))])
def test_padding_modes(mode, numpy_mode, padding, around):
    x = random_array(1, 2, 6, 7, dtype=np.float32)
    layer = nn.Conv2d(2, 3, (2, 3), padding=padding, padding_mode=mode)
    padded = np.pad(x, ((0, 0), (0, 0), *around), mode=numpy_mode)
    assert_same_bits(layer(x).numpy(), F.conv2d(padded, layer.weight, layer.bias).numpy())


def test_output_size_chooses_the_size():
    layer = nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1)
    x = random_array(1, 2, 5, 5, dtype=np.float32)
    assert layer(x).shape == (1, 3, 9, 9)
    assert layer(x, output_size=(9, 10)).shape == (1, 3, 9, 10)
    assert layer(x, output_size=(1, 3, 10, 10)).shape == (1, 3, 10, 10)
    with pytest.raises(ShapeError, match=r"ConvTranspose2d: expected output_size from \(9, 9\) to \(10, 10\)"):
        layer(x, output_size=(9, 12))


def test_reprs_are_pytorchs():
    assert repr(nn.Conv2d(3, 8, 3)) == "Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))"
    got = repr(nn.Conv2d(4, 8, 3, padding="same", dilation=2, groups=2, bias=False, padding_mode="reflect"))
    assert got == (
        "Conv2d(4, 8, kernel_size=(3, 3), stride=(1, 1), padding=same, dilation=(2, 2), groups=2, bias=False, padding_mode=reflect)"
    )
    got = repr(nn.ConvTranspose2d(4, 8, 3, stride=2, padding=1, output_padding=1))
    assert got == "ConvTranspose2d(4, 8, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), output_padding=(1, 1))"
    assert repr(nn.Linear(3, 2, bias=False)) == "Linear(in_features=3, out_features=2, bias=False)"
    assert repr(nn.Flatten()) == "Flatten(start_dim=1, end_dim=-1)"
    assert repr(nn.Identity(5)) == "Identity()"


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: nn.Conv2d(0, 1, 3), "Conv2d: expected in_channels of at least 1, got 0"),
        (lambda: nn.Conv2d(1, True, 3), "Conv2d: expected out_channels as an integer, got True"),
        (lambda: nn.Conv2d(1, 1, 0), "Conv2d: expected kernel_size of at least 1"),
        (lambda: nn.Conv2d(1, 1, (3, 3, 3)), "Conv2d: expected kernel_size as one integer or 2"),
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "Conv2d: expected groups that divide in_channels=3 and out_channels=4, got 2"),
        (
            lambda: nn.Conv2d(3, 4, 3, padding_mode="zero"),
            "Conv2d: expected padding_mode one of 'zeros', 'reflect', 'replicate', 'circular'",
        ),
        (lambda: nn.Conv2d(3, 4, 3, padding="same", stride=2), "Conv2d: expected stride 1 with padding"),
        (
            lambda: nn.ConvTranspose2d(3, 4, 3, padding_mode="reflect"),
            "ConvTranspose2d: expected padding as numbers with padding_mode='zeros'",
        ),
        (
            lambda: nn.ConvTranspose2d(3, 4, 3, stride=2, output_padding=2),
            "ConvTranspose2d: expected output_padding below stride or dilation",
        ),
        (lambda: nn.Linear(3, 0), "Linear: expected out_features of at least 1"),
    ],
)
def test_arguments_are_checked_in_the_constructor(make, text):
    with pytest.raises(ArgumentError, match=text):
        make()
