"""What batch, instance and group norm are made of: statistics of a map's channels, and a scale and shift from them.

Dimensions: N samples, C channels, P pixels a channel. All three are the same rows: per sample and channel the moments
over fixed units of pixels, then small tables in double precision, then ``x * scale + shift`` in one pass.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import numpy as np

from neurenix import backend, layout
from neurenix._typing import Array
from neurenix.backend.kernel import Double, DoubleOut, Enum, In, InOut, MaskOut, Optional, Out, Real, Size, kernel


@kernel("floats")
def norm_moments(x: In, mean: DoubleOut, square: DoubleOut, n: Size, h: Size, w: Size, c: Size) -> None:
    """mean[n, c] over h, w; square[n, c] = sum of (x - mean)^2; units of eight 4x4 tiles merged by Chan's formula in a tree."""


@kernel("floats")
def norm_tables(
    scale: Out,
    shift: Out,
    mean: DoubleOut,
    rstd: DoubleOut,
    running_mean: Optional[InOut],
    running_var: Optional[InOut],
    moment_mean: Double,
    moment_square: Double,
    weight: Optional[In],
    bias: Optional[In],
    n: Size,
    c: Size,
    pixels: Size,
    groups: Size,
    eps: Real,
    momentum: Real,
) -> None:
    """scale = weight * rstd, shift = bias - mean * scale; (1, c) for groups = 0 (over the batch), else (n, c)."""


@kernel("floats")
def norm_running_tables(
    scale: Out,
    shift: Out,
    mean: DoubleOut,
    rstd: DoubleOut,
    running_mean: In,
    running_var: In,
    weight: Optional[In],
    bias: Optional[In],
    c: Size,
    eps: Real,
) -> None:
    """rstd = 1 / sqrt(running_var + eps), scale = weight * rstd, shift = bias - running_mean * scale."""


@kernel("floats")
def norm_apply(y: Out, x: In, scale: In, shift: In, rows: Size, n: Size, pixels: Size, c: Size, relu: Enum) -> None:
    """y[n, p, c] = x[n, p, c] * scale[n, c] + shift[n, c], rounded once; max(0, .) if relu."""


@kernel("floats")
def norm_apply_pooled(
    pooled: Out,
    y: Optional[Out],
    tap: MaskOut,
    x: In,
    scale: In,
    shift: In,
    n: Size,
    h: Size,
    w: Size,
    c: Size,
    oh: Size,
    ow: Size,
    relu: Enum,
) -> None:
    """As norm_apply with tables of one row; pooled and tap are what max_pool by 2x2 at stride 2 gives of y, which need not be kept."""


@kernel("floats")
def norm_backward_sums(
    g: In,
    x: In,
    sum_g: DoubleOut,
    sum_gx: DoubleOut,
    mean: Double,
    scale: In,
    shift: In,
    rows: Size,
    n: Size,
    h: Size,
    w: Size,
    c: Size,
    relu: Enum,
) -> None:
    """sum_g[n, c] = sum of g, sum_gx[n, c] = sum of g * (x - mean); if relu, where x * scale + shift > 0."""


@kernel("floats")
def norm_backward_tables(
    a: Out,
    b: Out,
    d: Out,
    dweight: Optional[Out],
    dbias: Optional[Out],
    sum_g: Optional[Double],
    sum_gx: Optional[Double],
    mean: Double,
    rstd: Double,
    weight: Optional[In],
    n: Size,
    c: Size,
    pixels: Size,
    groups: Size,
    training: Enum,
) -> None:
    """dx = g * a + (x * b + d); dweight = sum of rstd * sum_gx, dbias = sum of sum_g over samples."""


@kernel("floats")
def norm_backward_apply(
    dx: Out,
    g: In,
    x: In,
    a: In,
    b: In,
    d: In,
    scale: In,
    shift: In,
    rows: Size,
    n: Size,
    pixels: Size,
    c: Size,
    relu: Enum,
) -> None:
    """dx = g * a + (x * b + d), g = 0 where relu and x * scale + shift <= 0."""


_rerun: ContextVar[bool] = ContextVar("norm_rerun", default=False)


@contextmanager
def keep_running_statistics() -> Iterator[None]:
    """Leave running statistics as they are: a checkpoint's second run of the same batch."""
    token = _rerun.set(True)
    try:
        yield
    finally:
        _rerun.reset(token)


def is_rerun() -> bool:
    """Whether running statistics are to be left as they are."""
    return _rerun.get()


class Sizes(NamedTuple):
    """Sizes of a map whose buffer is (n, h, w, c), and how its channels share statistics."""

    n: int
    h: int
    w: int
    c: int
    groups: int  # 0: over the batch

    @property
    def rows(self) -> int:
        """Rows of the tables."""
        return 1 if self.groups == 0 else self.n

    @property
    def pixels(self) -> int:
        """Pixels of a channel."""
        return self.h * self.w


class Tables(NamedTuple):
    """What a normalisation applies, and what its gradient needs."""

    scale: Array
    shift: Array
    mean: Array
    rstd: Array


def order_last(ndim: int) -> tuple[int, ...]:
    """The axes of (N, C, ...) with the channels last."""
    return (0, *range(2, ndim), 1) if ndim > 2 else tuple(range(ndim))


def to_last(x: Array) -> Array:
    """The dense buffer of (N, C, ...) with the channels last."""
    return layout.contiguous(x.transpose(order_last(x.ndim)))


