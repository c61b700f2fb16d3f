"""From a row of the kernel table and its arguments to the launch of its CUDA kernel.

The checks and their texts are those of the CPU's binding (``rust/neurenix-py/src/roles.rs``). Nothing here imports CuPy: what
is particular to a kind of array is asked from the :class:`Device`, so that tests run this very code on an emulated one.

What a kernel gets for an argument, by role:

======================  =====================================================================================
an array                a pointer; ``None`` is a null pointer; with ``lengths`` its number of elements too
``Strided[...]``        a pointer to position (0, ..., 0) and a ``View`` by value
``Strided[Other]``      an untyped pointer, a ``View`` and the number of the element type
``Size``, ``Offset``    64-bit integers; ``Enum`` too; ``Key`` unsigned
``Real``                a double
``List[...]``           an array: the kernel is launched once for each entry, an empty list is a null pointer
======================  =====================================================================================

Which kernel computes a row may depend on the element type, the precision setting, the card and the sizes (``sources.py``).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from neurenix._typing import Array
from neurenix.backend import sources
from neurenix.backend.kernel import VALUES
from neurenix.backend.sources import Rule
from neurenix.errors import BackendUnavailableError, InternalError, ShapeError
from neurenix.precision import get_float32_precision

if TYPE_CHECKING:
    from neurenix.backend.kernel import Kernel

MAX_AXES: Final = 16
VIEW: Final = np.dtype([("axes", "i8"), ("size", "i8"), ("shape", "i8", MAX_AXES), ("strides", "i8", MAX_AXES)])
WRITTEN: Final = frozenset({"Out", "InOut", "Scratch", "IndexOut", "MaskOut", "DoubleOut"})
_ELEMENTS: Final = {"Index": "i64", "IndexOut": "i64", "Mask": "u8", "MaskOut": "u8", "Double": "f64", "DoubleOut": "f64"}
_RUST_NAMES: Final = {"f16": "half::binary16::f16", "b1": "u8", "b2": "u16", "b4": "u32", "b8": "u64"}
_MOST_BLOCKS_X: Final = 2**31 - 1
_WANTED: Final = {"singles": "float32", "floats": "float32 or float64", "wide": "float32 or float64", "integers": "integers"}


class Device(Protocol):
    """What launching asks about one kind of array."""

    array_type: type
    most_blocks: int

    def address(self, array: Array) -> int:
        """Give the address of position (0, ..., 0)."""

    def function(self, row: Kernel, rule: Rule, suffix: str) -> Callable[[tuple[int, ...], tuple[int, ...], tuple[Any, ...]], None]:
        """Give the compiled kernel, to be called as ``function(grid, block, arguments)``."""

    def card(self) -> tuple[int, int]:
        """Give compute capability (80 for 8.0) and number of multiprocessors of the current device."""

    def scratch(self, like: Array, size: int, dtype: np.dtype[Any]) -> Array:
        """Give memory with no meaning in it for so many elements, on the device of ``like``."""


def run(row: Kernel, args: Sequence[Any], device: Device) -> None:
    """Check the arguments of one row and launch its kernel; returns before it has run."""
    rule = sources.rules(row.stem).get(row.name)
    if rule is None:
        raise BackendUnavailableError(f'{row.name}: no CUDA kernel yet; move the arrays to the CPU with .to("cpu")')
    call = _Call(row, args, device, rule.lengths)
    try:
        call.suffix = call.element()
        for name, role in row.params:
            call.take(name, role)
        call.finish()
    except _RefusalError as refusal:
        raise InternalError(f"internal: {row.name}: {refusal}") from None
    if rule.joined:
        call.join()
    for sizes, given in call.launches(rule.entries):
        _launch(call, *_way(call, rule, sizes), given)


def _way(call: _Call, rule: Rule, sizes: dict[str, int]) -> tuple[Rule, dict[str, int]]:
    """The rule whose conditions hold, ``rule`` where none of the others' do, and the sizes that it knows."""
    for way in sources.ways(call.row.name):
        if call.suffix not in way.kinds or get_float32_precision() not in way.precisions:
            continue
        capability, processors = call.device.card()
        known = way.numbers(sizes | {"processors": processors})
        if capability >= way.capability and way.suits(known):
            return way, known
    return rule, rule.numbers(sizes)


def _launch(call: _Call, rule: Rule, sizes: dict[str, int], given: tuple[Any, ...]) -> None:
    row, device, size = call.row, call.device, rule.scratch_size(sizes)
    entry = given[-2:] if rule.entries else ()
    more = [np.int64(sizes[name]) for name, _ in rule.lets]
    if size is not None:
        more.insert(0, device.scratch(call.first, size, call.first.dtype if rule.doubles is None else np.dtype(np.float64)))
    given = (*given[: len(given) - len(entry)], *more, *entry)
    for step in rule.passes:
        grid = step.grid(sizes, call.first.size, device.most_blocks)
        if 0 in grid or not step.due(sizes):
            continue
        if grid[0] > _MOST_BLOCKS_X or max(grid[1:], default=0) > 0xFFFF:
            raise ShapeError(f"{row.name}: expected sizes within the grid of a GPU, got {grid} blocks; use a smaller batch or tile")
        for number in range(step.rounds(sizes)):
            last = () if step.times is None else (np.int64(number),)
            device.function(row, step, call.suffix)(grid, (step.block,), (*given, *last))


