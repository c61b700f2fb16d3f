"""Where the classes of (C,) or (N, C, ...) lie for losses: innermost, or as planes."""

from __future__ import annotations

import math

from neurenix import layout
from neurenix._typing import Array
from neurenix.ops.norm import from_last, to_last

_PLANES = 64  # up to so many classes may lie as planes


def classes_last(x: Array) -> tuple[Array, int, int]:
    """The buffer of (C,) or (N, C, ...) with the classes last, rows, classes."""
    buffer = to_last(x) if x.ndim > 1 else layout.contiguous(x)
    classes = buffer.shape[-1]
    return buffer, math.prod(buffer.shape[:-1]), classes


def as_it_lies(x: Array) -> tuple[Array, int, int, int]:
    """The buffer of (C,) or (N, C, ...), rows, classes, and the pixels of a plane where few classes lie as planes, else 1."""
    inner = math.prod(x.shape[2:])
    if x.ndim > 2 and inner > 1 and 1 < x.shape[1] <= _PLANES and x.flags.c_contiguous:
        return x, x.shape[0] * inner, x.shape[1], inner
    return (*classes_last(x), 1)


def as_input(buffer: Array) -> Array:
    """The logical array of a buffer with the classes last."""
    return from_last(buffer) if buffer.ndim > 1 else buffer
