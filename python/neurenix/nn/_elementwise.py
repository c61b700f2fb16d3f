"""Layers that are one function of every element."""

from __future__ import annotations

from typing import Any, ClassVar

from neurenix.nn.module import Module
from neurenix.tensor import Tensor


class Elementwise(Module):
    """A layer without settings; subclasses name their function."""

    _function: ClassVar[staticmethod[[Any], Tensor]]

    def forward(self, input: Any) -> Tensor:
        """Apply it to every element."""
        return type(self)._function(input)


class InPlace(Elementwise):
    """A layer that takes ``inplace``, as PyTorch's does, and ignores it: the result is a new tensor."""

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace

    def extra_repr(self) -> str:
        """The settings, and ``inplace`` where it is asked for."""
        settings = [f"{name}={getattr(self, name)!r}" for name in self._shown]
        return ", ".join(settings + ["inplace=True"] * bool(self.inplace))
