"""Write ``docs/coverage.md``: operation by operation, what it does and what checks it. ``make coverage`` runs it.

A test compares what it would write with the file.
"""

from __future__ import annotations

import inspect
import math
import sys
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "oracle")]

import backend as library  # noqa: E402
import cases  # noqa: E402
import fixture_io as fx  # noqa: E402
import numpy as np  # noqa: E402
from gpu import parity  # noqa: E402
from properties import test_complete  # noqa: E402
from properties.draws import Seeded  # noqa: E402
from properties.table import ROWS, Row, load  # noqa: E402

import neurenix as nx  # noqa: E402
from neurenix import _rust  # noqa: E402

PAGE = TESTS.parent / "docs" / "coverage.md"
TYPES = {"float32": "f4", "float64": "f8", "float16": "f2", "int64": "i8", "int32": "i4", "uint8": "u1", "bool": "?"}
EXAMPLES = 12

HEAD = """# Coverage

Written by `make coverage`; a test keeps it fresh. One line an operation, in the file that makes it.

- **gradient**: whether there is one. Each is compared with central differences in float64.
- **types**: element types that its main arguments take: f4 and f8 are float32 and float64, i8 int64, u1 uint8, ? bool.
- **axes**: numbers of axes of its first argument that the checks pass.
- **oracle**: cases of PyTorch's and ONNX's results (outputs, and gradients for most), each run in two precisions.
- **properties**: random sizes, values and memory orders. G gradient, twice-used inputs and float32 against float64; M any memory order;
  T the same bits for any number of threads; A backward is the adjoint; B parts of a batch give the bits of the whole; E arrays of no
  elements; N values against NumPy or SciPy.
- **f4 from f8**: the largest distance of float32 results from float64 results on the oracle's inputs (in brackets: on the properties'),
  relative where the result is larger than 1, rounded up to a power of ten.
"""


class Widened(library.Backend):
    """The library with float inputs of one type, its outputs remembered."""

    def __init__(self, dtype: str) -> None:
        self.type, self.outputs = dtype, []

    def tensor(self, array: Any, requires_grad: bool) -> Any:
        return nx.Tensor(array.astype(self.type) if array.dtype.kind == "f" else array)

    def call(self, op: str) -> Any:
        real = super().call(op)

        def run(*args: Any, **kwargs: Any) -> Any:
            result = real(*args, **kwargs)
            self.outputs = fx.flat_out(result)
            return result

        return real and run


def distance(narrow: list[Any], wide: list[Any]) -> float:
    """Largest difference of two lists of outputs, relative where values are larger than 1."""
    worst = 0.0
    for a, b in zip(narrow, wide, strict=True):
        if isinstance(a, nx.Tensor) and a.dtype == np.float32 and b.dtype == np.float64:
            x, y = a.numpy().astype(np.float64), b.numpy()
            finite = np.isfinite(x) & np.isfinite(y)
            worst = max(worst, float((np.abs(x - y) / np.maximum(1, np.abs(y)))[finite].max(initial=0)))
    return worst


def power(value: float) -> str:
    """The next power of ten above, as text."""
    return "0" if value == 0 else f"1e{math.ceil(math.log10(value))}"


def oracle_distance(found: list[Any]) -> float | None:
    """Of every float32 case of an operation."""
    worst = None
    for case, arrays in found:
        if case["dtype"] == "float32":
            outs = []
            for dtype in ("float32", "float64"):
                backend = Widened(dtype)
                fx.run_case(case, arrays, backend, grads=False)
                outs.append(backend.outputs)
            if len(outs[0]) == len(outs[1]):
                worst = max(worst or 0.0, distance(*outs))
    return worst


def works(row: Row, arrays: tuple[Any, ...], fn: Any, dtype: str) -> list[Any] | None:
    """Outputs with float arguments of a type, or None where it is refused."""
    tensors = [nx.Tensor(a.astype(dtype) if a.dtype.kind == "f" else a) for a in arrays]
    try:
        return fx.flat_out(fn(*tensors))
    except nx.errors.NeurenixError:
        return None


def tried(row: Row) -> tuple[str, set[int], float]:
    """Types and axes that an operation's examples pass with, and the distance of float32 from float64."""
    types: set[str] = set()
    axes: set[int] = set()
    worst = 0.0
    for seed in range(EXAMPLES):
        fn, *arrays = row.make(Seeded(seed))
        axes.add(arrays[0].ndim)
        outs = {name: works(row, tuple(arrays), fn, name) for name in TYPES}
        types |= {code for name, code in TYPES.items() if outs[name] is not None}
        if outs["float32"] and outs["float64"]:
            worst = max(worst, distance(outs["float32"], outs["float64"]))
    return " ".join(code for code in TYPES.values() if code in types), axes, worst


