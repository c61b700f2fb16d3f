"""Pooling to a number of bins."""

import numpy as np
import pytest
from orders import channels_last, every_order

from neurenix import Tensor, ops
from neurenix.errors import ArgumentError, ShapeError
from neurenix.nn import functional as F
from neurenix.testing import assert_same_bits, check_adjoint, check_gradient, random_array

pytestmark = pytest.mark.everywhere


def bins(n, o):
    return [slice(i * n // o, -((-(i + 1) * n) // o)) for i in range(o)]


@pytest.mark.parametrize("size", [1, 2, 3, 6, 13, (2, 20)])
@pytest.mark.parametrize("channels", [1, 3, 17])
def test_bins(size, channels):
    x = random_array(2, channels, 9, 14)
    oh, ow = size if isinstance(size, tuple) else (size, size)
    parts = [[x[:, :, r, c] for c in bins(14, ow)] for r in bins(9, oh)]
    for given in (x, channels_last(x)):
        want = np.array([[p.mean(axis=(2, 3)) for p in row] for row in parts]).transpose(2, 3, 0, 1)
        np.testing.assert_allclose(F.adaptive_avg_pool2d(given, size).numpy(), want, rtol=1e-13, atol=1e-14)
        want = np.array([[p.max(axis=(2, 3)) for p in row] for row in parts]).transpose(2, 3, 0, 1)
        y, index = F.adaptive_max_pool2d(given, size, return_indices=True)
        np.testing.assert_array_equal(y.numpy(), want)
        np.testing.assert_array_equal(
            np.take_along_axis(x.reshape(2, channels, -1), index.numpy().reshape(2, channels, -1), 2), want.reshape(2, channels, -1)
        )


def test_none_keeps_a_size_and_ones_stay_ones():
    x = np.ones((1, 2, 5, 7), np.float32)
    assert F.adaptive_avg_pool2d(x, (None, 3)).shape == (1, 2, 5, 3)
    assert F.adaptive_max_pool2d(x, (2, None)).shape == (1, 2, 2, 7)
    np.testing.assert_array_equal(F.adaptive_avg_pool2d(x, 3).numpy(), np.ones((1, 2, 3, 3)))


@pytest.mark.parametrize("size", [1, 3, 8])
def test_gradients(size):
    for x in every_order(random_array(2, 3, 6, 5)):
        check_adjoint(lambda t: F.adaptive_avg_pool2d(t, size), x)
        check_gradient(lambda t: F.adaptive_max_pool2d(t, size), x)
    wide = random_array(1, 70, 20, 18)  # more than 256 taps: the index is kept instead
    check_gradient(lambda t: F.adaptive_max_pool2d(t, 1), wide)


GRIDS = [[1, 2, 3, 6], [4], [(2, None), 1, (5, 3)], [16, 1, 2]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("grids", GRIDS)
@pytest.mark.parametrize("shape", [(2, 3, 12, 12), (1, 21, 17, 9), (3, 7, 8), (2, 8, 1, 1)])
def test_a_pyramid_has_the_bits_of_its_grids_one_by_one(shape, grids, dtype):
    for x in every_order(random_array(*shape, dtype=dtype)):
        a, b = Tensor(x, requires_grad=True), Tensor(x, requires_grad=True)
        want = [F.adaptive_avg_pool2d(a, size) for size in grids]
        found = ops.pyramid_averages2d(b, grids)
        for y, w in zip(found, want, strict=True):
            assert_same_bits(y.numpy(), w.numpy())
        sum((w * w).sum() for w in want).backward()
        sum((y * y).sum() for y in found).backward()
        assert_same_bits(b.grad.numpy(), a.grad.numpy())


def test_a_grid_that_nobody_uses_sends_no_gradient():
    x = random_array(2, 9, 10, 7)
    a, b = Tensor(x, requires_grad=True), Tensor(x, requires_grad=True)
    F.adaptive_avg_pool2d(a, 3).sum().backward()
    ops.pyramid_averages2d(b, [1, 3, 6])[1].sum().backward()
    assert_same_bits(b.grad.numpy(), a.grad.numpy())
    assert ops.pyramid_averages2d(x, []) == []
    assert [y.shape for y in ops.pyramid_averages2d(x[:0], [1, 2])] == [(0, 9, 1, 1), (0, 9, 2, 2)]
    with pytest.raises(ArgumentError, match="pyramid_averages2d: expected output_size"):
        ops.pyramid_averages2d(x, [1, 2.5])


def test_a_pyramid_of_a_large_map_does_not_depend_on_threads(each_thread_count):
    x = channels_last(random_array(1, 300, 23, 31, dtype=np.float32))
    grids = [1, 2, 3, 6]

    def run():
        t = Tensor(x, requires_grad=True)
        y = ops.pyramid_averages2d(t, grids)
        sum((a * a).sum() for a in y).backward()
        return np.concatenate([a.numpy().reshape(-1) for a in (*y, t.grad)])

    first, *others = each_thread_count(run)
    for other in others:
        assert_same_bits(other, first)
    for y, size in zip(ops.pyramid_averages2d(x, grids), grids, strict=True):
        assert_same_bits(y.numpy(), F.adaptive_avg_pool2d(x, size).numpy())


def test_bits_do_not_depend_on_threads(each_thread_count):
    x = channels_last(random_array(1, 130, 23, 31, dtype=np.float32))
    first, *others = each_thread_count(lambda: F.adaptive_avg_pool2d(x, 2).numpy())
    for other in others:
        assert_same_bits(other, first)


def test_other_numbers_of_axes():
    assert F.adaptive_avg_pool1d(np.zeros((2, 3, 7)), 4).shape == (2, 3, 4)
    assert F.adaptive_max_pool1d(np.zeros((3, 7)), 2).shape == (3, 2)
    volume = random_array(2, 3, 4, 6, 8)
    np.testing.assert_allclose(F.adaptive_avg_pool3d(volume, 1).numpy(), volume.mean(axis=(2, 3, 4), keepdims=True), rtol=1e-13)
    assert F.adaptive_avg_pool2d(np.zeros((0, 3, 4, 4)), 2).shape == (0, 3, 2, 2)


def test_errors():
    x = np.zeros((1, 2, 4, 4))
    with pytest.raises(ArgumentError, match="expected output_size as one number or 2"):
        F.adaptive_avg_pool2d(x, (1, 2, 3))
    with pytest.raises(ArgumentError, match="expected output_size of at least 0, got -1"):
        F.adaptive_avg_pool2d(x, -1)
    with pytest.raises(ShapeError, match="expected spatial axes that are not empty"):
        F.adaptive_max_pool2d(x[:, :, :0], 1)
