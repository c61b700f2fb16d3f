"""An image of which every tile counts as an image of its own: outputs of tiles that overlap, kept until all are there, then blended.

For models with operations that see the whole image otherwise than by averages and maxima. Each tile is computed once, whatever the parts;
blending adds those of a pixel in one order, so the files are the same however the work was shared or stopped, and have the numbers of
:func:`~neurenix.multiscale.predict_tiled` with ``approximate=True``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neurenix.backend.kernel import skipped
from neurenix.blending import Laps
from neurenix.images.source import Array
from neurenix.nn import Module
from neurenix.slides.stage import Part, Stage
from neurenix.slides.tiles import Grid, Layer, Tiles
from neurenix.tensor import Tensor
from neurenix.tiling import output_of_tile

LAYER = "output"
_BAND = 16 << 20  # bytes of outputs that are blended at once
Reader = Callable[[slice, slice], Tensor]


def made_of_tile(model: Module, channels: int, cut: Laps) -> tuple[int, np.dtype[Any]]:
    """Channels and element type of what a model makes of a tile; nothing is computed."""
    dtype, device = next(((p.dtype, p.device) for p in model.parameters()), (np.dtype(np.float32), "cpu"))
    shape = (1, channels, *(min(n, full) for n, full in zip(cut.tile, cut.size, strict=True)))
    with skipped():
        y = output_of_tile("predict", model, Tensor(shape=shape, dtype=dtype, device=device))
    return y.shape[1], np.dtype(y.dtype)


def tiles(model: Module, read: Reader, cut: Laps, wanted: Sequence[int]) -> Iterator[tuple[int, Array]]:
    """The tiles of these numbers with their outputs (K, h, w)."""
    for tile in wanted:
        y = output_of_tile("predict", model, read(*cut.place(tile)))
        yield tile, np.asarray(y.detach().to(device="cpu").numpy())[0]


class Blended:
    """The outputs of all tiles, and what is kept of them once they are blended.

    Parameters
    ----------
    folder : path
    cut : Laps
    made : (int, numpy.dtype)
        Channels and element type of the outputs.
    layers : list of Layer
        What is kept.
    keep : callable
        From outputs (K, h, w) to these.
    image : str
        Its name, for errors.
    """

    def __init__(
        self,
        folder: Path,
        cut: Laps,
        made: tuple[int, np.dtype[Any]],
        layers: list[Layer],
        keep: Callable[[Array], dict[str, Array]],
        image: str,
    ) -> None:
        self.cut, (self._planes, self._dtype) = cut, made
        single = [Layer(LAYER, self._planes, self._dtype.str)]
        self.outputs = Stage(Tiles(folder / "tiles", cut, single), lambda values: {LAYER: values}, image)
        rows = max(1, _BAND // (self._planes * cut.size[1] * self._dtype.itemsize))
        bands = Grid(cut.size, (min(rows, cut.size[0]), cut.size[1]))
        self.bands = Stage(Tiles(folder / "blended" / "tiles", bands, layers), keep, image)

    def blend(self, stop: Callable[[], bool], shown: str | None) -> bool:
        """Make what is kept, a band of rows at a time, where it is not there; whether it is now."""
        return self.bands.run(self._blended, Part(), True, stop, shown)

    def _blended(self, wanted: Sequence[int]) -> Iterator[tuple[int, Array]]:
        for band in wanted:
            yield band, self._band(self.bands.tiles.grid.place(band)[0])

    def _band(self, band: slice) -> Array:
        """Rows of the blended outputs, over the whole width."""
        total = np.zeros((self._planes, band.stop - band.start, self.cut.size[1]), self._dtype)
        layer = self.outputs.tiles.layers[LAYER]
        for tile in range(self.cut.down * self.cut.across):
            rows, columns = self.cut.place(tile)
            first, last = max(rows.start, band.start), min(rows.stop, band.stop)
            if first >= last:
                continue
            inside = slice(first - rows.start, last - rows.start)
            weight = self.cut.weight(rows, columns, self._dtype)[inside]
            for plane in range(self._planes):
                part = self.outputs.tiles.part(tile, layer, plane, inside)
                total[plane, first - band.start : last - band.start, columns] += part * weight
        return total