def checked_by_numpy() -> set[str]:
    """Operations that tests/properties/test_against_numpy.py names."""
    from properties import test_against_numpy as values

    text = Path(values.__file__).read_text()
    named = {*values.UNARY, *values.POSITIVE, *values.BINARY, *values.REDUCE, *values.SCANS}
    named |= {f"{kind}{n}d" for kind in ("conv", "max_pool", "avg_pool") for n in (1, 2, 3)} | {"pad"}
    return named | {name for name in dir(nx) if f'"{name}"' in text}


def line(name: str, rows: list[Row], oracle: list[Any], by_numpy: bool) -> str:
    """One operation's line of the table."""
    tests = "".join(
        letter
        for letter, true in (
            ("GMT", bool(rows)),
            ("A", any(r.linear for r in rows)),
            ("B", any(r.batched for r in rows)),
            ("E", any(r.empty for r in rows)),
            ("N", by_numpy),
        )
        if true
    )
    found = [tried(row) for row in rows]
    types = " ".join(c for c in TYPES.values() if any(c in t.split() for t, _, _ in found)) or "any"
    axes = sorted({a for _, some, _ in found for a in some})
    shown = "" if not axes else str(axes[0]) if len(axes) == 1 else f"{axes[0]} to {axes[-1]}"
    far = oracle_distance(oracle)
    away = power(far) if far is not None else f"({power(max(w for _, _, w in found))})" if found else ""
    return f"| `{name}` | {'yes' if rows else 'none'} | {types} | {shown} | {len(oracle) or ''} | {tests} | {away} |"


def operations() -> dict[str, list[str]]:
    """Lines by the file that makes the operation."""
    load()
    by_function = defaultdict(list)
    for row in ROWS.values():
        by_function[inspect.unwrap(row.function)].append(row)
    numpy_names = checked_by_numpy()
    found = defaultdict(list)
    for function, name in sorted(test_complete.operations().items(), key=lambda pair: pair[1]):
        names = [n for n in (name, function.__name__, f"nn.functional.{name}") if n in cases.CASES["operation"]]
        oracle = [case for n in dict.fromkeys(names) for case in cases.CASES["operation"][n]]
        known = {name, function.__name__} | {n for n in numpy_names if inspect.unwrap(getattr(nx, n, None)) is function}
        found[function.__module__.removeprefix("neurenix.")].append(line(name, by_function[function], oracle, bool(known & numpy_names)))
    return found


KERNELS_HEAD = """## Kernels: CUDA beside Rust

The largest difference allowed between the two kernels of a row on the same arguments, over the largest magnitude of the array; 0 is the
same bits. Integers, masks and bits that are only moved are the same always. From `tests/gpu/parity.py`, which the tests hold the
CUDA kernels to in the emulator; none of it was measured on a GPU.

Under `"ieee"`: {tensors}. On tensor cores, under {settings}, their float32 results are within {bounds} of the exact ones (relative L2).

| kernel | float32 | float64 | why |
|---|---|---|---|
"""


def kernels() -> str:
    """How far each CUDA kernel may be from its Rust twin."""
    lines = []
    for row, distance in sorted(parity.DISTANCES.items()):
        compared = distance not in (parity.CPU_ONLY, parity.GPU_ONLY, *parity.OWN)
        shown = [f"{d:.1e}" if d else "0" for d in distance[:2]] if compared else ["", ""]
        lines.append(f"| `{row}` | {shown[0]} | {shown[1]} | {distance.why} |")
    told = {
        "tensors": ", ".join(f"`{name}`" for name in parity.TENSORS),
        "settings": " and ".join(f'`"{name}"`' for name in parity.TENSOR_CORES),
        "bounds": " and ".join(f"{bound:g}" for bound in parity.TENSOR_CORES.values()),
    }
    return KERNELS_HEAD.format(**told) + "\n".join(lines) + "\n"


def page() -> str:
    """The page's text."""
    before = _rust.num_threads()
    with warnings.catch_warnings(), nx.set_float32_precision("fast"), nx.no_grad():
        warnings.simplefilter("ignore")
        tables = operations()
    _rust.set_num_threads(before)
    parts = [HEAD]
    for family, lines in sorted(tables.items()):
        parts.append(
            f"## {family}\n\n| operation | gradient | types | axes | oracle | properties | f4 from f8 |\n|---|---|---|---|---|---|---|"
        )
        parts[-1] += "\n" + "\n".join(lines) + "\n"
    parts.append(kernels())
    for title, kind in (("Layers and losses", "layer"), ("Optimizers", "optimizer")):
        counts = [f"`{name}` {len(found)}" for name, found in sorted(cases.CASES[kind].items())]
        parts.append(f"## {title}, with their cases in the oracle\n\n{', '.join(counts)}.\n")
    total = sum(len(lines) for lines in tables.values())
    parts.insert(1, f"{total} operations, {sum(len(c) for k in cases.CASES.values() for c in k.values()):,} cases of the oracle.\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"wrote {PAGE.relative_to(TESTS.parent)}")
