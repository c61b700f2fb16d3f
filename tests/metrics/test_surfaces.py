"""Distances of surfaces: by brute force, missed objects, batches, spacing."""

import math

import numpy as np
import pytest
from scipy import ndimage
from skimage.metrics import hausdorff_distance as of_scikit_image

from neurenix.errors import ArgumentError, ShapeError
from neurenix.metrics import (
    AverageSurfaceDistance,
    HausdorffDistance,
    SurfaceDice,
    average_surface_distance,
    hausdorff_distance,
    surface_dice,
)
from neurenix.metrics._elements import _sizes, elements
from neurenix.metrics.surfaces import surface

# by DeepMind's package surface-distance 0.1: compute_surface_dice_at_tolerance(compute_surface_distances(t, p, spacing), tolerance)
REFERENCE = [
    ((15, 18), (1.0, 1.0), 1.0, 0.8455675602894254),
    ((15, 18), (2.0, 0.5), 0.5, 0.7595492922072744),
    ((7, 8, 9), (1.0, 1.0, 1.0), 1.0, 0.6361992550752601),
    ((7, 8, 9), (2.0, 0.5, 1.5), 0.5, 0.4944055897255426),
]


def blobs(seed, shape):
    rng = np.random.default_rng(seed)
    return tuple(ndimage.gaussian_filter(rng.random(shape), 1.5) > 0.5 for _ in range(2))


def brute(p, t, spacing):
    edge = [m & ~ndimage.binary_erosion(m) for m in (p, t)]
    a, b = (np.argwhere(e) * spacing for e in edge)
    apart = np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))
    return apart.min(1), apart.min(0)


@pytest.mark.parametrize("shape", [(15, 18), (7, 8, 9)])
@pytest.mark.parametrize("seed", range(3))
def test_by_brute_force(shape, seed):
    p, t = blobs(seed, shape)
    assert np.array_equal(surface(p), p & ~ndimage.binary_erosion(p))
    for spacing in ((1.0,) * len(shape), (2.0, 0.5, 1.5)[: len(shape)]):
        a, b = brute(p, t, spacing)
        settings = {"spacing": spacing}
        assert hausdorff_distance(p, t, **settings) == pytest.approx(max(a.max(), b.max()))
        assert hausdorff_distance(p, t, percentile=95, **settings) == pytest.approx(max(np.percentile(a, 95), np.percentile(b, 95)))
        assert average_surface_distance(p, t, **settings) == pytest.approx(np.concatenate([a, b]).mean())
        assert average_surface_distance(p, t, symmetric=False, **settings) == pytest.approx(a.mean())
    edges = surface(p), surface(t)
    assert hausdorff_distance(p, t) == pytest.approx(of_scikit_image(*edges))


def test_missed_and_empty_objects():
    p, t = np.zeros((3, 4), bool), np.eye(3, 4, dtype=bool)
    assert hausdorff_distance(p, t) == hausdorff_distance(t, p) == 5
    assert hausdorff_distance(p, t, spacing=(4.0, 4.0)) == average_surface_distance(p, t, spacing=4) == 20
    assert surface_dice(p, t, 100.0) == 0
    assert hausdorff_distance(p, p) == average_surface_distance(p, p) == 0
    assert surface_dice(p, p) == 1
    assert hausdorff_distance(t, t) == 0


def test_surface_dice_by_hand():
    step = (2.0, 3.0)
    square = np.zeros((6, 7), bool)
    square[1:4, 2:5] = True
    corner, tall, wide = math.hypot(*step) / 2, 2.0, 3.0
    lengths = elements(square, step)
    assert lengths.shape == (7, 8)
    assert lengths[1, 2] == corner
    assert (lengths[1, 3], lengths[2, 2]) == (wide, tall)
    assert lengths.sum() == pytest.approx(4 * corner + 4 * tall + 4 * wide)
    assert elements(np.eye(2, dtype=bool), step)[1, 1] == 2 * corner  # inside at opposite corners: two pieces
    shifted = np.roll(square, 1, 1)  # shares top and bottom without one corner each
    assert surface_dice(square, shifted, 0, spacing=step) == pytest.approx((4 * wide + 2 * corner) / lengths.sum())
    assert surface_dice(square, shifted, 3, spacing=step) == 1
    cube = np.ones((1, 1, 1), bool)
    areas = elements(cube, (1.0, 1.0, 1.0))
    assert np.allclose(areas, math.sqrt(3) / 8)  # an octahedron: eight triangles of this area
    assert elements(np.ones((3, 3, 3), bool), (1.0, 1.0, 1.0))[0, 0, 1] == pytest.approx(math.sqrt(2) / 2)  # along an edge of the cube
    assert elements(np.ones((3, 3, 3), bool), (5.0, 2.0, 3.0))[1, 0, 0] == pytest.approx(math.hypot(5 * 3, 5 * 2) / 2)
    assert elements(np.ones((4, 4, 4), bool), (5.0, 2.0, 3.0))[0, 2, 2] == 6


