"""What losses of regions share: probabilities, targets of their shape, what is left out, and how single losses are reduced."""

from __future__ import annotations

from typing import Any, NamedTuple

from neurenix import backend, layout, ops
from neurenix.errors import ArgumentError, ShapeError
from neurenix.ops._arguments import choice
from neurenix.ops._over_batch import over_batch
from neurenix.ops._reduction import prediction, reduced_as, refuse_probabilities, spread_over, target_like
from neurenix.ops.loss import counts
from neurenix.tensor import Tensor, as_tensor

_SLACK = 1e-3  # resized or averaged probabilities may be a little outside


class Regions(NamedTuple):
    """Probabilities and targets (N, C, ...), 0 where they are left out, and the weights 0 and 1 that say where, if anything is."""

    p: Tensor
    t: Tensor
    kept: Tensor | None

    def sums(self, *maps: Tensor, per_sample: bool) -> list[Tensor]:
        """The sum of each map for every channel, or for every sample and channel."""
        axes = [i for i in range(self.p.ndim) if i != 1 and (i or not per_sample)]
        found = [ops.sum(x, axes) if axes else x for x in maps]
        return found if per_sample else over_batch(found)


def check_activation(op: str, activation: str | None) -> None:
    """Refuse an activation that does not give probabilities."""
    if activation is not None:
        choice(op, "activation", activation, ("sigmoid", "softmax"))


def probabilities(op: str, input: Any, activation: str | None) -> Tensor:
    """Probabilities (N, C, ...): the input as it is, or its sigmoid or softmax over axis 1.

    Raises
    ------
    ArgumentError
        If numbers far outside [0, 1] are called probabilities, or probabilities logits.
    """
    x = prediction(op, input)
    if x.ndim < 2:
        raise ShapeError(f"{op}: expected (N, C, ...), got {x.shape}; add the axes of batch and channels with unsqueeze")
    check_activation(op, activation)
    if activation is not None:
        refuse_probabilities(op, x, "activation=None")
        return ops.sigmoid(x) if activation == "sigmoid" else ops.softmax(x, 1)
    if x._logits is None and x._array.size and backend.device_of(x._array) == "cpu":
        least, most = ops.amin(x.detach()).item(), ops.amax(x.detach()).item()
        if least < -_SLACK or most > 1 + _SLACK:
            raise ArgumentError(
                f"{op}: expected probabilities in [0, 1], got values from {least:.4g} to {most:.4g}; "
                "for logits pass activation='sigmoid' or activation='softmax'"
            )
    return x


def labels_as_maps(op: str, target: Any, x: Tensor, ignore: float | None) -> tuple[Tensor, Tensor | None]:
    """A target of the prediction's shape, from one of that shape or from class numbers (N, ...), and where it counts."""
    t = as_tensor(target, x) if not isinstance(target, Tensor) else target
    if t.shape == x.shape or t.dtype.kind not in "iu" or t.shape != x.shape[:1] + x.shape[2:] or x.shape[1] == 1:
        maps = target_like(op, t, x)
        return maps.detach(), None if ignore is None else counts(maps, ignore).to(dtype=x.dtype)
    backend.same_device(op, x._array, t._array)
    kept = None if ignore is None else counts(t, ignore)
    inside = t if kept is None else ops.where(kept, t, ops.zeros_like(t))
    classes = x.shape[1]
    if inside._array.size and backend.device_of(x._array) == "cpu":  # on a GPU reading them would wait; there they belong to no channel
        least, most = ops.amin(inside).item(), ops.amax(inside).item()
        if not 0 <= least <= most < classes:
            raise ArgumentError(
                f"{op}: expected class numbers from 0 to {classes - 1}, got {least} to {most}; pass ignore_index for pixels without a class"
            )
    numbers = ops.arange(classes, device=t.device).reshape(1, classes, *(1,) * (t.ndim - 1))
    maps = ops.eq(ops.unsqueeze(inside.long(), 1), numbers).to(dtype=x.dtype)
    return maps, None if kept is None else ops.unsqueeze(kept.to(dtype=x.dtype), 1)


def masked(op: str, mask: Any, p: Tensor, kept: Tensor | None) -> Tensor | None:
    """What a mask (N, ...), or one that spreads over the probabilities, leaves of what was kept before."""
    if mask is None:
        return kept
    m = as_tensor(mask, p).bool()
    m = ops.unsqueeze(m, 1) if m.shape == p.shape[:1] + p.shape[2:] else m
    inside = Tensor._wrap(spread_over(op, "mask", m, p))
    return inside if kept is None else kept * inside


def regions(op: str, input: Any, target: Any, activation: str | None, mask: Any, ignore: float | None) -> Regions:
    """Probabilities and targets with 0 where they are left out."""
    p = probabilities(op, input, activation)
    t, kept = labels_as_maps(op, target, p, ignore)
    kept = masked(op, mask, p, kept)
    if kept is None:
        return Regions(p, t, None)
    kept = ops.expand(kept, p.shape) if kept.shape != p.shape else kept
    keep, nothing = ops.ne(kept, 0), Tensor._wrap(layout.contiguous(ops.zeros_like(p.detach())._array))
    return Regions(ops.where(keep, p, nothing), ops.where(keep, t, nothing), kept)


def class_weights(op: str, weight: Any, x: Tensor) -> Tensor | None:
    """A weight for each channel."""
    if weight is None:
        return None
    w = as_tensor(weight, x).to(dtype=x.dtype).detach()
    if w.shape != (x.shape[1],):
        raise ShapeError(f"{op}: expected a weight ({x.shape[1]},), one a channel, got {w.shape}; give each channel a number")
    return w


def reduced(losses: Tensor, weight: Tensor | None, how: str) -> Tensor:
    """Losses (C,) or (N, C), weighted a channel, reduced; a mean is divided by the sum of the weights."""
    if weight is None:
        return reduced_as(losses, how)
    heavy = losses * weight
    if how != "mean":
        return reduced_as(heavy, how)
    return ops.sum(heavy) / ops.sum(ops.expand(weight, losses.shape))


def quotient(part: Tensor, whole: Tensor) -> Tensor:
    """``part / whole``, and 1 where there is nothing to divide by: an empty region that stays empty is right."""
    empty = ops.eq(whole, 0).detach()
    ones = ops.ones_like(whole.detach())
    found: Tensor = ops.where(empty, ones, part / ops.where(empty, ones, whole))
    return found
