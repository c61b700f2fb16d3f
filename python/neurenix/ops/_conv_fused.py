"""Convolutions of a chain: they normalise what they read, read or write two maps, and take the moments of what they write.

On a CPU these are Winograd's kernels, which also convolve alone; on a GPU they are rows of their own, with the sums of the plain ones.
"""

from __future__ import annotations

import numpy as np

from neurenix import backend
from neurenix._typing import Array
from neurenix.backend.kernel import DoubleOut, Enum, In, Optional, Out, Size, kernel
from neurenix.ops._conv import PLAIN, Epilogue, Source, Window, by_winograd, packed_weight, run_winograd, sides, weight_gradient_winograd
from neurenix.tensor import Tensor


@kernel("floats", gpu_only=True)
def convolve_fused(
    y: Out,
    second_y: Optional[Out],
    x: In,
    second_x: Optional[In],
    packed: In,
    bias: Optional[In],
    scale: Optional[In],
    shift: Optional[In],
    mean: Optional[DoubleOut],
    square: Optional[DoubleOut],
    n: Size,
    h: Size,
    w: Size,
    oh: Size,
    ow: Size,
    groups: Size,
    outputs: Size,
    channels: Size,
    kh: Size,
    kw: Size,
    stride_h: Size,
    stride_w: Size,
    pad_h: Size,
    pad_w: Size,
    dilation_h: Size,
    dilation_w: Size,
    first: Size,
    first_y: Size,
    moments: Enum,
    scatter: Enum,
    relu: Enum,
) -> None:
    """As ``convolve`` with a bias; of one group, second_x has the channels of x from first on, second_y the outputs from first_y on.

    Of one group, x becomes x * scale + shift, max(0, .) if relu, first. These channels, first and first_y are multiples of 4. If moments,
    of a gathering convolution into one map, mean and square are those of ``norm_moments`` of y.
    """


@kernel("floats", gpu_only=True)
def conv_weight_gradient_fused(
    dw: Out,
    small: In,
    large: In,
    second_large: Optional[In],
    scale: Optional[In],
    shift: Optional[In],
    n: Size,
    h: Size,
    w: Size,
    oh: Size,
    ow: Size,
    groups: Size,
    outputs: Size,
    channels: Size,
    kh: Size,
    kw: Size,
    stride_h: Size,
    stride_w: Size,
    pad_h: Size,
    pad_w: Size,
    dilation_h: Size,
    dilation_w: Size,
    first: Size,
    relu: Enum,
) -> None:
    """As ``conv_weight_gradient``; large is read as x is in ``convolve_fused``."""


def is_fused(x: Array, window: Window, outputs: int, channels: int) -> bool:
    """Whether a layer has kernels that take part in a chain: the same for every map that it is given."""
    if type(x) is np.ndarray:
        return by_winograd(x, window, outputs, channels)
    return window.groups == 1 or max(outputs, channels) > 1


def normalises(x: Array, groups: int, channels: int) -> bool:
    """Whether these kernels normalise groups of so many channels as they read them."""
    return type(x) is np.ndarray or (groups == 1 and channels % 4 == 0)


def convolve_into(
    y: tuple[Array, Array | None],
    x: Source,
    weight: Tensor,
    window: Window,
    scatter: bool,
    end: Epilogue = PLAIN,
    moments: tuple[Array | None, Array | None] = (None, None),
) -> None:
    """Convolve into a buffer or two, with a bias at the end; ``moments`` get the output's means and squares."""
    if type(x.first) is np.ndarray:
        run_winograd(y, x, weight, window, scatter, end, moments)
        return
    outputs, channels = sides(weight, window.groups, scatter)
    packed = packed_weight(weight, window, outputs, channels, scatter)
    (n, h, w, _), (oh, ow) = x.shape, y[0].shape[1:3]
    sizes = (n, h, w, oh, ow, window.groups, outputs, channels, *window.numbers, x.first.shape[3], y[0].shape[3])
    convolve_fused(*y, *x[:2], packed, end.bias, *x[2:4], *moments, *sizes, moments[0] is not None, scatter, x.relu)


def weight_gradient_of(small: Array, large: Source, weight: Tensor, window: Window) -> Array:
    """The gradient of a weight from the map at window positions and what the windows lie in."""
    if type(small) is np.ndarray:
        return weight_gradient_winograd(small, large, weight, window)
    dw = backend.new(small, weight.shape)
    (n, h, w, c), (_, oh, ow, k), groups = large.shape, small.shape, window.groups
    sizes = (n, h, w, oh, ow, groups, k // groups, c // groups, *window.numbers, large.first.shape[3])
    conv_weight_gradient_fused(dw, small, *large[:4], *sizes, large.relu)
    return dw
