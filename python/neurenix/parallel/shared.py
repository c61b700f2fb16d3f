"""Vectors of one step in memory that all ranks see, where they run on one machine: added where they lie, and copied once.

The sums of a rank's own shards are made in its segment. When all ranks have theirs, each adds a piece of the vector, in the order of the
tree; when all pieces are added, each takes a copy of the whole. Ranks tell each other by numbers in the same memory.
"""

from __future__ import annotations

import os
import stat
import threading
from contextlib import suppress
from mmap import mmap
from pathlib import Path
from typing import Final

import numpy as np

from neurenix import layout
from neurenix.errors import BackendUnavailableError
from neurenix.parallel import tree
from neurenix.parallel.joining import ByMessages, Joining, Kind, Vector, added
from neurenix.parallel.ranks import Ranks, wait_until

TRANSPORT: Final = "NEURENIX_TRANSPORT"  # "memory" or "messages" instead of what fits
_PAGE: Final = 4096
_PIECE: Final = 1024  # elements; pieces of a vector share no line of a cache
_KEPT: Final = 4  # sets of vectors whose memory waits for their next step: models that take turns
_SUMMED, _ADDED, _TAKEN = 1, 2, 3  # how far a rank is with a vector of a step
_lock = threading.Lock()


def joining(ranks: Ranks, count: int, kinds: list[Kind], *, on_cpu: bool) -> Joining:
    """A step's joining, by the transport that fits: memory for arrays of the CPU where all ranks share a machine, else messages.

    Raises
    ------
    BackendUnavailableError
        If the ranks were told to use memory, and cannot.
    """
    shelves, key = ranks._shelves, (count, *kinds)
    if shelves is None or ranks.size == 1 or not on_cpu:
        return ByMessages(ranks, count, kinds)
    if key not in shelves:
        shelves[key] = _shelf(ranks, count, kinds)
        if len(shelves) > _KEPT:
            del shelves[next(iter(shelves))]
    shelf = shelves[key]
    return ByMessages(ranks, count, kinds) if shelf is None else InMemory(ranks, count, kinds, shelf)


def _in_order() -> None:
    """What this thread wrote or read before comes before what it does next, also for processors that reorder: as locks promise."""
    for _ in range(2):
        with _lock:
            pass


class Shelf:
    """Memory for the vectors of a step, one after the other's: what each rank's shards have, and how far each rank is.

    A rank's number for a vector is three times the step's, and more as it goes on: it never falls.
    """

    def __init__(self, segments: list[mmap], blocks: list[list[tree.Node]], kinds: list[Kind]) -> None:
        self.step = -1
        self.far = [memoryview(s)[_PAGE : _PAGE + 8 * len(kinds)].cast("q") for s in segments]
        self.parts: list[tree.Stack[Vector]] = [[] for _ in kinds]  # in the order of the tree
        for segment, block in zip(segments, blocks, strict=True):
            place = _first_place(kinds)
            for node in block:
                for i, (size, dtype) in enumerate(kinds):
                    self.parts[i].append((node, np.frombuffer(segment, dtype, size, place)))
                    place += _pages(size * dtype.itemsize)


