"""What a convolution does to its sums before they are written, and two maps that it reads beside each other: the bits of passes of their own."""

import numpy as np
import pytest
from gpu.test_conv_tensor import arrays_of

import neurenix as nx
from neurenix import nn
from neurenix.nn import _chains, functional as F
from neurenix.ops._conv import Epilogue, Window, run
from neurenix.ops.conv_chain import Fusible, Unit, conv_chain
from neurenix.ops.elementwise import NONE, Activation, Unary, map1

LAYERS = [
    nn.CELU(0.7), nn.ELU(1.5), nn.GELU(), nn.GELU("tanh"), nn.Hardsigmoid(), nn.Hardswish(), nn.Hardtanh(-0.5, 2.0), nn.LeakyReLU(0.2), nn.Mish(),
    nn.ReLU(), nn.ReLU6(), nn.SELU(), nn.SiLU(), nn.Tanh(),
]  # fmt: skip
# (capability, precision, processors, outputs): the direct kernel, then wide and narrow tiles and sums in parts on tensor cores.
WAYS = {
    "convolve": (70, "ieee", 4, 6),
    "convolve_fast": (80, "fast", 0, 36),
    "convolve_tf32_narrow": (80, "tf32", 0, 10),
    "convolve_joined": (80, "fast", 4, 9),
}


@pytest.fixture
def card(door, monkeypatch):
    """The emulated device as one or the other card."""

    def made(capability, processors=4):
        monkeypatch.setattr(door, "capability", capability)
        monkeypatch.setattr(door, "processors", processors)
        return door

    return made


def placed(*shapes, dtype="f4"):
    return [nx.tensor(a).to("emulated") for a in arrays_of(shapes, dtype)]


def same(a, b):
    np.testing.assert_array_equal(a.numpy(), b.numpy())
    np.testing.assert_array_equal(np.signbit(a.numpy()), np.signbit(b.numpy()))


def blocks(layer, outputs, channels, dtype="float32"):
    """A convolution, a normalisation with statistics of its own and the layer, in evaluation."""
    nx.manual_seed(1)
    conv, norm = nn.Conv2d(channels, outputs, 3, padding=1), nn.BatchNorm2d(outputs)
    norm.running_mean, norm.running_var = nx.randn(outputs), nx.rand(outputs) + 0.5
    return nn.Sequential(conv, norm, layer).to(dtype).to("emulated").eval()


def test_no_layer_that_can_share_a_pass_is_left_out():
    assert {type(layer) for layer in LAYERS} == {nn.ReLU, *_chains._PLAIN, *_chains._SET}


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
@pytest.mark.parametrize("way", WAYS)
def test_an_activation_has_the_bits_of_a_pass_of_its_own(card, way, layer):
    capability, precision, processors, outputs = WAYS[way]
    channels = 180 if way == "convolve_joined" else 8
    door = card(capability, processors)
    model, (x,) = blocks(layer, outputs, channels), placed((1, channels, 4, 5))
    with nx.no_grad(), nx.set_float32_precision(precision):
        together = model(x)
        assert way in door.kernels
        assert "unary" not in door.launched
        apart = layer(model[1](model[0](x)))
    assert "unary" in door.launched
    same(together, apart)


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
@pytest.mark.parametrize("groups", [1, 6])
def test_doubles_and_convolutions_by_depth(card, layer, groups):
    door, (x,) = card(80), placed((2, 6, 5, 4), dtype="f8")
    conv = nn.Conv2d(6, 6, 3, groups=groups, device="emulated", dtype="float64")
    with nx.no_grad():
        together = nn.Sequential(conv, layer)(x)
        assert "unary" not in door.launched
        assert ("convolve_depthwise" if groups > 1 else "convolve") in door.kernels
        same(together, layer(conv(x)))


@pytest.mark.parametrize("op", [Unary.SIGMOID, Unary.RELU, Unary.CLAMP, Unary.GELU, Unary.TANH])
@pytest.mark.parametrize("capability", [70, 80])
def test_zeros_infinities_and_nan(card, op, capability):
    """A sum that is -0, infinite or NaN meets the expression as an element of an array does."""
    card(capability)
    how = Activation(op, -0.5, 0.5)
    x, weight = nx.ones(1, 8, 1, 1, device="emulated"), nx.ones(8, 8, 1, 1, device="emulated")
    scale = nx.tensor(np.array([-0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 3e38, -3e38], "f4")).to("emulated")._array
    shift = nx.tensor(np.array([-0.0, 0, 0, 0, -0.0, -0.0, 3e38, -3e38], "f4")).to("emulated")._array
    window, buffer = Window((1, 1), (1, 1), (0, 0), (1, 1), 1), x._array.transpose(0, 2, 3, 1)
    with nx.set_float32_precision("tf32" if capability == 80 else "ieee"):
        together, sums = (run(buffer, weight, window, (1, 1), False, Epilogue(None, scale, shift, a)) for a in (how, NONE))
    assert np.signbit(nx.Tensor._wrap(sums).numpy().ravel()[0])
    same(nx.Tensor._wrap(together), nx.Tensor._wrap(map1(op, sums, how.a, how.b)))


