"""How arrays lie in memory.

Arrays are logically (N, C, H, W) wherever a user looks; a 4-D map that an operation of ours makes lies as N, H, W, C:
channels are the vector lanes of a CPU and the tensor-core depth of a GPU. The order is decided here and never guessed from
strides where both orders are the same bytes (C = 1 or H = W = 1).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from neurenix import backend
from neurenix._typing import Array, DTypeLike
from neurenix.backend.kernel import In, InOut, Other, Out, Strided, kernel


@kernel("bytes")
def copy_into(y: Strided[Out], x: Strided[In]) -> None:
    """y = x, both of one shape and any strides."""


@kernel("numbers")
def accumulate(total: Strided[InOut], more: Strided[In]) -> None:
    """total += more."""


@kernel("every")
def cast_into(y: Strided[Out], x: Strided[Other]) -> None:
    """y = x with a change of type: floats to integers towards zero, saturating; integers wrap."""


@kernel("every")
def truth_into(y: Strided[Out], x: Strided[Other]) -> None:
    """y = (x != 0), how a number becomes a bool."""


def channels_last(x: Array) -> Array:
    """The dense (N, H, W, C) buffer of a logical (N, C, H, W) map, any axes behind C: a view where it already lies so, else a copy."""
    y = x.transpose(0, *range(2, x.ndim), 1)
    if y.flags.c_contiguous:
        return y
    buffer = backend.new(x, y.shape)
    copy_into(buffer, y)
    return buffer


def order_of(x: Array) -> tuple[int, ...]:
    """The axes of ``x`` from the largest step to the smallest; C order where an axis is expanded."""
    natural = tuple(range(x.ndim))
    if x.flags.c_contiguous:
        return natural
    steps = [abs(s) if n > 1 else None for s, n in zip(x.strides, x.shape, strict=True)]
    if 0 in steps:
        return natural
    # An axis of size 1 fits anywhere: it stays behind its neighbour, so that maps of one row keep their order.
    known = [s if s is not None else x.strides[i] for i, s in enumerate(steps)]
    return tuple(sorted(natural, key=lambda i: (-abs(known[i]), i)))


def empty_like(x: Array, dtype: DTypeLike | None = None) -> Array:
    """A new dense array of ``x``'s shape in ``x``'s order of axes."""
    order = order_of(x)
    buffer = backend.new(x, tuple(x.shape[i] for i in order), dtype)
    inverse = sorted(range(x.ndim), key=order.__getitem__)
    return buffer.transpose(inverse)


def copy(x: Array) -> Array:
    """A dense copy in the same order of axes."""
    y = empty_like(x)
    copy_into(y, x)
    return y


def contiguous(x: Array) -> Array:
    """``x`` dense in C order: itself, or a copy."""
    if x.flags.c_contiguous:
        return x
    y = backend.new(x, x.shape)
    copy_into(y, x)
    return y


def in_order(x: Array, order: tuple[int, ...]) -> Array:
    """The dense buffer of ``x`` with its axes in this order: a view where it already lies so, else a copy."""
    return contiguous(x.transpose(order))


def from_order(buffer: Array, order: tuple[int, ...]) -> Array:
    """The logical array of such a buffer."""
    return buffer.transpose(sorted(range(buffer.ndim), key=order.__getitem__))


def cast(x: Array, dtype: DTypeLike) -> Array:
    """A dense array of another element type, ``x`` itself where it already has it."""
    if x.dtype == dtype:
        return x
    y = empty_like(x, dtype)
    if y.dtype.kind == "b":
        truth_into(y, x)
    else:
        cast_into(y, x)
    return y


class Addend:
    """A gradient that one pass adds to another without making it: ``add`` says whether it could, to an array of that memory order."""

    __slots__ = ("add", "dtype", "make", "shape")

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], make: Callable[[], Array], add: Callable[[Array], bool]) -> None:
        self.shape, self.dtype, self.make, self.add = shape, dtype, make, add


def made(gradient: Any) -> Any:
    """A gradient as an array."""
    return gradient.make() if isinstance(gradient, Addend) else gradient


def add_to(total: Array, gradient: Any) -> None:
    """Add a gradient to an array in place."""
    if not (isinstance(gradient, Addend) and gradient.add(total)):
        accumulate(total, made(gradient))


def is_only_ours(x: Array) -> bool:
    """Whether nobody has an array, or what it is a view of, but one variable of the caller, and each element has a place of its own."""
    if sys.getrefcount(x) > _OF_ARGUMENT or 0 in x.strides or not getattr(x.flags, "writeable", True):
        return False
    base = x.base
    while hasattr(base, "dtype"):
        if sys.getrefcount(base) > _OF_BASE:
            return False
        base = base.base
    return True


def _references() -> tuple[int, int]:
    """What the interpreter counts in :func:`is_only_ours` for an argument of one variable, and for what alone it is a view of."""

    def counted(x: Array) -> tuple[int, int]:
        base = x.base
        return sys.getrefcount(x), sys.getrefcount(base)

    view = np.empty((2, 2)).T
    return counted(view)


_OF_ARGUMENT, _OF_BASE = _references()
