"""The CPU: NumPy arrays over recycled, aligned memory; kernels are the Rust extension's."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurenix import _rust
from neurenix.backend import doors
from neurenix.backend.kernel import Kernel


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


doors.add_door(np.ndarray, "cpu", CpuDoor())
