"""One process that runs cases; it writes down which one it is at before it runs it, so that a crash has a name."""

from __future__ import annotations

import resource
import sys
import traceback
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
MEMORY = 12 << 30  # address space of a worker


def target(name: str) -> Any:
    """What is fuzzed, by name."""
    if name == "binding":
        from fuzz.binding import Binding

        return Binding()
    if name == "files":
        from fuzz.files import Files

        return Files()
    from fuzz.images import Images

    return Images()


def case_of(fuzzed: Any, seed: int, number: int) -> bytes:
    """Case ``number`` of a seed, the same on every machine."""
    return fuzzed.make(np.random.default_rng([seed, number]))


def told(depth: int) -> str:
    """The last calls of an error, files from the repository's or Python's own folder on, so that a kept finding names no machine's paths."""
    text = traceback.format_exc(limit=-depth)
    for folder in (HERE.parents[1], Path(sys.prefix), Path(sys.base_prefix)):
        text = text.replace(f"{folder}/", "")
    return text


def attempt(fuzzed: Any, case: bytes) -> str | None:
    """Run a case; what went wrong, if anything."""
    try:
        fuzzed.run(case)
    except BaseException:
        return told(6)
    return None


def main(name: str, seed: int, link: Connection) -> None:
    """Serve cases: a number is a case of the seed, bytes are a case; answer what went wrong, or None."""
    sys.path[:0] = [str(HERE.parent), str(HERE.parent / "oracle")]
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    fuzzed = target(name)
    link.send("ready")
    while (wanted := link.recv()) is not None:
        try:
            case = wanted if isinstance(wanted, bytes) else case_of(fuzzed, seed, wanted)
        except Exception:
            link.send(b"")
            link.send(f"no case was made\n{told(4)}")
            continue
        link.send(case)
        link.send(attempt(fuzzed, case))
