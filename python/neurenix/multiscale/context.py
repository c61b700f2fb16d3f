"""Context: what lies around a pixel, at several distances at once, beside the pixel itself."""

from __future__ import annotations

from collections.abc import Sequence

from neurenix import nn, ops
from neurenix.errors import ArgumentError
from neurenix.multiscale import _checks
from neurenix.multiscale._blocks import check_norm
from neurenix.nn import functional
from neurenix.nn.conv_norm_act import normalization
from neurenix.nn.module import Module
from neurenix.ops._arguments import integer
from neurenix.ops.resize_like import resize_like, spread_like
from neurenix.tensor import Tensor


class ASPP(Module):
    """Atrous spatial pyramid pooling: convolutions of several dilations and the whole map's average, side by side.

    State names are torchvision's, whose ``DeepLabHead`` begins with this.

    | step          | shape        | of                                                              |
    | ------------- | ------------ | --------------------------------------------------------------- |
    | ``convs[0]``  | (N, O, H, W) | 1x1 convolution, norm, ReLU                                     |
    | ``convs[i]``  | (N, O, H, W) | 3x3 convolution of dilation ``atrous_rates[i - 1]``, norm, ReLU |
    | ``convs[-1]`` | (N, O, H, W) | the average, 1x1 convolution, norm, ReLU, everywhere the same   |
    | ``project``   | (N, O, H, W) | 1x1 convolution of all of these, norm, ReLU, dropout            |

    Parameters
    ----------
    in_channels : int
        Channels of the map.
    atrous_rates : sequence of int
        Dilations; 12, 24, 36 for a map of 1/8 of the image, half of these for 1/16.
    out_channels : int
        Channels O.
    norm : {"batch", "group", "instance"} or None
        Normalisation after each convolution.
    dropout : float
        Share of the result's values that are dropped in training.

    Raises
    ------
    ArgumentError
        If a number is not an integer of at least 1, ``norm`` is none of these, or ``dropout`` not from 0 to 1.

    References
    ----------
    .. [1] L.-C. Chen et al., "Rethinking atrous convolution for semantic image segmentation", 2017.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.multiscale.ASPP(8, [2, 4], 16, norm="group")(nx.Tensor(shape=(1, 8, 9, 7))).shape
    (1, 16, 9, 7)
    """

    def __init__(
        self, in_channels: int, atrous_rates: Sequence[int], out_channels: int = 256, *, norm: str | None = "batch", dropout: float = 0.5
    ) -> None:
        self.in_channels = inner = integer("ASPP", "in_channels", in_channels, 1)
        self.atrous_rates = _checks.integers("ASPP", "atrous_rates", atrous_rates)
        self.out_channels = outer = integer("ASPP", "out_channels", out_channels, 1)
        self.norm = check_norm("ASPP", norm)
        self.dropout = _checks.probability("ASPP", "dropout", dropout)
        branches: list[Module] = [nn.ConvNormAct(inner, outer, 1, norm=norm)]
        branches += [nn.ConvNormAct(inner, outer, dilation=rate, norm=norm) for rate in self.atrous_rates]
        branches += [nn.Sequential(nn.AdaptiveAvgPool2d(1), *nn.ConvNormAct(inner, outer, 1, norm=norm))]
        self.convs = nn.ModuleList(branches)
        self.project = nn.Sequential(*nn.ConvNormAct(len(branches) * outer, outer, 1, norm=norm), nn.Dropout(self.dropout))

    def forward(self, x: Tensor) -> Tensor:
        """Give (N, out_channels, H, W) of (N, in_channels, H, W)."""
        x = _checks.float_map("ASPP", x, self.in_channels)
        found = [conv(x) for conv in self.convs]
        found[-1] = spread_like(found[-1], found[0])
        out: Tensor = self.project(ops.cat(found, dim=1))
        return out


