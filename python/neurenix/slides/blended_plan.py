"""What predicting a large image will take where every tile is an image of its own and tiles are blended."""

from __future__ import annotations

import copy
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from neurenix import autograd
from neurenix.backend.kernel import skipped
from neurenix.blending import Laps, laps
from neurenix.errors import ArgumentError, NeurenixWarning, OutOfMemoryError
from neurenix.images import Source
from neurenix.inference import evaluating
from neurenix.memory import counted, counted_peak, empty_cache, held_by_process
from neurenix.nn import Module
from neurenix.nn.summary import products
from neurenix.slides.blended import made_of_tile
from neurenix.slides.planning import ASSEMBLY, SPARE, STEP, TILE, image_shape_of, speed_of
from neurenix.slides.tile_plan import TilePlan, memory_bytes
from neurenix.tensor import Tensor
from neurenix.tiling import output_of_tile

_LARGEST: Final = 1 << 12  # pixels of a tile's side


def plan_blended(
    model: Module,
    image_shape: Sequence[int],
    memory: int | str | None = None,
    *,
    tile: int | tuple[int, int] | None = None,
    overlap: int | None = None,
    dtype: Any = np.uint8,
    held: int = 0,
    measure: bool = True,
) -> TilePlan:
    """How a large image will be predicted with ``approximate=True``: the largest square tile that fits, memory, work, time and disk.

    Parameters
    ----------
    model : Module
        Of maps (N, C, H, W) to maps (N, K, H, W).
    image_shape, memory, tile, dtype, held, measure
        As of :func:`neurenix.slides.plan`.
    overlap : int, optional
        Of tiles, in pixels; a quarter of ``tile`` by default.

    Returns
    -------
    TilePlan
        Pixels where tiles overlap count twice or four times in ``overhead``.

    Raises
    ------
    OutOfMemoryError
        If no tile fits.
    ArgumentError, ShapeError
        If the other arguments do not fit.

    Examples
    --------
    >>> import neurenix as nx
    >>> from neurenix.slides.blended_plan import plan_blended
    >>> model = nx.multiscale.UNet(1, 1, features=[4, 8], norm="instance")
    >>> found = plan_blended(model, (2000, 2000), tile=512, measure=False)
    >>> found.tile, found.tiles
    ((512, 512), 25)
    """
    shape = image_shape_of(model, image_shape)
    if memory is not None and tile is not None:
        raise ArgumentError("plan: expected memory or tile, got both; leave one out")
    with evaluating(model), autograd.no_grad():
        trial = _Trial(model, shape, np.dtype(dtype), held, overlap)
        cut = trial.cut(tile or TILE) if memory is None else _largest(trial, memory_bytes(memory))
        work = trial.work(cut)
        seconds = work / speed_of(model, shape[0]) if measure else None
        planes, kind = made_of_tile(model, shape[0], cut)
        disk = planes * kind.itemsize * sum(_area(cut, n) for n in range(cut.down * cut.across))
        return TilePlan(shape, cut.tile, cut.down * cut.across, trial.peak(cut), work, work / trial.whole(cut), seconds, disk=disk)


def plan_blended_source(
    model: Module,
    source: Source,
    memory: int | str | None = None,
    *,
    tile: int | tuple[int, int] | None = None,
    overlap: int | None = None,
    measure: bool = True,
) -> TilePlan:
    """The same of an image in a file, with what reading it keeps in memory.

    Parameters
    ----------
    model : Module
    source : Source
    memory, tile, overlap, measure
        As of :func:`plan_blended`.
    """
    held = source.held_bytes(_LARGEST if tile is None else max(tile if isinstance(tile, tuple) else (tile,)))
    held = 0 if source.sequential else held  # it is unpacked first
    return plan_blended(model, source.shape, memory, tile=tile, overlap=overlap, dtype=source.dtype, held=held, measure=measure)


