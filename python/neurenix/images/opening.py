"""Which module reads a file, and which writes one."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from neurenix.errors import FileError, ShapeError
from neurenix.images import npy, pngs, tiffs, zarrs
from neurenix.images.channels import planes
from neurenix.images.source import Array, Converted, Held, Metadata, Rows, Source, unreadable
from neurenix.optional import has
from neurenix.picture import converted, exif_orientation, has_pillow, read_picture

FORMATS: Final = ("png", "npy", "tif", "zarr")
PICTURES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".npy")
TIFFS: Final = (".tif", ".tiff")
ENDINGS: Final = (*PICTURES, *TIFFS, ".zarr")


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
    if kind not in (*TIFFS, ".zarr"):
        return 1
    with _readable(path):
        if kind == ".zarr":
            return zarrs.count_zarr(path)
        return tiffs.count_tiff(path) if has("tifffile") else tiffs.count_by_pillow(path)


def read_image(path: Path, image: int = 0, channels: int | None = None) -> Array:
    """Image number ``image`` of a file in memory, (H, W) or (H, W, C), in the file's element type.

    Parameters
    ----------
    path : path
        As of :func:`open_image`.
    image : int
    channels : {1, 3}, optional
        Convert pictures to grey or RGB; as stored if ``None``, and a palette's numbers stay numbers.

    Raises
    ------
    FileError
        If the file cannot be read.
    BackendUnavailableError
        If what reads it is not installed.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from pathlib import Path
    >>> from neurenix.images.opening import read_image
    >>> path = Path(tempfile.mkdtemp()) / "mask.npy"
    >>> np.save(path, np.eye(3))
    >>> read_image(path).shape
    (3, 3)
    """
    if path.suffix.lower() not in (*TIFFS, ".zarr"):
        with _readable(path):
            pixels = read_picture(path, channels)
        first = path.suffix.lower() == ".npy" and pixels.ndim == 3 and pixels.size and npy.axes_of(pixels.shape) == "CYX"
        return pixels.transpose(1, 2, 0) if first else pixels
    with open_image(path, image) as source:
        pixels = source.read(slice(0, source.shape[1]), slice(0, source.shape[2]))
    return pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)


def orientation_of(path: Path) -> int:
    """How what a file stores was turned to be read as it is shown: from 1, not at all, to 8, as TIFF and EXIF number that.

    Raises
    ------
    FileError
        If the file cannot be read.
    """
    kind = path.suffix.lower()
    with _readable(path):
        if kind == ".png":
            return pngs.orientation_of(path)
        if kind in TIFFS:
            return tiffs.orientation_of(path)
        return 1 if kind in (".npy", ".zarr") else exif_orientation(path)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """What the system says of a file that cannot be opened, as an error of that file; what would wait for ever is not opened."""
    try:
        mode = path.stat().st_mode
        folder = stat.S_ISDIR(mode)
        if folder != (path.suffix.lower() == ".zarr") and (folder or stat.S_ISREG(mode)):
            raise unreadable(path, "it is a folder" if folder else "it is a file and no folder")
        if not folder and not stat.S_ISREG(mode):
            raise unreadable(path, "it is a pipe or a device")
        yield
    except FileNotFoundError:
        raise FileError(f"open_image: expected an image file, got {str(path)!r}, which is not there; check the path") from None
    except OSError as error:
        raise unreadable(path, error.strerror or error) from error


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
    with _readable(path):
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
    if kind == ".npy":
        return npy.NpySource(path, channels)
    if kind in TIFFS:
        return tiffs.open_tiff(path, image) if has("tifffile") else Held(path, tiffs.read_by_pillow(path, image))
    if kind == ".zarr":
        return zarrs.ZarrSource(path, image)
    if kind == ".png" and not (has_pillow() and pngs.is_interlaced(path)) and pngs.orientation_of(path) == 1:
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
