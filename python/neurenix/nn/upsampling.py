"""Layers that change a map's size."""

from __future__ import annotations

from typing import Any

from neurenix import ops
from neurenix.errors import ArgumentError
from neurenix.nn.module import Module
from neurenix.ops._arguments import choice, integer, integers
from neurenix.ops.resize import MODES
from neurenix.tensor import Tensor


class Upsample(Module):
    """Resample (N, C, L), (N, C, H, W) or (N, C, D, H, W) to a size, or by a factor.

    Parameters
    ----------
    size : int or sequence of int, optional
        Output sizes in pixels.
    scale_factor : float or sequence of float, optional
        Instead: output sizes are ``floor(size * scale_factor)``.
    mode : {"nearest", "nearest-exact", "linear", "bilinear", "trilinear", "bicubic", "area"}
        See :func:`neurenix.nn.functional.interpolate`.
    align_corners : bool, optional
        Whether the corner pixels' centres meet.
    recompute_scale_factor : bool, optional
        Whether coordinates follow the rounded sizes' ratio.

    Raises
    ------
    ArgumentError
        If neither or both of ``size`` and ``scale_factor`` are given, or the mode is unknown.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([[[0.0, 4.0]]])  # (N, C, L)
    >>> nx.nn.Upsample(scale_factor=2)(x).tolist()
    [[[0.0, 0.0, 4.0, 4.0]]]
    >>> nx.nn.Upsample(scale_factor=2, mode="linear")(x).tolist()  # half-pixel aligned
    [[[0.0, 1.0, 3.0, 4.0]]]
    >>> nx.nn.Upsample(size=3, mode="linear", align_corners=True)(x).tolist()
    [[[0.0, 2.0, 4.0]]]
    """

    def __init__(
        self,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        if (size is None) == (scale_factor is None):
            given = "neither" if size is None else "both"
            raise ArgumentError(f"{type(self).__name__}: expected either size or scale_factor, got {given}; pass one of them")
        self.mode = choice(type(self).__name__, "mode", mode, MODES)
        self.size, self.scale_factor = size, float(scale_factor) if isinstance(scale_factor, int) else scale_factor
        self.align_corners, self.recompute_scale_factor = align_corners, recompute_scale_factor

    def forward(self, input: Any) -> Tensor:
        """Resample."""
        return ops.interpolate(input, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor)

    def extra_repr(self) -> str:
        """The size or the factor, and the mode."""
        return f"{f'scale_factor={self.scale_factor}' if self.size is None else f'size={self.size}'}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Resample (N, C, H, W) by the nearest pixel; ``size`` and ``scale_factor`` as of :class:`Upsample`.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.UpsamplingNearest2d(scale_factor=2)(nx.tensor([[[[1.0, 2.0]]]])).numpy()[0, 0]
    array([[1., 1., 2., 2.],
           [1., 1., 2., 2.]], dtype=float32)
    """

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, "nearest")


class UpsamplingBilinear2d(Upsample):
    """Resample (N, C, H, W) bilinearly, corners aligned; ``size`` and ``scale_factor`` as of :class:`Upsample`.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.UpsamplingBilinear2d(size=(1, 3))(nx.tensor([[[[1.0, 2.0]]]])).numpy()[0, 0]
    array([[1. , 1.5, 2. ]], dtype=float32)
    """

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, "bilinear", align_corners=True)


class PixelShuffle(Module):
    """Move channels into space: (..., C r r, H, W) to (..., C, H r, W r).

    Parameters
    ----------
    upscale_factor : int
        The factor r.

    References
    ----------
    .. [1] W. Shi et al., "Real-time single image and video super-resolution using an efficient sub-pixel convolutional neural network",
       CVPR 2016.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.arange(4).reshape(1, 4, 1, 1)
    >>> nx.nn.PixelShuffle(2)(x).tolist()  # four channels of one pixel: one channel of 2x2
    [[[[0, 1], [2, 3]]]]
    """

    _shown = ("upscale_factor",)

    def __init__(self, upscale_factor: int) -> None:
        self.upscale_factor = integer("PixelShuffle", "upscale_factor", upscale_factor, 1)

    def forward(self, input: Any) -> Tensor:
        """Rearrange."""
        return ops.pixel_shuffle(input, self.upscale_factor)


class PixelUnshuffle(Module):
    """Move space into channels: (..., C, H r, W r) to (..., C r r, H, W).

    Parameters
    ----------
    downscale_factor : int
        The factor r.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.arange(16).reshape(1, 1, 4, 4)
    >>> y = nx.nn.PixelUnshuffle(2)(x)
    >>> y.shape, y[0, 0].tolist()  # the first channel: every second row and column
    ((1, 4, 2, 2), [[0, 2], [8, 10]])
    """

    _shown = ("downscale_factor",)

    def __init__(self, downscale_factor: int) -> None:
        self.downscale_factor = integer("PixelUnshuffle", "downscale_factor", downscale_factor, 1)

    def forward(self, input: Any) -> Tensor:
        """Rearrange."""
        return ops.pixel_unshuffle(input, self.downscale_factor)


class ChannelShuffle(Module):
    """Deal out the channels of ``groups`` groups in turn.

    Parameters
    ----------
    groups : int

    References
    ----------
    .. [1] X. Zhang et al., "ShuffleNet: an extremely efficient convolutional neural network for mobile devices", CVPR 2018.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.ChannelShuffle(2)(nx.arange(6).reshape(1, 6, 1, 1)).ravel().tolist()
    [0, 3, 1, 4, 2, 5]
    """

    _shown = ("groups",)

    def __init__(self, groups: int) -> None:
        self.groups = integer("ChannelShuffle", "groups", groups, 1)

    def forward(self, input: Any) -> Tensor:
        """Rearrange."""
        return ops.channel_shuffle(input, self.groups)


def _check_patches(name: str, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> None:
    for argument, value, least in (
        ("kernel_size", kernel_size, 1),
        ("dilation", dilation, 1),
        ("padding", padding, 0),
        ("stride", stride, 1),
    ):
        integers(name, argument, value, 2, least)


class Unfold(Module):
    """Lay every patch of a map (N, C, H, W) out as a column of (N, C kH kW, patches); see :func:`neurenix.nn.functional.unfold`.

    Parameters
    ----------
    kernel_size, dilation, padding, stride : int or (int, int)
        The patch, the distance of its pixels, zeros around the map, steps from patch to patch.

    Raises
    ------
    ArgumentError
        If a number is too small.

    Examples
    --------
    >>> import neurenix as nx
    >>> columns = nx.nn.Unfold(2)(nx.arange(6).reshape(1, 1, 2, 3).float())
    >>> columns.shape, columns[0, :, 0].tolist(), columns[0, :, 1].tolist()  # both 2x2 patches
    ((1, 4, 2), [0.0, 1.0, 3.0, 4.0], [1.0, 2.0, 4.0, 5.0])
    """

    _shown = ("kernel_size", "dilation", "padding", "stride")

    def __init__(self, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> None:
        _check_patches("Unfold", kernel_size, dilation, padding, stride)
        self.kernel_size, self.dilation, self.padding, self.stride = kernel_size, dilation, padding, stride

    def forward(self, input: Any) -> Tensor:
        """Gather the patches."""
        return ops.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)


class Fold(Module):
    """Add patches laid out as columns (N, C kH kW, patches) back into a map; see :func:`neurenix.nn.functional.fold`.

    Parameters
    ----------
    output_size : int or (int, int)
        Height and width of the map.
    kernel_size, dilation, padding, stride
        As of :class:`Unfold`, which it transposes.

    Raises
    ------
    ArgumentError
        If a number is too small.

    Examples
    --------
    >>> import neurenix as nx
    >>> columns = nx.ones(1, 4, 2)  # two patches of 2x2
    >>> nx.nn.Fold((2, 3), 2)(columns).tolist()  # how many patches a pixel is in
    [[[[1.0, 2.0, 1.0], [1.0, 2.0, 1.0]]]]
    """

    _shown = ("output_size", "kernel_size", "dilation", "padding", "stride")

    def __init__(self, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> None:
        integers("Fold", "output_size", output_size, 2, 1)
        _check_patches("Fold", kernel_size, dilation, padding, stride)
        self.output_size, self.kernel_size = output_size, kernel_size
        self.dilation, self.padding, self.stride = dilation, padding, stride

    def forward(self, input: Any) -> Tensor:
        """Add the patches."""
        return ops.fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)