def _area(cut: Laps, tile: int) -> int:
    rows, columns = cut.place(tile)
    return int((rows.stop - rows.start) * (columns.stop - columns.start))


def _largest(trial: _Trial, limit: int) -> Laps:
    """The largest square tile that fits."""
    low, high = 0, min(_LARGEST, max(trial.shape[1:]) + STEP - 1) // STEP
    while low < high:
        middle = (low + high + 1) // 2
        fits = SPARE * trial.peak(trial.cut(middle * STEP)) <= limit
        low, high = (middle, high) if fits else (low, middle - 1)
    if not low:
        least = SPARE * trial.peak(trial.cut(STEP))
        raise OutOfMemoryError(
            f"plan: expected memory for a tile of {STEP} pixels, got {limit / 2**20:.0f} MiB where it takes {least / 2**20:.0f}; allow more"
        )
    return trial.cut(low * STEP)


class _Trial:
    """Runs tiles without computing, and counts."""

    def __init__(self, model: Module, shape: tuple[int, int, int], dtype: np.dtype[Any], held: int, overlap: int | None) -> None:
        self.model, self.shape, self._dtype, self._held, self._overlap = model, shape, dtype, held, overlap
        self._weights = next(iter(model.parameters()), None)
        empty_cache()
        self._base = held_by_process()
        self._known: dict[tuple[int, int], tuple[int, int]] = {}

    def cut(self, tile: int | tuple[int, int]) -> Laps:
        """The tiles; none is larger than the image."""
        sides = tile if isinstance(tile, tuple) else (tile, tile)
        return laps("plan", (self.shape[1], self.shape[2]), sides, self._overlap)

    def peak(self, cut: Laps) -> int:
        """Bytes of the process at most: at the first tile, which is the largest, or while tiles are blended."""
        height, width = (min(n, full) for n, full in zip(cut.tile, cut.size, strict=True))
        read = self.shape[0] * height * width * (self._dtype.itemsize + 12)
        planes, kind = made_of_tile(self.model, self.shape[0], cut)
        return self._base + max(ASSEMBLY, self._run((height, width))[0] + read + planes * height * width * kind.itemsize + self._held)

    def work(self, cut: Laps) -> int:
        """Multiply-adds of all tiles."""
        every = [(rows.stop - rows.start, columns.stop - columns.start) for rows in cut.rows for columns in cut.columns]
        return sum(times * self._run(size)[1] for size, times in Counter(every).items())

    def whole(self, cut: Laps) -> float:
        """Multiply-adds of the image at once, as if they grew with its pixels."""
        size = (min(cut.tile[0], cut.size[0]), min(cut.tile[1], cut.size[1]))
        return max(1.0, self._run(size)[1] * cut.size[0] * cut.size[1] / (size[0] * size[1]))

    def _run(self, size: tuple[int, int]) -> tuple[int, int]:
        """Bytes of arrays at most, and multiply-adds."""
        if size not in self._known:
            self._known[size] = self._followed(size)
        return self._known[size]

    def _followed(self, size: tuple[int, int]) -> tuple[int, int]:
        found: list[int] = []
        like, shape = self._weights, (1, self.shape[0], *size)
        watched = autograd.watched(lambda op, data, inputs: found.append(products(op, data.shape, inputs)))
        with watched, warnings.catch_warnings(action="ignore", category=NeurenixWarning):  # of values, which have no meaning here
            if like is not None and like.device != "cpu":
                with skipped():
                    output_of_tile("plan", self.model, Tensor(shape=shape, dtype=like.dtype, device=like.device))
                return 0, sum(found)
            weights = sum(t._array.nbytes for t in (*self.model.parameters(), *self.model.buffers()))
            with counted(), skipped(but_memory=True):
                x = Tensor(shape=shape, dtype=np.float32 if like is None else like.dtype)
                output_of_tile("plan", copy.deepcopy(self.model), x)  # the copy in memory that is counted
                peak, _, _ = counted_peak()
        return peak - weights, sum(found)
