"""Compiled CUDA kernels, kept in a folder that many processes, also on many machines, may share.

A file's name has two parts. The *key* stands for everything that the result follows from: the source as the compiler gets it
(our headers are pasted in, so a changed header is another key), the options, the architecture and the versions of compiler and
binding. The *digest* stands for the bytes in the file, so that one cut short by a full disk is noticed and made anew. Files
appear under their names by an atomic rename, whole or not at all: processes that start at once may each compile, and all
read good files. There are no locks, which shared file systems are bad at.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from neurenix.errors import FileError, NeurenixWarning

FORMAT: Final = "1"  # of names and files; another one is another key
_told: set[str] = set()  # folders that were warned of
_STALE = 3600.0  # seconds after which an unfinished file is from a process that was killed


def folder() -> Path:
    """Where compiled kernels are kept: ``NEURENIX_CACHE_DIR``, else ``neurenix/kernels`` in the user's cache folder."""
    if given := os.environ.get("NEURENIX_CACHE_DIR"):
        return Path(given).expanduser()
    caches = os.environ.get("XDG_CACHE_HOME")
    home = Path(caches) if caches and Path(caches).is_absolute() else Path("~/.cache").expanduser()
    return home / "neurenix" / "kernels"


def key_of(source: str, options: Sequence[str], versions: str) -> str:
    """What a compiled source is known by."""
    text = "\0".join((FORMAT, versions, *options, source))
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def compiled(key: str, compile: Callable[[], bytes]) -> tuple[Path, bool]:
    """The file of a key, and whether it had to be compiled."""
    place = folder() / key[:2]
    found = _find(place, key)
    if found is not None:
        return found, False
    data = compile()
    name = f"{key}-{_digest(data)}.cubin"
    try:
        return _write(place, name, data), True
    except OSError as error:
        _say_once(str(folder()), str(error))
    try:
        return _write(Path(_own_folder().name), name, data), True
    except OSError as error:
        raise FileError(
            f"cuda: expected a folder for compiled kernels, got {error}; free some disk, or set NEURENIX_CACHE_DIR to a folder with room"
        ) from None


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def _find(place: Path, key: str) -> Path | None:
    """A whole file of this key. A broken one is left for the new one to replace: removing it might meet another process's good one."""
    try:
        names = [name for name in (path.name for path in place.iterdir()) if name.startswith(f"{key}-") and name.endswith(".cubin")]
    except OSError:
        return None
    for name in sorted(names):
        path = place / name
        with contextlib.suppress(OSError):
            if _digest(path.read_bytes()) == name[len(key) + 1 : -len(".cubin")]:
                return path
    return None


def _write(place: Path, name: str, data: bytes) -> Path:
    """Put a file under its name, whole or not at all."""
    place.mkdir(parents=True, exist_ok=True)
    handle, name_now = tempfile.mkstemp(".tmp", dir=place)
    unfinished = Path(name_now)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(place / name)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise
    _remove_stale(place)
    return place / name


def _remove_stale(place: Path) -> None:
    for path in place.glob("*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _STALE:
                path.unlink()


@functools.cache
def _own_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder of this process, removed at its end."""
    return tempfile.TemporaryDirectory(prefix="neurenix-kernels-")


def _say_once(where: str, why: str) -> None:
    if where in _told:
        return
    _told.add(where)
    warnings.warn(
        f"cuda: compiled kernels cannot be kept in {where} ({why}); each run compiles anew, until NEURENIX_CACHE_DIR names a folder that can "
        "be written",
        NeurenixWarning,
        stacklevel=5,
    )
