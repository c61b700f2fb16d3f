"""Layer norm and RMS norm: values, gradients, bits, errors."""

import numpy as np
import pytest

import neurenix as nx
from neurenix import _rust
from neurenix.errors import DTypeError, ShapeError
from neurenix.nn import functional as F
from neurenix.testing import assert_same_bits, check_gradient, random_array

pytestmark = pytest.mark.everywhere


@pytest.mark.parametrize(("shape", "trailing"), [((4, 5), (5,)), ((2, 3, 7), (3, 7)), ((3, 5000), (5000,)), ((2, 1), (1,)), ((6,), (6,))])
def test_values(shape, trailing):
    x, w, b = random_array(*shape) + 2, random_array(*trailing, seed=1), random_array(*trailing, seed=2)
    axes = tuple(range(len(shape) - len(trailing), len(shape)))
    mean = x.mean(axes, keepdims=True)
    want = (x - mean) / np.sqrt(((x - mean) ** 2).mean(axes, keepdims=True) + 1e-5) * w + b
    np.testing.assert_allclose(F.layer_norm(x, trailing, w, b).numpy(), want, rtol=1e-11, atol=1e-11)
    want = x / np.sqrt((x**2).mean(axes, keepdims=True) + 1e-3) * w
    np.testing.assert_allclose(F.rms_norm(x, trailing, w, 1e-3).numpy(), want, rtol=1e-11)


def test_gradients():
    x, w, b = random_array(3, 5, 7), random_array(5, 7, seed=1), random_array(5, 7, seed=2)
    check_gradient(lambda x, w, b: F.layer_norm(x, (5, 7), w, b), x, w, b)
    check_gradient(lambda x: F.layer_norm(x, 7), x)
    check_gradient(lambda x, w: F.rms_norm(x, (5, 7), w), x, w)


def run():
    x, w = (nx.Tensor(random_array(*s).astype(np.float32), requires_grad=True) for s in ((37, 3001), (3001,)))
    y = F.layer_norm(x, 3001, w)
    y.backward(random_array(37, 3001, seed=4).astype(np.float32))
    return [a.copy() for a in (y.numpy(), x.grad.numpy(), w.grad.numpy())]


def test_bits_do_not_depend_on_threads_or_levels(each_thread_count):
    want = run()
    results = each_thread_count(run)
    before = _rust.level()
    for level in _rust.levels():
        _rust.set_level(level)
        results.append(run())
    _rust.set_level(before)
    for result in results:
        for got, expected in zip(result, want, strict=True):
            assert_same_bits(got, expected)


def test_any_strides_and_no_rows():
    x = random_array(4, 6, 3)
    np.testing.assert_array_equal(F.layer_norm(x.transpose(0, 2, 1), 6).numpy(), F.layer_norm(x.transpose(0, 2, 1).copy(), 6).numpy())
    x = nx.Tensor(np.zeros((0, 5)), requires_grad=True)
    w = nx.Tensor(np.ones(5), requires_grad=True)
    F.layer_norm(x, 5, w).backward(np.zeros((0, 5)))
    assert w.grad.tolist() == [0.0] * 5


def test_errors():
    x = np.ones((2, 3), np.float32)
    with pytest.raises(ShapeError, match=r"layer_norm: expected an input that ends in \(4,\), got \(2, 3\)"):
        F.layer_norm(x, 4)
    with pytest.raises(ShapeError, match=r"rms_norm: expected weight of shape \(3,\), got \(2,\)"):
        F.rms_norm(x, 3, np.ones(2, np.float32))
    with pytest.raises(DTypeError, match="layer_norm: expected bias of float32 like the input, got float64"):
        F.layer_norm(x, 3, None, np.ones(3))
    with pytest.raises(DTypeError, match="layer_norm: expected float32 or float64, got int64"):
        F.layer_norm(np.ones(3, np.int64), 3)
