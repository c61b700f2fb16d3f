"""Margin losses over classes, whose gradient is computed with them."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurenix import autograd, backend, layout
from neurenix._typing import Array
from neurenix.errors import ArgumentError, ShapeError
from neurenix.ops._reduction import prediction, reduction_of
from neurenix.ops.class_loss import class_weight, multi_margin_rows, multilabel_margin_rows, scale_rows
from neurenix.ops.loss import loss_sum
from neurenix.tensor import Tensor, as_tensor


def _margins(op: str, x: Tensor, loss: Array, slope: Array, how: str, shape: tuple[int, ...]) -> Tensor:
    """Record a loss whose gradient was computed with it."""
    rows, classes = loss.shape[0], max(slope.size // max(loss.shape[0], 1), 1)
    divisor = float(rows) if how == "mean" else 1.0
    y = loss.reshape(shape)
    if how != "none":
        y = backend.new(loss, (1,))
        loss_sum(y, loss, divisor)
        y = y.reshape(())

    def vjp(g: Array) -> tuple[Array]:
        dx = backend.new(slope, slope.shape)
        scale_rows(dx, slope, layout.contiguous(g), rows, classes, divisor)
        return (dx,)

    return autograd.record(op, y, (x,), vjp)


def _decisions(op: str, x: Tensor) -> tuple[int, int]:
    if x.ndim > 2:
        raise ShapeError(f"{op}: expected (C,) or (N, C), got {x.shape}; flatten the other axes into the first")
    return (x.shape[0] if x.ndim == 2 else 1), (x.shape[-1] if x.ndim else 1)


def multi_margin_loss(
    input: Any,
    target: Any,
    p: int = 1,
    margin: float = 1.0,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``sum over c != t of w[t] max(0, margin - x[t] + x[c])^p / C``: the hinge loss over classes.

    Parameters
    ----------
    input : Tensor, shape (C,) or (N, C)
    target : Tensor of int, shape () or (N,)
    p : {1, 2}
    margin : float
    weight : Tensor, shape (C,), optional
    reduction : {"mean", "sum", "none"}

    Raises
    ------
    ArgumentError
        For another ``p``.
    ShapeError
        If there are other axes, or not one class number a row.

    Examples
    --------
    >>> import neurenix as nx
    >>> scores = nx.tensor([[0.1, 0.2, 0.9]])
    >>> nx.nn.functional.multi_margin_loss(scores, nx.tensor([2]))  # ((1 - 0.8) + (1 - 0.7)) / 3
    tensor(0.1667)
    """
    op = "multi_margin_loss"
    how, x, t = reduction_of(op, reduction, size_average, reduce), prediction(op, input), as_tensor(target)
    if p not in (1, 2):
        raise ArgumentError(f"{op}: expected p of 1 or 2, got {p!r}; pass one of them")
    backend.same_device(op, x._array, t._array)
    rows, classes = _decisions(op, x)
    if t._array.size != rows or t.dtype.kind not in "iu":
        raise ShapeError(f"{op}: expected {rows} class numbers, got {t.dtype}{t.shape}; give one a row")
    data, labels = layout.contiguous(x._array), layout.contiguous(layout.cast(t._array, np.int64))
    loss, slope = backend.new(data, (rows,)), backend.new(data, data.shape)
    multi_margin_rows(loss, slope, data, labels, class_weight(op, weight, x), rows, classes, p, float(margin))
    return _margins(op, x, loss, slope, how, t.shape)


def multilabel_margin_loss(
    input: Any, target: Any, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
) -> Tensor:
    """``sum over listed j and unlisted i of max(0, 1 - x[j] + x[i]) / C``; a row of targets lists classes and ends at -1.

    Raises
    ------
    ShapeError
        Unless both are (C,) or (N, C), the target of integers.

    Examples
    --------
    >>> import neurenix as nx
    >>> scores, classes = nx.tensor([[0.1, 0.2, 0.9]]), nx.tensor([[2, -1, -1]])
    >>> nx.nn.functional.multilabel_margin_loss(scores, classes)  # ((1 - 0.8) + (1 - 0.7)) / 3
    tensor(0.1667)
    """
    op = "multilabel_margin_loss"
    how, x, t = reduction_of(op, reduction, size_average, reduce), prediction(op, input), as_tensor(target)
    if t.shape != x.shape or t.dtype.kind not in "iu":
        raise ShapeError(f"{op}: expected class numbers of shape {x.shape}, got {t.dtype}{t.shape}; fill rows up with -1")
    backend.same_device(op, x._array, t._array)
    rows, classes = _decisions(op, x)
    data, labels = layout.contiguous(x._array), layout.contiguous(layout.cast(t._array, np.int64))
    loss, slope = backend.new(data, (rows,)), backend.new(data, data.shape)
    multilabel_margin_rows(loss, slope, data, labels, rows, classes)
    return _margins(op, x, loss, slope, how, (rows,) if x.ndim == 2 else ())
