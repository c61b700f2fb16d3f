"""Running extremes and log-sums along an axis, areas under sampled curves and their slopes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from neurenix.errors import ArgumentError, ShapeError
from neurenix.ops._named import named
from neurenix.ops.arithmetic import add, div, is_number, mul, sub
from neurenix.ops.compare import ge, isnan, le, logical_or
from neurenix.ops.layouts import where
from neurenix.ops.pairwise import logaddexp
from neurenix.ops.parts import cat, narrow
from neurenix.ops.reduce import Extreme, axis_of, sum as sum_of
from neurenix.ops.scan import cumsum
from neurenix.ops.scatter import gather, index_select
from neurenix.ops.shape import broadcast_to, reshape
from neurenix.ops.unary import as_floats
from neurenix.tensor import Tensor, as_tensor


def cummax(input: Any, dim: int) -> Extreme:
    """Running maxima along ``dim``, and where each is; the last of equals, NaN is largest.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.cummax(nx.tensor([1.0, 3.0, 2.0]), 0).values
    tensor([1., 3., 3.])
    """
    return _running("cummax", input, dim, ge)


def cummin(input: Any, dim: int) -> Extreme:
    """Running minima along ``dim``, and where each is (``values``, ``indices``); the last of equals, NaN is smallest.

    Examples
    --------
    >>> import neurenix as nx
    >>> values, indices = nx.cummin(nx.tensor([3.0, 1.0, 2.0, 0.0]), dim=0)
    >>> values, indices
    (tensor([3., 1., 1., 0.]), tensor([0, 1, 1, 3]))
    """
    return _running("cummin", input, dim, le)


def _running(name: str, input: Any, dim: int, better: Callable[[Any, Any], Tensor]) -> Extreme:
    x = as_tensor(input)
    at = axis_of(name, dim, x.ndim)
    if not x.ndim:
        return Extreme(x, Tensor(np.zeros((), np.int64), device=x.device))
    n = x.shape[at]
    line = (1,) * at + (n,) + (1,) * (x.ndim - at - 1)
    values = x.detach()
    places = broadcast_to(Tensor(np.arange(n).reshape(line), device=x.device), x.shape)
    step = 1
    while step < n:  # after each round an element knows twice as many before it
        here, there = narrow(values, at, step, n - step), narrow(values, at, 0, n - step)
        keep = logical_or(better(here, there), isnan(here))
        moved = where(keep, narrow(places, at, step, n - step), narrow(places, at, 0, n - step))
        values = cat([narrow(values, at, 0, step), where(keep, here, there)], at)
        places = cat([narrow(places, at, 0, step), moved], at)
        step *= 2
    return Extreme(gather(x, at, places), places)


def logcumsumexp(input: Any, dim: int) -> Tensor:
    """Logarithm of running sums of exponentials along ``dim``, without overflow.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.logcumsumexp(nx.tensor([1000.0, 1000.0, 1000.0]), dim=0)
    tensor([1000.    , 1000.6932, 1001.0986])
    """
    x = as_floats("logcumsumexp", input)
    at = axis_of("logcumsumexp", dim, x.ndim)
    n = x.shape[at] if x.ndim else 1
    step = 1
    while step < n:
        joined = logaddexp(narrow(x, at, step, n - step), narrow(x, at, 0, n - step))
        x = cat([narrow(x, at, 0, step), joined], at)
        step *= 2
    return x


def _panels(name: str, y: Any, x: Any, dx: Any, dim: int) -> Tensor:
    """The area between each sample along ``dim`` and the next."""
    values = as_tensor(y)
    at = axis_of(name, dim, values.ndim)
    n = values.shape[at] if values.ndim else 1
    pair = add(narrow(values, at, 1, max(n - 1, 0)), narrow(values, at, 0, max(n - 1, 0))) if n else values
    if x is None:
        return mul(div(pair, 2), dx)
    places = as_tensor(x)
    if not places.ndim or places.shape[-1 if places.ndim == 1 else at] != n:
        raise ShapeError(f"{name}: expected x with {n} places along dim {dim}, got shape {places.shape}; give one a sample")
    if places.ndim == 1:
        places = reshape(places, *((1,) * at), n, *((1,) * (values.ndim - at - 1)))
    width = sub(narrow(places, at - values.ndim, 1, max(n - 1, 0)), narrow(places, at - values.ndim, 0, max(n - 1, 0))) if n else places
    return div(mul(pair, width), 2)


def trapezoid(y: Any, x: Any = None, *, dx: Any = 1, dim: int = -1) -> Tensor:
    """The area under samples ``y`` along ``dim``, by trapezia; the samples lie at places ``x``, or ``dx`` apart.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.trapezoid(nx.tensor([1.0, 2.0, 3.0])).item()
    4.0
    >>> nx.trapezoid(nx.tensor([1.0, 2.0, 3.0]), nx.tensor([0.0, 1.0, 3.0])).item()
    6.5
    """
    return sum_of(_panels("trapezoid", y, x, dx, dim), dim)


def cumulative_trapezoid(y: Any, x: Any = None, *, dx: Any = 1, dim: int = -1) -> Tensor:
    """Running areas under samples along ``dim``, one fewer than samples; see :func:`trapezoid`.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.cumulative_trapezoid(nx.tensor([1.0, 2.0, 3.0]), dx=0.5)
    tensor([0.75, 2.  ])
    """
    return cumsum(_panels("cumulative_trapezoid", y, x, dx, dim), dim)


trapz = named("trapz", trapezoid)


def gradient(input: Any, *, spacing: Any = 1, dim: Any = None, edge_order: int = 1) -> list[Tensor]:
    """Slopes of samples along each axis of ``dim``: central differences inside, one-sided ones of ``edge_order`` at the ends.

    Parameters
    ----------
    input : Tensor
    spacing : float, Tensor or list of them
        Distances between samples, or vectors of their places, one an axis.
    dim : int or list of int, optional
        All axes unless given.
    edge_order : {1, 2}

    Raises
    ------
    ArgumentError
        For another ``edge_order``, or too few spacings.
    ShapeError
        If an axis has fewer than ``edge_order + 1`` samples.

    Examples
    --------
    >>> import neurenix as nx
    >>> heights = nx.tensor([0.0, 1.0, 4.0, 9.0])
    >>> nx.gradient(heights)[0], nx.gradient(heights, spacing=0.5, edge_order=2)[0]
    (tensor([1., 2., 4., 5.]), tensor([ 0.,  4.,  8., 12.]))
    """
    x = as_floats("gradient", input)
    if edge_order not in (1, 2):
        raise ArgumentError(f"gradient: expected edge_order 1 or 2, got {edge_order!r}; pass one of them")
    axes = list(range(x.ndim)) if dim is None else list(dim) if isinstance(dim, (tuple, list)) else [dim]
    spacing = 1 if spacing is None else spacing
    steps = list(spacing) if isinstance(spacing, (tuple, list)) else [spacing] * len(axes)
    if len({axis_of("gradient", d, x.ndim) for d in axes}) < len(axes):
        raise ArgumentError(f"gradient: expected different axes, got dim={dim}; name each once")
    if len(steps) != len(axes):
        raise ArgumentError(f"gradient: expected {len(axes)} spacings, got {len(steps)}; give one an axis")
    return [_slope(x, axis_of("gradient", d, x.ndim), step, edge_order) for d, step in zip(axes, steps, strict=True)]


def _slope(x: Tensor, at: int, spacing: Any, edge_order: int) -> Tensor:
    n = x.shape[at]
    if n <= edge_order:
        raise ShapeError(f"gradient: expected at least {edge_order + 1} samples along axis {at}, got {n}; use edge_order=1 or more samples")
    even = is_number(spacing) or not as_tensor(spacing).ndim
    places = np.arange(n) * float(spacing) if even else as_tensor(spacing).numpy().astype(np.float64)
    if places.shape != (n,):
        raise ShapeError(f"gradient: expected {n} places along axis {at}, got shape {places.shape}; give one a sample")
    table = _difference_table(places, edge_order)
    total = as_tensor(0.0, x)
    for tap in range(3):
        column = Tensor(table[1][:, tap].astype(x.dtype).reshape(-1, *((1,) * (x.ndim - at - 1))), device=x.device)
        rows = Tensor(table[0][:, tap], device=x.device)
        part = where(column == 0, 0.0, mul(index_select(x, at, rows), column))
        total = add(total, part)
    return total


def _difference_table(places: np.ndarray[Any, Any], edge_order: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """For each sample three neighbours and their weights in its slope."""
    n = len(places)
    taps = np.clip(np.arange(n)[:, None] + np.array([-1, 0, 1]), 0, n - 1)
    weights = np.zeros((n, 3))
    h = np.diff(places)
    left, right = h[:-1], h[1:]
    weights[1:-1] = np.stack([-right / (left * (left + right)), (right - left) / (left * right), left / (right * (left + right))], 1)
    if edge_order == 1:
        taps[0], taps[-1] = (0, 1, 1), (n - 2, n - 1, n - 1)
        weights[0], weights[-1] = (-1 / h[0], 1 / h[0], 0), (-1 / h[-1], 1 / h[-1], 0)
        return taps, weights
    a, b, c, d = h[0], h[1], h[-2], h[-1]
    taps[0], taps[-1] = (0, 1, 2), (n - 3, n - 2, n - 1)
    weights[0] = (-(2 * a + b) / (a * (a + b)), (a + b) / (a * b), -a / (b * (a + b)))
    weights[-1] = (d / (c * (c + d)), -(c + d) / (c * d), (2 * d + c) / (d * (c + d)))
    return taps, weights
