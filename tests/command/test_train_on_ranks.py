"""``mpiexec neurenix train``: the files of one process; a signal to one rank stops all; ranks that differ are told."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from jobs import start

import neurenix as nx
from neurenix import png
from neurenix.command import main
from neurenix.examples.shared import load_nuclei

HALT = 5  # seconds for which a process stands still
SETTINGS = ["--features", "4", "8", "--crop", "48", "--looks", "3", "--steps", "30"]
SIGNAL_TO_ONE = """
import os, signal, sys
from neurenix.command import main, train
from neurenix.parallel import ranks
look = train._look
def signalled(training, rest):
    look(training, rest)
    if ranks().rank == 1:
        os.kill(os.getpid(), signal.SIGUSR1)
train._look = signalled
sys.exit(main(sys.argv[1:]))
"""
HALTED = """
import os, signal, sys
from pathlib import Path
from neurenix.command import main, train
from neurenix.parallel import ranks
look, halts = train._look, [True]
def halted(training, rest):
    look(training, rest)
    if ranks().rank == ranks().size - 1 and halts:
        halts.clear()
        Path(sys.argv[1]).write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGSTOP)
train._look = halted
sys.exit(main(sys.argv[2:]))
"""
OTHER_SEED = """
import sys
from neurenix.command import main
from neurenix.parallel import ranks
sys.exit(main([*sys.argv[1:], "--seed", str(ranks().rank)]))
"""
OTHERWISE_ON_ONE = """
import os, sys
if os.environ["PMI_RANK"] == "1":
    sys.path.insert(0, sys.argv[1])  # another installation, if there is one
    sys.argv[4:6] = sys.argv[2:4]
from neurenix.command import main
sys.exit(main(["train", *sys.argv[4:]]))
"""


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    """Pieces of the bundled image, their nuclei as binary masks."""
    image, labels = load_nuclei()
    for name, pixels in (("images", image), ("masks", np.where(labels > 0, 255, 0).astype(np.uint8))):
        (tmp_path / name).mkdir()
        for i in range(6):
            (tmp_path / name / f"{i}.png").write_bytes(png.encode(np.ascontiguousarray(pixels[64 * i : 64 * i + 64, :80])))
    return [str(tmp_path / "images"), str(tmp_path / "masks")]


def hashes(run: Path) -> list[str]:
    return [hashlib.sha256((run / name).read_bytes()).hexdigest() for name in ("best.nx", "last.nx", "validation.png")]


def test_two_ranks_stopped_and_gone_on_with_by_four_write_the_files_of_one(folders: list[str], tmp_path: Path) -> None:
    """Eleven steps on two ranks, of which one gets a signal; the rest on four."""
    assert main(["train", *folders, "--out", str(tmp_path / "one"), *SETTINGS]) == 0
    command = ["train", *folders, "--out", str(tmp_path / "several"), *SETTINGS]
    job = start(2, "-c", SIGNAL_TO_ONE, *command)
    _, err = job.communicate(timeout=120)
    assert job.returncode == 75, err
    assert "2 ranks of" in err
    assert err.count("stopped at step 11 of 30; run the same command with --resume") == 1
    job = start(4, "-m", "neurenix", *command, "--resume")
    out, err = job.communicate(timeout=120)
    assert job.returncode == 0, err
    assert out.count("best.nx: IoU") == 1
    assert hashes(tmp_path / "several") == hashes(tmp_path / "one")


def test_halted_for_a_while_they_go_on_to_the_same_files(folders: list[str], tmp_path: Path) -> None:
    """The last of ``mpiexec -n 1`` and of ``-n 2`` is stopped after its first look, as by a batch system that takes the cores away."""
    assert main(["train", *folders, "--out", str(tmp_path / "one"), *SETTINGS]) == 0
    for number in (1, 2):
        told, run = tmp_path / f"process {number}", tmp_path / f"halted {number}"
        job = start(number, "-c", HALTED, str(told), "train", *folders, "--out", str(run), *SETTINGS)
        process = _stopped(told)
        time.sleep(HALT)
        assert job.poll() is None
        assert _state(process) == "T"
        os.kill(process, signal.SIGCONT)
        out, err = job.communicate(timeout=120)
        assert job.returncode == 0, err
        assert ("2 ranks of" in err) == (number == 2), err
        assert out.count("best.nx: IoU") == 1
        assert hashes(run) == hashes(tmp_path / "one")


def _state(process: int) -> str:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]


def _stopped(told: Path) -> int:
    """The process that a file names, once it is stopped."""
    end = time.monotonic() + 120
    while not (told.exists() and told.read_text() and _state(int(told.read_text())) == "T"):
        assert time.monotonic() < end, "nothing was stopped"
        time.sleep(0.05)
    return int(told.read_text())


def test_ranks_with_other_options_are_told(folders: list[str], tmp_path: Path) -> None:
    job = start(2, "-c", OTHER_SEED, "train", *folders, "--out", str(tmp_path / "run"), *SETTINGS)
    _, err = job.communicate(timeout=60)
    assert job.returncode not in (0, 75)  # which of the ranks ends first, mpiexec decides
    assert "expected the same --seed on all ranks, got --seed 0 on rank 0" in err
    assert "rank 1 of 2" not in err  # all of them know; it is told once
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("what", ["code", "files"])
def test_ranks_with_other_code_or_files_are_told(folders: list[str], tmp_path: Path, what: str) -> None:
    """Of the same names and sizes, on the second rank."""
    other = tmp_path / "other"
    if what == "code":
        shutil.copytree(Path(nx.__file__).parent, other / "neurenix", ignore=shutil.ignore_patterns("__pycache__"))
        changed = other / "neurenix" / "layout.py"
        theirs = folders
    else:
        theirs = [str(shutil.copytree(folder, other / Path(folder).name)) for folder in folders]
        changed = other / "images" / "3.png"
    held = bytearray(changed.read_bytes())
    place = held.index(b'"""') + 3 if what == "code" else held.index(b"IEND") + 4  # of the file's last checksum, which nothing asks
    held[place] ^= 1
    changed.write_bytes(held)
    job = start(2, "-c", OTHERWISE_ON_ONE, str(other), *theirs, *folders, "--out", str(tmp_path / "run"), *SETTINGS)
    _, err = job.communicate(timeout=60)
    assert job.returncode not in (0, 75)
    assert f"train: expected the same {what} on all ranks" in err
    assert not (tmp_path / "run").exists()


def test_ranks_and_shards_that_do_not_fit_are_refused(folders: list[str], tmp_path: Path) -> None:
    job = start(3, "-m", "neurenix", "train", *folders, "--out", str(tmp_path / "run"), *SETTINGS)
    _, err = job.communicate(timeout=60)
    assert job.returncode not in (0, 75)  # which of the ranks ends first, mpiexec decides
    assert "Shards: expected shards that 3 ranks divide evenly, got 4; use a multiple of 3" in err
