"""Focal losses: cross entropy that looks away from what is easy."""

from __future__ import annotations

import math
from typing import Any

from neurenix import ops
from neurenix.errors import ArgumentError
from neurenix.ops._over_batch import ratio
from neurenix.ops._reduction import prediction, reduction_of, refuse_probabilities, spread_over, target_like
from neurenix.ops.class_loss import cross_entropy
from neurenix.ops.loss import binary_cross_entropy_with_logits, kept_weights
from neurenix.tensor import Tensor, as_tensor


def exponent(op: str, gamma: float) -> float:
    """``gamma`` as a finite number of at least 0."""
    if isinstance(gamma, bool) or not isinstance(gamma, int | float) or not 0 <= gamma < math.inf:
        raise ArgumentError(f"{op}: expected gamma of at least 0, got {gamma!r}; pass e.g. 2.0")
    return float(gamma)


def _modulated(loss: Tensor, wrong: Tensor, gamma: float) -> Tensor:
    """``wrong ** gamma * loss``; a power below 1 has no slope where nothing is wrong, and the loss there is 0."""
    if gamma == 0:
        return loss
    if gamma < 1:
        some = ops.gt(wrong.detach(), 0)
        wrong = ops.where(some, wrong, ops.ones_like(wrong.detach()))
    return loss * ops.pow(wrong, gamma)


def sigmoid_focal_loss(
    inputs: Any,
    targets: Any,
    alpha: float = 0.25,
    gamma: float = 2,
    reduction: str = "none",
    *,
    mask: Any = None,
    ignore_index: float | None = None,
) -> Tensor:
    """``alpha_t (1 - p_t)^gamma * binary cross entropy`` of logits, element by element, as torchvision's.

    Parameters
    ----------
    inputs : Tensor
        Logits.
    targets : Tensor
        Of the same shape, 0 to 1.
    alpha : float
        Weight of positives, ``1 - alpha`` that of negatives; a negative number for none.
    gamma : float
        0 is cross entropy; the larger, the less easy elements count.
    reduction : {"none", "mean", "sum"}
        The mean is over the elements that count.
    mask : Tensor, optional
        True where an element counts.
    ignore_index : number, optional
        Value of the target where an element does not count; may be NaN.

    Raises
    ------
    ArgumentError
        If ``inputs`` is the output of ``sigmoid`` or ``softmax``.

    References
    ----------
    .. [1] T.-Y. Lin et al., "Focal loss for dense object detection", ICCV 2017.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.sigmoid_focal_loss(nx.tensor([0.0]), nx.tensor([1.0]), alpha=-1)  # log(2) / 4
    tensor([0.1733])
    """
    op = "sigmoid_focal_loss"
    how, x, power = reduction_of(op, reduction, None, None), prediction(op, inputs), exponent(op, gamma)
    refuse_probabilities(op, x, "no final activation")
    t = target_like(op, targets, x)
    weights, count = kept_weights(op, x, t, None, mask, ignore_index)
    if weights is not None:
        keep = ops.ne(Tensor._wrap(weights), 0)
        x, t = ops.where(keep, x, ops.zeros_like(x.detach())), ops.where(keep, t, ops.zeros_like(t.detach()))
    loss = binary_cross_entropy_with_logits(x, t, reduction="none")
    positive, negative = ops.sigmoid(x), ops.sigmoid(-x)
    loss = _modulated(loss, negative * t + positive * (1.0 - t), power)  # 1 - p_t without cancellation
    if alpha >= 0:
        loss = loss * (alpha * t + (1.0 - alpha) * (1.0 - t))
    if weights is not None:
        loss = loss * Tensor._wrap(weights)
    if how != "mean":
        return loss if how == "none" else ops.sum(loss)
    return ops.mean(loss) if count is None else ratio(ops.sum(loss), count)


def focal_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    gamma: float = 2.0,
    ignore_index: int = -100,
    reduction: str = "mean",
    *,
    mask: Any = None,
    pixel_weight: Any = None,
) -> Tensor:
    """``w[t] (1 - p[t])^gamma * -log p[t]`` of logits over classes: the focal loss of one class among several.

    Parameters
    ----------
    input : Tensor, shape (C,), (N, C) or (N, C, ...)
        Logits.
    target : Tensor
        Class numbers of shape (), (N,) or (N, ...).
    weight : Tensor, shape (C,), optional
        A weight a class, the paper's alpha.
    gamma : float
        0 is cross entropy; the larger, the less easy pixels count.
    ignore_index : int
        A class number that does not count.
    reduction : {"mean", "sum", "none"}
        A mean is over the pixels that count; weights do not change what it is divided by, so that they change the loss.
    mask, pixel_weight : Tensor, optional
        Where pixels count, and how much.

    Raises
    ------
    ArgumentError
        If a target of classes is not of integers.

    References
    ----------
    .. [1] T.-Y. Lin et al., "Focal loss for dense object detection", ICCV 2017.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.focal_loss(nx.tensor([[0.0, 0.0]]), nx.tensor([1]))  # log(2) / 4
    tensor(0.1733)
    """
    op = "focal_loss"
    how, x, power = reduction_of(op, reduction, None, None), prediction(op, input), exponent(op, gamma)
    refuse_probabilities(op, x, "final_activation=None")
    t = as_tensor(target)
    if t.dtype.kind == "f":
        raise ArgumentError(f"{op}: expected class numbers, got {t.dtype}; convert them with .long()")
    own = cross_entropy(x, t, ignore_index=ignore_index, reduction="none", mask=mask)  # 0 where nothing counts
    loss = _modulated(own, -ops.expm1(-own), power)
    kept = ops.ne(t, ignore_index).to(dtype=x.dtype)
    if mask is not None:
        kept = kept * as_tensor(mask, x).bool().to(dtype=x.dtype)
    heavy = kept
    if weight is not None:
        w = as_tensor(weight, x).detach()
        heavy = heavy * ops.index_select(w, 0, ops.clamp(t, 0, w.shape[0] - 1).long().reshape(-1)).reshape(t.shape)
    if pixel_weight is not None:
        heavy = heavy * Tensor._wrap(spread_over(op, "pixel_weight", pixel_weight, own.detach()))
    loss = loss * heavy
    if how != "mean":
        return loss if how == "none" else ops.sum(loss)
    return ratio(ops.sum(loss), ops.sum(ops.expand(kept, loss.shape) if kept.shape != loss.shape else kept))
