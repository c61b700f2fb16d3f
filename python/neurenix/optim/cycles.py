"""Schedules that go up and down: cosines, one cycle, triangles."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from neurenix.errors import ArgumentError
from neurenix.optim.optimizer import Optimizer
from neurenix.optim.schedule import LRScheduler, Rate, begin_momentum, check_count, check_optimizer, one_a_group, set_momentum


class CosineAnnealingLR(LRScheduler):
    """From the initial rate to ``eta_min`` along half a cosine of ``T_max`` steps, and beyond them up again.

    Parameters
    ----------
    optimizer : Optimizer
    T_max : int
        Steps from the top to the bottom.
    eta_min : float
    last_epoch : int
        -1 to start.

    Raises
    ------
    ArgumentError
        If ``T_max`` is not an integer of at least 1.

    References
    ----------
    .. [1] I. Loshchilov and F. Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017.

    Examples
    --------
    >>> import neurenix as nx
    >>> optimizer = nx.optim.SGD([nx.tensor([1.0])], lr=1.0)
    >>> schedule = nx.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=4, eta_min=0.1)
    >>> rates = []
    >>> for _ in range(5):
    ...     rates.append(round(optimizer.param_groups[0]["lr"], 3))
    ...     schedule.step()
    >>> rates
    [1.0, 0.868, 0.55, 0.232, 0.1]
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max, self.eta_min = check_count(self, "T_max", T_max), eta_min
        super().__init__(optimizer, last_epoch)

    def next_lr(self, at: Rate) -> float:
        """Learning rate of one group."""
        t, whole = self.last_epoch, self.T_max
        if self._begins:
            return at.lr
        if (t - 1 - whole) % (2 * whole) == 0:
            return at.lr + (at.initial - self.eta_min) * (1 - math.cos(math.pi / whole)) / 2
        ratio = (1 + math.cos(math.pi * t / whole)) / (1 + math.cos(math.pi * (t - 1) / whole))
        return ratio * (at.lr - self.eta_min) + self.eta_min


