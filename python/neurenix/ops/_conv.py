"""The kernels of convolutions on channels-last buffers, and what they share.

Dimensions: N images, H x W pixels, C channels in, K out, kh x kw weights a window. A convolution *gathers* (windows lie in
its input), its transpose *scatters* (windows lie in its output); each is the other's gradient.

On a CPU float32 windows of 3x3 at stride 1 with many channels are computed by Winograd's algorithm, unless the precision is "ieee":
a layer's sizes, element type and precision decide, never the size of a map. Under "bfloat16" direct ones go by pairs there.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from neurenix import backend
from neurenix._typing import Array
from neurenix.backend.kernel import DoubleOut, Enum, In, Optional, Out, Real, Size, kernel
from neurenix.layout import contiguous
from neurenix.ops._conv_pairs import LANE, by_pairs, conv_weight_gradient_pairs, convolve_pairs, in_pairs, packed_pairs
from neurenix.ops._derived import derived, keeps
from neurenix.ops.elementwise import NONE, RELU, Activation
from neurenix.precision import get_float32_precision
from neurenix.tensor import Tensor

SIDE: Final = 4  # outputs along each side of a tile in Winograd's algorithm
PLANES: Final = 36  # its products for a tile and a channel
FEWEST: Final = 16  # channels, on both sides, from which on it is used
KEPT: Final = 1 << 16  # channels times outputs up to which weights are kept transformed, in four times their memory


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
    second: Optional[In],
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
    first: Size,
    scatter: Enum,
    activation: Enum,
    a: Real,
    b: Real,
) -> None:
    """s[n, o, k] = sum of x[n, i, c] * weight[k, c, t], along each axis i = o * stride + t * dilation - pad, for scatter = 1 o and i change places.

    y = (s + bias) * scale + shift, then the expression of ``unary`` of this number, 0 for none. second: a map with the channels from first
    on, where x has no more than those before; one group, first a multiple of 4. A CPU takes no second map, and no expression but ReLU.
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
    activation: Enum,
    a: Real,
    b: Real,
) -> None:
    """As ``convolve`` with one channel and one output a group; weight is (channels, 1, kh, kw) as it is."""


@kernel("floats")
def winograd_pack(points: Out, weight: In, outputs: Size, channels: Size, scatter: Enum) -> None:
    """points = the elements of weight (first, second, 3, 3), transformed for ``convolve_winograd``; outputs padded to 16."""


@kernel("floats")
def convolve_winograd(
    y: Out,
    second_y: Optional[Out],
    x: In,
    second_x: Optional[In],
    weight: In,
    bias: Optional[In],
    scale: Optional[In],
    shift: Optional[In],
    x_scale: Optional[In],
    x_shift: Optional[In],
    mean: Optional[DoubleOut],
    square: Optional[DoubleOut],
    n: Size,
    h: Size,
    w: Size,
    oh: Size,
    ow: Size,
    outputs: Size,
    channels: Size,
    rows: Size,
    pad_h: Size,
    pad_w: Size,
    scatter: Enum,
    relu: Enum,
    x_relu: Enum,
    packed: Enum,
    mode: Enum,
) -> None:
    """As ``convolve`` with one group and windows of 3x3 whose stride and dilation are 1, by Winograd's algorithm F(4x4, 3x3).

    x and y may lie in two arrays, a half of the channels each; x becomes x * x_scale + x_shift (rows: 1 or n), max(0, .) if x_relu, first;
    mean and square are those of ``norm_moments`` of y. weight: as it is, or by ``winograd_pack`` if packed. mode: 0, or a test's order.
    """


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
def winograd_weight_gradient(
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
    outputs: Size,
    channels: Size,
    rows: Size,
    pad_h: Size,
    pad_w: Size,
    relu: Enum,
) -> None:
    """As ``conv_weight_gradient`` with one group and windows of 3x3 whose stride and dilation are 1, by Winograd's algorithm.

    large is read as x is in ``convolve_winograd``.
    """


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


