"""Runs of convolution, normalisation, activation: the same bits as the functions one after the other."""

import numpy as np
import pytest

import neurenix as nx
from neurenix import autograd
from neurenix.errors import ArgumentError, ShapeError
from neurenix.nn import functional as F
from neurenix.ops.conv_chain import Norm, Unit, conv_chain
from neurenix.testing import assert_same_bits, random_array


def tensor(*shape, seed=0, positive=False):
    a = random_array(*shape, seed=seed, dtype=np.float32)
    return nx.Tensor(np.abs(a) + 0.5 if positive else a)


def norm(c, kind, training=False, affine=True):
    running = (tensor(c, seed=1), tensor(c, seed=2, positive=True)) if kind != "group" else (None, None)
    parameters = (tensor(c, seed=3), tensor(c, seed=4)) if affine else (None, None)
    return Norm(kind, *parameters, *running, training=training, groups=2)


def one_by_one(x, unit):
    y = F.conv2d(x, unit.weight, unit.bias, unit.stride, unit.padding, unit.dilation, unit.groups)
    n = unit.norm
    if n is not None and n.kind == "group":
        y = F.group_norm(y, n.groups, n.weight, n.bias, n.eps)
    elif n is not None:
        apply = F.batch_norm if n.kind == "batch" else F.instance_norm
        y = apply(y, n.running_mean, n.running_var, n.weight, n.bias, n.training, n.momentum, n.eps)
    y = F.relu(y) if unit.activation == "relu" else y
    return unit.activation(y) if callable(unit.activation) else y


@pytest.mark.parametrize("activation", [None, "relu", F.silu])
@pytest.mark.parametrize("kind", [None, "batch", "instance", "group"])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("groups", [1, 6])
def test_same_bits_as_one_by_one(activation, kind, training, groups):
    def make():
        n = None if kind is None else norm(6, kind, training, affine=groups == 1)
        first = Unit(tensor(6, 4, 3, 3), tensor(6, seed=5), padding=1, norm=n, activation=activation)
        second = Unit(tensor(6, 6 // groups, 3, 3), None, stride=2, padding="valid", groups=groups, norm=n, activation=activation)
        return [first, second]

    x = tensor(2, 4, 9, 8)
    units, others = make(), make()
    want = x
    for unit in others:
        want = one_by_one(want, unit)
    assert_same_bits(conv_chain(x, units).numpy(), want.numpy())
    for a, b in zip(units, others, strict=True):
        if a.norm is not None and a.norm.running_mean is not None:
            assert_same_bits(a.norm.running_mean.numpy(), b.norm.running_mean.numpy())


def test_recorded_gives_the_same_bits_and_gradients():
    x, n = tensor(2, 4, 9, 8), norm(6, "batch")
    units = [Unit(tensor(6, 4, 3, 3), norm=n, activation="relu"), Unit(tensor(6, 6, 1, 1), tensor(6), norm=n)]
    unrecorded = conv_chain(x, units)
    leaves = [t for unit in units for t in unit.leaves if t is not None]
    for t in leaves:
        t.requires_grad_()
    y, want = conv_chain(x, units), one_by_one(one_by_one(x, units[0]), units[1])
    assert_same_bits(y.numpy(), unrecorded.numpy())
    y.backward(nx.Tensor(np.ones(y.shape, np.float32)))
    found = [t.grad.numpy().copy() for t in leaves]
    for t in leaves:
        t.grad = None
    autograd.backward([(want, np.ones(y.shape, np.float32))])
    for t, g in zip(leaves, found, strict=True):
        assert_same_bits(g, t.grad.numpy())
    with nx.no_grad():
        assert_same_bits(conv_chain(x, units).numpy(), y.numpy())


def test_errors():
    x, w = tensor(1, 4, 9, 8), tensor(6, 4, 3, 3)
    with pytest.raises(ShapeError, match=r"conv_chain: expected x \(N, C, H, W\)"):
        conv_chain(tensor(4, 9, 8), [Unit(w)])
    with pytest.raises(ShapeError, match=r"batch_norm: expected running_mean of shape \(6,\)"):
        conv_chain(x, [Unit(w, norm=norm(5, "batch"))])
    with pytest.raises(ArgumentError, match="conv_chain: expected a batch, instance or group norm"):
        conv_chain(x, [Unit(w, norm=Norm("layer"))])
