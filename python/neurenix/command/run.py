"""A training run: all that has a state, in one file, so that a run that was stopped goes on to the same bits."""

from __future__ import annotations

import csv
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

import neurenix as nx
from neurenix.command.files import write_rows
from neurenix.command.tasks import Task
from neurenix.data import DataLoader
from neurenix.errors import StateError
from neurenix.normalization import Normalization
from neurenix.optim import AdamW, ExponentialMovingAverage
from neurenix.optim.lr_scheduler import OneCycleLR
from neurenix.parallel import Shards

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
    """

    def __init__(self, folder: Path, model: nx.nn.Module, task: Task, loader: DataLoader, steps: int, rate: float, shards: Shards) -> None:
        self.folder, self.task, self.loader, self.steps, self.rate, self.shards = folder, task, loader, steps, rate, shards
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
        with nx.device(self.loader.device or "cpu"):
            criterion, normalize = self.task.criterion(), self.model.input_normalization or Normalization()
        self.model.train()
        for images, targets in self.loader:
            if self.done >= self.steps:
                return
            loss = self.shards.backward(self.model, criterion, normalize(images), targets)
            self.optimizer.step()
            self.schedule.step()
            self.average.update()
            self.done += 1
            self.losses.append(loss.item())
            yield self.losses[-1]

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
            "steps": self.steps,
            "shards": self.shards.count,
        }
        nx.save(state, self.folder / "last.nx")

    def save_best(self) -> None:
        """Write ``best.nx``: the model with its averaged weights, and what its outputs mean."""
        if not self.writes:
            return
        with self.average.applied():
            nx.save({"model": self.model, "task": self.task.kind, "classes": self.task.classes}, self.folder / "best.nx")

    def restore(self) -> None:
        """Go back to where ``last.nx`` was written.

        Raises
        ------
        StateError
            If it is of a run with other steps or shards.
        """
        state = nx.load(self.folder / "last.nx")
        if state["steps"] != self.steps:
            raise StateError(
                f"train: expected a run of {self.steps} steps in {self.folder}, got one of {state['steps']}; pass --steps {state['steps']}"
            )
        if state["shards"] != self.shards.count:
            raise StateError(
                f"train: expected a run of {self.shards.count} shards in {self.folder}, got one of {state['shards']}; "
                f"pass --shards {state['shards']}"
            )
        self._take(state["model"].to(device=self.loader.device or "cpu"))
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.average.load_state_dict(state["average"])
        self.loader.load_state_dict(state["loader"])
        nx.set_rng_state(state["random"])
        run = state["run"]
        self.done, self.since = run["done"], run["since"]
        self.seconds = seconds_of(self.folder / "log.csv")
        self.begun -= max(self.seconds.values(), default=0.0)
        self.best = -np.inf if run["best"] is None else run["best"]
        self.losses, self.rows = state["losses"], state["rows"]


def seconds_of(log: Path) -> dict[int, float]:
    """How long a run had taken at each of its looks, from its log, where that can be read."""
    try:
        rows = list(csv.DictReader(log.read_text(encoding="utf-8").splitlines()))
        return {int(row["step"]): float(row["seconds"]) for row in rows if row["seconds"]}
    except (OSError, ValueError, KeyError):
        return {}
