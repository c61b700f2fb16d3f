"""Limits on gradients, before an optimizer's step; parameters as one vector."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from numbers import Real
from typing import Any

from neurenix import ops
from neurenix.errors import ArgumentError, DTypeError, GraphError, ShapeError
from neurenix.ops.clipping import clip_by_norm, clip_by_value
from neurenix.tensor import Tensor, as_tensor


def _given(op: str, parameters: Any) -> list[Tensor]:
    if isinstance(parameters, Tensor):
        return [parameters]
    given = list(parameters) if isinstance(parameters, Iterable) else [parameters]
    for p in given:
        if not isinstance(p, Tensor):
            raise DTypeError(f"{op}: expected an iterable of parameters, got {type(p).__name__}; pass model.parameters()")
    return given


def _with_gradients(op: str, parameters: Any) -> list[Tensor]:
    found = [p.grad for p in _given(op, parameters) if p.grad is not None]
    for grad in found:
        if not isinstance(grad, Tensor):
            raise DTypeError(f"{op}: expected a tensor as grad, got {type(grad).__name__}; set p.grad = nx.tensor(...)")
    return found


def _limit(op: str, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (Real, Tensor)) or not float(value) >= 0:
        raise ArgumentError(f"{op}: expected a {name} of at least 0, got {value!r}; pass e.g. 1.0")
    return float(value)


def clip_grad_norm_(
    parameters: Iterable[Tensor] | Tensor,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,  # noqa: ARG001 - one call for all parameters in any case
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
        Refuse a norm that is infinite or not a number; no gradient is changed then.
    foreach : bool, optional
        Taken for PyTorch's sake and without effect.

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
    >>> p.grad.numpy().round(3)
    array([0.6, 0.8], dtype=float32)
    """
    order = _limit("clip_grad_norm_", "norm_type", math.inf if str(norm_type) == "inf" else norm_type)
    most = _limit("clip_grad_norm_", "max_norm", max_norm)
    if not order > 0:
        raise ArgumentError(f"clip_grad_norm_: expected a norm_type above 0, got {norm_type!r}; pass e.g. 2.0")
    gradients = _with_gradients("clip_grad_norm_", parameters)
    if not gradients:
        return Tensor(shape=())
    total = clip_by_norm(gradients, most, order, not error_if_nonfinite)
    if error_if_nonfinite:
        if not math.isfinite(total.item()):
            raise GraphError(f"clip_grad_norm_: expected a finite norm, got {total.item()}; look for the cause with nx.detect_anomaly()")
        clip_by_norm(gradients, most, order, True)
    return total


def clip_grad_value_(
    parameters: Iterable[Tensor] | Tensor,
    clip_value: float,
    foreach: bool | None = None,  # noqa: ARG001 - one call for all parameters in any case
) -> None:
    """Limit every element of every gradient to [-clip_value, clip_value]; ``foreach`` has no effect.

    Raises
    ------
    ArgumentError
        If ``clip_value`` is negative.

    Examples
    --------
    >>> import neurenix as nx
    >>> p = nx.tensor([0.0, 0.0], requires_grad=True)
    >>> p.grad = nx.tensor([0.5, -4.0])
    >>> nx.nn.utils.clip_grad_value_([p], 1.0)
    >>> p.grad.tolist()
    [0.5, -1.0]
    """
    clip_by_value(_with_gradients("clip_grad_value_", parameters), _limit("clip_grad_value_", "clip_value", clip_value))


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters behind each other in one vector, recorded.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.utils.parameters_to_vector([nx.tensor([[1.0, 2.0]]), nx.tensor([3.0])]).tolist()
    [1.0, 2.0, 3.0]
    """
    given = _given("parameters_to_vector", parameters)
    if not given:
        raise ArgumentError("parameters_to_vector: expected parameters, got none; pass model.parameters() once, it is an iterator")
    return ops.cat([p.reshape(-1) for p in given])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Write the parts of a vector that :func:`parameters_to_vector` made into parameters.

    Raises
    ------
    ShapeError
        If it has another number of elements; nothing is written then.

    Examples
    --------
    >>> import neurenix as nx
    >>> layer = nx.nn.Linear(2, 1)
    >>> nx.nn.utils.vector_to_parameters(nx.tensor([1.0, 2.0, 3.0]), layer.parameters())
    >>> layer.weight.tolist(), layer.bias.tolist()
    ([[1.0, 2.0]], [3.0])
    """
    given, values = _given("vector_to_parameters", parameters), as_tensor(vec).detach()
    ends = list(itertools.accumulate(math.prod(p.shape) for p in given))
    if values.ndim != 1 or values.shape[0] != (ends[-1] if ends else 0):
        raise ShapeError(
            f"vector_to_parameters: expected a vector of {ends[-1] if ends else 0} elements, got shape {values.shape}; "
            "pass what parameters_to_vector gave"
        )
    for p, start, end in zip(given, [0, *ends], ends, strict=False):
        p.assign_(values[start:end].reshape(p.shape).to(p.dtype).clone())
