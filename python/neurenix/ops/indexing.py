"""``x[key]`` with integers, slices, ``None``, ellipses, and integer or bool tensors, as PyTorch has it."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurenix import autograd, backend, layout
from neurenix._typing import Array
from neurenix.errors import DTypeError, RangeError
from neurenix.ops._named import named
from neurenix.ops.elementwise import IntegerBinary, common_shape, expanded, integer_map2, scalar
from neurenix.ops.parts import taken
from neurenix.ops.reduce import Fold, fold
from neurenix.ops.scatter import checked_index, nonzero_rows, put_along, taken_along
from neurenix.tensor import Tensor, as_tensor


def getitem(x: Any, key: Any) -> Tensor:
    """Elements ``x[key]``: a view for integers and slices, a copy where integer or bool tensors choose.

    Raises
    ------
    DTypeError
        For something that is not an index.
    RangeError
        For an index outside the tensor, or too many of them.
    """
    x = as_tensor(x)
    keys = list(key) if isinstance(key, tuple) else [key]
    if keys and _is_one_bool(keys[0]):
        # A single truth value is a mask without axes: a new axis that has the tensor once, or not at all.
        whole = taken("getitem", x, (None,))
        return getitem(whole, (slice(0, int(bool(keys[0]))), *keys[1:]))
    keys = [_readable(k, x) for k in keys]
    try:
        if not any(isinstance(k, Tensor) for k in keys):
            return taken("getitem", x, tuple(keys))
        return _chosen(x, keys)
    except IndexError as error:
        if isinstance(error, RangeError):
            raise
        raise RangeError(f"getitem: expected an index inside shape {x.shape}, got {key!r} ({error}); check its axes") from None


def _is_one_bool(key: Any) -> bool:
    return isinstance(key, (bool, np.bool_)) or (isinstance(key, Tensor) and key.ndim == 0 and key.dtype == np.bool_)


def _readable(key: Any, x: Tensor) -> Any:
    """An index as an integer, a slice, ``None``, an ellipsis, or a tensor of integers or bools."""
    if key is None or key is Ellipsis:
        return key
    if isinstance(key, slice):
        return slice(*(None if v is None else int(v) for v in (key.start, key.stop, key.step)))
    if isinstance(key, (int, np.integer)) and not isinstance(key, bool):
        return int(key)
    if isinstance(key, (list, tuple, range)) and not len(key):
        return Tensor._wrap(backend.empty((0,), np.int64, x.device))
    if isinstance(key, (list, tuple, range, Tensor)) or backend.is_array(key):
        index = as_tensor(list(key) if isinstance(key, range) else key)
        if index.ndim == 0 and index.dtype.kind in "iu":
            return int(index)
        if index.ndim and index.dtype.kind in "iub":
            if not isinstance(key, Tensor) and (isinstance(key, (list, tuple, range)) or backend.device_of(key) == "cpu"):
                return index.to(device=x.device)  # wherever new tensors are made here
            if index.device == "cpu":
                return index.to(device=x.device)
            backend.same_device("getitem", x._array, index._array)
            return index
    got = f"{key.dtype}{tuple(key.shape)}" if isinstance(key, Tensor) or backend.is_array(key) else repr(key)
    raise DTypeError(f"getitem: expected integers, slices, ..., None, or integer or bool tensors, got {got}; convert it with nx.tensor")


def _chosen(x: Tensor, keys: list[Any]) -> Tensor:
    """Apply the plain indices as a view first, then the tensors together."""
    keys = _with_masks_as_indices(x, keys)
    used = sum(1 for k in keys if k is not None and k is not Ellipsis)
    if used > x.ndim:
        raise RangeError(f"getitem: expected at most {x.ndim} indices for shape {x.shape}, got {used}; drop some")
    if not any(k is Ellipsis for k in keys):
        keys.append(Ellipsis)
    at = next(i for i, k in enumerate(keys) if k is Ellipsis)
    keys[at : at + 1] = [slice(None)] * (x.ndim - used)
    view = taken("getitem", x, tuple(slice(None) if isinstance(k, Tensor) else k for k in keys))
    # Plain integers drop their axes first, as in PyTorch; what is left decides where the axes of the tensors go.
    keys = [k for k in keys if not isinstance(k, int)]
    tensors = [i for i, k in enumerate(keys) if isinstance(k, Tensor)]
    together = tensors == list(range(tensors[0], tensors[-1] + 1))
    indices = [keys[i] for i in tensors]
    return _picked(view, tensors, indices, tensors[0] if together else 0)


def _with_masks_as_indices(x: Tensor, keys: list[Any]) -> list[Any]:
    """Each bool tensor as the integer indices of where it holds, one an axis."""
    result: list[Any] = []
    axis = 0
    rest = sum(k.ndim if isinstance(k, Tensor) and k.dtype == np.bool_ else k is not None and k is not Ellipsis for k in keys)
    for k in keys:
        if isinstance(k, Tensor) and k.dtype == np.bool_:
            wanted = x.shape[axis : axis + k.ndim]
            if k.shape != wanted:
                raise RangeError(f"getitem: expected a mask of shape {wanted}, got {k.shape}; compare the tensor itself to get one")
            result.extend(nonzero_indices(k))
            axis += k.ndim
            continue
        result.append(k)
        axis += x.ndim - rest if k is Ellipsis else k is not None
    return result


def nonzero_indices(mask: Tensor) -> list[Tensor]:
    """Where a bool tensor holds, in logical order: int64 indices, one tensor an axis."""
    dense = layout.contiguous(mask._array)
    axes = tuple(range(dense.ndim))
    count = int(backend.to_numpy(fold(Fold.SUM, layout.cast(dense, np.int64), axes)).item())
    flat = backend.new(dense, (count,), np.int64)
    nonzero_rows(dense, flat)
    indices = []
    for n in reversed(mask.shape):
        size = scalar(flat, max(n, 1), np.int64)
        indices.append(Tensor._wrap(integer_map2(IntegerBinary.REMAINDER, flat, size)))
        flat = integer_map2(IntegerBinary.FLOOR_DIV, flat, size)
    return indices[::-1]


def _picked(x: Tensor, axes: list[int], indices: list[Tensor], place: int) -> Tensor:
    """``x`` at ``indices`` along ``axes``, broadcast together; their axes stand at ``place`` in the result."""
    chosen = common_shape("getitem", *(i.shape for i in indices))
    sizes = [x.shape[a] for a in axes]
    flat = None
    for index, n in zip(indices, sizes, strict=True):
        where = expanded(checked_index("getitem", index, n).reshape(index.shape), chosen)
        flat = where if flat is None else integer_map2(IntegerBinary.ADD, integer_map2(IntegerBinary.MUL, flat, scalar(flat, n)), where)
    positions = layout.contiguous(flat).reshape(-1)
    rest = [i for i in range(x.ndim) if i not in axes]
    front, kept = [*axes, *rest], tuple(x.shape[i] for i in rest)
    total = int(np.prod(sizes, dtype=np.int64))
    back = tuple(sorted(range(x.ndim), key=front.__getitem__))

    def collect(a: Array) -> Array:
        return layout.contiguous(a.transpose(front)).reshape((total, *kept))

    order = [*range(len(chosen), len(chosen) + place), *range(len(chosen)), *range(len(chosen) + place, len(chosen) + len(kept))]
    y = taken_along(collect(x._array), positions, 0).reshape((*chosen, *kept)).transpose(order)
    undone = tuple(sorted(range(len(order)), key=order.__getitem__))

    def vjp(g: Array) -> tuple[Array]:
        rows = layout.contiguous(g.transpose(undone)).reshape((positions.size, *kept))
        return (put_along(rows, positions, 0, total).reshape((*sizes, *kept)).transpose(back),)

    out = autograd.record("getitem", y, (x,), vjp)
    if x._logits is not None and x._logits[0] == "sigmoid":
        out._logits = ("sigmoid", _picked(x._logits[1], axes, indices, place), 0)
    return out


def take(input: Any, index: Any) -> Tensor:
    """Elements of the flattened input at an integer index of any shape, which the result has.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.take(nx.tensor([[10, 20], [30, 40]]), nx.tensor([0, 3]))
    tensor([10, 40])
    """
    from neurenix.ops.shape import ravel

    return getitem(ravel(input), as_tensor(index))


def masked_select(input: Any, mask: Any) -> Tensor:
    """The elements where ``mask`` holds, in logical order, along one axis; mask and input are broadcast.

    Raises
    ------
    DTypeError
        If the mask is not of bools.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([[1.0, -2.0], [-3.0, 4.0]])
    >>> nx.masked_select(x, x > 0)
    tensor([1., 4.])
    """
    from neurenix.ops.shape import broadcast_tensors

    x, m = broadcast_tensors(input, mask)
    backend.same_device("masked_select", x._array, m._array)
    if m.dtype != np.bool_:
        raise DTypeError(f"masked_select: expected a bool mask, got {m.dtype}; compare first, e.g. x > 0")
    return getitem(x, m)


def nonzero(input: Any, *, as_tuple: bool = False) -> Any:
    """Where elements are not zero, in logical order: (count, axes) int64, or with ``as_tuple`` one vector (count,) an axis.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nonzero(nx.tensor([[0, 1], [1, 0]]))
    tensor([[0, 1],
            [1, 0]])
    """
    from neurenix.ops.parts import stack

    x = as_tensor(input)
    if as_tuple and not x.ndim:
        x = Tensor._wrap(x._array.reshape(1))
    indices = nonzero_indices(Tensor._wrap(layout.cast(x._array, np.bool_)))
    if not x.ndim:
        return Tensor._wrap(backend.empty((int(bool(x.item())), 0), np.int64, x.device))
    return tuple(indices) if as_tuple else stack(indices, 1)


argwhere = named("argwhere", nonzero)
