"""Rules: which pixels of an input an operation's output is made of, along one axis.

A rule tells a window's exact part after the operation (``follow``), and which inputs outputs need (``needs``, its inverse).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol, TypeAlias

from neurenix.errors import WindowError


class Span(NamedTuple):
    """The part of one axis that is held, in the coordinates of the whole axis."""

    full: int  # pixels of the whole axis
    start: int  # the first that is held
    low: int  # those from low to high are what the whole map would have there
    high: int

    def kept(self, held: int) -> Span:
        """The same, its exact part within the ``held`` pixels."""
        low = max(self.low, self.start)
        return self._replace(low=low, high=max(low, min(self.high, self.start + held, self.full)))

    def cut(self, start: int, stop: int) -> Span:
        """The same, its pixels from ``start`` to ``stop`` held alone."""
        return self._replace(start=start).kept(stop - start)


class Rule(Protocol):
    """How the pixels of an operation's output follow from those of its input, along one axis."""

    def follow(self, op: str, span: Span, /) -> Span:
        """The output's span; the caller limits it to the pixels that there are."""

    def needs(self, first: int, last: int, full: int, /) -> tuple[int, int]:
        """The inputs, from where to before where, of which outputs ``first`` to ``last`` are made; ``full`` inputs there are."""

    @property
    def step(self) -> int:
        """Windows begin at multiples of this."""


class Sliding(NamedTuple):
    """Output ``o`` reads inputs ``o * stride - before`` and the ``reach`` after it; outputs round as ``grid`` neighbours do."""

    stride: int = 1
    before: int = 0  # padding, and behind
    behind: int = 0
    reach: int = 0
    ceil: bool = False
    grid: int = 1

    def follow(self, op: str, span: Span) -> Span:
        """The output's span."""
        step = self.step
        if span.start % step:
            raise WindowError(f"{op}: expected a window that starts at a multiple of {step}, got {span.start}; align the tile", step)
        room = span.full + self.before + self.behind - self.reach - 1
        full = (-(-room // self.stride) if self.ceil else room // self.stride) + 1
        if self.ceil and (full - 1) * self.stride >= span.full + self.before:
            full -= 1
        # A cell of the grid is exact where everything that any of its outputs reads is.
        cell_reach = (self.grid - 1) * self.stride + self.reach
        low = 0 if span.low == 0 else -(-(span.low + self.before) // step) * self.grid
        high = full if span.high == span.full else ((span.high - 1 - cell_reach + self.before) // step + 1) * self.grid
        return Span(full, span.start // self.stride, low, min(high, full))

    def needs(self, first: int, last: int, _: int) -> tuple[int, int]:
        """The inputs of these outputs: of every cell of the grid that one of them lies in."""
        cells = first // self.grid, last // self.grid + 1
        return cells[0] * self.step - self.before, (cells[1] * self.grid - 1) * self.stride - self.before + self.reach + 1

    @property
    def step(self) -> int:
        """Windows begin at multiples of this."""
        return self.stride * self.grid


class Scattering(NamedTuple):
    """Input ``i`` adds to outputs ``i * stride - before`` and the ``reach`` after it."""

    stride: int = 1
    before: int = 0
    behind: int = 0
    reach: int = 0

    def follow(self, _: str, span: Span) -> Span:
        """The output's span."""
        full = (span.full - 1) * self.stride - self.before - self.behind + self.reach + 1
        low = 0 if span.low == 0 else (span.low - 1) * self.stride + 1 - self.before + self.reach
        high = full if span.high == span.full else span.high * self.stride - self.before
        return Span(full, span.start * self.stride, low, high)

    def needs(self, first: int, last: int, _: int) -> tuple[int, int]:
        """The inputs of these outputs."""
        return (first + self.before - self.reach - 1) // self.stride + 1, -(-(last + 1 + self.before) // self.stride)

    @property
    def step(self) -> int:
        """Windows begin anywhere."""
        return 1


class Enlarged(NamedTuple):
    """Output ``o`` reads around input ``o / factor``, or ``(o + 1/2) / factor - 1/2``, so many pixels before and behind."""

    factor: int
    centred: bool
    before: int
    behind: int

    def follow(self, _: str, span: Span) -> Span:
        """The output's span."""
        low = 0 if span.low == 0 else math.ceil((span.low + self.before) * self.factor + self._shift)
        high = span.full * self.factor if span.high == span.full else math.ceil((span.high - self.behind) * self.factor + self._shift)
        return Span(span.full * self.factor, span.start * self.factor, low, high)

    def needs(self, first: int, last: int, _: int) -> tuple[int, int]:
        """The inputs of these outputs."""
        low, high = (math.floor((o - self._shift) / self.factor) for o in (first, last))
        return low - self.before, high + self.behind + 1

    @property
    def step(self) -> int:
        """Windows begin anywhere."""
        return 1

    @property
    def _shift(self) -> float:
        # floor((o + 1/2) / f - 1/2) = floor((2 o + 1 - f) / 2 f)
        return (self.factor - 1) / 2 if self.centred else 0.0


class Framed(NamedTuple):
    """Pixels are added before the first and behind the last, made of those up to ``depth`` deep."""

    before: int
    behind: int
    depth: int

    def follow(self, _: str, span: Span) -> Span:
        """The output's span."""
        low = 0 if span.low == 0 and span.high > self.depth else span.low + self.before
        high = span.high + self.before
        if span.high == span.full and span.full - span.low > self.depth:
            high += self.behind
        return Span(span.full + self.before + self.behind, span.start, low, high)

    def needs(self, first: int, last: int, full: int) -> tuple[int, int]:
        """The inputs of these outputs; of those of the frame the pixels that it is made of."""
        low = 0 if first < self.before else min(first - self.before, full - self.depth - 1)
        high = max(last - self.before + 1, self.depth + 1)
        return low, full if last >= full + self.before else high

    @property
    def step(self) -> int:
        """Windows begin anywhere."""
        return 1


class Cropped(NamedTuple):
    """The last pixels are cut off: ``cut`` of the ``held`` ones."""

    held: int
    cut: int

    def follow(self, _: str, span: Span) -> Span:
        """The output's span; pixels cut from a window's inside are the whole map's still."""
        at_end = span.start + self.held >= span.full
        return span._replace(full=span.full - self.cut) if at_end else span

    def needs(self, first: int, last: int, _: int) -> tuple[int, int]:
        """The inputs of these outputs."""
        return first, last + 1

    @property
    def step(self) -> int:
        """Windows begin anywhere."""
        return 1


Rules: TypeAlias = tuple[Rule, Rule]
Local: TypeAlias = "Callable[[], Rules | None]"  # asked only where windows are followed
HERE: Final = Sliding()


def at_place() -> Rules:
    """Each output is made of the input at its own place."""
    return HERE, HERE
