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
    """

    _state: dict[str, Any]

    @abstractmethod
    def _nothing(self) -> dict[str, Any]:
        """What has been seen at first: integers and integer arrays, which add up, and lists, which grow."""

    @abstractmethod
    def update(self, prediction: Any, target: Any) -> Self:
        """Take in a batch; returns the metric itself."""

    @abstractmethod
    def compute(self) -> Any:
        """The value over all that was seen."""

    def reset(self) -> None:
        """Forget what was seen."""
        self._state = self._nothing()

    def merge(self, other: Metric) -> Self:
        """Add what ``other`` has seen; returns the metric itself.

        Raises
        ------
        ArgumentError
            If it is another metric, or has other settings.
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
