"""Feature pyramids on the maps of any encoder."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from neurenix import nn
from neurenix.checkpoint import segment
from neurenix.errors import DTypeError
from neurenix.multiscale import _checks
from neurenix.multiscale._blocks import check_norm
from neurenix.multiscale.fusion import check_features
from neurenix.nn import functional
from neurenix.nn.module import Module
from neurenix.ops._arguments import integer
from neurenix.ops.resize_like import resize_like
from neurenix.tensor import Tensor


def check_maps(op: str, features: Any, channels: Sequence[int]) -> tuple[list[str] | None, list[Tensor]]:
    """Names, where the maps have some, and maps of a list or mapping, finest first; refuse what does not fit."""
    if isinstance(features, Mapping):
        return [str(name) for name in features], check_features(op, list(features.values()), channels)
    return None, check_features(op, features, channels)


def given_back(names: list[str] | None, maps: list[Tensor]) -> list[Tensor] | OrderedDict[str, Tensor]:
    """Maps in the form in which they came: a list, or by their names."""
    return maps if names is None else OrderedDict(zip(names, maps, strict=True))


class FeaturePyramidNetwork(Module):
    """Strong features at every scale: maps of an encoder, merged from the coarsest down.

    Each map goes through a 1x1 convolution; the coarser result, resized to its size by nearest pixels, is added; a 3x3
    convolution gives the output. State names, initial weights and values are torchvision's.

    | step                | shape              | of                                             |
    | ------------------- | ------------------ | ---------------------------------------------- |
    | input ``i``         | (N, C_i, H_i, W_i) | of any sizes, finest first                     |
    | ``inner_blocks[i]`` | (N, O, H_i, W_i)   | 1x1 convolution, plus the coarser sum, resized |
    | ``layer_blocks[i]`` | (N, O, H_i, W_i)   | 3x3 convolution of that sum: output ``i``      |
    | ``extra_blocks``    | (N, O, ...)        | more outputs, coarser than the last            |

    Parameters
    ----------
    in_channels_list : list of int
        Channels C_i of each map, finest first.
    out_channels : int
        Channels O of every output.
    extra_blocks : Module, optional
        :class:`LastLevelMaxPool`, :class:`LastLevelP6P7`, or another module that takes the lists of outputs, inputs and
        names, and gives longer lists of outputs and names.
    norm : {"batch", "group", "instance"} or None
        Normalisation after each convolution.

    Raises
    ------
    ArgumentError
        If a number is not an integer of at least 1, or ``norm`` is none of these.
    DTypeError
        If ``extra_blocks`` is not a module.

    References
    ----------
    .. [1] T.-Y. Lin et al., "Feature pyramid networks for object detection", CVPR 2017.

    Examples
    --------
    >>> import neurenix as nx
    >>> pyramid = nx.multiscale.FeaturePyramidNetwork([2, 4], 8, nx.multiscale.LastLevelMaxPool())
    >>> maps = {"fine": nx.Tensor(shape=(1, 2, 9, 7)), "coarse": nx.Tensor(shape=(1, 4, 5, 4))}
    >>> [(name, y.shape) for name, y in pyramid(maps).items()]
    [('fine', (1, 8, 9, 7)), ('coarse', (1, 8, 5, 4)), ('pool', (1, 8, 3, 2))]
    >>> [y.shape for y in pyramid(list(maps.values()))]
    [(1, 8, 9, 7), (1, 8, 5, 4), (1, 8, 3, 2)]
    """

    _makes_segments = True

    def __init__(
        self, in_channels_list: list[int], out_channels: int, extra_blocks: Module | None = None, *, norm: str | None = None
    ) -> None:
        op = "FeaturePyramidNetwork"
        self.in_channels_list = _checks.integers(op, "in_channels_list", in_channels_list)
        self.out_channels = integer(op, "out_channels", out_channels, 1)
        self.norm, outer = check_norm(op, norm), self.out_channels
        if extra_blocks is not None and not isinstance(extra_blocks, Module):
            raise DTypeError(f"{op}: expected extra_blocks as a module or None, got {type(extra_blocks).__name__}; pass LastLevelMaxPool()")
        self.inner_blocks = nn.ModuleList([nn.ConvNormAct(c, outer, 1, norm=norm, activation=None) for c in self.in_channels_list])
        self.layer_blocks = nn.ModuleList([nn.ConvNormAct(outer, outer, norm=norm, activation=None) for _ in self.in_channels_list])
        _initialize(self)
        self.extra_blocks = extra_blocks

    def forward(self, x: Mapping[str, Tensor] | Sequence[Tensor]) -> list[Tensor] | OrderedDict[str, Tensor]:
        """Give a list of maps for a list, finest first; for a mapping one with its names."""
        names, maps = check_maps("FeaturePyramidNetwork", x, self.in_channels_list)
        results: list[Tensor] = []
        inner: Tensor | None = None
        for i in reversed(range(len(maps))):
            inner, result = segment(self._level, maps[i], inner, i)
            results.insert(0, result)
        if self.extra_blocks is not None:
            known = [str(i) for i in range(len(maps))] if names is None else names
            results, known = self.extra_blocks(results, maps, known)
            names = None if names is None else known
        return given_back(names, results)

    def _level(self, x: Tensor, coarser: Tensor | None, i: int) -> tuple[Tensor, Tensor]:
        """The sum that is handed down, and the output made of it."""
        inner = self.inner_blocks[i](x)
        if coarser is not None:
            inner = inner + resize_like(coarser, inner)
        return inner, self.layer_blocks[i](inner)


class LastLevelMaxPool(Module):
    """One output more for a :class:`FeaturePyramidNetwork`: every other pixel of the coarsest, under the name "pool".

    Examples
    --------
    >>> import neurenix as nx
    >>> extra = nx.multiscale.LastLevelMaxPool()
    >>> outputs, names = extra([nx.Tensor(shape=(1, 2, 5, 4))], [], ["coarse"])
    >>> [y.shape for y in outputs], names
    ([(1, 2, 5, 4), (1, 2, 3, 2)], ['coarse', 'pool'])
    """

    def forward(self, results: list[Tensor], _: list[Tensor], names: list[str]) -> tuple[list[Tensor], list[str]]:
        """Give the lists of outputs and names, each longer by one."""
        return [*results, results[-1][:, :, ::2, ::2]], [*names, "pool"]


class LastLevelP6P7(Module):
    """Two outputs more for a :class:`FeaturePyramidNetwork`, as in RetinaNet: "p6" and "p7".

    | step   | shape                        | of                                                                                 |
    | ------ | ---------------------------- | ---------------------------------------------------------------------------------- |
    | ``p6`` | (N, O, ceil(H/2), ceil(W/2)) | 3x3 convolution with stride 2 of the coarsest output or input, see ``in_channels`` |
    | ``p7`` | (N, O, ceil(H/4), ceil(W/4)) | ReLU of that, 3x3 convolution with stride 2                                        |

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of what ``p6`` convolves, and O of both outputs. Where they are equal that is the coarsest output, otherwise the
        coarsest input.

    Raises
    ------
    ArgumentError
        If a number is not an integer of at least 1.

    References
    ----------
    .. [1] T.-Y. Lin et al., "Focal loss for dense object detection", ICCV 2017.

    Examples
    --------
    >>> import neurenix as nx
    >>> pyramid = nx.multiscale.FeaturePyramidNetwork([2], 4, nx.multiscale.LastLevelP6P7(2, 4))
    >>> [y.shape for y in pyramid([nx.Tensor(shape=(1, 2, 9, 7))])]
    [(1, 4, 9, 7), (1, 4, 5, 4), (1, 4, 3, 2)]
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        op = "LastLevelP6P7"
        self.in_channels, self.out_channels = integer(op, "in_channels", in_channels, 1), integer(op, "out_channels", out_channels, 1)
        self.p6 = nn.Conv2d(self.in_channels, self.out_channels, kernel_size=3, stride=2, padding=1)
        self.p7 = nn.Conv2d(self.out_channels, self.out_channels, kernel_size=3, stride=2, padding=1)
        _initialize(self)

    def forward(self, results: list[Tensor], x: list[Tensor], names: list[str]) -> tuple[list[Tensor], list[str]]:
        """Give the lists of outputs and names, each longer by two."""
        p6 = self.p6(results[-1] if self.in_channels == self.out_channels else x[-1])
        return [*results, p6, self.p7(functional.relu(p6))], [*names, "p6", "p7"]


def _initialize(module: Module) -> None:
    """torchvision's weights to begin with: uniform, of the variance of 1 / fan_in; no bias."""
    for conv in module.modules():
        if isinstance(conv, nn.Conv2d):
            nn.init.kaiming_uniform_(conv.weight, a=1)
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)
