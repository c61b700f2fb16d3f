"""Parts of a dataset, several datasets as one, and a dataset split at random."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

from neurenix.data import draws
from neurenix.data.dataset import Dataset, item_number
from neurenix.errors import ArgumentError
from neurenix.generators import Generator


def _sized(owner: str, dataset: Any) -> int:
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        kind = type(dataset).__name__
        raise ArgumentError(f"{owner}: expected a dataset with __len__ and __getitem__, got {kind}; see neurenix.data.Dataset")
    return len(dataset)


class Subset(Dataset):
    """Some items of a dataset, by their numbers.

    Parameters
    ----------
    dataset : object with ``__len__`` and ``__getitem__``
    indices : sequence of int
        Numbers of the items, in the order in which they come; one may come twice.

    Raises
    ------
    ArgumentError
        If the dataset has no such item, or no length.

    Examples
    --------
    >>> from neurenix.data import Subset
    >>> list(Subset("abcd", [3, 0]))
    ['d', 'a']
    """

    def __init__(self, dataset: Any, indices: Iterable[Any]) -> None:
        count = _sized("Subset", dataset)
        if not isinstance(indices, Iterable):
            raise ArgumentError(f"Subset: expected item numbers, got {indices!r}; pass a list of integers")
        self.dataset = dataset
        self.indices = [item_number("Subset", check_number(i), count) for i in indices]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[self.indices[item_number("Subset", index, len(self))]]


def check_number(value: Any) -> int:
    """An item's number as a Python integer."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ArgumentError(f"Subset: expected item numbers, got {value!r}; pass a list of integers")
    number: int = value.__index__()
    return number


class ConcatDataset(Dataset):
    """Datasets one behind the other, as one.

    Parameters
    ----------
    datasets : iterable of objects with ``__len__`` and ``__getitem__``

    Raises
    ------
    ArgumentError
        If there are none, or one has no length.

    Examples
    --------
    >>> from neurenix.data import ConcatDataset
    >>> both = ConcatDataset(["ab", "xyz"])
    >>> len(both), both[1], both[2], both[-1]
    (5, 'b', 'x', 'z')
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets) if isinstance(datasets, Iterable) else []
        if not self.datasets:
            raise ArgumentError(f"ConcatDataset: expected at least one dataset, got {datasets!r}; pass a list of them")
        self.ends = list(accumulate(_sized("ConcatDataset", d) for d in self.datasets))

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, index: int) -> Any:
        number = item_number("ConcatDataset", index, len(self))
        which = bisect_right(self.ends, number)
        return self.datasets[which][number - (self.ends[which - 1] if which else 0)]


def random_split(dataset: Any, lengths: Sequence[float], seed: int | None = None, *, generator: Generator | None = None) -> list[Subset]:
    """A dataset in parts that do not overlap, drawn at random: training and validation.

    Parameters
    ----------
    dataset : object with ``__len__`` and ``__getitem__``
    lengths : sequence of int, or of float
        Items of each part, or fractions that sum to 1: each part then has ``floor(n * fraction)`` items, and those that are left go to the
        first parts, one each.
    seed : int, optional
        The same parts each time; drawn from ``generator``, or the library's (``nx.manual_seed``), if ``None``.
    generator : Generator, optional

    Returns
    -------
    list of Subset
        Augment the training part only: give the parts datasets of their own, over the same files, with and without a transform.

    Raises
    ------
    ArgumentError
        If the lengths are not all of the dataset.

    Examples
    --------
    >>> from neurenix.data import random_split
    >>> train, held_out = random_split(range(10), [0.8, 0.2], seed=0)
    >>> len(train), len(held_out), sorted([*train, *held_out]) == list(range(10))
    (8, 2, True)
    """
    count = _sized("random_split", dataset)
    sizes = _sizes(lengths, count)
    with draws.item(draws.seed_of("random_split", seed, generator), 0, draws.EPOCH_ORDER):
        order = draws.order(count)
    ends = list(accumulate(sizes))
    return [Subset(dataset, order[end - size : end]) for size, end in zip(sizes, ends, strict=True)]


def _sizes(lengths: Any, count: int) -> list[int]:
    given = list(lengths) if isinstance(lengths, Iterable) else []
    numbers = bool(given) and all(isinstance(n, (int, float)) and not isinstance(n, bool) and n >= 0 for n in given)
    if numbers and abs(sum(given) - 1) < 1e-9 and (count != 1 or any(isinstance(n, float) for n in given)):
        sizes = [int(count * n) for n in given]
        for i in range(count - sum(sizes)):
            sizes[i % len(sizes)] += 1
        return sizes
    if not numbers or any(isinstance(n, float) for n in given) or sum(given) != count:
        raise ArgumentError(
            f"random_split: expected lengths that sum to {count}, or fractions that sum to 1, got {lengths!r}; e.g. [0.8, 0.2]"
        )
    return [int(n) for n in given]
