"""PNG files row by row: read as far as is asked for, written a band at a time."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from neurenix import png
from neurenix.errors import FileError, NeurenixError
from neurenix.images.source import Array, Metadata, Rows, Source, unreadable

_BLOCK = 1 << 23  # bytes of rows that are decoded together: undoing their filters is one sweep over the diagonals
_MOST_PACKED = 1032  # bytes that a byte of a compressed stream can stand for
_PORTION = 1 << 20  # bytes of a file read at once


def orientation_of(path: Path) -> int:
    """How an image is to be turned to be shown, from 1 (as it is) to 8."""
    with path.open("rb") as file:
        return png.orientation(file)


def is_interlaced(path: Path) -> bool:
    """Whether a file's header says so; no where it has none."""
    with path.open("rb") as file:
        try:
            return png.read_header(file.read(33)).interlaced
        except ValueError:
            return False


class PngSource(Source):
    """A PNG that is not interlaced; windows that go down the image are read in one pass, one further up begins again.

    Parameters
    ----------
    path : path
    convert : callable, optional
        Pixels (h, w) or (h, w, C) and the palette, if there is one, to what is given; pixels as they are by default.
    """

    sequential = True

    def __init__(self, path: Path, convert: Callable[[Array, Array | None], Array] | None = None) -> None:
        self._file = path.open("rb")
        try:
            self._header = png.read_header(self._file.read(33))
            if self._header.interlaced:
                raise ValueError("an interlaced PNG, which needs Pillow")
            self._require_bytes(path.stat().st_size)
            self._convert = convert or (lambda pixels, _: pixels)
            self._begin()
            self._palette = self._palette_before_pixels()
            self._begin()
            one = self._planes(np.zeros((1, self._stride), np.uint8), self._header.width)
            super().__init__(path, (one.shape[0], self._header.height, self._header.width), one.dtype, Metadata())
        except BaseException as error:
            self.close()
            if isinstance(error, (ValueError, zlib.error)) and not isinstance(error, NeurenixError):
                raise unreadable(path, error) from error
            raise

    def _require_bytes(self, size: int) -> None:
        """Refuse a header that says more than the file can hold, before memory is taken for it."""
        header = self._header
        pixels = header.height * (header.width * header.channels * header.depth // 8 + 1)
        if pixels > _MOST_PACKED * size + _BLOCK:
            raise ValueError(f"a PNG of {header.height} x {header.width} pixels in {size} bytes, which is more than can be packed in them")

    def _begin(self) -> None:
        """Back to the first row."""
        header = self._header
        self._stride = -(-header.width * header.channels * header.depth // 8)
        self._step = max(1, header.channels * header.depth // 8)
        self._rows, self._first = np.empty((0, self._stride), np.uint8), 0  # those decoded and kept
        self._above = np.zeros((1, self._stride), np.uint8)  # the last that was decoded
        self._inflater, self._left = zlib.decompressobj(), b""
        self._pieces = self._compressed()

    def _chunks(self) -> Iterator[tuple[bytes, int]]:
        """Kind and length of each chunk; its body must be read by the caller."""
        self._file.seek(len(png.SIGNATURE))
        while True:
            head = self._file.read(8)
            if len(head) < 8:
                raise ValueError("a PNG that breaks off")
            yield head[4:], int.from_bytes(head[:4], "big")

    def _body(self, kind: bytes, length: int) -> Iterator[bytes]:
        """A chunk's body in portions, its checksum compared at the end."""
        check = zlib.crc32(kind)
        while length:
            portion = self._file.read(min(length, _PORTION))
            if not portion:
                raise ValueError("a PNG that breaks off")
            check, length = zlib.crc32(portion, check), length - len(portion)
            yield portion
        if self._file.read(4) != check.to_bytes(4, "big"):
            raise ValueError(f"a damaged chunk {kind!r}")

    def _compressed(self) -> Iterator[bytes]:
        for kind, length in self._chunks():
            if kind == b"IEND":
                return
            if kind == b"IDAT":
                yield from self._body(kind, length)
            else:
                self._file.seek(length + 4, 1)

    def _palette_before_pixels(self) -> Array | None:
        for kind, length in self._chunks():
            if kind == b"PLTE":
                body = b"".join(self._body(kind, min(length, 768)))
                return np.frombuffer(body[: len(body) // 3 * 3], np.uint8).reshape(-1, 3)
            if kind in (b"IDAT", b"IEND"):
                return None
            self._file.seek(length + 4, 1)
        return None

    def read(self, rows: slice, columns: slice) -> Array:
        """As :meth:`Source.read`."""
        try:
            if rows.start < self._first:
                self._begin()
            while self._first + len(self._rows) < rows.stop:
                self._drop(rows.start)
                self._rows = np.concatenate([self._rows, self._decoded()])
            self._drop(rows.start)
        except (ValueError, zlib.error, OSError) as error:
            raise unreadable(self.path, error) from error
        lines = self._rows[rows.start - self._first : rows.stop - self._first]
        if self._header.depth >= 8:  # a pixel is whole bytes: only the window's are unpacked
            lines = lines[:, columns.start * self._step : columns.stop * self._step]
            return self._planes(lines, columns.stop - columns.start)
        return np.ascontiguousarray(self._planes(lines, self._header.width)[:, :, columns])

    def _drop(self, start: int) -> None:
        """Forget rows before ``start``."""
        gone = min(max(0, start - self._first), len(self._rows))
        self._rows, self._first = self._rows[gone:].copy() if gone else self._rows, self._first + gone

    def _decoded(self) -> Array:
        """The next block of rows."""
        done = self._first + len(self._rows)
        count = min(max(16, _BLOCK // self._stride), self._header.height - done)
        raw = np.frombuffer(self._inflated(count * (self._stride + 1)), np.uint8).reshape(count, self._stride + 1)
        kinds, lines = np.concatenate([[np.uint8(0)], raw[:, 0]]), np.concatenate([self._above, raw[:, 1:]])
        found = png.unfiltered(kinds, lines, self._step)[1:]
        self._above = found[-1:].copy()
        return found

    def _inflated(self, wanted: int) -> bytearray:
        """So many bytes of the compressed stream."""
        out = bytearray()
        while len(out) < wanted:
            if not self._left:
                self._left = next(self._pieces, b"")
                if not self._left:
                    raise ValueError("a PNG with too few pixels")
            out += self._inflater.decompress(self._left, wanted - len(out))
            self._left = self._inflater.unconsumed_tail
        return out

    def _planes(self, lines: Array, width: int) -> Array:
        """Bytes of rows as converted pixels (C, h, w)."""
        header = self._header._replace(width=width, height=len(lines))
        pixels = self._convert(png.as_pixels(lines, header), self._palette)
        return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))

    def held_bytes(self, rows: int) -> int:
        """As :meth:`Source.held_bytes`."""
        return 2 * (rows * self._stride + _BLOCK) + 8 * _BLOCK  # rows twice while more are added; tables of a block

    def close(self) -> None:
        """As :meth:`Source.close`."""
        self._file.close()


def write_png(path: Path, pixels: Rows) -> None:
    """Write a mask (1, H, W): truth as 0 and 255, numbers as they are, in 16 bits where they need them.

    Raises
    ------
    FileError
        If there are other planes, or numbers above 65535.
    """
    planes, height, width = pixels.shape
    if planes != 1 or pixels.dtype.kind == "f":
        raise FileError(f"write_png: expected a mask, got {pixels.dtype} of {planes} planes; pass --format npy, tif or zarr")
    step = max(1, (1 << 22) // width)
    bands = [slice(start, min(start + step, height)) for start in range(0, height, step)]
    most = 1 if pixels.dtype == bool else max(int(pixels.read(0, band).max(initial=0)) for band in bands)
    if most > np.iinfo(np.uint16).max:
        raise FileError(f"write_png: expected at most 65535 objects in {path.name}, got {most}; pass --format npy, tif or zarr")
    kind = np.dtype(np.uint8 if most < 256 else np.uint16)
    with path.open("wb") as file:
        encoder = png.Encoder((1, height, width), kind == np.uint16)
        file.write(encoder.head())
        for band in bands:
            file.write(encoder.rows(pixels.read(0, band).astype(kind) * kind.type(255 if pixels.dtype == bool else 1)))
        file.write(encoder.tail())
