"""Run CUDA C++ kernels on the CPU, for tests, in CuPy's way of calling.

    module = EmulatedModule(source)
    module.get_function("axpy")((blocks,), (threads,), (x, y, np.float32(2), np.int32(n)))

Besides computing, a launch looks for faults. Each array is copied to where its last (or first) byte touches an unreadable
page. The threads of a block run in ascending and then in descending order, and results must be the same bits: a missing
barrier shows (``loose``: they may differ). Outputs named in ``poison`` start with other bytes in each order, so elements never written show as well.
Shared memory starts as NaN. Wrong numbers and types of arguments, launch limits, misaligned vectors, barriers that part of
a block never reaches: each raises :class:`EmulatorError` with the thread that did it.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
PAGE = 4096
POISONS = (0xFF, 0x55)
_CANARY = 0xA5
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


class EmulatorError(RuntimeError):
    """A kernel, or its launch, did what a GPU would not forgive."""


class EmulatedModule:
    """A source compiled for the CPU; the compiled file is kept in a temporary folder, by the hash of all that went in."""

    def __init__(self, source, *, arch=80, options=(), include=()):
        flags = ["-O1", "-g1", "-ffp-contract=off", "-fPIC", "-shared", "-fno-strict-aliasing"]
        flags += ["-fsanitize=bounds,alignment,shift,integer-divide-by-zero", "-fsanitize-undefined-trap-on-error"]
        self._base = [os.environ.get("CXX", "g++"), "-x", "c++", "-std=c++17", "-w", f"-D__CUDA_ARCH__={arch}0"]
        self._base += [f"-I{HERE / 'include'}", *(f"-I{i}" for i in include), *options, "-include", str(HERE / "cuda_emu.h")]
        own = [(HERE / name).read_text() for name in ("cuda_emu.h", "cuda_emu_rt.inc")]
        key = hashlib.sha256("\0".join([*self._base, *flags, *own, source]).encode()).hexdigest()[:24]
        cache = Path(os.environ.get("NEURENIX_EMULATOR_CACHE", Path(tempfile.gettempdir()) / f"neurenix-emulator-{os.getuid()}"))
        cache.mkdir(parents=True, exist_ok=True)
        self.path = cache / f"{key}.so"
        table = self.path.with_suffix(".json")
        if not (self.path.exists() and table.exists()):
            kernels = self._scan(source)
            self._compile(source, flags, kernels)
            _write(table, json.dumps(kernels))
        self.kernels = json.loads(table.read_text())  # {name: [threads of a block at most, parameters as written]}
        self.lib = ctypes.CDLL(str(self.path))
        self.lib.emu_error.restype = ctypes.c_char_p

    def _scan(self, source):
        done = subprocess.run([*self._base, "-E", "-P", "-DEMU_SCAN", "-"], input=source, capture_output=True, text=True, check=False)
        if done.returncode:
            raise EmulatorError(f"preprocessing failed:\n{done.stderr}")
        pattern = r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\s*\(([^()]*)\)\s*)?(\w+)\s*\(([^{]*)\)\s*\{'
        found = re.findall(pattern, done.stdout)
        return {name: [int(bound.split(",")[0]) if bound else 1024, " ".join(params.split())] for bound, name, params in found}

    def _compile(self, source, flags, kernels):
        unit = source + '\n#line 1 "cuda_emu_rt.inc"\n' + f'#include "{HERE / "cuda_emu_rt.inc"}"\n'
        unit += "".join(f"EMU_KERNEL({name})\n" for name in kernels)
        made = self.path.with_suffix(f".{os.getpid()}")
        done = subprocess.run([*self._base, *flags, "-o", str(made), "-"], input=unit, capture_output=True, text=True, check=False)
        if done.returncode:
            raise EmulatorError(f"host compile failed:\n{done.stderr[:4000]}")
        made.replace(self.path)

    def get_function(self, name):
        """Give a kernel, as ``cupy.RawModule.get_function`` does."""
        if name not in self.kernels:
            raise EmulatorError(f"no kernel {name!r} (have {sorted(self.kernels)})")
        return EmulatedKernel(self, name)


class EmulatedKernel:
    """One kernel; call it as one of CuPy's."""

    def __init__(self, module, name):
        self.module, self.name = module, name
        text = ctypes.create_string_buffer(8192)
        getattr(module.lib, f"emu_sig_{name}")(text)
        self.signature = [s for s in text.value.decode().split(",") if s]
        self._entry = getattr(module.lib, f"emu_call_{name}")
        self.max_dynamic_shared_size_bytes = 48 << 10

    def fail(self, text):
        """Refuse, naming the kernel."""
        raise EmulatorError(f"{self.name}: {text}")

    def __call__(self, grid, block, args, *, shared_mem=0, orders=(0, 1), guard="right", poison=(), scratch=(), loose=False):
        grid, block = ((*g, 1, 1)[:3] for g in (grid, block))
        self._check_launch(grid, block, args, shared_mem)
        runs = [self._run(grid, block, args, shared_mem, order, guard, {*poison, *scratch}) for order in orders]
        for other in () if loose else runs[1:]:
            for i, (a, b) in enumerate(zip(runs[0], other, strict=True)):
                if a is not None and i not in scratch and a.after.tobytes() != b.after.tobytes():
                    k = int(np.argmax(_bytes_of(a.after) != _bytes_of(b.after))) // a.after.itemsize
                    values = a.after.reshape(-1)[k], b.after.reshape(-1)[k]
                    self.fail(
                        f"argument {i} depends on the order threads run in (race), or is not written completely: element {k} is {values}"
                    )
        for memory in runs[0]:
            if memory is not None:
                memory.write_back()

    def _check_launch(self, grid, block, args, shared_mem):
        most = self.module.kernels[self.name][0]
        if min(grid + block) < 1 or grid[0] >= 2**31 or max(grid[1:]) > 65535:
            self.fail(f"bad grid {grid} or block {block}")
        if int(np.prod(block)) > most or max(block[:2]) > 1024 or block[2] > 64:
            self.fail(f"block {block} larger than its limit {most}")
        if shared_mem > self.max_dynamic_shared_size_bytes or shared_mem > 227 << 10:
            self.fail(f"{shared_mem} bytes of dynamic shared memory without max_dynamic_shared_size_bytes")
        if len(args) != len(self.signature):
            self.fail(f"takes {len(self.signature)} arguments, got {len(args)}")

    def _run(self, grid, block, args, shared_mem, order, guard, poison):
        """One run in one order; gives the memory that the kernel may write, with what it wrote."""
        keep, pointers, memories = [], (ctypes.c_void_p * max(1, len(args)))(), []
        try:
            for i, (value, code) in enumerate(zip(args, self.signature, strict=True)):
                memory = None
                if code[0] in "PC":
                    if value is not None:
                        self._check_pointer(i, value, code)
                        memory = _Guarded(value, guard, POISONS[order % 2] if i in poison else None)
                    place = ctypes.c_void_p(0 if memory is None else memory.pointer)
                    pointers[i] = ctypes.cast(ctypes.pointer(place), ctypes.c_void_p)
                else:
                    place = self._check_value(i, value, code)
                    pointers[i] = place.ctypes.data
                keep.append(place)
                memories.append(memory)
            geometry = (ctypes.c_uint * 6)(*grid, *block)
            entry = ctypes.cast(self._entry, ctypes.c_void_p)
            if self.module.lib.emu_launch(entry, pointers, geometry, ctypes.c_size_t(shared_mem), order, 1, 1):
                self.fail(self._where(self.module.lib.emu_error().decode()))
            strays = [i for i, m in enumerate(memories) if m is not None and not m.collect()]
            if strays:
                self.fail(f"wrote outside the elements of argument(s) {strays}")
            return [m if m is not None and code[0] == "P" else None for m, code in zip(memories, self.signature, strict=True)]
        finally:
            for memory in memories:
                if memory is not None:
                    memory.free()

    def _check_pointer(self, i, value, code):
        if not isinstance(value, np.ndarray):
            self.fail(f"argument {i}: pointer wanted, got {type(value)}")
        wanted, size = code[1], int(code[2:])
        if wanted != "v" and _code(value.dtype) != code[1:] and not (wanted in "us" and size == value.itemsize):
            self.fail(f"argument {i}: kernel takes {code[1:]}*, array is {value.dtype}")

    def _check_value(self, i, value, code):
        if not isinstance(value, (bool, int, float, np.generic)) and not (isinstance(value, np.ndarray) and value.ndim == 0):
            self.fail(f"argument {i}: unsupported {type(value)}")
        # What CuPy passes: int as int64, float as float64, NumPy scalars and 0-d arrays as they are.
        given = np.asarray(value)
        same_integer = code[0] in "iu" and given.dtype.kind in "iu" and given.itemsize == int(code[1:])
        same_struct = code[0] == "s" and given.dtype.kind == "V" and given.nbytes == int(code[1:])
        if not (_code(given.dtype) == code or same_integer or same_struct):
            self.fail(f"argument {i}: kernel takes {code}, CuPy would pass {given.dtype}")
        return given

    def _where(self, text):
        found = re.search(r"pc=(0x[0-9a-f]+)", text)
        if not found:
            return text
        maps = Path("/proc/self/maps").read_text().splitlines()
        base = next((int(line.split("-")[0], 16) for line in maps if str(self.module.path) in line), 0)
        command = ["addr2line", "-e", str(self.module.path), hex(int(found[1], 16) - base)]
        try:
            return f"{text} at {subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()}"
        except OSError:
            return text


