"""Haar and CDF 5/3: what comes back, at any size and type; bands by their definition; gradients; errors."""

import numpy as np
import pytest

import neurenix as nx
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.multiscale import CDF53Wavelet, HaarWavelet
from neurenix.testing import assert_same_bits, check_adjoint, check_gradient, random_array

BANDS = {
    "uint8": "int16", "int8": "int16", "uint16": "int32", "int16": "int32", "uint32": "int64", "int32": "int64", "int64": "int64",
}  # fmt: skip
KINDS = [HaarWavelet, CDF53Wavelet]
ULPS = {HaarWavelet: 4, CDF53Wavelet: 8}


def some_image(rng, dtype, shape):
    limits = np.iinfo(dtype)
    x = rng.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)
    return x if rng.random() < 0.5 else np.where(x > limits.max // 2, limits.max, limits.min).astype(dtype)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", BANDS)
def test_integers_come_back_to_the_bit(kind, dtype):
    rng = np.random.default_rng(1)
    for _ in range(40):
        x = some_image(rng, dtype, (*rng.integers(1, 4, rng.integers(1, 3)), *rng.integers(1, 41, 2)))
        transform = kind(int(rng.integers(1, 8)))
        levels = transform(x)
        assert {y.dtype.name for y in [*(b for d in levels[:-1] for b in d), levels[-1]]} == {BANDS[dtype]}
        assert_same_bits(transform.inverse(levels), x)
        assert_same_bits(kind(transform.num_levels).inverse(levels, dtype=dtype), x)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [*range(1, 10), 31, 32, 33])
def test_rows_and_columns_come_back(kind, n):
    for shape in ((1, 1, n), (1, n, 1)):
        x = some_image(np.random.default_rng(n), "int8", shape)
        assert_same_bits(kind(6).inverse(kind(6)(x), dtype=np.int8), x)


@pytest.mark.parametrize("kind", KINDS)
def test_bands_of_bytes_never_wrap(kind):
    rng = np.random.default_rng(3)
    for _ in range(20):
        x = some_image(rng, "uint8", (1, 64, 64))
        for a, b in zip(kind(6)(x)[:-1], kind(6)(x.astype(np.int64))[:-1], strict=True):
            assert all((p == q).all() for p, q in zip(a, b, strict=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_come_back_within_a_few_ulps_of_the_largest(kind, dtype):
    rng = np.random.default_rng(2)
    for i in range(100):
        x = rng.standard_normal((50, 1, *rng.integers(1, 41, 2))) * 10.0 ** rng.uniform(-6, 6)
        x = (np.sign(x) * (1 + rng.random(x.shape) / 8) if i % 3 == 0 else x).astype(dtype)
        transform = kind(int(rng.integers(1, 7)))
        off = np.abs(transform.inverse(transform(x)) - x).max((1, 2, 3)) / np.spacing(np.abs(x).max((1, 2, 3)))
        assert off.max() <= ULPS[kind] + transform.num_levels


def test_haar_is_means_and_differences():
    x = random_array(2, 6, 8)
    (horizontal, vertical, diagonal), low = HaarWavelet(1)(x)
    a, b, c, d = x[:, ::2, ::2], x[:, ::2, 1::2], x[:, 1::2, ::2], x[:, 1::2, 1::2]
    np.testing.assert_allclose(low, (a + b + c + d) / 4, atol=1e-14)
    np.testing.assert_allclose(horizontal, (a + b - c - d) / 2, atol=1e-14)
    np.testing.assert_allclose(vertical, (a - b + c - d) / 2, atol=1e-14)
    np.testing.assert_allclose(diagonal, a - b - c + d, atol=1e-14)


@pytest.mark.parametrize("n", [2, 3, 8, 9])
def test_cdf53_is_its_filters_on_a_mirrored_axis(n):
    x = random_array(1, 1, n)
    i = np.arange(-2, n + 3) % (2 * (n - 1))
    padded = x[0, 0, np.where(i >= n, 2 * (n - 1) - i, i)]
    (_, vertical, _), low = CDF53Wavelet(1)(x)
    np.testing.assert_allclose(low[0, 0], np.convolve(padded[: n + 4], np.array([-1, 2, 6, 2, -1]) / 8, "valid")[::2], atol=1e-14)
    np.testing.assert_allclose(vertical[0, 0], np.convolve(padded[2:], np.array([-1, 2, -1]) / 2, "valid")[::2][: n // 2], atol=1e-14)


def test_cdf53_kills_lines_and_haar_constants():
    ramp = np.arange(32.0)[None, None, :] * np.ones((1, 32, 1)) + np.arange(32.0)[None, :, None]
    details = CDF53Wavelet(1)(ramp)[0]
    assert not any(b[:, :-1, :-1].any() for b in details)
    assert not any(b.any() for d in HaarWavelet(3)(np.full((1, 8, 8), 7, np.uint8))[:-1] for b in d)


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_names_and_empty_bands(kind):
    array = random_array(2, 3, 8, 6, dtype=np.float32)
    levels, tensors = kind(2)(array), kind(2)(nx.Tensor(array))
    assert all(type(b) is np.ndarray for b in [*levels[0], *levels[1], levels[2]])
    assert all(isinstance(b, nx.Tensor) for b in [*tensors[0], *tensors[1], tensors[2]])
    assert_same_bits(levels[0].vertical, tensors[0].vertical)
    assert_same_bits(kind(2)(array[0])[1].diagonal, levels[1].diagonal[0])
    assert type(kind(2).inverse(levels)) is np.ndarray
    assert isinstance(kind(2).inverse(tensors), nx.Tensor)
    (horizontal, vertical, diagonal), low = kind(1)(np.zeros((1, 1, 5), np.float32))
    assert [y.shape for y in (horizontal, vertical, diagonal, low)] == [(1, 0, 3), (1, 1, 2), (1, 0, 2), (1, 1, 3)]


def test_type_that_comes_back():
    transform = HaarWavelet(1)
    levels = transform(np.full((1, 2, 2), 200, np.uint8))
    assert transform.inverse(levels).dtype == np.uint8
    assert HaarWavelet(1).inverse(levels).dtype == np.int16
    assert HaarWavelet(1).inverse(levels, dtype=np.int8).max() == 127
    with pytest.raises(DTypeError, match="HaarWavelet: expected dtype of an image with bands of int16, got .*uint16.*; leave it out"):
        transform.inverse(levels, dtype=np.uint16)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients(kind):
    for size in ((7, 6), (1, 5), (1, 1), (2, 2)):
        x = random_array(1, 2, *size)
        check_adjoint(lambda t: kind(2)(t)[-1], x)
        for i, j in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)):
            if kind(2)(x)[i][j].size:
                check_adjoint(lambda t, i=i, j=j: kind(2)(t)[i][j], x)
        details, low = kind(1)(x)
        check_gradient(lambda a, b, c, d: kind(1).inverse([(a, b, c), d]), *details, low)
    x = nx.Tensor(random_array(2, 9, 7), requires_grad=True)
    (kind(3).inverse(kind(3)(x)) * nx.Tensor(random_array(2, 9, 7, seed=5))).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), random_array(2, 9, 7, seed=5), atol=1e-12)


