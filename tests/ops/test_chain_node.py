"""Runs on the tape: values, gradients and statistics have the bits of the functions one by one, whatever computes them."""

import itertools

import numpy as np
import pytest

import neurenix as nx
from neurenix import _rust, autograd
from neurenix.nn import functional as F
from neurenix.ops.conv_chain import Norm, Unit, conv_chain
from neurenix.testing import assert_same_bits, random_array

KINDS = ["batch", "instance", "group"]


def leaf(*shape, seed, dtype=np.float32, positive=False, wants=True):
    a = random_array(*shape, seed=seed, dtype=dtype)
    return nx.Tensor(np.abs(a) + 0.5 if positive else a, requires_grad=wants)


def make(widths, *, kind="batch", training=True, affine=True, bias=False, relu=True, wants=lambda name: True, dtype=np.float32):
    """Units from one number of channels to the next; ``wants`` says by "0.weight", "1.norm.bias", ... which leaves take a gradient."""
    units = []
    for i, (c, k) in enumerate(itertools.pairwise(widths)):

        def value(name, *shape, seed, i=i, **options):
            return leaf(*shape, seed=10 * i + seed, dtype=dtype, wants=wants(f"{i}.{name}"), **options)

        running = (
            (None, None)
            if kind == "group"
            else (leaf(k, seed=7, dtype=dtype, wants=False), leaf(k, seed=8, dtype=dtype, positive=True, wants=False))
        )
        own = (value("norm.weight", k, seed=1), value("norm.bias", k, seed=2)) if affine else (None, None)
        norm = Norm(kind, *own, *running, training=training, momentum=0.3, groups=4)
        conv_bias = value("bias", k, seed=4) if bias else None
        units.append(Unit(value("weight", k, c, 3, 3, seed=3), conv_bias, padding=1, norm=norm, activation="relu" if relu else None))
    return units


def one_by_one(x, units, beside=None):
    x = x if beside is None else nx.cat([x, beside], 1)
    for unit in units:
        n, y = unit.norm, F.conv2d(x, unit.weight, unit.bias, unit.stride, unit.padding, unit.dilation, unit.groups)
        if n.kind == "group":
            y = F.group_norm(y, n.groups, n.weight, n.bias, n.eps)
        else:
            y = getattr(F, f"{n.kind}_norm")(y, n.running_mean, n.running_var, n.weight, n.bias, n.training, n.momentum, n.eps)
        x = F.relu(y) if unit.relu else y
    return x


def results(run, shapes, units, dtype=np.float32, wants=True):
    """Output, gradients of inputs and leaves, and what became of the running statistics."""
    xs = [leaf(*shape, seed=50 + i, dtype=dtype, wants=wants) for i, shape in enumerate(shapes)]
    y = run(xs[0], units, *xs[1:])
    leaves = [*xs, *(t for unit in units for t in unit.leaves if t is not None)]
    if y.requires_grad:
        y.backward(nx.Tensor(random_array(*y.shape, seed=60, dtype=dtype)))
    gradients = [None if t.grad is None else t.grad.numpy() for t in leaves]
    return [y.numpy(), *gradients, *(t.numpy() for unit in units for t in unit.norm.running if t is not None)]


