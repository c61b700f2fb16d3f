"""In which order items come, and which of them share a batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from neurenix import random
from neurenix.data import draws
from neurenix.data._checks import check_weights
from neurenix.data.dataset import check_count
from neurenix.errors import ArgumentError
from neurenix.generators import Generator


class _Epochs:
    """Something whose order is another one each epoch, and the same for the same seed and epoch."""

    def __init__(self, owner: str, seed: int | None, generator: Generator | None) -> None:
        self.seed = draws.seed_of(owner, seed, generator)
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration that of ``epoch``; a loader calls it with its own.

        Examples
        --------
        >>> from neurenix.data import RandomSampler
        >>> sampler = RandomSampler(range(100), seed=0)
        >>> first, second = list(sampler), list(sampler)
        >>> sampler.set_epoch(1)
        >>> list(sampler) == second
        True
        """
        self.epoch = check_count(type(self).__name__, "epoch", epoch, 0)

    def _next_epoch(self) -> int:
        epoch, self.epoch = self.epoch, self.epoch + 1
        return epoch


class RandomSampler(_Epochs):
    """All items of a dataset in random order, or ``num_samples`` drawn with replacement.

    Parameters
    ----------
    data_source : object with ``__len__``
    replacement : bool
        Whether an item may come more than once.
    num_samples : int, optional
        How many come in an epoch; as many as there are items if ``None``.
    seed : int, optional
        Drawn from ``generator``, or the library's, if ``None``.
    generator : Generator, optional
        What ``seed`` is drawn from, once, when the sampler is made.

    Raises
    ------
    ArgumentError
        If an argument is not what it should be.

    Examples
    --------
    >>> from neurenix.data import RandomSampler
    >>> sorted(RandomSampler("abc", seed=0))
    [0, 1, 2]
    """

    def __init__(
        self,
        data_source: Any,
        replacement: bool = False,
        num_samples: int | None = None,
        seed: int | None = None,
        *,
        generator: Generator | None = None,
    ) -> None:
        super().__init__("RandomSampler", seed, generator)
        if not hasattr(data_source, "__len__"):
            raise ArgumentError(f"RandomSampler: expected a dataset with a length, got {data_source!r}; pass the dataset, or range(n)")
        self.count = len(data_source)
        self.replacement = bool(replacement)
        self.num_samples = self.count if num_samples is None else check_count("RandomSampler", "num_samples", num_samples)
        if self.num_samples > self.count and not replacement:
            raise ArgumentError(
                f"RandomSampler: expected num_samples of at most {self.count} without replacement, got {num_samples}; pass replacement=True"
            )

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        with draws.item(self.seed, self._next_epoch(), draws.EPOCH_ORDER):
            if not self.replacement:
                return iter(draws.order(self.count)[: self.num_samples])
            numbers: list[int] = random.randint(0, max(self.count, 1), (self.num_samples if self.count else 0,), device="cpu").tolist()
            return iter(numbers)


class WeightedRandomSampler(_Epochs):
    """Items drawn with given weights: rare classes as often as frequent ones.

    Parameters
    ----------
    weights : sequence of float
        One an item, not all 0; they need not sum to 1.
    num_samples : int
        How many come in an epoch.
    replacement : bool
        Whether an item may come more than once.
    seed : int, optional
        Drawn from ``generator``, or the library's, if ``None``.
    generator : Generator, optional
        What ``seed`` is drawn from, once, when the sampler is made.

    Raises
    ------
    ArgumentError
        If weights are negative, or fewer above 0 than samples are drawn without replacement.

    Examples
    --------
    >>> from neurenix.data import WeightedRandomSampler
    >>> set(WeightedRandomSampler([0, 1, 0], 5, seed=0))
    {1}
    """

    def __init__(
        self,
        weights: Sequence[float],
        num_samples: int,
        replacement: bool = True,
        seed: int | None = None,
        *,
        generator: Generator | None = None,
    ) -> None:
        super().__init__("WeightedRandomSampler", seed, generator)
        self.weights = check_weights("WeightedRandomSampler", weights)
        self.num_samples = check_count("WeightedRandomSampler", "num_samples", num_samples)
        self.replacement = bool(replacement)
        possible = int((self.weights > 0).sum())
        if self.num_samples > possible and not replacement:
            raise ArgumentError(
                f"WeightedRandomSampler: expected num_samples of at most {possible} without replacement, got {num_samples}; "
                "pass replacement=True"
            )

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        with draws.item(self.seed, self._next_epoch(), draws.EPOCH_ORDER):
            count = self.num_samples if self.replacement else len(self.weights)
            u = random.uniform((count,), dtype=np.float64, device="cpu").numpy()
        if self.replacement:
            bounds = np.cumsum(self.weights / self.weights.sum())
            drawn = np.searchsorted(bounds / bounds[-1], u, side="right")
        else:  # Efraimidis and Spirakis: the largest of u ** (1 / weight), compared by logarithms
            with np.errstate(divide="ignore"):
                keys = np.where(self.weights > 0, np.log(1 - u) / np.where(self.weights > 0, self.weights, 1), -np.inf)
            drawn = np.argsort(-keys, kind="stable")[: self.num_samples]
        numbers: list[int] = drawn.tolist()
        return iter(numbers)


