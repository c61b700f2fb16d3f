"""Which module reads a file, and which writes one."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from neurenix.data.files import TIFFS, count_pages, planes, read_page
from neurenix.errors import FileError, ShapeError
from neurenix.images import npy, pngs, tiffs, zarrs
from neurenix.images.source import Converted, Held, Metadata, Rows, Source
from neurenix.optional import has
from neurenix.picture import converted, has_pillow, read_picture

FORMATS: Final = ("png", "npy", "tif", "zarr")


def count_images(path: Path) -> int:
    """How many images a file holds: pages of a stack, entries of a Zarr array.

    Raises
    ------
    FileError
        If the file cannot be read.
    BackendUnavailableError
        If what reads it is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from pathlib import Path
    >>> from neurenix.images import count_images
    >>> np.save("slide.npy", np.zeros((30, 40)))
    >>> count_images(Path("slide.npy"))
    1
    """
    kind = path.suffix.lower()
    if kind in TIFFS:
        return tiffs.count_tiff(path) if has("tifffile") else count_pages(path)
    return zarrs.count_zarr(path) if kind == ".zarr" else 1


def open_image(path: Path, image: int = 0, channels: int | None = None) -> Source:
    """Image number ``image`` of a file, of which windows are read.

    Parameters
    ----------
    path : path
        PNG and ``.npy``; TIFF and Zarr with their packages; other pictures with Pillow, which holds them in memory.
    image : int
    channels : int, optional
        That the image must have. Grey and colour are converted to one another; as stored if ``None``.

    Raises
    ------
    FileError
        If the file cannot be read.
    ShapeError
        If it has other channels.
    BackendUnavailableError
        If what reads it is not installed.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from pathlib import Path
    >>> from neurenix.images import open_image
    >>> path = Path(tempfile.mkdtemp()) / "slide.npy"
    >>> np.save(path, np.arange(12).reshape(3, 4))
    >>> open_image(path).read(slice(1, 3), slice(0, 2))
    array([[[4, 5],
            [8, 9]]])
    """
    wanted = channels if channels in (1, 3) else None
    source = _opened(path, image, channels, wanted)
    have = source.shape[0]
    if channels is None or have == channels:
        return source
    if wanted is None or have not in (1, 2, 3, 4):
        source.close()
        raise ShapeError(f"open_image: expected {channels} channels, got {have} in {path.name}; select channels, or another model")
    return Converted(source, channels, lambda window: planes(window.transpose(1, 2, 0), path, wanted))


def _opened(path: Path, image: int, channels: int | None, wanted: int | None) -> Source:
    kind = path.suffix.lower()
    if not path.exists():
        raise FileError(f"open_image: expected an image file, got {str(path)!r}, which is not there; check the path")
    if kind == ".npy":
        return npy.NpySource(path, channels)
    if kind in TIFFS:
        return tiffs.open_tiff(path, image) if has("tifffile") else Held(path, read_page(path, image, wanted))
    if kind == ".zarr":
        return zarrs.ZarrSource(path, image)
    if kind == ".png" and not (has_pillow() and pngs.is_interlaced(path)):
        return pngs.PngSource(path, lambda pixels, palette: converted(pixels, palette, wanted))
    return Held(path, read_picture(path, wanted))


def write_image(path: Path, pixels: Rows, metadata: Metadata) -> None:
    """Write pixels (K, H, W) a band of rows at a time; the ending names the format."""
    kind = path.suffix.lower()
    if kind == ".npy":
        npy.write_npy(path, pixels)
    elif kind == ".png":
        pngs.write_png(path, pixels)
    elif kind in TIFFS:
        tiffs.write_tiff(path, pixels, metadata)
    else:
        zarrs.write_zarr(path, pixels, metadata)


def require(kind: str, path: Path) -> None:
    """Refuse to begin where what writes a format is not installed.

    Raises
    ------
    BackendUnavailableError
        With what to install.
    """
    if kind == "tif":
        tiffs.tifffile(path)
    elif kind == "zarr":
        zarrs.zarr(path)
