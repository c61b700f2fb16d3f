"""Structural similarity: scikit-image's values, scales by hand, gradients, errors."""

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from neurenix import nn
from neurenix.errors import ArgumentError, ShapeError
from neurenix.nn import functional as F
from neurenix.testing import check_gradient

pytestmark = pytest.mark.everywhere

RNG = np.random.default_rng(0)
SAME = {"gaussian_weights": True, "use_sample_covariance": False}


def pair(*shape):
    x = RNG.random(shape)
    return x, np.clip(x + 0.2 * RNG.standard_normal(shape), 0, 1)


@pytest.mark.parametrize("data_range", [1.0, 255.0])
def test_images_and_volumes_beside_scikit_image(data_range):
    x, y = pair(2, 3, 30, 41)
    want = [structural_similarity(a, b, data_range=data_range, channel_axis=0, **SAME) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(F.ssim(x, y, data_range, reduction="none").numpy(), want, rtol=1e-9)
    assert nn.SSIMLoss(data_range)(x, y).item() == pytest.approx(1 - np.mean(want))
    x, y = pair(1, 1, 13, 15, 17)
    want = structural_similarity(x[0, 0], y[0, 0], data_range=data_range, **SAME)
    assert F.ssim(x, y, data_range).item() == pytest.approx(want)


def test_box_windows():
    x, y = pair(1, 1, 20, 22)
    want = structural_similarity(x[0, 0], y[0, 0], data_range=1, win_size=7, use_sample_covariance=False)
    assert F.ssim(x, y, window_size=7, sigma=0).item() == pytest.approx(want)


def test_scales_by_hand():
    x, y = pair(2, 1, 41, 46)

    def halved(a):
        return a[..., : a.shape[-2] // 2 * 2, : a.shape[-1] // 2 * 2].reshape(2, 1, a.shape[-2] // 2, 2, a.shape[-1] // 2, 2).mean((3, 5))

    def structure(a, b):
        """Similarity without the factor of means: theirs with both means at 0 and c1 left over, so from its definition."""
        k = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
        k /= k.sum()
        windows = [np.lib.stride_tricks.sliding_window_view(v, (11, 11), (-2, -1)) for v in (a, b, a * a, b * b, a * b)]
        ma, mb, aa, bb, ab = (np.einsum("...ij,i,j->...", w, k, k) for w in windows)
        return (2 * (ab - ma * mb) + 0.0009) / (aa - ma * ma + bb - mb * mb + 0.0009)

    coarse = F.ssim(halved(x), halved(y), reduction="none").numpy()
    want = structure(x, y).mean((1, 2, 3)) ** 0.3 * coarse**0.7
    np.testing.assert_allclose(F.ms_ssim(x, y, weights=(0.3, 0.7), reduction="none").numpy(), want, rtol=1e-9)
    assert nn.MSSSIMLoss(weights=(0.3, 0.7))(x, y).item() == pytest.approx(1 - want.mean())


def test_equal_and_opposite_images():
    x = RNG.random((1, 2, 176, 180)).astype(np.float32)
    assert F.ssim(x, x).item() == pytest.approx(1, abs=1e-6)
    assert F.ms_ssim(x, x).item() == pytest.approx(1, abs=1e-6)
    assert F.ssim(x, 1 - x).item() < 0
    assert 0 < F.ms_ssim(x, 1 - x).item() < 0.01  # no power of a negative number
    assert F.ssim(np.zeros((1, 1, 12, 12)), np.zeros((1, 1, 12, 12))).item() == 1


def test_gradients():
    x, y = pair(1, 2, 13, 14)
    check_gradient(lambda x, y: F.ssim(x, y, window_size=7), x, y)
    x, y = pair(1, 1, 24, 23)
    check_gradient(lambda x, y: F.ms_ssim(x, y, weights=(0.5, 0.5), window_size=5), x, y)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: F.ssim(X, X, window_size=10), ArgumentError, "ssim: expected an odd window_size, got 10"),
        (lambda: F.ssim(X, X, sigma=-1), ArgumentError, "expected sigma of at least 0, got -1"),
        (lambda: F.ssim(X, X, 0), ArgumentError, "expected data_range above 0, got 0"),
        (lambda: F.ssim(X[..., :9], X[..., :9]), ShapeError, "expected images of at least 11 pixels along each axis"),
        (lambda: F.ssim(X[0], X[0]), ShapeError, r"expected \(N, C, H, W\) or \(N, C, D, H, W\), got \(1, 20, 20\)"),
        (lambda: F.ms_ssim(X, X), ShapeError, "ms_ssim: expected at least 176 pixels along each axis for 5 scales"),
        (lambda: F.ms_ssim(X, X, weights=[]), ArgumentError, r"expected weights of at least 0, got \[\]"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()


X = np.zeros((1, 1, 20, 20))


def test_window_size_is_checked_before_it_is_compared():
    x = np.zeros((1, 1, 16, 16), np.float32)
    for function in (F.ssim, F.ms_ssim):
        with pytest.raises(ArgumentError, match="expected window_size as an integer"):
            function(x, x, window_size="eleven")
