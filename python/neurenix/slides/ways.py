"""The two ways to predict an image tile by tile: with the bits of the whole image, or every tile as an image of its own, blended."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np

from neurenix.blending import Laps, laps
from neurenix.images.source import Array
from neurenix.nn import Module
from neurenix.passes import passes_of
from neurenix.slides import blended, whole
from neurenix.slides.stage import Part, PassStage, Stage
from neurenix.slides.strips import grid_of
from neurenix.slides.tiles import Cut, Grid, Layer, Tiles
from neurenix.tensor import Tensor

Tile: TypeAlias = int | tuple[int, int]
Keep: TypeAlias = Callable[[Array], dict[str, Array]]
Reader: TypeAlias = Callable[[slice, slice], Tensor]
Stop: TypeAlias = Callable[[], bool]


class Way(Protocol):
    """How the tiles of one image come about."""

    @property
    def grid(self) -> Cut:
        """How the image is cut, after :meth:`cut`."""

    @property
    def last(self) -> Stage:
        """The tiles of the model's outputs, after :meth:`begin`."""

    def cut(self, tile: Tile, overlap: int | None) -> None:
        """Choose the tiles."""

    def made(self) -> tuple[int, np.dtype[Any]]:
        """Channels and element type of the model's outputs."""

    def begin(self, folder: Path, layers: list[Layer], keep: Keep, image: str) -> None:
        """Make the folders of the tiles, where they are missing."""

    def require_resume(self, part: Part, resume: bool) -> None:
        """Refuse to go on with what was begun unless that is asked for."""

    def run(self, read: Reader, part: Part, resume: bool, stop: Stop, shown: bool) -> Literal["stopped", "pass done", "part done"]:
        """Compute this part's tiles that are not there, as far as other parts' tiles are."""

    def whole(self, stop: Stop, shown: bool, /) -> Tiles | None:
        """What is kept of the whole image, once all tiles are there; ``None`` where ``stop`` ended that."""


class Exact:
    """In strips, in as many passes over the image as its operations need that see whole maps.

    Parameters
    ----------
    model : Module
    shape : (int, int, int)
        Of the image.
    device : str
        The model's.
    """

    grid: Grid
    last: PassStage

    def __init__(self, model: Module, shape: tuple[int, int, int], device: str) -> None:
        self._passes, self._size, self._device = passes_of(model, shape[0]), shape[1:], device
        self._made = [one.made(self._size) for one in self._passes]
        self._maps: list[PassStage] = []

    def cut(self, tile: Tile, overlap: int | None) -> None:
        """As :meth:`Way.cut`; tiles do not overlap."""
        assert overlap is None
        self.grid = grid_of(self._passes[-1], self._size, tile)

    def made(self) -> tuple[int, np.dtype[Any]]:
        """As :meth:`Way.made`."""
        return self._made[-1].channels, self._made[-1].dtype

    def begin(self, folder: Path, layers: list[Layer], keep: Keep, image: str) -> None:
        """As :meth:`Way.begin`."""
        self.last = PassStage(self._passes[-1], folder, self.grid, layers, keep, image)
        for number, (one, made) in enumerate(zip(self._passes[:-1], self._made[:-1], strict=True), 1):
            grid, kept = grid_of(one, self._size, self.grid.tile), whole.layers(made.channels, made.dtype)
            self._maps.append(PassStage(one, folder / f"pass-{number}", grid, kept, whole.keep, image))

    def require_resume(self, part: Part, resume: bool) -> None:
        """As :meth:`Way.require_resume`."""
        for stage in self._maps:
            stage.require_resume(part, resume)

    def run(self, read: Reader, part: Part, resume: bool, stop: Stop, shown: bool) -> Literal["stopped", "pass done", "part done"]:
        """As :meth:`Way.run`."""
        known: list[list[Tensor]] = []
        for number, stage in enumerate((*self._maps, self.last), 1):
            found = None if stage is self.last else whole.read_made(stage.folder, self._device)
            if found is None:
                name = f"pass {number} of {len(self._maps) + 1}, tile" if self._maps else "tile"
                if not stage.run(stage.make(read, known), part, resume, stop, name if shown else None):
                    return "stopped"
            if stage is self.last:
                break
            found = found or whole.make(stage, self._device)
            if found is None:
                return "pass done"
            known.append(found)
        return "part done"

    def whole(self, _stop: Stop, _shown: bool, /) -> Tiles | None:
        """As :meth:`Way.whole`: they are the tiles."""
        return self.last.tiles


class Approximate:
    """Tiles that overlap, each an image of its own.

    Parameters
    ----------
    model : Module
    shape : (int, int, int)
        Of the image.
    """

    grid: Laps
    last: Stage

    def __init__(self, model: Module, shape: tuple[int, int, int]) -> None:
        self._model, self._channels, self._size = model, shape[0], shape[1:]

    def cut(self, tile: Tile, overlap: int | None) -> None:
        """As :meth:`Way.cut`."""
        self.grid = laps("predict", self._size, tile if isinstance(tile, tuple) else (tile, tile), overlap)

    def made(self) -> tuple[int, np.dtype[Any]]:
        """As :meth:`Way.made`."""
        return blended.made_of_tile(self._model, self._channels, self.grid)

    def begin(self, folder: Path, layers: list[Layer], keep: Keep, image: str) -> None:
        """As :meth:`Way.begin`."""
        self._blended = blended.Blended(folder, self.grid, self.made(), layers, keep, image)
        self.last = self._blended.outputs

    def require_resume(self, part: Part, resume: bool) -> None:
        """As :meth:`Way.require_resume`."""
        self.last.require_resume(part, resume)

    def run(self, read: Reader, part: Part, resume: bool, stop: Stop, shown: bool) -> Literal["stopped", "pass done", "part done"]:
        """As :meth:`Way.run`."""
        make = partial(blended.tiles, self._model, read, self.grid)
        return "part done" if self.last.run(make, part, resume, stop, "tile" if shown else None) else "stopped"

    def whole(self, stop: Stop, shown: bool) -> Tiles | None:
        """As :meth:`Way.whole`: bands of rows of the blended tiles."""
        return self._blended.bands.tiles if self._blended.blend(stop, "blended band" if shown else None) else None
