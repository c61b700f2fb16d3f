"""Calls of compiled kernels as data: recorded from real ones, written to JSON, made again in guarded memory."""

from __future__ import annotations

import base64
from collections import defaultdict
from typing import Any

import cases
import numpy as np
from fuzz.guarded import laid_out

from neurenix import _rust
from neurenix.backend.kernel import KERNELS

Spec = Any  # of an argument: a number, None, text, {"array": ...}, {"list": [...]} or {"same": position, "shift": elements}
LARGEST = 1 << 14  # bytes of an array that is recorded
KEPT = 12  # recorded calls of a row


def describe(value: Any) -> Spec:
    """An argument as JSON."""
    if isinstance(value, np.ndarray):
        dense = np.ascontiguousarray(value).reshape(value.shape)
        return {
            "array": base64.b64encode(dense.tobytes()).decode(),
            "dtype": value.dtype.str,
            "shape": list(value.shape),
            "layout": "dense",
            "front": False,
            "frozen": False,
        }
    if isinstance(value, (list, tuple)):
        return {"list": [describe(v) for v in value]}
    return value.item() if isinstance(value, np.generic) else value


def make(spec: Spec, before: list[Any]) -> Any:
    """The argument that a description stands for."""
    if not isinstance(spec, dict):
        return spec
    if "list" in spec:
        return [make(s, before) for s in spec["list"]]
    if "same" in spec:
        other = before[spec["same"]] if spec["same"] < len(before) else None
        return other.reshape(-1)[spec["shift"] :] if isinstance(other, np.ndarray) and spec["shift"] else other
    dense = np.frombuffer(base64.b64decode(spec["array"]), spec["dtype"]).reshape(spec["shape"])
    found = laid_out(dense, spec["layout"], spec["front"])
    if spec["frozen"]:
        found.flags.writeable = False
    return found


def arguments(specs: list[Spec]) -> list[Any]:
    """Every argument of a call."""
    found: list[Any] = []
    for spec in specs:
        found.append(make(spec, found))
    return found


def _small(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_small, value))
    return not isinstance(value, np.ndarray) or value.nbytes <= LARGEST


def recorded() -> dict[str, list[list[Spec]]]:
    """Calls that the oracle's cases make, some of each row."""
    found: dict[str, list[list[Spec]]] = defaultdict(list)

    def spy(name: str, real: Any) -> Any:
        def call(*args: Any) -> None:
            if len(found[name]) < KEPT and all(map(_small, args)):
                found[name].append([describe(a) for a in args])
            real(*args)

        return call

    before = {name: row._cpu for name, row in KERNELS.items() if not row.gpu_only}
    for name in before:
        KERNELS[name]._cpu = spy(name, getattr(_rust, name))
    try:
        for kind, names in cases.CASES.items():
            for name in names:
                cases.run(kind, name, "fast")
    finally:
        for name, cpu in before.items():
            KERNELS[name]._cpu = cpu
    return dict(found)


_FIXED = {"Index": "i8", "IndexOut": "i8", "Mask": "?", "MaskOut": "?", "Double": "f8", "DoubleOut": "f8", "Other": "f4"}
_VALUES = {"Size": 2, "Offset": 0, "Real": 0.5, "Enum": 0, "Key": 7}


def plain(row: str) -> list[Spec]:
    """Arguments of the right kinds for a row that no case reaches."""
    found: list[Spec] = []
    for _, role in _rust.rows()[row][1]:
        inner = role.rstrip(">").rpartition("<")[2]
        array = describe(np.ones(4, _FIXED.get(inner, "f4")))
        found.append(_VALUES[role] if role in _VALUES else {"list": [array]} if role.startswith("List") else array)
    return found
