"""Items to batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neurenix import backend
from neurenix._typing import DTypeLike
from neurenix.data._checks import check_fill, check_number
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.ops._arguments import integers
from neurenix.tensor import Tensor, is_foreign


def collate(items: Sequence[Any], dtype: DTypeLike | None = np.float32) -> Any:
    """Stack items along a new first axis, keeping their structure.

    Arrays, tensors and numbers are stacked into an array; tuples, named tuples, lists and dicts of them part by part; strings, paths and
    other objects are gathered in a list.

    Parameters
    ----------
    items : sequence
        At least one item, all of one structure.
    dtype : numpy dtype, optional
        Element type of float arrays; as they are if ``None``. Integers and bools keep theirs.

    Raises
    ------
    ShapeError
        If arrays differ in shape, or items in structure.

    Examples
    --------
    >>> from neurenix.data import collate
    >>> collate([{"x": 1.0, "name": "a"}, {"x": 2.0, "name": "b"}])
    {'x': array([1., 2.], dtype=float32), 'name': ['a', 'b']}
    """
    _check_items("collate", items)
    first = items[0]
    if isinstance(first, Mapping):
        _same_keys(items)
        return {key: collate([item[key] for item in items], dtype) for key in first}
    if isinstance(first, (tuple, list)):
        _same_lengths(items)
        parts = [collate(part, dtype) for part in zip(*items, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
    if is_numeric(first):
        return _stack(items, dtype)
    return list(items)


def _check_items(owner: str, items: Any) -> None:
    if not isinstance(items, Sequence) or not len(items):
        got = f"an empty {type(items).__name__}" if isinstance(items, Sequence) else type(items).__name__
        raise ArgumentError(f"{owner}: expected a list of items, got {got}; pass at least one")


def _same_keys(items: Sequence[Any]) -> None:
    if any(not isinstance(i, Mapping) or i.keys() != items[0].keys() for i in items):
        raise ShapeError("DataLoader: expected items with the same keys, got different ones; return one structure from the dataset")


def _same_lengths(items: Sequence[Any]) -> None:
    if any(not isinstance(i, (tuple, list)) or len(i) != len(items[0]) for i in items):
        raise ShapeError(
            "DataLoader: expected items with the same number of parts, got different ones; return one structure from the dataset"
        )


def is_numeric(item: Any) -> bool:
    """Whether an item is stacked: arrays and numbers of any library that gives NumPy arrays."""
    return isinstance(item, (Tensor, np.ndarray, np.generic, bool, int, float)) or backend.is_array(item) or is_foreign(item)


def _stack(items: Sequence[Any], dtype: DTypeLike | None) -> np.ndarray[Any, Any]:
    arrays = [_array(i) for i in items]
    for number, array in enumerate(arrays):
        if array.shape != arrays[0].shape:
            padded = "use collate_fn=pad_collate, " if array.ndim == arrays[0].ndim >= 2 else ""
            raise ShapeError(
                f"DataLoader: expected items of one shape, got {arrays[0].shape} and, at place {number} of the batch, {array.shape}; "
                f"{padded}crop or resize them alike, or use batch_size=1"
            )
        if array.dtype != arrays[0].dtype:
            raise DTypeError(
                f"DataLoader: expected items of one type, got {arrays[0].dtype} and {array.dtype}; convert them in the dataset"
            )
    kind = arrays[0].dtype
    kind = np.dtype(dtype) if kind.kind == "f" and dtype is not None else kind.newbyteorder("=")
    out: np.ndarray[Any, Any] = backend.empty((len(arrays), *arrays[0].shape), kind, "cpu")
    for row, array in zip(out, arrays, strict=True) if arrays[0].ndim else ():
        np.copyto(row, array, casting="same_kind")
    if not arrays[0].ndim:
        out[:] = arrays
    return out


def pad_collate(
    items: Sequence[Any],
    multiple: int | tuple[int, int] = 1,
    fill: float = 0.0,
    ignore_index: int = -100,
    dtype: DTypeLike | None = np.float32,
) -> Any:
    """Stack items whose images differ in height and width: filled at the right and bottom up to the batch's largest.

    Parameters
    ----------
    items : sequence
        Images, tuples or dicts; the first part (or those whose names begin with "image") is the image (..., H, W), other arrays with
        two axes or more are masks; numbers, vectors and strings are collated as by :func:`collate`.
    multiple : int or (int, int)
        Heights and widths are rounded up to it: 16 for a U-Net of four levels that shall not crop.
    fill : float
        Value of images outside.
    ignore_index : int
        Value of integer masks outside, so that a loss leaves these pixels out; bool and float masks get 0.
    dtype : numpy dtype, optional
        Element type of float arrays; as they are if ``None``.

    Returns
    -------
    tuple or dict
        The batch, and the bool mask (N, H, W) of pixels that are the items' own: as the last part, or under "valid".

    Raises
    ------
    ShapeError
        If items differ in more than height and width, or have no image.
    ArgumentError
        If a mask's type does not hold ``ignore_index``.

    Examples
    --------
    >>> import numpy as np
    >>> from functools import partial
    >>> from neurenix.data import DataLoader, pad_collate
    >>> pairs = [(np.ones((1, 5, 9)), np.ones((5, 9), int)), (np.ones((1, 7, 4)), np.ones((7, 4), int))]
    >>> loader = DataLoader(pairs, batch_size=2, collate_fn=partial(pad_collate, multiple=8))
    >>> images, masks, valid = next(iter(loader))
    >>> images.shape, masks.shape, valid.sum(dim=(1, 2)).tolist(), masks.min().item()
    ((2, 1, 8, 16), (2, 8, 16), [45, 28], -100)
    """
    _check_items("pad_collate", items)
    steps = integers("pad_collate", "multiple", multiple, 2, 1)
    first = items[0]
    if isinstance(first, Mapping):
        _same_keys(items)
        parts: dict[Any, Any] = {key: [item[key] for item in items] for key in first}
        names = [k for k in parts if str(k).startswith("image") and _is_map(parts[k][0])] or [k for k in parts if _is_map(parts[k][0])][:1]
    else:
        tuples = [tuple(i) if isinstance(i, (tuple, list)) else (i,) for i in items]
        _same_lengths(tuples)
        parts, names = dict(enumerate(zip(*tuples, strict=True))), [0]
    if not names or not all(_is_map(x) for x in parts[names[0]]):
        raise ShapeError("pad_collate: expected an image (..., H, W) as the first part of each item, got none; return (image, ...)")
    sizes = [_array(x).shape[-2:] for x in parts[names[0]]]
    out = {
        key: _padded(values, steps, fill if key in names else None, ignore_index, dtype) if _is_map(values[0]) else collate(values, dtype)
        for key, values in parts.items()
    }
    valid = _stack_padded([np.ones(s, bool) for s in sizes], steps, False, None)
    return {**out, "valid": valid} if isinstance(first, Mapping) else (*out.values(), valid)


def _is_map(item: Any) -> bool:
    return is_numeric(item) and not isinstance(item, (int, float)) and np.ndim(item) >= 2


def _padded(items: Sequence[Any], steps: Sequence[int], fill: float | None, ignore_index: int, dtype: DTypeLike | None) -> Any:
    arrays = [_array(i) for i in items]
    kind = arrays[0].dtype
    if fill is None and kind.kind in "iu":
        bounds = np.iinfo(kind)
        if not bounds.min <= ignore_index <= bounds.max:
            raise ArgumentError(
                f"pad_collate: expected an ignore_index that {kind} holds, got {ignore_index}; pass partial(pad_collate, "
                f"ignore_index={bounds.max}) and ignore_index={bounds.max} to the loss, or store masks as int64"
            )
        fill = ignore_index
    check_fill("pad_collate", "fill", check_number("pad_collate", "fill", fill or 0, example=0), kind, "convert images to floats")
    return _stack_padded(arrays, steps, 0 if fill is None else fill, dtype)


def _stack_padded(arrays: Sequence[np.ndarray[Any, Any]], steps: Sequence[int], fill: float, dtype: DTypeLike | None) -> Any:
    lead, kind = arrays[0].shape[:-2], arrays[0].dtype
    for number, a in enumerate(arrays):
        if a.ndim < 2 or a.shape[:-2] != lead or a.dtype != kind:
            raise ShapeError(
                f"pad_collate: expected items that differ in height and width only, got {arrays[0].shape} {kind} and, at place {number} of "
                f"the batch, {a.shape} {a.dtype}; convert them in the dataset"
            )
    size = [-(-max(a.shape[axis] for a in arrays) // steps[axis]) * steps[axis] for axis in (-2, -1)]
    kind = np.dtype(dtype) if kind.kind == "f" and dtype is not None else kind.newbyteorder("=")
    out: np.ndarray[Any, Any] = backend.empty((len(arrays), *lead, *size), kind, "cpu")
    for row, a in zip(out, arrays, strict=True):
        h, w = a.shape[-2:]
        row[..., :h, :w], row[..., h:, :], row[..., :h, w:] = a, fill, fill
    return out


def _array(item: Any) -> np.ndarray[Any, Any]:
    if isinstance(item, Tensor):
        return item.numpy()
    return backend.to_numpy(item) if backend.is_array(item) else np.asarray(item)
