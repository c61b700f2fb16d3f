"""Quantiles and medians."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neurenix.errors import ArgumentError, DTypeError, RangeError, ShapeError
from neurenix.ops.arithmetic import add, mul, sub
from neurenix.ops.compare import isnan, logical_not, lt
from neurenix.ops.convert import cast
from neurenix.ops.elementwise import scalar
from neurenix.ops.layouts import where
from neurenix.ops.ordering import median, shared, sort
from neurenix.ops.reduce import Extreme, axis_of, floats_only, sum as sum_of
from neurenix.ops.scatter import gather
from neurenix.ops.shape import broadcast_to, movedim, ravel, reshape, squeeze, unsqueeze
from neurenix.ops.truth import any as any_of
from neurenix.ops.unary import ceil, floor, round as rounded
from neurenix.tensor import Tensor, as_tensor

_WAYS = ("linear", "lower", "higher", "midpoint", "nearest")


def quantile(input: Any, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear") -> Tensor:
    """The value below which a share ``q`` of the elements lies, of everything or along ``dim``; NaN where one is NaN.

    Parameters
    ----------
    input : Tensor
    q : float or Tensor
        Shares from 0 to 1; a vector of them gives a first axis of results.
    dim : int, optional
    keepdim : bool
    interpolation : {"linear", "lower", "higher", "midpoint", "nearest"}
        What counts where the place is between two elements.

    Raises
    ------
    ArgumentError
        For another ``interpolation``.
    RangeError
        If a share is below 0 or above 1.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.quantile(nx.tensor([1.0, 2.0, 3.0, 4.0]), 0.5).item()
    2.5
    """
    return _quantile("quantile", input, q, dim, keepdim, interpolation, ignore_nan=False)


def nanquantile(input: Any, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear") -> Tensor:
    """:func:`quantile` of what is not NaN, with its arguments; NaN where all is.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nanquantile(nx.tensor([1.0, float("nan"), 3.0, 2.0]), 0.5).item()
    2.0
    """
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, ignore_nan=True)


def _shares(name: str, q: Any, x: Tensor) -> Tensor:
    shares = q if isinstance(q, Tensor) else Tensor(q, dtype=x.dtype, device=x.device)
    if shares.dtype != x.dtype:
        raise DTypeError(f"{name}: expected q of type {x.dtype}, got {shares.dtype}; convert it with .to({x.dtype})")
    if shares.ndim > 1:
        raise ShapeError(f"{name}: expected a number or a vector for q, got shape {shares.shape}; use .ravel()")
    values = shares.numpy()
    if not ((values >= 0) & (values <= 1)).all():
        raise RangeError(f"{name}: expected q from 0 to 1, got {values.tolist()}; divide percentages by 100")
    return shares


def _quantile(name: str, input: Any, q: Any, dim: int | None, keepdim: bool, interpolation: str, ignore_nan: bool) -> Tensor:
    x = as_tensor(input)
    floats_only(name, x)
    if interpolation not in _WAYS:
        raise ArgumentError(f"{name}: expected interpolation of {', '.join(_WAYS)}, got {interpolation!r}; choose one of them")
    shares, ndim = _shares(name, q, x), x.ndim
    if not x._array.size:
        raise ShapeError(f"{name}: expected elements, got shape {x.shape}; give a tensor with some")
    at = None if dim is None else axis_of(name, dim, ndim)
    line = unsqueeze(ravel(x), 0) if at is None else movedim(x, at, -1) if ndim else reshape(x, 1)
    found = _at_shares(sort(line, -1).values, reshape(shares, -1), interpolation, ignore_nan)
    if at is None:
        y = reshape(found, -1, *((1,) * ndim if keepdim else ()))
    else:
        y = movedim(found, -1, 0)
        y = unsqueeze(y, at + 1) if keepdim and ndim else reshape(y, -1) if not ndim else y
    return y if shares.ndim else squeeze(y, 0)


def _at_shares(ordered: Tensor, shares: Tensor, interpolation: str, ignore_nan: bool) -> Tensor:
    """Elements of the last, sorted axis at the shares of its length."""
    plain = ordered.detach()
    missing = isnan(plain)
    last = sum_of(cast(logical_not(missing), plain.dtype), -1, True) - 1 if ignore_nan else plain.shape[-1] - 1
    spread = broadcast_to(shares, (*plain.shape[:-1], shares.shape[0]))
    rank = mul(spread, last)
    spoilt = rank.detach() < 0 if ignore_nan else broadcast_to(any_of(missing, -1, True), rank.shape)
    rank = where(spoilt, 0.0 if ignore_nan else float(plain.shape[-1] - 1), rank)
    if interpolation in ("lower", "higher", "nearest"):
        way = {"lower": floor, "higher": ceil, "nearest": rounded}[interpolation]
        return gather(ordered, -1, cast(way(rank.detach()), np.int64))
    below = floor(rank.detach())
    weight: Any = 0.5 if interpolation == "midpoint" else sub(rank, below)
    low = gather(ordered, -1, cast(below, np.int64))
    high = gather(ordered, -1, cast(ceil(rank.detach()), np.int64))
    # From the nearer end, so that an infinite one spoils what lies between them just where PyTorch has it.
    step = sub(high, low)
    far: Tensor = sub(high, mul(step, 1.0 - weight))
    return where(lt(weight.detach(), 0.5), add(low, mul(step, weight)), far) if isinstance(weight, Tensor) else far


def nanmedian(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle element (the lower of two) of what is not NaN, of everything or along ``dim`` with where it is.

    Raises
    ------
    ShapeError
        If there are no elements along ``dim``.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nanmedian(nx.tensor([4.0, float("nan"), 1.0, 3.0])).item()
    3.0
    """
    x = as_tensor(input)
    whole = dim is None
    line = ravel(x) if whole else x
    at = axis_of("nanmedian", 0 if dim is None else dim, line.ndim)
    if not line.ndim:
        return median(x) if whole else median(x, at, keepdim)
    n = line.shape[at]
    if not n and whole and x.dtype.kind == "f":
        return Tensor._wrap(scalar(x._array, math.nan))
    if not n:
        raise ShapeError(f"nanmedian: expected elements along dim, got shape {x.shape}; give a dim whose size is not 0")
    found = sort(line.detach(), at)
    real = sum_of(cast(logical_not(isnan(found.values)), np.int64), at, True)
    place = gather(found.indices, at, where(real > 0, (real - 1) // 2, 0))
    values = gather(line, at, place)
    if whole:
        return shared("nanmedian", line, values._array.reshape(()))
    return Extreme(values, place) if keepdim else Extreme(squeeze(values, at), squeeze(place, at))
