"""The kernel table: a row of data declares each compiled kernel, for both devices.

A row is a typed signature with no body. From it follow the Rust function's arguments, the CUDA symbol's parameter list,
the launch and the checks; tests prove it against both. The words in the signature:

======================  =====================================================================================
``In``, ``Out``         dense array in C order, of the row's element type; read / written completely
``InOut``, ``Scratch``  read and written / written with no meaning kept
``Index``, ``Mask``     int64 / bool, read; ``IndexOut``, ``MaskOut`` are written
``Double``              float64 whatever the row's element type; ``DoubleOut`` is written
``Strided[...]``        of any strides (a view); ``Optional[...]`` may be None; ``List[...]`` a list of arrays
``Size``, ``Offset``    never negative / signed 64-bit
``Real``                double
``Enum``                one of a few ways, by number; ``Key`` a 64-bit random key
======================  =====================================================================================
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Annotated, Any, Final, ParamSpec, TypeAlias, TypeVar, cast

import numpy as np

from neurenix.backend import doors

In: TypeAlias = Any
Out: TypeAlias = Any
InOut: TypeAlias = Any
Scratch: TypeAlias = Any
Other: TypeAlias = Any  # of any element type
Index: TypeAlias = Any
IndexOut: TypeAlias = Any
Mask: TypeAlias = Any
MaskOut: TypeAlias = Any
Double: TypeAlias = Any
DoubleOut: TypeAlias = Any
Size: TypeAlias = int
Offset: TypeAlias = int
Real: TypeAlias = float
Enum: TypeAlias = int
Key: TypeAlias = int
_T = TypeVar("_T")
Strided = Annotated[_T, "strided"]
Optional = Annotated[_T | None, "optional"]
List = Annotated[list[_T], "list"]
P = ParamSpec("P")

_skipping: ContextVar[str] = ContextVar("skipping", default="")


@contextmanager
def skipped(but_memory: bool = False) -> Iterator[None]:
    """Context in which kernels are not run: shapes and memory come out as ever, values have no meaning.

    With ``but_memory`` the CPU's are called while the extension plans, and take what memory they would take for themselves.
    """
    token = _skipping.set("memory" if but_memory else "all")
    try:
        yield
    finally:
        _skipping.reset(token)


def is_skipping() -> bool:
    """Whether kernels are not run here."""
    return bool(_skipping.get())


def is_planning() -> bool:
    """Whether they are called for their memory."""
    return _skipping.get() == "memory"


VALUES: Final = frozenset({"Size", "Offset", "Real", "Enum", "Key"})
KERNELS: Final[dict[str, Kernel]] = {}


class Kernel:
    """One row of the table; calling it runs the kernel where its arrays are."""

    __slots__ = ("_cpu", "_first", "gpu_only", "group", "name", "params", "stem", "text")

    def __init__(self, name: str, stem: str, group: str, params: tuple[tuple[str, str], ...], text: str, gpu_only: bool = False) -> None:
        self.name, self.stem, self.group, self.params, self.text, self.gpu_only = name, stem, group, params, text, gpu_only
        self._first = next(i for i, (_, role) in enumerate(params) if role not in VALUES and not role.startswith("Optional"))
        self._cpu: Callable[..., None] | None = None

    def __call__(self, *args: Any) -> None:
        """Run the kernel; arguments in the order of the row."""
        if _skipping.get() == "all":
            return
        first = args[self._first]
        if type(first) is list:
            first = first[0]
        if type(first) is np.ndarray:
            if self._cpu is None:
                self._cpu = doors.cpu_function(self.name)
            self._cpu(*args)
        else:
            doors.door_of(first).launch(self, args)

    def __repr__(self) -> str:
        return f"{self.name}<{self.group}>({', '.join(f'{n}: {r}' for n, r in self.params)})"


def kernel(group: str, *, gpu_only: bool = False) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Declare a row; ``group`` is the element types it ranges over: "singles" (float32), "floats", "wide" (also int64),
    "integers", "numbers", "every" (also float16) or "bytes" (moved as bits).

    A ``gpu_only`` row has no Rust function: on a CPU other rows compute the same.
    """

    def declare(signature: Callable[P, None]) -> Callable[P, None]:
        name = signature.__name__
        if name in KERNELS:
            raise ValueError(f"kernel {name!r} is declared twice")
        params = tuple((word, role) for word, role in signature.__annotations__.items() if word != "return")  # text, in order
        stem = signature.__module__.rpartition(".")[2].lstrip("_")
        row = KERNELS[name] = Kernel(name, stem, group, params, inspect.getdoc(signature) or "", gpu_only)
        return cast(Callable[P, None], row)

    return declare
