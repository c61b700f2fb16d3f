"""Pooling to a given number of bins, whatever the size of the map."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from neurenix import autograd, backend
from neurenix._typing import Array
from neurenix.backend.kernel import In, Index, Out, Size, kernel
from neurenix.errors import ArgumentError, ShapeError
from neurenix.layout import copy_into
from neurenix.memory import require_room
from neurenix.ops._arguments import floats, integer, spatial
from neurenix.ops._axis import Host, adaptive_windows, placed
from neurenix.ops._frame import Frame, frame
from neurenix.ops._windows import Windows
from neurenix.ops.pooling import average_windows, max_windows
from neurenix.tensor import Tensor
from neurenix.window import seen_whole


@kernel("floats")
def average_bins(
    y: Out, x: In, windows: Index, weight: In, divisor: In, bins: Index, count: Size, outer: Size, h: Size, w: Size, inner: Size
) -> None:  # fmt: skip
    """For each of ``count`` grids, one behind the other, y[o, i, j, c] = the sum over bin (i, j) of x[o, :, :, c], over divisors.

    A grid has bins[2 g] rows of bins[2 g + 1]. Tables hold those of its rows and then of its columns: windows (first pixel, number),
    weights of pixels, divisors, whose product a sum is divided by. Rows are combined first, as in resize.
    """


@kernel("floats")
def average_bins_backward(
    dx: Out, dy: In, windows: Index, weight: In, bins: Index, count: Size, outer: Size, h: Size, w: Size, inner: Size
) -> None:  # fmt: skip
    """The map's gradient from all grids', added from the last to the first.

    For each grid windows hold the bins of the map's rows and then of its columns (first, number), weights those of its bins.
    """


@lru_cache(maxsize=512)
def _bins(size: int, bins: int) -> Windows:
    table = adaptive_windows(size, bins)
    return Windows(table, table[:, 1].astype(float), max(int(table[:, 1].max(initial=1)), 1), 1)


def bins_of(op: str, x: Tensor, output_size: Any, n: int) -> list[Windows]:
    """The bins of each axis; ``None`` keeps an axis' size."""
    sizes = x.shape[x.ndim - n :]
    values = list(output_size) if isinstance(output_size, Sequence) else [output_size] * n
    if len(values) == 1:
        values *= n
    if len(values) != n:
        raise ArgumentError(f"{op}: expected output_size as one number or {n}, got {output_size!r}; pass one for each spatial axis")
    bins = [size if v is None else integer(op, "output_size", v, 0) for v, size in zip(values, sizes, strict=True)]
    if 0 in sizes:
        raise ShapeError(f"{op}: expected spatial axes that are not empty, got shape {x.shape}; pass at least one pixel")
    require_room(op, (*x.shape[: x.ndim - n], *bins), x.dtype.itemsize)
    return [_bins(size, b) for size, b in zip(sizes, bins, strict=True)]


def with_channels(op: str, x: Tensor, n: int) -> Tensor:
    """Refuse a map without channels, which has no maxima."""
    if not x.shape[x.ndim - n - 1]:
        raise ShapeError(f"{op}: expected at least one channel, got shape {x.shape}; pass a map that has some")
    return x


def _adaptive_max(op: str, n: int, x: Any, output_size: Any, indices: bool) -> Any:
    x = with_channels(op, spatial(op, floats(op, x), n), n)
    if indices:
        return max_windows(op, x, bins_of(op, x, output_size, n), True)
    return seen_whole(op, x, lambda m: max_windows(op, m, bins_of(op, m, output_size, n), False)[0])


def _adaptive_average(op: str, n: int, x: Any, output_size: Any) -> Tensor:
    x = spatial(op, floats(op, x), n)
    return seen_whole(op, x, lambda m: average_windows(op, m, bins_of(op, m, output_size, n)))


class _Grids(NamedTuple):
    """Tables of several grids, as the kernels take them."""

    bins: Host
    windows: Host
    weight: Host
    divisor: Host
    holders: Host  # the bins of each row and column of the map
    share: Host  # what a bin's gradient is multiplied with


def _holders(windows: Windows, size: int) -> Host:
    """The bins that each pixel lies in: the first and how many."""
    first, end = windows.table[:, 0], windows.table.sum(axis=1)
    pixel = np.arange(size)
    low = np.searchsorted(end, pixel, side="right")
    return np.stack([low, np.searchsorted(first, pixel, side="right") - low], axis=1)


