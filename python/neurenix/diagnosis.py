"""Is this machine ready, and if not, what to do: processor, threads, memory, disk, and all that a GPU needs."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from neurenix import _rust
from neurenix.backend import cubins, cuda, doors, packages
from neurenix.backend.room import size
from neurenix.errors import NeurenixError

GIB: Final = 1 << 30


class Finding(NamedTuple):
    """One line of a diagnosis."""

    what: str
    text: str
    fix: str = ""  # what to do, where something is wrong

    @property
    def wrong(self) -> bool:
        """Whether something is to be done."""
        return bool(self.fix)


class Diagnosis(tuple[Finding, ...]):
    """What :func:`diagnose` found; printed, a line each, and below what is wrong how to put it right."""

    __slots__ = ()

    @property
    def problems(self) -> list[Finding]:
        """What is wrong."""
        return [finding for finding in self if finding.wrong]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; to have no GPU is not wrong."""
        return not self.problems

    def __str__(self) -> str:
        width = max(len(finding.what) for finding in self)
        lines = []
        for finding in self:
            lines.append(f"{'!' if finding.wrong else ' '} {finding.what:<{width}}  {finding.text}")
            lines += [f"  {'':<{width}}  -> {finding.fix}"] if finding.wrong else []
        return "\n".join(lines)

    __repr__ = __str__


def diagnose() -> Diagnosis:
    """See :func:`neurenix.system.diagnose`."""
    return Diagnosis([*_software(), *_processor(), *_memory(), *_gpu(), *_mpi(), *_disk()])


def _software() -> Iterator[Finding]:
    where = f"{platform.system()} {platform.machine()}"
    yield Finding("neurenix", f"{_rust.__version__}, Python {platform.python_version()}, NumPy {np.__version__}, {where}")


def _processor() -> Iterator[Finding]:
    level, best = _rust.level(), _rust.levels()[-1]
    fix = "" if level == best else "unset NEURENIX_SIMD: results are the same bits, only slower"
    yield Finding("processor", f"{level} of {', '.join(_rust.levels())}", fix)
    cores, threads = len(os.sched_getaffinity(0)), _rust.num_threads()
    fix = f"set NEURENIX_NUM_THREADS={cores}, or unset it: more threads than cores wait for each other" if threads > cores else ""
    yield Finding("threads", f"{threads} on {cores} cores", fix)


def memory_limits(root: Path = Path("/")) -> tuple[int, int]:
    """Bytes of memory in all and available, as the machine or the container allows."""
    total, available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), 0
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) * 1024
    group = root / "sys/fs/cgroup"
    limit, used = (next(_lines(group / name), "max").strip() for name in ("memory.max", "memory.current"))
    if limit.isdecimal() and int(limit) < total:
        total = int(limit)
        available = min(available or total, total - int(used if used.isdecimal() else 0))
    return total, available


def _lines(path: Path) -> Iterator[str]:
    try:
        yield from path.read_text().splitlines()
    except OSError:
        return


def _memory() -> Iterator[Finding]:
    total, available = memory_limits()
    fix = "end what else runs: training takes gigabytes" if available < GIB else ""
    yield Finding("memory", f"{size(available)} available of {size(total)}", fix)


def _gpu() -> Iterator[Finding]:
    found = packages.installed()
    if not found:
        yield Finding("CuPy", f"not installed, so no GPU; for one: {packages.INSTALL}")
        return
    yield Finding("CuPy", ", ".join(f"{name} {version}" for name, version in found.items()))
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if seen is not None:
        yield Finding("CUDA_VISIBLE_DEVICES", repr(seen))
    try:
        door: Any = doors.door_named("cuda")
        yield from _devices(door)
    except NeurenixError as error:
        text, _, fix = str(error).removeprefix("cuda: ").rpartition("; ")
        yield Finding("GPU", text, fix)


def _devices(door: cuda.CudaDoor) -> Iterator[Finding]:
    cupy = door.cupy
    needs, driver = int(cupy.cuda.runtime.runtimeGetVersion()), packages.driver_version(cupy)
    yield Finding("driver", f"for CUDA {packages.cuda(driver)}; CuPy is made for {packages.cuda(needs)}")
    yield Finding("NVRTC", ".".join(map(str, door.compiler.version)))
    for index in range(door.count):
        yield _looked_at(f"cuda:{index}", partial(_card, door, index))


def _card(door: cuda.CudaDoor, index: int) -> Finding:
    target = door._target(index)
    room = door.room(index)
    fix = "end other processes (nvidia-smi names them), or choose another card" if room.free < room.total // 10 else ""
    text = f"{door.name(index)}, kernels for {target.architecture}, {size(room.free)} free of {size(room.total)}"
    return Finding(f"cuda:{index}", text, fix)


def _looked_at(what: str, look: Callable[[], Finding]) -> Finding:
    """A finding, or why it cannot be had."""
    try:
        return look()
    except NeurenixError as error:
        text, _, fix = str(error).removeprefix("cuda: ").rpartition("; ")
        return Finding(what, text, fix)
    except RuntimeError as error:
        return Finding(what, str(error), "look at nvidia-smi; the card may need to be reset")


def _mpi() -> Iterator[Finding]:
    """What trains in several processes; nothing is loaded, since to load MPI is to start it."""
    try:
        text = f"mpi4py {version('mpi4py')}, mpiexec: {shutil.which('mpiexec') or 'not in PATH (srun may start the ranks)'}"
    except PackageNotFoundError:
        text = 'not installed; to train in several processes: pip install "neurenix-multiscale[mpi]"'
    yield Finding("MPI", text)


def _disk() -> Iterator[Finding]:
    if packages.installed():
        yield _folder("compiled kernels", cubins.folder(), "set NEURENIX_CACHE_DIR to a folder that can be written")
    yield _folder("temporary files", Path(tempfile.gettempdir()), "set TMPDIR to a folder that can be written")


def _folder(what: str, path: Path, advice: str) -> Finding:
    """Whether a folder, or the nearest there is above it, can be written and has room."""
    there = path
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return Finding(what, f"{path} cannot be written", advice)
    free = shutil.disk_usage(there).free
    return Finding(what, f"{path}, {size(free)} free on its disk", "free some disk, or " + advice if free < GIB // 4 else "")
