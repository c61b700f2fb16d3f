"""Settings that the environment gives: the instruction-set level, the number of threads, the cores one may use."""

import os
import subprocess
import sys

import pytest

from neurenix import _rust

SHOW = "from neurenix import _rust; print(_rust.level(), _rust.num_threads())"


def shown(prefix="", **environment):
    """Level, threads and errors of a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", prefix + SHOW], capture_output=True, text=True, check=True, env={**os.environ, **environment}
    )
    return done.stdout.split(), done.stderr


@pytest.mark.parametrize("level", _rust.levels())
def test_the_level_is_forced(level):
    assert shown(NEURENIX_SIMD=level)[0][0] == level


def test_the_number_of_threads_is_forced():
    assert shown(NEURENIX_NUM_THREADS="3")[0][1] == "3"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity masks on this system")
def test_threads_follow_the_affinity_mask():
    one = f"import os; os.sched_setaffinity(0, {{{min(os.sched_getaffinity(0))}}}); "
    environment = {k: v for k, v in os.environ.items() if k != "NEURENIX_NUM_THREADS"}
    done = subprocess.run([sys.executable, "-c", one + SHOW], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split()[1] == "1"


CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@pytest.mark.parametrize(("given", "used"), [("1", 1), ("1024", CORES), ("many", CORES)])
def test_threads_follow_slurm_up_to_the_cores(given, used, monkeypatch):
    """A quota of processor time may allow fewer than the affinity mask does."""
    monkeypatch.delenv("NEURENIX_NUM_THREADS", raising=False)
    assert 1 <= int(shown(SLURM_CPUS_PER_TASK=given)[0][1]) <= used


def test_threads_that_are_set_go_before_slurm():
    assert shown(SLURM_CPUS_PER_TASK="1", NEURENIX_NUM_THREADS="3")[0][1] == "3"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("NEURENIX_SIMD", "avx1024", "NEURENIX_SIMD: expected one of portable"),
        ("NEURENIX_NUM_THREADS", "0", "NEURENIX_NUM_THREADS: expected 1 to 1024, got '0'"),
        ("NEURENIX_NUM_THREADS", "many", "NEURENIX_NUM_THREADS: expected 1 to 1024, got 'many'"),
    ],
)
def test_what_cannot_be_followed_is_said(name, value, text, monkeypatch):
    monkeypatch.delenv(name, raising=False)
    usual, _ = shown()
    got, errors = shown(**{name: value})
    assert text in errors
    assert got == usual
