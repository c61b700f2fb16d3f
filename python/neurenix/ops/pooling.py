"""Pooling over sliding windows, and its inverse."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from neurenix import autograd, backend
from neurenix._typing import Array
from neurenix.backend.kernel import In, Index, IndexOut, Mask, MaskOut, Optional, Out, Size, kernel
from neurenix.errors import ArgumentError, ShapeError
from neurenix.ops._arguments import choice, floats, integer, integers, spatial
from neurenix.ops._axis import Host, placed, sliding_windows, sums
from neurenix.ops._frame import Frame, frame
from neurenix.ops.resize import apply_tables
from neurenix.tensor import Tensor, as_tensor


@kernel("floats")
def max_pool(
    y: Out, tap: Optional[MaskOut], x: In, row_windows: Index, col_windows: Index,
    outer: Size, h: Size, w: Size, inner: Size, oh: Size, ow: Size, row_taps: Size, col_taps: Size, row_step: Size, col_step: Size,
) -> None:  # fmt: skip
    """y[o, i, j, c] = max over k, l of x[o, rows[i] + k row_step, cols[j] + l col_step, c]; tap = k col_taps + l.

    A window table holds (first pixel, number of taps) for each output; taps outside the map are not in it. Of equal values
    the first is taken, of NaNs the last; a window of minus infinities names its first tap.
    """


@kernel("floats")
def max_pool_indices(
    y: Out, index: IndexOut, x: In, row_windows: Index, col_windows: Index,
    outer: Size, h: Size, w: Size, inner: Size, oh: Size, ow: Size, row_taps: Size, col_taps: Size, row_step: Size, col_step: Size,
) -> None:  # fmt: skip
    """As max_pool, with index = row * w + column of the maximum in the map."""


@kernel("floats")
def max_pool_backward(
    dx: Out, dy: In, tap: Mask, row_windows: Index, col_windows: Index,
    outer: Size, h: Size, w: Size, inner: Size, oh: Size, ow: Size, row_taps: Size, col_taps: Size, row_step: Size, col_step: Size,
) -> None:  # fmt: skip
    """dx[o, r, s, c] = sum of the dy[o, i, j, c], (i, j) in order, whose tap is pixel (r, s)."""


@kernel("floats")
def unpool(y: Out, x: In, index: Index, outer: Size, pixels: Size, inner: Size, count: Size) -> None:
    """y[o, index[o, p, c], c] = x[o, p, c], the last p of equal ones; zero elsewhere. x is (outer, pixels, inner), y (outer, count, inner)."""


@kernel("floats")
def unpool_add(y: Out, x: In, index: Index, outer: Size, pixels: Size, inner: Size, count: Size) -> None:
    """y[o, q, c] = sum of the x[o, p, c], p in order, whose index is q."""


@kernel("floats")
def unpool_backward(dx: Out, dy: In, index: Index, outer: Size, pixels: Size, inner: Size, count: Size) -> None:
    """dx[o, p, c] = dy[o, index[o, p, c], c], zero for an index outside."""


class Windows(NamedTuple):
    """The windows of one axis, and what an average over each is divided by."""

    table: Host  # (outputs, 2): first pixel and number of taps
    divisor: Host
    taps: int
    step: int


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


class _Slide(NamedTuple):
    """Kernel sizes and the like, one for each spatial axis."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    low: tuple[int, ...]
    high: tuple[int, ...]
    dilation: tuple[int, ...]
    ceil: bool

    def windows(self, op: str, x: Tensor, padded: bool = False) -> list[Windows]:
        sizes = x.shape[x.ndim - len(self.kernel) :]
        axes = zip(sizes, self.kernel, self.stride, self.low, self.high, self.dilation, strict=True)
        found = [_sliding(n, k, s, low, high, d, self.ceil, padded) for n, k, s, low, high, d in axes]
        if any(len(w.table) < 1 for w in found) or 0 in sizes:
            raise ShapeError(
                f"{op}: expected x at least as large as the window {self.kernel}, got shape {x.shape}; use a smaller kernel_size or padding"
            )
        return found


