"""Runs of plain layers in a Sequential, and the block made of one: the same bits as layer by layer, fewer passes."""

import numpy as np
import pytest

import neurenix as nx
from neurenix import nn
from neurenix.errors import ArgumentError, ShapeError
from neurenix.nn import _chains
from neurenix.testing import assert_same_bits, random_array


def layers(norm, padding_mode="zeros"):
    made = {
        "batch": nn.BatchNorm2d(6),
        "instance": nn.InstanceNorm2d(6, affine=True, track_running_stats=True),
        "group": nn.GroupNorm(2, 6),
    }
    first = [nn.Conv2d(3, 6, 3, padding=1, padding_mode=padding_mode), *([made[norm]] if norm else []), nn.ReLU()]
    return nn.Sequential(*first, nn.Conv2d(6, 4, 1), nn.SiLU(), nn.Conv2d(4, 4, 3, stride=2, groups=2), nn.ReLU())


def by_layer(model, x):
    for layer in model:
        x = layer(x)
    return x


def twin(make):
    a, b = make(), make()
    b.load_state_dict(a.state_dict())
    return a, b


@pytest.mark.parametrize("norm", [None, "batch", "instance", "group"])
@pytest.mark.parametrize("padding_mode", ["zeros", "reflect"])
def test_a_sequential_gives_the_bits_of_its_layers(norm, padding_mode):
    a, b = twin(lambda: layers(norm, padding_mode))
    x = nx.Tensor(random_array(2, 3, 9, 8, dtype=np.float32))
    for _ in range(12):
        want = by_layer(b, x)
        assert_same_bits(a(x).numpy(), want.numpy())
    for t, u in zip(a.state_dict().values(), b.state_dict().values(), strict=True):
        assert_same_bits(t.numpy(), u.numpy())
    a(x).sum().backward()
    by_layer(b, x).sum().backward()
    for t, u in zip(a.parameters(), b.parameters(), strict=True):
        assert_same_bits(t.grad.numpy(), u.grad.numpy())
    a.eval(), b.eval()
    recorded = a(x)
    with nx.no_grad():
        assert_same_bits(a(x).numpy(), by_layer(b, x).numpy())
        assert_same_bits(a(x).numpy(), recorded.numpy())


def test_layers_with_hooks_or_of_other_types_run_themselves(monkeypatch):
    calls = []

    def told(x, units, beside):
        assert beside is None
        calls.append([(unit.weight, unit.norm and unit.norm.weight, unit.relu) for unit in units])
        return x

    monkeypatch.setattr(_chains, "conv_chain", told)

    class Mine(nn.Conv2d):
        def forward(self, input):
            return super().forward(input)

    x = nx.Tensor(shape=(1, 3, 5, 5))
    nn.Sequential(Mine(3, 3, 1), nn.ReLU())(x)
    assert not calls
    hooked, norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
    hooked.register_forward_hook(lambda *_: None)
    nn.Sequential(hooked, norm.eval(), nn.ReLU())(x)
    assert not calls
    plain, other = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
    nn.Sequential(plain, norm, nn.ReLU())(x)
    first, second = (plain.weight, norm.weight, True), (other.weight, None, False)
    assert calls == [[first]]
    nn.Sequential(nn.Sequential(plain, norm, nn.ReLU()), other)(x)
    assert calls[1:] == [[first, second]]
    nn.Sequential(plain, norm, nn.ReLU(), plain, norm)(x)  # its statistics move between
    assert calls[2:] == [[first], [(plain.weight, norm.weight, False)]]


def test_containers_of_other_types_or_with_hooks_run_themselves():
    class Doubled(nn.Sequential):
        def forward(self, x):
            return super().forward(x) * 2

    x, conv, calls = nx.Tensor(random_array(1, 3, 5, 5, dtype=np.float32)), nn.Conv2d(3, 3, 1), []
    assert_same_bits(nn.Sequential(Doubled(conv))(x).numpy(), 2 * conv(x).numpy())
    hooked = nn.Sequential(conv)
    hooked.register_forward_hook(lambda *_: calls.append(1))
    nn.Sequential(hooked)(x)
    assert calls == [1]


def test_errors_are_the_layers():
    with pytest.raises(ShapeError, match="BatchNorm2d: expected an input with 5 channels"):
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(5))(nx.Tensor(shape=(1, 3, 5, 5)))
    with pytest.raises(ShapeError, match="conv2d: expected x with 3 channels"):
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())(nx.Tensor(shape=(1, 2, 5, 5)))


@pytest.mark.parametrize("norm", [None, "batch", "instance", "group"])
@pytest.mark.parametrize("activation", [None, "relu", "leaky_relu", "silu", "gelu"])
def test_block(norm, activation):
    block = nn.ConvNormAct(3, 48, (3, 5), norm=norm, activation=activation)
    x = nx.Tensor(random_array(2, 3, 9, 8, dtype=np.float32))
    assert_same_bits(block(x).numpy(), by_layer(block, x).numpy())
    assert block(x).shape == (2, 48, 9, 8)
    assert (block[0].bias is None) == (norm is not None)
    assert len(block) == 1 + (norm is not None) + (activation is not None)


def test_block_checks_its_arguments():
    for arguments, text in (
        ({"norm": "layer"}, "ConvNormAct: expected norm one of 'batch', 'group', 'instance'"),
        ({"activation": "tanh"}, "ConvNormAct: expected activation one of"),
        ({"kernel_size": 0}, "ConvNormAct: expected kernel_size of at least 1"),
    ):
        with pytest.raises(ArgumentError, match=text):
            nn.ConvNormAct(3, 4, **arguments)
    assert nn.ConvNormAct(3, 4, 5, dilation=2, groups=1)[0].padding == (4, 4)
