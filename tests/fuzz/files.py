"""Fuzzing ``nx.load``: model files with bytes, header or metadata changed, their checksum made right again half of the time."""

from __future__ import annotations

import copy
import json
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from fuzz.binding import Random, pick

import neurenix as nx
from neurenix import nn
from neurenix.errors import NeurenixError
from neurenix.multiscale import UNet
from neurenix.serialization.safetensors import _header_sum

VALUES = (
    0,
    -1,
    2**31,
    2**62,
    10**30,
    1.5,
    float("inf"),
    True,
    None,
    "",
    "F32",
    "x" * 300,
    [],
    {},
    [[]],
    {"a": 1},
    "\ud800",
    "../../x",
    [2**40] * 3,
)


def seeds() -> list[bytes]:
    """Small files of every kind that ``nx.save`` writes."""
    things = [
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU()),
        UNet(1, 1, [2, 4]),
        {"a": np.arange(6.0).reshape(2, 3), "b": [1, 2.5, "text", None, True], "c": {"d": np.zeros((0, 3), np.int64)}},
        nn.Linear(3, 2).state_dict(),
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seed.nx"
        found = []
        for thing in things:
            nx.save(thing, path)
            found.append(path.read_bytes())
    return found


def changed_bytes(data: bytes, rng: Random) -> bytes:
    """Some bytes flipped, cut, doubled or overwritten."""
    array = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        way, at = pick(rng, ("flip", "cut", "insert", "number", "repeat")), int(rng.integers(max(len(array), 1)))
        if way == "flip" and array:
            array[at] ^= 1 << int(rng.integers(8))
        elif way == "cut":
            del array[at : at + int(rng.integers(1, 40))]
        elif way == "insert":
            array[at:at] = rng.bytes(int(rng.integers(1, 9)))
        elif way == "number":
            array[at : at + 8] = int(pick(rng, (0, 1, 2**31, 2**32 - 1, 2**63 - 1))).to_bytes(8, pick(rng, ("little", "big")))
        else:
            array[at:at] = array[at : at + int(rng.integers(1, 200))]
    return bytes(array)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(p for key, v in inner for p in places(v, (*path, key)))]


def changed_json(value: Any, rng: Random) -> Any:
    """One value inside replaced, removed or doubled."""
    path = pick(rng, places(value))
    if not path:
        return copy.deepcopy(pick(rng, VALUES))
    holder = value
    for key in path[:-1]:
        holder = holder[key]
    way = pick(rng, ("replace", "remove", "rename", "swap", "near"))
    if way == "remove":
        del holder[path[-1]]
    elif way == "rename" and isinstance(holder, dict):
        holder[pick(rng, ("", "weight", "0.weight", "class", "x" * 50))] = holder.pop(path[-1])
    elif way == "swap":
        other = pick(rng, list(holder) if isinstance(holder, dict) else range(len(holder)))
        holder[path[-1]], holder[other] = holder[other], holder[path[-1]]
    elif way == "near" and isinstance(holder[path[-1]], int):
        holder[path[-1]] += int(pick(rng, (-1, 1, 8)))
    else:
        holder[path[-1]] = copy.deepcopy(pick(rng, VALUES))
    return value


def parts(data: bytes) -> tuple[dict[str, Any], bytes]:
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def joined(header: Any, body: bytes, right: bool) -> bytes:
    """The file; with a checksum that fits, where it can have one."""
    if right and isinstance(header, dict) and isinstance(header.get("__metadata__"), dict):
        entries = {k: v for k, v in header.items() if k != "__metadata__"}
        total = _header_sum(entries, header["__metadata__"], zlib.crc32(body))
        header["__metadata__"]["neurenix.checksum"] = f"{total:08x}"
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    return len(text).to_bytes(8, "little") + text + body


class Files:
    """Model files."""

    name = "files"

    def __init__(self) -> None:
        self.seeds = seeds()
        self.path = Path(tempfile.mkdtemp(prefix="fuzz")) / "case.nx"

    def make(self, rng: Random) -> bytes:
        """One case: the bytes of a file."""
        data = pick(rng, self.seeds)
        if rng.random() < 0.3:
            return changed_bytes(data, rng)
        header, body = parts(data)
        for _ in range(int(rng.integers(1, 3))):
            texts = header.get("__metadata__") if isinstance(header, dict) else None
            key = pick(rng, list(texts)) if isinstance(texts, dict) and texts and rng.random() < 0.6 else None
            try:
                texts[key] = json.dumps(changed_json(json.loads(texts[key]), rng))  # type: ignore[index]
            except (TypeError, ValueError, KeyError):
                header = changed_json(header, rng)
        return joined(header, body, rng.random() < 0.8)

    def run(self, case: bytes) -> None:
        """Let anything but a value or one of our errors pass on to the caller."""
        self.path.write_bytes(case)
        try:
            nx.load(self.path)
        except NeurenixError as error:
            if not str(error):
                raise AssertionError("an error without a text") from error
