"""Targets of another size: labels are picked, never mixed."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurenix import backend, layout, ops
from neurenix.errors import ShapeError
from neurenix.ops._arguments import choice, integers
from neurenix.tensor import Tensor, as_tensor


def resize_labels(target: Any, size: Any, mode: str = "nearest", *, ignore_index: float | None = None) -> Tensor:
    """Resize the last axes of labels, masks or weights without mixing values.

    Parameters
    ----------
    target : Tensor of any type, shape (..., H, W) or (..., D, H, W)
    size : sequence of int
        The new sizes of as many last axes.
    mode : {"nearest", "max"}
        The value at the middle of each new pixel, or the largest within it, which keeps thin objects.
    ignore_index : number, optional
        With "max": a value that counts only where there is no other; may be NaN.

    Returns
    -------
    Tensor of ``target``'s type; it has no gradient.

    Raises
    ------
    ShapeError
        If ``target`` has fewer axes than ``size``.

    Examples
    --------
    >>> import neurenix as nx
    >>> thin = nx.tensor([[0, 0, 0, 7]])
    >>> nx.nn.functional.resize_labels(thin, (1, 2)), nx.nn.functional.resize_labels(thin, (1, 2), "max")
    (tensor([[0, 7]]), tensor([[0, 7]]))
    >>> nx.nn.functional.resize_labels(thin, (1, 1)), nx.nn.functional.resize_labels(thin, (1, 1), "max")
    (tensor([[0]]), tensor([[7]]))
    """
    op = "resize_labels"
    t, choice_of = as_tensor(target).detach(), choice(op, "mode", mode, ("nearest", "max"))
    sizes = integers(op, "size", size, len(size) if hasattr(size, "__len__") else 1, 1)
    if t.ndim < len(sizes):
        raise ShapeError(f"{op}: expected a target of at least {len(sizes)} axes for size {sizes}, got {t.shape}; pass a size an axis")
    if t.shape[t.ndim - len(sizes) :] == sizes:
        return t
    if 0 in t.shape:
        raise ShapeError(f"{op}: expected a target with pixels, got {t.shape}; there is nothing to pick from")
    return _nearest(t, sizes) if choice_of == "nearest" else _largest(t, sizes, ignore_index)


def _nearest(t: Tensor, sizes: tuple[int, ...]) -> Tensor:
    for axis, n in enumerate(sizes, t.ndim - len(sizes)):
        if t.shape[axis] != n:
            middle = (2 * np.arange(n) + 1) * t.shape[axis] // (2 * n)
            t = ops.index_select(t, axis, Tensor._wrap(backend.to_device(middle, t.device)))
    return t


def _largest(t: Tensor, sizes: tuple[int, ...], ignore: float | None) -> Tensor:
    """The largest within each new pixel, axis by axis, in double, which holds every label."""
    from neurenix.ops.loss import counts

    x = Tensor._wrap(layout.cast(t._array, np.float64))
    if ignore is not None:
        x = ops.where(counts(x, ignore), x, ops.full_like(x, -np.inf))
    for axis, n in enumerate(sizes, t.ndim - len(sizes)):
        before, after = x.shape[:axis], x.shape[axis + 1 :]
        inner = int(np.prod(after, dtype=np.int64))
        rows = x.reshape(1, -1, x.shape[axis], inner)
        x = ops.adaptive_max_pool2d(rows, (n, inner)).reshape(*before, n, *after)
    if ignore is not None:
        x = ops.where(ops.isinf(x), ops.full_like(x, ignore), x)
    return Tensor._wrap(layout.cast(x._array, t.dtype))
