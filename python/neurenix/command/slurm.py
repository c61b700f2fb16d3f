"""Job scripts for SLURM: training on one machine or several, prediction in parts.

Each is a whole script, made of a few lines that all have and those of its kind. What ``docs/hpc`` holds is what :func:`template` gives.
"""

from __future__ import annotations

import shlex
import signal
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from neurenix.errors import ArgumentError


class Kind(NamedTuple):
    """What is particular to one kind of job."""

    about: str
    settings: Sequence[str]  # lines of #SBATCH, filled in
    start: str  # what stands before the command


_AGAIN: Final = """When its time is nearly over the run saves, ends with status 75 and is queued again;
# it goes on to the same bits as if it had never stopped."""
_EARLY: Final = 128 + signal.SIGUSR1  # it came while the command was being loaded, which nothing is lost by
_SIGNAL: Final = ("signal=USR1@60", "requeue", "open-mode=append")
KINDS: Final = {
    "train": Kind(
        f"Trains a model on one machine. {_AGAIN}",
        ("ntasks=1", "cpus-per-task={cpus}", "mem={memory}", "time={time}", *_SIGNAL, "output=%x-%j.log"),
        'srun --cpus-per-task="$SLURM_CPUS_PER_TASK" --kill-on-bad-exit=1',
    ),
    "gpu": Kind(
        f"Trains a model on a GPU. {_AGAIN}",
        ("ntasks=1", "gpus-per-task=1", "cpus-per-task={cpus}", "mem={memory}", "time={time}", *_SIGNAL, "output=%x-%j.log"),
        'srun --gpus-per-task=1 --cpus-per-task="$SLURM_CPUS_PER_TASK" --kill-on-bad-exit=1',
    ),
    "mpi": Kind(
        f"Trains a model on several machines, one rank on each. {_AGAIN}",
        ("nodes={nodes}", "ntasks-per-node=1", "cpus-per-task={cpus}", "mem={memory}", "time={time}", *_SIGNAL, "output=%x-%j.log"),
        'srun --mpi={mpi} --cpus-per-task="$SLURM_CPUS_PER_TASK" --kill-on-bad-exit=1',
    ),
    "predict": Kind(
        "Predicts a folder of images in parts, each a task of an array. Parts need nothing of each other.\n"
        "# A part that was ended is queued again and leaves out the images that are done.",
        ("array=1-{parts}", "ntasks=1", "cpus-per-task={cpus}", "mem={memory}", "time={time}", *_SIGNAL, "output=%x-%A-%a.log"),
        'srun --cpus-per-task="$SLURM_CPUS_PER_TASK"',
    ),
}
DEFAULTS: Final[dict[str, Any]] = {
    "images": "images",
    "masks": "masks",
    "run": "run",
    "model": "run/best.nx",
    "out": "found",
    "options": (),
    "cpus": 8,
    "memory": "16G",
    "time": "04:00:00",
    "nodes": 2,
    "parts": 8,
    "mpi": "pmix",
}


def template(kind: str, **fill: Any) -> str:
    """A job script.

    Parameters
    ----------
    kind : {"train", "gpu", "mpi", "predict"}
        Training on one machine, on a GPU, on several machines, prediction in parts.
    **fill
        ``images``, ``masks``, ``run`` and ``model``, ``out`` (paths), ``options`` (a list of further words of the command), ``cpus`` of a
        task, ``memory`` of a machine, ``time``, ``nodes``, ``parts``, ``mpi`` (what ``srun --mpi=list`` names).

    Raises
    ------
    ArgumentError
        If the kind, or a name in ``fill``, is none of these.

    Examples
    --------
    >>> from neurenix.command.slurm import template
    >>> print(template("predict", parts=40, options=["--tile", "2048"]))
    #!/bin/bash
    # Predicts a folder of images in parts, each a task of an array. Parts need nothing of each other.
    ...
    #SBATCH --array=1-40
    ...
    command=(neurenix predict run/best.nx images --out found --part "$SLURM_ARRAY_TASK_ID/40" --resume --tile 2048)
    ...
    """
    unknown = sorted(set(fill) - set(DEFAULTS))
    if kind not in KINDS or unknown:
        raise ArgumentError(
            f"template: expected a kind of {list(KINDS)} and values of {list(DEFAULTS)}, got {kind!r} and {unknown}; pass these alone"
        )
    given, chosen = DEFAULTS | fill, KINDS[kind]
    settings = "\n".join(f"#SBATCH --{line.format(**given)}" for line in (f"job-name=neurenix-{kind}", *chosen.settings))
    return f"""#!/bin/bash
# {chosen.about}
{settings}

{_command(kind, given)}
{chosen.start.format(**given)} "${{command[@]}}"
status=$?
if [ "$status" = 75 ] || [ "$status" = {_EARLY} ]; then scontrol requeue "{_job(kind)}"; fi
exit "$status"
"""


def _job(kind: str) -> str:
    return "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID" if kind == "predict" else "$SLURM_JOB_ID"


def _command(kind: str, given: dict[str, Any]) -> str:
    """The lines that make the array ``command``."""
    words = {name: shlex.quote(str(given[name])) for name in ("images", "masks", "run", "model", "out")}
    options = "".join(f" {shlex.quote(str(word))}" for word in given["options"])
    if kind == "predict":
        part = f'"$SLURM_ARRAY_TASK_ID/{int(given["parts"])}"'  # not the array's own count: sbatch --array=3,5 repeats two of them
        return f"command=(neurenix predict {words['model']} {words['images']} --out {words['out']} --part {part} --resume{options})"
    if kind == "gpu":
        options = f" --device cuda{options}"
    return (
        f"command=(neurenix train {words['images']} {words['masks']} --out {words['run']}{options})\n"
        f"if [ -e {words['run']}/last.nx ]; then command+=(--resume); fi"
    )
