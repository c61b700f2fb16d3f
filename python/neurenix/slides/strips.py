"""Tiles of a large image as a strip makes them that moves down a column of the image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from neurenix.errors import ArgumentError
from neurenix.images.source import Array
from neurenix.inference import output_of
from neurenix.nn import Module
from neurenix.slides.tiles import Grid
from neurenix.streaming import Column
from neurenix.tensor import Tensor
from neurenix.tiling import ReceptiveField


def grid_of(field: ReceptiveField, size: tuple[int, int], tile: int | tuple[int, int]) -> Grid:
    """The tiles of an image: a number ``t`` stands for t / 2 rows and 2 t columns, as in :func:`~neurenix.multiscale.predict_tiled`.

    Raises
    ------
    ArgumentError
        If the output has another size than the image.
    """
    if any(scale != 1 for scale in field.scale):
        raise ArgumentError(
            f"predict: expected a model whose output has the image's size, got one that scales it by {field.scale[0]}; enlarge its output"
        )
    wanted = tile if isinstance(tile, tuple) else ((tile + 1) // 2, 2 * tile)
    height, width = (-(-max(1, n) // field.multiple) * field.multiple for n in wanted)
    return Grid(size, (height, width))


def tiles(
    model: Module, read: Callable[[slice, slice], Tensor], grid: Grid, field: ReceptiveField, wanted: Sequence[int]
) -> Iterator[tuple[int, Array]]:
    """The tiles of these numbers, in ascending order, with their outputs (K, h, w); in evaluation mode and unrecorded, as the caller arranged.

    Parameters
    ----------
    model : Module
    read : callable
        Rows and columns of the image, as slices, to what the model takes.
    grid : Grid
    field : ReceptiveField
    wanted : sequence of int
    """
    for first, last in _runs(wanted, grid.down):
        yield from _run(model, read, grid, field, first, last)


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
    model: Module, read: Callable[[slice, slice], Tensor], grid: Grid, field: ReceptiveField, first: int, last: int
) -> Iterator[tuple[int, Array]]:
    top, columns = grid.place(first)
    reads = slice(max(0, columns.start - field.before[1]), min(grid.size[1], columns.stop + field.behind[1]))
    column = Column(partial(output_of, model), read, grid.size, reads, columns)
    behind = [min(grid.place(tile)[0].stop + field.behind[0], grid.size[0]) for tile in range(first, last + 1)]
    waiting: list[Array] = []  # rows that are computed and belong to the tile that is next
    tile = first
    for strip in column.strips(max(0, top.start - field.before[0]), sorted(set(behind)), top.start):
        waiting.append(np.asarray(strip.output.detach().to(device="cpu").numpy())[0])
        while tile <= last and sum(part.shape[1] for part in waiting) >= (height := _height(grid, tile)):
            rows = waiting[0] if len(waiting) == 1 else np.concatenate(waiting, axis=1)
            waiting = [rows[:, height:]]
            yield tile, rows[:, :height]
            tile += 1


def _height(grid: Grid, tile: int) -> int:
    rows, _ = grid.place(tile)
    return int(rows.stop - rows.start)
