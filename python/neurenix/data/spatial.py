"""Geometric transforms: flips, turns, rotations, affine maps, elastic deformation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from neurenix import random
from neurenix.data import draws
from neurenix.data._checks import check_around, check_choice, check_ignore_index, check_number, check_probability, check_range, is_number
from neurenix.data.geometry import Matrix, Rule, Scene, Size
from neurenix.data.transforms import PairedTransform
from neurenix.errors import ArgumentError
from neurenix.ops import warp


def check_rule(owner: str, interpolation: Any, fill_mode: Any, fill: Any, ignore_index: Any) -> Rule:
    """The arguments that say how images are interpolated and filled."""
    check_choice(owner, "interpolation", interpolation, tuple(warp.ORDERS))
    check_choice(owner, "fill_mode", fill_mode, tuple(warp.FILL_MODES))
    return Rule(interpolation, fill_mode, check_number(owner, "fill", fill, example=0), check_ignore_index(owner, ignore_index))


def flip_matrix(size: Size, axis: int) -> Matrix:
    """Mirror rows (axis 0) or columns (1)."""
    matrix = np.eye(3)
    matrix[axis, axis], matrix[axis, 2] = -1, size[axis] - 1
    return matrix


def turn(scene: Scene, quarters: int) -> None:
    """Quarter turns against the clock."""
    for _ in range(quarters % 4):
        height, width = scene.size
        scene.move(np.array([[0.0, 1, 0], [-1, 0, width - 1], [0, 0, 1]]), (width, height))


class RandomHorizontalFlip(PairedTransform):
    """Mirror left to right with probability ``p``; exact.

    Examples
    --------
    >>> import numpy as np
    >>> from neurenix.data import RandomHorizontalFlip
    >>> image, mask = RandomHorizontalFlip(p=1.0)(np.array([[1.0, 2.0]]), np.array([[0, 1]]))
    >>> image.tolist(), mask.tolist()
    ([[2.0, 1.0]], [[1, 0]])
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = check_probability("RandomHorizontalFlip", "p", p)

    def do(self, scene: Scene) -> None:
        """Mirror columns."""
        scene.move(flip_matrix(scene.size, 1), scene.size)


