"""The loss of overlap."""

from __future__ import annotations

from typing import Any

from neurenix import ops
from neurenix.ops._reduction import prediction, target_like
from neurenix.ops.loss import kept_weights
from neurenix.tensor import Tensor


def dice_loss(
    input: Any, target: Any, smooth: float = 1.0, *, mask: Any = None, ignore_index: float | None = None, per_sample: bool = False
) -> Tensor:
    """One minus Dice's coefficient ``(2 sum p t + smooth) / (sum p + sum t + smooth)``, averaged over the channels.

    Parameters
    ----------
    input : Tensor, shape (N, C, ...)
        Probabilities.
    target : Tensor
        Of the same shape; bools and integers are cast.
    smooth : float
        Keeps empty channels finite, and their loss at 0 if nothing is predicted.
    mask, ignore_index
        As in :func:`binary_cross_entropy`.
    per_sample : bool
        Average the coefficients of single samples instead of taking one over the batch.

    References
    ----------
    .. [1] F. Milletari et al., "V-Net: fully convolutional neural networks for volumetric medical image segmentation", 3DV 2016.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([[[[1.0, 0.0]]]])
    >>> nx.nn.functional.dice_loss(x, x).item()
    0.0
    """
    x = prediction("dice_loss", input)
    t = target_like("dice_loss", target, x)
    axes = [i for i in range(x.ndim) if i != 1 and (i or not per_sample)] if x.ndim > 1 else None
    weights, _ = kept_weights("dice_loss", x, t, None, mask, ignore_index)
    if weights is not None:
        kept = Tensor._wrap(weights)
        keep = kept != 0
        x, t = ops.where(keep, x, kept * 0), ops.where(keep, t, kept * 0)
    both, apart = ops.sum(x * t, axes), ops.sum(x, axes) + ops.sum(t, axes)
    return ops.mean(1.0 - (2.0 * both + smooth) / (apart + smooth))
