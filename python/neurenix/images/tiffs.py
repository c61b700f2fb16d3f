"""TIFF, BigTIFF, OME-TIFF and GeoTIFF through tifffile: the strips and tiles under a window are read, and no others."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from neurenix.errors import NeurenixError
from neurenix.images import axes as named
from neurenix.images.source import Array, Held, Metadata, Rows, Source, read_box, unreadable
from neurenix.images.turning import Turned
from neurenix.optional import has, load
from neurenix.picture import pillow
from neurenix.png import ORIENTATION

_KEPT = 1 << 27  # bytes of decoded strips and tiles that are kept for the next window
_TILE = 256  # pixels of a written tile's side
# ModelPixelScale, ModelTiepoint, ModelTransformation, GeoKeyDirectory, GeoDoubleParams, GeoAsciiParams, GDAL's own two
_PLACES = (33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113)
_JPEG = (6, 7, 34892, 33007)  # compressions whose tables may stand beside the pixels
_SEPARATED = 5  # the photometric interpretation of inks
_WITHOUT_IMAGECODECS = "imagecodecs"


def tifffile(path: Path) -> Any:
    """The package.

    Raises
    ------
    BackendUnavailableError
        If it is not installed.
    """
    return load("tifffile", path.name, "tiff")


def _series(file: Any) -> list[Any]:
    """The series that are images: not a pyramid's smaller levels, nor a slide's label."""
    whole = [s for s in file.series if not s.keyframe.is_reduced]
    return whole[:1] if any(getattr(file, f"is_{kind}") for kind in ("svs", "ndpi", "scn", "bif", "philips")) else whole


def count_tiff(path: Path) -> int:
    """How many images a file holds: pages of a stack, but neither channels nor smaller levels.

    Raises
    ------
    FileError
        If it cannot be read.
    """
    package = tifffile(path)
    try:
        with package.TiffFile(path) as file:
            return sum(named.count(s.axes, s.shape, path) for s in _series(file))
    except NeurenixError:
        raise
    except Exception as error:  # readers fail in ways of their own at damaged files
        raise unreadable(path, error) from error


def count_by_pillow(path: Path) -> int:
    """The same without tifffile: pages.

    Raises
    ------
    FileError
        If it cannot be read.
    """
    try:
        with pillow(f"reading {path.name}").open(path) as picture:
            return int(getattr(picture, "n_frames", 1))
    except NeurenixError:
        raise
    except Exception as error:  # as above
        raise unreadable(path, error) from error


def read_by_pillow(path: Path, image: int) -> Array:
    """A page, (H, W) or (H, W, C), in memory; Pillow turns it as it is to be shown.

    Raises
    ------
    FileError
        If it cannot be read.
    """
    try:
        # By its name, Pillow would map pixels that lie in one piece into memory, and take their rows for columns where they are turned.
        with path.open("rb") as file, pillow(f"reading {path.name} (or imagecodecs)").open(file) as picture:
            picture.seek(image)
            return np.asarray(picture)
    except NeurenixError:
        raise
    except Exception as error:  # as above
        raise unreadable(path, error) from error


def open_tiff(path: Path, image: int) -> Source:
    """Image number ``image`` of a file.

    Raises
    ------
    FileError
        If it cannot be read.
    """
    package = tifffile(path)
    file = None
    try:
        file = package.TiffFile(path)
        for series in _series(file):
            here = named.count(series.axes, series.shape, path)
            if image < here:
                source = TiffSource(path, file, series, image)
                turned = 1 if source.is_upright else orientation(series.keyframe)
                return source if turned == 1 else Turned(source, turned)
            image -= here
        raise IndexError(f"no image number {image}")
    except Exception as error:  # as above
        if file is not None:
            file.close()
        if isinstance(error, NeurenixError):
            raise
        raise unreadable(path, error) from error


def orientation(page: Any) -> int:
    """How a page is to be turned to be shown, from 1 (as it is) to 8.

    One that says where it lies on earth stays as it is, as programs for maps take it.
    """
    found = int(page.tags.valueof(ORIENTATION, default=1))
    return found if 2 <= found <= 8 and not any(number in page.tags for number in _PLACES) else 1


def orientation_of(path: Path) -> int:
    """That of a file's first image.

    Raises
    ------
    FileError
        If it cannot be read.
    """
    try:
        if has("tifffile"):
            with tifffile(path).TiffFile(path) as file:
                return orientation(_series(file)[0].keyframe)
        with pillow(f"reading {path.name}").open(path) as picture:
            return int(picture.tag_v2.get(ORIENTATION, 1))
    except NeurenixError:
        raise
    except Exception as error:  # as above
        raise unreadable(path, error) from error


class TiffSource(Source):
    """One image of a TIFF.

    Parameters
    ----------
    path : path
    file, series
        Opened by tifffile.
    image : int
        Which along the series' axes other than rows, columns and channels.
    """

    def __init__(self, path: Path, file: Any, series: Any, image: int) -> None:
        self._tiff = file
        inside = series.keyframe.axes
        leading = series.axes[: len(series.axes) - len(inside)]
        held = int(np.prod(series.shape[: len(leading)], dtype=np.int64))
        self._held: Held | None = None
        self.is_upright = False  # whether what decoded it has turned it
        if series.axes[len(leading) :] != inside or held != len(series.pages) or series.keyframe.imagedepth != 1 or _needs_pillow(series):
            self.is_upright = _needs_pillow(series)
            self._held = Held(path, _whole(path, series, image))
            shape, dtype = self._held.shape, self._held.dtype
        else:
            at = named.place(series.axes, series.shape, path, image)
            numbers = np.arange(held).reshape(series.shape[: len(leading)])
            pages = numbers[tuple(at.get(a, slice(None)) for a in leading)].ravel()
            self._planes = [_Plane(series.pages[int(i)].aspage(), series.keyframe) for i in pages]
            each = series.keyframe.samplesperpixel
            shape = (len(pages) * each, series.keyframe.imagelength, series.keyframe.imagewidth)
            dtype = series.keyframe.dtype
        self._inks = int(series.keyframe.photometric) == _SEPARATED and shape[0] == 4 and dtype.kind == "u"
        shape = (3, *shape[1:]) if self._inks else shape
        super().__init__(path, shape, dtype, _metadata(file, series))

    def read(self, rows: slice, columns: slice) -> Array:
        """As :meth:`Source.read`; inks (CMYK) as RGB."""
        found = self._read(rows, columns)
        return _colours(found) if self._inks else found

    def _read(self, rows: slice, columns: slice) -> Array:
        if self._held is not None:
            return self._held.read(rows, columns)
        try:
            return np.concatenate([plane.read(rows, columns) for plane in self._planes])
        except NeurenixError:
            raise
        except Exception as error:  # as above
            raise unreadable(self.path, error) from error

    def held_bytes(self, rows: int) -> int:
        """As :meth:`Source.held_bytes`."""
        return _KEPT if self._held is None else self._held.held_bytes(rows)

    def close(self) -> None:
        """As :meth:`Source.close`."""
        self._tiff.close()


def _needs_pillow(series: Any) -> bool:
    """Whether tifffile alone cannot decode the pages here."""
    page = series.keyframe
    if page.compression == 1:
        return False
    index = next((i for i, n in enumerate(page.databytecounts) if n), None)
    if index is None:
        return False
    try:
        _decoded(page, page, index)
    except ValueError as error:
        if _WITHOUT_IMAGECODECS in str(error):
            return True
        raise
    return False


def _decoded(page: Any, key: Any, index: int) -> tuple[Any, Any, Any]:
    """A page's strip or tile by number, as tifffile decodes it: pixels, place, shape."""
    decode, file = key.decode, key.parent.filehandle  # making the decoder reads the file: before its place is set
    file.seek(page.dataoffsets[index])
    more = {"jpegtables": page.jpegtables, "jpegheader": key.jpegheader} if key.compression in _JPEG else {}
    found: tuple[Any, Any, Any] = decode(file.read(page.databytecounts[index]), index, **more)
    return found


