"""Packages that export needs and the library does not: imported late, with a clear error where one is missing."""

from __future__ import annotations

import importlib
import os
import secrets
from pathlib import Path
from typing import Any

from neurenix.errors import BackendUnavailableError


def load(name: str, purpose: str) -> Any:
    """A package by its name.

    Raises
    ------
    BackendUnavailableError
        If it is not installed; the text says how to get it.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise BackendUnavailableError(
            f"export: expected the package {name} {purpose}, got no such package; install it with: pip install 'neurenix-multiscale[export]'"
        ) from None


def write_whole(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file beside its place and move it there: at no time is there half a file."""
    target = Path(os.path.realpath(path))
    beside = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
    try:
        with beside.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
