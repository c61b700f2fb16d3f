"""Losses of one element at a time: their rows, masks and weights, and binary cross entropy."""

from __future__ import annotations

import math
from enum import IntEnum
from typing import Any

from neurenix import autograd, backend, layout, ops
from neurenix._typing import Array
from neurenix.backend.kernel import Enum, In, Optional, Out, Real, Size, kernel
from neurenix.ops._over_batch import ratio
from neurenix.ops._reduction import prediction, reduction_of, refuse_probabilities, spread_over, target_like
from neurenix.tensor import Tensor, as_tensor


@kernel("floats")
def loss_elements(y: Out, x: In, t: In, weight: Optional[In], positive: Optional[In], n: Size, way: Enum, a: Real, b: Real) -> None:
    """y = weight * loss(x, t, positive, a, b), 0 where the weight is 0."""


@kernel("floats")
def loss_elements_sum(
    total: Out, x: In, t: In, weight: Optional[In], positive: Optional[In], n: Size, way: Enum, a: Real, b: Real, divisor: Real
) -> None:
    """total = sum of weight * loss(x, t, positive, a, b) / divisor, summed in units in a fixed tree."""


@kernel("floats")
def loss_elements_backward(
    dx: Out,
    g: In,
    x: In,
    t: In,
    weight: Optional[In],
    positive: Optional[In],
    n: Size,
    way: Enum,
    a: Real,
    b: Real,
    divisor: Real,
    of_target: Enum,
) -> None:
    """dx = g / divisor * weight * d loss / dx (or / dt if of_target); g has n elements or 1."""


@kernel("floats")
def loss_sum(total: Out, x: In, divisor: Real) -> None:
    """total = sum of x / divisor, summed in units in a fixed tree."""


@kernel("floats")
def loss_ratio(ratio: Out, denominator: Out, x: In, share: In) -> None:
    """ratio = sum of x / sum of share, denominator = sum of share."""


class Way(IntEnum):
    """The losses of one element, by number."""

    MSE = 0
    L1 = 1
    SMOOTH_L1 = 2
    HUBER = 3
    BCE = 4
    BCE_LOGITS = 5
    BCE_OF_SIGMOID = 6
    KL = 7
    KL_LOG = 8
    POISSON_LOG = 9
    POISSON = 10
    SOFT_MARGIN = 11


def elementwise(
    op: str,
    way: Way,
    x: Tensor,
    t: Tensor,
    reduction: str,
    a: float = 0.0,
    b: float = 0.0,
    weight: Array | None = None,
    positive: Array | None = None,
    divisor: float | None = None,
) -> Tensor:
    """Loss of every element, or their sum over ``divisor`` (their number for a mean)."""
    order, n = layout.order_of(x._array), x._array.size
    dx, dt = layout.in_order(x._array, order), layout.in_order(t._array, order)
    weights, positives = (None if array is None else layout.in_order(array, order) for array in (weight, positive))
    given, needs = (dx, dt, weights, positives, n, int(way), float(a), float(b)), (x.requires_grad, t.requires_grad)
    over = divisor if divisor is not None else float(n) if reduction == "mean" else 1.0
    if reduction == "none":
        y = backend.new(dx, dx.shape)
        loss_elements(y, *given)
    else:
        y = backend.new(dx, (1,))
        loss_elements_sum(y, *given, over if n else float("nan") if reduction == "mean" else 1.0)
        y = y.reshape(())

    def vjp(g: Array) -> list[Array | None]:
        g = layout.in_order(g, order) if g.ndim == x.ndim else layout.contiguous(g)
        gradients = [backend.new(dx, dx.shape) if need else None for need in needs]
        for of_target, out in enumerate(gradients):
            if out is not None:
                loss_elements_backward(out, g, *given, over if n else 1.0, of_target)
        return [None if out is None else layout.from_order(out, order) for out in gradients]

    return autograd.record(op, layout.from_order(y, order) if y.ndim == x.ndim else y, (x, t), vjp)


def counts(t: Tensor, ignore: float) -> Tensor:
    """Where a target is not the value to ignore, which may be NaN."""
    return ops.logical_not(ops.isnan(t.detach())) if math.isnan(ignore) else ops.ne(t.detach(), ignore)


