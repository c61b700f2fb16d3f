"""PNG files with NumPy and zlib alone: for where Pillow is not installed, and for colours of 16 bits, which it cuts to 8.

After the PNG specification, second edition (ISO/IEC 15948:2003). Interlaced files are left to Pillow.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any, BinaryIO, Literal, NamedTuple, TypeAlias

import numpy as np

Pixels: TypeAlias = np.ndarray[Any, Any]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
ORIENTATION = 274  # EXIF's and TIFF's number of the tag
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # grey, RGB, palette, grey and alpha, RGB and alpha
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_CHUNK = 1 << 20  # bytes of compressed pixels written together
_LARGEST = 1 << 34  # bytes of pixels: more than this is no picture but an attack


class Header(NamedTuple):
    """What a file's first chunk says."""

    width: int
    height: int
    depth: int
    colour: int
    interlaced: bool

    @property
    def channels(self) -> int:
        """Numbers a pixel."""
        return _CHANNELS[self.colour]

    @property
    def is_deep_colour(self) -> bool:
        """Whether there are several numbers of 16 bits a pixel."""
        return self.depth == 16 and self.channels > 1


def read_header(data: bytes) -> Header:
    """The header of a file's bytes; ValueError where it is none."""
    if not data.startswith(SIGNATURE) or len(data) < 33 or data[12:16] != b"IHDR":
        raise ValueError("no PNG header")
    width, height, depth, colour, compression, filtering, interlace = struct.unpack(">IIBBBBB", data[16:29])
    if not (width and height) or depth not in _DEPTHS.get(colour, ()) or compression or filtering or interlace > 1:
        raise ValueError("a PNG header that means nothing")
    return Header(width, height, depth, colour, interlace == 1)


