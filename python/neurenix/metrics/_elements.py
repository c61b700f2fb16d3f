"""Pieces of a mask's surface, as marching squares and cubes place them: their lengths and areas."""

from __future__ import annotations

import itertools
import math
from functools import lru_cache

import numpy as np

from neurenix.metrics._inputs import Mask

# A cell has its corners at 4 or 8 neighbouring pixels. Which of them are inside is its code: one bit a corner, the last corner lowest.
# Between a corner inside and one outside the surface crosses the edge in its middle. Here stand the normals of its pieces, as long as
# their length or area is where neighbours are 1 apart; the other codes are these mirrored, turned or with inside and outside exchanged.
_PIECES: dict[int, dict[int, tuple[tuple[float, ...], ...]]] = {
    2: {0b0001: ((1 / 2, 1 / 2),), 0b0011: ((1, 0),), 0b0110: ((1 / 2, 1 / 2),) * 2},
    3: {
        0b00000001: ((1 / 8, 1 / 8, 1 / 8),),
        0b00000011: ((1 / 4, 1 / 4, 0),) * 2,
        0b00000110: ((1 / 8, 1 / 8, 1 / 8),) * 2,
        0b00000111: ((1 / 8, 1 / 8, 1 / 8), (1 / 4, 1 / 4, 1 / 4), (1 / 2, 0, 0)),
        0b00001111: ((1, 0, 0),),
        0b00010110: ((1 / 8, 1 / 8, 1 / 8),) * 3,
        0b00010111: ((1 / 8, 1 / 8, 1 / 8), (1 / 4, 1 / 4, 1 / 4)) * 2,
        0b00011000: ((1 / 8, 1 / 8, 1 / 8),) * 2,
        0b00011001: ((1 / 8, 1 / 8, 1 / 8), (0, 1 / 4, 1 / 4), (0, 1 / 4, 1 / 4)),
        0b00011011: ((1 / 8, 1 / 8, 1 / 8), (3 / 8, 3 / 8, 3 / 8), (0, 1 / 4, 1 / 4), (1 / 4, 0, 1 / 4)),
        0b00011110: ((1 / 8, 1 / 8, 1 / 8), (1 / 8, 1 / 8, 1 / 8), (1 / 4, 1 / 4, 1 / 4), (1 / 2, 0, 0)),
        0b00111100: ((1 / 4, 1 / 4, 0),) * 4,
        0b01101001: ((1 / 8, 1 / 8, 1 / 8),) * 4,
    },
}


@lru_cache(maxsize=32)
def _sizes(spacing: tuple[float, ...]) -> Mask:
    """The length or area of the surface in a cell of each code."""
    ndim = len(spacing)
    across = [math.prod(spacing) / s for s in spacing]  # what a unit of the normal along each axis measures
    sizes = np.zeros(1 << (1 << ndim))
    for code, normals in _PIECES[ndim].items():
        corners = np.array([code >> bit & 1 for bit in reversed(range(1 << ndim))], bool).reshape((2,) * ndim)
        for axes in itertools.permutations(range(ndim)):
            size = math.fsum(math.hypot(*(n[a] * s for a, s in zip(axes, across, strict=True))) for n in normals)
            for flips in itertools.product((slice(None), slice(None, None, -1)), repeat=ndim):
                bits = corners.transpose(axes)[flips].ravel()
                alike = int(sum(int(inside) << bit for bit, inside in enumerate(bits[::-1])))
                sizes[alike] = sizes[len(sizes) - 1 - alike] = size
    return sizes


def elements(mask: Mask, spacing: tuple[float, ...]) -> Mask:
    """The length (2-D) or area (3-D) of a mask's surface in each cell between its pixels and beside its edge, one more an axis."""
    padded = np.pad(mask, 1)
    code = np.zeros([n + 1 for n in mask.shape], np.uint8)
    for corner in itertools.product((0, 1), repeat=mask.ndim):
        code = code << 1 | padded[tuple(slice(c, c + n) for c, n in zip(corner, code.shape, strict=True))]
    found: Mask = _sizes(spacing)[code]
    return found
