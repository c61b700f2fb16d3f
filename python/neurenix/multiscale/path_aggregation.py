"""Pyramids whose levels are merged in both directions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from neurenix import nn
from neurenix.checkpoint import segment
from neurenix.errors import ArgumentError
from neurenix.multiscale import _checks
from neurenix.multiscale._blocks import check_norm
from neurenix.multiscale.feature_pyramids import FeaturePyramidNetwork, check_maps, given_back
from neurenix.multiscale.fusion import added
from neurenix.nn import functional
from neurenix.nn.module import Module
from neurenix.ops._arguments import integer
from neurenix.ops.resize_like import resize_like
from neurenix.tensor import Tensor
from neurenix.window import full_size

EPSILON = 1e-4  # EfficientDet's


class PANet(Module):
    """Path aggregation: a feature pyramid, and after it a short way back up from the finest level to the coarsest.

    | step         | shape                    | of                                                                          |
    | ------------ | ------------------------ | --------------------------------------------------------------------------- |
    | input ``i``  | (N, C_i, H_i, W_i)       | each mostly half the size of the one before                                 |
    | ``pyramid``  | (N, O, H_i, W_i)         | :class:`FeaturePyramidNetwork`: ``P_i``                                     |
    | ``downs[i]`` | (N, O, H_(i+1), W_(i+1)) | 3x3 convolution of output ``i`` with stride 2, norm, ReLU, at the next size |
    | ``fuses[i]`` | (N, O, H_(i+1), W_(i+1)) | 3x3 convolution of that plus ``P_(i+1)``, norm, ReLU: output ``i + 1``      |

    Output 0 is ``P_0``. A map that stride 2 does not bring to the next one's size is resized by nearest pixels.

    Parameters
    ----------
    in_channels : list of int
        Channels C_i of each map, finest first.
    out_channels : int
        Channels O of every output.
    norm : {"batch", "group", "instance"} or None
        Normalisation after each convolution.

    Raises
    ------
    ArgumentError
        If a number is not an integer of at least 1, or ``norm`` is none of these.

    References
    ----------
    .. [1] S. Liu et al., "Path aggregation network for instance segmentation", CVPR 2018.

    Examples
    --------
    >>> import neurenix as nx
    >>> neck = nx.multiscale.PANet([2, 4], 8)
    >>> [y.shape for y in neck([nx.Tensor(shape=(1, 2, 9, 7)), nx.Tensor(shape=(1, 4, 5, 4))])]
    [(1, 8, 9, 7), (1, 8, 5, 4)]
    """

    _makes_segments = True

    def __init__(self, in_channels: list[int], out_channels: int, *, norm: str | None = None) -> None:
        self.in_channels = _checks.integers("PANet", "in_channels", in_channels)
        self.out_channels = outer = integer("PANet", "out_channels", out_channels, 1)
        self.norm = check_norm("PANet", norm)
        self.pyramid = FeaturePyramidNetwork(self.in_channels, outer, norm=norm)
        self.downs = nn.ModuleList([nn.ConvNormAct(outer, outer, stride=2, norm=norm) for _ in self.in_channels[1:]])
        self.fuses = nn.ModuleList([nn.ConvNormAct(outer, outer, norm=norm) for _ in self.in_channels[1:]])

    def forward(self, x: Mapping[str, Tensor] | Sequence[Tensor]) -> list[Tensor] | OrderedDict[str, Tensor]:
        """Give a list of maps for a list, finest first; for a mapping one with its names."""
        names, maps = check_maps("PANet", x, self.in_channels)
        levels = self.pyramid(maps)
        found = [levels[0]]
        for i, level in enumerate(levels[1:]):
            found.append(segment(self._level, found[-1], level, i))
        return given_back(names, found)

    def _level(self, finer: Tensor, level: Tensor, i: int) -> Tensor:
        out: Tensor = self.fuses[i](resize_like(self.downs[i](finer), level) + level)
        return out


class BiFPN(Module):
    """Levels merged from the coarsest down and back up, again and again, each sum with weights that are learned.

    The first layer takes the maps through a 1x1 convolution each, to one number of channels. In every layer, for ``n`` levels:
    ``T_i = node(P_i, up(T_(i+1)))`` from the coarsest down, ``T_(n-1) = P_(n-1)``, then ``Q_i = node(P_i, T_i, down(Q_(i-1)))`` from
    the finest up, ``Q_0 = T_0``; the coarsest takes no ``T``. ``up`` takes nearest pixels, ``down`` the largest of 3x3 windows.
    A node is ``separable(silu(sum of relu(w_k) * x_k / (sum of relu(w_k) + 1e-4)))``, the "fast normalised fusion".

    | step               | shape              | of                                                          |
    | ------------------ | ------------------ | ----------------------------------------------------------- |
    | input ``i``        | (N, C_i, H_i, W_i) | each mostly half the size of the one before                 |
    | ``projections[i]`` | (N, O, H_i, W_i)   | 1x1 convolution and norm; the input itself where C_i == O   |
    | ``T_i``, ``Q_i``   | (N, O, H_i, W_i)   | depthwise 3x3, 1x1 convolution and norm of the weighted sum |
    | output ``i``       | (N, O, H_i, W_i)   | ``Q_i`` of the last layer                                   |

    Parameters
    ----------
    in_channels : list of int
        Channels C_i of each map, finest first, at least two.
    out_channels : int
        Channels O of every output.
    num_layers : int
        How often the levels are merged.
    norm : {"batch", "group", "instance"} or None
        Normalisation after each 1x1 convolution.

    Raises
    ------
    ArgumentError
        If a number is not an integer of at least 1, there is one level only, or ``norm`` is none of these.

    References
    ----------
    .. [1] M. Tan, R. Pang and Q. V. Le, "EfficientDet: scalable and efficient object detection", CVPR 2020.

    Examples
    --------
    >>> import neurenix as nx
    >>> neck = nx.multiscale.BiFPN([2, 4, 8], 8, num_layers=2)
    >>> [y.shape for y in neck([nx.Tensor(shape=(1, 2 << i, 32 >> i, 24 >> i)) for i in range(3)])]
    [(1, 8, 32, 24), (1, 8, 16, 12), (1, 8, 8, 6)]
    """

    _makes_segments = True

    def __init__(self, in_channels: list[int], out_channels: int, num_layers: int = 3, *, norm: str | None = "batch") -> None:
        self.in_channels = _checks.integers("BiFPN", "in_channels", in_channels)
        if len(self.in_channels) < 2:
            raise ArgumentError(
                f"BiFPN: expected in_channels of at least two levels, got {in_channels}; one level has nothing to merge with"
            )
        self.out_channels = outer = integer("BiFPN", "out_channels", out_channels, 1)
        self.num_layers = integer("BiFPN", "num_layers", num_layers, 1)
        self.norm = check_norm("BiFPN", norm)
        self.projections = nn.ModuleList(
            [nn.Identity() if c == outer else nn.ConvNormAct(c, outer, 1, norm=norm, activation=None) for c in self.in_channels]
        )
        self.layers = nn.ModuleList([BiFPNLayer(len(self.in_channels), outer, norm) for _ in range(self.num_layers)])

    def forward(self, x: Mapping[str, Tensor] | Sequence[Tensor]) -> list[Tensor] | OrderedDict[str, Tensor]:
        """Give a list of maps for a list, finest first; for a mapping one with its names."""
        names, maps = check_maps("BiFPN", x, self.in_channels)
        maps = [project(m) for project, m in zip(self.projections, maps, strict=True)]
        for layer in self.layers:
            maps = segment(layer, maps)
        return given_back(names, maps)


class BiFPNLayer(Module):
    """Levels merged once down and once up."""

    def __init__(self, levels: int, channels: int, norm: str | None) -> None:
        self.down = nn.ModuleList([Node(2, channels, norm) for _ in range(levels - 1)])
        self.up = nn.ModuleList([Node(3, channels, norm) for _ in range(levels - 2)] + [Node(2, channels, norm)])

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Give as many maps of the same sizes."""
        merged = [maps[-1]]
        for m, node in zip(reversed(maps[:-1]), self.down, strict=True):
            merged.insert(0, node([m, resize_like(merged[0], m)]))
        found = merged[:1]
        for i, node in enumerate(self.up, 1):
            inputs = [maps[i], merged[i]] if i < len(maps) - 1 else [maps[i]]
            found.append(node([*inputs, _smaller(found[-1], full_size(maps[i]))]))
        return found


class Node(Module):
    """A weighted mean of maps, SiLU, and a separable convolution."""

    def __init__(self, inputs: int, channels: int, norm: str | None) -> None:
        self.weight = nn.Parameter([1.0] * inputs)
        self.depthwise = nn.Conv2d(channels, channels, kernel_size=3, padding=1, groups=channels, bias=False)
        self.pointwise = nn.ConvNormAct(channels, channels, 1, norm=norm, activation=None)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Give one map of their size."""
        weight = functional.relu(self.weight)
        weight = weight / (weight.sum() + EPSILON)
        fused = added([m * weight[i] for i, m in enumerate(maps)])
        out: Tensor = self.pointwise(self.depthwise(functional.silu(fused)))
        return out


def _smaller(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """The largest of 3x3 windows at every other pixel, or of as many bins as a size has that this does not give."""
    halves = tuple((n + 1) // 2 for n in full_size(x))
    out: Tensor = functional.max_pool2d(x, 3, 2, 1) if halves == size else functional.adaptive_max_pool2d(x, size)
    return out
