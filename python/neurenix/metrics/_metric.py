"""What streaming metrics share: counts that batches add to and that can be merged."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, Self

import numpy as np

from neurenix.errors import ArgumentError


class Metric(ABC):
    """A number that is gathered over batches; any split of the images into batches or workers gives the same result, to the bit.

    ``update(prediction, target)`` takes a batch, ``compute()`` tells the value so far, ``reset()`` forgets everything, ``merge(other)``
    adds what another one of the same settings has seen.

    Notes
    -----
    Counts are integers; values of single images are kept and summed exactly, so their order does not matter.

    Examples
    --------
    >>> from neurenix.metrics import Dice, IoU
    >>> scores = [Dice(), IoU()]
    >>> for prediction, target in [([1, 1, 0], [1, 0, 0]), ([0, 0, 1], [0, 0, 1])]:  # batches
    ...     for score in scores:
    ...         _ = score.update(prediction, target)
    >>> [round(score.compute(), 4) for score in scores]  # of all pixels together, not the mean over batches
    [0.8, 0.6667]
    """

    _state: dict[str, Any]

    @abstractmethod
    def _nothing(self) -> dict[str, Any]:
        """What has been seen at first: integers and integer arrays, which add up, and lists, which grow."""

    @abstractmethod
    def update(self, prediction: Any, target: Any) -> Self:
        """Take in a batch; returns the metric itself.

        Examples
        --------
        >>> from neurenix.metrics import PixelAccuracy
        >>> PixelAccuracy(2).update([0, 1], [0, 1]).update([1, 1], [0, 0]).compute()
        0.5
        """

    @abstractmethod
    def compute(self) -> Any:
        """The value over all that was seen.

        Examples
        --------
        >>> from neurenix.metrics import PixelAccuracy
        >>> accuracy = PixelAccuracy(2)
        >>> accuracy.compute(), accuracy.update([0, 1], [0, 0]).compute()  # NaN before the first pixel
        (nan, 0.5)
        """

    def reset(self) -> None:
        """Forget what was seen.

        Examples
        --------
        >>> from neurenix.metrics import Dice
        >>> score = Dice().update([1, 0], [0, 1])
        >>> score.reset()  # before the next epoch
        >>> score.update([1, 0], [1, 0]).compute()
        1.0
        """
        self._state = self._nothing()

    def merge(self, other: Metric) -> Self:
        """Add what ``other`` has seen; returns the metric itself.

        Raises
        ------
        ArgumentError
            If it is another metric, or has other settings.

        Examples
        --------
        >>> from neurenix.metrics import IoU
        >>> here, there = IoU().update([1, 1], [1, 0]), IoU().update([1, 0], [1, 0])  # what two workers have seen
        >>> here.merge(there).compute() == IoU().update([1, 1, 1, 0], [1, 0, 1, 0]).compute()
        True
        """
        if type(other) is not type(self) or repr(self) != repr(other):  # NaN is not equal to itself, but reads alike
            raise ArgumentError(f"merge: expected {self!r}, got {other!r}; merge metrics of the same settings")
        for name, seen in other._state.items():
            self._state[name] = self._state[name] + seen
        return self

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in vars(self).items() if name != "_state")
        return f"{type(self).__name__}({settings})"


def mean(values: Iterable[float]) -> float:
    """The mean of those that are not NaN, summed exactly; NaN of none."""
    kept = [v for v in values if not math.isnan(v)]
    return math.fsum(kept) / len(kept) if kept else math.nan


def ratio(part: Any, whole: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Quotients of counts; NaN over 0."""
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    quotient = np.full(np.broadcast_shapes(part.shape, whole.shape), np.nan)
    np.divide(part, whole, out=quotient, where=whole != 0)
    return quotient
