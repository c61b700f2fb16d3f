"""Tensors without memory, while a file is read.

A file names the classes and arguments of its modules. Building them must cost nothing before every shape has been compared
with what the file holds: ``features=[10**9]`` is a short line in a header and 10**19 bytes in memory. Inside :func:`loading`
``Tensor(shape=...)`` is therefore one zero seen through strides of 0, and initialisation leaves it alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

_loading: ContextVar[bool] = ContextVar("loading", default=False)


@contextmanager
def loading() -> Iterator[None]:
    """Context in which new tensors of zeros take no memory."""
    token = _loading.set(True)
    try:
        yield
    finally:
        _loading.reset(token)


def is_loading() -> bool:
    """Whether tensors are made without memory here."""
    return _loading.get()


def placeholder(shape: tuple[int, ...], dtype: np.dtype[Any], value: Any = 0) -> np.ndarray[Any, Any]:
    """One value in this shape and no memory: read-only, every stride 0."""
    return np.broadcast_to(np.full((), value, dtype), shape)
