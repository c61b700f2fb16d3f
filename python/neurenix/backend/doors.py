"""The doors to the devices: which arrays are whose, and how a row's call gets there.

A door is looked up by the exact type of an array: ``numpy.ndarray`` is the CPU, ``cupy.ndarray`` a GPU. Tests add a door
for an emulated GPU.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from neurenix._typing import Array
from neurenix.errors import ArgumentError, DeviceError, InternalError

if TYPE_CHECKING:
    from neurenix.backend.kernel import Kernel


class Door(Protocol):
    """What a device must be able to do besides running kernels."""

    def launch(self, row: Kernel, args: tuple[Any, ...]) -> None:
        """Run one row of the kernel table."""

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any], device: str, /) -> Array:
        """Give a new array in C order with no meaning in it."""

    def from_numpy(self, array: np.ndarray[Any, Any], device: str, /) -> Array:
        """Copy an array to the device."""

    def to_numpy(self, array: Array) -> np.ndarray[Any, Any]:
        """Copy an array from the device."""

    def across(self, array: Array, device: str, /) -> Array:
        """Copy an array from another device of this kind."""

    def upload(self, array: np.ndarray[Any, Any], device: str, /) -> Callable[[], Array]:
        """Start to copy an array to the device beside its work; the function that comes back gives the copy."""

    def landing(self, shape: tuple[int, ...], dtype: np.dtype[Any], device: str, /) -> np.ndarray[Any, Any]:
        """Give a new array of the CPU into which the device copies beside its work."""

    def download(self, array: Array, host: np.ndarray[Any, Any]) -> Callable[[], bool]:
        """Start to copy a dense array there beside the device's work; the function tells whether it is there."""

    def device(self, array: Array, /) -> str:
        """Name the device of an array, e.g. ``"cuda:0"``."""

    def queue(self, device: str, /) -> int:
        """Tell the stream apart that work of this device goes to now."""

    def memory_stats(self, device: str) -> dict[str, int]:
        """Give the bytes that are ``live``, were at the ``peak`` and are ``cached``."""

    def reset_peak(self, device: str) -> None:
        """Set the peak to what is alive now."""

    def empty_cache(self, device: str) -> None:
        """Give cached memory back."""


_OPENING = threading.Lock()
_BY_TYPE: dict[type, Door] = {}
_BY_NAME: dict[str, Door] = {}


def add_door(kind: type, name: str, door: Door) -> None:
    """Make a device known: the type of its arrays and the first part of its name."""
    _BY_TYPE[kind] = door
    _BY_NAME[name] = door


def is_known(name: str) -> bool:
    """Whether a device of this name, without a number, has been added."""
    return name in _BY_NAME


def door_of(array: Array) -> Door:
    """The door of an array, by its exact type."""
    door = _BY_TYPE.get(type(array))
    if door is None and type(array).__module__.partition(".")[0] == "cupy":
        _load_cuda()
        door = _BY_TYPE.get(type(array))
    if door is None:
        raise InternalError(f"internal: expected an array of a known device, got {type(array)!r}")
    return door


def door_named(device: str) -> Door:
    """The door of a device name such as ``"cpu"`` or ``"cuda:1"``."""
    name = device.partition(":")[0] if isinstance(device, str) else device
    if name == "cuda" and name not in _BY_NAME:
        _load_cuda()
    if name not in _BY_NAME:
        raise ArgumentError(f'device: expected "cpu", "cuda" or "cuda:N", got {device!r}; name a device of this machine')
    return _BY_NAME[name]


def _load_cuda() -> None:
    from neurenix.backend import cuda

    with _OPENING:  # threads that ask at once get one door
        if "cuda" not in _BY_NAME:
            cuda.open_door()


def cpu_function(name: str) -> Callable[..., None]:
    """The compiled kernel of this name."""
    from neurenix import _rust

    function: Callable[..., None] | None = getattr(_rust, name, None)
    if function is None:
        raise InternalError(f"internal: the compiled extension has no kernel {name!r}; build it again with `maturin develop --release`")
    return function


def same_device(op: str, *arrays: Array) -> None:
    """Refuse arrays of different devices."""
    if any(type(a) is not np.ndarray for a in arrays):
        names = sorted({door_of(a).device(a) for a in arrays})
        if len(names) > 1:
            raise DeviceError(f'{op}: expected arrays on one device, got {" and ".join(names)}; move one with .to("{names[0]}")')
