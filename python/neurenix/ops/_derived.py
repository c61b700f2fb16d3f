"""Kernels' own layouts of a tensor's values, kept on the tensor until they change.

A layout is valid for one version of its tensor. A tensor whose memory the user may write to (``_exposed``) is compared by
a 64-bit checksum as well, and prepared anew only where that changed: never a stale weight. On a GPU each stream has its
own, since another stream's may still be on their way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from neurenix import autograd, backend
from neurenix._typing import Array
from neurenix.backend.kernel import In, IndexOut, _skipping, is_planning, is_skipping, kernel
from neurenix.layout import contiguous
from neurenix.tensor import Tensor


@kernel("bytes")
def checksum(x: In, sum: IndexOut) -> None:
    """sum[0] = a 64-bit checksum of the elements of x and their places."""


Layout = TypeVar("Layout")  # an array, or a tensor that has layouts of its own


class Kept(NamedTuple):
    """Layouts of one state of a tensor's values."""

    version: int
    array: Array
    sum: int | None  # None: nobody could write when the layouts were made
    layouts: dict[object, Any]


def _sum_of(array: Array) -> int:
    total = backend.new(array, (1,), np.int64)
    checksum(contiguous(array), total)
    return int(backend.to_numpy(total)[0])


def _valid(t: Tensor, kept: Kept) -> bool:
    if kept.version != t._version or kept.array is not t._array:
        return False
    return not t._exposed or (kept.sum is not None and kept.sum == _sum_of(t._array))


def keeps(t: Tensor) -> bool:
    """Whether layouts of a tensor are kept now: not while a gradient of it is recorded, its values change before the next use."""
    return not (t.requires_grad and autograd.is_grad_enabled())


def found(t: Tensor, key: object) -> Any:
    """What :func:`derived` keeps for ``key`` on a CPU, where a look at versions is enough to trust it; else ``None``."""
    kept: Kept | None = t._derived
    if kept is None or kept.version != t._version or kept.array is not t._array or t._exposed or _skipping.get():
        return None
    return kept.layouts.get(key)  # a GPU's keys are others


def derived(t: Tensor, key: object, make: Callable[[], Layout]) -> Layout:
    """``make()``, or what it gave for the same ``key`` and values of ``t`` before; see :func:`keeps`."""
    layout: Layout | None = found(t, key)
    if layout is not None:
        return layout
    if is_skipping() and not is_planning():
        return make()
    kept: Kept | None = t._derived
    key = key if type(t._array) is np.ndarray else (key, backend.queue_of(t._array))
    if kept is not None and _valid(t, kept):
        if key not in kept.layouts:
            kept.layouts[key] = make()
        known: Layout = kept.layouts[key]
        return known
    t._derived = None
    layout = make()
    if keeps(t):
        t._derived = Kept(t._version, t._array, _sum_of(t._array) if t._exposed else None, {key: layout})
    return layout


class Joint(NamedTuple):
    """An array made of several tensors' values, and what these were: each one's array and version."""

    array: Array
    made_of: list[tuple[Array, int]]


def derived_of_all(tensors: Sequence[Tensor], key: object, make: Callable[[], Array]) -> Array:
    """As :func:`derived`, of the values of several tensors, kept on the first; of memory that the user may write to nothing is kept."""
    joint: Joint | None = found(tensors[0], key)
    if joint is not None:
        for t, (array, version) in zip(tensors, joint.made_of, strict=True):
            if t._array is not array or t._version != version or t._exposed:
                break
        else:
            return joint.array
    if any(t._exposed or not keeps(t) for t in tensors):
        return make()
    tensors[0]._derived = None
    return derived(tensors[0], key, lambda: Joint(make(), [(t._array, t._version) for t in tensors])).array