class BucketBatchSampler(_Epochs):
    """Batches of images of similar size, so that :func:`pad_collate` pads little.

    Each epoch the items are shuffled, sorted by size (rounded up to ``multiple``) and cut into batches, which come in random order.

    Parameters
    ----------
    sizes : sequence of (int, int)
        Height and width of every item.
    batch_size : int
        Items a batch; one batch may be smaller.
    shuffle : bool
        Another order and other batches each epoch; sorted by size if False.
    drop_last : bool
        Leave out the batch that is not full.
    multiple : int
        Sizes that are equal when rounded up to it count as one.
    seed : int, optional
        Drawn from ``generator``, or the library's, if ``None``.
    generator : Generator, optional
        What ``seed`` is drawn from, once, when the sampler is made.

    Raises
    ------
    ArgumentError
        If an argument is not what it should be.

    Examples
    --------
    >>> import numpy as np
    >>> from neurenix.data import BucketBatchSampler, DataLoader, pad_collate
    >>> images = [np.ones((1, n, n)) for n in (8, 30, 9, 31)]
    >>> sampler = BucketBatchSampler([x.shape[-2:] for x in images], batch_size=2, seed=0)
    >>> sorted(x.shape for x, valid in DataLoader(images, batch_sampler=sampler, collate_fn=pad_collate))
    [(2, 1, 9, 9), (2, 1, 31, 31)]
    """

    def __init__(
        self,
        sizes: Sequence[Sequence[int]],
        batch_size: int,
        shuffle: bool = True,
        drop_last: bool = False,
        multiple: int = 1,
        seed: int | None = None,
        *,
        generator: Generator | None = None,
    ) -> None:
        owner = type(self).__name__
        super().__init__(owner, seed, generator)
        self.batch_size = check_count(owner, "batch_size", batch_size)
        self.shuffle, self.drop_last = bool(shuffle), bool(drop_last)
        multiple = check_count(owner, "multiple", multiple)
        pairs = [tuple(s) if isinstance(s, (tuple, list)) else () for s in sizes] if isinstance(sizes, Sequence) else [()]
        if not all(len(s) == 2 and all(isinstance(v, (int, np.integer)) and v >= 0 for v in s) for s in pairs):
            raise ArgumentError(
                f"{owner}: expected sizes as a list of (height, width), one an item, got others; pass e.g. [(512, 400), (300, 300)]"
            )
        self._keys = -(-np.array(pairs, np.int64).reshape(-1, 2) // multiple)

    def __len__(self) -> int:
        count = len(self._keys)
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        count = len(self._keys)
        with draws.item(self.seed, self._next_epoch(), draws.EPOCH_ORDER):
            order = np.array(draws.order(count) if self.shuffle else range(count), np.int64)
            keys = self._keys[order]
            order = order[np.lexsort((keys[:, 1], keys[:, 0]))]
            batches: list[list[int]] = [order[i : i + self.batch_size].tolist() for i in range(0, count, self.batch_size)]
            if self.drop_last and batches and len(batches[-1]) < self.batch_size:
                batches.pop()
            return iter([batches[i] for i in draws.order(len(batches))] if self.shuffle else batches)


class BucketSampler(BucketBatchSampler):
    """The items of :class:`BucketBatchSampler` one by one, for a loader's ``sampler=`` with the same ``batch_size``.

    Parameters
    ----------
    sizes : sequence of (int, int)
        Height and width of each item, in pixels.
    batch_size, shuffle, drop_last, multiple, seed
        As in :class:`BucketBatchSampler`.

    Examples
    --------
    >>> from neurenix.data import BucketSampler
    >>> list(BucketSampler([(9, 9), (3, 3), (9, 8), (4, 3)], batch_size=2, shuffle=False))
    [1, 3, 2, 0]
    """

    def __len__(self) -> int:
        count = len(self._keys)
        return count - count % self.batch_size if self.drop_last else count

    def __iter__(self) -> Iterator[int]:  # type: ignore[override]  # items, not batches
        batches = list(super().__iter__())
        # The batch that is not full comes last: otherwise the loader would cut all that follow it elsewhere.
        batches.sort(key=lambda batch: len(batch) < self.batch_size)
        return (number for batch in batches for number in batch)