@lru_cache(maxsize=256)
def _grids(sizes: tuple[int, ...], grids: tuple[tuple[int, int], ...]) -> _Grids:
    axes = [[_bins(n, b) for n, b in zip(sizes, grid, strict=True)] for grid in grids]
    # As in `average_windows`: weights are inverse divisors where these are exact.
    exact = [all(bool((np.frexp(a.divisor)[0] == 0.5).all()) for a in pair) for pair in axes]
    flat = [(axis, e) for pair, e in zip(axes, exact, strict=True) for axis in pair]
    return _Grids(
        np.array(grids, np.int64).reshape(-1),
        np.concatenate([axis.table.reshape(-1) for axis, _ in flat]),
        np.concatenate([1 / axis.divisor if e else np.ones(len(axis.divisor)) for axis, e in flat]),
        np.concatenate([np.ones(len(axis.divisor)) if e else axis.divisor for axis, e in flat]),
        np.concatenate([_holders(axis, n).reshape(-1) for pair in axes for axis, n in zip(pair, sizes, strict=True)]),
        np.concatenate([1 / axis.divisor for axis, _ in flat]),
    )


def _placed(f: Frame, windows: Host, *numbers: Host) -> list[Array]:
    """Tables beside the map: weights and the like of its type, windows and, last, numbers of bins as integers."""
    device, name = backend.device_of(f.buffer), f.buffer.dtype.name
    kinds = ["int64", *[name] * (len(numbers) - 1), "int64"]
    return [placed(host, kind, device) for host, kind in zip((windows, *numbers), kinds, strict=True)]


def _room(f: Frame, grids: Sequence[tuple[int, int]]) -> Array:
    """Memory for the averages of all grids."""
    return backend.new(f.buffer, (sum(a * b for a, b in grids) * f.outer * f.channels,))


def _pulled(f: Frame, grids: Sequence[tuple[int, int]], gradients: Sequence[Array | None]) -> Array:
    """The map's gradient from those of the grids that have one."""
    found = [(grid, g) for grid, g in zip(grids, gradients, strict=True) if g is not None]
    some = tuple(grid for grid, _ in found)
    t, dy, dx = _grids(f.spatial, some), _room(f, some), f.new(f.spatial)
    for part, (_, g) in zip(_parts(f, dy, some), found, strict=True):
        copy_into(part, g)
    sizes = (len(some), f.outer, *f.spatial, f.channels)
    average_bins_backward(dx, dy, *_placed(f, t.holders, t.share, t.bins), *sizes)
    return f.logical(dx)


def _parts(f: Frame, buffer: Array, grids: Sequence[tuple[int, int]]) -> list[Array]:
    """The averages of each grid in the memory that holds all, as logical maps."""
    parts, at = [], 0
    for grid in grids:
        shape = f.lead + grid + ((f.channels,) if f.last else ())
        size = f.outer * grid[0] * grid[1] * f.channels
        parts.append(f.logical(buffer[at : at + size].reshape(shape)))
        at += size
    return parts


def pyramid_averages2d(input: Any, output_sizes: Sequence[Any]) -> list[Tensor]:
    """Average over the bins of several grids, in one pass over the map; the gradient of all is written once.

    Parameters
    ----------
    input : Tensor, shape (N, C, H, W) or (C, H, W)
        float32 or float64, any memory order.
    output_sizes : sequence of int or (int or None, int or None)
        The bins of each grid; see :func:`adaptive_avg_pool2d`, which gives the same bits one by one.

    Returns
    -------
    list of Tensor
        The averages of each grid, of shape (N, C, OH, OW).

    Examples
    --------
    >>> import neurenix as nx
    >>> from neurenix.ops.adaptive_pooling import pyramid_averages2d
    >>> [y.shape for y in pyramid_averages2d(nx.zeros(1, 4, 9, 7), [1, 2, (3, None)])]
    [(1, 4, 1, 1), (1, 4, 2, 2), (1, 4, 3, 7)]
    """
    op = "pyramid_averages2d"
    x = spatial(op, floats(op, input), 2)
    pairs = [bins_of(op, x, size, 2) for size in output_sizes]
    grids = tuple((len(rows.table), len(columns.table)) for rows, columns in pairs)
    if x._window is not None or len(grids) < 2 or 0 in {b for grid in grids for b in grid}:
        return [_adaptive_average("adaptive_avg_pool2d", 2, x, size) for size in output_sizes]
    f = frame(x._array, 2)
    y = _room(f, grids)
    t = _grids(f.spatial, grids)
    sizes = (len(grids), f.outer, *f.spatial, f.channels)
    average_bins(y, f.buffer, *_placed(f, t.windows, t.weight, t.divisor, t.bins), *sizes)
    f = f.without_map()

    def vjp(gradients: Sequence[Array | None]) -> tuple[Array]:
        return (_pulled(f, grids, gradients),)

    return list(autograd.record_many(op, _parts(f, y, grids), (x,), vjp))


