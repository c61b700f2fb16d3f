"""The stub ``_rust.pyi`` names what the compiled extension has, neither more nor less."""

import ast
import subprocess
import sys
from pathlib import Path

import neurenix
from neurenix import _rust

ROOT = Path(__file__).resolve().parents[2]
STUB = ROOT / "python" / "neurenix" / "_rust.pyi"
IN_MODULES = {"__doc__", "__file__", "__loader__", "__name__", "__package__", "__spec__", "__all__"}


def names_in_stub() -> set[str]:
    names = set()
    for node in ast.parse(STUB.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id != "Array":
            names.add(node.target.id)
    return names


def test_stub_names_what_the_extension_has() -> None:
    there = set(vars(_rust)) - IN_MODULES
    stubbed = names_in_stub()
    assert stubbed == there, f"run `make stub`: missing {sorted(there - stubbed)}, too many {sorted(stubbed - there)}"


def test_stub_is_what_the_tool_writes() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "tools" / "make_stub.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_stub_is_beside_the_package() -> None:
    assert (Path(neurenix.__file__).parent / "py.typed").exists()
