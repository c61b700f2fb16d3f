"""How transforms and image pyramids of :mod:`neurenix.multiscale` become operators of ONNX, for floats (N, C, H, W)."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np

from neurenix.export import sampling
from neurenix.export.graph import DOUBLE, Graph, Value, rule
from neurenix.export.sampling import part
from neurenix.multiscale import (
    DifferenceOfGaussians,
    GaussianPyramid,
    LaplacianPyramid,
    MultiScaleTransform,
    PyramidDownsample,
    Rescale,
    ScaleSpace,
)

_END = 1 << 62
_BINOMIAL = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16


@rule(Rescale)
def _rescale(_: Graph, m: Any, x: Value) -> Value:
    return _at(m, x, m.scale_factor)


@rule(MultiScaleTransform)
def _multi_scale_transform(_: Graph, m: Any, x: Value) -> list[Value]:
    return [_at(m, x, scale) for scale in m.scales]


def _at(m: Any, x: Value, scale: float) -> Value:
    size = [sampling.scaled(n, scale) for n in sampling.sizes(x)]
    return x if scale == 1 else sampling.resize(x, size, m.mode, antialias=m.antialias)


@rule(PyramidDownsample)
def _pyramid_downsample(_graph: Graph, m: Any, x: Value) -> list[Value]:
    found = [x]
    for _ in range(m.num_levels - 1):
        size = [(n + 1) // 2 for n in sampling.sizes(found[-1])]
        found.append(sampling.resize(found[-1], size, m.mode, antialias=m.antialias))
    return found


@rule(GaussianPyramid)
def _gaussian_pyramid(_graph: Graph, m: Any, x: Value) -> list[Value]:
    found = [x]
    for _ in range(m.num_levels - 1):
        y = found[-1]
        for axis in (2, 3):
            y = part(sampling.smoothed(y, axis, _BINOMIAL, "reflect"), axis, 0, _END, 2)
        found.append(y)
    return found


@rule(LaplacianPyramid)
def _laplacian_pyramid(g: Graph, m: Any, x: Value) -> list[Value]:
    gaussian = _gaussian_pyramid(g, m, x)
    levels, image = [gaussian[-1]], gaussian[-1]
    for level in reversed(gaussian[:-1]):
        predicted = image
        for axis in (2, 3):
            predicted = _expanded(predicted, axis, sampling.size(level, axis))
        levels.insert(0, level - predicted)
        image = levels[0] + predicted
    return levels


def _expanded(x: Value, axis: int, n: Value) -> Value:
    """An axis at twice its size: pixels between the ones that are there, both smoothed."""
    i = sampling.span(n)
    around = sampling.border(n, 2, 2, "reflect")
    odd = (i % 2).to(DOUBLE)
    taps: sampling.Taps = []
    for k, (even_weight, odd_weight) in enumerate(((1.0, 0.0), (6.0, 4.0), (1.0, 4.0))):
        place = sampling.gather(around, ((i // 2 + k) * 2).at_most(n + 3), 0) // 2
        taps.append((place, (odd * (odd_weight - even_weight) + even_weight) / 8.0))
    return sampling.blended(x, axis, taps)


@rule(ScaleSpace)
def _scale_space(_graph: Graph, m: Any, x: Value) -> list[list[Value]]:
    image, before, found = x, m.assumed_blur, []
    for i, sigmas in enumerate(m.sigmas()):
        octave: list[Value] = []
        for sigma in sigmas:
            image = _blurred(m, image, math.sqrt(max(sigma * sigma - before * before, 0.0)) / 2**i)
            octave.append(image)
            before = sigma
        found.append(octave)
        before = sigmas[m.levels_per_octave]
        image = part(part(octave[m.levels_per_octave], 2, 0, _END, 2), 3, 0, _END, 2)
    return found


def _blurred(m: Any, x: Value, sigma: float) -> Value:
    for axis, step in enumerate(m.spacing, 2):
        width = sigma / step
        radius = int(4.0 * width + 0.5)
        if radius:
            weights = np.exp(-0.5 / (width * width) * np.arange(-radius, radius + 1.0) ** 2)
            x = sampling.smoothed(x, axis, weights / weights.sum(), m.mode)
    return x


@rule(DifferenceOfGaussians)
def _difference_of_gaussians(g: Graph, m: Any, x: Value) -> list[list[Value]]:
    return [[b - a for a, b in pairwise(octave)] for octave in _scale_space(g, m, x)]
