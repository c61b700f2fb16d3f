"""Several ranks under MPI: the bits of one, whatever dies ends the job with its reason, what differs is found at the start."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from gpu import emulated
from jobs import start

from neurenix.errors import BackendUnavailableError
from neurenix.parallel import ranks, shared
from neurenix.parallel.ranks import launched, share_of_cores
from neurenix.system import allotted_threads

JOB = Path(__file__).with_name("job.py")
PATIENCE = 30  # seconds within which a job has to end after one of its ranks did


def told(number: int, shards: int, what: str, transport: str = "") -> tuple[str, str]:
    """By which transport a job joined its gradients, and the hash that all of its ranks have."""
    out, err = start(number, JOB, shards, what, transport=transport).communicate(timeout=240)
    size, by, *found = out.split() or ["0", ""]
    assert (int(size), len(found), len(set(found))) == (number, number, 1), err
    return by, found[0]


def test_any_number_of_ranks_gives_the_same_bits_by_any_transport() -> None:
    """Also where a rank's shards are no whole branch of the tree: 6 shards are ((0 + 1) + (2 + 3)) + (4 + 5), and 2 ranks have 3 each."""
    _, alone = told(1, 6, "run")
    for number in (2, 3):
        assert told(number, 6, "run") == ("memory", alone)
        for transport in ("memory", "messages"):
            assert told(number, 6, "run", transport) == (transport, alone)


def test_without_memory_to_share_ranks_send_messages() -> None:
    """One of three has none left, or is on another machine. Told to use memory, they refuse."""
    _, alone = told(1, 6, "run")
    for what in ("scarce", "elsewhere"):
        assert told(3, 6, what) == ("messages", alone)
    job = start(2, JOB, 2, "scarce", transport="memory")
    _, err = job.communicate(timeout=60)
    assert job.returncode != 0
    assert "ranks: expected ranks that share the memory of one machine (NEURENIX_TRANSPORT)" in err


@pytest.mark.parametrize("transport", ["memory", "messages"])
def test_a_step_that_ranks_refuse_leaves_nothing_to_the_next(transport: str) -> None:
    assert told(2, 2, "refused", transport) == (transport, told(1, 2, "run")[1])


def test_a_transport_that_is_none_is_refused() -> None:
    job = start(2, JOB, 2, "run", transport="pigeons")
    _, err = job.communicate(timeout=60)
    assert job.returncode != 0
    assert "expected NEURENIX_TRANSPORT memory or messages, the same on all ranks, got ['pigeons']; unset it" in err


def test_only_memory_that_another_rank_made_is_taken_for_it(tmp_path: Path) -> None:
    """A path may lead elsewhere where ranks number processes differently: nothing else is waited for, or written to."""
    token = b"0123456789abcdef"
    other, pipe = tmp_path / "other", tmp_path / "pipe"
    other.write_bytes(bytes(4096))
    os.mkfifo(pipe)
    for path in (other, pipe, tmp_path / "none", tmp_path):
        assert shared._seen(path, 4096, token) is None
    file = shared._made(8192, token)
    path = Path(f"/proc/{os.getpid()}/fd/{file}")
    assert shared._seen(path, 4096, token) is None
    memory = shared._seen(path, 8192, token)
    os.close(file)
    assert memory is not None
    assert memory[:17] == token + b"\0"
    assert other.read_bytes() == bytes(4096)


def test_ranks_with_a_gpu_give_the_bits_of_one() -> None:
    """Emulated, and its copies are late: they go by messages."""
    emulated.require()
    assert told(2, 2, "emulated") == ("messages", told(1, 2, "emulated")[1])


@pytest.mark.parametrize(
    ("what", "reason", "transport"),
    [
        ("fail", "ValueError: the data of this rank are gone", ""),
        ("killed", "signal 9", "memory"),
        ("killed", "signal 9", "messages"),
        ("disagree", "expected the same data on all ranks, got data 'same' on rank 0", ""),
    ],
)
def test_a_rank_that_ends_early_ends_the_job_with_its_reason(what: str, reason: str, transport: str) -> None:
    job, begun = start(2, JOB, 2, what, transport=transport), time.monotonic()
    out, err = job.communicate(timeout=2 * PATIENCE)
    assert job.returncode != 0
    assert reason in out + err
    assert time.monotonic() - begun < PATIENCE


def test_processes_that_know_nothing_of_each_other_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``srun`` without PMI starts: SLURM says two, MPI says one."""
    monkeypatch.setenv("SLURM_PROCID", "0")
    monkeypatch.setenv("SLURM_NTASKS", "2")
    done = subprocess.run(
        [sys.executable, "-c", "import neurenix as nx; nx.parallel.ranks()"], capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode == 1
    assert "expected 2 ranks (SLURM_NTASKS), got an MPI that knows of 1" in done.stderr
    assert "srun --mpi=pmix" in done.stderr
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    ranks.cache_clear()
    with pytest.raises(BackendUnavailableError, match="expected mpi4py and an MPI library for the 2 ranks of SLURM_NTASKS"):
        ranks()


def test_launchers_are_told_by_their_variables() -> None:
    assert launched({}) == (1, "")
    assert launched({"SLURM_NTASKS": "4"}) == (1, "")  # the shell of an allocation
    assert launched({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"})[0] == 4
    assert launched({"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"})[0] == 1  # srun -n 1
    assert launched({"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "PMI_SIZE": "2"})[0] == 2  # mpiexec in a job
    assert launched({"OMPI_COMM_WORLD_SIZE": "3"})[0] == 3
    assert launched({"LSB_JOBID": "7", "LSB_DJOB_NUMPROC": "8"}) == (1, "")  # the shell of a job of LSF
    assert launched({"LSB_JOBID": "7", "LSB_DJOB_NUMPROC": "8", "JSM_NAMESPACE_SIZE": "4"}) == (4, "JSM_NAMESPACE_SIZE")
    assert launched({"PBS_JOBID": "7", "PBS_NP": "8", "PMI_SIZE": "8"}) == (8, "PMI_SIZE")


def test_ranks_of_a_machine_share_its_cores() -> None:
    assert share_of_cores([[0, 1, 2, 3]], [0, 1, 2, 3]) == 4
    assert share_of_cores([[0, 1, 2, 3]] * 2, [0, 1, 2, 3]) == 2
    assert share_of_cores([[0, 1], [2, 3]], [2, 3]) == 2  # bound to cores of their own
    assert share_of_cores([[0]] * 3, [0]) == 1


def test_threads_that_a_batch_system_gives() -> None:
    host = os.uname().nodename
    assert allotted_threads({"SLURM_CPUS_PER_TASK": "3", "SLURM_CPUS_ON_NODE": "8"}, 2) == 3
    assert allotted_threads({"SLURM_CPUS_ON_NODE": "8"}, 2) == 4
    assert allotted_threads({"PBS_JOBID": "7", "PBS_NUM_PPN": "6"}, 2) == 3
    assert allotted_threads({"NCPUS": "6"}) is None  # means nothing outside PBS
    assert allotted_threads({"LSB_MCPU_HOSTS": f"elsewhere 2 {host} 6"}, 3) == 2
