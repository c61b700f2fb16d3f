"""The same numbers in other memory orders: permuted, backwards, cut from more, spread."""

from __future__ import annotations

from typing import Any

import numpy as np
from properties.draws import Draw


def permuted(a: Any, d: Draw) -> Any:
    order = d.order(a.ndim)
    return np.array(a.transpose(order), order="C").transpose(np.argsort(order))


def backwards(a: Any, d: Draw) -> Any:
    key = tuple(slice(None, None, -1) if d.flag() else slice(None) for _ in range(a.ndim))
    return np.array(a[key], order="C")[key]


def cut(a: Any, d: Draw) -> Any:
    """The middle of a larger array, the rest of which would be seen."""
    wall = np.full([s + 3 for s in a.shape], 77, a.dtype)
    key = tuple(slice(1, s + 1) for s in a.shape)
    wall[key] = a
    return wall[key]


def spread(a: Any, d: Draw) -> Any:
    """Every second element of a larger array."""
    wall = np.full([2 * s for s in a.shape], 77, a.dtype)
    key = tuple(slice(None, None, 2) for _ in a.shape)
    wall[key] = a
    return wall[key]


def channels_last(a: Any, d: Draw) -> Any:
    return a if a.ndim < 3 else np.moveaxis(np.array(np.moveaxis(a, 1, -1), order="C"), -1, 1)


def pair(a: Any, d: Draw, constant: bool = True) -> tuple[Any, Any]:
    """An array in C order and its equal with strides of some other kind, zeros among them."""
    if constant and a.size and a.ndim and d.int(0, 5) == 0:
        axis = d.int(0, a.ndim - 1)
        strided = np.broadcast_to(a.take([0], axis), a.shape)
        return np.array(strided, order="C"), strided
    strided = np.asarray(d.pick(permuted, backwards, cut, spread, channels_last)(a, d))
    assert np.array_equal(strided, a)
    return a, strided
