"""Write ``python/neurenix/_rust.pyi`` from the built extension: what surrounds the kernels by hand, the kernels from their rows.

``make stub`` runs it; a test compares what it would write with the file.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

STUB = Path(__file__).resolve().parents[2] / "python" / "neurenix" / "_rust.pyi"

HEAD = '''"""The compiled extension. Written by ``make stub``: change ``tests/tools/make_stub.py`` or the kernel table instead."""

from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, Any]

__version__: str

class Owner:
    """Keeps a block of pooled memory alive while an array looks at it."""

# What surrounds the kernels (rust/neurenix-py/src/system.rs, plan.rs).
'''

VALUES = {"Size": "int", "Offset": "int", "Enum": "int", "Key": "int", "Real": "float"}


def type_of(role: str) -> str:
    """The Python type of an argument of this role."""
    if role in VALUES:
        return VALUES[role]
    if role.startswith("Optional"):
        return f"{type_of(role[9:-1])} | None"
    if role.startswith("List"):
        return "list[Array]"
    return "Array"


def stub(extension: Any, surroundings: str) -> str:
    """The stub's text for this extension."""
    rows = extension.rows()
    lines = [HEAD + surroundings.strip(), "", "# The kernel table (rust/neurenix-py/src/kernels.rs)."]
    for name, (_, params) in sorted(rows.items()):
        args = ", ".join(f"{argument}: {type_of(role)}" for argument, role in params)
        lines.append(f"def {name}({args}, /) -> None: ...")
    return "\n".join(lines) + "\n"


SURROUNDINGS = """
def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array: ...
def memory_stats() -> dict[str, int]: ...
def reset_peak() -> None: ...
def empty_cache() -> None: ...
def set_memory_limit(bytes: int | None) -> None: ...
def memory_resident() -> int: ...
def plan_begin() -> None: ...
def plan_end() -> int: ...
def plan_reset_peak() -> int: ...
def plan_live() -> list[tuple[int, int, int, bool]]: ...
def plan_peak() -> tuple[int, list[tuple[int, int, int, bool]], int]: ...
def num_threads() -> int: ...
def set_num_threads(n: int) -> None: ...
def level() -> str: ...
def levels() -> list[str]: ...
def set_level(name: str) -> None: ...
def fma_peak() -> float: ...
def copy_bandwidth() -> float: ...
def rows() -> dict[str, tuple[str, tuple[tuple[str, str], ...]]]: ...
"""


def main() -> None:
    """Write the stub; with ``--check``, say whether it is as it should be."""
    from neurenix import _rust

    text = stub(_rust, SURROUNDINGS)
    if "--check" in sys.argv:
        sys.exit(0 if STUB.read_text() == text else f"{STUB.name} is not what the extension has; run: make stub")
    STUB.write_text(text)


if __name__ == "__main__":
    main()
