"""Learning rate schedules, stepped once an epoch (or batch) after the optimizer; PyTorch's names and formulas."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from neurenix.errors import ArgumentError, DTypeError
from neurenix.optim.optimizer import Group, Optimizer
from neurenix.optim.plateau import ReduceLROnPlateau as ReduceLROnPlateau


class Rate(NamedTuple):
    """What a schedule goes by: the group's number, its rate of the step before, its initial rate."""

    group: int
    lr: float
    initial: float


class LRScheduler:
    """Base of schedules: a subclass gives the next learning rate of a group.

    Parameters
    ----------
    optimizer : Optimizer
    last_epoch : int
        -1 to start; when resuming, the number of the last step (the groups must hold ``"initial_lr"``).
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise DTypeError(f"{type(self).__name__}: expected an optimizer, got {type(optimizer).__name__}; pass e.g. nx.optim.Adam(...)")
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise ArgumentError(
                    f"{type(self).__name__}: expected 'initial_lr' in each group to resume, got none; load the optimizer's state"
                )
        self.base_lrs = [g["initial_lr"] for g in optimizer.param_groups]
        self.last_epoch = last_epoch
        self.step()

    def next_lr(self, at: Rate) -> float:
        """Learning rate of one group at ``last_epoch``."""
        raise NotImplementedError(f"{type(self).__name__}: expected a method next_lr(self, at), got none; define it")

    def step(self) -> None:
        """Go on to the next epoch's learning rates."""
        self.last_epoch += 1
        pairs = zip(self.optimizer.param_groups, self.base_lrs, strict=True)
        rates = [self.next_lr(Rate(i, group["lr"], base)) for i, (group, base) in enumerate(pairs)]
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self._last_lr = rates

    def restart(self) -> None:
        """Start again from the initial learning rates."""
        for group, base in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = base
        self.last_epoch = -1
        self.step()

    def get_last_lr(self) -> list[float]:
        """Learning rates in force, one a group."""
        return self._last_lr

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule stands: numbers, lists and strings."""
        return {k: v for k, v in vars(self).items() if k != "optimizer" and not callable(v) and not _holds_functions(v)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave; functions are not part of it."""
        vars(self).update(state_dict)


def _holds_functions(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and any(callable(v) or isinstance(v, LRScheduler) for v in value)


class LambdaLR(LRScheduler):
    """The initial rate times ``lr_lambda(epoch)``; one function, or one a group."""

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]], last_epoch: int = -1
    ) -> None:
        count = len(optimizer.param_groups)
        self.lr_lambdas = [lr_lambda] * count if callable(lr_lambda) else list(lr_lambda)
        if len(self.lr_lambdas) != count:
            raise ArgumentError(f"LambdaLR: expected {count} functions, got {len(self.lr_lambdas)}; pass one, or one a group")
        super().__init__(optimizer, last_epoch)

    def next_lr(self, at: Rate) -> float:
        """Learning rate of one group."""
        return at.initial * self.lr_lambdas[at.group](self.last_epoch)


class StepLR(LRScheduler):
    """Times ``gamma`` every ``step_size`` epochs.

    Examples
    --------
    >>> import neurenix as nx
    >>> optimizer = nx.optim.SGD([nx.tensor([1.0])], lr=1.0)
    >>> schedule = nx.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    >>> rates = []
    >>> for _ in range(5):
    ...     rates.append(optimizer.param_groups[0]["lr"])
    ...     schedule.step()
    >>> rates
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        if isinstance(step_size, bool) or not isinstance(step_size, int) or step_size < 1:
            raise ArgumentError(f"StepLR: expected a step_size of at least 1, got {step_size!r}; pass a number of epochs")
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def next_lr(self, at: Rate) -> float:
        """Learning rate of one group."""
        turn = self.last_epoch > 0 and self.last_epoch % self.step_size == 0
        return at.lr * self.gamma if turn else at.lr


class MultiStepLR(LRScheduler):
    """Times ``gamma`` at each of the ``milestones``."""

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def next_lr(self, at: Rate) -> float:
        """Learning rate of one group."""
        return at.lr * self.gamma ** self.milestones.count(self.last_epoch)


class ExponentialLR(LRScheduler):
    """Times ``gamma`` every epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def next_lr(self, at: Rate) -> float:
        """Learning rate of one group."""
        return at.lr * self.gamma if self.last_epoch > 0 else at.lr


