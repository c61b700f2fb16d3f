"""Change of element type and of device."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurenix import autograd, backend, layout
from neurenix._typing import Array, DeviceLike, DTypeLike, TensorLike
from neurenix.errors import DTypeError
from neurenix.half import bfloat16
from neurenix.tensor import Tensor, as_tensor


def target(args: tuple[Any, ...], dtype: DTypeLike | None, device: DeviceLike | None) -> tuple[DTypeLike | None, DeviceLike | None]:
    """The type and device that the arguments of ``.to(...)`` name: a device, a type or a tensor to be like."""
    for arg in args:
        if isinstance(arg, Tensor):
            dtype, device = arg.dtype, arg.device
        elif isinstance(arg, str) and arg.partition(":")[0] in ("cpu", "cuda", "emulated"):
            device = arg
        else:
            dtype = arg
    return dtype, device


def cast(x: TensorLike, dtype: DTypeLike) -> Tensor:
    """``x`` with elements of another type; the gradient is cast back."""
    x = as_tensor(x)
    try:
        kind = None if dtype == bfloat16 else np.dtype(dtype)
    except TypeError:
        raise DTypeError(f"to: expected an element type or a device, got {dtype!r}; pass e.g. nx.float32 or 'cuda'") from None
    if kind is None or kind.name == bfloat16:
        raise DTypeError(
            "to: expected a type that arrays have, got bfloat16; round products to it with nx.autocast(..., dtype=nx.bfloat16)"
        )
    if kind == x.dtype:
        return x
    if kind.kind not in "biuf" or kind.itemsize > 8:
        raise DTypeError(f"to: expected a float, integer or bool type, got {kind}; pass e.g. nx.float32")
    y = layout.cast(x._array, kind)
    if kind.kind != "f":
        return Tensor._wrap(y)
    source = x.dtype

    def vjp(g: Array) -> tuple[Array]:
        return (layout.cast(g, source),)

    return autograd.record("to", y, (x,), vjp)


def to_device(x: TensorLike, device: DeviceLike) -> Tensor:
    """``x`` on another device; the gradient comes back."""
    x = as_tensor(x)
    source = x.device
    y = backend.to_device(x._array, device)
    if y is x._array:
        return x

    def vjp(g: Array) -> tuple[Array]:
        return (backend.to_device(g, source),)

    return autograd.record("to", y, (x,), vjp)
