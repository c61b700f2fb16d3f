"""Resizing one map to the size of another, also where both are windows of larger ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from neurenix.errors import ArgumentError
from neurenix.ops import _sampling_tables as sampling
from neurenix.ops._axis import Host, Table
from neurenix.ops.resize import apply_tables, interpolate, take_nearest
from neurenix.ops.shape import broadcast_to
from neurenix.tensor import Tensor
from neurenix.window import beside, full_size, lies
from neurenix.window_rules import Span

_LINEAR = "bilinear"


class _Rows(NamedTuple):
    """Outputs ``start`` and on of an axis, and the first and the last input that each of the whole map's outputs reads."""

    full: int
    start: int
    held: int
    first: Host
    last: Host

    def follow(self, _: str, span: Span) -> Span:
        """The output's span; inputs beyond the map are not read, so its ends are as good as any other place."""
        here = slice(self.start, self.start + self.held)
        exact = np.flatnonzero((self.first[here] >= span.low) & (self.last[here] < span.high))
        low, high = (int(exact[0]), int(exact[-1]) + 1) if len(exact) else (0, 0)
        return Span(self.full, self.start, self.start + low, self.start + high)

    def needs(self, first: int, last: int, _: int) -> tuple[int, int]:
        """The inputs of these outputs."""
        return int(self.first[min(first, self.full - 1)]), int(self.last[min(last, self.full - 1)]) + 1

    @property
    def step(self) -> int:
        """Windows begin anywhere."""
        return 1


def resize_like(input: Tensor, like: Tensor, mode: str = "nearest") -> Tensor:
    """Resample (N, C, H, W) to the height and width of another map.

    Parameters
    ----------
    input, like : Tensor, shape (N, C, H, W) and (N, K, h, w)
    mode : {"nearest", "bilinear"}

    Returns
    -------
    Tensor, shape (N, C, h, w)
        ``input`` itself where the sizes are equal.

    Raises
    ------
    ArgumentError
        For another mode.

    Notes
    -----
    As :func:`interpolate` with ``size=like.shape[2:]``; but a window of a larger map is resized as that map would be, which its own
    size and that of ``like`` could not tell.

    Examples
    --------
    >>> import neurenix as nx
    >>> from neurenix.ops.resize_like import resize_like
    >>> resize_like(nx.zeros(1, 8, 3, 3), nx.zeros(1, 4, 5, 6)).shape
    (1, 8, 5, 6)
    """
    if mode not in ("nearest", _LINEAR):
        raise ArgumentError(f"resize_like: expected mode 'nearest' or 'bilinear', got {mode!r}; pass one of them")
    if like._window is None:
        return input if input.shape[2:] == like.shape[2:] else interpolate(input, size=like.shape[2:], mode=mode)
    if full_size(input) == full_size(like):
        return input
    if input._window is None:
        return beside(_part(input, [Span(n, 0, 0, n) for n in input.shape[2:]], like, mode), like)
    return lies(_part(input, input._window.spans, like, mode), like)


def spread_like(input: Tensor, like: Tensor) -> Tensor:
    """(N, C, 1, 1), which holds for a whole map, at every pixel of ``like``."""
    y = broadcast_to(input, (*input.shape[:2], *like.shape[2:]))
    return y if like._window is None else beside(y, like)


def _part(input: Tensor, spans: Sequence[Span], like: Tensor, mode: str) -> Tensor:
    """The part of a resized map that the window ``like`` holds."""
    axes = list(zip(spans, input.shape[2:], like._window.spans, like.shape[2:], strict=True))
    if mode == _LINEAR:
        parts = [_linear_part(*axis) for axis in axes]
        return apply_tables("resize_like", input, [table for table, _ in parts], local=_rules([rows for _, rows in parts]))
    picked = [_nearest_part(*axis, input.dtype != np.float64) for axis in axes]
    return take_nearest("resize_like", input, [index for index, _ in picked], _rules([rows for _, rows in picked]))


def _rules(rows: list[_Rows]) -> Callable[[], tuple[_Rows, _Rows]]:
    return lambda: (rows[0], rows[1])


@lru_cache(maxsize=64)
def _linear(size: int, out: int) -> tuple[Table, Host, Host]:
    """The table of a whole axis, and the first and the last input that each output reads."""
    table = sampling.linear(size, out, False, None)
    first, last = (f.reduceat(table.source, table.start[:-1]) for f in (np.minimum, np.maximum))
    return table, first, last


def _linear_part(span: Span, held: int, to: Span, outputs: int) -> tuple[Table, _Rows]:
    """The rows of the whole map's table that the window's outputs have, over the inputs that are held."""
    whole, first, last = _linear(span.full, to.full)
    rows = whole.start[to.start : to.start + outputs + 1]
    source, weight = whole.source[rows[0] : rows[-1]], whole.weight[rows[0] : rows[-1]]
    inside = np.clip(source - span.start, 0, held - 1)
    return Table((rows - rows[0]).astype(np.int64), inside, weight), _Rows(to.full, to.start, outputs, first, last)


def _nearest_part(span: Span, held: int, to: Span, outputs: int, single: bool) -> tuple[Host, _Rows]:
    whole = sampling.nearest(span.full, to.full, None, False, single)
    index = whole[to.start : to.start + outputs]
    return np.clip(index - span.start, 0, held - 1), _Rows(to.full, to.start, outputs, whole, whole)
