"""Jobs of several ranks for tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def start(number: int, *command: str | Path, folder: Path | None = None, transport: str = "") -> subprocess.Popen[str]:
    """A job of several ranks, by the MPI that pip installed beside Python."""
    mpiexec = Path(sys.executable).with_name("mpiexec")
    package = Path(__file__).resolve().parents[1] / "python"
    return subprocess.Popen(
        [mpiexec, "-n", str(number), sys.executable, "-W", "error", *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(package), "NEURENIX_TRANSPORT": transport},
        cwd=folder,
    )
