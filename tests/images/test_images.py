"""Files of every format: any window is what the whole image has there, nothing else is read, damage is named, what is written comes back."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from neurenix import png
from neurenix.errors import FileError, NeurenixError, ShapeError
from neurenix.images import Metadata, count_images, open_image
from neurenix.images.opening import read_image, write_image
from neurenix.images.pngs import PngSource

tifffile = pytest.importorskip("tifffile")
zarr = pytest.importorskip("zarr")
RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (211, 173, 3), np.uint8)
GREY = RNG.integers(0, 60000, (211, 173), np.uint16)


def whole(path: Path, image: int = 0, channels: int | None = None) -> np.ndarray:
    with open_image(path, image, channels) as source:
        return source.read(slice(0, source.shape[1]), slice(0, source.shape[2]))


def metadata(path: Path) -> Metadata:
    with open_image(path) as source:
        return source.metadata


WINDOWS = [(0, 211, 0, 173), (17, 90, 100, 173), (200, 211, 3, 4), (0, 5, 0, 5), (90, 150, 20, 160)]


def filtered(pixels: np.ndarray, path: Path) -> None:
    """A PNG whose rows use all filters, which our own writer does not."""
    image = pytest.importorskip("PIL.Image")
    image.fromarray(pixels).save(path)


def ome_zarr(path: Path, pixels: np.ndarray) -> None:
    group = zarr.open_group(str(path), mode="w", zarr_format=3)
    array = group.create_array("0", shape=pixels.shape, chunks=(1, 64, 64), dtype=pixels.dtype)
    array[:] = pixels
    scale = {"type": "scale", "scale": [1.0, 0.25, 0.5]}
    axes = [{"name": "c", "type": "channel"}, *({"name": n, "type": "space", "unit": "micrometer"} for n in "yx")]
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": [scale]}]}],
    }


CHW = np.ascontiguousarray(COLOUR.transpose(2, 0, 1))
FILES: dict[str, tuple[str, Callable[[Path], object], np.ndarray]] = {
    "npy, channels last": ("a.npy", lambda p: np.save(p, COLOUR), CHW),
    "npy, channels first": ("a.npy", lambda p: np.save(p, CHW.astype(np.float32)), CHW.astype(np.float32)),
    "npy, Fortran's order": ("a.npy", lambda p: np.save(p, np.asfortranarray(COLOUR)), CHW),
    "npy, grey, big end first": ("a.npy", lambda p: np.save(p, GREY.astype(">u2")), GREY[None]),
    "npy, grey, Fortran's order": ("a.npy", lambda p: np.save(p, np.asfortranarray(GREY)), GREY[None]),
    "png, no filters": ("a.png", lambda p: p.write_bytes(png.encode(COLOUR)), CHW),
    "png, all filters": ("a.png", lambda p: filtered(COLOUR, p), CHW),
    "png, 16 bits": ("a.png", lambda p: p.write_bytes(png.encode(GREY)), GREY[None]),
    "png, 1 bit": ("a.png", lambda p: filtered(GREY > 30000, p), (GREY > 30000)[None]),
    "tiff, one strip": ("a.tif", lambda p: tifffile.imwrite(p, COLOUR, rowsperstrip=211), CHW),
    "tiff, strips, deflated": ("a.tif", lambda p: tifffile.imwrite(p, COLOUR, rowsperstrip=10, compression="zlib", predictor=True), CHW),
    "tiff, tiles": ("a.tif", lambda p: tifffile.imwrite(p, COLOUR, tile=(64, 32), compression="zlib"), CHW),
    "tiff, tiles, LZW": ("a.tif", lambda p: tifffile.imwrite(p, COLOUR, tile=(64, 32), compression="lzw"), CHW),
    "tiff, strips, PackBits": ("a.tif", lambda p: tifffile.imwrite(p, GREY, rowsperstrip=7, compression="packbits"), GREY[None]),
    "tiff, tiles, big end first": ("a.tif", lambda p: tifffile.imwrite(p, GREY, tile=(64, 32), byteorder=">", bigtiff=True), GREY[None]),
    "tiff, one plane a channel": (
        "a.tif",
        lambda p: tifffile.imwrite(p, CHW, planarconfig="separate", photometric="rgb", rowsperstrip=9),
        CHW,
    ),
    "ome-tiff, a page a channel": (
        "a.ome.tif",
        lambda p: tifffile.imwrite(p, CHW, metadata={"axes": "CYX"}, photometric="minisblack", compression="zlib", tile=(64, 64)),
        CHW,
    ),
    "zarr": ("a.zarr", lambda p: zarr.save_array(str(p), GREY), GREY[None]),
    "ome-zarr": ("a.zarr", lambda p: ome_zarr(p, CHW), CHW),
}


@pytest.mark.parametrize("name", FILES)
def test_windows_are_the_images(name: str, tmp_path: Path) -> None:
    file, write, expected = FILES[name]
    write(tmp_path / file)
    assert count_images(tmp_path / file) == 1
    with open_image(tmp_path / file, channels=len(expected)) as source:
        assert (source.shape, source.dtype.newbyteorder("=")) == (expected.shape, expected.dtype)
        for top, bottom, left, right in [*WINDOWS, *WINDOWS[::-1]]:
            found = source.read(slice(top, bottom), slice(left, right))
            assert np.array_equal(found, expected[:, top:bottom, left:right])


@pytest.mark.parametrize("colours", ["rgb", "ycbcr"])
def test_jpegs_in_a_tiff_as_slides_have_them(colours: str, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", COLOUR, tile=(64, 64), compression="jpeg", photometric=colours)
    expected = tifffile.imread(tmp_path / "a.tif").transpose(2, 0, 1)
    assert np.array_equal(whole(tmp_path / "a.tif"), expected)
    with open_image(tmp_path / "a.tif") as source:
        assert np.array_equal(source.read(slice(60, 70), slice(100, 150)), expected[:, 60:70, 100:150])


def test_stacks_count_images_and_channels_do_not(tmp_path: Path) -> None:
    stack = RNG.integers(0, 256, (4, 3, 40, 50), np.uint8)
    tifffile.imwrite(tmp_path / "a.ome.tif", stack, metadata={"axes": "ZCYX"}, photometric="minisblack")
    tifffile.imwrite(tmp_path / "b.tif", stack[:, 0], photometric="minisblack")
    zarr.save_array(str(tmp_path / "c.zarr"), stack)
    for name, expected in (("a.ome.tif", stack), ("b.tif", stack[:, :1]), ("c.zarr", stack)):
        assert count_images(tmp_path / name) == 4
        for i in range(4):
            assert np.array_equal(whole(tmp_path / name, i), expected[i])


def test_a_pyramid_is_one_image(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(COLOUR, subifds=1, tile=(64, 64))
        writer.write(COLOUR[::2, ::2].copy(), subfiletype=1, tile=(64, 64))
    assert count_images(tmp_path / "a.tif") == 1
    assert np.array_equal(whole(tmp_path / "a.tif"), CHW)


def test_a_png_is_read_in_one_pass_with_a_band_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(png.encode(COLOUR))
    monkeypatch.setattr("neurenix.images.pngs._BLOCK", 1)
    source = PngSource(tmp_path / "a.png")
    begun = []
    monkeypatch.setattr(source, "_begin", lambda begin=source._begin: (begun.append(1), begin()))
    for top in range(0, 180, 20):
        for left in (0, 80):
            assert np.array_equal(source.read(slice(top, top + 30), slice(left, left + 90)), CHW[:, top : top + 30, left : left + 90])
        assert len(source._rows) < 60
    assert not begun
    source.read(slice(0, 1), slice(0, 1))
    source.close()
    assert begun


def test_grey_and_colour_become_one_another(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", COLOUR)
    with open_image(tmp_path / "a.npy", channels=1) as source:
        assert source.shape == (1, 211, 173)
        grey = np.rint(0.299 * CHW[0] + 0.587 * CHW[1] + 0.114 * CHW[2]).astype(np.uint8)
        assert np.array_equal(source.read(slice(7, 9), slice(11, 160))[0], grey[7:9, 11:160])
    np.save(tmp_path / "b.npy", GREY)
    assert np.array_equal(whole(tmp_path / "b.npy", channels=3), np.stack([GREY] * 3))
    with pytest.raises(ShapeError, match=r"expected 5 channels, got 1 in b.npy"):
        open_image(tmp_path / "b.npy", channels=5)


@pytest.mark.parametrize("name", [name for name in FILES if not FILES[name][0].endswith(".zarr")])  # a Zarr array is a folder
def test_damaged_files_are_named(name: str, tmp_path: Path) -> None:
    """Cut at any place, or with bytes turned over: an error that names the file, or pixels; never another exception."""
    file, write, _ = FILES[name]
    write(tmp_path / file)
    whole = (tmp_path / file).read_bytes()
    refused = 0
    for i in range(24):
        if i % 2:
            cut = whole[: len(whole) * i // 24]
        else:
            at = RNG.integers(0, min(len(whole), 400 if i % 4 else len(whole)))
            cut = whole[:at] + bytes([whole[at] ^ 0x5A]) + whole[at + 1 :]
        (tmp_path / file).write_bytes(cut)
        said = refusal(tmp_path / file)
        assert said is None or file in said
        refused += said is not None
    assert refused >= 10


def refusal(path: Path) -> str | None:
    """What reading a file's first images says."""
    try:
        for image in range(min(count_images(path), 2)):
            with open_image(path, image) as source:
                source.read(slice(0, min(source.shape[1], 300)), slice(0, min(source.shape[2], 300)))
    except NeurenixError as error:
        return str(error)
    return None


