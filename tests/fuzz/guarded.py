"""Arrays that end, or begin, beside a page that may not be touched: a kernel that goes one element too far is killed at once."""

from __future__ import annotations

import ctypes
import mmap
from typing import Any

import numpy as np

_LIBC = ctypes.CDLL(None, use_errno=True)
_PAGE = mmap.PAGESIZE
_NONE = 0


def guarded(content: bytes, dtype: Any, shape: tuple[int, ...], front: bool = False) -> np.ndarray[Any, Any]:
    """An array of ``content`` in C order, flush with the guard page behind it (or before it)."""
    dtype = np.dtype(dtype)
    pages = -(-max(len(content), 1) // _PAGE)
    block = mmap.mmap(-1, (pages + 2) * _PAGE)
    start = _PAGE if front else (pages + 1) * _PAGE - len(content)
    block[start : start + len(content)] = content
    whole = np.frombuffer(block, np.uint8)
    for guard in (0, (pages + 1) * _PAGE):
        if _LIBC.mprotect(ctypes.c_void_p(whole.ctypes.data + guard), ctypes.c_size_t(_PAGE), _NONE):
            raise OSError(ctypes.get_errno(), "mprotect")
    return whole[start : start + len(content)].view(dtype).reshape(shape)


def laid_out(array: np.ndarray[Any, Any], layout: str, front: bool) -> np.ndarray[Any, Any]:
    """``array`` in guarded memory, with strides of the kind named."""
    if layout == "zero" and array.ndim and array.size:
        first = guarded(array[:1].tobytes(), array.dtype, array[:1].shape, front)
        return np.broadcast_to(first, array.shape)
    if layout == "transposed":
        return guarded(array.T.tobytes(), array.dtype, array.T.shape, front).T
    if layout == "backwards" and array.ndim:
        return guarded(array[::-1].tobytes(), array.dtype, array.shape, front)[::-1]
    if layout == "stepped" and array.ndim:
        wide = np.repeat(array, 2, axis=-1)
        return guarded(wide.tobytes(), array.dtype, wide.shape, front)[..., ::2]
    return guarded(array.tobytes(), array.dtype, array.shape, front)
