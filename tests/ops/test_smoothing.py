"""Gaussian blur: SciPy's numbers at every border, spacing, volumes, gradients, errors."""

import numpy as np
import pytest
from scipy import ndimage

import neurenix as nx
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.nn.functional import gaussian_blur
from neurenix.testing import assert_same_bits, check_adjoint, random_array

BORDERS = {"reflect": "mirror", "symmetric": "reflect", "replicate": "nearest", "circular": "wrap"}


@pytest.mark.parametrize("mode", BORDERS)
@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.7, 9.0, (3.0, 0.5), (0.0, 1.5)])
@pytest.mark.parametrize("size", [(13, 17), (1, 9), (4, 1), (2, 3)])
def test_same_as_scipy(mode, sigma, size):
    x = random_array(2, 3, *size)
    each = sigma if isinstance(sigma, tuple) else (sigma, sigma)
    want = ndimage.gaussian_filter(x, (0, 0, *each), mode=BORDERS[mode])
    np.testing.assert_allclose(gaussian_blur(x, sigma, mode=mode).numpy(), want, atol=1e-13)
    single = gaussian_blur(x.astype(np.float32), sigma, mode=mode).numpy()
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, want, atol=2e-6)


def test_truncation_volumes_and_spacing():
    x = random_array(1, 2, 6, 9, 11)
    np.testing.assert_allclose(
        gaussian_blur(x, 1.5, truncate=2.5, mode="symmetric").numpy(),
        ndimage.gaussian_filter(x, (0, 0, 1.5, 1.5, 1.5), truncate=2.5),
        atol=1e-13,
    )
    y = random_array(2, 9, 8)
    assert_same_bits(gaussian_blur(y, 3.0, spacing=(1.5, 3.0)), gaussian_blur(y, (2.0, 1.0)))
    assert_same_bits(gaussian_blur(y, 1.0), gaussian_blur(y[None], 1.0)[0])


def test_nothing_to_do_changes_no_bit():
    x = random_array(2, 5, 6, dtype=np.float32)
    assert_same_bits(gaussian_blur(x, 0.0), x)
    assert_same_bits(gaussian_blur(x, 0.1), x)  # not half a pixel within four standard deviations


def test_a_blur_far_wider_than_the_image_is_its_mean():
    x = random_array(1, 9, 14)
    for mode in ("symmetric", "circular"):
        np.testing.assert_allclose(gaussian_blur(x, 1e5, mode=mode).numpy(), x.mean(), atol=1e-9)
    assert gaussian_blur(x, 2e5, mode="replicate").numpy().std() < 1e-4
    with pytest.raises(
        ArgumentError, match="gaussian_blur: expected a filter of at most 1048576 pixels to either side, got 4000000000000; take"
    ):
        gaussian_blur(x, 1e12)


def test_symmetric_keeps_the_mean():
    x = random_array(1, 15, 12)
    assert gaussian_blur(x, 3.0, mode="symmetric").mean().item() == pytest.approx(x.mean(), abs=1e-14)


@pytest.mark.parametrize("mode", BORDERS)
def test_gradient(mode):
    for size in ((6, 9), (1, 5), (3, 2)):
        check_adjoint(lambda t: gaussian_blur(t, (1.2, 2.0), mode=mode), random_array(2, *size))
    check_adjoint(lambda t: gaussian_blur(t, 0.0), random_array(2, 3, 3))
    check_adjoint(lambda t: gaussian_blur(t, 1.0, mode=mode), random_array(1, 2, 3, 4, 5))


@pytest.mark.devices
def test_devices(device):
    x = random_array(1, 2, 7, 6, dtype=np.float32)
    y = gaussian_blur(nx.Tensor(x).to(device=device), 1.3)
    np.testing.assert_allclose(y.numpy(), gaussian_blur(x, 1.3).numpy(), atol=1e-6)


def test_errors():
    x = np.zeros((1, 4, 6), np.float32)
    with pytest.raises(
        ShapeError, match=r"gaussian_blur: expected x \(N, C, H, W\), \(C, H, W\) or \(N, C, D, H, W\) of at least one pixel"
    ):
        gaussian_blur(x[0], 1.0)
    with pytest.raises(ShapeError, match=r"got shape \(1, 0, 6\)"):
        gaussian_blur(x[:, :0], 1.0)
    with pytest.raises(DTypeError, match="gaussian_blur: expected float32 or float64, got uint8; convert it with .float"):
        gaussian_blur(x.astype(np.uint8), 1.0)
    with pytest.raises(
        ArgumentError, match="gaussian_blur: expected mode one of 'symmetric', 'reflect', 'replicate', 'circular', got 'wrap'"
    ):
        gaussian_blur(x, 1.0, mode="wrap")
    for wrong in (-1.0, float("nan"), float("inf"), True, None, "x", (1.0, -2.0)):
        with pytest.raises(ArgumentError, match="gaussian_blur: expected sigma as finite numbers of at least 0, got"):
            gaussian_blur(x, wrong)
    with pytest.raises(ArgumentError, match=r"gaussian_blur: expected sigma as one number or 2, got \(1, 2, 3\)"):
        gaussian_blur(x, (1, 2, 3))
    with pytest.raises(ArgumentError, match="gaussian_blur: expected spacing as finite numbers above 0, got 0"):
        gaussian_blur(x, 1.0, spacing=0)
