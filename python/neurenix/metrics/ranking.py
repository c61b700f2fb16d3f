"""How well scores rank: average precision and the area under the receiver's curve."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, Self

import numpy as np

from neurenix.errors import ArgumentError, ShapeError
from neurenix.metrics._inputs import Mask, as_mask, check_classes, host, kept_pixels
from neurenix.metrics._metric import Metric, mean


class _Ranking(Metric):
    """Scores and truths, kept as they are or counted in intervals."""

    def __init__(self, num_classes: int = 1, *, bins: int | None = None, average: str = "macro", ignore_index: float | None = None) -> None:
        op = type(self).__name__
        for name, value, least in (("num_classes", num_classes, 1), ("bins", 1 if bins is None else bins, 1)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ArgumentError(f"{op}: expected {name} of at least {least}, got {value!r}; pass a larger integer")
        if average not in ("macro", "none"):
            raise ArgumentError(f"{op}: expected average 'macro' or 'none', got {average!r}; pass one of them")
        self.num_classes, self.bins, self.average, self.ignore_index = num_classes, bins, average, ignore_index
        self.reset()

    def _nothing(self) -> dict[str, Any]:
        if self.bins is None:
            return {"scores": [], "truths": []}
        return {"counts": np.zeros((self.num_classes, 2, self.bins), np.int64)}

    def update(self, prediction: Any, target: Any, mask: Any = None) -> Self:
        """Take in scores and the truth: of the scores' shape for one class, else class numbers (N, ...) for scores (N, C, ...)."""
        op = type(self).__name__
        p, t = host(prediction, op), host(target, op)
        p = p if p.dtype.kind == "f" else p.astype(np.float64)
        want = t.shape if self.num_classes == 1 else (*t.shape[:1], self.num_classes, *t.shape[1:])
        if p.shape != want:
            raise ShapeError(f"{op}: expected scores {want} for a target {t.shape}, got {p.shape}; give a score a pixel and class")
        kept = kept_pixels(op, t, mask, self.ignore_index)
        kept = np.ones(t.shape, bool) if kept is None else kept
        if self.num_classes > 1:
            check_classes(op, "target", t[kept], self.num_classes)
        scores = [p[kept]] if self.num_classes == 1 else [p[:, c][kept] for c in range(self.num_classes)]
        truths = [as_mask(t)[kept]] if self.num_classes == 1 else [t[kept] == c for c in range(self.num_classes)]
        if any(np.isnan(s).any() for s in scores):
            raise ArgumentError(f"{op}: expected scores that can be ranked, got NaN; leave them out with mask")
        if self.bins is None:
            self._state["scores"].append(np.stack(scores))
            self._state["truths"].append(np.stack(truths))
            return self
        counts = self._state["counts"].copy()
        for c, (s, truth) in enumerate(zip(scores, truths, strict=True)):
            if s.size and not (s.min() >= 0 and s.max() <= 1):
                raise ArgumentError(f"{op}: expected scores in [0, 1] to count in bins, got {s.min():.4g} to {s.max():.4g}; pass bins=None")
            place = np.minimum((s * self.bins).astype(np.int64), self.bins - 1)
            for side in (0, 1):
                counts[c, side] += np.bincount(place[truth == bool(side)], minlength=self.bins)
        self._state["counts"] = counts
        return self

    def curves(self) -> list[tuple[Mask, Mask]]:
        """For each class how many positives and negatives lie at or above each distinct score, the highest first.

        Examples
        --------
        >>> from neurenix.metrics import ROCAUC
        >>> score = ROCAUC().update([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
        >>> [(tp.tolist(), fp.tolist()) for tp, fp in score.curves()]  # at or above 0.8, 0.4, 0.35, 0.1
        [([1, 1, 2, 2], [0, 1, 1, 2])]
        """
        if self.bins is not None:
            return [(np.cumsum(c[1, ::-1]), np.cumsum(c[0, ::-1])) for c in self._state["counts"]]
        found = []
        for c in range(self.num_classes):
            scores = np.concatenate([s[c] for s in self._state["scores"]] or [np.zeros(0)])
            truths = np.concatenate([t[c] for t in self._state["truths"]] or [np.zeros(0, bool)])
            order = np.argsort(-scores, kind="stable")
            ranked = scores[order]
            last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)[: ranked.size])  # infinities tie, too
            hits = np.cumsum(truths[order])[last]
            found.append((hits, last + 1 - hits))
        return found

    def compute(self) -> Any:
        """The number, of several classes their mean or, with average "none", an array."""
        values = [self._of(tp, fp) for tp, fp in self.curves()]
        if len(values) == 1:
            return values[0]
        return np.array(values) if self.average == "none" else mean(values)

    @abstractmethod
    def _of(self, tp: Mask, fp: Mask) -> float:
        """The area under one curve."""


