"""The CPU: NumPy arrays over recycled, aligned memory; kernels are the Rust extension's."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from neurenix import _rust
from neurenix.backend import doors
from neurenix.backend.kernel import Kernel
from neurenix.errors import NeurenixWarning


class CpuDoor:
    """The way to the Rust kernels."""

    def launch(self, row: Kernel, args: tuple[Any, ...]) -> None:
        """Run one row of the kernel table."""
        doors.cpu_function(row.name)(*args)

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any], _device: str) -> np.ndarray[Any, Any]:
        """Give a new array in C order with no meaning in it, over pooled memory."""
        return _rust.empty(shape, dtype)

    def from_numpy(self, array: np.ndarray[Any, Any], _device: str) -> np.ndarray[Any, Any]:
        """Return the array itself."""
        return array

    def to_numpy(self, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return the array itself."""
        return array

    def across(self, array: np.ndarray[Any, Any], _device: str) -> np.ndarray[Any, Any]:
        """Return the array itself."""
        return array

    def upload(self, array: np.ndarray[Any, Any], _device: str) -> Callable[[], np.ndarray[Any, Any]]:
        """Return a function that gives the array itself."""
        return lambda: array

    def landing(self, shape: tuple[int, ...], dtype: np.dtype[Any], _device: str) -> np.ndarray[Any, Any]:
        """Give a new array."""
        return _rust.empty(shape, dtype)

    def download(self, array: np.ndarray[Any, Any], host: np.ndarray[Any, Any]) -> Callable[[], bool]:
        """Copy at once."""
        host[...] = array
        return lambda: True

    def queue(self, _device: str) -> int:
        """Return 0: there is one order of work."""
        return 0

    def device(self, _array: np.ndarray[Any, Any]) -> str:
        """Return "cpu"."""
        return "cpu"

    def memory_stats(self, device: str) -> dict[str, int]:
        """Return bytes alive, at the peak and cached."""
        return _rust.memory_stats()

    def reset_peak(self, device: str) -> None:
        """Set the peak to what is alive."""
        _rust.reset_peak()

    def empty_cache(self, device: str) -> None:
        """Give cached blocks back to the system."""
        _rust.empty_cache()


def _check_environment() -> None:
    """Say which setting of the environment the extension could not follow, instead of passing over it in silence."""
    level, threads = os.environ.get("NEURENIX_SIMD"), os.environ.get("NEURENIX_NUM_THREADS")
    if level is not None and level != _rust.level():
        choices = ", ".join(_rust.levels())
        warnings.warn(
            f"NEURENIX_SIMD: expected one of {choices} on this processor, got {level!r}; using {_rust.level()}", NeurenixWarning, 2
        )
    if threads is not None and threads.strip() != str(_rust.num_threads()):
        used = _rust.num_threads()
        warnings.warn(f"NEURENIX_NUM_THREADS: expected 1 to 1024, got {threads!r}; using {used}", NeurenixWarning, 2)


doors.add_door(np.ndarray, "cpu", CpuDoor())
_check_environment()
