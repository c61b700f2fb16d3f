"""Runs with a 2x2 max pool behind them: the bits of the pool by itself, whether the pass that normalises takes its maxima or not."""

import itertools

import numpy as np
import pytest
from ops.test_chain_node import leaf, make

import neurenix as nx
from neurenix import _rust, nn
from neurenix.backend.kernel import Kernel
from neurenix.errors import ShapeError
from neurenix.nn import functional as F
from neurenix.ops import norm
from neurenix.ops.conv_chain import HALVED, conv_chain, halved_chain
from neurenix.ops.norm import Sizes, Tables
from neurenix.testing import assert_same_bits, random_array

SIZES = [(1, 1), (1, 2), (2, 2), (3, 2), (5, 9), (8, 6), (13, 17), (2, 301), (31, 40)]


@pytest.fixture
def called(monkeypatch):
    """The rows of the kernel table that are called."""
    names, run = [], Kernel.__call__

    def call(self, *args):
        names.append(self.name)
        run(self, *args)

    monkeypatch.setattr(Kernel, "__call__", call)
    return names


@pytest.fixture(autouse=True)
def narrow(request, monkeypatch):
    """Maps of few channels take part too, where the test does not say otherwise."""
    if request.node.originalname != "test_few_channels_are_pooled_by_themselves":
        monkeypatch.setattr("neurenix.ops.conv_chain.HALVED", 2)


def apart(x, units, beside=None, *, ceil_mode, keeps):
    y = conv_chain(x, units, beside)
    return y if keeps else None, F.max_pool2d(y, 2, ceil_mode=ceil_mode)


def results(run, shapes, units, dtype, **options):
    """Map and maxima, gradients of both together, and running statistics."""
    xs = [leaf(*shape, seed=50 + i, dtype=dtype) for i, shape in enumerate(shapes)]
    found = [t for t in run(xs[0], units, *xs[1:], **options) if t is not None]
    loss = sum((t * nx.Tensor(random_array(*t.shape, seed=60, dtype=dtype))).sum() for t in found)
    loss.backward()
    leaves = [*xs, *(t for unit in units for t in unit.leaves if t is not None)]
    return [t.detach().numpy() for t in (*found, *(t.grad for t in leaves), *(t for unit in units for t in unit.norm.running))]


def assert_same(shapes, make_units, dtype=np.float32, **options):
    got = results(halved_chain, shapes, make_units(), dtype, **options)
    want = results(apart, shapes, make_units(), dtype, **options)
    for a, b in zip(got, want, strict=True):
        assert_same_bits(a, b)


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("ceil_mode", [True, False])
@pytest.mark.parametrize("size", SIZES)
def test_every_size(size, ceil_mode, keeps, called):
    if not ceil_mode and min(size) < 2:
        with pytest.raises(ShapeError, match="max_pool2d: expected x at least as large as the window"):
            halved_chain(leaf(2, 16, *size, seed=0), make([16, 16]), ceil_mode=False, keeps=keeps)
        return
    assert_same([(2, 16, *size)], lambda: make([16, 48, 20]), ceil_mode=ceil_mode, keeps=keeps)
    assert called.count("norm_apply_pooled") == called.count("max_pool") == 1


@pytest.mark.parametrize(("dtype", "widths"), [(np.float64, [16, 16]), (np.float32, [3, 5]), (np.float32, [4, 2]), (np.float32, [2, 1])])
def test_other_types_and_few_channels(dtype, widths, called):
    for ceil_mode, keeps in itertools.product((True, False), repeat=2):
        assert_same([(2, widths[0], 7, 5)], lambda: make(widths, dtype=dtype), dtype, ceil_mode=ceil_mode, keeps=keeps)
    assert called.count("norm_apply_pooled") == (4 if widths[-1] > 1 else 0)


