"""Normalisation by neighbouring channels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neurenix import autograd, backend
from neurenix._typing import Array
from neurenix.errors import ShapeError
from neurenix.layout import contiguous
from neurenix.ops._arguments import floats, integer
from neurenix.ops._axis import Table, identity, sliding_windows, sums
from neurenix.ops.arithmetic import add, div, mul
from neurenix.ops.power import pow as power
from neurenix.ops.resize import run_tables
from neurenix.tensor import Tensor


def _through(x: Array, table: Table) -> Array:
    """The channels of (N, C, ...) through a table."""
    x = contiguous(x)
    n, c = x.shape[:2]
    y = backend.new(x, x.shape)
    run_tables(y, x, (table, identity(1)), None, (n, c, 1, math.prod(x.shape[2:]), c, 1))
    return y


def _neighbours(x: Tensor, size: int) -> Tensor:
    """The average over ``size`` channels around each, zeros beyond the first and last."""
    c = x.shape[1]
    table = sums(sliding_windows(c, c, size, 1, size // 2), np.full(c, 1 / size))
    return autograd.record("local_response_norm", _through(x._array, table), (x,), lambda g: (_through(g, table.transposed(c)),))


def local_response_norm(input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """Divide by ``(k + alpha * mean of squares over size channels) ** beta``.

    Parameters
    ----------
    input : Tensor, shape (N, C, ...)
    size : int
        Channels of the mean; an even number reaches one more to the channels before.
    alpha, beta, k : float

    Returns
    -------
    Tensor, shape of ``input``

    Raises
    ------
    ShapeError
        If there are fewer than three axes.

    References
    ----------
    .. [1] A. Krizhevsky et al., "ImageNet classification with deep convolutional neural networks", NIPS 2012.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([[[1.0], [1.0]]])
    >>> nx.nn.functional.local_response_norm(x, 1, alpha=3.0, beta=0.5).numpy().ravel()
    array([0.5, 0.5], dtype=float32)
    """
    op = "local_response_norm"
    x, size = floats(op, input), integer(op, "size", size, 1)
    if x.ndim < 3:
        raise ShapeError(f"{op}: expected x (N, C, ...) with at least 3 axes, got shape {x.shape}; add the missing ones")
    if x._array.size == 0:
        return autograd.record(op, x._array, (x,), lambda g: (g,))
    return div(x, power(add(mul(_neighbours(mul(x, x), size), alpha), k), beta))
