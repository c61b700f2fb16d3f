"""What metrics take: arrays and tensors as NumPy arrays on the host, and what counts in them."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from neurenix import backend
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.tensor import Tensor

Mask: TypeAlias = np.ndarray[Any, Any]


def host(value: Any, owner: str) -> Mask:
    """``value`` as a NumPy array of numbers."""
    value = value._array if isinstance(value, Tensor) else value
    array = backend.to_numpy(value) if backend.is_array(value) else np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise DTypeError(f"{owner}: expected an array of numbers, got {array.dtype}; pass a NumPy array or a Tensor")
    return array


def as_mask(values: Mask) -> Mask:
    """What counts as foreground: bools as they are, floats above 0.5, integers above 0."""
    return values if values.dtype.kind == "b" else values > (0.5 if values.dtype.kind == "f" else 0)


def whole_labels(owner: str, labels: Any) -> Mask:
    """Numbers of objects or segments, as integers."""
    array = host(labels, owner)
    if array.dtype.kind not in "biu":
        raise DTypeError(f"{owner}: expected integer labels, got {array.dtype}; use neurenix.labelling.connected_components(mask)")
    return array


def numbered(labels: Mask) -> tuple[Mask, Mask, Mask]:
    """The different labels in order, which of them each pixel has, flat, and the pixels of each: ``numpy.unique``, without its sort
    where the labels span little more than there are pixels.
    """
    flat = labels.ravel()
    low, high = (int(flat.min()), int(flat.max())) if flat.size else (0, 0)
    if high - low > 4 * flat.size + 65536 or high >= 1 << 62:
        values, places, counts = np.unique(flat, return_inverse=True, return_counts=True)
        return values, places.reshape(-1), counts
    at = flat.astype(np.int64) - low
    sizes = np.bincount(at, minlength=1)
    there = sizes > 0
    return (np.flatnonzero(there) + low), (np.cumsum(there) - 1)[at], sizes[there]


def same_shape(owner: str, prediction: Mask, truth: Mask) -> None:
    """Refuse what is not one image twice."""
    if prediction.shape != truth.shape:
        raise ShapeError(f"{owner}: expected one shape, got {prediction.shape} and {truth.shape}; squeeze or crop one of them")


def kept_pixels(owner: str, target: Mask, mask: Any, ignore_index: float | None) -> Mask | None:
    """Where pixels count, or None for everywhere: not where ``mask`` is false, the target is ``ignore_index``, or NaN."""
    kept: Mask | None = None
    if mask is not None:
        kept = as_mask(host(mask, owner))
        try:
            kept = np.broadcast_to(kept, target.shape)
        except ValueError:
            raise ShapeError(
                f"{owner}: expected a mask that spreads over {target.shape}, got {kept.shape}; give one value a pixel"
            ) from None
    for left_out in (
        None if ignore_index is None else target == ignore_index,
        np.isnan(target) if target.dtype.kind == "f" else None,
    ):
        if left_out is not None and left_out.any():
            kept = ~left_out if kept is None else kept & ~left_out
    return kept


def one_by_one(owner: str, prediction: Mask, target: Mask, mask: Any) -> list[tuple[Mask, Mask, Mask | None]]:
    """The images along the first axis, and where pixels count in each; everything is checked before the first is looked at."""
    for array in (prediction, target):
        if array.ndim < 2:
            raise ShapeError(f"{owner}: expected (N, ...), images along the first axis, got {array.shape}; add it with x[None]")
    same_shape(owner, prediction, target)
    kept = kept_pixels(owner, target, mask, None)
    return list(zip(prediction, target, [None] * len(target) if kept is None else kept, strict=True))


def check_classes(owner: str, name: str, labels: Mask, count: int) -> None:
    """Refuse class numbers that there are not."""
    if labels.size and not (labels.min() >= 0 and labels.max() < count):
        raise ArgumentError(
            f"{owner}: expected class numbers from 0 to {count - 1}, got {labels.min()} to {labels.max()} in the {name}; "
            "raise num_classes, or pass ignore_index"
        )


def number(owner: str, name: str, value: Any) -> float:
    """A setting that is a number; NaN too."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise ArgumentError(f"{owner}: expected {name} as a number, got {value!r}; pass e.g. {name}=0.5")
    return float(value)


def ignored(owner: str, labels: Any) -> tuple[int, ...]:
    """Labels that do not count: an integer or several."""
    array = np.ravel(np.asarray(labels))
    if array.size and array.dtype.kind not in "iu":
        raise ArgumentError(f"{owner}: expected ignore_labels as integers, got {labels!r}; pass e.g. (0,), or () for none")
    return tuple(int(i) for i in array)


def chosen(owner: str, name: str, value: Any, choices: tuple[str, ...]) -> str:
    """Refuse an unknown name, and say which there are."""
    if value not in choices:
        raise ArgumentError(f"{owner}: expected {name} one of {', '.join(map(repr, choices))}, got {value!r}; pass one of them")
    return str(value)
