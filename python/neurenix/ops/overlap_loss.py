"""Losses of overlap: generalised Dice, Jaccard, Tversky. Dice itself stands in ``dice.py``."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurenix import ops
from neurenix.errors import ArgumentError
from neurenix.ops._arguments import choice
from neurenix.ops._overlap import class_weights, quotient, reduced, regions
from neurenix.ops._reduction import reduced_as, reduction_of
from neurenix.tensor import Tensor

WEIGHTINGS = ("square", "simple", "uniform")  # of channels in the generalised Dice loss


def jaccard_loss(
    input: Any,
    target: Any,
    smooth: float = 1.0,
    *,
    weight: Any = None,
    activation: str | None = None,
    mask: Any = None,
    ignore_index: float | None = None,
    per_sample: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """One minus the soft Jaccard index ``(sum p t + smooth) / (sum p + sum t - sum p t + smooth)``; arguments as :func:`dice_loss`.

    References
    ----------
    .. [1] M. Rahman and Y. Wang, "Optimizing intersection-over-union in deep neural networks for image segmentation", ISVC 2016.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.jaccard_loss(nx.tensor([[1.0], [1.0]]), nx.tensor([[1.0], [0.0]]), smooth=0.0).item()
    0.5
    """
    op = "jaccard_loss"
    how, given = reduction_of(op, reduction, None, None), regions(op, input, target, activation, mask, ignore_index)
    both, p, t = given.sums(given.p * given.t, given.p, given.t, per_sample=per_sample)
    losses = 1.0 - quotient(both + smooth, p + t - both + smooth)
    return reduced(losses, class_weights(op, weight, given.p), how)


def _tversky(op: str, given: Any, alpha: float, beta: float, smooth: float, per_sample: bool) -> Tensor:
    for name, value in (("alpha", alpha), ("beta", beta)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            raise ArgumentError(f"{op}: expected {name} of at least 0, got {value!r}; pass e.g. {name}=0.5")
    both, p, t = given.sums(given.p * given.t, given.p, given.t, per_sample=per_sample)
    return quotient(both + smooth, both + alpha * (p - both) + beta * (t - both) + smooth)


def tversky_loss(
    input: Any,
    target: Any,
    alpha: float = 0.3,
    beta: float = 0.7,
    smooth: float = 1.0,
    *,
    weight: Any = None,
    activation: str | None = None,
    mask: Any = None,
    ignore_index: float | None = None,
    per_sample: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """One minus Tversky's index ``(TP + smooth) / (TP + alpha FP + beta FN + smooth)`` of soft counts.

    Parameters
    ----------
    alpha, beta : float
        Weights of false positives and of false negatives: 0.5, 0.5 is Dice, 1, 1 is Jaccard; a larger ``beta`` finds more.
    input, target, smooth, weight, activation, mask, ignore_index, per_sample, reduction
        As in :func:`dice_loss`.

    References
    ----------
    .. [1] S. Salehi et al., "Tversky loss function for image segmentation using 3D fully convolutional deep networks", MLMI 2017.

    Examples
    --------
    >>> import neurenix as nx
    >>> p, t = nx.tensor([[0.5, 0.5]]).T, nx.tensor([[1.0, 0.0]]).T
    >>> round(nx.nn.functional.tversky_loss(p, t, 0.25, 0.75, smooth=0.0).item(), 6)
    0.5
    """
    op = "tversky_loss"
    how, given = reduction_of(op, reduction, None, None), regions(op, input, target, activation, mask, ignore_index)
    losses = 1.0 - _tversky(op, given, alpha, beta, smooth, per_sample)
    return reduced(losses, class_weights(op, weight, given.p), how)


def focal_tversky_loss(
    input: Any,
    target: Any,
    alpha: float = 0.3,
    beta: float = 0.7,
    gamma: float = 4 / 3,
    smooth: float = 1.0,
    *,
    weight: Any = None,
    activation: str | None = None,
    mask: Any = None,
    ignore_index: float | None = None,
    per_sample: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """``tversky_loss ** (1 / gamma)`` a channel: with ``gamma`` above 1, regions that are nearly right still learn.

    Below the element type's rounding the power, whose slope is infinite at 0, goes on as a straight line to 0.

    Parameters
    ----------
    alpha, beta : float
        Weights of false positives and of false negatives. (The paper's alpha is our ``beta``.)
    gamma : float
        1 to 3 in the paper.
    input, target, smooth, weight, activation, mask, ignore_index, per_sample, reduction
        As in :func:`dice_loss`.

    Raises
    ------
    ArgumentError
        If ``gamma`` is not above 0.

    References
    ----------
    .. [1] N. Abraham and N. Khan, "A novel focal Tversky loss function with improved attention U-Net for lesion segmentation", ISBI 2019.

    Examples
    --------
    >>> import neurenix as nx
    >>> p, t = nx.tensor([[0.5, 0.5]]).T, nx.tensor([[1.0, 0.0]]).T
    >>> round(nx.nn.functional.focal_tversky_loss(p, t, 0.25, 0.75, gamma=2.0, smooth=0.0).item(), 4)
    0.7071
    """
    op = "focal_tversky_loss"
    if isinstance(gamma, bool) or not isinstance(gamma, int | float) or not gamma > 0:
        raise ArgumentError(f"{op}: expected gamma above 0, got {gamma!r}; pass e.g. 4 / 3")
    how, given = reduction_of(op, reduction, None, None), regions(op, input, target, activation, mask, ignore_index)
    wrong = 1.0 - _tversky(op, given, alpha, beta, smooth, per_sample)
    least = float(np.finfo(wrong.dtype).eps)
    power = ops.pow(ops.clamp(wrong, min=least), 1.0 / gamma)
    losses = ops.where(ops.gt(wrong.detach(), least), power, wrong * least ** (1.0 / gamma - 1.0))
    return reduced(losses, class_weights(op, weight, given.p), how)


def generalized_dice_loss(
    input: Any,
    target: Any,
    smooth: float = 0.0,
    *,
    weighting: str = "square",
    activation: str | None = None,
    mask: Any = None,
    ignore_index: float | None = None,
    per_sample: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """One minus ``(2 sum_c w_c sum p t + smooth) / (sum_c w_c (sum p + sum t) + smooth)``: all channels in one coefficient.

    Parameters
    ----------
    weighting : {"square", "simple", "uniform"}
        The weight of a channel whose target sums to T: ``1 / T^2`` as in the paper, ``1 / T``, or 1. A channel that does not occur gets
        the largest weight of those that do.
    per_sample : bool
        A coefficient for each sample, as in the paper, instead of one over the batch.
    reduction : {"mean", "sum", "none"}
        Of the samples' losses, with ``per_sample``.
    input, target, smooth, activation, mask, ignore_index
        As in :func:`dice_loss`.

    References
    ----------
    .. [1] C. Sudre et al., "Generalised Dice overlap as a deep learning loss function for highly unbalanced segmentations", DLMIA 2017.

    Examples
    --------
    >>> import neurenix as nx
    >>> t = nx.tensor([[[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 1.0, 1.0]]])
    >>> nx.nn.functional.generalized_dice_loss(t, t).item()
    0.0
    """
    op = "generalized_dice_loss"
    choice(op, "weighting", weighting, WEIGHTINGS)
    how, given = reduction_of(op, reduction, None, None), regions(op, input, target, activation, mask, ignore_index)
    both, p, t = given.sums(given.p * given.t, given.p, given.t, per_sample=per_sample)
    heavy = _rarity(t.detach(), weighting)
    channel = both.ndim - 1
    losses = 1.0 - quotient(2.0 * ops.sum(heavy * both, channel) + smooth, ops.sum(heavy * (p + t), channel) + smooth)
    return reduced_as(losses, how)


def _rarity(sizes: Tensor, weighting: str) -> Tensor:
    """Weights of channels, up to a factor that drops out: relative to the smallest channel, so that no square overflows."""
    if weighting == "uniform":
        return ops.ones_like(sizes)
    there = ops.gt(sizes, 0)
    smallest = ops.amin(ops.where(there, sizes, ops.full_like(sizes, np.inf)), sizes.ndim - 1, True)
    share = ops.where(there, smallest / ops.where(there, sizes, ops.ones_like(sizes)), ops.ones_like(sizes))
    found: Tensor = share * share if weighting == "square" else share
    return found
