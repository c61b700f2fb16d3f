"""GPUs by PyTorch's names: which there are, which one is meant, their memory, and kernels compiled ahead.

Nothing here imports CuPy before it is asked about a GPU.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ContextDecorator
from typing import Any, Final, cast

import numpy as np

from neurenix.backend import cuda as door_to_cuda, devices, doors, nvrtc, packages, sources
from neurenix.backend.kernel import KERNELS
from neurenix.errors import ArgumentError, BackendUnavailableError, DTypeError

__all__ = [
    "current_device", "device", "device_count", "empty_cache", "get_device_capability", "get_device_name", "is_available", "max_memory_allocated",
    "mem_get_info", "memory_allocated", "reset_peak_memory_stats", "set_device", "synchronize", "warm_up",
]  # fmt: skip
_COMMON: Final = ("f32", "f64", "i64", "u8", "b1", "b4", "b8")  # element types that a usual program meets


def _door() -> door_to_cuda.CudaDoor:
    return cast(door_to_cuda.CudaDoor, doors.door_named("cuda"))


def is_available() -> bool:
    """Whether a GPU can be used: CuPy, a driver and a card that fit together. ``neurenix.system.diagnose()`` says what is missing.

    Examples
    --------
    >>> import neurenix as nx
    >>> device = "cuda" if nx.cuda.is_available() else "cpu"
    """
    try:
        _door()
    except BackendUnavailableError:
        return False
    return True


def device_count() -> int:
    """How many GPUs this process may use; ``CUDA_VISIBLE_DEVICES`` chooses and orders them. 0 where there is none.

    Examples
    --------
    >>> import neurenix as nx
    >>> (nx.cuda.device_count() > 0) == nx.cuda.is_available()
    True
    """
    return _door().count if is_available() else 0


def current_device() -> int:
    """The number of the GPU that "cuda" means here; a :class:`BackendUnavailableError` where there is none.

    Examples
    --------
    >>> import neurenix as nx
    >>> number = nx.cuda.current_device() if nx.cuda.is_available() else 0
    >>> number < max(nx.cuda.device_count(), 1)
    True
    """
    return _door().current()


def _number(op: str, which: Any) -> int:
    """The number of a GPU by its number, its name, or ``None`` for the current one."""
    if which is None:
        return current_device()
    if isinstance(which, int) and not isinstance(which, bool) and which >= 0:
        which = f"cuda:{which}"
    if not isinstance(which, str) or devices.device(which).type != "cuda":
        raise ArgumentError(f'{op}: expected a GPU, by number or as "cuda:N", got {which!r}; pass e.g. 0')
    return _door()._number(which)


def set_device(device: int | str) -> None:
    """Let "cuda" mean this GPU in this thread from now on; :class:`device` does it for a block.

    Raises
    ------
    ArgumentError
        If it names no GPU.
    BackendUnavailableError
        Where the GPU is not there.

    Examples
    --------
    >>> import neurenix as nx
    >>> if nx.cuda.is_available():
    ...     nx.cuda.set_device(nx.cuda.device_count() - 1)
    ...     nx.cuda.set_device("cuda:0")
    """
    number = _number("set_device", device)
    _door().cupy.cuda.Device(number).use()


class device(ContextDecorator):  # noqa: N801 - PyTorch's name
    """Context manager and decorator in which "cuda" means this GPU.

    Parameters
    ----------
    device : int or str
        A number, or "cuda:N".

    Raises
    ------
    ArgumentError
        If it names no GPU.
    BackendUnavailableError
        On entering, where the GPU is not there.

    Examples
    --------
    >>> import neurenix as nx
    >>> second = nx.cuda.device(1)
    >>> second.device
    'cuda:1'
    """

    def __init__(self, device: int | str) -> None:
        if not isinstance(device, str) and (isinstance(device, bool) or not isinstance(device, int) or device < 0):
            raise ArgumentError(f'cuda.device: expected a GPU, by number or as "cuda:N", got {device!r}; pass e.g. 0')
        self.device = devices.device(device if isinstance(device, str) else f"cuda:{device}")
        if self.device.type != "cuda":
            raise ArgumentError(f'cuda.device: expected a GPU, by number or as "cuda:N", got {device!r}; pass e.g. 0')
        self._before: list[Any] = []

    def __enter__(self) -> device:
        scope = _door().cupy.cuda.Device(_number("cuda.device", self.device))
        scope.__enter__()
        self._before.append(scope)
        return self

    def __exit__(self, *error: Any) -> None:
        self._before.pop().__exit__(*error)


def get_device_name(device: int | str | None = None) -> str:
    """The name of a card, e.g. "NVIDIA A100-SXM4-80GB"; a :class:`BackendUnavailableError` where it is not there.

    Examples
    --------
    >>> import neurenix as nx
    >>> card = nx.cuda.get_device_name() if nx.cuda.is_available() else "a CPU alone"
    >>> isinstance(card, str)
    True
    """
    number = _number("get_device_name", device)
    return _door().name(number)


def get_device_capability(device: int | str | None = None) -> tuple[int, int]:
    """The compute capability of a card, e.g. (8, 0); a :class:`BackendUnavailableError` where it is not there.

    Examples
    --------
    >>> import neurenix as nx
    >>> major, minor = nx.cuda.get_device_capability() if nx.cuda.is_available() else (8, 0)
    >>> major >= 7
    True
    """
    number = _number("get_device_capability", device)
    found = int(_door().cupy.cuda.Device(number).compute_capability)
    return found // 10, found % 10


def mem_get_info(device: int | str | None = None) -> tuple[int, int]:
    """Bytes that are free on a GPU, whoever uses the rest, and bytes in all.

    Examples
    --------
    >>> import neurenix as nx
    >>> free, total = nx.cuda.mem_get_info() if nx.cuda.is_available() else (0, 0)
    >>> free <= total
    True
    """
    number = _number("mem_get_info", device)
    room = _door().room(number)
    return room.free, room.total


def _stats(op: str, device: int | str | None) -> dict[str, int]:
    number = _number(op, device)
    return _door().memory_stats(f"cuda:{number}")


def memory_allocated(device: int | str | None = None) -> int:
    """Bytes of arrays on a GPU, as ``nx.memory_stats("cuda")["live"]``.

    Examples
    --------
    >>> import neurenix as nx
    >>> if nx.cuda.is_available():
    ...     before = nx.cuda.memory_allocated()
    ...     x = nx.zeros(1024, 1024, device="cuda")
    ...     assert nx.cuda.memory_allocated() - before >= x.nbytes
    """
    return _stats("memory_allocated", device)["live"]


def max_memory_allocated(device: int | str | None = None) -> int:
    """The largest number of bytes of arrays on a GPU since :func:`reset_peak_memory_stats`.

    Examples
    --------
    >>> import neurenix as nx
    >>> if nx.cuda.is_available():
    ...     assert nx.cuda.max_memory_allocated() >= nx.cuda.memory_allocated()
    """
    return _stats("max_memory_allocated", device)["peak"]


def reset_peak_memory_stats(device: int | str | None = None) -> None:
    """Start measuring the peak of a GPU anew, from what is alive now.

    Examples
    --------
    >>> import neurenix as nx
    >>> if nx.cuda.is_available():
    ...     nx.cuda.reset_peak_memory_stats()
    ...     assert nx.cuda.max_memory_allocated() == nx.cuda.memory_allocated()
    """
    number = _number("reset_peak_memory_stats", device)
    _door().reset_peak(f"cuda:{number}")


def empty_cache() -> None:
    """Give cached memory of every GPU, and pinned memory, back; nothing where there is no GPU.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.cuda.empty_cache()
    """
    for number in range(device_count()):
        _door().empty_cache(f"cuda:{number}")


def synchronize(device: int | str | None = None) -> None:
    """Wait until all work of a GPU is done, on every stream; to measure time.

    Examples
    --------
    >>> import neurenix as nx
    >>> import time
    >>> begun = time.perf_counter()
    >>> y = nx.ones(64, 64) @ nx.ones(64, 64)
    >>> if nx.cuda.is_available():
    ...     nx.cuda.synchronize()
    >>> seconds = time.perf_counter() - begun
    """
    number = _number("synchronize", device)
    _door().cupy.cuda.Device(number).synchronize()


def warm_up(kernels: Iterable[str] | None = None, *, dtype: Any = None, architecture: str | None = None) -> int:
    """Compile kernels ahead, so that no first step waits for it, and many processes that start at once find them.

    Parameters
    ----------
    kernels : iterable of str, optional
        Files (``"conv"``) or rows (``"max_pool"``) of the list "CUDA kernels"; all if ``None``.
    dtype : numpy dtype, optional
        For arrays of this type; by default float32, float64, int64, uint8, and what is moved as bits.
    architecture : str, optional
        "sm_80" and the like: compile for such cards, on a machine that need not have one. By default for the current GPU.

    Returns
    -------
    int
        How many files were compiled; the others were there already.

    Raises
    ------
    ArgumentError
        For an unknown kernel, type or architecture.
    BackendUnavailableError
        Without CuPy, and without a GPU where no ``architecture`` is given.

    Notes
    -----
    Compiled kernels are kept in ``~/.cache/neurenix/kernels``, or where ``NEURENIX_CACHE_DIR`` says. Processes may share the folder,
    also over a network: files appear whole or not at all, and their names stand for source, headers, options, architecture and
    the versions of CuPy and NVRTC.

    Examples
    --------
    >>> import neurenix as nx
    >>> if nx.cuda.is_available():
    ...     compiled = nx.cuda.warm_up(["resize"], dtype=nx.float32)
    """
    suffixes = _COMMON if dtype is None else _suffixes(dtype)
    stems = _stems(kernels)
    if architecture is None:
        door = _door()
        compiler, target = door.compiler, door._target(door.current())
    else:
        compiler = nvrtc.Compiler(packages.import_cupy())
        known = [f"sm_{a}" for a in compiler.supported() if a >= nvrtc.OLDEST]
        if architecture not in known:
            raise ArgumentError(f"warm_up: expected an architecture among {', '.join(known)}, got {architecture!r}; pass one of them")
        target = nvrtc.Target(architecture)
    units = [(stem, s) for stem in stems for s in _declared(stem, target.capability) if s in suffixes]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return sum(made for _, made in pool.map(lambda unit: compiler.file(unit[0], unit[1], target), units))


def _stems(kernels: Iterable[str] | None) -> list[str]:
    """The source files with these kernels."""
    every = [name.removesuffix(".cu") for name in sources.names()]
    if kernels is None:
        return every
    if isinstance(kernels, str):
        raise ArgumentError(f"warm_up: expected a list of kernels, got {kernels!r}; pass [{kernels!r}]")
    wanted: dict[str, None] = {}
    for name in kernels:
        stems = [name] if name in every else [stem for stem in every if any(row == name for row, _ in sources.declared(stem))]
        if not stems:
            raise ArgumentError(
                f"warm_up: expected names of CUDA kernels, got {name!r}; pass e.g. ['conv'], or names of docs/cuda_kernels.md"
            )
        wanted |= dict.fromkeys(stems)
    return list(wanted)


def _declared(stem: str, capability: int) -> list[str]:
    """The element types for which a file has kernels for such cards."""
    rules = [(KERNELS[row], rule) for row, rule in sources.declared(stem) if row in KERNELS and rule.capability <= capability]
    kinds = [rule.kinds or sources.GROUPS[row.group] for row, rule in rules]
    return sorted({suffix for found in kinds for suffix in found})


def _suffixes(dtype: Any) -> tuple[str, ...]:
    try:
        kind: np.dtype[Any] | None = np.dtype(dtype)
    except TypeError:
        kind = None
    if kind is None or kind not in sources.KIND_OF:
        raise DTypeError(f"warm_up: expected dtype to be an element type of tensors, got {dtype!r}; pass e.g. nx.float32")
    return sources.KIND_OF[kind], f"b{kind.itemsize}"
