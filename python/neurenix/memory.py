"""Memory of arrays: how much is alive, was alive and is cached, on either device."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from neurenix import _rust
from neurenix._typing import DeviceLike
from neurenix.backend.doors import door_named
from neurenix.errors import ArgumentError, OutOfMemoryError

Block: TypeAlias = tuple[int, int, int, bool]
_limit: int | None = None


def memory_stats(device: DeviceLike = "cpu") -> dict[str, int]:
    """Bytes of arrays on a device: ``live`` now, ``peak`` since the last :func:`reset_peak`, ``cached`` for reuse.

    Examples
    --------
    >>> import neurenix as nx
    >>> sorted(nx.memory_stats())
    ['cached', 'live', 'peak']
    """
    return door_named(device).memory_stats(device)


def reset_peak(device: DeviceLike = "cpu") -> None:
    """Start measuring the peak anew from what is alive now.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.zeros(1000, 1000)
    >>> del x
    >>> nx.reset_peak()
    >>> stats = nx.memory_stats()
    >>> stats["peak"] == stats["live"]
    True
    """
    door_named(device).reset_peak(device)


def empty_cache(device: DeviceLike = "cpu") -> None:
    """Give cached memory back to the system or driver.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.zeros(1000, 1000)
    >>> del x
    >>> before = nx.memory_stats()["cached"]
    >>> nx.empty_cache()
    >>> nx.memory_stats()["cached"] <= before
    True
    """
    door_named(device).empty_cache(device)


def set_memory_limit(limit: int | None) -> None:
    """Let arrays on the CPU take at most ``limit`` bytes together; ``None`` lifts it.

    Raises
    ------
    ArgumentError
        If ``limit`` is not a number of bytes.

    Notes
    -----
    A call of a model is planned first (see :meth:`neurenix.nn.Module.memory_plan`), once for each shape: one that cannot fit
    raises :class:`neurenix.errors.OutOfMemoryError` before it computes, with the numbers. Whatever else would go beyond raises
    the same and changes nothing.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.set_memory_limit(8 * 2**30)
    >>> nx.get_memory_limit() // 2**30
    8
    >>> nx.set_memory_limit(None)
    """
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or not 0 < limit < 1 << 63):
        raise ArgumentError(f"set_memory_limit: expected a positive number of bytes or None, got {limit!r}; pass e.g. 8 * 2**30")
    global _limit
    _limit = limit
    _rust.set_memory_limit(limit)


def get_memory_limit() -> int | None:
    """Bytes that arrays on the CPU may take together, ``None`` without a limit; see :func:`set_memory_limit`.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.get_memory_limit() is None
    True
    """
    return _limit


@contextmanager
def counted() -> Iterator[list[int]]:
    """Context in which arrays and kernels of this thread take memory that is counted and never written to.

    Behind it the list has the most bytes of arrays that were alive at once.
    """
    most: list[int] = []
    _rust.plan_begin()
    try:
        yield most
    finally:
        most.append(_rust.plan_end())


def count_anew() -> int:
    """Look for the peaks anew, inside :func:`counted`; bytes of arrays that are alive."""
    return _rust.plan_reset_peak()


def counted_blocks() -> list[Block]:
    """What is alive inside :func:`counted`: number, address, bytes, and whether a kernel took it for itself."""
    return _rust.plan_live()


def counted_peak() -> tuple[int, list[Block], int]:
    """The most bytes resident at once inside :func:`counted`; what was alive when most was, and bytes in the scratch of threads then."""
    return _rust.plan_peak()


def resident() -> int:
    """Bytes that arrays add to the size of the process, those cached for reuse among them."""
    return _rust.memory_resident()


def held_by_process(pid: int | None = None, *, most: bool = False) -> int:
    """Bytes of memory that a process holds, or held at most so far; of this one where no number is given.

    0 of another process that has ended; the most so far of this one where the system does not say.
    """
    from pathlib import Path  # costs an import of the library a millisecond

    name = "VmHWM" if most else "VmRSS"
    try:
        status = Path(f"/proc/{'self' if pid is None else pid}/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith(name))
    except (OSError, StopIteration):
        if pid is not None:
            return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1 << 10)


def require_room(op: str, shape: Sequence[int], itemsize: int) -> None:
    """Refuse an output that this machine cannot hold, before tables as long as its axes are made for it.

    Raises
    ------
    OutOfMemoryError
        If the output, or the tables of its longest axis, need more than all memory there is.
    """
    have = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    wanted = max(math.prod(shape) * itemsize, 64 * max(shape, default=0))  # a table has up to 64 bytes a pixel of its axis
    if wanted > have:
        need = f"{tuple(shape)}, {wanted / 2**30:.1f} GiB"
        raise OutOfMemoryError(
            f"{op}: expected an output that fits the {have / 2**30:.1f} GiB of memory here, got {need}; ask for fewer pixels"
        )
