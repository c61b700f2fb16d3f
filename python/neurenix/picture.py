"""Pictures: reading and writing them, and drawing where a model sees something."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from neurenix import png
from neurenix.errors import ArgumentError, BackendUnavailableError, DTypeError, FileError, ShapeError
from neurenix.metrics._inputs import host, numbered
from neurenix.optional import has, load

Pixels: TypeAlias = np.ndarray[Any, Any]
Colour: TypeAlias = tuple[int, int, int]

_GOLDEN = 0.618033988749895  # turns of the colour circle between neighbouring labels: no two near ones look alike


def overlay(image: Any, mask: Any, *, color: Colour | None = None, fill: float = 0.25, thickness: int = 1) -> Pixels:
    """Draw a mask's contours over an image.

    Parameters
    ----------
    image : array or Tensor, shape (H, W), (H, W, C) or (C, H, W)
        Grey or RGB; integers or floats. Stretched to its own range of values.
    mask : array or Tensor, shape (H, W) or (1, H, W)
        Bool, probabilities (above 0.5 counts), or integer labels, each drawn in its own colour; 0 is background.
    color : (int, int, int), optional
        Red, green and blue from 0 to 255, for all labels.
    fill : float
        How strongly the inside is tinted, from 0 to 1.
    thickness : int
        Width of the contour in pixels; 0 for none.

    Returns
    -------
    numpy.ndarray, shape (H, W, 3), uint8

    Raises
    ------
    ShapeError
        If mask and image differ in size.
    ArgumentError
        If ``thickness`` is no integer of at least 0.

    Examples
    --------
    >>> import numpy as np, neurenix as nx
    >>> mask = np.zeros((4, 4), bool)
    >>> mask[1:3, 1:3] = True
    >>> nx.overlay(np.zeros((4, 4)), mask, color=(255, 0, 0))[:, :, 0]
    array([[  0,   0,   0,   0],
           [  0, 255, 255,   0],
           [  0, 255, 255,   0],
           [  0,   0,   0,   0]], dtype=uint8)
    """
    if not isinstance(fill, int | float) or not 0 <= fill <= 1:
        raise ArgumentError(f"overlay: expected fill from 0 to 1, got {fill!r}; pass e.g. 0.25")
    if isinstance(thickness, bool) or not isinstance(thickness, int) or thickness < 0:
        raise ArgumentError(f"overlay: expected thickness as an integer of at least 0, got {thickness!r}; pass e.g. 1")
    picture = rgb(image)
    labels = _labels(mask)
    if labels.shape != picture.shape[:2]:
        raise ShapeError(f"overlay: expected a mask of {picture.shape[:2]} pixels, got {labels.shape}; predict on the image that is drawn")
    numbers, index, _ = numbered(labels)
    tint, index = label_colours(numbers, color), index.reshape(labels.shape)
    out = picture.astype(np.float32)
    inside = labels > 0
    out[inside] += fill * (tint[index[inside]] - out[inside])
    edge = contours(labels, thickness)
    out[edge] = tint[index[edge]]
    return np.rint(out).astype(np.uint8)


def contours(labels: Pixels, thickness: int = 1) -> Pixels:
    """Pixels of a label that touch another label, the background or (not counted) the image's edge, ``thickness`` deep."""
    edge = np.zeros(labels.shape, bool)
    rest = labels.copy()
    for _ in range(thickness):
        around = np.pad(rest, 1, mode="edge" if rest.size else "constant")
        neighbours = (around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:])
        ring = (rest > 0) & np.logical_or.reduce([n != rest for n in neighbours])
        edge |= ring
        rest[ring] = 0
    return edge