class CosineAnnealingWarmRestarts(LRScheduler):
    """From the initial rate to ``eta_min`` along half a cosine of ``T_0`` steps, and again from the top, each time ``T_mult`` times as long.

    Parameters
    ----------
    optimizer : Optimizer
    T_0 : int
        Steps of the first cosine.
    T_mult : int
    eta_min : float
    last_epoch : int
        -1 to start.

    References
    ----------
    .. [1] I. Loshchilov and F. Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017.

    Examples
    --------
    >>> import neurenix as nx
    >>> optimizer = nx.optim.SGD([nx.tensor([1.0])], lr=1.0)
    >>> schedule = nx.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=2, T_mult=2)
    >>> rates = []
    >>> for _ in range(7):
    ...     rates.append(round(optimizer.param_groups[0]["lr"], 3))
    ...     schedule.step()
    >>> rates
    [1.0, 0.5, 1.0, 0.854, 0.5, 0.146, 1.0]
    """

    def __init__(self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_0, self.T_mult, self.eta_min = check_count(self, "T_0", T_0), check_count(self, "T_mult", T_mult), eta_min
        self.T_i = T_0
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def step(self, epoch: float | None = None) -> None:
        """Go on to the next epoch, or to ``epoch``, a fraction too: ``epoch + batch / batches`` after each batch."""
        if epoch is None:
            self.last_epoch, self.T_cur = self.last_epoch + 1, self.T_cur + 1
            if self.T_cur >= self.T_i:
                self.T_cur, self.T_i = self.T_cur % self.T_i, self.T_i * self.T_mult
        elif not epoch >= 0:
            raise ArgumentError(f"CosineAnnealingWarmRestarts: expected an epoch of at least 0, got {epoch!r}; leave it out to go on")
        else:
            self._place(epoch)
            self.last_epoch = math.floor(epoch)
        super()._apply()

    def _apply(self) -> None:
        """Put the rates of ``last_epoch`` into force."""
        self._place(self.last_epoch)
        super()._apply()

    def _place(self, epoch: float) -> None:
        """Find the cosine in which an epoch lies, and where in it."""
        self.T_i, self.T_cur = self.T_0, epoch
        if self.T_mult == 1:
            self.T_cur = epoch % self.T_0
        while self.T_cur >= self.T_i:
            self.T_cur -= self.T_i
            self.T_i *= self.T_mult

    def next_lr(self, at: Rate) -> float:
        """Learning rate of one group."""
        return self.eta_min + (at.initial - self.eta_min) * (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2


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

    Raises
    ------
    ArgumentError
        If the number of steps is not given, a setting is out of range, or it is stepped too often.

    References
    ----------
    .. [1] L. Smith and N. Topin, "Super-convergence: very fast training of neural networks using large learning rates", 2018.

    Examples
    --------
    >>> import neurenix as nx
    >>> optimizer = nx.optim.SGD([nx.tensor([1.0])], lr=1.0, momentum=0.9)
    >>> schedule = nx.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=6, pct_start=0.5, anneal_strategy="linear")
    >>> rates = []
    >>> for _ in range(6):
    ...     rates.append((round(optimizer.param_groups[0]["lr"], 3), round(optimizer.param_groups[0]["momentum"], 3)))
    ...     schedule.step()
    >>> rates
    [(0.04, 0.95), (0.52, 0.9), (1.0, 0.85), (0.667, 0.883), (0.333, 0.917), (0.0, 0.95)]
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
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        self.total_steps = self._count(total_steps, epochs, steps_per_epoch)
        if anneal_strategy not in ("cos", "linear"):
            raise ArgumentError(f"OneCycleLR: expected anneal_strategy 'cos' or 'linear', got {anneal_strategy!r}; pass one of them")
        if not 0.0 <= pct_start <= 1.0:
            raise ArgumentError(f"OneCycleLR: expected pct_start in [0, 1], got {pct_start!r}; pass the share of the rise")
        self._anneal_func_type, self.cycle_momentum = anneal_strategy, cycle_momentum
        self._schedule_phases = _phases(self.total_steps, pct_start, three_phase)
        peaks = one_a_group(self, "max_lr", max_lr, check_optimizer(self, optimizer))
        for group, peak in zip(optimizer.param_groups, peaks, strict=True) if last_epoch == -1 else ():
            group["initial_lr"], group["max_lr"] = peak / div_factor, peak
            group["min_lr"] = group["initial_lr"] / final_div_factor
        if cycle_momentum:
            self.use_beta1 = begin_momentum(self, optimizer, base_momentum, max_momentum, last_epoch == -1)
        super().__init__(optimizer, last_epoch)

    def _count(self, total: int | None, epochs: int | None, each: int | None) -> int:
        if total is not None:
            return check_count(self, "total_steps", total)
        if epochs is None or each is None:
            raise ArgumentError("OneCycleLR: expected total_steps, or epochs and steps_per_epoch, got neither; pass one of them")
        return check_count(self, "epochs", epochs) * check_count(self, "steps_per_epoch", each)

    def next_lr(self, at: Rate) -> float:
        """Learning rate of one group; sets its momentum."""
        if self.last_epoch > self.total_steps:
            raise ArgumentError(f"OneCycleLR: expected at most {self.total_steps} steps, got step {self.last_epoch}; raise total_steps")
        group, start = self.optimizer.param_groups[at.group], 0.0
        for phase in self._schedule_phases[:-1]:
            if self.last_epoch <= phase["end_step"]:
                break
            start = phase["end_step"]
        else:
            phase = self._schedule_phases[-1]
        end = phase["end_step"]
        share = (self.last_epoch - start) / (end - start) if end != start else 1.0
        if self.cycle_momentum:
            set_momentum(group, self._between(group[phase["start_momentum"]], group[phase["end_momentum"]], share))
        return self._between(group[phase["start_lr"]], group[phase["end_lr"]], share)

    def _between(self, start: float, end: float, share: float) -> float:
        if self._anneal_func_type == "cos":
            return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)
        return (end - start) * share + start


def _phases(total: int, rise: float, three: bool) -> list[dict[str, Any]]:
    """The last step of each phase of one cycle, and between which settings of a group it goes."""

    def phase(end: float, rates: str, momenta: str) -> dict[str, Any]:
        names = [f"{name}_lr" for name in rates.split()] + [f"{name}_momentum" for name in momenta.split()]
        return {"end_step": end, **dict(zip(("start_lr", "end_lr", "start_momentum", "end_momentum"), names, strict=True))}

    up = phase(float(rise * total) - 1, "initial max", "max base")
    if not three:
        return [up, phase(total - 1, "max min", "base max")]
    return [up, phase(float(2 * rise * total) - 2, "max initial", "base max"), phase(total - 1, "initial min", "max max")]