def test_a_sigmoid_keeps_its_logits(card):
    door, (x,) = card(70), placed((1, 4, 3, 3))
    model = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Sigmoid()).to("emulated").eval()
    with nx.no_grad():
        assert model(x)._logits is not None
    assert "unary" in door.launched


def test_where_gradients_are_recorded_an_activation_is_a_pass_of_its_own(card):
    door, (x,) = card(70), placed((1, 4, 3, 3))
    model = blocks(nn.SiLU(), 4, 4)
    model(x).sum().backward()
    assert "unary" in door.launched
    assert model[0].weight.grad is not None


def test_a_cpu_refuses_what_only_a_gpu_fuses():
    x, w, y = (np.ones(s, "f4") for s in ((1, 2, 2, 8), (8, 8, 1, 1), (1, 2, 2, 8)))
    window = Window((1, 1), (1, 1), (0, 0), (1, 1), 1)
    with pytest.raises(nx.errors.ShapeError, match="expected none or relu"):
        run(x, nx.tensor(w), window, (2, 2), False, Epilogue(activation=Activation(Unary.SILU)))
    with pytest.raises(nx.errors.ShapeError, match="expected one map"):
        run(x, nx.tensor(np.ones((8, 16, 1, 1), "f4")), window, (2, 2), False, second=y)


# --- two maps beside each other


@pytest.mark.parametrize("shapes", [((2, 8, 5, 4), (2, 8, 5, 4)), ((1, 12, 3, 4), (1, 20, 3, 4)), ((1, 8, 4, 3), (1, 5, 4, 3))], ids=str)
@pytest.mark.parametrize("way", WAYS)
def test_two_maps_are_read_where_they_lie(card, way, shapes):
    capability, precision, processors, outputs = WAYS[way]
    if way == "convolve_joined":
        shapes = [(n, 88 + c, h, w) for n, c, h, w in shapes]
    door = card(capability, processors)
    channels = shapes[0][1] + shapes[1][1]
    x, beside, weight = placed(*shapes, (outputs, channels, 3, 3))
    unit = Unit(weight, padding=1, activation=Fusible(Activation(Unary.SILU), F.silu))
    with nx.no_grad(), nx.set_float32_precision(precision):
        joined = nx.cat([x, beside], 1)
        one = conv_chain(joined, [unit])
        door.launched.clear()
        two = conv_chain(x, [unit], beside)
    assert door.launched.count("copy_into") == 2  # to channels last, each alone
    assert way in door.kernels
    same(two, one)


@pytest.mark.parametrize("norm", ["batch", "group", "instance", None])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "silu", "gelu"])
@pytest.mark.parametrize("upsample", ["transposed", "bilinear"])
def test_a_unet_predicts_without_a_copy(card, norm, activation, upsample):
    door = card(70)
    nx.manual_seed(0)
    model = nx.multiscale.UNet(1, 9, features=[12, 24], norm=norm, activation=activation, upsample=upsample).eval()
    x = nx.tensor(arrays_of([(1, 1, 12, 16)])[0])
    with nx.no_grad(), nx.set_float32_precision("ieee"):
        expected = model(x)
        model.to("emulated")
        door.launched.clear()
        got = model(x.to("emulated"))
    copies = door.launched.count("copy_into")
    assert copies == 0, "an image of one channel lies as it should, and nothing is put together"
    assert door.launched.count("unary") == (1 if norm == "batch" or norm is None or activation == "relu" else 11)
    np.testing.assert_array_equal(got.numpy(), expected.numpy())


def test_what_cannot_be_read_beside_is_put_together(card):
    door = card(70)
    x, beside, weight = placed((1, 5, 3, 3), (1, 4, 3, 3), (4, 9, 1, 1))
    with nx.no_grad():
        expected = F.conv2d(nx.cat([x, beside], 1), weight)
        same(conv_chain(x, [Unit(weight)], beside), expected)
    leaf = weight.detach().requires_grad_()
    conv_chain(x[:, :4], [Unit(leaf[:, :8])], beside).sum().backward()
    assert leaf.grad is not None
    assert "convolve" in door.launched
