"""Copies to a GPU beside its work: through pinned memory, on a stream of their own.

The target is memory of the computing stream. The copy begins once the work queued there so far is done, for the memory may
be in use by it, and runs beside the work that is queued next; who takes the array makes the computing stream wait for the
copy's event, and the host waits for nothing. Pinned memory is held until its copy is done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from neurenix._typing import Array
from neurenix.backend.room import size
from neurenix.errors import OutOfMemoryError


class Uploads:
    """The copies to one GPU; made and used while it is CuPy's current device."""

    def __init__(self, cupy: Any) -> None:
        self.cupy = cupy
        self.stream = cupy.cuda.Stream(non_blocking=True)
        self._flying: deque[tuple[Any, np.ndarray[Any, Any]]] = deque()

    def start(self, array: np.ndarray[Any, Any], target: Array) -> Callable[[], Array]:
        """Queue the copy of ``array`` into ``target``, of its shape and type; calling what comes back gives ``target`` to the
        current stream.
        """
        while self._flying and self._flying[0][0].done:
            self._flying.popleft()
        host = self._pinned(array)
        self.stream.wait_event(self.cupy.cuda.get_current_stream().record())
        target.set(host, stream=self.stream)
        done = self.stream.record()
        self._flying.append((done, host))

        def ready() -> Array:
            self.cupy.cuda.get_current_stream().wait_event(done)
            return target

        return ready

    def _pinned(self, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """A copy in memory that the GPU reads by itself; it goes back to CuPy's pool with its last view."""
        try:
            memory = self.cupy.cuda.alloc_pinned_memory(array.nbytes)
        except (MemoryError, RuntimeError) as error:
            raise OutOfMemoryError(
                f"cuda: expected {size(array.nbytes)} of pinned memory for a batch, got none ({error}); use smaller batches, or pin_memory=False"
            ) from None
        host = np.frombuffer(memory, array.dtype, array.size).reshape(array.shape)
        host[...] = array
        return host
