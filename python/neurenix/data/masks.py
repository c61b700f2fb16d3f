"""What a mask file holds: two values, numbers of classes, or numbers of objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from neurenix.data._checks import check_choice, check_number
from neurenix.data.dataset import check_count
from neurenix.data.geometry import Image
from neurenix.errors import ArgumentError, DTypeError, FileError

KINDS = ("binary", "classes", "instances")
Colour = tuple[int, int, int]

_SHOWN = 6  # so many values in a message
_MANY = 64  # more classes than that are said to be classes by num_classes=


class MaskRule(NamedTuple):
    """How the pixels of mask files are read."""

    kind: str
    num_classes: int | None = None
    ignore_index: int | None = None
    colors: tuple[Colour, ...] | None = None
    threshold: float | None = None


def mask_rule(
    kind: str, num_classes: int | None, ignore_index: int | None, colors: Sequence[Colour] | None, threshold: float | None
) -> MaskRule:
    """The arguments of :class:`ImageMaskFolder` that say what masks hold; ArgumentError where they do not go together."""
    owner = "ImageMaskFolder"
    check_choice(owner, "mask_type", kind, KINDS)
    if kind != "classes" and (num_classes is not None or colors is not None or ignore_index is not None):
        raise ArgumentError(
            f"{owner}: expected num_classes, ignore_index and colors with mask_type='classes' only, got mask_type={kind!r}; leave them out"
        )
    if kind != "binary" and threshold is not None:
        raise ArgumentError(f"{owner}: expected threshold with mask_type='binary' only, got mask_type={kind!r}; leave it out")
    if colors is not None:
        colors = tuple(tuple(int(v) for v in c) for c in colors)  # type: ignore[misc]  # their lengths are looked at next
        if not colors or any(len(c) != 3 or not all(0 <= v <= 255 for v in c) for c in colors):
            raise ArgumentError(f"{owner}: expected colors as (red, green, blue) from 0 to 255, got {colors!r}; pass one for each class")
    return MaskRule(
        kind,
        None if num_classes is None else check_count(owner, "num_classes", num_classes),
        None if ignore_index is None else int(check_number(owner, "ignore_index", ignore_index, example=255)),
        colors,
        None if threshold is None else check_number(owner, "threshold", threshold, example=127),
    )


def read_mask(pixels: Image, name: str, rule: MaskRule, check: bool = True) -> Image:
    """The mask in a file's pixels: float32 (1, H, W) of zeros and ones, or int64 (H, W).

    Raises
    ------
    FileError
        If the pixels are not what ``rule`` says, with what they are.
    DTypeError
        If they are fractions.
    """
    numbers = _one_channel(pixels, name, rule)
    if rule.threshold is not None:
        return (numbers > rule.threshold).astype(np.float32)[None]
    if numbers.dtype.kind == "f":
        if not np.isfinite(numbers).all() or not np.array_equal(numbers, np.rint(numbers)):
            low, high = float(numbers.min()), float(numbers.max())
            raise DTypeError(
                f"ImageMaskFolder: expected whole numbers in the mask {name}, got fractions from {low:g} to {high:g} ({numbers.dtype}); "
                "pass mask_type='binary', threshold=0.5 for probabilities"
            )
        numbers = numbers.astype(np.int64)
    if check:
        _check(numbers, name, rule)
    return (numbers != 0).astype(np.float32)[None] if rule.kind == "binary" else numbers.astype(np.int64)


def _one_channel(pixels: Image, name: str, rule: MaskRule) -> Image:
    """(H, W): colours become numbers, channels that say the same become one, an opaque alpha channel goes."""
    if pixels.dtype.kind not in "biuf":
        raise DTypeError(f"ImageMaskFolder: expected numbers in the mask {name}, got {pixels.dtype}; store one integer a pixel")
    if pixels.ndim == 3 and pixels.shape[-1] in (2, 4) and pixels.size and (pixels[..., -1] == pixels[0, 0, -1]).all():
        pixels = pixels[..., :-1]
    if pixels.ndim == 2:
        return pixels
    if pixels.ndim != 3 or pixels.shape[-1] not in (1, 3):
        raise FileError(
            f"ImageMaskFolder: expected one channel or three in the mask {name}, got shape {pixels.shape}; store one number a pixel"
        )
    if rule.colors is None and (pixels == pixels[..., :1]).all():
        return pixels[..., 0]
    if pixels.max(initial=0) > 255:
        raise FileError(f"ImageMaskFolder: expected colours of 8 bits in the mask {name}, got {pixels.dtype}; store one number a pixel")
    code = pixels.astype(np.int64) @ np.array([1, 256, 65536])
    if rule.colors is not None:
        return _numbered(code, name, rule.colors)
    if rule.kind == "instances":
        return np.asarray(code)
    seen = np.unique(code)
    colours = ", ".join(str((int(c) % 256, int(c) // 256 % 256, int(c) // 65536)) for c in seen[:_SHOWN])
    more = ", ..." if len(seen) > _SHOWN else ""
    remedy = (
        f"pass mask_type='classes' and colors=[{colours}{more}], whose order numbers the classes"
        if len(seen) <= _MANY
        else "is it an image?"
    )
    raise FileError(f"ImageMaskFolder: expected one number a pixel in the mask {name}, got {len(seen)} colours {colours}{more}; {remedy}")


def _numbered(code: Image, name: str, colors: Sequence[Colour]) -> Image:
    table = np.array([c[0] + 256 * c[1] + 65536 * c[2] for c in colors])
    order = np.argsort(table)
    place = np.clip(np.searchsorted(table[order], code), 0, len(table) - 1)
    strange = table[order][place] != code
    if strange.any():
        c = int(code[strange][0])
        raise FileError(
            f"ImageMaskFolder: expected the {len(colors)} colours of colors= in the mask {name}, got "
            f"{(c % 256, c // 256 % 256, c // 65536)} at {int(strange.sum())} pixels; add it to colors, or save masks without compression losses"
        )
    return np.asarray(order[place])


def values_of(numbers: Image) -> Image:
    """The different values, in order; counting is much faster than sorting."""
    if numbers.dtype.kind in "bu" and numbers.dtype.itemsize <= 2:
        return np.asarray(np.flatnonzero(np.bincount(numbers.ravel())))
    return np.asarray(np.unique(numbers))


def _check(numbers: Image, name: str, rule: MaskRule) -> None:
    values = values_of(numbers)
    saw = seen(values, numbers.dtype)
    if rule.kind == "binary":
        if np.count_nonzero(values) > 1:
            raise FileError(
                f"ImageMaskFolder: expected a binary mask (0 and one other value) in {name}, got {saw}; pass mask_type='classes' for "
                "numbers of classes, mask_type='instances' for numbers of objects, or threshold= for shades of grey"
            )
        return
    classes = values[values != rule.ignore_index] if rule.ignore_index is not None else values
    if len(classes) and classes[0] < 0:
        raise FileError(f"ImageMaskFolder: expected numbers of at least 0 in the mask {name}, got {saw}; number from 0, 0 for background")
    if rule.kind != "classes":
        return
    if rule.num_classes is not None and len(classes) and classes[-1] >= rule.num_classes:
        raise FileError(
            f"ImageMaskFolder: expected numbers of classes below {rule.num_classes} in {name}, got {saw}; raise num_classes, "
            "or pass ignore_index= for the number of unlabelled pixels"
        )
    if rule.num_classes is None and rule.colors is None:
        _guess(classes, name, saw)


def _guess(classes: Image, name: str, saw: str) -> None:
    """Refuse what is likely something else, where nobody said how many classes there are."""
    if len(classes) == 2 and classes[0] == 0 and classes[1] == 255:
        raise FileError(
            f"ImageMaskFolder: expected numbers of classes in {name}, got {saw}, which looks binary; pass mask_type='binary', or "
            "ignore_index=255, or num_classes=256 if 255 is a class"
        )
    if len(classes) > _MANY or (len(classes) and classes[-1] > 255):
        raise FileError(
            f"ImageMaskFolder: expected numbers of classes in {name}, got {saw}, which looks like numbers of objects; pass "
            f"mask_type='instances', or num_classes={int(classes[-1]) + 1}"
        )


def seen(values: Image, dtype: np.dtype[np.generic]) -> str:
    """``3 values 0, 1, 255 (uint8)``."""
    shown = ", ".join(str(int(v)) for v in values[:_SHOWN])
    rest = f", ..., {int(values[-1])}" if len(values) > _SHOWN else ""
    return f"{len(values)} value{'s' if len(values) != 1 else ''} {shown}{rest} ({dtype})"