def from_last(buffer: Array) -> Array:
    """The logical (N, C, ...) array of a buffer with the channels last."""
    n = buffer.ndim
    return buffer.transpose((0, n - 1, *range(1, n - 1))) if n > 2 else buffer


def sizes_of(x: Array, groups: int) -> Sizes:
    """Sizes of a logical (N, C, ...) array; all spatial axes but the last count as rows."""
    spatial = x.shape[2:]
    return Sizes(x.shape[0], math.prod(spatial[:-1]), spatial[-1] if spatial else 1, x.shape[1], groups)


def _new_tables(like: Array, rows: int, c: int) -> Tables:
    return Tables(*(backend.new(like, (rows, c), t) for t in (None, None, np.float64, np.float64)))


def new_moments(like: Array, s: Sizes) -> tuple[Array, Array]:
    """Room for the means and squares of samples and channels."""
    return backend.new(like, (s.n, s.c), np.float64), backend.new(like, (s.n, s.c), np.float64)


def batch_tables(
    buffer: Array,
    s: Sizes,
    weight: Array | None,
    bias: Array | None,
    running: tuple[Array | None, Array | None],
    momentum: float,
    eps: float,
    moments: tuple[Array, Array] | None = None,
) -> Tables:
    """Tables from the statistics of a channels-last buffer, ``moments`` where they are known; ``running`` ones move by ``momentum``."""
    if moments is None:
        moments = new_moments(buffer, s)
        norm_moments(buffer, *moments, s.n, s.h, s.w, s.c)
    tables = _new_tables(buffer, s.rows, s.c)
    norm_tables(*tables, *running, *moments, weight, bias, s.n, s.c, s.pixels, s.groups, eps, momentum)
    return tables


def running_tables(like: Array, mean: Array, var: Array, weight: Array | None, bias: Array | None, eps: float) -> Tables:
    """Tables from stored statistics."""
    c = mean.shape[0]
    tables = _new_tables(like, 1, c)
    norm_running_tables(*tables, mean, var, weight, bias, c, eps)
    return tables


def running_scale_and_shift(mean: Array, var: Array, weight: Array | None, bias: Array | None, eps: float) -> Array:
    """Scale and shift from stored statistics, the rows of one array."""
    c = mean.shape[0]
    rows, rest = backend.new(mean, (2, c)), backend.new(mean, (2, c), np.float64)
    norm_running_tables(rows[0], rows[1], rest[0], rest[1], mean, var, weight, bias, c, eps)
    return rows


class Slopes(NamedTuple):
    """A normalisation's gradient: ``dx = g * a + (x * b + d)``."""

    a: Array
    b: Array
    d: Array


def slopes(
    g: Array, buffer: Array, s: Sizes, tables: Tables, weight: Array | None, training: bool, relu: bool, needs: tuple[bool, ...]
) -> tuple[Slopes, Array | None, Array | None]:
    """The tables of the buffer's gradient, and the gradients of weight and bias where ``needs`` asks for them."""
    sums: tuple[Array | None, Array | None] = (None, None)
    if training or any(needs):
        sums = (backend.new(g, (s.n, s.c), np.float64), backend.new(g, (s.n, s.c), np.float64))
        norm_backward_sums(g, buffer, *sums, tables.mean, tables.scale, tables.shift, s.rows, s.n, s.h, s.w, s.c, relu)
    found = Slopes(*(backend.new(g, (s.rows, s.c)) for _ in range(3)))
    dweight, dbias = (backend.new(g, (s.c,)) if need else None for need in needs)
    norm_backward_tables(*found, dweight, dbias, *sums, tables.mean, tables.rstd, weight, s.n, s.c, s.pixels, s.groups, training)
    return found, dweight, dbias


def apply(x: Array, s: Sizes, tables: Tables, relu: bool) -> Array:
    """A buffer normalised, then ReLU where asked."""
    y = backend.new(x, x.shape)
    norm_apply(y, x, tables.scale, tables.shift, s.rows, s.n, s.pixels, s.c, relu)
    return y


def apply_pooled(x: Array, s: Sizes, tables: Tables, relu: bool, size: tuple[int, int], keeps: bool) -> tuple[Array | None, Array, Array]:
    """A buffer normalised as by :func:`apply`, ``None`` unless it is kept, its 2x2 maxima of a size at stride 2, and their taps."""
    y = backend.new(x, x.shape) if keeps else None
    pooled, tap = (backend.new(x, (s.n, *size, s.c), dtype) for dtype in (None, np.uint8))
    norm_apply_pooled(pooled, y, tap, x, tables.scale, tables.shift, s.n, s.h, s.w, s.c, *size, relu)
    return y, pooled, tap


def backward_apply(g: Array, buffer: Array, s: Sizes, tables: Tables, slopes: Slopes, relu: bool) -> Array:
    """The gradient of the buffer."""
    dx = backend.new(g, g.shape)
    norm_backward_apply(dx, g, buffer, *slopes, tables.scale, tables.shift, s.rows, s.n, s.pixels, s.c, relu)
    return dx


def backward(
    g: Array, buffer: Array, s: Sizes, tables: Tables, weight: Array | None, training: bool, relu: bool, needs: tuple[bool, ...]
) -> tuple[Array | None, Array | None, Array | None]:
    """Gradients of (buffer, weight, bias) from that of the output, all channels last."""
    found, dweight, dbias = slopes(g, buffer, s, tables, weight, training, relu, needs[1:])
    return backward_apply(g, buffer, s, tables, found, relu) if needs[0] else None, dweight, dbias
