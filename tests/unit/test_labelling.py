import heapq
import itertools

import numpy as np
import pytest
from scipy import ndimage

from neurenix import Tensor
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.labelling import (
    border_classes,
    connected_components,
    distance_transform_edt,
    grow,
    objects_of_classes,
    separation_weights,
    watershed,
)
from neurenix.testing import assert_same_bits

RANKS = {4: 1, 8: 2, 6: 1, 18: 2, 26: 3}


@pytest.mark.parametrize("connectivity", [4, 8, 6, 18, 26])
@pytest.mark.parametrize("density", [0.3, 0.55, 0.7])
def test_components_are_those_of_scipy(connectivity, density):
    shape = (17, 23) if connectivity in (4, 8) else (7, 9, 11)
    structure = ndimage.generate_binary_structure(len(shape), RANKS[connectivity])
    for seed in range(5):
        mask = np.random.default_rng(seed).random(shape) < density
        assert_same_bits(connected_components(mask, connectivity=connectivity), ndimage.label(mask, structure)[0].astype(np.int64))


def test_regions_of_equal_labels_and_other_types():
    labels = np.array([[3, 3, 5], [5, 3, 5], [5, 5, 0]])
    want = [[1, 1, 2], [3, 1, 2], [3, 3, 0]]
    for dtype in (np.uint8, np.int16, np.uint64, np.int64):
        assert connected_components(labels.astype(dtype)).tolist() == want
    assert connected_components(Tensor(labels)[:, ::-1]).tolist() == [[1, 2, 2], [1, 2, 3], [0, 3, 3]]
    assert connected_components(np.array([0.2, 0.7, 0.9, 0.5, 0.6])).tolist() == [0, 1, 1, 0, 2]


def test_shapes_that_close_late_and_empty_ones():
    spiral = np.array([[1, 0, 1, 0, 1], [1, 0, 1, 0, 1], [1, 1, 1, 1, 1]])
    assert connected_components(spiral).max() == 1
    assert connected_components(np.zeros((0, 4))).shape == (0, 4)
    assert connected_components(np.zeros((3, 4))).sum() == 0
    assert connected_components(np.ones((1, 1), bool)).tolist() == [[1]]


def test_small_regions_are_dropped_and_the_rest_renumbered():
    assert connected_components([[1, 0, 1, 1, 0, 1, 1]], min_size=2).tolist() == [[0, 0, 1, 1, 0, 2, 2]]
    assert connected_components(np.zeros((0, 4)), min_size=2).shape == (0, 4)


@pytest.mark.parametrize("shape", [(40,), (31, 17), (1, 9), (7, 9, 11), (2, 3, 4, 5)])
@pytest.mark.parametrize("density", [0.3, 0.9])
def test_distances_are_those_of_scipy(shape, density):
    mask = np.random.default_rng([1, *shape]).random(shape) < density
    mask.flat[0] = False
    assert_same_bits(distance_transform_edt(mask), ndimage.distance_transform_edt(mask))
    spacing = (2.5, 0.7, 1.0, 3.0)[: len(shape)]
    np.testing.assert_allclose(distance_transform_edt(mask, spacing=spacing), ndimage.distance_transform_edt(mask, spacing), rtol=1e-14)
    assert_same_bits(distance_transform_edt(mask, spacing=2.0), 2 * distance_transform_edt(mask))


def test_distances_of_full_empty_and_far_away(each_thread_count):
    assert np.isinf(distance_transform_edt(np.ones((3, 4), bool))).all()
    assert distance_transform_edt(np.zeros((3, 4), bool)).sum() == 0
    assert distance_transform_edt(np.zeros((0, 4), bool)).shape == (0, 4)
    far = np.ones((300, 400), bool)
    far[0, 0] = False
    results = each_thread_count(lambda: distance_transform_edt(far))
    assert results[0][-1, -1] == np.hypot(299, 399)
    for result in results[1:]:
        assert_same_bits(result, results[0])


def flooded(image, markers, mask, connectivity, line):
    """The same with Python's heap."""
    steps = [s for s in itertools.product((-1, 0, 1), repeat=image.ndim) if 0 < np.count_nonzero(s) <= RANKS[connectivity]]
    steps.sort(key=np.count_nonzero)
    labels, free, age = np.where(mask, markers, 0), mask.copy(), itertools.count(1)
    inside = lambda p: all(0 <= i < n for i, n in zip(p, image.shape, strict=True))  # noqa: E731
    around = lambda p: [q for q in (tuple(np.add(p, s).tolist()) for s in steps) if inside(q) and free[q]]  # noqa: E731
    places = [tuple(p) for p in np.argwhere(labels).tolist()]
    heap = [(image[p], 0, i, p, p) for i, p in enumerate(places)]
    heapq.heapify(heap)
    while heap:
        *_, here, source = heapq.heappop(heap)
        if line:
            if not free[here] or (labels[here] and here != source):
                continue
            if any(labels[q] not in (0, labels[source]) for q in around(here)):
                free[here] = False
            else:
                labels[here] = labels[source]
        for q in around(here):
            if not labels[q]:
                if not line:
                    labels[q] = labels[here]
                heapq.heappush(heap, (image[q], next(age), 0, q, source))
    return labels


