"""The house's rules, read from the sources: who may import whom, and how long a function or file may grow."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "python" / "neurenix"

# From the ground up: a file imports rooms of lower lines and of its own line only.
ROOMS = (
    ("_typing", "errors"),
    ("precision",),
    ("backend",),
    ("cuda", "diagnosis", "generators", "half", "layout", "lazy", "memory", "optional", "signals", "system", "window", "window_rules"),
    ("_methods", "anomaly", "autograd", "recording", "tensor"),
    ("checkpoint", "normalization", "ops", "random"),
    ("linalg", "memory_plan", "nn", "serialization", "special", "testing"),
    (
        "amp",
        "blending",
        "callbacks",
        "data",
        "images",
        "inference",
        "labelling",
        "metrics",
        "multiscale",
        "optim",
        "parallel",
        "passes",
        "picture",
        "png",
        "progress",
        "slides",
        "streaming",
        "tiling",
    ),
    ("export",),
    ("__init__",),
    ("__main__", "command", "examples"),
)
RANK = {room: rank for rank, line in enumerate(ROOMS) for room in line}
# A tensor's operators live in ops, which needs the tensor first, and a model has methods that run it on images: the only knots.
KNOT = {("_methods", "ops"), ("_methods", "__init__")}  # a method says `neurenix.ops.add(...)`
KNOT |= {("nn", "passes"), ("nn", "slides")}  # `model.receptive_field()` and `model.plan(...)`
WITHOUT_ARRAYS = {"nn", "multiscale"}
ARRAY_MODULES = {"numpy", "cupy", "neurenix.backend", "neurenix._rust"}
AS_PUBLISHED = {"check_fixtures.py", "check_modules.py", "fixture_io.py"}  # the oracle's own runners
LONGEST_FUNCTION, LONGEST_MODULE, LONGEST_KERNEL_FILE = 40, 400, 500


def python_files(*folders: str) -> list[Path]:
    return sorted(p for folder in folders for p in (ROOT / folder).rglob("*.py") if p.name not in AS_PUBLISHED)


def name_of(path: Path) -> str:
    """``neurenix.ops.conv`` of its file."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    room = module.split(".")[1] if "." in module else "__init__"
    return "_methods" if room.endswith(("_methods", "_operators")) else room  # parts of Tensor


def is_for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def is_module(name: str) -> bool:
    """Whether ``name`` is a module of the package rather than something in one."""
    path = PACKAGE.parent.joinpath(*name.split("."))
    return name == "neurenix._rust" or (name.startswith("neurenix.") and (path.is_dir() or path.with_suffix(".py").exists()))


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Modules that run-time imports name, with their lines; also those inside functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            for alias in node.names:
                inside = f"{module}.{alias.name}"
                yield (inside if is_module(inside) else module), node.lineno
        elif not is_for_types_only(node):
            yield from imports(node)


def imports_of(path: Path) -> list[tuple[str, str, int]]:
    return [(name_of(path), imported, line) for imported, line in imports(ast.parse(path.read_text()))]


ALL_IMPORTS = [entry for path in python_files("python/neurenix") for entry in imports_of(path)]


def test_every_room_has_its_place() -> None:
    rooms = {room_of(name_of(path)) for path in python_files("python/neurenix")}
    unknown = sorted(rooms - set(RANK))
    assert not unknown, f"rooms without a place in ROOMS of this test: {unknown}; add each to the line it belongs to"


def test_imports_go_down_only() -> None:
    upward = [
        f"{module}:{line} imports {imported}: {room_of(module)} stands below {room_of(imported)}"
        for module, imported, line in ALL_IMPORTS
        if imported.partition(".")[0] == "neurenix" and imported != "neurenix._rust"
        if RANK[room_of(imported)] > RANK[room_of(module)] and (room_of(module), room_of(imported)) not in KNOT
    ]
    order = " < ".join(", ".join(line) for line in ROOMS)
    assert not upward, "a file imports lower rooms and its own only (" + order + "):\n" + "\n".join(upward)


def test_layers_and_models_see_no_arrays() -> None:
    seen = [
        f"{module}:{line} imports {imported}"
        for module, imported, line in ALL_IMPORTS
        if room_of(module) in WITHOUT_ARRAYS and any(imported == a or imported.startswith(a + ".") for a in ARRAY_MODULES)
    ]
    assert not seen, "nn and multiscale speak of tensors and never import backend, numpy or cupy:\n" + "\n".join(seen)


def test_only_the_gpu_door_imports_cupy() -> None:
    seen = [f"{m}:{line}" for m, imported, line in ALL_IMPORTS if imported.partition(".")[0] == "cupy" and m != "neurenix.backend.cuda"]
    assert not seen, "only backend/cuda.py imports cupy:\n" + "\n".join(seen)


def test_only_the_ground_imports_the_extension() -> None:
    allowed = {"backend", "diagnosis", "export", "memory", "system", "serialization", "__init__"}
    seen = [f"{m}:{line}" for m, imported, line in ALL_IMPORTS if imported == "neurenix._rust" and room_of(m) not in allowed]
    rule = "only backend, diagnosis, memory, system, serialization and export (the version) and __init__ import the extension; kernels are called by their rows"
    assert not seen, f"{rule}:\n" + "\n".join(seen)


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function, its docstring aside."""
    first = function.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


def test_functions_are_short() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {length(node)} lines"
        for path in python_files("python", "tests", "benches", "docs")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and length(node) > LONGEST_FUNCTION
    ]
    assert not found, f"functions stay within {LONGEST_FUNCTION} lines, docstrings aside:\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("pattern", "folders", "longest"),
    [("*.py", ("python", "benches", "docs"), LONGEST_MODULE), ("*.rs", ("rust",), LONGEST_KERNEL_FILE)]
    + [(kind, ("python",), LONGEST_KERNEL_FILE) for kind in ("*.cu", "*.cuh")],
)
def test_files_are_short(pattern: str, folders: tuple[str, ...], longest: int) -> None:
    sizes = {p: p.read_text().count("\n") for folder in folders for p in (ROOT / folder).rglob(pattern)}
    found = [f"{path.relative_to(ROOT)}: {lines} lines" for path, lines in sorted(sizes.items()) if lines > longest]
    assert not found, f"{pattern} files stay within {longest} lines; split by concept:\n" + "\n".join(found)
