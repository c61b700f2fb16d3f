"""Pooling at several scales."""

from __future__ import annotations

from neurenix import nn, ops
from neurenix.multiscale import _checks
from neurenix.multiscale._blocks import check_norm
from neurenix.nn import functional
from neurenix.nn.module import Module
from neurenix.ops._arguments import integer
from neurenix.ops.resize_like import resize_like
from neurenix.tensor import Tensor

KINDS = ("avg", "max")


class MultiScalePooling(Module):
    """Pool with windows of several sizes at every pixel.

    Parameters
    ----------
    pool_sizes : list of int
        Side of each window. The image keeps its size; padding counts in no average, and an even window reaches one more
        pixel down and right.
    pool_type : {"avg", "max"}
        What is taken of a window.

    Raises
    ------
    ArgumentError
        If a size is not an integer of at least 1, or the type is neither.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.multiscale.MultiScalePooling([1, 3])(nx.Tensor(shape=(1, 4, 5, 5))).shape
    (1, 8, 5, 5)
    """

    def __init__(self, pool_sizes: list[int] = [1, 2, 3, 6], pool_type: str = "avg") -> None:  # noqa: B006 - the API document's default; copied
        self.pool_sizes = _checks.integers("MultiScalePooling", "pool_sizes", pool_sizes)
        self.pool_type = _checks.choice("MultiScalePooling", "pool_type", pool_type, KINDS)

    def forward(self, x: Tensor) -> Tensor:
        """Give (N, C * len(pool_sizes), H, W) of (N, C, H, W)."""
        x = _checks.float_map("MultiScalePooling", x)
        return ops.cat([ops.same_pool2d(x, size, self.pool_type) for size in self.pool_sizes], dim=1)


class PyramidPooling(Module):
    """Context at several scales: averages over coarse grids, added to a map as channels and mixed.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of input and output.
    pool_sizes : list of int
        Bins along each axis of every grid. A grid's averages are reduced to ``max(1, in_channels // len(pool_sizes))``
        channels by a 1x1 convolution, normalised (where the grid has more than one bin), rectified, and resized bilinearly.
    norm : {"batch", "group", "instance"} or None
        How they are normalised.

    Raises
    ------
    ArgumentError
        If a number is not an integer of at least 1, or ``norm`` is none of these.

    References
    ----------
    .. [1] H. Zhao et al., "Pyramid scene parsing network", CVPR 2017.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.multiscale.PyramidPooling(4, 8)(nx.Tensor(shape=(1, 4, 9, 7))).shape
    (1, 8, 9, 7)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        pool_sizes: list[int] = [1, 2, 3, 6],  # noqa: B006 - the API document's default; copied
        *,
        norm: str | None = "batch",
    ) -> None:
        op = "PyramidPooling"
        self.in_channels = integer(op, "in_channels", in_channels, 1)
        self.out_channels = integer(op, "out_channels", out_channels, 1)
        self.pool_sizes = _checks.integers(op, "pool_sizes", pool_sizes)
        width = max(1, self.in_channels // len(self.pool_sizes))
        self.norm = check_norm(op, norm)
        self.reductions = nn.ModuleList(
            [nn.ConvNormAct(self.in_channels, width, 1, norm=self.norm if size > 1 else None) for size in self.pool_sizes]
        )
        self.project = nn.Conv2d(self.in_channels + width * len(self.pool_sizes), self.out_channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Give (N, out_channels, H, W) of (N, in_channels, H, W)."""
        x = _checks.float_map("PyramidPooling", x, self.in_channels)
        maps = [x]
        for averages, reduce in zip(ops.pyramid_averages2d(x, self.pool_sizes), self.reductions, strict=True):
            maps.append(resize_like(reduce(averages), x, "bilinear"))
        out: Tensor = self.project(ops.cat(maps, dim=1))
        return out


class SpatialPyramidPooling(Module):
    """A vector of fixed length from a map of any size: bins of a 1x1 grid, a 2x2 grid, a 4x4 grid, ...

    Parameters
    ----------
    num_levels : int
        Number of grids, 1 to 32; grid ``l`` has ``4 ** l`` bins.
    pool_type : {"avg", "max"}
        What is taken of a bin.

    Raises
    ------
    ArgumentError
        If the number of levels is out of range, or the type is neither.

    References
    ----------
    .. [1] K. He et al., "Spatial pyramid pooling in deep convolutional networks for visual recognition", ECCV 2014.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.multiscale.SpatialPyramidPooling(3)(nx.Tensor(shape=(2, 4, 9, 7))).shape
    (2, 84)
    """

    def __init__(self, num_levels: int = 3, pool_type: str = "max") -> None:
        self.num_levels = _checks.levels("SpatialPyramidPooling", num_levels)
        self.pool_type = _checks.choice("SpatialPyramidPooling", "pool_type", pool_type, KINDS)

    def forward(self, x: Tensor) -> Tensor:
        """Give (N, C * sum of 4**l) of (N, C, H, W): by level, then channel, then bin."""
        x = _checks.float_map("SpatialPyramidPooling", x)
        sizes = [1 << level for level in range(self.num_levels)]
        maps = [functional.adaptive_max_pool2d(x, n) for n in sizes] if self.pool_type == "max" else ops.pyramid_averages2d(x, sizes)
        return ops.cat([ops.flatten(y, 1) for y in maps], dim=1)
