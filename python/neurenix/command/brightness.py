"""What pixels are divided by before a model sees them, and images that are far darker or brighter than those that it was trained on."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from neurenix.command.together import tell
from neurenix.errors import ArgumentError
from neurenix.images import Source
from neurenix.images.opening import orientation_of
from neurenix.nn import Module
from neurenix.normalization import Normalization
from neurenix.parallel import Ranks, ranks
from neurenix.picture import bits_above, scaled
from neurenix.slides.statistics import bands

Array = np.ndarray[Any, Any]
_LITTLE: Final = 0.07  # of what pixels are divided by: 12 bits in a type of 16 use 0.0625
_BEYOND: Final = 4.0  # times what pixels are divided by
_FAR: Final = 20.0  # standard deviations of the pixels trained on
_NAMED: Final = 10  # so many images in messages
_GRID, _SIDE = 8, 128  # windows a side, and their pixels, by which an image that is not in memory is judged


class Seen(NamedTuple):
    """Pixels of one element type: the least and the greatest of them, and the image that has the greatest."""

    kind: np.dtype[Any]
    least: float
    most: float
    name: str

    @property
    def magnitude(self) -> float:
        """The greatest, whatever its sign."""
        return max(self.most, -self.least)

    def __str__(self) -> str:
        digits = ".6g" if self.kind.kind == "f" else ".0f"
        return f"{self.kind} with values from {self.least:{digits}} to {self.most:{digits}}"


def merged(before: Seen | None, image: Array, path: Path) -> Seen:
    """What was seen before, and an image more."""
    least, most = float(image.min()), float(image.max())
    if before is None:
        return Seen(image.dtype, least, most, path.name)
    return Seen(image.dtype, min(before.least, least), max(before.most, most), path.name if most > before.most else before.name)


def told_scale(seen: Mapping[str, Seen]) -> float | None:
    """What training images are to be divided by, told from all of them; ``None``: by the largest value of each one's type.

    A camera's 10, 12 or 14 bits lie in files of 16, and what a program computed in files of 32 or 64, so types wider than 8 bits say
    little about brightness. Noise that is added in training and rounding are made for pixels from 0 to 1.
    """
    kinds = [one for one in seen.values() if one.kind.kind != "b"]
    if len(kinds) > 1:
        _tell_of_several(kinds)
        return None
    if not kinds or kinds[0].kind == np.uint8 or not kinds[0].magnitude:
        return None
    one = kinds[0]
    if one.kind.kind == "f":
        scale = None if 0.1 <= one.magnitude <= 2 else float(f"{one.magnitude:.3g}")
    else:
        bits = bits_above(one.magnitude)
        scale = None if bits == np.iinfo(one.kind).max else float(bits)
    if scale is not None:
        tell(f"images are {one}: divided by {scale:.12g}, as predict and eval will do (--scale says otherwise)", ranks())
    return scale


def _tell_of_several(kinds: list[Seen]) -> None:
    """Say which of several types would be nearly black beside the others, or far too bright."""
    odd = [k for k in kinds if not _LITTLE < k.magnitude / _natural(k.kind) <= _BEYOND]
    if odd:
        types = "; ".join(f"{k}, the greatest in {k.name}" for k in kinds)
        tell(
            f"images are of several types ({types}): each is divided by its type's largest value, so some are far darker or brighter than "
            "others; store them alike, or pass --scale",
            ranks(),
        )


def _natural(kind: np.dtype[Any]) -> float:
    return 1.0 if kind.kind in "fb" else float(np.iinfo(kind).max)


def _sampled(source: Source) -> Array:
    """Pixels (C, n) of windows all over an image; of one that is read from its first row on, some of every band."""
    height, width = source.shape[1:]
    if source.sequential:
        step = max(1, int((height * width) ** 0.5) // (_GRID * _SIDE))
        return np.concatenate([band[:, ::step, ::step].reshape(source.shape[0], -1) for _, band in bands(source)], axis=1)
    tops, lefts = (np.linspace(0, max(0, n - _SIDE), _GRID).astype(int) for n in (height, width))
    windows = [source.read(slice(t, min(t + _SIDE, height)), slice(v, min(v + _SIDE, width))) for t in tops for v in lefts]
    return np.concatenate([w.reshape(source.shape[0], -1) for w in windows], axis=1)


class Doubts:
    """Notes images that a model's normalisation makes nearly black or blinding, and says so of the first.

    Parameters
    ----------
    model : Module
    given : Namespace
        The command line; with ``--percentiles`` there is nothing to doubt, ``--scale`` is taken from it into the model.

    Raises
    ------
    ArgumentError
        If the scale is no number above 0, or both are given.
    """

    def __init__(self, model: Module, given: argparse.Namespace) -> None:
        how = model.input_normalization or Normalization()
        if given.scale is not None:
            if given.percentiles is not None:
                raise ArgumentError(f"{given.command}: expected --scale or --percentiles, got both; leave one out")
            require_scale(given)
            how = model.input_normalization = Normalization(how.mean, how.std, given.scale)
        self.names: list[str] = []
        self._turned = False
        self._how = how if given.percentiles is None else None

    def look(self, path: Path, kind: np.dtype[Any], read: Array | Source) -> None:
        """Look at an image in memory (C, H, W) or in a file, of pixels of this type; say of the first that is turned that it is."""
        if not self._turned and orientation_of(path) != 1:
            self._turned = True
            tell(f"{path.name} is turned as its orientation tag says: masks lie on it as it is shown, not as it is stored", Ranks())
        if self._how is None or kind.kind == "b" or (kind == np.uint8 and self._how.scale in (None, 255)):
            return  # nothing else is usual: where such an image is dark, it is
        text = _doubt(self._how, read.reshape(len(read), -1) if isinstance(read, np.ndarray) else _sampled(read), path)
        if text is not None:
            self.names += [path.name]
            more = "the same may be said of " + (path.name if len(self.names) <= _NAMED else "others, which --json lists")
            if len(self.names) <= _NAMED + 1:
                tell(text if len(self.names) == 1 else more, Ranks())


def require_scale(given: argparse.Namespace) -> None:
    """Refuse a scale that nothing can be divided by.

    Raises
    ------
    ArgumentError
    """
    if given.scale is not None and not 0 < given.scale < np.inf:
        raise ArgumentError(f"{given.command}: expected --scale above 0, got {given.scale}; pass e.g. 4095 for a camera's 12 bits")


def _doubt(how: Normalization, pixels: Array, path: Path) -> str | None:
    """What is doubtful about an image of these pixels (C, n)."""
    kind, divisor = pixels.dtype, how.scale or _natural(pixels.dtype)
    x = scaled(pixels, how.scale)
    spread = float(np.ptp(x, axis=1).max())
    high = float(np.percentile(np.abs(x), 99))
    mean, std = np.abs(how.mean).max(), float(max(how.std))
    one = merged(None, pixels, path)
    if spread < min(std, _LITTLE):
        what = "little of the contrast"
    elif high > _BEYOND and (high - mean) / std > _FAR:
        what = "pixels far above those"
    else:
        return None
    scale = bits_above(one.magnitude) if kind.kind in "ui" else float(f"{one.magnitude:.3g}")
    return (
        f"{path.name}: {one}, divided by {divisor:.12g}, leaves {what} that the model was trained on; unless that is how it should be, "
        f"pass --scale {scale:.12g} or --percentiles 1 99.8"
    )
