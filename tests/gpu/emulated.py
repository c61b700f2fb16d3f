"""A GPU for tests: arrays that refuse to compute, and kernels that run in the emulator.

An :class:`EmulatedArray` behaves as the library may expect of ``cupy.ndarray``: it has a shape, strides and views, and
nothing else. Whatever would make CuPy run a kernel of its own raises. Its bytes are scrambled (each xor ``key``) wherever
the host can see them, so a conversion that slips through computes nonsense. Importing this module adds the device
"emulated"; its launches go through the library's own launch code and run the unchanged ``.cu`` files.
"""

from __future__ import annotations

import functools
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from neurenix.backend import doors, launch, sources
from neurenix.backend.kernel import VALUES

sys.path.insert(0, str(Path(__file__).parent / "emulator"))
from module import EmulatedModule, EmulatorError  # noqa: F401

GXX = shutil.which(os.environ.get("CXX", "g++"))
_VIEWS = {np.broadcast_to, np.transpose, np.moveaxis, np.swapaxes, np.expand_dims, np.squeeze, np.flip, np.shape, np.ndim}
_COMPUTING = (
    "all", "any", "argmax", "argmin", "argpartition", "argsort", "astype", "byteswap", "choose", "clip", "compress", "conj",
    "conjugate", "copy", "cumprod", "cumsum", "diagonal", "dot", "dump", "dumps", "fill", "flatten", "item", "max", "mean", "min",
    "nonzero", "partition", "prod", "ptp", "put", "repeat", "resize", "round", "searchsorted", "sort", "std", "sum", "take",
    "tobytes", "tofile", "tolist", "trace", "var", "__setitem__", "__iter__", "__bool__", "__float__", "__int__", "__index__",
    "__complex__", "__contains__", "__array__", "__copy__", "__deepcopy__", "__reduce__", "__reduce_ex__", "__dlpack__",
    "__divmod__", "__matmul__",
)  # fmt: skip


class EmulatedArray(np.ndarray):
    """An array on the emulated GPU: views and nothing else."""

    key = 0xA5
    __array_priority__ = 1000

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        raise TypeError(f"an emulated array computes nothing by itself: np.{ufunc.__name__} would run a kernel of CuPy's")

    def __array_function__(self, func, types, args, kwargs):
        if func not in _VIEWS:
            raise TypeError(f"an emulated array computes nothing by itself: np.{func.__name__} would run a kernel of CuPy's")
        plain = [a.view(np.ndarray) if isinstance(a, EmulatedArray) else a for a in args]
        out = func(*plain, **kwargs)
        return self.again(out) if isinstance(out, np.ndarray) else out

    def again(self, array):
        """Give what is made of this array its type."""
        return array.view(EmulatedArray)

    def __getitem__(self, index):
        parts = index if isinstance(index, tuple) else (index,)
        if any(isinstance(p, (list, np.ndarray)) for p in parts):
            raise TypeError("an emulated array computes nothing by itself: an array of indices would run a kernel of CuPy's")
        out = self.view(np.ndarray)[(*parts, ...)] if Ellipsis not in parts else self.view(np.ndarray)[index]
        return self.again(out)  # one element is a 0-d array, as CuPy gives

    def reshape(self, *shape, **kwargs):
        """Give a view of another shape; where there is none CuPy would copy with a kernel of its own."""
        out = super().reshape(*shape, **kwargs)
        if self.size and not np.shares_memory(out.view(np.ndarray), self.view(np.ndarray)):
            raise TypeError("an emulated array computes nothing by itself: this reshape would copy with a kernel of CuPy's")
        return out

    def ravel(self, order="C"):
        """Give the elements along one axis; refused where CuPy would copy."""
        return self.reshape(-1)

    def __repr__(self):
        return f"EmulatedArray(shape={self.shape}, dtype={self.dtype})"

    __str__ = __repr__
    __format__ = object.__format__


def _refuse(name):
    def method(self, *args, **kwargs):
        raise TypeError(f"an emulated array computes nothing by itself: .{name} would leave our kernels")

    return method


for _name in _COMPUTING:
    setattr(EmulatedArray, _name, _refuse(_name))


def _aligned(shape, dtype):
    """An array on a boundary of 512 bytes, as CuPy allocates."""
    n = int(np.prod(shape)) * dtype.itemsize
    memory = np.empty(n + 512, np.uint8)
    start = -memory.ctypes.data % 512
    return memory[start : start + n].view(dtype).reshape(shape) if n else np.empty(shape, dtype)


