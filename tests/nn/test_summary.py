"""Summaries: shapes, parameters, multiply-adds against known and counted numbers, memory, depth."""

import numpy as np
import pytest

import neurenix as nx
from neurenix import nn
from neurenix.errors import ArgumentError
from neurenix.multiscale import ResNetEncoder, UNet, convnext_tiny


class Head(nn.Module):
    """ResNet-50 with its classifier."""

    def __init__(self):
        self.body = ResNetEncoder(50)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(2048, 1000)

    def forward(self, x):
        return self.fc(self.pool(self.body(x)[-1]).flatten(1))


def test_resnet_50_at_224():
    """4.09 G multiply-adds and 25,557,032 parameters: what torchvision publishes."""
    s = Head().summary((1, 3, 224, 224))
    assert s.parameters == s.trainable_parameters == 25_557_032
    assert s.multiply_adds == 4_089_184_256
    assert s.parameter_bytes == 4 * 25_557_032
    assert s.input_bytes == 4 * 3 * 224 * 224
    assert sum(r.parameters for r in s.layers) == s.parameters
    assert sum(r.multiply_adds for r in s.layers) == s.multiply_adds
    assert sum(r.output_bytes for r in s.layers) == s.activation_bytes


@pytest.mark.parametrize(
    ("encoder", "channels", "want"),
    [(ResNetEncoder(18), 512, 1.814), (ResNetEncoder(34), 512, 3.664), (convnext_tiny(), 768, 4.456)],
    ids=["resnet18", "resnet34", "convnext_tiny"],
)
def test_published_figures(encoder, channels, want):
    """Billions of multiply-adds that torchvision publishes; the classifier is counted by hand."""
    s = encoder.summary((1, 3, 224, 224), depth=0)
    assert (s.multiply_adds + channels * 1000) / 1e9 == pytest.approx(want, abs=0.0005)


def test_unet_by_hand():
    sizes, f = [32, 16], [4, 8, 16]
    want = 9 * (3 * f[0] + f[0] ** 2) * sizes[0] ** 2 + 9 * (f[0] * f[1] + f[1] ** 2) * sizes[1] ** 2 + 9 * (f[1] * f[2] + f[2] ** 2) * 8**2
    want += f[2] * f[1] * 4 * 8**2 + 9 * (2 * f[1] * f[1] + f[1] ** 2) * sizes[1] ** 2
    want += f[1] * f[0] * 4 * 16**2 + 9 * (2 * f[0] * f[0] + f[0] ** 2) * sizes[0] ** 2 + f[0] * sizes[0] ** 2
    assert UNet(3, 1, f[:2]).summary((1, 3, 32, 32)).multiply_adds == want


@pytest.mark.parametrize(
    ("layer", "shape", "want"),
    [
        (nn.Conv2d(4, 6, 3, padding=1), (2, 4, 5, 7), 2 * 6 * 5 * 7 * 4 * 9),
        (nn.Conv2d(4, 6, 3, stride=2, groups=2), (1, 4, 9, 9), 6 * 4 * 4 * 2 * 9),
        (nn.Conv1d(4, 6, 3, dilation=2), (1, 4, 9), 6 * 5 * 4 * 3),
        (nn.Conv3d(2, 3, (1, 2, 3)), (1, 2, 4, 5, 6), 3 * 4 * 4 * 4 * 2 * 6),
        (nn.ConvTranspose2d(4, 6, 2, 2), (1, 4, 5, 5), 4 * 5 * 5 * 6 * 4),
        (nn.ConvTranspose2d(4, 6, 3, groups=2, bias=False), (1, 4, 5, 5), 4 * 5 * 5 * 3 * 9),
        (nn.ConvTranspose3d(2, 3, 2, stride=2), (1, 2, 3, 3, 3), 2 * 27 * 3 * 8),
        (nn.Linear(8, 3), (2, 5, 8), 2 * 5 * 3 * 8),
        (nn.BatchNorm2d(4), (1, 4, 5, 5), 0),
        (nn.ReLU(), (7,), 0),
    ],
)
def test_multiply_adds(layer, shape, want):
    s = layer.summary(shape)
    assert s.multiply_adds == want
    assert [r.name for r in s.layers] == [""]


def test_products_outside_layers_are_counted():
    class Attention(nn.Module):
        def __init__(self):
            self.q = nn.Linear(4, 4)
            self.temperature = nn.Parameter([1.0])

        def forward(self, x):
            q = self.q(x)
            return (q @ x.transpose(1, 2) * self.temperature) @ x

    rows = {r.name: (r.parameters, r.multiply_adds) for r in Attention().summary((2, 3, 4)).layers}
    assert rows == {"": (1, 2 * (3 * 3 * 4) * 2), "q": (20, 2 * 3 * 4 * 4)}


def test_depth():
    net = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.Linear(3, 4), nn.ReLU()))
    assert [r.name for r in net.summary((5, 2)).layers] == ["0", "1.0", "1.1"]
    shallow = net.summary((5, 2), depth=1)
    assert [(r.name, r.kind, r.parameters, r.multiply_adds, r.output_bytes) for r in shallow.layers] == [
        ("0", "Linear", 9, 30, 60),
        ("1", "Sequential", 16, 60, 160),
    ]
    whole = net.summary((5, 2), depth=0)
    assert [(r.name, r.kind, r.output, r.multiply_adds) for r in whole.layers] == [("", "Sequential", "(5, 4)", 90)]
    for depth in (-1, 1.5, True):
        with pytest.raises(ArgumentError, match="summary: expected depth of at least 0 or None"):
            net.summary((5, 2), depth=depth)


def test_a_shared_layer_counts_its_parameters_once():
    layer = nn.Linear(2, 2)
    s = nn.Sequential(layer, layer).summary((3, 2))
    assert [(r.name, r.parameters, r.multiply_adds) for r in s.layers] == [("0", 6, 12), ("0", 0, 12)]
    assert s.parameters == 6


def test_inputs_and_text():
    net = nn.Sequential(nn.Linear(256, 128)).double()
    net[0].bias.requires_grad_(False)
    texts = {str(nn.summary(net, x)) for x in ((64, 256), nx.zeros(64, 256, dtype="float64"), np.zeros((64, 256)))}
    assert texts == {
        "layer   kind     output      parameters   multiply-adds    MiB\n"
        "0       Linear   (64, 128)       32,896       2,097,152   0.06\n"
        "total                            32,896       2,097,152   0.06\n"
        "trainable parameters 32,768; parameters 0.25 MiB, buffers 0.00 MiB, input 0.12 MiB"
    }
    assert repr(net.summary((64, 256))) in texts
    assert net.training
    assert not net[0]._is_hooked()


def test_a_model_of_several_inputs_and_outputs():
    class Two(nn.Module):
        def __init__(self):
            self.a = nn.Linear(2, 3)

        def forward(self, x, y):
            return {"sum": self.a(x) + y}, [y, y]

    s = Two().summary((4, 2), (3,), depth=0)
    assert s.layers[0].output == "[dict, [(3,), (3,)]]"
    assert s.activation_bytes == 4 * 4 * 3


def test_a_model_that_fails_is_left_as_it_was():
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(2, 3))
    with pytest.raises(nx.errors.ShapeError):
        net.summary((1, 2))
    assert not any(m._is_hooked() for m in net.modules())
    assert net.training
