"""A column of a large image through a model, strip after strip, with the bits of the whole.

A strip moves down the image. Every operation's result keeps its last rows for the next strip, as many as later operations need,
and holds only the columns that they need: so rows are computed about once, and the rim at the sides shrinks on its way
to the output. Before a strip is computed it is followed without computing (kernels skipped): which rows and columns each
result needs is found from what the operations say (:mod:`neurenix.window`), not guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import lcm
from typing import Any, NamedTuple, TypeAlias

from neurenix import backend, window
from neurenix._typing import Array
from neurenix.backend.kernel import skipped
from neurenix.errors import WindowError
from neurenix.layout import copy, copy_into
from neurenix.tensor import Tensor
from neurenix.window_rules import Rules, Span

Range: TypeAlias = tuple[int, int]


Compute: TypeAlias = Callable[[Tensor], Tensor]


class Unknown(Exception):  # noqa: N818 - a question, not an error
    """An operation asks for a whole map that no pass has made yet."""

    def __init__(self, op: str, window: Tensor) -> None:
        super().__init__(op)
        self.op, self.window = op, window


class Known(window.Follower):
    """Gives operations that see whole maps what they make of those that earlier passes made.

    Parameters
    ----------
    known : sequence of sequences of Tensor
        Of each map what operations make of it, in the order in which they ask.
    """

    def __init__(self, known: Sequence[Sequence[Tensor]] = ()) -> None:
        self._known = known
        self._asked: list[tuple[Tensor, list[int]]] = []  # in this run: windows of the maps, and how often each was seen

    def seen(self, op: str, x: Tensor, compute: Compute, /) -> Tensor:
        """What ``compute`` makes of the whole map of ``x``."""
        number = next((i for i, (asked, _) in enumerate(self._asked) if asked is x), len(self._asked))
        if number == len(self._asked):
            self._asked.append((x, [0]))
        if number >= len(self._known):
            raise Unknown(op, x)
        times = self._asked[number][1]
        times[0] += 1
        return self._made(number, times[0] - 1, x, compute)

    def _made(self, number: int, time: int, _x: Tensor, _compute: Compute) -> Tensor:
        """What is made of a map when it is asked for once more."""
        return self._known[number][time]


class _Step:
    """One operation of the model: what it reads, and what of its result is held and kept."""

    def __init__(self, op: str, sources: tuple[int, ...]) -> None:
        self.op, self.sources = op, sources
        self.rules: Rules
        self.rows: Span  # of this strip's result
        self.full = 0  # columns of the whole map
        self.columns: Range | None = None  # that later steps need; all if None
        self.keep = 0  # the first row that the next strip needs
        self.kept: Array | None = None  # rows of the strips before, (1, C, rows, columns)
        self.kept_rows: Span


class Strip(NamedTuple):
    """Outputs that are new with a strip."""

    rows: slice  # in the whole output
    columns: slice
    output: Tensor  # (1, K, rows, columns)


class Column(Known):
    """One column of an image on its way through a model.

    Parameters
    ----------
    run : callable
        The model: a window of the image to a window of the output.
    read : callable
        Rows and columns of the image, as slices, to a tensor (1, C, rows, columns).
    full : (int, int)
        Rows and columns of the image.
    reads : slice
        The image's columns that are read.
    makes : slice
        The output's columns that are wanted; to the end if it has none.
    known : sequence of sequences of Tensor
        What operations make of the maps that they see as a whole, which earlier passes made.
    """

    def __init__(
        self,
        run: Callable[[Tensor], Tensor],
        read: Callable[[slice, slice], Tensor],
        full: Range,
        reads: slice,
        makes: slice,
        known: Sequence[Sequence[Tensor]] = (),
    ) -> None:
        super().__init__(known)
        self._run, self._read, self._full, self._reads, self._makes = run, read, full, reads, makes
        self._steps: list[_Step] = []
        self._readers: dict[int, list[_Step]] = {}  # by the number of the step that they read
        self._beside: dict[int, list[_Step]] = {}  # and that they lie beside
        self._number = 0
        self._computes = self._keeps = False

    def strips(self, start: int, stops: Sequence[int], first: int = 0) -> Iterator[Strip]:
        """The output's rows from ``first`` on, as the image is read from row ``start`` to each of ``stops``: one strip each, or an empty one.

        Raises
        ------
        WindowError
            If an operation sees the whole image, or the model runs other operations for one strip than for the next.
        """
        top, done = start, first
        for stop in stops:
            x = self._read(slice(top, stop), self._reads)
            last = self._followed(x, top)
            self._keeps = stop != stops[-1]
            next_top = self._planned(last, Span(self._full[0], top, top, stop))
            y = self._computed(x, top)
            del x
            high = max(done, y._window.rows.high)
            yield self._new(y, done, high)
            top, done = next_top, high

    def _followed(self, x: Tensor, top: int) -> int:
        """Follow a strip without computing it; the number of the step that makes the output."""
        self._computes = False
        with skipped():
            place: window.Window = self._through(Tensor._wrap(backend.new(x._array, x.shape)), top)._window
        return place.source

    def _computed(self, x: Tensor, top: int) -> Tensor:
        self._computes = True
        return self._through(x, top)

    def _through(self, x: Tensor, top: int) -> Tensor:
        self._number, self._asked = 0, []
        a, b = self._reads.start, self._reads.stop
        x._window = window.Window(Span(self._full[0], top, top, top + x.shape[2]), Span(self._full[1], a, a, b), window.IMAGE)
        with window.followed(self):
            y = self._run(x)
        if y._window is None:
            raise WindowError("predict_tiled: expected operations that say what they depend on, got an output of unknown ones")
        return y

    def take(self, op: str, out: Tensor, sources: tuple[int, ...], rules: Rules) -> None:
        """Put the rows kept before above the new ones of a result, and cut off what no later step needs.

        A result made of another one pixel by pixel is as good as that one: it has the same rows, also within operations of
        several steps, which look at sizes before the first.
        """
        if len(sources) == 1 and op in window.POINTWISE:
            out._window = out._window._replace(source=sources[0])
            return
        number, step = self._number, self._step(op, sources)
        self._number += 1
        rows, columns = out._window.spans
        step.rules, step.full = rules, columns.full
        end = columns.start + out.shape[3]
        left, right = step.columns or (columns.start, end)
        left, right = max(left, columns.start), min(right, end)
        goes_on = step.kept is not None and rows.low <= step.kept_rows.high
        step.rows = held = _joined(step.kept_rows, rows) if goes_on else rows
        top = step.kept_rows.high if goes_on else rows.start
        bottom = held.high if held.low < held.high else rows.start + out.shape[2]
        new = window.cut(out, (top, bottom), (left, right))._array
        out._array = _below(step.kept, new) if goes_on else copy(new) if right - left < out.shape[3] else new
        out._window = window.Window(held, columns.cut(left, right), number)
        if self._computes:
            self._keep(step, out)

    def lies(self, out: Tensor, like: Tensor) -> None:
        """Remember that a result takes its place from another."""
        step, beside = self._steps[out._window.source], self._beside.setdefault(like._window.source, [])
        if step not in beside:
            beside.append(step)

    def _step(self, op: str, sources: tuple[int, ...]) -> _Step:
        if self._number == len(self._steps) and not self._computes and not any(s.kept is not None for s in self._steps):
            self._steps.append(step := _Step(op, sources))
            for source in set(sources):
                self._readers.setdefault(source, []).append(step)
        step = self._steps[self._number] if self._number < len(self._steps) else _Step("nothing", ())
        if (step.op, step.sources) != (op, sources):
            raise WindowError(
                f"predict_tiled: expected the same operations for every strip, got {op} where {step.op} was; run the image whole"
            )
        return step

    def _keep(self, step: _Step, out: Tensor) -> None:
        """Remember what the next strip needs of a result, copied, so that the rest is free when it is used."""
        step.kept, held = None, step.rows
        if self._keeps and held.low < held.high:
            step.kept = copy(out._array[:, :, step.keep - held.start :])
            step.kept_rows = held.cut(step.keep, held.high)

    def _planned(self, last: int, image: Span) -> int:
        """Find what every step keeps of this strip, and the first row of the image that the next one reads."""
        if last != window.IMAGE and self._steps[last].columns is None:
            self._narrow(last)
        for number, step in enumerate(self._steps):
            step.keep = self._first_needed(number, step.rows)
        return self._first_needed(window.IMAGE, image)

    def _first_needed(self, number: int, rows: Span) -> int:
        """The first row of a result that the next strip needs: one at least, so that no map is empty."""
        needed, align = rows.high - 1, 1
        for reader in self._readers.get(number, []):
            rule, made = reader.rules[0], reader.rows
            align = lcm(align, rule.step)
            if made.low == made.high:  # nothing yet
                needed = rows.start
            elif made.high < made.full:
                needed = min(needed, rule.needs(made.high, made.high, rows.full)[0])
        needed = min([needed, *(other.rows.high for other in self._beside.get(number, []))])
        return max(rows.start, needed // align * align)

    def _narrow(self, last: int) -> None:
        """Find the columns of every result that the wanted ones of the output depend on, from the last step to the first."""
        stop = self._steps[last].full if self._makes.stop is None else self._makes.stop
        wanted: dict[int, Range] = {last: (self._makes.start, min(stop, self._steps[last].full))}
        for number in reversed(range(last + 1)):
            step = self._steps[number]
            if number not in wanted:
                continue  # no output depends on it
            align = lcm(*(reader.rules[1].step for reader in self._readers.get(number, [])))
            low, high = wanted[number]
            for other in self._beside.get(number, []):
                low, high = (min(low, other.columns[0]), max(high, other.columns[1])) if other.columns else (low, high)
            low, high = step.columns = max(0, low // align * align), min(high, step.full)
            for source in step.sources:
                full = self._full[1] if source == window.IMAGE else self._steps[source].full
                a, b = step.rules[1].needs(low, high - 1, full)
                before = wanted.get(source, (a, b))
                wanted[source] = min(a, before[0]), max(b, before[1])

    def _new(self, y: Tensor, done: int, high: int) -> Strip:
        rows, columns = y._window.spans
        left, right = self._makes.start, columns.full if self._makes.stop is None else min(self._makes.stop, columns.full)
        if done < high and (rows.low > done or columns.low > left or columns.high < right):
            wanted = f"rows from {done} and columns {left} to {right}"
            raise WindowError(f"predict_tiled: expected exact {wanted}, got {rows} and {columns}; run the image whole")
        return Strip(slice(done, high), slice(left, right), window.cut(y, (done, high), (left, right)))


def _joined(kept: Span, rows: Span) -> Span:
    """The rows that are kept, and those of ``rows`` that follow and are exact."""
    return Span(rows.full, kept.start, kept.low, max(kept.high, rows.high if rows.low < rows.high else 0))


def _below(kept: Any, new: Array) -> Array:
    """Rows under rows, channels last."""
    _, c, above, w = kept.shape
    buffer: Array = backend.new(kept, (1, above + new.shape[2], w, c)).transpose(0, 3, 1, 2)
    copy_into(buffer[:, :, :above], kept)
    copy_into(buffer[:, :, above:], new)
    return buffer