class SPPF(Module):
    """Fast spatial pyramid pooling: one max-pool three times, whose windows grow to 5, 9 and 13 pixels for a kernel of 5.

    | step    | shape                      | of                                            |
    | ------- | -------------------------- | --------------------------------------------- |
    | ``cv1`` | (N, C // 2, H, W)          | 1x1 convolution, norm, SiLU                   |
    | pools   | (N, C // 2, H, W), 3 times | each the largest of windows of the one before |
    | ``cv2`` | (N, O, H, W)               | 1x1 convolution of all four, norm, SiLU       |

    Parameters
    ----------
    in_channels, out_channels : int
        Channels C and O.
    kernel_size : int
        Side of the window, odd.
    norm : {"batch", "group", "instance"} or None
        Normalisation after each convolution.

    Raises
    ------
    ArgumentError
        If a number is not an integer of at least 1, the kernel is even, or ``norm`` is none of these.

    References
    ----------
    .. [1] G. Jocher et al., "YOLOv5", 2020, https://doi.org/10.5281/zenodo.3908559.
    .. [2] K. He et al., "Spatial pyramid pooling in deep convolutional networks for visual recognition", ECCV 2014.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.multiscale.SPPF(8, 16)(nx.Tensor(shape=(1, 8, 9, 7))).shape
    (1, 16, 9, 7)
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 5, *, norm: str | None = "batch") -> None:
        self.in_channels = integer("SPPF", "in_channels", in_channels, 1)
        self.out_channels = integer("SPPF", "out_channels", out_channels, 1)
        self.kernel_size = integer("SPPF", "kernel_size", kernel_size, 1)
        if self.kernel_size % 2 == 0:
            raise ArgumentError(f"SPPF: expected kernel_size as an odd number, got {kernel_size}; pass e.g. {kernel_size + 1}")
        self.norm, width = check_norm("SPPF", norm), max(1, self.in_channels // 2)
        self.cv1 = nn.ConvNormAct(self.in_channels, width, 1, norm=norm, activation="silu")
        self.cv2 = nn.ConvNormAct(4 * width, self.out_channels, 1, norm=norm, activation="silu")

    def forward(self, x: Tensor) -> Tensor:
        """Give (N, out_channels, H, W) of (N, in_channels, H, W)."""
        found = [self.cv1(_checks.float_map("SPPF", x, self.in_channels))]
        for _ in range(3):
            found.append(functional.max_pool2d(found[-1], self.kernel_size, 1, self.kernel_size // 2))
        out: Tensor = self.cv2(ops.cat(found, dim=1))
        return out


class PPM(Module):
    """UPerNet's pyramid pooling: averages over coarse grids beside the map itself, mixed by a 3x3 convolution.

    :class:`PyramidPooling` is PSPNet's, with narrow branches and a 1x1 convolution at the end.

    | step              | shape            | of                                                                                   |
    | ----------------- | ---------------- | ------------------------------------------------------------------------------------ |
    | ``reductions[i]`` | (N, O, p_i, p_i) | averages over ``p_i`` by ``p_i`` bins, 1x1 convolution, norm (of several bins), ReLU |
    | resized           | (N, O, H, W)     | bilinearly                                                                           |
    | ``bottleneck``    | (N, O, H, W)     | 3x3 convolution of the map and all of these, norm, ReLU                              |

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the map, and O of every branch and the result.
    pool_sizes : sequence of int
        Bins ``p_i`` along each axis.
    norm : {"batch", "group", "instance"} or None
        Normalisation after each convolution.

    Raises
    ------
    ArgumentError
        If a number is not an integer of at least 1, or ``norm`` is none of these.

    References
    ----------
    .. [1] T. Xiao et al., "Unified perceptual parsing for scene understanding", ECCV 2018.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.multiscale.PPM(8, 4)(nx.Tensor(shape=(1, 8, 9, 7))).shape
    (1, 4, 9, 7)
    """

    def __init__(
        self, in_channels: int, out_channels: int, pool_sizes: Sequence[int] = (1, 2, 3, 6), *, norm: str | None = "batch"
    ) -> None:
        self.in_channels = inner = integer("PPM", "in_channels", in_channels, 1)
        self.out_channels = outer = integer("PPM", "out_channels", out_channels, 1)
        self.pool_sizes = _checks.integers("PPM", "pool_sizes", pool_sizes)
        self.norm = check_norm("PPM", norm)
        self.reductions = nn.ModuleList([nn.ConvNormAct(inner, outer, 1, norm=norm if p > 1 else None) for p in self.pool_sizes])
        self.bottleneck = nn.ConvNormAct(inner + outer * len(self.pool_sizes), outer, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        """Give (N, out_channels, H, W) of (N, in_channels, H, W)."""
        x = _checks.float_map("PPM", x, self.in_channels)
        averages = ops.pyramid_averages2d(x, self.pool_sizes)
        found = [reduce(y) for y, reduce in zip(averages, self.reductions, strict=True)]
        out: Tensor = self.bottleneck(ops.cat([x, *(resize_like(y, x, "bilinear") for y in found)], dim=1))
        return out


class DAPPM(Module):
    """Deep aggregation pyramid pooling: averages over ever larger windows, each convolved together with the one before.

    Every convolution comes behind its norm and ReLU. Padding counts in no average.

    | step                 | shape            | of                                                                                  |
    | -------------------- | ---------------- | ----------------------------------------------------------------------------------- |
    | ``scales[0]``        | (N, B, H, W)     | 1x1 convolution of the map: ``y_0``                                                 |
    | ``scales[i]``        | (N, B, H_i, W_i) | 1x1 convolution of averages over 5, 9, 17 pixels, every 2nd, 4th, 8th, and over all |
    | ``processes[i - 1]`` | (N, B, H, W)     | 3x3 convolution of that, resized bilinearly, plus ``y_(i-1)``: ``y_i``              |
    | ``compression``      | (N, O, H, W)     | 1x1 convolution of ``y_0`` to ``y_4``                                               |
    | ``shortcut``         | (N, O, H, W)     | 1x1 convolution of the map, added to it                                             |

    Parameters
    ----------
    in_channels, branch_channels, out_channels : int
        Channels of the map, B of each branch, and O.
    norm : {"batch", "group", "instance"} or None
        Normalisation before each convolution; none of the whole map's average.

    Raises
    ------
    ArgumentError
        If a number is not an integer of at least 1, or ``norm`` is none of these.

    References
    ----------
    .. [1] Y. Hong et al., "Deep dual-resolution networks for real-time and accurate semantic segmentation of road scenes", 2021.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.multiscale.DAPPM(8, 4, 16)(nx.Tensor(shape=(1, 8, 9, 7))).shape
    (1, 16, 9, 7)
    """

    def __init__(self, in_channels: int, branch_channels: int, out_channels: int, *, norm: str | None = "batch") -> None:
        self.in_channels = inner = integer("DAPPM", "in_channels", in_channels, 1)
        self.branch_channels = width = integer("DAPPM", "branch_channels", branch_channels, 1)
        self.out_channels = outer = integer("DAPPM", "out_channels", out_channels, 1)
        self.norm = check_norm("DAPPM", norm)
        norms = [norm] * 4 + [None]
        self.scales = nn.ModuleList([_norm_act_conv(inner, width, 1, n) for n in norms])
        self.processes = nn.ModuleList([_norm_act_conv(width, width, 3, norm) for _ in norms[1:]])
        self.compression = _norm_act_conv(width * len(norms), outer, 1, norm)
        self.shortcut = _norm_act_conv(inner, outer, 1, norm)

    def forward(self, x: Tensor) -> Tensor:
        """Give (N, out_channels, H, W) of (N, in_channels, H, W)."""
        x = _checks.float_map("DAPPM", x, self.in_channels)
        maps = [functional.avg_pool2d(x, 2 * n + 1, n, n, count_include_pad=False) for n in (2, 4, 8)]
        maps.append(ops.mean(x, (2, 3), keepdim=True))
        found = [self.scales[0](x)]
        for m, scale, process in zip(maps, self.scales[1:], self.processes, strict=True):
            found.append(process(resize_like(scale(m), x, "bilinear") + found[-1]))
        out: Tensor = self.compression(ops.cat(found, dim=1)) + self.shortcut(x)
        return out


def _norm_act_conv(in_channels: int, out_channels: int, kernel_size: int, norm: str | None) -> Module:
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=norm is None)
    return nn.Sequential(*([] if norm is None else [normalization(norm, in_channels)]), nn.ReLU(), conv)
