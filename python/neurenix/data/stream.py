"""Datasets that can only be walked through: batches of what an iterator gives."""

from __future__ import annotations

import contextvars
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from neurenix.data import draws
from neurenix.errors import ArgumentError


def check_stream(dataset: Any, ordered: bool) -> bool:
    """Whether a dataset has an iterator and no numbered items; PyTorch's base class has both methods whatever it is.

    Raises
    ------
    ArgumentError
        If an order or processes are asked of one (``ordered``).
    """
    if not any(base.__name__ == "IterableDataset" for base in type(dataset).__mro__) and (
        not hasattr(dataset, "__iter__") or (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__"))
    ):
        return False
    if ordered:
        raise ArgumentError(
            f"DataLoader: expected no shuffle, sampler or worker='process' with an iterable, got a {type(dataset).__name__}; "
            "let its iterator shuffle, or give it __len__ and __getitem__"
        )
    return True


class Stream:
    """The items of one epoch in batches, each read under its own random numbers.

    Parameters
    ----------
    dataset : iterable
        Asked for a new iterator.
    batch_size : int
    drop_last : bool
        Leave out a last batch that is not full.
    collate_fn : callable
        Makes a batch of a list of items.
    seed, epoch : int
        Key of the random numbers.
    """

    def __init__(
        self, dataset: Any, batch_size: int, drop_last: bool, collate_fn: Callable[[Sequence[Any]], Any], seed: int, epoch: int
    ) -> None:
        self._kind, self._items, self._size = type(dataset).__name__, iter(dataset), batch_size
        self._least = batch_size if drop_last else 1
        self._collate, self._key, self._read = collate_fn, (seed, epoch), 0

    def next_batch(self) -> tuple[Any] | None:
        """The next batch, in a tuple; ``None`` after the last."""
        items: list[Any] = []
        first = self._read
        while len(items) < self._size:
            with draws.item(*self._key, self._read):
                try:
                    items.append(next(self._items))
                except StopIteration:
                    break
                except Exception as error:
                    error.add_note(f"while a DataLoader read item {self._read} of {self._kind} (process {os.getpid()})")
                    raise
            self._read += 1
        if len(items) < self._least:
            return None
        with draws.batch(*self._key, first):
            return (self._collate(items),)

    def __iter__(self) -> Iterator[Any]:
        """Batches, each read when it is asked for."""
        while (batch := self.next_batch()) is not None:
            yield batch[0]

    def ahead(self, count: int) -> Iterator[Any]:
        """Batches, ``count`` of them read ahead by one thread: an iterator has one order."""
        pool = ThreadPoolExecutor(1, thread_name_prefix="neurenix-data")
        waiting: deque[Future[Any]] = deque()
        try:
            while True:
                while len(waiting) <= count:
                    waiting.append(pool.submit(contextvars.copy_context().run, self.next_batch))
                batch = waiting.popleft().result()
                if batch is None:
                    return
                yield batch[0]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
