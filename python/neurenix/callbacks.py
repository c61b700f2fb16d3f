"""Small helpers of a plain training loop: when to stop, and which weights to keep."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, Literal

from neurenix import serialization
from neurenix.errors import ArgumentError, GraphError
from neurenix.nn import Module


class _Best:
    """The best value so far; a NaN never is one."""

    def __init__(self, owner: str, mode: str, min_delta: float) -> None:
        if mode not in ("min", "max"):
            raise ArgumentError(f"{owner}: expected mode 'min' or 'max', got {mode!r}; pass 'min' for a loss, 'max' for a score")
        if isinstance(min_delta, bool) or not isinstance(min_delta, (int, float)) or not min_delta >= 0:
            raise ArgumentError(f"{owner}: expected min_delta of at least 0, got {min_delta!r}; pass e.g. 0.0")
        self.owner, self.sign, self.min_delta = owner, (1.0 if mode == "min" else -1.0), float(min_delta)
        self.value: float | None = None

    def improves(self, value: Any) -> bool:
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise ArgumentError(f"{self.owner}.step: expected a number or a one-element tensor, got {value!r}; pass loss.item()") from None
        better = not math.isnan(number) and (self.value is None or self.sign * (self.value - number) > self.min_delta)
        if better:
            self.value = number
        return better


class EarlyStopping:
    """Tell a loop to stop when a value has not improved for some time.

    Parameters
    ----------
    patience : int
        So many steps without improvement are tolerated.
    min_delta : float
        A smaller change is no improvement.
    mode : {"min", "max"}
        Whether smaller values are better, as of a loss, or larger, as of a score.

    Attributes
    ----------
    best : float or None
        The best value so far.
    best_step : int or None
        The number of the step, from 0, that gave it.

    Raises
    ------
    ArgumentError
        If ``patience`` is below 1, ``min_delta`` negative, or ``mode`` another.

    Examples
    --------
    >>> import neurenix as nx
    >>> stopping = nx.EarlyStopping(patience=2)
    >>> [stopping.step(loss) for loss in [3.0, 2.0, 2.5, 2.1, 1.0]]
    [False, False, False, True, False]
    """

    def __init__(self, patience: int = 10, *, min_delta: float = 0.0, mode: Literal["min", "max"] = "min") -> None:
        if isinstance(patience, bool) or not isinstance(patience, int) or patience < 1:
            raise ArgumentError(f"EarlyStopping: expected patience of at least 1 step, got {patience!r}; pass e.g. 10")
        self.patience, self._best = patience, _Best("EarlyStopping", mode, min_delta)
        self.best_step: int | None = None
        self._steps = self._waited = 0

    @property
    def best(self) -> float | None:
        """The best value so far; ``None`` before the first step.

        Examples
        --------
        >>> import neurenix as nx
        >>> stopping = nx.EarlyStopping(mode="max")
        >>> _ = [stopping.step(score) for score in [0.5, 0.8, 0.7]]
        >>> stopping.best, stopping.best_step
        (0.8, 1)
        """
        return self._best.value

    def step(self, value: Any) -> bool:
        """Note a value, a number or a one-element tensor; True when it is time to stop. NaN is no improvement.

        Raises
        ------
        ArgumentError
            If it is no number.

        Examples
        --------
        >>> import neurenix as nx
        >>> stopping = nx.EarlyStopping(patience=1)
        >>> stopping.step(nx.tensor(1.0)), stopping.step(float("nan"))
        (False, True)
        """
        better = self._best.improves(value)
        self.best_step = self._steps if better else self.best_step
        self._waited = 0 if better else self._waited + 1
        self._steps += 1
        return self._waited >= self.patience

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs: plain numbers.

        Examples
        --------
        >>> import neurenix as nx
        >>> stopping = nx.EarlyStopping()
        >>> stopping.step(2.0), stopping.state_dict()
        (False, {'best': 2.0, 'best_step': 0, 'steps': 1, 'waited': 0})
        """
        return {"best": self.best, "best_step": self.best_step, "steps": self._steps, "waited": self._waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave; an :class:`ArgumentError` if something is missing.

        Examples
        --------
        >>> import neurenix as nx
        >>> stopping = nx.EarlyStopping(patience=3)
        >>> stopping.load_state_dict({"best": 2.0, "best_step": 0, "steps": 3, "waited": 2})
        >>> stopping.step(2.5)
        True
        """
        missing = {"best", "best_step", "steps", "waited"} - set(state)
        if missing:
            raise ArgumentError(
                f"EarlyStopping: expected a state from state_dict(), got one without {sorted(missing)}; pass the whole dict"
            )
        self._best.value, self.best_step = state["best"], state["best_step"]
        self._steps, self._waited = state["steps"], state["waited"]


class ModelCheckpoint:
    """Keep a model's best weights in a file.

    Parameters
    ----------
    model : Module
    path : path
        Written by :func:`neurenix.save` each time the value improves; a run that dies leaves the last whole file.
    mode : {"min", "max"}
        Whether smaller values are better, as of a loss, or larger, as of a score.
    min_delta : float
        A smaller change is no improvement.

    Raises
    ------
    ArgumentError
        If ``model`` is no module, ``min_delta`` negative, or ``mode`` another.

    Examples
    --------
    >>> import neurenix as nx, tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "best.nx"
    >>> checkpoint = nx.ModelCheckpoint(nx.nn.Linear(2, 1), path)
    >>> checkpoint.step(0.5), checkpoint.step(0.7), path.exists()
    (True, False, True)
    """

    def __init__(self, model: Module, path: str | os.PathLike[str], *, mode: Literal["min", "max"] = "min", min_delta: float = 0.0) -> None:
        if not isinstance(model, Module):
            raise ArgumentError(f"ModelCheckpoint: expected a Module, got {type(model).__name__}; pass the model, then the path")
        self.model, self.path, self._best = model, Path(path), _Best("ModelCheckpoint", mode, min_delta)

    @property
    def best(self) -> float | None:
        """The best value so far; ``None`` before the first step.

        Examples
        --------
        >>> import neurenix as nx
        >>> checkpoint = nx.ModelCheckpoint(nx.nn.Linear(2, 1), "best.nx")
        >>> _ = checkpoint.step(0.5), checkpoint.step(0.7)
        >>> checkpoint.best
        0.5
        """
        return self._best.value

    def step(self, value: Any) -> bool:
        """Note a value and save the model if it is the best so far; True if it was saved.

        Raises
        ------
        ArgumentError
            If it is no number.
        FileError
            If the file cannot be written.

        Examples
        --------
        >>> import neurenix as nx
        >>> checkpoint = nx.ModelCheckpoint(nx.nn.Linear(2, 1), "best.nx", mode="max")
        >>> checkpoint.step(0.8), checkpoint.step(0.7)
        (True, False)
        """
        better = self._best.improves(value)
        if better:
            serialization.save(self.model, self.path)
        return better

    def restore(self) -> None:
        """Put the best weights back into the model.

        Raises
        ------
        GraphError
            If nothing has been saved yet.

        Examples
        --------
        >>> import neurenix as nx
        >>> model = nx.nn.Linear(2, 1)
        >>> checkpoint = nx.ModelCheckpoint(model, "best.nx")
        >>> best = model.weight.numpy().copy()
        >>> _ = checkpoint.step(0.5)
        >>> model.weight.assign_(nx.zeros(1, 2)).sum().item()
        0.0
        >>> checkpoint.restore()
        >>> (model.weight.numpy() == best).all().item()
        True
        """
        if self.best is None:
            raise GraphError("ModelCheckpoint.restore: expected a saved model, got none so far; call step(value) first")
        self.model.load_state_dict(serialization.load(self.path, classes=tuple({type(m) for m in self.model.modules()})).state_dict())

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs beside the file.

        Examples
        --------
        >>> import neurenix as nx
        >>> checkpoint = nx.ModelCheckpoint(nx.nn.Linear(2, 1), "best.nx")
        >>> checkpoint.step(0.5), checkpoint.state_dict()
        (True, {'best': 0.5})
        """
        return {"best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave: only a better value replaces the file. An :class:`ArgumentError` without it.

        Examples
        --------
        >>> import neurenix as nx
        >>> checkpoint = nx.ModelCheckpoint(nx.nn.Linear(2, 1), "best.nx")
        >>> checkpoint.load_state_dict({"best": 0.5})
        >>> checkpoint.step(0.7)
        False
        """
        if "best" not in state:
            raise ArgumentError("ModelCheckpoint: expected a state from state_dict(), got one without 'best'; pass the whole dict")
        self._best.value = state["best"]
