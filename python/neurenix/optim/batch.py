"""Parameters that an optimizer's step takes together."""

from __future__ import annotations

from typing import Any, NamedTuple

from neurenix import backend
from neurenix._typing import Array
from neurenix.backend.kernel import is_skipping
from neurenix.tensor import Tensor


class Batch(NamedTuple):
    """Parameters of one group that take the same step in one kernel call."""

    parameters: list[Tensor]
    gradients: list[Array]
    states: list[dict[str, Any]]
    step: int  # of these parameters, counted from 1

    @property
    def arrays(self) -> list[Array]:
        """The parameters' arrays."""
        return [p._array for p in self.parameters]

    def only(self, chosen: list[int]) -> Batch:
        """Some of the parameters."""
        parts = ([self.parameters[i] for i in chosen], [self.gradients[i] for i in chosen], [self.states[i] for i in chosen])
        return Batch(*parts, self.step)

    def state(self, name: str) -> list[Array]:
        """One state array a parameter."""
        return [s[name] for s in self.states]

    def zeros(self, *names: str) -> None:
        """Make states that are not there yet, all zero."""
        for p, s in zip(self.parameters, self.states, strict=True):
            for name in names:
                if name not in s:
                    s[name] = constant_like(p._array, 0.0)


def constant_like(array: Array, value: float) -> Array:
    """A new array beside ``array`` with one value in it."""
    filled = backend.empty(array.shape, array.dtype, "cpu")
    if not is_skipping():
        filled.fill(value)
    return backend.to_device(filled, backend.device_of(array))
