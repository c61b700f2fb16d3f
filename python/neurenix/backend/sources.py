"""The CUDA sources: package data, one ``.cu`` file a stem, compiled once an element type.

A file is compiled for one element type at a time: :func:`unit` puts in front of it what that type is called, and pastes
our own headers in, since a kernel cache keyed by the source does not look into included files. A line ``// launch row: ...``
declares that the file has a kernel for that row of the table, and how it is launched; ``// launch row as name: ...`` that the
kernel has another name. Lines that begin with five spaces go on with the one before.

==========================  ====================================================================================
(nothing)                   one thread an element of the first array, in a loop over the grid
``threads n * oh * ow``     one thread for each of so many, in a loop over the grid
``blocks n / 64, k / 64``   so many blocks along x, y and z; a division rounds up, and an array's name is its number of elements
``block 128``               threads of a block, 256 where nothing is said
``joined``                  the strided arrays have one shape and may be walked in any order: their axes are joined
``lengths``                 each dense array is followed by its number of elements
``entries``                 the number of the lists' entry and how many there are come last
``let parts = k / 64``      one more number; kernels take it after the row's arguments
``scratch parts * y``       so many elements of memory with no meaning, after the row's arguments and before such numbers
``doubles n * c``           so many doubles of memory with no meaning, in the place of scratch
``then name``               another kernel with the same arguments; what follows is said of it, else one thread an element of the first array
``if h * w > 255``          whether this kernel is launched at all
``times doublings(8, n)``   how often it is launched, the number of the round as its last argument; here until 8 has doubled to n
``continues``               kernels before this one have written a part of the outputs
``unordered``               what this kernel leaves behind depends on the order of its threads; one after it makes that good
==========================  ====================================================================================

A rule with a condition is *another way* to compute a row, in any file; the first whose conditions hold is taken, else the one
without. Conditions may not name what differs between parts of a batch where ways differ in bits.

==========================  ====================================================================================
``type f32``                for this element type only (each such rule says so)
``precision fast tf32``     under these settings of ``set_float32_precision``; ``bfloat16``, ``float16``: of autocast
``sm 80``                   on cards of this compute capability and later
``where k >= 8 and n > m``  as sizes are; ``processors`` is the number of the card's multiprocessors
==========================  ====================================================================================
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
    "singles": ("f32",),
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

_OPERATORS: Final[dict[type[ast.AST], Callable[[int, int], int]]] = {
    ast.Mult: operator.mul,
    ast.Div: lambda a, b: -(-a // b),
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Lt: operator.lt,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


@dataclass(frozen=True)
class Rule:
    """A way to compute a row: when, by which kernel, and how that is launched."""

    kernel: str = ""  # its name, where that is not the row's
    file: str = ""  # and its file's, without ending
    threads: tuple[ast.expr, ...] = ()
    blocks: tuple[ast.expr, ...] = ()
    block: int = 256
    joined: bool = False
    lengths: bool = False
    entries: bool = False
    lets: tuple[tuple[str, ast.expr], ...] = ()
    scratch: ast.expr | None = None
    doubles: ast.expr | None = None
    then: tuple[Rule, ...] = ()
    when: ast.expr | None = None
    times: ast.expr | None = None
    unordered: bool = False
    continues: bool = False
    more: bool = False  # whether another kernel follows
    kinds: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    capability: int = 0
    where: ast.expr | None = None

    def grid(self, sizes: Mapping[str, int], elements: int, most: int) -> tuple[int, ...]:
        """The numbers of blocks; a zero among them means that there is nothing to do."""
        if self.blocks:
            return tuple(_value(e, sizes) for e in self.blocks)
        count = _value(self.threads[0], sizes) if self.threads else elements
        return (min(-(-count // self.block), most),)

    def numbers(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """The sizes, with those that the rule computes from them last."""
        known = dict(sizes)
        for name, e in self.lets:
            known[name] = _value(e, known)
        return known

    def suits(self, sizes: Mapping[str, int]) -> bool:
        """Whether its condition on sizes holds."""
        return self.where is None or bool(_value(self.where, sizes))

    def scratch_size(self, sizes: Mapping[str, int]) -> int | None:
        """Elements of scratch memory, doubles where ``doubles`` says so; None where there is none among the arguments."""
        wanted = self.scratch if self.doubles is None else self.doubles
        return None if wanted is None else _value(wanted, sizes)

    def due(self, sizes: Mapping[str, int]) -> bool:
        """Whether this kernel is launched, of several."""
        return self.when is None or bool(_value(self.when, sizes))

    def rounds(self, sizes: Mapping[str, int]) -> int:
        """How often this kernel is launched."""
        return 1 if self.times is None else max(0, _value(self.times, sizes))

    @property
    def passes(self) -> tuple[Rule, ...]:
        """The kernels, in order."""
        return (self, *self.then)


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
    own = {"i64": "#define NX_INT64 1\n", "f32": "#define NX_FLOAT32 1\n"}.get(suffix, "")
    head = f"#define NX_{group} 1\n{own}"
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
def declared(file: str) -> tuple[tuple[str, Rule], ...]:
    """The rows that a file has kernels for, and how each is launched, in the file's order."""
    lines = re.findall(r"^// launch (\w+)(?: as (\w+))?:(.*(?:\n//     .*)*)$", text(f"{file}.cu"), re.M)
    return tuple((row, _rule(row, clauses.replace("\n//", " "), kernel, file)) for row, kernel, clauses in lines)


