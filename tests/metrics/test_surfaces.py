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
from neurenix.metrics.surfaces import surface


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
        want = ((a <= 1).sum() + (b <= 1).sum()) / (a.size + b.size)
        assert surface_dice(p, t, 1.0, **settings) == pytest.approx(want)
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
        (lambda: HausdorffDistance(0), ArgumentError, "HausdorffDistance: expected num_classes of at least 1, got 0"),
        (lambda: HausdorffDistance().update([[1]], [[1]]), ShapeError, r"expected \(N, ...\), images along the first axis"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()
