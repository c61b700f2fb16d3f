"""Burt and Adelson's pyramids, which give the image back: to the bit for integers, within an ulp for floats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neurenix import ops
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.multiscale import _checks
from neurenix.nn import functional
from neurenix.nn.module import Module
from neurenix.tensor import Tensor, as_tensor


class _Pyramid(Module):
    """What both pyramids share: a number of levels, the Gaussian levels, and checks of what comes back."""

    _takes_arrays = True

    def __init__(self, num_levels: int = 3) -> None:
        self.num_levels = _checks.levels(type(self).__name__, num_levels)

    def _gaussian(self, x: Any) -> list[Tensor]:
        """The image as a tensor, and its halves."""
        op = type(self).__name__
        _checks.image_size(op, x)
        levels = [as_tensor(x)]
        ops.difference_type(op, levels[0])
        for _ in range(self.num_levels - 1):
            levels.append(functional.pyramid_reduce(levels[-1]))
        return levels

    def _returned(self, levels: Any) -> list[Tensor]:
        """Levels given to ``inverse`` as tensors, when they are as many, of one kind, each half of the one before."""
        op = type(self).__name__
        if not isinstance(levels, Sequence) or isinstance(levels, str):
            raise DTypeError(f"{op}: expected a list of {self.num_levels} levels, got {type(levels).__name__}; pass what forward gave")
        if len(levels) != self.num_levels:
            raise ArgumentError(f"{op}: expected {self.num_levels} levels, got {len(levels)}; pass what forward gave")
        for i, level in enumerate(levels):
            _checks.image_size(f"{op}: level {i}", level)
        found = [as_tensor(level) for level in levels]
        for i, level in enumerate(found[1:], 1):
            before = found[i - 1].shape
            want = (*before[:-2], (before[-2] + 1) // 2, (before[-1] + 1) // 2)
            if level.shape != want:
                raise ShapeError(
                    f"{op}: expected level {i} of shape {want}, half of level {i - 1}, got {level.shape}; pass what forward gave"
                )
        return found


class GaussianPyramid(_Pyramid):
    """An image, and its halves, each smoothed before every second pixel is dropped.

    Parameters
    ----------
    num_levels : int
        1 to 32; the image itself is level 0 and counts.

    Raises
    ------
    ArgumentError
        If the number of levels is out of range.

    Notes
    -----
    | level | shape                                     | element type                           |
    | ----- | ----------------------------------------- | -------------------------------------- |
    | 0     | (N, C, H, W) or (C, H, W)                 | float32, float64, or integers to int64 |
    | ``i`` | ``(..., ceil(H / 2**i), ceil(W / 2**i))`` | the same                               |

    See :func:`neurenix.nn.functional.pyramid_reduce` for the filter. A tensor gives tensors, an array arrays.

    References
    ----------
    .. [1] P. Burt, E. Adelson, "The Laplacian pyramid as a compact image code", IEEE Trans. Communications 31, 1983.

    Examples
    --------
    >>> import numpy as np, neurenix as nx
    >>> pyramid = nx.multiscale.GaussianPyramid(3)
    >>> [(y.shape, y.dtype.name) for y in pyramid(np.zeros((3, 5, 8), np.uint8))]
    [((3, 5, 8), 'uint8'), ((3, 3, 4), 'uint8'), ((3, 2, 2), 'uint8')]
    """

    def forward(self, x: Any) -> list[Any]:
        """Give all levels, finest first."""
        levels = self._gaussian(x)
        return [x, *(y if isinstance(x, Tensor) else y.data for y in levels[1:])]

    def inverse(self, levels: Sequence[Any]) -> Any:
        """Give the image back: level 0, when the others are its halves.

        Raises
        ------
        ArgumentError, ShapeError
            If there are more or fewer levels, or sizes that do not follow.

        Examples
        --------
        >>> import numpy as np, neurenix as nx
        >>> pyramid, image = nx.multiscale.GaussianPyramid(3), np.arange(40, dtype=np.uint8).reshape(1, 5, 8)
        >>> np.array_equal(pyramid.inverse(pyramid(image)), image)
        True
        """
        self._returned(levels)
        return levels[0]


class LaplacianPyramid(_Pyramid):
    """An image as what each scale adds to the next coarser one, and the coarsest; the inverse adds it all up again.

    Parameters
    ----------
    num_levels : int
        1 to 32; the coarsest level, a small image, counts.

    Raises
    ------
    ArgumentError
        If the number of levels is out of range.

    Notes
    -----
    Level ``i`` is the Gaussian level ``i`` less what :func:`neurenix.nn.functional.pyramid_expand` predicts from the next one;
    the last level is the Gaussian level itself.

    | level | shape                                     | element type                                                       |
    | ----- | ----------------------------------------- | ------------------------------------------------------------------ |
    | ``i`` | ``(..., ceil(H / 2**i), ceil(W / 2**i))`` | the image's for floats; int16 for 8 bits, int32 for 16, else int64 |
    | last  | likewise                                  | the image's                                                        |

    ``inverse(forward(x))`` is ``x``, at every size: to the bit for integers; for floats within one ulp (unit in the last place) of
    the largest magnitude in ``x``, as long as that is below half the largest float. Levels of floats are predicted from the
    coarser image as ``inverse`` will find it, so that errors do not add up. NaN and infinities spread to what is predicted from
    them. Both ways are differentiable for floats.

    References
    ----------
    .. [1] P. Burt, E. Adelson, "The Laplacian pyramid as a compact image code", IEEE Trans. Communications 31, 1983.

    Examples
    --------
    >>> import numpy as np, neurenix as nx
    >>> pyramid = nx.multiscale.LaplacianPyramid(2)
    >>> image = np.array([[[0, 10, 20, 255, 0]]], np.uint8)
    >>> [y.tolist() for y in pyramid(image)]
    [[[[-25, -31, -53, 153, -116]]], [[[8, 74, 130]]]]
    >>> pyramid.inverse(pyramid(image)).tolist()
    [[[0, 10, 20, 255, 0]]]
    """

    def forward(self, x: Any) -> list[Any]:
        """Give all levels, finest first; a tensor gives tensors, an array arrays."""
        gaussian = self._gaussian(x)
        wide = ops.difference_type("LaplacianPyramid", gaussian[0])
        levels, image = [gaussian[-1]], gaussian[-1]
        for level in reversed(gaussian[:-1]):
            predicted = functional.pyramid_expand(image, level.shape[-2:]).to(wide)
            levels.append(level.to(wide) - predicted)
            image = levels[-1] + predicted if level.is_floating_point() else level
        return [y if isinstance(x, Tensor) else y.data for y in reversed(levels)]

    def inverse(self, levels: Sequence[Any]) -> Any:
        """Give the image of these levels, of the kind and element type of the last one.

        Integers that levels of your own make take beyond the image's range end at its limits.

        Raises
        ------
        ArgumentError, ShapeError
            If there are more or fewer levels, or sizes that do not follow.
        DTypeError
            If their element types are not those that ``forward`` gives.

        Examples
        --------
        >>> import numpy as np, neurenix as nx
        >>> pyramid, image = nx.multiscale.LaplacianPyramid(3), np.arange(0, 240, 6, dtype=np.uint8).reshape(1, 5, 8)
        >>> levels = pyramid(image)
        >>> [(y.shape, y.dtype.name) for y in levels]
        [((1, 5, 8), 'int16'), ((1, 3, 4), 'int16'), ((1, 2, 2), 'uint8')]
        >>> np.array_equal(pyramid.inverse(levels), image)  # to the bit
        True
        >>> levels[0][:] = 0  # without the finest detail: a smoothed image
        >>> pyramid.inverse(levels).shape
        (1, 5, 8)
        """
        found = self._returned(levels)
        image, wide = found[-1], ops.difference_type("LaplacianPyramid", found[-1])
        for i, level in enumerate(found[:-1]):
            if level.dtype != wide:
                raise DTypeError(
                    f"LaplacianPyramid: expected level {i} of {wide}, for the last is {image.dtype}, got {level.dtype}; convert it with .to()"
                )
        for level in reversed(found[:-1]):
            predicted = functional.pyramid_expand(image, level.shape[-2:]).to(wide)
            image = ops.fitted(level + predicted, image.dtype)
        return image if isinstance(levels[-1], Tensor) else image.data
