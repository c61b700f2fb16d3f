"""Memory of the CPU that a GPU reads and writes by itself, and the copies into it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from neurenix._typing import Array
from neurenix.backend.room import size
from neurenix.errors import OutOfMemoryError


def pinned(cupy: Any, shape: tuple[int, ...], dtype: np.dtype[Any], purpose: str) -> np.ndarray[Any, Any]:
    """A new array without values; its memory goes back to CuPy's pool with its last view. ``purpose``: what for, and what to do else."""
    what, advice = purpose.split("; ")
    count = int(np.prod(shape))
    try:
        memory = cupy.cuda.alloc_pinned_memory(count * dtype.itemsize)
    except (MemoryError, RuntimeError) as error:
        raise OutOfMemoryError(
            f"cuda: expected {size(count * dtype.itemsize)} of pinned memory for {what}, got none ({error}); {advice}"
        ) from None
    return np.frombuffer(memory, dtype, count).reshape(shape)


class Downloads:
    """The copies from one GPU beside its work, on a stream of their own; made and used while it is CuPy's current device.

    A copy begins once the work queued so far is done. What is copied, and where to, is held until it is: neither memory is given to
    something else before.
    """

    def __init__(self, cupy: Any) -> None:
        self.cupy = cupy
        self.stream = cupy.cuda.Stream(non_blocking=True)
        self._flying: deque[tuple[Any, Array, np.ndarray[Any, Any]]] = deque()

    def start(self, array: Array, host: np.ndarray[Any, Any]) -> Callable[[], bool]:
        """Queue the copy of a dense array into pinned memory of its shape and type; calling what comes back tells whether it is there."""
        self.stream.wait_event(self.cupy.cuda.get_current_stream().record())
        array.get(stream=self.stream, out=host, blocking=False)
        done = self.stream.record()
        self._flying.append((done, array, host))

        def is_there() -> bool:
            there = bool(done.done)
            while there and self._flying and self._flying[0][0].done:
                self._flying.popleft()
            return there

        return is_there
