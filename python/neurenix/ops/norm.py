"""Batch, instance and group norm: statistics of a map's channels, and a scale and shift from them.

Dimensions: N samples, C channels, P pixels a channel. All three are the same rows: per sample and channel the moments
over fixed units of pixels, then small tables in double precision, then ``x * scale + shift`` in one pass.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np

from neurenix import autograd, backend, layout
from neurenix._typing import Array
from neurenix.backend.kernel import Double, DoubleOut, Enum, In, InOut, Optional, Out, Real, Size, kernel
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.tensor import Tensor, as_tensor


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


def batch_tables(
    buffer: Array,
    s: Sizes,
    weight: Array | None,
    bias: Array | None,
    running: tuple[Array | None, Array | None],
    momentum: float,
    eps: float,
) -> Tables:
    """Tables from the statistics of a channels-last buffer; ``running`` statistics move by ``momentum``."""
    mean, square = (backend.new(buffer, (s.n, s.c), np.float64) for _ in range(2))
    norm_moments(buffer, mean, square, s.n, s.h, s.w, s.c)
    tables = _new_tables(buffer, s.rows, s.c)
    norm_tables(*tables, *running, mean, square, weight, bias, s.n, s.c, s.pixels, s.groups, eps, momentum)
    return tables


def running_tables(like: Array, mean: Array, var: Array, weight: Array | None, bias: Array | None, eps: float) -> Tables:
    """Tables from stored statistics."""
    c = mean.shape[0]
    tables = _new_tables(like, 1, c)
    norm_running_tables(*tables, mean, var, weight, bias, c, eps)
    return tables


def backward(
    g: Array, buffer: Array, s: Sizes, tables: Tables, weight: Array | None, training: bool, relu: bool, needs: tuple[bool, ...]
) -> tuple[Array | None, Array | None, Array | None]:
    """Gradients of (buffer, weight, bias) from that of the output, all channels last."""
    sums: tuple[Array | None, Array | None] = (None, None)
    if training or needs[1] or needs[2]:
        sums = (backend.new(g, (s.n, s.c), np.float64), backend.new(g, (s.n, s.c), np.float64))
        norm_backward_sums(g, buffer, *sums, tables.mean, tables.scale, tables.shift, s.rows, s.n, s.h, s.w, s.c, relu)
    a, b, d = (backend.new(g, (s.rows, s.c)) for _ in range(3))
    dweight, dbias = (backend.new(g, (s.c,)) if need else None for need in needs[1:])
    norm_backward_tables(a, b, d, dweight, dbias, *sums, tables.mean, tables.rstd, weight, s.n, s.c, s.pixels, s.groups, training)
    dx = None
    if needs[0]:
        dx = backend.new(g, g.shape)
        norm_backward_apply(dx, g, buffer, a, b, d, tables.scale, tables.shift, s.rows, s.n, s.pixels, s.c, relu)
    return dx, dweight, dbias


def _check(op: str, x: Tensor, c: int, **channels: Tensor | None) -> None:
    if not x.is_floating_point() or x.dtype.itemsize < 4:
        raise DTypeError(f"{op}: expected float32 or float64, got {x.dtype}; convert it with .float()")
    for name, t in channels.items():
        if t is None:
            continue
        if t.shape != (c,):
            raise ShapeError(f"{op}: expected {name} of shape ({c},) for input {x.shape}, got {t.shape}; give one value a channel")
        if t.dtype != x.dtype:
            raise DTypeError(f"{op}: expected {name} of {x.dtype} like the input, got {t.dtype}; convert one with .to(dtype)")
        backend.same_device(op, x._array, t._array)


def _optional(t: Any, like: Tensor) -> Tensor | None:
    return None if t is None else as_tensor(t, like)


def _normalise(
    op: str,
    x: Tensor,
    groups: int,
    running: tuple[Tensor | None, Tensor | None],
    affine: tuple[Tensor | None, Tensor | None],
    training: bool,
    momentum: float,
    eps: float,
    relu: bool,
) -> Tensor:
    """Normalise (N, C, ...) by its own statistics if ``training``, else by the running ones."""
    _check(op, x, x.shape[1], running_mean=running[0], running_var=running[1], weight=affine[0], bias=affine[1])
    s = sizes_of(x._array, groups)
    buffer = to_last(x._array)
    weight, bias = (None if t is None else layout.contiguous(t._array) for t in affine)
    stored = [None if t is None else layout.contiguous(t._array) for t in running]
    if not training:
        tables = running_tables(buffer, stored[0], stored[1], weight, bias, eps)
    else:
        moves = x._array.size > 0 and not _rerun.get()
        tables = batch_tables(buffer, s, weight, bias, (stored[0], stored[1]) if moves else (None, None), momentum, eps)
        for t, array in zip(running, stored, strict=True):
            if moves and t is not None:
                if array is not t._array:
                    layout.copy_into(t._array, array)
                t._version += 1
    y = backend.new(buffer, buffer.shape)
    norm_apply(y, buffer, tables.scale, tables.shift, s.rows, s.n, s.pixels, s.c, relu)
    inputs = tuple(t for t in (x, *affine) if t is not None)
    needs = tuple(t is not None and t.requires_grad for t in (x, *affine))

    def vjp(g: Array) -> list[Array | None]:
        dx, dweight, dbias = backward(to_last(g), buffer, s, tables, weight, training, relu, needs)
        gradients = [None if dx is None else from_last(dx), dweight, dbias]
        return [g for g, t in zip(gradients, (x, *affine), strict=True) if t is not None]

    return autograd.record(op, from_last(y), inputs, vjp)


def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    relu: bool = False,
) -> Tensor:
    """Normalise each channel over the batch: ``(x - mean) / sqrt(var + eps) * weight + bias``.

    Parameters
    ----------
    input : Tensor, shape (N, C) or (N, C, ...)
    running_mean, running_var : Tensor, shape (C,), or None
        Overwritten while training: ``(1 - momentum) * old + momentum * new``, with the unbiased variance; used in evaluation.
    weight, bias : Tensor, shape (C,), optional
    training : bool
        Use the batch's mean and biased variance rather than the running ones.
    momentum, eps : float
    relu : bool
        Apply ReLU in the same pass; the same bits as ReLU afterwards.

    Returns
    -------
    Tensor, shape and dtype of ``input``

    Raises
    ------
    ShapeError, DTypeError
        If sizes or element types do not fit.
    ArgumentError
        If there is nothing to normalise by in evaluation.

    Notes
    -----
    One value a channel is accepted while training (the output is the bias). Sums are taken over fixed units of pixels in a
    fixed tree, so the bits do not depend on threads or memory order.

    References
    ----------
    .. [1] S. Ioffe and C. Szegedy, "Batch normalization", ICML 2015.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([[1.0, 2.0], [3.0, 6.0]])
    >>> nx.nn.functional.batch_norm(x, None, None, training=True, eps=0.0).tolist()
    [[-1.0, -1.0], [1.0, 1.0]]
    """
    x = as_tensor(input)
    if x.ndim < 2 and x._array.size > 0:
        raise ShapeError(f"batch_norm: expected (N, C) or (N, C, ...), got {x.shape}; add the missing axes with .unsqueeze(0)")
    if x.ndim < 2:
        return autograd.record("batch_norm", x._array, (x,), lambda g: (g,))
    running = (_optional(running_mean, x), _optional(running_var, x))
    if not training and any(t is None for t in running):
        raise ArgumentError("batch_norm: expected running_mean and running_var in evaluation, got None; pass them or training=True")
    return _normalise("batch_norm", x, 0, running, (_optional(weight, x), _optional(bias, x)), training, momentum, eps, relu)


def instance_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    relu: bool = False,
) -> Tensor:
    """Normalise each channel of each sample over its pixels, see :func:`batch_norm` for the arguments.

    Running statistics move towards the average over the samples; ``use_input_stats=False`` normalises by them.

    References
    ----------
    .. [1] D. Ulyanov et al., "Instance normalization: the missing ingredient for fast stylization", 2016.
    """
    x = as_tensor(input)
    if x.ndim < 3:
        raise ShapeError(f"instance_norm: expected (N, C, ...) with pixels, got {x.shape}; use batch_norm or layer_norm for (N, C)")
    running = (_optional(running_mean, x), _optional(running_var, x))
    if not use_input_stats and any(t is None for t in running):
        raise ArgumentError("instance_norm: expected running_mean and running_var, got None; pass them or use_input_stats=True")
    groups = x.shape[1] if use_input_stats else 0
    return _normalise("instance_norm", x, groups, running, (_optional(weight, x), _optional(bias, x)), use_input_stats, momentum, eps, relu)


def group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5, *, relu: bool = False) -> Tensor:
    """Normalise groups of C / num_groups channels of each sample, see :func:`batch_norm` for the arguments.

    Raises
    ------
    ArgumentError
        If the groups do not divide the channels.

    References
    ----------
    .. [1] Y. Wu and K. He, "Group normalization", ECCV 2018.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.group_norm(nx.tensor([[1.0, 3.0, 5.0, 9.0]]), 2, eps=0.0).tolist()
    [[-1.0, 1.0, -1.0, 1.0]]
    """
    x = as_tensor(input)
    if x.ndim < 2:
        raise ShapeError(f"group_norm: expected (N, C) or (N, C, ...), got {x.shape}; add the missing axes with .unsqueeze(0)")
    if isinstance(num_groups, bool) or not isinstance(num_groups, int) or num_groups < 1 or x.shape[1] % num_groups:
        raise ArgumentError(f"group_norm: expected groups that divide {x.shape[1]} channels, got {num_groups!r}; pass a divisor")
    return _normalise("group_norm", x, num_groups, (None, None), (_optional(weight, x), _optional(bias, x)), True, 0.0, eps, relu)
