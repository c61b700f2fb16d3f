"""The loss of overlap."""

from __future__ import annotations

from typing import Any

from neurenix.ops._overlap import class_weights, quotient, reduced, regions
from neurenix.ops._reduction import reduction_of
from neurenix.tensor import Tensor


def dice_loss(
    input: Any,
    target: Any,
    smooth: float = 1.0,
    *,
    weight: Any = None,
    activation: str | None = None,
    mask: Any = None,
    ignore_index: float | None = None,
    per_sample: bool = False,
    squared: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """One minus Dice's coefficient ``(2 sum p t + smooth) / (sum p + sum t + smooth)``, averaged over the channels.

    Parameters
    ----------
    input : Tensor, shape (N, C, ...)
        Probabilities, or logits with ``activation``.
    target : Tensor
        Of the same shape, 0 to 1: bools and integers are cast. Or, for two or more channels, class numbers (N, ...).
    smooth : float
        Keeps empty channels finite, and their loss at 0 if nothing is predicted (which it is at 0 as well).
    weight : Tensor, shape (C,), optional
        A weight a channel; a mean is divided by their sum. ``[0, 1, 1]`` leaves the background out.
    activation : {"sigmoid", "softmax"}, optional
        Applied to ``input`` first.
    mask : Tensor, optional
        True where a pixel counts: (N, ...), or what spreads over ``input``.
    ignore_index : number, optional
        Class number, or value of the target, that does not count; may be NaN.
    per_sample : bool
        A coefficient for each sample instead of one over the batch.
    squared : bool
        Squares of ``p`` and ``t`` in the denominator, as the paper has it.
    reduction : {"mean", "sum", "none"}
        Of the losses of the channels (C,), or with ``per_sample`` of samples and channels (N, C).

    Raises
    ------
    ArgumentError
        If the input is no probabilities: values outside [0, 1] (looked at on the CPU), or ``activation`` over the output of one.

    References
    ----------
    .. [1] F. Milletari et al., "V-Net: fully convolutional neural networks for volumetric medical image segmentation", 3DV 2016.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([[[[1.0, 0.0]]]])
    >>> nx.nn.functional.dice_loss(x, x).item()
    0.0
    >>> logits = nx.tensor([[[9.0, -9.0], [-9.0, 9.0]]])
    >>> round(nx.nn.functional.dice_loss(logits, nx.tensor([[0, 1]]), activation="softmax").item(), 4)
    0.0
    """
    op = "dice_loss"
    how, given = reduction_of(op, reduction, None, None), regions(op, input, target, activation, mask, ignore_index)
    single = (given.p * given.p, given.t * given.t) if squared else (given.p, given.t)
    both, p, t = given.sums(given.p * given.t, *single, per_sample=per_sample)
    losses = 1.0 - quotient(2.0 * both + smooth, p + t + smooth)
    return reduced(losses, class_weights(op, weight, given.p), how)
