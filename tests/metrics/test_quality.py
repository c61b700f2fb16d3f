"""Signal to noise and structural similarity, beside scikit-image."""

import math

import numpy as np
import pytest
from skimage import metrics as reference

from neurenix import Tensor
from neurenix.errors import ArgumentError, ShapeError
from neurenix.metrics import PSNR, SSIM, psnr, structural_similarity

RNG = np.random.default_rng(0)
T = RNG.integers(0, 256, (3, 2, 24, 26)).astype(np.uint8)
P = np.clip(T + RNG.integers(-20, 20, T.shape), 0, 255).astype(np.uint8)


def test_beside_scikit_image():
    assert psnr(P[0], T[0], 255) == pytest.approx(reference.peak_signal_noise_ratio(T[0], P[0], data_range=255))
    assert psnr(Tensor(P[0] / 255), T[0] / 255) == pytest.approx(psnr(P[0], T[0], 255))
    same = {"gaussian_weights": True, "use_sample_covariance": False, "data_range": 255}
    want = [reference.structural_similarity(a, b, channel_axis=0, **same) for a, b in zip(T, P, strict=True)]
    assert SSIM(255).update(P, T).compute() == pytest.approx(np.mean(want))
    assert structural_similarity(P[1], T[1], 255) == pytest.approx(want[1])
    assert structural_similarity(P[1, 0], T[1, 0], 255) == pytest.approx(reference.structural_similarity(T[1, 0], P[1, 0], **same))


def test_equal_images_and_left_out_pixels():
    assert psnr(T, T, 255) == math.inf
    keep = RNG.random(T.shape) < 0.5
    assert psnr(P, T, 255, mask=keep) == pytest.approx(psnr(P[keep], T[keep], 255))
    assert psnr(P, np.where(keep, T, np.nan), 255) == pytest.approx(psnr(P[keep], T[keep], 255))
    assert math.isnan(psnr(P, T, 255, mask=np.zeros(T.shape)))


@pytest.mark.parametrize("make", [lambda: PSNR(255), lambda: SSIM(255)])
def test_any_split_gives_the_same(make):
    whole = make().update(P, T).compute()
    assert make().update(P[1:], T[1:]).merge(make().update(P[:1], T[:1])).compute() == whole
    assert math.isnan(make().compute())


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: psnr(P, T[0]), ShapeError, "psnr: expected one shape"),
        (lambda: psnr(P, T, 0), ArgumentError, "psnr: expected data_range above 0, got 0"),
        (lambda: structural_similarity(P, T), ShapeError, r"expected \(H, W\) or \(C, H, W\), got \(3, 2, 24, 26\)"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()
