"""Windows of images: at random, in the centre, on the foreground."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurenix.data import draws
from neurenix.data._checks import check_choice, check_ignore_index, check_number, check_probability
from neurenix.data.dataset import check_count
from neurenix.data.geometry import Image, Matrix, Rule, Scene, Size
from neurenix.data.transforms import PairedTransform
from neurenix.errors import ArgumentError, ShapeError
from neurenix.ops import warp

_ATTEMPTS = 10  # at a foreground pixel that is still in sight


class _Crop(PairedTransform):
    """A window whose place a subclass chooses."""

    def __init__(
        self, size: int | tuple[int, int], fill_mode: str = "symmetric", fill: float = 0.0, ignore_index: int | None = None
    ) -> None:
        owner = type(self).__name__
        pair = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
        if len(pair) != 2:
            raise ArgumentError(f"{owner}: expected size to be one integer or (height, width), got {size!r}; pass e.g. 128")
        self.size: Size = (check_count(owner, "size", pair[0]), check_count(owner, "size", pair[1]))
        check_choice(owner, "fill_mode", fill_mode, tuple(warp.FILL_MODES))
        self.rule = Rule(None, fill_mode, check_number(owner, "fill", fill, example=0), check_ignore_index(owner, ignore_index))

    def do(self, scene: Scene) -> None:
        """Cut the window out."""
        if 0 in scene.size:
            raise ShapeError(
                f"{type(self).__name__}: expected an image with pixels, got shape {scene.arrays[0].shape}; remove it from the dataset"
            )
        top, left = self.corner(scene)
        short = any(have < want for have, want in zip(scene.size, self.size, strict=True))
        scene.move(_shifted(top, left), self.size, self.rule if short else None)

    def corner(self, scene: Scene) -> tuple[int, int]:
        """Row and column of the window's first pixel; what a subclass defines.

        Examples
        --------
        >>> import numpy as np
        >>> from neurenix.data import RandomCrop
        >>> class TopLeft(RandomCrop):
        ...     def corner(self, scene):
        ...         return 0, 0
        >>> TopLeft(2)(np.arange(16).reshape(4, 4)).tolist()
        [[0, 1], [4, 5]]
        """
        raise NotImplementedError(f"{type(self).__name__}: expected a method corner(self, scene), got none; define it")

    def anywhere(self, scene: Scene) -> tuple[int, int]:
        """A corner at random; (0, 0) along an axis that is too short.

        Examples
        --------
        >>> import numpy as np
        >>> from neurenix.data import CenterCrop
        >>> class Anywhere(CenterCrop):
        ...     def corner(self, scene):
        ...         return self.anywhere(scene)
        >>> Anywhere(2)(np.zeros((4, 4))).shape
        (2, 2)
        """
        height, width = (max(have, want) - want + 1 for have, want in zip(scene.size, self.size, strict=True))
        return draws.below(height), draws.below(width)


def _shifted(top: int, left: int) -> Matrix:
    return np.array([[1.0, 0, top], [0, 1, left], [0, 0, 1]])


class RandomCrop(_Crop):
    """A window at a random place, the same for an image (..., H, W) and its labels.

    Parameters
    ----------
    size : int or (int, int)
        Height and width of the window.
    fill_mode : {"symmetric", "reflect", "replicate", "constant"}
        How an image that is smaller than the window goes on at its right and bottom: mirrored with its edge's pixels or without
        them, with its edge's pixels, or with ``fill``.
    fill : float
        Value outside for images with ``fill_mode="constant"``; labels get 0 there.
    ignore_index : int, optional
        Value outside for labels, whatever ``fill_mode`` is.

    Raises
    ------
    ArgumentError
        If an argument is not what it should be.

    Examples
    --------
    >>> import numpy as np
    >>> from neurenix.data import RandomCrop
    >>> image, mask = RandomCrop(64)(np.zeros((3, 200, 300)), np.zeros((1, 200, 300)))
    >>> image.shape, mask.shape
    ((3, 64, 64), (1, 64, 64))
    """

    def corner(self, scene: Scene) -> tuple[int, int]:
        """Anywhere."""
        return self.anywhere(scene)


class CenterCrop(_Crop):
    """The window in the middle; a smaller image is filled on all sides.

    Parameters
    ----------
    size, fill_mode, fill, ignore_index
        As in :class:`RandomCrop`.

    Raises
    ------
    ArgumentError
        If an argument is not what it should be.

    Examples
    --------
    >>> import numpy as np
    >>> from neurenix.data import CenterCrop
    >>> CenterCrop(2)(np.arange(16).reshape(4, 4)).tolist()
    [[5, 6], [9, 10]]
    """

    def corner(self, scene: Scene) -> tuple[int, int]:
        """In the middle."""
        height, width = ((have - want) // 2 for have, want in zip(scene.size, self.size, strict=True))
        return height, width


class ForegroundCrop(_Crop):
    """A window that often holds foreground: for images most of which is background.

    With probability ``foreground`` the window is centred at a random foreground pixel of the first mask (and moved inside the
    image), otherwise it lies anywhere; so too where a mask holds none. Foreground is what is neither 0 nor ``ignore_index``.

    Parameters
    ----------
    size : int or (int, int)
        Height and width of the window.
    foreground : float
        How probably a window is centred at foreground.
    per_label : bool
        Choose a label first, each equally probable, then one of its pixels: small classes and instances come as often as large ones.
    fill_mode, fill, ignore_index
        As in :class:`RandomCrop`.

    Raises
    ------
    ArgumentError
        If an argument is not what it should be, or no mask is passed.

    Examples
    --------
    >>> import numpy as np
    >>> from neurenix.data import ForegroundCrop
    >>> mask = np.zeros((100, 100), int)
    >>> mask[70, 30] = 1
    >>> image, window = ForegroundCrop(16, foreground=1.0)(np.zeros((1, 100, 100)), mask)
    >>> window.shape, int(window.sum())
    ((16, 16), 1)
    """

    def __init__(
        self,
        size: int | tuple[int, int],
        foreground: float = 0.67,
        per_label: bool = False,
        fill_mode: str = "symmetric",
        fill: float = 0.0,
        ignore_index: int | None = None,
    ) -> None:
        super().__init__(size, fill_mode, fill, ignore_index)
        self.foreground = check_probability("ForegroundCrop", "foreground", foreground)
        self.per_label = bool(per_label)

    def corner(self, scene: Scene) -> tuple[int, int]:
        """Round a foreground pixel, or anywhere."""
        mask: Any = scene.waiting_labels()
        if mask is None:
            raise ArgumentError("ForegroundCrop: expected an image and a mask, got an image alone; pass both, or use RandomCrop")
        wanted = draws.uniform() < self.foreground
        pixels = self._pixels(mask.reshape(-1, *mask.shape[-2:])) if wanted else ()
        if not len(pixels):
            return self.anywhere(scene)
        for _ in range(_ATTEMPTS):
            row, column = divmod(int(pixels[draws.below(len(pixels))]) % (mask.shape[-2] * mask.shape[-1]), mask.shape[-1])
            place = scene.locate(row, column)
            if 0 <= place[0] < scene.size[0] and 0 <= place[1] < scene.size[1]:
                break  # otherwise a rotation has moved it out of sight
        sizes = zip(place, scene.size, self.size, strict=True)
        top, left = (min(max(at - want // 2, 0), max(have - want, 0)) for at, have, want in sizes)
        return top, left

    def _pixels(self, mask: Image) -> Image:
        """Numbers of the foreground's pixels, of one label where that is asked for."""
        inside = mask != 0
        if self.rule.ignore_index is not None:
            inside &= mask != self.rule.ignore_index
        pixels = np.flatnonzero(inside)
        if self.per_label and len(pixels):
            values = mask.reshape(-1)[pixels]
            labels = np.unique(values)
            pixels = pixels[values == labels[draws.below(len(labels))]]
        return pixels
