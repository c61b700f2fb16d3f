"""Tiles of a result, each in files of its own: whole or not there, written by whichever process, read back a band of rows at a time."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from neurenix.errors import FileError
from neurenix.images.source import Array
from neurenix.slides.ledger import sync_folder, write_durably


class Grid(NamedTuple):
    """How an image is cut into tiles, column by column of them: a strip that moves down the image makes one after the other."""

    size: tuple[int, int]  # rows and columns of the image
    tile: tuple[int, int]

    @property
    def down(self) -> int:
        """Tiles of a column."""
        return -(-self.size[0] // self.tile[0])

    @property
    def across(self) -> int:
        """Columns of tiles."""
        return -(-self.size[1] // self.tile[1])

    def place(self, tile: int) -> tuple[slice, slice]:
        """Rows and columns of a tile by its number."""
        column, row = divmod(tile, self.down)
        (height, width), (most_down, most_across) = self.tile, self.size
        return slice(row * height, min((row + 1) * height, most_down)), slice(column * width, min((column + 1) * width, most_across))


class Cut(Protocol):
    """How an image is cut into tiles, which may overlap."""

    @property
    def tile(self) -> tuple[int, int]:
        """Rows and columns of a tile that does not end at the image's border."""

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the image."""

    @property
    def down(self) -> int:
        """Tiles of a column."""

    @property
    def across(self) -> int:
        """Columns of tiles."""

    def place(self, tile: int, /) -> tuple[slice, slice]:
        """Rows and columns of a tile by its number."""


class Layer(NamedTuple):
    """One of a result's arrays: its name, how many planes it has and of what type."""

    name: str
    planes: int
    dtype: str


class Tiles:
    """The folder of a result's tiles.

    Parameters
    ----------
    folder : path
    grid : Cut
    layers : list of Layer
    """

    def __init__(self, folder: Path, grid: Cut, layers: list[Layer]) -> None:
        self.folder, self.grid, self.layers = folder, grid, {layer.name: layer for layer in layers}

    def __len__(self) -> int:
        return self.grid.down * self.grid.across

    def write(self, tile: int, found: dict[str, Array]) -> int:
        """Put a tile on the disk; its checksum."""
        check = 0
        for name, layer in self.layers.items():
            pixels = np.ascontiguousarray(found[name], layer.dtype)
            check = zlib.crc32(pixels.data, check)
            write_durably(self._path(tile, name), lambda file, pixels=pixels: file.write(pixels.data))  # type: ignore[misc]  # bound here
        sync_folder(self.folder)
        return check

    def check(self, tile: int) -> int | None:
        """The checksum of what is on the disk, or ``None`` where it is not all there."""
        check = 0
        for name, layer in self.layers.items():
            path, size = self._path(tile, name), self._size(tile)
            try:
                body = path.read_bytes()
            except FileNotFoundError:
                return None
            if len(body) != layer.planes * size[0] * size[1] * np.dtype(layer.dtype).itemsize:
                return None
            check = zlib.crc32(body, check)
        return check

    def _path(self, tile: int, name: str) -> Path:
        return self.folder / f"{tile:07d}.{name}"

    def _size(self, tile: int) -> tuple[int, int]:
        rows, columns = self.grid.place(tile)
        return rows.stop - rows.start, columns.stop - columns.start

    def rows(self, name: str, plane: int, wanted: slice) -> Array:
        """Rows of one plane over the whole width, of tiles that do not overlap: (h, W)."""
        layer = self.layers[name]
        out = np.empty((wanted.stop - wanted.start, self.grid.size[1]), layer.dtype)
        height = self.grid.tile[0]
        under = range(wanted.start // height, -(-wanted.stop // height))
        for tile in (column * self.grid.down + row for column in range(self.grid.across) for row in under):
            rows, columns = self.grid.place(tile)
            first, last = max(rows.start, wanted.start), min(rows.stop, wanted.stop)
            if first < last:
                part = self.part(tile, layer, plane, slice(first - rows.start, last - rows.start))
                out[first - wanted.start : last - wanted.start, columns] = part
        return out

    def part(self, tile: int, layer: Layer, plane: int, rows: slice) -> Array:
        """Rows of one plane of one tile, counted from the tile's first: (h, w)."""
        height, width = self._size(tile)
        item = np.dtype(layer.dtype).itemsize * width
        path = self._path(tile, layer.name)
        with path.open("rb") as file:
            file.seek((plane * height + rows.start) * item)
            body = file.read((rows.stop - rows.start) * item)
        if len(body) != (rows.stop - rows.start) * item:
            raise FileError(f"predict: expected a whole tile, got {path}, which breaks off; delete {self.folder.parent} and begin again")
        return np.frombuffer(body, layer.dtype).reshape(-1, width)


class TileRows:
    """One of a result's arrays as a writer takes it.

    Parameters
    ----------
    tiles : Tiles
    name : str
    """

    def __init__(self, tiles: Tiles, name: str) -> None:
        layer = tiles.layers[name]
        self._tiles, self._name = tiles, name
        self.shape = (layer.planes, *tiles.grid.size)
        self.dtype: np.dtype[Any] = np.dtype(layer.dtype)

    def read(self, plane: int, rows: slice) -> Array:
        """As :meth:`neurenix.images.Rows.read`."""
        return self._tiles.rows(self._name, plane, rows)


class FileRows:
    """An array (H, W) that was written to a file row by row.

    Parameters
    ----------
    path : path
    size : (int, int)
    dtype : numpy.dtype
    """

    def __init__(self, path: Path, size: tuple[int, int], dtype: Any) -> None:
        self._path, self.shape, self.dtype = path, (1, *size), np.dtype(dtype)

    def read(self, plane: int, rows: slice) -> Array:
        """As :meth:`neurenix.images.Rows.read`."""
        width = self.shape[2]
        with self._path.open("rb") as file:
            file.seek((plane * self.shape[1] + rows.start) * width * self.dtype.itemsize, os.SEEK_SET)
            found = np.fromfile(file, self.dtype, (rows.stop - rows.start) * width)
        return found.reshape(-1, width)
