"""Transforms of an image and the labels that belong to it, all alike.

A transform takes one array or several: the first is the image, float or integer, the others are label maps: masks, classes,
instances. It also takes names, as ``transform(image=x, mask=y)`` or one dict, and then gives a dict. All have their height and
width last. Geometry is done to every one of them, images interpolated and labels by the nearest pixel; brightness, noise and
the like only to images. Random numbers come from the library's generator, in a loader those of the item
(:mod:`neurenix.data.draws`), so that no number or kind of workers changes anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from neurenix.data import draws
from neurenix.data._checks import check_probability, check_weights
from neurenix.data.geometry import Image, Scene
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.tensor import Tensor, is_foreign

_KINDS = "biuf"


class PairedTransform:
    """Base of the transforms: a subclass defines ``apply``, which makes new arrays of all of them together.

    Attributes
    ----------
    p : float
        How probably an item is changed.

    Examples
    --------
    >>> import numpy as np
    >>> from neurenix.data import PairedTransform
    >>> class Invert(PairedTransform):
    ...     def apply(self, images):
    ...         return (1 - images[0], *images[1:])
    >>> image, mask = Invert()(np.zeros((1, 2, 2)), np.ones((2, 2), int))
    >>> image[0, 0].tolist(), mask[0].tolist()
    ([1.0, 1.0], [1, 1])
    """

    p: float = 1.0

    def __call__(self, *arrays: Any, **named: Any) -> Any:
        """Transform an image and what belongs to it.

        Returns
        -------
        array, tuple of arrays or dict
            One array for one, a tuple for several, a dict for names.

        Raises
        ------
        ShapeError
            If heights and widths differ, or an array has fewer than two axes.
        DTypeError
            If an array does not hold numbers.
        ArgumentError
            If arrays and names are mixed.
        """
        owner = type(self).__name__
        if len(arrays) == 1 and isinstance(arrays[0], Mapping):
            named, arrays = {**arrays[0], **named}, ()
        if arrays and named:
            raise ArgumentError(f"{owner}: expected arrays or names, got both; pass e.g. image=..., mask=...")
        if named:
            return self._named(owner, named)
        images = [np.asarray(a) for a in arrays]
        scene = _scene(owner, images, [n == 0 for n in range(len(images))])
        self.run(scene)
        out = tuple(scene.arrays)
        return out[0] if len(out) == 1 else out

    def _named(self, owner: str, named: dict[str, Any]) -> dict[str, Any]:
        """Arrays with two axes or more are transformed, those whose names begin with "image" as images; the rest is passed on."""
        arrays = {n: np.asarray(a) for n, a in named.items() if isinstance(a, (np.ndarray, Tensor)) or is_foreign(a)}
        maps = {n: a for n, a in arrays.items() if a.ndim >= 2}
        scene = _scene(owner, list(maps.values()), [n.startswith("image") for n in maps])
        self.run(scene)
        return {**named, **dict(zip(maps, scene.arrays, strict=True))}

    def run(self, scene: Scene) -> None:
        """Do it to a scene, or leave it, as the toss falls: with probability ``p``.

        Examples
        --------
        >>> import numpy as np
        >>> from neurenix.data import RandomHorizontalFlip
        >>> RandomHorizontalFlip(p=0.0)(np.array([[1.0, 2.0]])).tolist()
        [[1.0, 2.0]]
        """
        if self.p >= 1 or draws.uniform() >= 1 - self.p:
            self.do(scene)

    def do(self, scene: Scene) -> None:
        """Do it to a scene: a subclass that makes no new arrays itself moves the scene, so that geometry is joined.

        Examples
        --------
        >>> import numpy as np
        >>> from neurenix.data import PairedTransform
        >>> class Right(PairedTransform):
        ...     def do(self, scene):
        ...         scene.move(np.array([[1.0, 0, 0], [0, 1, 1], [0, 0, 1]]), (scene.size[0], scene.size[1] - 1))
        >>> Right()(np.array([[1.0, 2.0, 3.0]])).tolist()
        [[2.0, 3.0]]
        """
        scene.replace(self.apply(tuple(scene.arrays)))

    def apply(self, images: tuple[Image, ...]) -> tuple[Image, ...]:
        """The transformed arrays, of one height and width; what a subclass defines.

        Examples
        --------
        >>> import numpy as np
        >>> from neurenix.data import PairedTransform
        >>> class Halved(PairedTransform):
        ...     def apply(self, images):
        ...         return tuple(a[..., ::2, ::2] for a in images)
        >>> image, mask = Halved()(np.zeros((3, 8, 8)), np.zeros((8, 8)))
        >>> image.shape, mask.shape
        ((3, 4, 4), (4, 4))
        """
        raise NotImplementedError(f"{type(self).__name__}: expected an apply method; define apply(images)")


def _scene(owner: str, arrays: list[Image], is_image: list[bool]) -> Scene:
    shapes = [a.shape for a in arrays]
    if not arrays or any(a.ndim < 2 for a in arrays):
        raise ShapeError(f"{owner}: expected arrays (..., H, W), got shapes {shapes}; pass an image and its mask")
    if len({s[-2:] for s in shapes}) > 1:
        channels_last = any(len(s) == 3 and s[-1] in (1, 3, 4) and s[:2] in {t[-2:] for t in shapes} for s in shapes)
        remedy = "move channels to the front with x.transpose(2, 0, 1)" if channels_last else "resize the mask to its image"
        raise ShapeError(f"{owner}: expected one height and width, got shapes {shapes}; {remedy}")
    for a in arrays:
        if a.dtype.kind not in _KINDS:
            raise DTypeError(f"{owner}: expected arrays of numbers, got {a.dtype}; convert them with .astype(...)")
    arrays = [a.astype(np.float32) if a.dtype == np.float16 else a for a in arrays]
    return Scene(arrays, is_image)


class Compose(PairedTransform):
    """Transforms one after the other; neighbouring geometric ones are joined, so that pixels are interpolated once.

    Parameters
    ----------
    transforms : sequence of callables
        Plain functions of (image, mask) too.
    p : float
        How probably an item goes through them.

    Raises
    ------
    ArgumentError
        If one cannot be called.

    Notes
    -----
    Because geometry is joined, what comes into view from beyond the edge of a crop is the image itself where there is more of it:
    ``Compose([CenterCrop(64), RandomRotation(45)])`` shows no filled corners while the image is large enough.

    Examples
    --------
    >>> import numpy as np
    >>> from neurenix.data import Compose, RandomCrop, RandomHorizontalFlip, RandomRotation
    >>> augment = Compose([RandomCrop(128), RandomHorizontalFlip(), RandomRotation(20)])
    >>> image, mask = augment(np.zeros((3, 200, 300)), np.zeros((1, 200, 300)))
    >>> image.shape, mask.shape
    ((3, 128, 128), (1, 128, 128))
    """

    def __init__(self, transforms: Sequence[Callable[..., Any]], p: float = 1.0) -> None:
        self.transforms = _callables("Compose", transforms)
        self.p = check_probability("Compose", "p", p)

    def do(self, scene: Scene) -> None:
        """Each transform in turn."""
        for transform in self.transforms:
            _step(transform, scene)


class OneOf(PairedTransform):
    """One of several transforms, drawn for each item.

    Parameters
    ----------
    transforms : sequence of callables
    weights : sequence of float, optional
        How probable each is beside the others; equally if ``None``.
    p : float
        How probably an item goes through any.

    Raises
    ------
    ArgumentError
        If there is none, one cannot be called, or weights do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from neurenix.data import GaussianBlur, GaussianNoise, OneOf
    >>> OneOf([GaussianBlur(), GaussianNoise()], weights=[1, 2])(np.ones((1, 8, 8))).shape
    (1, 8, 8)
    """

    def __init__(self, transforms: Sequence[Callable[..., Any]], weights: Sequence[float] | None = None, p: float = 1.0) -> None:
        self.transforms = _callables("OneOf", transforms)
        if not self.transforms:
            raise ArgumentError("OneOf: expected at least one transform, got none; pass e.g. [RandomHorizontalFlip(), RandomRotate90()]")
        count = len(self.transforms)
        shares = check_weights("OneOf", [1.0] * count if weights is None else weights, count)
        self.bounds = np.cumsum(shares / shares.sum())
        self.p = check_probability("OneOf", "p", p)

    def do(self, scene: Scene) -> None:
        """The one that is drawn."""
        number = int(np.searchsorted(self.bounds, draws.uniform(), side="right"))
        _step(self.transforms[min(number, len(self.transforms) - 1)], scene)


def _callables(owner: str, transforms: Any) -> list[Callable[..., Any]]:
    if not isinstance(transforms, (list, tuple)) or not all(callable(t) for t in transforms):
        raise ArgumentError(
            f"{owner}: expected a list of callables, got {transforms!r}; pass e.g. [RandomHorizontalFlip(), RandomRotate90()]"
        )
    return list(transforms)


def _step(transform: Callable[..., Any], scene: Scene) -> None:
    if isinstance(transform, PairedTransform):
        transform.run(scene)
        return
    out = transform(*scene.arrays)
    images = [np.asarray(a) for a in (out if isinstance(out, tuple) else (out,))]
    scene.replace(_scene("Compose", images, [False] * len(images)).arrays)
