"""Splits, stacks, products of sets and windows: other arrangements of whole tensors."""

from __future__ import annotations

import builtins
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from neurenix.errors import ArgumentError, RangeError, ShapeError
from neurenix.ops._arguments import integer
from neurenix.ops.arithmetic import add, div, is_number, mul
from neurenix.ops.compare import gt
from neurenix.ops.compound import diag_embed
from neurenix.ops.create import meshgrid
from neurenix.ops.elementwise import common_shape, filled
from neurenix.ops.layouts import where as choose
from neurenix.ops.parts import cat, narrow, stack
from neurenix.ops.reduce import axis_of, sum as sum_of
from neurenix.ops.scatter import index_select
from neurenix.ops.shape import given, movedim, ravel, reshape, unflatten, unsqueeze
from neurenix.ops.statistics import norm
from neurenix.tensor import Tensor, as_tensor


def tensor_split(input: Any, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Parts along ``dim``: so many of nearly one size (the first are larger), or cut at these places.

    Raises
    ------
    ArgumentError
        If there are fewer than one section.
    ShapeError
        For a 0-d tensor.

    Examples
    --------
    >>> import neurenix as nx
    >>> [t.tolist() for t in nx.tensor_split(nx.arange(5), 2)]
    [[0, 1, 2], [3, 4]]
    """
    x = as_tensor(input)
    if not x.ndim:
        raise ShapeError("tensor_split: expected a tensor with axes, got a 0-d tensor; reshape it to (1,)")
    at = axis_of("tensor_split", dim, x.ndim)
    if isinstance(indices_or_sections, Tensor):
        indices_or_sections = indices_or_sections.tolist()
    n = x.shape[at]
    if not is_number(indices_or_sections) and not isinstance(indices_or_sections, (tuple, list)):
        raise ArgumentError(f"tensor_split: expected a number of sections or places, got {indices_or_sections!r}; pass e.g. 2 or (1, 3)")
    if is_number(indices_or_sections):
        parts = integer("tensor_split", "indices_or_sections", indices_or_sections, 1)
        places = [k * (n // parts) + builtins.min(k, n % parts) for k in range(1, parts)]
    else:
        places = [slice(integer("tensor_split", "indices_or_sections", k, -n - 1)).indices(n)[1] for k in indices_or_sections]
    ends = list(zip([0, *places], [*places, n], strict=True))
    return tuple(narrow(x, at, start, builtins.max(end - start, 0)) for start, end in ends)


def _named_split(name: str, input: Any, where: Any, dim: int, least: int) -> tuple[Tensor, ...]:
    x = as_tensor(input)
    if x.ndim < least:
        raise ShapeError(f"{name}: expected at least {least} axes, got shape {x.shape}; use tensor_split")
    if is_number(where) and (where < 1 or x.shape[dim] % where):
        raise ArgumentError(f"{name}: expected sections that divide {x.shape[dim]}, got {where}; use tensor_split")
    return tensor_split(x, where, dim)


def hsplit(input: Any, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """Parts side by side, along the second axis, of a vector along its only one: so many of one size, or cut at these places.

    Raises
    ------
    ShapeError
        If there are no axes.
    ArgumentError
        If the sections do not divide the axis.

    Examples
    --------
    >>> import neurenix as nx
    >>> left, middle, right = nx.hsplit(nx.arange(6), [1, 4])
    >>> middle
    tensor([1, 2, 3])
    """
    return _named_split("hsplit", input, indices_or_sections, 0 if as_tensor(input).ndim == 1 else 1, 1)


def vsplit(input: Any, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """Parts one under the other, along the first axis: so many of one size, or cut at these places.

    Raises
    ------
    ShapeError
        If there are fewer than two axes.
    ArgumentError
        If the sections do not divide the axis.

    Examples
    --------
    >>> import neurenix as nx
    >>> top, bottom = nx.vsplit(nx.zeros(4, 6), 2)
    >>> top.shape
    (2, 6)
    """
    return _named_split("vsplit", input, indices_or_sections, 0, 2)


def dsplit(input: Any, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """Parts one behind the other, along the third axis: so many of one size, or cut at these places.

    Raises
    ------
    ShapeError
        If there are fewer than three axes.
    ArgumentError
        If the sections do not divide the axis.

    Examples
    --------
    >>> import neurenix as nx
    >>> red, green, blue = nx.dsplit(nx.zeros(4, 5, 3), 3)
    >>> red.shape
    (4, 5, 1)
    """
    return _named_split("dsplit", input, indices_or_sections, 2, 3)


def column_stack(tensors: Sequence[Any]) -> Tensor:
    """Side by side, vectors as columns: (n,) and (n, k) give (n, 1 + k).

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.column_stack([nx.tensor([1, 2]), nx.tensor([3, 4])])
    tensor([[1, 3],
            [2, 4]])
    """
    given = [as_tensor(t) for t in tensors]
    return cat([reshape(t, -1, 1) if t.ndim < 2 else t for t in given], 1)


def _at_least(ndim: int, tensors: tuple[Any, ...]) -> Any:
    if len(tensors) == 1 and not isinstance(tensors[0], (tuple, list)):
        return _widened(as_tensor(tensors[0]), ndim)
    return tuple(_widened(as_tensor(t), ndim) for t in (tensors[0] if len(tensors) == 1 else tensors))


def _widened(x: Tensor, ndim: int) -> Tensor:
    if x.ndim == 0:
        return reshape(x, (1,) * ndim)
    if x.ndim == 1 and ndim > 1:
        x = unsqueeze(x, 0)
    return unsqueeze(x, 2) if x.ndim == 2 and ndim == 3 else x


def atleast_1d(*tensors: Any) -> Any:
    """With at least one axis: the tensor, or a tuple where several are given.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.atleast_1d(nx.tensor(5.0)).shape
    (1,)
    """
    return _at_least(1, tensors)


def atleast_2d(*tensors: Any) -> Any:
    """With at least two axes, a vector becomes a row: the tensor, or a tuple where several are given.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.atleast_2d(nx.tensor([1.0, 2.0])).shape
    (1, 2)
    """
    return _at_least(2, tensors)


def atleast_3d(*tensors: Any) -> Any:
    """With at least three axes, the third is put behind a matrix's two: the tensor, or a tuple where several are given.

    Examples
    --------
    >>> import neurenix as nx
    >>> grey = nx.zeros(4, 5)
    >>> nx.atleast_3d(grey).shape
    (4, 5, 1)
    """
    return _at_least(3, tensors)


def broadcast_shapes(*shapes: Any) -> tuple[int, ...]:
    """The shape that all broadcast to; a :class:`ShapeError` if there is none.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.broadcast_shapes((3, 1), (1, 4))
    (3, 4)
    """
    sizes = [(int(s),) if is_number(s) else tuple(int(n) for n in s) for s in shapes]
    if any(n < 0 for s in sizes for n in s):
        raise ShapeError(f"broadcast_shapes: expected sizes of at least 0, got {sizes}; check them")
    return common_shape("broadcast_shapes", *sizes) if sizes else ()


def block_diag(*tensors: Any) -> Tensor:
    """A matrix with the given ones along its diagonal, zero elsewhere; vectors are rows.

    Raises
    ------
    ShapeError
        If one has more than two axes.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.block_diag(nx.ones(1, 2), nx.tensor([[5.0], [6.0]]))
    tensor([[1., 1., 0.],
            [0., 0., 5.],
            [0., 0., 6.]])
    """
    if not tensors:
        return Tensor(np.zeros((1, 0), np.float32))
    given = [as_tensor(t) for t in tensors]
    if any(t.ndim > 2 for t in given):
        raise ShapeError(f"block_diag: expected at most 2 axes, got shapes {[t.shape for t in given]}; give matrices")
    parts = [_widened(t, 2) for t in given]
    width, before, rows = sum(t.shape[1] for t in parts), 0, []
    for part in parts:
        blanks = [Tensor._wrap(filled(part._array, (part.shape[0], n), 0)) for n in (before, width - before - part.shape[1])]
        rows.append(cat([blanks[0], part, blanks[1]], 1))
        before += part.shape[1]
    return cat(rows, 0)


def cartesian_prod(*tensors: Any) -> Tensor:
    """All ways to take one element of each vector, one a row.

    Raises
    ------
    ShapeError
        If one is not a vector.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.cartesian_prod(nx.tensor([1, 2]), nx.tensor([7, 8]))
    tensor([[1, 7],
            [1, 8],
            [2, 7],
            [2, 8]])
    """
    lines = [as_tensor(t) for t in tensors]
    if any(t.ndim != 1 for t in lines):
        raise ShapeError(f"cartesian_prod: expected vectors, got shapes {[t.shape for t in lines]}; use .ravel()")
    if len(lines) == 1:
        return lines[0]
    return stack([ravel(grid) for grid in meshgrid(*lines)], 1)


def combinations(input: Any, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All ways to take ``r`` elements of a vector in order, one a row; ``with_replacement`` the same one more than once.

    Raises
    ------
    ShapeError
        If it is not a vector.
    ArgumentError
        If ``r`` is negative.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.combinations(nx.tensor([1, 2, 3]))
    tensor([[1, 2],
            [1, 3],
            [2, 3]])
    """
    x = as_tensor(input)
    if x.ndim != 1:
        raise ShapeError(f"combinations: expected a vector, got shape {x.shape}; use .ravel()")
    if r < 0:
        raise ArgumentError(f"combinations: expected r of at least 0, got {r}; pass how many to take")
    if r == 0:
        return Tensor._wrap(filled(x._array, (0,), 0))
    ways = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    places = np.array(list(ways(range(x.shape[0]), r)), np.int64).reshape(-1, r)
    return reshape(index_select(x, 0, Tensor(places.ravel(), device=x.device)), places.shape)


def diagflat(input: Any, offset: int = 0) -> Tensor:
    """A square matrix with all elements on a diagonal, zeros elsewhere; a positive ``offset`` is above the main one.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.diagflat(nx.tensor([[1, 2]]))
    tensor([[1, 0],
            [0, 2]])
    """
    return diag_embed(ravel(input), offset)


def sliding_windows(input: Any, dimension: int, size: int, step: int = 1) -> Tensor:
    """All windows of ``size`` elements along an axis, ``step`` apart, as a new last axis: the method ``unfold``.

    Raises
    ------
    RangeError
        If the axis has fewer elements.
    ArgumentError
        If ``step`` is below 1.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.arange(5).unfold(0, size=3, step=1)
    tensor([[0, 1, 2],
            [1, 2, 3],
            [2, 3, 4]])
    """
    x = as_tensor(input)
    at = axis_of("unfold", dimension, x.ndim)
    n = x.shape[at] if x.ndim else 1
    if not 0 <= size <= n:
        raise RangeError(f"unfold: expected a size from 0 to {n}, got {size}; the axis has no more elements")
    if step < 1:
        raise ArgumentError(f"unfold: expected a step of at least 1, got {step}; pass a positive one")
    count = (n - size) // step + 1
    if not x.ndim:
        return reshape(x, 1) if size else Tensor._wrap(filled(x._array, (0,), 0))
    if size == 0:
        return Tensor._wrap(filled(x._array, (*x.shape[:at], count, *x.shape[at + 1 :], 0), 0))
    places = (np.arange(count)[:, None] * step + np.arange(size)).ravel()
    taken = index_select(x, at, Tensor(places, device=x.device))
    return movedim(unflatten(taken, at, (count, size)), at + 1, -1)


def sum_to_size(input: Any, *size: Any) -> Tensor:
    """Summed over the axes along which ``size`` would broadcast to the input.

    Raises
    ------
    ShapeError
        If it would not.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.ones(4, 2, 3).sum_to_size(2, 1)
    tensor([[12.],
            [12.]])
    """
    x, sizes = as_tensor(input), tuple(integer("sum_to_size", "each size", n, 0) for n in given(size))
    lead = x.ndim - len(sizes)
    if lead < 0 or any(n not in (1, x.shape[lead + i]) for i, n in enumerate(sizes)):
        raise ShapeError(f"sum_to_size: expected sizes that broadcast to {x.shape}, got {sizes}; only axes of size 1 can be summed to")
    axes = [*range(lead), *(lead + i for i, n in enumerate(sizes) if n == 1 and x.shape[lead + i] != 1)]
    return reshape(sum_of(x, axes), sizes) if axes or not sizes else x  # the sum of everything, even of one integer, is int64


def renorm(input: Any, p: float, dim: int, maxnorm: float) -> Tensor:
    """Slices along ``dim`` whose norm of order ``p`` is above ``maxnorm`` scaled down to it.

    Raises
    ------
    ArgumentError
        If ``p`` is not above 0, or ``maxnorm`` negative.
    ShapeError
        If there are fewer than two axes.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.renorm(nx.tensor([[3.0, 4.0], [0.3, 0.4]]), p=2, dim=0, maxnorm=1)
    tensor([[0.6, 0.8],
            [0.3, 0.4]])
    """
    x = as_tensor(input)
    if p <= 0 or maxnorm < 0:
        raise ArgumentError(f"renorm: expected p above 0 and maxnorm of at least 0, got {p} and {maxnorm}; change them")
    if x.ndim < 2:
        raise ShapeError(f"renorm: expected at least 2 axes, got shape {x.shape}; reshape it")
    at = axis_of("renorm", dim, x.ndim)
    size = norm(x, p, [i for i in range(x.ndim) if i != at], True)
    return mul(x, choose(gt(size, maxnorm), div(maxnorm, add(size, 1e-7)), 1.0))
