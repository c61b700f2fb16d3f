"""Images in files: pictures, NumPy's, stacks of pages, Zarr arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from neurenix.data.geometry import Image
from neurenix.errors import BackendUnavailableError, DTypeError, FileError, ShapeError
from neurenix.optional import has, load
from neurenix.picture import pillow, read_picture

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".npy")
TIFFS = (".tif", ".tiff")
ENDINGS = (*PICTURES, *TIFFS, ".zarr")


def count_pages(path: Path) -> int:
    """How many images a file holds: pages of a TIFF, the first axis of a Zarr array of three axes or more, else one.

    Raises
    ------
    FileError
        If the file cannot be read.
    BackendUnavailableError
        If what reads it is not installed.
    """
    if path.suffix.lower() in TIFFS:
        tifffile = _tifffile()
        try:
            if tifffile is None:
                with pillow(f"reading {path.name}").open(path) as picture:
                    return int(getattr(picture, "n_frames", 1))
            with tifffile.TiffFile(path) as file:
                return len(file.pages)
        except BackendUnavailableError:
            raise
        except Exception as error:  # decoders fail in ways of their own at damaged files
            raise _unreadable(path, error) from error
    if path.suffix.lower() == ".zarr":
        shape = _zarr_array(path).shape
        return int(shape[0]) if len(shape) > 2 else 1
    return 1


def read_page(path: Path, page: int, channels: int | None = None) -> Image:
    """Image number ``page`` of a file, (H, W) or (H, W, C), in the file's element type; pictures with as many channels as is asked for.

    Raises
    ------
    FileError
        If the file cannot be read.
    BackendUnavailableError
        If what reads it is not installed.
    """
    if path.suffix.lower() in TIFFS:
        return _tiff_page(path, page)
    if path.suffix.lower() == ".zarr":
        array = _zarr_array(path)
        pixels = np.asarray(array[page] if len(array.shape) > 2 else array[:])
        return pixels if pixels.ndim < 3 else pixels.transpose(1, 2, 0)
    return read_picture(path, channels)


def planes(image: Image, path: Path, channels: int | None) -> Image:
    """(H, W) or (H, W, C) pixels as (C, H, W), converted to grey (1) or RGB (3) where that is asked for.

    Raises
    ------
    DTypeError
        If they are no numbers.
    ShapeError
        If there are other axes, or channels that cannot be converted.
    """
    if image.dtype.kind not in "biuf":
        raise DTypeError(f"ImageMaskFolder: expected numbers, got {image.dtype} in {path.name}; store integers or floats")
    if image.ndim not in (2, 3):
        raise ShapeError(
            f"ImageMaskFolder: expected (H, W) or (H, W, C) pixels, got shape {image.shape} in {path.name}; store one image a file"
        )
    image = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
    have = len(image)
    if channels is None or have == channels:
        return image
    if have not in (1, 2, 3, 4):
        raise ShapeError(f"ImageMaskFolder: expected 1 to 4 channels to convert, got {have} in {path.name}; leave out channels=")
    colour = image[:1].repeat(3, axis=0) if have < 3 else image[:3]
    if channels == 3:
        return colour
    red, green, blue = colour.astype(np.float64)
    grey: Image = (0.299 * red + 0.587 * green + 0.114 * blue)[
        None
    ]  # not a product of matrices: its sums depend on how many pixels there are
    return grey.astype(image.dtype) if image.dtype.kind == "f" else np.rint(grey).astype(image.dtype)


def _tiff_page(path: Path, page: int) -> Image:
    tifffile = _tifffile()
    try:
        if tifffile is not None:
            try:
                pixels = np.asarray(tifffile.imread(path, key=page))
            except ValueError as error:
                if "imagecodecs" not in str(error):
                    raise
            else:
                return pixels.transpose(1, 2, 0) if pixels.ndim == 3 and pixels.shape[-1] > 4 >= pixels.shape[0] else pixels
        with pillow(f"reading {path.name}").open(path) as picture:
            picture.seek(page)
            return np.asarray(picture)
    except BackendUnavailableError:
        raise
    except Exception as error:  # as above
        raise _unreadable(path, error) from error


def _tifffile() -> Any:
    """The package, or None: Pillow reads most files too."""
    return load("tifffile", "stacks", "tiff") if has("tifffile") else None


def _zarr_array(path: Path) -> Any:
    zarr = load("zarr", f"reading {path.name}", "zarr")
    try:
        opened = zarr.open(str(path), mode="r")
    except Exception as error:  # its own kinds differ between versions
        raise _unreadable(path, error) from error
    if not hasattr(opened, "shape"):
        names = ", ".join(sorted(opened.array_keys())) or "none"
        raise FileError(f"ImageMaskFolder: expected a Zarr array, got the group {path.name} with arrays {names}; pass the path of one")
    if not 2 <= len(opened.shape) <= 4:
        raise ShapeError(
            f"ImageMaskFolder: expected (H, W), (N, H, W) or (N, C, H, W), got shape {opened.shape} in {path.name}; store it so"
        )
    return opened


def _unreadable(path: Path, error: Exception) -> FileError:
    return FileError(f"ImageMaskFolder: expected an image file, got {str(path)!r}: {error}; check that the file is whole")
