"""Feature pyramids, path aggregation, context and heads: values by hand, names, forms of input."""

from collections import OrderedDict

import numpy as np
import pytest

import neurenix as nx
from neurenix import nn
from neurenix.errors import ArgumentError, DTypeError
from neurenix.multiscale import (
    ASPP,
    DAPPM,
    PPM,
    SPPF,
    BiFPN,
    FeaturePyramidNetwork,
    LastLevelMaxPool,
    LastLevelP6P7,
    PANet,
    UNet,
    UPerHead,
    resnet18,
)
from neurenix.nn import functional as F
from neurenix.testing import assert_same_bits, random_array

pytestmark = pytest.mark.filterwarnings("ignore::neurenix.errors.NeurenixWarning")


def maps(*channels, h=12, w=8):
    return [random_array(2, c, -(-h >> i), -(-w >> i), seed=i) for i, c in enumerate(channels)]


def nearest(x, size):
    """Pixels of floor(i * H / OH)."""
    rows, columns = (np.arange(n) * m // n for n, m in zip(size, x.shape[2:], strict=True))
    return x[:, :, rows][:, :, :, columns]


def conv1(x, weight, bias):
    return np.einsum("oi,nihw->nohw", weight[:, :, 0, 0], x) + bias[:, None, None]


def conv3(x, weight, bias, stride=1):
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))[:, :, ::stride, ::stride]
    return np.einsum("oikl,nihwkl->nohw", weight, windows) + bias[:, None, None]


def state_of(module):
    return {name: t.numpy() for name, t in module.state_dict().items()}


# --- feature pyramid


def test_feature_pyramid_by_hand():
    pyramid = FeaturePyramidNetwork([3, 4, 5], 6).double()
    s = state_of(pyramid)
    xs = maps(3, 4, 5, h=13, w=7)
    inner, want = None, []
    for i in (2, 1, 0):
        lateral = conv1(xs[i], s[f"inner_blocks.{i}.0.weight"], s[f"inner_blocks.{i}.0.bias"])
        inner = lateral if inner is None else lateral + nearest(inner, lateral.shape[2:])
        want.insert(0, conv3(inner, s[f"layer_blocks.{i}.0.weight"], s[f"layer_blocks.{i}.0.bias"]))
    for got, y in zip(pyramid(xs), want, strict=True):
        np.testing.assert_allclose(got.numpy(), y, rtol=1e-10, atol=1e-12)


def test_state_names_of_the_feature_pyramid():
    names = [f"{kind}.{i}.0.{what}" for kind in ("inner_blocks", "layer_blocks") for i in (0, 1) for what in ("weight", "bias")]
    assert list(FeaturePyramidNetwork([3, 4], 6).state_dict()) == names
    extra = FeaturePyramidNetwork([3], 6, LastLevelP6P7(3, 6)).state_dict()
    assert [n for n in extra if n.startswith("extra")] == [f"extra_blocks.{p}.{what}" for p in ("p6", "p7") for what in ("weight", "bias")]
    norm = FeaturePyramidNetwork([3], 6, norm="batch").state_dict()
    assert "inner_blocks.0.0.bias" not in norm
    assert "inner_blocks.0.1.running_mean" in norm


def test_initial_weights_of_the_feature_pyramid():
    nx.manual_seed(0)
    pyramid = FeaturePyramidNetwork([64], 64, LastLevelP6P7(64, 64))
    for name, t in state_of(pyramid).items():
        if name.endswith("bias"):
            assert not t.any()
        else:
            fan_in = t[0].size
            assert np.abs(t).max() <= np.sqrt(3 / fan_in)
            assert np.std(t) == pytest.approx(np.sqrt(1 / fan_in), rel=0.05)


