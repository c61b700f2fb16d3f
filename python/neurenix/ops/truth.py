"""Whether some, or all, or how many elements are not zero."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurenix import layout
from neurenix._typing import Array, Dims
from neurenix.ops.elementwise import Question, ask, scalar
from neurenix.ops.reduce import Fold, axes_of, fold, kept_shape
from neurenix.tensor import Tensor, as_tensor


def any(input: Any, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether an element over ``dim`` is not zero."""
    x = as_tensor(input)
    return Tensor._wrap(layout.cast(_count(x, axes_of("any", dim, x.ndim), keepdim), np.bool_))


def all(input: Any, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether no element over ``dim`` is zero."""
    x = as_tensor(input)
    axes = axes_of("all", dim, x.ndim)
    zero = ask(Question.EQ, layout.cast(x._array, np.bool_), scalar(x._array, 0, np.bool_))
    return Tensor._wrap(ask(Question.EQ, _count(Tensor._wrap(zero), axes, keepdim), scalar(x._array, 0, np.int64)))


def count_nonzero(input: Any, dim: Dims = None) -> Tensor:
    """The number of elements over ``dim`` that are not zero."""
    x = as_tensor(input)
    return Tensor._wrap(_count(x, axes_of("count_nonzero", dim, x.ndim), False))


def _count(x: Tensor, axes: tuple[int, ...], keepdim: bool) -> Array:
    truth = layout.cast(layout.cast(x._array, np.bool_), np.int64)
    return _kept(fold(Fold.SUM, truth, axes), x.shape, axes, keepdim)


def _kept(y: Array, shape: tuple[int, ...], axes: tuple[int, ...], keepdim: bool) -> Array:
    return y.reshape(kept_shape(shape, axes)) if keepdim else y
