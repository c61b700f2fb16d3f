"""Max pooling of volumes, and pooling by the mean of powers.

The maximum over a window of a volume is that over depth of the maxima over planes: the kernels of maps do both.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from neurenix import autograd
from neurenix._typing import Array
from neurenix.errors import ArgumentError
from neurenix.layout import channels_last
from neurenix.ops._arguments import floats, integers, spatial
from neurenix.ops._frame import frame
from neurenix.ops._windows import Windows, slide
from neurenix.ops.activation import relu
from neurenix.ops.adaptive_pooling import bins_of, with_channels
from neurenix.ops.arithmetic import add, mul
from neurenix.ops.pooling import avg_pool1d, avg_pool2d, avg_pool3d, max_windows
from neurenix.ops.pooling_integers import max_integers
from neurenix.ops.power import pow
from neurenix.ops.scatter import gather
from neurenix.ops.shape import reshape
from neurenix.ops.unary import abs, sign
from neurenix.tensor import Tensor, as_tensor


@lru_cache(maxsize=64)
def _every(size: int) -> Windows:
    """Windows of single pixels."""
    return Windows(np.stack([np.arange(size), np.ones(size, np.int64)], axis=1), np.ones(size), 1, 1)


class _Order(NamedTuple):
    """How logical arrays lie in memory: to their dense buffer, and back."""

    buffer: Callable[[Array], Array]
    logical: Callable[[Array], Array]


_MAPS = _Order(channels_last, lambda buffer: buffer.transpose(0, 3, 1, 2))


def _seen(x: Tensor, before: _Order, after: _Order, shape: tuple[int, ...]) -> Tensor:
    """The same elements in memory, seen as another array: ``shape`` is that of its buffer."""
    buffer = before.buffer(x._array)
    old = buffer.shape

    def vjp(g: Array) -> tuple[Array]:
        return (before.logical(after.buffer(g).reshape(old)),)

    return autograd.record("reshape", after.logical(buffer.reshape(shape)), (x,), vjp)


def _max_volume(op: str, x: Tensor, windows: list[Windows], indices: bool) -> tuple[Tensor, Tensor | None]:
    """Max pooling over windows of three axes: over each plane, then over depth. Of equal values the first is taken in both."""
    f = frame(x._array, 3).without_map()
    volume = _Order(f.buffer_of, f.logical)
    (d, h, w), (od, oh, ow) = f.spatial, (len(axis.table) for axis in windows)
    columns, pooled = (f.outer, d, oh * ow, f.channels), (*f.lead, od, oh, ow, *((f.channels,) if f.last else ()))
    maps, within = max_windows(op, _seen(x, volume, _MAPS, (f.outer * d, h, w, f.channels)), windows[1:], indices)
    y, chosen = max_windows(op, _seen(maps, _MAPS, _MAPS, columns), [windows[0], _every(oh * ow)], indices)
    y = _seen(y, _MAPS, volume, pooled)
    if within is None or chosen is None:
        return y, None
    # Where the maximum of each plane's window lies in the volume, then those of the chosen planes.
    planes = as_tensor(np.arange(d).reshape(d, 1) * (h * w)).to(device=x.device)
    places = add(_seen(within, _MAPS, _MAPS, columns), planes)
    outer, pixels = (f.outer, f.channels), oh * ow
    index = gather(reshape(places, (*outer, d * pixels)), 2, reshape(chosen, (*outer, od * pixels)))
    return y, _seen(reshape(index, (*outer, od, pixels)), _MAPS, volume, pooled)


def max_pool3d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Take the maximum over sliding windows of (N, C, D, H, W) or (C, D, H, W); see :func:`max_pool2d`.

    With ``return_indices`` also each maximum's place ``(plane * H + row) * W + column``.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([[[[[1.0, 2.0]], [[4.0, 3.0]]]]])
    >>> y, where = nx.nn.functional.max_pool3d(x, (2, 1, 2), return_indices=True)
    >>> y.item(), where.item()
    (4.0, 2)
    """
    op = "max_pool3d"
    window = slide(op, 3, kernel_size, stride, padding, dilation, ceil_mode)
    x = as_tensor(input)
    whole = x.dtype.kind in "iu"
    x = spatial(op, x if whole else floats(op, x), 3)
    windows = window.windows(op, x)
    y, index = max_integers(x, windows, return_indices) if whole else _max_volume(op, x, windows, return_indices)
    return (y, index) if return_indices else y


