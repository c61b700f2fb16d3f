"""Rand's and information's measures of partitions: by hand, by scikit-image, over batches."""

import numpy as np
import pytest
from skimage import metrics as reference

from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.metrics import AdaptedRandError, VariationOfInformation, adapted_rand_error, variation_of_information


def partitions(seed, shape=(3, 20, 30)):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 9, shape)
    return np.where(rng.random(shape) < 0.8, truth // 2, rng.integers(0, 6, shape)), truth


@pytest.mark.parametrize("ignore", [(), (0,), (0, 3)])
@pytest.mark.parametrize("seed", range(3))
def test_single_images_beside_scikit_image(ignore, seed):
    p, t = partitions(seed)
    error, recall, precision = reference.adapted_rand_error(t, p, ignore_labels=ignore)
    np.testing.assert_allclose(adapted_rand_error(p, t, ignore_labels=ignore), (error, precision, recall), rtol=1e-12)
    want = reference.variation_of_information(t, p, ignore_labels=ignore)
    np.testing.assert_allclose(variation_of_information(p, t, ignore_labels=ignore), want, rtol=1e-12)


def test_pairs_by_hand():
    # of the prediction's pairs {0,1} and {2,3} the first is right; the target has {0,1,2} and {3}: three pairs
    error, precision, recall = adapted_rand_error([1, 1, 2, 2], [1, 1, 1, 5])
    assert (precision, recall) == (1 / 2, 1 / 3)
    assert error == pytest.approx(1 - 2 * precision * recall / (precision + recall))
    assert adapted_rand_error([1, 1, 2, 2], [1, 1, 1, 5], alpha=1.0)[0] == 1 - precision
    assert adapted_rand_error([4, 4, 9], [7, 7, 1]) == (0, 1, 1)
    assert adapted_rand_error([4, 4, 9], [0, 0, 0]) == (0, 1, 1)  # nothing counts
    assert adapted_rand_error([1, 2, 3], [3, 2, 1]) == (0, 1, 1)  # single pixels
    assert adapted_rand_error([1, 2, 2, 2], [5, 6, 6, 7], mask=[1, 1, 1, 0]) == (0, 1, 1)


def test_information_by_hand():
    assert variation_of_information([1, 1, 1, 1], [1, 1, 2, 2]) == (0, 1)
    assert variation_of_information([1, 2, 3, 4], [1, 1, 2, 2]) == (1, 0)
    assert (
        variation_of_information(np.zeros(0, int), np.zeros(0, int)) == variation_of_information([5, 5], [0, 0], ignore_labels=0) == (0, 0)
    )


@pytest.mark.parametrize("make", [AdaptedRandError, lambda: AdaptedRandError(average="pairs"), VariationOfInformation])
def test_any_split_and_order_gives_the_same(make):
    p, t = partitions(5, (7, 12, 11))
    whole = make().update(p, t).compute()
    halves = make().update(p[4:], t[4:]).merge(make().update(p[:4], t[:4]))
    assert halves.compute() == whole
    assert make().update(p[:0], t[:0]).merge(halves).compute() == whole
    halves.reset()
    assert np.isnan(halves.compute())


def test_averages():
    p, t = partitions(6, (4, 15, 15))
    single = [adapted_rand_error(a, b) for a, b in zip(p, t, strict=True)]
    metric = AdaptedRandError().update(p, t)
    assert metric.compute() == pytest.approx(np.mean([s[0] for s in single]))
    assert metric.scores()[1] == pytest.approx(np.mean([s[1] for s in single]))
    apart = p + 10 * np.arange(4)[:, None, None], np.where(t > 0, t + 10 * np.arange(4)[:, None, None], 0)
    assert AdaptedRandError(average="pairs").update(p, t).compute() == pytest.approx(adapted_rand_error(*apart)[0])
    mask = np.random.default_rng(0).random(t.shape) < 0.5
    masked = np.mean([adapted_rand_error(a[m], b[m])[0] for a, b, m in zip(p, t, mask, strict=True)])
    assert AdaptedRandError().update(p, t, mask).compute() == pytest.approx(masked)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: adapted_rand_error([1], [1, 2]), ShapeError, "adapted_rand_error: expected one shape"),
        (lambda: adapted_rand_error([1.5], [1]), DTypeError, "expected integer labels, got float64"),
        (lambda: adapted_rand_error([1], [1], alpha=2), ArgumentError, r"expected alpha in \[0, 1\], got 2"),
        (lambda: AdaptedRandError(ignore_labels=None), ArgumentError, "AdaptedRandError: expected ignore_labels as integers, got None"),
        (lambda: AdaptedRandError(average="all"), ArgumentError, "expected average one of 'images', 'pairs', got 'all'"),
        (lambda: AdaptedRandError().update([1, 2], [1, 2]), ShapeError, r"expected \(N, ...\), images along the first axis"),
        (lambda: AdaptedRandError().merge(VariationOfInformation()), ArgumentError, "merge: expected AdaptedRandError"),
        (lambda: AdaptedRandError().merge(AdaptedRandError(alpha=0.2)), ArgumentError, "merge metrics of the same settings"),
        (lambda: variation_of_information([1], [1], mask=[1, 1]), ShapeError, r"expected a mask that spreads over \(1,\)"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()
