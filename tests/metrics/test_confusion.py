"""Scores from a confusion matrix, beside scikit-learn; classes, masks, what is left out, merging."""

import math

import numpy as np
import pytest
from sklearn import metrics as reference

import neurenix as nx
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.metrics import (
    ConfusionMatrix,
    Dice,
    FScore,
    IoU,
    PixelAccuracy,
    Precision,
    Recall,
    confusion_matrix,
    dice,
    f_score,
    iou,
    pixel_accuracy,
    precision,
    recall,
)

RNG = np.random.default_rng(0)
T = RNG.integers(0, 4, (3, 8, 9))
P = np.where(RNG.random(T.shape) < 0.6, T, RNG.integers(0, 4, T.shape))
SETTINGS = {"labels": range(4)}


def test_matrix_and_accuracy():
    assert np.array_equal(confusion_matrix(P, T, 4), reference.confusion_matrix(T.ravel(), P.ravel()))
    assert pixel_accuracy(P, T, 4) == pytest.approx(reference.accuracy_score(T.ravel(), P.ravel()))
    assert confusion_matrix([True, False], [True, True]).tolist() == [[0, 0], [1, 1]]
    assert math.isnan(PixelAccuracy().compute())


@pytest.mark.parametrize("average", ["macro", "micro", "weighted", "none"])
def test_averages_beside_scikit_learn(average):
    theirs = {"average": None if average == "none" else average}
    flat = T.ravel(), P.ravel()
    settings = {"average": average}
    np.testing.assert_allclose(iou(P, T, 4, **settings), reference.jaccard_score(*flat, **theirs))
    np.testing.assert_allclose(dice(P, T, 4, **settings), reference.f1_score(*flat, **theirs))
    np.testing.assert_allclose(precision(P, T, 4, **settings), reference.precision_score(*flat, **theirs))
    np.testing.assert_allclose(recall(P, T, 4, **settings), reference.recall_score(*flat, **theirs))
    np.testing.assert_allclose(f_score(P, T, 4, 2.0, **settings), reference.fbeta_score(*flat, beta=2.0, **theirs))


def test_masks_beside_scikit_learn():
    t, p = RNG.random((5, 7)) > 0.5, RNG.random((5, 7))
    flat = t.ravel(), p.ravel() > 0.5
    assert Precision().update(p, t).compute() == pytest.approx(reference.precision_score(*flat))
    assert Recall().update(p, t).compute() == pytest.approx(reference.recall_score(*flat))
    assert FScore(beta=0.5).update(p, t).compute() == pytest.approx(reference.fbeta_score(*flat, beta=0.5))
    logits = np.log(p / (1 - p))
    assert IoU(threshold=0.0).update(nx.Tensor(logits), nx.Tensor(t)).compute() == pytest.approx(reference.jaccard_score(*flat))


def test_scores_of_classes_are_the_largest():
    logits = RNG.standard_normal((3, 4, 8, 9)).astype(np.float32)
    want = iou(logits.argmax(1), T, 4)
    assert iou(logits, T, 4) == want
    assert IoU(4).update(nx.Tensor(logits), nx.Tensor(T)).compute() == want
    assert IoU(4).update(logits[:, :, 0, 0], T[:, 0, 0]).compute() == iou(logits[:, :, 0, 0].argmax(1), T[:, 0, 0], 4)


def test_what_does_not_occur():
    single = iou([0, 0], [0, 1], 3, average="none")
    assert single[:2].tolist() == [0.5, 0.0]
    assert math.isnan(single[2])
    assert iou([0, 0], [0, 1], 3) == 0.25
    assert iou([0, 0], [0, 1], 3, empty=1.0) == pytest.approx(1.5 / 3)
    assert iou([False], [False]) == dice([False], [False]) == 1
    assert math.isnan(precision([False], [True]))
    assert precision([False], [True], empty=0.0) == 0
    assert math.isnan(iou(np.zeros(0, int), np.zeros(0, int), 3))


def test_left_out_pixels():
    keep = RNG.random(T.shape) < 0.7
    want = iou(P[keep], T[keep], 4)
    assert iou(P, T, 4, mask=keep) == want
    assert iou(P, np.where(keep, T, 255), 4, ignore_index=255) == want
    t = (T > 1).astype(np.float32)
    nodata = np.where(keep, t, np.nan)
    assert dice(P > 1, nodata) == dice((P > 1)[keep], t[keep])
    assert dice(P > 1, np.where(keep, T > 1, 9), ignore_index=9) == dice((P > 1)[keep], t[keep])


@pytest.mark.parametrize("make", [lambda: ConfusionMatrix(4), lambda: IoU(4, average="none"), lambda: Dice(4), lambda: FScore(4, 2.0)])
def test_any_split_gives_the_same(make):
    whole = make().update(P, T).compute()
    parts = make().update(P[1:], T[1:]).merge(make().update(P[0, :3], T[0, :3])).merge(make().update(P[0, 3:], T[0, 3:]))
    assert np.array_equal(parts.compute(), whole)
    parts.reset()
    assert np.array_equal(parts.update(P, T).compute(), whole)
    assert "num_classes=4" in repr(parts)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: IoU(0), ArgumentError, "IoU: expected num_classes of at least 1, got 0"),
        (lambda: IoU(2, average="mean"), ArgumentError, "IoU: expected average one of 'macro', 'micro', 'weighted', 'none', got 'mean'"),
        (lambda: FScore(beta=0), ArgumentError, "FScore: expected beta above 0, got 0"),
        (lambda: iou(P, T, 3), ArgumentError, "iou: expected class numbers from 0 to 2, got 0 to 3 in the prediction; raise num_classes"),
        (lambda: iou(P, T * 1.0, 4), DTypeError, "iou: expected class numbers as the target, got float64"),
        (lambda: iou(np.zeros((3, 2, 8, 9)), T, 4), ShapeError, r"iou: expected scores \(N, 4, ...\) for a target \(N, ...\)"),
        (lambda: iou(P[:, None] > 0, T > 0), ShapeError, r"iou: expected masks of one shape, got \(3, 1, 8, 9\) and \(3, 8, 9\)"),
        (lambda: iou(P, T, 4, mask=np.ones((2, 2))), ShapeError, "expected a mask that spreads over"),
        (lambda: IoU(3).merge(Dice(3)), ArgumentError, "merge: expected IoU"),
        (lambda: IoU(3).merge(IoU(4)), ArgumentError, "merge metrics of the same settings"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()
