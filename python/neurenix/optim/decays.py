"""Schedules that multiply the learning rate: by a function, at some steps, at every step."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from neurenix.errors import ArgumentError, DTypeError
from neurenix.optim.optimizer import Optimizer
from neurenix.optim.schedule import LRScheduler, Rate, check_count, check_optimizer, one_a_group

Function = Callable[[int], float]


class _ByFunction(LRScheduler):
    """What schedules by functions of the epoch share: what callable objects hold is part of the state, functions are not."""

    def __init__(self, optimizer: Optimizer, lr_lambda: Function | Sequence[Function], last_epoch: int = -1) -> None:
        self.lr_lambdas: list[Any] = one_a_group(self, "functions", lr_lambda, check_optimizer(self, optimizer))
        for function in self.lr_lambdas:
            if not callable(function):
                raise DTypeError(
                    f"{type(self).__name__}: expected functions of the epoch, got {type(function).__name__}; pass e.g. lambda t: 0.9**t"
                )
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule stands, with what callable objects hold; ``None`` in place of functions."""
        held = [None if isinstance(f, types.FunctionType) or not hasattr(f, "__dict__") else dict(vars(f)) for f in self.lr_lambdas]
        return {**super().state_dict(), "lr_lambdas": held}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave; the functions stay those of the constructor."""
        functions = self.lr_lambdas
        super().load_state_dict(state_dict)
        self.lr_lambdas = functions
        for function, held in zip(functions, state_dict["lr_lambdas"], strict=True):
            if held is not None:
                vars(function).update(held)


class LambdaLR(_ByFunction):
    """The initial rate times ``lr_lambda(epoch)``; one function, or one a group.

    Parameters
    ----------
    optimizer : Optimizer
    lr_lambda : callable or list of callable
        Of the epoch, counted from 0.
    last_epoch : int
        -1 to start.

    Raises
    ------
    DTypeError
        If one is not callable.

    Examples
    --------
    >>> import neurenix as nx
    >>> optimizer = nx.optim.SGD([nx.tensor([1.0])], lr=0.5)
    >>> schedule = nx.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1 / (1 + epoch))
    >>> rates = []
    >>> for _ in range(4):
    ...     rates.append(round(optimizer.param_groups[0]["lr"], 4))
    ...     schedule.step()
    >>> rates
    [0.5, 0.25, 0.1667, 0.125]
    """

    def next_lr(self, at: Rate) -> float:
        """Learning rate of one group."""
        rate: float = at.initial * self.lr_lambdas[at.group](self.last_epoch)
        return rate


class MultiplicativeLR(_ByFunction):
    """The rate before times ``lr_lambda(epoch)``; one function, or one a group.

    Parameters
    ----------
    optimizer, lr_lambda, last_epoch
        As of :class:`LambdaLR`.

    Examples
    --------
    >>> import neurenix as nx
    >>> optimizer = nx.optim.SGD([nx.tensor([1.0])], lr=1.0)
    >>> schedule = nx.optim.lr_scheduler.MultiplicativeLR(optimizer, lambda epoch: 0.5 if epoch < 3 else 1.0)
    >>> rates = []
    >>> for _ in range(5):
    ...     rates.append(optimizer.param_groups[0]["lr"])
    ...     schedule.step()
    >>> rates
    [1.0, 0.5, 0.25, 0.25, 0.25]
    """

    def next_lr(self, at: Rate) -> float:
        """Learning rate of one group."""
        return at.lr if self._begins else at.lr * self.lr_lambdas[at.group](self.last_epoch)

    def _restart(self) -> None:
        """Go on from the rate in force with epoch 0, as PyTorch does."""
        self.last_epoch = 0
        self._apply()


class StepLR(LRScheduler):
    """Times ``gamma`` every ``step_size`` epochs.

    Parameters
    ----------
    optimizer : Optimizer
    step_size : int
        Epochs between two changes.
    gamma : float
    last_epoch : int
        -1 to start.

    Raises
    ------
    ArgumentError
        If ``step_size`` is not an integer of at least 1.

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
        self.step_size, self.gamma = check_count(self, "step_size", step_size), gamma
        super().__init__(optimizer, last_epoch)

    def next_lr(self, at: Rate) -> float:
        """Learning rate of one group."""
        turn = self.last_epoch > 0 and self.last_epoch % self.step_size == 0
        return at.lr * self.gamma if turn else at.lr


class MultiStepLR(LRScheduler):
    """Times ``gamma`` at each of the ``milestones``, epochs counted from 0; one that stands twice counts twice.

    Parameters
    ----------
    optimizer : Optimizer
    milestones : sequence of int
    gamma : float
    last_epoch : int
        -1 to start.

    Raises
    ------
    DTypeError
        If ``milestones`` is no list.

    Examples
    --------
    >>> import neurenix as nx
    >>> optimizer = nx.optim.SGD([nx.tensor([1.0])], lr=1.0)
    >>> schedule = nx.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[2, 3], gamma=0.5)
    >>> rates = []
    >>> for _ in range(5):
    ...     rates.append(optimizer.param_groups[0]["lr"])
    ...     schedule.step()
    >>> rates
    [1.0, 1.0, 0.5, 0.25, 0.25]
    """

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1, last_epoch: int = -1) -> None:
        if not isinstance(milestones, Iterable):
            raise DTypeError(f"MultiStepLR: expected a list of milestones, got {milestones!r}; pass e.g. [30, 80]")
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def next_lr(self, at: Rate) -> float:
        """Learning rate of one group."""
        times = self.milestones.count(self.last_epoch)
        return at.lr * self.gamma**times if times else at.lr

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave; PyTorch's counts how often each milestone stands."""
        given = state_dict.get("milestones")
        if isinstance(given, Mapping):
            state_dict = {**state_dict, "milestones": sorted(m for m, times in given.items() for _ in range(times))}
        super().load_state_dict(state_dict)


