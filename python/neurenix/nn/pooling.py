"""Pooling layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neurenix import ops
from neurenix.nn.module import Module
from neurenix.ops._windows import slide
from neurenix.tensor import Tensor


class MaxPool2d(Module):
    """The maximum over sliding windows of (N, C, H, W) or (C, H, W).

    Parameters
    ----------
    kernel_size, stride, padding, dilation : int or (int, int)
        Window, its steps (the window where ``None``), rows and columns of minus infinity around the map, distance of taps.
    return_indices : bool
        Also give each maximum's place ``row * W + column``, for :class:`MaxUnpool2d`.
    ceil_mode : bool
        Round the output's size up, so that no row is left out.

    Raises
    ------
    ArgumentError
        If a number is too small, or the padding more than half the window.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([[[1.0, 2.0, 3.0], [4.0, 9.0, 6.0]]])
    >>> nx.nn.MaxPool2d(2)(x).tolist(), nx.nn.MaxPool2d(2, ceil_mode=True)(x).tolist()  # the odd column is dropped, or kept
    ([[[9.0]]], [[[9.0, 6.0]]])
    """

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        slide(type(self).__name__, self._axes, kernel_size, stride, padding, dilation)
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    _axes = 2

    def forward(self, input: Any) -> Any:
        """Pool; with ``return_indices`` a pair."""
        pool = (ops.max_pool1d, ops.max_pool2d, ops.max_pool3d)[self._axes - 1]
        return pool(input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices)

    _shown = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")


class MaxPool1d(MaxPool2d):
    """The maximum over sliding windows of (N, C, L) or (C, L); see :class:`MaxPool2d`.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.MaxPool1d(2)(nx.Tensor(shape=(1, 3, 8))).shape
    (1, 3, 4)
    """

    _axes = 1


class MaxPool3d(MaxPool2d):
    """The maximum over sliding windows of (N, C, D, H, W) or (C, D, H, W); see :class:`MaxPool2d`.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.MaxPool3d((1, 2, 2))(nx.Tensor(shape=(1, 3, 5, 8, 8))).shape
    (1, 3, 5, 4, 4)
    """

    _axes = 3


class MaxUnpool2d(Module):
    """Put each value where the maximum was; zero elsewhere.

    Parameters
    ----------
    kernel_size, stride, padding : int or (int, int)
        Of the :class:`MaxPool2d` that is undone.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([[[1.0, 2.0], [4.0, 3.0]]])
    >>> y, where = nx.nn.MaxPool2d(2, return_indices=True)(x)
    >>> nx.nn.MaxUnpool2d(2)(y, where).tolist()
    [[[0.0, 0.0], [4.0, 0.0]]]
    """

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        window = slide(type(self).__name__, self._axes, kernel_size, stride, padding)
        self.kernel_size, self.stride, self.padding = window.kernel, window.stride, window.low

    _axes = 2

    def forward(self, input: Any, indices: Any, output_size: Sequence[int] | None = None) -> Tensor:
        """Spread ``input`` by ``indices``."""
        unpool = (ops.max_unpool1d, ops.max_unpool2d, ops.max_unpool3d)[self._axes - 1]
        return unpool(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    _shown = ("kernel_size", "stride", "padding")


class MaxUnpool1d(MaxUnpool2d):
    """Put each value of (N, C, L) or (C, L) where the maximum was; see :class:`MaxUnpool2d`.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([[1.0, 5.0, 4.0, 2.0]])
    >>> y, where = nx.nn.MaxPool1d(2, return_indices=True)(x)
    >>> nx.nn.MaxUnpool1d(2)(y, where).tolist()  # the maxima at their places, zeros elsewhere
    [[0.0, 5.0, 4.0, 0.0]]
    """

    _axes = 1


class MaxUnpool3d(MaxUnpool2d):
    """Put each value of (N, C, D, H, W) or (C, D, H, W) where the maximum was; see :class:`MaxUnpool2d`.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.zeros(1, 1, 2, 4, 4)
    >>> y, where = nx.nn.MaxPool3d(2, return_indices=True)(x)
    >>> y.shape, nx.nn.MaxUnpool3d(2)(y, where).shape
    ((1, 1, 1, 2, 2), (1, 1, 2, 4, 4))
    """

    _axes = 3


class AvgPool2d(Module):
    """The average over sliding windows of (N, C, H, W) or (C, H, W).

    Parameters
    ----------
    kernel_size, stride, padding : int or (int, int)
        Window, its steps (the window where ``None``), rows and columns of zeros around the map.
    ceil_mode : bool
        Round the output's size up, so that no row is left out.
    count_include_pad : bool
        Whether zeros of the padding count in the average.
    divisor_override : int, optional
        Divide every sum by this instead.

    Raises
    ------
    ArgumentError
        If a number is too small, or the padding more than half the window.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.ones(1, 2, 2)
    >>> nx.nn.AvgPool2d(3, stride=1, padding=1)(x).numpy().round(4)  # four ones over nine pixels
    array([[[0.4444, 0.4444],
            [0.4444, 0.4444]]], dtype=float32)
    >>> nx.nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)(x).tolist()
    [[[1.0, 1.0], [1.0, 1.0]]]
    """

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        slide(type(self).__name__, self._axes, kernel_size, stride, padding)
        self.kernel_size, self.stride, self.padding = kernel_size, kernel_size if stride is None else stride, padding
        self.ceil_mode, self.count_include_pad, self.divisor_override = ceil_mode, count_include_pad, divisor_override

    _axes = 2

    def forward(self, input: Any) -> Tensor:
        """Pool."""
        pool = ops.avg_pool2d if self._axes == 2 else ops.avg_pool3d
        window = (self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)
        return pool(input, *window, self.divisor_override)

    _shown = ("kernel_size", "stride", "padding")


class AvgPool3d(AvgPool2d):
    """The average over sliding windows of (N, C, D, H, W) or (C, D, H, W); see :class:`AvgPool2d`.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.AvgPool3d(2)(nx.Tensor(shape=(1, 3, 4, 8, 8))).shape
    (1, 3, 2, 4, 4)
    """

    _axes = 3


class AvgPool1d(Module):
    """The average over sliding windows of (N, C, L) or (C, L); see :class:`AvgPool2d`.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.AvgPool1d(2)(nx.Tensor(shape=(1, 3, 8))).shape
    (1, 3, 4)
    """

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True
    ) -> None:
        window = slide(type(self).__name__, 1, kernel_size, stride, padding)
        self.kernel_size, self.stride, self.padding = window.kernel, window.stride, window.low
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, input: Any) -> Tensor:
        """Pool."""
        return ops.avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)

    _shown = ("kernel_size", "stride", "padding")
