"""The linear map of the last axis."""

from __future__ import annotations

import math
from typing import Any, Final

from neurenix import autograd
from neurenix._typing import Array
from neurenix.errors import ShapeError
from neurenix.layout import contiguous
from neurenix.ops._conv import Epilogue, Window, run, sum_pixels, weight_gradient
from neurenix.ops._half import in_half
from neurenix.ops.conv import operands
from neurenix.tensor import Tensor

POINT: Final = Window((1, 1), (1, 1), (0, 0), (1, 1), 1)  # each row by itself: a linear map of its channels


def _check(x: Tensor, w: Tensor, b: Tensor | None) -> None:
    if w.ndim not in (1, 2) or x.ndim < 1 or x.shape[-1] != w.shape[-1]:
        size = f"last axis {w.shape[-1]}" if w.ndim in (1, 2) else "a weight (out, in) or (in,)"
        raise ShapeError(
            f"linear: expected {size} (weight is {w.shape}), got {x.shape}; flatten it or pass in_features={x.shape[-1] if x.ndim else 1}"
        )
    given = w.shape[0] if w.ndim == 2 else 1
    if b is not None and b.shape not in (((given,),) if w.ndim == 2 else ((), (1,))):
        raise ShapeError(f"linear: expected bias of shape ({given},) (weight is {w.shape}), got {b.shape}; give one value an output")


def linear(input: Any, weight: Any, bias: Any = None) -> Tensor:
    """``x @ weight.T + bias`` over the last axis.

    Parameters
    ----------
    input : Tensor, shape (..., in)
    weight : Tensor, shape (out, in), or (in,) for an output without that axis
    bias : Tensor, shape (out,), optional

    Returns
    -------
    Tensor, shape (..., out)

    Raises
    ------
    ShapeError, DTypeError
        If sizes or element types do not fit.

    Notes
    -----
    Sums close every 64 inputs in a fixed order: a row has the same bits whatever the number of rows.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.linear(nx.tensor([1.0, 2.0]), nx.tensor([[1.0, 0.0], [1.0, 1.0]])).tolist()
    [1.0, 3.0]
    """
    tensors = operands("linear", input, weight, bias)
    _check(*tensors)
    return in_half(_linear, *tensors)


def _linear(x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
    tensors = x, w, b
    given, taken = w.shape[0] if w.ndim == 2 else 1, w.shape[-1]
    rows = math.prod(x.shape[:-1])
    matrix = w if w.ndim == 2 else Tensor._wrap(w._array[None])
    source = contiguous(x._array).reshape(1, 1, rows, taken)
    y = run(source, matrix, POINT, (1, rows), False, Epilogue(None if b is None else contiguous(b._array).reshape(given)))
    needs = tuple(t is not None and t.requires_grad for t in tensors)

    def vjp(g: Array) -> list[Array | None]:
        dy = contiguous(g).reshape(1, 1, rows, given)
        dx = run(dy, matrix, POINT, (1, rows), True).reshape(x.shape) if needs[0] else None
        dw = weight_gradient(dy, source, matrix, POINT).reshape(w.shape) if needs[1] else None
        db = sum_pixels(dy).reshape(b.shape) if b is not None and needs[2] else None
        return [gradient for gradient, t in zip((dx, dw, db), tensors, strict=True) if t is not None]

    out = x.shape[:-1] + w.shape[:-1]
    return autograd.record("linear", y.reshape(out), tuple(t for t in tensors if t is not None), vjp)
