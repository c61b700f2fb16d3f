"""Rows of a table by index, and indices as rows of zeros and a one."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurenix import autograd, layout
from neurenix._typing import Array
from neurenix.backend import same_device, to_numpy
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.ops.elementwise import Binary, Question, ask, filled, map2, scalar
from neurenix.ops.reduce import Fold, fold
from neurenix.ops.scatter import checked_index, put_along, taken_along
from neurenix.tensor import Tensor, as_tensor


def embedding(
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,  # noqa: ARG001 - gradients are dense
) -> Tensor:
    """Rows of ``weight`` (count, D) by index: integers (...) give (..., D); row ``padding_idx`` takes no gradient.

    With ``scale_grad_by_freq`` a row's gradient is divided by how often the row was taken. ``max_norm`` (by ``norm_type``) would
    change the weight in place and is refused; gradients are dense whatever ``sparse`` says.

    Raises
    ------
    ShapeError
        If the weight is not a matrix.
    RangeError
        If an index is negative or beyond the last row.
    ArgumentError
        For ``max_norm``.

    Examples
    --------
    >>> import neurenix as nx
    >>> table = nx.tensor([[0.0, 0.0], [1.0, 10.0], [2.0, 20.0]])
    >>> nx.nn.functional.embedding(nx.tensor([2, 0, 1]), table)
    tensor([[ 2., 20.],
            [ 0.,  0.],
            [ 1., 10.]])
    """
    i, w = as_tensor(input), as_tensor(weight)
    if w.ndim != 2:
        raise ShapeError(f"embedding: expected a weight (count, size), got shape {w.shape}; reshape it")
    same_device("embedding", i._array, w._array)
    if max_norm is not None:
        raise ArgumentError(
            f"embedding: expected max_norm=None, got {max_norm} with norm_type={norm_type}; scale the weight's rows beforehand"
        )
    n, size = w.shape
    where = checked_index("embedding", i, n, negative=False).reshape(-1)
    y = taken_along(w._array, where, 0).reshape((*i.shape, size))

    def vjp(g: Array) -> tuple[Array]:
        gw = put_along(layout.contiguous(g).reshape((where.size, size)), where, 0, n)
        if scale_grad_by_freq:
            count = put_along(filled(gw, (where.size, 1), 1.0), where, 0, n)
            gw = map2(Binary.DIV, gw, map2(Binary.MAXIMUM, count, scalar(gw, 1.0)))
        if padding_idx is not None:
            layout.copy_into(gw[padding_idx], filled(g, (size,), 0.0))
        return (gw,)

    return autograd.record("embedding", y, (w,), vjp)


def one_hot(input: Any, num_classes: int = -1) -> Tensor:
    """int64 vectors with a 1 at each index: (...) gives (..., num_classes), as many as needed for -1. Classes are the last axis.

    Raises
    ------
    DTypeError, RangeError
        Unless the indices are integers from 0 to ``num_classes - 1``.
    ArgumentError
        For -1 classes of no elements.

    Examples
    --------
    >>> import neurenix as nx
    >>> labels = nx.tensor([[0, 2], [1, 1]])  # H, W
    >>> nx.nn.functional.one_hot(labels).permute(2, 0, 1)[2]
    tensor([[0, 1],
            [0, 0]])
    """
    i = as_tensor(input)
    if i.dtype.kind not in "iu":
        raise DTypeError(f"one_hot: expected integer indices, got {i.dtype}; convert them with .long()")
    array = layout.cast(i._array, np.int64)
    if num_classes == -1:
        if not array.size:
            raise ArgumentError("one_hot: expected num_classes for an empty input, got -1; pass their number")
        num_classes = int(to_numpy(fold(Fold.MAX, array, tuple(range(array.ndim)))).item()) + 1
    checked_index("one_hot", i, num_classes, negative=False)
    classes = as_tensor(np.arange(num_classes)).to(device=i.device)._array
    hits = ask(Question.EQ, array.reshape((*array.shape, 1)), classes)
    return Tensor._wrap(layout.cast(hits, np.int64))
