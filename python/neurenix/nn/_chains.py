"""Runs of plain convolution, normalisation and ReLU layers, handed to one operation.

Only layers of exactly these types are joined, without hooks or a ``forward`` of their own: each gives the same bits alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, cast

from neurenix import ops
from neurenix.nn.activation import ReLU
from neurenix.nn.conv import Conv2d
from neurenix.nn.module import Module
from neurenix.nn.norm import BatchNorm2d, GroupNorm, InstanceNorm2d
from neurenix.ops.conv_chain import Norm, Unit, conv_chain
from neurenix.tensor import Tensor

Layer: TypeAlias = BatchNorm2d | InstanceNorm2d | GroupNorm
_NORMS = (BatchNorm2d, InstanceNorm2d, GroupNorm)


def _is(module: Module, kinds: tuple[type[Module], ...]) -> bool:
    return type(module) in kinds and not module.is_hooked() and "forward" not in vars(module)


def run(modules: Sequence[Module], x: Any) -> Any:
    """Give ``x`` to the first module, its result to the next, and return the last one's."""
    i = 0
    while i < len(modules):
        conv = modules[i]
        i += 1
        if not (isinstance(conv, Conv2d) and _is(conv, (Conv2d,)) and isinstance(x, Tensor) and x.ndim == 4):
            x = conv(x)
            continue
        norm: Layer | None = None
        if i < len(modules) and _is(modules[i], _NORMS) and _channels(modules[i]) == conv.out_channels:
            norm = cast(Layer, modules[i])
            i += 1
        relu = i < len(modules) and _is(modules[i], (ReLU,))
        x = _unit(conv, norm, relu, x)
        i += relu
    return x


def _channels(norm: Any) -> int:
    count: int = norm.num_channels if isinstance(norm, GroupNorm) else norm.num_features
    return count


def _unit(conv: Conv2d, norm: Layer | None, relu: bool, x: Tensor) -> Tensor:
    if norm is not None and _uses_map(norm):
        return _by_its_map(norm, conv(x), relu)
    if isinstance(norm, BatchNorm2d):
        norm.watch(x)
    x, padding = conv._surround(x)
    how = None
    if norm is not None and not isinstance(norm, GroupNorm):
        kind = "batch" if isinstance(norm, BatchNorm2d) else "instance"
        how = Norm(kind, norm.weight, norm.bias, norm.running_mean, norm.running_var, False, eps=norm.eps)
    unit = Unit(conv.weight, conv.bias, conv.stride, padding, conv.dilation, conv.groups, how, "relu" if relu else None)
    return conv_chain(x, [unit])


def _uses_map(norm: Layer) -> bool:
    """Whether the statistics are the map's own."""
    return isinstance(norm, GroupNorm) or norm.training or norm.running_mean is None


def _by_its_map(norm: Layer, y: Tensor, relu: bool) -> Tensor:
    """The layer's own forward, with ReLU in the same pass."""
    if isinstance(norm, GroupNorm):
        return ops.group_norm(y, norm.num_groups, norm.weight, norm.bias, norm.eps, relu=relu)
    if isinstance(norm, BatchNorm2d):
        norm.watch(y)
    own, momentum = norm.begin()
    apply = ops.batch_norm if isinstance(norm, BatchNorm2d) else ops.instance_norm
    y = apply(y, norm.running_mean, norm.running_var, norm.weight, norm.bias, own, momentum, norm.eps, relu=relu)
    norm.count()
    return y
