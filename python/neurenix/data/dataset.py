"""Datasets that are in memory already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from neurenix.errors import ArgumentError, RangeError, ShapeError
from neurenix.tensor import Tensor, as_tensor

Transform = Callable[..., Any]


class Dataset:
    """Something with a length whose items are asked for by number.

    Subclassing is a convenience only: :class:`DataLoader` takes anything with ``__len__`` and ``__getitem__``.

    Examples
    --------
    >>> from neurenix.data import DataLoader, Dataset
    >>> class Squares(Dataset):
    ...     def __len__(self):
    ...         return 5
    ...     def __getitem__(self, index):
    ...         return index * index
    >>> [batch.tolist() for batch in DataLoader(Squares(), batch_size=2)]
    [[0, 1], [4, 9], [16]]
    """

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__}: expected a __len__ method; define it to return the number of items")

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__}: expected a __getitem__ method; define it to return item number `index`")


def item_number(owner: str, index: Any, length: int) -> int:
    """``index`` counted from the start; negative ones count from the end.

    Raises
    ------
    RangeError
        If there is no such item.
    """
    number = int(index) + (length if index < 0 else 0)
    if not 0 <= number < length:
        raise RangeError(f"{owner}: expected an index below {length}, got {index}; there are {length} items")
    return number


class TensorDataset(Dataset):
    """Rows of tensors that belong together: item ``i`` is ``(a[i], b[i], ...)``.

    Parameters
    ----------
    *tensors : Tensor or array
        All of one length along their first axis.

    Raises
    ------
    ShapeError
        If the lengths differ, or a tensor has no axis.
    ArgumentError
        If there are no tensors.

    Examples
    --------
    >>> import numpy as np
    >>> from neurenix.data import TensorDataset
    >>> images, masks = TensorDataset(np.zeros((4, 1, 8, 8)), np.ones((4, 1, 8, 8)))[2]
    >>> images.shape, masks.shape
    ((1, 8, 8), (1, 8, 8))
    """

    def __init__(self, *tensors: Any) -> None:
        if not tensors:
            raise ArgumentError("TensorDataset: expected at least one tensor, got none; pass images and masks")
        self.tensors = tuple(as_tensor(t) for t in tensors)
        _check_lengths("TensorDataset", [t.shape for t in self.tensors])

    def __len__(self) -> int:
        return self.tensors[0].shape[0]

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        number = item_number("TensorDataset", index, len(self))
        return tuple(Tensor._wrap(t._array[number, ...]) for t in self.tensors)


class ArrayDataset(Dataset):
    """Items of sequences that belong together, each pair through a transform.

    The sequences may be arrays, memory-mapped files, lists of images of different sizes: whatever has a length and items.

    Parameters
    ----------
    *arrays : sequence
        For example images and masks, all of one length.
    transform : callable, optional
        Called as ``transform(image, mask)``; see :mod:`neurenix.data.transforms`.
    repeats : int
        How often each item is counted, for random crops out of a few large images; ``len`` grows by that factor.

    Raises
    ------
    ShapeError
        If the lengths differ.
    ArgumentError
        If there are no arrays, ``transform`` cannot be called, or ``repeats`` is below 1.

    Examples
    --------
    >>> import numpy as np
    >>> from neurenix.data import ArrayDataset, RandomCrop
    >>> dataset = ArrayDataset(np.zeros((2, 1, 64, 64)), np.zeros((2, 1, 64, 64)), transform=RandomCrop(32), repeats=10)
    >>> len(dataset), dataset[19][0].shape
    (20, (1, 32, 32))
    """

    def __init__(self, *arrays: Sequence[Any], transform: Transform | None = None, repeats: int = 1) -> None:
        if not arrays:
            raise ArgumentError("ArrayDataset: expected at least one array, got none; pass images and masks")
        _check_lengths("ArrayDataset", [(len(a),) for a in arrays])
        self.arrays = arrays
        self.transform = check_transform("ArrayDataset", transform)
        self.repeats = check_count("ArrayDataset", "repeats", repeats)

    def __len__(self) -> int:
        return len(self.arrays[0]) * self.repeats

    def __getitem__(self, index: int) -> Any:
        number = item_number("ArrayDataset", index, len(self)) % len(self.arrays[0])
        parts = tuple(a[number] for a in self.arrays)
        if self.transform is not None:
            return self.transform(*parts)
        return parts if len(parts) > 1 else parts[0]


def check_transform(owner: str, transform: Any) -> Transform | None:
    """``transform`` where it is one or None; ArgumentError otherwise."""
    if transform is not None and not callable(transform):
        raise ArgumentError(f"{owner}: expected transform to be callable, got {type(transform).__name__}; pass a function of (image, mask)")
    checked: Transform | None = transform
    return checked


def check_count(owner: str, name: str, value: Any, least: int = 1) -> int:
    """``value`` where it is an integer of at least ``least``; ArgumentError otherwise."""
    try:
        count = value.__index__() if not isinstance(value, bool) else None
    except (AttributeError, TypeError):
        count = None
    if count is None or count < least:
        raise ArgumentError(
            f"{owner}: expected {name} to be an integer of at least {least}, got {value!r}; pass e.g. {name}={max(least, 1)}"
        )
    checked: int = count
    return checked


def _check_lengths(owner: str, shapes: Sequence[tuple[int, ...]]) -> None:
    if any(not shape for shape in shapes):
        raise ShapeError(f"{owner}: expected arrays with an axis of items, got one number; pass x.reshape(1, ...)")
    lengths = [shape[0] for shape in shapes]
    if len(set(lengths)) > 1:
        raise ShapeError(f"{owner}: expected arrays of one length, got lengths {', '.join(map(str, lengths))}; each image needs its mask")
