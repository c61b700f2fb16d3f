"""Losses over classes with a mask and a weight a pixel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from neurenix import ops
from neurenix.ops._over_batch import ratio
from neurenix.ops._reduction import spread_over
from neurenix.tensor import Tensor, as_tensor


def weighted_pixels(
    op: str,
    loss: Callable[..., Tensor],
    x: Tensor,
    t: Tensor,
    weight: Any,
    how: str,
    mask: Any,
    pixel_weight: Any,
    settings: dict[str, Any],
) -> Tensor:
    """``loss`` of every pixel, weighted and reduced; a mean is divided by the sum of the weights of pixels and their classes."""
    single = loss(x, t, weight, reduction="none", **settings)
    each = single.detach()
    heavy = ops.ones_like(each)
    if pixel_weight is not None:
        heavy = Tensor._wrap(spread_over(op, "pixel_weight", pixel_weight, each))
    if mask is not None:
        heavy = heavy * Tensor._wrap(spread_over(op, "mask", as_tensor(mask, x).bool(), each))
    heavy = heavy.detach()
    kept = heavy != 0
    y = ops.where(kept, single, ops.zeros_like(each)) * heavy
    if how != "mean":
        return y if how == "none" else ops.sum(y)
    return ratio(ops.sum(y), ops.sum(heavy * _share(x, t, weight, settings["ignore_index"])))


def _share(x: Tensor, t: Tensor, weight: Any, ignore: int) -> Any:
    """What each class number counts in a mean: its class's weight, 0 where it is ignored; 1 for class probabilities."""
    if t.dtype.kind == "f":
        return 1.0
    kept = ops.ne(t, ignore).to(dtype=x.dtype)
    if weight is None:
        return kept
    w = as_tensor(weight, x).detach()
    return kept * ops.index_select(w, 0, ops.clamp(t, 0, w.shape[0] - 1).long().reshape(-1)).reshape(t.shape)
