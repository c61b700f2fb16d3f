"""Softmax and its logarithm along one axis, and logsumexp."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurenix import autograd, layout
from neurenix._typing import Array, Dims, DTypeLike
from neurenix.backend import new
from neurenix.backend.kernel import Enum, In, Out, Size, kernel
from neurenix.ops.convert import cast
from neurenix.ops.elementwise import Binary, Unary, expanded, map1, map2
from neurenix.ops.reduce import Fold, axes_of, axis_of, floats_only, fold, kept_shape
from neurenix.ops.unary import neg
from neurenix.tensor import Tensor, as_tensor
from neurenix.window_rules import at_place


@kernel("floats")
def softmax_rows(y: Out, x: In, outer: Size, n: Size, inner: Size, log: Enum) -> None:
    """y = exp(x - max) / sum(exp(x - max)) along n of (outer, n, inner); its logarithm where log is 1."""


@kernel("floats")
def softmax_grad(gx: Out, g: In, y: In, outer: Size, n: Size, inner: Size, log: Enum) -> None:
    """gx = y * (g - sum(g * y)); where log is 1, g - exp(y) * sum(g)."""


def by_axis(x: Array, dim: int) -> tuple[Array, tuple[int, ...], int]:
    """``x`` dense in its own order of axes, that order, and the place of ``dim`` in it."""
    order = layout.order_of(x)
    dense = layout.contiguous(x.transpose(order))
    return dense, order, order.index(dim) if x.ndim else 0


def sizes_around(shape: tuple[int, ...], at: int) -> tuple[int, int, int]:
    """Products of the sizes before, at and behind an axis."""
    n = shape[at] if shape else 1
    return int(np.prod(shape[:at], dtype=np.int64)), n, int(np.prod(shape[at + 1 :], dtype=np.int64))


def undo(x: Array, order: tuple[int, ...]) -> Array:
    """``x``, whose axes were put in ``order``, with its axes as they were."""
    return x.transpose(sorted(range(len(order)), key=order.__getitem__))


def _along(name: str, input: Any, dim: int | None, dtype: DTypeLike | None, log: int) -> Tensor:
    x = as_tensor(input)
    if dtype is not None:
        x = cast(x, dtype)
    floats_only(name, x)
    at = axis_of(name, _implicit(x.ndim) if dim is None else dim, x.ndim)
    dense, order, place = by_axis(x._array, at)
    sizes = sizes_around(dense.shape, place)
    y = new(dense, dense.shape)
    softmax_rows(y, dense, *sizes, log)

    def vjp(g: Array) -> tuple[Array]:
        gx = new(y, y.shape)
        softmax_grad(gx, layout.contiguous(g.transpose(order)), y, *sizes, log)
        return (undo(gx, order),)

    out = autograd.record(name, undo(y, order), (x,), vjp, at_place if at < x.ndim - 2 else None)
    if not log:
        out._logits = ("softmax", x, at)
    return out


def _implicit(ndim: int) -> int:
    """The axis that PyTorch takes where none is given."""
    return 0 if ndim in {0, 1, 3} else 1


def softmax(input: Any, dim: int | None = None, dtype: DTypeLike | None = None) -> Tensor:
    """``exp(input)`` over its sum along ``dim``; the result carries the input on for losses.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.softmax(nx.tensor([0.0, 0.0]), dim=0)
    tensor([0.5, 0.5])
    """
    return _along("softmax", input, dim, dtype, 0)


def log_softmax(input: Any, dim: int | None = None, dtype: DTypeLike | None = None) -> Tensor:
    """The logarithm of softmax along ``dim``, without cancellation: log-probabilities, whose exponentials sum to 1.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.log_softmax(nx.tensor([1000.0, 1000.0]), dim=0)
    tensor([-0.6931, -0.6931])
    """
    return _along("log_softmax", input, dim, dtype, 1)


def softmin(input: Any, dim: int | None = None, dtype: DTypeLike | None = None) -> Tensor:
    """Softmax of ``-input`` along ``dim``: the smallest element gets the largest share.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.softmin(nx.tensor([0.0, 0.0, 2.0]), dim=0)
    tensor([0.4683, 0.4683, 0.0634])
    """
    return softmax(neg(input), dim, dtype=dtype)  # PyTorch's order: unsigned integers wrap


def logsumexp(input: Any, dim: Dims, keepdim: bool = False) -> Tensor:
    """``log(sum(exp(input)))`` over ``dim``, one axis or several, without overflow.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.logsumexp(nx.tensor([[1000.0, 1000.0], [1000.0, 999.0]]), dim=1)
    tensor([1000.6932, 1000.3132])
    """
    x = as_tensor(input)
    x = x if x.dtype.kind == "f" else cast(x, np.float32)
    floats_only("logsumexp", x)
    axes = axes_of("logsumexp", dim, x.ndim)
    array = x._array
    kept = kept_shape(x.shape, axes)
    y = fold(Fold.LOGSUMEXP, array, axes)

    def vjp(g: Array) -> tuple[Array]:
        share = map1(Unary.EXP, map2(Binary.SUB, array, expanded(y.reshape(kept), array.shape)))
        return (map2(Binary.MUL, share, g.reshape(kept)),)

    return autograd.record("logsumexp", y.reshape(kept) if keepdim else y, (x,), vjp)
