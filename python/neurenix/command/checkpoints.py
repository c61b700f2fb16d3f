"""The states of a run on disk: ``last.nx``, and what it was at the last looks before."""

from __future__ import annotations

import errno
import os
import re
import shutil
from pathlib import Path
from typing import Any, Final

import neurenix as nx
from neurenix.errors import FileError
from neurenix.images.placing import put

_NO_LINKS: Final = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)  # of file systems without them, or with too many
_KEPT: Final = re.compile(r"step-(\d+)\.nx")
_LEFT_BEHIND: Final = re.compile(r"\.(last|best)\.nx\.[0-9a-f]{16}\.tmp|\.\d+\.(log\.csv|validation\.png|config\.toml|step-\d+\.nx)")


class Checkpoints:
    """Writes the state of a run, and finds the newest one that can be read.

    ``last.nx`` is replaced in one step. What it was at a look then has the name ``step-N.nx``, under which it takes no second writing;
    older ones go when the newer is on the disk, and a file that was found damaged is never one of those that are counted.

    Parameters
    ----------
    folder : Path
        The run's.
    keep : int
        How many of earlier looks stay beside ``last.nx``.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.last, self.keep = folder, folder / "last.nx", keep
        self.damaged: dict[Path, str] = {}
        self._look: int | None = None  # the step of last.nx, where it is of a look and whole

    def kept(self) -> list[Path]:
        """The states of earlier looks, the newest first."""
        found = [p for p in self.folder.iterdir() if _KEPT.fullmatch(p.name)] if self.folder.is_dir() else []
        return sorted(found, key=_step, reverse=True)

    def exist(self) -> bool:
        """Whether there is anything to go on from."""
        return self.last.exists() or bool(self.kept())

    def write(self, state: dict[str, Any]) -> None:
        """Put a state into ``last.nx``."""
        if self._look is not None and self.keep:
            self._keep_last(self.folder / f"step-{self._look:07d}.nx")
        nx.save(state, self.last)
        self._look = _look(state)
        self.damaged.pop(self.last, None)
        older = [p for p in self.kept() if p not in self.damaged]
        for path in [*self.damaged, *older[self.keep :]]:
            path.unlink(missing_ok=True)
        self.damaged.clear()

    def _keep_last(self, path: Path) -> None:
        """Give what ``last.nx`` is now a second name; a file that has it is of the same step, and whole or not."""
        self.damaged.pop(path, None)
        if not path.exists() or not path.samefile(self.last):
            put(path, self._second)

    def _second(self, beside: Path) -> None:
        try:
            os.link(self.last, beside)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            shutil.copyfile(self.last, beside)

    def newest(self) -> tuple[Path, dict[str, Any]]:
        """The newest state whose bytes fit its checksum, and where it is; the damaged ones before it are noted.

        Raises
        ------
        FileError
            If none can be read.
        """
        for path in [self.last, *self.kept()]:
            try:
                state = read(path)
            except (FileError, OSError) as error:  # a disk may fail to read at all
                self.damaged[path] = str(error)
                continue
            self._look = _look(state) if path == self.last else None
            return path, state
        wrong = "; ".join(self.damaged.values())
        raise FileError(
            f"train: expected a run to go on with in {self.folder}, got none that can be read ({wrong}); begin anew with another --out"
        )

    def clear(self) -> None:
        """Remove what a process that was killed while it wrote left behind."""
        for path in self.folder.glob(".*"):
            if _LEFT_BEHIND.fullmatch(path.name):
                path.unlink(missing_ok=True)


def read(path: Path) -> dict[str, Any]:
    """The state in a file.

    Raises
    ------
    FileError
        If the file is damaged, or is something else.
    """
    state = nx.load(path)
    if not isinstance(state, dict) or not {"model", "optimizer", "run", "rows", "settings"} <= set(state):
        raise FileError(f"train: expected the state of a run, got something else in {path}; put back what train wrote")
    return state


def _step(path: Path) -> int:
    found = _KEPT.fullmatch(path.name)
    return int(found[1]) if found else -1


def _look(state: dict[str, Any]) -> int | None:
    """The step of a state that was written at a look; ``None`` of one between two."""
    done = int(state["run"]["done"])
    return done if state["rows"] and state["rows"][-1]["step"] == done else None
