"""Wavelets along one axis by lifting: every second element predicted from its neighbours, the others updated.

The inverse takes the same steps backwards, so it restores integers exactly whatever the steps round, and floats but for the
rounding of one addition a step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import numpy as np

from neurenix import autograd, backend, layout
from neurenix._typing import Array
from neurenix.ops._axis import Host, placed
from neurenix.ops.arithmetic import add, mul, sub
from neurenix.ops.compare import bitwise_right_shift
from neurenix.ops.elementwise import filled
from neurenix.ops.parts import cat, narrow
from neurenix.ops.scatter import index_select
from neurenix.tensor import Tensor

Step: TypeAlias = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]


def _alternating(x: Array, axis: int) -> tuple[Array, Array]:
    """Elements of even and of odd number, two views."""
    lead = (slice(None),) * axis
    return x[(*lead, slice(0, None, 2))], x[(*lead, slice(1, None, 2))]


def _woven(even: Array, odd: Array, axis: int) -> Array:
    """The array whose elements of even and odd number these are."""
    y = backend.new(even, (*even.shape[:axis], even.shape[axis] + odd.shape[axis], *even.shape[axis + 1 :]))
    for target, source in zip(_alternating(y, axis), (even, odd), strict=True):
        layout.copy_into(target, source)
    return y


def unweave(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Elements of even and of odd number along ``axis``."""
    parts = _alternating(x._array, axis)
    shapes = parts[0].shape, parts[1].shape

    def vjp(gradients: Sequence[Array | None]) -> tuple[Array]:
        like = next(g for g in gradients if g is not None)
        even, odd = (filled(like, s, 0.0) if g is None else g for g, s in zip(gradients, shapes, strict=True))
        return (_woven(even, odd, axis),)

    even, odd = autograd.record_many("unweave", parts, (x,), vjp)
    return even, odd


def weave(even: Tensor, odd: Tensor, axis: int) -> Tensor:
    """The inverse of :func:`unweave`."""
    return autograd.record("weave", _woven(even._array, odd._array, axis), (even, odd), lambda g: _alternating(g, axis))


def _picked(x: Tensor, axis: int, index: Host) -> Tensor:
    return index_select(x, axis, Tensor._wrap(placed(index, "int64", backend.device_of(x._array))))


def _halved(x: Tensor, times: int) -> Tensor:
    """``x / 2 ** times``, rounded down for integers."""
    return mul(x, 0.5**times) if x.dtype.kind == "f" else bitwise_right_shift(x, times)


# --- Haar: the difference of each two, then their mean


def haar(even: Tensor, odd: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Means and differences of each two elements; a last one without a partner is its own mean."""
    n = odd.shape[axis]
    high = sub(narrow(even, axis, 0, n), odd)
    low = add(odd, _halved(high, 1))
    return (low if even.shape[axis] == n else cat([low, narrow(even, axis, n, 1)], axis)), high


def haar_back(low: Tensor, high: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """The inverse of :func:`haar`."""
    n = high.shape[axis]
    odd = sub(narrow(low, axis, 0, n), _halved(high, 1))
    even = add(high, odd)
    return (even if low.shape[axis] == n else cat([even, narrow(low, axis, n, 1)], axis)), odd


# --- CDF 5/3: the distance from the mean of both neighbours, then a quarter of both distances


def _prediction(even: Tensor, odd_size: int, axis: int) -> Tensor:
    """The mean of the two neighbours of each odd element; the last one's second is its first again."""
    following = np.minimum(np.arange(1, odd_size + 1), even.shape[axis] - 1)
    return _halved(add(narrow(even, axis, 0, odd_size), _picked(even, axis, following)), 1)


def _update(high: Tensor, even_size: int, axis: int) -> Tensor:
    """A quarter of the two neighbours of each even element; the first one's first and an odd axis' last are doubled."""
    k, last = np.arange(even_size), high.shape[axis] - 1
    total = add(_picked(high, axis, np.maximum(k - 1, 0)), _picked(high, axis, np.minimum(k, last)))
    return _halved(total if total.dtype.kind == "f" else add(total, 2), 2)


def cdf53(even: Tensor, odd: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Low and high band of Le Gall's and Tabatabai's filters, as JPEG 2000 has them without loss."""
    if not odd.shape[axis]:
        return even, odd
    high = sub(odd, _prediction(even, odd.shape[axis], axis))
    return add(even, _update(high, even.shape[axis], axis)), high


def cdf53_back(low: Tensor, high: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """The inverse of :func:`cdf53`."""
    if not high.shape[axis]:
        return low, high
    even = sub(low, _update(high, low.shape[axis], axis))
    return even, add(high, _prediction(even, high.shape[axis], axis))


STEPS: Final[dict[str, tuple[Step, Step]]] = {"haar": (haar, haar_back), "cdf53": (cdf53, cdf53_back)}


def lift(x: Tensor, wavelet: str, dim: int) -> tuple[Tensor, Tensor]:
    """The low and the high band along ``dim``: ``ceil(n / 2)`` and ``floor(n / 2)`` elements."""
    axis = dim % x.ndim
    return STEPS[wavelet][0](*unweave(x, axis), axis)


def unlift(low: Tensor, high: Tensor, wavelet: str, dim: int) -> Tensor:
    """The inverse of :func:`lift`."""
    axis = dim % low.ndim
    return weave(*STEPS[wavelet][1](low, high, axis), axis)
