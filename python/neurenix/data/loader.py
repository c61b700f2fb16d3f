"""Batches out of a dataset, prepared ahead by workers."""

from __future__ import annotations

import contextvars
import os
import pickle
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any, Literal

import numpy as np

from neurenix._typing import DTypeLike
from neurenix.data import draws
from neurenix.data.collate import collate, to_tensors
from neurenix.data.dataset import check_count
from neurenix.data.stream import Stream, check_stream
from neurenix.errors import ArgumentError, DTypeError

Collate = Callable[[Sequence[Any]], Any]


class DataLoader:
    """Iterate over a dataset in batches; each iteration is the next epoch.

    Batches hold tensors. Order, augmentation and every bit depend on ``seed``, the epoch and the item only: not on
    the number or the kind of workers. An iteration that is broken off costs nothing but what was prepared ahead.

    Parameters
    ----------
    dataset : object with ``__len__`` and ``__getitem__``, or an iterable
        Items are arrays, tensors, also another library's, numbers, strings, and tuples or dicts of them. PyTorch's datasets are
        taken as they are. An iterable without numbered items gives its own order; with workers, one thread reads ahead.
    batch_size : int
        Items a batch; the last one may be smaller.
    shuffle : bool
        Another order each epoch.
    sampler : iterable of int, optional
        Item numbers of an epoch, instead of all of them.
    num_workers : int
        How many batches are prepared at once beside the caller's work; with 0 the caller does it.
    collate_fn : callable, optional
        Makes a batch of a list of items, instead of :func:`collate`.
    drop_last : bool
        Leave out a last batch that is not full.
    prefetch_factor : int
        Batches prepared ahead, for each worker.
    worker : {"thread", "process"}
        Threads share memory and start at once: right for reading files and for array code, which releases Python's lock. Processes
        are for datasets that compute in Python itself; the dataset must be one that can be pickled.
    seed : int, optional
        Of shuffling and augmentation; drawn from the library's generator (``nx.manual_seed``) if ``None``.
    dtype : numpy dtype, optional
        Element type of float arrays, so that ``image / 255.0``, which is float64, trains; ``None`` keeps each array's own.

    Raises
    ------
    ArgumentError
        If an argument is not what it should be.

    Examples
    --------
    >>> import numpy as np
    >>> from neurenix.data import DataLoader, TensorDataset
    >>> loader = DataLoader(TensorDataset(np.arange(5.0)), batch_size=2, shuffle=True, seed=0)
    >>> [batch.shape for (batch,) in loader]
    [(2,), (2,), (1,)]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        sampler: Any = None,
        num_workers: int = 0,
        collate_fn: Collate | None = None,
        drop_last: bool = False,
        prefetch_factor: int = 2,
        worker: Literal["thread", "process"] = "thread",
        seed: int | None = None,
        dtype: DTypeLike | None = np.float32,
    ) -> None:
        self._streams = check_stream(dataset, shuffle or sampler is not None or worker == "process")
        if not self._streams and not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
            raise ArgumentError(
                f"DataLoader: expected a dataset with __len__ and __getitem__, got {type(dataset).__name__}; see neurenix.data.Dataset"
            )
        if worker not in ("thread", "process"):
            raise ArgumentError(f"DataLoader: expected worker to be 'thread' or 'process', got {worker!r}; pass one of them")
        if sampler is not None and shuffle:
            raise ArgumentError("DataLoader: expected either a sampler or shuffle=True, got both; let the sampler shuffle")
        if collate_fn is not None and not callable(collate_fn):
            raise ArgumentError(
                f"DataLoader: expected collate_fn to be callable, got {type(collate_fn).__name__}; pass a function of a list of items"
            )
        self.dataset, self.sampler, self.worker = dataset, sampler, worker
        self.batch_size = check_count("DataLoader", "batch_size", batch_size)
        self.num_workers = check_count("DataLoader", "num_workers", num_workers, 0)
        self.prefetch_factor = check_count("DataLoader", "prefetch_factor", prefetch_factor)
        self.shuffle, self.drop_last = bool(shuffle), bool(drop_last)
        self.seed = draws.item_seed() if seed is None else check_count("DataLoader", "seed", seed, 0)
        self.epoch = 0
        self.collate_fn: Collate = collate_fn if collate_fn is not None else partial(collate, dtype=_float_type(dtype))

    def __len__(self) -> int:
        if self._streams and not hasattr(self.dataset, "__len__"):
            raise DTypeError(f"len: expected a dataset with a length, got the iterable {type(self.dataset).__name__}; count its batches")
        count = len(self.dataset) if self.sampler is None else len(self.sampler)
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration that of ``epoch``, to go on where an earlier run stopped."""
        self.epoch = check_count("DataLoader", "epoch", epoch, 0)

    def __iter__(self) -> Iterator[Any]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        if self._streams:
            stream = Stream(self.dataset, self.batch_size, self.drop_last, self.collate_fn, self.seed, epoch)
            return map(to_tensors, stream.ahead(self.num_workers * self.prefetch_factor) if self.num_workers else stream)
        batches = self._batches(epoch)
        fetch = partial(fetch_batch, self.dataset, self.collate_fn, self.seed, epoch)
        if self.num_workers == 0:
            return (to_tensors(fetch(batch)) for batch in batches)
        return self._ahead(fetch, batches)

    def _batches(self, epoch: int) -> list[list[int]]:
        """The item numbers of each batch of an epoch."""
        if self.sampler is not None:
            numbers = [int(i) for i in self.sampler]
        elif self.shuffle:
            with draws.item(self.seed, epoch, draws.EPOCH_ORDER):
                numbers = draws.order(len(self.dataset))
        else:
            numbers = list(range(len(self.dataset)))
        batches = [numbers[i : i + self.batch_size] for i in range(0, len(numbers), self.batch_size)]
        return batches[:-1] if self.drop_last and batches and len(batches[-1]) < self.batch_size else batches

    def _ahead(self, fetch: Callable[[list[int]], Any], batches: list[list[int]]) -> Iterator[Any]:
        """Batches in order, some of them prepared ahead."""
        pool, task = self._pool(fetch)
        waiting: deque[Future[Any]] = deque()
        rest = iter(batches)
        try:
            for batch in rest:
                waiting.append(_submit(pool, task, batch))
                if len(waiting) > self.num_workers * self.prefetch_factor:
                    yield to_tensors(waiting.popleft().result())
            while waiting:
                yield to_tensors(waiting.popleft().result())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _pool(self, fetch: Callable[[list[int]], Any]) -> tuple[Executor, Callable[[list[int]], Any]]:
        if self.worker == "thread":
            return ThreadPoolExecutor(self.num_workers, thread_name_prefix="neurenix-data"), fetch
        try:
            parcel = pickle.dumps(fetch)
        except Exception as error:
            raise ArgumentError(
                f"DataLoader: expected a dataset that can be pickled for worker='process', got {type(self.dataset).__name__}: {error}; "
                "use worker='thread', or define its classes and functions at the top of a module"
            ) from error
        # forkserver: a plain fork copies locks that other threads hold, and the child waits for them for ever
        context = get_context("forkserver")
        return ProcessPoolExecutor(self.num_workers, context, initializer=_unpack, initargs=(parcel,)), _fetch_unpacked