def slide(op: str, n: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any = 1, ceil_mode: bool = False) -> _Slide:
    """Check the arguments of a pool over ``n`` axes."""
    size = integers(op, "kernel_size", kernel_size, n, 1)
    steps = size if stride is None or (isinstance(stride, Sequence) and not stride) else integers(op, "stride", stride, n, 1)
    pads, apart = integers(op, "padding", padding, n, 0), integers(op, "dilation", dilation, n, 1)
    if any(2 * p > d * (k - 1) + 1 for p, k, d in zip(pads, size, apart, strict=True)):
        raise ArgumentError(f"{op}: expected padding of at most half the kernel size {size}, got {pads}; use a smaller padding")
    return _Slide(size, steps, pads, pads, apart, bool(ceil_mode))


def _map(x: Tensor, windows: list[Windows]) -> tuple[Frame, list[int]]:
    """The frame of ``x``, and the sizes that the kernels take, a missing row axis added."""
    f = frame(x._array, len(windows))
    sizes, outputs = list(f.spatial), [len(w.table) for w in windows]
    if len(windows) == 1:
        sizes, outputs = [1, *sizes], [1, *outputs]
    return f, [f.outer, *sizes, f.channels, *outputs]


_WHOLE = Windows(np.array([[0, 1]], np.int64), np.ones(1), 1, 1)


def max_windows(op: str, x: Tensor, windows: list[Windows], indices: bool) -> tuple[Tensor, Tensor | None]:
    """Max pooling over given windows of one or two axes."""
    f, sizes = _map(x, windows)
    device = backend.device_of(f.buffer)
    row, col = ([_WHOLE, *windows])[-2:]
    tables = (placed(row.table.reshape(-1), "int64", device), placed(col.table.reshape(-1), "int64", device))
    rest = (*sizes, row.taps, col.taps, row.step, col.step)
    outputs = tuple(len(w.table) for w in windows)
    y = f.new(outputs)
    recorded = autograd.is_grad_enabled() and x.requires_grad
    if indices or (recorded and row.taps * col.taps > 256):
        index = f.new(outputs, np.int64)
        max_pool_indices(y, index, f.buffer, *tables, *rest)

        def from_index(g: Array) -> tuple[Array]:
            dx = f.new(f.spatial)
            unpool_add(dx, f.buffer_of(g), index, f.outer, sizes[4] * sizes[5], f.channels, sizes[1] * sizes[2])
            return (f.logical(dx),)

        return autograd.record(op, f.logical(y), (x,), from_index), Tensor._wrap(f.logical(index)) if indices else None
    tap = f.new(outputs, np.uint8) if recorded else None
    max_pool(y, tap, f.buffer, *tables, *rest)

    def from_tap(g: Array) -> tuple[Array]:
        dx = f.new(f.spatial)
        max_pool_backward(dx, f.buffer_of(g), tap, *tables, *rest)
        return (f.logical(dx),)

    return autograd.record(op, f.logical(y), (x,), from_tap), None


def average_windows(op: str, x: Tensor, windows: list[Windows], override: int | None = None) -> Tensor:
    """Average pooling over given windows of any number of axes."""
    tables, divisors = [], []
    for axis, w in enumerate(windows):
        tables.append(sums(w.table, np.ones(len(w.table))))
        shared = np.full(len(w.table), float(override) if axis == 0 else 1.0) if override is not None else w.divisor
        divisors.append(shared)
    return apply_tables(op, x, tables, divisors)


def _max(op: str, n: int, x: Any, window: _Slide, indices: bool) -> Any:
    x = spatial(op, floats(op, x), n)
    y, index = max_windows(op, x, window.windows(op, x), indices)
    return (y, index) if indices else y


