"""The U-Net."""

from __future__ import annotations

from itertools import pairwise

from neurenix import nn, ops
from neurenix.checkpoint import segment
from neurenix.multiscale import _checks
from neurenix.multiscale._blocks import Level, activate, check_activation, check_norm
from neurenix.multiscale._memory import Memory
from neurenix.nn import functional
from neurenix.nn.module import Module
from neurenix.ops._arguments import integer
from neurenix.tensor import Tensor

Features = dict[str, list[Tensor]]


class UNet(Module):
    """Encoder and decoder with skip connections between levels of the same size.

    Every level of the encoder is two 3x3 convolutions, each normalised and rectified; between levels a 2x2 max-pool halves
    the image (odd sizes round up, so no row is dropped). The bottleneck has twice the last level's channels. Every level of
    the decoder doubles the image by a 2x2 transposed convolution, cropped at the bottom and right to the skip's size, puts the
    skip before it, and convolves twice. A 1x1 convolution gives the output, of the input's size whatever that is.

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

    Raises
    ------
    ArgumentError
        If a number is not an integer of at least 1, or ``norm`` or ``final_activation`` is none of these.

    References
    ----------
    .. [1] O. Ronneberger, P. Fischer and T. Brox, "U-Net: convolutional networks for biomedical image segmentation", MICCAI 2015.

    Examples
    --------
    >>> import neurenix as nx
    >>> model = nx.multiscale.UNet(3, 1, features=[4, 8])
    >>> model(nx.Tensor(shape=(1, 3, 33, 50))).shape
    (1, 1, 33, 50)
    >>> [f.shape for f in model.get_encoder_features()]
    [(1, 4, 33, 50), (1, 8, 17, 25), (1, 16, 9, 13)]
    """

    _makes_segments = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        features: list[int] = [64, 128, 256, 512],  # noqa: B006 - the API document's default; copied
        *,
        norm: str | None = "batch",
        final_activation: str | None = "sigmoid",
    ) -> None:
        self.in_channels = integer("UNet", "in_channels", in_channels, 1)
        self.out_channels = integer("UNet", "out_channels", out_channels, 1)
        self.features = _checks.integers("UNet", "features", features)
        self.norm, self.final_activation = check_norm("UNet", norm), check_activation("UNet", final_activation)
        widths = [*self.features, 2 * self.features[-1]]
        self.encoder = nn.ModuleList([Level(a, b, norm) for a, b in zip([self.in_channels, *widths], widths[:-1], strict=False)])
        self.bottleneck = Level(widths[-2], widths[-1], norm)
        self.ups = nn.ModuleList([nn.ConvTranspose2d(b, a, kernel_size=2, stride=2) for a, b in pairwise(widths)])
        self.decoder = nn.ModuleList([Level(2 * a, a, norm) for a in self.features])
        self.head = nn.Conv2d(widths[0], self.out_channels, kernel_size=1)
        self._memory = Memory()

    def forward(self, x: Tensor) -> Tensor:
        """Give (N, out_channels, H, W) of (N, in_channels, H, W)."""
        x = _checks.float_map("UNet", x, self.in_channels)
        self._memory.begin(self)
        features = self._compute(x)
        out = activate(self.head(features["decoder"][0]), self.final_activation)
        self._memory.end(self, x, features)
        return out

    def _compute(self, x: Tensor) -> Features:
        encoded: list[Tensor] = []
        for i in range(len(self.features) + 1):
            x = segment(self._encode, x, i)
            encoded.append(x)
        decoded: list[Tensor] = []
        for i in reversed(range(len(self.features))):
            x = segment(self._decode, x, encoded[i], i)
            decoded.append(x)
        return {"encoder": encoded, "decoder": decoded[::-1]}

    def _encode(self, x: Tensor, i: int) -> Tensor:
        """One level of the encoder, or the bottleneck: halve what the level before gave, convolve."""
        level = self.encoder[i] if i < len(self.features) else self.bottleneck
        out: Tensor = level(x if i == 0 else half(x))
        return out

    def _decode(self, x: Tensor, skip: Tensor, i: int) -> Tensor:
        """One level of the decoder: up, crop to the skip, put the skip before it, convolve."""
        h, w = skip.shape[2:]
        up = self.ups[i](x)
        if up.shape[2:] != (h, w):
            up = up[:, :, :h, :w]
        out: Tensor = self.decoder[i](ops.cat([skip, up], dim=1))
        return out

    def get_encoder_features(self) -> list[Tensor]:
        """Maps of the last forward pass: each level's, finest first, then the bottleneck's.

        Raises
        ------
        GraphError
            Before any forward pass, or after the weights changed.

        Notes
        -----
        Recorded passes keep their maps, still in the graph. A pass under ``no_grad`` keeps its input only, and the first call
        computes the maps again; from then on every pass keeps them. The next forward pass drops them.
        """
        return self._memory.get(self, "get_encoder_features", "encoder", self._compute)

    def get_decoder_features(self) -> list[Tensor]:
        """Maps of the last forward pass: each decoder level's, finest first; see :meth:`get_encoder_features`."""
        return self._memory.get(self, "get_decoder_features", "decoder", self._compute)


def half(x: Tensor) -> Tensor:
    """Half the size by 2x2 maxima, odd sizes rounded up."""
    out: Tensor = functional.max_pool2d(x, 2, ceil_mode=True)
    return out
