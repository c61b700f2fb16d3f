"""Sums of products in index notation."""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from functools import reduce
from typing import Any

from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.ops.arithmetic import mul
from neurenix.ops.diagonals import diagonal
from neurenix.ops.matmul import matmul
from neurenix.ops.reduce import axis_of, sum as sum_of
from neurenix.ops.shape import movedim, permute, reshape
from neurenix.tensor import Tensor, as_tensor


def einsum(equation: str, *operands: Any) -> Tensor:
    """Products of the operands, summed over the letters that the result lacks.

    Parameters
    ----------
    equation : str
        A letter an axis and a comma between operands, e.g. ``"bij,bjk->bik"``. ``...`` stands for axes that are broadcast;
        without ``->`` the result has the letters that occur once, in alphabetical order.
    *operands : Tensor

    Raises
    ------
    ArgumentError
        For an equation that cannot be read.
    DTypeError
        If the equation is not text.
    ShapeError
        If a letter has several sizes.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.einsum("ij,j->i", nx.tensor([[1.0, 2.0]]), nx.tensor([3.0, 4.0]))
    tensor([11.])
    """
    if not isinstance(equation, str):
        raise DTypeError(
            f"einsum: expected an equation as text first, got {type(equation).__name__}; pass e.g. 'ij,jk->ik', then the tensors"
        )
    given = operands[0] if len(operands) == 1 and isinstance(operands[0], (tuple, list)) else operands
    tensors = [as_tensor(t) for t in given]
    terms, out = _parsed(equation, [t.ndim for t in tensors])
    _check_sizes(terms, tensors)
    parts = [_plain(t, term) for t, term in zip(tensors, terms, strict=True)]
    x, labels = parts[0]
    for i, (y, term) in enumerate(parts[1:], start=1):
        later = set(out).union(*(p[1] for p in parts[i + 1 :]))
        x, labels = _product(x, labels, y, term, later)
    gone = [i for i, c in enumerate(labels) if c not in out]
    if gone:
        x = _total(x, gone)
        labels = "".join(c for c in labels if c in out)
    return permute(x, [labels.index(c) for c in out]) if labels != out else x


def _total(x: Tensor, axes: Any, keepdim: bool = False) -> Tensor:
    """The sum over axes in the type of ``x``: sums of products of integers are not widened."""
    return sum_of(x, axes, keepdim, dtype=x.dtype)


