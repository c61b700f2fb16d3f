"""The file format: safetensors, which other libraries read and write too.

Eight bytes give the length of a JSON header; the header gives each tensor's type, shape and place; the bytes follow. Nothing
in a file is believed before it is checked, and nothing is allocated that the file's own size does not justify.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from neurenix.errors import FileError

HostArray = np.ndarray[Any, Any]
_NAMES: Final = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32", "int16": "I16",
    "int8": "I8", "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip
STORED: Final = frozenset(_NAMES)
_TYPES: Final = {code: name for name, code in _NAMES.items()}
_LONGEST_HEADER: Final = 100_000_000
_CHECKSUM: Final = "neurenix.checksum"
_CONVERT: Final = (
    "no pickle is read here; convert it once where PyTorch is: "
    "safetensors.torch.save_file(torch.load(path, weights_only=True), 'weights.safetensors')"
)
_STARTS: Final = {
    b"PK\x03\x04": "a zip file (PyTorch's format holds pickles)", b"\x80\x02": "a pickle", b"\x80\x04": "a pickle", b"\x80\x05": "a pickle",
    b"\x89PNG": "a PNG image", b"\x89HDF": "an HDF5 file", b"\x93NUMPY": "a NumPy file", b"II*\x00": "a TIFF image",
}  # fmt: skip


class Entry(NamedTuple):
    """Where a tensor lies in a file, counted from the end of the header; bfloat16 as the 16 bits that it is."""

    code: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int
    end: int


class Header(NamedTuple):
    """What a file holds."""

    entries: dict[str, Entry]
    metadata: dict[str, str]
    size: int  # of the eight bytes and the header


def write(path: str | os.PathLike[str], arrays: Mapping[str, HostArray], metadata: Mapping[str, str]) -> None:
    """Write a file beside its place, sync it, and move it there: at no time is there half a file under ``path``."""
    order = sorted(arrays, key=lambda name: -arrays[name].itemsize)  # so that every tensor is aligned
    dense = {name: np.ascontiguousarray(arrays[name]).reshape(arrays[name].shape) for name in order}
    entries: dict[str, Any] = {}
    start = 0
    checksum = 0
    for name, array in dense.items():
        entries[name] = {"dtype": _NAMES[str(array.dtype)], "shape": list(array.shape), "data_offsets": [start, start + array.nbytes]}
        start += array.nbytes
        checksum = zlib.crc32(_bytes(array), checksum)
    texts = dict(metadata)
    texts[_CHECKSUM] = f"{_header_sum(entries, texts, checksum):08x}"
    header = json.dumps({"__metadata__": texts, **entries}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{os.urandom(8).hex()}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(len(header).to_bytes(8, "little"))
            file.write(header)
            for array in dense.values():
                file.write(_bytes(array))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def _bytes(array: HostArray) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _header_sum(entries: Mapping[str, Any], metadata: Mapping[str, str], data_sum: int) -> int:
    text = json.dumps([entries, {k: v for k, v in metadata.items() if k != _CHECKSUM}], sort_keys=True, separators=(",", ":"))
    return zlib.crc32(text.encode(), data_sum)


class Reader:
    """An open file whose header has been checked.

    Raises
    ------
    FileError
        If it is not a safetensors file, or one that was cut or damaged.
    """

    def __init__(self, file: BufferedReader, name: str) -> None:
        self._file, self._name = file, name
        size = os.fstat(file.fileno()).st_size
        self.header = self._checked(size, self._read_header(size))

    def fail(self, got: str, advice: str = "save it again") -> FileError:
        """Make the error for this file."""
        return FileError(f"load: expected a safetensors file, got {got} in {self._name}; {advice}")

    def _read_header(self, size: int) -> tuple[dict[str, Any], int]:
        start = self._file.read(8)
        length = int.from_bytes(start, "little")
        if len(start) < 8 or length < 2 or length > min(size - 8, _LONGEST_HEADER):
            for magic, what in _STARTS.items():  # asked only now: a header of 1152 bytes begins like a pickle
                if start.startswith(magic):
                    raise self.fail(what, _CONVERT if "pickle" in what else "save weights of other libraries with the safetensors package")
            raise self.fail(f"{size} bytes that begin with {start!r}", "the file is cut, or of another format")
        try:
            header = json.loads(self._file.read(length).decode("utf-8"), object_pairs_hook=_no_twins)
        except (ValueError, RecursionError) as error:
            raise self.fail(f"a header that is not JSON ({error})", "the file is damaged, or of another format") from None
        if not isinstance(header, dict):
            raise self.fail("a header that is not a JSON object", "the file is damaged, or of another format")
        return header, 8 + length

    def _checked(self, size: int, raw: tuple[dict[str, Any], int]) -> Header:
        fields, length = raw
        metadata = fields.pop("__metadata__", {})
        if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
            raise self.fail("metadata that is not a mapping of texts", "the file is damaged")
        entries = {name: self._entry(name, value) for name, value in fields.items()}
        place = 0
        for name, entry in sorted(entries.items(), key=lambda pair: (pair[1].start, pair[1].end)):
            if entry.start != place:
                raise self.fail(f"tensor {name!r} at byte {entry.start} where {place} is next", "the file is damaged")
            place = entry.end
        if place != size - length:
            raise self.fail(f"{size - length} bytes of data where the header has {place}", "the file is cut or damaged")
        return Header(entries, metadata, length)

    def _entry(self, name: str, value: Any) -> Entry:
        try:
            code, shape, (start, end) = value["dtype"], value["shape"], value["data_offsets"]
            sizes = [*shape, start, end]
            fits = isinstance(shape, list) and len(value) == 3 and all(type(s) is int and s >= 0 for s in sizes) and len(shape) <= 32
        except (KeyError, TypeError, ValueError):
            fits = False
        if not fits:
            raise self.fail(f"{str(value)[:80]} for tensor {name!r}", "the file is damaged")
        dtype = _dtype(code)
        if dtype is None:
            raise self.fail(f"element type {code!r} for tensor {name!r}", "convert it to a type of NumPy")
        countless = 0 in shape and math.prod(s or 1 for s in shape) * dtype.itemsize >= 1 << 63  # no bytes, too many for NumPy
        if math.prod(shape) * dtype.itemsize != end - start or countless:
            raise self.fail(f"{end - start} bytes for tensor {name!r} of shape {shape}", "the file is damaged")
        return Entry(code, dtype, tuple(shape), start, end)

    def verify(self) -> None:
        """Compare every byte with the checksum in the metadata; do nothing for other libraries' files, which have none."""
        metadata = self.header.metadata
        if _CHECKSUM not in metadata and "neurenix" not in str(metadata):
            return
        self._file.seek(self.header.size)
        checksum = 0
        while block := self._file.read(1 << 22):
            checksum = zlib.crc32(block, checksum)
        entries = {n: {"dtype": e.code, "shape": list(e.shape), "data_offsets": [e.start, e.end]} for n, e in self.header.entries.items()}
        if metadata.get(_CHECKSUM) != f"{_header_sum(entries, metadata, checksum):08x}":
            raise self.fail("bytes that do not fit their checksum", "the file is damaged")

    def array(self, name: str) -> HostArray:
        """Read one tensor into new memory, bfloat16 as the same numbers in float32."""
        entry = self.header.entries[name]
        array = np.empty(entry.shape, entry.dtype)
        self._file.seek(self.header.size + entry.start)
        if self._file.readinto(_bytes(array)) != array.nbytes:
            raise self.fail(f"an end within tensor {name!r}", "the file was cut while it was read")
        return (array.astype(np.uint32) << 16).view(np.float32) if entry.code == "BF16" else array


def _dtype(code: Any) -> np.dtype[Any] | None:
    name = _TYPES.get(code) if isinstance(code, str) else None
    return None if name is None else np.dtype("uint16" if name == "bfloat16" else name)


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")
    return found
