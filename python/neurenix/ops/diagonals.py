"""Triangles and diagonals of matrices."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from neurenix import autograd, backend, layout
from neurenix._typing import Array
from neurenix.errors import ArgumentError, ShapeError
from neurenix.ops.elementwise import choose, filled, scalar
from neurenix.ops.layouts import where
from neurenix.ops.reduce import axis_of
from neurenix.tensor import Tensor, as_tensor


def tril(input: Any, diagonal: int = 0) -> Tensor:
    """The lower triangles of matrices (..., m, n), up to a diagonal (0 is the main one); zeros elsewhere.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.tril(nx.ones(3, 3))
    tensor([[1., 0., 0.],
            [1., 1., 0.],
            [1., 1., 1.]])
    """
    return _triangle("tril", input, diagonal, lower=True)


def triu(input: Any, diagonal: int = 0) -> Tensor:
    """The upper triangles of matrices (..., m, n), from a diagonal (0 is the main one) on; zeros elsewhere.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.triu(nx.ones(3, 3), diagonal=1)
    tensor([[0., 1., 1.],
            [0., 0., 1.],
            [0., 0., 0.]])
    """
    return _triangle("triu", input, diagonal, lower=False)


def _triangle(name: str, input: Any, diagonal: int, lower: bool) -> Tensor:
    x = as_tensor(input)
    if x.ndim < 2:
        raise ShapeError(f"{name}: expected matrices, got shape {x.shape}; reshape it to at least 2 axes")
    table = np.tri(x.shape[-2], x.shape[-1], diagonal if lower else diagonal - 1, dtype=np.bool_)
    mask = backend.to_device(table if lower else ~table, x.device)

    def kept(a: Array) -> Array:
        return choose(mask, a, scalar(a, 0))

    def vjp(g: Array) -> tuple[Array]:
        return (kept(g),)

    return autograd.record(name, kept(x._array), (x,), vjp)


def diagonal(input: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of two axes, as the last axis; a view. A positive ``offset`` is above the main one.

    Raises
    ------
    ArgumentError
        If the axes are the same.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.diagonal(nx.tensor([[1, 2], [3, 4]])), nx.diagonal(nx.tensor([[1, 2], [3, 4]]), offset=1)
    (tensor([1, 4]), tensor([2]))
    """
    x = as_tensor(input)
    a, b = axis_of("diagonal", dim1, x.ndim), axis_of("diagonal", dim2, x.ndim)
    if a == b:
        raise ArgumentError(f"diagonal: expected two different axes, got {dim1} and {dim2}; name another one")
    shape = x.shape
    order = [i for i in range(x.ndim) if i not in (a, b)] + [a, b]
    start, length = _diagonal(shape[a], shape[b], offset)
    if type(x._array) is not np.ndarray:
        return _diagonal_by_places(x, order, start, length)

    def line(y: Array) -> Array:
        y = y.transpose(order)[..., start[0] :, start[1] :][..., :length, :length]
        return y.diagonal(0, -2, -1)

    def vjp(g: Array) -> tuple[Array]:
        whole = filled(g, shape, 0)
        target = line(whole)
        target.flags.writeable = True
        layout.copy_into(target, g)
        return (whole,)

    return autograd.record("diagonal", line(x._array), (x,), vjp)


def _diagonal_by_places(x: Tensor, order: list[int], start: tuple[int, int], length: int) -> Tensor:
    """The diagonal where arrays have no view of it: elements of the two axes joined into one."""
    from neurenix.ops.scatter import index_select
    from neurenix.ops.shape import flatten, permute

    places = (start[0] + np.arange(length)) * x.shape[order[-1]] + start[1] + np.arange(length)
    return index_select(flatten(permute(x, *order), -2), -1, Tensor(places, device=x.device))


def _diagonal(rows: int, columns: int, offset: int) -> tuple[tuple[int, int], int]:
    start = (builtins.max(-offset, 0), builtins.max(offset, 0))
    return start, builtins.max(builtins.min(rows - start[0], columns - start[1]), 0)


def diag(input: Any, diagonal: int = 0) -> Tensor:
    """The diagonal of a matrix, or the matrix with a vector on its diagonal; a :class:`ShapeError` for other numbers of axes.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.diag(nx.tensor([1, 2])), nx.diag(nx.tensor([[1, 2], [3, 4]]))
    (tensor([[1, 0],
            [0, 2]]), tensor([1, 4]))
    """
    x = as_tensor(input)
    if x.ndim == 2:
        return _diagonal_of(x, diagonal)
    if x.ndim != 1:
        raise ShapeError(f"diag: expected a vector or a matrix, got shape {x.shape}; use diagonal")
    n = x.shape[0] + builtins.abs(diagonal)
    places = np.eye(n, n, diagonal, dtype=np.bool_)
    from neurenix.ops.shape import broadcast_to, unsqueeze

    column = unsqueeze(x, 1 if diagonal >= 0 else 0)
    from neurenix.ops.parts import cat

    empty = Tensor._wrap(filled(x._array, (builtins.abs(diagonal), 1) if diagonal >= 0 else (1, builtins.abs(diagonal)), 0))
    spread = broadcast_to(cat([column, empty], 0 if diagonal >= 0 else 1), (n, n))
    made: Tensor = where(Tensor._wrap(backend.to_device(places, x.device)), spread, Tensor._wrap(scalar(x._array, 0)))
    return made


def _diagonal_of(x: Tensor, offset: int) -> Tensor:
    return diagonal(x, offset)