def _pages(size: int) -> int:
    return -(-size // _PAGE) * _PAGE


def _first_place(kinds: list[Kind]) -> int:
    return _PAGE + _pages(8 * len(kinds))  # behind the token and the numbers


def _shelf(ranks: Ranks, count: int, kinds: list[Kind]) -> Shelf | None:
    """Memory for such vectors, made by all ranks together; None where they go by messages."""
    blocks = [tree.block(r, ranks.size, count) for r in range(ranks.size)]
    sizes = [_first_place(kinds) + len(block) * sum(_pages(size * dtype.itemsize) for size, dtype in kinds) for block in blocks]
    token = os.urandom(16)
    file = _made(sizes[ranks.rank], token)
    rows = ranks.gather((os.environ.get(TRANSPORT, ""), _machine(), f"/proc/{os.getpid()}/fd/{file}", token, file >= 0))
    wanted = {row[0] for row in rows}
    if wanted - {"", "memory", "messages"} or len(wanted) > 1:
        raise BackendUnavailableError(
            f"ranks: expected {TRANSPORT} memory or messages, the same on all ranks, got {sorted(wanted)}; unset it"
        )
    can = len({row[1] for row in rows}) == 1 and all(row[4] for row in rows) and wanted != {"messages"}
    segments = [_seen(Path(row[2]), size, row[3]) for row, size in zip(rows, sizes, strict=True)] if can else [None]
    found = [s for s in segments if s is not None]
    failed = ranks.any(len(found) < ranks.size)  # and all have opened all
    if file >= 0:
        os.close(file)
    if failed and wanted == {"memory"}:
        raise BackendUnavailableError(
            f"ranks: expected ranks that share the memory of one machine ({TRANSPORT}), got machines {sorted({row[1] for row in rows})} or "
            f"no {sizes[ranks.rank]:,} bytes to share; unset it, or set it to messages"
        )
    return None if failed else Shelf(found, blocks, kinds)


def _machine() -> str:
    """What no other machine has, and each start of this one another."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def _made(size: int, token: bytes) -> int:
    """A file that is memory only and goes with its last user, whatever ends that; -1 where there is none."""
    if not hasattr(os, "memfd_create"):
        return -1
    try:
        file = os.memfd_create("neurenix")
    except OSError:
        return -1
    try:
        os.posix_fallocate(file, 0, size)  # here and now: later, a lack of memory would be a signal
        os.pwrite(file, token, 0)
    except OSError:
        os.close(file)
        return -1
    return file


def _seen(path: Path, size: int, token: bytes) -> mmap | None:
    """The memory of a rank; None if that cannot be reached, or the path leads to something else."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size != size:
            return None
        with path.open("r+b") as file:
            memory = mmap(file.fileno(), size)
    except OSError:
        return None
    return memory if memory[: len(token)] == token else None


class InMemory(Joining):
    """The vectors of one step, on a shelf."""

    def __init__(self, ranks: Ranks, count: int, kinds: list[Kind], shelf: Shelf) -> None:
        super().__init__(ranks, count, kinds)
        shelf.step += 1
        self.shelf, self.begin = shelf, _TAKEN * shelf.step
        self.under_way: dict[int, int] = {}  # how far this rank is with each vector

    def _all_are(self, number: int, far: int) -> bool:
        return all(row[number] >= self.begin + far for row in self.shelf.far)

    def _tell(self, number: int, far: int) -> None:
        _in_order()
        self.shelf.far[self.ranks.rank][number] = self.begin + far
        self.under_way[number] = far

    def vector(self, number: int, shard: int) -> Vector | None:
        """The place on the shelf for the first shard of each sum: the others are added to it there."""
        if all(start != shard for start, _ in self.own):
            return None
        wait_until(lambda: self._all_are(number, 0))  # have taken what the last step left there
        return next(v for (start, _), v in self.shelf.parts[number] if start == shard)

    def pass_on(self, number: int) -> None:
        """Say that what this rank's shards have of a vector lies there."""
        self._tell(number, _SUMMED)

    def look(self) -> None:
        """Add this rank's piece of vectors that all have summed, and take those of which all pieces are added."""
        for i, far in list(self.under_way.items()):
            if not self._all_are(i, far):
                continue
            _in_order()
            if far == _SUMMED:
                self._add_piece(i)
                self._tell(i, _ADDED)
            else:
                self.sums[i] = layout.copy(self.shelf.parts[i][0][1])
                self._tell(i, _TAKEN)
                del self.under_way[i]

    def _add_piece(self, number: int) -> None:
        """Add what all ranks have of one piece of a vector, in the place of the first."""
        parts = self.shelf.parts[number]
        size = -(-len(parts[0][1]) // (self.ranks.size * _PIECE)) * _PIECE
        piece = slice(self.ranks.rank * size, (self.ranks.rank + 1) * size)
        stack: tree.Stack[Vector] = []
        for node, v in parts:
            tree.grow(stack, node, v[piece], self.count, added)

    def is_done(self) -> bool:
        """Whether all sums are here."""
        return len(self.sums) == len(self.stacks)

    def drop(self) -> None:
        """Leave the shelf as a step that ended does: all ranks failed alike, and none reads any more."""
        for i in range(len(self.stacks)):
            self.shelf.far[self.ranks.rank][i] = self.begin + _TAKEN
