"""Items to batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neurenix import backend
from neurenix._typing import DTypeLike
from neurenix.errors import ArgumentError, DTypeError, ShapeError
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
    if not isinstance(items, Sequence) or not len(items):
        got = f"an empty {type(items).__name__}" if isinstance(items, Sequence) else type(items).__name__
        raise ArgumentError(f"collate: expected a list of items, got {got}; pass at least one")
    first = items[0]
    if isinstance(first, Mapping):
        if any(not isinstance(i, Mapping) or i.keys() != first.keys() for i in items):
            raise ShapeError("DataLoader: expected items with the same keys, got different ones; return one structure from the dataset")
        return {key: collate([item[key] for item in items], dtype) for key in first}
    if isinstance(first, (tuple, list)):
        if any(not isinstance(i, (tuple, list)) or len(i) != len(first) for i in items):
            raise ShapeError(
                "DataLoader: expected items with the same number of parts, got different ones; return one structure from the dataset"
            )
        parts = [collate(part, dtype) for part in zip(*items, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
    if isinstance(first, (Tensor, np.ndarray, np.generic, bool, int, float)) or backend.is_array(first) or is_foreign(first):
        return _stack(items, dtype)
    return list(items)


def _stack(items: Sequence[Any], dtype: DTypeLike | None) -> np.ndarray[Any, Any]:
    arrays = [_array(i) for i in items]
    for number, array in enumerate(arrays):
        if array.shape != arrays[0].shape:
            raise ShapeError(
                f"DataLoader: expected items of one shape, got {arrays[0].shape} and, at place {number} of the batch, {array.shape}; "
                "crop or resize them alike, or use batch_size=1"
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


def _array(item: Any) -> np.ndarray[Any, Any]:
    if isinstance(item, Tensor):
        return item.numpy()
    return backend.to_numpy(item) if backend.is_array(item) else np.asarray(item)


def to_tensors(batch: Any) -> Any:
    """The batch with its arrays as tensors."""
    if isinstance(batch, np.ndarray):
        return Tensor(batch) if batch.dtype.kind in "biuf" else batch
    if isinstance(batch, Mapping):
        return {key: to_tensors(value) for key, value in batch.items()}
    if isinstance(batch, (tuple, list)):
        parts = [to_tensors(part) for part in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)
    return batch
