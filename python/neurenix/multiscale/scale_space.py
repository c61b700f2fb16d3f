"""Scale space: an image blurred more and more, octave by octave, and the differences of neighbours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from neurenix import ops
from neurenix.errors import ArgumentError
from neurenix.multiscale import _checks
from neurenix.nn import functional
from neurenix.nn.module import Module
from neurenix.ops._arguments import floats, integer
from neurenix.ops.smoothing import BORDERS
from neurenix.tensor import Tensor


class ScaleSpace(Module):
    """An image at rising scales: octaves, each half the size of the one before, of several Gaussian blurs.

    Parameters
    ----------
    num_octaves : int
        1 to 32.
    levels_per_octave : int
        Blurs between one doubling of sigma and the next. An octave has ``levels_per_octave + extra`` maps.
    sigma : float
        Standard deviation of the first map, in pixels of the image, or in the unit of ``spacing``.
    assumed_blur : float
        Of the image as it comes, in the same unit; 0.5 pixels are Lowe's guess. At most ``sigma``.
    spacing : (float, float)
        Distance between rows and between columns.
    extra : int
        Maps of an octave beyond its own, at least 1: the first of the next octave is among them. Extrema of differences of
        Gaussians need 3.
    mode : {"reflect", "symmetric", "replicate", "circular"}
        What lies beyond the border; see :func:`neurenix.nn.functional.gaussian_blur`.

    Raises
    ------
    ArgumentError
        If a number is out of range, or the mode is none of these.

    Notes
    -----
    Map ``j`` of octave ``i`` has sigma ``sigma * 2 ** (i + j / levels_per_octave)`` (see :meth:`sigmas`); shapes:

    | map                  | shape                                     | element type |
    | -------------------- | ----------------------------------------- | ------------ |
    | ``forward(x)[i][j]`` | ``(..., ceil(H / 2**i), ceil(W / 2**i))`` | that of x    |

    Each is blurred from the one before by what lacks (variances of Gaussians add up), and each octave begins with every second
    pixel of the map of twice its first sigma. Differentiable.

    References
    ----------
    .. [1] T. Lindeberg, "Scale-space theory in computer vision", Kluwer, 1994.
    .. [2] D. Lowe, "Distinctive image features from scale-invariant keypoints", Int. J. Computer Vision 60, 2004.

    Examples
    --------
    >>> import neurenix as nx
    >>> space = nx.multiscale.ScaleSpace(num_octaves=2, levels_per_octave=2, extra=1)
    >>> [[y.shape for y in octave] for octave in space(nx.Tensor(shape=(1, 5, 8)))]
    [[(1, 5, 8), (1, 5, 8), (1, 5, 8)], [(1, 3, 4), (1, 3, 4), (1, 3, 4)]]
    >>> [[round(s, 2) for s in octave] for octave in space.sigmas()]
    [[1.6, 2.26, 3.2], [3.2, 4.53, 6.4]]
    """

    _takes_arrays = True

    def __init__(
        self,
        num_octaves: int = 3,
        levels_per_octave: int = 3,
        sigma: float = 1.6,
        *,
        assumed_blur: float = 0.5,
        spacing: float | Sequence[float] = 1.0,
        extra: int = 3,
        mode: str = "reflect",
    ) -> None:
        op = type(self).__name__
        self.num_octaves = integer(op, "num_octaves", num_octaves, 1)
        if self.num_octaves > _checks.MOST_LEVELS:
            raise ArgumentError(f"{op}: expected num_octaves of at most {_checks.MOST_LEVELS}, got {num_octaves}; ask for fewer")
        self.levels_per_octave = integer(op, "levels_per_octave", levels_per_octave, 1)
        self.extra = integer(op, "extra", extra, 1)
        self.sigma = _checks.scale(op, "sigma", sigma)
        self.assumed_blur = 0.0 if assumed_blur == 0 else _checks.scale(op, "assumed_blur", assumed_blur)
        if self.assumed_blur > self.sigma:
            raise ArgumentError(f"{op}: expected assumed_blur of at most sigma, {self.sigma}, got {self.assumed_blur}; pass a smaller one")
        given = list(spacing) if isinstance(spacing, Sequence) and not isinstance(spacing, str) else [spacing, spacing]
        if len(given) != 2:
            raise ArgumentError(f"{op}: expected spacing as one number or 2, got {spacing!r}; pass (rows, columns)")
        self.spacing = tuple(_checks.scale(op, "spacing", s) for s in given)
        self.mode = _checks.choice(op, "mode", mode, BORDERS)

    def sigmas(self) -> list[list[float]]:
        """Standard deviation of every map, in pixels of the image or the unit of ``spacing``.

        Examples
        --------
        >>> import neurenix as nx
        >>> space = nx.multiscale.ScaleSpace(num_octaves=2, levels_per_octave=1, sigma=2.0, extra=1)
        >>> space.sigmas()  # an octave's last is the next one's first
        [[2.0, 4.0], [4.0, 8.0]]
        """
        steps = range(self.levels_per_octave + self.extra)
        return [[self.sigma * 2.0 ** (i + j / self.levels_per_octave) for j in steps] for i in range(self.num_octaves)]

    def forward(self, x: Any) -> list[list[Any]]:
        """Give the octaves, finest first, each a list of maps; a tensor gives tensors, an array arrays."""
        octaves = self._maps(x)
        return octaves if isinstance(x, Tensor) else [[y.data for y in octave] for octave in octaves]

    def _maps(self, x: Any) -> list[list[Tensor]]:
        _checks.image_size(type(self).__name__, x)
        image, before, found = floats(type(self).__name__, x), self.assumed_blur, []
        for i, sigmas in enumerate(self.sigmas()):
            octave: list[Tensor] = []
            for sigma in sigmas:
                image = self._blurred(image, math.sqrt(max(sigma * sigma - before * before, 0.0)) / 2**i)
                octave.append(image)
                before = sigma
            found.append(octave)
            image, before = octave[self.levels_per_octave][..., ::2, ::2], sigmas[self.levels_per_octave]
        return found

    def _blurred(self, x: Tensor, sigma: float) -> Tensor:
        return functional.gaussian_blur(x, sigma, spacing=self.spacing, mode=self.mode)


class DifferenceOfGaussians(ScaleSpace):
    """Differences of neighbouring maps of a :class:`ScaleSpace`: each shows what is of one size, blobs above all.

    Parameters
    ----------
    num_octaves, levels_per_octave, sigma, assumed_blur, spacing, extra, mode
        As for :class:`ScaleSpace`.

    Raises
    ------
    ArgumentError
        If a number is out of range, or the mode is none of these.

    Notes
    -----
    Map ``j`` of octave ``i`` is the scale space's map ``j + 1`` less map ``j``; an octave has one map fewer than there. A dark blob
    on bright ground answers with a maximum where its radius is near ``sqrt(2)`` times sigma, a bright one with a minimum. Divided by
    ``2 ** (1 / levels_per_octave) - 1`` it approximates the scale-normalised Laplacian ``sigma**2 * (Lxx + Lyy)``.

    | map                  | shape                                     | element type |
    | -------------------- | ----------------------------------------- | ------------ |
    | ``forward(x)[i][j]`` | ``(..., ceil(H / 2**i), ceil(W / 2**i))`` | that of x    |

    References
    ----------
    .. [1] D. Lowe, "Distinctive image features from scale-invariant keypoints", Int. J. Computer Vision 60, 2004.

    Examples
    --------
    >>> import neurenix as nx
    >>> differences = nx.multiscale.DifferenceOfGaussians(num_octaves=2, levels_per_octave=2)
    >>> [[y.shape for y in octave] for octave in differences(nx.Tensor(shape=(1, 5, 8)))]
    [[(1, 5, 8), (1, 5, 8), (1, 5, 8), (1, 5, 8)], [(1, 3, 4), (1, 3, 4), (1, 3, 4), (1, 3, 4)]]
    """

    def _maps(self, x: Any) -> list[list[Tensor]]:
        return [[ops.sub(b, a) for a, b in pairwise(octave)] for octave in super()._maps(x)]
