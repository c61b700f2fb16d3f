"""Files of a run: each written whole or not at all."""

from __future__ import annotations

import csv
import platform
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from neurenix.errors import FileError
from neurenix.images.opening import ENDINGS
from neurenix.images.placing import put

_NAMED: Final = 5  # so many files in a message


def write_text(path: Path, text: str) -> None:
    """Write a text file."""
    put(path, lambda p: p.write_text(text, encoding="utf-8"))


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a table of comma-separated values."""
    table = list(rows)

    def make(beside: Path) -> None:
        with beside.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(table[0]) if table else [])
            writer.writeheader()
            writer.writerows(table)

    put(path, make)


def images_in(path: Path) -> list[Path]:
    """One image, or all of a folder, by name.

    Raises
    ------
    FileError
        If there is none.
    """
    if path.is_file() or path.suffix.lower() == ".zarr":
        return [path]
    found = sorted(p for p in path.iterdir() if p.suffix.lower() in ENDINGS and not p.name.startswith(".")) if path.is_dir() else []
    if not found:
        within = (
            next((p.name for p in sorted(path.iterdir()) if p.is_dir() and not p.name.startswith(".")), None) if path.is_dir() else None
        )
        help = "check the path" if within is None else f"pass one of the folders in it, such as {within}"
        raise FileError(f"expected an image or a folder of images, got {str(path)!r} with none ({', '.join(ENDINGS)}); {help}")
    return found


def listed(paths: Sequence[Path]) -> str:
    """Files by name, the first few of many."""
    more = len(paths) - _NAMED
    return ", ".join(p.name for p in paths[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def provenance() -> dict[str, str]:
    """What a result came from: versions, machine, and the commit of the folder that the command ran in."""
    import neurenix as nx

    found = {"neurenix": nx.__version__, "numpy": np.__version__, "python": platform.python_version(), "host": platform.node()}
    git = shutil.which("git")
    if git:
        commit = subprocess.run([git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
        found |= {"commit": commit} if commit else {}
    return found


def toml(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """Settings as TOML."""
    lines: list[str] = []
    for name, table in tables.items():
        lines += [f"[{name}]", *(f"{key} = {_value(value)}" for key, value in table.items() if value is not None), ""]
    return "\n".join(lines)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_value(v) for v in value)}]"
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text) + '"'
