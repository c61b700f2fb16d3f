"""Sampling at the points of a grid, and warping, on the emulated GPU: the same bits as the CPU."""

import numpy as np
import pytest

import neurenix as nx
from neurenix import backend
from neurenix.nn import functional as F
from neurenix.ops import warp

RNG = np.random.default_rng(0)
MATRIX = np.array([[0.9, -0.2, 0.4], [0.3, 1.1, -0.7], [0.0, 0.0, 1.0]])


def both(function, *arrays):
    """What a function of tensors gives on the CPU and on the emulated GPU, and the gradients of floats."""
    found = []
    for device in ("cpu", "emulated"):
        tensors = [nx.Tensor(a, device=device, requires_grad=True) for a in arrays]
        y = function(*tensors)
        weight = np.random.default_rng(1).standard_normal(y.shape).astype(y.dtype)
        y.backward(nx.Tensor(weight, device=device))
        found.append([y.numpy(), *(t.grad.numpy() for t in tensors)])
    return zip(*found, strict=True)


def sampled(last, *options):
    """Grid sampling of a map that lies channels last in memory, or first."""
    return lambda a, b: F.grid_sample(a.permute(0, a.ndim - 1, *range(1, a.ndim - 1)) if last else a, b, *options)


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_grid_sample(door, mode, padding, dtype):
    x = RNG.standard_normal((2, 3, 5, 6)).astype(dtype)
    grid = (RNG.standard_normal((2, 4, 7, 2)) * 1.2).astype(dtype)
    grid[0, 0, :3] = [[np.nan, 0], [np.inf, 1], [1e30, -1e30]]
    for align, array in ((False, x), (True, x.transpose(0, 2, 3, 1).copy())):
        for cpu, gpu in both(sampled(align, mode, padding, align), array, grid):
            np.testing.assert_array_equal(gpu, cpu)
    assert {"grid_sample_map", "grid_sample_backward", "grid_sample_grid_backward"} <= set(door.launched)


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_grid_sample_of_volumes(door, mode):
    x = RNG.standard_normal((2, 20, 3, 4, 5)).astype("f4")
    grid = RNG.uniform(-1.3, 1.3, (2, 2, 3, 4, 3)).astype("f4")
    for last, array in ((False, x), (True, x.transpose(0, 2, 3, 4, 1).copy())):
        for cpu, gpu in both(sampled(last, mode, "border"), array, grid):
            np.testing.assert_array_equal(gpu, cpu)


@pytest.mark.parametrize("size", [(1, 255), (16, 16), (256, 257)])
def test_the_gradient_of_a_map_sorts_by_as_many_digits_as_its_pixels_have(door, size):
    x, grid = RNG.standard_normal((1, 1, *size)).astype("f4"), RNG.uniform(-1, 1, (1, 30, 40, 2)).astype("f4")
    grid[0, :10] = grid[0, 0, 0]  # many taps of one pixel, over several chunks
    for cpu, gpu in both(lambda a, b: F.grid_sample(a, b, align_corners=True), x, grid):
        np.testing.assert_array_equal(gpu, cpu)
    assert ("grid_sample_move_1" in door.kernels) == (np.prod(size) >= 256)
    assert ("grid_sample_move_2" in door.kernels) == (np.prod(size) >= 65536)
    assert "grid_sample_move_3" not in door.kernels


def test_an_empty_grid_gives_no_gradient(door):
    x = RNG.standard_normal((1, 2, 3, 3)).astype("f4")
    for cpu, gpu in both(F.grid_sample, x, np.zeros((1, 0, 4, 2), "f4")):
        np.testing.assert_array_equal(gpu, cpu)


def rows_agree(row, outputs, *args):
    """A row called on the CPU and on the emulated GPU writes the same bits; the first arguments are (position, array) outputs."""
    found = []
    for device in ("cpu", "emulated"):
        here = [backend.to_device(a.copy(), device) if isinstance(a, np.ndarray) else a for a in args]
        row(*here)
        found.append([backend.to_numpy(here[i]) for i in outputs])
    for cpu, gpu in zip(*found, strict=True):
        np.testing.assert_array_equal(gpu, cpu)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("matrix", [np.eye(3), MATRIX])
def test_points_of_a_warp(door, dtype, matrix):
    after = np.concatenate([matrix[:2].ravel(), MATRIX[:2].ravel()])
    field = (RNG.standard_normal((2, 4, 9)) * 3).astype(dtype)
    field[0, 1, 1] = np.nan
    for bend in (field, np.empty((2, 0, 0), dtype)):
        rows_agree(warp.warp_points, [1], bend, np.zeros((2, 6, 7)), after, *bend.shape[1:], 6, 7)


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("dtype", ["f4", "f8", "u1", "i1", "u2", "i4", "i8", "u8"])
def test_samples_of_a_warp(door, order, dtype):
    points = RNG.uniform(-9, 12, (2, 8, 9))
    points[:, 0, :4] = [[np.nan, np.inf, -1e300, 0.5], [0.0, 1.0, 1e300, 1.5]]
    x = (RNG.standard_normal((2, 4, 5)) * 100).astype(dtype)
    for mode in range(4):
        rows_agree(warp.warp_sample, [0], np.zeros((2, 8, 9), dtype), x, points, 2, 4, 5, 8, 9, order, mode, 300.7)
