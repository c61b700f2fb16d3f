"""Pooling over sliding windows."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from neurenix import autograd, backend
from neurenix._typing import Array
from neurenix.backend.kernel import In, Index, IndexOut, InOut, Mask, MaskOut, Optional, Out, Size, kernel
from neurenix.errors import ArgumentError
from neurenix.layout import Addend, copy, copy_into
from neurenix.ops._arguments import choice, floats, integer, spatial
from neurenix.ops._axis import Host, Table, placed, sums
from neurenix.ops._frame import Frame, frame
from neurenix.ops._windows import Slide, Windows, slide
from neurenix.ops.create import zeros
from neurenix.ops.pooling_integers import max_integers
from neurenix.ops.resize import apply_tables
from neurenix.ops.unpooling import unpool_add
from neurenix.tensor import Tensor, as_tensor
from neurenix.window_rules import Local


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


@kernel("floats", gpu_only=True)
def max_pool_backward_add(dx: InOut, dy: In, tap: Mask, outer: Size, h: Size, w: Size, inner: Size, oh: Size, ow: Size) -> None:
    """dx += what max_pool_backward gives for windows of 2x2 at stride 2."""


def _map(x: Tensor, windows: list[Windows]) -> tuple[Frame, list[int]]:
    """The frame of ``x``, and the sizes that the kernels take, a missing row axis added."""
    f = frame(x._array, len(windows))
    sizes, outputs = list(f.spatial), [len(w.table) for w in windows]
    if len(windows) == 1:
        sizes, outputs = [1, *sizes], [1, *outputs]
    return f, [f.outer, *sizes, f.channels, *outputs]


_WHOLE = Windows(np.array([[0, 1]], np.int64), np.ones(1), 1, 1)


def _landing(g: Array, windows: list[Windows]) -> Array:
    """A gradient without what flows to windows that lie beside the map altogether, between whose taps it is: that goes nowhere."""
    beside = [(axis - len(windows), int(j)) for axis, w in enumerate(windows) for j in np.flatnonzero(w.table[:, 1] == 0)]
    if beside:
        g = copy(g)
    for axis, j in beside:
        part = g.swapaxes(axis, -1)[..., j]
        copy_into(part, zeros(1, dtype=g.dtype, device=backend.device_of(g)).expand(*part.shape)._array)
    return g


def _rule_of_taps(f: Frame, windows: list[Windows], tap: Array, rest: tuple[Any, ...], halves: bool) -> autograd.Vjp:
    """The gradient where the maxima's taps are kept; on a GPU added to another in one pass where windows of 2x2 lie side by side."""
    is_added = halves and f.last and bool(f.lead) and type(f.buffer) is not np.ndarray

    def rule(g: Array) -> tuple[Any]:
        dy = f.buffer_of(_landing(g, windows))

        def make() -> Array:
            dx = f.new(f.spatial)
            max_pool_backward(dx, dy, tap, *rest)
            return f.logical(dx)

        def add(total: Array) -> bool:
            dx, (h, w), (oh, ow) = total.transpose(0, 2, 3, 1), f.spatial, dy.shape[1:3]
            if fits := bool(dx.flags.c_contiguous):
                max_pool_backward_add(dx, dy, tap, f.outer, h, w, f.channels, oh, ow)
            return fits

        return (Addend((*f.lead, f.channels, *f.spatial), g.dtype, make, add) if is_added else make(),)

    return rule


