"""What learning rate schedules share: counting steps, setting rates, saving and loading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from neurenix.errors import ArgumentError, DTypeError, FileError
from neurenix.optim.entries import Group
from neurenix.optim.optimizer import Optimizer


class Rate(NamedTuple):
    """What a schedule's ``next_lr`` goes by: the group's number, its rate of the step before, its initial rate.

    Examples
    --------
    >>> import neurenix as nx
    >>> rate = nx.optim.lr_scheduler.Rate(group=0, lr=0.5, initial=1.0)
    >>> schedule = nx.optim.lr_scheduler.ExponentialLR(nx.optim.SGD([nx.tensor([1.0])], lr=1.0), gamma=0.5)
    >>> schedule.next_lr(rate)
    0.25
    """

    group: int
    lr: float
    initial: float


class LRScheduler:
    """Base of schedules: a subclass gives the next learning rate of a group in ``next_lr``, or of all of them in ``get_lr``.

    Parameters
    ----------
    optimizer : Optimizer
    last_epoch : int
        -1 to start; when resuming, the number of the last step (the groups must hold ``"initial_lr"``).

    Raises
    ------
    DTypeError
        If ``optimizer`` is none.
    ArgumentError
        If it is to resume and the groups have no ``"initial_lr"``.

    Examples
    --------
    >>> import neurenix as nx
    >>> class Halving(nx.optim.lr_scheduler.LRScheduler):
    ...     def next_lr(self, at):
    ...         return at.initial * 0.5**self.last_epoch
    >>> schedule = Halving(nx.optim.SGD([nx.tensor([1.0])], lr=1.0))
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [0.5]
    """

    _begins: bool = False  # whether the step is the one that the constructor takes
    _last_lr: list[float]

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = check_optimizer(self, optimizer)
        for group in optimizer.param_groups:
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise ArgumentError(
                    f"{type(self).__name__}: expected 'initial_lr' in each group to resume, got none; load the optimizer's state"
                )
        self.base_lrs = [g["initial_lr"] for g in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._begin()

    def next_lr(self, at: Rate) -> float:
        """Learning rate of one group at ``last_epoch``: what a subclass defines.

        Examples
        --------
        >>> import neurenix as nx
        >>> class Warm(nx.optim.lr_scheduler.LRScheduler):
        ...     def next_lr(self, at):
        ...         return at.initial * min(1.0, (self.last_epoch + 1) / 4)
        >>> optimizer = nx.optim.SGD([nx.tensor([1.0])], lr=1.0)
        >>> schedule, rates = Warm(optimizer), []
        >>> for _ in range(5):
        ...     rates.append(optimizer.param_groups[0]["lr"])
        ...     schedule.step()
        >>> rates
        [0.25, 0.5, 0.75, 1.0, 1.0]
        """
        raise NotImplementedError(f"{type(self).__name__}: expected a method next_lr(self, at), got none; define it")

    def get_lr(self) -> list[float]:
        """Learning rates of all groups at ``last_epoch``; ask :meth:`get_last_lr` for those in force.

        Raises
        ------
        ArgumentError
            If the optimizer has other groups than at the schedule's start.

        Examples
        --------
        >>> import neurenix as nx
        >>> schedule = nx.optim.lr_scheduler.ExponentialLR(nx.optim.SGD([nx.tensor([1.0])], lr=1.0), gamma=0.5)
        >>> schedule.get_lr(), schedule.get_last_lr()  # one more factor of the rate in force, and that rate
        ([0.5], [1.0])
        """
        groups = self.optimizer.param_groups
        if len(groups) != len(self.base_lrs):
            raise ArgumentError(
                f"{type(self).__name__}: expected the {len(self.base_lrs)} groups it was built with, got {len(groups)}; "
                "add groups before building the schedule"
            )
        return [self.next_lr(Rate(i, group["lr"], self.base_lrs[i])) for i, group in enumerate(groups)]

    def step(self) -> None:
        """Go on to the next epoch's learning rates; call it after the optimizer's steps of an epoch.

        Examples
        --------
        >>> import neurenix as nx
        >>> optimizer = nx.optim.SGD([nx.tensor([1.0])], lr=1.0)
        >>> schedule = nx.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
        >>> schedule.step()
        >>> optimizer.param_groups[0]["lr"]
        0.5
        """
        self.last_epoch += 1
        self._apply()

    def _apply(self) -> None:
        """Put the rates of ``last_epoch`` into force."""
        rates = self.get_lr()
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self._last_lr = rates

    def _begin(self) -> None:
        """Take the first step, which schedules that multiply the rate before leave it out of; the constructor does."""
        self._begins = True
        try:
            LRScheduler.step(self)
        finally:
            del self._begins

    def _undo(self) -> None:
        """Take back one step of the count; the rates in force stay."""
        self.last_epoch -= 1

    def _rewind(self) -> None:
        """Set the count to before the start; the rates in force stay."""
        self.last_epoch = -1

    def _restart(self) -> None:
        """Start again from the initial learning rates."""
        for group, base in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = base
        self._rewind()
        self._begin()

    def get_last_lr(self) -> list[float]:
        """Learning rates in force, one a group.

        Examples
        --------
        >>> import neurenix as nx
        >>> a, b = nx.tensor([1.0]), nx.tensor([2.0])
        >>> optimizer = nx.optim.SGD([{"params": [a]}, {"params": [b], "lr": 0.25}], lr=1.0)
        >>> schedule = nx.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
        >>> schedule.step()
        >>> schedule.get_last_lr()
        [0.5, 0.125]
        """
        return list(self._last_lr)

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule stands: numbers, lists and strings, copied.

        Examples
        --------
        >>> import neurenix as nx
        >>> schedule = nx.optim.lr_scheduler.ExponentialLR(nx.optim.SGD([nx.tensor([1.0])], lr=1.0), gamma=0.5)
        >>> schedule.state_dict()
        {'gamma': 0.5, 'base_lrs': [1.0], 'last_epoch': 0, '_last_lr': [1.0]}
        """
        return {k: list(v) if isinstance(v, list) else v for k, v in vars(self).items() if k != "optimizer" and not callable(v)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave, PyTorch's of the same schedule too; functions are not part of it.

        Raises
        ------
        FileError
            If an entry is missing; nothing is changed then.

        Examples
        --------
        >>> import neurenix as nx
        >>> optimizer = nx.optim.SGD([nx.tensor([1.0])], lr=1.0)
        >>> before = nx.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
        >>> before.step()
        >>> schedule = nx.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.1)
        >>> schedule.load_state_dict(before.state_dict())
        >>> schedule.last_epoch, schedule.gamma
        (1, 0.5)
        """
        own = self.state_dict()
        missing = [k for k in own if k not in state_dict] if isinstance(state_dict, Mapping) else list(own)
        if missing:
            raise FileError(f"load_state_dict: expected a state of {type(self).__name__}, got one without {missing}; pass its state_dict()")
        vars(self).update({k: list(state_dict[k]) if isinstance(own[k], list) else state_dict[k] for k in own})


def check_optimizer(schedule: object, optimizer: Any) -> Optimizer:
    """Refuse what is no optimizer."""
    if not isinstance(optimizer, Optimizer):
        raise DTypeError(f"{type(schedule).__name__}: expected an optimizer, got {type(optimizer).__name__}; pass e.g. nx.optim.Adam(...)")
    return optimizer


def check_count(schedule: object, name: str, value: Any) -> int:
    """An integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ArgumentError(f"{type(schedule).__name__}: expected a {name} of at least 1, got {value!r}; pass a number of steps")
    return value


