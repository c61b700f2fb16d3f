"""How well a segmentation agrees with the truth, and the simple methods a network has to beat.

Everything here is on masks and labels of one image, (H, W), as NumPy arrays or tensors, and gives Python numbers or NumPy arrays.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from neurenix import backend
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.tensor import Tensor

Mask: TypeAlias = np.ndarray[Any, Any]


def iou(prediction: Any, truth: Any) -> float:
    """Intersection over union (Jaccard index) of two masks; 1 where both are empty.

    Parameters
    ----------
    prediction, truth : array or Tensor, one shape
        Bool; or floats, of which those above 0.5 count; or integers, of which those above 0 count.

    Raises
    ------
    ShapeError
        If the shapes differ.

    Examples
    --------
    >>> from neurenix.metrics import iou
    >>> iou([[True, True, False]], [[False, True, True]])
    0.3333333333333333
    """
    a, b = _masks("iou", prediction, truth)
    union = np.count_nonzero(a | b)
    return float(np.count_nonzero(a & b) / union) if union else 1.0


def dice(prediction: Any, truth: Any) -> float:
    """Dice coefficient (F1 score) of two masks, taken as :func:`iou` takes them; 1 where both are empty.

    Examples
    --------
    >>> from neurenix.metrics import dice
    >>> dice([[True, True, False]], [[False, True, True]])
    0.5
    """
    a, b = _masks("dice", prediction, truth)
    total = np.count_nonzero(a) + np.count_nonzero(b)
    return float(2 * np.count_nonzero(a & b) / total) if total else 1.0


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
    order = np.argsort(values.ravel(), kind="stable")[::-1]
    ranked, hits = values.ravel()[order], np.cumsum(mask.ravel()[order])
    scores = hits / (np.arange(1, ranked.size + 1) + np.count_nonzero(mask) - hits)
    last = np.flatnonzero(ranked[1:] != ranked[:-1])  # the last pixel of each value but the smallest
    if not last.size:
        raise ArgumentError("best_threshold: expected an image of at least two values, got one; there is nothing to separate")
    best = last[np.argmax(scores[last])]
    return float(ranked[best + 1]), float(scores[best])


def panoptic_quality(prediction: Any, truth: Any) -> float:
    """Panoptic quality of labelled objects: the mean IoU of the matched ones, times their F1 score.

    A predicted and a true object match where their IoU is above one half; there can be one such partner only.

    Parameters
    ----------
    prediction, truth : integer array or Tensor, one shape
        0 is background, every other number an object.

    References
    ----------
    .. [1] A. Kirillov et al., "Panoptic segmentation", CVPR 2019.

    Examples
    --------
    >>> from neurenix.metrics import panoptic_quality
    >>> panoptic_quality([[1, 1, 0, 2]], [[5, 5, 0, 0]])  # one match of IoU 1, one object too many
    0.6666666666666666
    """
    a, b = _labels("panoptic_quality", prediction), _labels("panoptic_quality", truth)
    if a.shape != b.shape:
        raise ShapeError(f"panoptic_quality: expected one shape, got {a.shape} and {b.shape}; label the same image")
    (a, sizes_a), (b, sizes_b) = _numbered(a), _numbered(b)
    both = np.zeros((len(sizes_a), len(sizes_b)), np.int64)
    np.add.at(both, (a.ravel(), b.ravel()), 1)
    overlap = both[1:, 1:]
    found = overlap / np.maximum(sizes_a[1:, None] + sizes_b[None, 1:] - overlap, 1)
    matches = found[found > 0.5]
    objects = len(sizes_a) + len(sizes_b) - 2
    return float(2 * matches.sum() / objects) if objects else 1.0


def as_mask(values: Mask) -> Mask:
    """What counts as foreground: bools as they are, floats above 0.5, integers above 0."""
    return values if values.dtype.kind == "b" else values > (0.5 if values.dtype.kind == "f" else 0)


def host(value: Any, owner: str) -> Mask:
    """``value`` as a NumPy array of numbers."""
    value = value._array if isinstance(value, Tensor) else value
    array = backend.to_numpy(value) if backend.is_array(value) else np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise DTypeError(f"{owner}: expected an array of numbers, got {array.dtype}; pass a NumPy array or a Tensor")
    return array


def _masks(owner: str, prediction: Any, truth: Any) -> tuple[Mask, Mask]:
    a, b = as_mask(host(prediction, owner)), as_mask(host(truth, owner))
    if a.shape != b.shape:
        raise ShapeError(f"{owner}: expected masks of one shape, got {a.shape} and {b.shape}; squeeze or crop one of them")
    return a, b


def _labels(owner: str, labels: Any) -> Mask:
    array = host(labels, owner)
    if array.dtype.kind not in "biu":
        raise DTypeError(f"{owner}: expected integer labels, got {array.dtype}; use neurenix.labelling.connected_components(mask)")
    return array


def _numbered(labels: Mask) -> tuple[Mask, Mask]:
    """Labels as 0 (background), 1, 2, ... without gaps, and the pixels of each, the background first."""
    values, numbers = np.unique(labels, return_inverse=True)
    numbers = numbers.reshape(labels.shape) + (0 if 0 in values else 1)
    if 0 in values:  # unsigned or all positive: the background is the first value
        position = int(np.flatnonzero(values == 0)[0])
        numbers = np.where(numbers == position, 0, np.where(numbers < position, numbers + 1, numbers))
    return numbers, np.bincount(numbers.ravel(), minlength=int(numbers.max(initial=0)) + 1)


def _histogram(values: Mask, bins: int) -> tuple[Mask, Mask]:
    if values.dtype.kind in "biu":
        centres, counts = np.unique(values, return_counts=True)
        return counts.astype(np.float64), centres.astype(np.float64)
    counts, edges = np.histogram(values, bins)
    return counts.astype(np.float64), (edges[1:] + edges[:-1]) / 2
