"""How well objects were found: panoptic quality, and matching objects by their overlap."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, NamedTuple, Self

import numpy as np

from neurenix.errors import ArgumentError
from neurenix.metrics._inputs import Mask, chosen, kept_pixels, number, numbered, one_by_one, same_shape, whole_labels
from neurenix.metrics._metric import Metric, mean

DSB_THRESHOLDS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))


class Overlaps(NamedTuple):
    """The pairs of objects that overlap: their numbers, counted from 0, and IoU; how many objects there are on each side."""

    predicted: Mask
    true: Mask
    iou: Mask
    predictions: int
    truths: int


def _objects(labels: Mask) -> tuple[Mask, Mask]:
    """Labels as numbers from 0 for objects and -1 for background, and the pixels of each object."""
    values, numbers, sizes = numbered(labels)
    some = values != 0
    return np.where(some, np.cumsum(some) - 1, -1)[numbers], sizes[some]


def overlaps(owner: str, prediction: Any, target: Any, mask: Any, ignore: float | None) -> Overlaps:
    """Which objects of one image overlap how much.

    Where pixels do not count they belong to no object, and a predicted object of which more than half lies there is not counted.
    """
    p, t = whole_labels(owner, prediction), whole_labels(owner, target)
    same_shape(owner, p, t)
    kept = kept_pixels(owner, t, mask, ignore)
    (pn, p_sizes), dropped = _objects(p), None
    if kept is not None:
        inside = kept.ravel() & (pn >= 0)
        left = np.bincount(pn[inside], minlength=len(p_sizes))
        dropped = 2 * left < p_sizes
        pn = np.where(inside, pn, -1)
        p_sizes, t = left, np.where(kept, t, 0)
    tn, t_sizes = _objects(t)
    both = (pn >= 0) & (tn >= 0)
    pairs, _, counts = numbered(pn[both] * max(len(t_sizes), 1) + tn[both])
    a, b = pairs // max(len(t_sizes), 1), pairs % max(len(t_sizes), 1)
    iou = counts / (p_sizes[a] + t_sizes[b] - counts)
    if dropped is not None:
        held = ~dropped[a]
        a, b, iou = a[held], b[held], iou[held]
    return Overlaps(a, b, iou, len(p_sizes) - (0 if dropped is None else int(dropped.sum())), len(t_sizes))


def matched(found: Overlaps, threshold: float) -> int:
    """The most pairs of IoU of at least ``threshold`` in which no object stands twice: augmenting paths."""
    edges: dict[int, list[int]] = {}
    for a, b, value in zip(found.predicted.tolist(), found.true.tolist(), found.iou.tolist(), strict=True):
        if value >= threshold:
            edges.setdefault(a, []).append(b)
    mate: dict[int, int] = {}  # of a predicted object
    partner: dict[int, int] = {}  # of a true one

    def augment(start: int) -> bool:
        """Find a partner for ``start`` by moving others on, along the shortest way."""
        came: dict[int, int] = {}
        waiting = [start]
        for a in waiting:
            for b in edges[a]:
                if b in came:
                    continue
                came[b] = a
                if b in partner:
                    waiting.append(partner[b])
                    continue
                place: int | None = b
                while place is not None:
                    mover = came[place]
                    before = mate.get(mover)
                    partner[place], mate[mover] = mover, place
                    place = before
                return True
        return False

    return sum(augment(a) for a in sorted(edges))


class PanopticQuality(Metric):
    """Panoptic quality of labelled objects: the mean IoU of the matched ones, times their F1 score.

    A predicted and a true object match where their IoU is above one half; there can be one such partner only. Counts are pooled over all
    images, as the paper has it.

    Parameters
    ----------
    ignore_index : int, optional
        Label of the target's void: its pixels belong to no object, and predicted objects of which more than half lies there do not count.

    References
    ----------
    .. [1] A. Kirillov et al., "Panoptic segmentation", CVPR 2019.

    Examples
    --------
    >>> from neurenix.metrics import PanopticQuality
    >>> PanopticQuality().update([[[1, 1, 0, 2]]], [[[5, 5, 0, 0]]]).compute()
    0.6666666666666666
    """

    def __init__(self, *, ignore_index: int | None = None) -> None:
        self.ignore_index = ignore_index
        self.reset()

    def _nothing(self) -> dict[str, Any]:
        return {"iou": [], "predictions": 0, "truths": 0}

    def update(self, prediction: Any, target: Any, mask: Any = None) -> Self:
        """Take in labels (N, ...) of objects, 0 for background."""
        op = "PanopticQuality"
        images = one_by_one(op, whole_labels(op, prediction), whole_labels(op, target), mask)
        for found in [overlaps(op, *image, self.ignore_index) for image in images]:
            self._add(found)
        return self

    def _add(self, found: Overlaps) -> None:
        self._state["iou"] += found.iou[found.iou > 0.5].tolist()
        self._state["predictions"] += found.predictions
        self._state["truths"] += found.truths

    def scores(self) -> tuple[float, float, float]:
        """Panoptic quality, and its factors: segmentation quality (the mean IoU of matches) and recognition quality (F1).

        Examples
        --------
        >>> from neurenix.metrics import PanopticQuality
        >>> quality = PanopticQuality().update([[[1, 1, 1, 0, 2]]], [[[5, 5, 5, 5, 0]]])  # a match of IoU 3 / 4, an object too many
        >>> [round(score, 4) for score in quality.scores()]
        [0.5, 0.75, 0.6667]
        """
        overlap, objects = self._state["iou"], self._state["predictions"] + self._state["truths"]
        if not objects:
            return 1.0, 1.0, 1.0
        quality = 2 * math.fsum(overlap) / objects
        return quality, mean(overlap) if overlap else 0.0, 2 * len(overlap) / objects

    def compute(self) -> float:
        """Panoptic quality; 1 where there is nothing and nothing was found."""
        return self.scores()[0]


def panoptic_quality(prediction: Any, target: Any, *, mask: Any = None, ignore_index: int | None = None) -> float:
    """Panoptic quality of labelled objects: the mean IoU of the matched ones, times their F1 score.

    A predicted and a true object match where their IoU is above one half; there can be one such partner only.

    Parameters
    ----------
    prediction, target : integer array or Tensor, one shape
        0 is background, every other number an object.
    mask : bool array, optional
        Where pixels count.
    ignore_index : int, optional
        As for :class:`PanopticQuality`.

    References
    ----------
    .. [1] A. Kirillov et al., "Panoptic segmentation", CVPR 2019.

    Examples
    --------
    >>> from neurenix.metrics import panoptic_quality
    >>> panoptic_quality([[1, 1, 0, 2]], [[5, 5, 0, 0]])  # one match of IoU 1, one object too many
    0.6666666666666666
    """
    quality = PanopticQuality(ignore_index=ignore_index)
    quality._add(overlaps("panoptic_quality", prediction, target, mask, ignore_index))
    return quality.compute()


class _Matching(Metric):
    """Matched objects at thresholds of IoU."""

    def __init__(self, thresholds: Any, average: str, ignore_index: int | None) -> None:
        op = type(self).__name__
        given = tuple(number(op, "thresholds", t) for t in np.ravel(np.asarray(thresholds)))
        if not given or not all(0 < t <= 1 for t in given):
            raise ArgumentError(f"{op}: expected thresholds above 0, up to 1, got {thresholds!r}; pass e.g. 0.5")
        self.thresholds, self.average = given, chosen(op, "average", average, ("objects", "images"))
        self.ignore_index = ignore_index
        self.reset()

    def _nothing(self) -> dict[str, Any]:
        return {"counts": []}

    def update(self, prediction: Any, target: Any, mask: Any = None) -> Self:
        """Take in labels (N, ...) of objects, 0 for background."""
        op = type(self).__name__
        images = one_by_one(op, whole_labels(op, prediction), whole_labels(op, target), mask)
        counts = []
        for found in (overlaps(op, *image, self.ignore_index) for image in images):
            counts.append(([matched(found, at) for at in self.thresholds], found.predictions, found.truths))
        self._state["counts"] += counts
        return self

    def counts(self) -> Mask:
        """True positives, false positives and false negatives (images, thresholds, 3).

        Examples
        --------
        >>> from neurenix.metrics import ObjectF1
        >>> ObjectF1([0.5, 0.9]).update([[[1, 1, 0, 2]]], [[[5, 5, 5, 0]]]).counts().tolist()  # IoU 2 / 3, an object too many
        [[[1, 1, 0], [0, 2, 1]]]
        """
        rows = [[(tp, p - tp, t - tp) for tp in hits] for hits, p, t in self._state["counts"]]
        return np.array(rows, np.int64).reshape(len(rows), len(self.thresholds), 3)

    def scores(self) -> Mask:
        """The score at each threshold (thresholds,).

        Examples
        --------
        >>> from neurenix.metrics import ObjectF1
        >>> ObjectF1([0.5, 0.9]).update([[[1, 1, 0]]], [[[5, 5, 5]]]).scores()  # IoU 2 / 3
        array([1., 0.])
        """
        counts = self.counts()
        pooled = counts.sum(0, keepdims=True) if self.average == "objects" else counts
        single = [[self._of(*(int(n) for n in counts)) for counts in image] for image in pooled]
        return np.array([mean(row[i] for row in single) for i in range(len(self.thresholds))])

    @abstractmethod
    def _of(self, tp: int, fp: int, fn: int) -> float:
        """The score of these counts."""

    def compute(self) -> float:
        """The mean over the thresholds; 1 where there is nothing and nothing was found."""
        return mean(self.scores().tolist())


class ObjectF1(_Matching):
    """``2 TP / (2 TP + FP + FN)`` of objects that match where their IoU reaches a threshold.

    Parameters
    ----------
    threshold : float or sequence of float
        Of several the mean is taken.
    average : {"objects", "images"}
        Counts of all images together, or the mean of single images' scores.
    ignore_index : int, optional
        As for :class:`PanopticQuality`.

    Notes
    -----
    As many objects are matched as can be, each once, also below one half where several partners compete.

    Examples
    --------
    >>> from neurenix.metrics import ObjectF1
    >>> ObjectF1(0.5).update([[[1, 1, 0, 2]]], [[[5, 5, 5, 0]]]).compute()  # one match, one object too many
    0.6666666666666666
    """

    def __init__(self, threshold: Any = 0.5, *, average: str = "objects", ignore_index: int | None = None) -> None:
        super().__init__(threshold, average, ignore_index)

    def _of(self, tp: int, fp: int, fn: int) -> float:
        return 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 1.0


class ObjectAveragePrecision(_Matching):
    """``TP / (TP + FP + FN)`` of matched objects, averaged over thresholds of IoU: the score of the Data Science Bowl 2018.

    Parameters
    ----------
    thresholds : sequence of float
        0.5 to 0.95 in steps of 0.05 by default.
    average : {"images", "objects"}
        The mean of single images' scores, as the Bowl has it, or counts of all images together, as StarDist reports.
    ignore_index : int, optional
        As for :class:`PanopticQuality`.

    References
    ----------
    .. [1] J. Caicedo et al., "Nucleus segmentation across imaging experiments: the 2018 Data Science Bowl", Nature Methods 16, 2019.
    .. [2] U. Schmidt et al., "Cell detection with star-convex polygons", MICCAI 2018.

    Examples
    --------
    >>> from neurenix.metrics import ObjectAveragePrecision
    >>> ObjectAveragePrecision([0.5, 0.9]).update([[[1, 1, 0]]], [[[5, 5, 5]]]).compute()  # IoU 2/3
    0.5
    """

    def __init__(self, thresholds: Any = DSB_THRESHOLDS, *, average: str = "images", ignore_index: int | None = None) -> None:
        super().__init__(thresholds, average, ignore_index)

    def _of(self, tp: int, fp: int, fn: int) -> float:
        return tp / (tp + fp + fn) if tp + fp + fn else 1.0


def object_f1(prediction: Any, target: Any, threshold: Any = 0.5, *, mask: Any = None, ignore_index: int | None = None) -> float:
    """:class:`ObjectF1` of one image's labels (H, W) or (D, H, W), 0 for background; ``mask`` says where pixels count.

    Examples
    --------
    >>> from neurenix.metrics import object_f1
    >>> prediction, target = [[1, 1, 0, 2, 2]], [[7, 7, 7, 0, 9]]  # IoU 2 / 3 and 1 / 2
    >>> object_f1(prediction, target, 0.5), object_f1(prediction, target, 0.6)
    (1.0, 0.5)
    """
    score = ObjectF1(threshold, ignore_index=ignore_index)
    return _of_one("object_f1", score, prediction, target, mask)


def object_average_precision(
    prediction: Any, target: Any, thresholds: Any = DSB_THRESHOLDS, *, mask: Any = None, ignore_index: int | None = None
) -> float:
    """:class:`ObjectAveragePrecision` of one image's labels (H, W) or (D, H, W), 0 for background; ``mask`` says where pixels count.

    Examples
    --------
    >>> from neurenix.metrics import object_average_precision
    >>> object_average_precision([[1, 1, 0]], [[5, 5, 5]])  # IoU 2 / 3 passes 4 of the 10 thresholds
    0.4
    """
    score = ObjectAveragePrecision(thresholds, ignore_index=ignore_index)
    return _of_one("object_average_precision", score, prediction, target, mask)


def _of_one(op: str, score: _Matching, prediction: Any, target: Any, mask: Any) -> float:
    p, t = whole_labels(op, prediction), whole_labels(op, target)
    same_shape(op, p, t)
    kept = kept_pixels(op, t, mask, None)
    return score.update(p[None], t[None], None if kept is None else kept[None]).compute()
