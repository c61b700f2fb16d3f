"""A training run: all that has a state, in one file, so that a run that was stopped goes on to the same bits."""

from __future__ import annotations

import csv
import hashlib
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

import neurenix as nx
from neurenix.command.board import Board
from neurenix.command.checkpoints import Checkpoints
from neurenix.command.files import write_rows
from neurenix.command.tasks import Task
from neurenix.command.together import tell
from neurenix.data import DataLoader
from neurenix.errors import AnomalyError, FileError, StateError
from neurenix.normalization import Normalization
from neurenix.optim import AdamW, ExponentialMovingAverage
from neurenix.optim.lr_scheduler import OneCycleLR
from neurenix.parallel import Shards

_NONE: Final = (None, "")  # settings that are not given
DECAY: Final = 0.98  # of averaged weights; less in short runs, which would not forget where they began


class Run:
    """A model on its way: optimizer, schedule, averaged weights, place in the data, random numbers, log and best score.

    Parameters
    ----------
    folder : path
        Where ``last.nx``, ``best.nx`` and ``log.csv`` are.
    model : Module
        With fresh weights; replaced by the saved one where :meth:`restore` is called.
    task : Task
    loader : DataLoader
        Gives all batches of the run.
    steps : int
    rate : float
        The highest learning rate.
    shards : Shards
        What a step is computed in, by which ranks; the first of them writes.
    settings : mapping
        What decides the bits of the run, by the names of options; a run that goes on must have the same.
    precision : {"float32", "bfloat16", "float16"}
        Of convolutions and matrix products; weights and all else are float32.
    keep : int
        States of so many earlier looks stay beside ``last.nx``.
    """

    def __init__(
        self, folder: Path, model: nx.nn.Module, task: Task, loader: DataLoader, steps: int, rate: float, shards: Shards,
        settings: Mapping[str, Any], *, precision: str = "float32", keep: int = 2,
    ) -> None:  # fmt: skip
        self.folder, self.task, self.loader, self.steps, self.rate, self.shards = folder, task, loader, steps, rate, shards
        self.settings, self.precision, self.checkpoints = settings, precision, Checkpoints(folder, keep)
        self.board: Board | None = None
        self.place = nx.device(loader.device or "cpu")
        self.scaler = nx.amp.GradScaler(self.place.type, enabled=precision == "float16")
        self.done, self.best, self.since = 0, -np.inf, 0  # since: looks since the best one
        self.seconds: dict[int, float] = {}  # of each look, in log.csv alone: last.nx holds what is the same in every such run
        self.begun = time.perf_counter()
        self.losses: list[float] = []
        self.rows: list[dict[str, Any]] = []
        self._take(model)

    def _take(self, model: nx.nn.Module) -> None:
        self.model = model
        self.optimizer = AdamW(model.parameters(), lr=self.rate, weight_decay=0.01)
        self.schedule = OneCycleLR(self.optimizer, self.rate, total_steps=self.steps)
        statistics = [b for b in model.buffers() if b.is_floating_point()]
        self.average = ExponentialMovingAverage([*model.parameters(), *statistics], decay=max(0.0, min(DECAY, 1 - 10 / self.steps)))

    def train(self) -> Iterator[float]:
        """Take the steps that are left; the loss of each."""
        with self.place:
            criterion, normalize = self.task.criterion(), self.model.input_normalization or Normalization()
        self.model.train()
        for images, targets in self.loader:
            if self.done >= self.steps:
                return
            self.losses.append(self._gradients(criterion, normalize.standardized(images), targets))
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.schedule.step()
            self.average.update()
            self.done += 1
            yield self.losses[-1]

    def _gradients(self, criterion: Any, images: nx.Tensor, targets: nx.Tensor) -> float:
        """Put the gradients of a batch, times the scale, into the parameters; the loss.

        Raises
        ------
        AnomalyError
            If the loss is infinite or NaN: weights would be next.
        """
        dtype = None if self.precision == "float32" else self.precision
        with nx.autocast(self.place.type, dtype, enabled=dtype is not None):
            scaled = self.shards.backward(self.model, lambda *pair: self.scaler.scale(criterion(*pair)), images, targets)
        loss = float(scaled.item()) / self.scaler.get_scale()
        if not math.isfinite(loss):
            help = "pass --precision bfloat16 or float32" if self.precision == "float16" else "begin anew with a lower --rate"
            raise AnomalyError(f"train: expected a finite loss, got {loss} at step {self.done + 1}; look at images and masks, or {help}")
        return loss

    @property
    def writes(self) -> bool:
        """Whether this rank is the one that writes files."""
        return self.shards.ranks.rank == 0

    def digest(self) -> str:
        """A number of the weights: the same on all ranks."""
        found = hashlib.sha256()
        for t in self.model.state_dict().values():
            found.update(np.ascontiguousarray(t.cpu().numpy()).tobytes())
        return found.hexdigest()

    def log(self, score: float | None) -> bool:
        """Write down where the run is, with a score where there is one; whether it is the best so far."""
        better = score is None or score > self.best
        row = {"step": self.done, "loss": round(float(np.mean(self.losses)), 6), "rate": self.schedule.get_last_lr()[0]}
        self.rows.append(row | {"score": None if score is None else round(score, 5)})
        self.seconds[self.done] = round(time.perf_counter() - self.begun, 1)
        self.losses = []
        self.best, self.since = (self.best if score is None else score, 0) if better else (self.best, self.since + 1)
        if self.writes:
            write_rows(self.folder / "log.csv", ({**row, "seconds": self.seconds.get(row["step"])} for row in self.rows))
            if self.board is not None:
                self.board.scalars(self.done, {name: value for name, value in self.rows[-1].items() if name != "step"})
        return better

    def save(self) -> None:
        """Write ``last.nx``."""
        if not self.writes:
            return
        state = {
            "model": self.model,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "average": self.average.state_dict(),
            "loader": self.loader.state_dict(),
            "random": nx.get_rng_state(),
            "run": {"done": self.done, "best": self.best if np.isfinite(self.best) else None, "since": self.since},
            "losses": self.losses,
            "rows": self.rows,
            "scaler": self.scaler.state_dict(),
            "settings": dict(self.settings),
            "task": self.task.kind,
            "classes": self.task.classes,
        }
        self.checkpoints.write(state)

    def save_best(self) -> None:
        """Write ``best.nx``: the model with its averaged weights, and what its outputs mean."""
        if not self.writes:
            return
        with self.average.applied():
            nx.save({"model": self.model, "task": self.task.kind, "classes": self.task.classes}, self.folder / "best.nx")

    def restore(self) -> None:
        """Go back to the newest state on the disk that is whole.

        Raises
        ------
        StateError
            If it is of a run with other settings.
        FileError
            If there is none.
        """
        path, state = self.checkpoints.newest()
        for wrong, why in self.checkpoints.damaged.items():
            tell(f"left out: {wrong.name} cannot be read ({why})", self.shards.ranks)
        if self.checkpoints.damaged:
            tell(f"going on from {path.name}, step {state['run']['done']}", self.shards.ranks)
        self._check(state["settings"])
        self._take(state["model"].to(device=self.place))
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.average.load_state_dict(state["average"])
        self.loader.load_state_dict(state["loader"])
        self.scaler.load_state_dict(state["scaler"])
        nx.set_rng_state(state["random"])
        run = state["run"]
        self.done, self.since = run["done"], run["since"]
        self.seconds = seconds_of(self.folder / "log.csv")
        self.begun -= max(self.seconds.values(), default=0.0)
        self.best = -np.inf if run["best"] is None else run["best"]
        self.losses, self.rows = state["losses"], state["rows"]
        self._check_best()

    def _check(self, saved: Mapping[str, Any]) -> None:
        """Refuse to go on with other settings, or on other files, than the run began with."""
        odd = [name for name in self.settings if self.settings[name] != saved.get(name)]
        if odd == ["files"]:
            raise StateError(
                f"train: expected the files that the run in {self.folder} began with, got others by name or size; "
                "put them back, or begin anew with another --out"
            )
        odd = [name for name in odd if name != "files"]
        if odd:
            got = ", ".join(f"{_option(name, self.settings[name])} (there: {_option(name, saved.get(name))})" for name in odd)
            passed = " ".join(_option(name, saved.get(name)) for name in odd if saved.get(name) not in _NONE)
            without = " ".join(_flag(name) for name in odd if saved.get(name) in _NONE)
            help = " and ".join([f"pass {passed}"] * bool(passed) + [f"leave out {without}"] * bool(without))
            raise StateError(f"train: expected the settings of the run in {self.folder}, got {got}; {help}")

    def _check_best(self) -> None:
        """See that ``best.nx`` is whole; where it is not, the next look writes it."""
        try:
            if self.rows:
                nx.load(self.folder / "best.nx")
        except (FileError, OSError) as error:
            tell(f"best.nx cannot be read ({error}); the next look writes a new one", self.shards.ranks)
            self.best = -np.inf


def _option(name: str, value: Any) -> str:
    """A setting as the command line says it."""
    if value in _NONE:
        return f"no {_flag(name)}"
    return f"{_flag(name)} {' '.join(map(str, value)) if isinstance(value, (list, tuple)) else value}"


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def seconds_of(log: Path) -> dict[int, float]:
    """How long a run had taken at each of its looks, from its log, where that can be read."""
    try:
        rows = list(csv.DictReader(log.read_text(encoding="utf-8").splitlines()))
        return {int(row["step"]): float(row["seconds"]) for row in rows if row["seconds"]}
    except (OSError, ValueError, KeyError):
        return {}
