"""The processes of one job: who is there, what they tell each other, and how one of them ends all.

MPI carries bytes and nothing else; what is added is added by us (:mod:`neurenix.parallel.tree`).
"""

from __future__ import annotations

import os
import platform
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from functools import cache
from types import TracebackType
from typing import Any, Final, TypeVar

import numpy as np

from neurenix import cuda
from neurenix.errors import BackendUnavailableError, StateError
from neurenix.progress import say
from neurenix.system import allotted_threads

T = TypeVar("T")
_SIZES: Final = (  # what launchers say
    "OMPI_COMM_WORLD_SIZE",  # Open MPI
    "PMI_SIZE",  # MPICH, Intel MPI, and what PBS starts for them
    "MV2_COMM_WORLD_SIZE",  # MVAPICH
    "JSM_NAMESPACE_SIZE",  # jsrun of LSF
)
_PAUSES: Final = (2e-5, 1e-3)  # seconds between two looks at what is under way: a waiting process leaves its core to others
_SOON: Final = 3e-4  # seconds in which it only lets others go first: a pause ends late by as much as most messages take
_PATIENCE: Final = 2.0  # seconds that other ranks leave the first one to tell an error that all of them have


class Ranks:
    """The processes that train together; this one alone, unless it was started as one of several.

    Attributes
    ----------
    rank, size : int
        The number of this process, from 0, and how many there are.

    Examples
    --------
    >>> import neurenix as nx
    >>> ranks = nx.parallel.ranks()
    >>> f"rank {ranks.rank} of {ranks.size}"
    'rank 0 of 1'
    """

    rank, size = 0, 1
    _shelves: dict[Any, Any] | None = None  # memory that they share for the vectors of a step, by what these are; None where they cannot

    def gather(self, value: T, meanwhile: Callable[[], object] = int) -> list[T]:
        """The ``value`` that every rank gave, in their order; ``meanwhile()`` is called again and again until all of them have.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.parallel.ranks().gather("here")
        ['here']
        """
        meanwhile()
        return [value]

    def send(self, _array: np.ndarray[Any, Any], rank: int, _tag: int) -> Any:
        """Begin to send a dense array's bytes; the request has ``Test()``. A :class:`StateError` where there is one rank only.

        Examples
        --------
        >>> import numpy as np
        >>> import neurenix as nx
        >>> ranks = nx.parallel.ranks()
        >>> if ranks.size > 1 and ranks.rank == 0:
        ...     request = ranks.send(np.ones(3), 1, 0)
        """
        raise StateError(f"Ranks.send: expected one of several ranks, got {rank} of one; call it where size is above 1")

    def receive(self, _array: np.ndarray[Any, Any], rank: int, _tag: int) -> Any:
        """Begin to receive a dense array's bytes; the request has ``Test()``. A :class:`StateError` where there is one rank only.

        Examples
        --------
        >>> import numpy as np
        >>> import neurenix as nx
        >>> ranks, array = nx.parallel.ranks(), np.empty(3)
        >>> if ranks.size > 1 and ranks.rank == 1:
        ...     request = ranks.receive(array, 0, 0)
        """
        raise StateError(f"Ranks.receive: expected one of several ranks, got {rank} of one; call it where size is above 1")

    def _move(self, _kept: object) -> None:
        """Leave messages that are under way behind."""

    def end(self, text: str, status: int = 1) -> int:
        """Tell, on the error stream, why this process cannot go on, and end the others; the status to leave with.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.parallel.ranks().end("no images left", status=2)
        2
        """
        say(text)
        return status

    def leave(self, status: int) -> int:
        """End what the ranks do together; the status to leave with, which the first one has for all.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.parallel.ranks().leave(0)
        0
        """
        return status

    def any(self, value: bool) -> bool:
        """Whether any rank says so.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.parallel.ranks().any(False)
        False
        """
        return any(self.gather(value))

    def agree(self, op: str, what: Mapping[str, Any]) -> None:
        """Make sure that all ranks have the same ``what``, names and values; ``op`` begins the error's text.

        Raises
        ------
        StateError
            On every rank, with the names of what differs.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.parallel.ranks().agree("train", {"batch_size": 8, "seed": 0})
        """
        rows = self.gather((platform.node(), dict(what)))
        host, first = rows[0]
        different = [(name, i) for name in first for i, (_, row) in enumerate(rows) if row.get(name) != first[name]]
        if different:
            name, i = different[0]
            names = ", ".join(dict.fromkeys(n for n, _ in different))
            raise StateError(
                f"{op}: expected the same {names} on all ranks, got {name} {first[name]!r} on rank 0 ({host}) and "
                f"{rows[i][1].get(name)!r} on rank {i} ({rows[i][0]}); start all of them with the same command, files and installation"
            )

    def device(self, name: str) -> str:
        """The device of this rank: of "cuda", where ranks of a machine see several GPUs, one for each in turn.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.parallel.ranks().device("cpu")
        'cpu'
        """
        hosts = self.gather(platform.node())
        place = hosts[: self.rank].count(platform.node())
        return f"cuda:{place % cuda.device_count()}" if name == "cuda" and len(hosts) > 1 and cuda.is_available() else name

    def threads(self) -> int:
        """How many threads this rank should compute on: its part of the cores that ranks of its machine share, or fewer in a job.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.parallel.ranks().threads() >= 1
        True
        """
        rows = self.gather((platform.node(), sorted(os.sched_getaffinity(0))))
        here = [cores for host, cores in rows if host == platform.node()]
        share = share_of_cores(here, rows[self.rank][1])
        return min(share, allotted_threads(os.environ, len(here)) or share)


