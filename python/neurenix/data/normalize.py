"""Bringing images to a common range: by percentiles, by mean and standard deviation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from neurenix.data._checks import check_number, is_number
from neurenix.data.geometry import Image, Scene
from neurenix.data.transforms import PairedTransform
from neurenix.errors import ArgumentError, ShapeError


class PercentileNormalize(PairedTransform):
    """Map two percentiles of the image to two numbers, linearly: a range that a few hot pixels do not decide.

    Parameters
    ----------
    lower, upper : float
        The percentiles, from 0 to 100.
    b_min, b_max : float
        What they are mapped to.
    clip : bool
        Keep values within [b_min, b_max].
    channel_wise : bool
        Each channel by its own percentiles.

    Raises
    ------
    ArgumentError
        If ``lower`` is not below ``upper``, or they are no percentiles.

    Notes
    -----
    The result is float32, float64 for float64 images. NaN and infinities are left out of the percentiles and stay. An image whose two
    percentiles are equal becomes ``b_min``.

    Examples
    --------
    >>> import numpy as np
    >>> from neurenix.data import PercentileNormalize
    >>> PercentileNormalize(0, 100)(np.array([[10, 20, 30]], np.uint16)).tolist()
    [[0.0, 0.5, 1.0]]
    """

    def __init__(
        self,
        lower: float = 1.0,
        upper: float = 99.0,
        b_min: float = 0.0,
        b_max: float = 1.0,
        clip: bool = False,
        channel_wise: bool = False,
    ) -> None:
        owner = "PercentileNormalize"
        if not (is_number(lower) and is_number(upper) and 0 <= lower < upper <= 100):
            raise ArgumentError(f"{owner}: expected percentiles 0 <= lower < upper <= 100, got {lower!r} and {upper!r}; pass e.g. 1 and 99")
        self.percentiles = (float(lower), float(upper))
        self.target = (check_number(owner, "b_min", b_min, example=0), check_number(owner, "b_max", b_max))
        if self.target[0] >= self.target[1]:
            raise ArgumentError(f"{owner}: expected b_min below b_max, got {b_min!r} and {b_max!r}; pass e.g. 0 and 1")
        self.clip, self.channel_wise = bool(clip), bool(channel_wise)

    def do(self, scene: Scene) -> None:
        """Every image by its own percentiles."""
        scene.change(lambda image: _each_channel(image, self._mapped) if self.channel_wise else self._mapped(image))

    def _mapped(self, image: Image) -> Image:
        x = _floats(image)
        finite = finite_of(image)
        if not finite.size:
            return x
        low, high = (float(v) for v in np.percentile(finite, self.percentiles))
        kind, (b_min, b_max) = x.dtype.type, self.target
        if high <= low:
            return np.where(np.isfinite(x), kind(b_min), x)
        out = (x - kind(low)) * kind((b_max - b_min) / (high - low)) + kind(b_min)
        return np.asarray(np.clip(out, kind(b_min), kind(b_max)) if self.clip else out)


class Normalize(PairedTransform):
    """``(image - mean) / std``; integer images are first divided by their type's largest value.

    Parameters
    ----------
    mean, std : float or sequence of float, optional
        One number, or one a channel; the image's own, over all of its channels, if ``None``.

    Raises
    ------
    ArgumentError
        If a number is not finite or ``std`` not above 0, or one of the two is missing.

    Notes
    -----
    The result is float32, float64 for float64 images. A constant image becomes zeros by its own mean; NaN and infinities are left out
    of it and stay. What a model needs when it is
    used, not only when it is trained, is kept with it: see ``neurenix.normalization.Normalization``.

    Examples
    --------
    >>> import numpy as np
    >>> from neurenix.data import Normalize
    >>> Normalize()(np.array([[0.0, 2.0]])).tolist(), Normalize(0.5, 0.25)(np.array([[0, 255]], np.uint8)).tolist()
    ([[-1.0, 1.0]], [[-2.0, 2.0]])
    """

    def __init__(self, mean: float | Sequence[float] | None = None, std: float | Sequence[float] | None = None) -> None:
        if (mean is None) != (std is None):
            raise ArgumentError("Normalize: expected mean and std or neither, got one of them; pass e.g. mean=0.5, std=0.25")
        self.mean, self.std = _numbers("mean", mean), _numbers("std", std)
        if self.std is not None and not all(s > 0 for s in self.std):
            raise ArgumentError(f"Normalize: expected std above 0, got {std!r}; pass e.g. std=1.0")

    def do(self, scene: Scene) -> None:
        """Every image."""
        scene.change(self._mapped)

    def _mapped(self, image: Image) -> Image:
        x = _floats(image)
        if image.dtype.kind in "ui":
            x = x / x.dtype.type(np.iinfo(image.dtype).max)
        if self.mean is None or self.std is None:
            known = finite_of(x)
            if not known.size:
                return x
            if known.min() == known.max():
                return np.asarray(x - known.ravel()[0])  # a rounded mean would leave noise
            mean, std = known.mean(dtype=np.float64), known.std(dtype=np.float64)
            return np.asarray((x - x.dtype.type(mean)) / x.dtype.type(std))
        return np.asarray((x - _column("mean", self.mean, x)) / _column("std", self.std, x))


def finite_of(image: Image) -> Image:
    """The values of an image that are numbers: the image itself, or where there are NaN and infinities, the others in a row."""
    if image.dtype.kind != "f":
        return image
    finite = np.isfinite(image)
    return image if finite.all() else image[finite]


def _floats(image: Image) -> Image:
    return image if image.dtype == np.float64 else image.astype(np.float32, copy=False)


def _each_channel(image: Image, function: Any) -> Image:
    return np.stack([function(plane) for plane in image]) if image.ndim > 2 else np.asarray(function(image))


def _numbers(name: str, value: Any) -> tuple[float, ...] | None:
    if value is None:
        return None
    numbers = tuple(value) if isinstance(value, (tuple, list, np.ndarray)) else (value,)
    if not numbers or not all(is_number(v) for v in numbers):
        raise ArgumentError(f"Normalize: expected {name} to be a finite number or some, got {value!r}; pass e.g. {name}=0.5")
    return tuple(float(v) for v in numbers)


def _column(name: str, values: tuple[float, ...], x: Image) -> Image:
    channels = x.shape[-3] if x.ndim > 2 else 1
    if len(values) not in (1, channels):
        raise ShapeError(
            f"Normalize: expected {name} as one number or {channels}, got {len(values)} for an image of shape {x.shape}; pass one a channel"
        )
    return np.array(values, x.dtype).reshape(-1, 1, 1) if len(values) > 1 else np.array(values[0], x.dtype)
