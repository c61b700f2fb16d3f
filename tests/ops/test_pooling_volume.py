"""Max pooling of volumes with its places, its inverse, and pooling by powers."""

import itertools

import numpy as np
import pytest

import neurenix as nx
from neurenix.errors import ArgumentError, ShapeError
from neurenix.nn import functional as F
from neurenix.testing import assert_same_bits, check_gradient, check_used_twice, gradients, random_array


def channels_last(x):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, -4, -1)), -1, -4)


def by_hand(x, windows):
    """Maxima over (N, C) and windows of (first, last) an axis, and their flat places, the first of equal ones."""
    size = tuple(len(w) for w in windows)
    y, index = np.zeros((*x.shape[:2], *size)), np.zeros((*x.shape[:2], *size), np.int64)
    places = np.arange(x[0, 0].size).reshape(x.shape[2:])
    for n, c in np.ndindex(*x.shape[:2]):
        for at in np.ndindex(*size):
            part = tuple(slice(*windows[a][i]) for a, i in enumerate(at))
            inside = x[n, c][part]
            y[n, c][at] = inside.max()
            index[n, c][at] = places[part].reshape(-1)[inside.argmax()]
    return y, index


def sliding(sizes, kernel, stride, padding):
    return [
        [(max(i * s - p, 0), min(i * s - p + k, n)) for i in range((n + 2 * p - k) // s + 1)]
        for n, k, s, p in zip(sizes, kernel, stride, padding, strict=True)
    ]


@pytest.mark.parametrize("order", [np.ascontiguousarray, channels_last])
@pytest.mark.parametrize("shape", [(2, 3, 5, 6, 7), (1, 1, 4, 4, 5), (1, 2, 3, 3, 3)])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [((2, 2, 2), (2, 2, 2), (0, 0, 0)), ((3, 2, 3), (1, 2, 3), (1, 1, 0))])
def test_maxima_and_places(order, shape, kernel, stride, padding):
    x = order(np.random.default_rng(1).integers(0, 4, shape).astype(float))  # many ties
    want, where = by_hand(x, sliding(shape[2:], kernel, stride, padding))
    y, index = F.max_pool3d(x, kernel, stride, padding, return_indices=True)
    assert_same_bits(y.numpy(), want)
    assert_same_bits(index.numpy(), where)
    assert_same_bits(F.max_pool3d(x, kernel, stride, padding).numpy(), want)
    assert_same_bits(F.max_pool3d(x[0], kernel, stride, padding, return_indices=True)[1].numpy(), where[0])
    g = random_array(*want.shape)
    for indices in (False, True):
        pool = lambda x, i=indices: F.max_pool3d(x, kernel, stride, padding, return_indices=i)  # noqa: E731
        (dx,) = gradients(lambda x: pool(x)[0] if isinstance(pool(x), tuple) else pool(x), [x], [g])  # noqa: B023
        wanted = np.zeros((*shape[:2], int(np.prod(shape[2:]))))
        for n, c in np.ndindex(*shape[:2]):
            np.add.at(wanted[n, c], where[n, c].reshape(-1), g[n, c].reshape(-1))
        np.testing.assert_allclose(dx.reshape(wanted.shape), wanted, rtol=1e-12)


def test_dilation_and_ceil_mode():
    x = random_array(1, 2, 7, 7, 7)
    want = np.max([x[:, :, a : a + 5, b : b + 5, c : c + 5] for a, b, c in itertools.product((0, 2), repeat=3)], axis=0)
    np.testing.assert_array_equal(F.max_pool3d(x, 2, 1, dilation=2).numpy(), want)
    assert F.max_pool3d(x, 2).shape == (1, 2, 3, 3, 3)
    y = F.max_pool3d(x, 2, ceil_mode=True)
    assert y.shape == (1, 2, 4, 4, 4)
    np.testing.assert_array_equal(y.numpy()[..., 3, 3, 3], x[..., 6, 6, 6])


@pytest.mark.parametrize("order", [np.ascontiguousarray, channels_last])
def test_bins(order):
    x = order(random_array(2, 3, 5, 7, 4))
    bins = [[(i * n // o, -(-(i + 1) * n // o)) for i in range(o)] for n, o in zip((5, 7, 4), (2, 3, 4), strict=True)]
    want, where = by_hand(x, bins)
    y, index = F.adaptive_max_pool3d(x, (2, 3, None), return_indices=True)
    assert_same_bits(y.numpy(), want)
    assert_same_bits(index.numpy(), where)
    check_gradient(lambda x: F.adaptive_max_pool3d(x, (2, 3, None)), x)
    assert F.adaptive_max_pool3d(x[0], 1).numpy().reshape(-1).tolist() == x[0].max(axis=(1, 2, 3)).tolist()


def test_nan_is_the_maximum():
    x = np.zeros((1, 1, 2, 2, 2))
    x[0, 0, 1, 0, 1] = np.nan
    y, index = F.max_pool3d(x, 2, return_indices=True)
    assert np.isnan(y.item())
    assert index.item() == 5


def test_empty_batch():
    y, index = F.max_pool3d(np.zeros((0, 2, 4, 4, 4)), 2, return_indices=True)
    assert y.shape == index.shape == (0, 2, 2, 2, 2)
    assert F.adaptive_max_pool3d(np.zeros((0, 2, 4, 4, 4)), 2, return_indices=True)[1].shape == (0, 2, 2, 2, 2)


@pytest.mark.parametrize("order", [np.ascontiguousarray, channels_last])
def test_unpooling_puts_maxima_back(order):
    x = order(random_array(2, 3, 5, 6, 7))
    y, index = F.max_pool3d(x, 2, return_indices=True)
    back = F.max_unpool3d(y, index, 2, output_size=(5, 6, 7)).numpy()
    assert back.shape == x.shape
    kept = back != 0
    np.testing.assert_array_equal(back[kept], x[kept])
    assert kept.sum() == y.numpy().size
    even = x[:, :, :4, :, :6]
    assert F.max_unpool3d(*F.max_pool3d(even, 2, return_indices=True), 2).shape == even.shape
    check_gradient(lambda y: F.max_unpool3d(y, index, 2, output_size=(5, 6, 7)), y.numpy())
    line, places = F.max_pool1d(x[0, 0, 0], 2, return_indices=True)
    got = F.max_unpool1d(line, places, 2, output_size=(7,)).numpy()
    assert (got != 0).sum() == 18
    check_gradient(lambda y: F.max_unpool1d(y, places, 2), line.numpy())


def test_names_that_say_indices():
    x = random_array(1, 2, 4, 5, 6)
    for n, part in ((1, x[0, 0]), (2, x[0]), (3, x)):
        pool, pair = getattr(F, f"max_pool{n}d"), getattr(F, f"max_pool{n}d_with_indices")
        for got, want in zip(pair(part, 2, 1), pool(part, 2, 1, return_indices=True), strict=True):
            assert_same_bits(got.numpy(), want.numpy())
        pool, pair = getattr(F, f"adaptive_max_pool{n}d"), getattr(F, f"adaptive_max_pool{n}d_with_indices")
        for got, want in zip(pair(part, 2), pool(part, 2, return_indices=True), strict=True):
            assert_same_bits(got.numpy(), want.numpy())


@pytest.mark.parametrize("power", [1, 2, 3.0, -1])
def test_pooling_by_powers(power):
    x = np.abs(random_array(2, 3, 4, 6, 4)) + 0.1
    cut = x.reshape(2, 3, 2, 2, 3, 2, 2, 2)
    want = (cut**power).sum(axis=(3, 5, 7)) ** (1 / power)
    np.testing.assert_allclose(F.lp_pool3d(x, power, 2).numpy(), want, rtol=1e-12)
    np.testing.assert_allclose(
        F.lp_pool2d(x[0], power, (2, 1)).numpy(), (x[0] ** power).reshape(3, 4, 3, 2, 4).sum(3) ** (1 / power), rtol=1e-12
    )
    line = (x[0, 0] ** power).reshape(4, 6, 2, 2).sum(-1) ** (1 / power)
    np.testing.assert_allclose(F.lp_pool1d(x[0, 0], power, 2).numpy(), line, rtol=1e-12)
    check_gradient(lambda x: F.lp_pool3d(x, power, 2, 1), x)
    check_used_twice(lambda x: F.lp_pool2d(x, power, 3, ceil_mode=True), x[0])


@pytest.mark.devices
def test_devices(device):
    x = np.random.default_rng(0).integers(0, 3, (1, 2, 4, 3, 5)).astype(float)
    want = F.max_pool3d(x, 2, 1, return_indices=True)
    got = F.max_pool3d(nx.Tensor(x).to(device=device), 2, 1, return_indices=True)
    for a, b in zip(got, want, strict=True):
        assert_same_bits(a.numpy(), b.numpy())
    back = F.max_unpool3d(*got, 2, 1)
    assert_same_bits(back.numpy(), F.max_unpool3d(*want, 2, 1).numpy())
    power = lambda x: F.lp_pool3d(x, 2, 2)  # noqa: E731
    np.testing.assert_allclose(gradients(power, [x + 1], device=device)[0], gradients(power, [x + 1])[0], rtol=1e-12)


VOLUME = np.zeros((1, 2, 4, 4, 4), np.float32)


@pytest.mark.parametrize(
    ("error", "text", "run"),
    [
        (ShapeError, r"max_pool3d: expected x with 5 axes \(N, C, D, H, W\), got shape \(4, 4\)", lambda: F.max_pool3d(VOLUME[0, 0, 0], 2)),
        (ShapeError, "max_pool3d: expected x at least as large as the window", lambda: F.max_pool3d(VOLUME, 5)),
        (ArgumentError, "max_pool3d: expected kernel_size as one integer or 3", lambda: F.max_pool3d(VOLUME, (2, 2))),
        (ArgumentError, "adaptive_max_pool3d: expected output_size as one number or 3", lambda: F.adaptive_max_pool3d(VOLUME, (2, 2))),
        (ArgumentError, "lp_pool2d: expected norm_type as a number other than 0, got 0", lambda: F.lp_pool2d(VOLUME[0], 0, 2)),
        (
            ShapeError,
            r"max_unpool3d: expected int64 indices of shape \(1, 2, 4, 4, 4\).*max_pool3d\(return_indices=True\)",
            lambda: F.max_unpool3d(VOLUME, np.zeros((1, 2), np.int64), 2),
        ),
        (ArgumentError, "max_unpool3d: expected indices from 0", lambda: F.max_unpool3d(VOLUME, np.full(VOLUME.shape, 10**6), 2)),
        (
            ShapeError,
            r"max_unpool1d: expected output_size within a stride of \(8,\)",
            lambda: F.max_unpool1d(VOLUME[0, 0, 0], np.zeros((4, 4), np.int64), 2, output_size=(20,)),
        ),
    ],
)
def test_errors(error, text, run):
    with pytest.raises(error, match=text):
        run()