def require():
    """Skip the calling test, by name, where there is no host compiler; in CI that is a failure."""
    if GXX is None:
        text = "the emulator needs g++ (or CXX); install one"
        pytest.fail(text) if os.environ.get("CI") else pytest.skip(text)


@functools.cache
def module(stem, suffix):
    """A stem's file compiled for one element type."""
    return EmulatedModule(sources.unit(stem, suffix))


class EmulatedDoor:
    """The way to the emulated kernels; what :class:`neurenix.backend.cuda.CudaDoor` is to a GPU."""

    array_type = EmulatedArray
    most_blocks = 3  # few, so that loops over the grid go round
    capability, processors = int(os.environ.get("NEURENIX_EMULATED_CARD", "70")), 4  # 70: no tensor cores, unless a test says 80

    def __init__(self):
        self.launched = []  # names of the rows that ran
        self.kernels = []  # and of their kernels
        self.guard = "right"
        self.orders = (0, 1)  # in which the threads of a block run; what the first leaves behind counts

    def launch(self, row, args):
        launch.run(row, args, self)

    def address(self, array):
        return array.view(np.ndarray).__array_interface__["data"][0]

    def card(self):
        return self.capability, self.processors

    def scratch(self, like, size, dtype):
        return self.empty((size,), dtype, "emulated")

    def function(self, row, rule, suffix):
        name = rule.kernel or row.name
        kernel = module(rule.file or row.stem, suffix).get_function(f"{name}_{suffix}")
        poison, scratch = places(row, rule)

        def call(grid, block, args):
            self.launched.append(row.name)
            self.kernels.append(name)
            begun = rule.entries and args[-2] > 0  # earlier entries of the lists have written
            kernel(
                grid,
                block,
                args,
                guard=self.guard,
                orders=self.orders,
                poison=() if begun else poison,
                scratch=scratch,
                loose=rule.unordered,
            )

        return call

    def empty(self, shape, dtype, device):
        array = _aligned(shape, dtype)
        array.view(np.ndarray).reshape(-1).view(np.uint8)[:] = 0xFF ^ EmulatedArray.key  # NaN in every float format
        return array.view(EmulatedArray)

    def from_numpy(self, array, device):
        copy = _aligned(array.shape, array.dtype)
        copy[...] = array
        _scramble(copy)
        return copy.view(EmulatedArray)

    def to_numpy(self, array):
        copy = np.array(array.view(np.ndarray), order="C")
        _scramble(copy)
        return copy

    def across(self, array, device):
        return array

    def upload(self, array, device):
        copy = self.from_numpy(array, device)
        return lambda: copy

    def landing(self, shape, dtype, device):
        return np.full(shape, 0xFF, np.uint8).astype(dtype)

    def download(self, array, host):
        """Copy late: when somebody asks for the second time whether it is there."""
        assert array.flags.c_contiguous
        asked = []

        def is_there():
            asked.append(None)
            if len(asked) == 2:
                host[...] = self.to_numpy(array)
            return len(asked) > 2

        return is_there

    def device(self, array):
        return "emulated"

    def queue(self, device):
        return 0

    def memory_stats(self, device):
        return {"live": 0, "peak": 0, "cached": 0}

    def reset_peak(self, device):
        pass

    def empty_cache(self, device):
        pass


def places(row, rule):
    """Where a kernel's arguments are written completely, and where they are scratch."""
    found = {"Out": [], "Scratch": []}
    at = 0
    for _, role in row.params:
        inner = role.rstrip("]").rpartition("[")[2]
        kind = "Out" if inner in ("Out", "IndexOut", "MaskOut", "DoubleOut") else inner
        found.get(kind, []).append(at)
        with_length = rule.lengths and role not in VALUES
        at += 3 if inner == "Other" else 2 if role.startswith("Strided") or with_length else 1
    if rule.more:  # the first of several kernels writes nothing but what it hands over
        return (at,) if rule.scratch is not None else (), tuple(found["Scratch"])
    return () if rule.continues else tuple(found["Out"]), tuple(found["Scratch"])


def _scramble(array):
    bits = array.reshape(-1).view(np.uint8)
    bits ^= EmulatedArray.key


door = EmulatedDoor()
doors.add_door(EmulatedArray, "emulated", door)
