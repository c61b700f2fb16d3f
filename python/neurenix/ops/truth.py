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
    """Whether an element over ``dim`` (all axes for ``None``) is not zero: bools, of uint8 uint8; false of no elements.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.any(nx.isnan(nx.tensor([1.0, float("nan")]))).item()
    True
    """
    x = as_tensor(input)
    return _answer(layout.cast(_count(x, _axes("any", dim, x.ndim), keepdim), np.bool_), x)


def all(input: Any, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether no element over ``dim`` (all axes for ``None``) is zero: bools, of uint8 uint8; true of no elements.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.all(nx.tensor([[True, False], [True, True]]), dim=1)
    tensor([False,  True])
    """
    x = as_tensor(input)
    axes = _axes("all", dim, x.ndim)
    zero = ask(Question.EQ, layout.cast(x._array, np.bool_), scalar(x._array, 0, np.bool_))
    return _answer(ask(Question.EQ, _count(Tensor._wrap(zero), axes, keepdim), scalar(x._array, 0, np.int64)), x)


def _axes(name: str, dim: Dims, ndim: int) -> tuple[int, ...]:
    """The axes that ``dim`` names: here an empty tuple or list names none."""
    return () if isinstance(dim, (tuple, list)) and not dim else axes_of(name, dim, ndim)


def _answer(truth: Array, x: Tensor) -> Tensor:
    return Tensor._wrap(layout.cast(truth, np.uint8) if x.dtype == np.uint8 else truth)


def count_nonzero(input: Any, dim: Dims = None) -> Tensor:
    """The number (int64) of elements over ``dim`` (all axes for ``None``) that are not zero.

    Examples
    --------
    >>> import neurenix as nx
    >>> mask = nx.tensor([[0, 1, 1], [0, 0, 1]])
    >>> nx.count_nonzero(mask).item(), nx.count_nonzero(mask, dim=1)
    (3, tensor([2, 1]))
    """
    x = as_tensor(input)
    return Tensor._wrap(_count(x, axes_of("count_nonzero", dim, x.ndim), False))


def _count(x: Tensor, axes: tuple[int, ...], keepdim: bool) -> Array:
    truth = layout.cast(layout.cast(x._array, np.bool_), np.int64)
    return _kept(fold(Fold.SUM, truth, axes), x.shape, axes, keepdim)


def _kept(y: Array, shape: tuple[int, ...], axes: tuple[int, ...], keepdim: bool) -> Array:
    return y.reshape(kept_shape(shape, axes)) if keepdim else y
