"""Matched objects and panoptic quality: by hand, against scipy's assignment, void, batches."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.metrics import (
    ObjectAveragePrecision,
    ObjectF1,
    PanopticQuality,
    object_average_precision,
    object_f1,
    panoptic_quality,
)
from neurenix.metrics.objects import matched, overlaps


def labels(seed, n=12, shape=(24, 26)):
    rng = np.random.default_rng(seed)
    truth = np.zeros(shape, int)
    for i in range(1, n + 1):
        y, x = rng.integers(0, 20, 2)
        truth[y : y + rng.integers(3, 7), x : x + rng.integers(3, 7)] = i
    moved = np.roll(truth, rng.integers(-1, 2, 2), (0, 1))
    return np.where(rng.random(shape) < 0.9, moved, rng.integers(0, n + 1, shape)), truth


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.75])
def test_as_many_matches_as_an_optimal_assignment(threshold):
    for seed in range(6):
        p, t = labels(seed)
        found = overlaps("op", p, t, None, None)
        iou = np.zeros((found.predictions, found.truths))
        iou[found.predicted, found.true] = found.iou
        rows, columns = linear_sum_assignment(-(iou >= threshold).astype(float))
        hits = int((iou[rows, columns] >= threshold).sum())
        assert matched(found, threshold) == hits
        assert object_f1(p, t, threshold) == pytest.approx(2 * hits / (found.predictions + found.truths))
        want = hits / (found.predictions + found.truths - hits)
        assert object_average_precision(p, t, [threshold]) == pytest.approx(want)


def test_overlaps_are_ious():
    p, t = labels(3)
    found = overlaps("op", p, t, None, None)
    names = [[v for v in np.unique(x) if v] for x in (p, t)]
    for a, b, value in zip(found.predicted, found.true, found.iou, strict=True):
        p_is, t_is = p == names[0][a], t == names[1][b]
        assert value == pytest.approx((p_is & t_is).sum() / (p_is | t_is).sum())


def test_competing_objects_are_matched_once():
    truth, guess = [[1, 1, 1, 1, 2, 2, 2, 2]], [[1, 1, 2, 2, 2, 2, 3, 3]]
    # at 1/3: 1 with 1 (1/2), 2 with 1 (1/3) or 2 (1/3), 3 with 2 (1/2): two pairs at most
    assert ObjectF1(1 / 3).update([guess], [truth]).counts()[0, 0].tolist() == [2, 1, 0]
    assert object_f1(guess, truth, 0.4) == pytest.approx(2 * 2 / 5)


def test_panoptic_quality_pools_counts():
    single = [labels(seed) for seed in range(3)]
    p, t = (np.stack(x) for x in zip(*single, strict=True))
    metric = PanopticQuality().update(p, t)
    quality, overlap, recognition = metric.scores()
    assert quality == metric.compute() == pytest.approx(overlap * recognition)
    tp = fp = fn = total = 0
    for a, b in single:
        found = overlaps("op", a, b, None, None)
        good = found.iou[found.iou > 0.5]
        tp, total = tp + len(good), total + good.sum()
        fp, fn = fp + found.predictions - len(good), fn + found.truths - len(good)
    assert quality == pytest.approx(total / (tp + fp / 2 + fn / 2))
    assert panoptic_quality(p[0], t[0]) == PanopticQuality().update(p[:1], t[:1]).compute()


def test_void_pixels_and_objects():
    truth = np.array([[1, 1, 0, 255, 255, 255]])
    guess = np.array([[1, 1, 0, 2, 2, 2]])
    assert panoptic_quality(guess, truth, ignore_index=255) == 1  # object 2 lies in the void
    half = np.array([[1, 1, 2, 2, 0, 0]])
    assert panoptic_quality(half, truth, ignore_index=255) == pytest.approx(2 / 3)  # half of object 2 does not: it counts
    assert object_f1(guess, truth, ignore_index=255) == 1
    assert object_average_precision(guess, truth, mask=truth != 255) == 1
    wide = np.array([[1, 1, 1, 1, 0, 0]])
    assert panoptic_quality(wide, np.array([[1, 1, 255, 255, 0, 0]]), ignore_index=255) == 1


@pytest.mark.parametrize("make", [PanopticQuality, ObjectF1, ObjectAveragePrecision, lambda: ObjectAveragePrecision(average="objects")])
def test_any_split_gives_the_same(make):
    p, t = (np.stack(x) for x in zip(*(labels(seed) for seed in range(5)), strict=True))
    whole = make().update(p, t).compute()
    assert make().update(p[2:], t[2:]).merge(make().update(p[:2], t[:2])).compute() == whole
    empty = np.zeros((1, 3, 3), int)
    assert make().update(empty, empty).compute() == 1
    assert make().update(empty, empty + 1).compute() == 0


def test_averages_of_the_bowl_and_of_stardist():
    p, t = (np.stack(x) for x in zip(*(labels(seed, n) for seed, n in ((0, 4), (1, 15))), strict=True))
    images = ObjectAveragePrecision().update(p, t)
    assert images.compute() == pytest.approx(np.mean([object_average_precision(a, b) for a, b in zip(p, t, strict=True)]))
    counts = images.counts().sum(0)
    want = (counts[:, 0] / counts.sum(1)).tolist()
    assert ObjectAveragePrecision(average="objects").update(p, t).scores().tolist() == pytest.approx(want)
    assert images.scores().shape == (10,)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: object_f1([[0.5]], [[1]]), DTypeError, "object_f1: expected integer labels, got float64"),
        (lambda: ObjectF1(0.0), ArgumentError, "ObjectF1: expected thresholds above 0, up to 1, got 0.0"),
        (lambda: ObjectF1("high"), ArgumentError, "ObjectF1: expected thresholds as a number, got "),
        (lambda: ObjectF1(average="all"), ArgumentError, "expected average one of 'objects', 'images', got 'all'"),
        (lambda: PanopticQuality().update([[[1]]], [[[1, 2]]]), ShapeError, "PanopticQuality: expected one shape"),
        (lambda: PanopticQuality().update([1], [1]), ShapeError, r"expected \(N, ...\), images along the first axis"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()
