"""Structural similarity of images, at one scale and at several."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neurenix import backend, ops
from neurenix.errors import ArgumentError, ShapeError
from neurenix.ops._arguments import integer
from neurenix.ops._reduction import prediction, reduced_as, reduction_of, target_like
from neurenix.tensor import Tensor

MS_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def _window(op: str, size: int, sigma: float, like: Tensor) -> Tensor:
    """Weights of a Gaussian that sum to 1; of a box for sigma 0."""
    if size % 2 == 0:
        raise ArgumentError(f"{op}: expected an odd window_size, got {size}; pass e.g. 11")
    if isinstance(sigma, bool) or not isinstance(sigma, int | float) or not 0 <= sigma < math.inf:
        raise ArgumentError(f"{op}: expected sigma of at least 0, got {sigma!r}; pass e.g. 1.5, or 0 for a box")
    at = np.arange(size) - size // 2
    w = np.exp(-0.5 * (at / sigma) ** 2) if sigma else np.ones(size)
    return Tensor._wrap(backend.to_device((w / w.sum()).astype(like.dtype), like.device))


def _filtered(x: Tensor, window: Tensor) -> Tensor:
    """(M, H, W) or (M, D, H, W) filtered along each axis, without a border.

    The M images are the channels of one depthwise convolution, whose kernel is 10 times as fast as one of single channels.
    """
    m, n = x.shape[0], window.shape[0]
    along, across = (ops.expand(window.reshape(shape), (m, *shape[1:])) for shape in ((1, 1, n, 1), (1, 1, 1, n)))
    if x.ndim == 4:
        _, d, h, w = x.shape
        x = ops.conv2d(x.reshape(1, m, d, h * w), along, groups=m).reshape(m * (d - n + 1), h, w)
        return _filtered(x, window).reshape(m, d - n + 1, h - n + 1, w - n + 1)
    return ops.squeeze(ops.conv2d(ops.conv2d(ops.unsqueeze(x, 0), along, groups=m), across, groups=m), 0)


def _maps(x: Tensor, y: Tensor, window: Tensor, data_range: float, k1: float, k2: float) -> tuple[Tensor, Tensor]:
    """Similarity, and its part of contrast and structure, at each window, of (N, C, ...) images."""
    c1, c2 = (k1 * data_range) ** 2, (k2 * data_range) ** 2
    images = x.shape[0] * x.shape[1]
    x, y = x.reshape(images, *x.shape[2:]), y.reshape(images, *y.shape[2:])
    means = _filtered(ops.cat([x, y, x * x, y * y, x * y], 0), window)
    mx, my, xx, yy, xy = ops.chunk(means, 5, 0)
    structure = (2.0 * (xy - mx * my) + c2) / ((xx - mx * mx) + (yy - my * my) + c2)
    return (2.0 * mx * my + c1) / (mx * mx + my * my + c1) * structure, structure


def _pair(op: str, input: Any, target: Any, data_range: Any, size: int) -> tuple[Tensor, Tensor, float]:
    x = prediction(op, input)
    y = target_like(op, target, x)
    if x.ndim not in (4, 5):
        raise ShapeError(f"{op}: expected (N, C, H, W) or (N, C, D, H, W), got {x.shape}; add the missing axes with unsqueeze")
    if isinstance(data_range, bool) or not isinstance(data_range, int | float) or not 0 < data_range < math.inf:
        raise ArgumentError(f"{op}: expected data_range above 0, got {data_range!r}; pass the largest value less the smallest, e.g. 255")
    if min(x.shape[2:]) < size:
        raise ShapeError(f"{op}: expected images of at least {size} pixels along each axis, got {x.shape}; pass a smaller window_size")
    return x, y, float(data_range)


def ssim(
    input: Any,
    target: Any,
    data_range: float = 1.0,
    *,
    window_size: int = 11,
    sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
    reduction: str = "mean",
) -> Tensor:
    """Structural similarity of images, 1 where they are equal.

    ``(2 mx my + c1) (2 sxy + c2) / ((mx^2 + my^2 + c1) (sx^2 + sy^2 + c2))`` of the means, variances and covariance in Gaussian windows,
    averaged over the windows that lie inside the image; ``c = (k data_range)^2``.

    Parameters
    ----------
    input, target : Tensor, shape (N, C, H, W) or (N, C, D, H, W)
    data_range : float
        The largest possible value less the smallest.
    window_size : int
        Odd.
    sigma : float
        Of the Gaussian, in pixels; 0 for a box.
    k1, k2 : float
        Of the constants, which keep quotients of small numbers finite.
    reduction : {"mean", "sum", "none"}
        "none" gives one number an image, (N,).

    Notes
    -----
    Equals ``skimage.metrics.structural_similarity(..., gaussian_weights=True, use_sample_covariance=False)`` in the interior that it
    averages over. Variances are differences of means of squares: for images whose mean is large beside their contrast use float64.

    References
    ----------
    .. [1] Z. Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE Trans. Image Processing 13, 2004.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.rand(1, 1, 16, 16)
    >>> round(nx.nn.functional.ssim(x, x).item(), 6)
    1.0
    """
    op = "ssim"
    how = reduction_of(op, reduction, None, None)
    x, y, span = _pair(op, input, target, data_range, integer(op, "window_size", window_size, 1))
    maps, _ = _maps(x, y, _window(op, window_size, sigma, x), span, k1, k2)
    each = ops.mean(maps.reshape(x.shape[0], -1), 1)
    return reduced_as(each, how)


def ms_ssim(
    input: Any,
    target: Any,
    data_range: float = 1.0,
    *,
    weights: Any = MS_WEIGHTS,
    window_size: int = 11,
    sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
    reduction: str = "mean",
) -> Tensor:
    """Structural similarity over scales: a weighted product of contrast and structure at each, and of the whole at the coarsest.

    Parameters
    ----------
    weights : sequence of float
        Exponents, finest scale first; between scales images are averaged 2x2 (an odd last row or column is dropped).
    input, target, data_range, window_size, sigma, k1, k2, reduction
        As in :func:`ssim`.

    Raises
    ------
    ArgumentError
        If a weight is negative.
    ShapeError
        If there are too few pixels for the scales.

    Notes
    -----
    Each factor is taken for every channel; one that is not above 1e-6 counts as 1e-6, since a negative one has no power. With 5 scales
    and windows of 11 images need 176 pixels along each axis.

    References
    ----------
    .. [1] Z. Wang et al., "Multiscale structural similarity for image quality assessment", Asilomar Conference 2003.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.rand(1, 1, 48, 48)
    >>> round(nx.nn.functional.ms_ssim(x, x, weights=(0.5, 0.3, 0.2)).item(), 6)
    1.0
    """
    op = "ms_ssim"
    how, powers = reduction_of(op, reduction, None, None), [float(w) for w in weights]
    if not powers or not all(0 <= w < math.inf for w in powers):
        raise ArgumentError(f"{op}: expected weights of at least 0, got {weights!r}; pass e.g. {MS_WEIGHTS}")
    x, y, span = _pair(op, input, target, data_range, integer(op, "window_size", window_size, 1))
    least = window_size * 2 ** (len(powers) - 1)
    if min(x.shape[2:]) < least:
        raise ShapeError(
            f"{op}: expected at least {least} pixels along each axis for {len(powers)} scales, got {x.shape}; pass fewer weights"
        )
    window, total = _window(op, window_size, sigma, x), None
    for scale, power in enumerate(powers):
        last = scale == len(powers) - 1
        maps = _maps(x, y, window, span, k1, k2)[0 if last else 1]
        factor = ops.pow(ops.clamp(ops.mean(maps.reshape(x.shape[0] * x.shape[1], -1), 1), min=1e-6), power)
        total = factor if total is None else total * factor
        if not last:
            x, y = _halved(x), _halved(y)
    assert total is not None
    each = ops.mean(total.reshape(x.shape[0], -1), 1)
    return reduced_as(each, how)


def _halved(x: Tensor) -> Tensor:
    return ops.avg_pool3d(x, 2) if x.ndim == 5 else ops.avg_pool2d(x, 2)
