"""The U-Net."""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import Any, Final

from neurenix import nn
from neurenix.checkpoint import is_checkpointing, segment
from neurenix.errors import ArgumentError
from neurenix.multiscale import _checks, _given_encoder
from neurenix.multiscale._blocks import (
    check_activation,
    check_norm,
    fitted,
    gives_halves,
    outputs,
    scaled_down,
    through,
    with_beside,
    with_halves,
)
from neurenix.multiscale._memory import Memory
from neurenix.multiscale.blur import MaxBlurPool
from neurenix.multiscale.gates import AttentionGate
from neurenix.multiscale.residual import level
from neurenix.nn import functional
from neurenix.nn.conv_norm_act import ACTIVATIONS
from neurenix.nn.module import Module
from neurenix.ops._arguments import choice, integer
from neurenix.tensor import Tensor

Features = dict[str, list[Tensor]]
FEATURES: Final = [64, 128, 256, 512]  # the default itself: lists that are given are others, whatever they hold


class UNet(Module):
    """Encoder and decoder with skip connections between levels of the same size.

    Every level of the encoder is two 3x3 convolutions, each normalised and rectified; between levels a 2x2 max-pool halves
    the image (odd sizes round up, so no row is dropped). The bottleneck has twice the last level's channels. Every level of
    the decoder doubles the image by a 2x2 transposed convolution, cropped at the bottom and right to the skip's size, puts the
    skip before it, and convolves twice. A 1x1 convolution gives the output, of the input's size whatever that is.

    For ``widths = features + [2 * features[-1]]`` and sizes ``H_i = ceil(H / 2**i)``:

    | part           | from                                      | to                        |
    | -------------- | ----------------------------------------- | ------------------------- |
    | ``encoder[i]`` | (N, widths[i - 1], H_i, W_i); in_channels | (N, widths[i], H_i, W_i)  |
    | ``bottleneck`` | (N, widths[-2], H_L, W_L)                 | (N, widths[-1], H_L, W_L) |
    | ``ups[i]``     | (N, widths[i + 1], H_(i+1), W_(i+1))      | (N, widths[i], H_i, W_i)  |
    | ``decoder[i]`` | (N, 2 * widths[i], H_i, W_i)              | (N, widths[i], H_i, W_i)  |
    | ``head``       | (N, widths[0], H, W)                      | (N, out_channels, H, W)   |

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of input and output.
    features : list of int
        Channels of each level, finest first.
    norm : {"batch", "group", "instance"} or None
        Normalisation after each 3x3 convolution; "group" or "instance" for batches of one or two images.
    final_activation : {"sigmoid", "softmax"} or None
        "sigmoid" gives a probability for each class by itself, for ``BCELoss``; "softmax" one for all classes together;
        ``None`` the logits.
    attention : bool
        Weigh the places of each skip by an :class:`AttentionGate`, whose signal is the coarser level [2].
    residual : bool
        Levels are residual blocks (:class:`ResidualBlock`) [3].
    squeeze_excitation : bool
        Weigh the channels of each level by :class:`SqueezeExcitation` [4].
    deep_supervision : bool
        Give a list of outputs, each (N, out_channels, H, W): that of the finest level, which is what the model without
        supervision gives, then those of every coarser level of the decoder by a 1x1 convolution each, resized bilinearly.
    downsample : {"max", "blur"}
        Between levels: a 2x2 max-pool, or maxima of 2x2 windows at every place, blurred before every other one is taken,
        so that the result moves with the image [5].
    encoder : Module, optional
        Takes the image and gives a list of maps, finest first, instead of levels of our own; it says their channels in
        ``encoder.out_channels`` and by how much each is smaller than the image in ``encoder.strides`` (without it: 1, 2, 4,
        ...). ``features`` are then the channels of the decoder, finest first: one for each map but the coarsest, and before
        these one for each doubling that the finest map is away from the image. Left at its default, they follow the maps.
    upsample : {"transposed", "nearest", "bilinear"}
        How the decoder enlarges: by a transposed convolution that also brings the channels to the level's, or by resizing, whose
        channels the level's first convolution takes as they are.
    activation : {"relu", "leaky_relu", "silu", "gelu"}
        After each 3x3 convolution of our own levels.

    Raises
    ------
    ArgumentError
        If a number is not an integer of at least 1, a choice is none of these, a flag is no bool, or the encoder does not say
        its channels.

    References
    ----------
    .. [1] O. Ronneberger, P. Fischer and T. Brox, "U-Net: convolutional networks for biomedical image segmentation", MICCAI 2015.
    .. [2] O. Oktay et al., "Attention U-Net: learning where to look for the pancreas", MIDL 2018.
    .. [3] Z. Zhang, Q. Liu and Y. Wang, "Road extraction by deep residual U-Net", IEEE GRSL 15, 2018.
    .. [4] J. Hu, L. Shen and G. Sun, "Squeeze-and-excitation networks", CVPR 2018.
    .. [5] R. Zhang, "Making convolutional networks shift-invariant again", ICML 2019.

    Examples
    --------
    >>> import neurenix as nx
    >>> model = nx.multiscale.UNet(3, 1, features=[4, 8])
    >>> model(nx.Tensor(shape=(1, 3, 33, 50))).shape
    (1, 1, 33, 50)
    >>> [f.shape for f in model.get_encoder_features()]
    [(1, 4, 33, 50), (1, 8, 17, 25), (1, 16, 9, 13)]
    >>> supervised = nx.multiscale.UNet(3, 1, features=[4, 8], attention=True, deep_supervision=True)
    >>> [y.shape for y in supervised(nx.Tensor(shape=(1, 3, 33, 50)))]
    [(1, 1, 33, 50), (1, 1, 33, 50)]
    """

    _makes_segments = True
    encoder: Any  # a list of levels, or the module that was given

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        features: list[int] = FEATURES,
        *,
        norm: str | None = "batch",
        final_activation: str | None = "sigmoid",
        attention: bool = False,
        residual: bool = False,
        squeeze_excitation: bool = False,
        deep_supervision: bool = False,
        downsample: str = "max",
        encoder: Module | None = None,
        upsample: str = "transposed",
        activation: str = "relu",
    ) -> None:
        self.in_channels = integer("UNet", "in_channels", in_channels, 1)
        self.out_channels = integer("UNet", "out_channels", out_channels, 1)
        self.features = _checks.integers("UNet", "features", features)
        self.norm, self.final_activation = check_norm("UNet", norm), check_activation("UNet", final_activation)
        self.attention = _checks.flag("UNet", "attention", attention)
        self.residual = _checks.flag("UNet", "residual", residual)
        self.squeeze_excitation = _checks.flag("UNet", "squeeze_excitation", squeeze_excitation)
        self.deep_supervision = _checks.flag("UNet", "deep_supervision", deep_supervision)
        self.downsample = choice("UNet", "downsample", downsample, ("max", "blur"))
        self.upsample = choice("UNet", "upsample", upsample, ("transposed", "nearest", "bilinear"))
        self.activation = choice("UNet", "activation", activation, tuple(ACTIVATIONS))
        widths, skips, self.steps = self._make_encoder(encoder, features is not FEATURES)
        self._make_decoder(widths, skips)
        self.head = nn.Conv2d(widths[0], self.out_channels, kernel_size=1)
        if attention:
            gates = [AttentionGate(skip, below) if skip else nn.Identity() for skip, below in zip(skips, widths[1:], strict=True)]
            self.gates = nn.ModuleList(gates)
        if deep_supervision:
            self.heads = nn.ModuleList([nn.Conv2d(a, self.out_channels, kernel_size=1) for a in widths[1:-1]])
        self._memory = Memory()

    def _level(self, in_channels: int, out_channels: int) -> Module:
        return level(in_channels, out_channels, self.norm, self.residual, self.squeeze_excitation, self.activation)

    def _make_decoder(self, widths: list[int], skips: list[int]) -> None:
        """What enlarges, and the levels: resizing keeps the channels, a transposed convolution brings them to the level's."""
        below = list(zip(pairwise(widths), self.steps, strict=True))
        if self.upsample == "transposed":
            self.ups = nn.ModuleList([nn.ConvTranspose2d(b, a, n, stride=n) for (a, b), n in below])
        else:
            self.ups = nn.ModuleList([nn.Upsample(scale_factor=n, mode=self.upsample) for _, n in below])
        self.skips = skips
        enlarged = widths[:-1] if self.upsample == "transposed" else widths[1:]
        self.decoder = nn.ModuleList([self._level(s + e, a) for s, e, a in zip(skips, enlarged, widths, strict=False)])

    def _make_encoder(self, given: Module | None, asked: bool) -> tuple[list[int], list[int], list[int]]:
        """Make the encoder or take the one given: channels of the decoder's levels and what is below, of the skips; steps."""
        if given is not None:
            if self.downsample != "max":
                raise ArgumentError(f"UNet: expected downsample='max' with an encoder, got {self.downsample!r}; the encoder has its own")
            planned = _given_encoder.plan("UNet", given)
            self.encoder = given
            self.features = _given_encoder.widths("UNet", planned, self.features if asked else None)
            return [*self.features, planned.bottom], planned.skips, planned.steps
        widths = [*self.features, 2 * self.features[-1]]
        self.encoder = nn.ModuleList([self._level(a, b) for a, b in zip([self.in_channels, *widths], widths[:-1], strict=False)])
        self.bottleneck = self._level(widths[-2], widths[-1])
        if self.downsample == "blur":
            self.pools = nn.ModuleList([MaxBlurPool(a) for a in self.features])
        return widths, widths[:-1], [2] * len(self.features)

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """Give (N, out_channels, H, W) of (N, in_channels, H, W), or with deep supervision a list of such."""
        x = _checks.float_map("UNet", x, self.in_channels)
        self._memory.begin(self)
        features = self._compute(x, self._memory.keeps)
        heads = [self.head, *self.heads] if self.deep_supervision else [self.head]
        found = outputs(features["decoder"][: len(heads)], heads, x, self.final_activation)
        self._memory.end(self, x, features)
        return found if self.deep_supervision else found[0]

    def _compute(self, x: Tensor, kept: bool = True) -> Features:
        """All maps; without ``kept`` those that heads take, the others are let go as soon as they have been read."""
        encoded = self._encoded(x)
        finer = len(self.features) + 1 - len(encoded)  # levels of the decoder for which a given encoder has no map
        skips: list[Tensor | None] = [*[None] * finer, *encoded]
        sizes = [scaled_down(x, prod(self.steps[:i])) for i in range(finer)] + [scaled_down(m, 1) for m in encoded]
        if not kept:
            encoded = []
        heads = len(self.heads) + 1 if self.deep_supervision else 1
        at: list[Any] = [skips.pop()]
        decoded: list[Tensor] = []
        for i in reversed(range(len(self.features))):
            at = [segment(self._decode, [at.pop(), skips.pop()], sizes[i], i)]
            if kept or i < heads:
                decoded.append(at[0])
        return {"encoder": encoded, "decoder": decoded[::-1]}

    def _encoded(self, x: Tensor) -> list[Tensor]:
        """Maps of the encoder, finest first, the bottleneck's last."""
        if not hasattr(self, "bottleneck"):
            whole = is_checkpointing() and not self.encoder._has_segments()
            return _given_encoder.maps("UNet", self.encoder, segment(self.encoder, x) if whole else self.encoder(x), x)
        found: list[Tensor] = []
        below: Tensor | None = None  # maxima that a level gave with its map
        for i, block in enumerate([*self.encoder, self.bottleneck]):
            if self.downsample == "max" and block is not self.bottleneck and gives_halves(block):
                x, below = with_halves(block, self._reduced(x, below, i))
            else:
                x, below = segment(self._encode, x, below, i), None
            found.append(x)
        return found

    def _encode(self, x: Tensor, below: Tensor | None, i: int) -> Tensor:
        """One level of the encoder, or the bottleneck."""
        out: Tensor = (self.encoder[i] if i < len(self.features) else self.bottleneck)(self._reduced(x, below, i))
        return out

    def _reduced(self, x: Tensor, below: Tensor | None, i: int) -> Tensor:
        """What a level of the encoder reads: half of what the level before gave."""
        if i == 0:
            return x
        if below is None:
            below = half(x) if self.downsample == "max" else self.pools[i - 1](x)
        return below

    def _decode(self, maps: list[Any], size: tuple[int, int], i: int) -> Tensor:
        """One level of the decoder, of the coarser map and the skip, if any: up, to the skip's size, the skip before it, convolve."""
        skip = maps.pop()
        up: Any = self.ups[i]
        if skip is None:
            return through(self.decoder[i], [fitted(up(maps.pop()), size)])
        first = [self.gates[i](skip, maps[0]) if self.attention else skip]
        del skip
        return with_beside(self.decoder[i], first, lambda: fitted(up(maps.pop()), size), getattr(up, "out_channels", None))

    def get_encoder_features(self) -> list[Tensor]:
        """Maps of the last forward pass: each level's, finest first, then the bottleneck's.

        Raises
        ------
        GraphError
            Before any forward pass, or after the weights changed.

        Notes
        -----
        A pass keeps its input only: the first call computes the maps again, recorded where the pass was, so that a loss may use them.
        From then on every pass keeps its maps until the next one.

        Examples
        --------
        >>> import neurenix as nx
        >>> model = nx.multiscale.UNet(1, 1, features=[4, 8])
        >>> y = model(nx.zeros(1, 1, 16, 16))
        >>> [f.shape for f in model.get_encoder_features()]
        [(1, 4, 16, 16), (1, 8, 8, 8), (1, 16, 4, 4)]
        """
        return self._memory.get(self, "get_encoder_features", "encoder", self._compute)

    def get_decoder_features(self) -> list[Tensor]:
        """Maps of the last forward pass: each decoder level's, finest first; see :meth:`get_encoder_features`.

        Raises
        ------
        GraphError
            Before any forward pass, or after the weights changed.

        Examples
        --------
        >>> import neurenix as nx
        >>> model = nx.multiscale.UNet(1, 1, features=[4, 8])
        >>> y = model(nx.zeros(1, 1, 16, 16))
        >>> [f.shape for f in model.get_decoder_features()]
        [(1, 4, 16, 16), (1, 8, 8, 8)]
        """
        return self._memory.get(self, "get_decoder_features", "decoder", self._compute)


def half(x: Tensor) -> Tensor:
    """Half the size by 2x2 maxima, odd sizes rounded up."""
    out: Tensor = functional.max_pool2d(x, 2, ceil_mode=True)
    return out
