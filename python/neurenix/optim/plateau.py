"""The schedule that waits for a metric to stop improving."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from neurenix.errors import ArgumentError
from neurenix.optim.optimizer import Optimizer
from neurenix.optim.schedule import LRScheduler, check_optimizer, one_a_group


class ReduceLROnPlateau(LRScheduler):
    """Times ``factor`` when a metric has not improved for more than ``patience`` epochs; ``step(metric)`` after each.

    Parameters
    ----------
    optimizer : Optimizer
    mode : {"min", "max"}
        Whether the metric is to fall or to rise.
    factor : float
        Below 1.
    patience : int
        So many epochs without improvement are tolerated.
    threshold : float
    threshold_mode : {"rel", "abs"}
        A change smaller than ``threshold`` times the best value, or than ``threshold``, is no improvement.
    cooldown : int
        After a reduction, so many epochs do not count.
    min_lr : float or list of float
        No rate falls below it; one for all groups, or one a group.
    eps : float
        A smaller change of the rate is not made.

    Examples
    --------
    >>> import neurenix as nx
    >>> optimizer = nx.optim.SGD([nx.tensor([1.0])], lr=1.0)
    >>> schedule = nx.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in [3.0, 2.0, 2.0, 2.0]:
    ...     schedule.step(loss)
    >>> optimizer.param_groups[0]["lr"]
    0.5
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
        self.optimizer = check_optimizer(self, optimizer)
        self.mode, self.threshold, self.threshold_mode = mode, threshold, threshold_mode
        self.factor, self.patience, self.cooldown, self.eps = factor, patience, cooldown, eps
        self.min_lrs = one_a_group(self, "min_lr", min_lr, optimizer)
        self.default_min_lr = None if isinstance(min_lr, Sequence) else min_lr
        self.best = math.inf if mode == "min" else -math.inf
        self.cooldown_counter, self.num_bad_epochs, self.last_epoch = 0, 0, 0
        self._last_lr = [g["lr"] for g in optimizer.param_groups]

    def step(self, metrics: Any) -> None:  # type: ignore[override]
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
            self._reduce()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = [g["lr"] for g in self.optimizer.param_groups]

    def _reduce(self) -> None:
        groups = self.optimizer.param_groups
        if self.default_min_lr is not None:  # groups may have been added
            self.min_lrs = [self.default_min_lr] * len(groups)
        for group, least in zip(groups, one_a_group(self, "min_lr", self.min_lrs, self.optimizer), strict=True):
            rate = max(group["lr"] * self.factor, least)
            group["lr"] = rate if group["lr"] - rate > self.eps else group["lr"]

    def _better(self, current: float) -> bool:
        sign = 1.0 if self.mode == "max" else -1.0
        if self.threshold_mode == "abs":
            return sign * current > sign * self.best + self.threshold
        if math.isinf(self.best):
            return sign * current > sign * self.best
        return sign * current > sign * self.best * (1.0 + sign * self.threshold)