class ConstantLR(LRScheduler):
    """The initial rate times ``factor`` until ``total_iters`` steps are done, then the initial rate.

    Parameters
    ----------
    optimizer : Optimizer
    factor : float
        In (0, 1].
    total_iters : int
    last_epoch : int
        -1 to start.

    Raises
    ------
    ArgumentError
        If ``factor`` is not in (0, 1].

    Examples
    --------
    >>> import neurenix as nx
    >>> optimizer = nx.optim.SGD([nx.tensor([1.0])], lr=1.0)
    >>> schedule = nx.optim.lr_scheduler.ConstantLR(optimizer, factor=0.25, total_iters=2)
    >>> rates = []
    >>> for _ in range(4):
    ...     rates.append(optimizer.param_groups[0]["lr"])
    ...     schedule.step()
    >>> rates
    [0.25, 0.25, 1.0, 1.0]
    """

    def __init__(self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1) -> None:
        if not 0.0 < factor <= 1.0:
            raise ArgumentError(f"ConstantLR: expected a factor in (0, 1], got {factor!r}; pass e.g. 0.5")
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def next_lr(self, at: Rate) -> float:
        """Learning rate of one group."""
        if self.last_epoch == 0:
            return at.lr * self.factor
        return at.lr * (1.0 / self.factor) if self.last_epoch == self.total_iters else at.lr


class LinearLR(LRScheduler):
    """From ``start_factor`` to ``end_factor`` of the initial rate in a line of ``total_iters`` steps: a warm-up.

    Parameters
    ----------
    optimizer : Optimizer
    start_factor, end_factor : float
        Of the initial rate.
    total_iters : int
    last_epoch : int
        -1 to start.

    Raises
    ------
    ArgumentError
        If ``start_factor`` is not in (0, 1], or ``end_factor`` not in [0, 1].

    Examples
    --------
    >>> import neurenix as nx
    >>> optimizer = nx.optim.SGD([nx.tensor([1.0])], lr=1.0)
    >>> schedule = nx.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.25, total_iters=3)
    >>> rates = []
    >>> for _ in range(5):
    ...     rates.append(round(optimizer.param_groups[0]["lr"], 4))
    ...     schedule.step()
    >>> rates
    [0.25, 0.5, 0.75, 1.0, 1.0]
    """

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
        if self._begins or self.last_epoch > self.total_iters:
            return at.lr
        rise = self.end_factor - self.start_factor
        return at.lr * (1.0 + rise / (self.total_iters * self.start_factor + (self.last_epoch - 1) * rise))


class ExponentialLR(LRScheduler):
    """Times ``gamma`` every epoch.

    Parameters
    ----------
    optimizer : Optimizer
    gamma : float
    last_epoch : int
        -1 to start.

    Examples
    --------
    >>> import neurenix as nx
    >>> optimizer = nx.optim.SGD([nx.tensor([1.0])], lr=1.0)
    >>> schedule = nx.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> rates = []
    >>> for _ in range(4):
    ...     rates.append(optimizer.param_groups[0]["lr"])
    ...     schedule.step()
    >>> rates
    [1.0, 0.5, 0.25, 0.125]
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def next_lr(self, at: Rate) -> float:
        """Learning rate of one group."""
        return at.lr if self._begins else at.lr * self.gamma


class PolynomialLR(LRScheduler):
    """Down to 0 in ``total_iters`` steps: the initial rate times ``(1 - epoch / total_iters) ** power``.

    Parameters
    ----------
    optimizer : Optimizer
    total_iters : int
    power : float
        1 for a straight line; 0.9 in the paper.
    last_epoch : int
        -1 to start.

    Raises
    ------
    ArgumentError
        If ``total_iters`` is not an integer of at least 1.

    References
    ----------
    .. [1] L.-C. Chen et al., "DeepLab: semantic image segmentation with deep convolutional nets, atrous convolution, and fully
       connected CRFs", IEEE Trans. PAMI 40, 2018 (the "poly" policy).

    Examples
    --------
    >>> import neurenix as nx
    >>> optimizer = nx.optim.SGD([nx.tensor([1.0])], lr=1.0)
    >>> schedule = nx.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=4, power=2.0)
    >>> rates = []
    >>> for _ in range(6):
    ...     rates.append(round(optimizer.param_groups[0]["lr"], 4))
    ...     schedule.step()
    >>> rates
    [1.0, 0.5625, 0.25, 0.0625, 0.0, 0.0]
    """

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        self.total_iters, self.power = check_count(self, "total_iters", total_iters), power
        super().__init__(optimizer, last_epoch)

    def next_lr(self, at: Rate) -> float:
        """Learning rate of one group."""
        if self._begins or self.last_epoch > self.total_iters:
            return at.lr
        before, now = (1.0 - t / self.total_iters for t in (self.last_epoch - 1, self.last_epoch))
        shrink: float = (now / before) ** self.power
        return at.lr * shrink