def one_a_group(schedule: object, name: str, value: Any, optimizer: Optimizer) -> list[Any]:
    """``value`` as a list with an entry a group: a single one stands for all."""
    count = len(optimizer.param_groups)
    values = list(value) if isinstance(value, Sequence) else [value] * count
    if len(values) != count:
        raise ArgumentError(f"{type(schedule).__name__}: expected {count} {name}, got {len(values)}; pass one, or one a group")
    return values


def begin_momentum(schedule: object, optimizer: Optimizer, lowest: Any, highest: Any, starts: bool) -> bool:
    """Note the limits of momentum in the groups, which start at the upper one; whether it is the first beta of Adam's kin."""
    if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
        raise ArgumentError(
            f"{type(schedule).__name__}: expected an optimizer with momentum or betas, got {type(optimizer).__name__}; "
            "pass cycle_momentum=False"
        )
    lows, highs = one_a_group(schedule, "base_momentum", lowest, optimizer), one_a_group(schedule, "max_momentum", highest, optimizer)
    for group, low, high in zip(optimizer.param_groups, lows, highs, strict=True) if starts else ():
        set_momentum(group, high)
        group["max_momentum"], group["base_momentum"] = high, low
    return "betas" in optimizer.defaults


def set_momentum(group: Group, momentum: float) -> None:
    """Set momentum, or the first beta."""
    if "betas" in group:
        group["betas"] = (momentum, *group["betas"][1:])
    else:
        group["momentum"] = momentum
