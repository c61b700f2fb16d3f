"""Channels of two maps side by side, the first of which need not outlive the making of the second."""

from __future__ import annotations

from collections.abc import Callable

from neurenix import anomaly, autograd, backend, window
from neurenix.layout import copy_into
from neurenix.ops.parts import cat
from neurenix.tensor import Tensor


def beside(first: list[Tensor], second: Callable[[], Tensor], channels: int | None) -> Tensor:
    """``cat([first.pop(), second()], dim=1)``, where ``second()`` is expected to have so many channels, if that is known.

    Where nothing is recorded the first map is copied to its place and let go before the second one is made: two maps are
    alive beside the result, not three.
    """
    if channels is None or autograd.is_grad_enabled() or autograd.is_watched() or window.is_followed() or anomaly.is_detecting():
        return cat([first.pop(), second()], dim=1)
    x = first.pop()
    n, c, h, w = x.shape
    joined = backend.new(x._array, (n, h, w, c + channels)).transpose(0, 3, 1, 2)
    copy_into(joined[:, :c], x._array)
    del x
    y = second()
    if (y.shape, y.dtype, y.device) != ((n, channels, h, w), joined.dtype, backend.device_of(joined)):
        return cat([Tensor._wrap(joined[:, :c]), y], dim=1)
    copy_into(joined[:, c:], y._array)
    return Tensor._wrap(joined)
