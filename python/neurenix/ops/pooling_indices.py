"""Max pooling under the names that say that indices come too."""

from __future__ import annotations

from typing import Any

from neurenix.ops.adaptive_pooling import adaptive_max_pool1d, adaptive_max_pool2d
from neurenix.ops.pooling import max_pool1d, max_pool2d
from neurenix.ops.pooling_volume import adaptive_max_pool3d, max_pool3d
from neurenix.tensor import Tensor

Pair = tuple[Tensor, Tensor]


def max_pool1d_with_indices(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Pair:
    """:func:`max_pool1d` with its indices, whatever ``return_indices`` says.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.max_pool1d_with_indices(nx.tensor([[1.0, 3.0, 7.0, 5.0]]), 2)
    (tensor([[3., 7.]]), tensor([[1, 2]]))
    """
    pair: Pair = max_pool1d(input, kernel_size, stride, padding, dilation, ceil_mode, True)
    return pair


def adaptive_max_pool1d_with_indices(input: Any, output_size: Any, return_indices: bool = False) -> Pair:
    """:func:`adaptive_max_pool1d` with its indices, whatever ``return_indices`` says.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.adaptive_max_pool1d_with_indices(nx.tensor([[1.0, 4.0, 2.0, 3.0]]), 2)
    (tensor([[4., 3.]]), tensor([[1, 3]]))
    """
    pair: Pair = adaptive_max_pool1d(input, output_size, True)
    return pair


def max_pool2d_with_indices(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Pair:
    """:func:`max_pool2d` with its indices, places ``row * W + column`` (int64), whatever ``return_indices`` says.

    Examples
    --------
    >>> import neurenix as nx
    >>> maps = nx.tensor([[[1.0, 2.0], [4.0, 3.0]]])
    >>> largest, places = nx.nn.functional.max_pool2d_with_indices(maps, 2)
    >>> largest.item(), places.item()
    (4.0, 2)
    """
    pair: Pair = max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode, True)
    return pair


def adaptive_max_pool2d_with_indices(input: Any, output_size: Any, return_indices: bool = False) -> Pair:
    """:func:`adaptive_max_pool2d` with its indices, whatever ``return_indices`` says.

    Examples
    --------
    >>> import neurenix as nx
    >>> maps = nx.tensor([[[1.0, 2.0], [4.0, 3.0]]])
    >>> largest, places = nx.nn.functional.adaptive_max_pool2d_with_indices(maps, 1)
    >>> largest.item(), places.item()
    (4.0, 2)
    """
    pair: Pair = adaptive_max_pool2d(input, output_size, True)
    return pair


def max_pool3d_with_indices(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Pair:
    """:func:`max_pool3d` with its indices, whatever ``return_indices`` says.

    Examples
    --------
    >>> import neurenix as nx
    >>> volume = nx.arange(8).float().reshape(1, 2, 2, 2)
    >>> largest, places = nx.nn.functional.max_pool3d_with_indices(volume, 2)
    >>> largest.item(), places.item()
    (7.0, 7)
    """
    pair: Pair = max_pool3d(input, kernel_size, stride, padding, dilation, ceil_mode, True)
    return pair


def adaptive_max_pool3d_with_indices(input: Any, output_size: Any, return_indices: bool = False) -> Pair:
    """:func:`adaptive_max_pool3d` with its indices, whatever ``return_indices`` says.

    Examples
    --------
    >>> import neurenix as nx
    >>> volume = nx.arange(8).float().reshape(1, 2, 2, 2)
    >>> largest, places = nx.nn.functional.adaptive_max_pool3d_with_indices(volume, 1)
    >>> largest.item(), places.item()
    (7.0, 7)
    """
    pair: Pair = adaptive_max_pool3d(input, output_size, True)
    return pair
