"""The schedule that waits for a metric to stop improving."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from neurenix.errors import ArgumentError
from neurenix.optim.optimizer import Optimizer


class ReduceLROnPlateau:
    """Times ``factor`` when a metric has not improved for more than ``patience`` epochs; ``step(metric)`` after each.

    Parameters
    ----------
    optimizer : Optimizer
    mode : {"min", "max"}
        Whether the metric is to fall or to rise.
    factor, patience, threshold, threshold_mode, cooldown, min_lr, eps
        As in PyTorch.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        for name, value, choices in (("mode", mode, ("min", "max")), ("threshold_mode", threshold_mode, ("rel", "abs"))):
            if value not in choices:
                raise ArgumentError(f"ReduceLROnPlateau: expected {name} {choices[0]!r} or {choices[1]!r}, got {value!r}; pass one of them")
        if not factor < 1.0:
            raise ArgumentError(f"ReduceLROnPlateau: expected a factor below 1, got {factor!r}; pass e.g. 0.1")
        self.optimizer = optimizer
        self.mode, self.threshold, self.threshold_mode = mode, threshold, threshold_mode
        self.factor, self.patience, self.cooldown, self.eps = factor, patience, cooldown, eps
        self.min_lrs = list(min_lr) if isinstance(min_lr, Sequence) else [min_lr] * len(optimizer.param_groups)
        self.best = math.inf if mode == "min" else -math.inf
        self.cooldown_counter, self.num_bad_epochs, self.last_epoch = 0, 0, 0
        self._last_lr = [g["lr"] for g in optimizer.param_groups]

    def step(self, metrics: Any) -> None:
        """Look at one epoch's metric."""
        current = float(metrics)
        self.last_epoch += 1
        if self._better(current):
            self.best, self.num_bad_epochs = current, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter, self.num_bad_epochs = self.cooldown_counter - 1, 0
        if self.num_bad_epochs > self.patience:
            for group, least in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
                rate = max(group["lr"] * self.factor, least)
                group["lr"] = rate if group["lr"] - rate > self.eps else group["lr"]
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = [g["lr"] for g in self.optimizer.param_groups]

    def _better(self, current: float) -> bool:
        sign = 1.0 if self.mode == "max" else -1.0
        if self.threshold_mode == "abs":
            return sign * current > sign * self.best + self.threshold
        if math.isinf(self.best):
            return sign * current > sign * self.best
        return sign * current > sign * self.best * (1.0 + sign * self.threshold)

    def get_last_lr(self) -> list[float]:
        """Learning rates in force, one a group."""
        return self._last_lr

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule stands."""
        return {k: v for k, v in vars(self).items() if k != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""
        vars(self).update(state_dict)
