"""One process at a time: a lock file that says who holds it, and that is known to be stale when its holder is gone."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
import threading
import time
from pathlib import Path
from typing import Any, Final

from neurenix.errors import BusyError

BEAT: Final = 20.0  # seconds between two signs of life
SILENT: Final = 120.0  # after so many without one a holder on another machine is taken for dead


class Lock:
    """Held from ``with`` to its end, or to the end of the process, however it comes.

    The file is locked in the kernel, which frees it when the process dies; where a file system's locks do not reach other machines, what
    is written in it and the signs of life tell.

    Parameters
    ----------
    path : path
    what : str
        What is locked, for the error's text.
    wait : bool
        Wait for it rather than refuse.
    op : str
        Who asks, for the error's text.
    """

    def __init__(self, path: Path, what: str, *, wait: bool = False, op: str = "predict") -> None:
        self.path, self.what, self.wait, self.op = path, what, wait, op
        self._file = -1
        self._ended = threading.Event()

    def __enter__(self) -> Lock:
        while not self._taken():
            if not self.wait:
                self._refuse()
            time.sleep(0.1)
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, json.dumps(_me()).encode(), 0)
        self._ended.clear()
        threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.path.unlink(missing_ok=True)
        os.close(self._file)
        self._file = -1

    def _taken(self) -> bool:
        """Try to take it: the file that bears the name must be the one that was locked."""
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = os.path.samestat(os.fstat(self._file), self.path.stat()) and not self._is_held_elsewhere()
        except FileNotFoundError:
            free = False
        except OSError as error:
            locked = error.errno in (errno.EWOULDBLOCK, errno.EACCES)
            free = not locked and not self._is_held_elsewhere()  # a file system without locks: what is written must do
        if not free:
            os.close(self._file)
        return free

    def _holder(self) -> dict[str, Any]:
        try:
            found = json.loads(self.path.read_text(encoding="utf-8") or "{}")
        except (ValueError, OSError):
            return {}
        return found if isinstance(found, dict) else {}

    def _is_held_elsewhere(self) -> bool:
        """Whether a process that the kernel here knows nothing of shows signs of life."""
        holder, me = self._holder(), _me()
        if not holder or holder.get("host") == me["host"]:
            return bool(holder) and _lives(holder) and holder.get("pid") != me["pid"]
        if holder.get("job") and holder.get("job") == me["job"]:
            return False  # a batch job that was requeued to another machine runs once
        clock = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        clock.touch()  # the file system's own clock
        try:
            beat = self.path.stat().st_mtime
            silent = clock.stat().st_mtime - beat
        finally:
            clock.unlink(missing_ok=True)
        return silent < SILENT if silent > -1 else self._beats_again(beat)

    def _beats_again(self, beat: float) -> bool:
        """Whether there is a sign of life after one in the future: the clock was set back, and how long ago that one was nobody knows."""
        end = time.monotonic() + 1.5 * BEAT
        while time.monotonic() < end:
            if self.path.stat().st_mtime != beat:
                return True
            time.sleep(BEAT / 20)
        return False

    def _refuse(self) -> None:
        holder = self._holder()
        who = f"process {holder.get('pid', '?')} on {holder.get('host', '?')}"
        raise BusyError(f"{self.op}: expected {self.what} to be free, got {who} at work on it; wait for it, or end it and run again")

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            try:
                os.utime(self.path)
            except OSError:
                return


def _me() -> dict[str, Any]:
    job = "/".join(os.environ.get(name, "") for name in ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID"))
    return {"host": platform.node(), "pid": os.getpid(), "began": _began(os.getpid()), "job": job.strip("/")}


def _began(pid: int) -> str:
    """When a process began, in the kernel's ticks: a number that was given again is another process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _lives(holder: dict[str, Any]) -> bool:
    pid = holder.get("pid")
    return isinstance(pid, int) and bool(_began(pid)) and _began(pid) == holder.get("began")
