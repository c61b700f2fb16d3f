"""Gaussian blur, one axis after the other."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from neurenix import autograd
from neurenix.errors import ArgumentError, ShapeError
from neurenix.ops._arguments import choice, floats
from neurenix.ops._axis import Host, Table, identity
from neurenix.ops.resize import apply_tables
from neurenix.tensor import Tensor

BORDERS = ("symmetric", "reflect", "replicate", "circular")
WIDEST = 1 << 20  # pixels; beyond it a blur is the mean of any image


def gaussian_blur(input: Any, sigma: Any, *, spacing: Any = 1.0, mode: str = "reflect", truncate: float = 4.0) -> Tensor:
    """Blur with a Gaussian of standard deviation ``sigma``.

    Parameters
    ----------
    input : Tensor, shape (N, C, H, W), (C, H, W) or (N, C, D, H, W)
        float32 or float64, any memory order.
    sigma : float or sequence of float
        Standard deviation, one for all spatial axes or one each; 0 leaves an axis as it is.
    spacing : float or sequence of float
        Distance between pixels along each axis, in the unit of ``sigma``: (0.5, 0.1) for steps of half a micrometre between
        rows. By default ``sigma`` is in pixels.
    mode : {"reflect", "symmetric", "replicate", "circular"}
        What lies beyond the border: the image mirrored without its edge pixels, or with them, its edge, or its other end. SciPy
        calls them "mirror", "reflect" (its default), "nearest" and "wrap".
    truncate : float
        The filter ends at so many standard deviations, rounded to pixels, and its weights sum to 1.

    Returns
    -------
    Tensor, shape, dtype and device of ``input``

    Raises
    ------
    ShapeError
        If ``input`` has other axes or is empty.
    ArgumentError
        If a number is negative or not finite, or the mode is none of these.
    DTypeError
        If ``input`` is not float32 or float64.

    Notes
    -----
    The same weights as ``scipy.ndimage.gaussian_filter``. Gradient: the transpose of the same sums (deterministic).

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.gaussian_blur(nx.tensor([[[0.0, 0.0, 100.0, 0.0, 0.0]]]), 0.5).round()
    tensor([[[ 0., 11., 79., 11.,  0.]]])
    """
    op = "gaussian_blur"
    x = floats(op, input)
    if x.ndim not in (3, 4, 5) or 0 in x.shape[-min(x.ndim - 1, 3) :]:
        raise ShapeError(
            f"{op}: expected x (N, C, H, W), (C, H, W) or (N, C, D, H, W) of at least one pixel, got shape {x.shape}; "
            "add the missing axes, e.g. x[None]"
        )
    n = max(2, x.ndim - 2)
    choice(op, "mode", mode, BORDERS)
    (reach,) = _numbers(op, "truncate", truncate, 1, 0.0)
    steps = _numbers(op, "spacing", spacing, n, None)
    widths = [s / d for s, d in zip(_numbers(op, "sigma", sigma, n, 0.0), steps, strict=True)]
    widest = round(reach * max(widths))
    if widest > WIDEST:
        raise ArgumentError(f"{op}: expected a filter of at most {WIDEST} pixels to either side, got {widest}; take the mean instead")
    tables = [_table(size, w, reach, mode) for size, w in zip(x.shape[-n:], widths, strict=True)]
    if all(t is None for t in tables):
        return autograd.record(op, x._array, (x,), lambda g: (g,))
    return apply_tables(op, x, [identity(size) if t is None else t for t, size in zip(tables, x.shape[-n:], strict=True)])


def _numbers(op: str, name: str, value: Any, n: int, least: float | None) -> list[float]:
    """One finite number for each of ``n`` axes, of at least ``least``, or above 0."""
    given = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    if len(given) not in (1, n):
        raise ArgumentError(f"{op}: expected {name} as one number or {n}, got {value!r}; pass one for each spatial axis")
    for v in given:
        fine = isinstance(v, numbers.Real) and not isinstance(v, bool) and math.isfinite(v)
        if not fine or (v <= 0 if least is None else v < least):
            bound = "above 0" if least is None else f"of at least {least:g}"
            raise ArgumentError(f"{op}: expected {name} as finite numbers {bound}, got {value!r}; pass e.g. {name}=1.5")
    return [float(v) for v in given] * (n // len(given))


@lru_cache(maxsize=128)
def _table(size: int, sigma: float, truncate: float, mode: str) -> Table | None:
    """The sparse matrix of a blurred axis; ``None`` where it changes nothing."""
    radius = int(truncate * sigma + 0.5)
    if radius == 0 or size == 1:
        return None
    offset = np.arange(-radius, radius + 1)
    weight = np.exp(-0.5 / (sigma * sigma) * offset.astype(np.float64) ** 2)
    offset, weight = _folded(offset, weight / weight.sum(), size, mode)
    source = _inside(np.arange(size)[:, None] + offset, size, mode)
    if len(offset) <= size:
        return Table(len(offset) * np.arange(size + 1), source.reshape(-1), np.tile(weight, size))
    whole = np.zeros((size, size))  # a filter longer than the axis: each pixel once, with the sum of its weights
    np.add.at(whole, (np.arange(size)[:, None], source), weight)
    return Table(size * np.arange(size + 1), np.tile(np.arange(size), size), whole.reshape(-1))


def _period(size: int, mode: str) -> int:
    """After how many pixels an axis repeats beyond its border."""
    return {"symmetric": 2 * size, "reflect": 2 * (size - 1), "circular": size}[mode]


def _folded(offset: Host, weight: Host, size: int, mode: str) -> tuple[Host, Host]:
    """Offsets that reach the same pixel from wherever, once each, with the sum of their weights."""
    least, most = (-size, size) if mode == "replicate" else (0, _period(size, mode) - 1)
    if len(offset) <= most - least + 1:
        return offset, weight
    near = np.clip(offset, least, most) if mode == "replicate" else np.mod(offset, most + 1)
    return np.arange(least, most + 1), np.bincount(near - least, weight, most - least + 1)


def _inside(index: Host, size: int, mode: str) -> Host:
    """The pixel that stands for each place on or beyond the axis."""
    if mode == "replicate":
        return np.clip(index, 0, size - 1)
    index = np.mod(index, _period(size, mode))
    return np.where(index >= size, 2 * size - 1 - (mode == "reflect") - index, index)
