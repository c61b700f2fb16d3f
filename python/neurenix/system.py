"""The machine as the library uses it: threads, instruction-set level, settings."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from neurenix import _rust
from neurenix.errors import ArgumentError
from neurenix.memory import memory_stats
from neurenix.precision import get_float32_precision

if TYPE_CHECKING:
    from neurenix.diagnosis import Diagnosis

VERSION: Final = _rust.__version__


def diagnose() -> Diagnosis:
    """Look at the machine and say what is wrong, and the fix: what ``neurenix doctor`` prints.

    Returns
    -------
    Diagnosis
        A tuple of findings with ``what``, ``text`` and ``fix``; ``ok`` and ``problems`` sum it up.

    Notes
    -----
    Where CuPy is installed it is imported, which takes some tenths of a second. Nothing is computed or compiled on a GPU.

    Examples
    --------
    >>> from neurenix.system import diagnose
    >>> found = diagnose()
    >>> found[1].what
    'processor'
    """
    from neurenix.diagnosis import diagnose  # with all that it looks at

    return diagnose()


def set_num_threads(n: int) -> None:
    """Compute on ``n`` threads from the next operation on; results do not depend on it.

    Raises
    ------
    ArgumentError
        Unless ``n`` is 1 to 1024.

    Examples
    --------
    >>> import neurenix as nx
    >>> before = nx.get_num_threads()
    >>> nx.set_num_threads(2)
    >>> nx.get_num_threads()
    2
    >>> nx.set_num_threads(before)
    """
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= 1024:
        raise ArgumentError(f"set_num_threads: expected 1 to 1024 threads, got {n!r}; pass the number of cores to use")
    _rust.set_num_threads(n)


def get_num_threads() -> int:
    """Threads that operations compute on: what was set, else ``NEURENIX_NUM_THREADS``, else the cores this process may use.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.get_num_threads() >= 1
    True
    """
    return _rust.num_threads()


def allotted_threads(environment: Mapping[str, str], processes: int = 1) -> int | None:
    """Cores that a batch system gives this process, by the variables of SLURM, PBS and LSF; ``None`` where none says.

    Parameters
    ----------
    environment : mapping
        ``os.environ``.
    processes : int
        Processes of the job on this machine, which share what is said of the machine.

    Examples
    --------
    >>> from neurenix.system import allotted_threads
    >>> allotted_threads({"SLURM_CPUS_PER_TASK": "4"}), allotted_threads({"PBS_JOBID": "1", "NCPUS": "8"}, 2), allotted_threads({})
    (4, 4, None)
    """
    if environment.get("SLURM_CPUS_PER_TASK", "").isdecimal():
        return max(1, int(environment["SLURM_CPUS_PER_TASK"]))
    hosts = environment.get("LSB_MCPU_HOSTS", "").split()  # "one 4 two 8"
    slots = dict(zip(hosts[::2], hosts[1::2], strict=False))
    name = platform.node()
    of_machine = [
        environment.get("SLURM_CPUS_ON_NODE", ""),
        *(environment.get(n, "") for n in ("PBS_NUM_PPN", "NCPUS") if "PBS_JOBID" in environment),
        slots.get(name, slots.get(name.partition(".")[0], "")),
    ]
    found = [int(n) for n in of_machine if n.isdecimal()]
    return max(1, found[0] // processes) if found else None


def show_config() -> None:
    """Print versions, processor level, threads, precision and memory: what to add to a report of a problem.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.show_config()
    neurenix ...
    threads ...
    memory ...
    """
    stats = memory_stats()
    rows = {
        "neurenix": VERSION,
        "python": f"{platform.python_version()} ({platform.system()} {platform.machine()})",
        "numpy": np.__version__,
        "processor level": f"{_rust.level()} of {', '.join(_rust.levels())}",
        "threads": str(get_num_threads()),
        "float32 precision": get_float32_precision(),
        "memory": ", ".join(f"{name} {stats[name] / 2**20:.1f} MiB" for name in ("live", "peak", "cached")),
    }
    width = max(map(len, rows))
    print("\n".join(f"{name:<{width}}  {text}" for name, text in rows.items()))
