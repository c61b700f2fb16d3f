"""Several processes with one command: what they have to have alike, and how many threads each takes."""

from __future__ import annotations

import argparse
import hashlib
import io
import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

import neurenix as nx
from neurenix.command.config import settings
from neurenix.data import ImageMaskFolder
from neurenix.parallel import Ranks, ranks
from neurenix.progress import Progress, say

T = TypeVar("T")
_OWN: Final = ("images", "masks", "out", "device")  # may differ between ranks
_PIECE: Final = 1 << 16  # bytes


def set_threads(given: int | None, here: Ranks) -> None:
    """Compute on the threads that were asked for, else on this rank's part of the cores."""
    if given is not None:
        nx.set_num_threads(given)
    elif "NEURENIX_NUM_THREADS" not in os.environ and (own := here.threads()) < nx.get_num_threads():
        nx.set_num_threads(own)


def tell(text: str, here: Ranks) -> None:
    """Say something once, whatever the number of ranks."""
    if here.rank == 0:
        say(text)


def watched(items: Collection[T], name: str, here: Ranks) -> Progress[T]:
    """Files on their way through something that may take long: then how far it is is shown, once whatever the number of ranks."""
    return Progress(items, name, stream=io.StringIO() if here.rank else None, patient=True)


def agree(here: Ranks, given: argparse.Namespace, folder: ImageMaskFolder) -> None:
    """Make sure that all ranks run the same code on the same files under the same options.

    Raises
    ------
    StateError
        With the names of what differs.
    """
    if here.size == 1:
        return
    options: dict[str, Any] = {f"--{k.replace('_', '-')}": v for k, v in settings(given).items() if k not in _OWN}
    package = Path(nx.__file__).parent
    code = _digest(p for p in sorted(package.rglob("*")) if p.suffix in (".py", ".so", ".cu", ".cuh"))
    here.agree("train", {**options, "code": code, "files": digest_of(folder), "NumPy": np.__version__})


def digest_of(folder: ImageMaskFolder) -> str:
    """A number of the names of all files and what they hold."""
    items = watched(folder.items, "comparing files", ranks())
    return hashlib.sha256(repr([(p.name, *_sample(p)) for item in items for p in item[:2]]).encode()).hexdigest()


def _sample(path: Path) -> tuple[int, str]:
    """A file's size and a digest of its beginning, middle and end: of all that small files hold."""
    size, found = path.stat().st_size, hashlib.sha256()
    if path.is_file():
        with path.open("rb") as file:
            for start in sorted({0, max(0, size // 2 - _PIECE // 2), max(0, size - _PIECE)}):
                file.seek(start)
                found.update(file.read(_PIECE))
    return size, found.hexdigest()


def _digest(paths: Iterable[Path]) -> str:
    found = hashlib.sha256()
    for path in paths:
        found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()
