"""Gaussian and Laplacian pyramids: what comes back, to the bit or within an ulp, at any size and type; kinds; gradients; errors."""

import numpy as np
import pytest

import neurenix as nx
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.multiscale import GaussianPyramid, LaplacianPyramid
from neurenix.nn import functional
from neurenix.testing import assert_same_bits, check_adjoint, check_gradient, random_array

DIFFERENCES = {
    "uint8": "int16", "int8": "int16", "uint16": "int32", "int16": "int32", "uint32": "int64", "int32": "int64", "int64": "int64",
}  # fmt: skip


def some_image(rng, dtype, shape):
    """Noise over the whole range, or only its ends: what differs most from a prediction."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        x = rng.standard_normal(shape) * 10.0 ** rng.uniform(-6, 6)
        return (x if rng.random() < 0.5 else np.sign(x) * abs(x).max()).astype(dtype)
    limits = np.iinfo(dtype)
    x = rng.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)
    return x if rng.random() < 0.5 else np.where(x > limits.max // 2, limits.max, limits.min).astype(dtype)


@pytest.mark.parametrize("dtype", DIFFERENCES)
def test_integers_come_back_to_the_bit(dtype):
    rng = np.random.default_rng(1)
    for _ in range(60):
        x = some_image(rng, dtype, (*rng.integers(1, 4, rng.integers(1, 3)), *rng.integers(1, 41, 2)))
        pyramid = LaplacianPyramid(int(rng.integers(1, 8)))
        levels = pyramid(x)
        assert [y.dtype.name for y in levels] == [DIFFERENCES[dtype]] * (pyramid.num_levels - 1) + [dtype]
        assert_same_bits(pyramid.inverse(levels), x)
        assert_same_bits(GaussianPyramid(pyramid.num_levels).inverse(GaussianPyramid(pyramid.num_levels)(x)), x)


@pytest.mark.parametrize("n", [*range(1, 10), 31, 32, 33])
def test_rows_and_columns_come_back(n):
    pyramid = LaplacianPyramid(7)
    for shape in ((1, 1, n), (1, n, 1)):
        x = some_image(np.random.default_rng(n), "uint8", shape)
        assert_same_bits(pyramid.inverse(pyramid(x)), x)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_come_back_within_an_ulp_of_the_largest(dtype):
    rng = np.random.default_rng(2)
    for _ in range(150):
        x = some_image(rng, dtype, (2, *rng.integers(1, 41, 2)))
        pyramid = LaplacianPyramid(int(rng.integers(1, 8)))
        back = pyramid.inverse(pyramid(x))
        assert back.dtype == dtype
        assert np.abs(back - x).max() <= np.spacing(np.abs(x).max())


def test_pixels_of_bytes_as_floats_come_back_to_the_bit():
    x = some_image(np.random.default_rng(3), "uint8", (3, 33, 50)).astype(np.float32)
    assert_same_bits(LaplacianPyramid(2).inverse(LaplacianPyramid(2)(x)), x)


def test_levels_are_what_they_are_called():
    x = nx.Tensor(random_array(1, 2, 9, 14))
    halves = [x, functional.pyramid_reduce(x), functional.pyramid_reduce(functional.pyramid_reduce(x))]
    for found, want in zip(GaussianPyramid(3)(x), halves, strict=True):
        assert_same_bits(found, want)
    assert GaussianPyramid(3)(x)[0] is x
    levels = LaplacianPyramid(3)(x)
    np.testing.assert_allclose(levels[0].numpy(), (x - functional.pyramid_expand(halves[1], (9, 14))).numpy(), atol=1e-14)
    assert_same_bits(levels[2], halves[2])


def test_a_flat_image_has_no_details():
    for dtype in ("uint8", "float32"):
        levels = LaplacianPyramid(4)(np.full((1, 13, 10), 200, dtype))
        assert not any(y.any() for y in levels[:-1])
        assert (levels[-1] == 200).all()


def test_integers_of_ones_own_end_at_the_limits():
    pyramid = LaplacianPyramid(2)
    levels = pyramid(np.full((1, 4, 4), 250, np.uint8))
    levels[0][...] = 100
    assert (pyramid.inverse(levels) == 255).all()
    levels[0][...] = -300
    assert (pyramid.inverse(levels) == 0).all()


def test_the_kind_that_came_goes():
    array = random_array(2, 3, 8, 6, dtype=np.float32)
    for transform in (GaussianPyramid(), LaplacianPyramid()):
        assert [type(y) for y in transform(array)] == [np.ndarray] * 3
        assert all(isinstance(y, nx.Tensor) for y in transform(nx.Tensor(array)))
        assert type(transform.inverse(transform(array))) is np.ndarray
        assert isinstance(transform.inverse(transform(nx.Tensor(array))), nx.Tensor)
        assert_same_bits(transform(array[0])[1], transform(array)[1][0])
        assert not list(transform.parameters())


def test_gradients():
    for size in ((9, 7), (1, 6), (1, 1)):
        x = random_array(1, 2, *size)
        for i in range(3):
            check_adjoint(lambda t, i=i: LaplacianPyramid(3)(t)[i], x)
            check_adjoint(lambda t, i=i: GaussianPyramid(3)(t)[i], x)
        levels = LaplacianPyramid(3)(x)
        check_gradient(lambda *t: LaplacianPyramid(3).inverse(list(t)), *levels)
    x = nx.Tensor(random_array(2, 9, 7), requires_grad=True)
    back = LaplacianPyramid(3).inverse(LaplacianPyramid(3)(x))
    (back * nx.Tensor(random_array(2, 9, 7, seed=5))).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), random_array(2, 9, 7, seed=5), atol=1e-12)


@pytest.mark.devices
def test_devices(device):
    for dtype in ("uint8", "int32", "float32"):
        x = some_image(np.random.default_rng(4), dtype, (1, 2, 7, 9))
        t = nx.Tensor(x).to(device=device)
        back = LaplacianPyramid(3).inverse(LaplacianPyramid(3)(t))
        assert back.device == t.device
        assert np.abs(back.numpy().astype(np.float64) - x).max() <= (np.spacing(np.abs(x).max()) if dtype == "float32" else 0)


@pytest.mark.parametrize("kind", [GaussianPyramid, LaplacianPyramid])
def test_wrong_arguments(kind):
    name = kind.__name__
    with pytest.raises(ArgumentError, match=f"{name}: expected num_levels of at least 1, got 0"):
        kind(0)
    with pytest.raises(ArgumentError, match=f"{name}: expected num_levels of at most 32, got 33"):
        kind(33)
    with pytest.raises(ShapeError, match=rf"{name}: expected x \(N, C, H, W\) or \(C, H, W\) of at least one pixel, got shape \(4, 4\)"):
        kind()(np.zeros((4, 4)))
    with pytest.raises(DTypeError, match=f"{name}: expected float32, float64 or integers up to int64, got bool; convert it with .to"):
        kind()(np.zeros((1, 4, 4), bool))
    pyramid = kind(3)
    levels = pyramid(np.zeros((1, 9, 6), np.uint8))
    with pytest.raises(ArgumentError, match=f"{name}: expected 3 levels, got 2; pass what forward gave"):
        pyramid.inverse(levels[:2])
    with pytest.raises(DTypeError, match=f"{name}: expected a list of 3 levels, got ndarray; pass what forward gave"):
        pyramid.inverse(levels[0])
    with pytest.raises(ShapeError, match=rf"{name}: expected level 1 of shape \(1, 5, 3\), half of level 0, got \(1, 3, 2\)"):
        pyramid.inverse([levels[0], levels[2], levels[2]])
    with pytest.raises(ShapeError, match=f"{name}: level 0: expected x .* got int"):
        pyramid.inverse([1, 2, 3])


def test_wrong_types_of_levels():
    levels = LaplacianPyramid(2)(np.zeros((1, 4, 4), np.uint8))
    with pytest.raises(
        DTypeError, match="LaplacianPyramid: expected level 0 of int16, for the last is uint8, got uint8; convert it with .to"
    ):
        LaplacianPyramid(2).inverse([levels[0].astype(np.uint8), levels[1]])
