"""The job scripts under a real SLURM: ``make test-slurm``. The name keeps these tests, which take minutes, out of ``make test``."""

from __future__ import annotations

import hashlib
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from slurm.cluster import slurm

from neurenix import png
from neurenix.command import main
from neurenix.command.slurm import template
from neurenix.examples.shared import load_nuclei

STEPS = ["--steps", "240", "--features", "4", "8", "--crop", "48", "--looks", "3"]
FILL = {"cpus": 1, "memory": "1G", "options": STEPS}
PATIENCE = 300  # seconds in which a job says nothing: other work may have the cores
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")
DEATH = 30  # seconds within which a job ends when one of its ranks is killed


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A SLURM in whose jobs ``neurenix`` is this package."""
    package = Path(__file__).resolve().parents[2] / "python"
    with slurm(tmp_path_factory.mktemp("slurm")) as found:
        path = f"{Path(sys.executable).parent}:{found['PATH']}"
        yield found | {"PYTHONPATH": str(package), "PATH": path, "NEURENIX_NUM_THREADS": "1", "MPI4PY_MPIABI": "openmpi"}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images, masks, and a run that never stopped."""
    folder = tmp_path_factory.mktemp("reference")
    image, labels = load_nuclei()
    for name, pixels in (("images", image), ("masks", np.where(labels > 0, 255, 0).astype(np.uint8))):
        (folder / name).mkdir()
        for i in range(6):
            (folder / name / f"{i}.png").write_bytes(png.encode(np.ascontiguousarray(pixels[64 * i : 64 * i + 64, :80])))
    folders = [str(folder / "images"), str(folder / "masks"), "--out", str(folder / "run")]
    assert main(["train", *folders, *STEPS, "--threads", "1"]) == 0  # a second thread costs minutes where other work has the cores
    return folder


@pytest.fixture
def place(reference: Path, tmp_path: Path) -> Path:
    """A folder from which jobs are submitted, with the images and masks."""
    for name in ("images", "masks"):
        (tmp_path / name).symlink_to(reference / name)
    return tmp_path


class Job:
    """A script that was submitted."""

    def __init__(self, script: str, place: Path, environment: dict[str, str], *options: str) -> None:
        self.place, self.environment = place, environment
        (place / "job.sbatch").write_text(script)
        self.said, self.heard = 0, time.monotonic()
        self.number = self.call("sbatch", "--parsable", *options, "job.sbatch").strip()

    def call(self, *command: str) -> str:
        """What a command of SLURM says."""
        done = subprocess.run(command, cwd=self.place, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def fields(self) -> dict[str, str]:
        """What SLURM knows of it."""
        return dict(word.split("=", 1) for word in self.call("scontrol", "-o", "show", "job", self.number).split() if "=" in word)

    def wait(self, seconds: float | None = None) -> dict[str, str]:
        """Until it has ended."""
        end = time.monotonic() + (math.inf if seconds is None else seconds)
        while (found := self.fields())["JobState"] not in ENDED:
            assert time.monotonic() < end, f"{found}\n{self.log()}"
            self.pause(1)
        return found

    def wait_for(self, text: str) -> None:
        """Until it has said something."""
        while text not in self.log():
            self.pause(0.2)

    def pause(self, seconds: float) -> None:
        """A while, in a job that is alive: that has said something not long ago."""
        time.sleep(seconds)
        if (said := len(self.log())) != self.said:
            self.said, self.heard = said, time.monotonic()
        assert time.monotonic() - self.heard < PATIENCE, f"{self.fields()}\n{self.log()}"

    def log(self) -> str:
        """All that it said."""
        return "".join(path.read_text() for path in sorted(self.place.glob("neurenix-*.log")))

    def tasks(self, *said: str) -> list[int]:
        """Its processes whose environment says this."""
        wanted = {f"SLURM_JOB_ID={self.number}", *said}
        return [int(p.name) for p in Path("/proc").iterdir() if p.name.isdecimal() and wanted <= set(variables(p))]


def variables(process: Path) -> list[str]:
    try:
        return (process / "environ").read_text(errors="replace").split("\0")
    except OSError:
        return []


def halt_until_signalled(process: int) -> None:
    """Hold a process up until SIGUSR1 waits for it, or it has ended."""
    end = time.monotonic() + PATIENCE
    with suppress(ProcessLookupError, FileNotFoundError):
        os.kill(process, signal.SIGSTOP)
        while not int(status(process)["ShdPnd"], 16) >> (signal.SIGUSR1 - 1) & 1:
            assert time.monotonic() < end
            time.sleep(0.2)
        os.kill(process, signal.SIGCONT)


def status(process: int) -> dict[str, str]:
    return dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())


