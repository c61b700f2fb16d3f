"""What is kept of a model's outputs, tile by tile, and the files that are made of it once all tiles are there."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from neurenix import png
from neurenix.images import Rows, Source
from neurenix.images.opening import write_image
from neurenix.images.placing import put
from neurenix.images.source import Array
from neurenix.labelling import CORE, SMALLEST, STEPS
from neurenix.nn.functional import softmax
from neurenix.slides.labels import write_grown, write_regions
from neurenix.slides.thumbnail import thumbnail
from neurenix.slides.tiles import FileRows, Layer, TileRows, Tiles
from neurenix.tensor import Tensor

Kind = Literal["binary", "classes", "instances"]
Output = Literal["mask", "classes", "instances", "probabilities", "overlay"]
OUTPUTS: Final = ("mask", "classes", "instances", "probabilities", "overlay")
_CORE, _INSIDE = np.uint8(1), np.uint8(2)  # bits of the layer "objects"


def layers(kind: Kind, outputs: list[Output], planes: int, dtype: np.dtype[Any]) -> list[Layer]:
    """What must be kept of each tile for these outputs of a model with so many output channels."""
    numbered = kind == "instances" and {"mask", "instances", "overlay"} & set(outputs)
    found = [Layer("probabilities", planes, dtype.str)] if "probabilities" in outputs else []
    found += [Layer("objects", 1, "|u1")] if numbered else []
    if "classes" in outputs or (kind != "instances" and {"mask", "instances", "overlay"} & set(outputs)):
        found.append(Layer("classes", 1, "|b1" if kind == "binary" else "|u1" if planes <= 256 else "<u2"))
    return found


def kept(kind: Kind, wanted: list[Layer], values: Array) -> dict[str, Array]:
    """The layers of one tile's outputs (K, h, w): probabilities, most probable classes, cores and insides of objects."""
    p = values if kind == "binary" else softmax(Tensor(np.ascontiguousarray(values)), 0).numpy()
    found: dict[str, Array] = {}
    for layer in wanted:
        if layer.name == "probabilities":
            found["probabilities"] = p
        elif layer.name == "classes":
            found["classes"] = (values[0] > 0.5 if kind == "binary" else values.argmax(0))[None]
        else:
            found["objects"] = ((p[1] > CORE) * _CORE | (p[0] < 0.5) * _INSIDE)[None]
    return found


class Assembly:
    """Makes the files out of all tiles, a band of rows at a time.

    Parameters
    ----------
    tiles : Tiles
    kind : {"binary", "classes", "instances"}
    source : Source
        The image, for thumbnails and for what its file says beside pixels.
    scratch : path
        Folder for files on their way.
    """

    def __init__(self, tiles: Tiles, kind: Kind, source: Source, scratch: Path) -> None:
        self._tiles, self._kind, self._source, self._scratch = tiles, kind, source, scratch
        self._numbered: FileRows | None = None

    def make(self, output: Output, path: Path) -> None:
        """Write one output to ``path``, whole or not at all."""

        def write(beside: Path) -> None:
            if output == "overlay":
                beside.write_bytes(png.encode(thumbnail(self._source, self._rows("mask"))))
            else:
                write_image(beside, self._rows(output), self._source.metadata)

        put(path, write, self._scratch / f"whole.{output}{path.suffix}")

    def _rows(self, output: Output) -> Rows:
        if output == "probabilities":
            return TileRows(self._tiles, "probabilities")
        if output == "instances" or (output == "mask" and self._kind == "instances"):
            self._numbered = self._numbered or self._number()
            return self._numbered
        return TileRows(self._tiles, "classes")

    def _number(self) -> FileRows:
        """Objects of the whole image."""
        size, place = self._tiles.grid.size, self._scratch / "whole.numbers"
        if self._kind != "instances":
            return write_regions(place, lambda rows: self._tiles.rows("classes", 0, rows), size)
        cores = self._scratch / "whole.cores"
        found = write_regions(cores, lambda rows: self._tiles.rows("objects", 0, rows) & _CORE > 0, size, min_size=SMALLEST)
        grown = write_grown(place, found, lambda rows: self._tiles.rows("objects", 0, rows) & _INSIDE > 0, STEPS)
        cores.unlink()
        return grown
