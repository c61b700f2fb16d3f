"""NumPy's ``.npz`` files: a zip of one ``.npy`` file an array. No pickle is read."""

from __future__ import annotations

import math
import tokenize
import zlib
from io import BufferedReader
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.lib import format as npy

from neurenix.errors import FileError

if TYPE_CHECKING:
    import zipfile

HostArray = np.ndarray[Any, Any]
_MOST_INFLATED: Final = 1100  # deflate makes at most 1032 bytes of one
_ADVICE: Final = "write it with np.savez(path, **arrays)"


def is_npz(file: BufferedReader) -> bool:
    """Whether an open file is a zip whose members are all ``.npy`` files; leaves it at its start."""
    import zipfile

    found = file.read(4) == b"PK\x03\x04"
    file.seek(0)
    if found:
        try:
            with zipfile.ZipFile(file) as archive:
                names = archive.namelist()
            found = bool(names) and all(name.endswith(".npy") for name in names)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError):
            found = False
        file.seek(0)
    return found


def read(file: BufferedReader, path: str) -> dict[str, HostArray]:
    """All arrays by name; none is allocated that the file's own size does not justify.

    Raises
    ------
    FileError
        If the file is cut or damaged, or holds objects.
    """
    import zipfile

    try:
        with zipfile.ZipFile(file) as archive:
            return {info.filename.removesuffix(".npy"): _member(archive, info) for info in archive.infolist()}
    except FileError as error:
        raise FileError(f"load: expected arrays of numbers, got {error} in {path}; {_ADVICE}") from None
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise FileError(f"load: expected an .npz file, got one that cannot be read ({error}) in {path}; {_ADVICE}") from None


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> HostArray:
    with archive.open(info) as member:
        shape, fortran, dtype = _header(member)
        if dtype.hasobject or dtype.kind not in "biuf":
            raise FileError(f"elements of type {dtype} for {info.filename!r}")
        size = math.prod(shape) * dtype.itemsize
        if size > info.file_size or info.file_size > _MOST_INFLATED * max(info.compress_size, 1):
            raise FileError(f"{info.compress_size} bytes for {info.filename!r} of shape {shape}")
        array = np.empty(math.prod(shape), dtype)
        block = member.read(size)
        if len(block) != size or member.read(1):
            raise FileError(f"{len(block)} bytes for {info.filename!r} of shape {shape}")
        array.view(np.uint8).reshape(-1)[:] = np.frombuffer(block, np.uint8)
        return array.reshape(shape[::-1]).transpose() if fortran else array.reshape(shape)


def _header(member: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        version = npy.read_magic(member)
        return (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(member)
    except (ValueError, TypeError, SyntaxError, tokenize.TokenError) as error:
        raise FileError(f"a header that is none ({error})") from None
