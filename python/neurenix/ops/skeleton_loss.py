"""Soft skeletons by pooling, and the loss of centre lines made of them."""

from __future__ import annotations

from typing import Any

from neurenix import ops
from neurenix.errors import ShapeError
from neurenix.ops._arguments import integer
from neurenix.ops._overlap import class_weights, quotient, reduced, regions
from neurenix.ops._reduction import prediction, reduction_of
from neurenix.tensor import Tensor


def _largest(x: Tensor, window: tuple[int, ...]) -> Tensor:
    """The largest in a window of odd sizes around each pixel."""
    half = tuple(n // 2 for n in window)
    pool = ops.max_pool3d if x.ndim == 5 else ops.max_pool2d
    found: Tensor = pool(x, window, stride=1, padding=half)
    return found


def _eroded(x: Tensor) -> Tensor:
    """The least among each pixel and its neighbours along one axis."""
    axes = x.ndim - 2
    least: Tensor | None = None
    for axis in range(axes):
        along = -_largest(-x, tuple(3 if i == axis else 1 for i in range(axes)))
        least = along if least is None else ops.minimum(least, along)
    assert least is not None
    return least


def soft_skeleton(input: Any, iterations: int = 10) -> Tensor:
    """The centre lines of soft masks: what openings take away while the mask is eroded step by step.

    Parameters
    ----------
    input : Tensor, shape (N, C, H, W) or (N, C, D, H, W)
        Probabilities or masks, 0 to 1.
    iterations : int
        Erosions: at least the largest radius of the objects.

    Raises
    ------
    ShapeError
        If the input is neither (N, C, H, W) nor (N, C, D, H, W).

    References
    ----------
    .. [1] S. Shit et al., "clDice: a novel topology-preserving loss function for tubular structure segmentation", CVPR 2021.

    Examples
    --------
    >>> import neurenix as nx
    >>> bar = nx.zeros(1, 1, 5, 7)
    >>> bar = nx.where(nx.tensor([[False], [True], [True], [True], [False]]), nx.ones_like(bar), bar)
    >>> nx.nn.functional.soft_skeleton(bar, 2)[0, 0, :, 3]
    tensor([0., 0., 1., 0., 0.])
    """
    op = "soft_skeleton"
    x, steps = prediction(op, input), integer(op, "iterations", iterations, 0)
    if x.ndim not in (4, 5):
        raise ShapeError(f"{op}: expected (N, C, H, W) or (N, C, D, H, W), got {x.shape}; add the missing axes with unsqueeze")
    window = (3,) * (x.ndim - 2)
    skeleton: Tensor | None = None
    for step in range(steps + 1):
        thinner = _eroded(x)
        gone = ops.relu(x - _largest(thinner, window))
        skeleton = gone if skeleton is None else skeleton + ops.relu(gone - skeleton * gone)
        if step < steps:
            x = thinner
    assert skeleton is not None
    return skeleton


def soft_cldice_loss(
    input: Any,
    target: Any,
    iterations: int = 10,
    smooth: float = 1.0,
    *,
    weight: Any = None,
    activation: str | None = None,
    mask: Any = None,
    ignore_index: float | None = None,
    per_sample: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """One minus the centre lines' Dice: how much of each mask's skeleton the other mask covers. For vessels, roads, membranes.

    ``2 P S / (P + S)`` with ``P = (sum S_p t + smooth) / (sum S_p + smooth)`` and ``S = (sum S_t p + smooth) / (sum S_t + smooth)``, where
    ``S_p`` and ``S_t`` are the soft skeletons of prediction and target.

    Parameters
    ----------
    input : Tensor, shape (N, C, H, W) or (N, C, D, H, W)
    iterations : int
        As in :func:`soft_skeleton`.
    target, smooth, weight, activation, mask, ignore_index, per_sample, reduction
        As in :func:`dice_loss`. What is left out counts as background in the skeletons.

    Notes
    -----
    It does not see the width of an object; the paper trains with ``(1 - a) dice_loss + a soft_cldice_loss``, a up to 0.5.

    References
    ----------
    .. [1] S. Shit et al., "clDice: a novel topology-preserving loss function for tubular structure segmentation", CVPR 2021.

    Examples
    --------
    >>> import neurenix as nx
    >>> line = nx.tensor([[[[0.0] * 5, [1.0] * 5, [0.0] * 5]]])
    >>> nx.nn.functional.soft_cldice_loss(line, line).item()
    0.0
    """
    op = "soft_cldice_loss"
    how, given = reduction_of(op, reduction, None, None), regions(op, input, target, activation, mask, ignore_index)
    of_p, of_t = soft_skeleton(given.p, iterations), soft_skeleton(given.t, iterations)
    hits, lines, covered, truth = given.sums(of_p * given.t, of_p, of_t * given.p, of_t, per_sample=per_sample)
    precision, sensitivity = quotient(hits + smooth, lines + smooth), quotient(covered + smooth, truth + smooth)
    both = precision + sensitivity
    losses = 1.0 - ops.where(ops.eq(both.detach(), 0), ops.zeros_like(both.detach()), quotient(2.0 * precision * sensitivity, both))
    return reduced(losses, class_weights(op, weight, given.p), how)
