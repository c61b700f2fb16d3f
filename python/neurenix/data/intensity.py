"""Brightness, contrast, noise and blur: what changes an image and leaves its labels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from neurenix import random
from neurenix.autograd import no_grad
from neurenix.data import draws
from neurenix.data._checks import check_around, check_number, check_probability, check_range
from neurenix.data.dataset import check_count
from neurenix.data.geometry import Image, Scene
from neurenix.data.normalize import finite_of
from neurenix.data.transforms import PairedTransform
from neurenix.errors import ArgumentError, ShapeError
from neurenix.ops.smoothing import gaussian_blur
from neurenix.tensor import Tensor

Change = Callable[[Image], Image]


class ImageTransform(PairedTransform):
    """Base of transforms that change images only: ``drawn`` draws an item's numbers and gives a function of one float image.

    Integer images go through it as fractions of their type's largest value, and come back rounded and clipped in their type; those of
    64 bits, whose fractions say nothing, are refused.

    Attributes
    ----------
    pointwise : bool
        Whether a pixel's new value follows from its old one alone: integers of 8 and 16 bits are then looked up in a table.

    Examples
    --------
    >>> import numpy as np
    >>> from neurenix.data import ImageTransform
    >>> class Invert(ImageTransform):
    ...     def drawn(self):
    ...         return lambda image: 1 - image
    >>> image, mask = Invert()(np.array([[0, 255]], np.uint8), np.array([[0, 1]]))
    >>> image.tolist(), mask.tolist()
    ([[255, 0]], [[0, 1]])
    """

    pointwise = False

    def do(self, scene: Scene) -> None:
        """Change every image in the same way."""
        change, owner = self.drawn(), type(self).__name__
        scene.change(lambda image: _as_fractions(owner, image, change, self.pointwise))

    def drawn(self) -> Change:
        """What to do to each image of this item, a function of one float image; what a subclass defines.

        Examples
        --------
        >>> import numpy as np
        >>> from neurenix.data import RandomBrightness
        >>> brighter = RandomBrightness((2.0, 2.0)).drawn()
        >>> brighter(np.array([[0.25, 0.5]], np.float32)).tolist()
        [[0.5, 1.0]]
        """
        raise NotImplementedError(f"{type(self).__name__}: expected a drawn method; define drawn()")


def _as_fractions(owner: str, image: Image, change: Change, pointwise: bool) -> Image:
    if image.dtype.kind == "f":
        return change(image)
    if image.dtype.kind == "b" or image.dtype.itemsize > 4:
        raise ArgumentError(
            f"{owner}: expected an image of floats or integers up to 32 bits, got {image.dtype}; convert it with .astype(np.float32)"
        )
    least, most = np.iinfo(image.dtype).min, np.iinfo(image.dtype).max
    if pointwise and image.dtype in (np.uint8, np.uint16) and image.size > 2 * most:
        values: Image = np.arange(most + 1).astype(image.dtype)
        return np.take(_as_fractions(owner, values, change, False), image)
    changed = change((image / np.float32(most)).astype(np.float32))
    return np.rint(np.clip(changed * np.float64(most), least, most)).astype(image.dtype)


class RandomBrightness(ImageTransform):
    """Multiply the image by a factor.

    Parameters
    ----------
    brightness : float or (float, float)
        Range of factors; one number is from ``max(0, 1 - brightness)`` to ``1 + brightness``.
    p : float
        How probably an item is changed.

    Raises
    ------
    ArgumentError
        If an argument is not what it should be.

    Examples
    --------
    >>> import numpy as np
    >>> from neurenix.data import RandomBrightness
    >>> RandomBrightness((1.5, 1.5))(np.array([[0.2, 0.6]])).round(4).tolist()
    [[0.3, 0.9]]
    """

    pointwise = True

    def __init__(self, brightness: float | tuple[float, float] = 0.2, p: float = 1.0) -> None:
        self.brightness = check_around("RandomBrightness", "brightness", brightness, 1.0, 0.0)
        self.p = check_probability("RandomBrightness", "p", p)

    def drawn(self) -> Change:
        """One factor."""
        factor = draws.uniform(*self.brightness)
        return lambda image: image * image.dtype.type(factor)


class RandomContrast(ImageTransform):
    """Multiply the image's distance from its mean by a factor.

    Parameters
    ----------
    contrast : float or (float, float)
        Range of factors; one number is from ``max(0, 1 - contrast)`` to ``1 + contrast``.
    p : float
        How probably an item is changed.

    Raises
    ------
    ArgumentError
        If an argument is not what it should be.

    Examples
    --------
    >>> import numpy as np
    >>> from neurenix.data import RandomContrast
    >>> RandomContrast((2.0, 2.0))(np.array([[0.4, 0.6]])).round(4).tolist()
    [[0.3, 0.7]]
    """

    def __init__(self, contrast: float | tuple[float, float] = 0.2, p: float = 1.0) -> None:
        self.contrast = check_around("RandomContrast", "contrast", contrast, 1.0, 0.0)
        self.p = check_probability("RandomContrast", "p", p)

    def drawn(self) -> Change:
        """One factor."""
        factor = draws.uniform(*self.contrast)
        return lambda image: _from_mean(image, factor)


def _from_mean(image: Image, factor: float) -> Image:
    known = finite_of(image)  # one pixel without data shall not spoil all
    mean = image.dtype.type(known.mean(dtype=np.float64)) if known.size else image.dtype.type(0)
    out: Image = (image - mean) * image.dtype.type(factor) + mean
    return out


class RandomGamma(ImageTransform):
    """Raise the image, whose values lie in [0, 1], to a power between ``1 / strength`` and ``strength``.

    Powers below one brighten, above one darken; both are equally likely. Values outside [0, 1] are clipped.

    Parameters
    ----------
    strength : float
        At least 1; 1 changes nothing.
    p : float
        How probably an item is changed.

    Raises
    ------
    ArgumentError
        If an argument is not what it should be.

    Examples
    --------
    >>> import numpy as np
    >>> from neurenix.data import RandomGamma
    >>> black, grey, white = RandomGamma(2.0)(np.array([[0.0, 0.25, 1.0]]))[0].tolist()
    >>> black, white, 0.0625 <= grey <= 0.5
    (0.0, 1.0, True)
    """

    pointwise = True

    def __init__(self, strength: float = 1.5, p: float = 1.0) -> None:
        self.strength = check_number("RandomGamma", "strength", strength, 1, 1.5)
        self.p = check_probability("RandomGamma", "p", p)

    def drawn(self) -> Change:
        """One power."""
        power = _power(np.array(self.strength), draws.uniform(-1, 1)).item()
        return lambda image: _power(np.clip(image, 0, 1), power)


class ColorJitter(ImageTransform):
    """Change brightness, contrast and saturation, in random order.

    Parameters
    ----------
    brightness, contrast : float or (float, float)
        As in :class:`RandomBrightness` and :class:`RandomContrast`.
    saturation : float or (float, float)
        Range of factors of the distance from grey, for RGB images (3, H, W); one number is from ``max(0, 1 - saturation)`` to
        ``1 + saturation``.
    p : float
        How probably an item is changed.

    Raises
    ------
    ArgumentError
        If an argument is not what it should be.

    Examples
    --------
    >>> import numpy as np
    >>> from neurenix.data import ColorJitter
    >>> image, mask = ColorJitter(0.2, 0.2, 0.2)(np.full((3, 4, 4), 0.5, np.float32), np.ones((4, 4)))
    >>> image.dtype, float(mask.min())
    (dtype('float32'), 1.0)
    """

    def __init__(
        self,
        brightness: float | tuple[float, float] = 0.0,
        contrast: float | tuple[float, float] = 0.0,
        saturation: float | tuple[float, float] = 0.0,
        p: float = 1.0,
    ) -> None:
        self.brightness = check_around("ColorJitter", "brightness", brightness, 1.0, 0.0)
        self.contrast = check_around("ColorJitter", "contrast", contrast, 1.0, 0.0)
        self.saturation = check_around("ColorJitter", "saturation", saturation, 1.0, 0.0)
        self.p = check_probability("ColorJitter", "p", p)

    def drawn(self) -> Change:
        """Three factors and an order."""
        b, c, s = draws.uniform(*self.brightness), draws.uniform(*self.contrast), draws.uniform(*self.saturation)
        steps: list[Change] = [
            lambda image: image * image.dtype.type(b),
            lambda image: _from_mean(image, c) if c != 1 else image,
            lambda image: _from_grey(image, s) if self.saturation != (1.0, 1.0) else image,
        ]
        numbers = draws.order(3)
        return lambda image: steps[numbers[2]](steps[numbers[1]](steps[numbers[0]](image)))


def _from_grey(image: Image, factor: float) -> Image:
    if image.ndim != 3 or image.shape[0] != 3:
        raise ShapeError(f"ColorJitter: expected an RGB image (3, H, W) for saturation, got {image.shape}; pass saturation=0")
    kind = image.dtype.type
    grey = kind(0.299) * image[0] + kind(0.587) * image[1] + kind(0.114) * image[2]
    out: Image = (image - grey) * kind(factor) + grey
    return out


class GaussianNoise(ImageTransform):
    """Add normally distributed noise.

    Parameters
    ----------
    mean : float
        Of the noise.
    sigma : float or (float, float)
        Its standard deviation in the image's units (integers count as fractions of their largest value), or its range.
    clip : bool
        Keep float images within [0, 1]; integers always stay in their range.
    p : float
        How probably an item is changed.

    Raises
    ------
    ArgumentError
        If an argument is not what it should be.

    Examples
    --------
    >>> import numpy as np
    >>> from neurenix.data import GaussianNoise
    >>> image, mask = GaussianNoise(sigma=0.1)(np.full((1, 100, 100), 0.5), np.ones((100, 100)))
    >>> 0.09 < float(image.std()) < 0.11, float(mask.min())
    (True, 1.0)
    """

    def __init__(self, mean: float = 0.0, sigma: float | tuple[float, float] = 0.1, clip: bool = False, p: float = 1.0) -> None:
        self.mean = check_number("GaussianNoise", "mean", mean, example=0)
        self.sigma = check_range("GaussianNoise", "sigma", sigma, 0, "(0, 0.1)")
        self.clip = bool(clip)
        self.p = check_probability("GaussianNoise", "p", p)

    def drawn(self) -> Change:
        """One standard deviation; each image has noise of its own."""
        sigma = draws.uniform(*self.sigma)

        def add(image: Image) -> Image:
            kind = image.dtype.type
            noisy: Image = image + (kind(sigma) * draws.normal(image.shape, image.dtype) + kind(self.mean))
            return np.clip(noisy, 0, 1) if self.clip else noisy

        return add


class PoissonNoise(ImageTransform):
    """Count photons: each pixel becomes a Poisson number whose mean is ``peak`` times its value, divided by ``peak``.

    Parameters
    ----------
    peak : float or (float, float)
        How many photons a pixel of value 1 counts, or the range of it; few make much noise. Negative values count none.
    p : float
        How probably an item is changed.

    Raises
    ------
    ArgumentError
        If an argument is not what it should be.

    References
    ----------
    .. [1] W. Hoermann, "The transformed rejection method for generating Poisson random variables", Insurance: Mathematics and
       Economics 12, 1993.

    Examples
    --------
    >>> import numpy as np
    >>> from neurenix.data import PoissonNoise
    >>> image = PoissonNoise(peak=100)(np.full((100, 100), 0.25))  # 25 photons, give or take 5
    >>> 0.24 < float(image.mean()) < 0.26, 0.045 < float(image.std()) < 0.055
    (True, True)
    """

    def __init__(self, peak: float | tuple[float, float] = 100.0, p: float = 1.0) -> None:
        self.peak = check_range("PoissonNoise", "peak", peak, 1e-6, "(50, 200)")
        self.p = check_probability("PoissonNoise", "p", p)

    def drawn(self) -> Change:
        """One peak; each image has noise of its own."""
        peak = draws.uniform(*self.peak)
        return lambda image: random.poisson(np.ascontiguousarray(image), peak)


class GaussianBlur(ImageTransform):
    """Smooth the image by a Gaussian; it is mirrored at its edges.

    Parameters
    ----------
    kernel_size : int, optional
        Taps of the filter, odd; as far as four standard deviations if ``None``.
    sigma : float or (float, float)
        Standard deviation in pixels, or its range.
    p : float
        How probably an item is changed.

    Raises
    ------
    ArgumentError
        If an argument is not what it should be.

    Examples
    --------
    >>> import numpy as np
    >>> from neurenix.data import GaussianBlur
    >>> image = np.zeros((5, 5))
    >>> image[2, 2] = 1.0
    >>> GaussianBlur(sigma=(0.5, 0.5))(image)[2].round(4).tolist()
    [0.0002, 0.0837, 0.6187, 0.0837, 0.0002]
    """

    def __init__(self, kernel_size: int | None = None, sigma: float | tuple[float, float] = (0.1, 2.0), p: float = 1.0) -> None:
        self.kernel_size = None if kernel_size is None else check_count("GaussianBlur", "kernel_size", kernel_size)
        if self.kernel_size is not None and self.kernel_size % 2 == 0:
            raise ArgumentError(f"GaussianBlur: expected an odd kernel_size, got {kernel_size}; pass {self.kernel_size + 1}")
        self.sigma = check_range("GaussianBlur", "sigma", sigma, 1e-3, "(0.1, 2.0)")
        self.p = check_probability("GaussianBlur", "p", p)

    def drawn(self) -> Change:
        """One filter."""
        sigma = draws.uniform(*self.sigma)
        truncate = 4.0 if self.kernel_size is None else (self.kernel_size // 2) / sigma
        return lambda image: _blurred(image, sigma, truncate)


def _blurred(image: Image, sigma: float, truncate: float) -> Image:
    if 0 in image.shape:
        return image
    planes = np.ascontiguousarray(image).reshape(1, -1, *image.shape[-2:])
    with no_grad():
        smooth = gaussian_blur(planes, sigma, mode="symmetric", truncate=truncate)
    return smooth.numpy().reshape(image.shape)


def _power(base: Image, exponent: float) -> Image:
    """``base ** exponent`` by the library: the same bits on every machine, which a platform's power does not promise."""
    with no_grad():
        raised: Image = (Tensor(base) ** exponent)._array
    return raised
