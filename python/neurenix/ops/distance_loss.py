"""Losses of distances: margins, triplets, cosines, and the Gaussian likelihood."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from neurenix.errors import ArgumentError, RangeError, ShapeError
from neurenix.ops._reduction import prediction, reduced_as, reduction_of
from neurenix.ops.arithmetic import add, div, is_number, minimum, mul, sub
from neurenix.ops.compare import eq, lt, ne
from neurenix.ops.layouts import where
from neurenix.ops.power import clamp_min
from neurenix.ops.reduce import sum as sum_of
from neurenix.ops.scatter import index_select
from neurenix.ops.shape import broadcast_tensors, broadcast_to, unsqueeze
from neurenix.ops.statistics import norm, pairwise_distance
from neurenix.ops.truth import any as any_of
from neurenix.ops.unary import log, neg, sqrt, square
from neurenix.tensor import Tensor, as_tensor


def gaussian_nll_loss(input: Any, target: Any, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> Tensor:
    """``(log var + (input - target)^2 / var) / 2``: the target under normal distributions of these means and variances.

    Parameters
    ----------
    input, target : Tensor, shape (*)
    var : Tensor or float
        Of the input's shape, or with a last axis of size 1 or none; counts as at least ``eps``, with the gradient passing.
    full : bool
        Whether to add the constant ``log(2 pi) / 2``.
    eps : float
        Above 0.
    reduction : {"mean", "sum", "none"}

    Raises
    ------
    ShapeError
        If the variances do not fit.
    RangeError
        If one is negative.
    ArgumentError
        If ``eps`` is not above 0.

    Examples
    --------
    >>> import neurenix as nx
    >>> mean, target, variance = nx.tensor([0.0, 0.0]), nx.tensor([1.0, 1.0]), nx.tensor([1.0, 4.0])
    >>> nx.nn.functional.gaussian_nll_loss(mean, target, variance, reduction="none")
    tensor([0.5   , 0.8181])
    """
    how, x = reduction_of("gaussian_nll_loss", reduction, None, None), prediction("gaussian_nll_loss", input)
    if eps <= 0:
        raise ArgumentError(f"gaussian_nll_loss: expected eps above 0, got {eps}; pass e.g. 1e-6")
    v = _variances(x, var)
    if any_of(lt(v.detach(), 0)).item():
        raise RangeError("gaussian_nll_loss: expected variances of at least 0, got negative ones; give e.g. exp(log_variance)")
    v = add(v, sub(clamp_min(v.detach(), eps), v.detach()))  # the gradient passes
    loss = mul(add(log(v), div(square(sub(x, target)), v)), 0.5)
    return reduced_as(add(loss, 0.5 * math.log(2 * math.pi)) if full else loss, how)


def _variances(x: Tensor, var: Any) -> Tensor:
    if is_number(var):
        return broadcast_to(Tensor(np.array(var, x.dtype), device=x.device), x.shape)
    v = as_tensor(var, x)
    if v.shape == x.shape:
        return v
    if v.shape == x.shape[:-1]:
        return unsqueeze(v, -1)
    if v.ndim != x.ndim or any(n not in (1, m) for n, m in zip(v.shape, x.shape, strict=True)):
        raise ShapeError(f"gaussian_nll_loss: expected var of shape {x.shape} or {x.shape[:-1]}, got {v.shape}; give one an element or row")
    return v


def hinge_embedding_loss(
    input: Any, target: Any, margin: float = 1.0, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
) -> Tensor:
    """The distance ``input`` where the target is 1, ``max(0, margin - input)`` where it is -1, element by element.

    Examples
    --------
    >>> import neurenix as nx
    >>> distances, alike = nx.tensor([0.2, 0.2, 3.0]), nx.tensor([1, -1, -1])
    >>> nx.nn.functional.hinge_embedding_loss(distances, alike, reduction="none")
    tensor([0.2, 0.8, 0. ])
    """
    how, x = reduction_of("hinge_embedding_loss", reduction, size_average, reduce), prediction("hinge_embedding_loss", input)
    t = as_tensor(target, x).detach()
    apart = where(ne(t, 1), clamp_min(sub(margin, x), 0.0), 0.0)
    return reduced_as(add(apart, where(ne(t, -1), x, 0.0)), how)


def margin_ranking_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``max(0, margin - target (input1 - input2))``: the first is to be larger where the target is 1, smaller where -1.

    Raises
    ------
    ShapeError
        If they have different numbers of axes.

    Examples
    --------
    >>> import neurenix as nx
    >>> better, worse = nx.tensor([2.0, 1.0]), nx.tensor([1.0, 1.5])
    >>> nx.nn.functional.margin_ranking_loss(better, worse, nx.tensor([1.0, 1.0]), margin=0.1, reduction="none")
    tensor([0. , 0.6])
    """
    op = "margin_ranking_loss"
    how, x, y = reduction_of(op, reduction, size_average, reduce), prediction(op, input1), prediction(op, input2)
    t = as_tensor(target, x)
    if not x.ndim == y.ndim == t.ndim:
        raise ShapeError(f"{op}: expected equally many axes, got shapes {x.shape}, {y.shape} and {t.shape}; use unsqueeze")
    return reduced_as(clamp_min(add(mul(neg(t), sub(x, y)), margin), 0.0), how)


