"""ConvNeXt as an encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neurenix import nn
from neurenix.errors import ArgumentError
from neurenix.multiscale import _checks
from neurenix.multiscale._encoder import Encoder
from neurenix.multiscale.resnet import Weights
from neurenix.nn import functional, init
from neurenix.nn.module import Module
from neurenix.ops._arguments import integer
from neurenix.tensor import Tensor
from neurenix.window import full_size

_EPS = 1e-6


class PatchConv(nn.Conv2d):
    """A convolution whose windows lie side by side; zeros at the bottom and right complete the last ones."""

    def __init__(self, in_channels: int, out_channels: int, size: int) -> None:
        super().__init__(in_channels, out_channels, size, stride=size)

    def forward(self, input: Tensor) -> Tensor:
        """Give (N, out_channels, H / size, W / size), sizes rounded up."""
        (h, w), (size, _) = full_size(input), self.kernel_size
        if h % size or w % size:
            input = functional.pad(input, (0, -w % size, 0, -h % size))
        return super().forward(input)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each pixel."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (N, C, H, W)."""
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Block(Module):
    """A 7x7 depthwise convolution, then for each pixel layer norm and a network of one hidden layer; added to the input."""

    def __init__(self, channels: int, layer_scale: float, drop: float) -> None:
        self.layer_scale = nn.Parameter(init.constant_(Tensor(shape=(channels, 1, 1)), layer_scale))
        self.block = nn.ModuleDict(
            {
                "0": nn.Conv2d(channels, channels, 7, padding=3, groups=channels),
                "2": nn.LayerNorm(channels, eps=_EPS),
                "3": nn.Linear(channels, 4 * channels),
                "4": nn.GELU(),
                "5": nn.Linear(4 * channels, channels),
            }
        )
        self.drop = drop

    def forward(self, x: Tensor) -> Tensor:
        """Give a map of the input's shape."""
        conv, norm, grow, bend, shrink = self.block.values()
        y: Tensor = shrink(bend(grow(norm(conv(x).permute(0, 2, 3, 1))))) * self.layer_scale.reshape(-1)
        if self.training and self.drop > 0:  # whole images at random: stochastic depth
            y = functional.dropout2d(y.reshape(y.shape[0], 1, -1), self.drop).reshape(y.shape)
        return x + y.permute(0, 3, 1, 2)


class ConvNeXtEncoder(Encoder):
    """ConvNeXt without its classifier: an image in, a list of maps out, finest first.

    Structure, start values and names of the state are torchvision's, whose weights load by name. The defaults are
    ConvNeXt-tiny.

    Parameters
    ----------
    in_channels : int
        Channels of the image.
    depths, widths : list of int
        Blocks and channels of each stage.
    layer_scale : float
        Start value of the factor of each block's branch.
    stochastic_depth_prob : float
        How likely the last block's branch is left out for an image while training; falls to 0 at the first.
    out_indices : sequence of int, optional
        Which stages' maps to give, rising; all if ``None``. Stages behind the last one are not built.

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
    | index | map            | stride | channels |
    | ----- | -------------- | ------ | -------- |
    | 0     | ``features.1`` | 4      | 96       |
    | 1     | ``features.3`` | 8      | 192      |
    | 2     | ``features.5`` | 16     | 384      |
    | 3     | ``features.7`` | 32     | 768      |

    A map at stride ``s`` has ``ceil(H / s)`` rows, for every H of at least 1: zeros at the bottom and right complete the last
    patches. Where ``s`` divides the size the values are torchvision's, which drops the rest elsewhere.

    References
    ----------
    .. [1] Z. Liu et al., "A ConvNet for the 2020s", CVPR 2022.

    Examples
    --------
    >>> import neurenix as nx
    >>> encoder = nx.multiscale.ConvNeXtEncoder(3, depths=[1, 1], widths=[8, 16])
    >>> [f.shape for f in encoder(nx.Tensor(shape=(1, 3, 33, 50)))]
    [(1, 8, 9, 13), (1, 16, 5, 7)]
    """

    _heads = ("classifier.",)

    def __init__(
        self,
        in_channels: int = 3,
        *,
        depths: Sequence[int] = (3, 3, 9, 3),
        widths: Sequence[int] = (96, 192, 384, 768),
        layer_scale: float = 1e-6,
        stochastic_depth_prob: float = 0.1,
        out_indices: Sequence[int] | None = None,
    ) -> None:
        op = "ConvNeXtEncoder"
        self.in_channels = integer(op, "in_channels", in_channels, 1)
        self.depths, self.widths = _checks.integers(op, "depths", depths), _checks.integers(op, "widths", widths)
        if len(self.depths) != len(self.widths):
            raise ArgumentError(f"{op}: expected as many depths as widths, got {self.depths} and {self.widths}; give one of each a stage")
        self.layer_scale = _fraction(op, "layer_scale", layer_scale)
        self.stochastic_depth_prob = _fraction(op, "stochastic_depth_prob", stochastic_depth_prob)
        count = self._choose(out_indices, self.widths, [4 << i for i in range(len(self.widths))])
        self.features = nn.Sequential(*self._stages(count))
        for m in self.modules():
            if isinstance(m, (nn.Conv2d, nn.Linear)):
                init.trunc_normal_(m.weight, std=0.02)
                if m.bias is not None:
                    init.zeros_(m.bias)

    def _stages(self, count: int) -> list[Module]:
        """Stem or halving, then blocks, of each stage in turn."""
        last, made, layers = sum(self.depths) - 1, 0, list[Module]()
        for i, (depth, width) in enumerate(zip(self.depths[:count], self.widths[:count], strict=True)):
            if i == 0:
                layers.append(nn.Sequential(PatchConv(self.in_channels, width, 4), ChannelNorm(width, eps=_EPS)))
            else:
                layers.append(nn.Sequential(ChannelNorm(self.widths[i - 1], eps=_EPS), PatchConv(self.widths[i - 1], width, 2)))
            drops = [self.stochastic_depth_prob * (made + k) / max(last, 1) for k in range(depth)]
            layers.append(nn.Sequential(*(Block(width, self.layer_scale, drop) for drop in drops)))
            made += depth
        return layers

    def _stage(self, x: Tensor, i: int) -> Tensor:
        out: Tensor = self.features[2 * i + 1](self.features[2 * i](x))
        return out

    def _absent(self) -> list[str]:
        return [f"features.{i}." for i in range(len(self.features), 2 * len(self.widths))]


def _fraction(op: str, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 <= value <= 1.0:
        raise ArgumentError(f"{op}: expected {name} in [0, 1], got {value!r}; pass e.g. {name}=0.1")
    return float(value)


def convnext_tiny(*, weights: Weights = None, in_channels: int = 3, **settings: Any) -> ConvNeXtEncoder:
    """A ConvNeXt-tiny encoder; ``weights`` and ``in_channels`` as in :func:`resnet18`, the rest as in :class:`ConvNeXtEncoder`.

    Examples
    --------
    >>> import neurenix as nx
    >>> encoder = nx.multiscale.convnext_tiny(out_indices=[0, 1])
    >>> encoder.out_channels, encoder.strides
    ([96, 192], [4, 8])
    """
    encoder = ConvNeXtEncoder(in_channels, **settings)
    encoder._fill_from(weights)
    return encoder
