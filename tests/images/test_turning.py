"""Files that say that they are shown mirrored or turned: every format, whole and in windows, gives the pixels that one sees."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import neurenix as nx
from neurenix import png
from neurenix.command import main
from neurenix.data import ImageMaskFolder
from neurenix.images import open_image, opening, tiffs
from neurenix.images.opening import orientation_of, read_image

tifffile = pytest.importorskip("tifffile")
pillow = pytest.importorskip("PIL.Image")
RNG = np.random.default_rng(0)
SEEN = RNG.integers(0, 256, (61, 83, 3), np.uint8)
# how the pixels that one sees lie in a file of each number, from TIFF 6.0: where its first row and first column are
STORED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: x.swapaxes(0, 1)[::-1],
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: x.swapaxes(0, 1)[:, ::-1],
}


def tiff(path: Path, pixels: np.ndarray, number: int, **more: object) -> None:
    tifffile.imwrite(path, np.ascontiguousarray(pixels), extratags=[(274, 3, 1, number, True)], **more)


def tagged_png(path: Path, pixels: np.ndarray, number: int, order: str = "big", last: bool = False) -> None:
    """A PNG with an EXIF chunk before its pixels, or after them, as both may be."""
    data = png.encode(np.ascontiguousarray(pixels))
    mark = (b"MM\0*" if order == "big" else b"II*\0") + (8).to_bytes(4, order)
    entries = [(0x0128, 2), (274, number)]
    ifd = b"".join(
        t.to_bytes(2, order) + (3).to_bytes(2, order) + (1).to_bytes(4, order) + v.to_bytes(2, order) + b"\0\0" for t, v in entries
    )
    body = mark + len(entries).to_bytes(2, order) + ifd + bytes(4)
    chunk = len(body).to_bytes(4, "big") + b"eXIf" + body + zlib.crc32(b"eXIf" + body).to_bytes(4, "big")
    at = len(data) - 12 if last else 33
    path.write_bytes(data[:at] + chunk + data[at:])


def jpeg(path: Path, pixels: np.ndarray, number: int) -> None:
    exif = pillow.Exif()
    exif[274] = number
    pillow.fromarray(np.ascontiguousarray(pixels)).save(path, exif=exif, quality=100, subsampling=0)


FILES: dict[str, tuple[str, Callable[[Path, np.ndarray, int], object]]] = {
    "tiff, one strip": ("a.tif", lambda p, x, n: tiff(p, x, n, rowsperstrip=1000)),
    "tiff, tiles": ("a.tif", lambda p, x, n: tiff(p, x, n, tile=(16, 32), compression="zlib")),
    "tiff, strips": ("a.tif", lambda p, x, n: tiff(p, x, n, rowsperstrip=7, compression="lzw")),
    "png": ("a.png", tagged_png),
    "png, little end first, behind the pixels": ("a.png", lambda p, x, n: tagged_png(p, x, n, "little", True)),
    "jpeg": ("a.jpg", jpeg),
}


def test_these_files_are_what_other_programs_take_them_for(tmp_path: Path) -> None:
    """Pillow turns TIFFs by itself, rightly where they are compressed."""
    for number, stored in STORED.items():
        tiff(tmp_path / "a.tif", stored(SEEN), number, compression="zlib")
        assert np.array_equal(np.asarray(pillow.open(tmp_path / "a.tif")), SEEN)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("number", STORED)
def test_what_is_read_is_what_is_seen(name: str, number: int, tmp_path: Path) -> None:
    file, write = FILES[name]
    path = tmp_path / file
    write(path, STORED[number](SEEN), number)
    near = 40 if file == "a.jpg" else 0  # of noise: which way up is what counts
    whole = read_image(path)
    assert orientation_of(path) == number
    assert whole.shape == SEEN.shape and np.abs(whole.astype(int) - SEEN).mean() <= near
    with open_image(path) as source:
        assert source.shape == (3, 61, 83)
        for rows, columns in ((slice(0, 61), slice(0, 83)), (slice(5, 17), slice(60, 83)), (slice(60, 61), slice(0, 1))):
            assert np.array_equal(source.read(rows, columns), whole[rows, columns].transpose(2, 0, 1))
    with open_image(path, channels=1) as source:
        assert source.shape == (1, 61, 83)


@pytest.mark.parametrize("number", [1, 4, 6])
def test_without_the_package_of_tiffs_or_of_pictures(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = RNG.integers(0, 60000, (61, 83), np.uint16)
    tiff(tmp_path / "a.tif", STORED[number](deep), number, rowsperstrip=1000)
    tagged_png(tmp_path / "a.png", STORED[number](deep), number)
    for module in (opening, tiffs):
        monkeypatch.setattr(module, "has", lambda _: False)
    assert np.array_equal(read_image(tmp_path / "a.tif"), deep) and orientation_of(tmp_path / "a.tif") == number
    monkeypatch.undo()
    for hidden in (lambda: False, lambda: True):
        monkeypatch.setattr("neurenix.picture.has_pillow", hidden)
        assert np.array_equal(read_image(tmp_path / "a.png"), deep)


def test_what_a_tiff_says_beside_is_turned_too(tmp_path: Path) -> None:
    tiff(tmp_path / "a.tif", STORED[6](SEEN), 6, resolution=(100, 400))
    with open_image(tmp_path / "a.tif") as source:
        x, y, _ = source.metadata.resolution
        assert x[0] / x[1] == 400 and y[0] / y[1] == 100
        opening.write_image(tmp_path / "b.tif", _Rows(SEEN[..., 0]), source.metadata)
    assert np.array_equal(read_image(tmp_path / "b.tif"), SEEN[..., 0]) and orientation_of(tmp_path / "b.tif") == 1


class _Rows:
    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels, self.shape, self.dtype = pixels, (1, *pixels.shape), pixels.dtype

    def read(self, plane: int, rows: slice) -> np.ndarray:
        return self.pixels[rows]


def test_a_map_lies_as_its_rows_are_stored(tmp_path: Path) -> None:
    """Programs for maps do not mind the tag, and places on earth are counted along stored rows."""
    places = [(274, 3, 1, 3, True), (33550, 12, 3, (0.5, 0.5, 0.0), True)]
    tifffile.imwrite(tmp_path / "a.tif", SEEN, extratags=places)
    assert np.array_equal(read_image(tmp_path / "a.tif"), SEEN) and orientation_of(tmp_path / "a.tif") == 1


@pytest.mark.parametrize("body", [b"", b"MM\0*", b"II*\0\x08\0\0\0\xff\xff", b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x63"])
def test_exif_that_says_nothing(body: bytes, tmp_path: Path) -> None:
    data = png.encode(SEEN)
    chunk = len(body).to_bytes(4, "big") + b"eXIf" + body + zlib.crc32(b"eXIf" + body).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(data[:33] + chunk + data[33:])
    assert np.array_equal(read_image(tmp_path / "a.png"), SEEN)
    with open_image(tmp_path / "a.png") as source:
        assert np.array_equal(source.read(slice(0, 61), slice(0, 83)), SEEN.transpose(2, 0, 1))


@pytest.mark.parametrize("tile", ["1024", "32"])
@pytest.mark.parametrize("file", ["a.tif", "a.png"])
def test_masks_lie_on_what_is_seen(file: str, tile: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In memory and in tiles: masks have the bits of the image that is stored upright, and the command says that it turned it."""
    nx.manual_seed(0)
    model = nx.multiscale.UNet(3, 1, [4], final_activation="sigmoid").eval()
    nx.save(model, tmp_path / "m.nx")
    for folder, number in (("plain", 1), ("turned", 6)):
        (tmp_path / folder).mkdir()
        (tiff if file == "a.tif" else tagged_png)(tmp_path / folder / file, STORED[number](SEEN), number)
        words = ["predict", str(tmp_path / "m.nx"), str(tmp_path / folder), "--out", str(tmp_path / f"{folder} found"), "--tile", tile]
        assert main([*words, "--probabilities"]) == 0
        assert ("masks lie on it as it is shown, not as it is stored" in capsys.readouterr().err) == (number != 1)
    for name in ("a.png", "a.npy"):
        assert (tmp_path / "plain found" / name).read_bytes() == (tmp_path / "turned found" / name).read_bytes()
    assert np.array_equal(np.load(tmp_path / "turned found" / "a.npy")[0], nx.predict(model, SEEN))


