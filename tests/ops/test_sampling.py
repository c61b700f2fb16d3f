"""Sampling at the points of a grid."""

import numpy as np
import pytest
from orders import channels_last, every_order

import neurenix as nx
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.nn import functional as F
from neurenix.testing import assert_same_bits, check_gradient, random_array

pytestmark = pytest.mark.everywhere


def identity(n, h, w):
    return F.affine_grid(np.tile([[1.0, 0, 0], [0, 1, 0]], (n, 1, 1)), (n, 1, h, w), align_corners=False).numpy()


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("channels", [1, 3, 20])
def test_the_identity_grid_gives_the_map(mode, channels):
    x = random_array(2, channels, 5, 7)
    for given in every_order(x):
        np.testing.assert_allclose(F.grid_sample(given, identity(2, 5, 7), mode, align_corners=False).numpy(), x, atol=1e-12)


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_gradients(mode, padding, align):
    grid = np.random.default_rng(1).uniform(-1.3, 1.3, (2, 4, 3, 2))
    for x in (random_array(2, 3, 5, 6), channels_last(random_array(2, 18, 5, 6))):
        check_gradient(lambda t, g: F.grid_sample(t, g, mode, padding, align), x, grid)


def test_volumes():
    grid = np.random.default_rng(1).uniform(-1.3, 1.3, (2, 2, 3, 2, 3))
    for mode in ("bilinear", "nearest"):
        check_gradient(lambda t, g, mode=mode: F.grid_sample(t, g, mode), random_array(2, 3, 4, 5, 6), grid)


def test_bits_do_not_depend_on_threads_or_order(each_thread_count):
    x, grid = random_array(2, 19, 9, 8, dtype=np.float32), np.random.default_rng(1).uniform(-1.1, 1.1, (2, 31, 7, 2)).astype(np.float32)

    def run(given):
        leaf = nx.Tensor(given, requires_grad=True)
        y = F.grid_sample(leaf, grid)
        y.backward(y.numpy())
        return y.numpy(), leaf.grad.numpy()

    want = run(x)
    for given in (x, channels_last(x)):
        for found in each_thread_count(lambda given=given: run(given)):
            for got, expected in zip(found, want, strict=True):
                assert_same_bits(got, expected)


def test_points_that_are_no_numbers_read_nothing():
    grid = np.array([[[[np.nan, 0.0], [np.inf, 0.0], [-1e30, 1e30]]]])
    np.testing.assert_array_equal(F.grid_sample(np.ones((1, 1, 3, 3)), grid).numpy(), np.zeros((1, 1, 1, 3)))


def test_affine_grid():
    theta = random_array(2, 2, 3)
    grid = F.affine_grid(theta, (2, 1, 3, 4), align_corners=True).numpy()
    ys, xs = np.meshgrid(np.linspace(-1, 1, 3), np.linspace(-1, 1, 4), indexing="ij")
    want = np.einsum("nab,hwb->nhwa", theta, np.stack([xs, ys, np.ones_like(xs)], -1))
    np.testing.assert_allclose(grid, want, atol=1e-14)
    check_gradient(lambda t: F.affine_grid(t, (2, 1, 3, 4)), theta)
    check_gradient(lambda t: F.affine_grid(t, (2, 1, 3, 4, 2)), random_array(2, 3, 4))


def test_errors():
    x, grid = np.zeros((1, 2, 4, 4)), np.zeros((1, 3, 3, 2))
    for call, error, text in [
        (lambda: F.grid_sample(x, grid, "linear"), ArgumentError, "expected mode one of 'bilinear', 'nearest', 'bicubic'"),
        (lambda: F.grid_sample(x, grid, padding_mode="wrap"), ArgumentError, "expected padding_mode one of"),
        (lambda: F.grid_sample(x[0], grid), ShapeError, "expected x (N, C, H, W) with grid"),
        (lambda: F.grid_sample(x, grid[..., :1]), ShapeError, "expected a grid of 1 maps with 2 coordinates"),
        (lambda: F.grid_sample(x, grid.astype(np.float32)), DTypeError, "expected x and grid of one type"),
        (lambda: F.affine_grid(np.zeros((1, 2, 2)), (1, 1, 3, 3)), ShapeError, "expected theta (N, 2, 3)"),
    ]:
        with pytest.raises(error) as raised:
            call()
        assert text in str(raised.value)
