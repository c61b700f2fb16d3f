"""Norms and limits over lists of tensors, in place."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from neurenix import backend, layout
from neurenix.ops.elementwise import Unary, map1
from neurenix.ops.optim import clip_norm, clip_value, total_norm
from neurenix.tensor import Tensor


def _by_kind(tensors: Sequence[Tensor]) -> Iterator[list[Any]]:
    """The tensors' arrays by element type and device, made dense and writable where they are not."""
    kinds: dict[tuple[Any, str], list[Any]] = {}
    for t in tensors:
        if not (t._array.flags.c_contiguous and t._array.flags.writeable):
            dense = backend.new(t._array, t.shape)
            layout.copy_into(dense, t._array)
            t._array = dense
        kinds.setdefault((t.dtype, t.device), []).append(t._array)
    yield from kinds.values()


def clip_by_norm(tensors: Sequence[Tensor], most: float, order: float, clip: bool) -> Tensor:
    """The norm of all tensors together; if ``clip``, they are scaled down to ``most``."""
    kinds = list(_by_kind(tensors))
    norms = [backend.new(arrays[0], (1,), np.float64) for arrays in kinds]
    for arrays, norm in zip(kinds, norms, strict=True):
        total_norm(arrays, norm, order)
    first = backend.device_of(norms[0])
    total = norms[0]
    if len(norms) > 1:
        total = backend.new(total, (1,), np.float64)
        total_norm([backend.to_device(n, first) for n in norms], total, order)
    if clip:
        for arrays in kinds:
            clip_norm(arrays, backend.to_device(total, backend.device_of(arrays[0])), most)
    return Tensor._wrap(layout.cast(total, tensors[0].dtype).reshape(()))


def clip_by_value(tensors: Sequence[Tensor], most: float) -> None:
    """Limit every element to [-most, most]."""
    for arrays in _by_kind(tensors):
        clip_value(arrays, most)


def multiply(tensors: Sequence[Tensor], factor: float) -> None:
    """Multiply every element by a number; each tensor once, however often it is in the list."""
    for t in {id(t): t for t in tensors}.values():
        t._array = map1(Unary.MUL_NUMBER, t._array, factor)
        t._version += 1


def all_finite(tensors: Sequence[Tensor]) -> bool:
    """Whether no element is infinite or NaN; waits for a GPU."""
    some = [t for t in tensors if t._array.size]
    return not some or math.isfinite(clip_by_norm(some, 0.0, math.inf, False).item())