def test_halves_of_the_channels_and_stored_statistics():
    assert_same([(2, 16, 9, 10)] * 2, lambda: make([32, 32, 16]), ceil_mode=True, keeps=True)
    assert_same([(2, 16, 9, 10)], lambda: make([16, 32], training=False, relu=False), ceil_mode=False, keeps=False)


def test_runs_that_end_otherwise_are_pooled_by_themselves(called):
    def units():
        first, second = make([16, 16, 16])
        return [first, second._replace(activation=F.silu)]

    assert_same([(1, 16, 6, 7)], units, ceil_mode=True, keeps=True)
    with nx.no_grad():
        y, below = halved_chain(leaf(1, 16, 6, 7, seed=0), make([16, 16]))
    assert_same_bits(below.numpy(), F.max_pool2d(y, 2).numpy())
    assert "norm_apply_pooled" not in called


def pooled(x, *, relu, ceil, keeps=True):
    """What the row gives of a buffer, as it is."""
    n, h, w, c = x.shape
    one, none = np.ones((1, c), x.dtype), np.zeros((1, c), x.dtype)
    tables = Tables(one, none, none, none)
    return norm.apply_pooled(x, Sizes(n, h, w, c, 0), tables, relu, ((h + ceil) // 2, (w + ceil) // 2), keeps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [(2, 2), (1, 5), (5, 1), (6, 7), (3, 130)])
def test_values_that_are_equal_or_none_go_where_the_pool_puts_them(size, dtype):
    values = np.array([np.nan, -np.inf, np.inf, -0.0, 0.0, 1.0, -1.0], dtype)
    x = values[np.random.default_rng(3).integers(0, 7, (3, *size, 19))]
    for share in (1.0, 0.2):  # many that are equal, then mostly minus infinity
        x = np.where(np.random.default_rng(4).random(x.shape) < share, x, dtype(-np.inf))
        for relu, ceil in itertools.product((True, False), repeat=2):
            if not ceil and min(size) < 2:
                continue
            y, below, tap = pooled(x, relu=relu, ceil=ceil)
            t = nx.Tensor(y.transpose(0, 3, 1, 2), requires_grad=True)
            want = F.max_pool2d(t, 2, ceil_mode=ceil)
            assert_same_bits(below.transpose(0, 3, 1, 2), want.detach().numpy())
            dx, g = np.zeros_like(y), random_array(*below.shape, seed=9, dtype=dtype)
            want.backward(nx.Tensor(g.transpose(0, 3, 1, 2)))
            across = min(size[1], 2)
            for i, j in np.ndindex(below.shape[1:3]):
                for k in range(4):
                    row, column = 2 * i + k // across, 2 * j + k % across
                    if k // across < 2 and row < size[0] and column < size[1]:
                        dx[:, row, column] += np.where(tap[:, i, j] == k, g[:, i, j], 0)
            assert_same_bits(dx.transpose(0, 3, 1, 2), t.grad.numpy())
            again = pooled(x, relu=relu, ceil=ceil, keeps=False)
            assert again[0] is None
            assert_same_bits(again[1], below)
            np.testing.assert_array_equal(again[2], tap)


def test_bits_depend_on_neither_level_nor_threads():
    x = random_array(3, 37, 61, 24, seed=1, dtype=np.float32)
    want, level, threads = pooled(x, relu=True, ceil=True), _rust.level(), _rust.num_threads()
    try:
        for one, number in itertools.product(_rust.levels(), (1, 2, 3, 8)):
            _rust.set_level(one)
            _rust.set_num_threads(number)
            for a, b in zip(pooled(x, relu=True, ceil=True), want, strict=True):
                np.testing.assert_array_equal(a, b)
    finally:
        _rust.set_level(level)
        _rust.set_num_threads(threads)


def hooked(model):
    """The same model, whose layers run one by one."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda *_: None)
    return model


def trained(model, x):
    x = nx.Tensor(x, requires_grad=True)
    y = model(x)
    (y * nx.Tensor(random_array(*y.shape, seed=8, dtype=np.float32))).sum().backward()
    return [y.detach().numpy(), x.grad.numpy(), *(p.grad.numpy() for p in model.parameters()), *(b.numpy() for b in model.buffers())]


def sequential(**pool):
    def stage(a, b):
        return [nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(), nn.MaxPool2d(**pool)]

    return nn.Sequential(*stage(3, 16), *stage(16, 32), nn.Conv2d(32, 8, 3), nn.BatchNorm2d(8), nn.MaxPool2d(2))


@pytest.mark.parametrize(
    ("pool", "fused"),
    [
        ({"kernel_size": 2}, 3),
        ({"kernel_size": (2, 2), "stride": 2, "ceil_mode": True}, 3),
        ({"kernel_size": 2, "stride": 1}, 1),
        ({"kernel_size": 3, "stride": 2}, 1),
        ({"kernel_size": 2, "padding": 1}, 1),
        ({"kernel_size": 2, "dilation": 2}, 1),
    ],
    ids=str,
)
def test_a_sequential_pools_where_it_normalises(pool, fused, called):
    found = []
    for change in (lambda model: model, hooked):
        nx.manual_seed(0)
        del called[:]
        found.append(trained(change(sequential(**pool)), random_array(2, 3, 29, 34, seed=2, dtype=np.float32)))
        assert called.count("norm_apply_pooled") == (0 if change is hooked else fused)
        assert called.count("max_pool") == (3 if change is hooked else 3 - fused)
    for a, b in zip(*found, strict=True):
        assert_same_bits(a, b)


def test_pools_with_hooks_or_indices_run_themselves(called):
    seen, layers = [], [nn.Conv2d(16, 16, 3), nn.BatchNorm2d(16), nn.ReLU()]
    x, watched = leaf(1, 16, 8, 8, seed=0), nn.MaxPool2d(2)
    watched.register_forward_hook(lambda module, args, y: seen.append(y.shape))
    nn.Sequential(*layers, watched)(x)
    assert seen == [(1, 16, 3, 3)]
    y, places = nn.Sequential(*layers, nn.MaxPool2d(2, return_indices=True))(x)
    assert y.shape == places.shape == (1, 16, 3, 3)
    assert "norm_apply_pooled" not in called


@pytest.mark.parametrize("size", [(16, 24), (13, 17)])
@pytest.mark.parametrize(
    "options", [{}, {"attention": True}, {"squeeze_excitation": True}, {"downsample": "blur"}, {"norm": "group"}], ids=str
)
def test_a_unet_trains_as_layer_by_layer(size, options, called):
    found = []
    for change in (lambda model: model, hooked):
        nx.manual_seed(0)
        del called[:]
        found.append(
            trained(change(nx.multiscale.UNet(2, 1, features=[16, 32], **options)), random_array(2, 2, *size, seed=3, dtype=np.float32))
        )
        plain = not options or "attention" in options
        assert called.count("norm_apply_pooled") == (2 if plain and change is not hooked else 0)
    for a, b in zip(*found, strict=True):
        assert_same_bits(a, b)


def test_a_map_that_only_a_pool_reads_is_not_written():
    def taken(run):
        x, units = leaf(2, 16, 96, 64, seed=0), make([16, 16])
        before = nx.memory_stats()["live"]
        nx.reset_peak()
        found = run(x, units, ceil_mode=False, keeps=False)
        assert found[0] is None
        return nx.memory_stats()["peak"] - before

    assert taken(apart) - taken(halved_chain) == 4 * 2 * 16 * 96 * 64


@pytest.mark.parametrize(("channels", "fused"), [(HALVED - 1, 0), (HALVED, 1)])
def test_few_channels_are_pooled_by_themselves(channels, fused, called):
    assert_same([(1, 16, 5, 6)], lambda: make([16, channels]), ceil_mode=True, keeps=True)
    assert called.count("norm_apply_pooled") == fused