def test_pairs_of_which_one_is_turned_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Image and mask are turned alike, or the command says which of them is not; a mask of the stored size does not fit."""
    nx.manual_seed(0)
    nx.save(nx.multiscale.UNet(3, 1, [4], final_activation="sigmoid").eval(), tmp_path / "m.nx")
    mask = np.uint8(SEEN[..., 0] > 128)
    for name in ("images", "both", "one", "stored"):
        (tmp_path / name).mkdir()
    tiff(tmp_path / "images" / "a.tif", STORED[3](SEEN), 3)
    tiff(tmp_path / "both" / "a.tif", STORED[3](mask), 3)
    (tmp_path / "one" / "a.png").write_bytes(png.encode(mask))
    image, found = ImageMaskFolder(tmp_path / "images", tmp_path / "both").stored(0)
    assert np.array_equal(image, SEEN.transpose(2, 0, 1)) and np.array_equal(found[0], mask)
    for masks, said in (("both", False), ("one", True)):
        for words in (["train", "--dry-run", "--out", str(tmp_path / "run")], ["eval", str(tmp_path / "m.nx")]):
            assert main([*words, str(tmp_path / "images"), str(tmp_path / masks)]) == 0
            err = capsys.readouterr().err
            assert ("a.tif is turned as its orientation tag says, and one/a.png is not so" in err) == said
