"""The GPU: CuPy arrays and our raw CUDA kernels. The only module that imports CuPy, and only when a GPU is asked for."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from importlib import import_module, metadata
from typing import Any, Final

import numpy as np

from neurenix._typing import Array
from neurenix.backend import doors, launch, sources
from neurenix.backend.kernel import Kernel
from neurenix.errors import ArgumentError, BackendUnavailableError

_PACKAGES: Final = ("cupy", "cupy-cuda11x", "cupy-cuda12x", "cupy-cuda13x")
_INSTALL: Final = "pip install 'neurenix-multiscale[cuda12]' (or [cuda13])"


def open_door() -> None:
    """Make the device "cuda" known.

    Raises
    ------
    BackendUnavailableError
        If CuPy, its compiler, the driver or a GPU is missing, or if two CuPy packages are installed; the text says what to do.
    """
    cupy = _import()
    try:
        count = int(cupy.cuda.runtime.getDeviceCount())
    except RuntimeError as error:
        raise BackendUnavailableError(
            f"cuda: expected an NVIDIA driver and a GPU, got none that works ({error}); install or update the driver, or stay on device='cpu'"
        ) from None
    if count == 0:
        raise BackendUnavailableError("cuda: expected a GPU, got none; look at CUDA_VISIBLE_DEVICES, or stay on device='cpu'")
    try:
        cupy.cuda.nvrtc.getVersion()
    except (RuntimeError, OSError) as error:
        raise BackendUnavailableError(f"cuda: expected the CUDA compiler NVRTC, got none ({error}); {_INSTALL}") from None
    door: doors.Door = CudaDoor(cupy, count)
    doors.add_door(cupy.ndarray, "cuda", door)


def _import() -> Any:
    found = [name for name in _PACKAGES if _is_installed(name)]
    if len(found) > 1:
        raise BackendUnavailableError(
            f"cuda: expected one CuPy package, got {' and '.join(found)}, which overwrite each other; pip uninstall {' '.join(found)}, then {_INSTALL}"
        )
    try:
        return import_module("cupy")
    except ImportError as error:
        got = "none" if error.name == "cupy" else f"one that cannot be imported ({error})"
        raise BackendUnavailableError(f"cuda: expected CuPy, got {got}; {_INSTALL}") from None


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


class CudaDoor:
    """The way to the CUDA kernels, on CuPy's current stream of each device; nothing here waits for a GPU."""

    most_blocks = 1 << 16

    def __init__(self, cupy: Any, count: int) -> None:
        self.cupy, self.count = cupy, count
        self.array_type: type = cupy.ndarray
        self._modules: dict[tuple[str, str], Any] = {}
        self._peaks = [0] * count
        self.function = functools.cache(self._function)

    def launch(self, row: Kernel, args: tuple[Any, ...]) -> None:
        """Run one row of the kernel table on the device of its first array."""
        with self._on(next(i for i in map(self._index_of, args) if i is not None)):
            launch.run(row, args, self)

    def address(self, array: Array) -> int:
        """Give the address of position (0, ..., 0)."""
        return int(array.data.ptr)

    def _function(self, row: Kernel, suffix: str) -> Callable[..., None]:
        key = (row.stem, suffix)
        if key not in self._modules:
            self._modules[key] = self.cupy.RawModule(code=sources.unit(*key), options=sources.OPTIONS)
        function: Callable[..., None] = self._modules[key].get_function(f"{row.name}_{suffix}")
        return function

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any], device: str) -> Array:
        """Give a new array in C order with no meaning in it, from CuPy's pool."""
        index = self._number(device)
        with self._on(index):
            array = self.cupy.empty(shape, dtype)
            self._peaks[index] = max(self._peaks[index], self._pool().used_bytes())
        return array

    def from_numpy(self, array: np.ndarray[Any, Any], device: str) -> Array:
        """Copy an array to the device."""
        with self._on(self._number(device)):
            return self.cupy.asarray(np.ascontiguousarray(array).reshape(array.shape))

    def to_numpy(self, array: Array) -> np.ndarray[Any, Any]:
        """Copy an array from the device, once all work before it is done."""
        copy: np.ndarray[Any, Any] = self.cupy.asnumpy(array)
        return copy

    def device(self, array: Array) -> str:
        """Name the device of an array, e.g. ``"cuda:0"``."""
        return f"cuda:{array.device.id}"

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
        """Give cached memory back to the driver."""
        with self._on(self._number(device)):
            self._pool().free_all_blocks()

    def _pool(self) -> Any:
        return self.cupy.get_default_memory_pool()

    def _index_of(self, value: Any) -> int | None:
        first = value[0] if type(value) is list and value else value
        ours = isinstance(first, self.array_type)
        return first.device.id if ours else None

    def _on(self, index: int) -> contextlib.AbstractContextManager[Any]:
        if index == self.cupy.cuda.runtime.getDevice():
            return contextlib.nullcontext()
        context: contextlib.AbstractContextManager[Any] = self.cupy.cuda.Device(index)
        return context

    def _number(self, device: str) -> int:
        _, colon, index = device.partition(":")
        if not colon:
            return int(self.cupy.cuda.runtime.getDevice())
        if not index.isdecimal():
            raise ArgumentError(f'device: expected "cpu", "cuda" or "cuda:N", got {device!r}; name a device of this machine')
        if int(index) >= self.count:
            known = ", ".join(f"cuda:{i}" for i in range(self.count))
            raise BackendUnavailableError(f"cuda: expected one of the {self.count} devices of this machine, got {device!r}; use {known}")
        return int(index)


def from_dlpack(source: Any) -> Array:
    """An array of CuPy's over the memory of an object with ``__dlpack__``."""
    open_door()
    return _import().from_dlpack(source)
