"""NumPy's files: windows read without a memory map, rows written in place."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from neurenix.errors import ShapeError
from neurenix.images.source import Array, Metadata, Rows, Source, read_box, unreadable

BAND = 1 << 22  # bytes of a plane's rows that are in memory at once


class NpySource(Source):
    """An array (H, W), (H, W, C) or (C, H, W) in a ``.npy`` file.

    Parameters
    ----------
    path : path
    channels : int, optional
        How many there are, which tells the last two forms apart; the shorter of the first and last axis otherwise.
    """

    def __init__(self, path: Path, channels: int | None = None) -> None:
        self._file = os.open(path, os.O_RDONLY)
        try:
            shape, fortran, dtype, self._offset = _header(path)
            if len(shape) not in (2, 3):
                raise ShapeError(f"open_image: expected (H, W), (H, W, C) or (C, H, W), got shape {shape} in {path.name}; store one image")
            self._axes = axes_of(shape, channels)
            self._order = self._axes[::-1] if fortran else self._axes  # as the bytes lie
            self._stored = shape[::-1] if fortran else shape
            sizes = dict(zip(self._axes, shape, strict=True))
            super().__init__(path, (sizes.get("C", 1), sizes["Y"], sizes["X"]), dtype, Metadata(self._axes))
            if os.fstat(self._file).st_size < self._offset + math.prod(shape) * dtype.itemsize:
                raise unreadable(path, "it is shorter than its header says")
        except BaseException:
            self.close()
            raise

    def read(self, rows: slice, columns: slice) -> Array:
        """As :meth:`Source.read`."""
        part = {"C": slice(0, self.shape[0]), "Y": rows, "X": columns}
        try:
            found = read_box(self._file, self._offset, self._stored, self.dtype, tuple(part[a] for a in self._order))
        except (EOFError, OSError) as error:
            raise unreadable(self.path, error) from error
        if "C" not in self._order:
            return (found if self._order == "YX" else found.T)[None]
        return np.ascontiguousarray(found.transpose([self._order.index(a) for a in "CYX"]))

    def close(self) -> None:
        """As :meth:`Source.close`."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _header(path: Path) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    with path.open("rb") as file:
        try:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read(file)
        except Exception as error:  # a header is Python's syntax, and fails in its ways
            raise unreadable(path, error) from error
        return shape, fortran, dtype, file.tell()


def axes_of(shape: tuple[int, ...], channels: int | None = None) -> str:
    """Which of an array's axes are channels, rows and columns: the shorter of the first and last one is the channels', unless their number is known."""
    if len(shape) == 2:
        return "YX"
    if channels in (shape[0], shape[-1]):
        return "YXC" if shape[-1] == channels else "CYX"
    return "CYX" if shape[0] < shape[-1] else "YXC"


def write_npy(path: Path, pixels: Rows) -> None:
    """Write pixels (K, H, W) as an array of that shape, or (H, W) where K is 1 and they are no floats: a mask."""
    planes, height, width = pixels.shape
    shape = (height, width) if planes == 1 and pixels.dtype.kind != "f" else pixels.shape
    step = max(1, BAND // (width * pixels.dtype.itemsize))
    with path.open("wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(pixels.dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for plane in range(planes):
            for start in range(0, height, step):
                file.write(np.ascontiguousarray(pixels.read(plane, slice(start, min(start + step, height)))).data)


def unpack(path: Path, source: Source) -> None:
    """Write an image's pixels as an array (H, W, C), read once from the first row to the last."""
    channels, height, width = source.shape
    step = max(1, BAND // (width * channels * source.dtype.itemsize))
    with path.open("wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(source.dtype), "fortran_order": False, "shape": (height, width, channels)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, height, step):
            rows = source.read(slice(start, min(start + step, height)), slice(0, width))
            file.write(np.ascontiguousarray(rows.transpose(1, 2, 0)).data)


class Unpacked(NpySource):
    """An image whose pixels were unpacked to another file.

    Parameters
    ----------
    path : path
        What :func:`unpack` wrote.
    source : Source
    """

    def __init__(self, path: Path, source: Source) -> None:
        super().__init__(path, source.shape[0])
        self.path, self.metadata = source.path, source.metadata