class _RefusalError(Exception):
    """A refused argument; the operation above has let something through that it should not have."""


class _Call:
    """The arguments of one launch, read in order, and the checks between them."""

    __slots__ = ("args", "device", "first", "given", "lengths", "lists", "next", "read", "row", "sizes", "suffix", "views", "written")

    def __init__(self, row: Kernel, args: Sequence[Any], device: Device, lengths: bool) -> None:
        self.row, self.args, self.device, self.next, self.lengths = row, args, device, 0, lengths
        self.suffix = ""
        self.first: Any = None
        self.given: list[Any] = []
        self.lists: list[tuple[int, str, list[Array]]] = []
        self.views: list[tuple[int, Array]] = []  # where in `given` the view of a strided array goes
        self.sizes: dict[str, int] = {}
        self.read: list[tuple[int, int]] = []
        self.written: list[tuple[int, int]] = []

    def element(self) -> str:
        """The suffix for the element type of the first array argument."""
        first = next((a for a in self.args if a is not None), None)
        if type(first) is list:
            if not first:
                raise _RefusalError("expected a list with arrays, got an empty one")
            first = first[0]
        if first is None:
            raise _RefusalError("expected an array among the arguments")
        kind = self._kind(first)
        suffix = sources.suffix_of(self.row, first.dtype)
        if suffix is None:
            raise _RefusalError(f"expected {_WANTED.get(self.row.group, 'numbers')}, got {kind}")
        return suffix

    def _kind(self, array: Any) -> str:
        """The name of an array's element type."""
        wanted, kind = self.device.array_type, type(array)
        if kind is not wanted:
            raise _RefusalError(f"expected {wanted.__module__}.{wanted.__name__}, got {kind}")
        if array.dtype not in sources.KIND_OF:
            raise _RefusalError(f"expected a native number type, got {array.dtype}")
        if any(s % array.itemsize for s in array.strides):
            raise _RefusalError("expected aligned elements")
        return str(array.dtype)

    def take(self, name: str, role: str) -> None:
        """Check the next argument and keep what the kernel gets for it."""
        if self.next >= len(self.args):
            raise _RefusalError(f"{name}: expected more than {len(self.args)} arguments")
        value = self.args[self.next]
        self.next += 1
        form, _, inner = role.rstrip("]").rpartition("[")
        try:
            if role in VALUES:
                self._value(name, role, value)
            elif form == "List":
                self._list(name, inner, value)
            elif value is None and form == "Optional":
                self.given += [None, np.int64(0)] if self.lengths else [None]
            else:
                self._array(inner, value, form == "Strided")
                self.sizes[name] = value.size
        except _RefusalError as refusal:
            raise _RefusalError(f"{name}: {refusal}") from None

    def _array(self, role: str, array: Any, strided: bool) -> None:
        kind = self._kind(array)
        if role != "Other":
            suffix = _ELEMENTS.get(role, self.suffix)
            if array.dtype not in sources.READS[suffix]:
                raise _RefusalError(f"expected elements of {_RUST_NAMES.get(suffix, suffix)}, got {kind}")
        if not strided and not array.flags.c_contiguous:
            raise _RefusalError("expected a dense array in C order")
        span = _span(array, self.device.address(array))
        if role in WRITTEN:
            if not getattr(array.flags, "writeable", True) or _repeats(array):
                raise _RefusalError("expected a writable output whose elements are distinct")
            self.written.append(span)
        else:
            self.read.append(span)
        if self.first is None:
            self.first = array
        self.given.append(array)
        if strided:
            if array.ndim > MAX_AXES:
                raise _RefusalError(f"expected at most {MAX_AXES} axes, got {array.ndim}")
            self.views.append((len(self.given), array))
            self.given.append(None)
        elif self.lengths:
            self.given.append(np.int64(array.size))
        if role == "Other":
            self.given.append(np.int64(sources.KINDS.index(sources.KIND_OF[array.dtype])))

    def _list(self, name: str, role: str, values: Any) -> None:
        if not isinstance(values, list):
            raise _RefusalError(f"expected a list of arrays, got {type(values)}")
        before = len(self.given)
        for value in values:
            self._array(role, value, False)
        del self.given[before:]
        self.lists.append((len(self.given), name, values))
        self.given += [None, np.int64(0)] if self.lengths else [None]

    def _value(self, name: str, role: str, value: Any) -> None:
        what, pack = _VALUES[role]
        try:
            packed = pack(value)
        except (TypeError, ValueError, OverflowError):
            raise _RefusalError(f"expected {what}, got {value}") from None
        if role in ("Size", "Enum"):
            self.sizes[name] = int(packed)
        self.given.append(packed)

    def finish(self) -> None:
        """Refuse an output that overlaps another argument, and arguments left over."""
        if self.next != len(self.args):
            raise _RefusalError(f"expected {self.next} arguments, got {len(self.args)}")
        reach = written_reach = 0
        for low, high, written in sorted([(*s, False) for s in self.read] + [(*s, True) for s in self.written]):
            if low < high and (low < written_reach or (written and low < reach)):
                raise _RefusalError("expected an output that overlaps no other array")
            reach, written_reach = max(reach, high), max(written_reach, high if written else 0)

    def join(self) -> None:
        """Give all strided arrays one walk with as few axes as can be."""
        arrays = [a for _, a in self.views]
        for a in arrays[1:]:
            if a.shape != arrays[0].shape:
                raise ShapeError(f"{self.row.name}: expected {list(arrays[0].shape)}, got {list(a.shape)}")
        shape, steps = joined(arrays)
        for (place, _), strides in zip(self.views, steps, strict=True):
            self.given[place] = _view(shape, strides)
        self.views = []

    def launches(self, numbered: bool) -> Iterator[tuple[dict[str, int], tuple[Any, ...]]]:
        """Sizes by name and what the kernel gets: once, or once for each entry of the lists (in order)."""
        for place, a in self.views:
            self.given[place] = _view(a.shape, [s // a.itemsize for s in a.strides])
        if not self.lists:
            yield self.sizes, tuple(self.given)
            return
        lists = [entry for entry in self.lists if entry[2]]
        if len({tuple(a.size for a in arrays) for _, _, arrays in lists}) > 1:
            raise ShapeError(f"{self.row.name}: expected arrays of the same sizes in each list; check states and gradients")
        count = len(lists[0][2])
        for i in range(count):
            given, sizes = list(self.given), dict(self.sizes)
            for place, name, arrays in lists:
                given[place], sizes[name] = arrays[i], arrays[i].size
                if self.lengths:
                    given[place + 1] = np.int64(arrays[i].size)
            yield sizes, (*given, np.int64(i), np.int64(count)) if numbered else tuple(given)


def joined(arrays: Sequence[Array]) -> tuple[list[int], list[list[int]]]:
    """One shape and a list of steps an array: axes ordered by steps, neighbours that are one run joined."""
    if all(a.flags.c_contiguous for a in arrays):
        return [arrays[0].size], [[1] for _ in arrays]
    axes = [(n, [a.strides[i] // a.itemsize for a in arrays]) for i, n in enumerate(arrays[0].shape) if n != 1]
    axes.sort(key=lambda axis: [-abs(s) for s in axis[1]])
    found: list[tuple[int, list[int]]] = []
    for n, steps in axes:
        if found and all(above == s * n for above, s in zip(found[-1][1], steps, strict=True)):
            found[-1] = (found[-1][0] * n, steps)
        else:
            found.append((n, steps))
    return [n for n, _ in found], [[steps[k] for _, steps in found] for k in range(len(arrays))]


def _view(shape: Sequence[int], strides: Sequence[int]) -> np.ndarray[Any, Any]:
    view = np.zeros((), VIEW)
    axes = len(shape) or 1
    view["axes"], view["size"] = axes, math.prod(shape)
    view["shape"][:axes], view["strides"][:axes] = shape or (1,), strides or (0,)
    return view


def _span(array: Array, start: int) -> tuple[int, int]:
    """The bytes from the lowest to behind the highest; empty for an array without elements."""
    if array.size == 0:
        return (0, 0)
    if array.flags.c_contiguous:
        return (start, start + array.nbytes)
    reach = [(n - 1) * s for n, s in zip(array.shape, array.strides, strict=True)]
    return (start + sum(r for r in reach if r < 0), start + sum(r for r in reach if r > 0) + array.itemsize)


def _repeats(array: Array) -> bool:
    """Whether two positions may be the same element (an expanded array)."""
    if array.flags.c_contiguous:
        return False
    reach = 0
    for step, n in sorted((abs(s), n) for s, n in zip(array.strides, array.shape, strict=True) if n > 1):
        if step <= reach:
            return True
        reach += step * (n - 1)
    return False


def _unsigned(value: Any) -> np.int64:
    number = operator.index(value)
    if number < 0:
        raise ValueError
    return np.int64(number)


def _real(value: Any) -> np.float64:
    if not isinstance(value, (int, float, np.generic)):
        raise TypeError
    return np.float64(value)


_VALUES: Final[dict[str, tuple[str, Callable[[Any], Any]]]] = {
    "Size": ("a size", _unsigned),
    "Offset": ("an offset", lambda v: np.int64(operator.index(v))),
    "Enum": ("a number of a way", _unsigned),
    "Key": ("a 64-bit key", lambda v: np.uint64(operator.index(v))),
    "Real": ("a number", _real),
}
