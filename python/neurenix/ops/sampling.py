"""Sampling a map at the points of a grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from neurenix import autograd, backend
from neurenix._typing import Array
from neurenix.backend.kernel import Enum, In, Out, Size, kernel
from neurenix.errors import DTypeError, ShapeError
from neurenix.layout import contiguous
from neurenix.ops._arguments import choice, floats, integer
from neurenix.ops._axis import Table, identity, table_of
from neurenix.ops._frame import frame
from neurenix.ops.resize import run_tables
from neurenix.tensor import Tensor

MODES = ("bilinear", "nearest", "bicubic")
PADDINGS = ("zeros", "border", "reflection")


@kernel("floats")
def grid_sample_map(
    y: Out, x: In, grid: In, n: Size, outer: Size, d: Size, h: Size, w: Size, inner: Size, points: Size, axes: Size,
    mode: Enum, padding: Enum, align: Enum,
) -> None:  # fmt: skip
    """y[b, o, p, c] = sum over the taps of point p of their weight times x[b, o, tap, c].

    A grid point holds x, y[, z] in [-1, 1]; ``mode`` 0 linear, 1 nearest, 2 bicubic; ``padding`` 0 zeros, 1 border,
    2 reflection; ``align`` whether -1 and 1 are the centres of the edge pixels. Taps outside the map are left out.
    """


@kernel("floats")
def grid_sample_backward(
    dx: Out, dy: In, grid: In, n: Size, outer: Size, d: Size, h: Size, w: Size, inner: Size, points: Size, axes: Size,
    mode: Enum, padding: Enum, align: Enum,
) -> None:  # fmt: skip
    """dx[b, o, q, c] = sum of weight times dy[b, o, p, c] over the points p, in order, that have a tap q."""


@kernel("floats")
def grid_sample_grid_backward(
    dgrid: Out, dy: In, x: In, grid: In, n: Size, outer: Size, d: Size, h: Size, w: Size, inner: Size, points: Size, axes: Size,
    mode: Enum, padding: Enum, align: Enum,
) -> None:  # fmt: skip
    """dgrid[b, p, a] = sum over taps of the weight's derivative along axis a times the sum over o, c of dy x."""


def _check(op: str, x: Tensor, grid: Tensor, mode: str) -> None:
    axes = x.ndim - 2
    if axes not in (2, 3) or grid.ndim != x.ndim:
        raise ShapeError(
            f"{op}: expected x (N, C, H, W) with grid (N, OH, OW, 2), or one axis more each, got {x.shape} and {grid.shape}; reshape them"
        )
    if grid.shape[0] != x.shape[0] or grid.shape[-1] != axes:
        raise ShapeError(
            f"{op}: expected a grid of {x.shape[0]} maps with {axes} coordinates a point, got {grid.shape}; repeat or transpose it"
        )
    if grid.dtype != x.dtype:
        raise DTypeError(f"{op}: expected x and grid of one type, got {x.dtype} and {grid.dtype}; convert one with .to()")
    if 0 in x.shape[2:]:
        raise ShapeError(f"{op}: expected spatial axes that are not empty, got shape {x.shape}; pass at least one pixel")
    if axes == 3 and mode == "bicubic":
        raise ShapeError(f"{op}: expected x (N, C, H, W) in mode 'bicubic', got shape {x.shape}; use mode='bilinear'")
    backend.same_device(op, x._array, grid._array)


