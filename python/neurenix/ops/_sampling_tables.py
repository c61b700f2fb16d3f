"""Where a resized axis samples its input: PyTorch's coordinates for every mode."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from neurenix.ops._axis import Host, Table, identity, table_of

CUBIC = -0.75  # PyTorch's and OpenCV's sharpness; with antialias -0.5, Pillow's


def ratio(size: int, outputs: int, align: bool, scale: float | None) -> float:
    """Input pixels a step of one output pixel."""
    if align:
        return (size - 1) / (outputs - 1) if outputs > 1 else 0.0
    return 1.0 / scale if scale is not None and scale > 0 else size / outputs


@lru_cache(maxsize=256)
def nearest(size: int, outputs: int, scale: float | None, exact: bool, single: bool, whole: bool = False) -> Host:
    """The input pixel of each output pixel; ``single`` whether coordinates are float32, as PyTorch's are for float32 maps.

    With ``whole``, which PyTorch has for images (N, C, H, W) only, an axis that keeps or doubles its size is copied or doubled
    whatever the factor was: 2.1 makes 4 pixels of 2.
    """
    if whole and not exact and outputs in (size, 2 * size):
        return np.arange(outputs) // (outputs // size)
    step = ratio(size, outputs, False, scale)
    i = np.arange(outputs, dtype=np.float64)
    position = (i + 0.5 if exact else i) * (np.float64(np.float32(step)) if single else step)
    index = np.floor(position.astype(np.float32)).astype(np.int64)
    return np.clip(index, 0, size - 1)


def _positions(size: int, outputs: int, align: bool, scale: float | None) -> Host:
    step = ratio(size, outputs, align, scale)
    i = np.arange(outputs, dtype=np.float64)
    return i * step if align else (i + 0.5) * step - 0.5


def cubic_weight(x: Host, a: float) -> Host:
    """Keys' kernel."""
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


@lru_cache(maxsize=256)
def linear(size: int, outputs: int, align: bool, scale: float | None) -> Table:
    """Two taps an output; an axis that keeps its size is copied whatever the factor was, as in PyTorch."""
    if outputs == size:
        return identity(size)
    position = np.maximum(_positions(size, outputs, align, scale), 0.0)
    first = np.minimum(np.floor(position).astype(np.int64), size - 1)
    part = np.clip(position - first, 0.0, 1.0)
    return table_of(first, np.stack([1 - part, part], axis=1), limit=size)


@lru_cache(maxsize=256)
def cubic(size: int, outputs: int, align: bool, scale: float | None) -> Table:
    """Four taps an output, clamped to the axis."""
    position = _positions(size, outputs, align, scale)
    first = np.floor(position).astype(np.int64)
    part = position - first
    weights = cubic_weight(part[:, None] - np.arange(-1, 3), CUBIC)
    return table_of(first - 1, weights, limit=size)


@lru_cache(maxsize=256)
def antialiased(size: int, outputs: int, align: bool, scale: float | None, cubic: bool) -> Table:
    """A filter stretched to the output's pixels, as Pillow's; an axis that keeps its size is copied whatever the factor was."""
    if outputs == size:
        return identity(size)
    step = ratio(size, outputs, align, scale)
    stretch = max(step, 1.0)
    support = (2.0 if cubic else 1.0) * stretch
    center = (np.arange(outputs) + 0.5) * step
    first = np.maximum(np.trunc(center - support + 0.5).astype(np.int64), 0)
    count = np.minimum(np.trunc(center + support + 0.5).astype(np.int64), size) - first
    count = np.clip(count, 1, math.ceil(support) * 2 + 1)
    offset = (first[:, None] + np.arange(int(count.max(initial=1))) - center[:, None] + 0.5) / stretch
    weights = cubic_weight(offset, -0.5) if cubic else np.maximum(1 - np.abs(offset), 0.0)
    weights = np.where(np.arange(weights.shape[1]) < count[:, None], weights, 0.0)
    total = weights.sum(axis=1, keepdims=True)
    return table_of(first, np.divide(weights, total, out=weights, where=total != 0), count)