def _parsed(equation: str, ndims: list[int]) -> tuple[list[str], str]:
    """The letters of each operand and of the result, an ellipsis written out in letters of its own."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(ndims):
        raise ArgumentError(f"einsum: expected {len(ndims)} terms before the arrow, got {equation!r}; separate them by commas")
    free = [c for c in string.ascii_letters if c not in text]
    longest = max((n - len(t.replace("...", "")) for t, n in zip(terms, ndims, strict=True) if "..." in t), default=0)
    dots = "".join(free[: max(longest, 0)])
    written = []
    for term, n in zip(terms, ndims, strict=True):
        extra = n - len(term.replace("...", ""))
        if extra < 0 or (extra and "..." not in term):
            raise ArgumentError(f"einsum: expected a letter for each of {n} axes, got {term!r}; use ... for axes that are broadcast")
        written.append(term.replace("...", dots[len(dots) - extra :] if extra else ""))
    if arrow:
        out = right.replace("...", dots)
    else:
        letters = "".join(term.replace("...", "") for term in terms)
        out = dots + "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    known = set("".join(written))
    if not all(c.isalpha() for c in "".join(written) + out) or len(set(out)) != len(out) or not set(out) <= known:
        raise ArgumentError(f"einsum: expected letters that the operands have, each once after the arrow, got {equation!r}; correct it")
    return written, out


def _check_sizes(terms: list[str], tensors: list[Tensor]) -> None:
    sizes: dict[str, int] = {}
    for term, t in zip(terms, tensors, strict=True):
        for c, n in zip(term, t.shape, strict=True):
            if sizes.get(c, 1) != n and n != 1 and sizes.get(c, 1) != 1:
                raise ShapeError(f"einsum: expected one size for {c!r}, got {sizes[c]} and {n}; check the equation's order of axes")
            sizes[c] = max(sizes.get(c, 1), n) if n != 0 else 0


def _plain(x: Tensor, term: str) -> tuple[Tensor, str]:
    """The operand with repeated letters read along their diagonal, and broadcast letters of size 1 kept."""
    for c in sorted(set(term)):
        while term.count(c) > 1:
            first = term.index(c)
            second = term.index(c, first + 1)
            x = diagonal(x, 0, first, second)
            term = term[:first] + term[first + 1 : second] + term[second + 1 :] + c
    return x, term


def _product(x: Tensor, a: str, y: Tensor, b: str, later: set[str]) -> tuple[Tensor, str]:
    """The product of two operands; letters of both that nobody needs later are summed by one matrix product."""
    x, a = _summed(x, a, later | set(b))
    y, b = _summed(y, b, later | set(a))
    shared = [c for c in a if c in b]
    if x.dtype.kind != "f" or any(x.shape[a.index(c)] != y.shape[b.index(c)] for c in shared):
        return _broadcast_product(x, a, y, b)
    batch = [c for c in shared if c in later]
    inner = [c for c in shared if c not in later]
    left, right = [c for c in a if c not in shared], [c for c in b if c not in shared]

    def size(letters: list[str], t: Tensor, term: str) -> int:
        return math.prod(t.shape[term.index(c)] for c in letters)

    shape = [x.shape[a.index(c)] for c in batch + left] + [y.shape[b.index(c)] for c in right]
    m, k, n, lead = size(left, x, a), size(inner, x, a), size(right, y, b), size(batch, x, a)
    p = reshape(permute(x, [a.index(c) for c in batch + left + inner]), (lead, m, k))
    q = reshape(permute(y, [b.index(c) for c in batch + inner + right]), (lead, k, n))
    return reshape(matmul(p, q), shape), "".join(batch + left + right)


def _summed(x: Tensor, term: str, needed: set[str]) -> tuple[Tensor, str]:
    gone = [i for i, c in enumerate(term) if c not in needed]
    return (_total(x, gone), "".join(c for c in term if c in needed)) if gone else (x, term)


def _broadcast_product(x: Tensor, a: str, y: Tensor, b: str) -> tuple[Tensor, str]:
    union = a + "".join(c for c in b if c not in a)

    def spread(t: Tensor, term: str) -> Tensor:
        there = [c for c in union if c in term]
        ordered = permute(t, [term.index(c) for c in there])
        return reshape(ordered, [t.shape[term.index(c)] if c in term else 1 for c in union])

    return mul(spread(x, a), spread(y, b)), union


def tensordot(a: Any, b: Any, dims: int | Sequence[Sequence[int]] = 2) -> Tensor:
    """Products summed over pairs of axes: the last ``dims`` of one with the first of the other, or two lists of axes.

    Raises
    ------
    ShapeError
        If the sizes of a pair differ.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.tensordot(nx.ones(2, 3, 4), nx.ones(3, 4, 5)).shape
    (2, 5)
    >>> nx.tensordot(nx.ones(2, 3), nx.ones(2, 5), dims=([0], [0])).shape
    (3, 5)
    """
    x, y = as_tensor(a), as_tensor(b)
    if isinstance(dims, int):
        if not 0 <= dims <= min(x.ndim, y.ndim):
            raise ShapeError(
                f"tensordot: expected dims from 0 to {min(x.ndim, y.ndim)}, got {dims} for {x.shape} and {y.shape}; check the shapes"
            )
        first, second = list(range(x.ndim - dims, x.ndim)), list(range(dims))
    else:
        first = [axis_of("tensordot", d, x.ndim) for d in dims[0]]
        second = [axis_of("tensordot", d, y.ndim) for d in dims[1]]
    for i, j in zip(first, second, strict=False):  # an axis of size 1 stands for any size
        if x.shape[i] == 1 != y.shape[j]:
            y = _total(y, j, True)
        elif y.shape[j] == 1 != x.shape[i]:
            x = _total(x, i, True)
    if [x.shape[i] for i in first] != [y.shape[i] for i in second]:
        raise ShapeError(f"tensordot: expected axes of equal sizes, got {x.shape} along {first} and {y.shape} along {second}; check dims")
    k = math.prod(x.shape[i] for i in first)
    left = [x.shape[i] for i in range(x.ndim) if i not in first]
    right = [y.shape[i] for i in range(y.ndim) if i not in second]
    p = reshape(movedim(x, first, list(range(x.ndim - len(first), x.ndim))), (math.prod(left), k))
    q = reshape(movedim(y, second, list(range(len(second)))), (k, math.prod(right)))
    return reshape(matmul(p, q), (*left, *right))


def chain_matmul(*matrices: Any) -> Tensor:
    """The product of several matrices, from left to right; a :class:`DTypeError` if there are none.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.chain_matmul(nx.ones(2, 3), nx.ones(3, 4), nx.ones(4, 5)).shape
    (2, 5)
    """
    if not matrices:
        raise DTypeError("chain_matmul: expected at least one matrix, got none; pass them one by one")
    return reduce(matmul, (as_tensor(m) for m in matrices))
