"""Runs of plain convolution, normalisation and activation layers, handed to one operation: any of the common activations on a GPU, ReLU else.

Only layers of exactly these types are joined, without hooks or a ``forward`` of their own: each gives the same bits alone. Containers
of exactly these types are looked into.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

from neurenix import ops
from neurenix.nn._evaluated import is_plain as is_plain, remember, remembered
from neurenix.nn.activation import CELU, ELU, GELU, SELU, LeakyReLU, Mish, ReLU, SiLU, Tanh
from neurenix.nn.conv import Conv2d
from neurenix.nn.instance_norm import InstanceNorm2d
from neurenix.nn.module import Module
from neurenix.nn.norm import BatchNorm2d, GroupNorm
from neurenix.nn.pooling import MaxPool2d
from neurenix.nn.thresholds import Hardsigmoid, Hardswish, Hardtanh, ReLU6
from neurenix.ops.activation import SELU_ALPHA, SELU_SCALE
from neurenix.ops.conv_chain import Activation, Fusible, Norm, Unit, conv_chain, halved_chain, reads_two
from neurenix.ops.elementwise import Unary
from neurenix.tensor import Tensor

Layer: TypeAlias = BatchNorm2d | InstanceNorm2d | GroupNorm
_NORMS = (BatchNorm2d, InstanceNorm2d, GroupNorm)
_TWO = (2, (2, 2), [2, 2])


# What a GPU's convolutions apply, as their kernels take it. A sigmoid's result carries what it was made of, for losses: it stays apart.
_PLAIN: dict[type[Module], Activation] = {
    Hardsigmoid: Activation(Unary.HARDSIGMOID),
    Hardswish: Activation(Unary.HARDSWISH),
    Mish: Activation(Unary.MISH),
    ReLU6: Activation(Unary.CLAMP, 0.0, 6.0),
    SELU: Activation(Unary.ELU, SELU_SCALE * SELU_ALPHA, SELU_SCALE),
    SiLU: Activation(Unary.SILU),
    Tanh: Activation(Unary.TANH),
}
_SET: dict[type[Module], Callable[[Any], Activation]] = {
    CELU: lambda m: Activation(Unary.CELU, m.alpha),
    ELU: lambda m: Activation(Unary.ELU, m.alpha, 1.0),
    GELU: lambda m: Activation(Unary.GELU if m.approximate == "none" else Unary.GELU_TANH),
    Hardtanh: lambda m: Activation(Unary.CLAMP, m.min_val, m.max_val),
    LeakyReLU: lambda m: Activation(Unary.LEAKY_RELU, m.negative_slope),
}


class _Group(NamedTuple):
    """A convolution and the layers behind it that share its passes."""

    conv: Conv2d
    norm: Layer | None
    activation: Module | None

    @property
    def length(self) -> int:
        """How many layers these are."""
        return 1 + (self.norm is not None) + (self.activation is not None)

    def unit(self, padding: Any) -> Unit:
        """What the operation is told; batches that a norm has counted so far are looked at here."""
        conv, how = self.conv, None
        if isinstance(self.norm, GroupNorm):
            how = Norm("group", self.norm.weight, self.norm.bias, eps=self.norm.eps, groups=self.norm.num_groups)
        elif self.norm is not None:
            norm, is_batch = self.norm, isinstance(self.norm, BatchNorm2d)
            own, momentum = norm._begin()
            watch = norm._watch if isinstance(norm, BatchNorm2d) else None
            kind, running = "batch" if is_batch else "instance", (norm.running_mean, norm.running_var)
            how = Norm(kind, norm.weight, norm.bias, *running, own, momentum, norm.eps, watch=watch)
        return Unit(conv.weight, conv.bias, conv.stride, padding, conv.dilation, conv.groups, how, self._last())

    def _last(self) -> str | Fusible | None:
        last = self.activation
        if last is None:
            return None
        kind = type(last)
        return "relu" if kind is ReLU else Fusible(_PLAIN[kind] if kind in _PLAIN else _SET[kind](last), last)


def run(modules: Sequence[Module], x: Any, beside: Tensor | None = None) -> Any:
    """Give ``x`` to the first module, its result to the next, and return the last one's.

    The channels of ``beside``, where it is given, follow those of ``x``.
    """
    return _in_turn(modules, x, beside, False)[0]


def run_and_halve(modules: Sequence[Module], x: Any, beside: Tensor | None = None) -> tuple[Any, Tensor]:
    """:func:`run`, and 2x2 maxima of what it gives, odd sizes rounded up: in the same pass where the modules end in layers that allow it."""
    y, below = _in_turn(modules, x, beside, True)
    return y, ops.max_pool2d(y, 2, ceil_mode=True) if below is None else below


def _in_turn(modules: Sequence[Module], x: Any, beside: Tensor | None, halved: bool) -> tuple[Any, Tensor | None]:
    """What modules make of ``x``, and its maxima where these were asked for and the last layers took part."""
    i, below = 0, None
    while i < len(modules):
        ready = remembered(modules[i:], x, beside)
        if ready is not None:
            x, beside, i = ready(x, beside), None, i + ready.length
            continue
        groups = _groups(modules[i:], _activations(x)) if isinstance(x, Tensor) and x.ndim == 4 else []
        if not groups:
            x, beside, i = modules[i](x if beside is None else ops.cat([x, beside], 1)), None, i + 1
            continue
        if beside is not None and groups[0].conv.padding_mode != "zeros":
            x, beside = ops.cat([x, beside], 1), None
        x, padding = groups[0].conv._surround(x)
        units = [g.unit(padding if g is groups[0] else g.conv.padding) for g in groups]
        if remember(*groups[0], units[0], x, beside):
            continue
        i += sum(group.length for group in groups)
        if halved and i == len(modules):
            x, below = halved_chain(x, units, beside, ceil_mode=True)
        elif i < len(modules) and _halves(modules[i]):
            x, i = halved_chain(x, units, beside, ceil_mode=bool(cast(MaxPool2d, modules[i]).ceil_mode), keeps=False)[1], i + 1
        else:
            x = conv_chain(x, units, beside)
        beside = None
        for group in groups:
            if group.norm is not None and not isinstance(group.norm, GroupNorm):
                group.norm._count()
    return x, below


def _halves(module: Module) -> bool:
    """Whether a module is a 2x2 max pool at stride 2 and nothing else."""
    if not is_plain(module, (MaxPool2d,)):
        return False
    pool = cast(MaxPool2d, module)
    twos = pool.kernel_size in _TWO and pool.stride in _TWO
    return twos and pool.padding in (0, (0, 0)) and pool.dilation in (1, (1, 1)) and not pool.return_indices


def _activations(x: Tensor) -> tuple[type[Module], ...]:
    """The layers that share a pass with a convolution of ``x``."""
    return (ReLU,) if x.device.type == "cpu" else (ReLU, *_PLAIN, *_SET)


def reads_halves(modules: Sequence[Module], x: Tensor) -> bool:
    """Whether the first module reads ``x`` and a map like it as they lie, as the halves of its channels, in one pass."""
    if remembered(modules, x, x) is not None:
        return True
    group = _group(modules, _activations(x)) if x.ndim == 4 else None
    return group is not None and group.conv.padding_mode == "zeros" and reads_two(x, group.unit(group.conv.padding))


def _groups(modules: Sequence[Module], activations: tuple[type[Module], ...]) -> list[_Group]:
    """The groups that modules begin with, as many as one operation takes: a normalisation counts its batches between two."""
    found: list[_Group] = []
    i = 0
    while (group := _group(modules[i:], activations)) is not None:
        if found and (group.conv.padding_mode != "zeros" or any(group.norm is g.norm for g in found)):
            break
        found.append(group)
        i += group.length
    return found


def _group(modules: Sequence[Module], activations: tuple[type[Module], ...]) -> _Group | None:
    """The group that modules begin with, if they do."""
    if not modules or not is_plain(modules[0], (Conv2d,)):
        return None
    conv, norm = cast(Conv2d, modules[0]), None
    if len(modules) > 1 and is_plain(modules[1], _NORMS) and _channels(modules[1]) == conv.out_channels:
        norm = cast(Layer, modules[1])
    i = 1 if norm is None else 2
    return _Group(conv, norm, modules[i] if i < len(modules) and is_plain(modules[i], activations) else None)


def _channels(norm: Any) -> int:
    count: int = norm.num_channels if isinstance(norm, GroupNorm) else norm.num_features
    return count
