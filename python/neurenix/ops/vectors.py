"""Products and norms of vectors and matrices beyond matmul, moments of samples, and what ``neurenix.linalg`` names."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neurenix._typing import Dims, DTypeLike
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.ops.arithmetic import add, common_dtype, div, mul, operands, sub
from neurenix.ops.convert import cast
from neurenix.ops.diagonals import diagonal as diagonal_of
from neurenix.ops.einsum import chain_matmul
from neurenix.ops.layouts import roll
from neurenix.ops.matmul import dot, matmul, outer
from neurenix.ops.parts import stack
from neurenix.ops.power import clamp, pow as power
from neurenix.ops.reduce import amax, amin, axis_of, mean, sum as sum_of
from neurenix.ops.shape import broadcast_tensors, broadcast_to, reshape, transpose, unsqueeze
from neurenix.ops.statistics import norm as norm_of
from neurenix.ops.unary import abs as magnitude, as_floats, sqrt
from neurenix.tensor import Tensor, as_tensor


def cross(input: Any, other: Any, dim: int | None = None) -> Tensor:
    """The vector product along ``dim``, the first axis of size 3 unless given.

    Raises
    ------
    ShapeError
        If the axis does not have 3 elements.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.cross(nx.tensor([1.0, 0.0, 0.0]), nx.tensor([0.0, 1.0, 0.0]))
    tensor([0., 0., 1.])
    """
    x, y = operands("cross", input, other)
    if dim is None:
        found = [i for i, n in enumerate(x.shape) if n == 3]
        if not found or x.ndim != y.ndim:
            raise ShapeError(f"cross: expected an axis of size 3, got shapes {x.shape} and {y.shape}; name one in dim")
        dim = found[0]
    return vector_cross(x, y, dim=dim)


def vector_cross(input: Any, other: Any, *, dim: int = -1) -> Tensor:
    """The vector product along ``dim``, broadcast."""
    name = "cross"
    x, y = operands(name, input, other)
    if x.ndim != y.ndim:
        raise ShapeError(f"{name}: expected equally many axes, got shapes {x.shape} and {y.shape}; use unsqueeze")
    at = axis_of(name, dim, x.ndim)
    if not x.ndim or x.shape[at] != 3 or y.shape[at] != 3:
        raise ShapeError(f"{name}: expected 3 elements along dim {dim}, got shapes {x.shape} and {y.shape}; choose another dim")
    x, y = broadcast_tensors(x, y)
    return sub(mul(roll(x, -1, at), roll(y, -2, at)), mul(roll(x, -2, at), roll(y, -1, at)))


def trace(input: Any) -> Tensor:
    """The sum of a matrix's diagonal, a 0-d tensor; a :class:`ShapeError` for other numbers of axes.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.trace(nx.tensor([[1.0, 2.0], [3.0, 4.0]])).item()
    5.0
    """
    x = as_tensor(input)
    if x.ndim != 2:
        raise ShapeError(f"trace: expected a matrix, got shape {x.shape}; sum a diagonal")
    return sum_of(diagonal_of(x))


def kron(input: Any, other: Any) -> Tensor:
    """Every element of one times the whole other one, laid out as blocks: (m, n) and (p, q) give (m p, n q).

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.kron(nx.tensor([[1, 2]]), nx.tensor([[1, 1], [0, 1]]))
    tensor([[1, 1, 2, 2],
            [0, 1, 0, 2]])
    """
    x, y = as_tensor(input), as_tensor(other)
    ndim = max(x.ndim, y.ndim)
    a, b = (1,) * (ndim - x.ndim) + x.shape, (1,) * (ndim - y.ndim) + y.shape
    wide = reshape(x, tuple(v for n in a for v in (n, 1)))
    fine = reshape(y, tuple(v for n in b for v in (1, n)))
    return reshape(mul(wide, fine), tuple(m * n for m, n in zip(a, b, strict=True)))


def vdot(input: Any, other: Any) -> Tensor:
    """The product of two vectors, see :func:`neurenix.dot`: numbers are real here.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.vdot(nx.tensor([1.0, 2.0]), nx.tensor([3.0, 4.0])).item()
    11.0
    """
    return dot(input, other)


def addr(input: Any, vec1: Any, vec2: Any, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """``beta * input + alpha * outer(vec1, vec2)``: (m, n), (m,) and (n,).

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.addr(nx.zeros(2, 3), nx.tensor([1.0, 2.0]), nx.tensor([1.0, 2.0, 3.0]))
    tensor([[1., 2., 3.],
            [2., 4., 6.]])
    """
    x, product = as_tensor(input), outer(vec1, vec2)
    dtype = common_dtype("addr", x, product)
    x, product = cast(x, dtype), cast(product, dtype)
    if dtype.kind == "b":  # whether either holds, as PyTorch has it
        beta, alpha = bool(beta), bool(alpha)
    if beta == 0:
        return mul(product, alpha)
    return add(x if beta == 1 else mul(x, beta), product, alpha=alpha)


def cov(input: Any, *, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Tensor:
    """Covariances of variables (rows) over observations (columns): (V, O) gives (V, V), (O,) a number.

    ``fweights`` (whole numbers) say how often an observation counts, ``aweights`` how much; sums are divided by the number of
    observations less ``correction``.

    Raises
    ------
    ShapeError
        If there are more than two axes, or the weights are not one an observation.
    ArgumentError
        If weights are negative, or ``fweights`` not whole.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.cov(nx.tensor([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0]]))
    tensor([[1., 2.],
            [2., 4.]])
    """
    x = as_floats("cov", input)
    if x.ndim > 2:
        raise ShapeError(f"cov: expected at most 2 axes, got shape {x.shape}; give variables as rows")
    rows = reshape(x, 1, -1) if x.ndim < 2 else x
    n = rows.shape[1]
    weights = [as_tensor(w, rows) for w in (fweights, aweights) if w is not None]
    if any(w.shape != (n,) for w in weights):
        raise ShapeError(f"cov: expected {n} weights, got shapes {[w.shape for w in weights]}; give one an observation")
    if any(bool((w.detach().numpy() < 0).any()) for w in weights) or (fweights is not None and weights[0].dtype.kind not in "iu"):
        raise ArgumentError("cov: expected weights of at least 0, and whole ones for fweights, got others; check them")
    w: Any = None
    for given in weights:
        w = cast(given, rows.dtype) if w is None else mul(w, cast(given, rows.dtype))
    total: Any = n if w is None else sum_of(w)
    centre = mean(rows, 1, True) if w is None else div(sum_of(mul(rows, w), 1, True), total)
    freedom: Any = total - correction
    if w is not None and aweights is not None and correction:
        freedom = sub(total, div(mul(sum_of(mul(w, cast(as_tensor(aweights, rows), rows.dtype))), correction), total))
    apart = sub(rows, centre)
    product = matmul(apart if w is None else mul(apart, w), transpose(apart, 0, 1))
    scaled = div(product, clamp(freedom, min=0) if isinstance(freedom, Tensor) else float(max(freedom, 0)))
    return reshape(scaled, ()) if rows.shape[0] == 1 else scaled


def corrcoef(input: Any) -> Tensor:
    """Correlations of variables (rows) over observations (columns), from -1 to 1: (V, O) gives (V, V).

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.corrcoef(nx.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]))
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    c = cov(input)
    if not c.ndim:
        return div(c, c)
    deviation = sqrt(diagonal_of(c))
    return clamp(div(div(c, unsqueeze(deviation, 1)), unsqueeze(deviation, 0)), -1, 1)


