"""How a map with spatial axes lies in memory, so that kernels that treat channels alike run on both orders without a copy."""

from __future__ import annotations

import math
from typing import NamedTuple

from neurenix import backend
from neurenix._typing import Array, DTypeLike
from neurenix.layout import contiguous, copy_into


class Frame(NamedTuple):
    """A dense buffer of memory shape ``lead + spatial + (channels,)``, channels innermost or absent (1)."""

    buffer: Array
    lead: tuple[int, ...]
    spatial: tuple[int, ...]
    channels: int
    last: bool  # whether channels lie innermost

    @property
    def outer(self) -> int:
        """The product of the leading sizes."""
        return math.prod(self.lead)

    def without_map(self) -> Frame:
        """The same frame with an empty buffer, for a rule that reads no map: that is free once nobody else has it."""
        return self._replace(buffer=backend.new(self.buffer, (0,)))

    def new(self, spatial: tuple[int, ...], dtype: DTypeLike | None = None) -> Array:
        """A new buffer of this order with other spatial sizes."""
        return backend.new(self.buffer, self.lead + spatial + ((self.channels,) if self.last else ()), dtype)

    def logical(self, buffer: Array) -> Array:
        """A buffer of this order as the logical array: channels before the spatial axes."""
        if not self.last:
            return buffer
        lead, n = len(self.lead), len(self.spatial)
        return buffer.transpose(*range(lead), lead + n, *range(lead, lead + n))

    def buffer_of(self, x: Array) -> Array:
        """A logical array, e.g. a gradient, as a dense buffer of this order: a view where it already lies so."""
        if not self.last:
            return contiguous(x)
        return _channels_innermost(x, len(self.lead), len(self.spatial))


def _channels_innermost(x: Array, lead: int, spatial: int) -> Array:
    y = x.transpose(*range(lead), *range(lead + 1, lead + 1 + spatial), lead)
    if y.flags.c_contiguous:
        return y
    buffer = backend.new(x, y.shape)
    copy_into(buffer, y)
    return buffer


def frame(x: Array, spatial: int) -> Frame:
    """See ``x`` (..., C, spatial axes) as the kernels do: ``outer`` maps of pixels of ``channels`` elements.

    Where both orders are the same bytes channels are taken to lie innermost, as in every map that an operation makes.
    """
    lead = x.ndim - spatial - 1
    sizes = x.shape[x.ndim - spatial :]
    if lead >= 0 and x.shape[lead] > 1:
        y = x.transpose(*range(lead), *range(lead + 1, x.ndim), lead)
        if y.flags.c_contiguous and lead <= 1:
            return Frame(y, x.shape[:lead], sizes, x.shape[lead], True)
    return Frame(contiguous(x), x.shape[: x.ndim - spatial], sizes, 1, False)
