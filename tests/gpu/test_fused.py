"""Chains on a GPU: the bits of the operations one by one on the same device, forward and backward, and what is no longer launched."""

import itertools

import numpy as np
import pytest
from gpu.test_conv_tensor import arrays_of

import neurenix as nx
from neurenix import autograd, nn
from neurenix.nn import functional as F
from neurenix.ops._windows import Slide
from neurenix.ops.conv_chain import Norm, Unit, conv_chain, halved_chain
from neurenix.testing import assert_same_bits


def leaf(shape, seed, dtype, positive=False, wants=True):
    (a,) = arrays_of([shape], dtype, seed)
    return nx.tensor(np.abs(a) + 0.5 if positive else a).to("emulated").requires_grad_(wants)


def units_of(widths, dtype="f4", *, training=True, relu=True, bias=False, kernel=3, **options):
    """Units of convolution, batch norm and ReLU from one number of channels to the next."""
    found = []
    for i, (c, k) in enumerate(itertools.pairwise(widths)):
        groups, seed = options.get("groups", 1), 10 * i
        running = leaf((k,), seed + 7, dtype, wants=False), leaf((k,), seed + 8, dtype, positive=True, wants=False)
        norm = Norm("batch", leaf((k,), seed + 1, dtype), leaf((k,), seed + 2, dtype), *running, training=training, momentum=0.3)
        weight = leaf((k, c // groups, kernel, kernel), seed + 3, dtype)
        own = leaf((k,), seed + 4, dtype) if bias else None
        settings = {"padding": kernel // 2} | options
        found.append(Unit(weight, own, norm=norm, activation="relu" if relu else None, **settings))
    return found


def one_by_one(x, units, beside=None):
    x = x if beside is None else nx.cat([x, beside], 1)
    for unit in units:
        n, y = unit.norm, F.conv2d(x, unit.weight, unit.bias, unit.stride, unit.padding, unit.dilation, unit.groups)
        y = F.batch_norm(y, n.running_mean, n.running_var, n.weight, n.bias, n.training, n.momentum, n.eps)
        x = F.relu(y) if unit.relu else y
    return x


def results(run, shapes, units, dtype):
    xs = [leaf(shape, 50 + i, dtype) for i, shape in enumerate(shapes)]
    y = run(xs[0], units, *xs[1:])
    y.backward(leaf(y.shape, 60, dtype, wants=False))
    leaves = [*xs, *(t for unit in units for t in unit.leaves if t is not None)]
    return [t.numpy() for t in (y, *(t.grad for t in leaves), *(t for unit in units for t in unit.norm.running))]


def assert_same(shapes, widths, dtype="f4", **options):
    want = results(one_by_one, shapes, units_of(widths, dtype, **options), dtype)
    got = results(conv_chain, shapes, units_of(widths, dtype, **options), dtype)
    for a, b in zip(got, want, strict=True):
        assert_same_bits(a, b)


# (capability, precision, processors): the direct kernel; tensor cores by whole sums, and by parts.
CARDS = {"direct": (70, "ieee", 4), "fast": (80, "fast", 0), "tf32": (80, "tf32", 0), "in parts": (80, "fast", 4)}


@pytest.fixture(params=CARDS)
def card(request, door, monkeypatch):
    """The emulated device as one or the other card, under a precision."""
    capability, precision, processors = CARDS[request.param]
    monkeypatch.setattr(door, "capability", capability)
    monkeypatch.setattr(door, "processors", processors)
    with nx.set_float32_precision(precision):
        yield door


@pytest.mark.parametrize("size", [(4, 4), (5, 9), (13, 17)])
def test_a_run_has_the_bits_of_its_operations(card, size):
    assert_same([(2, 8, *size)], [8, 12, 9], bias=True)


@pytest.mark.parametrize(
    ("shape", "widths", "options"),
    [
        ((1, 8, 7, 9), [8, 66, 8], {}),  # more outputs than a tile
        ((1, 8, 9, 8), [8, 8, 12], {"stride": 2}),
        ((1, 8, 6, 7), [8, 12, 8], {"dilation": 2, "padding": 2, "relu": False}),
        ((2, 16, 5, 3), [16, 16, 16], {"groups": 2}),
        ((1, 12, 4, 6), [12, 9, 8], {"kernel": 1, "bias": True}),  # nine channels are normalised in a pass of its own
        ((2, 8, 5, 6), [8, 8, 8], {"training": False}),
        ((1, 200, 4, 5), [200, 180, 8], {}),  # sums in parts
    ],
    ids=["wide", "strided", "dilated", "grouped", "1x1", "stored statistics", "deep"],
)
def test_other_layers(card, shape, widths, options):
    assert_same([shape], widths, **options)


@pytest.mark.parametrize("shapes", [((2, 8, 5, 6), (2, 8, 5, 6)), ((1, 12, 4, 5), (1, 20, 4, 5))], ids=str)
def test_halves_of_the_channels_are_never_put_together(card, shapes, monkeypatch):
    channels = sum(shape[1] for shape in shapes)
    want = results(one_by_one, shapes, units_of([channels, 10]), "f4")
    monkeypatch.setattr("neurenix.ops.conv_chain.cat", None)
    monkeypatch.setattr("neurenix.ops._conv.convolve", None)  # it writes one map
    for a, b in zip(results(conv_chain, shapes, units_of([channels, 10]), "f4"), want, strict=True):
        assert_same_bits(a, b)


def test_halves_in_parts(card):
    assert_same([(1, 100, 3, 4), (1, 92, 3, 4)], [192, 8])
    assert_same([(1, 8, 3, 4), (1, 12, 3, 4)], [20, 180])  # so is the gradient of the input


def test_doubles(door):
    assert_same([(2, 8, 5, 6)], [8, 12, 9], "f8", bias=True)
    assert_same([(1, 8, 4, 9), (1, 4, 4, 9)], [12, 8], "f8")


def test_launches_of_a_run(card):
    x, units = leaf((1, 8, 5, 6), 0, "f4"), units_of([8, 12, 8])
    conv_chain(x, units).sum().backward()
    assert card.launched.count("norm_apply") == 1, "the last map only"
    assert "norm_moments" not in card.launched
    assert "conv_weight_gradient" not in card.launched


def results_halved(run, shape, units, dtype, keeps, ceil_mode):
    x = leaf(shape, 50, dtype)
    found = [t for t in run(x, units, ceil_mode=ceil_mode, keeps=keeps) if t is not None]
    for i, t in enumerate(found):
        t.backward(leaf(t.shape, 60 + i, dtype, wants=False), retain_graph=True)
    leaves = [x, *(t for unit in units for t in unit.leaves if t is not None)]
    return [t.detach().numpy() for t in (*found, *(t.grad for t in leaves))]


def pooled_apart(x, units, *, ceil_mode, keeps):
    y = one_by_one(x, units)
    return y if keeps else None, F.max_pool2d(y, 2, ceil_mode=ceil_mode)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(("keeps", "ceil_mode"), list(itertools.product((True, False), repeat=2)))
@pytest.mark.parametrize("size", [(2, 2), (1, 5), (5, 1), (4, 6), (5, 9)])
def test_the_pass_that_normalises_pools(door, size, keeps, ceil_mode, dtype):
    if not ceil_mode and min(size) < 2:
        return
    found = []
    for run in (halved_chain, pooled_apart):
        del door.launched[:]
        found.append(results_halved(run, (2, 8, *size), units_of([8, 12, 9], dtype), dtype, keeps, ceil_mode))
        assert door.launched.count("max_pool") == (0 if run is halved_chain else 1)
    for a, b in zip(*found, strict=True):
        assert_same_bits(a, b)


def test_a_sequential_pools_where_it_normalises(door):
    found = []
    for apart in (False, True):
        nx.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 4, 1)).to("emulated")
        if apart:
            model[3].register_forward_hook(lambda *_: None)
        del door.launched[:]
        model(leaf((2, 2, 9, 8), 3, "f4", wants=False)).sum().backward()
        assert ("norm_apply_pooled" in door.launched, "norm_apply" in door.launched) == (not apart, apart)
        found.append([p.grad.numpy() for p in model.parameters()])
    for a, b in zip(*found, strict=True):
        assert_same_bits(a, b)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("size", [(2, 2), (7, 5), (8, 1), (1, 6)])
def test_a_pools_gradient_is_added_to_the_maps(door, size, dtype, monkeypatch):
    def found(ceil_mode):
        x = leaf((2, *size, 5), 1, dtype)
        t = x.permute(0, 3, 1, 2) * 1.0
        y = F.max_pool2d(t, 2, ceil_mode=ceil_mode)
        ends = [t * 2.0, y]
        laid = [leaf((n, h, w, c), 2, dtype, wants=False).permute(0, 3, 1, 2) for n, c, h, w in (end.shape for end in ends)]
        laid[0] = laid[0] * (laid[0] > 0)  # negative zeros become zeros where nothing is added
        autograd.backward([(end, g._array) for end, g in zip(ends, laid, strict=True)])
        return x.grad.numpy()

    for ceil_mode in (True, False) if min(size) > 1 else (True,):
        del door.launched[:]
        got = found(ceil_mode)
        assert (door.launched.count("max_pool_backward_add"), door.launched.count("max_pool_backward")) == (1, 0)
        with monkeypatch.context() as patch:
            patch.setattr(Slide, "halves", False)
            assert_same_bits(got, found(ceil_mode))


def test_whoever_asks_for_parts_gets_arrays(door):
    x = leaf((2, 6, 4, 8), 0, "f4")

    def both(t):
        return (F.max_pool2d(t, 2) * 2.0).sum() + (t * t).sum()

    def gradient(run):
        x.grad = None
        run(x.permute(0, 3, 1, 2) * 1.0).backward()
        return x.grad.numpy()

    want = gradient(both)
    assert_same_bits(gradient(lambda t: nx.checkpoint(both, t)), want)
    with nx.detect_anomaly():
        assert_same_bits(gradient(both), want)
    t = x.permute(0, 3, 1, 2) * 1.0
    (g,) = nx.autograd.grad(both(t), t)
    assert_same_bits(g.permute(0, 2, 3, 1).numpy(), want)


def test_a_grouped_convolution_by_depth_keeps_its_own_kernel(door):
    assert_same([(1, 8, 5, 6)], [8, 8, 8], groups=8)
    assert "convolve_depthwise" in door.launched


HALVES = {"fast": (80, 0), "in parts": (80, 4), "without tensor cores": (70, 4)}


@pytest.mark.parametrize("way", HALVES)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", None])
@pytest.mark.parametrize("norm", ["batch", "group", None])
def test_two_maps_under_autocast_and_before_other_norms(door, monkeypatch, norm, dtype, way):
    capability, processors = HALVES[way]
    monkeypatch.setattr(door, "capability", capability)
    monkeypatch.setattr(door, "processors", processors)
    shapes, outputs = ((1, 8, 3, 4), (1, 12, 3, 4)), 180 if way == "in parts" else 9

    def found(run):
        xs, weight, bias = [leaf(s, i, "f4") for i, s in enumerate(shapes)], leaf((outputs, 20, 3, 3), 3, "f4"), leaf((outputs,), 4, "f4")
        with nx.autocast("emulated", dtype=dtype or "bfloat16", enabled=dtype is not None):
            y = run(*xs, weight, bias)
        y.backward(leaf(y.shape, 5, "f4", wants=False))
        return [t.numpy() for t in (y, *(t.grad for t in (*xs, weight, bias)))]

    def joined(x, beside, weight, bias):
        y = F.conv2d(nx.cat([x, beside], 1), weight, bias, padding=1)
        return y if norm is None else F.batch_norm(y, None, None, training=True) if norm == "batch" else F.group_norm(y, 3)

    want = found(joined)
    monkeypatch.setattr("neurenix.ops.conv_chain.cat", None)
    how = None if norm is None else Norm(norm, groups=3)
    got = found(lambda x, beside, weight, bias: conv_chain(x, [Unit(weight, bias, padding=1, norm=how)], beside))
    for a, b in zip(got, want, strict=True):
        assert_same_bits(a, b)
    assert {"convolve_fused", "conv_weight_gradient_fused"} <= set(door.launched)


def test_gradients_for_one_of_two_maps(door):
    for wanted in itertools.product((True, False), repeat=3):
        given = list(zip(((1, 8, 3, 4), (1, 4, 3, 4), (5, 12, 3, 3)), wanted, strict=True))
        found = []
        for run in (lambda x, b, w: F.conv2d(nx.cat([x, b], 1), w), lambda x, b, w: conv_chain(x, [Unit(w)], b)):
            tensors = [leaf(shape, i, "f4", wants=wants) for i, (shape, wants) in enumerate(given)]
            y = run(*tensors)
            if y.requires_grad:
                y.sum().backward()
            found.append([y, *(t.grad for t in tensors)])
        for a, b in zip(*found, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                assert_same_bits(a.detach().numpy(), b.detach().numpy())


@pytest.mark.parametrize("norm", ["batch", "group", None])
def test_a_unet_trains_as_layer_by_layer(card, norm):
    """A chain's fused kernels against modules that are called one by one, which a hook makes of them."""
    found = []
    for hooked in (False, True):
        nx.manual_seed(0)
        model = nx.multiscale.UNet(2, 1, features=[8, 16], norm=norm).to("emulated")
        for module in model.modules() if hooked else ():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(lambda *_: None)
        del card.launched[:]
        model(leaf((1, 2, 9, 12), 3, "f4", wants=False)).sum().backward()
        found.append([p.grad.numpy() for p in model.parameters()])
        pools = [card.launched.count(row) for row in ("norm_apply_pooled", "max_pool", "max_pool_backward_add", "max_pool_backward")]
        assert pools == ([0, 2, 0, 2] if hooked else [2, 0, 2, 0] if norm == "batch" else [0, 2, 2, 0])
    for a, b in zip(*found, strict=True):
        assert_same_bits(a, b)
