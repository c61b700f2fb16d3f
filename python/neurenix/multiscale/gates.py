"""Gates: what a network lets through, by channel or by place."""

from __future__ import annotations

from typing import Any

from neurenix import nn, ops
from neurenix.errors import DTypeError, ShapeError
from neurenix.multiscale import _checks
from neurenix.multiscale._blocks import check_norm
from neurenix.nn import functional
from neurenix.nn.module import Module
from neurenix.ops._arguments import integer
from neurenix.ops.resize_like import resize_like
from neurenix.tensor import Tensor


class SqueezeExcitation(Module):
    """Weigh the channels of a map by what the whole map holds.

    Each channel's average goes through two 1x1 convolutions, ReLU between them and a sigmoid behind; the channel is
    multiplied by the result. State names are torchvision's.

    | step    | shape        | of                          |
    | ------- | ------------ | --------------------------- |
    | input   | (N, C, H, W) |                             |
    | squeeze | (N, C, 1, 1) | averages                    |
    | ``fc1`` | (N, S, 1, 1) | 1x1 convolution and ReLU    |
    | ``fc2`` | (N, C, 1, 1) | 1x1 convolution and sigmoid |
    | output  | (N, C, H, W) | the input times that        |

    Parameters
    ----------
    in_channels : int
        Channels C of the map.
    squeeze_channels : int, optional
        Channels S between the two convolutions; ``max(1, in_channels // 16)`` by default.

    Raises
    ------
    ArgumentError
        If a number is not an integer of at least 1.

    References
    ----------
    .. [1] J. Hu, L. Shen and G. Sun, "Squeeze-and-excitation networks", CVPR 2018.

    Examples
    --------
    >>> import neurenix as nx
    >>> gate = nx.multiscale.SqueezeExcitation(8, 2)
    >>> gate(nx.Tensor(shape=(2, 8, 5, 3))).shape
    (2, 8, 5, 3)
    """

    def __init__(self, in_channels: int, squeeze_channels: int | None = None) -> None:
        op = "SqueezeExcitation"
        self.in_channels = integer(op, "in_channels", in_channels, 1)
        narrow = max(1, self.in_channels // 16) if squeeze_channels is None else squeeze_channels
        self.squeeze_channels = integer(op, "squeeze_channels", narrow, 1)
        self.fc1 = nn.Conv2d(self.in_channels, self.squeeze_channels, kernel_size=1)
        self.fc2 = nn.Conv2d(self.squeeze_channels, self.in_channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Give (N, C, H, W) of (N, C, H, W)."""
        return _checks.float_map("SqueezeExcitation", x, self.in_channels) * self.weights(x)

    def weights(self, x: Tensor) -> Tensor:
        """Give the weight of each channel, (N, C, 1, 1), between 0 and 1.

        Examples
        --------
        >>> import neurenix as nx
        >>> gate = nx.multiscale.SqueezeExcitation(8, 2)
        >>> weights = gate.weights(nx.randn(2, 8, 5, 3))
        >>> weights.shape, 0 < weights.min().item() <= weights.max().item() < 1
        ((2, 8, 1, 1), True)
        """
        x = _checks.float_map("SqueezeExcitation", x, self.in_channels)
        return functional.sigmoid(self.fc2(functional.relu(self.fc1(ops.mean(x, (2, 3), keepdim=True)))))


class AttentionGate(Module):
    """Weigh the places of a skip connection by a coarser map, which knows more of what is where.

    ``alpha = sigmoid(psi(relu(theta(x) + phi(g))))``; the output is ``alpha * x``. ``g`` is projected at its own size and then
    resized bilinearly to that of ``x``, so that any two sizes go together.

    | step      | shape        | of                                          |
    | --------- | ------------ | ------------------------------------------- |
    | ``x``     | (N, C, H, W) | the skip                                    |
    | ``g``     | (N, G, h, w) | the gating signal, mostly coarser           |
    | ``theta`` | (N, I, H, W) | 1x1 convolution of ``x`` without bias       |
    | ``phi``   | (N, I, h, w) | 1x1 convolution of ``g``, resized to (H, W) |
    | ``psi``   | (N, 1, H, W) | 1x1 convolution and sigmoid: ``alpha``      |
    | output    | (N, C, H, W) | ``alpha * x``                               |

    Parameters
    ----------
    in_channels, gating_channels : int
        Channels C of the skip and G of the gating signal.
    inter_channels : int, optional
        Channels I of what is added; ``max(1, in_channels // 2)`` by default.
    norm : {"batch", "group", "instance"} or None
        Normalisation after ``theta``, ``phi`` and ``psi``; the paper has none there.

    Raises
    ------
    ArgumentError
        If a number is not an integer of at least 1, or ``norm`` is none of these.

    References
    ----------
    .. [1] O. Oktay et al., "Attention U-Net: learning where to look for the pancreas", MIDL 2018.

    Examples
    --------
    >>> import neurenix as nx
    >>> gate = nx.multiscale.AttentionGate(4, 8)
    >>> x, g = nx.Tensor(shape=(1, 4, 9, 6)), nx.Tensor(shape=(1, 8, 5, 3))
    >>> gate(x, g).shape, gate.weights(x, g).shape
    ((1, 4, 9, 6), (1, 1, 9, 6))
    """

    def __init__(self, in_channels: int, gating_channels: int, inter_channels: int | None = None, *, norm: str | None = None) -> None:
        op = "AttentionGate"
        self.in_channels = integer(op, "in_channels", in_channels, 1)
        self.gating_channels = integer(op, "gating_channels", gating_channels, 1)
        inner = max(1, self.in_channels // 2) if inter_channels is None else inter_channels
        self.inter_channels = integer(op, "inter_channels", inner, 1)
        self.norm = check_norm(op, norm)
        self.theta = nn.ConvNormAct(self.in_channels, self.inter_channels, 1, norm=norm, activation=None, bias=False)
        self.phi = nn.ConvNormAct(self.gating_channels, self.inter_channels, 1, norm=norm, activation=None)
        self.psi = nn.ConvNormAct(self.inter_channels, 1, 1, norm=norm, activation=None)

    def forward(self, x: Tensor, g: Tensor) -> Tensor:
        """Give (N, C, H, W) of a skip (N, C, H, W) and a gating signal (N, G, h, w)."""
        return self.weights(x, g) * x

    def weights(self, x: Tensor, g: Tensor) -> Tensor:
        """Give the weight of each place, (N, 1, H, W), between 0 and 1.

        Examples
        --------
        >>> import neurenix as nx
        >>> gate = nx.multiscale.AttentionGate(4, 8)
        >>> alpha = gate.weights(nx.randn(1, 4, 9, 6), nx.randn(1, 8, 5, 3))  # where the network looks, at the skip's size
        >>> alpha.shape, 0 < alpha.min().item() <= alpha.max().item() < 1
        ((1, 1, 9, 6), True)
        """
        x = _checks.float_map("AttentionGate: x", x, self.in_channels)
        g = _same_images(x, _checks.float_map("AttentionGate: g", g, self.gating_channels))
        signal = resize_like(self.phi(g), x, "bilinear")
        return functional.sigmoid(self.psi(functional.relu(self.theta(x) + signal)))


def _same_images(x: Tensor, g: Any) -> Tensor:
    if g.shape[0] != x.shape[0]:
        raise ShapeError(f"AttentionGate: expected g of {x.shape[0]} images as x, got {g.shape[0]}; pass maps of the same images")
    if g.dtype != x.dtype:
        raise DTypeError(f"AttentionGate: expected g of {x.dtype} as x, got {g.dtype}; convert one with .to()")
    out: Tensor = g
    return out
