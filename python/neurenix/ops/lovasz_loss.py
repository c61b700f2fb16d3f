"""Lovász losses: the Jaccard index itself, extended to soft predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from neurenix import ops
from neurenix.errors import ArgumentError
from neurenix.ops._overlap import labels_as_maps, masked, probabilities
from neurenix.ops._reduction import prediction, reduced_as, reduction_of, refuse_probabilities, target_like
from neurenix.ops.loss import kept_weights
from neurenix.tensor import Tensor, as_tensor


def _extension(errors: Tensor, truth: Tensor, kept: Tensor | None) -> Tensor:
    """The Lovász extension of the Jaccard loss at the errors (rows, n), one number a row; what is not kept has error 0.

    The gradient of the extension is a difference of nearly equal quotients, so it is computed in double.
    """
    rank = errors.detach() if kept is None else ops.where(ops.ne(kept, 0), errors.detach(), ops.full_like(errors.detach(), -np.inf))
    order = ops.argsort(rank, -1, descending=True)
    ordered, found = ops.gather(errors, 1, order), ops.gather(truth, 1, order).to(dtype=np.float64)
    if kept is None:
        others = 1.0 - found
    else:
        here = ops.gather(kept, 1, order).to(dtype=np.float64)
        found = found * here
        others = here - found
    total = ops.sum(found, 1, True)
    left, union = total - ops.cumsum(found, 1), total + ops.cumsum(others, 1)
    jaccard = 1.0 - left / ops.clamp(union, min=1.0)
    steps = ops.cat([jaccard[:, :1], ops.diff(jaccard, dim=1)], 1)
    if kept is not None:
        steps = steps * here
    return ops.sum(ordered * steps.to(dtype=errors.dtype).detach(), 1)


def lovasz_hinge_loss(
    input: Any,
    target: Any,
    *,
    per_sample: bool = True,
    mask: Any = None,
    ignore_index: float | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The Lovász hinge of logits and a mask: the Jaccard loss of one class, with hinge errors.

    Parameters
    ----------
    input : Tensor, shape (N, ...)
        Logits.
    target : Tensor
        Of the same shape, 0 or 1.
    per_sample : bool
        A loss for each sample instead of one over the batch.
    mask : Tensor, optional
        True where an element counts.
    ignore_index : number, optional
        Value of the target where an element does not count; may be NaN.
    reduction : {"mean", "sum", "none"}
        Of the samples' losses; "none" gives one a sample, or one in all.

    Notes
    -----
    One sort a sample. It does not punish what is on the right side by a margin of 1: the loss of such a prediction is 0. A sample in which
    nothing counts has the loss 0.

    References
    ----------
    .. [1] M. Berman et al., "The Lovász-Softmax loss: a tractable surrogate for the optimization of the intersection-over-union measure in
       neural networks", CVPR 2018.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.lovasz_hinge_loss(nx.tensor([[2.0, -2.0, 0.0]]), nx.tensor([[1, 0, 0]])).item()
    0.5
    """
    op = "lovasz_hinge_loss"
    how, x = reduction_of(op, reduction, None, None), prediction(op, input)
    refuse_probabilities(op, x, "lovasz_softmax_loss")
    t = target_like(op, target, x).detach()
    weights, _ = kept_weights(op, x, t, None, mask, ignore_index)
    kept = None if weights is None else ops.ne(Tensor._wrap(weights), 0).to(dtype=x.dtype)
    if kept is not None:
        nothing = ops.zeros_like(x.detach())
        x, t = ops.where(ops.ne(kept, 0), x, nothing), ops.where(ops.ne(kept, 0), t, nothing)
    rows = x.shape[0] if per_sample and x.ndim else 1
    x, t = x.reshape(rows, -1), t.reshape(rows, -1)
    kept = None if kept is None else kept.reshape(rows, -1)
    errors = 1.0 - x * (2.0 * t - 1.0)
    if kept is not None:
        errors = errors * kept
    # The slope of the extension is never negative, so cutting errors at 0 before or after sorting is the same.
    losses = _extension(ops.relu(errors), t, kept)
    return reduced_as(losses, how)


