"""The list of CUDA kernels in docs/cuda_kernels.md, made from the kernel table and the ``.cu`` files.

python tests/gpu/kernel_list.py          # write it anew
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import sys
from pathlib import Path

import neurenix
from neurenix.backend import sources
from neurenix.backend.kernel import KERNELS
from neurenix.precision import HALVES, PRECISIONS

sys.path.insert(0, str(Path(__file__).parents[1]))
from gpu.parity import CPU_ONLY, DISTANCES

LIST = Path(__file__).parents[2] / "docs" / "cuda_kernels.md"
_HEAD = """\
# CUDA kernels

Made by `python tests/gpu/kernel_list.py` from the kernel table and the `.cu` files; a test holds it to both.

No kernel here has run on a GPU yet. Each was compiled by NVRTC for sm_70, 75, 80 and 90 without spilled registers
(`make cuda-check`) and run in the emulator against the CPU (`tests/gpu`); what the table says of results was seen there.
[On a GPU](gpu.md) tells how a kernel gets from a file to a launch.
"""


def import_everything():
    """Import every module of the package, so that the kernel table is whole."""
    for module in pkgutil.walk_packages(neurenix.__path__, "neurenix."):
        if not module.name.startswith("neurenix.examples") and not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def distance(stem):
    """What a file says of its results beside the CPU's."""
    words = " ".join(line.removeprefix("// ") for line in sources.text(f"{stem}.cu").splitlines() if line.startswith("// "))
    found = re.search(r"run in the emulator\.(.*?)(?:max-|launch )", words)
    return " ".join(found[1].split()) if found and found[1].strip() else "Same bits as the CPU."


def _other_ways():
    """The files with other ways to compute rows: for which settings and cards, and what their results are."""
    lines = [
        "## Other ways",
        "",
        "Where their conditions hold, these kernels compute a row instead. The order of a sum never depends on how a batch is split.",
        "",
    ]
    lines += ["| file | rows | where | beside the CPU |", "|---|---|---|---|"]
    for name in sources.names():
        rules = [(row, rule) for row, rule in sources.declared(name[:-3]) if rule.kinds]
        if not rules:
            continue
        rows = ", ".join(f"`{row}`" for row in dict.fromkeys(row for row, _ in rules))
        settings = " or ".join(f'`"{p}"`' for p in dict.fromkeys(p for _, rule in rules for p in rule.precisions) if p in PRECISIONS)
        settings += " or `nx.autocast`" if any(p in HALVES for _, rule in rules for p in rule.precisions) else ""
        kinds, capability = (
            sorted({v for _, rule in rules for v in values(rule)}) for values in (lambda r: r.kinds, lambda r: [r.capability])
        )
        limits = min((ast.unparse(rule.where) for _, rule in rules if rule.where is not None), key=len, default="any sizes")
        lines.append(
            f"| `{name}` | {rows} | {', '.join(kinds)}; {settings}; sm_{capability[0]} and later; {limits} | {distance(name[:-3])} |"
        )
    return lines


def _without(missing):
    """Which rows have no CUDA kernel: those that need none, and those that wait for one."""
    cpu_only = [name for name in missing if DISTANCES.get(name) is CPU_ONLY]
    waiting = [f"- `{name}` ({KERNELS[name].stem})" for name in missing if name not in cpu_only]
    lines = []
    if cpu_only:
        lines.append(f"A CPU's own ways, which on a GPU other rows compute: {', '.join(f'`{name}`' for name in cpu_only)}.")
    if waiting:
        lines += ['These raise `BackendUnavailableError` by name; move the arrays to the CPU with `.to("cpu")`.', "", *waiting]
    return lines or ["None."]


def text():
    """The page."""
    import_everything()
    stems = sorted({row.stem for row in KERNELS.values()})
    have = {stem: [n for n in KERNELS if KERNELS[n].stem == stem and n in sources.rules(stem)] for stem in stems}
    lines = [_HEAD, "| file | rows | beside the CPU |", "|---|---|---|"]
    lines += [f"| `{stem}.cu` | {', '.join(f'`{n}`' for n in sorted(have[stem]))} | {distance(stem)} |" for stem in stems if have[stem]]
    missing = sorted(n for n in KERNELS if n not in have[KERNELS[n].stem])
    lines += ["", *_other_ways()]
    lines += ["", "## Rows without a kernel", "", *_without(missing)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    LIST.write_text(text(), encoding="utf-8")