def hashes(run: Path) -> list[str]:
    return [hashlib.sha256((run / name).read_bytes()).hexdigest() for name in ("best.nx", "last.nx", "validation.png")]


def test_a_time_limit_that_hits_costs_nothing(reference: Path, place: Path, environment: dict[str, str]) -> None:
    """A limit of a minute: SLURM signals, the run saves, is queued again and goes on, as often as it takes, to the same files.

    The run is halted until the signal waits for it: a fast machine would be done before.
    """
    job = Job(template("train", **FILL), place, environment, "--time=1", "--signal=USR1@5")
    job.wait_for("step 80: IoU")
    for run in job.tasks("SLURM_STEP_ID=0", "SLURM_PROCID=0"):  # none where the signal has come already
        halt_until_signalled(run)
    done = job.wait()
    assert done["JobState"] == "COMPLETED", job.log()
    assert 1 <= job.log().count("run the same command with --resume") <= int(done["Restarts"])
    assert hashes(place / "run") == hashes(reference / "run")


def test_a_signal_that_comes_while_the_command_is_loaded_queues_the_job_again(place: Path, environment: dict[str, str]) -> None:
    command = place / "bin" / "neurenix"
    command.parent.mkdir()
    command.write_text("#!/bin/bash\nif mkdir begun; then kill -USR1 $$; fi\n")
    command.chmod(0o755)
    job = Job(template("train", **FILL), place, environment | {"PATH": f"{command.parent}:{environment['PATH']}"})
    done = job.wait()
    assert (done["JobState"], done["Restarts"]) == ("COMPLETED", "1"), job.log()


def test_two_nodes_stopped_and_started_again_write_the_files_of_one_process(
    reference: Path, place: Path, environment: dict[str, str]
) -> None:
    job = Job(template("mpi", **FILL), place, environment)
    job.wait_for("step 80: IoU")
    job.call("scancel", "--signal=USR1", job.number)
    done = job.wait()
    assert (done["JobState"], done["Restarts"], done["NumNodes"]) == ("COMPLETED", "1", "2"), job.log()
    assert "2 ranks of 1 threads" in job.log()
    assert hashes(place / "run") == hashes(reference / "run")


def test_a_rank_that_is_killed_ends_the_job(place: Path, environment: dict[str, str]) -> None:
    job = Job(template("mpi", **FILL), place, environment)
    job.wait_for("step 80: IoU")
    [victim] = job.tasks("SLURM_PROCID=1", "PMIX_RANK=1")
    os.kill(victim, signal.SIGKILL)
    done = job.wait(DEATH)
    assert done["JobState"] == "FAILED"
    assert "Killed" in job.log()


def test_processes_that_srun_did_not_join_are_refused(place: Path, environment: dict[str, str]) -> None:
    """By MPICH, which pip installed; Open MPI ends such a process itself, with its own words."""
    with_mpich = {name: value for name, value in environment.items() if name != "MPI4PY_MPIABI"}
    done = Job(template("mpi", mpi="none", **FILL), place, with_mpich)
    assert done.wait()["JobState"] == "FAILED"
    assert "expected 2 ranks (SLURM_STEP_NUM_TASKS), got an MPI that knows of 1" in done.log()
    assert not (place / "run").exists()


def test_a_job_for_a_gpu_is_taken_and_says_what_is_missing(place: Path, environment: dict[str, str]) -> None:
    """SLURM believes that each node has a GPU."""
    job = Job(template("gpu", **FILL), place, environment | {"CUDA_VISIBLE_DEVICES": ""})
    done = job.wait()
    assert done["JobState"] == "FAILED"
    assert "gpu:1" in done.get("TresPerTask", "") or "gres:gpu" in done.get("TresPerTask", "")
    assert "neurenix train: cuda: expected" in job.log()


def test_an_array_predicts_in_parts_what_one_command_predicts(reference: Path, place: Path, environment: dict[str, str]) -> None:
    (place / "run").symlink_to(reference / "run")
    job = Job(template("predict", parts=3, cpus=1, memory="1G"), place, environment)
    while job.call("squeue", "-h", "-j", job.number):
        time.sleep(1)
    assert main(["predict", str(reference / "run" / "best.nx"), str(place / "images"), "--out", str(place / "straight")]) == 0
    straight = {p.name: p.read_bytes() for p in (place / "straight").iterdir() if p.suffix == ".png"}
    assert len(straight) == 6
    assert {p.name: p.read_bytes() for p in (place / "found").iterdir() if p.suffix == ".png"} == straight, job.log()
    assert len(list(place.glob("neurenix-predict-*.log"))) == 3
