"""Compile every ``.cu`` file for every element type and architecture with NVRTC: no GPU and no driver are needed.

    python tests/gpu/nvrtc_check.py [--arch sm_80] [--processes 2] [--fresh] [STEM ...]

Prints the registers of each kernel, the most over its element types. Fails on an error, on a register spill, on a stack frame and on
more than 128 registers, unless the file allows itself more (``// max-registers: 168``, ``// max-stack: 64``). Every element type is
compiled for one architecture, the common ones for all. Needs ``nvidia-cuda-nvrtc-cu12``; NVRTC_LIB names another library. The flags
are those that the library passes. What the compiler says of a unit is kept in ``build/nvrtc`` by all that it follows from, so a
unit that has not changed is not compiled again; ``--fresh`` compiles every one.
"""

from __future__ import annotations

import argparse
import ctypes
import functools
import hashlib
import json
import os
import re
import site
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from neurenix.backend import sources

ARCHITECTURES = ("sm_70", "sm_75", "sm_80", "sm_90")
COMMON = ("f32", "f64", "i64", "b4")
SLOW = ("conv_tensor", "elementwise", "sampling", "optim", "layout")
KEPT = Path(__file__).parents[2] / "build" / "nvrtc"


def library():
    """NVRTC's path, or None."""
    if "NVRTC_LIB" in os.environ:
        return os.environ["NVRTC_LIB"]
    for folder in [*site.getsitepackages(), site.getusersitepackages()]:
        for found in sorted(Path(folder).glob("nvidia/*/lib/libnvrtc.so.1[0-9]"), reverse=True):
            return str(found)
    return None


class Nvrtc:
    """The compiler, through ctypes alone."""

    def __init__(self, path):
        self.lib = ctypes.CDLL(path)

    def version(self):
        """The version, e.g. ``(12, 9)``."""
        major, minor = ctypes.c_int(), ctypes.c_int()
        self.lib.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
        return major.value, minor.value

    def compile(self, source, name, options):
        """Compile to a cubin; gives (whether it went well, the log)."""
        lib, program, size = self.lib, ctypes.c_void_p(), ctypes.c_size_t()
        if lib.nvrtcCreateProgram(ctypes.byref(program), source.encode(), name.encode(), 0, None, None):
            raise RuntimeError("nvrtcCreateProgram failed")
        try:
            given = (ctypes.c_char_p * len(options))(*[o.encode() for o in options])
            code = lib.nvrtcCompileProgram(program, len(options), given)
            lib.nvrtcGetProgramLogSize(program, ctypes.byref(size))
            log = ctypes.create_string_buffer(size.value)
            lib.nvrtcGetProgramLog(program, log)
            return code == 0, log.value.decode(errors="replace")
        finally:
            lib.nvrtcDestroyProgram(ctypes.byref(program))

    def code(self, source, name, options, kind="CUBIN"):
        """The machine code of a source that compiles, or its PTX."""
        lib, program, size = self.lib, ctypes.c_void_p(), ctypes.c_size_t()
        lib.nvrtcCreateProgram(ctypes.byref(program), source.encode(), name.encode(), 0, None, None)
        try:
            given = (ctypes.c_char_p * len(options))(*[o.encode() for o in options])
            if lib.nvrtcCompileProgram(program, len(options), given):
                raise RuntimeError("nvrtcCompileProgram failed")
            getattr(lib, f"nvrtcGet{kind}Size")(program, ctypes.byref(size))
            code = ctypes.create_string_buffer(size.value)
            getattr(lib, f"nvrtcGet{kind}")(program, code)
            return code.raw
        finally:
            lib.nvrtcDestroyProgram(ctypes.byref(program))


def kernels_of(log):
    """What ptxas says of each kernel: registers, bytes of stack, bytes spilled."""
    found, now = {}, None
    for line in log.splitlines():
        if entry := re.search(r"Compiling entry function '([^']+)'", line):
            now = found.setdefault(entry[1], {"registers": 0, "stack": 0, "spilled": 0})
        if now is not None:
            for key, pattern in (
                ("registers", r"Used (\d+) registers"),
                ("stack", r"(\d+) bytes stack frame"),
                ("spilled", r"(\d+) bytes spill"),
            ):
                now[key] += sum(int(n) for n in re.findall(pattern, line))
    return found


def suffixes(stem):
    """The element types for which a file has kernels."""
    text = sources.text(f"{stem}.cu")
    marks = {
        "NX_FLOATS": "floats",
        "NX_WIDE": "wide",
        "NX_INTEGERS": "integers",
        "NX_NUMBERS": "numbers",
        "NX_EVERY": "every",
        "NX_BYTES": "bytes",
        "NX_FLOAT32": ("f32",),
        "NX_HALF": ("f16",),
    }
    found = {suffix for mark, group in marks.items() if mark in text for suffix in sources.GROUPS.get(group, group)}
    return sorted(found)


