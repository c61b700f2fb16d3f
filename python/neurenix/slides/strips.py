"""Tiles of a large image as a strip makes them that moves down a column of the image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from neurenix.errors import ArgumentError
from neurenix.images.source import Array
from neurenix.passes import Pass, round_up
from neurenix.slides.tiles import Grid
from neurenix.streaming import Column
from neurenix.tensor import Tensor


def grid_of(one: Pass, size: tuple[int, int], tile: int | tuple[int, int]) -> Grid:
    """The tiles of an image: a number ``t`` stands for t / 2 rows and 2 t columns, as in :func:`~neurenix.multiscale.predict_tiled`.

    Raises
    ------
    ArgumentError
        If it is the last pass, and the output has another size than the image.
    """
    field = one.field
    if one.asks is None and any(scale != 1 for scale in field.scale):
        raise ArgumentError(
            f"predict: expected a model whose output has the image's size, got one that scales it by {field.scale[0]}; enlarge its output"
        )
    wanted = tile if isinstance(tile, tuple) else ((tile + 1) // 2, 2 * tile)
    height, width = (round_up(max(1, n), field.multiple) for n in wanted)
    return Grid(size, (height, width))


def outputs_of(one: Pass, grid: Grid) -> Grid:
    """The tiles of what a pass makes of an image that is cut into these."""
    made = one.made(grid.size)
    height, width = (int(n * scale) for n, scale in zip(grid.tile, one.field.scale, strict=True))
    return Grid((made.rows, made.columns), (height, width))


def tiles(
    one: Pass, known: Sequence[Sequence[Tensor]], read: Callable[[slice, slice], Tensor], grid: Grid, wanted: Sequence[int]
) -> Iterator[tuple[int, Array]]:
    """The tiles of these numbers, in ascending order, with their outputs (K, h, w); in evaluation mode and unrecorded, as the caller arranged.

    Parameters
    ----------
    one : Pass
    known : sequence of sequences of Tensor
        What operations make of the maps of earlier passes.
    read : callable
        Rows and columns of the image, as slices, to what the model takes.
    grid : Grid
        Of the image; the numbers are those of :func:`outputs_of`.
    wanted : sequence of int
    """
    made = outputs_of(one, grid)
    for first, last in _runs(wanted, made.down):
        yield from _run(one, known, read, (grid, made), first, last)


def _runs(wanted: Sequence[int], down: int) -> Iterator[tuple[int, int]]:
    """First and last of tiles that lie below each other without a gap."""
    first = last = None
    for tile in wanted:
        if first is None or last is None or tile != last + 1 or tile % down == 0:
            if first is not None and last is not None:
                yield first, last
            first = tile
        last = tile
    if first is not None and last is not None:
        yield first, last


def _run(
    one: Pass,
    known: Sequence[Sequence[Tensor]],
    read: Callable[[slice, slice], Tensor],
    grids: tuple[Grid, Grid],
    first: int,
    last: int,
) -> Iterator[tuple[int, Array]]:
    grid, made = grids
    (_, left), (_, right), (_, across) = one.field.before, one.field.behind, one.field.scale
    top, columns = made.place(first)
    start = int(columns.start / across)
    ends = columns.stop == made.size[1]
    reads = slice(max(0, start - left), grid.size[1] if ends else min(grid.size[1], int(columns.stop / across) + right))
    column = Column(one, read, grid.size, reads, slice(columns.start, None if ends else columns.stop), known)
    begin, stops = rows_read(one, grid, made, first, last)
    waiting: list[Array] = []  # rows that are computed and belong to the tile that is next
    tile = first
    for strip in column.strips(begin, stops, top.start):
        waiting.append(np.asarray(strip.output.detach().to(device="cpu").numpy())[0])
        while tile <= last and sum(part.shape[1] for part in waiting) >= (height := _height(made, tile)):
            rows = waiting[0] if len(waiting) == 1 else np.concatenate(waiting, axis=1)
            waiting = [rows[:, height:]]
            yield tile, rows[:, :height]
            tile += 1


def rows_read(one: Pass, grid: Grid, made: Grid, first: int, last: int) -> tuple[int, list[int]]:
    """The image's row from which on tiles below each other are read, and those to which they are, strip by strip.

    Where they start within a column, what the first one depends on above it is a strip of its own, which makes no output: else that
    tile's strip would be the largest of all, and a run that goes on would take more memory than one from the top.
    """
    above, below, down = one.field.before[0], one.field.behind[0], one.field.scale[0]
    top = made.place(first)[0].start
    ends = [top] * (top > 0) + [made.place(tile)[0].stop for tile in range(first, last + 1)]
    stops = {grid.size[0] if end == made.size[0] else min(int(end / down) + below, grid.size[0]) for end in ends}
    return max(0, int(top / down) - above), sorted(stops)


def _height(grid: Grid, tile: int) -> int:
    rows, _ = grid.place(tile)
    return int(rows.stop - rows.start)
