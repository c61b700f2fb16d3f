"""The oracle's cases by name, run through the library."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import backend as library
import check_modules
import fixture_io as fx

import neurenix as nx

HERE = Path(__file__).parent
UNSUPPORTED = frozenset(re.findall(r"^- `([^`]+)`", (HERE.parents[1] / "docs" / "unsupported.md").read_text(), re.M))
PRECISIONS = ("ieee", "fast")
LIBRARY = library.Backend()


class Outcome(NamedTuple):
    """What became of one case."""

    case: str
    result: str  # "pass", "fail", "error" or "unsupported"
    detail: str


def _groups(kind: str, folders: tuple[str, ...], key: str) -> dict[str, list[tuple[dict[str, Any], Any]]]:
    found: dict[str, list[tuple[dict[str, Any], Any]]] = {}
    for folder in folders:
        for _, manifest, arrays in fx.iter_groups(str(HERE / folder), kind):
            for case in manifest["cases"]:
                name = case.get(key) or "+".join(s["op"] for s in case["steps"])
                found.setdefault(name, []).append((case, arrays))
    return found


CASES = {
    "operation": _groups("opfix-1", ("opinfo", "opinfo_nn", "onnx", "ties"), "op"),
    "layer": _groups("modfix-1", ("modules",), "module"),
    "optimizer": _groups("optfix-1", ("optim",), "optimizer"),
}
RUN: dict[str, Callable[..., tuple[str, str]]] = {
    "operation": fx.run_case,
    "layer": check_modules.run_module,
    "optimizer": check_modules.run_optim,
}


def run(kind: str, name: str, precision: str) -> list[Outcome]:
    """Run every case of one operation, layer or optimizer."""
    found = []
    with nx.set_float32_precision(precision), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case, arrays in CASES[kind][name]:
            try:
                result, detail = RUN[kind](case, arrays, LIBRARY)
            except Exception as error:
                result, detail = "error", f"{type(error).__name__}: {error}"
            found.append(Outcome(case["id"], result, detail))
    return found


def wrong(name: str, outcomes: list[Outcome]) -> list[str]:
    """Lines about the cases that should have passed: what is absent must be listed in docs/unsupported.md."""
    return [
        f"{o.case}: {o.result} {o.detail}"
        for o in outcomes
        if o.result != "pass" and not (o.result == "unsupported" and name in UNSUPPORTED)
    ]


def family(kind: str, name: str) -> str:
    """The room and file that a name is made in, such as ``ops.conv``."""
    rooms = {"layer": nx.nn, "optimizer": nx.optim}
    found = LIBRARY.call(name.partition("+")[0]) if kind == "operation" else getattr(rooms[kind], name, None)
    module = getattr(found, "__module__", "")
    if not module.startswith("neurenix."):
        return "ops.indexing" if name == "__getitem__" else "absent"
    return module.removeprefix("neurenix.")
