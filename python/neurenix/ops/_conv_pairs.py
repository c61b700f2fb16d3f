"""Direct convolutions on a CPU in pairs of bfloat16, under the precision of that name.

What is read and given is rounded, sums are float32: over pairs of channels or, for the gradient of a weight, of pixels. Winograd's algorithm
needs a quarter of the products where pairs need half, so its layers stay float32, as do depthwise ones, few outputs and short sums,
which wait for memory.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from neurenix import backend
from neurenix._typing import Array
from neurenix.backend.kernel import Enum, In, Optional, Out, Size, kernel
from neurenix.layout import contiguous
from neurenix.ops._derived import derived
from neurenix.precision import get_float32_precision
from neurenix.tensor import Tensor

LANE: Final = 16  # outputs of a panel of packed weights are a multiple of this
FEW: Final = 8  # outputs up to which pairs gain nothing
SHORT: Final = 32  # products of a sum below which they do not


@kernel("singles")
def conv_pack_pairs(
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
    """packed = the elements of weight rounded to bfloat16, pairs of channels in one element, for ``convolve_pairs``; outputs padded to 16."""


@kernel("singles")
def convolve_pairs(
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
    activation: Enum,
) -> None:
    """As ``convolve``, of one map; what is read and the result are rounded to bfloat16, sums are float32. A CPU's own."""


@kernel("singles")
def conv_weight_gradient_pairs(
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
    """As ``conv_weight_gradient``; what is read and the result are rounded to bfloat16, sums are float32. A CPU's own."""


def in_pairs(x: Array) -> bool:
    """Whether an array is convolved under the precision "bfloat16" on a CPU."""
    return get_float32_precision() == "bfloat16" and x.dtype == np.float32 and backend.device_of(x) == "cpu"


def by_pairs(kernel: tuple[int, int], outputs: int, channels: int) -> bool:
    """Whether products over a group's channels and a window gain from pairs, where Winograd's algorithm does not compute them."""
    return outputs > FEW and channels * math.prod(kernel) >= SHORT


def packed_pairs(weight: Tensor, key: object, sizes: tuple[int, ...]) -> Array:
    """A weight as ``convolve_pairs`` takes it, kept until it changes; sizes from groups to scatter, and what the order depends on."""
    groups, outputs, channels, kh, kw, *_, scatter = sizes

    def make() -> Array:
        values = contiguous(weight._array)
        padded = -(-outputs // LANE) * LANE
        packed = backend.new(values, (groups * padded * -(-channels // 2) * kh * kw,))
        conv_pack_pairs(packed, values, *sizes)
        return packed

    return derived(weight, ("pairs", scatter, key), make)
