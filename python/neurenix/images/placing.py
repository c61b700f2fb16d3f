"""Files, and folders that are one file to their users: put in their place whole, or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path


def remove(path: Path) -> None:
    """Remove a file or folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def put(path: Path, make: Callable[[Path], object], beside: Path | None = None) -> None:
    """Let ``make`` write ``beside`` (a name of its own in the same folder by default), onto the disk; then it takes the name ``path``."""
    beside = path.with_name(f".{os.getpid()}.{path.name}") if beside is None else beside
    try:
        remove(beside)
        make(beside)
        if beside.is_dir():
            remove(path)  # a folder does not replace another
        else:
            with beside.open("rb") as file:
                os.fsync(file.fileno())
        beside.replace(path)
    finally:
        remove(beside)
