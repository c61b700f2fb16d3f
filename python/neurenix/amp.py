"""Training in half precision under PyTorch's names: :class:`neurenix.autocast`, and a scaler of gradients for float16."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from neurenix.backend.devices import device as device_name
from neurenix.errors import ArgumentError, DTypeError, GraphError, StateError
from neurenix.half import autocast as autocast
from neurenix.ops import mul
from neurenix.ops.clipping import all_finite, multiply
from neurenix.optim import Optimizer
from neurenix.tensor import Tensor

_KEYS: Final = ("scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker")


class GradScaler:
    """Scale a loss so that gradients do not vanish in float16, and leave out the steps in which they overflow.

    Parameters
    ----------
    device : str
        Type of device; the same on each.
    init_scale : float
        Factor to begin with.
    growth_factor : float
        The scale is multiplied by it after ``growth_interval`` steps in a row without an overflow.
    backoff_factor : float
        And by this one after a step with an overflow.
    growth_interval : int
    enabled : bool
        ``False`` makes every method do nothing but step the optimizer.

    Raises
    ------
    ArgumentError
        If a factor is out of range.

    Notes
    -----
    The scale is kept as PyTorch keeps it, in float32. Whether gradients are finite is asked through their largest magnitude, in one pass
    that adds nothing and so depends on no order; on a GPU :meth:`step` waits for the answer, as PyTorch's does.

    References
    ----------
    .. [1] P. Micikevicius et al., "Mixed precision training", ICLR 2018.

    Examples
    --------
    >>> import neurenix as nx
    >>> model = nx.nn.Linear(2, 1)
    >>> optimizer, scaler = nx.optim.SGD(model.parameters(), lr=0.1), nx.amp.GradScaler("cpu", init_scale=1024.0)
    >>> with nx.autocast("cpu", dtype=nx.float16):
    ...     loss = model(nx.tensor([[1.0, 2.0]])).sum()
    >>> scaler.scale(loss).backward()
    >>> scaler.step(optimizer)
    >>> scaler.update()
    >>> scaler.get_scale()
    1024.0
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        self._device, self._enabled = device_name(device).type, bool(enabled)
        self._scale = _positive("init_scale", init_scale)
        self.set_growth_factor(growth_factor)
        self.set_backoff_factor(backoff_factor)
        self.set_growth_interval(growth_interval)
        self._growth_tracker = 0
        self._finite: dict[int, tuple[Optimizer, bool]] = {}  # of the optimizers whose gradients were unscaled since the last update
        self._stepped: set[int] = set()

    # --- a training step, in this order

    def scale(self, outputs: Any) -> Any:
        """A tensor, or tensors in lists, tuples and other iterables, times the scale.

        Raises
        ------
        DTypeError
            For something else.

        Examples
        --------
        >>> import neurenix as nx
        >>> scaler = nx.amp.GradScaler("cpu", init_scale=8.0)
        >>> scaler.scale([nx.tensor([1.0]), nx.tensor([2.0])])
        [tensor([8.]), tensor([16.])]
        """
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            return mul(outputs, self._scale)
        if isinstance(outputs, (list, tuple)):
            return type(outputs)(self.scale(t) for t in outputs)
        if hasattr(outputs, "__iter__"):
            return map(self.scale, outputs)
        raise DTypeError(f"GradScaler.scale: expected a tensor or an iterable of tensors, got {type(outputs).__name__}; pass the loss")

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients of an optimizer's parameters by the scale, to clip or look at them before :meth:`step`.

        Raises
        ------
        GraphError
            The second time between two updates, or after :meth:`step`.

        Examples
        --------
        >>> import neurenix as nx
        >>> weight = nx.nn.Parameter(nx.tensor([1.0]))
        >>> optimizer, scaler = nx.optim.SGD([weight], lr=0.1), nx.amp.GradScaler("cpu", init_scale=8.0)
        >>> scaler.scale((3 * weight).sum()).backward()
        >>> scaler.unscale_(optimizer)
        >>> weight.grad
        tensor([3.])
        """
        if not self._enabled:
            return
        if id(optimizer) in self._finite:
            what = "after step()" if id(optimizer) in self._stepped else "a second time"
            raise GraphError(f"GradScaler.unscale_: expected one call an update, got one {what}; call update() after each step")
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        multiply(gradients, float(np.float32(1.0 / self._scale)))
        self._finite[id(optimizer)] = (optimizer, all_finite(gradients))

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """``optimizer.step(...)`` on unscaled gradients; nothing, and ``None``, if one of them is infinite or NaN.

        Raises
        ------
        GraphError
            The second time between two updates.
        ArgumentError
            With a closure, whose gradients nobody would unscale.

        Examples
        --------
        >>> import neurenix as nx
        >>> weight = nx.nn.Parameter(nx.tensor([1.0]))
        >>> optimizer, scaler = nx.optim.SGD([weight], lr=0.1), nx.amp.GradScaler("cpu")
        >>> weight.grad = nx.tensor([float("inf")])  # an overflow
        >>> scaler.step(optimizer)
        >>> weight.item()
        1.0
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if args or "closure" in kwargs:
            raise ArgumentError("GradScaler.step: expected no closure, got one; compute the gradients first, or pass enabled=False")
        if id(optimizer) in self._stepped:
            raise GraphError("GradScaler.step: expected one call an update, got a second; call update() after each step")
        if id(optimizer) not in self._finite:
            self.unscale_(optimizer)
        self._stepped.add(id(optimizer))
        return optimizer.step(**kwargs) if self._finite[id(optimizer)][1] else None

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Make the scale larger or smaller for the next step, or set it to ``new_scale``.

        Raises
        ------
        GraphError
            If no gradients were looked at since the last call.

        Examples
        --------
        >>> import neurenix as nx
        >>> weight = nx.nn.Parameter(nx.tensor([1.0]))
        >>> optimizer, scaler = nx.optim.SGD([weight], lr=0.1), nx.amp.GradScaler("cpu", init_scale=8.0)
        >>> weight.grad = nx.tensor([float("inf")])
        >>> scaler.step(optimizer)
        >>> scaler.update()
        >>> scaler.get_scale()
        4.0
        """
        if not self._enabled:
            return
        if new_scale is not None:
            self._scale = _positive("new_scale", new_scale.item() if isinstance(new_scale, Tensor) else new_scale)
        elif not self._finite:
            raise GraphError("GradScaler.update: expected step() or unscale_() before, got neither; call update() once after the step")
        elif not all(finite for _, finite in self._finite.values()):
            self._scale, self._growth_tracker = float(np.float32(self._scale * self._backoff_factor)), 0
        else:
            self._grow()
        self._finite.clear()
        self._stepped.clear()

    def _grow(self) -> None:
        self._growth_tracker += 1
        if self._growth_tracker == self._growth_interval:
            with np.errstate(over="ignore"):
                larger = float(np.float32(self._scale) * np.float32(self._growth_factor))
            self._scale, self._growth_tracker = larger if math.isfinite(larger) else self._scale, 0

    # --- settings

    def get_scale(self) -> float:
        """The scale; 1 where it is not enabled.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.amp.GradScaler("cpu").get_scale(), nx.amp.GradScaler("cpu", enabled=False).get_scale()
        (65536.0, 1.0)
        """
        return self._scale if self._enabled else 1.0

    def get_growth_factor(self) -> float:
        """The factor after ``growth_interval`` good steps.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.amp.GradScaler("cpu").get_growth_factor()
        2.0
        """
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set the factor after ``growth_interval`` good steps; an :class:`ArgumentError` unless it is above 1.

        Examples
        --------
        >>> import neurenix as nx
        >>> scaler = nx.amp.GradScaler("cpu")
        >>> scaler.set_growth_factor(1.5)
        >>> scaler.get_growth_factor()
        1.5
        """
        if not _is_number(new_factor) or not new_factor > 1.0:
            raise ArgumentError(f"GradScaler: expected a growth_factor above 1, got {new_factor!r}; pass e.g. 2.0")
        self._growth_factor = float(new_factor)

    def get_backoff_factor(self) -> float:
        """The factor after an overflow.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.amp.GradScaler("cpu").get_backoff_factor()
        0.5
        """
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set the factor after an overflow; an :class:`ArgumentError` unless it is between 0 and 1.

        Examples
        --------
        >>> import neurenix as nx
        >>> scaler = nx.amp.GradScaler("cpu")
        >>> scaler.set_backoff_factor(0.25)
        >>> scaler.get_backoff_factor()
        0.25
        """
        if not _is_number(new_factor) or not 0.0 < new_factor < 1.0:
            raise ArgumentError(f"GradScaler: expected a backoff_factor between 0 and 1, got {new_factor!r}; pass e.g. 0.5")
        self._backoff_factor = float(new_factor)

    def get_growth_interval(self) -> int:
        """How many good steps in a row it takes to grow.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.amp.GradScaler("cpu").get_growth_interval()
        2000
        """
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set how many good steps in a row it takes to grow; an :class:`ArgumentError` below 1.

        Examples
        --------
        >>> import neurenix as nx
        >>> scaler = nx.amp.GradScaler("cpu")
        >>> scaler.set_growth_interval(100)
        >>> scaler.get_growth_interval()
        100
        """
        if isinstance(new_interval, bool) or not isinstance(new_interval, int) or new_interval < 1:
            raise ArgumentError(f"GradScaler: expected a growth_interval of at least 1, got {new_interval!r}; pass e.g. 2000")
        self._growth_interval = new_interval

    def is_enabled(self) -> bool:
        """Whether it does more than step the optimizer.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.amp.GradScaler("cpu", enabled=False).is_enabled()
        False
        """
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """Scale, factors, interval and the count of good steps, under PyTorch's names; empty where it is not enabled.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.amp.GradScaler("cpu", init_scale=8.0).state_dict()["scale"]
        8.0
        """
        values = (self._scale, self._growth_factor, self._backoff_factor, self._growth_interval, self._growth_tracker)
        return dict(zip(_KEYS, values, strict=True)) if self._enabled else {}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on with what :meth:`state_dict`, also PyTorch's, gave.

        Raises
        ------
        StateError
            If something is missing, as in the state of a scaler that was not enabled.
        ArgumentError
            If a number is out of range; nothing is changed then.

        Examples
        --------
        >>> import neurenix as nx
        >>> saved = nx.amp.GradScaler("cpu", init_scale=8.0).state_dict()
        >>> scaler = nx.amp.GradScaler("cpu")
        >>> scaler.load_state_dict(saved)
        >>> scaler.get_scale()
        8.0
        """
        if not self._enabled:
            return
        missing = [key for key in _KEYS if key not in state_dict]
        if missing:
            got = "an empty state" if not state_dict else f"one without {', '.join(missing)}"
            raise StateError(f"GradScaler: expected a state with {', '.join(_KEYS)}, got {got}; save that of an enabled scaler")
        new = GradScaler(self._device, *(state_dict[key] for key in _KEYS[:4]))
        tracker = state_dict["_growth_tracker"]
        if isinstance(tracker, bool) or not isinstance(tracker, int) or tracker < 0:
            raise ArgumentError(f"GradScaler: expected _growth_tracker of at least 0, got {tracker!r}; pass what state_dict() gave")
        self.__dict__.update(new.__dict__, _growth_tracker=tracker)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def _positive(name: str, value: Any) -> float:
    if not _is_number(value) or not 0.0 < value < math.inf:
        raise ArgumentError(f"GradScaler: expected {name} above 0 and finite, got {value!r}; pass e.g. 65536.0")
    return float(np.float32(value))