@pytest.mark.parametrize("axes", [2, 3])
def test_every_cell_is_measured_alike_from_all_sides(axes):
    sizes = _sizes((1.0,) * axes)
    assert sizes[0] == sizes[-1] == 0
    assert (sizes[1:-1] > 0).all()
    assert np.array_equal(sizes, sizes[::-1])


@pytest.mark.parametrize(("shape", "spacing", "tolerance", "want"), REFERENCE)
def test_surface_dice_of_the_reference_package(shape, spacing, tolerance, want):
    assert surface_dice(*blobs(7, shape), tolerance, spacing=spacing) == pytest.approx(want, rel=1e-12)


def test_batches_and_classes():
    rng = np.random.default_rng(1)
    t = rng.integers(0, 3, (4, 9, 10))
    p = np.where(rng.random(t.shape) < 0.7, t, 0)
    t[3][t[3] == 2] = 0
    p[3][p[3] == 2] = 0  # class 2 is nowhere in the last image: it does not count there
    p[2][p[2] == 1] = 0  # class 1 is missed in the third: its diagonal counts
    single = HausdorffDistance(3, average="none").update(p, t).compute()
    ones = [hausdorff_distance(a == 1, b == 1) for a, b in zip(p, t, strict=True)]
    assert ones[2] == math.hypot(9, 10)
    assert single[0] == pytest.approx(np.mean(ones))
    assert single[1] == pytest.approx(np.mean([hausdorff_distance(a == 2, b == 2) for a, b in zip(p[:3], t[:3], strict=True)]))
    assert HausdorffDistance(3).update(p, t).compute() == pytest.approx(single.mean())
    scores = np.moveaxis(np.eye(3)[p], -1, 1)
    assert HausdorffDistance(3).update(scores, t).compute() == pytest.approx(single.mean())
    assert HausdorffDistance(spacing=(1, 2)).update(p[:, None] > 0, t[:, None] > 0).compute() == pytest.approx(
        HausdorffDistance(spacing=(1, 2)).update(p > 0, t > 0).compute()
    )
    keep = np.zeros(t.shape, bool)
    keep[:, 2:, 3:] = True
    masked = HausdorffDistance(3).update(p, t, keep).compute()
    assert masked == pytest.approx(HausdorffDistance(3).update(np.where(keep, p, 0), np.where(keep, t, 0)).compute())
    assert HausdorffDistance(3, ignore_index=9).update(p, np.where(keep, t, 9)).compute() == pytest.approx(masked)


@pytest.mark.parametrize(
    "make",
    [lambda: HausdorffDistance(percentile=95), lambda: AverageSurfaceDistance(spacing=(2, 1)), lambda: SurfaceDice(tolerance=2.0)],
)
def test_any_split_gives_the_same(make):
    pairs = [blobs(seed, (12, 13)) for seed in range(5)]
    p, t = (np.stack(x) for x in zip(*pairs, strict=True))
    whole = make().update(p, t).compute()
    assert make().update(p[2:], t[2:]).merge(make().update(p[:2], t[:2])).compute() == whole
    assert math.isnan(make().compute())


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: hausdorff_distance([[1]], [[1, 0]]), ShapeError, "hausdorff_distance: expected one shape"),
        (lambda: hausdorff_distance([[1]], [[1]], percentile=0), ArgumentError, "expected percentile above 0, up to 100, got 0"),
        (lambda: hausdorff_distance([[1]], [[1]], spacing=(1, 2, 3)), ArgumentError, "expected spacing as a number above 0 or 2 of them"),
        (lambda: surface_dice([[1]], [[1]], -1.0), ArgumentError, "surface_dice: expected tolerance of at least 0, got -1.0"),
        (lambda: surface_dice([1], [1]), ShapeError, r"surface_dice: expected masks \(H, W\) or \(D, H, W\), got 1 axes"),
        (lambda: SurfaceDice(tolerance="x"), ArgumentError, "SurfaceDice: expected tolerance of at least 0, got 'x'; pass e.g. 1.0"),
        (lambda: HausdorffDistance(threshold="a"), ArgumentError, "HausdorffDistance: expected threshold as a number, got 'a'"),
        (
            lambda: HausdorffDistance(2).update([[[2]]], [[[1]]]),
            ArgumentError,
            "expected class numbers from 0 to 1, got 2 to 2 in the prediction",
        ),
        (lambda: HausdorffDistance(0), ArgumentError, "HausdorffDistance: expected num_classes of at least 1, got 0"),
        (lambda: HausdorffDistance().update([[1]], [[1]]), ShapeError, r"expected \(N, ...\), images along the first axis"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()