class LinearLR(LRScheduler):
    """From ``start_factor`` to ``end_factor`` of the initial rate in a line of ``total_iters`` steps: a warm-up."""

    def __init__(
        self, optimizer: Optimizer, start_factor: float = 1.0 / 3, end_factor: float = 1.0, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        if not 0.0 < start_factor <= 1.0:
            raise ArgumentError(f"LinearLR: expected a start_factor in (0, 1], got {start_factor!r}; pass e.g. 0.1")
        if not 0.0 <= end_factor <= 1.0:
            raise ArgumentError(f"LinearLR: expected an end_factor in [0, 1], got {end_factor!r}; pass e.g. 1.0")
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def next_lr(self, at: Rate) -> float:
        """Learning rate of one group."""
        if self.last_epoch == 0:
            return at.lr * self.start_factor
        if self.last_epoch > self.total_iters:
            return at.lr
        rise = self.end_factor - self.start_factor
        return at.lr * (1.0 + rise / (self.total_iters * self.start_factor + (self.last_epoch - 1) * rise))


class CosineAnnealingLR(LRScheduler):
    """From the initial rate to ``eta_min`` along half a cosine of ``T_max`` steps.

    References
    ----------
    .. [1] I. Loshchilov and F. Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        if isinstance(T_max, bool) or not isinstance(T_max, int) or T_max < 1:
            raise ArgumentError(f"CosineAnnealingLR: expected T_max of at least 1, got {T_max!r}; pass a number of steps")
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def next_lr(self, at: Rate) -> float:
        """Learning rate of one group."""
        t, whole = self.last_epoch, self.T_max
        if t == 0:
            return at.lr
        if (t - 1 - whole) % (2 * whole) == 0:
            return at.lr + (at.initial - self.eta_min) * (1 - math.cos(math.pi / whole)) / 2
        ratio = (1 + math.cos(math.pi * t / whole)) / (1 + math.cos(math.pi * (t - 1) / whole))
        return ratio * (at.lr - self.eta_min) + self.eta_min


class OneCycleLR(LRScheduler):
    """Up to ``max_lr`` and down to nearly nothing, momentum the other way round; stepped after every batch.

    Parameters
    ----------
    optimizer : Optimizer
    max_lr : float or list of float
    total_steps : int, optional
        Or ``epochs`` times ``steps_per_epoch``.
    pct_start : float
        The share of the rise.
    anneal_strategy : {"cos", "linear"}
    cycle_momentum : bool
        Move momentum (or Adam's first beta) from ``max_momentum`` to ``base_momentum`` and back.
    div_factor, final_div_factor : float
        The first rate is ``max_lr / div_factor``, the last that divided by ``final_div_factor``.
    three_phase : bool
        Come down to the first rate, then further.

    References
    ----------
    .. [1] L. Smith and N. Topin, "Super-convergence: very fast training of neural networks using large learning rates", 2018.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if total_steps is None and (epochs is None or steps_per_epoch is None):
            raise ArgumentError("OneCycleLR: expected total_steps, or epochs and steps_per_epoch, got neither; pass one of them")
        if anneal_strategy not in ("cos", "linear"):
            raise ArgumentError(f"OneCycleLR: expected anneal_strategy 'cos' or 'linear', got {anneal_strategy!r}; pass one of them")
        if not 0.0 <= pct_start <= 1.0:
            raise ArgumentError(f"OneCycleLR: expected pct_start in [0, 1], got {pct_start!r}; pass the share of the rise")
        self.total_steps = total_steps if total_steps is not None else (epochs or 0) * (steps_per_epoch or 0)
        self.anneal_strategy, self.cycle_momentum = anneal_strategy, cycle_momentum
        groups = optimizer.param_groups
        peaks = list(max_lr) if isinstance(max_lr, Sequence) else [max_lr] * len(groups)
        low, high = (base_momentum, max_momentum)
        for group, peak in zip(groups, peaks, strict=True):
            if last_epoch == -1:
                group["initial_lr"] = peak / div_factor
                group["max_lr"], group["min_lr"] = peak, peak / div_factor / final_div_factor
        self._phases = _phases(self.total_steps, pct_start, three_phase, low, high)
        super().__init__(optimizer, last_epoch)

    def next_lr(self, at: Rate) -> float:
        """Learning rate of one group; sets its momentum."""
        if self.last_epoch > self.total_steps:
            raise ArgumentError(f"OneCycleLR: expected at most {self.total_steps} steps, got step {self.last_epoch}; raise total_steps")
        group, start = self.optimizer.param_groups[at.group], 0.0
        for end, names, momenta in self._phases:
            if self.last_epoch <= end or end == self._phases[-1][0]:
                share = (self.last_epoch - start) / (end - start) if end > start else 1.0
                if self.cycle_momentum:
                    self._set_momentum(group, self._between(*momenta, share))
                return self._between(group[names[0]], group[names[1]], share)
            start = end
        return at.lr

    def _between(self, start: float, end: float, share: float) -> float:
        if self.anneal_strategy == "cos":
            return end + (start - end) / 2.0 * (1.0 + math.cos(math.pi * share))
        return (end - start) * share + start

    @staticmethod
    def _set_momentum(group: Group, momentum: float) -> None:
        if "betas" in group:
            group["betas"] = (momentum, *group["betas"][1:])
        elif "momentum" in group:
            group["momentum"] = momentum


def _phases(total: int, rise: float, three: bool, low: float, high: float) -> list[tuple[float, tuple[str, str], tuple[float, float]]]:
    """(last step, learning rates from and to, momenta from and to) of each phase of one cycle."""
    up = ("initial_lr", "max_lr")
    if three:
        turn = rise * total - 1
        return [
            (turn, up, (high, low)),
            (2 * turn, ("max_lr", "initial_lr"), (low, high)),
            (total - 1, ("initial_lr", "min_lr"), (high, high)),
        ]
    return [(rise * total - 1, up, (high, low)), (total - 1, ("max_lr", "min_lr"), (low, high))]


class SequentialLR(LRScheduler):
    """One schedule after the other, changing at the ``milestones``."""

    def __init__(self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int], last_epoch: int = -1) -> None:
        if len(schedulers) != len(milestones) + 1 or any(s.optimizer is not optimizer for s in schedulers):
            raise ArgumentError(
                f"SequentialLR: expected one milestone fewer than schedulers, all of this optimizer, got {len(schedulers)} schedulers "
                f"and {len(milestones)} milestones; pass the steps at which to change"
            )
        self._schedulers, self._milestones = list(schedulers), list(milestones)
        self.optimizer, self.last_epoch = optimizer, last_epoch + 1
        for s in schedulers:
            s.last_epoch -= 1
        self.base_lrs = schedulers[0].base_lrs
        schedulers[0].restart()
        self._last_lr = schedulers[0].get_last_lr()

    def step(self) -> None:
        """Go on to the next epoch's learning rates."""
        self.last_epoch += 1
        index = bisect_right(self._milestones, self.last_epoch)
        current = self._schedulers[index]
        if index > 0 and self._milestones[index - 1] == self.last_epoch:
            current.restart()
        else:
            current.step()
        self._last_lr = current.get_last_lr()

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule and its parts stand."""
        return {**super().state_dict(), "_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""
        for s, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            s.load_state_dict(state)
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "_schedulers"})
