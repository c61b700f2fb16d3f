"""Memory of arrays: how much is alive, was alive and is cached, on either device."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

from neurenix import _rust
from neurenix._typing import DeviceLike
from neurenix.backend.doors import door_named
from neurenix.errors import ArgumentError, OutOfMemoryError


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
    """Start measuring the peak anew from what is alive now."""
    door_named(device).reset_peak(device)


def empty_cache(device: DeviceLike = "cpu") -> None:
    """Give cached memory back to the system or driver."""
    door_named(device).empty_cache(device)


def set_memory_limit(limit: int | None) -> None:
    """Let arrays on the CPU take at most ``limit`` bytes together; ``None`` lifts it.

    Raises
    ------
    ArgumentError
        If ``limit`` is not a number of bytes.

    Notes
    -----
    What would go beyond raises :class:`neurenix.errors.OutOfMemoryError` and changes nothing.
    """
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or not 0 < limit < 1 << 63):
        raise ArgumentError(f"set_memory_limit: expected a positive number of bytes or None, got {limit!r}; pass e.g. 8 * 2**30")
    _rust.set_memory_limit(limit)


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
