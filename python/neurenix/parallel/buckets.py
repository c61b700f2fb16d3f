"""Many small arrays as a few vectors, so that few messages carry them and the first can leave before the last is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from neurenix import backend, layout
from neurenix._typing import Array
from neurenix.parallel.joining import Vector
from neurenix.tensor import Tensor

ELEMENTS: Final = 1 << 18  # a vector is closed when it has so many


class Bucket(NamedTuple):
    """The tensors whose arrays stand behind each other in one vector, then a number for each: of how many shards it is."""

    tensors: list[Tensor]
    dtype: np.dtype[Any]
    device: str

    @property
    def size(self) -> int:
        """Elements of the vector."""
        return sum(t._array.size + 1 for t in self.tensors)

    def parts(self, vector: Vector) -> list[tuple[Tensor, Vector, Vector]]:
        """Each tensor with its part of a vector, in its shape, and its number."""
        found, place, numbers = [], 0, len(vector) - len(self.tensors)
        for i, t in enumerate(self.tensors):
            size = t._array.size
            found.append((t, vector[place : place + size].reshape(t.shape), vector[numbers + i :][:1]))
            place += size
        return found


def buckets_of(tensors: Sequence[Tensor]) -> list[Bucket]:
    """Cut a list of tensors into vectors of one element type and device."""
    found: list[Bucket] = []
    for t in tensors:
        if not found or (found[-1].dtype, found[-1].device) != (t.dtype, t.device) or found[-1].size >= ELEMENTS:
            found.append(Bucket([], t.dtype, t.device))
        found[-1].tensors.append(t)
    return found


class Filling:
    """The vectors of one shard, filled in any order.

    ``give(number, vector, is_there)`` gets each when all of its tensors have been put; a GPU may still be copying what they have, until
    ``is_there()``. ``place(number)`` is where a vector is to lie, or ``None``.
    """

    def __init__(
        self,
        buckets: list[Bucket],
        give: Callable[[int, Vector, Callable[[], bool]], None],
        place: Callable[[int], Vector | None],
    ) -> None:
        self.give = give
        self.open: dict[int, Vector] = {}
        for i, b in enumerate(buckets):
            vector = place(i)
            self.open[i] = backend.landing((b.size,), b.dtype, b.device) if vector is None else vector
        self.copies: list[list[Callable[[], bool]]] = [[] for _ in buckets]
        self.places = {id(t): (i, part, number) for i, b in enumerate(buckets) for t, part, number in b.parts(self.open[i])}
        self.left = [len(b.tensors) for b in buckets]

    def put(self, t: Tensor, value: Array | None) -> None:
        """Write what a tensor has, which nothing changes any more; ``None`` is nothing."""
        i, part, number = self.places.pop(id(t))
        number[...] = value is not None
        if value is None:
            part[...] = 0
        else:
            self.copies[i].append(backend.download(value if type(value) is np.ndarray else layout.contiguous(value), part))
        self.left[i] -= 1
        if not self.left[i]:
            self.give(i, self.open.pop(i), lambda: all(is_there() for is_there in self.copies[i]))

    def has(self, t: Tensor) -> bool:
        """Whether a tensor has not been written yet."""
        return id(t) in self.places
