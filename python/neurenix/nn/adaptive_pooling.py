"""Layers that pool to a number of bins, and by the mean of powers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neurenix import ops
from neurenix.errors import ArgumentError
from neurenix.nn.module import Module
from neurenix.ops._arguments import integer
from neurenix.ops._windows import slide
from neurenix.tensor import Tensor


def _check_bins(name: str, output_size: Any, axes: int) -> None:
    values = list(output_size) if isinstance(output_size, Sequence) else [output_size]
    if len(values) not in (1, axes):
        raise ArgumentError(f"{name}: expected output_size as one number or {axes}, got {output_size!r}; pass one for each spatial axis")
    for value in values:
        if value is not None:
            integer(name, "output_size", value, 0)


class AdaptiveAvgPool2d(Module):
    """The average over a number of bins of (N, C, H, W) or (C, H, W), whatever the size of the map.

    Parameters
    ----------
    output_size : int or (int or None, int or None)
        Bins along height and width; ``None`` keeps the size.

    Raises
    ------
    ArgumentError
        If ``output_size`` is not one number of at least 0, or two.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.arange(1, 13).reshape(1, 3, 4).float()
    >>> nx.nn.AdaptiveAvgPool2d(1)(x).tolist()  # one bin: the mean of each channel
    [[[6.5]]]
    >>> nx.nn.AdaptiveAvgPool2d((None, 2))(x).tolist()
    [[[1.5, 3.5], [5.5, 7.5], [9.5, 11.5]]]
    """

    def __init__(self, output_size: Any) -> None:
        _check_bins(type(self).__name__, output_size, self._axes)
        self.output_size = output_size

    _axes = 2

    def forward(self, input: Any) -> Tensor:
        """Pool."""
        pool = (ops.adaptive_avg_pool1d, ops.adaptive_avg_pool2d, ops.adaptive_avg_pool3d)[self._axes - 1]
        return pool(input, self.output_size)

    _shown = ("output_size",)


class AdaptiveAvgPool1d(AdaptiveAvgPool2d):
    """The average over a number of bins of (N, C, L) or (C, L); see :class:`AdaptiveAvgPool2d`.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.AdaptiveAvgPool1d(3)(nx.Tensor(shape=(1, 3, 8))).shape
    (1, 3, 3)
    """

    _axes = 1


class AdaptiveAvgPool3d(AdaptiveAvgPool2d):
    """The average over a number of bins of (N, C, D, H, W) or (C, D, H, W); see :class:`AdaptiveAvgPool2d`.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.AdaptiveAvgPool3d((None, 1, 1))(nx.Tensor(shape=(1, 3, 4, 8, 8))).shape
    (1, 3, 4, 1, 1)
    """

    _axes = 3


class AdaptiveMaxPool2d(Module):
    """The maximum over a number of bins of (N, C, H, W) or (C, H, W), whatever the size of the map.

    Parameters
    ----------
    output_size : int or (int or None, int or None)
        Bins along height and width; ``None`` keeps the size.
    return_indices : bool
        Also give each maximum's place ``row * W + column``.

    Raises
    ------
    ArgumentError
        If ``output_size`` is not one number of at least 0, or two.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.arange(1, 13).reshape(1, 3, 4).float()
    >>> y, where = nx.nn.AdaptiveMaxPool2d((1, 2), return_indices=True)(x)
    >>> y.tolist(), where.tolist()
    ([[[10.0, 12.0]]], [[[9, 11]]])
    """

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        _check_bins(type(self).__name__, output_size, self._axes)
        self.output_size, self.return_indices = output_size, return_indices

    _axes = 2

    def forward(self, input: Any) -> Any:
        """Pool; with ``return_indices`` a pair."""
        pool = (ops.adaptive_max_pool1d, ops.adaptive_max_pool2d, ops.adaptive_max_pool3d)[self._axes - 1]
        return pool(input, self.output_size, self.return_indices)

    _shown = ("output_size",)


class AdaptiveMaxPool1d(AdaptiveMaxPool2d):
    """The maximum over a number of bins of (N, C, L) or (C, L); see :class:`AdaptiveMaxPool2d`.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.AdaptiveMaxPool1d(3)(nx.Tensor(shape=(1, 3, 8))).shape
    (1, 3, 3)
    """

    _axes = 1


class AdaptiveMaxPool3d(AdaptiveMaxPool2d):
    """The maximum over a number of bins of (N, C, D, H, W) or (C, D, H, W); see :class:`AdaptiveMaxPool2d`.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.AdaptiveMaxPool3d(3)(nx.Tensor(shape=(1, 3, 4, 8, 8))).shape
    (1, 3, 3, 3, 3)
    """

    _axes = 3


class _LPPool(Module):
    """What the poolings by powers share."""

    _axes = 2

    def __init__(self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> None:
        slide(type(self).__name__, self._axes, kernel_size, stride, 0)
        self.norm_type, self.kernel_size, self.stride, self.ceil_mode = norm_type, kernel_size, stride, ceil_mode

    def forward(self, input: Any) -> Tensor:
        """Pool."""
        pool = (ops.lp_pool1d, ops.lp_pool2d, ops.lp_pool3d)[self._axes - 1]
        return pool(input, self.norm_type, self.kernel_size, self.stride, self.ceil_mode)

    _shown = ("norm_type", "kernel_size", "stride", "ceil_mode")


class LPPool1d(_LPPool):
    """The root of the sum of powers over windows of (N, C, L) or (C, L); see :class:`LPPool2d`.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.LPPool1d(2, 2)(nx.tensor([[3.0, 4.0, 6.0, 8.0]])).tolist()  # the length of each pair
    [[5.0, 10.0]]
    """

    _axes = 1


class LPPool2d(_LPPool):
    """The root of the sum of powers over sliding windows of (N, C, H, W) or (C, H, W).

    Parameters
    ----------
    norm_type : float
        The power: 1 sums, a large one goes towards the maximum.
    kernel_size, stride : int or (int, int)
        Window, and its steps (the window where ``None``).
    ceil_mode : bool
        Round the output's size up.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.LPPool2d(2, (1, 2))(nx.tensor([[[3.0, 4.0]]])).item()
    5.0
    """


class LPPool3d(_LPPool):
    """The root of the sum of powers over windows of (N, C, D, H, W) or (C, D, H, W); see :class:`LPPool2d`.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.LPPool3d(1, 2)(nx.ones(1, 2, 2, 2)).item()  # power 1: the sum of 8 voxels
    8.0
    """

    _axes = 3
