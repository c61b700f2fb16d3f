"""Agreement pixel by pixel, from a confusion matrix: overlap, accuracy, precision, recall."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, Self

import numpy as np

from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.metrics._inputs import Mask, as_mask, check_classes, chosen, host, kept_pixels, number
from neurenix.metrics._metric import Metric, mean, ratio

AVERAGES = ("macro", "micro", "weighted", "none")


def classes_of(owner: str, prediction: Any, target: Any, num_classes: int, threshold: float) -> tuple[Mask, Mask]:
    """Class numbers of predictions and targets, of one shape; for one class 1 where it is and 0 elsewhere."""
    p, t = host(prediction, owner), host(target, owner)
    if num_classes == 1:
        if p.shape != t.shape:
            raise ShapeError(f"{owner}: expected masks of one shape, got {p.shape} and {t.shape}; squeeze or crop one of them")
        return (p > threshold if p.dtype.kind == "f" else as_mask(p)), as_mask(t)
    if t.dtype.kind == "f":
        raise DTypeError(f"{owner}: expected class numbers as the target, got {t.dtype}; convert them to integers")
    if p.dtype.kind == "f":
        if p.ndim != t.ndim + 1 or p.shape[:1] + p.shape[2:] != t.shape or p.shape[1] != num_classes:
            raise ShapeError(
                f"{owner}: expected scores (N, {num_classes}, ...) for a target (N, ...), got {p.shape} and {t.shape}; or labels"
            )
        return p.argmax(1), t
    if p.shape != t.shape:
        raise ShapeError(f"{owner}: expected labels of one shape, got {p.shape} and {t.shape}; squeeze or crop one of them")
    return p, t


def _counted(owner: str, prediction: Any, target: Any, num_classes: int, threshold: float, mask: Any, ignore: float | None) -> Mask:
    """The confusion matrix: a row each true class, a column each predicted one."""
    p, t = classes_of(owner, prediction, target, num_classes, threshold)
    kept = kept_pixels(owner, host(target, owner), mask, ignore)
    n = max(num_classes, 2)
    p, t = (p.ravel(), t.ravel()) if kept is None else (p[kept], t[kept])
    for name, labels in (("prediction", p), ("target", t)):
        check_classes(owner, name, labels, n)
    return np.bincount(t.astype(np.int64) * n + p.astype(np.int64), minlength=n * n).reshape(n, n)


class ConfusionMatrix(Metric):
    """How many pixels of each true class (rows) were predicted as each class (columns).

    Parameters
    ----------
    num_classes : int
        1 for masks, whose matrix is 2 x 2, background first.
    threshold : float
        Floats above it are foreground, in predictions for one class: 0.5 for probabilities, 0 for logits.
    ignore_index : number, optional
        Value of the target where a pixel does not count. Where a float target is NaN it never does.

    Notes
    -----
    Predictions are labels or masks of the target's shape, or floats: for one class of the target's shape, else scores
    (N, num_classes, ...), logits or probabilities, of which the largest counts.

    Examples
    --------
    >>> from neurenix.metrics import ConfusionMatrix
    >>> ConfusionMatrix(2).update([0, 1, 1], [0, 0, 1]).compute()
    array([[1, 1],
           [0, 1]])
    """

    def __init__(self, num_classes: int = 1, *, threshold: float = 0.5, ignore_index: float | None = None) -> None:
        if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1:
            raise ArgumentError(f"{type(self).__name__}: expected num_classes of at least 1, got {num_classes!r}; pass 1 for masks")
        self.num_classes, self.threshold, self.ignore_index = num_classes, number(type(self).__name__, "threshold", threshold), ignore_index
        self.reset()

    def _nothing(self) -> dict[str, Any]:
        n = max(self.num_classes, 2)
        return {"counts": np.zeros((n, n), np.int64)}

    def update(self, prediction: Any, target: Any, mask: Any = None) -> Self:
        """Take in predictions and targets; only where ``mask`` is true."""
        settings = self.num_classes, self.threshold, mask, self.ignore_index
        self._state["counts"] = self._state["counts"] + _counted(type(self).__name__, prediction, target, *settings)
        return self

    def compute(self) -> Any:
        """The counts (rows are true classes)."""
        return self._state["counts"].copy()


class _Score(ConfusionMatrix):
    """A quotient of counts for each class, and its average.

    Parameters
    ----------
    num_classes : int
        1 for masks: the score of the foreground.
    average : {"macro", "micro", "weighted", "none"}
        For several classes: their mean, one score of all counts together, the mean weighted by how often a class is true, or an array.
    empty : float
        The score of a class for which there is nothing to divide by. NaN leaves the mean.
    threshold, ignore_index
        As for :class:`ConfusionMatrix`.
    """

    def __init__(
        self,
        num_classes: int = 1,
        *,
        average: str = "macro",
        empty: float = math.nan,
        threshold: float = 0.5,
        ignore_index: float | None = None,
    ) -> None:
        self.average, self.empty = chosen(type(self).__name__, "average", average, AVERAGES), number(type(self).__name__, "empty", empty)
        super().__init__(num_classes, threshold=threshold, ignore_index=ignore_index)

    @abstractmethod
    def _quotient(self, tp: Any, fp: Any, fn: Any) -> tuple[Any, Any]:
        """What is divided by what, of each class."""

    def compute(self) -> Any:
        """The score; with average "none" an array (num_classes,)."""
        counts = self._state["counts"]
        tp, predicted, true = counts.diagonal(), counts.sum(0), counts.sum(1)
        if self.num_classes == 1:
            tp, predicted, true = tp[1:], predicted[1:], true[1:]
        elif self.average == "micro":
            tp, predicted, true = tp.sum(keepdims=True), predicted.sum(keepdims=True), true.sum(keepdims=True)
        scores = ratio(*self._quotient(tp, predicted - tp, true - tp))
        scores = np.where(np.isnan(scores), self.empty, scores)
        if len(scores) == 1:
            return float(scores[0])
        if self.average == "weighted":
            held = ~np.isnan(scores)
            return float(ratio(np.dot(scores[held], true[held]), true[held].sum()))
        return scores if self.average == "none" else mean(scores.tolist())


class IoU(_Score):
    """Intersection over union (Jaccard index), ``TP / (TP + FP + FN)``, of each class.

    See :class:`ConfusionMatrix` for what is taken. A class that is neither true nor predicted anywhere has NaN and leaves the mean; of
    masks (``num_classes=1``) that are empty on both sides it is 1.

    Parameters
    ----------
    num_classes : int
        1 for masks: the score of the foreground.
    average : {"macro", "micro", "weighted", "none"}
    empty : float, optional
        What a class has that is neither true nor predicted.
    threshold : float
    ignore_index : number, optional

    Examples
    --------
    >>> from neurenix.metrics import IoU
    >>> score = IoU(3).update([0, 1, 1], [0, 0, 1])
    >>> score.compute()  # of classes 0 and 1; class 2 does not occur
    0.5
    """

    def __init__(self, num_classes: int = 1, *, average: str = "macro", empty: float | None = None, **settings: Any) -> None:
        nothing = (1.0 if num_classes == 1 else math.nan) if empty is None else empty
        super().__init__(num_classes, average=average, empty=nothing, **settings)

    def _quotient(self, tp: Any, fp: Any, fn: Any) -> tuple[Any, Any]:
        return tp, tp + fp + fn


class Dice(IoU):
    """Dice's coefficient (F1), ``2 TP / (2 TP + FP + FN)``, of each class; settings as :class:`IoU`.

    Examples
    --------
    >>> from neurenix.metrics import Dice
    >>> Dice().update([True, True, False], [False, True, True]).compute()
    0.5
    """

    def _quotient(self, tp: Any, fp: Any, fn: Any) -> tuple[Any, Any]:
        return 2 * tp, 2 * tp + fp + fn


class Precision(_Score):
    """``TP / (TP + FP)``: how much of what was predicted is true; NaN for a class that was never predicted, unless ``empty`` says else.

    Settings as :class:`IoU`.

    Examples
    --------
    >>> from neurenix.metrics import Precision
    >>> Precision().update([True, True, True, False], [True, False, False, False]).compute()  # one of three is true
    0.3333333333333333
    >>> Precision(3, average="none").update([0, 1, 1], [0, 1, 0]).compute()  # class 2 was never predicted
    array([1. , 0.5, nan])
    """

    def _quotient(self, tp: Any, fp: Any, fn: Any) -> tuple[Any, Any]:  # noqa: ARG002
        return tp, tp + fp


class Recall(_Score):
    """``TP / (TP + FN)``: how much of what is true was predicted; NaN for a class that is never true, unless ``empty`` says else.

    With average "macro" it is balanced accuracy. Settings as :class:`IoU`.

    Examples
    --------
    >>> from neurenix.metrics import Recall
    >>> Recall().update([True, False, False], [True, True, False]).compute()  # one of two was found
    0.5
    >>> Recall(2).update([0, 0, 0, 0], [0, 0, 0, 1]).compute()  # balanced accuracy of never finding class 1
    0.5
    """

    def _quotient(self, tp: Any, fp: Any, fn: Any) -> tuple[Any, Any]:  # noqa: ARG002
        return tp, tp + fn


class FScore(_Score):
    """``(1 + b^2) TP / ((1 + b^2) TP + b^2 FN + FP)``: recall counts ``b`` times as much as precision.

    Parameters
    ----------
    num_classes : int
    beta : float
    average, empty, threshold, ignore_index
        As for :class:`IoU`.

    Raises
    ------
    ArgumentError
        If ``beta`` is not above 0.

    References
    ----------
    .. [1] C. van Rijsbergen, "Information retrieval", 2nd ed., Butterworths, 1979.

    Examples
    --------
    >>> from neurenix.metrics import FScore
    >>> prediction, target = [True, False, False, False], [True, True, True, False]  # precision 1, recall 1 / 3
    >>> [round(FScore(beta=b).update(prediction, target).compute(), 4) for b in (0.5, 1.0, 2.0)]
    [0.7143, 0.5, 0.3846]
    """

    def __init__(self, num_classes: int = 1, beta: float = 1.0, **settings: Any) -> None:
        if isinstance(beta, bool) or not isinstance(beta, int | float) or not 0 < beta < math.inf:
            raise ArgumentError(f"FScore: expected beta above 0, got {beta!r}; pass e.g. 1.0")
        self.beta = float(beta)
        super().__init__(num_classes, **settings)

    def _quotient(self, tp: Any, fp: Any, fn: Any) -> tuple[Any, Any]:
        square = self.beta**2
        return (1 + square) * tp, (1 + square) * tp + square * fn + fp


class PixelAccuracy(ConfusionMatrix):
    """The share of pixels whose class is right; settings as :class:`ConfusionMatrix`. NaN before the first pixel.

    Examples
    --------
    >>> from neurenix.metrics import PixelAccuracy
    >>> PixelAccuracy(3).update([0, 1, 2, 2], [0, 1, 1, 2]).compute()
    0.75
    """

    def compute(self) -> float:
        """The share."""
        counts = self._state["counts"]
        return float(ratio(np.trace(counts), counts.sum()))


def confusion_matrix(
    prediction: Any, target: Any, num_classes: int = 1, *, threshold: float = 0.5, mask: Any = None, ignore_index: float | None = None
) -> Mask:
    """Pixels of each true class (rows) predicted as each class (columns); arguments as :class:`ConfusionMatrix`.

    Examples
    --------
    >>> import numpy as np
    >>> from neurenix.metrics import confusion_matrix
    >>> scores = np.array([[[0.9, 0.2, 0.1], [0.1, 0.8, 0.9]]])  # (N, C, L): two classes at three pixels
    >>> confusion_matrix(scores, np.array([[0, 0, 1]]), 2)
    array([[1, 1],
           [0, 1]])
    """
    found: Mask = ConfusionMatrix(num_classes, threshold=threshold, ignore_index=ignore_index).update(prediction, target, mask).compute()
    return found


def iou(prediction: Any, target: Any, num_classes: int = 1, *, mask: Any = None, **settings: Any) -> Any:
    """Intersection over union (Jaccard index) of two masks, 1 where both are empty; or of each of several classes.

    Parameters
    ----------
    prediction, target : array or Tensor, one shape
        Masks: bool; or floats, of which those above 0.5 count; or integers, of which those above 0 count. With ``num_classes`` class
        numbers, or scores (N, C, ...) as the prediction.
    num_classes : int
        1 for masks.
    mask : bool array, optional
        Where pixels count.
    **settings
        ``average``, ``empty``, ``threshold`` and ``ignore_index`` of :class:`IoU`.

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
    return IoU(num_classes, **settings).update(prediction, target, mask).compute()


