"""Agreement of masks, pixel by pixel."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurenix.errors import ShapeError
from neurenix.metrics._inputs import Mask, as_mask, host


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


def _masks(owner: str, prediction: Any, truth: Any) -> tuple[Mask, Mask]:
    a, b = as_mask(host(prediction, owner)), as_mask(host(truth, owner))
    if a.shape != b.shape:
        raise ShapeError(f"{owner}: expected masks of one shape, got {a.shape} and {b.shape}; squeeze or crop one of them")
    return a, b