def max_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Take the maximum over sliding windows.

    Parameters
    ----------
    input : Tensor, shape (N, C, H, W) or (C, H, W)
        float32 or float64, any memory order.
    kernel_size, stride, padding, dilation : int or (int, int)
        Window, its steps (the window where ``None``), rows and columns of minus infinity around the map, distance of taps.
    ceil_mode : bool
        Round the output's size up, so that no row is left out.
    return_indices : bool
        Also give each maximum's place ``row * W + column``.

    Returns
    -------
    Tensor, shape (N, C, OH, OW), or with its indices (int64)

    Raises
    ------
    ShapeError
        If ``input`` has other axes or no window fits.
    ArgumentError
        If a number is too small, or the padding more than half the window.

    Notes
    -----
    Of equal values the first is taken, and the gradient goes there. One byte a window is kept for it.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([[[[1.0, 2.0, 5.0], [4.0, 3.0, 0.0]]]])
    >>> nx.nn.functional.max_pool2d(x, 2, stride=1).numpy()[0, 0]
    array([[4., 5.]], dtype=float32)
    """
    return _max("max_pool2d", 2, input, slide("max_pool2d", 2, kernel_size, stride, padding, dilation, ceil_mode), return_indices)


def max_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Take the maximum over sliding windows of (N, C, L) or (C, L); see :func:`max_pool2d`."""
    return _max("max_pool1d", 1, input, slide("max_pool1d", 1, kernel_size, stride, padding, dilation, ceil_mode), return_indices)


def max_pool3d(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False) -> Tensor:
    """Take the maximum over sliding windows of (N, C, D, H, W) or (C, D, H, W), without indices; see :func:`max_pool2d`."""
    op = "max_pool3d"
    window = slide(op, 3, kernel_size, stride, padding, dilation, ceil_mode)
    x = spatial(op, floats(op, input), 3)
    depth, *plane = window.windows(op, x)
    sizes, lead = x.shape[-3:], x.shape[:-3]
    planes = _reshaped(x, (*lead, sizes[0], *sizes[1:]))
    y, _ = max_windows(op, planes, plane, False)
    oh, ow = y.shape[-2:]
    y, _ = max_windows(op, _reshaped(y, (*lead[:-1], lead[-1], sizes[0], oh * ow)), [depth, _every(oh * ow)], False)
    return _reshaped(y, (*lead, len(depth.table), oh, ow))


@lru_cache(maxsize=64)
def _every(size: int) -> Windows:
    return Windows(np.stack([np.arange(size), np.ones(size, np.int64)], axis=1), np.ones(size), 1, 1)


def _reshaped(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A dense reshape that is recorded."""
    from neurenix.layout import contiguous

    before = x.shape
    return autograd.record("reshape", contiguous(x._array).reshape(shape), (x,), lambda g: (contiguous(g).reshape(before),))


def _average(op: str, n: int, x: Any, window: _Slide, include: bool, override: int | None) -> Tensor:
    if override is not None and (isinstance(override, bool) or not isinstance(override, int) or override == 0):
        raise ArgumentError(
            f"{op}: expected divisor_override as an integer other than 0, got {override!r}; leave it out for the window's size"
        )
    x = spatial(op, floats(op, x), n)
    return average_windows(op, x, window.windows(op, x, bool(include)), override)


def avg_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Average over sliding windows.

    Parameters
    ----------
    input : Tensor, shape (N, C, H, W) or (C, H, W)
        float32 or float64, any memory order.
    kernel_size, stride, padding : int or (int, int)
        Window, its steps (the window where ``None``), rows and columns of zeros around the map.
    ceil_mode : bool
        Round the output's size up, so that no row is left out.
    count_include_pad : bool
        Whether zeros of the padding count in the average.
    divisor_override : int, optional
        Divide every sum by this instead.

    Returns
    -------
    Tensor, shape (N, C, OH, OW)

    Raises
    ------
    ShapeError
        If ``input`` has other axes or no window fits.
    ArgumentError
        If a number is too small, or the padding more than half the window.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    >>> nx.nn.functional.avg_pool2d(x, 2, 1, padding=1, count_include_pad=False).numpy()[0, 0]
    array([[1. , 1.5, 2. ],
           [2. , 2.5, 3. ],
           [3. , 3.5, 4. ]], dtype=float32)
    """
    window = slide("avg_pool2d", 2, kernel_size, stride, padding, 1, ceil_mode)
    return _average("avg_pool2d", 2, input, window, count_include_pad, divisor_override)


def avg_pool1d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True
) -> Tensor:
    """Average over sliding windows of (N, C, L) or (C, L); see :func:`avg_pool2d`."""
    return _average("avg_pool1d", 1, input, slide("avg_pool1d", 1, kernel_size, stride, padding, 1, ceil_mode), count_include_pad, None)


