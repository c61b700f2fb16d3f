"""Losses over classes: cross entropy, negative log likelihood; rows of margins too."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neurenix import autograd, backend, layout
from neurenix._typing import Array
from neurenix.backend.kernel import In, Index, Offset, Optional, Out, Real, Size, kernel
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.ops._classes import as_input, as_it_lies, classes_last
from neurenix.ops._over_batch import is_sharded, ratio
from neurenix.ops._reduction import prediction, reduction_of, refuse_probabilities, target_like
from neurenix.ops.loss import loss_ratio, loss_sum
from neurenix.ops.pixel_weight import weighted_pixels
from neurenix.tensor import Tensor, as_tensor


@kernel("floats")
def cross_entropy_rows(
    loss: Out,
    lse: Out,
    share: Out,
    x: In,
    target: Index,
    weight: Optional[In],
    rows: Size,
    classes: Size,
    inner: Size,
    smoothing: Real,
    ignore: Offset,
    most: Real,
) -> None:
    """loss = (1 - s) w[t] min(most, lse - x[t]) + s / classes * sum of w (lse - x), share = w[t]; 0 where t is ignored.

    x is (rows / inner, classes, inner); inner is 1 for more than 64 classes.
    """


@kernel("floats")
def cross_entropy_rows_backward(
    dx: Out,
    x: In,
    lse: In,
    target: Index,
    weight: Optional[In],
    g: In,
    denominator: Optional[In],
    rows: Size,
    classes: Size,
    inner: Size,
    smoothing: Real,
    ignore: Offset,
) -> None:
    """dx = g / denominator * ((1 - s) w[t] (softmax - [c = t]) + s / classes * (sum w softmax - w)), 0 where t is ignored."""


@kernel("floats")
def soft_cross_entropy_rows(loss: Out, lse: Out, x: In, t: In, weight: Optional[In], rows: Size, classes: Size, smoothing: Real) -> None:
    """loss = sum of w q (lse - x), q = (1 - s) t + s / classes."""


@kernel("floats")
def soft_cross_entropy_rows_backward(
    dx: Out,
    dt: Optional[Out],
    x: In,
    lse: In,
    t: In,
    weight: Optional[In],
    g: In,
    rows: Size,
    classes: Size,
    smoothing: Real,
    divisor: Real,
) -> None:
    """dx = g / divisor (softmax * sum of w q - w q), dt = g / divisor (1 - s) w (lse - x)."""


@kernel("floats")
def likelihood_rows(loss: Out, share: Out, x: In, target: Index, weight: Optional[In], rows: Size, classes: Size, ignore: Offset) -> None:
    """loss = -w[t] x[t], share = w[t]; 0 where t is ignored."""


@kernel("floats")
def likelihood_rows_backward(
    dx: Out, target: Index, weight: Optional[In], g: In, denominator: Optional[In], rows: Size, classes: Size, ignore: Offset
) -> None:
    """dx[t] = -w[t] g / denominator, 0 elsewhere and where t is ignored."""


@kernel("floats")
def multi_margin_rows(
    loss: Out, dx: Out, x: In, target: Index, weight: Optional[In], rows: Size, classes: Size, p: Size, margin: Real
) -> None:
    """loss = sum over c other than t of w[t] max(0, margin - x[t] + x[c])^p / classes, and its gradient."""


@kernel("floats")
def multilabel_margin_rows(loss: Out, dx: Out, x: In, target: Index, rows: Size, classes: Size) -> None:
    """loss = sum over listed j, unlisted i of max(0, 1 - x[j] + x[i]) / classes, and its gradient; a list ends at -1."""


@kernel("floats")
def scale_rows(y: Out, x: In, g: In, rows: Size, classes: Size, divisor: Real) -> None:
    """y = x * g / divisor; g has a number a row or 1."""


def _labels(op: str, target: Tensor, x: Tensor) -> Array:
    """Class numbers, one a row."""
    want = x.shape[:1] + x.shape[2:] if x.ndim > 1 else ()
    if target.dtype.kind not in "iub":
        raise DTypeError(f"{op}: expected class numbers, got {target.dtype}; convert them with .long()")
    if target.shape != want:
        hint = "squeeze the class axis out" if target.ndim == x.ndim and target.shape[1:2] == (1,) else "give one class number a pixel"
        raise ShapeError(f"{op}: expected a target of shape {want} for input {x.shape}, got {target.shape}; {hint}")
    backend.same_device(op, x._array, target._array)
    return layout.contiguous(layout.cast(target._array, np.int64))


def class_weight(op: str, weight: Any, x: Tensor) -> Array | None:
    """Weights (C,) of the classes, or none.

    Raises
    ------
    ShapeError
        If they are not one a class, of the input's type.
    """
    if weight is None:
        return None
    w, classes = as_tensor(weight, x), x.shape[1] if x.ndim > 1 else (x.shape or (1,))[0]
    if w.shape != (classes,) or w.dtype != x.dtype:
        raise ShapeError(f"{op}: expected a weight {x.dtype}({classes},), one a class, got {w.dtype}{w.shape}; give it that shape and type")
    return layout.contiguous(w._array)


def _reduced(how: str, loss: Array, share: Array, shape: tuple[int, ...]) -> tuple[Array, Array | None]:
    """The reduced loss, and what a mean was divided by."""
    if how == "none":
        return loss.reshape(shape), None
    y = backend.new(loss, (1,))
    if how == "sum":
        loss_sum(y, loss, 1.0)
        return y.reshape(()), None
    denominator = backend.new(loss, (1,))
    loss_ratio(y, denominator, loss, share)
    return y.reshape(()), denominator


def _mean_over_batch(total: Tensor, share: Array) -> Tensor:
    """The mean where this batch is a part of one: its sum and its sum of shares are joined with those of the other parts."""
    count = backend.new(share, (1,))
    loss_sum(count, share, 1.0)
    return ratio(total, Tensor._wrap(count.reshape(())))


def _smoothing(label_smoothing: float) -> float:
    if isinstance(label_smoothing, bool) or not isinstance(label_smoothing, (int, float)) or not 0.0 <= label_smoothing <= 1.0:
        raise ArgumentError(f"cross_entropy: expected label_smoothing in [0, 1], got {label_smoothing!r}; pass e.g. 0.1")
    return float(label_smoothing)


def _from_logits(op: str, x: Tensor, target: Tensor, weight: Any, how: str, ignore: int, smoothing: float, most: float) -> Tensor:
    labels, w = _labels(op, target, x), class_weight(op, weight, x)
    buffer, rows, classes, inner = as_it_lies(x._array)
    loss, lse, share = (backend.new(buffer, (rows,)) for _ in range(3))
    cross_entropy_rows(loss, lse, share, buffer, labels, w, rows, classes, inner, smoothing, ignore, most)
    in_parts = how == "mean" and is_sharded()
    y, denominator = _reduced("sum" if in_parts else how, loss, share, target.shape)

    def vjp(g: Array) -> tuple[Array]:
        dx = backend.new(buffer, buffer.shape)
        settings = (rows, classes, inner, smoothing, ignore)
        cross_entropy_rows_backward(dx, buffer, lse, labels, w, layout.contiguous(g), denominator, *settings)
        return (dx if inner > 1 else as_input(dx),)

    found = autograd.record(op, y, (x,), vjp)
    return _mean_over_batch(found, share) if in_parts else found


def _with_probabilities(x: Tensor, target: Any, weight: Any, how: str, smoothing: float) -> Tensor:
    t, w = target_like("cross_entropy", target, x), class_weight("cross_entropy", weight, x)
    buffer, rows, classes = classes_last(x._array)
    if isinstance(weight, Tensor) and weight.requires_grad:  # it reaches its gradient as part of the probabilities
        spread = weight.to(x.dtype).reshape(classes, *(1,) * (x.ndim - 2))
        t, w, smoothing = (t * (1.0 - smoothing) + smoothing / max(classes, 1)) * spread, None, 0.0
    probabilities = classes_last(t._array)[0]
    loss, lse = (backend.new(buffer, (rows,)) for _ in range(2))
    soft_cross_entropy_rows(loss, lse, buffer, probabilities, w, rows, classes, smoothing)
    y, divisor = loss.reshape(x.shape[:1] + x.shape[2:] if x.ndim > 1 else ()), 1.0
    if how != "none":
        divisor = float(rows) if how == "mean" and rows else 1.0
        y = backend.new(buffer, (1,))
        loss_sum(y, loss, divisor if rows or how == "sum" else float("nan"))
        y = y.reshape(())
    wants_target = t.requires_grad

    def vjp(g: Array) -> tuple[Array, Array | None]:
        dx = backend.new(buffer, buffer.shape)
        dt = backend.new(buffer, buffer.shape) if wants_target else None
        settings = (rows, classes, smoothing, divisor)
        soft_cross_entropy_rows_backward(dx, dt, buffer, lse, probabilities, w, layout.contiguous(g), *settings)
        return as_input(dx), None if dt is None else as_input(dt)

    return autograd.record("cross_entropy", y, (x, t), vjp)


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    *,
    mask: Any = None,
    pixel_weight: Any = None,
) -> Tensor:
    """``-w[t] log softmax(x)[t]`` of logits over classes.

    Parameters
    ----------
    input : Tensor, shape (C,), (N, C) or (N, C, ...)
        Logits.
    target : Tensor
        Class numbers of shape (), (N,) or (N, ...), or class probabilities of ``input``'s shape.
    weight : Tensor, shape (C,), optional
    ignore_index : int
        A class number that does not count; it may lie outside the classes.
    reduction : {"mean", "sum", "none"}
        A mean over class numbers is divided by the sum of their weights.
    label_smoothing : float
        The share of the target that is spread evenly over all classes.
    mask : Tensor, optional
        True where a class number counts.
    pixel_weight : Tensor, optional
        A weight for each class number; a mean is divided by the sum of these times the class weights.

    Returns
    -------
    Tensor, 0-d, or one number a class number for "none"

    Raises
    ------
    ArgumentError
        If ``input`` is the output of ``softmax``, a class number lies outside the classes, or ``ignore_index`` names a class
        beside probabilities.
    DTypeError
        If class numbers are floats.

    Examples
    --------
    >>> import neurenix as nx
    >>> round(nx.nn.functional.cross_entropy(nx.tensor([[0.0, 0.0]]), nx.tensor([1])).item(), 4)
    0.6931
    """
    op = "cross_entropy"
    how, x = reduction_of(op, reduction, size_average, reduce), prediction(op, input)
    if x.ndim < 1:
        raise ShapeError("cross_entropy: expected (C,), (N, C) or (N, C, ...), got a 0-d input; give one logit a class")
    refuse_probabilities(op, x, "nll_loss (NLLLoss)")
    t, smoothing = as_tensor(target), _smoothing(label_smoothing)
    if mask is not None or pixel_weight is not None:
        settings: dict[str, Any] = {"ignore_index": ignore_index, "label_smoothing": smoothing}
        return weighted_pixels(op, cross_entropy, x, t, weight, how, mask, pixel_weight, settings)
    if t.dtype.kind == "f":
        if t.ndim == x.ndim - 1:
            raise DTypeError(
                f"{op}: expected integer class numbers, or probabilities of shape {x.shape}, got {t.dtype}{t.shape}; convert class numbers with .long()"
            )
        if isinstance(ignore_index, int) and ignore_index >= 0:
            raise ArgumentError(
                f"{op}: expected class numbers beside ignore_index={ignore_index}, got probabilities; leave ignore_index out"
            )
        return _with_probabilities(x, t, weight, how, smoothing)
    return _from_logits(op, x, t, weight, how, ignore_index, smoothing, math.inf)


def nll_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    mask: Any = None,
    pixel_weight: Any = None,
) -> Tensor:
    """``-w[t] x[t]`` of log-probabilities over classes, see :func:`cross_entropy` for the arguments.

    The output of ``softmax`` over the class axis is taken as what it is, probabilities: the loss is ``min(100, -log p)``, computed
    from the logits, with the gradient ``p - t``.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.nll_loss(nx.tensor([[-1.0, -2.0]]), nx.tensor([1])).item()
    2.0
    """
    op = "nll_loss"
    how, x = reduction_of(op, reduction, size_average, reduce), prediction(op, input)
    if x.ndim < 1:
        raise ShapeError("nll_loss: expected (C,), (N, C) or (N, C, ...), got a 0-d input; give one log-probability a class")
    t = as_tensor(target)
    if mask is not None or pixel_weight is not None:
        return weighted_pixels(op, nll_loss, x, t, weight, how, mask, pixel_weight, {"ignore_index": ignore_index})
    if x._logits is not None and not (x.is_leaf and x.requires_grad):
        kind, z, axis = x._logits
        if kind != "softmax" or axis % x.ndim != min(1, x.ndim - 1):
            raise ArgumentError(f"nll_loss: expected log-probabilities, got the output of {kind}; use log_softmax over axis 1")
        return _from_logits(op, z, t, weight, how, ignore_index, 0.0, 100.0)
    labels, w = _labels(op, t, x), class_weight(op, weight, x)
    buffer, rows, classes = classes_last(x._array)
    loss, share = (backend.new(buffer, (rows,)) for _ in range(2))
    likelihood_rows(loss, share, buffer, labels, w, rows, classes, ignore_index)
    in_parts = how == "mean" and is_sharded()
    y, denominator = _reduced("sum" if in_parts else how, loss, share, t.shape)

    def vjp(g: Array) -> tuple[Array]:
        dx = backend.new(buffer, buffer.shape)
        likelihood_rows_backward(dx, labels, w, layout.contiguous(g), denominator, rows, classes, ignore_index)
        return (as_input(dx),)

    found = autograd.record(op, y, (x,), vjp)
    return _mean_over_batch(found, share) if in_parts else found