# --- under their names in linalg


def vector_norm(x: Any, ord: Any = 2, dim: Dims = None, keepdim: bool = False, *, dtype: DTypeLike | None = None) -> Tensor:
    """The norm of order ``ord`` over ``dim``, of all elements unless given."""
    if isinstance(ord, str):
        raise ArgumentError(f"vector_norm: expected a number for ord, got {ord!r}; pass e.g. ord=2")
    if as_tensor(x).dtype.kind != "f":
        raise DTypeError(f"vector_norm: expected floats, got {as_tensor(x).dtype}; convert it with .float()")
    return norm_of(x, float(ord), dim, keepdim, dtype)


def matrix_norm(A: Any, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: DTypeLike | None = None) -> Tensor:
    """The norm of matrices that two axes hold: "fro", "nuc", 1, -1, inf or -inf.

    Raises
    ------
    ArgumentError
        For another order: 2 and -2 would need singular values.
    """
    x = as_tensor(A) if dtype is None else cast(A, dtype)
    if x.ndim < 2:
        raise ShapeError(f"matrix_norm: expected at least 2 axes, got shape {x.shape}; use vector_norm")
    rows, columns = (axis_of("matrix_norm", d, x.ndim) for d in dim)
    if rows == columns:
        raise ArgumentError(f"matrix_norm: expected two different axes, got dim={dim}; name another one")
    if ord in ("fro", "nuc"):
        return norm_of(x, ord, (rows, columns), keepdim)
    if ord not in (1, -1, math.inf, -math.inf) or isinstance(ord, str):
        raise ArgumentError(f'matrix_norm: expected ord "fro", "nuc", 1, -1, inf or -inf, got {ord!r}; choose one of them')
    inner, outer_axis = (rows, columns) if abs(ord) == 1 else (columns, rows)
    sums = sum_of(magnitude(x), inner, True)
    largest = amax if sums.shape[outer_axis] else sum_of  # of nothing: 0
    best = (largest if ord > 0 else amin)(sums, outer_axis, True)
    kept = tuple(n for i, n in enumerate(best.shape) if i not in (rows, columns))
    return best if keepdim else reshape(best, kept)


