"""Zarr arrays and OME-Zarr images through the zarr package: the chunks under a window are read, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from neurenix.errors import FileError, NeurenixError
from neurenix.images import axes as named
from neurenix.images.source import Array, Metadata, Rows, Source, unreadable
from neurenix.optional import load

_CHUNK = 1024  # pixels of a written chunk's side
_PLAIN = {2: "YX", 3: "NYX", 4: "NCYX"}


def zarr(path: Path) -> Any:
    """The package.

    Raises
    ------
    BackendUnavailableError
        If it is not installed.
    """
    return load("zarr", path.name, "zarr")


def _opened(path: Path) -> tuple[Any, str, Metadata]:
    """An array, its axes, and what is known of it: of an OME-Zarr image the finest level."""
    package = zarr(path)
    try:
        found = package.open(str(path), mode="r")
        if hasattr(found, "shape"):
            names = getattr(found.metadata, "dimension_names", None) or ()
            axes = "".join(str(n or "?")[:1].upper() for n in names) or _PLAIN.get(len(found.shape), "")
            return found, axes, Metadata(axes)
        about = dict(found.attrs)
        levels = about.get("ome", about).get("multiscales")
        if not levels:
            inside = ", ".join(sorted(found.array_keys())) or "none"
            raise FileError(f"open_image: expected a Zarr array, got the group {path.name} with arrays {inside}; pass the path of one")
        axes = "".join(str(a["name"] if isinstance(a, dict) else a)[:1].upper() for a in levels[0]["axes"])
        return found[levels[0]["datasets"][0]["path"]], axes, _metadata(levels[0], axes)
    except NeurenixError:
        raise
    except Exception as error:  # its own kinds differ between versions
        raise unreadable(path, error) from error


def _metadata(level: dict[str, Any], axes: str) -> Metadata:
    """Pixel size in the unit of the axis X."""
    changes = level["datasets"][0].get("coordinateTransformations", [])
    scale = next((c["scale"] for c in changes if c.get("type") == "scale"), None)
    units = {str(a.get("name", ""))[:1].upper(): str(a.get("unit", "")) for a in level["axes"] if isinstance(a, dict)}
    size = None if scale is None else (float(scale[axes.index("Y")]), float(scale[axes.index("X")]))
    return Metadata(axes, size, units.get("X", ""))


def count_zarr(path: Path) -> int:
    """How many images an array holds: entries of axes other than rows, columns and channels."""
    array, axes, _ = _opened(path)
    return named.count(axes, array.shape, path)


class ZarrSource(Source):
    """One image of a Zarr array or of an OME-Zarr image.

    Parameters
    ----------
    path : path
    image : int
    """

    def __init__(self, path: Path, image: int) -> None:
        self._array, self._axes, metadata = _opened(path)
        stored = self._array.shape
        channel, _ = named.split(self._axes, stored, path)
        self._at = named.place(self._axes, stored, path, image)
        channels = 1 if channel is None else stored[self._axes.index(channel)]
        shape = (channels, stored[self._axes.index("Y")], stored[self._axes.index("X")])
        super().__init__(path, shape, self._array.dtype, metadata)

    def read(self, rows: slice, columns: slice) -> Array:
        """As :meth:`Source.read`."""
        part = self._at | {"Y": rows, "X": columns}
        try:
            pixels = np.asarray(self._array[tuple(part.get(a, slice(None)) for a in self._axes)])
        except Exception as error:  # as above
            raise unreadable(self.path, error) from error
        return named.ordered(pixels, "".join(a for a in self._axes if a not in self._at))


def write_zarr(path: Path, pixels: Rows, metadata: Metadata) -> None:
    """Write pixels (K, H, W) as an OME-Zarr image (0.5, Zarr 3) of one level, with the pixel size of the image they were made from."""
    planes, height, width = pixels.shape
    axes: list[dict[str, str]] = [{"name": n, "type": "space"} | ({"unit": metadata.unit} if metadata.unit else {}) for n in "yx"]
    size = metadata.pixel_size or (1.0, 1.0)
    scale = [1.0, *size] if planes > 1 else list(size)
    axes = [{"name": "c", "type": "channel"}, *axes] if planes > 1 else axes
    level = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}
    group = zarr(path).open_group(str(path), mode="w", zarr_format=3)
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [level], "name": path.stem}]}
    chunk = (min(_CHUNK, height), min(_CHUNK, width))
    shape, chunks = ((planes, height, width), (1, *chunk)) if planes > 1 else ((height, width), chunk)
    array = group.create_array("0", shape=shape, chunks=chunks, dtype=pixels.dtype, dimension_names=[a["name"] for a in axes])
    for plane in range(planes):
        for top in range(0, height, chunk[0]):
            rows = slice(top, min(top + chunk[0], height))
            array[(plane, rows) if planes > 1 else rows] = pixels.read(plane, rows)
