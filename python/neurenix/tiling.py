"""Large images through a model, a part at a time, with the bits of the whole.

A part is read with a rim of the pixels around it, wide enough that what the model computes inside is what it would compute in the whole
image. How wide, and where parts may begin, is not guessed: a dry run of the model on a window of an endless image says so
(see :mod:`neurenix.window`). Parts are strips of columns of the image (:mod:`neurenix.streaming`).
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from neurenix import autograd, window
from neurenix.backend.kernel import skipped
from neurenix.errors import ArgumentError, DTypeError, ShapeError, WindowError
from neurenix.inference import evaluating, output_of
from neurenix.nn import Module
from neurenix.ops._arguments import integer
from neurenix.progress import Progress
from neurenix.streaming import Column, Known, Unknown, Whole
from neurenix.tensor import Tensor
from neurenix.window import whole_needed
from neurenix.window_rules import Span

_MOST = 1 << 14  # pixels of a window in which no exact pixel was found
_COARSEST = 1 << 12  # a window's first pixel is a multiple of at most this
_OTHERWISE = "pass approximate=True for tiles blended where they overlap, or run the image whole"
Host = np.ndarray[Any, Any]
Spans: TypeAlias = tuple[Span, Span]


class ReceptiveField(NamedTuple):
    """What one output pixel of a model depends on, in pixels of the input."""

    before: tuple[int, int]  # rows above, columns to the left
    behind: tuple[int, int]  # rows below, columns to the right
    multiple: int  # windows of the image must begin at multiples of this
    scale: tuple[Fraction, Fraction]  # output pixels for each pixel of the input


class _Piece(NamedTuple):
    """One tile of one axis: the pixels that are read, and the outputs that are kept."""

    read: slice
    kept: slice


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
    return _field(_Model(model, c))


class _Model:
    """What is run on windows: a model, or its part before an operation that sees a whole map, with what earlier ones made of theirs."""

    def __init__(self, model: Module, channels: int) -> None:
        self.model, self.channels = model, channels
        self.known: list[Whole] = []
        self.asks: Unknown | None = None
        self.begins = False  # whether the operation that sees a whole map is where this part ends

    def __call__(self, x: Tensor) -> Tensor:
        """The output, or the map that is asked for."""
        try:
            y: Tensor = output_of(self.model, x)
        except Unknown as asks:
            if not self.begins:
                raise WindowError(f"{whole_needed(asks.op)}, which predict_tiled makes first with passes=2 or more") from None
            self.asks, y = asks, asks.window
        return y

    def dry(self, multiple: int, length: int, more: int) -> Spans:
        """The output's spans for a window of ``length`` multiples inside an image that is even at every level, or with ``more`` odd.

        Between these two are all others: maps that are resized to each other's sizes have scales of 2 or a little less.
        """
        start, size = _far(multiple), length * multiple
        dtype, device = next(((p.dtype, p.device) for p in self.model.parameters()), (np.dtype(np.float32), "cpu"))
        with skipped(), evaluating(self.model), autograd.no_grad(), window.followed(Known(self.known)):
            x = Tensor(np.zeros((1, self.channels, size, size), dtype), device=device)
            span = Span(start + size + 8 * multiple + more, start, start, start + size)
            x._window = window.Window(span, span)
            y = self(x)
            if y._window is None:
                raise WindowError("predict_tiled: expected operations that say what they depend on, got an output of unknown ones")
            spans: Spans = y._window.spans
            return spans


def _field(model: _Model) -> ReceptiveField:
    multiple, length = 1, 8
    while True:
        try:
            runs = [model.dry(multiple, length, more) for more in (0, 1)]
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


def _far(multiple: int) -> int:
    """A first pixel far from the image's, a multiple of ``multiple`` and of nothing else."""
    return multiple * 1009


def _reach(spans: Spans, multiple: int, length: int) -> ReceptiveField:
    start = _far(multiple)
    scales = [Fraction(s.start, start) for s in spans]
    before, behind = [], []
    for s, scale in zip(spans, scales, strict=True):
        before.append(_up(Fraction(s.low) / scale - start, multiple))
        behind.append(_up(start + length * multiple - Fraction(s.high) / scale, multiple))
    return ReceptiveField((before[0], before[1]), (behind[0], behind[1]), multiple, (scales[0], scales[1]))


def _widest(fields: list[ReceptiveField]) -> ReceptiveField:
    before, behind = (
        tuple(max(pair) for pair in zip(*sides, strict=True)) for sides in zip(*((f.before, f.behind) for f in fields), strict=True)
    )
    return fields[0]._replace(before=before, behind=behind)