def norm(A: Any, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: DTypeLike | None = None) -> Tensor:
    """A vector's norm, or a matrix's where ``dim`` names two axes (or the input has two and ``ord`` is given)."""
    x = as_tensor(A)
    pair = isinstance(dim, (tuple, list)) and len(dim) == 2
    if ord is not None and (pair or (dim is None and x.ndim == 2)):
        return matrix_norm(x, ord, dim if pair else (-2, -1), keepdim, dtype=dtype)
    if ord is not None and dim is None and x.ndim > 2:
        raise ShapeError(f"norm: expected a vector or a matrix where ord is given without dim, got shape {x.shape}; name dim")
    return vector_norm(x, 2 if ord is None else ord, dim, keepdim, dtype=dtype)


def vecdot(x: Any, y: Any, *, dim: int = -1) -> Tensor:
    """Products of vectors along ``dim``, broadcast."""
    return sum_of(mul(x, y), dim)


def multi_dot(tensors: Any) -> Tensor:
    """The product of a chain of matrices in the order that needs least work; the first and last may be vectors.

    Raises
    ------
    ArgumentError
        If there are fewer than two.
    """
    given = [as_tensor(t) for t in tensors]
    if len(given) < 2:
        raise ArgumentError(f"multi_dot: expected at least 2 tensors, got {len(given)}; use the tensor itself")
    first, last = given[0].ndim == 1, given[-1].ndim == 1
    if first:
        given[0] = unsqueeze(given[0], 0)
    if last:
        given[-1] = unsqueeze(given[-1], 1)
    y = chain_matmul(*given)
    rows, columns = y.shape
    return reshape(y, (*(() if first else (rows,)), *(() if last else (columns,))))


def matrix_power(A: Any, n: int) -> Tensor:
    """Square matrices (..., n, n) to a whole power of at least 0, which gives ones on the diagonal.

    Raises
    ------
    ArgumentError
        If ``n`` is negative: that would need an inverse.
    ShapeError
        If the last two axes differ in size.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.matrix_power(nx.tensor([[1.0, 1.0], [0.0, 1.0]]), 5)
    tensor([[1., 5.],
            [0., 1.]])
    """
    x = as_tensor(A)
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"matrix_power: expected square matrices, got shape {x.shape}; check the last two axes")
    if isinstance(n, bool) or not isinstance(n, int) or n < 0:
        raise ArgumentError(f"matrix_power: expected a whole power of at least 0, got {n!r}; invert the matrix first")
    result: Any = None
    while n:
        if n & 1:
            result = x if result is None else matmul(result, x)
        x, n = matmul(x, x) if n > 1 else x, n >> 1
    if result is None:
        result = broadcast_to(Tensor(np.eye(x.shape[-1], dtype=x.dtype), device=x.device), x.shape)
    return as_tensor(result)


def vander(x: Any, N: int | None = None) -> Tensor:
    """Powers 0, 1, ... ``N - 1`` of each element along a new last axis; those of integers are int64."""
    t = as_tensor(x)
    t = cast(t, np.int64) if t.dtype.kind in "iub" else t
    t = t if t.ndim else reshape(t, 1)
    count = t.shape[-1] if N is None else N
    if count < 1 or (N is not None and N < 2):
        raise ArgumentError(f"vander: expected N above 1, got {count}; pass how many powers to give")
    return stack([power(t, k) for k in range(count)], -1)


def matrix_diagonal(A: Any, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The diagonals of matrices that two axes hold."""
    return diagonal_of(A, offset, dim1, dim2)