def kept_weights(
    op: str, x: Tensor, t: Tensor, weight: Array | None, mask: Any, ignore: float | None, pixel_weight: Any = None
) -> tuple[Array | None, Tensor | None]:
    """Weights with 0 where an element is left out, and what a mean is divided by, where it is not the number of elements."""
    if mask is None and ignore is None and pixel_weight is None:
        return weight, None
    kept = Tensor._wrap(spread_over(op, "mask", as_tensor(mask, x).bool(), x)) if mask is not None else None
    if ignore is not None:
        inside = counts(t, ignore).to(dtype=x.dtype)
        kept = inside if kept is None else kept * inside
    if pixel_weight is not None:
        heavy = Tensor._wrap(spread_over(op, "pixel_weight", pixel_weight, x))
        kept = heavy if kept is None else kept * heavy
    assert kept is not None
    weights = kept if weight is None else kept * Tensor._wrap(weight)
    return layout.contiguous(weights._array), kept.sum()


def with_mask(
    op: str,
    way: Way,
    x: Tensor,
    t: Tensor,
    reduction: str,
    weight: Array | None,
    mask: Any,
    ignore: float | None,
    pixel_weight: Any = None,
    **more: Any,
) -> Tensor:
    """A loss of the elements that are not left out; a mean is over those."""
    weight, count = kept_weights(op, x, t, weight, mask, ignore, pixel_weight)
    if count is None or reduction != "mean":
        return elementwise(op, way, x, t, reduction, weight=weight, **more)
    return ratio(elementwise(op, way, x, t, "sum", weight=weight, **more), count)


def binary_cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    mask: Any = None,
    ignore_index: float | None = None,
    pixel_weight: Any = None,
) -> Tensor:
    """``-(t log p + (1 - t) log(1 - p))`` of probabilities, each logarithm at least -100.

    Parameters
    ----------
    input : Tensor
        Probabilities. Those that come from ``sigmoid`` are computed from its logits: as stable as
        :func:`binary_cross_entropy_with_logits`, and with its gradient ``p - t`` where the output is saturated.
    target : Tensor
        Of the same shape; bools and integers are cast.
    weight : Tensor, optional
        Spreads over ``input``.
    reduction : {"mean", "sum", "none"}
    mask : Tensor, optional
        True where an element counts; the mean is over those.
    ignore_index : number, optional
        Value of the target where an element does not count; may be NaN.
    pixel_weight : Tensor, optional
        Spreads over ``input`` as ``weight`` does, but the mean is divided by its sum.

    Returns
    -------
    Tensor, 0-d, or of ``input``'s shape for "none"

    Raises
    ------
    ShapeError
        If the shapes differ: a mask (N, H, W) does not spread over (N, 1, H, W).
    ArgumentError
        If a probability lies outside [0, 1].

    Examples
    --------
    >>> import neurenix as nx
    >>> round(nx.nn.functional.binary_cross_entropy(nx.tensor([0.5]), nx.tensor([1])).item(), 4)
    0.6931
    """
    op = "binary_cross_entropy"
    how, x = reduction_of(op, reduction, size_average, reduce), prediction(op, input)
    t, way = target_like(op, target, x), Way.BCE
    if x._logits is not None and x._logits[0] == "sigmoid" and not (x.is_leaf and x.requires_grad):
        x, way = x._logits[1], Way.BCE_OF_SIGMOID
    return with_mask(op, way, x, t, how, spread_over(op, "weight", weight, x), mask, ignore_index, pixel_weight)


def binary_cross_entropy_with_logits(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Any = None,
    *,
    mask: Any = None,
    ignore_index: float | None = None,
    pixel_weight: Any = None,
) -> Tensor:
    """Binary cross entropy of ``sigmoid(input)``, stable for any logit; ``pos_weight`` multiplies the first term.

    See :func:`binary_cross_entropy` for the other arguments.

    Raises
    ------
    ArgumentError
        If ``input`` is the output of ``sigmoid`` or ``softmax``.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.binary_cross_entropy_with_logits(nx.tensor([-1000.0]), nx.tensor([1.0])).item()
    1000.0
    """
    op = "binary_cross_entropy_with_logits"
    how, x = reduction_of(op, reduction, size_average, reduce), prediction(op, input)
    refuse_probabilities(op, x, "binary_cross_entropy (BCELoss)")
    t = target_like(op, target, x)
    positive = spread_over(op, "pos_weight", pos_weight, x)
    left_out = mask, ignore_index, pixel_weight
    return with_mask(op, Way.BCE_LOGITS, x, t, how, spread_over(op, "weight", weight, x), *left_out, positive=positive)