def grid_sample(input: Any, grid: Any, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None) -> Tensor:
    """Sample a map at the points of a grid.

    Parameters
    ----------
    input : Tensor, shape (N, C, H, W) or (N, C, D, H, W)
        float32 or float64, any memory order.
    grid : Tensor, shape (N, OH, OW, 2) or (N, OD, OH, OW, 3)
        Points (x, y[, z]) from -1, the map's one end, to 1, its other.
    mode : {"bilinear", "nearest", "bicubic"}
        Bilinear is trilinear for a volume.
    padding_mode : {"zeros", "border", "reflection"}
        What lies outside.
    align_corners : bool, optional
        Whether the ends are the centres of the edge pixels rather than their outer edges; False where ``None``.

    Returns
    -------
    Tensor, shape (N, C, OH, OW) or (N, C, OD, OH, OW)

    Raises
    ------
    ShapeError
        If the shapes do not go together.

    Notes
    -----
    The map's gradient is added in the order of points by one thread a map and block of channels (deterministic).

    References
    ----------
    .. [1] M. Jaderberg et al., "Spatial transformer networks", NIPS 2015.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    >>> nx.nn.functional.grid_sample(x, nx.tensor([[[[0.0, 0.0]]]])).item()
    2.5
    """
    op = "grid_sample"
    choice(op, "mode", mode, MODES)
    choice(op, "padding_mode", padding_mode, PADDINGS)
    x, grid = floats(op, input), floats(op, grid)
    _check(op, x, grid, mode)
    points = grid.shape[1:-1]
    f = frame(x._array, x.ndim - 2)
    rule = (MODES.index(mode), PADDINGS.index(padding_mode), int(bool(align_corners)))
    size = (*((1,) if x.ndim == 4 else ()), *f.spatial)
    n = x.shape[0]
    sizes = (n, 1 if f.last else x.shape[1], *size, f.channels, math.prod(points), x.ndim - 2, *rule)
    where = contiguous(grid._array)
    y = f.new(points)
    grid_sample_map(y, f.buffer, where, *sizes)
    needs = x.requires_grad, grid.requires_grad
    f = f if needs[1] else f.without_map()

    def vjp(g: Array) -> tuple[Array | None, Array | None]:
        dy, dx, dgrid = f.buffer_of(g), None, None
        if needs[0]:
            dx = f.new(f.spatial)
            grid_sample_backward(dx, dy, where, *sizes)
        if needs[1]:
            dgrid = backend.new(where, where.shape)
            grid_sample_grid_backward(dgrid, dy, f.buffer, where, *sizes)
        return None if dx is None else f.logical(dx), dgrid

    return autograd.record(op, f.logical(y), (x, grid), vjp)


@lru_cache(maxsize=16)
def _base(sizes: tuple[int, ...], align: bool) -> Table:
    """The identity's grid as a table: output pixel p is made of (x, y[, z], 1) of theta's columns."""
    lines = [np.linspace(-1.0, 1.0, n) if n > 1 else np.zeros(1) for n in sizes]
    if not align:
        lines = [line * (n - 1) / n for line, n in zip(lines, sizes, strict=True)]
    mesh = np.meshgrid(*lines, indexing="ij")
    weights = np.stack([*reversed(mesh), np.ones(sizes)], axis=-1).reshape(-1, len(sizes) + 1)
    return table_of(np.zeros(len(weights), np.int64), weights)


def affine_grid(theta: Any, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """The grid of an affine map, for :func:`grid_sample`.

    Parameters
    ----------
    theta : Tensor, shape (N, 2, 3) or (N, 3, 4)
        The matrices: a point is ``theta @ (x, y[, z], 1)``.
    size : sequence of int
        (N, C, H, W) or (N, C, D, H, W) of the sampled map.
    align_corners : bool, optional
        As in :func:`grid_sample`.

    Returns
    -------
    Tensor, shape (N, H, W, 2) or (N, D, H, W, 3)

    Raises
    ------
    ShapeError
        If the matrices do not go with the size.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.affine_grid(nx.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.5]]]), (1, 1, 1, 2)).numpy()[0, 0]
    array([[-0.5,  0.5],
           [ 0.5,  0.5]], dtype=float32)
    """
    op = "affine_grid"
    theta = floats(op, theta)
    sizes = tuple(integer(op, "size", n, 1) for n in size)
    axes = len(sizes) - 2
    if axes not in (2, 3) or theta.shape != (sizes[0], axes, axes + 1):
        raise ShapeError(
            f"{op}: expected theta (N, 2, 3) with size (N, C, H, W), or one axis more each, got {theta.shape} and {sizes}; pass matching ones"
        )
    n, pixels = sizes[0], math.prod(sizes[2:])
    table, one = _base(sizes[2:], bool(align_corners)), identity(1)
    matrix = contiguous(theta._array.transpose(0, 2, 1))
    y = backend.new(matrix, (n, *sizes[2:], axes))
    run_tables(y, matrix, (table, one), None, (n, axes + 1, 1, axes, pixels, 1))

    def vjp(g: Array) -> tuple[Array]:
        back = backend.new(matrix, matrix.shape)
        run_tables(back, contiguous(g), (table.transposed(axes + 1), one), None, (n, pixels, 1, axes, axes + 1, 1))
        return (back.transpose(0, 2, 1),)

    return autograd.record(op, y, (theta,), vjp)
