"""Values of parameters and buffers: read-only views out, checked copies in, moves between types and devices."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from neurenix import backend, layout
from neurenix._typing import DeviceLike, DTypeLike
from neurenix.ops._derived import _sum_of
from neurenix.ops.elementwise import IntegerBinary, integer_binary, scalar
from neurenix.tensor import Tensor, as_tensor, is_foreign


def read_only(t: Tensor) -> Tensor:
    """A detached tensor over the same memory; on the CPU nobody can write through it."""
    array = t._array.view()
    if type(array) is np.ndarray:
        array.flags.writeable = False
    else:
        t._exposed = True
    return Tensor._wrap(array)


def as_value(value: Any, like: Tensor) -> Tensor:
    """``value`` as a tensor, also where it is another library's tensor; numbers take ``like``'s type."""
    if is_foreign(value):
        for leave in ("detach", "cpu"):  # what PyTorch asks for before it gives an array away
            value = getattr(value, leave, lambda value=value: value)()
        if str(getattr(value, "dtype", "")).endswith("bfloat16"):  # which NumPy has no type for
            value = value.float() if hasattr(value, "float") else np.asarray(value).astype(np.float32)
        return Tensor(np.asarray(value))
    return as_tensor(value, like)


def overwrite(targets: list[Tensor], values: list[Tensor]) -> None:
    """Give every target a copy of its value; where one cannot be had, none is changed."""
    copies = [backend.to_device(layout.copy(v._array), t.device) for t, v in zip(targets, values, strict=True)]
    for t, array in zip(targets, copies, strict=True):
        replace(t, array)


def replace(t: Tensor, array: Any) -> None:
    """Give ``t`` a new array that nobody else has; graphs made from the old one notice, and layouts made from it go."""
    t._array, t._exposed, t._derived = array, False, None
    t._version += 1


def count(t: Tensor) -> None:
    """Add one to an integer of the module's own, in a new array as every value that is assigned."""
    array = backend.new(t._array, t.shape)
    integer_binary(array, t._array, scalar(t._array, 1), IntegerBinary.ADD)
    replace(t, array)


def move(t: Tensor, dtype: DTypeLike | None, device: DeviceLike | None) -> None:
    """Change a parameter's or buffer's type (floats only) and device in place, its gradient's too."""
    array = t._array
    if dtype is not None and array.dtype.kind == "f":
        array = layout.cast(array, np.dtype(dtype))
    if device is not None:
        array = backend.to_device(array, device)
    if array is not t._array:
        replace(t, array)
    if t.grad is not None:
        move(t.grad, dtype, device)


def fingerprints(tensors: Iterable[Tensor]) -> list[tuple[Tensor, int, int | None]]:
    """What :func:`unchanged` compares with: versions, and checksums of what the user may write to."""
    return [(t, t._version, _sum_of(t._array) if t._exposed else None) for t in tensors]


def unchanged(kept: Iterable[tuple[Tensor, int, int | None]]) -> bool:
    """Whether tensors still have the values of :func:`fingerprints`; one that was handed out since counts as changed."""
    return all(t._version == version and (not t._exposed or total == _sum_of(t._array)) for t, version, total in kept)


def is_float_type(dtype: DTypeLike) -> bool:
    """Whether ``dtype`` names a floating type."""
    try:
        return np.dtype(dtype).kind == "f"
    except TypeError:
        return False