def test_extra_levels():
    xs = maps(3, 4, h=9, w=9)
    pyramid = FeaturePyramidNetwork([3, 4], 6, LastLevelMaxPool()).double()
    *_, last, pool = pyramid(xs)
    assert_same_bits(pool, last.numpy()[:, :, ::2, ::2])
    for inner in (4, 6):
        pyramid = FeaturePyramidNetwork([3, 4], 6, LastLevelP6P7(inner, 6)).double()
        s = state_of(pyramid.extra_blocks)
        _, last, p6, p7 = (y.numpy() for y in pyramid(xs))
        np.testing.assert_allclose(p6, conv3(last if inner == 6 else xs[-1], s["p6.weight"], s["p6.bias"], 2), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(p7, conv3(np.maximum(p6, 0), s["p7.weight"], s["p7.bias"], 2), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("make", [FeaturePyramidNetwork, PANet, BiFPN])
def test_lists_and_mappings(make):
    neck = make([3, 4], 6).double().eval()
    xs = maps(3, 4)
    listed, named = neck(xs), neck(OrderedDict(zip(["b", "a"], xs, strict=True)))
    assert isinstance(listed, list)
    assert isinstance(named, OrderedDict)
    assert list(named) == ["b", "a"]
    for a, b in zip(listed, named.values(), strict=True):
        assert_same_bits(a, b)
    name = make.__name__
    with pytest.raises(ArgumentError, match=f"{name}: expected 2 maps, got 1; pass one a source, in the order of the constructor"):
        neck({"a": xs[0]})
    with pytest.raises(DTypeError, match=f"{name}: expected a list of 2 maps, got Tensor"):
        neck(nx.Tensor(xs[0]))
    with pytest.raises(DTypeError, match=f"{name}: expected one element type, got float64 and, for feature 1, float32"):
        neck([nx.Tensor(xs[0]), nx.Tensor(xs[1].astype(np.float32))])


def test_names_of_extra_levels():
    xs = dict(zip("ab", maps(3, 4), strict=True))
    assert list(FeaturePyramidNetwork([3, 4], 6, LastLevelMaxPool())(xs)) == ["a", "b", "pool"]
    assert list(FeaturePyramidNetwork([3, 4], 6, LastLevelP6P7(4, 6))(xs)) == ["a", "b", "p6", "p7"]
    with pytest.raises(DTypeError, match="FeaturePyramidNetwork: expected extra_blocks as a module or None, got str"):
        FeaturePyramidNetwork([3], 6, "pool")


class Encoder(nn.Module):
    """Two maps of an image."""

    def __init__(self):
        self.out_channels = [4, 5]
        self.first, self.second = nn.ConvNormAct(3, 4, stride=2, norm="group"), nn.ConvNormAct(4, 5, stride=2, norm="group")

    def forward(self, x):
        x = self.first(x)
        return [x, self.second(x)]


def test_any_encoder_under_a_pyramid_and_a_head():
    encoder = Encoder()
    model = nn.Sequential(encoder, FeaturePyramidNetwork(encoder.out_channels, 6), UPerHead([6, 6], 2, 8, norm="group"))
    x = nx.Tensor(random_array(1, 3, 17, 9, dtype=np.float32))
    assert model(x).shape == (1, 2, 9, 5)
    model(x).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_encoders_of_the_library():
    nx.manual_seed(0)
    encoder = resnet18(in_channels=1)
    x = nx.Tensor(random_array(1, 1, 45, 33, dtype=np.float32))
    with nx.no_grad():
        model = UNet(1, 2, encoder=encoder, norm="group").eval()
        assert model(x).shape == (1, 2, 45, 33)
        assert model.features == [32, 64, 64, 128, 256]
        maps = [m.shape[2:] for m in model.get_encoder_features()]
        assert maps == [(23, 17), (12, 9), (6, 5), (3, 3), (2, 2)]
        pyramid = nn.Sequential(encoder, FeaturePyramidNetwork(encoder.out_channels, 8))
        assert [y.shape[1:] for y in pyramid(x)] == [(8, *m) for m in maps]


# --- both directions


def test_path_aggregation_by_hand():
    neck = PANet([3, 4], 6).double()
    xs = maps(3, 4, h=9, w=6)
    p = [y.numpy() for y in neck.pyramid(xs)]
    s = state_of(neck)
    down = np.maximum(conv3(p[0], s["downs.0.0.weight"], s["downs.0.0.bias"], 2), 0)
    up = np.maximum(conv3(down + p[1], s["fuses.0.0.weight"], s["fuses.0.0.bias"]), 0)
    first, second = neck(xs)
    assert_same_bits(first, p[0])
    np.testing.assert_allclose(second.numpy(), up, rtol=1e-9, atol=1e-12)


def test_bifpn_by_hand():
    nx.manual_seed(0)
    neck = BiFPN([6, 6, 5], 6, 1, norm=None).double()
    assert type(neck.projections[0]) is nn.Identity
    layer = neck.layers[0]
    layer.up[0].weight.assign_(np.array([1.0, -2.0, 3.0]))
    a, b, c = (nx.Tensor(x) for x in maps(6, 6, 5, h=11, w=8))
    c = neck.projections[2](c)

    def node(module, *xs):
        w = np.maximum(module.weight.numpy(), 0)
        w = w / (w.sum() + 1e-4)
        return module.pointwise(module.depthwise(F.silu(sum(x * float(v) for x, v in zip(xs, w, strict=True)))))

    tb = node(layer.down[0], b, F.interpolate(c, size=b.shape[2:]))
    ta = node(layer.down[1], a, F.interpolate(tb, size=a.shape[2:]))
    qb = node(layer.up[0], b, tb, F.max_pool2d(ta, 3, 2, 1))
    qc = node(layer.up[1], c, F.max_pool2d(qb, 3, 2, 1))
    for got, want in zip(neck(maps(6, 6, 5, h=11, w=8)), [ta, qb, qc], strict=True):
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-9, atol=1e-12)


def test_weights_of_the_fusion_are_trained():
    neck = BiFPN([3, 3], 3, 2, norm="group")
    sum((y * y).sum() for y in neck([x.astype(np.float32) for x in maps(3, 3)])).backward()
    weights = [
        p for name, p in neck.named_parameters() if p.ndim == 1 and p.shape in ((2,), (3,)) and name.endswith(("0.weight", "1.weight"))
    ]
    assert weights
    assert all(p.grad is not None and np.abs(p.grad.numpy()).max() > 0 for p in weights)


# --- context


def test_names_of_aspp():
    aspp = ASPP(4, [2, 3], 6)
    names = [n for n in aspp.state_dict() if n.endswith("weight")]
    want = [f"convs.{i}.{j}.weight" for i, at in ((0, (0, 1)), (1, (0, 1)), (2, (0, 1)), (3, (1, 2))) for j in at]
    assert names == [*want, "project.0.weight", "project.1.weight"]
    assert aspp.project[3].p == 0.5


def test_aspp_by_hand():
    aspp = ASPP(3, [2], 4, norm=None).double().eval()
    s, x = state_of(aspp), random_array(2, 3, 7, 6)
    first = np.maximum(conv1(x, s["convs.0.0.weight"], s["convs.0.0.bias"]), 0)
    second = F.relu(F.conv2d(nx.Tensor(x), s["convs.1.0.weight"], s["convs.1.0.bias"], padding=2, dilation=2)).numpy()
    third = np.maximum(conv1(x.mean(axis=(2, 3), keepdims=True), s["convs.2.1.weight"], s["convs.2.1.bias"]), 0)
    joined = np.concatenate([first, second, np.broadcast_to(third, first.shape)], axis=1)
    want = np.maximum(conv1(joined, s["project.0.weight"], s["project.0.bias"]), 0)
    np.testing.assert_allclose(aspp(x).numpy(), want, rtol=1e-9, atol=1e-12)
    assert (aspp.train()(x).numpy() == 0).mean() > (want == 0).mean()


def test_sppf_is_three_windows():
    sppf = SPPF(4, 6, 3, norm=None).double()
    x = nx.Tensor(random_array(1, 4, 9, 8))
    y = sppf.cv1(x)
    want = sppf.cv2(nx.cat([y, *(F.max_pool2d(y, k, 1, k // 2) for k in (3, 5, 7))], dim=1))
    assert_same_bits(sppf(x), want)


def test_ppm_by_hand():
    ppm = PPM(3, 4, (1, 2), norm=None).double()
    s, x = state_of(ppm), random_array(2, 3, 6, 4)
    bins = [x.mean(axis=(2, 3), keepdims=True), x.reshape(2, 3, 2, 3, 2, 2).mean(axis=(3, 5))]
    branches = [np.maximum(conv1(b, s[f"reductions.{i}.0.weight"], s[f"reductions.{i}.0.bias"]), 0) for i, b in enumerate(bins)]
    branches = [F.interpolate(nx.Tensor(b), size=(6, 4), mode="bilinear").numpy() for b in branches]
    want = np.maximum(conv3(np.concatenate([x, *branches], axis=1), s["bottleneck.0.weight"], s["bottleneck.0.bias"]), 0)
    np.testing.assert_allclose(ppm(x).numpy(), want, rtol=1e-9, atol=1e-12)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in PPM(3, 4).reductions[0])


def test_dappm_by_hand():
    module = DAPPM(3, 4, 5, norm=None).double()
    x = nx.Tensor(random_array(2, 3, 19, 14))

    def conv(block, y):
        return F.conv2d(F.relu(y), block[1].weight, block[1].bias, padding=block[1].weight.shape[2] // 2)

    pools = [F.avg_pool2d(x, k, s, k // 2, count_include_pad=False) for k, s in ((5, 2), (9, 4), (17, 8))]
    ys = [conv(module.scales[0], x)]
    for i, pool in enumerate([*pools, x.mean(dim=(2, 3), keepdim=True)]):
        scaled = F.interpolate(conv(module.scales[i + 1], pool), size=(19, 14), mode="bilinear")
        ys.append(conv(module.processes[i], scaled + ys[-1]))
    want = conv(module.compression, nx.cat(ys, dim=1)) + conv(module.shortcut, x)
    np.testing.assert_allclose(module(x).numpy(), want.numpy(), rtol=1e-10, atol=1e-12)
    assert isinstance(DAPPM(3, 4, 5).scales[0][0], nn.BatchNorm2d)
    assert isinstance(DAPPM(3, 4, 5).scales[4][0], nn.ReLU)


def test_upernet_head_by_hand():
    head = UPerHead([3, 4], 2, 5, (1, 2), norm=None).double().eval()
    xs = [nx.Tensor(x) for x in maps(3, 4, h=8, w=6)]
    inner = head.laterals[0](xs[0]) + F.interpolate(head.context(xs[1]), size=(8, 6), mode="bilinear")
    joined = nx.cat([head.smooths[0](inner), F.interpolate(head.context(xs[1]), size=(8, 6), mode="bilinear")], dim=1)
    assert_same_bits(head(xs), head.head(head.bottleneck(joined)))


@pytest.mark.parametrize("make", [lambda: ASPP(4, [2], 8, norm="group"), lambda: UPerHead([4], 2, 8, norm="group", dropout=0.5)])
def test_dropout_repeats_under_checkpointing(make):
    x = random_array(2, 4, 6, 5, dtype=np.float32)

    def gradient(checkpointed):
        nx.manual_seed(4)
        module = make()
        t = nx.Tensor(x, requires_grad=True)
        inputs = [t] if isinstance(module, UPerHead) else t
        if checkpointed:
            with nx.enable_gradient_checkpointing():
                y = module(inputs)
        else:
            y = module(inputs)
        (y * y).sum().backward()
        return t.grad.numpy()

    assert_same_bits(gradient(True), gradient(False))
