"""An encoder of plain convolutions that halve the image themselves."""

from __future__ import annotations

from collections.abc import Sequence

from neurenix import nn
from neurenix.multiscale import _checks
from neurenix.multiscale._blocks import check_norm
from neurenix.multiscale._encoder import Encoder
from neurenix.nn.conv_norm_act import ACTIVATIONS
from neurenix.ops._arguments import choice, integer
from neurenix.tensor import Tensor


class PlainConvEncoder(Encoder):
    """Stages of 3x3 convolutions, each normalised and rectified; the first of a stage halves the image by its stride.

    The encoder of nnU-Net [1], whose U-Net is ``UNet(1, 2, encoder=PlainConvEncoder(1), norm="instance",
    activation="leaky_relu", final_activation=None)``; :func:`neurenix.export.load_torch` takes its weights.

    Parameters
    ----------
    in_channels : int
        Channels of the image.
    features : list of int
        Channels of each stage.
    convs : int
        Convolutions of each stage.
    norm : {"batch", "group", "instance"} or None
        Normalisation after each convolution.
    activation : {"relu", "leaky_relu", "silu", "gelu"}
        What follows.
    out_indices : sequence of int, optional
        Which stages' maps to give, rising; all if ``None``. Stages behind the last one are not built.

    Attributes
    ----------
    out_channels, strides : list of int
        Of each map that is given: the first stage has the image's size, each further one half the size before, rounded up.

    Raises
    ------
    ArgumentError
        If an argument is none of these.

    References
    ----------
    .. [1] F. Isensee et al., "nnU-Net: a self-configuring method for deep learning-based biomedical image segmentation", Nature
       Methods 18, 2021.

    Examples
    --------
    >>> import neurenix as nx
    >>> encoder = nx.multiscale.PlainConvEncoder(1, [4, 8, 8])
    >>> [f.shape for f in encoder(nx.Tensor(shape=(1, 1, 33, 50)))]
    [(1, 4, 33, 50), (1, 8, 17, 25), (1, 8, 9, 13)]
    """

    def __init__(
        self,
        in_channels: int,
        features: Sequence[int] = (32, 64, 128, 256, 512, 512),
        convs: int = 2,
        *,
        norm: str | None = "instance",
        activation: str = "leaky_relu",
        out_indices: Sequence[int] | None = None,
    ) -> None:
        op = "PlainConvEncoder"
        self.in_channels = integer(op, "in_channels", in_channels, 1)
        self.features = _checks.integers(op, "features", features)
        self.convs, self.norm = integer(op, "convs", convs, 1), check_norm(op, norm)
        self.activation = choice(op, "activation", activation, tuple(ACTIVATIONS))
        count = self._choose(out_indices, self.features, [1 << i for i in range(len(self.features))])
        self.stages = nn.ModuleList([self._made(i) for i in range(count)])

    def _made(self, i: int) -> nn.Sequential:
        width = self.features[i]
        before = self.in_channels if i == 0 else self.features[i - 1]
        sizes = [(before, 1 if i == 0 else 2)] + [(width, 1)] * (self.convs - 1)
        return nn.Sequential(*(nn.ConvNormAct(c, width, stride=s, norm=self.norm, activation=self.activation) for c, s in sizes))

    def _stage(self, x: Tensor, i: int) -> Tensor:
        out: Tensor = self.stages[i](x)
        return out