def adaptive_avg_pool2d(input: Any, output_size: Any) -> Tensor:
    """Average over bins: bin ``i`` of ``o`` spans ``floor(i n / o)`` to ``ceil((i + 1) n / o)``.

    Parameters
    ----------
    input : Tensor, shape (N, C, H, W) or (C, H, W)
        float32 or float64, any memory order.
    output_size : int or (int or None, int or None)
        Bins along height and width; ``None`` keeps the size.

    Returns
    -------
    Tensor, shape (N, C, OH, OW)

    Raises
    ------
    ShapeError
        If ``input`` has other axes or is empty along one.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.adaptive_avg_pool2d(nx.tensor([[[[1.0, 2.0, 3.0]]]]), (None, 2)).numpy()[0, 0]
    array([[1.5, 2.5]], dtype=float32)
    """
    return _adaptive_average("adaptive_avg_pool2d", 2, input, output_size)


def adaptive_avg_pool1d(input: Any, output_size: Any) -> Tensor:
    """Average over bins of (N, C, L) or (C, L); see :func:`adaptive_avg_pool2d`.

    Examples
    --------
    >>> import neurenix as nx
    >>> signal = nx.arange(6).float().reshape(1, 1, 6)
    >>> nx.nn.functional.adaptive_avg_pool1d(signal, 3)
    tensor([[[0.5, 2.5, 4.5]]])
    """
    return _adaptive_average("adaptive_avg_pool1d", 1, input, output_size)


def adaptive_avg_pool3d(input: Any, output_size: Any) -> Tensor:
    """Average over bins of (N, C, D, H, W) or (C, D, H, W); see :func:`adaptive_avg_pool2d`.

    Examples
    --------
    >>> import neurenix as nx
    >>> volume = nx.ones(1, 2, 5, 6, 7)
    >>> nx.nn.functional.adaptive_avg_pool3d(volume, 1).flatten()
    tensor([1., 1.])
    """
    return _adaptive_average("adaptive_avg_pool3d", 3, input, output_size)


def adaptive_max_pool2d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Take the maximum over bins: bin ``i`` of ``o`` spans ``floor(i n / o)`` to ``ceil((i + 1) n / o)``.

    Parameters
    ----------
    input : Tensor, shape (N, C, H, W) or (C, H, W)
        float32 or float64, any memory order.
    output_size : int or (int or None, int or None)
        Bins along height and width; ``None`` keeps the size.
    return_indices : bool
        Also give each maximum's place ``row * W + column``.

    Returns
    -------
    Tensor, shape (N, C, OH, OW), or with its indices (int64)

    Raises
    ------
    ShapeError
        If ``input`` has other axes or is empty along one.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.adaptive_max_pool2d(nx.tensor([[[[1.0, 2.0, 3.0]]]]), 1).item()
    3.0
    """
    return _adaptive_max("adaptive_max_pool2d", 2, input, output_size, return_indices)


def adaptive_max_pool1d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Take the maximum over bins of (N, C, L) or (C, L); see :func:`adaptive_max_pool2d`.

    Examples
    --------
    >>> import neurenix as nx
    >>> signal = nx.tensor([[1.0, 4.0, 2.0, 3.0]])
    >>> nx.nn.functional.adaptive_max_pool1d(signal, 2, return_indices=True)
    (tensor([[4., 3.]]), tensor([[1, 3]]))
    """
    return _adaptive_max("adaptive_max_pool1d", 1, input, output_size, return_indices)
