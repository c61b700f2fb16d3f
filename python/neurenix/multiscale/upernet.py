"""The head of UPerNet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from neurenix import nn, ops
from neurenix.checkpoint import segment
from neurenix.multiscale import _checks
from neurenix.multiscale._blocks import check_norm
from neurenix.multiscale.context import PPM
from neurenix.multiscale.feature_pyramids import check_maps
from neurenix.nn.module import Module
from neurenix.ops._arguments import integer
from neurenix.ops.resize_like import resize_like
from neurenix.tensor import Tensor


class UPerHead(Module):
    """From the maps of an encoder to logits: context of the coarsest, a feature pyramid, all its levels together.

    | step            | shape              | of                                                            |
    | --------------- | ------------------ | ------------------------------------------------------------- |
    | input ``i``     | (N, C_i, H_i, W_i) | of any sizes, finest first                                    |
    | ``context``     | (N, M, H_n, W_n)   | :class:`PPM` of the coarsest                                  |
    | ``laterals[i]`` | (N, M, H_i, W_i)   | 1x1 convolution, norm, ReLU, plus the coarser sum, resized    |
    | ``smooths[i]``  | (N, M, H_i, W_i)   | 3x3 convolution of that sum, norm, ReLU                       |
    | ``bottleneck``  | (N, M, H_0, W_0)   | 3x3 convolution of all levels, resized bilinearly, norm, ReLU |
    | ``head``        | (N, O, H_0, W_0)   | dropout, 1x1 convolution                                      |

    Parameters
    ----------
    in_channels : list of int
        Channels C_i of each map, finest first.
    out_channels : int
        Channels O of the logits.
    channels : int
        Channels M of everything between.
    pool_sizes : sequence of int
        Bins of the context along each axis.
    norm : {"batch", "group", "instance"} or None
        Normalisation after each convolution but the last.
    dropout : float
        Share of channels that are dropped in training before the last convolution.

    Raises
    ------
    ArgumentError
        If a number is not an integer of at least 1, ``norm`` is none of these, or ``dropout`` not from 0 to 1.

    References
    ----------
    .. [1] T. Xiao et al., "Unified perceptual parsing for scene understanding", ECCV 2018.

    Examples
    --------
    >>> import neurenix as nx
    >>> head = nx.multiscale.UPerHead([2, 4], 3, channels=8, norm="group")
    >>> head([nx.Tensor(shape=(1, 2, 9, 7)), nx.Tensor(shape=(1, 4, 5, 4))]).shape
    (1, 3, 9, 7)
    """

    _makes_segments = True

    def __init__(
        self,
        in_channels: list[int],
        out_channels: int,
        channels: int = 512,
        pool_sizes: Sequence[int] = (1, 2, 3, 6),
        *,
        norm: str | None = "batch",
        dropout: float = 0.1,
    ) -> None:
        op = "UPerHead"
        self.in_channels = _checks.integers(op, "in_channels", in_channels)
        self.out_channels = integer(op, "out_channels", out_channels, 1)
        self.channels = width = integer(op, "channels", channels, 1)
        self.pool_sizes = _checks.integers(op, "pool_sizes", pool_sizes)
        self.norm, self.dropout = check_norm(op, norm), _checks.probability(op, "dropout", dropout)
        finer = self.in_channels[:-1]
        self.context = PPM(self.in_channels[-1], width, self.pool_sizes, norm=norm)
        self.laterals = nn.ModuleList([nn.ConvNormAct(c, width, 1, norm=norm) for c in finer])
        self.smooths = nn.ModuleList([nn.ConvNormAct(width, width, norm=norm) for _ in finer])
        self.bottleneck = nn.ConvNormAct(width * len(self.in_channels), width, norm=norm)
        self.drop = nn.Dropout2d(self.dropout)
        self.head = nn.Conv2d(width, self.out_channels, kernel_size=1)

    def forward(self, x: Mapping[str, Tensor] | Sequence[Tensor]) -> Tensor:
        """Give logits (N, out_channels, H_0, W_0) of a list of maps, or a mapping, finest first."""
        _, maps = check_maps("UPerHead", x, self.in_channels)
        inner = segment(self.context, maps[-1])
        levels = [inner]
        for i in reversed(range(len(maps) - 1)):
            inner, smooth = segment(self._level, maps[i], inner, i)
            levels.insert(0, smooth)
        out: Tensor = segment(self._joined, levels)
        return out

    def _level(self, x: Tensor, coarser: Tensor, i: int) -> tuple[Tensor, Tensor]:
        """The sum that is handed down, and what is made of it."""
        inner = self.laterals[i](x)
        inner = inner + resize_like(coarser, inner, "bilinear")
        return inner, self.smooths[i](inner)

    def _joined(self, levels: list[Tensor]) -> Tensor:
        maps = [resize_like(m, levels[0], "bilinear") for m in levels]
        out: Tensor = self.head(self.drop(self.bottleneck(ops.cat(maps, dim=1))))
        return out