class Given:
    """Pixels (K, H, W) to write."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels, self.shape, self.dtype = pixels, pixels.shape, pixels.dtype

    def read(self, plane: int, rows: slice) -> np.ndarray:
        assert rows.stop - rows.start <= 1024
        return self.pixels[plane, rows]


@pytest.mark.parametrize("ending", ["npy", "tif", "zarr", "png"])
@pytest.mark.parametrize(
    "pixels",
    [GREY[None] > 30000, GREY[None].astype(np.int32), CHW.astype(np.float32), GREY[None].astype(np.uint8)],
    ids=["bool", "int", "float", "uint8"],
)
def test_what_is_written_comes_back_and_has_the_same_bytes_again(ending: str, pixels: np.ndarray, tmp_path: Path) -> None:
    if ending == "png" and pixels.dtype == np.float32:
        with pytest.raises(FileError, match="pass --format"):
            write_image(tmp_path / "a.png", Given(pixels), Metadata())
        return
    found = []
    for name in ("a", "b"):
        path = tmp_path / f"{name}.{ending}"
        write_image(path, Given(pixels), Metadata())
        files = sorted(p for p in ([path] if path.is_file() else path.rglob("*")) if p.is_file() and p.name != "zarr.json")
        found.append(hashlib.sha256(b"".join(p.read_bytes() for p in files)).hexdigest())
        back = whole(path)
        truth = pixels.astype(np.uint8) * 255 if pixels.dtype == bool and ending in ("tif", "png") else pixels
        assert np.array_equal(back, truth)
    assert found[0] == found[1]
    if ending == "npy":
        np.save(tmp_path / "c.npy", pixels if pixels.dtype.kind == "f" else pixels[0])
        assert (tmp_path / "c.npy").read_bytes() == (tmp_path / "a.npy").read_bytes()


def test_place_on_earth_and_pixel_size_are_carried_over(tmp_path: Path) -> None:
    place = (
        (33550, 12, 3, (0.5, 0.5, 0.0), True),
        (33922, 12, 6, (0.0, 0.0, 0.0, 300.0, 500.0, 0.0), True),
        (34735, 3, 4, (1, 1, 0, 0), True),
    )
    tifffile.imwrite(tmp_path / "a.tif", GREY, extratags=place, resolution=(300, 200), resolutionunit=3)
    mask = Given(GREY[None].astype(np.uint8))
    write_image(tmp_path / "out.tif", mask, metadata(tmp_path / "a.tif"))
    with tifffile.TiffFile(tmp_path / "a.tif") as before, tifffile.TiffFile(tmp_path / "out.tif") as after:
        for number in (33550, 33922, 34735, 282, 283, 296):
            assert after.pages[0].tags[number].value == before.pages[0].tags[number].value
    about = {"axes": "YX", "PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.5, "PhysicalSizeYUnit": "µm"}
    tifffile.imwrite(tmp_path / "b.ome.tif", GREY, metadata=about)
    ome_zarr(tmp_path / "c.zarr", CHW)
    assert metadata(tmp_path / "b.ome.tif")[1:3] == ((0.5, 0.25), "µm")
    assert metadata(tmp_path / "c.zarr")[1:3] == ((0.25, 0.5), "micrometer")
    for name in ("b.ome.tif", "c.zarr"):
        about = metadata(tmp_path / name)
        for ending in ("out.ome.tif", "out.zarr"):
            write_image(tmp_path / ending, mask, about)
            assert metadata(tmp_path / ending)[1:3] == about[1:3]


def test_inks_become_colours_and_photographs_stand_upright(tmp_path: Path) -> None:
    """As programs show them, and as masks are drawn."""
    image = pytest.importorskip("PIL.Image")
    inks = np.random.default_rng(0).integers(0, 256, (20, 30, 4), np.uint8)
    want = np.asarray(image.fromarray(inks, "CMYK").convert("RGB")).astype(int)
    for name, settings in (("plain", {}), ("packed", {"compression": "zlib", "tile": (16, 16)})):
        tifffile.imwrite(tmp_path / f"{name}.tif", inks, photometric="separated", **settings)
        with open_image(tmp_path / f"{name}.tif") as source:
            assert source.shape == (3, 20, 30)
            got = source.read(slice(3, 17), slice(5, 30))
        assert np.abs(got.transpose(1, 2, 0) - want[3:17, 5:30]).max() <= 1
    seen = np.add.outer(np.arange(16) * 8, np.arange(24) * 4).astype(np.uint8)
    turned = image.Exif()
    turned[0x0112] = 6  # a quarter turn to the right shows it
    image.fromarray(np.rot90(seen)).save(tmp_path / "a.jpg", quality=100, exif=turned)
    with open_image(tmp_path / "a.jpg", channels=1) as source:
        assert source.shape == (1, 16, 24)
        assert np.abs(source.read(slice(0, 16), slice(0, 24))[0].astype(int) - seen).max() < 6
    image.fromarray(inks, "CMYK").save(tmp_path / "inks.jpg", quality=100)
    with open_image(tmp_path / "inks.jpg") as source:
        assert source.shape == (3, 20, 30)


def test_what_is_no_file_is_named_and_nothing_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    os.mkfifo(tmp_path / "pipe.tif")
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "gone.npy").symlink_to("nowhere")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file.zarr").write_text("no folder")
    said = {
        "pipe.png": "it is a pipe or a device",
        "pipe.tif": "it is a pipe or a device",
        "loop.png": "symbolic links",
        "gone.npy": "which is not there",
        "folder.png": "it is a folder",
        "file.zarr": "it is a file and no folder",
    }
    for name, text in said.items():
        for opened in (open_image, read_image):
            with pytest.raises(FileError, match=f"{name}.*{text}"):
                opened(tmp_path / name)
    with pytest.raises(FileError, match="it is a pipe"):
        count_images(tmp_path / "pipe.tif")


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's rights, to whom nothing is forbidden."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((3, 4)))
    open_image(path).close()  # what reads it is imported
    path.chmod(0)
    with as_nobody(), pytest.raises(FileError, match=r"a\.npy.*Permission denied"):
        open_image(path)


def test_headers_that_promise_more_than_a_file_can_hold_take_no_memory(tmp_path: Path) -> None:
    body = bytearray(png.encode(np.zeros((4, 4, 3), np.uint8)))
    body[16:24] = (2**31 - 1).to_bytes(4, "big") * 2
    body[29:33] = zlib.crc32(body[12:29]).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(body)
    with pytest.raises(FileError, match="more than can be packed"):
        open_image(tmp_path / "a.png")
    with (tmp_path / "b.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (1 << 40, 1 << 40)})
    with pytest.raises(FileError, match="shorter than its header says"):
        open_image(tmp_path / "b.npy")


def test_a_size_that_the_file_has_no_data_for_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY, compression="zlib", rowsperstrip=50)
    damaged = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        tag = file.pages[0].tags["ImageLength"]
    damaged[tag.valueoffset : tag.valueoffset + 2] = (60000).to_bytes(2, "little")
    path.write_bytes(damaged)
    with pytest.raises(FileError, match=r"a\.tif.*it lists 5 of the 1200 strips or tiles"):
        read_image(path)
