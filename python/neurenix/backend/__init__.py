"""Devices: where an array is, new arrays there, and the kernel table.

Everything above asks this package and never looks at NumPy's or CuPy's modules itself to decide where to compute.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from neurenix._typing import Array, DTypeLike
from neurenix import _rust
from neurenix.backend import cpu as cpu
from neurenix.backend.doors import door_named, door_of, same_device

__all__ = [
    "DLPACK_DEVICES", "device_of", "download", "empty", "from_dlpack", "is_array", "landing", "new", "queue_of", "same_device", "to_device", "to_numpy", "upload",
]  # fmt: skip


def is_array(value: object) -> bool:
    """Whether ``value`` is an array of some device."""
    return isinstance(value, np.ndarray) or type(value).__module__.partition(".")[0] == "cupy"


def device_of(array: Array) -> str:
    """The device an array is on: "cpu", "cuda:0", ..."""
    return "cpu" if type(array) is np.ndarray else door_of(array).device(array)


def empty(shape: tuple[int, ...], dtype: DTypeLike, device: str) -> Array:
    """A new array in C order on a device; its contents have no meaning."""
    return door_named(device).empty(shape, np.dtype(dtype), device)


def new(like: Array, shape: tuple[int, ...], dtype: DTypeLike | None = None) -> Array:
    """A new array in C order beside ``like``, of its element type unless ``dtype`` says otherwise."""
    kind: np.dtype[Any] = like.dtype if dtype is None else np.dtype(dtype)
    if type(like) is np.ndarray:
        return _rust.empty(shape, kind)
    door = door_of(like)
    return door.empty(shape, kind, door.device(like))


def to_device(array: Array, device: str) -> Array:
    """The array on ``device``: itself where it already is there ("cuda" is any GPU), else a copy."""
    here = device_of(array)
    if device in (here, here.partition(":")[0]):
        return array
    door = door_named(device)
    return door.across(array, device) if door is door_of(array) else door.from_numpy(to_numpy(array), device)


def to_numpy(array: Array) -> np.ndarray[Any, Any]:
    """The array on the CPU: itself where it is one, else a copy."""
    return door_of(array).to_numpy(array)


def upload(array: np.ndarray[Any, Any], device: str) -> Callable[[], Array]:
    """Start to copy an array to ``device``, on a GPU beside its work; the function that comes back gives the copy."""
    return door_named(device).upload(array, device)


def landing(shape: tuple[int, ...], dtype: DTypeLike, device: str) -> np.ndarray[Any, Any]:
    """A new array of the CPU into which ``device`` copies beside its work: a GPU's is pinned memory."""
    return door_named(device).landing(shape, np.dtype(dtype), device)


def download(array: Array, host: np.ndarray[Any, Any]) -> Callable[[], bool]:
    """Start to copy a dense array into a :func:`landing` of its device; the function that comes back tells whether it is there.

    Nothing may write to the array meanwhile.
    """
    return door_of(array).download(array, host)


def queue_of(array: Array) -> int:
    """A number for the order of work that kernels on this array now join: a GPU's current stream, 0 on the CPU.

    What is made once and kept for later calls is kept for one queue: another one may not have seen it written yet.
    """
    if type(array) is np.ndarray:
        return 0
    door = door_of(array)
    return door.queue(door.device(array))


_HOSTS = (1, 3, 11)  # the CPU, and its memory pinned for CUDA or ROCm
DLPACK_DEVICES = (*_HOSTS, 2, 13)  # CUDA's own and its managed memory


def from_dlpack(source: Any) -> Array:
    """An array that shares the memory of an object with ``__dlpack__``, on its device."""
    if source.__dlpack_device__()[0] in _HOSTS:
        return np.from_dlpack(source)
    from neurenix.backend import cuda

    return cuda.from_dlpack(source)
