"""How much an image looks like another: signal to noise, structural similarity."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np

from neurenix.autograd import no_grad
from neurenix.errors import ArgumentError, ShapeError
from neurenix.metrics._inputs import Mask, host, kept_pixels, one_by_one, same_shape
from neurenix.metrics._metric import Metric, mean
from neurenix.ops.ssim import ssim as _ssim


def _range(op: str, data_range: float) -> float:
    if isinstance(data_range, bool) or not isinstance(data_range, int | float) or not 0 < data_range < math.inf:
        raise ArgumentError(f"{op}: expected data_range above 0, got {data_range!r}; pass the largest value less the smallest, e.g. 255")
    return float(data_range)


def psnr(prediction: Any, target: Any, data_range: float = 1.0, *, mask: Any = None) -> float:
    """Peak signal-to-noise ratio in decibels, ``10 log10(data_range^2 / mean squared error)``; infinity where they are equal.

    Parameters
    ----------
    prediction, target : array or Tensor, one shape
    data_range : float
        The largest possible value less the smallest: 1, 255, 65535.
    mask : bool array, optional
        Where pixels count; where the target is NaN they never do.

    Raises
    ------
    ShapeError
        If the shapes differ.
    ArgumentError
        If ``data_range`` is not above 0.

    Examples
    --------
    >>> from neurenix.metrics import psnr
    >>> psnr([0.5, 0.5], [0.6, 0.4])
    20.0
    """
    p, t = host(prediction, "psnr"), host(target, "psnr")
    same_shape("psnr", p, t)
    span, kept = _range("psnr", data_range), kept_pixels("psnr", t, mask, None)
    error = (p.astype(np.float64) - t.astype(np.float64)) ** 2
    error = error if kept is None else error[kept]
    if not error.size:
        return math.nan
    worst = float(error.mean())
    if worst == math.inf:
        return -math.inf
    return 10 * math.log10(span**2 / worst) if worst else math.inf


def structural_similarity(prediction: Any, target: Any, data_range: float = 1.0, *, window_size: int = 11, sigma: float = 1.5) -> float:
    """Structural similarity of two images (H, W) or (C, H, W); see :func:`neurenix.nn.functional.ssim`.

    Computed in double. Channels are averaged.

    Parameters
    ----------
    prediction, target : array or Tensor, one shape (H, W) or (C, H, W)
    data_range : float
        The largest possible value less the smallest: 1, 255, 65535.
    window_size, sigma
        Of the Gaussian window, in pixels.

    Raises
    ------
    ShapeError
        If the shapes differ, or are not those of one image.

    References
    ----------
    .. [1] Z. Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE Trans. Image Processing 13, 2004.

    Examples
    --------
    >>> import numpy as np
    >>> from neurenix.metrics import structural_similarity
    >>> image = np.random.default_rng(0).random((32, 32))
    >>> round(structural_similarity(image, image), 6)
    1.0
    """
    op = "structural_similarity"
    p, t = host(prediction, op), host(target, op)
    same_shape(op, p, t)
    if p.ndim not in (2, 3):
        raise ShapeError(f"{op}: expected (H, W) or (C, H, W), got {p.shape}; pass one image")
    return _each(p[(None,) * (4 - p.ndim)], t[(None,) * (4 - t.ndim)], data_range, window_size, sigma)[0]


def _each(p: Mask, t: Mask, data_range: float, window_size: int, sigma: float) -> list[float]:
    with no_grad():
        given = p.astype(np.float64), t.astype(np.float64), _range("structural_similarity", data_range)
        found: list[float] = _ssim(*given, window_size=window_size, sigma=sigma, reduction="none").tolist()
    return found


class PSNR(Metric):
    """:func:`psnr` over batches: the mean of single images' ratios.

    Parameters
    ----------
    data_range : float

    Examples
    --------
    >>> from neurenix.metrics import PSNR
    >>> PSNR().update([[0.5, 0.5]], [[0.6, 0.4]]).compute()
    20.0
    """

    def __init__(self, data_range: float = 1.0) -> None:
        self.data_range = _range("PSNR", data_range)
        self.reset()

    def _nothing(self) -> dict[str, Any]:
        return {"values": []}

    def update(self, prediction: Any, target: Any, mask: Any = None) -> Self:
        """Take in images (N, ...)."""
        images = one_by_one("PSNR", host(prediction, "PSNR"), host(target, "PSNR"), mask)
        self._state["values"] += [psnr(p, t, self.data_range, mask=kept) for p, t, kept in images]
        return self

    def compute(self) -> float:
        """The mean; NaN before the first image."""
        return mean(self._state["values"])


class SSIM(Metric):
    """:func:`structural_similarity` over batches (N, C, H, W) or (N, C, D, H, W): the mean of single images.

    Parameters
    ----------
    data_range : float
    window_size, sigma
        As for :func:`neurenix.nn.functional.ssim`.

    References
    ----------
    .. [1] Z. Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE Trans. Image Processing 13, 2004.

    Examples
    --------
    >>> import numpy as np
    >>> from neurenix.metrics import SSIM
    >>> images = np.random.default_rng(0).random((2, 1, 32, 32))
    >>> score = SSIM(data_range=1.0).update(images, images)
    >>> round(score.compute(), 6), score.update(images, 0.5 * images).compute() < 1.0
    (1.0, True)
    """

    def __init__(self, data_range: float = 1.0, *, window_size: int = 11, sigma: float = 1.5) -> None:
        self.data_range, self.window_size, self.sigma = _range("SSIM", data_range), window_size, sigma
        self.reset()

    def _nothing(self) -> dict[str, Any]:
        return {"values": []}

    def update(self, prediction: Any, target: Any) -> Self:
        """Take in images (N, C, ...)."""
        p, t = host(prediction, "SSIM"), host(target, "SSIM")
        same_shape("SSIM", p, t)
        self._state["values"] += _each(p, t, self.data_range, self.window_size, self.sigma)
        return self

    def compute(self) -> float:
        """The mean; NaN before the first image."""
        return mean(self._state["values"])
