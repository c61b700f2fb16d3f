"""Pooling to a given number of bins, whatever the size of the map."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from neurenix.errors import ArgumentError, ShapeError
from neurenix.memory import require_room
from neurenix.ops._arguments import floats, integer, spatial
from neurenix.ops._axis import adaptive_windows
from neurenix.ops._windows import Windows
from neurenix.ops.pooling import average_windows, max_windows
from neurenix.tensor import Tensor
from neurenix.window import seen_whole


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