def cosine_embedding_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``1 - cos`` of pairs of vectors where the target is 1, ``max(0, cos - margin)`` where it is -1.

    Raises
    ------
    ShapeError
        Unless the inputs are (N, D) and the target (N,), or (D,) and ().

    Examples
    --------
    >>> import neurenix as nx
    >>> x, y = nx.tensor([[1.0, 0.0], [1.0, 0.0]]), nx.tensor([[0.0, 2.0], [3.0, 0.0]])
    >>> nx.nn.functional.cosine_embedding_loss(x, y, nx.tensor([1, -1]), reduction="none")
    tensor([1., 1.])
    """
    op = "cosine_embedding_loss"
    how, x, y = reduction_of(op, reduction, size_average, reduce), prediction(op, input1), prediction(op, input2)
    t = as_tensor(target, x).detach()
    if t.ndim > 1 or x.ndim != t.ndim + 1 or y.ndim != t.ndim + 1:
        raise ShapeError(f"{op}: expected (N, D), (N, D) and (N,), got shapes {x.shape}, {y.shape} and {t.shape}; give a target a pair")
    lengths = [add(sum_of(square(v), -1), 1e-12) for v in (x, y)]
    cosine = div(sum_of(mul(x, y), -1), sqrt(mul(*lengths)))
    cosine, t = broadcast_tensors(cosine, t)
    same = where(eq(t, 1), sub(1, cosine), 0.0)
    return reduced_as(add(same, where(eq(t, -1), clamp_min(sub(cosine, margin), 0.0), 0.0)), how)


def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``max(0, margin + |anchor - positive| - |anchor - negative|)`` in the norm of order ``p``.

    With ``swap`` the negative counts as near as it is to anchor or positive.

    Raises
    ------
    ShapeError
        If they have different numbers of axes.
    ArgumentError
        If ``margin`` is not above 0.

    References
    ----------
    .. [1] V. Balntas et al., "Learning local feature descriptors with triplets and shallow convolutional neural networks", BMVC 2016.

    Examples
    --------
    >>> import neurenix as nx
    >>> anchor, positive, negative = nx.tensor([[0.0, 0.0]]), nx.tensor([[0.0, 1.0]]), nx.tensor([[3.0, 4.0]])
    >>> nx.nn.functional.triplet_margin_loss(anchor, positive, negative, margin=6.0)  # 6 + 1 - 5
    tensor(2.)
    """
    how = reduction_of("triplet_margin_loss", reduction, size_average, reduce)

    def distance(a: Tensor, b: Tensor) -> Tensor:
        return pairwise_distance(a, b, p, eps)

    return _triplets("triplet_margin_loss", (anchor, positive, negative), distance, margin, swap, how)


def triplet_margin_with_distance_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """:func:`triplet_margin_loss` with a distance of one's own: ``distance_function(a, b)`` gives one number a row.

    Raises
    ------
    ArgumentError
        If ``margin`` is not above 0.

    Examples
    --------
    >>> import neurenix as nx
    >>> def blocks(a, b):
    ...     return (a - b).abs().sum(-1)
    >>> anchor, positive, negative = nx.tensor([[0.0, 0.0]]), nx.tensor([[0.0, 1.0]]), nx.tensor([[3.0, 4.0]])
    >>> nx.nn.functional.triplet_margin_with_distance_loss(
    ...     anchor, positive, negative, distance_function=blocks, margin=8.0
    ... )  # 8 + 1 - 7
    tensor(2.)
    """
    how = reduction_of("triplet_margin_with_distance_loss", reduction, None, None)
    distance = distance_function or pairwise_distance
    return _triplets("triplet_margin_with_distance_loss", (anchor, positive, negative), distance, margin, swap, how)


def _triplets(
    op: str, given: tuple[Any, Any, Any], distance: Callable[[Tensor, Tensor], Tensor], margin: float, swap: bool, how: str
) -> Tensor:
    anchor, positive, negative = (prediction(op, t) for t in given)
    if not anchor.ndim == positive.ndim == negative.ndim:
        shapes = f"{anchor.shape}, {positive.shape} and {negative.shape}"
        raise ShapeError(f"{op}: expected equally many axes, got shapes {shapes}; use unsqueeze")
    if margin <= 0:
        raise ArgumentError(f"{op}: expected a margin above 0, got {margin}; pass e.g. 1.0")
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return reduced_as(clamp_min(add(sub(near, far), margin), 0.0), how)


def pdist(input: Any, p: float = 2) -> Tensor:
    """The distance of order ``p`` between every two rows of a matrix, (0, 1), (0, 2), ...: the upper triangle of :func:`cdist`.

    Raises
    ------
    ShapeError
        If it is not a matrix.
    ArgumentError
        If ``p`` is negative.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.pdist(nx.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 4.0]]))
    tensor([5., 4., 3.])
    """
    x = prediction("pdist", input)
    if x.ndim != 2:
        raise ShapeError(f"pdist: expected a matrix, got shape {x.shape}; give points as rows")
    if p < 0:
        raise ArgumentError(f"pdist: expected p of at least 0, got {p}; pass e.g. 2")
    rows, columns = (Tensor(np.ascontiguousarray(i), device=x.device) for i in np.triu_indices(x.shape[0], 1))
    return norm(sub(index_select(x, 0, rows), index_select(x, 0, columns)), p, -1)
