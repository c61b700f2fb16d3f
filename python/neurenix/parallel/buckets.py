"""Many small arrays as a few vectors, so that few messages carry them and the first can leave before the last is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from neurenix import backend
from neurenix._typing import Array
from neurenix.parallel.joining import Vector, new_vector
from neurenix.tensor import Tensor

ELEMENTS: Final = 1 << 18  # a vector is closed when it has so many


class Bucket(NamedTuple):
    """The tensors whose arrays stand behind each other in one vector, then a number for each: of how many shards it is."""

    tensors: list[Tensor]
    dtype: np.dtype[Any]

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
    """Cut a list of tensors into vectors of one element type."""
    found: list[Bucket] = []
    for t in tensors:
        if not found or found[-1].dtype != t.dtype or found[-1].size >= ELEMENTS:
            found.append(Bucket([], t.dtype))
        found[-1].tensors.append(t)
    return found


class Filling:
    """The vectors of one shard, filled in any order; ``give(number, vector)`` gets each when it is full."""

    def __init__(self, buckets: list[Bucket], give: Callable[[int, Vector], None]) -> None:
        self.give = give
        self.open: dict[int, Vector] = {i: new_vector(b.size, b.dtype) for i, b in enumerate(buckets)}
        self.places = {id(t): (i, part, number) for i, b in enumerate(buckets) for t, part, number in b.parts(self.open[i])}
        self.left = [len(b.tensors) for b in buckets]

    def put(self, t: Tensor, value: Array | None) -> None:
        """Write what a tensor has; ``None`` is nothing."""
        i, part, number = self.places.pop(id(t))
        part[...] = 0 if value is None else backend.to_numpy(value)
        number[...] = value is not None
        self.left[i] -= 1
        if not self.left[i]:
            self.give(i, self.open.pop(i))

    def has(self, t: Tensor) -> bool:
        """Whether a tensor has not been written yet."""
        return id(t) in self.places
