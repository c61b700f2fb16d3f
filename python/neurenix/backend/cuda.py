"""The GPU: CuPy arrays and our raw CUDA kernels. The only module that imports CuPy, and only when a GPU is asked for."""

from __future__ import annotations

from neurenix.errors import BackendUnavailableError


def open_door() -> None:
    """Make the device known, or say what is missing."""
    raise BackendUnavailableError("cuda: expected CuPy, got none; `pip install neurenix-multiscale[cuda12]`")
