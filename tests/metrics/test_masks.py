import math

import numpy as np
import pytest

from neurenix import Tensor
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.metrics import (
    AdaptedRandError,
    ObjectAveragePrecision,
    ObjectF1,
    PanopticQuality,
    VariationOfInformation,
    best_threshold,
    dice,
    iou,
    otsu_threshold,
    panoptic_quality,
    psnr,
)

A = np.array([[1, 1, 0, 0]])
B = np.array([[0, 1, 1, 1]])


def test_iou_and_dice_by_hand():
    assert iou(A, B) == 1 / 4
    assert dice(A, B) == 2 / 5
    assert iou(A, A) == dice(B, B) == 1
    assert iou(A * 0, B * 0) == dice(A * 0, B * 0) == 1
    assert iou(A, 1 - A) == 0


def test_floats_are_probabilities_and_tensors_are_taken():
    probability = np.array([[0.6, 0.51, 0.5, 0.2]], np.float32)
    assert iou(Tensor(probability), A) == 1
    assert iou(probability, A.astype(bool)) == 1


def test_otsu_separates_two_groups():
    rng = np.random.default_rng(0)
    image = np.concatenate([rng.normal(50, 5, 1000), rng.normal(150, 5, 500)])
    assert 60 < otsu_threshold(image) < 140
    assert 60 < otsu_threshold(image.astype(np.uint8)) < 140
    assert otsu_threshold(np.array([[3, 3, 9]], np.uint16)) == 3


def test_otsu_is_the_textbooks_formula():
    image = np.random.default_rng(1).integers(0, 50, 300) ** 2 // 50
    scores = {}
    for t in np.unique(image)[:-1]:
        low, high = image[image <= t], image[image > t]
        scores[t] = len(low) * len(high) * (low.mean() - high.mean()) ** 2
    assert otsu_threshold(image) == max(scores, key=scores.get)


def test_best_threshold_is_the_best_of_all():
    rng = np.random.default_rng(2)
    values = rng.integers(0, 30, (20, 20))
    truth = values + rng.integers(-8, 8, values.shape) > 18
    for image in (values, values.astype(np.uint8), values / 2):
        threshold, score = best_threshold(image, truth)
        assert score == pytest.approx(max(iou(values > t, truth) for t in range(30)))
        assert iou(image > threshold, truth) == pytest.approx(score)


def test_panoptic_quality_by_hand():
    truth = np.array([[1, 1, 1, 0, 2, 2]])
    assert panoptic_quality(truth, truth * 7) == 1
    # object 1 matched with IoU 2/3, object 2 missed, one object too many
    assert panoptic_quality([[4, 4, 0, 9, 0, 0]], truth) == pytest.approx((2 / 3) / (1 + 0.5 + 0.5))
    assert panoptic_quality([[1, 1, 1, 1, 1, 1]], truth) == 0  # IoU of exactly one half is no match
    assert panoptic_quality(truth * 0, truth * 0) == 1
    assert panoptic_quality(truth, truth + 1) == pytest.approx(2 * 2 / 5)  # no background in the second
    assert panoptic_quality(truth - 1, truth - 1) == 1  # negative numbers are objects too


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: iou(A, B[:, :3]), ShapeError, r"iou: expected masks of one shape, got \(1, 4\) and \(1, 3\)"),
        (lambda: dice(A, B[:, :3]), ShapeError, "dice: expected masks of one shape"),
        (lambda: iou("a", B), DTypeError, "iou: expected an array of numbers"),
        (lambda: otsu_threshold([np.nan, 1.0]), ArgumentError, "expected finite values"),
        (lambda: otsu_threshold([]), ArgumentError, "expected finite values, got none"),
        (lambda: best_threshold([1, 1], [0, 1]), ArgumentError, "of at least two values"),
        (lambda: best_threshold([1, 1], [0]), ShapeError, "expected one shape"),
        (lambda: panoptic_quality(A, B[:, :3]), ShapeError, "expected one shape"),
        (lambda: panoptic_quality(A * 0.5, B), DTypeError, "expected integer labels, got float64"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()


@pytest.mark.parametrize("make", [PanopticQuality, ObjectF1, ObjectAveragePrecision, AdaptedRandError, VariationOfInformation])
def test_masks_of_labels_spread_or_are_refused(make):
    labels = np.arange(24).reshape(2, 3, 4) % 3
    left = np.array([1, 1, 0, 0])
    assert make().update(labels, labels, left).compute() == make().update(labels, labels, np.broadcast_to(left > 0, labels.shape)).compute()
    metric = make()
    with pytest.raises(ShapeError, match=rf"{make.__name__}: expected a mask that spreads over \(2, 3, 4\), got \(5,\)"):
        metric.update(labels, labels, np.ones(5, bool))
    assert repr(metric.merge(make())) == repr(make())


def test_a_prediction_that_overflows_has_the_worst_ratio():
    assert psnr([np.inf, 0.0], [0.0, 0.0]) == -math.inf
