"""Instance and group norm of (N, C, ...): each sample by its own statistics.

Dimensions: N samples, C channels, P pixels a channel. A sample's channels lie innermost, or as C planes one after the other: the
rows of :mod:`neurenix.ops.norm` see the latter as N * C maps of one channel, so neither order is copied and both have the same bits.
On a CPU a few samples at a time go through all passes, while they are in its caches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from neurenix import backend
from neurenix._typing import Array
from neurenix.ops._frame import Frame, frame
from neurenix.ops.norm import (
    norm_apply,
    norm_backward_apply,
    norm_backward_sums,
    norm_backward_tables,
    norm_moments,
    norm_tables,
)

_PART = 1 << 23  # bytes of the samples that are taken together: a part of a last-level cache

Affine = tuple[Array | None, Array | None]


class _Samples(NamedTuple):
    """A map as the kernels see it: ``planes`` maps of ``inner`` channels a sample."""

    frame: Frame
    n: int
    c: int
    groups: int

    @property
    def planes(self) -> int:
        return 1 if self.frame.last else self.c

    @property
    def size(self) -> tuple[int, int]:
        """Height and width; all spatial axes but the last count as rows."""
        spatial = self.frame.spatial
        return math.prod(spatial[:-1]), spatial[-1] if spatial else 1

    @property
    def shared(self) -> tuple[int, int, int]:
        """Channels, pixels and groups, as the tables of a sample take them."""
        return self.c, math.prod(self.size), self.groups

    def parts(self) -> Iterator[tuple[slice, int]]:
        """Samples that are taken together, and how many maps they are."""
        x = self.frame.buffer
        on_cpu = self.n and backend.device_of(x) == "cpu"
        step = max(1, _PART * self.n // max(x.nbytes, 1)) if on_cpu else max(self.n, 1)
        for first in range(0, self.n, step):
            last = min(first + step, self.n)
            yield slice(first, last), (last - first) * self.planes


def normalise(
    x: Array, groups: int, affine: Affine, running: Affine, momentum: float, eps: float, relu: bool
) -> tuple[Array, Callable[[Array, tuple[bool, ...]], list[Array | None]]]:
    """The normalised map, and the function from its gradient to those of ``x``, weight and bias that are needed."""
    f = frame(x, x.ndim - 2)
    s = _Samples(f, x.shape[0], x.shape[1], groups)
    scale, shift = (backend.new(f.buffer, (s.n, s.c)) for _ in range(2))
    mean, rstd, moment_mean, moment_square = (backend.new(f.buffer, (s.n, s.c), np.float64) for _ in range(4))
    moments = (moment_mean, moment_square)
    y = f.new(f.spatial)
    for at, maps in s.parts():
        part, found = f.buffer[at], (moment_mean[at], moment_square[at])
        norm_moments(part, *found, maps, *s.size, f.channels)
        tables = (scale[at], shift[at], mean[at], rstd[at])
        norm_tables(*tables, None, None, *found, *affine, at.stop - at.start, *s.shared, eps, momentum)
        norm_apply(y[at], part, scale[at], shift[at], maps, maps, math.prod(s.size), f.channels, relu)
    if any(r is not None for r in running):
        norm_tables(scale, shift, mean, rstd, *running, *moments, *affine, s.n, *s.shared, eps, momentum)

    def backward(g: Array, needs: tuple[bool, ...]) -> list[Array | None]:
        return _backward(f.buffer_of(g), s, (mean, rstd, scale, shift), affine[0], relu, needs)

    return f.logical(y), backward


def _backward(
    g: Array, s: _Samples, tables: tuple[Array, Array, Array, Array], weight: Array | None, relu: bool, needs: tuple[bool, ...]
) -> list[Array | None]:
    mean, rstd, scale, shift = tables
    f = s.frame
    sum_g, sum_gx = (backend.new(g, (s.n, s.c), np.float64) for _ in range(2))
    a, b, d = (backend.new(g, (s.n, s.c)) for _ in range(3))
    dweight, dbias = (backend.new(g, (s.c,)) if need else None for need in needs[1:])
    dx = f.new(f.spatial) if needs[0] else None
    for at, maps in s.parts():
        both, sums = (g[at], f.buffer[at]), (sum_g[at], sum_gx[at])
        applied = (scale[at], shift[at], maps, maps)
        norm_backward_sums(*both, *sums, mean[at], *applied, *s.size, f.channels, relu)
        if dx is not None:
            lines, given = (a[at], b[at], d[at]), (mean[at], rstd[at], weight, at.stop - at.start)
            norm_backward_tables(*lines, None, None, *sums, *given, *s.shared, True)
            norm_backward_apply(dx[at], *both, *lines, *applied, math.prod(s.size), f.channels, relu)
    if needs[1] or needs[2]:
        norm_backward_tables(a, b, d, dweight, dbias, sum_g, sum_gx, mean, rstd, weight, s.n, *s.shared, True)
    return [None if dx is None else f.logical(dx), dweight, dbias]