def label_colours(numbers: Pixels, color: Colour | None = None) -> Pixels:
    """Colours of labels, float32 (n, 3); neighbouring numbers differ strongly in hue."""
    if color is not None:
        if len(color) != 3 or not all(isinstance(c, int | np.integer) and 0 <= c <= 255 for c in color):
            raise ArgumentError(f"overlay: expected color as (red, green, blue) from 0 to 255, got {color!r}; pass e.g. (255, 0, 0)")
        return np.tile(np.asarray(color, np.float32), (len(numbers), 1))
    hue = (numbers * _GOLDEN + 0.1) % 1.0
    wheel = np.abs((hue[:, None] * 6 + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1
    return np.asarray(255 * np.clip(wheel, 0.15, 1), np.float32)


def rgb(image: Any) -> Pixels:
    """An image of any kind as (H, W, 3) uint8, stretched to its own range; uint8 RGB stays as it is."""
    pixels = host(image, "overlay")
    if pixels.ndim == 3 and pixels.shape[-1] not in (1, 3, 4) and pixels.shape[0] in (1, 3, 4):
        pixels = pixels.transpose(1, 2, 0)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[-1] not in (1, 3, 4):
        raise ShapeError(
            f"overlay: expected an image (H, W), (H, W, C) or (C, H, W) of 1, 3 or 4 channels, got {pixels.shape}; select channels first"
        )
    pixels = np.broadcast_to(pixels[..., :3], (*pixels.shape[:2], 3))
    if pixels.dtype == np.uint8 and np.asarray(image).ndim == 3:
        return np.ascontiguousarray(pixels)
    values = pixels.astype(np.float64)
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    stretched = (np.nan_to_num(values, nan=low, posinf=high, neginf=low) - low) * (255.0 / (high - low) if high > low else 0.0)
    return np.rint(stretched).astype(np.uint8)


def visible(image: Pixels) -> Pixels:
    """Of an image (C, H, W) what a picture can show: its first three channels (H, W, 3), or of fewer the first (H, W)."""
    return image[:3].transpose(1, 2, 0) if len(image) >= 3 else image[0]


def _labels(mask: Any) -> Pixels:
    labels = host(mask, "overlay")
    if labels.ndim == 3 and 1 in (labels.shape[0], labels.shape[-1]):
        labels = labels[0] if labels.shape[0] == 1 else labels[..., 0]
    if labels.ndim != 2:
        raise ShapeError(f"overlay: expected a mask (H, W), got {labels.shape}; pass one class's mask, or probabilities.argmax(0)")
    return (labels > 0.5).astype(np.int64) if labels.dtype.kind in "fb" else labels.astype(np.int64)


def scaled(pixels: Pixels, scale: float | None = None) -> Pixels:
    """Pixels as float32, divided by ``scale``; without it integers by their type's largest value: uint8 by 255, uint16 by 65535."""
    if scale is not None:
        return pixels.astype(np.float32) / np.float32(scale)
    if pixels.dtype.kind in "ui":
        return pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)
    return pixels.astype(np.float32)


def bits_above(most: float) -> int:
    """The largest number of 8, 10, 12, 14, 16, 24, 32, 48 or 64 bits, as cameras and files have them, that is not below ``most``.

    Examples
    --------
    >>> from neurenix.picture import bits_above
    >>> bits_above(3000), bits_above(255)
    (4095, 255)
    """
    return next(2**bits - 1 for bits in (8, 10, 12, 14, 16, 24, 32, 48, 64) if most <= 2**bits - 1)


def far_below(pixels: Pixels) -> int | None:
    """The largest of integers of more than 16 bits that use less than a 256th of their type's range, which is no range of brightness."""
    if pixels.dtype.kind not in "ui" or pixels.dtype.itemsize <= 2 or not pixels.size:
        return None
    most = max(int(pixels.max()), -int(pixels.min()))
    return most if 0 < most < np.iinfo(pixels.dtype).max // 256 else None


def read_picture(path: str | os.PathLike[str], channels: int | None = None) -> Pixels:
    """Pixels of a picture file, (H, W) or (H, W, C), in the file's element type; PNG and ``.npy`` also without Pillow.

    Pictures are turned as they are to be shown (EXIF), inks (CMYK) become RGB.

    Parameters
    ----------
    path : path
    channels : {1, 3}, optional
        Convert to grey or RGB; as stored if ``None`` (a palette's numbers stay numbers).

    Raises
    ------
    BackendUnavailableError
        If Pillow is not installed.
    FileError
        If the file cannot be read.
    """
    path = Path(path)
    try:
        if path.suffix.lower() == ".npy":
            pixels: Pixels = np.load(path, allow_pickle=False)
            return pixels
        if path.suffix.lower() == ".png":
            data = path.read_bytes()
            turned = png.orientation(io.BytesIO(data))
            if not has_pillow() or png.read_header(data).is_deep_colour:
                return upright(converted(*png.decode(data), channels), turned)
            with pillow(f"reading {path.name}").open(io.BytesIO(data)) as picture:
                return upright(_pixels(picture, channels), turned)
        with pillow(f"reading {path.name}").open(path) as picture:
            return _pixels(_shown(picture), channels)
    except BackendUnavailableError:
        raise
    except Exception as error:  # decoders fail in ways of their own at damaged files
        raise FileError(f"read_picture: expected a picture, got {str(path)!r}: {error}; check that the file is whole") from error


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Pixels (H, W) or (H, W, C) that are stored as TIFF's and EXIF's number says, as they are shown."""
    pixels = pixels.swapaxes(0, 1) if orientation >= 5 else pixels
    pixels = pixels[:, ::-1] if orientation in (2, 3, 6, 7) else pixels
    return pixels[::-1] if orientation in (3, 4, 7, 8) else pixels


def exif_orientation(path: Path) -> int:
    """How Pillow turns a picture that is no PNG, from 1 (not at all) to 8."""
    with pillow(f"reading {path.name}").open(path) as picture:
        found = picture.getexif().get(png.ORIENTATION, 1)
    return found if found in range(1, 9) else 1


def _pixels(picture: Any, channels: int | None) -> Pixels:
    deep = picture.mode in ("I", "F", "1") or picture.mode.startswith("I;")
    if channels is None or deep:  # Pillow would cut deep pixels at 255
        pixels = np.asarray(picture)
        return np.repeat(pixels[..., None], 3, axis=-1) if channels == 3 else pixels
    return np.asarray(picture.convert("L" if channels == 1 else "RGB"))


def _shown(picture: Any) -> Any:
    """A picture as programs show it, and as masks are drawn on it: turned as a camera says, inks as colours."""
    turned = load("PIL.ImageOps", "pictures", "demo").exif_transpose(picture)
    return turned.convert("RGB") if turned.mode in ("CMYK", "YCCK") else turned


def converted(pixels: Pixels, palette: Pixels | None, channels: int | None) -> Pixels:
    """Decoded pixels as grey (1) or RGB (3), by Pillow's weights; 16 bits stay 16 bits."""
    if channels is None:
        return pixels
    if palette is not None:
        pixels = palette[np.minimum(pixels, len(palette) - 1)]
    if pixels.ndim == 3:
        pixels = pixels[..., :3] if pixels.shape[-1] >= 3 else pixels[..., 0]
    if channels == 3:
        return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=-1)
    if pixels.ndim == 2:
        return pixels
    red, green, blue = (pixels[..., i].astype(np.int64) for i in range(3))
    return ((19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16).astype(pixels.dtype)


def save_picture(path: str | os.PathLike[str], pixels: Any) -> None:
    """Write uint8 pixels, (H, W) or (H, W, 3), as a picture file; the ending names the format.

    Raises
    ------
    BackendUnavailableError
        If Pillow is not installed.
    """
    array = host(pixels, "save_picture")
    if array.dtype != np.uint8:
        raise DTypeError(f"save_picture: expected uint8 pixels, got {array.dtype}; use neurenix.overlay or (255 * x).astype(np.uint8)")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise ShapeError(f"save_picture: expected (H, W) or (H, W, 3), got {array.shape}; transpose channels to the end")
    if Path(path).suffix.lower() == ".png" and not has_pillow():
        Path(path).write_bytes(png.encode(np.ascontiguousarray(array)))
        return
    picture = pillow(f"writing {Path(path).name}").fromarray(np.ascontiguousarray(array))
    try:
        picture.save(path)
    except ValueError as error:
        raise ArgumentError(
            f"save_picture: expected a name that ends in .png or another format's, got {str(path)!r}: {error}; add .png"
        ) from None


def has_pillow() -> bool:
    """Whether Pillow is installed."""
    return has("PIL")


def pillow(purpose: str) -> Any:
    """Pillow's ``Image`` module.

    Raises
    ------
    BackendUnavailableError
        If it is not installed, naming the purpose and the remedy.
    """
    return load("PIL.Image", purpose, "demo")
