"""Blocks that the models are made of."""

from __future__ import annotations

import math
from typing import Final

from neurenix import nn
from neurenix.errors import ArgumentError
from neurenix.multiscale._checks import choice
from neurenix.nn import functional
from neurenix.nn.module import Module
from neurenix.tensor import Tensor

NORMS: Final = ("batch", "group", "instance", None)
ACTIVATIONS: Final = ("sigmoid", "softmax", None)


def norm_layer(op: str, norm: str | None, channels: int) -> Module | None:
    """The normalisation of this name for so many channels; groups are as many as divide both 32 and the channels."""
    choice(op, "norm", norm, NORMS)  # type: ignore[arg-type]
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    if norm == "group":
        return nn.GroupNorm(math.gcd(32, channels), channels)
    return nn.InstanceNorm2d(channels, affine=True) if norm == "instance" else None


def check_activation(op: str, name: str | None) -> str | None:
    """Refuse an unknown final activation."""
    if name not in ACTIVATIONS:
        raise ArgumentError(f"{op}: expected final_activation 'sigmoid', 'softmax' or None, got {name!r}; pass one of them")
    return name


def activate(x: Tensor, name: str | None) -> Tensor:
    """Probabilities of each class by itself, of all classes together, or the logits as they are."""
    if name == "sigmoid":
        return functional.sigmoid(x)
    return functional.softmax(x, dim=1) if name == "softmax" else x


class Level(Module):
    """Two 3x3 convolutions of one level, each normalised and rectified."""

    def __init__(self, op: str, in_channels: int, out_channels: int, norm: str | None) -> None:
        self.first = _unit(op, in_channels, out_channels, norm)
        self.second = _unit(op, out_channels, out_channels, norm)

    def forward(self, x: Tensor) -> Tensor:
        """Give (N, out_channels, H, W)."""
        out: Tensor = self.second(self.first(x))
        return out


def _unit(op: str, in_channels: int, out_channels: int, norm: str | None) -> Module:
    layer = norm_layer(op, norm, out_channels)
    convolution = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=layer is None)
    return nn.Sequential(convolution, *([] if layer is None else [layer]), nn.ReLU())