def _whole(path: Path, series: Any, image: int) -> Array:
    """An image that cannot be read in parts, (H, W) or (H, W, C)."""
    if _needs_pillow(series):
        return read_by_pillow(path, image)
    at = named.place(series.axes, series.shape, path, image)
    pixels = np.asarray(series.asarray())[tuple(at.get(a, slice(None)) for a in series.axes)]
    return named.ordered(pixels, "".join(a for a in series.axes if a not in at)).transpose(1, 2, 0)


def _colours(inks: Array) -> Array:
    """Cyan, magenta, yellow and black (4, h, w) as red, green and blue: light that passes colour and black."""
    most = np.iinfo(inks.dtype).max
    passed = (most - inks).astype(np.float64)
    return np.rint(passed[:3] * passed[3:] / most).astype(inks.dtype)


class _Plane:
    """The pixels of one page."""

    def __init__(self, page: Any, key: Any) -> None:
        self._page, self._key, self._file = page, key, key.parent.filehandle
        self._samples, _, self._height, self._width, self._packed = key.shaped  # planes, depth, rows, columns, numbers a pixel
        self._plain = page.is_memmappable
        self._dtype = key.dtype
        self._tile = (key.tilelength, key.tilewidth) if key.is_tiled else (min(key.rowsperstrip, self._height), self._width)
        self._across, self._down = -(-self._width // self._tile[1]), -(-self._height // self._tile[0])
        self._kept: OrderedDict[int, Array | None] = OrderedDict()
        have, wanted = min(len(page.dataoffsets), len(page.databytecounts)), self._samples * self._down * self._across
        if not self._plain and have < wanted:  # where one is left out its place is listed too, as 0
            raise ValueError(f"it lists {have} of the {wanted} strips or tiles that its size takes")

    def read(self, rows: slice, columns: slice) -> Array:
        """Pixels (C, h, w)."""
        if self._plain:
            stored = self._dtype.newbyteorder(self._page.parent.byteorder)
            shape = (self._samples, self._height, self._width, self._packed)
            box = (slice(0, self._samples), rows, columns, slice(0, self._packed))
            found = read_box(self._file.fileno(), self._page.dataoffsets[0], shape, stored, box).astype(self._dtype)
        else:
            size = (self._samples, rows.stop - rows.start, columns.stop - columns.start, self._packed)
            found = np.zeros(size, self._dtype)
            for sample, down, across in self._under(rows, columns):
                segment = self._segment((sample * self._down + down) * self._across + across)
                if segment is not None:
                    self._copy(segment, found[sample], down, across, rows, columns)
        return np.ascontiguousarray(found.transpose(0, 3, 1, 2).reshape(-1, *found.shape[1:3]))

    def _under(self, rows: slice, columns: slice) -> Iterator[tuple[int, int, int]]:
        height, width = self._tile
        for sample in range(self._samples):
            for down in range(rows.start // height, -(-rows.stop // height)):
                for across in range(columns.start // width, -(-columns.stop // width)):
                    yield sample, down, across

    def _segment(self, index: int) -> Array | None:
        """A decoded strip or tile, (h, w, numbers a pixel); ``None`` where the file leaves it out."""
        if index in self._kept:
            self._kept.move_to_end(index)
            return self._kept[index]
        page, found = self._page, None
        if page.databytecounts[index]:
            decoded, _, shape = _decoded(page, self._key, index)
            found = None if decoded is None else np.asarray(decoded)[0, : shape[1], : shape[2]]
        self._kept[index] = found
        while len(self._kept) > 1 and sum(s.nbytes for s in self._kept.values() if s is not None) > _KEPT:
            self._kept.popitem(last=False)
        return found

    def _copy(self, segment: Array, into: Array, down: int, across: int, rows: slice, columns: slice) -> None:
        """What of a segment lies in the window."""
        top, left = down * self._tile[0], across * self._tile[1]
        first, last = max(top, rows.start), min(top + segment.shape[0], rows.stop)
        begin, end = max(left, columns.start), min(left + segment.shape[1], columns.stop)
        part = segment[first - top : last - top, begin - left : end - left]
        into[first - rows.start : last - rows.start, begin - columns.start : end - columns.start] = part


def _metadata(file: Any, series: Any) -> Metadata:
    page = series.keyframe
    found = [page.tags.get(number) for number in _PLACES]
    tags = tuple((t.code, int(t.dtype), t.count, t.value) for t in found if t is not None)
    resolution = (page.tags.valueof(282), page.tags.valueof(283), int(page.tags.valueof(296, default=1)))
    size, unit = _physical(file)
    return Metadata(series.axes, size, unit, tags, resolution if resolution[0] and resolution[1] else None)


def _physical(file: Any) -> tuple[tuple[float, float] | None, str]:
    """An OME-TIFF's pixel size."""
    if not file.is_ome:
        return None, ""
    images = tifffile(Path(file.filename)).xml2dict(file.ome_metadata).get("OME", {}).get("Image", {})
    pixels = (images[0] if isinstance(images, list) else images).get("Pixels", {})
    if "PhysicalSizeX" not in pixels or "PhysicalSizeY" not in pixels:
        return None, ""
    return (float(pixels["PhysicalSizeY"]), float(pixels["PhysicalSizeX"])), str(pixels.get("PhysicalSizeXUnit", "µm"))


def write_tiff(path: Path, pixels: Rows, metadata: Metadata) -> None:
    """Write pixels (K, H, W), one page each, in tiles, with pixel size and place on earth of the image that they were made from.

    The file is a BigTIFF where it needs to be, and an OME-TIFF where the image was one.
    """
    planes, height, width = pixels.shape
    settings: dict[str, Any] = {"shape": (planes, height, width) if planes > 1 else (height, width), "photometric": "minisblack"}
    settings |= {"dtype": np.uint8 if pixels.dtype == bool else pixels.dtype, "compression": "zlib", "compressionargs": {"level": 6}}
    settings |= {"tile": (_TILE, _TILE), "software": "neurenix", "extratags": [(*tag, True) for tag in metadata.tags]}
    if metadata.resolution is not None:
        x, y, unit = metadata.resolution
        settings |= {"resolution": (x, y), "resolutionunit": unit}
    described: dict[str, Any] = {"axes": "CYX" if planes > 1 else "YX"}
    if metadata.pixel_size is not None:
        rows, columns = metadata.pixel_size
        described |= {"PhysicalSizeX": columns, "PhysicalSizeXUnit": metadata.unit}
        described |= {"PhysicalSizeY": rows, "PhysicalSizeYUnit": metadata.unit}
    big = planes * height * width * pixels.dtype.itemsize > 1 << 31
    ome = metadata.pixel_size is not None
    with tifffile(path).TiffWriter(path, bigtiff=big, ome=ome) as writer:
        writer.write(_tiles(pixels), metadata=described if ome or planes > 1 else None, **settings)


def _tiles(pixels: Rows) -> Iterator[Array]:
    planes, height, width = pixels.shape
    for plane in range(planes):
        for top in range(0, height, _TILE):
            band = pixels.read(plane, slice(top, min(top + _TILE, height)))
            band = band.astype(np.uint8) * np.uint8(255) if band.dtype == bool else band
            for left in range(0, width, _TILE):
                yield np.ascontiguousarray(band[:, left : left + _TILE])
