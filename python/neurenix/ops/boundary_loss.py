"""The boundary loss: probabilities weighed by their signed distance to the true boundary."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurenix import ops
from neurenix.errors import ShapeError
from neurenix.ops._over_batch import ratio
from neurenix.ops._overlap import Regions, class_weights, regions
from neurenix.ops._reduction import reduction_of, target_like
from neurenix.ops.regions import spacing_of, squared_distance
from neurenix.tensor import Tensor, as_tensor


def signed_distance(target: Any, *, spacing: Any = None) -> Tensor:
    """The distance of each pixel to the boundary of a mask: positive outside, 0 and negative inside.

    Parameters
    ----------
    target : Tensor, shape (N, C, ...)
        Masks, one a channel: bools, or numbers of which those other than 0 are inside.
    spacing : float or sequence of float, optional
        Distance between neighbours along each axis behind the channels; 1 by default.

    Returns
    -------
    Tensor, shape of ``target``, float32 unless ``target`` is float64
        Outside, the distance to the nearest pixel inside; inside, 1 (the smallest spacing) less the distance to the nearest pixel outside,
        so that pixels on the boundary have 0. A mask without pixels, and one without any outside, give 0 everywhere: they have no boundary.

    Raises
    ------
    ShapeError
        If the target has fewer than three axes.

    References
    ----------
    .. [1] H. Kervadec et al., "Boundary loss for highly unbalanced segmentation", MIDL 2019.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.signed_distance(nx.tensor([[[0, 0, 1, 1, 1, 0]]]))
    tensor([[[ 2.,  1.,  0., -1.,  0.,  1.]]])
    """
    t = as_tensor(target).detach()
    if t.ndim < 3:
        raise ShapeError(f"signed_distance: expected (N, C, ...), got {t.shape}; add the axes of batch and channels with unsqueeze")
    steps = spacing_of("signed_distance", spacing, t.ndim - 2)
    inside = t.bool()
    to_inside = ops.sqrt(Tensor._wrap(squared_distance(ops.logical_not(inside)._array, steps)))
    to_outside = ops.sqrt(Tensor._wrap(squared_distance(inside._array, steps)))
    signed = ops.where(inside, min(steps) - to_outside, to_inside)
    found: Tensor = ops.where(ops.isinf(signed), ops.zeros_like(signed), signed)
    return found.to(dtype=np.float64 if t.dtype == np.float64 else np.float32)


def boundary_loss(
    input: Any,
    target: Any,
    *,
    distance: Any = None,
    spacing: Any = None,
    weight: Any = None,
    activation: str | None = None,
    mask: Any = None,
    ignore_index: float | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The mean of ``p * signed_distance(target)``: an integral over the region between the two boundaries.

    Parameters
    ----------
    input, activation, mask, ignore_index
        As in :func:`dice_loss`.
    target : Tensor
        As in :func:`dice_loss`; may be ``None`` where ``distance`` is given.
    distance : Tensor, shape of ``input``, optional
        :func:`signed_distance` of the target, computed beforehand, once for each image of a data set.
    spacing : float or sequence of float, optional
        Distance between neighbours along each axis, where the distance is computed here.
    weight : Tensor, shape (C,), optional
        A weight a channel; the paper leaves the background out.
    reduction : {"mean", "sum", "none"}
        A mean is over the elements that count; "none" gives ``input``'s shape.

    Notes
    -----
    It is negative for a good prediction, least where the prediction is the target, and does not see how much of a region there is: add it
    to a loss of overlap, its share growing during training, as [1]_ does.

    References
    ----------
    .. [1] H. Kervadec et al., "Boundary loss for highly unbalanced segmentation", MIDL 2019.

    Examples
    --------
    >>> import neurenix as nx
    >>> t = nx.tensor([[[0.0, 0.0, 1.0, 1.0, 1.0, 0.0]]])
    >>> round(nx.nn.functional.boundary_loss(t, t).item(), 4), round(nx.nn.functional.boundary_loss(1 - t, t).item(), 4)
    (-0.1667, 0.6667)
    """
    op = "boundary_loss"
    how = reduction_of(op, reduction, None, None)
    given = regions(op, input, distance if target is None else target, activation, mask, ignore_index)
    far = _distance(op, given, distance, spacing)
    losses = given.p * far
    heavy = class_weights(op, weight, given.p)
    if heavy is not None:
        losses = losses * heavy.reshape(-1, *(1,) * (losses.ndim - 2))
    if how != "mean":
        return losses if how == "none" else ops.sum(losses)
    return ops.mean(losses) if given.kept is None else ratio(ops.sum(losses), ops.sum(given.kept))


def _distance(op: str, given: Regions, distance: Any, spacing: Any) -> Tensor:
    if distance is None:
        return signed_distance(given.t, spacing=spacing).to(dtype=given.p.dtype)
    far = target_like(op, as_tensor(distance).to(dtype=given.p.dtype), given.p).detach()
    return far if given.kept is None else ops.where(ops.ne(given.kept, 0), far, ops.zeros_like(far))
