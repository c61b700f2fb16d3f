"""The simple methods that a network has to beat: thresholds."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurenix.errors import ArgumentError, ShapeError
from neurenix.metrics._inputs import Mask, as_mask, host


def otsu_threshold(image: Any, bins: int = 256) -> float:
    """The threshold that separates an image's values into the two most distinct groups (Otsu); foreground is above it.

    Parameters
    ----------
    image : array or Tensor
        Integers are counted value by value, floats in ``bins`` intervals.

    References
    ----------
    .. [1] N. Otsu, "A threshold selection method from gray-level histograms", IEEE Trans. SMC 9, 1979.

    Examples
    --------
    >>> from neurenix.metrics import otsu_threshold
    >>> otsu_threshold([10, 11, 12, 200, 201])
    12.0
    """
    if isinstance(bins, bool) or not isinstance(bins, int) or bins < 2:
        raise ArgumentError(f"otsu_threshold: expected bins of at least 2, got {bins!r}; pass e.g. 256")
    values = host(image, "otsu_threshold").ravel()
    if not values.size or not np.isfinite(values).all():
        raise ArgumentError("otsu_threshold: expected finite values, got none or NaN; remove those that are not")
    counts, centres = _histogram(values, bins)
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(centres[np.argmax(np.nan_to_num(between, nan=-1.0))])


def best_threshold(image: Any, truth: Any) -> tuple[float, float]:
    """The threshold whose mask (above it) has the largest :func:`iou` with the truth, and that value.

    With the truth at hand it is the most that any single threshold can reach.

    Examples
    --------
    >>> from neurenix.metrics import best_threshold
    >>> best_threshold([1, 2, 3, 4], [False, True, False, True])
    (1.0, 0.6666666666666666)
    """
    values = host(image, "best_threshold")
    mask = as_mask(host(truth, "best_threshold"))
    if values.shape != mask.shape:
        raise ShapeError(f"best_threshold: expected one shape, got {values.shape} and {mask.shape}; pass the image's own mask")
    if np.isnan(values).any():
        raise ArgumentError("best_threshold: expected values that can be ranked, got NaN; remove those pixels from both")
    order = np.argsort(values.ravel(), kind="stable")[::-1]
    ranked, hits = values.ravel()[order], np.cumsum(mask.ravel()[order])
    scores = hits / (np.arange(1, ranked.size + 1) + np.count_nonzero(mask) - hits)
    last = np.flatnonzero(ranked[1:] != ranked[:-1])  # the last pixel of each value but the smallest
    if not last.size:
        raise ArgumentError("best_threshold: expected an image of at least two values, got one; there is nothing to separate")
    best = last[np.argmax(scores[last])]
    return float(ranked[best + 1]), float(scores[best])


def _histogram(values: Mask, bins: int) -> tuple[Mask, Mask]:
    if values.dtype.kind in "biu":
        centres, counts = np.unique(values, return_counts=True)
        return counts.astype(np.float64), centres.astype(np.float64)
    counts, edges = np.histogram(values, bins)
    return counts.astype(np.float64), (edges[1:] + edges[:-1]) / 2
