"""The public names, pinned: one that goes away or appears is seen in ``public_names.txt``.

After a change on purpose: ``make names``.
"""

from __future__ import annotations

import importlib
import inspect
import types
from pathlib import Path

import numpy as np
import pytest

LIST = Path(__file__).with_name("public_names.txt")
MODULES = (
    "neurenix",
    "neurenix.nn",
    "neurenix.nn.functional",
    "neurenix.nn.init",
    "neurenix.multiscale",
    "neurenix.optim",
    "neurenix.data",
    "neurenix.errors",
    "neurenix.export",
    "neurenix.labelling",
    "neurenix.metrics",
    "neurenix.amp",
    "neurenix.cuda",
    "neurenix.parallel",
    "neurenix.slides",
)


ROOMS = {"amp", "cuda", "data", "errors", "functional", "init", "labelling", "metrics", "multiscale", "nn", "optim", "parallel"}


def is_ours(value: object) -> bool:
    """Whether a name stands for the library's own: a class, a function, a room, an element type."""
    if isinstance(value, types.ModuleType):
        return value.__name__.startswith("neurenix.") and value.__name__.rpartition(".")[2] in ROOMS
    if isinstance(value, np.dtype) or (inspect.isclass(value) and issubclass(value, np.generic)):
        return True
    return getattr(value, "__module__", "").startswith("neurenix")


def public_names(module: str) -> list[str]:
    room = importlib.import_module(module)
    found = {name: getattr(room, name) for name in dir(room)}  # also what loads when first used
    names = sorted(name for name, value in found.items() if not name.startswith("_") and is_ours(value))
    if module in ("neurenix.labelling", "neurenix.amp", "neurenix.cuda", "neurenix.nn.init"):  # one file: what it imports is not its own
        names = [name for name in names if getattr(found[name], "__module__", "") == module]
    return [f"{module}.{name}" for name in names]


def all_names() -> list[str]:
    return [name for module in MODULES for name in public_names(module)]


def test_public_names_are_as_pinned() -> None:
    pinned, have = set(LIST.read_text().split()), set(all_names())
    assert have == pinned, f"gone: {sorted(pinned - have)}; new: {sorted(have - pinned)}; if on purpose, run: make names"


def documented(name: str) -> object:
    module, _, last = name.rpartition(".")
    return getattr(importlib.import_module(module), last)


@pytest.mark.parametrize("name", all_names())
def test_public_names_are_documented(name: str) -> None:
    value = documented(name)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert inspect.getdoc(value), f"{name} has no docstring"


if __name__ == "__main__":
    LIST.write_text("\n".join(all_names()) + "\n")
