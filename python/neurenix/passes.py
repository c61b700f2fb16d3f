"""How far a model's outputs see, and how many passes over an image it takes where operations see whole maps.

Nothing is guessed: a dry run of the model on a window of an endless image says which of the output's pixels are exact, and which operations
ask for averages or maxima of a whole map. For each such map there is a pass over the image that makes it; the last pass makes the output.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from neurenix import autograd, window
from neurenix.backend.kernel import skipped
from neurenix.errors import ArgumentError, WindowError
from neurenix.inference import evaluating, output_of
from neurenix.layout import order_of
from neurenix.nn import Module
from neurenix.ops._arguments import integer
from neurenix.streaming import Compute, Known, Unknown
from neurenix.tensor import Tensor
from neurenix.window_rules import Span

_MOST = 1 << 14  # pixels of a window in which no exact pixel was found
_COARSEST = 1 << 12  # a window's first pixel is a multiple of at most this
_OTHERWISE = "pass approximate=True for tiles blended where they overlap, or run the image whole"
Spans: TypeAlias = tuple[Span, Span]


class ReceptiveField(NamedTuple):
    """What one output pixel of a model depends on, in pixels of the input.

    Attributes
    ----------
    before, behind : (int, int)
        Rows above and columns to the left; rows below and columns to the right.
    multiple : int
        Windows of the image must begin at multiples of this.
    scale : (Fraction, Fraction)
        Output pixels for each pixel of the input, along rows and columns.

    Examples
    --------
    >>> import neurenix as nx
    >>> model = nx.nn.Sequential(nx.nn.Conv2d(1, 1, 5, padding=2), nx.nn.AvgPool2d(2))
    >>> with nx.set_float32_precision("ieee"):
    ...     field = model.receptive_field()
    >>> field.before, field.behind, field.multiple, field.scale[0] == 1 / 2
    ((2, 2), (2, 2), 2, True)
    """

    before: tuple[int, int]  # rows above, columns to the left
    behind: tuple[int, int]  # rows below, columns to the right
    multiple: int  # windows of the image must begin at multiples of this
    scale: tuple[Fraction, Fraction]  # output pixels for each pixel of the input


class Made(NamedTuple):
    """What a pass makes of an image."""

    channels: int
    rows: int
    columns: int
    dtype: np.dtype[Any]
    channels_last: bool  # in memory, where the image is not


class Pass:
    """A model up to the next map that operations see as a whole, or to its output.

    Parameters
    ----------
    model : Module
    channels : int
        Of the image.
    before : sequence of Pass
        Those that make the maps which are known.

    Attributes
    ----------
    asks : str or None
        The operation that sees this pass's map first; ``None`` of the last pass.
    computes : list of callable
        What operations make of the map, in the order in which they ask.
    stand_ins : list of Tensor
        Results of these, of no meaning but their shapes.
    field : ReceptiveField
    """

    def __init__(self, model: Module, channels: int, before: Sequence[Pass] = ()) -> None:
        self.model, self.channels, self._before = model, channels, before
        self.asks: str | None = None
        self.computes: list[Compute] = []
        self.stand_ins: list[Tensor] = []
        self.field = _field(self)

    def __call__(self, x: Tensor) -> Tensor:
        """The output, or the map that is asked for."""
        try:
            y: Tensor = output_of(self.model, x)
        except Unknown as asks:
            self.asks, y = asks.op, asks.window
        return y

    def of(self, model: Module) -> Callable[[Tensor], Tensor]:
        """The same of a copy of the model."""
        one = copy.copy(self)
        one.model = model
        return one

    def dry(self, places: Spans) -> Tensor:
        """What is made of a window of the image at this place; nothing is computed."""
        dtype, device = next(((p.dtype, p.device) for p in self.model.parameters()), (np.dtype(np.float32), "cpu"))
        shape = (1, self.channels, *(s.high - s.start for s in places))
        with skipped(), evaluating(self.model), autograd.no_grad(), window.followed(_Surveyed(self._before)):
            x = Tensor(np.zeros(shape, dtype), device=device)
            x._window = window.Window(*places)
            y = self(x)
        if y._window is None and self._before:  # made of whole maps alone
            raise window.whole_needed(str(self._before[-1].asks))
        if y._window is None:
            raise WindowError("predict_tiled: expected operations that say what they depend on, got an output of unknown ones")
        return y

    @lru_cache(maxsize=8)  # noqa: B019 - a pass lives as long as its job
    def made(self, size: tuple[int, int]) -> Made:
        """Channels, size and type of what is made of an image of this size."""
        most = max(64, 2 * self.field.multiple)
        rows, columns = (Span(full, 0, 0, min(full, most)) for full in size)
        y = self.dry((rows, columns))
        return Made(y.shape[1], *window.full_size(y), np.dtype(y.dtype), order_of(y._array) != (0, 1, 2, 3))


class _Surveyed(Known):
    """Notes what operations make of the maps of earlier passes, and gives them stand-ins."""

    def __init__(self, before: Sequence[Pass]) -> None:
        super().__init__([one.stand_ins for one in before])
        self._before = before

    def _made(self, number: int, time: int, x: Tensor, compute: Compute) -> Tensor:
        one = self._before[number]
        if time == len(one.stand_ins):
            one.stand_ins.append(compute(Tensor._wrap(x._array)))
            one.computes.append(compute)
        return one.stand_ins[time]


def passes_of(model: Module, channels: int) -> list[Pass]:
    """The passes over an image that a model takes: one, where its outputs depend on pixels near them.

    Parameters
    ----------
    model : Module
    channels : int
        Of the image.

    Raises
    ------
    WindowError
        If an operation sees the whole image otherwise than by averages and maxima, by its name.
    """
    found = [Pass(model, channels)]
    while found[-1].asks is not None:
        found.append(Pass(model, channels, tuple(found)))
    return found


def receptive_field(model: Module, channels: int | None = None) -> ReceptiveField:
    """How far the pixels reach that an output of ``model`` depends on, found by following its operations; nothing is computed.

    Parameters
    ----------
    model : Module
        Of maps (N, C, H, W) to maps (N, K, h, w), as it is in evaluation.
    channels : int, optional
        Of the input, where the model has no ``in_channels``.

    Returns
    -------
    ReceptiveField
        Rounded up to ``multiple``: what a tile needs around it. At :func:`~neurenix.set_float32_precision` "fast" a
        convolution's rounding depends on whole 4x4 blocks of its outputs, which widens it.

    Raises
    ------
    WindowError
        If an operation sees the whole image, by its name.

    Examples
    --------
    >>> import neurenix as nx
    >>> with nx.set_float32_precision("ieee"):
    ...     field = nx.multiscale.receptive_field(nx.multiscale.UNet(1, 1, features=[4, 8]))
    >>> field.before, field.behind, field.multiple
    ((24, 24), (24, 24), 4)
    """
    c = _channels(model) if channels is None else integer("receptive_field", "channels", channels, 1)
    return at_most(1, passes_of(model, c))[0].field


def at_most(passes: int | None, found: list[Pass]) -> list[Pass]:
    """``found``, refused where there are more than ``passes``.

    Raises
    ------
    WindowError
        By the name of the operation that would see the first map too many.
    """
    if passes is not None and len(found) > passes:
        asks = window.whole_needed(str(found[passes - 1].asks))
        raise WindowError(f"{asks}, which predict_tiled makes first with passes={len(found)}; {_OTHERWISE}")
    return found


def _field(one: Pass) -> ReceptiveField:
    multiple, length = 1, 8
    while True:
        try:
            runs = [_spans(one, multiple, length, more) for more in (0, 1)]
        except WindowError as error:
            multiple *= error.multiple
            if error.multiple == 1 or multiple > _COARSEST:
                raise WindowError(f"{error}; {_OTHERWISE}") from None
            continue
        if all(s.low < s.high for spans in runs for s in spans):
            return _widest([_reach(spans, multiple, length) for spans in runs])
        length *= 2
        if length * multiple > _MOST:
            raise WindowError(f"receptive_field: expected outputs that depend on fewer than {_MOST} pixels around them; {_OTHERWISE}")


def _spans(one: Pass, multiple: int, length: int, more: int) -> Spans:
    """The output's spans for a window of ``length`` multiples inside an image that is even at every level, or with ``more`` odd.

    Between these two are all others: maps that are resized to each other's sizes have scales of 2 or a little less.
    """
    start, size = _far(multiple), length * multiple
    span = Span(start + size + 8 * multiple + more, start, start, start + size)
    spans: Spans = one.dry((span, span))._window.spans
    return spans


def _far(multiple: int) -> int:
    """A first pixel far from the image's, a multiple of ``multiple`` and of nothing else."""
    return multiple * 1009


def _reach(spans: Spans, multiple: int, length: int) -> ReceptiveField:
    start = _far(multiple)
    scales = [Fraction(s.start, start) for s in spans]
    before, behind = [], []
    for s, scale in zip(spans, scales, strict=True):
        before.append(round_up(Fraction(s.low) / scale - start, multiple))
        behind.append(round_up(start + length * multiple - Fraction(s.high) / scale, multiple))
    return ReceptiveField((before[0], before[1]), (behind[0], behind[1]), multiple, (scales[0], scales[1]))


def _widest(fields: list[ReceptiveField]) -> ReceptiveField:
    before, behind = (
        tuple(max(pair) for pair in zip(*sides, strict=True)) for sides in zip(*((f.before, f.behind) for f in fields), strict=True)
    )
    return fields[0]._replace(before=before, behind=behind)


def round_up(value: Fraction | int, multiple: int) -> int:
    """The next multiple, at least 0."""
    return max(0, -(-value // multiple) * multiple)


def _channels(model: Module) -> int:
    for module in model.modules():
        channels = getattr(module, "in_channels", None)
        if isinstance(channels, int):
            return channels
    raise ArgumentError("receptive_field: expected a model that says its in_channels, got none; pass channels=")
