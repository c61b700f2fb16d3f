"""Documentation's code runs: README, the pages of docs/, and the examples in docstrings, warnings as errors.

A page's ``python`` blocks run from top to bottom in one namespace, in an empty folder; its ``pycon`` blocks are doctests. Blocks
in other fences (``text``, ``pyi``, ``bash``) are not run. The pages of docs/design sketch and are not run.
"""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import neurenix

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted(p for p in (ROOT / "docs").rglob("*.md") if "design" not in p.parts)]
BLOCK = re.compile(r"^( *)```(python|pycon)[^\n]*\n(.*?)^\1```$", re.M | re.S)
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


ALONE = {
    "docs/large_images.md",
    "docs/memory.md",
    "neurenix.slides.planning.plan",
    "neurenix.memory_plan.memory_plan",
    "neurenix.nn.module.Module.memory_plan",
    "neurenix.nn.module.Module.plan",
}  # count a process's memory


def marked(values: list, name: Callable[[object], str]) -> list:
    """Parameters of a test, those whose code plans memory in processes of their own."""
    return [pytest.param(value, id=name(value), marks=[pytest.mark.alone] if name(value) in ALONE else []) for value in values]


def blocks_of(page: Path) -> list[tuple[int, str, str]]:
    """(line, kind, code) of each block that runs."""
    text = page.read_text()
    found = []
    for match in BLOCK.finditer(text):
        indent = len(match[1])
        code = "\n".join(line[indent:] for line in match[3].split("\n"))
        found.append((text.count("\n", 0, match.start()) + 1, match[2], code))
    return found


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", marked([p for p in PAGES if blocks_of(p)], name_of))
def test_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    try:
        for line, kind, code in blocks_of(page):
            if kind == "python":
                exec(compile("\n" * line + code, str(page), "exec"), namespace)
            else:
                test = doctest.DocTestParser().get_doctest(code, namespace, name_of(page), str(page), line)
                assert_passes(test, namespace)
    finally:
        neurenix.set_memory_limit(None)  # a page that fails leaves none behind


def assert_passes(test: doctest.DocTest, namespace: dict[str, object] | None = None) -> None:
    told: list[str] = []
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    runner.run(test, out=told.append, clear_globs=False)
    if namespace is not None:
        namespace.update(test.globs)
    assert not runner.failures, "".join(told)


def modules() -> list[str]:
    names = [m.name for m in pkgutil.walk_packages(neurenix.__path__, "neurenix.") if not m.name.endswith(("._rust", ".__main__"))]
    return ["neurenix", *(n for n in names if not n.startswith("neurenix.examples."))]


def docstring_examples() -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = {test.name: test for name in modules() for test in finder.find(importlib.import_module(name)) if test.examples}
    return [found[name] for name in sorted(found)]


@pytest.mark.parametrize("example", marked(docstring_examples(), lambda test: test.name))
def test_docstring(example: doctest.DocTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    example.globs.update(nx=neurenix, np=np)
    assert_passes(example)
