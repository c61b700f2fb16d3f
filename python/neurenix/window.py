"""Windows: tensors that hold a part of a larger map and know which part.

A map whose tensor carries a :class:`Span` for its rows and one for its columns is a window. Every operation on it is followed
(:func:`follow`): what it computes at the window's rim may be wrong, since pixels beyond were not there, and the result's spans say
which of its pixels are what the whole map's would be. An operation that does not say where its outputs come from is refused
by name, so a wrong pixel is never taken for a right one. Tiles of large images are computed with this.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeAlias

from neurenix.errors import WindowError

if TYPE_CHECKING:
    from neurenix.tensor import Tensor


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


Spans: TypeAlias = tuple[Span, Span]


class Rule(Protocol):
    """How the pixels of an operation's output follow from those of its input, along one axis."""

    def follow(self, op: str, span: Span, /) -> Span:
        """The output's span; the caller limits it to the pixels that there are."""


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
        step = self.stride * self.grid
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


class Enlarged(NamedTuple):
    """Output ``o`` reads around input ``o / factor``, or ``(o + 1/2) / factor - 1/2``, so many pixels before and behind."""

    factor: int
    centred: bool
    before: int
    behind: int

    def follow(self, _: str, span: Span) -> Span:
        """The output's span."""
        # floor((o + 1/2) / f - 1/2) = floor((2 o + 1 - f) / 2 f)
        shift = (self.factor - 1) / 2 if self.centred else 0.0
        low = 0 if span.low == 0 else math.ceil((span.low + self.before) * self.factor + shift)
        high = span.full * self.factor if span.high == span.full else math.ceil((span.high - self.behind) * self.factor + shift)
        return Span(span.full * self.factor, span.start * self.factor, low, high)


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


class Cropped(NamedTuple):
    """The last pixels are cut off: ``cut`` of the ``held`` ones."""

    held: int
    cut: int

    def follow(self, _: str, span: Span) -> Span:
        """The output's span; pixels cut from a window's inside are the whole map's still."""
        at_end = span.start + self.held >= span.full
        return span._replace(full=span.full - self.cut) if at_end else span


Rules: TypeAlias = tuple[Rule, Rule]
Local: TypeAlias = "Callable[[], Rules | None]"  # asked only where windows are followed
HERE: Final = Sliding()


def at_place() -> Rules:
    """Each output is made of the input at its own place."""
    return HERE, HERE


# Operations whose outputs are made of the inputs' elements at the same place, whatever their arguments.
POINTWISE: Final = frozenset(
    [
        "abs",
        "add",
        "autocast",
        "celu",
        "clamp",
        "clone",
        "cos",
        "div",
        "elu",
        "eq",
        "erf",
        "exp",
        "expm1",
        "float",
        "gelu",
        "ge",
        "gt",
        "hardshrink",
        "hardsigmoid",
        "hardswish",
        "hardtanh",
        "le",
        "leaky_relu",
        "log",
        "log1p",
        "log_sigmoid",
        "logsigmoid",
        "lt",
        "maximum",
        "minimum",
        "mish",
        "mul",
        "nan_to_num",
        "ne",
        "neg",
        "pow",
        "prelu",
        "reciprocal",
        "relu",
        "relu6",
        "rsqrt",
        "selu",
        "sigmoid",
        "sign",
        "silu",
        "sin",
        "softplus",
        "softshrink",
        "softsign",
        "sqrt",
        "square",
        "sub",
        "tanh",
        "tanhshrink",
        "threshold",
        "to",
        "where",
    ]
)
_watched: ContextVar[bool] = ContextVar("windows", default=False)


@contextmanager
def followed() -> Iterator[None]:
    """Context in which operations on windows are followed."""
    token = _watched.set(True)
    try:
        yield
    finally:
        _watched.reset(token)


def is_followed() -> bool:
    """Whether operations on windows are followed here."""
    return _watched.get()


def follow(op: str, shape: tuple[int, ...], inputs: Sequence[Tensor], local: Local | None) -> Spans | None:
    """The spans of an operation's result of this shape; ``None`` where no input is a window.

    Raises
    ------
    WindowError
        Where a result may depend on pixels that are not held, or windows do not lie at the same place.
    """
    windows = [(t, t._window) for t in inputs if t._window is not None]
    if not windows:
        return None
    rules = at_place() if local is None and op in POINTWISE else local and local()
    if rules is None:
        raise WindowError(f"{op}: expected an operation whose outputs depend on pixels near them, got one that may see the whole map")
    spans = _joined(op, inputs, windows)
    rows, columns = (rule.follow(op, span).kept(held) for rule, span, held in zip(rules, spans, shape[-2:], strict=True))
    return rows, columns


def _joined(op: str, inputs: Sequence[Tensor], windows: Sequence[tuple[Tensor, Spans]]) -> Spans:
    """The one place of several windows: the same start, the exact part of all."""
    for t in inputs:
        if t._window is None and t.ndim >= windows[0][0].ndim and t.shape[-2:] != (1, 1) and op in POINTWISE:
            raise WindowError(f"{op}: expected windows of one image, got one beside a whole map {t.shape}")
    first = windows[0][1]
    if any(a.start != b.start for _, other in windows for a, b in zip(first, other, strict=True)):
        raise WindowError(f"{op}: expected windows that start at the same place, got {[w for _, w in windows]}")
    spans = zip(*(other for _, other in windows), strict=True)
    rows, columns = (Span(min(s.full for s in axis), axis[0].start, max(s.low for s in axis), min(s.high for s in axis)) for axis in spans)
    return rows, columns
