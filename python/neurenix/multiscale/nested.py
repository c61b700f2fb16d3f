"""The nested U-Net."""

from __future__ import annotations

from neurenix import nn, ops
from neurenix.checkpoint import segment
from neurenix.multiscale import _checks
from neurenix.multiscale._blocks import Level, check_activation, check_norm, fitted, outputs, scaled_down
from neurenix.multiscale.unet import half
from neurenix.nn.module import Module
from neurenix.ops._arguments import integer
from neurenix.tensor import Tensor


class UNetPlusPlus(Module):
    """The nested U-Net: between encoder and decoder stand nodes that see every map of their size before them.

    Node ``X[i, j]`` of level ``i`` takes all nodes before it on its level and, doubled by a 2x2 transposed convolution, the
    node ``X[i + 1, j - 1]`` of the level below. ``X[i, 0]`` is the encoder: 2x2 max-pools, odd sizes rounded up.

    For ``L = len(features)``, ``widths = features + [2 * features[-1]]``, sizes ``H_i = ceil(H / 2**i)``:

    | node                | input channels                  | output                   |
    | ------------------- | ------------------------------- | ------------------------ |
    | ``X[0, 0]``         | in_channels                     | (N, widths[0], H, W)     |
    | ``X[i, 0]``, i >= 1 | widths[i - 1]                   | (N, widths[i], H_i, W_i) |
    | ``X[i, j]``, j >= 1 | (j + 1) * widths[i], i + j <= L | (N, widths[i], H_i, W_i) |
    | output              | widths[0], of ``X[0, L]``       | (N, out_channels, H, W)  |

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of input and output.
    features : list of int
        Channels of each level, finest first; the coarsest has twice the last.
    norm : {"batch", "group", "instance"} or None
        Normalisation after each 3x3 convolution; "group" or "instance" for batches of one or two images.
    final_activation : {"sigmoid", "softmax"} or None
        "sigmoid" gives a probability for each class by itself, "softmax" one for all classes together, ``None`` logits.
    deep_supervision : bool
        Give a list of outputs, each (N, out_channels, H, W): of ``X[0, L]`` first, which is what the model without
        supervision gives, then of ``X[0, L - 1]`` down to ``X[0, 1]``. Train on all of them; any one alone, or their mean,
        is a prediction ([1]: the "fast" and "accurate" modes).

    Raises
    ------
    ArgumentError
        If a number is not an integer of at least 1, ``norm`` or ``final_activation`` is none of these or a flag is no bool.

    Notes
    -----
    With two 3x3 convolutions of bias and without normalisation, ``features=[32, 64, 128, 256]`` has the 9.04 million
    parameters that the paper states.

    References
    ----------
    .. [1] Z. Zhou et al., "UNet++: a nested U-Net architecture for medical image segmentation", DLMIA 2018.

    Examples
    --------
    >>> import neurenix as nx
    >>> model = nx.multiscale.UNetPlusPlus(3, 1, features=[4, 8], deep_supervision=True)
    >>> [y.shape for y in model(nx.Tensor(shape=(1, 3, 33, 50)))]
    [(1, 1, 33, 50), (1, 1, 33, 50)]
    """

    _makes_segments = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        features: list[int] = [64, 128, 256, 512],  # noqa: B006 - as UNet's; copied
        *,
        norm: str | None = "batch",
        final_activation: str | None = "sigmoid",
        deep_supervision: bool = False,
    ) -> None:
        op = "UNetPlusPlus"
        self.in_channels = integer(op, "in_channels", in_channels, 1)
        self.out_channels = integer(op, "out_channels", out_channels, 1)
        self.features = _checks.integers(op, "features", features)
        self.norm, self.final_activation = check_norm(op, norm), check_activation(op, final_activation)
        self.deep_supervision = _checks.flag(op, "deep_supervision", deep_supervision)
        widths, depth = [*self.features, 2 * self.features[-1]], len(self.features)
        inner = [(i, j) for j in range(1, depth + 1) for i in range(depth + 1 - j)]
        self.encoder = nn.ModuleList([Level(a, b, norm) for a, b in zip([self.in_channels, *widths], widths, strict=False)])
        self.ups = nn.ModuleDict({f"{i}_{j}": nn.ConvTranspose2d(widths[i + 1], widths[i], kernel_size=2, stride=2) for i, j in inner})
        self.nodes = nn.ModuleDict({f"{i}_{j}": Level((j + 1) * widths[i], widths[i], norm) for i, j in inner})
        heads = depth if self.deep_supervision else 1
        self.heads = nn.ModuleList([nn.Conv2d(widths[0], self.out_channels, kernel_size=1) for _ in range(heads)])

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """Give (N, out_channels, H, W) of (N, in_channels, H, W), or with deep supervision a list of such."""
        x = _checks.float_map("UNetPlusPlus", x, self.in_channels)
        depth = len(self.features)
        rows: list[list[Tensor]] = []
        for i in range(depth + 1):
            x = segment(self._encode, x, i)
            rows.append([x])
        for j in range(1, depth + 1):
            for i in range(depth + 1 - j):
                rows[i].append(segment(self._node, list(rows[i]), rows[i + 1][j - 1], i, j))
        found = outputs(rows[0][: -len(self.heads) - 1 : -1], list(self.heads), rows[0][0], self.final_activation)
        return found if self.deep_supervision else found[0]

    def _encode(self, x: Tensor, i: int) -> Tensor:
        out: Tensor = self.encoder[i](x if i == 0 else half(x))
        return out

    def _node(self, before: list[Tensor], below: Tensor, i: int, j: int) -> Tensor:
        """One inner node: what stands before it on its level, then the node below, doubled and cropped to the level's size."""
        up = fitted(self.ups[f"{i}_{j}"](below), scaled_down(before[0], 1))
        out: Tensor = self.nodes[f"{i}_{j}"](ops.cat([*before, up], dim=1))
        return out