def dice(prediction: Any, target: Any, num_classes: int = 1, *, mask: Any = None, **settings: Any) -> Any:
    """Dice coefficient (F1 score) of two masks, taken as :func:`iou` takes them; 1 where both are empty.

    Examples
    --------
    >>> from neurenix.metrics import dice
    >>> dice([[True, True, False]], [[False, True, True]])
    0.5
    """
    return Dice(num_classes, **settings).update(prediction, target, mask).compute()


def precision(prediction: Any, target: Any, num_classes: int = 1, *, mask: Any = None, **settings: Any) -> Any:
    """:class:`Precision` of one prediction; arguments as :func:`iou`.

    Examples
    --------
    >>> from neurenix.metrics import precision
    >>> precision([0.9, 0.8, 0.7, 0.1], [1, 1, 0, 0], threshold=0.75)  # the two above it are true
    1.0
    """
    return Precision(num_classes, **settings).update(prediction, target, mask).compute()


def recall(prediction: Any, target: Any, num_classes: int = 1, *, mask: Any = None, **settings: Any) -> Any:
    """:class:`Recall` of one prediction; arguments as :func:`iou`.

    Examples
    --------
    >>> from neurenix.metrics import recall
    >>> recall([0.9, 0.4, 0.1], [1, 1, 0]), recall([0.9, 0.4, 0.1], [1, 1, 0], threshold=0.3)
    (0.5, 1.0)
    """
    return Recall(num_classes, **settings).update(prediction, target, mask).compute()


def f_score(prediction: Any, target: Any, num_classes: int = 1, beta: float = 1.0, *, mask: Any = None, **settings: Any) -> Any:
    """:class:`FScore` of one prediction; arguments as :func:`iou`.

    Examples
    --------
    >>> from neurenix.metrics import f_score
    >>> f_score([1, 1, 0, 0], [1, 0, 1, 0]), f_score([1, 1, 1, 1], [1, 0, 1, 0], beta=2.0)
    (0.5, 0.8333333333333334)
    """
    return FScore(num_classes, beta, **settings).update(prediction, target, mask).compute()


def pixel_accuracy(prediction: Any, target: Any, num_classes: int = 1, *, mask: Any = None, **settings: Any) -> float:
    """:class:`PixelAccuracy` of one prediction; ``settings`` are ``threshold`` and ``ignore_index``.

    Examples
    --------
    >>> from neurenix.metrics import pixel_accuracy
    >>> pixel_accuracy([0, 1, 2, 2], [0, 1, 1, 255], 3, ignore_index=255)  # two of the three that count
    0.6666666666666666
    """
    return PixelAccuracy(num_classes, **settings).update(prediction, target, mask).compute()
