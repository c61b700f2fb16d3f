"""Limits on gradients, before an optimizer's step."""

from __future__ import annotations

import math
from collections.abc import Iterable

from neurenix.errors import ArgumentError, GraphError
from neurenix.ops.clip import clip_by_norm, clip_by_value
from neurenix.tensor import Tensor


def _with_gradients(parameters: Iterable[Tensor] | Tensor) -> list[Tensor]:
    given = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return [p.grad for p in given if p.grad is not None]


def clip_grad_norm_(
    parameters: Iterable[Tensor] | Tensor, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """Scale all gradients down so that together their norm is at most ``max_norm``.

    Parameters
    ----------
    parameters : iterable of Tensor
        Those without a gradient are left out.
    max_norm : float
    norm_type : float
        Order of the norm; infinity for the largest element.
    error_if_nonfinite : bool
        Refuse a norm that is infinite or not a number.

    Returns
    -------
    Tensor, 0-d
        The norm before.

    Raises
    ------
    GraphError
        For a norm that is not finite, if asked.

    Examples
    --------
    >>> import neurenix as nx
    >>> p = nx.tensor([0.0, 0.0], requires_grad=True)
    >>> p.grad = nx.tensor([3.0, 4.0])
    >>> nx.nn.utils.clip_grad_norm_([p], 1.0).item()
    5.0
    """
    order = float(norm_type)
    if not order > 0:
        raise ArgumentError(f"clip_grad_norm_: expected a norm_type above 0, got {norm_type!r}; pass e.g. 2.0")
    gradients = _with_gradients(parameters)
    if not gradients:
        return Tensor(shape=())
    total = clip_by_norm(gradients, float(max_norm), order, not error_if_nonfinite)
    if error_if_nonfinite:
        if not math.isfinite(total.item()):
            raise GraphError(f"clip_grad_norm_: expected a finite norm, got {total.item()}; look for the cause with nx.detect_anomaly()")
        clip_by_norm(gradients, float(max_norm), order, True)
    return total


def clip_grad_value_(parameters: Iterable[Tensor] | Tensor, clip_value: float) -> None:
    """Limit every element of every gradient to [-clip_value, clip_value]."""
    if not clip_value >= 0:
        raise ArgumentError(f"clip_grad_value_: expected a clip_value of at least 0, got {clip_value!r}; pass e.g. 1.0")
    clip_by_value(_with_gradients(parameters), float(clip_value))
