"""Every public docstring shows an example that runs; ``without_example.txt`` has those that do not yet, and only gets shorter.

Counted are the functions and classes of ``public_names.txt`` and of a few rooms more, and the classes' public methods and properties.
A method that overrides a base's is shown by the base's example, ``forward`` by its class's, a method that says no more than
"See :func:`...`" by that function's. The examples run in ``tests/docs/test_code_blocks.py``. After giving docstrings examples:
``make examples``.
"""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

LIST = Path(__file__).with_name("without_example.txt")
PINNED = Path(__file__).with_name("public_names.txt")
ROOMS = ("neurenix.images", "neurenix.nn.utils", "neurenix.optim.lr_scheduler", "neurenix.testing")
SEE = re.compile(r"See :func:`(neurenix\.[\w.]+)`\.(?:$|\n)")
ONE_FILE = ("neurenix.nn.utils", "neurenix.testing")  # what they import is not their own


def public_values() -> Iterator[Any]:
    for name in PINNED.read_text().split():
        module, _, last = name.rpartition(".")
        yield getattr(importlib.import_module(module), last, None)  # a room may not be loaded yet; a name that is gone is pinned elsewhere
    for room in ROOMS:
        for name, value in vars(importlib.import_module(room)).items():
            if not name.startswith("_") and (room not in ONE_FILE or getattr(value, "__module__", "") == room):
                yield value


def is_ours(value: object) -> bool:
    return (inspect.isclass(value) or inspect.isfunction(value)) and value.__module__.startswith("neurenix")


def function_of(member: object) -> Callable[..., Any] | None:
    """The function behind a method or property of ours."""
    if isinstance(member, property):
        member = member.fget
    elif isinstance(member, cached_property):
        member = member.func
    elif isinstance(member, (classmethod, staticmethod)):
        member = member.__func__
    return member if inspect.isfunction(member) and is_ours(member) else None


def methods_of(cls: type) -> Iterator[Callable[..., Any]]:
    """Public methods and properties where they are first said, of the class and the bases that are ours."""
    ours = [base for base in cls.__mro__ if base.__module__.startswith("neurenix")]
    for depth, base in enumerate(ours):
        for name, member in vars(base).items():
            overrides = any(name in vars(further) for further in ours[depth + 1 :])
            if not name.startswith("_") and name != "forward" and not overrides and (found := function_of(member)):
                yield found


def documented() -> dict[str, Any]:
    """``module.name`` of everything that is counted; each once, however many names it has."""
    found: dict[str, Any] = {}
    for value in filter(is_ours, public_values()):
        for item in (value, *(methods_of(value) if inspect.isclass(value) else ())):
            found[f"{item.__module__}.{item.__qualname__}"] = item
    return found


def has_example(value: Any) -> bool:
    text = inspect.cleandoc(value.__doc__ or "")
    if see := SEE.match(text):
        module, _, last = see[1].rpartition(".")
        return has_example(getattr(importlib.import_module(module), last))
    return bool(doctest.DocTestParser().get_examples(text))


def without_example() -> set[str]:
    return {name for name, value in documented().items() if not has_example(value)}


def test_public_docstrings_have_an_example() -> None:
    allowed, have = set(LIST.read_text().split()), without_example()
    assert not have - allowed, f"without an example in their docstring: {sorted(have - allowed)}"
    assert not allowed - have, f"have an example now, or are gone: {sorted(allowed - have)}; run: make examples"


def test_counted_docstrings_are_those_that_run() -> None:
    """An example that no test finds proves nothing: what is counted can be found by its name, as doctest finds it."""
    for name, value in documented().items():
        module = importlib.import_module(value.__module__)
        found: Any = module
        for part in value.__qualname__.split("."):
            found = inspect.getattr_static(found, part)
        assert value is (found if inspect.isclass(found) else function_of(found)), name


def test_no_example_is_skipped() -> None:
    skipped = [name for name, value in documented().items() if "+SKIP" in (value.__doc__ or "")]
    assert not skipped, skipped


if __name__ == "__main__":
    shorter = without_example() & set(LIST.read_text().split())
    LIST.write_text("".join(f"{name}\n" for name in sorted(shorter)))
    print(f"{len(documented())} public docstrings, {len(shorter)} without an example")