def decode(data: bytes) -> tuple[Pixels, Pixels | None]:
    """Pixels, (H, W) or (H, W, channels), of uint8, uint16 or (one bit, grey) bool, and the palette, uint8 (n, 3), if there is one.

    Numbers into a palette stay numbers; grey of 2 and 4 bits is stretched to 8. ValueError where the file is broken or interlaced.
    """
    header = read_header(data)
    if header.interlaced:
        raise ValueError("an interlaced PNG, which needs Pillow")
    packed, palette = _chunks(data)
    stride = -(-header.width * header.channels * header.depth // 8)
    wanted = header.height * (stride + 1)
    if wanted > _LARGEST:
        raise ValueError(f"{header.width} x {header.height} pixels")
    inflater = zlib.decompressobj()
    try:
        raw = inflater.decompress(packed, wanted)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if len(raw) != wanted:
        raise ValueError(f"{len(raw)} bytes of pixels where {wanted} belong")
    rows = np.frombuffer(raw, np.uint8).reshape(header.height, stride + 1)
    lines = unfiltered(rows[:, 0], rows[:, 1:], max(1, header.channels * header.depth // 8))
    return as_pixels(lines, header), palette


def _chunks(data: bytes) -> tuple[bytes, Pixels | None]:
    """The compressed pixels and the palette."""
    at, packed, palette = len(SIGNATURE), [], None
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        if len(body) != length or zlib.crc32(kind + body) != int.from_bytes(data[at + 8 + length : at + 12 + length], "big"):
            raise ValueError(f"a damaged chunk {kind!r}")
        if kind == b"IDAT":
            packed.append(body)
        elif kind == b"PLTE":
            palette = np.frombuffer(body[: length // 3 * 3], np.uint8).reshape(-1, 3)
        elif kind == b"IEND":
            return b"".join(packed), palette
        at += 12 + length
    raise ValueError("a PNG that breaks off")


def orientation(file: BinaryIO) -> int:
    """How an image is to be turned to be shown, from 1 (as it is) to 8: what its EXIF chunk says, wherever that stands."""
    file.seek(len(SIGNATURE))
    while len(head := file.read(8)) == 8 and head[4:] != b"IEND":
        length = int.from_bytes(head[:4], "big")
        if head[4:] == b"eXIf":
            return _in_exif(file.read(length))
        file.seek(length + 4, 1)
    return 1


def _in_exif(body: bytes) -> int:
    order: Literal["little", "big"] = "little" if body[:2] == b"II" else "big"
    at = int.from_bytes(body[4:8], order)
    for start in range(at + 2, at + 2 + 12 * int.from_bytes(body[at : at + 2], order), 12):
        if int.from_bytes(body[start : start + 2], order) == ORIENTATION:
            found = int.from_bytes(body[start + 8 : start + 10], order)
            return found if 1 <= found <= 8 else 1
    return 1


def unfiltered(kinds: Pixels, lines: Pixels, step: int) -> Pixels:
    """Bytes out of differences: ``kinds`` says for each row what was subtracted, ``step`` is the distance of a byte's left neighbour.

    A byte needs its left, upper and upper left neighbours, so all bytes of an anti-diagonal are computed at once: arrays are skewed,
    entry (d, r) is group ``d - r`` of row ``r``.
    """
    if kinds.max(initial=0) > 4:
        raise ValueError(f"row filter {kinds.max()}")
    height, stride = lines.shape
    if not kinds.any():
        return lines
    groups = -(-stride // step)
    padded = np.zeros((height, groups * step), np.uint8)
    padded[:, :stride] = lines
    row = np.arange(height)
    skewed = np.zeros((groups + height + 1, height + 1, step), np.int16)  # one row of zeros before the first, two diagonals of zeros
    place = row[:, None] + np.arange(groups) + 2
    place = np.minimum(place, groups + height)
    skewed[place, row[:, None] + 1] = padded.reshape(height, groups, step)
    kind = kinds[:, None]
    for d in range(2, groups + height + 1):
        left, up, corner = skewed[d - 1, 1:], skewed[d - 1, :-1], skewed[d - 2, :-1]
        guess = np.choose(kind, [np.zeros_like(left), left, up, (left + up) >> 1, _paeth(left, up, corner)])
        now = (skewed[d, 1:] + guess) & 255
        low, high = max(0, d - 1 - groups), min(height, d - 1)
        skewed[d, 1 + low : 1 + high] = now[low:high]
    return np.asarray(skewed[place, row[:, None] + 1].astype(np.uint8).reshape(height, -1)[:, :stride])


def _paeth(left: Pixels, up: Pixels, corner: Pixels) -> Pixels:
    """Whichever of the three is nearest to left + up - corner."""
    by_left, by_up = np.abs(up - corner), np.abs(left - corner)
    by_corner = np.abs(left + up - 2 * corner)
    return np.asarray(np.where((by_left <= by_up) & (by_left <= by_corner), left, np.where(by_up <= by_corner, up, corner)))


def as_pixels(lines: Pixels, header: Header) -> Pixels:
    """Bytes of rows, unfiltered, as pixels (H, W) or (H, W, channels)."""
    h, w, c = header.height, header.width, header.channels
    if header.depth == 16:
        pixels = np.ascontiguousarray(lines).view(">u2").astype(np.uint16).reshape(h, w, c)
    elif header.depth == 8:
        pixels = lines.reshape(h, w, c)
    else:
        bits = np.unpackbits(lines, axis=1).reshape(h, -1, header.depth)
        values = bits @ (1 << np.arange(header.depth - 1, -1, -1, dtype=np.uint8))
        if header.colour == 0:
            values = values.astype(np.bool_) if header.depth == 1 else values * np.uint8(255 // (2**header.depth - 1))
        pixels = values[:, :w, None]
    return pixels[..., 0] if c == 1 else pixels


class Encoder:
    """Makes a file of uint8 or uint16 pixels a band of rows at a time; the bytes do not depend on how the rows are cut.

    Parameters
    ----------
    shape : (int, int, int)
        Channels (1, 3 or 4), rows, columns.
    deep : bool
        16 bits a number.
    """

    def __init__(self, shape: tuple[int, int, int], deep: bool) -> None:
        self._shape, self._deep = shape, deep
        self._deflater, self._waiting = zlib.compressobj(6), bytearray()

    def head(self) -> bytes:
        """What stands before the pixels."""
        channels, height, width = self._shape
        fields = (width, height, 16 if self._deep else 8, {1: 0, 3: 2, 4: 6}[channels], 0, 0, 0)
        return SIGNATURE + _chunk(b"IHDR", struct.pack(">IIBBBBB", *fields))

    def rows(self, pixels: Pixels) -> bytes:
        """The next rows, (h, W) or (h, W, C): what of them can be written already."""
        lines = np.ascontiguousarray(pixels.astype(">u2" if self._deep else np.uint8)).view(np.uint8).reshape(len(pixels), -1)
        self._waiting += self._deflater.compress(np.concatenate([np.zeros((len(lines), 1), np.uint8), lines], axis=1).tobytes())
        made = bytearray()
        while len(self._waiting) >= _CHUNK:
            made += _chunk(b"IDAT", bytes(self._waiting[:_CHUNK]))
            del self._waiting[:_CHUNK]
        return bytes(made)

    def tail(self) -> bytes:
        """The rest."""
        self._waiting += self._deflater.flush()
        starts = range(0, len(self._waiting), _CHUNK)
        return b"".join(_chunk(b"IDAT", bytes(self._waiting[i : i + _CHUNK])) for i in starts) + _chunk(b"IEND", b"")


def encode(pixels: Pixels) -> bytes:
    """A file of uint8 or uint16 pixels, (H, W) or (H, W, 3 or 4)."""
    encoder = Encoder((1 if pixels.ndim == 2 else pixels.shape[2], *pixels.shape[:2]), pixels.dtype == np.uint16)
    return encoder.head() + encoder.rows(pixels) + encoder.tail()


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