@pytest.mark.devices
@pytest.mark.parametrize("kind", KINDS)
def test_devices(device, kind):
    for dtype in ("uint8", "int32"):
        x = some_image(np.random.default_rng(4), dtype, (1, 2, 7, 9))
        back = kind(2)
        y = back.inverse(back(nx.Tensor(x).to(device=device)))
        assert_same_bits(y.numpy(), x)
    x = random_array(1, 2, 7, 9, dtype=np.float32)
    np.testing.assert_allclose(kind(2).inverse(kind(2)(nx.Tensor(x).to(device=device))).numpy(), x, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_arguments(kind):
    name = kind.__name__
    with pytest.raises(ArgumentError, match=f"{name}: expected num_levels of at least 1, got 0"):
        kind(0)
    with pytest.raises(ShapeError, match=rf"{name}: expected x \(N, C, H, W\) or \(C, H, W\) of at least one pixel, got shape \(4, 4\)"):
        kind()(np.zeros((4, 4)))
    with pytest.raises(DTypeError, match=f"{name}: expected float32, float64 or integers up to int64, got float16"):
        kind()(np.zeros((1, 4, 4), np.float16))
    transform = kind(2)
    levels = transform(np.zeros((1, 9, 6), np.uint8))
    with pytest.raises(ArgumentError, match=f"{name}: expected 2 triples of bands and a low band, got 2 entries; pass what forward gave"):
        transform.inverse(levels[:2])
    with pytest.raises(DTypeError, match=f"{name}: expected a list of 2 triples and a low band, got ndarray"):
        transform.inverse(levels[2])
    with pytest.raises(ShapeError, match=rf"{name}: level 1: expected bands that fit a low band of \(1, 3, 2\), got"):
        transform.inverse([levels[0], levels[0], levels[2]])
    with pytest.raises(DTypeError, match=f"{name}: level 1: expected bands of int32 like the low band, got int16"):
        transform.inverse([levels[0], levels[1], levels[2].astype(np.int32)])
