"""A small picture of a large image with what was found in it."""

from __future__ import annotations

import numpy as np

from neurenix.images import Rows, Source
from neurenix.images.source import Array
from neurenix.picture import overlay, visible

LONGEST = 1024  # pixels of its longer side at most
_BAND = 1 << 20  # pixels of the image that are in memory at once


def thumbnail(source: Source, mask: Rows) -> Array:
    """The image with the mask's contours, uint8 (h, w, 3): means of square blocks of pixels, and the label in the middle of each."""
    channels, height, width = source.shape
    step = -(-max(height, width) // LONGEST)
    blocks = max(1, _BAND // (width * channels * step))
    pictures, labels = [], []
    for top in range(0, height, blocks * step):
        rows = slice(top, min(top + blocks * step, height))
        pictures.append(_means(source.read(rows, slice(0, width)), step))
        labels.append(_middles(mask.read(0, rows), step))
    picture = np.concatenate(pictures, axis=1)
    picture = visible(picture)
    picture = np.rint(picture).astype(np.uint8) if source.dtype == np.uint8 else picture
    return overlay(picture, np.concatenate(labels))


def _means(pixels: Array, step: int) -> Array:
    """Means of blocks of (C, h, w), the last ones of what there is."""
    sums = pixels.astype(np.float64)
    for axis in (1, 2):
        starts = np.arange(0, pixels.shape[axis], step)
        lengths = np.minimum(starts + step, pixels.shape[axis]) - starts
        sums = np.add.reduceat(sums, starts, axis) / lengths.reshape([-1 if a == axis else 1 for a in range(3)])
    return sums


def _middles(labels: Array, step: int) -> Array:
    rows, columns = (np.minimum(np.arange(0, n, step) + step // 2, n - 1) for n in labels.shape)
    return labels[np.ix_(rows, columns)]
