"""What a convolution remembers of its last pass in evaluation, so that the next one need not look at everything again.

Nothing is remembered but objects, and each is compared by identity before it is believed: a layer that was replaced, hooked, set to train or
given another weight or setting since is looked at anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter, is_
from typing import Any

from neurenix.nn.activation import ReLU
from neurenix.nn.conv import Conv2d
from neurenix.nn.instance_norm import InstanceNorm2d
from neurenix.nn.module import Module
from neurenix.nn.norm import BatchNorm2d
from neurenix.ops.conv_chain import OnePass, Unit, mode, prepared
from neurenix.tensor import Tensor

_CONV = attrgetter("weight", "bias", "stride", "padding", "dilation", "groups", "padding_mode", "out_channels")
_NORMS = (BatchNorm2d, InstanceNorm2d)
_NORM = attrgetter("weight", "bias", "running_mean", "running_var", "training", "eps", "num_features")


def is_plain(module: Module, kinds: tuple[type[Module], ...]) -> bool:
    """Whether a module is of exactly one of these types, and nothing else happens when it is called."""
    return type(module) in kinds and not module._is_hooked() and "forward" not in vars(module)


class Evaluated:
    """A pass, and the layers that share it as they were when it was prepared. Copies of a model start without."""

    __slots__ = ("_activation", "_conv", "_norm", "_norm_has", "_pass", "_watch", "length")

    def __init__(self, conv: Conv2d, norm: Any, activation: Module | None, one_pass: OnePass) -> None:
        self._pass, self._conv, self._norm, self._activation = one_pass, _CONV(conv), norm, activation
        self._norm_has = () if norm is None else _NORM(norm)
        self._watch = norm._watch if isinstance(norm, BatchNorm2d) else None
        self.length = 1 + (norm is not None) + (activation is not None)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(None), ()

    def holds(self, modules: Sequence[Module]) -> bool:
        """Whether modules begin with the layers that it was prepared for, as they were; the first is the convolution."""
        norm, activation, behind = self._norm, self._activation, 1
        if len(modules) < self.length or not all(map(is_, _CONV(modules[0]), self._conv)):
            return False
        if norm is not None:
            if modules[1] is not norm or not is_plain(norm, _NORMS) or not all(map(is_, _NORM(norm), self._norm_has)):
                return False
            behind = 2
        return activation is None or (modules[behind] is activation and is_plain(activation, (ReLU,)))

    def fits(self, x: Tensor, beside: Tensor | None) -> bool:
        """Whether these are maps, and this is a moment, that it was prepared for."""
        now = mode()
        return now is not None and self._pass.fits(now, x, beside)

    def __call__(self, x: Tensor, beside: Tensor | None) -> Tensor:
        """What the layers make of maps."""
        if self._watch is not None:
            self._watch(x)
        return self._pass(x, beside)


def remembered(modules: Sequence[Module], x: Any, beside: Tensor | None) -> Evaluated | None:
    """What the convolution that modules begin with remembers, if that is what it would do of these maps now."""
    kept: Evaluated | None = getattr(modules[0], "_evaluated", None)
    if kept is None or not isinstance(x, Tensor) or not is_plain(modules[0], (Conv2d,)):
        return None
    return kept if kept.fits(x, beside) and kept.holds(modules) else None


def remember(conv: Conv2d, norm: Any, activation: Module | None, unit: Unit, x: Tensor, beside: Tensor | None) -> bool:
    """Prepare the pass of a convolution and the layers behind it, if they take one of this kind here."""
    one_pass = prepared(unit, x, beside) if conv.padding_mode == "zeros" else None
    conv._evaluated = None if one_pass is None else Evaluated(conv, norm, activation, one_pass)
    return one_pass is not None
