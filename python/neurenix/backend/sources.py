"""The CUDA sources: package data, one ``.cu`` file a stem, compiled once an element type.

A file is compiled for one element type at a time: :func:`unit` puts in front of it what that type is called, and pastes
our own headers in, since a kernel cache keyed by the source does not look into included files. A line ``// launch row: ...``
declares that the file has a kernel for that row of the table, and how it is launched:

========================  ====================================================================================
(nothing)                 one thread an element of the first array, in a loop over the grid
``threads n * oh * ow``   one thread for each of so many, in a loop over the grid
``blocks n / 64, k / 64``  so many blocks along x and y; a division rounds up, and an array's name is its number of elements
``block 128``             threads of a block, 256 where nothing is said
``joined``                the strided arrays have one shape and may be walked in any order: their axes are joined
``lengths``               each dense array is followed by its number of elements
``entries``               the number of the lists' entry and how many there are come last
========================  ====================================================================================
"""

from __future__ import annotations

import ast
import functools
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from neurenix.errors import InternalError

if TYPE_CHECKING:
    from neurenix.backend.kernel import Kernel

OPTIONS: Final = ("-std=c++17", "-fmad=false")
KINDS: Final = ("f32", "f64", "f16", "i64", "i32", "i16", "i8", "u8", "u16", "u32", "u64")  # their numbers are known to common.cuh
_C_NAMES: Final = {
    "f32": "float", "f64": "double", "f16": "half_bits", "i64": "long long", "i32": "int", "i16": "short", "i8": "signed char",
    "u8": "unsigned char", "u16": "unsigned short", "u32": "unsigned int", "u64": "unsigned long long",
    "b1": "unsigned char", "b2": "unsigned short", "b4": "unsigned int", "b8": "unsigned long long",
}  # fmt: skip
GROUPS: Final = {
    "floats": ("f32", "f64"),
    "wide": ("f32", "f64", "i64"),
    "integers": tuple(k for k in KINDS if k[0] in "iu"),
    "numbers": tuple(k for k in KINDS if k != "f16"),
    "every": KINDS,
    "bytes": ("b1", "b2", "b4", "b8"),
}
_NUMPY: Final = {"f": "float", "i": "int", "u": "uint"}
READS: Final = {
    suffix: frozenset(np.dtype(name) for name in names.split())
    for suffix, names in {
        **{k: f"{_NUMPY[k[0]]}{k[1:]}" for k in KINDS},
        "u8": "uint8 bool int8", "u16": "uint16 float16 int16", "u32": "uint32 float32 int32", "u64": "uint64 float64 int64",
        "b1": "uint8 bool int8", "b2": "uint16 float16 int16", "b4": "uint32 float32 int32", "b8": "uint64 float64 int64",
    }.items()
}  # fmt: skip
KIND_OF: Final = {np.dtype(f"{_NUMPY[k[0]]}{k[1:]}"): k for k in KINDS} | {np.dtype(bool): "u8"}

_OPERATORS: Final[dict[type[ast.operator], Callable[[int, int], int]]] = {
    ast.Mult: operator.mul,
    ast.Div: lambda a, b: -(-a // b),
    ast.Add: operator.add,
    ast.Sub: operator.sub,
}


@dataclass(frozen=True)
class Rule:
    """How a row's kernel is launched."""

    threads: tuple[ast.expr, ...] = ()
    blocks: tuple[ast.expr, ...] = ()
    block: int = 256
    joined: bool = False
    lengths: bool = False
    entries: bool = False

    def grid(self, sizes: Mapping[str, int], elements: int, most: int) -> tuple[int, ...]:
        """The numbers of blocks; a zero among them means that there is nothing to do."""
        if self.blocks:
            return tuple(_value(e, sizes) for e in self.blocks)
        count = _value(self.threads[0], sizes) if self.threads else elements
        return (min(-(-count // self.block), most),)


def c_name(suffix: str) -> str:
    """The C type of an element."""
    return _C_NAMES[suffix]


def suffix_of(row: Kernel, dtype: np.dtype[Any]) -> str | None:
    """What a row's symbol ends in for arrays of this type; None where the row does not range over it."""
    kind = KIND_OF.get(dtype)
    if kind is None:
        return None
    if row.group == "bytes":
        return f"b{dtype.itemsize}"
    return kind if kind in GROUPS[row.group] else None


@functools.cache
def text(name: str) -> str:
    """A source file as it is; empty where there is none."""
    file = resources.files("neurenix.backend").joinpath("kernels", name)
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def names(ending: str = ".cu") -> tuple[str, ...]:
    """All source files of this ending, sorted."""
    folder = resources.files("neurenix.backend").joinpath("kernels")
    return tuple(sorted(f.name for f in folder.iterdir() if f.name.endswith(ending)))


@functools.cache
def unit(stem: str, suffix: str) -> str:
    """What the compiler gets: the stem's file for one element type, with our headers pasted in."""
    group = "BYTES" if suffix[0] == "b" else "HALF" if suffix == "f16" else "FLOATS" if suffix[0] == "f" else "INTEGERS"
    head = f"#define NX_{group} 1\n" + ("#define NX_INT64 1\n" if suffix == "i64" else "")
    head += f"#define NX_NAME(row) row##_{suffix}\n#define NX_ELEMENT {c_name(suffix)}\n"
    return head + _pasted(f"{stem}.cu", set())


def _pasted(name: str, seen: set[str]) -> str:
    seen.add(name)
    lines = [f'#line 1 "{name}"\n']
    for number, line in enumerate(text(name).splitlines(keepends=True), 2):
        header = re.match(r'#include "(.+)"', line)
        if header is None:
            lines.append("\n" if line.startswith("#pragma once") else line)
        elif header[1] not in seen:
            lines += [_pasted(header[1], seen), f'#line {number} "{name}"\n']
        else:
            lines.append("\n")
    return "".join(lines)


@functools.cache
def rules(stem: str) -> dict[str, Rule]:
    """The rows that a stem's file has kernels for, and how each is launched."""
    return {row: _rule(row, clauses) for row, clauses in re.findall(r"^// launch (\w+):(.*)$", text(f"{stem}.cu"), re.M)}


def _rule(row: str, clauses: str) -> Rule:
    found: dict[str, Any] = {}
    for clause in filter(None, (c.strip() for c in clauses.split(";"))):
        word, _, rest = clause.partition(" ")
        if word in ("threads", "blocks"):
            found[word] = tuple(ast.parse(e.strip(), mode="eval").body for e in rest.split(","))
        elif word == "block":
            found[word] = int(rest)
        elif word in ("joined", "lengths", "entries"):
            found[word] = True
        else:
            raise InternalError(f"internal: {row}: expected a launch rule, got {clause!r}")
    return Rule(**found)


def _value(e: ast.expr, sizes: Mapping[str, int]) -> int:
    if isinstance(e, ast.Constant) and type(e.value) is int:
        return e.value
    if isinstance(e, ast.Name):
        return sizes[e.id]
    if isinstance(e, ast.BinOp) and type(e.op) in _OPERATORS:
        return _OPERATORS[type(e.op)](_value(e.left, sizes), _value(e.right, sizes))
    raise InternalError(f"internal: expected sizes, numbers and * / + -, got {ast.unparse(e)}")
