"""What must be there for a GPU: one CuPy, a driver that is new enough for it, a GPU, the compiler. Each absence has its own error.

Where several things are wrong, the one that comes first is told.
"""

from __future__ import annotations

import os
from importlib import import_module, metadata
from typing import Any, Final

from neurenix.errors import BackendUnavailableError

PACKAGES: Final = ("cupy", "cupy-cuda11x", "cupy-cuda12x", "cupy-cuda13x")
INSTALL: Final = "pip install 'neurenix-multiscale[cuda12]' (or [cuda13])"
OLDEST: Final = 14  # version of CuPy
STAY: Final = "or stay on device='cpu'"


def version_of(package: str) -> str | None:
    """The version of an installed package; ``None`` where it is not there."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def installed() -> dict[str, str]:
    """The CuPy packages that are installed, and their versions."""
    found = {name: version_of(name) for name in PACKAGES}
    return {name: version for name, version in found.items() if version is not None}


def import_cupy() -> Any:
    """CuPy.

    Raises
    ------
    BackendUnavailableError
        If there is none, or one that cannot be imported, or two packages that overwrite each other.
    """
    found = sorted(installed())
    if len(found) > 1:
        raise BackendUnavailableError(
            f"cuda: expected one CuPy package, got {' and '.join(found)}, which overwrite each other; pip uninstall {' '.join(found)}, then {INSTALL}"
        )
    try:
        return import_module("cupy")
    except ImportError as error:
        got = "none" if error.name == "cupy" else f"one that cannot be imported ({error})"
        raise BackendUnavailableError(f"cuda: expected CuPy, got {got}; {INSTALL}") from None
    except OSError as error:  # it makes its own folder for kernels when it is imported
        raise BackendUnavailableError(
            f"cuda: expected a folder that CuPy can write, got none ({error}); set CUPY_CACHE_DIR to one, and NEURENIX_CACHE_DIR for our kernels"
        ) from None


def cuda(version: int) -> str:
    """``"12.9"`` for 12090, as the driver and CuPy count."""
    return f"{version // 1000}.{version % 1000 // 10}"


def driver_version(cupy: Any) -> int:
    """The CUDA that the driver can run, e.g. 12090; 0 where there is no driver."""
    try:
        return int(cupy.cuda.runtime.driverGetVersion())
    except RuntimeError:
        return 0


def require_gpu(cupy: Any) -> int:
    """How many GPUs there are, once all that one needs is there.

    Raises
    ------
    BackendUnavailableError
        If the driver, a GPU or the compiler is missing, the driver is too old for this CuPy, or CuPy itself is.
    """
    if int(str(cupy.__version__).partition(".")[0]) < OLDEST:
        raise BackendUnavailableError(
            f"cuda: expected CuPy {OLDEST} or newer, got {cupy.__version__}; {INSTALL.replace('install', 'install -U', 1)}"
        )
    driver, needs = driver_version(cupy), int(cupy.cuda.runtime.runtimeGetVersion())
    if driver == 0:
        raise BackendUnavailableError(f"cuda: expected an NVIDIA driver, got none; install it (in a container: --gpus all), {STAY}")
    if driver // 1000 < needs // 1000:
        raise BackendUnavailableError(
            f"cuda: expected a driver for CUDA {cuda(needs)}, which this CuPy is made for, got one for CUDA {cuda(driver)}; update the driver, or "
            f"install cupy-cuda{driver // 1000}x instead"
        )
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    look = "look at nvidia-smi" if seen is None else f"CUDA_VISIBLE_DEVICES is {seen!r}: change it"
    try:
        count = int(cupy.cuda.runtime.getDeviceCount())
    except RuntimeError as error:
        if "NoDevice" not in str(error):
            raise BackendUnavailableError(
                f"cuda: expected an NVIDIA driver and a GPU, got none that works ({error}); {look}, install the driver anew, {STAY}"
            ) from None
        count = 0
    if count == 0:
        raise BackendUnavailableError(f"cuda: expected a GPU, got none; {look}, {STAY}")
    try:
        cupy.cuda.nvrtc.getVersion()
    except (RuntimeError, OSError, ImportError) as error:
        raise BackendUnavailableError(f"cuda: expected the CUDA compiler NVRTC, got none ({error}); {INSTALL}") from None
    return count
