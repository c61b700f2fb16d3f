"""The block that segmentation networks are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence

from neurenix._typing import DeviceLike, DTypeLike
from neurenix.nn.activation import GELU, LeakyReLU, ReLU, SiLU
from neurenix.nn.containers import Sequential
from neurenix.nn.conv import Conv2d
from neurenix.nn.instance_norm import InstanceNorm2d
from neurenix.nn.module import Module
from neurenix.nn.norm import BatchNorm2d, GroupNorm
from neurenix.ops._arguments import choice, integers

_NORMS = ("batch", "group", "instance")
ACTIVATIONS: dict[str, type[Module]] = {"relu": ReLU, "leaky_relu": LeakyReLU, "silu": SiLU, "gelu": GELU}


class ConvNormAct(Sequential):
    """A convolution, a normalisation and an activation in as few passes over memory as the moment allows.

    It is a :class:`Sequential` of ordinary layers and gives their bits; in evaluation without gradients all three are one pass.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, dilation : int or (int, int)
    padding : int, (int, int) or str, optional
        ``None`` keeps the size at stride 1 where the window is odd.
    groups : int
    norm : {"batch", "group", "instance", None}
        Groups are as many as divide both 32 and the channels.
    activation : {"relu", "leaky_relu", "silu", "gelu", None}
    bias : bool, optional
        Of the convolution; ``None`` is only without a normalisation, which has a shift of its own.
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
    device, dtype
        Of the parameters.

    Raises
    ------
    ArgumentError
        If a number is too small, groups do not divide the channels, or a name is unknown.

    Examples
    --------
    >>> import neurenix as nx
    >>> block = nx.nn.ConvNormAct(3, 8, stride=2, norm="group", activation="silu")
    >>> block(nx.zeros(1, 3, 6, 8)).shape
    (1, 8, 3, 4)
    >>> [type(layer).__name__ for layer in block]
    ['Conv2d', 'GroupNorm', 'SiLU']
    """

    _runs_in_turn = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int] = 3,
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] | str | None = None,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        *,
        norm: str | None = "batch",
        activation: str | None = "relu",
        bias: bool | None = None,
        padding_mode: str = "zeros",
        device: DeviceLike | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        name = type(self).__name__
        if padding is None:
            kernel, spread = integers(name, "kernel_size", kernel_size, 2, 1), integers(name, "dilation", dilation, 2, 1)
            padding = tuple(d * (k - 1) // 2 for k, d in zip(kernel, spread, strict=True))
        bias = norm is None if bias is None else bias
        conv = Conv2d(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype)
        layers: list[Module] = [conv]
        if norm is not None:
            layers.append(normalization(choice(name, "norm", norm, _NORMS), out_channels, device, dtype))
        if activation is not None:
            layers.append(ACTIVATIONS[choice(name, "activation", activation, tuple(ACTIVATIONS))]())
        super().__init__(*layers)


def normalization(kind: str, channels: int, device: DeviceLike | None = None, dtype: DTypeLike | None = None) -> Module:
    """The layer that a name of :class:`ConvNormAct` stands for."""
    if kind == "group":
        return GroupNorm(math.gcd(32, channels), channels, device=device, dtype=dtype)
    if kind == "instance":
        return InstanceNorm2d(channels, affine=True, device=device, dtype=dtype)
    return BatchNorm2d(channels, device=device, dtype=dtype)
