"""Batch, instance and group norm: values, gradients, bits, running statistics, errors."""

import numpy as np
import pytest

import neurenix as nx
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.nn import functional as F
from neurenix.ops import norm
from neurenix.testing import assert_same_bits, check_gradient, check_used_twice, random_array

SHAPES = [(2, 3, 5, 7), (4, 5), (3, 4, 9), (2, 17, 9, 33), (1, 1, 1, 1), (2, 4, 3, 3, 3), (1, 64, 8, 32)]


def parameters(c):
    return random_array(c, seed=1), random_array(c, seed=2)


def by_hand(x, weight, bias, axes, eps=1e-5):
    shape = (1, x.shape[1]) + (1,) * (x.ndim - 2)
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) / np.sqrt(var + eps) * weight.reshape(shape) + bias.reshape(shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm_by_hand(shape):
    x, (w, b) = random_array(*shape) * 3 + 1, parameters(shape[1])
    want = by_hand(x, w, b, (0, *range(2, len(shape))))
    np.testing.assert_allclose(F.batch_norm(x, None, None, w, b, True).numpy(), want, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("shape", [s for s in SHAPES if len(s) > 2])
def test_instance_and_group_norm_by_hand(shape):
    x, (w, b) = random_array(*shape) * 3 + 1, parameters(shape[1])
    want = by_hand(x, w, b, tuple(range(2, len(shape))))
    np.testing.assert_allclose(F.instance_norm(x, None, None, w, b).numpy(), want, rtol=1e-11, atol=1e-11)
    c = shape[1]
    for groups in {1, 2 if c % 2 == 0 else c}:
        flat = by_hand(x.reshape(shape[0], groups, -1), np.ones(groups), np.zeros(groups), 2).reshape(shape)
        per_channel = (1, c) + (1,) * (len(shape) - 2)
        want = flat * w.reshape(per_channel) + b.reshape(per_channel)
        np.testing.assert_allclose(F.group_norm(x, groups, w, b).numpy(), want, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize(
    "fn",
    [
        lambda x, w, b, relu: F.batch_norm(x, None, None, w, b, True, relu=relu),
        lambda x, w, b, relu: F.batch_norm(x, np.full(6, 0.3), np.full(6, 2.0), w, b, False, relu=relu),
        lambda x, w, b, relu: F.group_norm(x, 3, w, b, relu=relu),
        lambda x, w, b, relu: F.instance_norm(x, None, None, w, b, relu=relu),
    ],
)
def test_gradients(fn, relu):
    check_gradient(lambda x, w, b: fn(x, w, b, relu), random_array(2, 6, 5, 7), *parameters(6))


def test_used_twice():
    check_used_twice(lambda x, w: F.batch_norm(x, None, None, w, w, True), random_array(2, 3, 4, 5), random_array(3))


def test_how_exact_it_is_far_from_zero():
    """As :func:`batch_norm` says of all three: 5e-7 of the largest ``|x * scale|``."""
    rng = np.random.default_rng(0)
    for spread in (0.0, 1e-3, 1.0):
        for offset in (-1e4, -1000.0, -12.345, 0.1, 1.0, 333.33, 1000.0, 3e5):
            x = (offset + spread * rng.standard_normal((1, 1, 9, 11))).astype(np.float32)
            exact = x.astype(np.float64)
            scale = 1.5 / np.sqrt(exact.var() + 1e-5)
            want = (exact - exact.mean()) * scale
            weight = nx.tensor([1.5])
            for y in (F.batch_norm(x, None, None, weight, training=True), F.instance_norm(x, weight=weight), F.group_norm(x, 1, weight)):
                assert np.abs(y.numpy() - want).max() <= 5e-7 * np.abs(exact * scale).max()


def test_precision_far_from_zero():
    x = (random_array(4, 8, 33, 29) + 50).astype(np.float32)
    want = by_hand(x.astype(np.float64), np.ones(8), np.zeros(8), (0, 2, 3))
    assert np.abs(F.batch_norm(x, None, None, training=True).numpy() - want).max() < 3e-5


def both(x, relu, shape_groups):
    t = nx.Tensor(x, requires_grad=True)
    w, b = (nx.Tensor(p.astype(x.dtype), requires_grad=True) for p in parameters(x.shape[1]))
    y = F.batch_norm(t, None, None, w, b, True, relu=relu) if not shape_groups else F.group_norm(t, shape_groups, w, b, relu=relu)
    y.backward(random_array(*y.shape, seed=5).astype(x.dtype))
    return [y.numpy().copy(), *(p.grad.numpy().copy() for p in (t, w, b))]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("groups", [0, 4])
def test_bits_do_not_depend_on_threads_levels_or_memory_order(dtype, groups, each_thread_count):
    from neurenix import _rust

    x = random_array(3, 20, 37, 41).astype(dtype)
    want = both(x, True, groups)
    results = each_thread_count(lambda: both(x, True, groups))
    results.append(both(np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2), True, groups))
    before = _rust.level()
    for level in _rust.levels():
        _rust.set_level(level)
        results.append(both(x, True, groups))
    _rust.set_level(before)
    for result in results:
        for got, expected in zip(result, want, strict=True):
            assert_same_bits(got, expected)


@pytest.mark.parametrize("last", [False, True])
def test_samples_of_a_batch_are_normalised_as_they_are_alone(last):
    x = random_array(3, 8, 190, 193).astype(np.float32)  # more than a megabyte a sample: each goes through all passes by itself
    x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) if last else x
    y = both(x, True, 4)[0]
    assert F.group_norm(x, 4).numpy().strides == x.strides
    for i in range(3):
        w, b = parameters(8)
        alone = F.group_norm(x[i : i + 1], 4, w.astype(np.float32), b.astype(np.float32), relu=True)
        assert_same_bits(alone.numpy()[0], y[i])
    want = by_hand(x.astype(float).reshape(3, 4, -1), np.ones(4), np.zeros(4), 2).reshape(x.shape)
    want = np.maximum(want * parameters(8)[0].reshape(8, 1, 1) + parameters(8)[1].reshape(8, 1, 1), 0)
    np.testing.assert_allclose(y, want, atol=2e-5)


def test_fused_relu_is_relu_afterwards():
    x = random_array(2, 5, 9, 6).astype(np.float32)
    fused, plain = both(x, True, 0), both(x, False, 0)
    np.testing.assert_array_equal(fused[0], np.maximum(plain[0], 0))
    t = nx.Tensor(x, requires_grad=True)
    w, b = (nx.Tensor(p.astype(np.float32), requires_grad=True) for p in parameters(5))
    F.batch_norm(t, None, None, w, b, True).backward(random_array(*x.shape, seed=5).astype(np.float32) * (plain[0] > 0))
    for got, want in zip((t, w, b), fused[1:], strict=True):
        np.testing.assert_array_equal(got.grad.numpy(), want)


def test_running_statistics_move():
    x = random_array(3, 4, 5, 6)
    mean, var = nx.tensor(np.full(4, 2.0)), nx.tensor(np.full(4, 3.0))
    F.batch_norm(x, mean, var, training=True, momentum=0.25)
    np.testing.assert_allclose(mean.numpy(), 1.5 + 0.25 * x.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(var.numpy(), 2.25 + 0.25 * x.var((0, 2, 3), ddof=1), rtol=1e-12)
    assert mean._version == var._version == 1
    before = mean.numpy().copy()
    with norm.keep_running_statistics():
        F.batch_norm(x, mean, var, training=True)
    F.batch_norm(x, mean, var, training=False)
    F.batch_norm(x[:0], mean, var, training=True)
    np.testing.assert_array_equal(mean.numpy(), before)


def test_instance_norm_averages_the_running_statistics():
    x = random_array(3, 4, 5, 6)
    mean, var = np.zeros(4), np.ones(4)
    F.instance_norm(x, mean, var, momentum=0.5)
    np.testing.assert_allclose(mean, 0.5 * x.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(var, 0.5 + 0.5 * x.var((2, 3), ddof=1).mean(0), rtol=1e-12)


def test_one_value_a_channel():
    x, mean, var = np.array([[3.0, -1.0]]), np.zeros(2), np.ones(2)
    y = F.batch_norm(x, mean, var, np.ones(2), np.array([0.5, 0.25]), True)
    assert y.tolist() == [[0.5, 0.25]]
    assert mean.tolist() == pytest.approx([0.3, -0.1])
    assert var.tolist() == pytest.approx([0.9, 0.9])


def test_empty():
    assert F.batch_norm(np.zeros((0, 3, 4, 4)), None, None, training=True).shape == (0, 3, 4, 4)
    assert F.group_norm(np.zeros((0, 4)), 2).shape == (0, 4)


def test_a_strided_running_mean_is_written():
    stats = np.zeros((2, 6))
    F.batch_norm(np.ones((2, 3, 2, 2)), stats[0, ::2], stats[1, ::2], training=True, momentum=1.0)
    assert stats[0].tolist() == [1, 0, 1, 0, 1, 0]


def test_local_response_norm():
    x = random_array(2, 5, 3)
    squares = np.pad(x**2, ((0, 0), (1, 1), (0, 0)))
    near = (squares[:, :-2] + squares[:, 1:-1] + squares[:, 2:]) / 3
    np.testing.assert_allclose(F.local_response_norm(x, 3, 0.5, 0.6, 2.0).numpy(), x / (2 + 0.5 * near) ** 0.6, rtol=1e-12)
    check_gradient(lambda x: F.local_response_norm(x, 2), x)
    assert nx.nn.LocalResponseNorm(3)(nx.Tensor(x)).shape == x.shape
    with pytest.raises(ShapeError, match=r"local_response_norm: expected \(N, C, ...\)"):
        F.local_response_norm(x[0], 2)


def test_errors():
    x = np.ones((2, 3, 4, 4), np.float32)
    with pytest.raises(ShapeError, match=r"batch_norm: expected weight of shape \(3,\) for input \(2, 3, 4, 4\), got \(4,\)"):
        F.batch_norm(x, None, None, np.ones(4, np.float32), training=True)
    with pytest.raises(DTypeError, match="batch_norm: expected bias of float32 like the input, got float64"):
        F.batch_norm(x, None, None, None, np.ones(3), training=True)
    with pytest.raises(ArgumentError, match="batch_norm: expected running_mean and running_var in evaluation"):
        F.batch_norm(x, None, None)
    with pytest.raises(ShapeError, match=r"batch_norm: expected \(N, C\)"):
        F.batch_norm(np.ones(3, np.float32), None, None, training=True)
    with pytest.raises(DTypeError, match="group_norm: expected float32 or float64, got int64"):
        F.group_norm(np.ones((2, 4), np.int64), 2)
    with pytest.raises(ArgumentError, match="group_norm: expected groups that divide 3 channels, got 2"):
        F.group_norm(x, 2)
    with pytest.raises(ShapeError, match=r"instance_norm: expected \(N, C, ...\) with pixels"):
        F.instance_norm(np.ones((2, 3), np.float32))
