"""Large images through a model, a tile at a time, with the bits of the whole.

A tile is run with a rim of the pixels around it, wide enough that what the model computes inside is what it would compute in the whole
image. How wide, and where tiles may begin, is not guessed: a dry run of the model on a window of an endless image says so
(see :mod:`neurenix.window`), and every tile's own window says again which of its pixels are exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from neurenix import autograd, window
from neurenix.backend.kernel import skipped
from neurenix.errors import ArgumentError, DTypeError, ShapeError, WindowError
from neurenix.inference import evaluating, output_of
from neurenix.nn import Module
from neurenix.ops._arguments import integer
from neurenix.progress import Progress
from neurenix.tensor import Tensor
from neurenix.window import Span

_MOST = 1 << 14  # pixels of a window in which no exact pixel was found
_COARSEST = 1 << 12  # a window's first pixel is a multiple of at most this
_OTHERWISE = "pass approximate=True for tiles blended where they overlap, or run the image whole"
Host = np.ndarray[Any, Any]


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
    multiple, length = 1, 8
    while True:
        try:
            runs = [_dry(model, c, multiple, length, more) for more in (0, 1)]
        except WindowError as error:
            multiple *= error.multiple
            if error.multiple == 1 or multiple > _COARSEST:
                raise WindowError(f"{error}; {_OTHERWISE}") from None
            continue
        if all(s.low < s.high for spans in runs for s in spans):
            return _widest([_field(spans, multiple, length) for spans in runs])
        length *= 2
        if length * multiple > _MOST:
            raise WindowError(f"receptive_field: expected outputs that depend on fewer than {_MOST} pixels around them; {_OTHERWISE}")


def _dry(model: Module, channels: int, multiple: int, length: int, more: int) -> window.Spans:
    """The output's spans for a window of ``length`` multiples inside an image that is even at every level, or with ``more`` odd.

    Between these two are all others: maps that are resized to each other's sizes have scales of 2 or a little less.
    """
    start, size = _far(multiple), length * multiple
    dtype, device = next(((p.dtype, p.device) for p in model.parameters()), (np.dtype(np.float32), "cpu"))
    with skipped(), evaluating(model), autograd.no_grad(), window.followed():
        x = Tensor(np.zeros((1, channels, size, size), dtype), device=device)
        span = Span(start + size + 8 * multiple + more, start, start, start + size)
        x._window = (span, span)
        return _spans(output_of(model, x))


def _far(multiple: int) -> int:
    """A first pixel far from the image's, a multiple of ``multiple`` and of nothing else."""
    return multiple * 1009


def _field(spans: window.Spans, multiple: int, length: int) -> ReceptiveField:
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


def _spans(y: Tensor) -> window.Spans:
    if y._window is None:
        raise WindowError("predict_tiled: expected operations that say what they depend on, got an output of unknown ones")
    spans: window.Spans = y._window
    return spans


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
    tile: int = 1024,
    out: Any = None,
    approximate: bool = False,
    overlap: int | None = None,
    progress: bool = False,
) -> Any:
    """Run a model over large images tile by tile, in evaluation mode: the same bits as over the whole.

    Parameters
    ----------
    model : Module
        Of maps (N, C, H, W) to maps (N, K, h, w). With deep supervision: its first output. It is left in the mode it was in.
    x : array or Tensor, shape (N, C, H, W)
        What the model takes, normalised. Anything that gives arrays for slices, e.g. a memory map, is read a tile at a time.
    tile : int
        Rows and columns of a tile's own output in pixels of the input, without what is read around it; rounded up to
        what the model needs.
    out : array, optional
        Written to instead of a new array, e.g. a memory map.
    approximate : bool
        For models with operations that see the whole image (instance norm, global pooling): each tile is its own
        image, and tiles are blended where they overlap. The result depends on ``tile``.
    overlap : int, optional
        Of approximate tiles, in pixels; a quarter of ``tile`` by default.
    progress : bool
        Show how many tiles are done.

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
    Memory: one tile's maps and the output. Pixels around a tile are computed with it; what share that is,
    :func:`receptive_field` tells.

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
    size = integer(op, "tile", tile, 1)
    with evaluating(model), autograd.no_grad():
        made = _blended(model, x, size, overlap, out, progress) if approximate else _exact(model, x, size, out, progress)
    return Tensor(made, device=x.device) if isinstance(x, Tensor) else made


def _exact(model: Module, x: Any, tile: int, out: Any, progress: bool) -> Any:
    field = receptive_field(model, x.shape[1])
    rows, columns = (
        list(_pieces(n, _up(Fraction(tile), field.multiple), a, b, scale))
        for n, a, b, scale in zip(x.shape[2:], field.before, field.behind, field.scale, strict=True)
    )
    with window.followed():
        for n, row, column in _tiles(len(x), rows, columns, progress):
            t = _read(model, x, n, row.read, column.read)
            t._window = tuple(
                Span(full, p.read.start, p.read.start, p.read.stop) for full, p in zip(x.shape[2:], (row, column), strict=True)
            )
            y = output_of(model, t)
            spans = _spans(y)
            out = _place(out, y, len(x), [s.full for s in spans])
            (top, rows_in), (left, columns_in) = (_within(p.kept, s) for p, s in zip((row, column), spans, strict=True))
            out[n, :, top, left] = _host(y)[0, :, rows_in, columns_in]
    return out


def _pieces(full: int, tile: int, before: int, behind: int, scale: Fraction) -> Iterator[_Piece]:
    """The tiles of one axis; the last one's outputs go to the end."""
    for start in range(0, full, tile):
        stop = min(start + tile, full)
        last = None if stop == full else int(stop * scale)
        yield _Piece(slice(max(0, start - before), min(full, stop + behind)), slice(int(start * scale), last))


def _within(kept: slice, span: Span) -> tuple[slice, slice]:
    """A tile's outputs, all of which are exact, in the whole output and in the tile's."""
    stop = span.full if kept.stop is None else min(kept.stop, span.full)
    if not (span.low <= kept.start and stop <= span.high):
        raise WindowError(f"predict_tiled: expected exact outputs {kept.start} to {stop}, got {span.low} to {span.high}; {_OTHERWISE}")
    return slice(kept.start, stop), slice(kept.start - span.start, stop - span.start)


def _tiles(images: int, rows: list[Any], columns: list[Any], progress: bool) -> Iterator[tuple[int, Any, Any]]:
    every = [(n, row, column) for n in range(images) for row in rows for column in columns]
    return iter(Progress(every, "tile") if progress else every)


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


def _blended(model: Module, x: Any, tile: int, overlap: int | None, out: Any, progress: bool) -> Any:
    """Tiles by themselves, weighted by a ramp over their overlap."""
    lap = tile // 4 if overlap is None else integer("predict_tiled", "overlap", overlap, 0)
    if lap * 2 > tile:
        raise ArgumentError(f"predict_tiled: expected an overlap of at most half the tile {tile}, got {lap}; use a smaller one")
    rows, columns = (list(_steps(n, tile, lap)) for n in x.shape[2:])
    total: Host | None = None
    for n, row, column in _tiles(len(x), rows, columns, progress):
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
