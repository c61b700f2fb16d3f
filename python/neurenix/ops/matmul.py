"""Products of matrices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neurenix import autograd
from neurenix._typing import Array
from neurenix.backend import new, same_device
from neurenix.backend.kernel import In, Out, Size, Strided, kernel
from neurenix.errors import DTypeError, ShapeError
from neurenix.layout import contiguous
from neurenix.ops._conv import run, weight_gradient
from neurenix.ops._conv_pairs import by_pairs, in_pairs
from neurenix.ops._half import in_half
from neurenix.ops._named import named
from neurenix.ops.arithmetic import add, mul
from neurenix.ops.elementwise import common_shape, expanded
from neurenix.ops.linear import POINT
from neurenix.ops.reduce import floats_only, sum as sum_of, sum_to
from neurenix.ops.shape import reshaped, squeeze, unsqueeze
from neurenix.tensor import Tensor, as_tensor


@kernel("floats")
def matmul_rows(y: Out, a: Strided[In], b: Strided[In], batch: Size, m: Size, k: Size, n: Size) -> None:
    """y[i] = a[i] b[i] for each of ``batch`` pairs of (m, k) and (k, n) matrices."""


def multiplied(a: Array, b: Array) -> Array:
    """The products of (..., m, k) and (..., k, n) arrays, broadcast; the shapes are known to fit."""
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    m, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
    if b.ndim == 2 and a.ndim > 2 and a.flags.c_contiguous:
        # One product of all rows.
        y = new(a, (1, math.prod(lead) * m, n))
        matmul_rows(y, a.reshape((1, -1, k)) if a.size else a.reshape(1, math.prod(lead) * m, k), b[None], 1, y.shape[1], k, n)
        return y.reshape((*lead, m, n))
    batch = math.prod(lead)
    y = new(a, (batch, m, n))
    left = reshaped(expanded(a, (*lead, m, k)), (batch, m, k))
    right = reshaped(expanded(b, (*lead, k, n)), (batch, k, n))
    matmul_rows(y, left, right, batch, m, k, n)
    return y.reshape((*lead, m, n))


def _pair(op: str, input: Any, other: Any) -> tuple[Tensor, Tensor]:
    x, y = as_tensor(input), as_tensor(other)
    same_device(op, x._array, y._array)
    if x.dtype != y.dtype:
        raise DTypeError(f"{op}: expected operands of one type, got {x.dtype} and {y.dtype}; convert one, e.g. with .to(x.dtype)")
    floats_only(op, x)
    return x, y


def matmul(input: Any, other: Any) -> Tensor:
    """The matrix product: (..., m, k) and (..., k, n) give (..., m, n).

    Axes before the last two are broadcast; a vector counts as a row or a column, and its axis is dropped from the result.

    Raises
    ------
    DTypeError
        Unless both are float32, or both float64.
    ShapeError
        If sizes do not fit, or one is a number.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.matmul(nx.tensor([[1.0, 2.0]]), nx.tensor([3.0, 4.0]))
    tensor([11.])
    """
    x, y = _pair("matmul", input, other)
    if not x.ndim or not y.ndim:
        raise ShapeError(f"matmul: expected at least 1 axis each, got {x.shape} and {y.shape}; use mul")
    if x.ndim == 1 or y.ndim == 1:
        product = matmul(unsqueeze(x, 0) if x.ndim == 1 else x, unsqueeze(y, 1) if y.ndim == 1 else y)
        return squeeze(product, tuple([-2] * (x.ndim == 1) + [-1] * (y.ndim == 1)))
    if x.shape[-1] != y.shape[-2]:
        raise ShapeError(f"matmul: expected as many columns as rows, got {x.shape} and {y.shape}; transpose one")
    common_shape("matmul", x.shape[:-2], y.shape[:-2])
    return in_half(_product, x, y, weights=False)


def _product(x: Tensor, y: Tensor) -> Tensor:
    a, b = x._array, y._array
    needs = (x.requires_grad, y.requires_grad)
    if b.ndim == 2 and in_pairs(a):
        return _product_in_pairs(x, y)

    def vjp(g: Array) -> tuple[Array | None, ...]:
        ga = sum_to(multiplied(g, b.swapaxes(-1, -2)), a.shape) if needs[0] else None
        gb = None
        if needs[1] and b.ndim == 2 and g.ndim > 2:
            rows = math.prod(g.shape[:-1])
            gb = multiplied(reshaped(a, (rows, a.shape[-1])).T, reshaped(g, (rows, g.shape[-1])))
        elif needs[1]:
            gb = sum_to(multiplied(a.swapaxes(-1, -2), g), b.shape)
        return ga, gb

    return autograd.record("matmul", multiplied(a, b), (x, y), vjp)


def _rows_times(a: Array, b: Array, turned: bool) -> Array:
    """The products of (..., k) rows and a (k, n) matrix, or one (n, k) that is ``turned``, in pairs of bfloat16 where they gain from it."""
    k, n = b.shape[::-1] if turned else b.shape
    if not by_pairs(POINT.kernel, n, k):
        return multiplied(a, b.swapaxes(0, 1) if turned else b)
    rows = math.prod(a.shape[:-1])
    matrix = Tensor._wrap(contiguous(b))
    return run(contiguous(a).reshape(1, 1, rows, k), matrix, POINT, (1, rows), not turned).reshape((*a.shape[:-1], n))


def _product_in_pairs(x: Tensor, y: Tensor) -> Tensor:
    """As :func:`_product` with one matrix for all rows."""
    a, b, needs = x._array, y._array, (x.requires_grad, y.requires_grad)
    k, n = b.shape

    def vjp(g: Array) -> tuple[Array | None, ...]:
        ga = _rows_times(g, b, True) if needs[0] else None
        if not needs[1]:
            return ga, None
        rows = math.prod(g.shape[:-1])
        if not by_pairs(POINT.kernel, k, n):
            return ga, multiplied(reshaped(a, (rows, k)).T, reshaped(g, (rows, n)))
        left, right = (contiguous(t).reshape(1, 1, rows, t.shape[-1]) for t in (a, g))
        return ga, weight_gradient(left, right, Tensor._wrap(b), POINT)

    return autograd.record("matmul", _rows_times(a, b, False), (x, y), vjp)


def _with_axes(op: str, x: Any, ndim: int) -> Tensor:
    t = as_tensor(x)
    if t.ndim != ndim:
        raise ShapeError(f"{op}: expected {ndim} axes, got shape {t.shape}; reshape it, or use matmul")
    return t


def mm(input: Any, mat2: Any) -> Tensor:
    """The product of two matrices of one float type: (m, k) and (k, n) give (m, n).

    Raises
    ------
    ShapeError
        If one has not two axes, or the columns of one are not as many as the rows of the other.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.mm(nx.tensor([[1.0, 2.0], [3.0, 4.0]]), nx.tensor([[0.0, 1.0], [1.0, 0.0]]))
    tensor([[2., 1.],
            [4., 3.]])
    """
    return matmul(_with_axes("mm", input, 2), _with_axes("mm", mat2, 2))


def bmm(input: Any, mat2: Any) -> Tensor:
    """The products of two batches of matrices: (b, m, k) and (b, k, n) give (b, m, n).

    Raises
    ------
    ShapeError
        If one has not three axes, or sizes do not fit; :func:`matmul` broadcasts.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.bmm(nx.ones(10, 3, 4), nx.ones(10, 4, 5)).shape
    (10, 3, 5)
    """
    x, y = _with_axes("bmm", input, 3), _with_axes("bmm", mat2, 3)
    if x.shape[0] != y.shape[0]:
        raise ShapeError(f"bmm: expected batches of one size, got {x.shape} and {y.shape}; use matmul to broadcast")
    return matmul(x, y)


def mv(input: Any, vec: Any) -> Tensor:
    """The product of a matrix (m, k) and a vector (k,): (m,).

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.mv(nx.tensor([[1.0, 2.0], [3.0, 4.0]]), nx.tensor([1.0, -1.0]))
    tensor([-1., -1.])
    """
    return matmul(_with_axes("mv", input, 2), _with_axes("mv", vec, 1))


def dot(input: Any, tensor: Any) -> Tensor:
    """The sum of the products of the elements of two vectors (n,), a 0-d tensor; also of integers.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.dot(nx.tensor([1.0, 2.0, 3.0]), nx.tensor([4.0, 5.0, 6.0])).item()
    32.0
    """
    x, y = _with_axes("dot", input, 1), _with_axes("dot", tensor, 1)
    return inner(x, y)


def inner(input: Any, other: Any) -> Tensor:
    """Products summed over the last axes: (..., n) and (..., n) give the other axes of one, then of the other.

    Raises
    ------
    ShapeError
        If the last axes differ in size.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.inner(nx.ones(2, 5), nx.ones(3, 4, 5)).shape
    (2, 3, 4)
    """
    x, y = as_tensor(input), as_tensor(other)
    if not x.ndim or not y.ndim:
        return mul(x, y)
    if x.shape[-1] != y.shape[-1]:
        raise ShapeError(f"inner: expected last axes of one size, got {x.shape} and {y.shape}; cut one")
    if x.ndim == y.ndim == 1:
        product = mul(x, y)
        return sum_of(product, dtype=product.dtype)
    from neurenix.ops.einsum import tensordot

    return tensordot(x, y, ([-1], [-1]))


def outer(input: Any, vec2: Any) -> Tensor:
    """The products of all pairs of elements of two vectors: (m,) and (n,) give (m, n).

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.outer(nx.tensor([1, 2, 3]), nx.tensor([10, 20]))
    tensor([[10, 20],
            [20, 40],
            [30, 60]])
    """
    return mul(unsqueeze(_with_axes("outer", input, 1), 1), unsqueeze(_with_axes("outer", vec2, 1), 0))


ger = named("ger", outer)


def _plus(op: str, input: Any, product: Tensor, beta: float, alpha: float) -> Tensor:
    scaled = product if alpha == 1 else mul(product, alpha)
    if beta == 0:
        return scaled
    x = as_tensor(input)
    if common_shape(op, x.shape, product.shape) != product.shape:
        raise ShapeError(f"{op}: expected an input that broadcasts to {product.shape}, got {x.shape}; reshape it")
    return add(x if beta == 1 else mul(x, beta), scaled)


def addmm(input: Any, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """``beta * input + alpha * mat1 @ mat2``; the input is broadcast to the product, and not read for ``beta=0``.

    Examples
    --------
    >>> import neurenix as nx
    >>> bias = nx.tensor([10.0, 20.0])
    >>> nx.addmm(bias, nx.ones(3, 4), nx.ones(4, 2), alpha=0.5)
    tensor([[12., 22.],
            [12., 22.],
            [12., 22.]])
    """
    return _plus("addmm", input, mm(mat1, mat2), beta, alpha)


def addmv(input: Any, mat: Any, vec: Any, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """``beta * input + alpha * mat @ vec``; the input is broadcast to the product.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.addmv(nx.tensor([10.0, 20.0]), nx.ones(2, 3), nx.tensor([1.0, 2.0, 3.0]))
    tensor([16., 26.])
    """
    return _plus("addmv", input, mv(mat, vec), beta, alpha)


def baddbmm(input: Any, batch1: Any, batch2: Any, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """``beta * input + alpha * batch1 @ batch2`` of a batch, see :func:`bmm`; the input is broadcast to the product.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.baddbmm(nx.zeros(4), nx.ones(10, 2, 3), nx.ones(10, 3, 4)).shape
    (10, 2, 4)
    """
    return _plus("baddbmm", input, bmm(batch1, batch2), beta, alpha)


def addbmm(input: Any, batch1: Any, batch2: Any, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """``beta * input + alpha * sum of batch1 @ batch2``: the products of :func:`bmm` summed over the batch.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.addbmm(nx.zeros(2, 2), nx.ones(10, 2, 3), nx.ones(10, 3, 2))
    tensor([[30., 30.],
            [30., 30.]])
    """
    return _plus("addbmm", input, sum_of(bmm(batch1, batch2), 0), beta, alpha)
