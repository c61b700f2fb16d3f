"""Batches out of a dataset, prepared ahead by workers."""

from __future__ import annotations

import contextvars
import os
import pickle
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from functools import partial
from itertools import islice
from multiprocessing import get_context
from typing import Any, Literal

import numpy as np

from neurenix import generators
from neurenix._typing import DeviceLike, DTypeLike
from neurenix.data import draws
from neurenix.data._checks import check_choice
from neurenix.data.collate import collate
from neurenix.data.dataset import check_count
from neurenix.data.delivery import check_target, delivered
from neurenix.data.stream import Stream, check_stream
from neurenix.errors import ArgumentError, DTypeError, StateError

Collate = Callable[[Sequence[Any]], Any]


class DataLoader:
    """Iterate over a dataset in batches; each iteration is the next epoch.

    Batches hold tensors. Order, augmentation and every bit depend on ``seed``, the epoch and the item only: not on
    the number or the kind of workers. An iteration that is broken off costs nothing but what was prepared ahead, and
    :meth:`state_dict` says where it stood, so that another run goes on with the next batch.

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
        Item numbers of an epoch, instead of all of them. One with a method ``set_epoch`` is told the epoch.
    batch_sampler : iterable of sequence of int, optional
        Item numbers of each batch, instead of ``batch_size``, ``shuffle``, ``sampler`` and ``drop_last``:
        :class:`BucketBatchSampler`.
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
        Of shuffling and augmentation; drawn from ``generator``, or the library's (``nx.manual_seed``), if ``None``.
    generator : Generator, optional
        What ``seed`` is drawn from, once, when the loader is made.
    dtype : numpy dtype, optional
        Element type of float arrays, so that ``image / 255.0``, which is float64, trains; ``None`` keeps each array's own.
    device : str, optional
        Where batches are: "cuda" for a GPU. By default the CPU.
    pin_memory : bool
        Copy a batch to ``device`` while the one before it is computed on: through pinned memory and on a stream of its own. One batch
        more is read ahead. On "cpu" it has no effect.
    part : (int, int)
        Of each batch only this part, from 0, of so many equal ones: what one of several processes computes on
        (:class:`neurenix.parallel.Shards`). Every item is as in the whole batch.

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
        batch_sampler: Any = None,
        num_workers: int = 0,
        collate_fn: Collate | None = None,
        drop_last: bool = False,
        prefetch_factor: int = 2,
        worker: Literal["thread", "process"] = "thread",
        seed: int | None = None,
        generator: generators.Generator | None = None,
        dtype: DTypeLike | None = np.float32,
        device: DeviceLike | None = None,
        pin_memory: bool = False,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        self._streams = check_stream(dataset, shuffle or sampler is not None or batch_sampler is not None or worker == "process")
        ordered = sampler is not None or batch_sampler is not None
        if not self._streams and not (hasattr(dataset, "__getitem__") and (ordered or hasattr(dataset, "__len__"))):
            raise ArgumentError(
                f"DataLoader: expected a dataset with __len__ and __getitem__, got {type(dataset).__name__}; see neurenix.data.Dataset"
            )
        check_choice("DataLoader", "worker", worker, ("thread", "process"))
        _check_order(sampler, batch_sampler, shuffle, drop_last or batch_size != 1)
        _check_callable(collate_fn)
        self.dataset, self.sampler, self.batch_sampler, self.worker = dataset, sampler, batch_sampler, worker
        self.batch_size = check_count("DataLoader", "batch_size", batch_size)
        self.num_workers = check_count("DataLoader", "num_workers", num_workers, 0)
        self.prefetch_factor = check_count("DataLoader", "prefetch_factor", prefetch_factor)
        self.shuffle, self.drop_last = bool(shuffle), bool(drop_last)
        self.seed = draws.seed_of("DataLoader", seed, generator)
        self.epoch, self._skip, self._running = 0, 0, False
        self._place = (0, 0)  # of the iteration that runs: its epoch, and how many batches it gave
        self.part = _check_part(part, self._streams)
        self.device, self.pin_memory = check_target(device, pin_memory), bool(pin_memory)
        self.collate_fn: Collate = collate_fn if collate_fn is not None else partial(collate, dtype=_float_type(dtype))

    def __len__(self) -> int:
        if self._streams and not hasattr(self.dataset, "__len__"):
            raise DTypeError(f"len: expected a dataset with a length, got the iterable {type(self.dataset).__name__}; count its batches")
        if self.batch_sampler is not None:
            return len(self.batch_sampler)
        count = len(self.dataset) if self.sampler is None else len(self.sampler)
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration that of ``epoch``, to go on where an earlier run stopped; an :class:`ArgumentError` below 0.

        Examples
        --------
        >>> from neurenix.data import DataLoader
        >>> loader, again = (DataLoader(range(6), batch_size=6, shuffle=True, seed=0) for _ in range(2))
        >>> _, second = next(iter(loader)), next(iter(loader))
        >>> again.set_epoch(1)
        >>> next(iter(again)).tolist() == second.tolist()
        True
        """
        self.epoch = check_count("DataLoader", "epoch", epoch, 0)
        self._skip, self._running = 0, False

    def state_dict(self) -> dict[str, int]:
        """Where the iteration stands: the epoch, how many of its batches were given, and the seed.

        In a loop the batch at hand counts as given. After the last batch it is the next epoch, before its first.

        Examples
        --------
        >>> from neurenix.data import DataLoader
        >>> loader = DataLoader(range(6), batch_size=2, shuffle=True, seed=0)
        >>> batches = iter(loader)
        >>> first, state = next(batches), loader.state_dict()
        >>> again = DataLoader(range(6), batch_size=2, shuffle=True)
        >>> again.load_state_dict(state)
        >>> [b.tolist() for b in again] == [b.tolist() for b in batches]
        True
        """
        epoch, batch = self._place if self._running else (self.epoch, self._skip)
        return {"epoch": epoch, "batch": batch, "seed": self.seed}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on where ``state_dict`` was taken: the next iteration begins with the batch after it.

        What is skipped is not read (an iterable dataset has to be). A sampler must give the same numbers again: ours do for the same
        seed, those with ``set_epoch`` are told the epoch.

        Raises
        ------
        StateError
            If ``state`` is not what :meth:`state_dict` gives.

        Examples
        --------
        >>> from neurenix.data import DataLoader
        >>> loader = DataLoader(range(6), batch_size=2)
        >>> loader.load_state_dict({"epoch": 0, "batch": 2, "seed": 0})
        >>> [batch.tolist() for batch in loader]
        [[4, 5]]
        """
        found = dict(state) if isinstance(state, Mapping) else {}
        if found.keys() != {"epoch", "batch", "seed"} or not all(type(v) is int and v >= 0 for v in found.values()):
            raise StateError(
                f"DataLoader: expected a state with the integers epoch, batch and seed, got {state!r}; pass what state_dict() gave"
            )
        self.epoch, self._skip, self.seed, self._running = found["epoch"], found["batch"], found["seed"], False

    def __iter__(self) -> Iterator[Any]:
        epoch, skip = self.epoch, self._skip
        self.epoch, self._skip, self._running, self._place = epoch + 1, 0, True, (epoch, skip)
        return self._counted(delivered(self._epoch(epoch, skip), self.device, self.pin_memory), epoch, skip)

    def _counted(self, batches: Generator[Any, None, None], epoch: int, skip: int) -> Iterator[Any]:
        """The batches; how many were given is remembered for :meth:`state_dict`."""
        number = skip
        with closing(batches):
            for number, batch in enumerate(batches, skip + 1):
                if self._place[0] == epoch:
                    self._place = (epoch, number)
                yield batch
        if self._place == (epoch, number):
            self._running = False

    def _epoch(self, epoch: int, skip: int) -> Generator[Any, None, None]:
        """Batches of arrays from number ``skip`` on."""
        if self._streams:
            stream = Stream(self.dataset, self.batch_size, self.drop_last, self.collate_fn, self.seed, epoch)
            for _ in range(skip):
                stream.next_batch()
            yield from stream.ahead(self.num_workers * self.prefetch_factor) if self.num_workers else stream
            return
        batches = map(self._own, islice(self._batches(epoch), skip, None))
        fetch = partial(fetch_batch, self.dataset, self.collate_fn, self.seed, epoch)
        yield from map(fetch, batches) if self.num_workers == 0 else self._ahead(fetch, batches)

    def _batches(self, epoch: int) -> Iterator[list[int]]:
        """The item numbers of each batch of an epoch."""
        sampler = self.batch_sampler if self.batch_sampler is not None else self.sampler
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(epoch)
        if self.batch_sampler is not None:
            return map(_numbers_of, self.batch_sampler)
        return self._cut(self._numbers(epoch))

    def _numbers(self, epoch: int) -> Iterator[int]:
        if self.sampler is not None:
            return map(int, self.sampler)
        if self.shuffle:
            with draws.item(self.seed, epoch, draws.EPOCH_ORDER):
                return iter(draws.order(len(self.dataset)))
        return iter(range(len(self.dataset)))

    def _cut(self, numbers: Iterator[int]) -> Iterator[list[int]]:
        while batch := list(islice(numbers, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def _own(self, batch: list[int]) -> list[int]:
        """The part of a batch that this process reads."""
        index, parts = self.part
        if len(batch) % parts:
            raise ArgumentError(
                f"DataLoader: expected batches that {parts} parts divide evenly, got one of {len(batch)} items; pass drop_last=True"
            )
        size = len(batch) // parts
        return batch[index * size : (index + 1) * size]

    def _ahead(self, fetch: Callable[[list[int]], Any], batches: Iterator[list[int]]) -> Iterator[Any]:
        """Batches in order, some of them prepared ahead."""
        pool, task = self._pool(fetch)
        waiting: deque[Future[Any]] = deque()
        try:
            for batch in batches:
                waiting.append(_submit(pool, task, batch))
                if len(waiting) > self.num_workers * self.prefetch_factor:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            error.add_note(
                "a worker process of a DataLoader ended by itself: a script must do its work under if __name__ == '__main__', since "
                "processes import it anew; otherwise it may be out of memory: use fewer workers, or worker='thread'"
            )
            raise
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


def _numbers_of(batch: Any) -> list[int]:
    try:
        return [int(i) for i in batch]
    except TypeError:
        raise ArgumentError(
            f"DataLoader: expected lists of item numbers from batch_sampler, got {batch!r}; pass single numbers as sampler="
        ) from None


def fetch_batch(dataset: Any, collate_fn: Collate, seed: int, epoch: int, numbers: list[int]) -> Any:
    """A batch of the items ``numbers``, each under its own random numbers, put together under those of the batch."""
    items = []
    for number in numbers:
        with draws.item(seed, epoch, number):
            try:
                items.append(dataset[number])
            except Exception as error:
                error.add_note(f"while a DataLoader read item {number} of {type(dataset).__name__} (process {os.getpid()})")
                raise
    with draws.batch(seed, epoch, numbers[0] if numbers else 0):
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
    try:
        return _fetch(numbers)
    except Exception as error:
        if _travels(error):
            raise
        note = "; ".join(getattr(error, "__notes__", []))
        text = f"DataLoader: expected a batch, got {type(error).__name__}: {error} ({note}); use worker='thread' to see where"
    raise StateError(text)


def _travels(error: Exception) -> bool:
    """Whether an exception arrives in the main process; otherwise it would end the pool there, and nobody would learn why."""
    try:
        return type(pickle.loads(pickle.dumps(error))) is type(error)
    except Exception:
        return False


def _check_callable(collate_fn: Any) -> None:
    if collate_fn is not None and not callable(collate_fn):
        kind = type(collate_fn).__name__
        raise ArgumentError(f"DataLoader: expected collate_fn to be callable, got {kind}; pass a function of a list of items")


def _check_order(sampler: Any, batch_sampler: Any, shuffle: bool, cut: bool) -> None:
    """Refuse two who decide the order, or how it is cut into batches."""
    if sampler is not None and shuffle:
        raise ArgumentError("DataLoader: expected either a sampler or shuffle=True, got both; let the sampler shuffle")
    if batch_sampler is not None and (shuffle or cut or sampler is not None):
        raise ArgumentError(
            "DataLoader: expected batch_sampler without batch_size, shuffle, sampler and drop_last, got one of them too; "
            "let the batch_sampler decide"
        )


def _check_part(part: Any, streams: bool) -> tuple[int, int]:
    """A part of each batch."""
    fine = isinstance(part, tuple) and len(part) == 2 and all(type(n) is int for n in part) and 0 <= part[0] < part[1]
    if not fine or (streams and part[1] > 1):
        raise ArgumentError(
            f"DataLoader: expected part=(number from 0, how many), of a dataset with numbered items, got {part!r}; pass shards.part"
        )
    found: tuple[int, int] = part
    return found


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
