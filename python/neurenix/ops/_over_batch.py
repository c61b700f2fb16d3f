"""Sums over a whole batch inside a loss: of Dice's regions, of weights, of the pixels that count.

Where a step is computed in shards of its batch (:mod:`neurenix.parallel`), such a sum has to cover all of them before the loss goes
on. Losses say so here; everywhere else these sums are what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from neurenix.tensor import Tensor

Join = Callable[[list[Tensor]], list[Tensor]]
_join: ContextVar[Join | None] = ContextVar("join", default=None)


@contextmanager
def joined_by(join: Join) -> Iterator[None]:
    """Let ``join`` turn the sums of a shard into those of its batch."""
    token = _join.set(join)
    try:
        yield
    finally:
        _join.reset(token)


def is_sharded() -> bool:
    """Whether the batch here is a part of one."""
    return _join.get() is not None


def over_batch(sums: list[Tensor]) -> list[Tensor]:
    """Sums over the batch here, or over all of which it is a part."""
    join = _join.get()
    return sums if join is None else join(sums)


def ratio(total: Tensor, count: Tensor) -> Tensor:
    """A mean over the batch: what was summed over what was counted."""
    total, count = over_batch([total, count])
    found: Tensor = total / count
    return found