def max_windows(
    op: str,
    x: Tensor,
    windows: list[Windows],
    indices: bool,
    local: Local | None = None,
    halves: bool = False,
    made: tuple[Array, Array] | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Max pooling over given windows of one or two axes.

    ``halves`` says that they are those of 2x2 at stride 2; ``made`` are the maxima and their taps, where a pass has given them.
    """
    f, sizes = _map(x, windows)
    device = backend.device_of(f.buffer)
    row, col = ([_WHOLE, *windows])[-2:]
    tables = (placed(row.table.reshape(-1), "int64", device), placed(col.table.reshape(-1), "int64", device))
    rest = (*tables, *sizes, row.taps, col.taps, row.step, col.step)
    outputs = tuple(len(w.table) for w in windows)
    recorded = autograd.is_grad_enabled() and x.requires_grad
    y, tap = made or (f.new(outputs), None)
    if indices or (recorded and row.taps * col.taps > 256):
        index = f.new(outputs, np.int64)
        max_pool_indices(y, index, f.buffer, *rest)
        f = f.without_map()

        def from_index(g: Array) -> tuple[Array]:
            dx = f.new(f.spatial)
            unpool_add(dx, f.buffer_of(_landing(g, windows)), index, f.outer, sizes[4] * sizes[5], f.channels, sizes[1] * sizes[2])
            return (f.logical(dx),)

        pooled = autograd.record(op, f.logical(y), (x,), from_index, None if indices else local)
        return pooled, Tensor._wrap(f.logical(index)) if indices else None
    if made is None:
        tap = f.new(outputs, np.uint8) if recorded else None
        max_pool(y, tap, f.buffer, *rest)
    f = f.without_map()
    return autograd.record(op, f.logical(y), (x,), _rule_of_taps(f, windows, tap, rest, halves), local), None


@lru_cache(maxsize=512)
def _averaging(windows: tuple[Windows, ...], override: int | None) -> tuple[list[Table], list[Host] | None]:
    """The tables of an average over windows, and what its sums are divided by."""
    divisors = [w.divisor for w in windows]
    if override is not None:
        divisors = [np.full(len(w.table), float(override) if axis == 0 else 1.0) for axis, w in enumerate(windows)]
    # A sum is divided once, as PyTorch does, unless multiplying by the inverse is exact: by powers of two.
    exact = all(bool((np.frexp(d)[0] == 0.5).all()) for d in divisors)
    weights = [1 / d if exact else np.ones(len(d)) for d in divisors]
    return [sums(w.table, weight) for w, weight in zip(windows, weights, strict=True)], None if exact else divisors


def average_windows(op: str, x: Tensor, windows: list[Windows], override: int | None = None, local: Local | None = None) -> Tensor:
    """Average pooling over given windows of any number of axes."""
    return apply_tables(op, x, *_averaging(tuple(windows), override), local)


def _max(op: str, n: int, x: Any, window: Slide, indices: bool) -> Any:
    t = as_tensor(x)
    whole = t.dtype.kind in "iu"
    t = spatial(op, t if whole else floats(op, t), n)
    windows = window.windows(op, t)
    y, index = max_integers(t, windows, indices) if whole else max_windows(op, t, windows, indices, window.local, window.halves)
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
        float32, float64 or integers (label maps), any memory order.
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


def halves(x: Tensor, ceil_mode: bool, made: tuple[Array, Array] | None = None) -> Tensor:
    """``max_pool2d(x, 2, ceil_mode=ceil_mode)``; ``made`` are its maxima and their taps, channels last, where a pass has given them."""
    if made is None:
        return max_pool2d(x, 2, ceil_mode=ceil_mode)  # type: ignore[no-any-return]
    window = slide("max_pool2d", 2, 2, None, 0, 1, ceil_mode)
    return max_windows("max_pool2d", x, window.windows("max_pool2d", x), False, window.local, True, made)[0]


def max_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Take the maximum over sliding windows of (N, C, L) or (C, L); see :func:`max_pool2d`.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.max_pool1d(nx.tensor([[1.0, 3.0, 7.0, 5.0]]), 2)
    tensor([[3., 7.]])
    """
    return _max("max_pool1d", 1, input, slide("max_pool1d", 1, kernel_size, stride, padding, dilation, ceil_mode), return_indices)


def _average(op: str, n: int, x: Any, window: Slide, include: bool, override: int | None) -> Tensor:
    if override is not None and (isinstance(override, bool) or not isinstance(override, int) or override == 0):
        raise ArgumentError(
            f"{op}: expected divisor_override as an integer other than 0, got {override!r}; leave it out for the window's size"
        )
    x = spatial(op, floats(op, x), n)
    return average_windows(op, x, window.windows(op, x, bool(include)), override, window.local)


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
    """Average over sliding windows of (N, C, L) or (C, L); see :func:`avg_pool2d`.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.avg_pool1d(nx.tensor([[1.0, 3.0, 5.0, 7.0]]), 2)
    tensor([[2., 6.]])
    """
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
    """Average over sliding windows of (N, C, D, H, W) or (C, D, H, W); see :func:`avg_pool2d`.

    Examples
    --------
    >>> import neurenix as nx
    >>> volume = nx.arange(8).float().reshape(1, 1, 2, 2, 2)
    >>> nx.nn.functional.avg_pool3d(volume, 2).item()
    3.5
    """
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
    window = Slide((size, size), one, low, high, one, False)
    windows = window.windows(op, x)
    return average_windows(op, x, windows, None, window.local) if kind == "avg" else max_windows(op, x, windows, False, window.local)[0]
