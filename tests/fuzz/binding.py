"""Fuzzing the compiled kernels: real calls with sizes, types, strides, contents and overlaps changed."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import numpy as np
from fuzz import calls

from neurenix import _rust
from neurenix.errors import NeurenixError

Random = np.random.Generator
SIZES = (0, 1, 2, 3, 7, 64, 2**31 - 1, 2**31, 2**32 + 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1, -1, -(2**63))
REALS = (0.0, -1.0, 1e300, -1e300, float("nan"), float("inf"), 1e-320)
TYPES = ("<f4", "<f8", "<f2", "<i8", "<i4", "|i1", "|u1", "|b1", ">f4", "<c8")
LAYOUTS = ("dense", "zero", "transposed", "backwards", "stepped")


def pick(rng: Random, values: Any) -> Any:
    return values[int(rng.integers(len(values)))]


def changed_number(value: Any, rng: Random) -> Any:
    if isinstance(value, float):
        return float(pick(rng, (*REALS, value * 2)))
    near = (value - 1, value + 1, value * 2, value // 2, 0) if isinstance(value, int) else ()
    return pick(rng, near) if near and rng.random() < 0.6 else pick(rng, SIZES)


def changed_array(spec: dict[str, Any], rng: Random) -> dict[str, Any]:
    """Other length, axes, type, strides or contents."""
    spec = dict(spec)
    array = np.frombuffer(base64.b64decode(spec["array"]), spec["dtype"]).reshape(spec["shape"])
    way = pick(rng, ("length", "axes", "type", "layout", "content", "content", "place", "frozen"))
    if way == "length":
        n = max(0, pick(rng, (0, 1, array.size - 1, array.size + 1, array.size // 2, 2 * array.size)))
        return {**calls.describe(np.resize(array.reshape(-1), n) if array.size else np.zeros(n, array.dtype)), "front": spec["front"]}
    if way == "axes":
        return {
            **calls.describe(array.reshape(pick(rng, ((-1,), (-1, 1), (1, -1), (1, 1, -1)))) if array.size else array[None]),
            "front": spec["front"],
        }
    if way == "type":
        return {**calls.describe(np.zeros(array.shape, pick(rng, TYPES))), "front": spec["front"]}
    if way == "content" and array.size:
        array = array.copy()
        place = int(rng.integers(array.size))
        if array.dtype.kind == "i":
            number = pick(rng, (-1, 0, array.size, 2**31, 2**62, -(2**63), int(array.max()) + 1))
            array.reshape(-1)[place] = np.array(number).astype(array.dtype)
        elif array.dtype.kind == "f":
            array.reshape(-1)[place] = pick(rng, (np.nan, np.inf, -np.inf, 0, -0.0, 1e38, -1e38))
        return {**spec, "array": calls.describe(array)["array"]}
    if way == "layout":
        spec["layout"] = pick(rng, LAYOUTS)
    elif way == "place":
        spec["front"] = not spec["front"]
    elif way == "frozen":
        spec["frozen"] = True
    return spec


class Binding:
    """Calls of rows of the kernel table."""

    name = "binding"

    def __init__(self) -> None:
        found = calls.recorded()
        self.rows = sorted(_rust.rows())
        self.seeds = {row: found.get(row) or [calls.plain(row)] for row in self.rows}

    def make(self, rng: Random) -> bytes:
        """One case: a row and its arguments, one to three of them changed."""
        row = pick(rng, self.rows)
        specs = copy.deepcopy(pick(rng, self.seeds[row]))
        for _ in range(int(rng.integers(1, 4))):
            self._change(specs, rng)
        return json.dumps({"row": row, "args": specs}).encode()

    def _change(self, specs: list[Any], rng: Random) -> None:
        if not specs or rng.random() < 0.02:
            specs.append(1)
            return
        i = int(rng.integers(len(specs)))
        spec, chance = specs[i], rng.random()
        if chance < 0.03:
            specs[i] = pick(rng, (None, "text", [], {"list": []}, True, 1.5))
        elif chance < 0.05:
            specs.pop(i)
        elif isinstance(spec, dict) and "array" in spec:
            alias = chance < 0.12 and i > 0
            specs[i] = {"same": int(rng.integers(i)), "shift": int(rng.integers(2))} if alias else changed_array(spec, rng)
        elif isinstance(spec, dict) and spec.get("list"):
            k = int(rng.integers(len(spec["list"])))
            if isinstance(spec["list"][k], dict) and "array" in spec["list"][k]:
                spec["list"][k] = changed_array(spec["list"][k], rng)
        elif isinstance(spec, (int, float)):
            specs[i] = changed_number(spec, rng)

    def run(self, case: bytes) -> None:
        """Raise ``AssertionError`` where the kernel answers with anything but a result or one of our errors."""
        call = json.loads(case)
        function = getattr(_rust, call["row"], None)
        if function is None:
            return  # a row that is gone
        try:
            function(*calls.arguments(call["args"]))
        except NeurenixError as error:
            if "a kernel failed" in str(error):
                raise AssertionError(f"{call['row']}: {error}") from error
