"""How well two partitions of an image agree, whatever the numbers of their segments: Rand's and information's measures."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np

from neurenix.errors import ArgumentError
from neurenix.metrics._inputs import Mask, chosen, ignored, kept_pixels, numbered, one_by_one, same_shape, whole_labels
from neurenix.metrics._metric import Metric, mean


def pair_counts(prediction: Mask, target: Mask) -> tuple[Mask, Mask, Mask]:
    """How many pixels each occurring pair of labels has, and each label of the prediction, and of the target."""
    (_, p, of_prediction), (_, t, of_target) = numbered(prediction), numbered(target)
    both = numbered(t * max(len(of_prediction), 1) + p)[2]
    return both, of_prediction, of_target


def _sum_of_squares(counts: Mask) -> int:
    """Pairs of different pixels of one segment, in order: exact for any size."""
    wide = counts.astype(object) if int(counts.sum()) > 1 << 31 else counts.astype(np.int64)
    return int(np.dot(wide, wide)) - int(counts.sum()) if counts.size else 0


def _pixels(op: str, prediction: Any, target: Any, mask: Any, ignore: tuple[int, ...]) -> tuple[Mask, Mask]:
    p, t = whole_labels(op, prediction), whole_labels(op, target)
    same_shape(op, p, t)
    kept = kept_pixels(op, t, mask, None)
    if ignore:
        counted = ~np.isin(t, ignore)
        kept = counted if kept is None else kept & counted
    return (p, t) if kept is None else (p[kept], t[kept])


def _rand_sums(op: str, prediction: Any, target: Any, mask: Any, ignore: tuple[int, ...]) -> tuple[int, int, int]:
    both, of_prediction, of_target = pair_counts(*_pixels(op, prediction, target, mask, ignore))
    return _sum_of_squares(both), _sum_of_squares(of_prediction), _sum_of_squares(of_target)


def _rand_error(both: int, of_prediction: int, of_target: int, alpha: float) -> tuple[float, float, float]:
    """Error, precision, recall; where nothing can be paired, both partitions are single pixels and agree."""

    def over(whole: float) -> float:
        return both / whole if whole else 1.0

    return 1.0 - over(alpha * of_prediction + (1 - alpha) * of_target), over(of_prediction), over(of_target)


def adapted_rand_error(
    prediction: Any, target: Any, *, ignore_labels: Any = (0,), alpha: float = 0.5, mask: Any = None
) -> tuple[float, float, float]:
    """Adapted Rand error of a segmentation, by which membranes are scored (SNEMI3D, ISBI 2012): 0 is best.

    Of all pairs of pixels that one partition puts into one segment, precision and recall say how many the other does too; the error is one
    minus their harmonic mean.

    Parameters
    ----------
    prediction, target : integer array or Tensor, one shape
        Numbers of segments of one image or volume.
    ignore_labels : sequence of int
        Labels of the target whose pixels do not count: the membranes themselves, 0 by default.
    alpha : float
        Weight of precision in the mean, in [0, 1].
    mask : bool array, optional
        Where pixels count.

    Returns
    -------
    error, precision, recall : float
        Precision is of the pairs within segments of the prediction, recall of those of the target. ``skimage.metrics.adapted_rand_error(target,
        prediction)`` has the two the other way round (0.26): in what it returns, and in what its ``alpha`` weights, which is
        ``1 - alpha`` here. Where there are no pairs, since every segment is a single pixel, nothing is wrong: 0, 1, 1.

    References
    ----------
    .. [1] I. Arganda-Carreras et al., "Crowdsourcing the creation of image segmentation algorithms for connectomics", Front. Neuroanat. 9, 2015.

    Examples
    --------
    >>> from neurenix.metrics import adapted_rand_error
    >>> adapted_rand_error([[1, 1, 2, 2]], [[1, 1, 1, 1]])  # one segment cut in two
    (0.5, 1.0, 0.3333333333333333)
    """
    ignore = ignored("adapted_rand_error", ignore_labels)
    both, of_prediction, of_target = _rand_sums("adapted_rand_error", prediction, target, mask, ignore)
    return _rand_error(both, of_prediction, of_target, _alpha(alpha))


def _alpha(alpha: float) -> float:
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 <= alpha <= 1:
        raise ArgumentError(f"adapted_rand_error: expected alpha in [0, 1], got {alpha!r}; pass e.g. 0.5")
    return float(alpha)


class AdaptedRandError(Metric):
    """:func:`adapted_rand_error` over batches of images.

    Parameters
    ----------
    ignore_labels, alpha
        As for the function.
    average : {"images", "pairs"}
        The mean over images, or one error of the pairs of all images together.

    Examples
    --------
    >>> from neurenix.metrics import AdaptedRandError
    >>> error = AdaptedRandError()
    >>> error.update([[[1, 1, 2, 2]]], [[[1, 1, 1, 1]]]).update([[[3, 3]]], [[[7, 7]]]).compute()
    0.25
    """

    def __init__(self, *, ignore_labels: Any = (0,), alpha: float = 0.5, average: str = "images") -> None:
        self.ignore_labels, self.alpha = ignored("AdaptedRandError", ignore_labels), _alpha(alpha)
        self.average = chosen("AdaptedRandError", "average", average, ("images", "pairs"))
        self.reset()

    def _nothing(self) -> dict[str, Any]:
        return {"sums": []}

    def update(self, prediction: Any, target: Any, mask: Any = None) -> Self:
        """Take in segments (N, ...) of predictions and truths."""
        op = "AdaptedRandError"
        images = one_by_one(op, whole_labels(op, prediction), whole_labels(op, target), mask)
        self._state["sums"] += [_rand_sums(op, *image, self.ignore_labels) for image in images]
        return self

    def scores(self) -> tuple[float, float, float]:
        """Error, precision and recall.

        Examples
        --------
        >>> from neurenix.metrics import AdaptedRandError
        >>> error = AdaptedRandError().update([[[1, 1, 1, 1]]], [[[1, 1, 2, 2]]])  # two segments run together
        >>> [round(score, 4) for score in error.scores()]
        [0.5, 0.3333, 1.0]
        """
        sums = self._state["sums"]
        if self.average == "pairs":
            both, p, t = (sum(s[i] for s in sums) for i in range(3))
            return _rand_error(both, p, t, self.alpha)
        single = [_rand_error(both, p, t, self.alpha) for both, p, t in sums]
        error, precision, recall = (mean(s[i] for s in single) for i in range(3))
        return error, precision, recall

    def compute(self) -> float:
        """The error; NaN before the first image."""
        return self.scores()[0] if self._state["sums"] else math.nan


def _conditional_entropies(both: Mask, of_prediction: Mask, of_target: Mask) -> tuple[float, float]:
    def entropy(counts: Mask) -> float:
        share = counts / counts.sum()
        return -math.fsum(share * np.log2(share)) + 0.0

    if not both.size:
        return 0.0, 0.0
    joint = entropy(both)
    return max(joint - entropy(of_target), 0.0), max(joint - entropy(of_prediction), 0.0)


def variation_of_information(prediction: Any, target: Any, *, ignore_labels: Any = (), mask: Any = None) -> tuple[float, float]:
    """Variation of information of two partitions, as its two halves in bits: 0 is best, their sum is the distance.

    Parameters
    ----------
    prediction, target : integer array or Tensor, one shape
    ignore_labels : sequence of int
        Labels of the target whose pixels do not count.
    mask : bool array, optional
        Where pixels count.

    Returns
    -------
    split, merged : float
        The entropy of the prediction given the target, which segments cut in pieces raise, and of the target given the prediction, which
        segments run together raise: as ``skimage.metrics.variation_of_information(target, prediction)`` orders them.

    References
    ----------
    .. [1] M. Meila, "Comparing clusterings: an information based distance", J. Multivariate Analysis 98, 2007.

    Examples
    --------
    >>> from neurenix.metrics import variation_of_information
    >>> variation_of_information([[1, 1, 2, 2]], [[1, 1, 1, 1]])
    (1.0, 0.0)
    """
    ignore = ignored("variation_of_information", ignore_labels)
    return _conditional_entropies(*pair_counts(*_pixels("variation_of_information", prediction, target, mask, ignore)))


class VariationOfInformation(Metric):
    """:func:`variation_of_information` over batches of images: the mean of the two halves' sum.

    Parameters
    ----------
    ignore_labels : sequence of int

    Examples
    --------
    >>> from neurenix.metrics import VariationOfInformation
    >>> VariationOfInformation().update([[[1, 1, 2, 2]]], [[[1, 1, 1, 1]]]).compute()
    1.0
    """

    def __init__(self, *, ignore_labels: Any = ()) -> None:
        self.ignore_labels = ignored("VariationOfInformation", ignore_labels)
        self.reset()

    def _nothing(self) -> dict[str, Any]:
        return {"halves": []}

    def update(self, prediction: Any, target: Any, mask: Any = None) -> Self:
        """Take in segments (N, ...) of predictions and truths."""
        op = "VariationOfInformation"
        images = one_by_one(op, whole_labels(op, prediction), whole_labels(op, target), mask)
        self._state["halves"] += [_conditional_entropies(*pair_counts(*_pixels(op, *image, self.ignore_labels))) for image in images]
        return self

    def scores(self) -> tuple[float, float]:
        """The means of the two halves, in bits: what was split, what was merged.

        Examples
        --------
        >>> from neurenix.metrics import VariationOfInformation
        >>> VariationOfInformation().update([[[1, 1, 1, 1]]], [[[1, 1, 2, 2]]]).scores()  # two segments run together
        (0.0, 1.0)
        """
        return mean(h[0] for h in self._state["halves"]), mean(h[1] for h in self._state["halves"])

    def compute(self) -> float:
        """The mean distance in bits; NaN before the first image."""
        return sum(self.scores())