class CyclicLR(LRScheduler):
    """Between ``base_lr`` and ``max_lr`` along triangles; stepped after every batch.

    Parameters
    ----------
    optimizer : Optimizer
    base_lr, max_lr : float or list of float
    step_size_up, step_size_down : int
        Steps of the rise, and of the fall if it differs.
    mode : {"triangular", "triangular2", "exp_range"}
        Triangles of one height, each half as high as the one before, or shrinking as ``gamma ** step``.
    gamma : float
    scale_fn : callable, optional
        Heights of your own instead of ``mode``: of the cycle's number from 1, or with ``scale_mode="iterations"`` of the step.
    scale_mode : {"cycle", "iterations"}
    cycle_momentum : bool
        Move momentum (or Adam's first beta) from ``max_momentum`` to ``base_momentum`` and back.
    base_momentum, max_momentum : float or list of float

    Raises
    ------
    ArgumentError
        For an unknown mode, steps below 1, or an optimizer that has no momentum to cycle.

    References
    ----------
    .. [1] L. Smith, "Cyclical learning rates for training neural networks", WACV 2017.

    Examples
    --------
    >>> import neurenix as nx
    >>> optimizer = nx.optim.SGD([nx.tensor([1.0])], lr=1.0)
    >>> settings = {"step_size_up": 2, "mode": "triangular2", "cycle_momentum": False}
    >>> schedule = nx.optim.lr_scheduler.CyclicLR(optimizer, base_lr=0.0, max_lr=1.0, **settings)
    >>> rates = []
    >>> for _ in range(9):
    ...     rates.append(round(optimizer.param_groups[0]["lr"], 4))
    ...     schedule.step()
    >>> rates
    [0.0, 0.5, 1.0, 0.5, 0.0, 0.25, 0.5, 0.25, 0.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | Sequence[float],
        max_lr: float | Sequence[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.8,
        max_momentum: float | Sequence[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        if scale_fn is None and mode not in ("triangular", "triangular2", "exp_range"):
            raise ArgumentError(f"CyclicLR: expected mode 'triangular', 'triangular2' or 'exp_range', got {mode!r}; pass one of them")
        if scale_mode not in ("cycle", "iterations"):
            raise ArgumentError(f"CyclicLR: expected scale_mode 'cycle' or 'iterations', got {scale_mode!r}; pass one of them")
        lows = one_a_group(self, "base_lr", base_lr, check_optimizer(self, optimizer))
        self.max_lrs = one_a_group(self, "max_lr", max_lr, optimizer)
        up = float(check_count(self, "step_size_up", step_size_up))
        self.total_size = up + (up if step_size_down is None else float(check_count(self, "step_size_down", step_size_down)))
        self.step_ratio = up / self.total_size
        self.mode, self.gamma, self._scale_fn_custom, self.cycle_momentum = mode, gamma, scale_fn, cycle_momentum
        self.scale_mode = scale_mode if scale_fn is not None else "iterations" if mode == "exp_range" else "cycle"
        if cycle_momentum:
            self.use_beta1 = begin_momentum(self, optimizer, base_momentum, max_momentum, last_epoch == -1)
            self.base_momentums = one_a_group(self, "base_momentum", base_momentum, optimizer)
            self.max_momentums = one_a_group(self, "max_momentum", max_momentum, optimizer)
        for group, low in zip(optimizer.param_groups, lows, strict=True) if last_epoch == -1 else ():
            group["lr"] = low
        self._lows = lows
        super().__init__(optimizer, last_epoch)
        self.base_lrs = lows

    def scale_fn(self, x: float) -> float:
        """Height of the triangle: of a cycle's number, or of a step.

        Examples
        --------
        >>> import neurenix as nx
        >>> optimizer = nx.optim.SGD([nx.tensor([1.0])], lr=1.0, momentum=0.9)
        >>> schedule = nx.optim.lr_scheduler.CyclicLR(optimizer, base_lr=0.1, max_lr=1.0, mode="triangular2")
        >>> [schedule.scale_fn(cycle) for cycle in (1, 2, 3)]
        [1.0, 0.5, 0.25]
        """
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        height: float = {"triangular": 1.0, "triangular2": 1 / 2.0 ** (x - 1)}[self.mode] if self.mode != "exp_range" else self.gamma**x
        return height

    def next_lr(self, at: Rate) -> float:
        """Learning rate of one group; sets its momentum."""
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        share = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            low, high = self.base_momentums[at.group], self.max_momentums[at.group]
            set_momentum(self.optimizer.param_groups[at.group], high - (high - low) * share * scale)
        base = self._lows[at.group]
        rate: float = base + (self.max_lrs[at.group] - base) * share * scale
        return rate

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule stands; functions are not part of it."""
        return {k: v for k, v in super().state_dict().items() if k not in ("_scale_fn_custom", "_lows")}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""
        super().load_state_dict(state_dict)
        self._lows = list(self.base_lrs)
