"""The inverse of max pooling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from neurenix import autograd, backend
from neurenix._typing import Array
from neurenix.backend.kernel import In, Index, Out, Size, kernel
from neurenix.errors import ShapeError
from neurenix.ops._arguments import floats, integer, spatial
from neurenix.ops._frame import frame
from neurenix.ops._windows import Slide, slide
from neurenix.tensor import Tensor, as_tensor


@kernel("floats")
def unpool(y: Out, x: In, index: Index, outer: Size, pixels: Size, inner: Size, count: Size) -> None:
    """y[o, index[o, p, c], c] = x[o, p, c], the last p of equal ones; zero elsewhere. x is (outer, pixels, inner), y (outer, count, inner)."""


@kernel("floats")
def unpool_add(y: Out, x: In, index: Index, outer: Size, pixels: Size, inner: Size, count: Size) -> None:
    """y[o, q, c] = sum of the x[o, p, c], p in order, whose index is q."""


@kernel("floats")
def unpool_backward(dx: Out, dy: In, index: Index, outer: Size, pixels: Size, inner: Size, count: Size) -> None:
    """dx[o, p, c] = dy[o, index[o, p, c], c], zero for an index outside."""


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
    return _unpool("max_unpool2d", 2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool1d(
    input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Sequence[int] | None = None
) -> Tensor:
    """Put each value of (N, C, L) or (C, L) where the maximum was; see :func:`max_unpool2d`.

    Examples
    --------
    >>> import neurenix as nx
    >>> functional = nx.nn.functional
    >>> y, places = functional.max_pool1d(nx.tensor([[1.0, 3.0, 7.0, 5.0]]), 2, return_indices=True)
    >>> functional.max_unpool1d(y, places, 2)
    tensor([[0., 3., 7., 0.]])
    """
    return _unpool("max_unpool1d", 1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Sequence[int] | None = None
) -> Tensor:
    """Put each value of (N, C, D, H, W) or (C, D, H, W) where the maximum was; see :func:`max_unpool2d`.

    Examples
    --------
    >>> import neurenix as nx
    >>> functional, volume = nx.nn.functional, nx.arange(8).float().reshape(1, 2, 2, 2)
    >>> y, places = functional.max_pool3d(volume, 2, return_indices=True)
    >>> functional.max_unpool3d(y, places, 2)
    tensor([[[[0., 0.],
              [0., 0.]],
    <BLANKLINE>
             [[0., 0.],
              [0., 7.]]]])
    """
    return _unpool("max_unpool3d", 3, input, indices, kernel_size, stride, padding, output_size)


def _unpool(op: str, n: int, input: Any, indices: Any, kernel_size: Any, stride: Any, padding: Any, output_size: Any) -> Tensor:
    window = slide(op, n, kernel_size, stride, padding)
    x, indices = spatial(op, floats(op, input), n), as_tensor(indices)
    if indices.shape != x.shape or indices.dtype != np.int64:
        raise ShapeError(
            f"{op}: expected int64 indices of shape {x.shape}, got {indices.dtype}{indices.shape}; pass those of max_pool{n}d(return_indices=True)"
        )
    backend.same_device(op, x._array, indices._array)
    out = _unpooled(op, x, window, output_size)
    f = frame(x._array, n)
    index = f.buffer_of(indices._array)
    y = f.new(out)
    sizes = (f.outer, math.prod(f.spatial), f.channels, math.prod(out))
    unpool(y, f.buffer, index, *sizes)
    f = f.without_map()

    def vjp(g: Array) -> tuple[Array]:
        dx = f.new(f.spatial)
        unpool_backward(dx, f.buffer_of(g), index, *sizes)
        return (f.logical(dx),)

    return autograd.record(op, f.logical(y), (x,), vjp)


def _unpooled(op: str, x: Tensor, window: Slide, output_size: Sequence[int] | None) -> tuple[int, ...]:
    axes = len(window.kernel)
    sizes = zip(x.shape[-axes:], window.kernel, window.stride, window.low, strict=True)
    natural = tuple((n - 1) * s + k - 2 * p for n, k, s, p in sizes)
    if output_size is None:
        return natural
    out = tuple(integer(op, "output_size", n, 1) for n in output_size)[-axes:]
    if len(out) != axes or any(abs(n - m) >= s for n, m, s in zip(out, natural, window.stride, strict=True)):
        raise ShapeError(
            f"{op}: expected output_size within a stride of {natural}, got {tuple(output_size)}; pass the size that was pooled"
        )
    return out
