"""How losses are reduced, and the checks that they share."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from neurenix import backend, layout
from neurenix._typing import Array
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.ops.reduce import mean, sum as sum_of
from neurenix.tensor import Tensor, as_tensor


def reduction_of(op: str, reduction: str, size_average: bool | None, reduce: bool | None) -> str:
    """The reduction's name; PyTorch's old switches ``size_average`` and ``reduce`` win where they are given."""
    if size_average is not None or reduce is not None:
        warnings.warn(f"{op}: size_average and reduce are old; use reduction", DeprecationWarning, stacklevel=3)
        return "none" if reduce is False else "sum" if size_average is False else "mean"
    if reduction not in ("none", "mean", "sum"):
        raise ArgumentError(f"{op}: expected reduction 'none', 'mean' or 'sum', got {reduction!r}; pass one of them")
    return reduction


def reduced_as(losses: Tensor, how: str) -> Tensor:
    """The losses themselves, their sum or their mean."""
    return losses if how == "none" else sum_of(losses) if how == "sum" else mean(losses)


def prediction(op: str, x: Any) -> Tensor:
    """What a model gave, in a float type."""
    t = as_tensor(x)
    if t.dtype.kind != "f" or t.dtype.itemsize < 4:
        raise DTypeError(f"{op}: expected a prediction of float32 or float64, got {t.dtype}; convert it with .float()")
    return t


def target_like(op: str, target: Any, x: Tensor) -> Tensor:
    """A target of the prediction's shape; bools and integers take its type."""
    t = as_tensor(target, x)
    if t.shape != x.shape:
        raise ShapeError(
            f"{op}: expected a target of shape {x.shape}, got {t.shape}; bring it to the prediction's shape with .reshape or .unsqueeze"
        )
    backend.same_device(op, x._array, t._array)
    if t.dtype.kind != "f":
        return Tensor._wrap(layout.cast(t._array, x.dtype))
    if t.dtype != x.dtype:
        raise DTypeError(f"{op}: expected a target of {x.dtype}, got {t.dtype}; convert it with .to({x.dtype})")
    return t


def spread_over(op: str, name: str, value: Any, x: Tensor) -> Array | None:
    """A weight broadcast over the prediction, dense."""
    if value is None:
        return None
    t = as_tensor(value, x)
    backend.same_device(op, x._array, t._array)
    array = layout.cast(t._array, x.dtype)
    try:
        fits = np.broadcast_shapes(array.shape, x.shape) == x.shape
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(f"{op}: expected {name} that spreads over {x.shape}, got {t.shape}; reshape it, e.g. (C, 1, 1) for channels")
    return layout.contiguous(np.broadcast_to(array, x.shape) if array.shape != x.shape else array)


def refuse_probabilities(op: str, x: Tensor, instead: str) -> None:
    """Refuse the output of sigmoid or softmax where logits belong."""
    if x._logits is not None:
        raise ArgumentError(
            f"{op}: expected logits, got the output of {x._logits[0]}, which would be applied twice; "
            f"give the model final_activation=None, or use {instead}"
        )
