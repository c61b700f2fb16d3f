"""Residual blocks."""

from __future__ import annotations

from neurenix import nn
from neurenix.errors import ArgumentError
from neurenix.multiscale import _checks
from neurenix.multiscale._blocks import Level, check_norm
from neurenix.multiscale.gates import SqueezeExcitation
from neurenix.nn import functional
from neurenix.nn.module import Module
from neurenix.ops._arguments import integer
from neurenix.tensor import Tensor


class ResidualBlock(Module):
    """Two 3x3 convolutions whose result is added to the input, then ReLU.

    | step         | shape                        | of                                                        |
    | ------------ | ---------------------------- | --------------------------------------------------------- |
    | input        | (N, C, H, W)                 |                                                           |
    | ``first``    | (N, O, ceil(H/s), ceil(W/s)) | 3x3 convolution with stride s, norm, ReLU                 |
    | ``second``   | as ``first``                 | 3x3 convolution, norm                                     |
    | ``squeeze``  | as ``first``                 | squeeze and excitation, if asked for                      |
    | ``shortcut`` | as ``first``                 | the input; 1x1 convolution and norm where C != O or s > 1 |
    | output       | as ``first``                 | ReLU of the sum                                           |

    Parameters
    ----------
    in_channels, out_channels : int
        Channels C and O.
    stride : int
        Of the first convolution and the shortcut.
    norm : {"batch", "group", "instance"} or None
        Normalisation after each convolution.
    squeeze_excitation : bool
        Weigh the channels by :class:`SqueezeExcitation` before the sum.

    Raises
    ------
    ArgumentError
        If a number is not an integer of at least 1, ``norm`` is none of these or a flag is no bool.

    References
    ----------
    .. [1] K. He et al., "Deep residual learning for image recognition", CVPR 2016.
    .. [2] J. Hu, L. Shen and G. Sun, "Squeeze-and-excitation networks", CVPR 2018.

    Examples
    --------
    >>> import neurenix as nx
    >>> block = nx.multiscale.ResidualBlock(3, 8, stride=2)
    >>> block(nx.Tensor(shape=(2, 3, 9, 6))).shape
    (2, 8, 5, 3)
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int = 1, *, norm: str | None = "batch", squeeze_excitation: bool = False
    ) -> None:
        op = "ResidualBlock"
        self.in_channels = integer(op, "in_channels", in_channels, 1)
        self.out_channels = integer(op, "out_channels", out_channels, 1)
        self.stride = integer(op, "stride", stride, 1)
        self.norm = check_norm(op, norm)
        self.squeeze_excitation = _checks.flag(op, "squeeze_excitation", squeeze_excitation)
        inner, outer, step = self.in_channels, self.out_channels, self.stride
        self.first = nn.ConvNormAct(inner, outer, stride=step, norm=norm)
        self.second = nn.ConvNormAct(outer, outer, norm=norm, activation=None)
        if squeeze_excitation:
            self.squeeze = SqueezeExcitation(outer)
        self.shortcut: Module = nn.Identity()
        if inner != outer or step > 1:
            self.shortcut = nn.ConvNormAct(inner, outer, 1, step, norm=norm, activation=None)

    def forward(self, x: Tensor) -> Tensor:
        """Give (N, out_channels, ceil(H / stride), ceil(W / stride)) of (N, in_channels, H, W)."""
        x = _checks.float_map("ResidualBlock", x, self.in_channels)
        y = self.second(self.first(x))
        if self.squeeze_excitation:
            y = self.squeeze(y)
        return functional.relu(y + self.shortcut(x))


class SqueezedLevel(Level):
    """A level whose channels are weighed by squeeze and excitation."""

    def __init__(self, in_channels: int, out_channels: int, norm: str | None, activation: str = "relu") -> None:
        super().__init__(in_channels, out_channels, norm, activation)
        self.squeeze = SqueezeExcitation(out_channels)

    def forward(self, x: Tensor, beside: Tensor | None = None) -> Tensor:
        """Give (N, out_channels, H, W); the channels of ``beside``, where it is given, follow those of ``x``."""
        out: Tensor = self.squeeze(super().forward(x, beside))
        return out


def level(in_channels: int, out_channels: int, norm: str | None, residual: bool, squeeze_excitation: bool, activation: str) -> Module:
    """One level of a U-Net with these options."""
    if residual:
        if activation != "relu":
            raise ArgumentError(f"UNet: expected activation='relu' with residual=True, got {activation!r}; leave one out")
        return ResidualBlock(in_channels, out_channels, norm=norm, squeeze_excitation=squeeze_excitation)
    kind = SqueezedLevel if squeeze_excitation else Level
    return kind(in_channels, out_channels, norm, activation)
