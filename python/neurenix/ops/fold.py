"""Sliding patches as columns, and back."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np

from neurenix import autograd, backend
from neurenix._typing import Array
from neurenix.errors import ShapeError
from neurenix.layout import accumulate, contiguous, copy_into
from neurenix.ops._arguments import floats, integers
from neurenix.ops._axis import Host
from neurenix.ops.padding import take_many
from neurenix.tensor import Tensor


class _Patches(NamedTuple):
    """Sizes of a map and of the patches that slide over it, (rows, columns) each."""

    size: tuple[int, ...]
    kernel: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """The number of patches along each axis."""
        axes = zip(*self, strict=True)
        return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, d, p, s in axes)

    def pieces(self, columns: Array, image: Array) -> list[tuple[Array, Array]]:
        """For every place in a patch its row of columns (N, C, kh, kw, oh, ow) and its pixels of the padded map."""
        (kh, kw), (dh, dw), (sh, sw), (oh, ow) = self.kernel, self.dilation, self.stride, self.counts
        pairs = []
        for k, m in itertools.product(range(kh), range(kw)):
            top, left = k * dh, m * dw
            pixels = image[:, :, top : top + (oh - 1) * sh + 1 : sh, left : left + (ow - 1) * sw + 1 : sw]
            pairs.append((columns[:, :, k, m], pixels))
        return pairs


def _patches(op: str, size: tuple[int, ...], kernel: Any, dilation: Any, padding: Any, stride: Any) -> _Patches:
    found = _Patches(
        size,
        integers(op, "kernel_size", kernel, 2, 1),
        integers(op, "dilation", dilation, 2, 1),
        integers(op, "padding", padding, 2, 0),
        integers(op, "stride", stride, 2, 1),
    )
    if min(found.counts) < 1:
        raise ShapeError(
            f"{op}: expected a map at least as large as the patch {found.kernel}, got {size}; use a smaller kernel_size or padding"
        )
    return found


def _around(size: int, padding: int) -> Host:
    """Indices of an axis with zeros around it."""
    i = np.arange(-padding, size + padding)
    return np.where((i >= 0) & (i < size), i, -1)


def _to_columns(x: Array, patches: _Patches) -> Array:
    n, c = x.shape[:2]
    (kh, kw), (oh, ow) = patches.kernel, patches.counts
    (h, w), (ph, pw) = patches.size, patches.padding
    image = x if patches.padding == (0, 0) else take_many(contiguous(x), {2: _around(h, ph), 3: _around(w, pw)}, 0)
    y = backend.new(x, (n, c, kh, kw, oh, ow))
    for column, pixels in patches.pieces(y, image):
        copy_into(column, pixels)
    return y.reshape(n, c * kh * kw, oh * ow)


def _to_map(columns: Array, patches: _Patches) -> Array:
    (kh, kw), (oh, ow) = patches.kernel, patches.counts
    n, c = columns.shape[0], columns.shape[1] // (kh * kw)
    (h, w), (ph, pw) = patches.size, patches.padding
    columns = contiguous(columns)
    rows, cols = np.full(h + 2 * ph, -1), np.full(w + 2 * pw, -1)
    image = take_many(columns.reshape(n, c, 1, columns.size // (n * c) if n * c else 1), {2: rows, 3: cols}, 0)  # zeros
    for column, pixels in patches.pieces(columns.reshape(n, c, kh, kw, oh, ow), image):
        accumulate(pixels, column)
    return contiguous(image[:, :, ph : ph + h, pw : pw + w])


def unfold(input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    """Lay every patch out as a column.

    Parameters
    ----------
    input : Tensor, shape (N, C, H, W) or (C, H, W)
    kernel_size, dilation, padding, stride : int or (int, int)
        The patch, the distance of its pixels, zeros around the map, steps.

    Returns
    -------
    Tensor, shape (N, C kh kw, L)

    Raises
    ------
    ShapeError
        If ``input`` has other axes or no patch fits.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.unfold(nx.tensor([[[[1.0, 2.0, 3.0]]]]), (1, 2)).numpy()[0]
    array([[1., 2.],
           [2., 3.]], dtype=float32)
    """
    op = "unfold"
    x = floats(op, input)
    if x.ndim not in (3, 4):
        raise ShapeError(f"{op}: expected x (N, C, H, W) or (C, H, W), got shape {x.shape}; reshape it")
    batched, shape = x.ndim == 4, x.shape
    patches = _patches(op, x.shape[-2:], kernel_size, dilation, padding, stride)
    y = _to_columns(x._array if batched else x._array.reshape(1, *shape), patches)

    def vjp(g: Array) -> tuple[Array]:
        dx = _to_map(g if batched else contiguous(g).reshape(1, *g.shape), patches)
        return (dx.reshape(shape),)

    return autograd.record(op, y if batched else y.reshape(y.shape[1:]), (x,), vjp)


def fold(input: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    """Add patches that are laid out as columns back into a map.

    Parameters
    ----------
    input : Tensor, shape (N, C kh kw, L) or (C kh kw, L)
    output_size : int or (int, int)
        Height and width of the map.
    kernel_size, dilation, padding, stride : int or (int, int)
        As in :func:`unfold`.

    Returns
    -------
    Tensor, shape (N, C, H, W)

    Raises
    ------
    ShapeError
        If the columns do not go with the sizes.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.fold(nx.tensor([[[1.0, 2.0], [2.0, 3.0]]]), (1, 3), (1, 2)).numpy()[0, 0]
    array([[1., 4., 3.]], dtype=float32)
    """
    op = "fold"
    x = floats(op, input)
    patches = _patches(op, integers(op, "output_size", output_size, 2, 1), kernel_size, dilation, padding, stride)
    place, blocks = patches.kernel[0] * patches.kernel[1], patches.counts[0] * patches.counts[1]
    if x.ndim not in (2, 3) or x.shape[-2] % place or x.shape[-1] != blocks:
        raise ShapeError(
            f"{op}: expected x (N, C * {place}, {blocks}) for these sizes, got shape {x.shape}; pass the output_size that was unfolded"
        )
    batched, shape = x.ndim == 3, x.shape
    y = _to_map(x._array if batched else x._array.reshape(1, *shape), patches)

    def vjp(g: Array) -> tuple[Array]:
        return (_to_columns(g if batched else g.reshape(1, *g.shape), patches).reshape(shape),)

    return autograd.record(op, y if batched else y.reshape(y.shape[1:]), (x,), vjp)
