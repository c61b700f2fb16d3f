"""Vectors of one step on their way: each shard's are added in the tree, and every rank gets the sums.

What a rank's own shards have, it adds by itself. How the ranks' sums come together is a transport's: by messages here, in memory that all
of them see in :mod:`neurenix.parallel.shared`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from neurenix import backend, layout
from neurenix.parallel import tree
from neurenix.parallel.ranks import Ranks, wait_until

Vector = np.ndarray[Any, Any]
Kind = tuple[int, np.dtype[Any]]  # size and element type of a vector


def new_vector(size: int, dtype: np.dtype[Any]) -> Vector:
    """A vector without values."""
    found: Vector = backend.empty((size,), dtype, "cpu")
    return found


def added(left: Vector, right: Vector) -> Vector:
    """The sum of two vectors, in the place of the first."""
    layout.accumulate(left, right)
    return left


class Joining(ABC):
    """The vectors of one step; what a transport does with the sums of the others is its own.

    Parameters
    ----------
    ranks : Ranks
    count : int
        Shards.
    kinds : list of (int, dtype)
        Size and element type of each vector.
    """

    def __init__(self, ranks: Ranks, count: int, kinds: list[Kind]) -> None:
        self.ranks, self.count = ranks, count
        self.stacks: list[tree.Stack[Vector]] = [[] for _ in kinds]
        self.arriving: deque[tuple[int, int, Vector, Callable[[], bool]]] = deque()  # from this rank's GPU
        self.sums: dict[int, Vector] = {}
        self.own = tree.block(ranks.rank, ranks.size, count)

    def vector(self, _number: int, _shard: int) -> Vector | None:
        """Where what a shard has should be written; None where that does not matter."""
        return None

    def add(self, number: int, shard: int, vector: Vector, is_there: Callable[[], bool]) -> None:
        """Take over the vector of a shard, once it is there; shards of this rank come in their order."""
        self.arriving.append((number, shard, vector, is_there))
        self.poll()

    def poll(self) -> None:
        """See what has arrived, and pass on what is whole."""
        while self.arriving and self.arriving[0][3]():
            number, shard, vector, _ = self.arriving.popleft()
            tree.grow(self.stacks[number], (shard, shard + 1), vector, self.count, added)
            if self.is_whole(number):
                self.pass_on(number)
        self.look()

    def is_whole(self, number: int) -> bool:
        """Whether all that this rank's shards have of a vector is added."""
        return [node for node, _ in self.stacks[number]] == self.own

    @abstractmethod
    def pass_on(self, number: int) -> None:
        """Let other ranks have what this one's shards have of a vector."""

    @abstractmethod
    def look(self) -> None:
        """See what other ranks have done."""

    @abstractmethod
    def is_done(self) -> bool:
        """Whether all sums are here and nothing of this rank's is needed any more."""

    def refuse(self) -> None:  # noqa: B027 - not every transport has something to end
        """End a step that all ranks refuse at the same place: what is under way must not meet the next one's."""

    def drop(self) -> None:  # noqa: B027 - as above
        """End a step that failed here."""

    def wait(self) -> list[Vector]:
        """The sums, when all of them are here and nothing is on its way."""

        def is_over() -> bool:
            self.poll()
            return not self.arriving and self.is_done()

        wait_until(is_over)
        return [self.sums[i] for i in range(len(self.stacks))]


class ByMessages(Joining):
    """A vector has an owner among the ranks. The others send it their sums while they compute on; it adds them and sends the whole back."""

    def __init__(self, ranks: Ranks, count: int, kinds: list[Kind]) -> None:
        super().__init__(ranks, count, kinds)
        self.coming: dict[int, list[tuple[tree.Node, Vector, Any]]] = {}  # sums of other ranks, of vectors that this one owns
        self.back: dict[int, tuple[Vector, Any]] = {}
        self.sent: list[tuple[Vector, Any]] = []  # kept until they have left
        others = [r for r in range(ranks.size) if r != ranks.rank]
        for i, kind in enumerate(kinds):
            if i % ranks.size == ranks.rank:
                awaited = [(r, node, new_vector(*kind)) for r in others for node in tree.block(r, ranks.size, count)]
                self.coming[i] = [(node, v, ranks.receive(v, r, 2 * i)) for r, node, v in awaited]
            else:
                v = new_vector(*kind)
                self.back[i] = (v, ranks.receive(v, i % ranks.size, 2 * i + 1))

    def pass_on(self, number: int) -> None:
        """Send the owner of a vector what this rank has of it."""
        if number not in self.coming:
            self.sent += [(v, self.ranks.send(v, number % self.ranks.size, 2 * number)) for _, v in self.stacks[number]]

    def look(self) -> None:
        """Add up vectors that this rank owns, and take those that come back."""
        for i, parts in list(self.coming.items()):
            if self.is_whole(i) and all(request.Test() for _, _, request in parts):
                self._close(i, parts)
        for i, (v, request) in list(self.back.items()):
            if request.Test():
                self.sums[i] = v
                del self.back[i]

    def _close(self, number: int, parts: list[tuple[tree.Node, Vector, Any]]) -> None:
        """Add up a vector that this rank owns, and send it to the others."""
        stack: tree.Stack[Vector] = []
        for node, v in sorted([*self.stacks[number], *((node, v) for node, v, _ in parts)], key=lambda part: part[0]):
            tree.grow(stack, node, v, self.count, added)
        self.sums[number] = whole = stack[0][1]
        del self.coming[number]
        others = [r for r in range(self.ranks.size) if r != self.ranks.rank]
        self.sent += [(whole, self.ranks.send(whole, r, 2 * number + 1)) for r in others]

    def is_done(self) -> bool:
        """Whether all sums are here and all messages have left."""
        return not self.coming and not self.back and all(request.Test() for _, request in self.sent)

    def refuse(self) -> None:
        """Await nothing more, and leave what comes nevertheless where no later step looks."""
        if self.ranks.size > 1:
            for request in [*(r for parts in self.coming.values() for _, _, r in parts), *(r for _, r in self.back.values())]:
                request.Cancel()
                request.Wait()
            self.ranks._move(self.sent)
