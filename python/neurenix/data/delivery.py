"""Batches on their way to a device, ahead of their use."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from typing import Any

import numpy as np

from neurenix import backend
from neurenix._typing import DeviceLike
from neurenix.backend.devices import device as named
from neurenix.errors import ArgumentError
from neurenix.tensor import Tensor

Ready = Callable[[], Any]  # gives a batch, or a part of one, once it is to be used


def check_target(device: DeviceLike | None, pin_memory: bool) -> DeviceLike | None:
    """Refuse what names no device, and pinned memory without one to copy to."""
    if device is None and pin_memory:
        raise ArgumentError(
            "DataLoader: expected a device with pin_memory=True, got None; pass device='cuda', and batches are copied there beside the computing"
        )
    return None if device is None else named(device)


def delivered(batches: Generator[Any, None, None], device: DeviceLike | None, ahead: bool) -> Generator[Any, None, None]:
    """The batches as tensors on a device; with ``ahead`` the next one is on its way while one is used."""
    with closing(batches):
        if not ahead:
            for batch in batches:
                yield to_tensors(batch, device)
            return
        under_way: Ready | None = None
        failure: Exception | None = None
        while failure is None:
            try:
                following = _mapped(next(batches), lambda array: _sent(array, device))
            except Exception as error:  # of the batch that is not due yet, or the end
                following, failure = None, error
            if under_way is not None:
                yield under_way()
            under_way = following
        if not isinstance(failure, StopIteration):
            raise failure


def to_tensors(batch: Any, device: DeviceLike | None = None) -> Any:
    """The batch with its arrays as tensors, on a device where one is named."""

    def start(array: np.ndarray[Any, Any]) -> Ready:
        return lambda: Tensor(array, device=device)

    return _mapped(batch, start)()


def _sent(array: np.ndarray[Any, Any], device: DeviceLike | None) -> Ready:
    """Start to copy one array; what comes back waits for it on the device, not here."""
    ready = backend.upload(Tensor(array)._array, device or "cpu")
    return lambda: Tensor._wrap(ready())


def _mapped(batch: Any, start: Callable[[np.ndarray[Any, Any]], Ready]) -> Ready:
    """Start the arrays of a batch; what comes back gives the same structure."""
    if isinstance(batch, np.ndarray) and batch.dtype.kind in "biuf":
        return start(batch)
    if isinstance(batch, Mapping):
        entries = {key: _mapped(value, start) for key, value in batch.items()}
        return lambda: {key: ready() for key, ready in entries.items()}
    if isinstance(batch, (tuple, list)):
        kind, parts = type(batch), [_mapped(part, start) for part in batch]
        return lambda: kind(*(r() for r in parts)) if hasattr(kind, "_fields") else kind([r() for r in parts])
    return lambda: batch
