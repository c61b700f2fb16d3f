"""A convolution, the scale and shift of stored statistics and ReLU in one pass of a CPU, prepared for maps of one size.

A network in evaluation asks the same of its layers in every pass, each time behind a kernel that has filled the processor's caches: all that
Python walks through then comes from memory again. What depends on nothing but a layer's tensors and the sizes is found once, here. No
value of a tensor is kept, so nothing can be out of date but the tensors and arrays themselves, which :meth:`OnePass.fits` compares.
"""

from __future__ import annotations

from operator import attrgetter, is_
from typing import Any
from weakref import ref

import numpy as np

from neurenix import backend
from neurenix._typing import Array
from neurenix.anomaly import _on as _anomaly
from neurenix.autograd import _watcher
from neurenix.backend.kernel import _skipping
from neurenix.half import _types
from neurenix.layout import contiguous
from neurenix.ops._chain_node import Unit, fitted
from neurenix.ops._conv import Epilogue, by_winograd, convolve_winograd, points, run, sides
from neurenix.ops._derived import derived_of_all
from neurenix.ops.elementwise import NONE, RELU
from neurenix.ops.norm import running_scale_and_shift
from neurenix.precision import get_float32_precision
from neurenix.recording import _recording
from neurenix.tensor import Tensor
from neurenix.window import _follower

_ARRAY = attrgetter("_array")
_FIRST, _LAST = (0, 3, 1, 2), (0, 2, 3, 1)
Mode = tuple[str, str | None, str]  # the precision, what autocast rounds to, and whether memory is planned


def mode() -> Mode | None:
    """What decides a pass beside its layers; ``None`` where operations are recorded, looked at or left out one by one."""
    # The variables themselves: seven functions of seven modules would be most of the time that a pass takes before its kernel.
    how = _skipping.get()
    if _recording.get() or _anomaly.get() or _watcher.get() is not None or _follower.get() is not None or how == "all":
        return None
    return get_float32_precision(), _types.get().get("cpu"), how


class OnePass:
    """A unit's pass over maps of one size, or over two maps as the parts of its channels."""

    __slots__ = ("_arrays", "_beside", "_bias", "_by_winograd", "_eps", "_held", "_key", "_made_of", "_mode", "_numbers", "_relu", "_size", "_stored",
                 "_weight", "_window", "_x")  # fmt: skip

    def __init__(self, mode: Mode, unit: Unit, x: Tensor, beside: Tensor | None) -> None:
        fit, weight, norm = fitted((x,) if beside is None else (x, beside), unit), unit.weight, unit.norm
        (outputs, channels), (n, _, h, w) = sides(weight, fit.groups, False), x.shape
        self._mode, self._x, self._beside = mode, _like(x._array), None if beside is None else _like(beside._array)
        self._weight, self._window, self._relu = weight, fit.window, unit.relu
        self._size = (n, fit.size[0], fit.size[1], weight.shape[0])
        self._by_winograd = by_winograd(x._array, fit.window, outputs, channels)
        self._numbers = (n, h, w, *self._size[1:3], outputs, channels, 1, *fit.window.pad)
        self._bias = unit.bias
        self._stored = () if norm is None else (*norm.running, *norm.affine)
        self._made_of = [t for t in self._stored if t is not None]
        self._eps = 0.0 if norm is None else norm.eps
        self._key = None if norm is None else ("running tables", norm.eps)
        self._held = [t for t in (weight, unit.bias, *self._made_of) if t is not None]
        self._arrays = [ref(t._array) for t in self._held]  # a model that moved does not keep what it had before

    def fits(self, mode: Mode, x: Tensor, beside: Tensor | None) -> bool:
        """Whether these maps are of the size, and the tensors have the arrays, that it was prepared for."""
        if mode != self._mode or _like(x._array) != self._x or (None if beside is None else _like(beside._array)) != self._beside:
            return False
        return all(map(is_, map(_ARRAY, self._held), [array() for array in self._arrays]))

    def __call__(self, x: Tensor, beside: Tensor | None) -> Tensor:
        """What the unit makes of maps that it fits."""
        first, second = contiguous(x._array.transpose(_LAST)), None if beside is None else contiguous(beside._array.transpose(_LAST))
        y, weight = backend.new(first, self._size), self._weight
        bias = None if self._bias is None else self._bias._array
        scale, shift = (None, None) if self._key is None else derived_of_all(self._made_of, self._key, self._tables)
        if self._by_winograd:
            values, packed = points(weight, *self._numbers[5:7], False)
            ends = (bias, scale, shift, None, None, None, None)
            convolve_winograd(y, None, first, second, values, *ends, *self._numbers, False, self._relu, False, packed, 0)
        else:
            end = Epilogue(bias, scale, shift, RELU if self._relu else NONE)
            run(first, weight, self._window, self._size[1:3], False, end, y)
        return Tensor._wrap(y.transpose(_FIRST))

    def _tables(self) -> Array:
        mean, var, weight, bias = (None if t is None else t._array for t in self._stored)
        return running_scale_and_shift(mean, var, weight, bias, self._eps)


def _like(array: Array) -> tuple[type, tuple[int, ...], np.dtype[Any]]:
    return type(array), array.shape, array.dtype