def wait_until(done: Callable[[], bool]) -> None:
    """Look again and again, the more seldom the longer it takes: by a part of the time that has passed."""
    begun = time.perf_counter()
    while not done():
        passed = time.perf_counter() - begun
        if passed < _SOON:
            os.sched_yield()
        else:
            time.sleep(min(_PAUSES[1], max(_PAUSES[0], passed / 200)))


def share_of_cores(every: list[list[int]], own: list[int]) -> int:
    """Threads for a process that may run on the cores ``own``, beside processes (this one too) that may run on ``every``."""
    part = sum(1 / sum(core in cores for cores in every) for core in own)
    return max(1, int(part + 1e-9))


class MpiRanks(Ranks):
    """The processes that ``mpiexec`` or ``srun`` started together."""

    def __init__(self, mpi: Any) -> None:
        self.mpi, self.comm = mpi, mpi.COMM_WORLD.Dup()
        self.rank, self.size = self.comm.rank, self.comm.size
        self._shelves = {}
        self._kept: list[object] = []
        sys.excepthook = self._abort  # else the process would wait for the others at its end, and they for it

    def _move(self, kept: object) -> None:
        """Let messages of these ranks meet none of before, which may still read what is ``kept``; all ranks call it."""
        self._kept.append(kept)
        self.comm = self.comm.Dup()

    def _abort(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        self.end("".join(traceback.format_exception(kind, error, trace)).rstrip())

    def gather(self, value: T, meanwhile: Callable[[], object] = int) -> list[T]:
        """What every rank gave, in their order; ``meanwhile()`` is called again and again until all of them have."""
        barrier = self.comm.Ibarrier()

        def are_here() -> bool:
            meanwhile()
            return bool(barrier.Test())

        wait_until(are_here)
        found: list[T] = self.comm.allgather(value)
        return found

    def send(self, array: np.ndarray[Any, Any], rank: int, tag: int) -> Any:
        """Begin to send a dense array's bytes; the request has ``Test()``."""
        return self.comm.Isend([array, self.mpi.BYTE], rank, tag)

    def receive(self, array: np.ndarray[Any, Any], rank: int, tag: int) -> Any:
        """Begin to receive a dense array's bytes; the request has ``Test()``."""
        return self.comm.Irecv([array, self.mpi.BYTE], rank, tag)

    def leave(self, status: int) -> int:
        """End what the ranks do together; the status to leave with, which the first one has for all.

        With another one than 0 it waits until the others have gone: ``srun`` would end them, and tell of that instead.
        """
        self.gather(None)
        self.mpi.Finalize()
        if self.rank:
            return 0
        if status:
            time.sleep(2 * _PATIENCE)
        return status

    def end(self, text: str, status: int = 1) -> int:
        """Tell why this process cannot go on, and end the others; the status to leave with."""
        if self.rank:
            time.sleep(_PATIENCE)
        say(f"rank {self.rank} of {self.size} ({platform.node()}): {text}")
        self.comm.Abort(status)
        return status


def launched(environment: Mapping[str, str]) -> tuple[int, str]:
    """How many ranks a launcher or a batch system says that there are, and by which variable."""
    for name in _SIZES:
        if name in environment:
            return int(environment[name]), name
    if "SLURM_PROCID" in environment:  # in a job, and not in the shell of an allocation
        name = "SLURM_STEP_NUM_TASKS" if "SLURM_STEP_NUM_TASKS" in environment else "SLURM_NTASKS"
        return int(environment.get(name, "1")), name
    return 1, ""


@cache
def ranks() -> Ranks:
    """The processes of this job, found by what ``mpiexec`` or ``srun`` set; MPI is loaded only where there are several.

    Raises
    ------
    BackendUnavailableError
        If several were started and cannot reach each other: without mpi4py, without an MPI library, or by an ``srun`` that did not
        tell MPI of the others.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.parallel.ranks().size
    1
    """
    expected, name = launched(os.environ)
    if expected == 1:
        return Ranks()
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise BackendUnavailableError(
            f"ranks: expected mpi4py and an MPI library for the {expected} ranks of {name}, got {error}; "
            'pip install "neurenix-multiscale[mpi]", and load the cluster\'s MPI module or pip install mpich'
        ) from None
    if MPI.COMM_WORLD.size != expected:
        raise BackendUnavailableError(
            f"ranks: expected {expected} ranks ({name}), got an MPI that knows of {MPI.COMM_WORLD.size}: every process would train by "
            "itself; under SLURM start with srun --mpi=pmix or --mpi=pmi2 (srun --mpi=list names what there is), or with the mpiexec "
            "that belongs to the MPI library; for one process ask for --ntasks=1"
        )
    return MpiRanks(MPI)


def speaks() -> bool:
    """Whether this process tells results: the first of several."""
    return _known().rank == 0


def end(text: str, status: int = 1) -> int:
    """Tell why this process cannot go on, and end the others if there are any; the status to leave with."""
    return _known().end(text, status)


def _known() -> Ranks:
    """The ranks, if this process has looked for them, else it alone."""
    return ranks() if ranks.cache_info().currsize else Ranks()
