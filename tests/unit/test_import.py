"""What ``import neurenix`` brings along."""

import os
import subprocess
import sys

import pytest

OPTIONAL = {"cupy", "PIL", "tqdm", "scipy", "torch", "skimage", "tifffile", "zarr", "onnx", "mpi4py"}


def test_import_needs_numpy_only() -> None:
    code = f"import sys, neurenix, neurenix.multiscale, neurenix.data, neurenix.optim; print(*sorted({OPTIONAL!r} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "", f"`import neurenix` also imported {out.stdout.strip()}"


# Rooms of the standard library that cost milliseconds or megabytes: what needs them imports them when it does.
HEAVY = {"asyncio", "concurrent.futures", "csv", "ctypes", "dataclasses", "decimal", "email", "hashlib", "importlib.metadata", "importlib.resources", "inspect",
         "json", "logging", "multiprocessing", "pathlib", "random", "shutil", "socket", "sqlite3", "ssl", "subprocess", "tempfile", "unittest", "zipfile"}  # fmt: skip
COUNT = """
import sys, numpy
before = set(sys.modules)
import neurenix
new = set(sys.modules) - before
print(len([m for m in new if not m.startswith("neurenix")]), *sorted(new & {HEAVY!r}))
"""


def said(program: str) -> str:
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_import_loads_few_modules() -> None:
    """Beside numpy's: a new one is worth a look at what it brings along (`python -X importtime`)."""
    count, *heavy = said(COUNT.replace("{HEAVY!r}", repr(HEAVY))).split()
    assert heavy == []
    assert int(count) <= 12


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are counted in /proc")  # noqa: PTH112
def test_no_thread_starts_before_there_is_work() -> None:
    program = """
import os, numpy as np
before = len(os.listdir("/proc/self/task"))
import neurenix as nx
nx.set_num_threads(2)
model = nx.multiscale.UNet(1, 1, features=[4])
after_import = len(os.listdir("/proc/self/task"))
with nx.no_grad():
    model(np.zeros((1, 1, 256, 256), np.float32))
print(after_import - before, len(os.listdir("/proc/self/task")) - before)
"""
    assert said(program) == "0 1"  # the caller is the other one