class AveragePrecision(_Ranking):
    """The area under the curve of precision over recall, ``sum (R_n - R_(n-1)) P_n``, as ``sklearn.metrics.average_precision_score``.

    Parameters
    ----------
    num_classes : int
        1 for scores of one class, of the target's shape; else scores (N, C, ...) and class numbers, each class against the rest.
    bins : int, optional
        Count scores of [0, 1] in so many intervals of equal width, in constant memory; by default all scores are kept, which is exact.
    average : {"macro", "none"}
    ignore_index : number, optional
        Value of the target where a pixel does not count.

    Notes
    -----
    A class that is never true has NaN and leaves the mean.

    Examples
    --------
    >>> from neurenix.metrics import AveragePrecision
    >>> round(AveragePrecision().update([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]).compute(), 4)
    0.8333
    """

    def _of(self, tp: Mask, fp: Mask) -> float:
        if not tp.size or tp[-1] == 0:
            return math.nan
        gained = np.diff(tp, prepend=0)
        some = gained > 0
        return math.fsum(gained[some] * (tp[some] / (tp[some] + fp[some]))) / int(tp[-1])


class ROCAUC(_Ranking):
    """The area under the receiver's curve: how often a positive scores above a negative, ties half; as ``sklearn.metrics.roc_auc_score``.

    Parameters as :class:`AveragePrecision`. A class that is never or always true has NaN and leaves the mean.

    Examples
    --------
    >>> from neurenix.metrics import ROCAUC
    >>> ROCAUC().update([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]).compute()
    0.75
    """

    def _of(self, tp: Mask, fp: Mask) -> float:
        if not tp.size or tp[-1] == 0 or fp[-1] == 0:
            return math.nan
        negatives = np.diff(fp, prepend=0).astype(object)
        twice = sum(n * (int(a) + int(b)) for n, a, b in zip(negatives, tp, np.concatenate([[0], tp[:-1]]), strict=True) if n)
        return float(twice) / (2.0 * int(tp[-1]) * int(fp[-1]))


def average_precision(prediction: Any, target: Any, num_classes: int = 1, *, mask: Any = None, **settings: Any) -> Any:
    """:class:`AveragePrecision` of one prediction; ``settings`` are those of the class.

    Examples
    --------
    >>> from neurenix.metrics import average_precision
    >>> average_precision([0.9, 0.8, 0.3], [1, 1, 0]), round(average_precision([0.9, 0.8, 0.3], [0, 1, 1]), 4)
    (1.0, 0.5833)
    """
    return AveragePrecision(num_classes, **settings).update(prediction, target, mask).compute()


def roc_auc(prediction: Any, target: Any, num_classes: int = 1, *, mask: Any = None, **settings: Any) -> Any:
    """:class:`ROCAUC` of one prediction; ``settings`` are those of the class.

    Examples
    --------
    >>> from neurenix.metrics import roc_auc
    >>> roc_auc([0.9, 0.8, 0.3], [1, 1, 0]), roc_auc([0.5, 0.5], [1, 0])  # perfect; ties say nothing
    (1.0, 0.5)
    """
    return ROCAUC(num_classes, **settings).update(prediction, target, mask).compute()
