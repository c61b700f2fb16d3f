"""Vectors of one step on their way: each shard's are added in the tree, and every rank gets the sums.

A vector has an owner among the ranks. The others send it their sums while they compute on; it adds them, in the order of the
tree, and sends the whole back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from neurenix import backend, layout
from neurenix.parallel import tree
from neurenix.parallel.ranks import Ranks, wait_until

Vector = np.ndarray[Any, Any]


def new_vector(size: int, dtype: np.dtype[Any]) -> Vector:
    """A vector without values."""
    found: Vector = backend.empty((size,), dtype, "cpu")
    return found


def added(left: Vector, right: Vector) -> Vector:
    """The sum of two vectors, in the place of the first."""
    layout.accumulate(left, right)
    return left


class Joining:
    """The vectors of one step.

    Parameters
    ----------
    ranks : Ranks
    count : int
        Shards.
    kinds : list of (int, dtype)
        Size and element type of each vector.
    """

    def __init__(self, ranks: Ranks, count: int, kinds: list[tuple[int, np.dtype[Any]]]) -> None:
        self.ranks, self.count = ranks, count
        self.stacks: list[tree.Stack[Vector]] = [[] for _ in kinds]
        self.arriving: deque[tuple[int, int, Vector, Callable[[], bool]]] = deque()  # from this rank's GPU
        self.sums: dict[int, Vector] = {}
        self.own = tree.block(ranks.rank, ranks.size, count)
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

    def add(self, number: int, shard: int, vector: Vector, is_there: Callable[[], bool]) -> None:
        """Take over the vector of a shard, once it is there; shards of this rank come in their order."""
        self.arriving.append((number, shard, vector, is_there))
        self.poll()

    def _grow(self, number: int, shard: int, vector: Vector) -> None:
        """Add a vector to those of its shards' neighbours; what this rank adds of a vector of another is sent when it is whole."""
        stack = self.stacks[number]
        tree.grow(stack, (shard, shard + 1), vector, self.count, added)
        if [node for node, _ in stack] == self.own and number not in self.coming:
            self.sent += [(v, self.ranks.send(v, number % self.ranks.size, 2 * number)) for _, v in stack]

    def poll(self) -> None:
        """See what has arrived, and pass on what is whole."""
        while self.arriving and self.arriving[0][3]():
            self._grow(*self.arriving.popleft()[:3])
        for i, parts in list(self.coming.items()):
            if [node for node, _ in self.stacks[i]] == self.own and all(request.Test() for _, _, request in parts):
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

    def _is_done(self) -> bool:
        self.poll()
        return not self.arriving and not self.coming and not self.back and all(request.Test() for _, request in self.sent)

    def wait(self) -> list[Vector]:
        """The sums, when all of them are here and nothing is on its way."""
        wait_until(self._is_done)
        return [self.sums[i] for i in range(len(self.stacks))]