class _Guarded:
    """A copy of an array's memory whose end (or start) touches an unreadable page, as aligned as the original."""

    def __init__(self, array, side, poison):
        self.array, self.key = array, getattr(type(array), "key", 0)
        reach = [(n - 1) * s for n, s in zip(array.shape, array.strides, strict=True)]
        self.low = sum(r for r in reach if r < 0)
        n = sum(r for r in reach if r > 0) + array.itemsize - self.low if array.size else 0
        start = array.__array_interface__["data"][0] + self.low
        room = (n + 16 + PAGE - 1) // PAGE * PAGE
        self.size = room + 2 * PAGE
        self.base = _libc.mmap(None, self.size, 3, 0x22, -1, 0)
        _libc.mprotect(self.base, PAGE, 0)
        _libc.mprotect(self.base + PAGE + room, PAGE, 0)
        odd = start % 16
        offset = odd if side == "left" else (room - n - odd) // 16 * 16 + odd
        self.pointer = self.base + PAGE + offset - self.low
        self.all = np.frombuffer((ctypes.c_char * room).from_address(self.base + PAGE), np.uint8)
        self.all[:] = _CANARY
        self.memory = self.all[offset : offset + n]
        self.memory[:] = _memory(start, n) ^ self.key
        self.view = self._view(self.memory)
        if poison is not None and n:
            self.view[...] = np.frombuffer(bytes([poison]) * array.itemsize, array.dtype)[0]
        self.before = self.all.copy()
        self.inner = slice(offset, offset + n)
        self.after = None

    def _view(self, memory):
        if not self.array.size:
            return np.empty(self.array.shape, self.array.dtype)
        return np.ndarray(self.array.shape, self.array.dtype, memory.data, -self.low, self.array.strides)

    def collect(self):
        """Keep what was written; whether nothing else was."""
        self.after = self.view.copy()
        self._view(self.before[self.inner])[...] = self.after
        return bool((self.before == self.all).all())

    def write_back(self):
        """Put what was written into the array itself."""
        start = self.array.__array_interface__["data"][0] + self.low
        memory = _memory(start, self.inner.stop - self.inner.start)
        memory[:] = self.before[self.inner] ^ self.key

    def free(self):
        """Give the memory back; what was written stays known."""
        self.all = self.memory = self.view = None
        _libc.munmap(self.base, self.size)


def _memory(start, n):
    return np.frombuffer((ctypes.c_char * n).from_address(start), np.uint8) if n else np.empty(0, np.uint8)


def _bytes_of(array):
    return np.frombuffer(array.tobytes(), np.uint8)


def _code(dtype):
    """The element type as the C++ side writes it."""
    return {"f": "f", "i": "i", "u": "u", "b": "u"}.get(dtype.kind, "s") + str(dtype.itemsize)


def _write(path, text):
    made = path.with_suffix(f".{os.getpid()}")
    made.write_text(text)
    made.replace(path)
