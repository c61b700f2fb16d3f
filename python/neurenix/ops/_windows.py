"""Windows that slide over an axis: what pooling kernels are told."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from neurenix.errors import ArgumentError, ShapeError
from neurenix.ops._arguments import integers, is_plain
from neurenix.ops._axis import Host, sliding_windows
from neurenix.tensor import Tensor
from neurenix.window_rules import Rules, Sliding


class Windows(NamedTuple):
    """The windows of one axis, and what an average over each is divided by; equal to itself only, so that tables made of it are kept."""

    table: Host  # (outputs, 2): first pixel and number of taps
    divisor: Host
    taps: int
    step: int

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


@lru_cache(maxsize=512)
def _sliding(size: int, kernel: int, stride: int, low: int, high: int, dilation: int, ceil: bool, padded: bool) -> Windows:
    span = size + low + high - dilation * (kernel - 1) - 1
    outputs = (-(-span // stride) if ceil else span // stride) + 1
    if ceil and (outputs - 1) * stride >= size + low:  # the last window must start inside the map or its left padding
        outputs -= 1
    table = sliding_windows(size, max(outputs, 0), kernel, stride, low, dilation)
    first = np.arange(max(outputs, 0)) * stride - low
    whole = np.minimum(first + kernel, size + high) - first
    return Windows(table, (whole if padded else table[:, 1]).astype(np.float64), min(kernel, max(size, 1)), dilation)


class Slide(NamedTuple):
    """Kernel sizes and the like, one for each spatial axis."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    low: tuple[int, ...]
    high: tuple[int, ...]
    dilation: tuple[int, ...]
    ceil: bool

    @property
    def halves(self) -> bool:
        """Whether these are windows of 2x2 side by side."""
        return (self.kernel, self.stride, self.low, self.high, self.dilation) == ((2, 2), (2, 2), (0, 0), (0, 0), (1, 1))

    def local(self) -> Rules | None:
        """Where the outputs of a pool over two axes come from."""
        if len(self.kernel) != 2:
            return None
        reach = [d * (k - 1) for d, k in zip(self.dilation, self.kernel, strict=True)]
        rows, columns = (Sliding(*axis, self.ceil) for axis in zip(self.stride, self.low, self.high, reach, strict=True))
        return rows, columns

    def windows(self, op: str, x: Tensor, padded: bool = False) -> list[Windows]:
        """The windows of each axis, the same objects for the same sizes."""
        return list(_windows(self, op, x.shape, padded))


@lru_cache(maxsize=512)
def _windows(slide: Slide, op: str, shape: tuple[int, ...], padded: bool) -> tuple[Windows, ...]:
    at = len(shape) - len(slide.kernel)
    axes = zip(shape[at:], slide.kernel, slide.stride, slide.low, slide.high, slide.dilation, strict=True)
    found = tuple(_sliding(n, k, s, low, high, d, slide.ceil, padded) for n, k, s, low, high, d in axes)
    if 0 in shape[at - 1 :]:
        raise ShapeError(f"{op}: expected axes that are not empty but for the batch, got shape {shape}; pass at least one pixel")
    if any(len(w.table) < 1 for w in found):
        raise ShapeError(
            f"{op}: expected x at least as large as the window {slide.kernel}, got shape {shape}; use a smaller kernel_size or padding"
        )
    return found


def slide(op: str, n: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any = 1, ceil_mode: bool = False) -> Slide:
    """Check the arguments of a pool over ``n`` axes; what they say is remembered, since a network asks the same again and again."""
    given = (kernel_size, () if stride is None else stride, padding, dilation)
    return (_known if all(map(is_plain, given)) else _slide)(op, n, *given, bool(ceil_mode))


def _slide(op: str, n: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil: bool) -> Slide:
    size = integers(op, "kernel_size", kernel_size, n, 1)
    steps = size if isinstance(stride, Sequence) and not stride else integers(op, "stride", stride, n, 1)
    pads, apart = integers(op, "padding", padding, n, 0), integers(op, "dilation", dilation, n, 1)
    if any(2 * p > d * (k - 1) + 1 for p, k, d in zip(pads, size, apart, strict=True)):
        raise ArgumentError(f"{op}: expected padding of at most half the kernel size {size}, got {pads}; use a smaller padding")
    return Slide(size, steps, pads, pads, apart, ceil)


_known = lru_cache(maxsize=512)(_slide)