def _chosen(classes: Any, present: Tensor, count: int) -> Tensor:
    """1 for the classes whose losses count."""
    if isinstance(classes, str):
        if classes not in ("present", "all"):
            raise ArgumentError(f"lovasz_softmax_loss: expected classes 'present', 'all' or a list of numbers, got {classes!r}; pass one")
        return present if classes == "present" else ops.ones_like(present)
    numbers = list(classes) if isinstance(classes, Sequence) else []
    if not numbers or not all(isinstance(c, int) and not isinstance(c, bool) and 0 <= c < count for c in numbers):
        raise ArgumentError(f"lovasz_softmax_loss: expected classes from 0 to {count - 1}, got {classes!r}; pass e.g. [1]")
    only = [1.0 if c in numbers else 0.0 for c in range(count)]
    return ops.ones_like(present) * as_tensor(np.array(only, present.dtype.name), present).to(device=present.device)


def lovasz_softmax_loss(
    input: Any,
    target: Any,
    *,
    classes: str | Sequence[int] = "present",
    activation: str | None = None,
    per_sample: bool = False,
    mask: Any = None,
    ignore_index: float | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The Lovász extension of the Jaccard loss at the errors ``|t - p|`` of each class's probability, averaged over classes.

    Parameters
    ----------
    input : Tensor, shape (N, C, ...)
        Probabilities, or logits with ``activation``; with one channel, of the foreground.
    target : Tensor
        Class numbers (N, ...), or 0 and 1 of ``input``'s shape.
    classes : {"present", "all"} or list of int
        The classes whose losses are averaged: those that occur in the target (of the batch or sample), all, or those named.
    activation : {"sigmoid", "softmax"}, optional
        Applied to ``input`` first.
    per_sample : bool
        A loss for each sample instead of one over the batch.
    mask : Tensor, optional
        True where a pixel counts: (N, ...) or what spreads over ``input``.
    ignore_index : number, optional
        Class number, or value of the target, that does not count.
    reduction : {"mean", "sum", "none"}
        Of the losses after averaging over classes: "none" gives one a sample, or one in all.

    Notes
    -----
    One sort a class and sample. Where no class counts the loss is 0.

    References
    ----------
    .. [1] M. Berman et al., "The Lovász-Softmax loss: a tractable surrogate for the optimization of the intersection-over-union measure in
       neural networks", CVPR 2018.

    Examples
    --------
    >>> import neurenix as nx
    >>> p = nx.tensor([[[0.75, 0.25], [0.25, 0.75]]])
    >>> nx.nn.functional.lovasz_softmax_loss(p, nx.tensor([[0, 1]])).item()
    0.25
    """
    op = "lovasz_softmax_loss"
    how, p = reduction_of(op, reduction, None, None), probabilities(op, input, activation)
    t, kept = labels_as_maps(op, target, p, ignore_index)
    kept = masked(op, mask, p, kept)
    errors = ops.abs(t - p)
    if kept is not None:
        kept = ops.expand(kept, p.shape)
        nothing = ops.zeros_like(p.detach())
        errors, t = ops.where(ops.ne(kept, 0), errors, nothing), ops.where(ops.ne(kept, 0), t, nothing)
    samples, channels = (p.shape[0], p.shape[1]) if per_sample else (1, p.shape[1])
    rows = [_rows(x, samples) for x in (errors, t)]
    single = _extension(rows[0], rows[1], None if kept is None else _rows(kept, samples)).reshape(samples, channels)
    present = ops.gt(ops.sum(rows[1], 1), 0).to(dtype=p.dtype).reshape(samples, channels)
    counted = _chosen(classes, present, channels)
    losses = ops.sum(single * counted, 1) / ops.clamp(ops.sum(counted, 1), min=1.0)
    return reduced_as(losses, how)


def _rows(x: Tensor, samples: int) -> Tensor:
    """(samples * C, pixels): the channels of each sample, or of the whole batch."""
    channels = x.shape[1]
    if samples == x.shape[0]:
        return x.reshape(samples * channels, -1)
    return ops.transpose(x, 0, 1).reshape(channels, -1)
