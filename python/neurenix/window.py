"""Windows: tensors that hold a part of a larger map and know which part.

A map whose tensor carries a :class:`Window` is one. Every operation on it is followed (:func:`settle`): what it computes at the
window's rim may be wrong, since pixels beyond were not there, and the result's spans say which of its pixels are what the whole
map's would be. An operation that does not say where its outputs come from is refused by name, so a wrong pixel is never taken
for a right one. Tiles and strips of large images are computed with this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, NamedTuple

from neurenix.errors import WindowError
from neurenix.window_rules import Local, Rules, Span, at_place

if TYPE_CHECKING:
    from neurenix.tensor import Tensor


IMAGE: Final = -1


class Window(NamedTuple):
    """The part of a map that is held, and which operation made it."""

    rows: Span
    columns: Span
    source: int = IMAGE  # number of the operation that made it or what it lies beside, for who follows a model; IMAGE is its input

    @property
    def spans(self) -> tuple[Span, Span]:
        """Both axes."""
        return self.rows, self.columns


class Follower:
    """Told of every operation on windows; it may put another part of the same map into the result."""

    def take(self, op: str, out: Tensor, sources: tuple[int, ...], rules: Rules) -> None:
        """``out`` is what ``op`` made of the windows that the operations ``sources`` made."""

    def lies(self, out: Tensor, like: Tensor) -> None:
        """``out`` lies where ``like`` does, of which no pixel went into it."""

    def seen(self, op: str, _x: Tensor, _compute: Callable[[Tensor], Tensor], /) -> Tensor:
        """What the last argument makes of the whole map of which the one before is a window."""
        raise whole_needed(op)


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
_follower: ContextVar[Follower | None] = ContextVar("windows", default=None)


def whole_needed(op: str) -> WindowError:
    """The error for an operation that may see the whole map."""
    return WindowError(f"{op}: expected an operation whose outputs depend on pixels near them, got one that may see the whole map")


@contextmanager
def followed(follower: Follower | None = None) -> Iterator[None]:
    """Context in which operations on windows are followed."""
    token = _follower.set(follower or Follower())
    try:
        yield
    finally:
        _follower.reset(token)


def is_followed() -> bool:
    """Whether operations on windows are followed here."""
    return _follower.get() is not None


def settle(op: str, out: Tensor, inputs: Sequence[Tensor], local: Local | None) -> None:
    """Give an operation's result its window, if an input is one.

    Raises
    ------
    WindowError
        Where a result may depend on pixels that are not held, or windows do not lie at the same place.
    """
    windows = [t._window for t in inputs if t._window is not None]
    if not windows:
        return
    rules = at_place() if local is None and op in POINTWISE else local and local()
    if rules is None:
        raise whole_needed(op)
    for t in inputs:
        if t._window is None and t.ndim >= out.ndim and t.shape[-2:] != (1, 1) and op in POINTWISE:
            raise WindowError(f"{op}: expected windows of one image, got one beside a whole map {t.shape}")
    spans = (_joined(op, [w.rows for w in windows]), _joined(op, [w.columns for w in windows]))
    rows, columns = (rule.follow(op, span).kept(held) for rule, span, held in zip(rules, spans, out.shape[-2:], strict=True))
    out._window = Window(rows, columns)
    if (follower := _follower.get()) is not None:
        follower.take(op, out, tuple(w.source for w in windows), rules)


def seen_whole(op: str, x: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
    """What ``compute`` makes of ``x``, and of its whole map where it is a window and the map is known."""
    follower = _follower.get()
    return compute(x) if x._window is None or follower is None else follower.seen(op, x, compute)


def lies(out: Tensor, like: Tensor) -> Tensor:
    """``out``, whose place is that of ``like``."""
    if (follower := _follower.get()) is not None and out._window is not None:
        follower.lies(out, like)
    return out


def beside(x: Tensor, like: Tensor) -> Tensor:
    """``x``, made of whole maps, as the window that ``like`` is."""
    rows, columns = (Span(s.full, s.start, s.start, s.start + n).kept(n) for s, n in zip(like._window.spans, like.shape[-2:], strict=True))
    x._window = Window(rows, columns, like._window.source)
    return x


def _joined(op: str, spans: Sequence[Span]) -> Span:
    """The one place of several windows: the same start, the exact part of all."""
    if any(s.start != spans[0].start for s in spans):
        raise WindowError(f"{op}: expected windows that start at the same place, got {list(spans)}")
    return Span(min(s.full for s in spans), spans[0].start, max(s.low for s in spans), min(s.high for s in spans))


def full_size(x: Tensor) -> tuple[int, int]:
    """Height and width of the whole map, also where ``x`` is a window of it."""
    if x._window is None:
        return x.shape[-2], x.shape[-1]
    window: Window = x._window
    return window.rows.full, window.columns.full


def cut(x: Tensor, rows: tuple[int, int], columns: tuple[int, int]) -> Tensor:
    """The part of a window that holds these rows and columns, numbered as in the whole map; a view."""
    window: Window = x._window
    (top, bottom), (left, right) = ((a - s.start, b - s.start) for (a, b), s in zip((rows, columns), window.spans, strict=True))
    part = type(x)._wrap(x._array[..., top:bottom, left:right])
    part._window = Window(window.rows.cut(*rows), window.columns.cut(*columns), window.source)
    return part


def limited(x: Tensor, height: int, width: int) -> Tensor:
    """The map's first rows and columns, at most so many."""
    if x._window is None:
        return x if x.shape[-2] <= height and x.shape[-1] <= width else x[..., :height, :width]
    window: Window = x._window
    places = [(s.start, min(s.start + n, most)) for s, n, most in zip(window.spans, x.shape[-2:], (height, width), strict=True)]
    part = cut(x, *places)
    rows, columns = (s._replace(full=min(s.full, most)) for s, most in zip(part._window.spans, (height, width), strict=True))
    part._window = Window(rows.kept(part.shape[-2]), columns.kept(part.shape[-1]), window.source)
    return part


def aligned(op: str, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    """Windows of one image cut to what all of them hold; anything else as it is.

    Raises
    ------
    WindowError
        Where they hold nothing in common.
    """
    windows = [t for t in tensors if t._window is not None]
    places = [[(s.start, s.start + n) for s, n in zip(t._window.spans, t.shape[-2:], strict=True)] for t in windows]
    if all(p == places[0] for p in places):
        return tensors
    rows, columns = ((max(a for a, _ in axis), min(b for _, b in axis)) for axis in zip(*places, strict=True))
    if rows[0] >= rows[1] or columns[0] >= columns[1]:
        raise WindowError(f"{op}: expected windows that overlap, got {[t._window for t in windows]}")
    return [t if t._window is None else cut(t, rows, columns) for t in tensors]