@functools.cache
def rules(stem: str) -> dict[str, Rule]:
    """The rows that a stem's file has kernels for, whatever the sizes and the card, and how each is launched."""
    return {row: rule for row, rule in declared(stem) if not rule.kinds}


def ways(row: str) -> tuple[Rule, ...]:
    """Other ways to compute a row, for some types, settings, cards and sizes."""
    return _ways().get(row, ())


@functools.cache
def _ways() -> dict[str, tuple[Rule, ...]]:
    every = [found for name in names() for found in declared(name[:-3]) if found[1].kinds]
    return {row: tuple(rule for other, rule in every if other == row) for row, _ in every}


def _rule(row: str, clauses: str, kernel: str = "", file: str = "") -> Rule:
    steps = re.split(r";\s*then (\w+)", f"{clauses};")
    first = _found(row, steps[0])
    shared = {key: first[key] for key in ("joined", "lengths", "entries") if key in first}
    named = list(zip(steps[1::2], steps[2::2], strict=True))
    then = tuple(Rule(name, file, more=(name, text) != named[-1], **shared | _found(row, text)) for name, text in named)
    return Rule(kernel, file, then=then, more=bool(then), **first)


def _found(row: str, clauses: str) -> dict[str, Any]:
    """What the clauses say of one kernel."""
    found: dict[str, Any] = {}
    for clause in filter(None, (" ".join(c.split()) for c in clauses.split(";"))):
        word, _, rest = clause.partition(" ")
        if word in ("threads", "blocks"):
            tree = _parsed(f"({rest},)")
            found[word] = tuple(tree.elts) if isinstance(tree, ast.Tuple) else ()
        elif word in ("scratch", "doubles", "where", "times", "if"):
            found["when" if word == "if" else word] = _parsed(rest)
        elif word == "let":
            name, _, e = rest.partition(" = ")
            found["lets"] = (*found.get("lets", ()), (name, _parsed(e)))
        elif word in ("type", "precision"):
            found[{"type": "kinds", "precision": "precisions"}[word]] = tuple(rest.split())
        elif word in ("block", "sm"):
            found[{"block": "block", "sm": "capability"}[word]] = int(rest)
        elif word in ("joined", "lengths", "entries", "unordered", "continues"):
            found[word] = True
        else:
            raise InternalError(f"internal: {row}: expected a launch rule, got {clause!r}")
    return found


def _parsed(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _value(e: ast.expr, sizes: Mapping[str, int]) -> int:
    match e:
        case ast.Constant(value=int(number)):
            return number
        case ast.Name(id=name):
            return sizes[name]
        case ast.BinOp(left=a, op=op, right=b) | ast.Compare(left=a, ops=[op], comparators=[b]) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(a, sizes), _value(b, sizes))
        case ast.BoolOp(op=ast.And(), values=values):
            return min(_value(v, sizes) for v in values)
        case ast.Call(func=ast.Name(id="min"), args=values):
            return min(_value(v, sizes) for v in values)
        case ast.Call(func=ast.Name(id="max"), args=values):
            return max(_value(v, sizes) for v in values)
        case ast.Call(func=ast.Name(id="doublings"), args=[a, b]):
            first, last = _value(a, sizes), _value(b, sizes)
            return max(0, (-(-last // first) - 1).bit_length())
    raise InternalError(f"internal: expected sizes, numbers, min, max, doublings, and, < > >= * / + -, got {ast.unparse(e)}")
