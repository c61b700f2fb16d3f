"""Average precision and the receiver's curve, beside scikit-learn."""

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from neurenix import Tensor
from neurenix.errors import ArgumentError, ShapeError
from neurenix.metrics import ROCAUC, AveragePrecision, average_precision, roc_auc

RNG = np.random.default_rng(0)
PAIRS = [(AveragePrecision, average_precision_score), (ROCAUC, roc_auc_score)]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
@pytest.mark.parametrize("ties", [False, True])
def test_beside_scikit_learn(ours, theirs, ties):
    for seed in range(4):
        rng = np.random.default_rng(seed)
        truth = rng.random((3, 40)) < 0.3
        scores = rng.random((3, 40)) + 0.4 * truth
        scores = np.round(scores * 5) / 5 if ties else scores
        want = theirs(truth.ravel(), scores.ravel())
        assert ours().update(scores, truth).compute() == pytest.approx(want, rel=1e-12)
        assert ours().update(Tensor(scores), Tensor(truth)).compute() == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_bins_are_ties(ours, theirs):
    truth, scores = RNG.random(500) < 0.4, RNG.random(500)
    want = theirs(truth, np.floor(scores * 16))
    assert ours(bins=16).update(scores, truth).compute() == pytest.approx(want, rel=1e-12)
    assert ours(bins=16).update([1.0, 0.0], [1, 0]).compute() == 1


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_classes_and_left_out_pixels(ours, theirs):
    t, scores = RNG.integers(0, 3, (2, 6, 7)), RNG.random((2, 4, 6, 7))
    single = ours(4, average="none").update(scores, t).compute()
    for c in range(3):
        assert single[c] == pytest.approx(theirs((t == c).ravel(), scores[:, c].ravel()))
    assert math.isnan(single[3])
    assert ours(4).update(scores, t).compute() == pytest.approx(single[:3].mean())
    keep = RNG.random(t.shape) < 0.6
    want = theirs((t > 0)[keep], scores[:, 1][keep])
    assert ours().update(scores[:, 1], t > 0, mask=keep).compute() == pytest.approx(want)
    assert ours(ignore_index=9).update(scores[:, 1], np.where(keep, t > 0, 9)).compute() == pytest.approx(want)


@pytest.mark.parametrize("bins", [None, 10])
@pytest.mark.parametrize("metric", [AveragePrecision, ROCAUC])
def test_any_split_gives_the_same(metric, bins):
    t, scores = RNG.random((5, 30)) < 0.5, np.round(RNG.random((5, 30)), 1)
    whole = metric(bins=bins).update(scores, t).compute()
    assert metric(bins=bins).update(scores[3:], t[3:]).merge(metric(bins=bins).update(scores[:3], t[:3])).compute() == whole
    assert math.isnan(metric(bins=bins).compute())
    assert math.isnan(metric(bins=bins).update([0.5], [0]).compute())


def test_functions():
    assert average_precision([0.1, 0.9], [0, 1]) == roc_auc([0.1, 0.9], [0, 1]) == 1
    assert roc_auc([0.5, 0.5], [0, 1]) == 0.5


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: AveragePrecision(0), ArgumentError, "AveragePrecision: expected num_classes of at least 1, got 0"),
        (lambda: AveragePrecision(bins=0), ArgumentError, "expected bins of at least 1, got 0"),
        (lambda: AveragePrecision(average="micro"), ArgumentError, "expected average 'macro' or 'none', got 'micro'"),
        (lambda: roc_auc([np.nan], [1]), ArgumentError, "roc_auc: expected scores that can be ranked, got NaN"),
        (lambda: roc_auc([2.0], [1], bins=4), ArgumentError, r"expected scores in \[0, 1\] to count in bins, got 2 to 2"),
        (lambda: roc_auc(np.ones((2, 3)), [1, 0], 4), ShapeError, r"expected scores \(2, 4\) for a target \(2,\), got \(2, 3\)"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_scores_that_are_infinite_tie():
    scores, truth = [-np.inf, -np.inf, np.inf, np.inf], [0, 1, 0, 1]
    assert roc_auc(scores, truth) == 0.5
    assert average_precision(scores, truth) == roc_auc([0.0, 0.0, 1.0, 1.0], truth) == 0.5


def test_an_update_that_fails_changes_nothing():
    seen = ROCAUC(2, bins=4).update([[0.2, 0.8]], [1])
    before = seen.compute()
    with pytest.raises(ArgumentError, match=r"expected scores in \[0, 1\]"):
        seen.update([[0.9, 1.5]], [0])
    assert (seen._state["counts"].sum(), str(seen.compute())) == (2, str(before))
    with pytest.raises(ArgumentError, match="ROCAUC: expected class numbers from 0 to 1, got 0 to 255 in the target"):
        seen.update([[0.9, 0.5], [0.1, 0.1]], [0, 255])
