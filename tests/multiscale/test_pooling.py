"""Pooling at several scales: values by hand, sizes, order, gradients."""

import numpy as np
import pytest

import neurenix as nx
from neurenix.errors import DTypeError, ShapeError
from neurenix.multiscale import MultiScalePooling, PyramidPooling, SpatialPyramidPooling
from neurenix.nn import functional
from neurenix.testing import assert_same_bits, check_adjoint, check_gradient, random_array


def test_multi_scale_pooling_by_hand():
    x = np.array([[[[1.0, 3.0, 2.0]]]], np.float32)
    average = MultiScalePooling([1, 2, 3])(x).numpy()
    np.testing.assert_array_equal(average[0, :, 0], [[1, 3, 2], [2, 2.5, 2], [2, 2, 2.5]])
    largest = MultiScalePooling([1, 2, 3], "max")(x).numpy()
    np.testing.assert_array_equal(largest[0, :, 0], [[1, 3, 2], [3, 3, 2], [3, 3, 3]])


@pytest.mark.parametrize("kind", ["avg", "max"])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 7, 5), (1, 4, 2, 9), (0, 2, 3, 3)])
def test_multi_scale_pooling_shapes(kind, shape):
    for dtype in (np.float32, np.float64):
        y = MultiScalePooling(pool_type=kind)(random_array(*shape, dtype=dtype))
        assert y.shape == (shape[0], 4 * shape[1], *shape[2:])
        assert y.dtype == dtype


def test_constant_stays_constant():
    x = np.full((1, 2, 7, 6), 2.5, np.float32)
    np.testing.assert_array_equal(MultiScalePooling([1, 2, 3, 6])(x).numpy(), 2.5)


@pytest.mark.parametrize("shape", [(1, 2, 1, 1), (2, 3, 7, 5), (1, 1, 3, 2)])
def test_spatial_pyramid_pooling(shape):
    x = random_array(*shape)
    y = SpatialPyramidPooling(3)(x).numpy()
    n, c = shape[:2]
    assert y.shape == (n, c * 21)
    np.testing.assert_array_equal(y[:, :c], x.max(axis=(2, 3)))
    for level, start, bins in ((1, c, 4), (2, 5 * c, 16)):
        want = functional.adaptive_max_pool2d(x, 2**level).numpy().reshape(n, c * bins)
        assert_same_bits(y[:, start : start + c * bins], want)
    mean = SpatialPyramidPooling(1, "avg")(x).numpy()
    np.testing.assert_allclose(mean, x.mean(axis=(2, 3)), rtol=1e-12)


@pytest.mark.parametrize("norm", ["batch", "group", "instance", None])
@pytest.mark.parametrize("shape", [(1, 6, 1, 1), (2, 6, 9, 7), (1, 6, 2, 5)])
def test_pyramid_pooling(norm, shape):
    model = PyramidPooling(6, 5, norm=norm)
    y = model(random_array(*shape, dtype=np.float32))
    assert y.shape == (shape[0], 5, *shape[2:])
    y.sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert model.reductions[0][0].weight.shape == (1, 6, 1, 1)


def test_pyramid_pooling_skips_the_norm_of_one_value():
    model = PyramidPooling(8, 4, [1, 2])
    assert [len(r) for r in model.reductions] == [2, 3]
    assert PyramidPooling(2, 1, [1, 2, 3, 6]).reductions[3][0].out_channels == 1


def test_gradients():
    check_adjoint(MultiScalePooling([2, 3]), random_array(2, 2, 5, 4))
    check_adjoint(SpatialPyramidPooling(2, "avg"), random_array(2, 2, 5, 4))
    check_gradient(SpatialPyramidPooling(3), random_array(1, 2, 5, 4))
    check_gradient(PyramidPooling(3, 2, [1, 2], norm="group").double(), random_array(2, 3, 5, 4))


@pytest.mark.parametrize("model", [MultiScalePooling(), SpatialPyramidPooling(), PyramidPooling(3, 2)])
def test_wrong_inputs(model):
    with pytest.raises(ShapeError, match=r"expected x \(N, .*, H, W\), got shape \(3, 4, 4\); add the batch axis with x\[None\]"):
        model(nx.Tensor(shape=(3, 4, 4)))
    with pytest.raises(DTypeError, match="expected a float image, got uint8.*; divide it by 255"):
        model(np.zeros((1, 3, 4, 4), np.uint8))
    with pytest.raises(ShapeError, match="expected at least one pixel"):
        model(nx.Tensor(shape=(1, 3, 0, 4)))