def adaptive_max_pool3d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Take the maximum over bins of (N, C, D, H, W) or (C, D, H, W); see :func:`adaptive_max_pool2d`.

    Examples
    --------
    >>> import neurenix as nx
    >>> volume = nx.arange(8).float().reshape(1, 2, 2, 2)
    >>> nx.nn.functional.adaptive_max_pool3d(volume, 1).item()
    7.0
    """
    op = "adaptive_max_pool3d"
    x = with_channels(op, spatial(op, floats(op, input), 3), 3)
    y, index = _max_volume(op, x, bins_of(op, x, output_size, 3), return_indices)
    return (y, index) if return_indices else y


def _power(op: str, x: Any, norm_type: Any, taps: int, average: Callable[[Tensor], Tensor]) -> Tensor:
    if isinstance(norm_type, bool) or not isinstance(norm_type, (int, float)) or norm_type == 0:
        raise ArgumentError(f"{op}: expected norm_type as a number other than 0, got {norm_type!r}; pass e.g. norm_type=2")
    mean = average(pow(floats(op, x), norm_type))
    return pow(mul(mul(sign(mean), relu(abs(mean))), taps), 1.0 / norm_type)


def lp_pool1d(input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    """Take the root of the sum of powers over sliding windows of (N, C, L) or (C, L); see :func:`lp_pool2d`.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.lp_pool1d(nx.tensor([[3.0, 4.0, 6.0, 8.0]]), 2, 2)
    tensor([[ 5., 10.]])
    """
    op = "lp_pool1d"
    (taps,) = integers(op, "kernel_size", kernel_size, 1, 1)
    return _power(op, input, norm_type, taps, lambda x: avg_pool1d(x, kernel_size, stride, 0, ceil_mode))


def lp_pool2d(input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    """Take the root of the sum of powers over sliding windows: ``(sum of x ** norm_type) ** (1 / norm_type)``.

    Parameters
    ----------
    input : Tensor, shape (N, C, H, W) or (C, H, W)
        float32 or float64.
    norm_type : float
        The power: 1 sums, a large one goes towards the maximum.
    kernel_size, stride : int or (int, int)
        Window, and its steps (the window where ``None``).
    ceil_mode : bool
        Round the output's size up; a window that reaches over the edge counts the mean of what it holds for the rest.

    Returns
    -------
    Tensor, shape (N, C, OH, OW)

    Raises
    ------
    ShapeError
        If ``input`` has other axes or no window fits.
    ArgumentError
        If the power is 0 or a number is too small.

    Notes
    -----
    As in PyTorch a window of zeros has no gradient (NaN) for powers above 1.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.lp_pool2d(nx.tensor([[[3.0, 4.0]]]), 2, (1, 2)).item()
    5.0
    """
    op = "lp_pool2d"
    size = integers(op, "kernel_size", kernel_size, 2, 1)
    return _power(op, input, norm_type, math.prod(size), lambda x: avg_pool2d(x, kernel_size, stride, 0, ceil_mode))


def lp_pool3d(input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    """Take the root of the sum of powers over sliding windows of (N, C, D, H, W) or (C, D, H, W); see :func:`lp_pool2d`.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.lp_pool3d(nx.ones(1, 1, 4, 4, 4), 1, 2)[0, 0, 0]
    tensor([[8., 8.],
            [8., 8.]])
    """
    op = "lp_pool3d"
    size = integers(op, "kernel_size", kernel_size, 3, 1)
    return _power(op, input, norm_type, math.prod(size), lambda x: avg_pool3d(x, kernel_size, stride, 0, ceil_mode))
