"""Augmentation of images together with their masks.

A transform is called as ``transform(image, mask, ...)`` with arrays whose last two axes are height and width, and returns as
many arrays as it was given. Geometry (flips, turns, crops) is applied to all of them alike; gamma and noise to the image, the
first, alone. The random numbers are the library's, under a loader those of the item (:mod:`neurenix.data.draws`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from neurenix.autograd import no_grad
from neurenix.data import draws
from neurenix.data.dataset import check_count
from neurenix.errors import ArgumentError, ShapeError
from neurenix.tensor import Tensor

Image: TypeAlias = np.ndarray[Any, Any]


class PairedTransform:
    """Base of the transforms: checks the arrays, then ``apply`` makes new ones of all of them together."""

    def __call__(self, *arrays: Any) -> Any:
        """Transform an image and what belongs to it.

        Raises
        ------
        ShapeError
            If heights and widths differ, or an array has fewer than two axes.
        """
        images = tuple(np.asarray(a) for a in arrays)
        name = type(self).__name__
        if not images or any(a.ndim < 2 for a in images):
            raise ShapeError(f"{name}: expected arrays (..., H, W), got shapes {[a.shape for a in images]}; pass an image and its mask")
        if len({a.shape[-2:] for a in images}) > 1:
            raise ShapeError(f"{name}: expected one height and width, got shapes {[a.shape for a in images]}; resize the mask to its image")
        out = self.apply(images)
        return out[0] if len(out) == 1 else out

    def apply(self, images: tuple[Image, ...]) -> tuple[Image, ...]:
        """The transformed arrays; what a subclass defines."""
        raise NotImplementedError(f"{type(self).__name__}: expected an apply method; define apply(images)")


class Compose(PairedTransform):
    """Transforms one after the other.

    Parameters
    ----------
    transforms : sequence of callables

    Examples
    --------
    >>> import numpy as np
    >>> from neurenix.data import Compose, RandomCrop, RandomFlip, RandomTurn
    >>> augment = Compose([RandomCrop(128), RandomFlip(), RandomTurn()])
    >>> image, mask = augment(np.zeros((3, 200, 300)), np.zeros((1, 200, 300)))
    >>> image.shape, mask.shape
    ((3, 128, 128), (1, 128, 128))
    """

    def __init__(self, transforms: list[Callable[..., Any]] | tuple[Callable[..., Any], ...]) -> None:
        if not isinstance(transforms, (list, tuple)) or not all(callable(t) for t in transforms):
            raise ArgumentError(f"Compose: expected a list of callables, got {transforms!r}; pass e.g. [RandomFlip(), RandomTurn()]")
        self.transforms = list(transforms)

    def apply(self, images: tuple[Image, ...]) -> tuple[Image, ...]:
        """Each transform in turn."""
        for transform in self.transforms:
            if isinstance(transform, PairedTransform):
                images = transform.apply(images)
            else:
                out = transform(*images)
                images = out if isinstance(out, tuple) else (out,)
        return images


class RandomFlip(PairedTransform):
    """Mirror left to right, top to bottom, both or neither, each with its own toss of a coin.

    Parameters
    ----------
    horizontal, vertical : bool
        Which of them may happen; a photograph of a street stays upright with ``vertical=False``.
    """

    def __init__(self, horizontal: bool = True, vertical: bool = True) -> None:
        self.horizontal, self.vertical = bool(horizontal), bool(vertical)

    def apply(self, images: tuple[Image, ...]) -> tuple[Image, ...]:
        """Mirrored views."""
        if self.horizontal and draws.below(2):
            images = tuple(a[..., ::-1] for a in images)
        if self.vertical and draws.below(2):
            images = tuple(a[..., ::-1, :] for a in images)
        return images


class RandomTurn(PairedTransform):
    """Turn by 0, 90, 180 or 270 degrees; images that are not square are turned by 0 or 180."""

    def apply(self, images: tuple[Image, ...]) -> tuple[Image, ...]:
        """Turned views."""
        turns = draws.below(4)
        height, width = images[0].shape[-2:]
        return tuple(np.rot90(a, turns if height == width else turns // 2 * 2, (-2, -1)) for a in images)


class RandomCrop(PairedTransform):
    """A window at a random place; images smaller than it are mirrored outwards to its size first.

    Parameters
    ----------
    size : int or (int, int)
        Height and width of the window.
    """

    def __init__(self, size: int | tuple[int, int]) -> None:
        pair = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
        if len(pair) != 2:
            raise ArgumentError(f"RandomCrop: expected size to be one integer or (height, width), got {size!r}; pass e.g. 128")
        self.size = (check_count("RandomCrop", "size", pair[0]), check_count("RandomCrop", "size", pair[1]))

    def apply(self, images: tuple[Image, ...]) -> tuple[Image, ...]:
        """The same window of each."""
        images = tuple(mirror_to(a, self.size) for a in images)
        height, width = images[0].shape[-2:]
        top, left = draws.below(height - self.size[0] + 1), draws.below(width - self.size[1] + 1)
        return tuple(a[..., top : top + self.size[0], left : left + self.size[1]] for a in images)


class RandomGamma(PairedTransform):
    """Raise the image, whose values lie in [0, 1], to a power between ``1 / strength`` and ``strength``.

    Powers below one brighten, above one darken; both are equally likely. Values outside [0, 1] are clipped.

    Parameters
    ----------
    strength : float
        At least 1; 1 changes nothing.
    """

    def __init__(self, strength: float = 1.5) -> None:
        if not strength >= 1:
            raise ArgumentError(f"RandomGamma: expected strength of at least 1, got {strength!r}; pass e.g. 1.5")
        self.strength = float(strength)

    def apply(self, images: tuple[Image, ...]) -> tuple[Image, ...]:
        """The image changed, the rest as it was."""
        image = _floats("RandomGamma", images[0])
        power = _power(np.array(self.strength), draws.uniform(-1, 1)).item()
        return (_power(np.clip(image, 0, 1), power), *images[1:])


class RandomNoise(PairedTransform):
    """Add normally distributed noise of a standard deviation between 0 and ``deviation`` to the image.

    Parameters
    ----------
    deviation : float
        The largest standard deviation, in the image's units.
    """

    def __init__(self, deviation: float = 0.05) -> None:
        if not deviation >= 0:
            raise ArgumentError(f"RandomNoise: expected a deviation of at least 0, got {deviation!r}; pass e.g. 0.05")
        self.deviation = float(deviation)

    def apply(self, images: tuple[Image, ...]) -> tuple[Image, ...]:
        """The image changed, the rest as it was."""
        image = _floats("RandomNoise", images[0])
        amount = image.dtype.type(draws.uniform(0, self.deviation))
        return (image + amount * draws.normal(image.shape, image.dtype), *images[1:])


def mirror_to(image: Image, size: tuple[int, int]) -> Image:
    """``image`` mirrored outwards at its right and bottom where it is smaller than ``size``."""
    short = [max(0, want - have) for want, have in zip(size, image.shape[-2:], strict=True)]
    if not any(short):
        return image
    if 0 in image.shape:
        raise ShapeError(f"RandomCrop: expected an image with pixels, got shape {image.shape}; remove it from the dataset")
    return np.pad(image, [(0, 0)] * (image.ndim - 2) + [(0, s) for s in short], mode="symmetric")


def _power(base: Image, exponent: float) -> Image:
    """``base ** exponent`` by the library: the same bits on every machine, which a platform's power does not promise."""
    with no_grad():
        raised: Image = (Tensor(base) ** exponent)._array
    return raised


def _floats(owner: str, image: Image) -> Image:
    if image.dtype.kind != "f":
        raise ArgumentError(f"{owner}: expected a float image, got {image.dtype}; divide it by its largest value first, e.g. image / 255.0")
    return image
