"""Exact percentiles of an image that is read band by band, and the first of its pixels that is no number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from neurenix.errors import FileError
from neurenix.images import Source
from neurenix.images.source import Array

_DIGIT = 16  # bits of an order statistic that one pass over the image finds
_BAND = 1 << 20  # pixels of a band


def bands(source: Source) -> Iterator[tuple[int, Array]]:
    """First row and pixels (C, h, W) of each band, from the top."""
    channels, height, width = source.shape
    step = max(1, _BAND // (channels * width))
    for start in range(0, height, step):
        yield start, source.read(slice(start, min(start + step, height)), slice(0, width))


def require_finite(source: Source) -> None:
    """Refuse an image with a pixel that is no number or infinite.

    Raises
    ------
    FileError
        With the pixel's place.
    """
    if source.dtype.kind == "f":
        for start, band in bands(source):
            require_finite_band(source, start, 0, band)


def require_finite_band(source: Source, top: int, left: int, pixels: Array) -> None:
    """The same of pixels that were read, whose first lies at this row and column.

    Raises
    ------
    FileError
        With the pixel's place.
    """
    finite = np.isfinite(pixels) if pixels.dtype.kind == "f" else None
    if finite is None or finite.all():
        return
    channel, row, column = (int(i) for i in np.argwhere(~finite)[0])
    place = [channel, top + row, left + column]
    value = pixels[channel, row, column]
    raise FileError(f"predict: expected finite pixels, got {value} in {source.path.name} at channel, row, column {place}; mend the image")


def percentiles(source: Source, percents: tuple[float, ...]) -> Array:
    """What :func:`numpy.percentile` gives for each channel of the whole image in float64: (C, number of percents).

    Notes
    -----
    Whole numbers and floats alike are mapped to whole numbers in the same order, and the wanted ones found 16 bits at a time by counting:
    one pass over the image for 8 and 16 bits, two for float32, four for float64, with 512 KB of counts a channel and digit.
    """
    channels, height, width = source.shape
    count = height * width
    places = [p / 100 * (count - 1) for p in percents]
    ranks = sorted({r for place in places for r in (int(place), min(int(place) + 1, count - 1))})
    found = _order_statistics(source, ranks)
    out = np.empty((channels, len(percents)))
    for column, place in enumerate(places):
        low, part = int(place), place - int(place)
        a, b = found[:, ranks.index(low)], found[:, ranks.index(min(low + 1, count - 1))]
        step = b - a  # as NumPy interpolates, from the nearer end
        out[:, column] = a + step * part if part < 0.5 else b - step * (1 - part)
    return out


def _order_statistics(source: Source, ranks: list[int]) -> Array:
    """The pixels that would stand at these places if each channel were sorted, float64 (C, number of ranks)."""
    bits = 8 * source.dtype.itemsize if source.dtype.kind != "b" else 8
    channels = source.shape[0]
    digits = -(-bits // _DIGIT)
    prefix = np.zeros((channels, len(ranks)), np.uint64)  # the bits that are known
    left = np.tile(np.array(ranks, np.int64), (channels, 1))  # places among the pixels that have these bits
    for digit in range(digits):
        shift = max(0, bits - _DIGIT * (digit + 1))
        width = bits - _DIGIT * digit - shift
        wanted = [np.unique(prefix[c]) for c in range(channels)]
        counts = [np.zeros((len(w), 1 << width), np.int64) for w in wanted]
        for _, band in bands(source):
            for c in range(channels):
                _count(_keys(band[c]), wanted[c], counts[c], shift, width)
        for c in range(channels):
            for i in range(len(ranks)):
                below = np.cumsum(counts[c][np.searchsorted(wanted[c], prefix[c, i])])
                value = int(np.searchsorted(below, left[c, i], side="right"))
                left[c, i] -= below[value - 1] if value else 0
                prefix[c, i] = (prefix[c, i] << np.uint64(width)) | np.uint64(value)
    return _values(prefix, source.dtype)


def _count(keys: Array, wanted: Array, counts: Array, shift: int, width: int) -> None:
    """Add up how often each next digit comes after each of the wanted beginnings."""
    keys = keys.ravel()
    digits = (keys >> keys.dtype.type(shift)) & keys.dtype.type((1 << width) - 1)
    whole = 8 * keys.dtype.itemsize
    for number, beginning in enumerate(wanted):
        known = shift + width
        these = digits if known >= whole else digits[(keys >> keys.dtype.type(known)) == keys.dtype.type(beginning)]
        counts[number] += np.bincount(these.astype(np.int64), minlength=1 << width)


def _keys(pixels: Array) -> Array:
    """Unsigned numbers in the order of the pixels."""
    pixels = np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder("="), copy=False))
    if pixels.dtype.kind == "b":
        return pixels.view(np.uint8)
    if pixels.dtype.kind == "u":
        return pixels
    unsigned = np.dtype(f"u{pixels.dtype.itemsize}").type
    top = unsigned(1) << unsigned(8 * pixels.dtype.itemsize - 1)
    bits = pixels.view(unsigned)
    return np.asarray(bits ^ top if pixels.dtype.kind == "i" else np.where(bits & top, ~bits, bits | top))


def _values(keys: Array, dtype: np.dtype[Any]) -> Array:
    """The pixels that have these keys, as float64."""
    if dtype.kind in "bu":
        return keys.astype(np.float64)
    unsigned = np.dtype(f"u{dtype.itemsize}").type
    bits, top = keys.astype(unsigned), unsigned(1) << unsigned(8 * dtype.itemsize - 1)
    bits = bits ^ top if dtype.kind == "i" else np.where(bits & top, bits ^ top, ~bits)
    return bits.view(dtype.newbyteorder("=")).astype(np.float64)
