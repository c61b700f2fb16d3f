"""The kernels of convolutions on channels-last buffers, and what they share.

Dimensions: N images, H x W pixels, C channels in, K out, kh x kw weights a window. A convolution *gathers* (windows lie in
its input), its transpose *scatters* (windows lie in its output); each is the other's gradient.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from neurenix import backend
from neurenix._typing import Array
from neurenix.backend.kernel import Enum, In, Optional, Out, Size, kernel
from neurenix.layout import contiguous
from neurenix.ops._derived import derived
from neurenix.tensor import Tensor

LANE = 16  # outputs of a panel of packed weights are a multiple of this


@kernel("floats")
def conv_pack(
    packed: Out,
    weight: In,
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
    scatter: Enum,
) -> None:
    """packed = the elements of weight in the device's own order for ``convolve``; outputs of a group padded to 16."""


@kernel("floats")
def convolve(
    y: Out,
    x: In,
    packed: In,
    bias: Optional[In],
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
    scatter: Enum,
    relu: Enum,
) -> None:
    """s[n, o, k] = sum of x[n, i, c] * weight[k, c, t], along each axis i = o * stride + t * dilation - pad, for scatter = 1 o and i change places.

    y = (s + bias) * scale + shift, then max(0, .) if relu.
    """


@kernel("floats")
def convolve_depthwise(
    y: Out,
    x: In,
    weight: In,
    bias: Optional[In],
    scale: Optional[In],
    shift: Optional[In],
    n: Size,
    h: Size,
    w: Size,
    oh: Size,
    ow: Size,
    channels: Size,
    kh: Size,
    kw: Size,
    stride_h: Size,
    stride_w: Size,
    pad_h: Size,
    pad_w: Size,
    dilation_h: Size,
    dilation_w: Size,
    scatter: Enum,
    relu: Enum,
) -> None:
    """As ``convolve`` with one channel and one output a group; weight is (channels, 1, kh, kw) as it is."""


@kernel("floats")
def conv_weight_gradient(
    dw: Out,
    small: In,
    large: In,
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
) -> None:
    """dw[s, l, t] = sum of small[n, o, s] * large[n, o * stride + t * dilation - pad, l] over n, o (oh, ow); large is (h, w)."""


@kernel("floats")
def bias_gradient(db: Out, dy: In, pixels: Size, k: Size) -> None:
    """db[k] = sum of dy[p, k] over p."""


class Window(NamedTuple):
    """How windows lie in the map they are taken from, and the groups of channels."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    pad: tuple[int, int]  # zeros before the first pixel; those behind the last follow from the sizes
    dilation: tuple[int, int]
    groups: int

    @property
    def numbers(self) -> tuple[int, int, int, int, int, int, int, int]:
        """Sizes as the kernels take them."""
        return (*self.kernel, *self.stride, *self.pad, *self.dilation)


class Epilogue(NamedTuple):
    """What happens to a sum before it is written: ``(sum + bias) * scale + shift``, then ReLU."""

    bias: Array | None = None
    scale: Array | None = None
    shift: Array | None = None
    relu: bool = False


PLAIN = Epilogue()


def run(
    x: Array, weight: Tensor, window: Window, size: tuple[int, int], scatter: bool, end: Epilogue = PLAIN, into: Array | None = None
) -> Array:
    """Convolve a dense (N, H, W, C) buffer: the dense (N, *size, K) buffer, ``into`` where it is given.

    ``weight`` is (first, second, ...): a gathering convolution gives ``first`` channels, a scattering one ``second * groups``.
    """
    first, second = weight.shape[:2]
    groups = window.groups
    outputs, channels = (second, first // groups) if scatter else (first // groups, second)
    n, h, w, c = x.shape
    y = backend.new(x, (n, *size, outputs * groups)) if into is None else into
    if groups > 1 and outputs == channels == 1:
        values = contiguous(weight._array)
        convolve_depthwise(y, x, values, end.bias, end.scale, end.shift, n, h, w, *size, c, *window.numbers, scatter, end.relu)
    else:
        packed = _packed(weight, window, outputs, channels, scatter)
        convolve(
            y, x, packed, end.bias, end.scale, end.shift, n, h, w, *size, groups, outputs, channels, *window.numbers, scatter, end.relu
        )
    return y


def _packed(weight: Tensor, window: Window, outputs: int, channels: int, scatter: bool) -> Array:
    groups = window.groups

    def make() -> Array:
        values = contiguous(weight._array)
        padded = -(-outputs // LANE) * LANE
        packed = backend.new(values, (groups * padded * channels * math.prod(window.kernel),))
        conv_pack(packed, values, groups, outputs, channels, *window.numbers, scatter)
        return packed

    # The order of a gathering window's weights depends on nothing but its size.
    key = ("conv", window if scatter else (window.kernel, groups))
    return derived(weight, key, make)


def weight_gradient(small: Array, large: Array, weight: Tensor, window: Window) -> Array:
    """The gradient of a weight from the map at window positions and the map that the windows lie in, dense buffers."""
    dw = backend.new(small, weight.shape)
    n, oh, ow, k = small.shape
    _, h, w, c = large.shape
    groups = window.groups
    conv_weight_gradient(dw, small, large, n, h, w, oh, ow, groups, k // groups, c // groups, *window.numbers)
    return dw


def sum_pixels(dy: Array) -> Array:
    """The gradient of a bias from that of the (..., K) output."""
    db = backend.new(dy, dy.shape[-1:])
    bias_gradient(db, dy, math.prod(dy.shape[:-1]), dy.shape[-1])
    return db
