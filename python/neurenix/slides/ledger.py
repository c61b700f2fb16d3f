"""What is done of a job, on disk: a header that says what job it is, and for each part a file of lines that are only ever added.

A line says of one tile that its files are whole, and their checksum; it is written after they are on the disk. A line that broke off
when the process died is known by its own checksum.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NamedTuple

from neurenix.errors import FileError, StateError


def write_durably(path: Path, make: Callable[[IO[bytes]], object]) -> None:
    """Write a file beside ``path``, onto the disk, and put it there in one step."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            make(file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def sync_folder(path: Path) -> None:
    """Names of a folder onto the disk."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def agree(path: Path, job: dict[str, Any], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The job's header: what it is, and what was found out once for all parts by ``make``.

    Raises
    ------
    StateError
        If the folder is that of another job, with what differs.
    FileError
        If the header is damaged.
    """
    if not path.exists():
        header = {"job": job, "found": make()}
        text = json.dumps(header, indent=1, sort_keys=True)
        write_durably(path, lambda file: file.write(text.encode()))
        sync_folder(path.parent)
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
        before, found = header["job"], header["found"]
    except (ValueError, KeyError, TypeError) as error:
        raise FileError(f"predict: expected a job's header, got {path}: {error}; delete its folder and begin again") from error
    job = json.loads(json.dumps(job))
    differs = sorted(k for k in before.keys() | job.keys() if before.get(k) != job.get(k))
    if differs:
        said = "; ".join(f"{k} was {_short(before.get(k))} and is {_short(job.get(k))}" for k in differs)
        raise StateError(
            f"predict: expected the job that was begun, got another: {said}; run it as before, or delete {path.parent} to begin again"
        )
    return dict(found)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 24 else f"{text[:20]}..."


class Ledger:
    """The tiles that one part has done.

    Parameters
    ----------
    path : path
        Made where it is missing; what broke off at its end is cut away.
    """

    def __init__(self, path: Path) -> None:
        whole = _whole_bytes(path)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
        os.ftruncate(self._file, whole)
        self._end = whole

    def add(self, tile: int, check: int) -> None:
        """Write down that a tile is done; on the disk when this returns, and nothing is left of the line if it fails."""
        line = _line(tile, check)
        try:
            written = os.pwrite(self._file, line, self._end)
            if written != len(line):
                raise OSError(28, os.strerror(28))
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, self._end)
            raise
        self._end += len(line)

    def close(self) -> None:
        """Let the file go."""
        os.close(self._file)


def _line(tile: int, check: int) -> bytes:
    body = f"{tile} {check:08x}"
    return f"{body} {zlib.crc32(body.encode()):08x}\n".encode()


def _entries(path: Path) -> list[tuple[int, int, int]]:
    """Tile, checksum and where its line ends, up to the first line that is not whole."""
    found, at = [], 0
    for line in path.read_bytes().splitlines(keepends=True) if path.exists() else []:
        words = line.split()
        try:
            tile, check = int(words[0]), int(words[1], 16)
        except (ValueError, IndexError):
            break
        if line != _line(tile, check):
            break
        at += len(line)
        found.append((tile, check, at))
    return found


def _whole_bytes(path: Path) -> int:
    entries = _entries(path)
    return entries[-1][2] if entries else 0


def done(folder: Path) -> dict[int, int]:
    """The tiles that all parts together have done, with their checksums."""
    return {tile: check for path in sorted(folder.glob("*.ledger")) for tile, check, _ in _entries(path)}


class Begun(NamedTuple):
    """The tiles of a job that was begun, and by how much they overlap."""

    tile: tuple[int, int] | None = None
    overlap: int | None = None


def begun_with(path: Path) -> Begun:
    """What a job was begun with; nothing where there is none."""
    try:
        job = json.loads(path.read_text(encoding="utf-8"))["job"]
        (rows, columns), overlap = job["tile"], job.get("overlap")
        return Begun((int(rows), int(columns)), None if overlap is None else int(overlap))
    except (OSError, ValueError, KeyError, TypeError):
        return Begun()
