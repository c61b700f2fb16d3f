"""Random numbers of one item: they depend on the seed, the epoch and the item's number, and on nothing else.

A loader sets the key before it asks a dataset for an item; transforms draw from it. So neither the number of workers nor the
order in which they finish can change an augmentation. Outside a loader each item gets a key of its own from the
library's generator (:func:`neurenix.manual_seed`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

Key = tuple[int, int, int]
_MASK = (1 << 64) - 1


class Draws:
    """A stream of random numbers that belongs to one key ``(seed, epoch, index)``."""

    def __init__(self, key: Key) -> None:
        seed, epoch, index = key
        self._generator = np.random.Generator(np.random.Philox(key=[seed & _MASK, (epoch << 40 ^ index) & _MASK]))

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """One number between ``low`` and ``high``."""
        return low + (high - low) * float(self._generator.random())

    def below(self, count: int) -> int:
        """One integer from 0 to ``count - 1``."""
        return min(int(self._generator.random() * count), count - 1)

    def normal(self, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        """Normally distributed float32 numbers of that shape."""
        return self._generator.standard_normal(shape, np.float32)

    def order(self, count: int) -> np.ndarray[Any, Any]:
        """The numbers below ``count`` in random order."""
        return np.argsort(self._generator.random(count), kind="stable")


_current: ContextVar[Draws | None] = ContextVar("draws", default=None)


@contextmanager
def item(key: Key) -> Iterator[Draws]:
    """Within, transforms draw from the stream of ``key``."""
    draws = Draws(key)
    token = _current.set(draws)
    try:
        yield draws
    finally:
        _current.reset(token)


def item_draws() -> Draws:
    """The stream of the item that is being loaded here; for transforms of your own.

    Examples
    --------
    >>> from neurenix.data import item_draws
    >>> def brighten(image, mask):
    ...     return image * item_draws().uniform(0.8, 1.2), mask
    """
    return _current.get() or Draws((fresh_seed(), 0, 0))


_fresh = itertools.count(1)


def fresh_seed() -> int:
    """A seed for whoever was given none."""
    return next(_fresh)