def _up(value: Fraction, multiple: int) -> int:
    return max(0, -(-value // multiple) * multiple)


def _channels(model: Module) -> int:
    for module in model.modules():
        channels = getattr(module, "in_channels", None)
        if isinstance(channels, int):
            return channels
    raise ArgumentError("receptive_field: expected a model that says its in_channels, got none; pass channels=")


def predict_tiled(
    model: Module,
    x: Any,
    *,
    tile: int | tuple[int, int] = 1024,
    out: Any = None,
    approximate: bool = False,
    overlap: int | None = None,
    progress: bool = False,
    passes: int = 1,
) -> Any:
    """Run a model over large images part by part, in evaluation mode: the same bits as over the whole.

    Parameters
    ----------
    model : Module
        Of maps (N, C, H, W) to maps (N, K, h, w). With deep supervision: its first output. It is left in the mode it was in.
    x : array or Tensor, shape (N, C, H, W)
        What the model takes, normalised. Anything that gives arrays for slices, e.g. a memory map, is read a part at a time.
    tile : int or (int, int)
        How much is computed at once, in pixels of the input without what is read around it: rows of a strip and columns that
        it is wide, rounded up to what the model needs. A number ``t`` is a strip of t / 2 rows and 2 t columns.
    out : array, optional
        Written to instead of a new array, e.g. a memory map.
    approximate : bool
        For models with operations that see the whole image (instance norm, global pooling): each tile is its own
        image, and tiles are blended where they overlap. The result depends on ``tile``.
    overlap : int, optional
        Of approximate tiles, in pixels; a quarter of ``tile`` by default.
    progress : bool
        Show how many strips are done.
    passes : int
        For models with averages or maxima of the whole map (global and pyramid pooling, squeeze and excitation), exactly: at most so
        many passes over the image, one more than there are maps that such operations see. A pass makes the next of these maps, which is
        held in memory.

    Returns
    -------
    array, shape (N, K, h, w), or a Tensor where ``x`` is one

    Raises
    ------
    WindowError
        If an operation of the model sees the whole image, by its name.
    ShapeError
        If ``x`` or ``out`` has other axes.

    Notes
    -----
    Strips move down the image, columns of strips beside each other. Every operation's result keeps its last rows for the next
    strip, so that no row is computed for a rim; at the sides each result is computed as wide as the next ones need it.
    Memory: one strip's maps, the rows that are kept (as many as :func:`receptive_field` reaches down) and the output.

    Examples
    --------
    >>> import numpy as np, neurenix as nx
    >>> model = nx.multiscale.UNet(1, 1, features=[4, 8])
    >>> x = np.random.default_rng(0).random((1, 1, 150, 131), np.float32)
    >>> tiled = nx.multiscale.predict_tiled(model, x, tile=64)
    >>> with nx.no_grad():
    ...     print(np.array_equal(tiled, model.eval()(x).numpy()))
    True
    """
    op = "predict_tiled"
    if not isinstance(model, Module):
        raise DTypeError(f"{op}: expected a Module, got {type(model).__name__}; pass the model first, then the image")
    if len(getattr(x, "shape", ())) != 4 or 0 in x.shape:
        raise ShapeError(f"{op}: expected x (N, C, H, W), got shape {tuple(getattr(x, 'shape', ()))}; nx.predict takes single images")
    with evaluating(model), autograd.no_grad():
        most = integer(op, "passes", passes, 1)
        made = _blended(model, x, tile, overlap, out, progress) if approximate else _exact(model, x, tile, out, progress, most)
    return Tensor(made, device=x.device) if isinstance(x, Tensor) else made


def _sizes(tile: Any) -> tuple[int, int]:
    """Rows and columns of a tile."""
    rows, columns = tile if isinstance(tile, tuple) and len(tile) == 2 else (tile, tile)
    return integer("predict_tiled", "tile", rows, 1), integer("predict_tiled", "tile", columns, 1)


def _exact(model: Module, x: Any, tile: Any, out: Any, progress: bool, passes: int) -> Any:
    rows, columns = _sizes(tile)
    # A rim is computed at the sides only, so a tile is wider than high, of the same area.
    wanted = (rows, columns) if isinstance(tile, tuple) else ((rows + 1) // 2, 2 * columns)
    for n in range(len(x)):
        run = _Model(model, x.shape[1])
        while True:
            run.begins, run.asks = len(run.known) < passes - 1, None
            field = _field(run)
            if run.asks is None:
                break
            whole = _strips(run, field, x, n, wanted, None, 0, progress)
            run.known.append(Whole(Tensor(whole, device=_device(model)), []))
        out = _strips(run, field, x, n, wanted, out, n, progress)
    return out


def _strips(run: _Model, field: ReceptiveField, x: Any, n: int, tile: tuple[int, int], out: Any, at: int, progress: bool) -> Any:
    """One pass over image ``n``, its outputs written to ``out[at]``."""
    height, width = (_up(Fraction(size), field.multiple) for size in tile)
    pieces = _pieces(x.shape[3], width, field.before[1], field.behind[1], field.scale[1])
    stops = [*range(height + field.behind[0], x.shape[2], height), x.shape[2]]
    jobs = [(piece, stop) for piece in pieces for stop in stops]
    for piece, stop in Progress(jobs, "strip") if progress else jobs:
        if stop == stops[0]:
            column = Column(run, partial(_read, run.model, x, n), tuple(x.shape[2:]), piece.read, piece.kept, run.known)
            strips = column.strips(0, stops)
        strip = next(strips)
        out = _place(out, strip.output, len(x) if run.asks is None else 1, [s.full for s in strip.output._window.spans])
        out[at, :, strip.rows, strip.columns] = _host(strip.output)[0]
    return out


def _pieces(full: int, tile: int, before: int, behind: int, scale: Fraction) -> list[_Piece]:
    """The columns of an image; the last one's outputs go to the end."""
    found = []
    for start in range(0, full, tile):
        stop = min(start + tile, full)
        last = None if stop == full else int(stop * scale)
        found.append(_Piece(slice(max(0, start - before), min(full, stop + behind)), slice(int(start * scale), last)))
    return found


def _device(model: Module) -> str:
    return str(next((p.device for p in model.parameters()), "cpu"))


def _read(model: Module, x: Any, n: int, rows: slice, columns: slice) -> Tensor:
    part = x[n : n + 1, :, rows, columns]
    weights = next(iter(model.parameters()), None)
    t = part if isinstance(part, Tensor) else Tensor(np.ascontiguousarray(part))
    return Tensor._wrap(t._array if weights is None else t.to(device=weights.device, dtype=weights.dtype)._array)


def _host(y: Tensor) -> Host:
    return np.asarray(y.detach().to(device="cpu").numpy())


def _place(out: Any, y: Tensor, images: int, sizes: list[int]) -> Any:
    """The array that outputs are written to."""
    shape = (images, y.shape[1], *sizes)
    if out is None:
        return np.empty(shape, y.dtype)
    if tuple(out.shape) != shape:
        raise ShapeError(f"predict_tiled: expected out of shape {shape}, got {tuple(out.shape)}; make it so")
    return out


def _blended(model: Module, x: Any, tile: Any, overlap: int | None, out: Any, progress: bool) -> Any:
    """Tiles by themselves, weighted by a ramp over their overlap."""
    sizes = _sizes(tile)
    lap = min(sizes) // 4 if overlap is None else integer("predict_tiled", "overlap", overlap, 0)
    if lap * 2 > min(sizes):
        raise ArgumentError(f"predict_tiled: expected an overlap of at most half the tile {tile}, got {lap}; use a smaller one")
    rows, columns = (list(_steps(n, size, lap)) for n, size in zip(x.shape[2:], sizes, strict=True))
    jobs = [(n, row, column) for n in range(len(x)) for row in rows for column in columns]
    total: Host | None = None
    for n, row, column in Progress(jobs, "tile") if progress else jobs:
        y = output_of(model, _read(model, x, n, row, column))
        if y.shape[2:] != (row.stop - row.start, column.stop - column.start):
            raise ShapeError(
                f"predict_tiled: expected an output of the tile's size for approximate=True, got {y.shape}; run the image whole"
            )
        total = _place(out, y, len(x), list(x.shape[2:])) if total is None else total
        weight = np.outer(_ramp(row, x.shape[2], lap), _ramp(column, x.shape[3], lap)).astype(y.dtype)
        part = _host(y)[0] * weight
        if (row.start, column.start) == (0, 0):
            total[n] = 0
        total[n, :, row, column] += part
    return total


def _steps(full: int, tile: int, lap: int) -> Iterator[slice]:
    start = 0
    while start + tile < full:
        yield slice(start, start + tile)
        start += tile - lap
    yield slice(start, full)


def _ramp(part: slice, full: int, lap: int) -> Host:
    """Weights along one axis: up over the overlap with the tile before, down over that with the next; two of them add to one."""
    weight = np.ones(part.stop - part.start)
    up = (np.arange(lap) + 0.5) / max(lap, 1)
    if part.start > 0:
        weight[:lap] = up[: len(weight)]
    if part.stop < full:
        weight[-lap:] *= 1 - up if lap else 1
    return weight
