"""Random numbers of one item or batch: they depend on the seed, the epoch and the (first) item's number, and on nothing else.

A loader sets the library's generator to the item's own place before it asks a dataset for it, in that thread only. So neither
the number of workers nor the order in which they finish can change an augmentation, be it one of ours or ``nx.rand`` in a
transform of the user's. Outside a loader the library's generator goes on as usual (:func:`neurenix.manual_seed`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from neurenix import random
from neurenix._typing import DTypeLike
from neurenix.data.dataset import check_count
from neurenix.errors import ArgumentError
from neurenix.generators import Generator, drawing

_MASK = (1 << 64) - 1
_CALLS = 20  # bits: draws an item may make; so many fewer bits number the items
EPOCH_ORDER = (1 << (64 - _CALLS)) - 1  # the number under which an epoch's order is drawn: no dataset is that long


@contextmanager
def item(seed: int, epoch: int, number: int) -> Iterator[None]:
    """Within, random numbers are those of item ``number`` in that epoch."""
    with random.replay((_mixed(seed, epoch), number << _CALLS)):
        yield


@contextmanager
def batch(seed: int, epoch: int, first: int) -> Iterator[None]:
    """Within, random numbers are those of the batch that begins with item ``first``: what a function that collates draws."""
    with random.replay((_mixed(_mixed(seed, epoch), 0), first << _CALLS)):
        yield


def _mixed(seed: int, epoch: int) -> int:
    """A key for each epoch under a seed, by SplitMix64: different epochs never share one."""
    key = (seed + 0x9E3779B97F4A7C15 * (epoch + 1)) & _MASK
    key = ((key ^ key >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    key = ((key ^ key >> 27) * 0x94D049BB133111EB) & _MASK
    return key ^ key >> 31


def uniform(low: float = 0.0, high: float = 1.0) -> float:
    """One number of [low, high)."""
    return float(random.uniform((1,), low, high, dtype=np.float64, device="cpu").item())


def below(count: int) -> int:
    """One integer of 0 to ``count - 1``."""
    return int(random.randint(0, count, (1,), device="cpu").item())


def normal(shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray[Any, Any]:
    """Standard normal numbers."""
    return random.normal(shape, dtype=dtype, device="cpu").numpy()


def order(count: int) -> list[int]:
    """The integers below ``count`` in random order."""
    numbers: list[int] = random.randperm(count, device="cpu").tolist()
    return numbers


def seed_of(owner: str, seed: int | None, source: Generator | None) -> int:
    """``seed``, or one that is drawn from a generator, or from the library's.

    Raises
    ------
    ArgumentError
        If both are given, or the seed is none.
    DTypeError
        If the generator is none.
    """
    drawing(source, owner)
    if seed is None:
        return int(random.randint(0, (1 << 63) - 1, (1,), generator=source, device="cpu").item())
    if source is not None:
        raise ArgumentError(f"{owner}: expected a seed or a generator that it is drawn from, got both; leave one out")
    return check_count(owner, "seed", seed, 0)


def item_seed() -> int:
    """A number to seed another library's generator with, for transforms that use one.

    Examples
    --------
    >>> import numpy as np
    >>> from neurenix.data import ArrayDataset, DataLoader, item_seed
    >>> def brighten(image):
    ...     return image * np.random.default_rng(item_seed()).uniform(0.8, 1.2)
    >>> dataset = ArrayDataset(np.ones((4, 1, 8, 8)), transform=brighten)
    >>> first, again = (next(iter(DataLoader(dataset, batch_size=4, seed=0))) for _ in range(2))
    >>> first.equal(again), len(first[:, 0, 0, 0].unique())
    (True, 4)
    """
    return below((1 << 63) - 1)