def assert_same(shapes, make_units, dtype=np.float32, wants=True):
    got = results(conv_chain, shapes, make_units(), dtype, wants)
    want = results(one_by_one, shapes, make_units(), dtype, wants)
    for a, b in zip(got, want, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert_same_bits(a, b)


def test_a_run_is_one_node_and_keeps_its_own_outputs_only():
    x, units = leaf(2, 16, 9, 7, seed=0), make([16, 32, 16])
    y = conv_chain(x, units)
    assert y._node.op == "conv_chain"
    assert {id(t) for t in y._node.inputs} == {id(t) for t in (x, *(t for u in units for t in u.leaves if t is not None))}


@pytest.mark.parametrize("precision", ["fast", "ieee"])
@pytest.mark.parametrize("size", [(1, 1), (4, 4), (5, 9), (8, 6), (13, 17), (32, 33)])
def test_every_size(precision, size):
    with nx.set_float32_precision(precision):
        assert_same([(2, 16, *size)], lambda: make([16, 48, 16]))
        assert_same([(1, 20, *size)], lambda: make([20, 33, 70, 16], bias=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("affine", "bias", "relu"), [(True, False, True), (False, True, True), (True, True, False), (False, False, False)])
def test_every_option(kind, training, affine, bias, relu):
    assert_same([(3, 16, 9, 10)], lambda: make([16, 32, 16], kind=kind, training=training, affine=affine, bias=bias, relu=relu))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("wanted", ["", "0", "1", "weight", "norm", "0.weight", "1.norm.bias", "0.norm.weight", "1.bias"])
@pytest.mark.parametrize("wants_x", [True, False])
def test_gradients_for_some_inputs_only(training, wanted, wants_x):
    def wants(name):
        return bool(wanted) and wanted in name

    assert_same([(2, 16, 6, 7)], lambda: make([16, 32, 16], training=training, bias=True, wants=wants), wants=wants_x)


@pytest.mark.parametrize("channels", [16, 32, 48, 64, 80])
@pytest.mark.parametrize("precision", ["fast", "ieee"])
def test_two_halves_of_the_channels(channels, precision):
    with nx.set_float32_precision(precision):
        assert_same([(2, channels, 9, 10)] * 2, lambda: make([2 * channels, 32, 16]))
        assert_same([(2, channels, 9, 10)] * 2, lambda: make([2 * channels, 32]), wants=False)


@pytest.mark.parametrize("channels", [(16, 32), (8, 8), (20, 20)])
def test_other_halves_are_copied_together(channels):
    a, b = channels
    assert_same([(1, a, 5, 6), (1, b, 5, 6)], lambda: make([a + b, 16]))


def test_double():
    assert_same([(2, 16, 6, 7)], lambda: make([16, 16, 20], dtype=np.float64), dtype=np.float64)


def test_bits_depend_on_neither_level_nor_threads():
    def found():
        shapes = [(2, 64, 14, 13), (2, 64, 14, 13)]
        return results(conv_chain, shapes, make([128, 80, 96]))

    want, level, threads = found(), _rust.level(), _rust.num_threads()
    try:
        for one, number in itertools.product(_rust.levels(), (1, 3)):
            _rust.set_level(one)
            _rust.set_num_threads(number)
            for a, b in zip(found(), want, strict=True):
                assert_same_bits(a, b)
    finally:
        _rust.set_level(level)
        _rust.set_num_threads(threads)


def test_unlike_units_in_one_run():
    def units():
        first, second, third = make([16, 32, 32, 16])
        return [first._replace(stride=2), second._replace(dilation=2, padding=2, activation=F.silu), third._replace(padding=0)]

    def run(x, some, beside=None):
        for unit in some:
            x = one_by_one(x, [unit])
            x = unit.activation(x) if callable(unit.activation) else x
        return x

    got, want = results(conv_chain, [(2, 16, 17, 19)], units()), results(run, [(2, 16, 17, 19)], units())
    for a, b in zip(got, want, strict=True):
        assert_same_bits(a, b)


def test_checkpointed_runs_and_autocast():
    x, units = leaf(2, 16, 9, 7, seed=0), make([16, 32, 16])
    g = nx.Tensor(random_array(2, 16, 9, 7, seed=1, dtype=np.float32))
    leaves = [x, *(t for unit in units for t in unit.leaves if t is not None)]

    def gradients(y):
        autograd.backward([(y, g._array)])
        found = [t.grad.numpy().copy() for t in leaves]
        for t in leaves:
            t.grad = None
        return found

    want = gradients(conv_chain(x, units))
    for a, b in zip(gradients(nx.checkpoint(lambda t: conv_chain(t, units), x)), want, strict=True):
        assert_same_bits(a, b)
    with nx.autocast("cpu", "bfloat16"):
        got, want = gradients(conv_chain(x, units)), gradients(one_by_one(x, units))
    for a, b in zip(got, want, strict=True):
        assert_same_bits(a, b)


def test_backward_under_another_precision_takes_its_way():
    def found(run):
        units, xs = make([32, 16, 16]), [leaf(1, 16, 6, 5, seed=i) for i in range(2)]
        y = run(xs[0], units, xs[1])
        with nx.set_float32_precision("ieee"):
            y.backward(nx.Tensor(random_array(*y.shape, seed=3, dtype=np.float32)))
        return [t.grad.numpy() for t in (*xs, *(t for unit in units for t in unit.leaves if t is not None))]

    for a, b in zip(found(conv_chain), found(one_by_one), strict=True):
        assert_same_bits(a, b)


def test_one_weight_twice_and_retained_graphs():
    def found(run):
        (unit,) = make([16, 16])
        x = leaf(1, 16, 6, 5, seed=0)
        y = run(x, [unit, unit, unit])
        g = nx.Tensor(random_array(*y.shape, seed=3, dtype=np.float32))
        y.backward(g, retain_graph=True)
        y.backward(g)
        return [t.grad.numpy() for t in (x, *unit.leaves) if t is not None]

    for a, b in zip(found(conv_chain), found(one_by_one), strict=True):
        assert_same_bits(a, b)
