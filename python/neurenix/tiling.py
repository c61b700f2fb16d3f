"""Large images through a model, a part at a time, with the bits of the whole.

A part is read with a rim of the pixels around it, wide enough that what the model computes inside is what it would compute in the whole
image. How wide, and where parts may begin, is not guessed: a dry run of the model on a window of an endless image says so
(see :mod:`neurenix.passes`). Parts are strips of columns of the image (:mod:`neurenix.streaming`).
"""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from neurenix import autograd, layout
from neurenix.blending import laps
from neurenix.errors import DTypeError, ShapeError
from neurenix.inference import evaluating, output_of
from neurenix.nn import Module
from neurenix.ops._arguments import integer
from neurenix.passes import Pass, at_most, passes_of, round_up
from neurenix.progress import Progress
from neurenix.streaming import Column
from neurenix.tensor import Tensor

Host = np.ndarray[Any, Any]


class _Piece(NamedTuple):
    """One tile of one axis: the pixels that are read, and the outputs that are kept."""

    read: slice
    kept: slice


def predict_tiled(
    model: Module,
    x: Any,
    *,
    tile: int | tuple[int, int] = 1024,
    out: Any = None,
    approximate: bool = False,
    overlap: int | None = None,
    progress: bool = False,
    passes: int | None = 1,
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
    passes : int or None
        For models with averages or maxima of the whole map (global and pyramid pooling, squeeze and excitation), exactly: at most so
        many passes over the image, one more than there are maps that such operations see; ``None``: as many as it takes. A pass makes
        the next of these maps, which is in memory until operations have seen it.

    Returns
    -------
    array, shape (N, K, h, w), or a Tensor where ``x`` is one

    Raises
    ------
    WindowError
        If an operation of the model sees the whole image, by its name.
    ShapeError
        If ``x`` or ``out`` has other axes.
    DTypeError
        If ``model`` is no module.

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
        most = None if passes is None else integer(op, "passes", passes, 1)
        made = _blended(model, x, tile, overlap, out, progress) if approximate else _exact(model, x, tile, out, progress, most)
    return Tensor(made, device=x.device) if isinstance(x, Tensor) else made


def _sizes(tile: Any) -> tuple[int, int]:
    """Rows and columns of a tile."""
    rows, columns = tile if isinstance(tile, tuple) and len(tile) == 2 else (tile, tile)
    return integer("predict_tiled", "tile", rows, 1), integer("predict_tiled", "tile", columns, 1)


def _exact(model: Module, x: Any, tile: Any, out: Any, progress: bool, passes: int | None) -> Any:
    rows, columns = _sizes(tile)
    # A rim is computed at the sides only, so a tile is wider than high, of the same area.
    wanted = (rows, columns) if isinstance(tile, tuple) else ((rows + 1) // 2, 2 * columns)
    runs = at_most(passes, passes_of(model, x.shape[1]))
    for n in range(len(x)):
        known: list[list[Tensor]] = []
        for one in runs[:-1]:
            whole = Tensor(_strips(one, known, x, n, wanted, None, 0, progress), device=_device(model))
            known.append([compute(whole) for compute in one.computes])
        out = _strips(runs[-1], known, x, n, wanted, out, n, progress)
    return out


def _strips(one: Pass, known: list[list[Tensor]], x: Any, n: int, tile: tuple[int, int], out: Any, at: int, progress: bool) -> Any:
    """One pass over image ``n``, its outputs written to ``out[at]``."""
    field = one.field
    height, width = (round_up(size, field.multiple) for size in tile)
    pieces = _pieces(x.shape[3], width, field.before[1], field.behind[1], field.scale[1])
    stops = [*range(height + field.behind[0], x.shape[2], height), x.shape[2]]
    jobs = [(piece, stop) for piece in pieces for stop in stops]
    for piece, stop in Progress(jobs, "strip") if progress else jobs:
        if stop == stops[0]:
            column = Column(one, partial(_read, one.model, x, n), tuple(x.shape[2:]), piece.read, piece.kept, known)
            strips = column.strips(0, stops)
        strip = next(strips)
        out = _place(out, strip.output, len(x) if one.asks is None else 1, [s.full for s in strip.output._window.spans])
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
    if out is None:  # in the memory order of what an operation makes of the whole: sums follow it
        order = layout.order_of(y._array)
        return np.empty([shape[i] for i in order], y.dtype).transpose(np.argsort(order))
    if tuple(out.shape) != shape:
        raise ShapeError(f"predict_tiled: expected out of shape {shape}, got {tuple(out.shape)}; make it so")
    return out


def _blended(model: Module, x: Any, tile: Any, overlap: int | None, out: Any, progress: bool) -> Any:
    """Tiles by themselves, weighted by a ramp over their overlap."""
    cut = laps("predict_tiled", (x.shape[2], x.shape[3]), _sizes(tile), overlap)
    jobs = [(n, row, column) for n in range(len(x)) for row in cut.rows for column in cut.columns]
    total: Host | None = None
    for n, row, column in Progress(jobs, "tile") if progress else jobs:
        y = output_of_tile("predict_tiled", model, _read(model, x, n, row, column))
        total = _place(out, y, len(x), list(x.shape[2:])) if total is None else total
        if (row.start, column.start) == (0, 0):
            total[n] = 0
        total[n, :, row, column] += _host(y)[0] * cut.weight(row, column, y.dtype)
    return total


def output_of_tile(op: str, model: Module, x: Tensor) -> Tensor:
    """What a model makes of a tile that is its own image.

    Raises
    ------
    ShapeError
        If that is of another size.
    """
    y = output_of(model, x)
    if y.ndim != 4 or y.shape[2:] != x.shape[2:]:
        raise ShapeError(f"{op}: expected an output of the tile's size for approximate=True, got {y.shape}; run the image whole")
    return y