class RandomVerticalFlip(PairedTransform):
    """Mirror top to bottom with probability ``p``; exact.

    Examples
    --------
    >>> import numpy as np
    >>> from neurenix.data import RandomVerticalFlip
    >>> RandomVerticalFlip(p=1.0)(np.array([[1.0], [2.0]])).tolist()
    [[2.0], [1.0]]
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = check_probability("RandomVerticalFlip", "p", p)

    def do(self, scene: Scene) -> None:
        """Mirror rows."""
        scene.move(flip_matrix(scene.size, 0), scene.size)


class RandomRotate90(PairedTransform):
    """Turn by 0, 90, 180 or 270 degrees with probability ``p``; exact.

    Parameters
    ----------
    p : float
        How probably an item is turned.
    keep_shape : bool
        Turn oblong images by 0 or 180 degrees only, so that they can share a batch; else a quarter turn exchanges height and width.

    Examples
    --------
    >>> import numpy as np
    >>> from neurenix.data import RandomRotate90
    >>> RandomRotate90(keep_shape=True)(np.zeros((3, 20, 30))).shape
    (3, 20, 30)
    """

    def __init__(self, p: float = 1.0, keep_shape: bool = False) -> None:
        self.p = check_probability("RandomRotate90", "p", p)
        self.keep_shape = bool(keep_shape)

    def do(self, scene: Scene) -> None:
        """Turn as drawn."""
        turns = draws.below(4)
        turn(scene, turns // 2 * 2 if self.keep_shape and scene.size[0] != scene.size[1] else turns)


def centred(size: Size, linear: Matrix, shift: tuple[float, float]) -> Matrix:
    """From output to source, for (row, column) = ``linear @ (source - centre) + centre + shift``."""
    (a, b), (c, d) = linear
    inverse = np.array([[d, -b], [-c, a]]) / (a * d - b * c)
    centre = np.array([(n - 1) / 2 for n in size])
    matrix = np.eye(3)
    matrix[:2, :2] = inverse
    matrix[:2, 2] = centre - inverse @ (centre + np.array(shift))
    return matrix


def rotation(degrees: float) -> Matrix:
    """Rotate (row, column) against the clock as seen, exactly for quarter turns."""
    quarters = {0.0: (1.0, 0.0), 90.0: (0.0, 1.0), 180.0: (-1.0, 0.0), 270.0: (0.0, -1.0)}
    radians = math.radians(degrees)
    cos, sin = quarters.get(degrees % 360, (math.cos(radians), math.sin(radians)))
    return np.array([[cos, -sin], [sin, cos]])


class RandomRotation(PairedTransform):
    """Rotate about the centre by an angle of a range; the size stays.

    Parameters
    ----------
    degrees : float or (float, float)
        Range of angles in degrees, against the clock; one number is from its negative to itself.
    interpolation : {"nearest", "bilinear", "bicubic"}
        Of images; labels always take the nearest pixel.
    fill_mode : {"symmetric", "reflect", "replicate", "constant"}
        What lies outside: the image mirrored with its edge's pixels or without them, its edge's pixels, or ``fill``.
    fill : float
        Value outside, for images with ``fill_mode="constant"``; labels get 0 there.
    ignore_index : int, optional
        Value outside for labels, whatever ``fill_mode`` is, so that a loss leaves these pixels out.
    p : float
        How probably an item is rotated.

    Raises
    ------
    ArgumentError
        If an argument is not what it should be.

    Examples
    --------
    >>> import numpy as np
    >>> from neurenix.data import RandomRotation
    >>> image, mask = RandomRotation(180, ignore_index=255)(np.ones((1, 5, 5)), np.ones((5, 5), int))
    >>> float(image.min()), sorted(set(mask.ravel().tolist())) in ([1], [1, 255])
    (1.0, True)
    """

    def __init__(
        self,
        degrees: float | tuple[float, float],
        interpolation: str = "bilinear",
        fill_mode: str = "symmetric",
        fill: float = 0.0,
        ignore_index: int | None = None,
        p: float = 1.0,
    ) -> None:
        self.degrees = check_around("RandomRotation", "degrees", degrees, 0.0)
        self.rule = check_rule("RandomRotation", interpolation, fill_mode, fill, ignore_index)
        self.p = check_probability("RandomRotation", "p", p)

    def do(self, scene: Scene) -> None:
        """Rotate as drawn."""
        scene.move(centred(scene.size, rotation(draws.uniform(*self.degrees)), (0.0, 0.0)), scene.size, self.rule)


class RandomAffine(PairedTransform):
    """Rotate, shear and scale about the centre, and shift; the size stays.

    Parameters
    ----------
    degrees : float or (float, float)
        Range of angles in degrees, against the clock; one number is from its negative to itself, 0 for none.
    translate : (float, float), optional
        The largest shift across and down, as parts of width and height.
    scale : (float, float), optional
        Range of factors; above 1 enlarges.
    shear : float or (float, float), optional
        Range of shears along rows, in degrees.
    interpolation, fill_mode, fill, ignore_index, p
        As in :class:`RandomRotation`.

    Raises
    ------
    ArgumentError
        If an argument is not what it should be.

    Examples
    --------
    >>> import numpy as np
    >>> from neurenix.data import RandomAffine
    >>> RandomAffine(0, scale=(2, 2))(np.arange(16.0).reshape(4, 4), np.arange(16).reshape(4, 4))[1][1].tolist()
    [5, 5, 6, 6]
    """

    def __init__(
        self,
        degrees: float | tuple[float, float] = 0.0,
        translate: tuple[float, float] | None = None,
        scale: tuple[float, float] | None = None,
        shear: float | tuple[float, float] | None = None,
        interpolation: str = "bilinear",
        fill_mode: str = "symmetric",
        fill: float = 0.0,
        ignore_index: int | None = None,
        p: float = 1.0,
    ) -> None:
        owner = "RandomAffine"
        self.degrees = check_around(owner, "degrees", degrees, 0.0)
        self.translate = _shifts(owner, translate)
        self.scale = check_range(owner, "scale", (1.0, 1.0) if scale is None else scale, 1e-3)
        self.shear = check_around(owner, "shear", 0.0 if shear is None else shear, 0.0)
        if not -90 < self.shear[0] <= self.shear[1] < 90:
            raise ArgumentError(f"{owner}: expected shear within 90 degrees, got {shear!r}; pass e.g. shear=10")
        self.rule = check_rule(owner, interpolation, fill_mode, fill, ignore_index)
        self.p = check_probability(owner, "p", p)

    def do(self, scene: Scene) -> None:
        """Map as drawn."""
        angle, factor, shear = draws.uniform(*self.degrees), draws.uniform(*self.scale), draws.uniform(*self.shear)
        shift = tuple(draws.uniform(-t, t) * n if t else 0.0 for t, n in zip(self.translate[::-1], scene.size, strict=True))
        linear = factor * (rotation(angle) @ np.array([[1.0, 0.0], [math.tan(math.radians(shear)), 1.0]]))
        scene.move(centred(scene.size, linear, (shift[0], shift[1])), scene.size, self.rule)


def _shifts(owner: str, translate: Sequence[float] | None) -> tuple[float, float]:
    pair = (0.0, 0.0) if translate is None else translate
    if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not all(is_number(t) and 0 <= t <= 1 for t in pair):
        raise ArgumentError(f"{owner}: expected translate as two parts of 0 to 1, got {translate!r}; pass e.g. translate=(0.1, 0.1)")
    return float(pair[0]), float(pair[1])


class ElasticTransform(PairedTransform):
    """Deform smoothly: every pixel is displaced by random numbers that a Gaussian smoothed.

    Parameters
    ----------
    alpha : float or (float, float)
        Strength, or its range: uniform noise of [-alpha, alpha] pixels is smoothed. The displacement's standard deviation along each
        axis is about ``0.163 * alpha / sigma`` pixels. 0 changes nothing.
    sigma : float or (float, float)
        Standard deviation of the Gaussian in pixels, or its range; at least 0.5.
    interpolation, fill_mode, fill, ignore_index, p
        As in :class:`RandomRotation`.

    Raises
    ------
    ArgumentError
        If an argument is not what it should be.

    Notes
    -----
    The noise stands at every ``max(1, sigma // 2)``-th pixel, scaled so that the smoothed field has the variance and the spectrum it
    has with noise at every pixel (Poisson's summation formula: the difference is below 1e-8).

    References
    ----------
    .. [1] P. Simard, D. Steinkraus, J. Platt, "Best practices for convolutional neural networks applied to visual document
       analysis", ICDAR 2003.

    Examples
    --------
    >>> import numpy as np
    >>> from neurenix.data import ElasticTransform
    >>> image, mask = ElasticTransform(alpha=300, sigma=12)(np.ones((1, 64, 64)), np.full((64, 64), 7))
    >>> set(mask.ravel().tolist())
    {7}
    """

    def __init__(
        self,
        alpha: float | tuple[float, float] = 50.0,
        sigma: float | tuple[float, float] = 5.0,
        interpolation: str = "bilinear",
        fill_mode: str = "symmetric",
        fill: float = 0.0,
        ignore_index: int | None = None,
        p: float = 1.0,
    ) -> None:
        self.alpha = check_range("ElasticTransform", "alpha", alpha, 0, "(100, 300)")
        self.sigma = check_range("ElasticTransform", "sigma", sigma, 0.5, "(8, 12)")
        self.rule = check_rule("ElasticTransform", interpolation, fill_mode, fill, ignore_index)
        self.p = check_probability("ElasticTransform", "p", p)

    def do(self, scene: Scene) -> None:
        """Deform as drawn."""
        alpha, sigma = draws.uniform(*self.alpha), draws.uniform(*self.sigma)
        if alpha == 0 or 0 in scene.size:
            return
        step = max(1, int(sigma // 2))
        rows, columns = (warp.noise_size(n, sigma, step) for n in scene.size)
        noise = random.uniform((2, rows, columns), -alpha, alpha, dtype=np.float32, device="cpu").numpy()
        scene.bend(warp.smooth_noise(noise, scene.size, sigma, step), self.rule)
