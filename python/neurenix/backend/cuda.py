"""The GPU: CuPy arrays and our raw CUDA kernels. The only module that imports CuPy, and only when a GPU is asked for."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from neurenix._typing import Array
from neurenix.backend import doors, launch, nvrtc, room
from neurenix.backend.kernel import Kernel
from neurenix.backend.packages import import_cupy, require_gpu
from neurenix.backend.pinned import Downloads, pinned
from neurenix.backend.sources import Rule
from neurenix.backend.uploads import Uploads
from neurenix.errors import ArgumentError, BackendUnavailableError, DeviceError


def open_door() -> CudaDoor:
    """Make the device "cuda" known.

    Raises
    ------
    BackendUnavailableError
        If CuPy, its compiler, the driver or a GPU is missing, or if two CuPy packages are installed; the text says what to do.
    """
    cupy = import_cupy()
    door = CudaDoor(cupy, require_gpu(cupy))
    doors.add_door(cupy.ndarray, "cuda", door)
    return door


class CudaDoor:
    """The way to the CUDA kernels, on CuPy's current stream of each device; nothing here waits for a GPU."""

    most_blocks = 1 << 16

    def __init__(self, cupy: Any, count: int) -> None:
        self.cupy, self.count = cupy, count
        self.array_type: type = cupy.ndarray
        self.compiler = nvrtc.Compiler(cupy)
        self._targets: dict[int, nvrtc.Target] = {}  # of the devices in use
        self._modules: dict[tuple[str, str, nvrtc.Target], Any] = {}
        self._functions: dict[tuple[str, str, nvrtc.Target], Callable[..., None]] = {}
        self._uploads: dict[int, Uploads] = {}
        self._downloads: dict[int, Downloads] = {}
        self._peaks = [0] * count
        self._cards: dict[int, tuple[int, int]] = {}

    # --- kernels

    def launch(self, row: Kernel, args: tuple[Any, ...]) -> None:
        """Run one row of the kernel table on the device of its arrays, which must be one."""
        found = {i: None for i in map(self._index_of, args) if i is not None}
        if len(found) > 1:
            names = " and ".join(f"cuda:{i}" for i in sorted(found))
            raise DeviceError(f'{row.name}: expected arrays on one device, got {names}; move one with .to("cuda:{min(found)}")')
        with self._on(next(iter(found))):
            launch.run(row, args, self)

    def address(self, array: Array) -> int:
        """Give the address of position (0, ..., 0)."""
        return int(array.data.ptr)

    def card(self) -> tuple[int, int]:
        """Give compute capability (80 for 8.0) and number of multiprocessors of the current device."""
        index = self.current()
        if index not in self._cards:
            device = self.cupy.cuda.Device(index)
            self._cards[index] = (int(device.compute_capability), int(device.attributes["MultiProcessorCount"]))
        return self._cards[index]

    def scratch(self, like: Array, size: int, dtype: np.dtype[Any]) -> Array:
        """Give memory with no meaning in it, from the pool of the current device."""
        return self.empty((size,), dtype, self.device(like))

    def function(self, row: Kernel, rule: Rule, suffix: str) -> Callable[..., None]:
        """Give the compiled kernel for the current device."""
        target, name = self._target(self.current()), rule.kernel or row.name
        key = (name, suffix, target)
        if key not in self._functions:
            self._functions[key] = self._module(rule.file or row.stem, suffix, target).get_function(f"{name}_{suffix}")
        return self._functions[key]

    def _module(self, stem: str, suffix: str, target: nvrtc.Target) -> Any:
        key = (stem, suffix, target)
        if key not in self._modules:
            path, _ = self.compiler.file(stem, suffix, target)
            self._modules[key] = self.cupy.RawModule(path=str(path))
        return self._modules[key]

    def _target(self, index: int) -> nvrtc.Target:
        """What a device's kernels are compiled for; a card that is too old is refused here, when it is first used."""
        if index not in self._targets:
            card = self.name(index)
            self._targets[index] = self.compiler.target(self.cupy.cuda.Device(index).compute_capability, f"cuda:{index} ({card})")
        return self._targets[index]

    # --- arrays

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any], device: str) -> Array:
        """Give a new array in C order with no meaning in it, from CuPy's pool."""
        index = self._number(device)
        with self._on(index), self._enough(index, shape, dtype):
            array = self.cupy.empty(shape, dtype)
            self._peaks[index] = max(self._peaks[index], self._pool().used_bytes())
        return array

    def from_numpy(self, array: np.ndarray[Any, Any], device: str) -> Array:
        """Copy an array to the device."""
        index = self._number(device)
        with self._on(index), self._enough(index, array.shape, array.dtype):
            return self.cupy.asarray(np.ascontiguousarray(array).reshape(array.shape))

    def to_numpy(self, array: Array) -> np.ndarray[Any, Any]:
        """Copy an array from the device, once all work before it is done."""
        with self._on(array.device.id):
            copy: np.ndarray[Any, Any] = self.cupy.asnumpy(array)
        return copy

    def upload(self, array: np.ndarray[Any, Any], device: str) -> Callable[[], Array]:
        """Start to copy an array to the device beside its work; the function that comes back gives it to the current stream."""
        index = self._number(device)
        with self._on(index):
            if not array.size:
                made = self.empty(array.shape, array.dtype, device)
                return lambda: made
            if index not in self._uploads:
                self._uploads[index] = Uploads(self.cupy)
            ready = self._uploads[index].start(array, self.empty(array.shape, array.dtype, device))

        def on_device() -> Array:
            with self._on(index):
                return ready()

        return on_device

    def landing(self, shape: tuple[int, ...], dtype: np.dtype[Any], device: str) -> np.ndarray[Any, Any]:
        """Give a new array in pinned memory."""
        with self._on(self._number(device)):
            return pinned(self.cupy, shape, dtype, "gradients; use a smaller model, or leave more memory of the machine free")

    def download(self, array: Array, host: np.ndarray[Any, Any]) -> Callable[[], bool]:
        """Start to copy a dense array into pinned memory beside the device's work; the function tells whether it is there."""
        if not array.size:
            return lambda: True
        index = array.device.id
        with self._on(index):
            if index not in self._downloads:
                self._downloads[index] = Downloads(self.cupy)
            return self._downloads[index].start(array, host)

    def across(self, array: Array, device: str) -> Array:
        """Copy an array from another GPU, without a stop on the CPU where it is dense."""
        if not array.flags.c_contiguous:
            return self.from_numpy(self.to_numpy(array), device)
        target = self.empty(array.shape, array.dtype, device)
        with self._on(array.device.id):
            theirs = self.cupy.cuda.get_current_stream()
            written = theirs.record()
        with self._on(target.device.id):
            ours = self.cupy.cuda.get_current_stream()
            ours.wait_event(written)
            target.data.copy_from_device_async(array.data, array.nbytes, ours)
            copied = ours.record()
        with self._on(array.device.id):
            theirs.wait_event(copied)  # before its memory is used for something else
        return target

    def device(self, array: Array) -> str:
        """Name the device of an array, e.g. ``"cuda:0"``."""
        return f"cuda:{array.device.id}"

    def queue(self, device: str) -> int:
        """Tell the stream apart that work of this device goes to now."""
        with self._on(self._number(device)):
            return int(self.cupy.cuda.get_current_stream().ptr)

    # --- devices

    def current(self) -> int:
        """Number the device that "cuda" means now."""
        return int(self.cupy.cuda.runtime.getDevice())

    def name(self, index: int) -> str:
        """Give the card's name."""
        name = self.cupy.cuda.runtime.getDeviceProperties(index)["name"]
        return name.decode() if isinstance(name, bytes) else str(name)

    def memory_stats(self, device: str) -> dict[str, int]:
        """Give bytes alive in CuPy's pool, at the peak (as seen whenever an array of ours was made) and cached."""
        index = self._number(device)
        with self._on(index):
            live, cached = int(self._pool().used_bytes()), int(self._pool().free_bytes())
        return {"live": live, "peak": max(live, self._peaks[index]), "cached": cached}

    def reset_peak(self, device: str) -> None:
        """Set the peak to what is alive."""
        self._peaks[self._number(device)] = 0

    def empty_cache(self, device: str) -> None:
        """Give cached memory back: a GPU's to the driver, pinned memory to the system."""
        with self._on(self._number(device)):
            self._pool().free_all_blocks()
            self.cupy.get_default_pinned_memory_pool().free_all_blocks()

    def room(self, index: int) -> room.Room:
        """Give the bytes that are free, there at all, alive and cached."""
        with self._on(index):
            free, total = map(int, self.cupy.cuda.runtime.memGetInfo())
            return room.Room(free, total, int(self._pool().used_bytes()), int(self._pool().free_bytes()))

    def _pool(self) -> Any:
        return self.cupy.get_default_memory_pool()

    @contextlib.contextmanager
    def _enough(self, index: int, shape: Sequence[int], dtype: np.dtype[Any]) -> Iterator[None]:
        """Turn CuPy's error for a full memory, which comes after it has given back its cache, into ours."""
        try:
            yield
        except MemoryError:
            need = math.prod(shape) * dtype.itemsize
            raise room.full(f"cuda:{index}", shape, dtype, need, self.room(index)) from None

    def _index_of(self, value: Any) -> int | None:
        first = value[0] if type(value) is list and value else value
        ours = isinstance(first, self.array_type)
        return first.device.id if ours else None

    def _on(self, index: int) -> contextlib.AbstractContextManager[Any]:
        if index == self.current():
            return contextlib.nullcontext()
        context: contextlib.AbstractContextManager[Any] = self.cupy.cuda.Device(index)
        return context

    def _number(self, device: str) -> int:
        _, colon, number = device.partition(":")
        if colon and not number.isdecimal():
            raise ArgumentError(f'device: expected "cpu", "cuda" or "cuda:N", got {device!r}; name a device of this machine')
        index = int(number) if colon else self.current()
        if index >= self.count:
            known = ", ".join(f"cuda:{i}" for i in range(self.count))
            raise BackendUnavailableError(f"cuda: expected one of the {self.count} devices of this machine, got {device!r}; use {known}")
        if index not in self._targets:
            self._target(index)
        return index


def from_dlpack(source: Any) -> Array:
    """An array of CuPy's over the memory of an object with ``__dlpack__``."""
    return open_door().cupy.from_dlpack(source)
