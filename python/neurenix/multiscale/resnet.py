"""Residual networks as encoders."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from neurenix import nn
from neurenix.errors import ArgumentError
from neurenix.multiscale import _checks
from neurenix.multiscale._encoder import Encoder
from neurenix.nn import init
from neurenix.nn._chains import run
from neurenix.nn.module import Module
from neurenix.ops._arguments import integer
from neurenix.tensor import Tensor

Weights = str | os.PathLike[str] | Mapping[str, Any] | None
_BLOCKS: Final = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
_WIDTHS: Final = (64, 128, 256, 512)


class BasicBlock(Module):
    """Two 3x3 convolutions beside a shortcut."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int, dilation: int) -> None:
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, padding=dilation, dilation=dilation, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(in_channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Give (N, width, H / stride, W / stride), sizes rounded up."""
        y = run([self.conv1, self.bn1, self.relu, self.conv2, self.bn2], x)
        out: Tensor = self.relu(y + (x if self.downsample is None else self.downsample(x)))
        return out


class Bottleneck(Module):
    """A 3x3 convolution between two 1x1 ones, to fewer channels and to four times as many, beside a shortcut."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int, dilation: int) -> None:
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU()
        self.downsample = _shortcut(in_channels, 4 * width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Give (N, 4 width, H / stride, W / stride), sizes rounded up."""
        y = run([self.conv1, self.bn1, self.relu, self.conv2, self.bn2, self.relu, self.conv3, self.bn3], x)
        out: Tensor = self.relu(y + (x if self.downsample is None else self.downsample(x)))
        return out


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    """A 1x1 convolution where size or channels change."""
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels))


class ResNetEncoder(Encoder):
    """A residual network without its classifier: an image in, a list of maps out, finest first.

    Structure, start values and names of the state are torchvision's, whose weights load by name.

    Parameters
    ----------
    depth : {18, 34, 50}
        Layers, counted with the classifier as the paper does.
    in_channels : int
        Channels of the image.
    replace_stride_with_dilation : three bools
        Whether layers 2, 3 and 4 keep the size and spread their windows instead, so that the last maps are larger; depth 50 only.
    out_indices : sequence of int, optional
        Which maps to give, rising: 0 is the stem's, 1 to 4 are those of layers 1 to 4; all five if ``None``. Layers behind
        the last one are not built.

    Attributes
    ----------
    out_channels, strides : list of int
        Of each map that is given.

    Raises
    ------
    ArgumentError
        If an argument is none of these.

    Notes
    -----
    | index | map        | stride | channels (18/34, 50) |
    | ----- | ---------- | ------ | -------------------- |
    | 0     | stem       | 2      | 64, 64               |
    | 1     | ``layer1`` | 4      | 64, 256              |
    | 2     | ``layer2`` | 8      | 128, 512             |
    | 3     | ``layer3`` | 16     | 256, 1024            |
    | 4     | ``layer4`` | 32     | 512, 2048            |

    A map at stride ``s`` has ``ceil(H / s)`` rows, for every H of at least 1. torchvision's arithmetic at every size.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren and J. Sun, "Deep residual learning for image recognition", CVPR 2016.

    Examples
    --------
    >>> import neurenix as nx
    >>> encoder = nx.multiscale.ResNetEncoder(18, out_indices=[0, 1, 2])
    >>> [f.shape for f in encoder(nx.Tensor(shape=(1, 3, 33, 50)))]
    [(1, 64, 17, 25), (1, 64, 9, 13), (1, 128, 5, 7)]
    """

    _heads = ("fc.",)

    def __init__(
        self,
        depth: int = 50,
        in_channels: int = 3,
        *,
        replace_stride_with_dilation: Sequence[bool] = (False, False, False),
        out_indices: Sequence[int] | None = None,
    ) -> None:
        op = "ResNetEncoder"
        if isinstance(depth, bool) or depth not in _BLOCKS:
            raise ArgumentError(f"{op}: expected depth 18, 34 or 50, got {depth!r}; pass one of them")
        self.depth, self.in_channels = depth, integer(op, "in_channels", in_channels, 1)
        dilate = [_checks.flag(op, "replace_stride_with_dilation", d) for d in replace_stride_with_dilation]
        if len(dilate) != 3 or (any(dilate) and depth != 50):
            raise ArgumentError(
                f"{op}: expected replace_stride_with_dilation as three bools, of which one is True at depth 50 only, got {dilate} at depth {depth}; "
                "leave it out, or pass depth=50"
            )
        block = Bottleneck if depth == 50 else BasicBlock
        strides = [2, 4]
        for d in dilate:
            strides.append(strides[-1] * (1 if d else 2))
        count = self._choose(out_indices, [64, *(w * block.expansion for w in _WIDTHS)], strides)
        self.conv1 = nn.Conv2d(self.in_channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self._make_layers(block, [False, False, *dilate], count)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")

    def _make_layers(self, block: type[BasicBlock | Bottleneck], dilate: list[bool], count: int) -> None:
        channels, dilation = 64, 1
        for i in range(1, count):
            stride, before = 1 if i == 1 or dilate[i] else 2, dilation
            dilation *= 2 if dilate[i] else 1
            blocks: list[Module] = []
            for k in range(_BLOCKS[self.depth][i - 1]):
                blocks.append(block(channels, _WIDTHS[i - 1], stride if k == 0 else 1, before if k == 0 else dilation))
                channels = _WIDTHS[i - 1] * block.expansion
            setattr(self, f"layer{i}", nn.Sequential(*blocks))

    def _stage(self, x: Tensor, i: int) -> Tensor:
        if i == 0:
            stem: Tensor = run([self.conv1, self.bn1, self.relu], x)
            return stem
        out: Tensor = getattr(self, f"layer{i}")(self.maxpool(x) if i == 1 else x)
        return out

    def _absent(self) -> list[str]:
        return [f"layer{i}." for i in range(self.out_indices[-1] + 1, 5)]


def _made(depth: int, weights: Weights, in_channels: int, settings: dict[str, Any]) -> ResNetEncoder:
    encoder = ResNetEncoder(depth, in_channels, **settings)
    encoder._fill_from(weights)
    return encoder


def resnet18(*, weights: Weights = None, in_channels: int = 3, **settings: Any) -> ResNetEncoder:
    """A ResNet-18 encoder, with weights of a file or mapping that has torchvision's names.

    Parameters
    ----------
    weights : path or mapping, optional
        What :func:`neurenix.load_weights` takes. The classifier's entries are left out, and the first convolution is adapted
        where ``in_channels`` is not the file's.
    in_channels : int
        Channels of the image.
    **settings
        Other arguments of :class:`ResNetEncoder`.

    Raises
    ------
    StateError
        If the weights are another network's; the text names every entry.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.multiscale.resnet18(in_channels=1).out_channels
    [64, 64, 128, 256, 512]
    """
    return _made(18, weights, in_channels, settings)


def resnet34(*, weights: Weights = None, in_channels: int = 3, **settings: Any) -> ResNetEncoder:
    """A ResNet-34 encoder; the arguments are those of :func:`resnet18`.

    Examples
    --------
    >>> import neurenix as nx
    >>> encoder = nx.multiscale.resnet34(in_channels=4, out_indices=[0, 1, 2])  # without the layers behind
    >>> encoder.out_channels, encoder.strides
    ([64, 64, 128], [2, 4, 8])
    """
    return _made(34, weights, in_channels, settings)


def resnet50(*, weights: Weights = None, in_channels: int = 3, **settings: Any) -> ResNetEncoder:
    """A ResNet-50 encoder; the arguments are those of :func:`resnet18`.

    Examples
    --------
    >>> import neurenix as nx
    >>> encoder = nx.multiscale.resnet50(out_indices=[1, 2])
    >>> [f.shape for f in encoder(nx.zeros(1, 3, 64, 64))]
    [(1, 256, 16, 16), (1, 512, 8, 8)]
    """
    return _made(50, weights, in_channels, settings)