def said(nvrtc, source, name, options, keep):
    """Whether a source compiles and what the compiler says, from an earlier run where nothing has changed."""
    path = Path(library())
    key = "\0".join((str(nvrtc.version()), path.name, str(path.stat().st_size), *options, source))
    kept = KEPT / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
    if keep and kept.exists():
        return json.loads(kept.read_text(encoding="utf-8"))
    answer = nvrtc.compile(source, name, options)
    if keep and answer[0]:
        kept.parent.mkdir(parents=True, exist_ok=True)
        unfinished = kept.with_suffix(f".{os.getpid()}")
        unfinished.write_text(json.dumps(answer), encoding="utf-8")
        unfinished.replace(kept)
    return answer


def compiled(nvrtc, stem, suffix, arch, keep=False):
    """Compile one unit; gives what ptxas says of each kernel, and the faults as lines of text."""
    options = [*sources.OPTIONS, f"-arch={arch}", "-Xptxas", "-v"]
    done, log = said(nvrtc, sources.unit(stem, suffix), f"{stem}.cu", options, keep)
    if not done:
        return {}, [f"{stem}.cu {suffix} {arch}: does not compile\n{log}"]
    limits = {"registers": 128, "stack": 0, "spilled": 0}
    limits |= {key: int(n) for key, n in re.findall(r"^// max-(registers|stack): (\d+)", sources.text(f"{stem}.cu"), re.M)}
    kernels = kernels_of(log)
    return kernels, [
        f"{stem}.cu {arch} {name}: {used['registers']} registers, {used['stack']} bytes of stack, {used['spilled']} spilled"
        for name, used in kernels.items()
        if any(used[key] > limits[key] for key in limits)
    ]


def check(nvrtc, stem, suffix, arch):
    """Compile one unit; gives the faults as lines of text."""
    return compiled(nvrtc, stem, suffix, arch)[1]


def units(stems, architectures=None):
    """What is compiled: the slowest files first, so that processes end together."""
    found = []
    for stem in sorted(stems, key=lambda stem: (stem not in SLOW, stem)):
        for suffix in suffixes(stem):
            every = suffix in COMMON or "NX_HALF" in sources.text(f"{stem}.cu")
            found += [(stem, suffix, arch) for arch in architectures or (ARCHITECTURES if every else ("sm_80",))]
    return found


def _one(unit, keep):
    begun = time.process_time()
    kernels, faults = compiled(Nvrtc(library()), *unit, keep=keep)
    return unit, kernels, faults, time.process_time() - begun


def seconds(found):
    """Processor time by file, the most first."""
    by_file = {}
    for (stem, *_), _, _, spent in found:
        by_file[stem] = by_file.get(stem, 0.0) + spent
    first = sorted(by_file.items(), key=lambda item: -item[1])[:5]
    return f"{sum(by_file.values()):.0f} s of processor time: " + ", ".join(f"{stem}.cu {spent:.0f}" for stem, spent in first)


def table(found):
    """Registers by kernel and architecture, the most over the element types; stack and spills where there are any."""
    rows = {}
    for (stem, suffix, arch), kernels in found:
        for symbol, used in kernels.items():
            row = rows.setdefault((f"{stem}.cu", symbol.removesuffix(f"_{suffix}")), {})
            before = row.get(arch, {})
            row[arch] = {key: max(n, before.get(key, 0)) for key, n in used.items()}
    shown = sorted({arch for row in rows.values() for arch in row})
    lines = [f"{'file':<26}{'kernel':<34}" + "".join(f"{arch:>8}" for arch in shown) + "   stack spilled"]
    for (file, kernel), row in sorted(rows.items()):
        stack, spilled = (max(used[key] for used in row.values()) for key in ("stack", "spilled"))
        lines.append(
            f"{file:<26}{kernel:<34}" + "".join(f"{row[a]['registers'] if a in row else '-':>8}" for a in shown) + f"{stack:>8}{spilled:>8}"
        )
    return lines


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stems", nargs="*", default=[name[:-3] for name in sources.names()])
    parser.add_argument("--arch", action="append")
    parser.add_argument("--processes", type=int, default=min(8, os.cpu_count() or 1))
    parser.add_argument("--fresh", action="store_true", help="compile what has not changed too")
    given = parser.parse_args(argv)
    if library() is None:
        sys.exit("nvrtc_check: expected NVRTC, got none; pip install 'nvidia-cuda-nvrtc-cu12==12.9.*'")
    with ProcessPoolExecutor(given.processes) as pool:
        found = list(pool.map(functools.partial(_one, keep=not given.fresh), units(given.stems, given.arch)))
    faults = [fault for _, _, some, _ in found for fault in some]
    print("\n".join(table([(unit, kernels) for unit, kernels, *_ in found])))
    print("\n".join(faults))
    print(f"{len(found)} units, {len(faults)} faults; {seconds(found)}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