def fetch_batch(dataset: Any, collate_fn: Collate, seed: int, epoch: int, numbers: list[int]) -> Any:
    """A batch of the items ``numbers``, each under its own random numbers."""
    items = []
    for number in numbers:
        with draws.item(seed, epoch, number):
            try:
                items.append(dataset[number])
            except Exception as error:
                error.add_note(f"while a DataLoader read item {number} of {type(dataset).__name__} (process {os.getpid()})")
                raise
    return collate_fn(items)


def _submit(pool: Executor, task: Callable[[list[int]], Any], batch: list[int]) -> Future[Any]:
    if isinstance(pool, ThreadPoolExecutor):
        return pool.submit(contextvars.copy_context().run, task, batch)
    return pool.submit(task, batch)


_fetch: Callable[[list[int]], Any] | None = None


def _unpack(parcel: bytes) -> None:
    """Receive the dataset, once a worker process."""
    global _fetch
    _fetch = pickle.loads(parcel)


def _fetch_unpacked(numbers: list[int]) -> Any:
    assert _fetch is not None  # set by _unpack before any batch is asked for
    return _fetch(numbers)


def _float_type(dtype: DTypeLike | None) -> np.dtype[Any] | None:
    if dtype is None:
        return None
    try:
        kind: np.dtype[Any] | None = np.dtype(dtype)
    except TypeError:
        kind = None
    if kind is None or kind.kind != "f":
        raise DTypeError(f"DataLoader: expected dtype to be a float type or None, got {dtype!r}; pass e.g. np.float32")
    return kind
