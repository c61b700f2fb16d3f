"""Max pooling of integers, composed of gathers: no float holds every int64."""

from __future__ import annotations

import math

import numpy as np

from neurenix.ops._windows import Windows
from neurenix.ops.arithmetic import maximum
from neurenix.ops.compare import gt
from neurenix.ops.layouts import where
from neurenix.ops.scatter import index_select
from neurenix.ops.shape import expand
from neurenix.tensor import Tensor, as_tensor


def max_integers(x: Tensor, windows: list[Windows], indices: bool) -> tuple[Tensor, Tensor | None]:
    """Max pooling of integers over windows of any number of axes; of equal values the first is taken.

    One axis after the other, the last first: a window's first row among those with its maximum holds the first maximum.
    """
    sizes = x.shape[x.ndim - len(windows) :]
    y, places = x, None
    if indices:
        places = expand(as_tensor(np.arange(math.prod(sizes), dtype=np.int64).reshape(sizes)).to(device=x.device), x.shape)
    for axis, window in zip(range(-1, -len(windows) - 1, -1), reversed(windows), strict=True):
        y, places = _along(y, places, axis, window)
    return y, places


def _along(x: Tensor, places: Tensor | None, axis: int, windows: Windows) -> tuple[Tensor, Tensor | None]:
    first, count = windows.table[:, 0], windows.table[:, 1]
    best, found = None, None
    for tap in range(max(int(count.max()), 1)):
        # Windows with fewer taps see their last again, which is not above itself; without any they see a pixel, and lose it below.
        pixels = np.clip(first + np.clip(tap, 0, np.maximum(count - 1, 0)) * windows.step, 0, x.shape[axis] - 1)
        index = as_tensor(pixels.astype(np.int64)).to(device=x.device)
        seen = index_select(x, axis, index)
        if places is not None:
            here = index_select(places, axis, index)
            found = here if best is None else where(gt(seen, best), here, found)
        best = seen if best is None else maximum(best, seen)
    assert best is not None
    if not count.all():
        room = [1] * x.ndim
        room[axis] = len(count)
        best = where(as_tensor((count > 0).reshape(room)).to(device=x.device), best, int(np.iinfo(x.dtype).min))
    return best, found
