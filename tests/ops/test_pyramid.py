"""Halving and doubling of pyramids: exact small numbers, integers against floats, borders, gradients, bits, errors."""

import numpy as np
import pytest

import neurenix as nx
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.nn.functional import pyramid_expand, pyramid_reduce
from neurenix.testing import assert_same_bits, check_adjoint, check_used_twice, random_array

INTEGERS = ["uint8", "int8", "uint16", "int16", "uint32", "int32"]
SIZES = [(1, 1), (1, 2), (2, 1), (1, 7), (5, 3), (6, 4), (9, 16), (17, 40)]


def integers(dtype, *shape, seed=0):
    limits = np.iinfo(dtype)
    return np.random.default_rng([seed, *shape]).integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


def mirrored_reduce(x):
    """The definition along one axis, in double."""
    padded = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(2, 2)], mode="reflect" if x.shape[-1] > 1 else "edge")
    if x.shape[-1] == 2:  # NumPy mirrors an axis of two once only
        padded = np.stack([x[..., 0], x[..., 1]] * 3, -1)
    return sum(w / 16 * padded[..., k : k + x.shape[-1]] for k, w in enumerate((1, 4, 6, 4, 1)))[..., ::2]


@pytest.mark.parametrize("size", SIZES)
def test_reduce_is_a_binomial_filter(size):
    x = random_array(2, 3, *size)
    want = mirrored_reduce(mirrored_reduce(x).swapaxes(2, 3)).swapaxes(2, 3)
    np.testing.assert_allclose(pyramid_reduce(x).numpy(), want, atol=1e-14)


@pytest.mark.parametrize("size", SIZES)
def test_expand_is_twice_the_filter_of_zeros_between(size):
    x = random_array(2, 3, (size[0] + 1) // 2, (size[1] + 1) // 2)
    wide = np.zeros((2, 3, *size))
    wide[:, :, ::2, ::2] = x
    for axis in (2, 3):
        n = size[axis - 2]
        i = np.arange(-2, n + 2) % max(2 * (n - 1), 1)
        padded = np.take(wide, np.where(i >= n, max(2 * (n - 1), 1) - i, i), axis)
        weights = (1, 4, 6, 4, 1)
        wide = sum(w / 8 * np.take(padded, range(k, k + n), axis) for k, w in enumerate(weights))
        if n == 1:
            wide = wide / 2  # a single pixel has no zeros beside it
    np.testing.assert_allclose(pyramid_expand(x, size).numpy(), wide, atol=1e-14)


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("size", SIZES)
def test_integers_are_the_sums_rounded_once(dtype, size):
    x = integers(dtype, 2, *size)
    low = pyramid_reduce(x)
    assert low.dtype == dtype
    np.testing.assert_array_equal(low.numpy(), np.floor(pyramid_reduce(x.astype(np.float64)).numpy() + 0.5))
    back = pyramid_expand(low, size)
    assert back.dtype == dtype
    np.testing.assert_array_equal(back.numpy(), np.floor(pyramid_expand(low.numpy().astype(np.float64), size).numpy() + 0.5))


@pytest.mark.parametrize("value", [0, 255])
def test_a_flat_image_stays_flat(value):
    x = np.full((1, 9, 14), value, np.uint8)
    assert (pyramid_reduce(x).numpy() == value).all()
    assert (pyramid_expand(x, (17, 28)).numpy() == value).all()


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
def test_memory_order_changes_no_bit(dtype):
    x = integers(dtype, 2, 9, 7, 5) if dtype != "float32" else random_array(2, 9, 7, 5, dtype=dtype)
    planar = x.transpose(0, 3, 1, 2)
    for view in (planar, np.ascontiguousarray(planar), np.ascontiguousarray(planar[..., ::-1])[..., ::-1]):
        assert_same_bits(pyramid_reduce(view), pyramid_reduce(np.ascontiguousarray(planar)))
        assert_same_bits(pyramid_expand(view, (17, 14)), pyramid_expand(np.ascontiguousarray(planar), (17, 14)))
    assert_same_bits(pyramid_reduce(planar[0]), pyramid_reduce(planar)[0])


def test_threads_change_no_bit(each_thread_count):
    x, u = random_array(3, 64, 65, dtype=np.float32), integers("uint16", 3, 64, 65)
    for image in (x, u):
        results = each_thread_count(lambda image=image: pyramid_expand(pyramid_reduce(image), (64, 65)))
        for other in results[1:]:
            assert_same_bits(other, results[0])


def test_gradients():
    for size in SIZES:
        check_adjoint(pyramid_reduce, random_array(2, *size))
        check_adjoint(lambda t, s=size: pyramid_expand(t, s), random_array(2, (size[0] + 1) // 2, (size[1] + 1) // 2))
    check_used_twice(pyramid_reduce, random_array(1, 2, 5, 6))


@pytest.mark.devices
@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32"])
def test_devices(device, dtype):
    x = (random_array(1, 2, 7, 6) * 50).astype(dtype)
    t = nx.Tensor(x).to(device=device)
    y = pyramid_expand(pyramid_reduce(t), (7, 6))
    assert y.device == t.device
    want = pyramid_expand(pyramid_reduce(x), (7, 6)).numpy()
    if dtype == "float32":
        np.testing.assert_allclose(y.numpy(), want, atol=1e-5)
    else:
        assert_same_bits(y.numpy(), want)


def test_errors():
    x = np.zeros((1, 4, 6), np.float32)
    text = r"pyramid_reduce: expected x \(N, C, H, W\) or \(C, H, W\) of at least one pixel, got shape \(4, 6\); add the missing axes, e.g. x\[None\]"
    with pytest.raises(ShapeError, match=text):
        pyramid_reduce(x[0])
    with pytest.raises(ShapeError, match="pyramid_expand: expected x"):
        pyramid_expand(x[:, :0], (1, 1))
    for dtype, advice in (("bool", "convert it with .to\\(nx.uint8\\)"), ("float16", "convert it with .float"), ("uint64", "convert")):
        with pytest.raises(DTypeError, match=f"expected float32, float64 or integers up to int64, got {dtype}; {advice}"):
            pyramid_reduce(x.astype(dtype))
    text = r"pyramid_expand: expected size of which \(4, 6\) is half, rounded up, got \(9, 12\); pass \(7 or 8, 11 or 12\)"
    with pytest.raises(ShapeError, match=text):
        pyramid_expand(x, (9, 12))
    with pytest.raises(ShapeError, match=r"got \(8,\)"):
        pyramid_expand(x, 8)
    with pytest.raises(ArgumentError, match="pyramid_expand: expected size as an integer, got 7.5"):
        pyramid_expand(x, (7.5, 12))
