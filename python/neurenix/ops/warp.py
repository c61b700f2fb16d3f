"""Where each pixel of a warped image lies in its source, and the interpolation there."""

from __future__ import annotations

import numpy as np

from neurenix import backend
from neurenix._typing import Array
from neurenix.backend.kernel import Double, DoubleOut, Enum, In, Out, Real, Size, kernel
from neurenix.ops._axis import Host, Table, table_of
from neurenix.ops.resize import run_tables

ORDERS = {"nearest": 0, "bilinear": 1, "bicubic": 2}
FILL_MODES = {"constant": 0, "replicate": 1, "symmetric": 2, "reflect": 3}


@kernel("floats")
def warp_points(field: In, points: DoubleOut, matrix: Double, fh: Size, fw: Size, oh: Size, ow: Size) -> None:
    """points[:, i, j] = before(e + field[:, e]), e = after(i, j); matrix is after, then before, 2x3 each."""


@kernel("numbers")
def warp_sample(
    y: Out, x: In, points: Double, planes: Size, h: Size, w: Size, oh: Size, ow: Size, order: Enum, mode: Enum, fill: Real
) -> None:
    """y[p, i, j] = x[p] interpolated at row points[0, i, j] and column points[1, i, j]."""


def points_of(after: Host, before: Host, field: Array | None, size: tuple[int, int]) -> Array:
    """Rows and columns in the source, float64 (2, H, W), of every pixel of an image of ``size``.

    A pixel (i, j) goes through ``after``, then is displaced by the field there (if any), then goes through ``before``; both are 3x3.
    """
    points = backend.empty((2, *size), "float64", "cpu")
    bend = np.empty((2, 0, 0), np.float32) if field is None else field
    before = before if field is not None else before @ after
    matrix = np.concatenate([after[:2].ravel(), before[:2].ravel()])
    warp_points(bend, points, matrix, bend.shape[1], bend.shape[2], *size)
    return points


def sample_at(x: Array, points: Array, interpolation: str, fill_mode: str, fill: float) -> Array:
    """``x`` (..., H, W) at points, in its element type; integers are rounded to the nearest."""
    h, w = x.shape[-2:]
    oh, ow = points.shape[1:]
    y = backend.new(x, (*x.shape[:-2], oh, ow))
    planes = int(np.prod(x.shape[:-2], dtype=np.int64))
    warp_sample(y, x, points, planes, h, w, oh, ow, ORDERS[interpolation], FILL_MODES[fill_mode], float(fill))
    return y


def smooth_noise(noise: Array, size: tuple[int, int], sigma: float, step: int) -> Array:
    """Noise that stands at every ``step``-th pixel, (2, rows, columns), smoothed by a Gaussian and read at every pixel.

    Its variance is that of noise at every pixel smoothed by the same Gaussian.
    """
    field = backend.new(noise, (noise.shape[0], *size))
    tables = [_gaussian(n, sigma, step) for n in size]
    run_tables(field, noise, tables, None, (noise.shape[0], *noise.shape[1:], 1, *size))
    return field


def noise_size(size: int, sigma: float, step: int) -> int:
    """How many points of noise :func:`smooth_noise` takes for ``size`` pixels."""
    return (size - 1) // step + 2 + 2 * _reach(sigma, step)


def _reach(sigma: float, step: int) -> int:
    return int(np.ceil(4 * sigma / step))


def _gaussian(size: int, sigma: float, step: int) -> Table:
    pixel, reach = np.arange(size), _reach(sigma, step)
    first = np.rint(pixel / step).astype(np.int64)
    places = (first[:, None] + np.arange(-reach, reach + 1)) * step
    weight = np.exp(-0.5 * ((pixel[:, None] - places) / sigma) ** 2)
    weight /= weight.sum(axis=1, keepdims=True) * np.sqrt(step)
    return table_of(first, weight)