def avg_pool3d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Average over sliding windows of (N, C, D, H, W) or (C, D, H, W); see :func:`avg_pool2d`."""
    window = slide("avg_pool3d", 3, kernel_size, stride, padding, 1, ceil_mode)
    return _average("avg_pool3d", 3, input, window, count_include_pad, divisor_override)


def same_pool2d(input: Any, kernel_size: int, kind: str) -> Tensor:
    """Pool at stride 1 to the same size; padding counts in neither kind, even kernels reach one more down and right.

    Parameters
    ----------
    input : Tensor, shape (N, C, H, W) or (C, H, W)
    kernel_size : int
    kind : {"avg", "max"}

    Returns
    -------
    Tensor, shape of ``input``

    Examples
    --------
    >>> import neurenix as nx
    >>> from neurenix.ops.pooling import same_pool2d
    >>> same_pool2d(nx.tensor([[[[1.0, 3.0, 2.0]]]]), 2, "avg").numpy()[0, 0]
    array([[2. , 2.5, 2. ]], dtype=float32)
    """
    op = "same_pool2d"
    size = integer(op, "kernel_size", kernel_size, 1)
    choice(op, "kind", kind, ("avg", "max"))
    x = spatial(op, floats(op, input), 2)
    low, high, one = ((size - 1) // 2,) * 2, (size // 2,) * 2, (1, 1)
    windows = _Slide((size, size), one, low, high, one, False).windows(op, x)
    return average_windows(op, x, windows) if kind == "avg" else max_windows(op, x, windows, False)[0]


def max_unpool2d(
    input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Sequence[int] | None = None
) -> Tensor:
    """Put each value where the maximum was; zero elsewhere.

    Parameters
    ----------
    input : Tensor, shape (N, C, H, W) or (C, H, W)
    indices : Tensor of int64, shape of ``input``
        From :func:`max_pool2d`.
    kernel_size, stride, padding : int or (int, int)
        Of that pool.
    output_size : sequence of int, optional
        The pool's input size, (OH, OW) or of all axes, where it does not follow from the others.

    Returns
    -------
    Tensor, shape (N, C, OH, OW)

    Raises
    ------
    ShapeError
        If the shapes differ or the size does not go with the window.
    ArgumentError
        If an index is outside.

    Examples
    --------
    >>> import neurenix as nx
    >>> y = nx.nn.functional.max_unpool2d(nx.tensor([[[[5.0]]]]), nx.tensor([[[[2]]]]), 2)
    >>> y.numpy()[0, 0]
    array([[0., 0.],
           [5., 0.]], dtype=float32)
    """
    op = "max_unpool2d"
    window = slide(op, 2, kernel_size, stride, padding)
    x, indices = spatial(op, floats(op, input), 2), as_tensor(indices)
    if indices.shape != x.shape or indices.dtype != np.int64:
        raise ShapeError(
            f"{op}: expected int64 indices of shape {x.shape}, got {indices.dtype}{indices.shape}; pass those of max_pool2d(return_indices=True)"
        )
    backend.same_device(op, x._array, indices._array)
    out = _unpooled(op, x, window, output_size)
    f = frame(x._array, 2)
    index = f.buffer_of(indices._array)
    y = f.new(out)
    sizes = (f.outer, f.spatial[0] * f.spatial[1], f.channels, out[0] * out[1])
    unpool(y, f.buffer, index, *sizes)

    def vjp(g: Array) -> tuple[Array]:
        dx = f.new(f.spatial)
        unpool_backward(dx, f.buffer_of(g), index, *sizes)
        return (f.logical(dx),)

    return autograd.record(op, f.logical(y), (x,), vjp)


def _unpooled(op: str, x: Tensor, window: _Slide, output_size: Sequence[int] | None) -> tuple[int, ...]:
    natural = tuple((n - 1) * s + k - 2 * p for n, k, s, p in zip(x.shape[-2:], window.kernel, window.stride, window.low, strict=True))
    if output_size is None:
        return natural
    out = tuple(integer(op, "output_size", n, 1) for n in output_size)[-2:]
    if len(out) != 2 or any(abs(n - m) >= s for n, m, s in zip(out, natural, window.stride, strict=True)):
        raise ShapeError(
            f"{op}: expected output_size within a stride of {natural}, got {tuple(output_size)}; pass the size that was pooled"
        )
    return out
