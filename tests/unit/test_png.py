"""PNG without Pillow gives what Pillow gives."""

import io
import struct
import sys
import zlib

import numpy as np
import pytest

from neurenix import png
from neurenix.errors import FileError
from neurenix.picture import read_picture, save_picture

ROW, COLUMN = np.mgrid[:37, :53]
GREY = (np.sin(COLUMN / 9) * 60 + np.cos(ROW / 7) * 60 + 128).astype(np.uint8)
RGB = np.stack([GREY, GREY // 2, np.random.default_rng(0).integers(0, 256, GREY.shape, np.uint8)], -1)
RGBA = np.concatenate([RGB, GREY[..., None]], -1)


def written(image, **settings):
    image_module = pytest.importorskip("PIL.Image")
    image = image if hasattr(image, "save") else image_module.fromarray(image)
    held = io.BytesIO()
    image.save(held, "png", **settings)
    return held.getvalue()


@pytest.mark.parametrize("pixels", [GREY, RGB, RGBA, GREY > 100, GREY.astype(np.uint16) * 200], ids=["L", "RGB", "RGBA", "1", "16"])
def test_decodes_what_pillow_encodes(pixels):
    found, palette = png.decode(written(pixels))
    assert found.dtype == pixels.dtype
    assert np.array_equal(found, pixels)
    assert palette is None


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palettes_of_all_depths(bits):
    image_module = pytest.importorskip("PIL.Image")
    numbers = GREY & (2**bits - 1)
    image = image_module.new("P", numbers.shape[::-1])
    image.putdata(numbers.ravel().tolist())
    image.putpalette([9, 8, 7, 1, 2, 3] * 2 ** (bits - 1))
    found, palette = png.decode(written(image, bits=bits))
    assert np.array_equal(found, numbers)
    assert palette[:2].tolist() == [[9, 8, 7], [1, 2, 3]]


@pytest.mark.parametrize("step", [1, 2, 3, 4, 6, 8])
def test_every_row_filter(step):
    rng = np.random.default_rng(step)
    height, stride = 11, 5 * step
    lines, kinds = rng.integers(0, 256, (height, stride)), np.array([4, 0, 1, 2, 3, 4, 4, 3, 1, 2, 4])
    wanted = np.zeros((height + 1, stride + step), int)
    for r in range(height):
        for i in range(stride):
            a, b, c = wanted[r + 1, i], wanted[r, i + step], wanted[r, i]
            paeth = min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]
            wanted[r + 1, i + step] = (lines[r, i] + (0, a, b, (a + b) // 2, paeth)[kinds[r]]) % 256
    found = png.unfiltered(kinds.astype(np.uint8), lines.astype(np.uint8), step)
    assert np.array_equal(found, wanted[1:, step:])


@pytest.mark.parametrize("pixels", [GREY, RGB, RGBA, GREY.astype(np.uint16) * 200, np.dstack([GREY] * 3).astype(np.uint16) * 200])
def test_what_is_encoded_is_decoded(pixels):
    assert np.array_equal(png.decode(png.encode(pixels))[0], pixels)


def test_pictures_without_pillow(tmp_path, monkeypatch):
    (tmp_path / "pillow.png").write_bytes(written(RGB))
    wanted = [read_picture(tmp_path / "pillow.png", c) for c in (None, 1, 3)]
    deep = np.dstack([GREY] * 3).astype(np.uint16) * 200
    (tmp_path / "deep.png").write_bytes(png.encode(deep))
    assert np.array_equal(read_picture(tmp_path / "deep.png"), deep)
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    assert all(np.array_equal(read_picture(tmp_path / "pillow.png", c), w) for c, w in zip((None, 1, 3), wanted, strict=True))
    save_picture(tmp_path / "ours.png", RGB)
    assert np.array_equal(read_picture(tmp_path / "ours.png"), RGB)


def broken():
    whole = png.encode(GREY)
    header = struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 0, 0, 0, 0)
    huge = png.SIGNATURE + png._chunk(b"IHDR", header) + png._chunk(b"IDAT", zlib.compress(b"0")) + png._chunk(b"IEND", b"")
    return {
        "empty": b"",
        "foreign": b"GIF89a" + whole,
        "cut": whole[:-20],
        "flipped": whole[:60] + bytes([whole[60] ^ 1]) + whole[61:],
        "huge": huge,
        "interlaced": png.SIGNATURE + png._chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 1)) + whole[33:],
        "short": png.SIGNATURE + png._chunk(b"IHDR", struct.pack(">IIBBBBB", 99, 99, 8, 0, 0, 0, 0)) + whole[33:],
        "filter": png.SIGNATURE + whole[8:33] + png._chunk(b"IDAT", zlib.compress(b"\x09" * 37 * 54)) + png._chunk(b"IEND", b""),
    }


@pytest.mark.parametrize("name", broken())
def test_broken_files_are_one_clear_error(name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    (tmp_path / "x.png").write_bytes(broken()[name])
    with pytest.raises(FileError, match=r"read_picture: expected a picture, got .*x.png.*; check that the file is whole"):
        read_picture(tmp_path / "x.png")
