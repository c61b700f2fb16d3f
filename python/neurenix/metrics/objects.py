"""How well objects were found."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurenix.errors import ShapeError
from neurenix.metrics._inputs import Mask, whole_labels as _labels


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


def _numbered(labels: Mask) -> tuple[Mask, Mask]:
    """Labels as 0 (background), 1, 2, ... without gaps, and the pixels of each, the background first."""
    values, numbers = np.unique(labels, return_inverse=True)
    numbers = numbers.reshape(labels.shape) + (0 if 0 in values else 1)
    if 0 in values:  # unsigned or all positive: the background is the first value
        position = int(np.flatnonzero(values == 0)[0])
        numbers = np.where(numbers == position, 0, np.where(numbers < position, numbers + 1, numbers))
    return numbers, np.bincount(numbers.ravel(), minlength=int(numbers.max(initial=0)) + 1)
