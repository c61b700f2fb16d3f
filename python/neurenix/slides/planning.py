"""What predicting a large image will take, before it begins: tile, memory, work, time; found by running strips without computing."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from neurenix import autograd
from neurenix.backend.kernel import skipped
from neurenix.errors import ArgumentError, NeurenixWarning, OutOfMemoryError, ShapeError
from neurenix.images import Source
from neurenix.inference import evaluating, output_of
from neurenix.memory import counted as counted_memory, counted_peak, empty_cache, held_by_process
from neurenix.nn import Module
from neurenix.nn.summary import products
from neurenix.ops._arguments import integer
from neurenix.passes import Made, Pass, passes_of
from neurenix.slides import whole
from neurenix.slides.strips import grid_of, outputs_of, rows_read
from neurenix.slides.tile_plan import MapPlan, TilePlan, memory_bytes
from neurenix.slides.tiles import Grid
from neurenix.streaming import Column
from neurenix.tensor import Tensor

TILE: Final = 1024
STEP: Final = 64  # tiles are multiples of so many pixels
_HEIGHTS: Final = (64, 128, 256, 512)
_TRIAL: Final = 256  # pixels of the side of what is computed to learn the speed
SPARE: Final = 1.03  # of what is counted: what was measured was up to 2% more
ASSEMBLY: Final = 160 << 20  # bytes that joining tiles takes, a band of rows at a time
Array = np.ndarray[Any, Any]


def plan(
    model: Module,
    image_shape: Sequence[int],
    memory: int | str | None = None,
    *,
    tile: int | tuple[int, int] | None = None,
    dtype: Any = np.uint8,
    held: int = 0,
    measure: bool = True,
) -> TilePlan:
    """How a large image will be predicted: the largest tile that fits, what memory, work and time it takes.

    Parameters
    ----------
    model : Module
        Of maps (N, C, H, W) to maps (N, K, H, W) whose outputs depend on pixels near them.
    image_shape : tuple of int
        (C, H, W), or (H, W) of the model's channels.
    memory : int or str, optional
        Bytes that the process may take, e.g. ``"1GB"``. Without it the tile is what is asked for, or 1024.
    tile : int or (int, int), optional
        As of :func:`~neurenix.multiscale.predict_tiled`; not together with ``memory``.
    dtype : dtype
        Of the image.
    held : int
        Bytes that reading the image keeps.
    measure : bool
        Compute a small part to estimate the time.

    Returns
    -------
    TilePlan

    Raises
    ------
    OutOfMemoryError
        If no tile fits.
    WindowError
        If an operation of the model sees the whole image otherwise than by averages and maxima, by its name.
    ArgumentError, ShapeError
        If the other arguments do not fit.

    Notes
    -----
    Memory is counted by running strips without the arithmetic: what the process holds now, beside it arrays, kernels' scratch memory,
    the pixels that are read and the outputs that are kept. Of each column the strips at both ends are run, and some between them, which the others are like.

    Examples
    --------
    >>> import neurenix as nx
    >>> model = nx.multiscale.UNet(1, 1, features=[4, 8])
    >>> with nx.set_float32_precision("ieee"):
    ...     found = model.plan((20000, 20000), "400MB", measure=False)
    >>> found.memory < 400e6, found.overhead < 1.1
    (True, True)
    """
    shape = image_shape_of(model, image_shape)
    if memory is not None and tile is not None:
        raise ArgumentError("plan: expected memory or tile, got both; leave one out")
    with evaluating(model), autograd.no_grad():
        trial = _Trial(model, shape, passes_of(model, shape[0]), np.dtype(dtype), held)
        grid = trial.grid(tile or TILE) if memory is None else _largest(trial, memory_bytes(memory))
        work = trial.work(grid.tile)
        seconds = work / speed_of(model, shape[0], trial.side()) if measure else None
        peak, maps = trial.peak(grid.tile), tuple(trial.maps(grid.tile))
        return TilePlan(shape, grid.tile, grid.down * grid.across, peak, work, work / trial.whole(), seconds, maps)


def plan_source(
    model: Module, source: Source, memory: int | str | None = None, *, tile: int | tuple[int, int] | None = None, measure: bool = True
) -> TilePlan:
    """The same of an image in a file, with what reading it keeps in memory.

    Parameters
    ----------
    model : Module
    source : Source
    memory, tile, measure
        As of :func:`plan`.
    """
    one = partial(plan, model, source.shape, memory, tile=tile, dtype=source.dtype, measure=measure)
    found: TilePlan = one(held=0 if source.sequential else source.held_bytes(max(_HEIGHTS)))
    if source.sequential and found.tile[1] >= source.shape[2]:  # else it is unpacked first
        found = one(held=source.held_bytes(max(_HEIGHTS)))
    return found


def image_shape_of(model: Module, given: Sequence[int]) -> tuple[int, int, int]:
    """Channels, rows and columns of what a caller says."""
    sizes = tuple(given)
    if len(sizes) == 2:
        channels = next((c for m in model.modules() if isinstance(c := getattr(m, "in_channels", None), int)), 1)
        sizes = (channels, *sizes)
    if len(sizes) != 3:
        raise ShapeError(f"plan: expected an image's shape (C, H, W) or (H, W), got {tuple(given)}; pass one image's")
    channels, height, width = (integer("plan", name, n, 1) for name, n in zip(("channels", "rows", "columns"), sizes, strict=True))
    return channels, height, width


def _largest(trial: _Trial, limit: int) -> Grid:
    """Of the widest tiles that fit, one for each height, that with the least work."""
    fitting = [grid for grid in (_widest(trial, height, limit) for height in _HEIGHTS) if grid is not None]
    if not fitting:
        least = SPARE * trial.peak((STEP, STEP))
        raise OutOfMemoryError(
            f"plan: expected memory for a tile of {STEP} pixels, got {limit / 2**20:.0f} MiB where it takes {least / 2**20:.0f}; allow more"
        )
    return min(fitting, key=lambda grid: (trial.work(grid.tile), -grid.tile[0]))


def _widest(trial: _Trial, height: int, limit: int) -> Grid | None:
    low, high = 0, -(-trial.shape[2] // STEP)
    while low < high:
        middle = (low + high + 1) // 2
        fits = SPARE * trial.peak((height, middle * STEP)) <= limit
        low, high = (middle, high) if fits else (low, middle - 1)
    if not low:
        return None
    columns = -(-trial.shape[2] // (low * STEP))
    even = -(-trial.shape[2] // (columns * STEP))  # as many columns, of equal widths
    return trial.grid((height, even * STEP))


class _Trial:
    """Runs strips of an image without computing, and counts."""

    def __init__(self, model: Module, shape: tuple[int, int, int], passes: list[Pass], dtype: np.dtype[Any], held: int) -> None:
        self.model, self.shape, self._passes, self._dtype, self._held = model, shape, passes, dtype, held
        self._weights = next(iter(model.parameters()), None)
        empty_cache()
        self._base = held_by_process()
        self._known: dict[tuple[int, int, int, int], tuple[int, list[int], int]] = {}

    def grid(self, tile: int | tuple[int, int]) -> Grid:
        """The tiles of the last pass."""
        return grid_of(self._passes[-1], self.shape[1:], tile)

    def peak(self, tile: tuple[int, int]) -> int:
        """Bytes of the process at most."""
        return self._base + max(self._peak(number, tile) for number in range(len(self._passes)))

    def _peak(self, number: int, tile: tuple[int, int]) -> int:
        one, grid, made = self._passes[number], self._grid(number, tile), self._made(number)
        (rows, columns), field = grid.tile, one.field
        arrays = max(self._column(number, grid, column)[0] for column in _columns(grid))
        first = min(rows + field.behind[0], grid.size[0]) * min(columns + field.before[1] + field.behind[1], grid.size[1])
        read = self.shape[0] * first * (self._dtype.itemsize + 12)  # of the largest window: in the file's type, and as floats on their way
        outputs = min(rows, grid.size[0]) * min(columns, grid.size[1]) * field.scale[0] * field.scale[1] * made.channels
        kept = int(outputs * 12)  # softmax and what is kept, or a map's tile on its way
        joined = ASSEMBLY if one.asks is None else whole.held_bytes(one, made[:3], made.dtype.itemsize)
        return max(joined, arrays + read + kept + self._held)

    def work(self, tile: tuple[int, int]) -> int:
        """Multiply-adds of all passes."""
        return sum(self._work(number, tile) for number in range(len(self._passes)))

    def _work(self, number: int, tile: tuple[int, int]) -> int:
        grid, total = self._grid(number, tile), 0
        for column, times in _columns(grid).items():
            _, counts, left_out = self._column(number, grid, column)
            total += times * (sum(counts) + left_out * counts[min(2, len(counts) - 1)])
        return total

    def maps(self, tile: tuple[int, int]) -> Iterator[MapPlan]:
        """The passes before the last."""
        for number, one in enumerate(self._passes[:-1]):
            made = self._made(number)
            disk = made.channels * made.rows * made.columns * made.dtype.itemsize
            yield MapPlan(str(one.asks), made[:3], disk, self._work(number, tile))

    def _grid(self, number: int, tile: tuple[int, int]) -> Grid:
        return grid_of(self._passes[number], self.shape[1:], tile)

    def _made(self, number: int) -> Made:
        return self._passes[number].made(self.shape[1:])

    def whole(self) -> float:
        """Multiply-adds of the image at once."""
        side = self.side()
        counted: list[int] = []
        with skipped(), autograd.watched(lambda op, data, inputs: counted.append(products(op, data.shape, inputs))):
            output_of(self.model, self._zeros(side, side))
        return sum(counted) * self.shape[1] * self.shape[2] / side**2

    def side(self) -> int:
        """Of a part that stands for the image."""
        return max(_TRIAL, *(2 * one.field.multiple for one in self._passes))

    def _zeros(self, height: int, width: int) -> Tensor:
        like = self._weights
        shape = (1, self.shape[0], height, width)
        return Tensor(shape=shape) if like is None else Tensor(shape=shape, dtype=like.dtype, device=like.device)

    def _column(self, number: int, grid: Grid, column: int) -> tuple[int, list[int], int]:
        """Bytes of arrays at most, multiply-adds of strips, and how many more there are like the third."""
        key = (number, *grid.tile, column)
        if key not in self._known:
            self._known[key] = self._run(number, grid, column)
        return self._known[key]

    def _run(self, number: int, grid: Grid, column: int) -> tuple[int, list[int], int]:
        """Follow the strips of a column of a shorter image: those at its ends, and some within, which are alike; and those of a run that starts within it."""
        one, field = self._passes[number], self._passes[number].field
        _, columns = grid.place(column * grid.down)
        left_out = max(0, grid.size[0] // grid.tile[0] - 4 - -(-field.behind[0] // grid.tile[0]))
        grid = Grid((grid.size[0] - left_out * grid.tile[0], grid.size[1]), grid.tile)
        reads = slice(max(0, columns.start - field.before[1]), min(grid.size[1], columns.stop + field.behind[1]))
        makes = slice(int(columns.start * field.scale[1]), None if columns.stop == grid.size[1] else int(columns.stop * field.scale[1]))
        known = [one.stand_ins for one in self._passes[:number]]
        follow = partial(self._followed, full=grid.size, reads=reads, makes=makes, known=known)
        made = outputs_of(one, grid)
        within = min(made.down - 1, -(-field.before[0] // grid.tile[0]))
        resumed = rows_read(one, grid, made, within, min(within + 1, made.down - 1))
        start, stops = rows_read(one, grid, made, 0, made.down - 1)
        if self._weights is not None and self._weights.device != "cpu":
            with skipped():
                return 0, follow(one, start, stops), left_out
        weights = sum(t._array.nbytes for t in (*self.model.parameters(), *self.model.buffers()))
        with counted_memory(), skipped(but_memory=True):
            run = one.of(copy.deepcopy(self.model))  # the copy in memory that is counted
            if field.before[0] > grid.tile[0]:  # what a run within a column reads first is more than a strip
                follow(run, *resumed, made.place(within)[0].start)
            strips = follow(run, start, stops)
            peak, _, _ = counted_peak()
        return peak - weights, strips, left_out

    def _followed(
        self,
        one: Callable[[Tensor], Tensor],
        start: int,
        stops: list[int],
        first: int = 0,
        *,
        full: tuple[int, int],
        reads: slice,
        makes: slice,
        known: list[list[Tensor]],
    ) -> list[int]:
        """Multiply-adds of each strip of a column."""
        counted: list[int] = []
        strips: list[int] = []
        with autograd.watched(lambda op, data, inputs: counted.append(products(op, data.shape, inputs))), warnings.catch_warnings():
            warnings.simplefilter("ignore", NeurenixWarning)  # of values, which have no meaning here
            for _ in Column(one, self._read, full, reads, makes, known).strips(start, stops, first):
                strips.append(sum(counted) // 2)  # followed once and computed once
                counted.clear()
        return strips

    def _read(self, rows: slice, columns: slice) -> Tensor:
        return self._zeros(rows.stop - rows.start, columns.stop - columns.start)


def _columns(grid: Grid) -> dict[int, int]:
    """Columns of tiles that differ: the first, one within, the last, and how many there are of each."""
    found = {0: 1}
    if grid.across > 2:
        found[1] = grid.across - 2
    if grid.across > 1:
        found[grid.across - 1] = 1
    return found


def speed_of(model: Module, channels: int, side: int = _TRIAL) -> float:
    """Multiply-adds a second, of a square of so many pixels a side that is computed twice."""
    like, shape = next(iter(model.parameters()), None), (1, channels, side, side)
    x = Tensor(shape=shape) if like is None else Tensor(shape=shape, dtype=like.dtype, device=like.device)
    counted: list[int] = []
    output_of(model, x)
    begun = time.perf_counter()
    with autograd.watched(lambda op, data, inputs: counted.append(products(op, data.shape, inputs))):
        output_of(model, x)
    return max(sum(counted), 1) / (time.perf_counter() - begun)
