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
from neurenix.backend.pinned import pinned


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
        host = pinned(self.cupy, array.shape, array.dtype, "a batch; use smaller batches, or pin_memory=False")
        host[...] = array
        self.stream.wait_event(self.cupy.cuda.get_current_stream().record())
        target.set(host, stream=self.stream)
        done = self.stream.record()
        self._flying.append((done, host))

        def ready() -> Array:
            self.cupy.cuda.get_current_stream().wait_event(done)
            return target

        return ready
