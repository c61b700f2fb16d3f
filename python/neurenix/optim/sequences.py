"""Schedules made of schedules: one after the other, or all at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from neurenix.errors import ArgumentError, DTypeError, FileError
from neurenix.optim.optimizer import Optimizer
from neurenix.optim.plateau import ReduceLROnPlateau
from neurenix.optim.schedule import LRScheduler, check_optimizer


class _Several(LRScheduler):
    """What schedules made of schedules share."""

    _schedulers: list[LRScheduler]

    def _take(self, optimizer: Optimizer, schedulers: Sequence[LRScheduler]) -> None:
        name = type(self).__name__
        self.optimizer, self._schedulers = check_optimizer(self, optimizer), list(schedulers)
        for s in self._schedulers:
            if not isinstance(s, LRScheduler) or isinstance(s, ReduceLROnPlateau):
                raise DTypeError(f"{name}: expected schedules that step by themselves, got {type(s).__name__}; step that one beside it")
            if s.optimizer is not optimizer:
                raise ArgumentError(f"{name}: expected schedules of this optimizer, got one of another; build all with the same")

    def _undo(self) -> None:
        """Take back one step of the count."""
        for s in self._schedulers:
            s._undo()

    def _rewind(self) -> None:
        """Set the counts to before the start."""
        for s in self._schedulers:
            s._rewind()

    def _note(self) -> None:
        self._last_lr = [g["lr"] for g in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule and its parts stand."""
        return {**super().state_dict(), "_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""
        schedulers, states = self._schedulers, list(state_dict.get("_schedulers", ()))
        if len(states) != len(schedulers):
            raise FileError(
                f"load_state_dict: expected states of {len(schedulers)} schedules, got {len(states)}; build it with the same schedules"
            )
        before = self.state_dict()
        try:
            super().load_state_dict(state_dict)
            self._schedulers = schedulers
            for s, state in zip(schedulers, states, strict=True):
                s.load_state_dict(state)
        except FileError:
            self._schedulers = schedulers
            self.load_state_dict(before)
            raise


class SequentialLR(_Several):
    """One schedule after the other, changing at the ``milestones``: a warm-up, then a decay.

    Parameters
    ----------
    optimizer : Optimizer
    schedulers : sequence of LRScheduler
        All of this optimizer.
    milestones : sequence of int
        The steps at which to change, one fewer than schedules.
    last_epoch : int
        -1 to start.

    Raises
    ------
    ArgumentError
        If there are not as many milestones, or a schedule is of another optimizer.
    DTypeError
        If one is no schedule, or :class:`ReduceLROnPlateau`, which goes by a metric.

    Examples
    --------
    >>> import neurenix as nx
    >>> from neurenix.optim.lr_scheduler import ExponentialLR, LinearLR, SequentialLR
    >>> optimizer = nx.optim.SGD([nx.tensor([1.0])], lr=1.0)
    >>> parts = [LinearLR(optimizer, 0.25, total_iters=3), ExponentialLR(optimizer, 0.5)]
    >>> schedule = SequentialLR(optimizer, parts, milestones=[3])
    >>> rates = []
    >>> for _ in range(6):
    ...     rates.append(optimizer.param_groups[0]["lr"])
    ...     schedule.step()
    >>> rates
    [0.25, 0.5, 0.75, 1.0, 0.5, 0.25]
    """

    def __init__(self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int], last_epoch: int = -1) -> None:
        if len(schedulers) != len(milestones) + 1:
            raise ArgumentError(
                f"SequentialLR: expected one milestone fewer than schedulers, got {len(schedulers)} schedulers "
                f"and {len(milestones)} milestones; pass the steps at which to change"
            )
        self._take(optimizer, schedulers)
        self._milestones, self.last_epoch = list(milestones), last_epoch + 1
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        self._undo()
        self._schedulers[bisect_right(self._milestones, 0)]._begin()
        self._note()

    def step(self) -> None:
        """Go on to the next epoch's learning rates."""
        self.last_epoch += 1
        index = bisect_right(self._milestones, self.last_epoch)
        if index > 0 and self._milestones[index - 1] == self.last_epoch:
            self._schedulers[index]._restart()
        else:
            self._schedulers[index].step()
        self._note()

    def _begin(self) -> None:
        """Take the first step again, as part of another schedule."""
        self.last_epoch = 0
        self._schedulers[bisect_right(self._milestones, 0)]._begin()
        self._note()

    def _restart(self) -> None:
        """Start again with the first schedule."""
        self.last_epoch = 0
        self._schedulers[bisect_right(self._milestones, 0)]._restart()
        self._note()


class ChainedScheduler(_Several):
    """All schedules at once, each changing the rate that the one before left.

    Parameters
    ----------
    schedulers : sequence of LRScheduler
        All of one optimizer.
    optimizer : Optimizer, optional
        The first schedule's where ``None``.

    Raises
    ------
    ArgumentError
        If there are none, or one is of another optimizer.
    DTypeError
        If one is no schedule, or :class:`ReduceLROnPlateau`, which goes by a metric.

    Examples
    --------
    >>> import neurenix as nx
    >>> from neurenix.optim.lr_scheduler import ChainedScheduler, ConstantLR, ExponentialLR
    >>> optimizer = nx.optim.SGD([nx.tensor([1.0])], lr=1.0)
    >>> schedule = ChainedScheduler([ConstantLR(optimizer, 0.5, total_iters=2), ExponentialLR(optimizer, 0.5)])
    >>> rates = []
    >>> for _ in range(4):
    ...     rates.append(optimizer.param_groups[0]["lr"])
    ...     schedule.step()
    >>> rates
    [0.5, 0.25, 0.25, 0.125]
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        if not schedulers:
            raise ArgumentError("ChainedScheduler: expected schedules, got none; pass a list of them")
        self._take(getattr(schedulers[0], "optimizer", None) if optimizer is None else optimizer, schedulers)  # type: ignore[arg-type]  # None is refused there
        self._note()

    def step(self) -> None:
        """Go on to the next epoch's learning rates."""
        for s in self._schedulers:
            s.step()
        self._note()

    def _begin(self) -> None:
        """Take the first step again, as part of another schedule."""
        for s in self._schedulers:
            s._begin()
        self._note()

    def _restart(self) -> None:
        """Start again from the initial learning rates."""
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        self._rewind()
        self._begin()