@pytest.mark.parametrize("line", [False, True])
@pytest.mark.parametrize(("connectivity", "shape"), [(4, (19, 23)), (8, (19, 23)), (6, (5, 6, 7)), (26, (5, 6, 7)), (4, (1, 30))])
def test_watershed_is_flooding_in_order(connectivity, shape, line):
    rng = np.random.default_rng([connectivity, *shape])
    for image in (ndimage.gaussian_filter(rng.random(shape), 1.5), rng.integers(0, 4, shape).astype(np.uint8)):
        markers = np.where(rng.random(shape) < 0.03, rng.integers(1, 9, shape), 0)
        for mask in (np.ones(shape, bool), rng.random(shape) < 0.8):
            got = watershed(image, markers, mask=mask, connectivity=connectivity, line=line)
            assert np.array_equal(got, flooded(image, markers, mask, connectivity, line))


def test_watershed_of_touching_discs():
    y, x = np.mgrid[:60, :80]
    discs = ((y - 30) ** 2 + (x - 28) ** 2 < 400) | ((y - 30) ** 2 + (x - 52) ** 2 < 400)
    markers = np.zeros(discs.shape, int)
    markers[30, 28], markers[30, 52] = 1, 2
    found = watershed(-distance_transform_edt(discs), markers, mask=discs)
    assert (found[discs & (x < 39)] == 1).all()
    assert (found[discs & (x > 41)] == 2).all()
    assert not found[~discs].any()


@pytest.mark.parametrize("spacing", [None, (2.0, 0.5)])
def test_separation_weights_by_their_formula(spacing):
    labels = np.zeros((40, 50), int)
    labels[5:15, 5:20], labels[5:15, 22:30], labels[18:30, 8:26], labels[30:, 45:] = 1, 2, 7, 3
    apart = np.sort([ndimage.distance_transform_edt(labels != n, spacing) for n in (1, 2, 3, 7)], axis=0)
    want = np.where(labels == 0, 1 + 10 * np.exp(-((apart[0] + apart[1]) ** 2) / 18), 1)
    got = separation_weights(labels, sigma=3.0, spacing=spacing)
    np.testing.assert_allclose(got, want, atol=2e-6)
    assert (separation_weights(np.where(labels == 1, 1, 0)) == 1).all()
    assert (separation_weights(labels * 0) == 1).all()


def test_growth_stays_in_the_mask_and_stops():
    labels, mask = np.array([[1, 0, 0, 0, 0, 0]]), np.array([[1, 1, 1, 0, 1, 1]])
    assert grow(labels, mask).tolist() == [[1, 1, 1, 0, 0, 0]]
    assert grow(labels, mask, steps=1).tolist() == [[1, 1, 0, 0, 0, 0]]
    assert grow(labels, mask, steps=0).tolist() == labels.tolist()
    assert grow(labels, mask * 0).tolist() == labels.tolist()


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: connected_components(np.zeros((1, 2, 3, 4))), ShapeError, r"connected_components: expected \(H, W\) or \(D, H, W\)"),
        (lambda: connected_components(np.zeros((2, 3)), connectivity=6), ArgumentError, "connectivity 4 or 8, got 6"),
        (lambda: connected_components(np.zeros((2, 3, 4)), connectivity=8), ArgumentError, "connectivity 6 or 18 or 26, got 8"),
        (lambda: connected_components([[1]], min_size="few"), ArgumentError, "expected min_size as an integer, got 'few'"),
        (lambda: distance_transform_edt(np.zeros((2, 3)), spacing=0), ArgumentError, "spacing as a number above 0 or 2 of them, got 0"),
        (lambda: distance_transform_edt(np.zeros((2, 3)), spacing=(1, 2, 3)), ArgumentError, r"got \(1, 2, 3\); pass e.g. \(1.0, 1.0\)"),
        (lambda: watershed(np.zeros((2, 3)), np.zeros((2, 3))), DTypeError, "expected integer markers, got float64"),
        (lambda: watershed(np.zeros((2, 3)), np.zeros((2, 2), int)), ShapeError, "an image, markers and a mask of one shape"),
        (lambda: separation_weights(np.zeros((2, 3))), DTypeError, "separation_weights: expected integer labels, got float64"),
        (lambda: separation_weights([[1]], sigma=0), ArgumentError, "expected sigma above 0, got 0"),
        (lambda: grow(np.zeros((2, 3), int), np.zeros((3, 3))), ShapeError, "of one shape"),
        (lambda: grow(np.zeros((2, 3), int), np.zeros((2, 3)), steps=-1), DTypeError, "of at least 0, got -1"),
        (lambda: grow(np.zeros((2, 3)), np.zeros((2, 3))), DTypeError, "grow: expected integer labels, got float64"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_borders_are_where_two_objects_are_near() -> None:
    labels = np.zeros((3, 12), np.int64)
    labels[:, 1:4], labels[:, 5:7], labels[:, 11:] = 1, 2, 3
    want = [0, 1, 1, 2, 2, 2, 1, 0, 0, 0, 0, 1]
    assert border_classes(labels)[1].tolist() == want
    assert border_classes(labels, reach=4)[1].tolist() == [0, *[2] * 10, 1]


def test_objects_are_cores_grown_over_the_foreground() -> None:
    probability = np.zeros((3, 6, 13), np.float32)
    probability[1, 1:5, 1:5] = 1
    probability[1, 1:5, 7:11] = 1
    probability[2, 1:5, 5:7] = 1
    probability[0] = 1 - probability.sum(0)
    found = objects_of_classes(probability)
    assert found[1].tolist() == [0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 0, 0]
    assert found[0].sum() == 0