class Source(NamedTuple):
    """A dense (N, H, W, C) buffer, or two with a part of the channels each, and what is done to them on the way in."""

    first: Array
    second: Array | None = None
    scale: Array | None = None  # times scale, plus shift: tables with a row, or one a sample
    shift: Array | None = None
    relu: bool = False

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Sizes (N, H, W, C) of both together."""
        n, h, w, c = self.first.shape
        return n, h, w, c if self.second is None else c + self.second.shape[3]

    @property
    def rows(self) -> int:
        """Rows of the tables."""
        return 1 if self.scale is None else int(self.scale.shape[0])


class Epilogue(NamedTuple):
    """What happens to a sum before it is written: ``(sum + bias) * scale + shift``, then an activation, on a CPU none but ReLU."""

    bias: Array | None = None
    scale: Array | None = None
    shift: Array | None = None
    activation: Activation = NONE


PLAIN = Epilogue()


def run(
    x: Array,
    weight: Tensor,
    window: Window,
    size: tuple[int, int],
    scatter: bool,
    end: Epilogue = PLAIN,
    into: Array | None = None,
    second: Array | None = None,
) -> Array:
    """Convolve a dense (N, H, W, C) buffer: the dense (N, *size, K) buffer, ``into`` where it is given.

    ``second`` is a buffer with further channels, on a GPU.
    ``weight`` is (first, second, ...): a gathering convolution gives ``first`` channels, a scattering one ``second * groups``.
    """
    groups = window.groups
    outputs, channels = sides(weight, groups, scatter)
    n, h, w, c = x.shape
    y = backend.new(x, (n, *size, outputs * groups)) if into is None else into
    if groups > 1 and outputs == channels == 1:
        values = contiguous(weight._array)
        how = end.activation
        convolve_depthwise(y, x, values, end.bias, end.scale, end.shift, n, h, w, *size, c, *window.numbers, scatter, how.op, how.a, how.b)
    elif by_winograd(x, window, outputs, channels):
        run_winograd((y, None), Source(x), weight, window, scatter, end)
    elif in_pairs(x) and by_pairs(window.kernel, outputs, channels):
        sizes = (groups, outputs, channels, *window.numbers, scatter)
        values = packed_pairs(weight, window if scatter else (window.kernel, groups), sizes)
        convolve_pairs(y, x, values, *end[:3], n, h, w, *size, *sizes, end.activation.op)
    else:
        packed = packed_weight(weight, window, outputs, channels, scatter)
        numbers = (n, h, w, *size, groups, outputs, channels, *window.numbers, channels if second is None else c)
        convolve(y, x, second, packed, *end[:3], *numbers, scatter, *end.activation)
    return y


def run_winograd(
    y: tuple[Array, Array | None],
    x: Source,
    weight: Tensor,
    window: Window,
    scatter: bool,
    end: Epilogue = PLAIN,
    moments: tuple[Array | None, Array | None] = (None, None),
) -> None:
    """Convolve by Winograd's algorithm into a buffer or two; ``moments`` get the output's means and squares."""
    outputs, channels = sides(weight, 1, scatter)
    values, packed = points(weight, outputs, channels, scatter)
    (n, h, w, _), (oh, ow) = x.shape, y[0].shape[1:3]
    sizes = (n, h, w, oh, ow, outputs, channels, x.rows, *window.pad)
    convolve_winograd(*y, *x[:2], values, *end[:3], *x[2:4], *moments, *sizes, scatter, end.activation == RELU, x.relu, packed, 0)


def sides(weight: Tensor, groups: int, scatter: bool) -> tuple[int, int]:
    """Outputs and channels of a group."""
    first, second = weight.shape[:2]
    return (second, first // groups) if scatter else (first // groups, second)


def by_winograd(x: Array, window: Window, outputs: int, channels: int) -> bool:
    """Whether a layer is computed by Winograd's algorithm: the same for every map that it is given."""
    return (
        min(outputs, channels) >= FEWEST
        and window[:2] == ((3, 3), (1, 1))
        and window[3:] == ((1, 1), 1)
        and x.dtype == np.float32
        and get_float32_precision() != "ieee"
        and backend.device_of(x) == "cpu"
    )


def cell(x: Array, weight: Tensor, window: Window, scatter: bool) -> int:
    """Along each axis, how many outputs round together: what one of them rounds to may depend on all that the others read."""
    return SIDE if by_winograd(x, window, *sides(weight, 1, scatter)) else 1


def points(weight: Tensor, outputs: int, channels: int, scatter: bool) -> tuple[Array, bool]:
    """A weight as ``convolve_winograd`` takes it, and whether it is transformed: that is kept, unless it is large or changes at once."""
    if outputs * channels > KEPT or not keeps(weight):
        weight._derived = None
        return contiguous(weight._array), False

    def make() -> Array:
        values = contiguous(weight._array)
        made = backend.new(values, (PLANES * channels * (-(-outputs // LANE) * LANE),))
        winograd_pack(made, values, outputs, channels, scatter)
        return made

    return derived(weight, ("winograd", scatter), make), True


def packed_weight(weight: Tensor, window: Window, outputs: int, channels: int, scatter: bool) -> Array:
    """A weight in the device's own order for ``convolve``, made once for each of its values."""
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
    n, oh, ow, k = small.shape
    _, h, w, c = large.shape
    groups = window.groups
    if by_winograd(small, window, k, c):
        return weight_gradient_winograd(small, Source(large), weight, window)
    dw = backend.new(small, weight.shape)
    fast = in_pairs(small) and by_pairs(window.kernel, k // groups, c // groups)
    way = conv_weight_gradient_pairs if fast else conv_weight_gradient
    way(dw, small, large, n, h, w, oh, ow, groups, k // groups, c // groups, *window.numbers)
    return dw


def weight_gradient_winograd(small: Array, large: Source, weight: Tensor, window: Window) -> Array:
    """The same by Winograd's algorithm."""
    dw = backend.new(small, weight.shape)
    (n, h, w, c), (_, oh, ow, k) = large.shape, small.shape
    winograd_weight_gradient(dw, small, *large[:4], n, h, w, oh, ow, k, c, large.rows, *window.pad, large.relu)
    return dw


def sum_pixels(dy: Array) -> Array:
    """The gradient of a bias from that of the (..., K) output."""
    db = backend.new(dy, dy.shape[-1:])
    bias_gradient(db, dy, math.prod(dy.shape[:-1]), dy.shape[-1])
    return db
