import numpy as np
import pytest

from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.labelling import connected_components, grow


def flooded(mask, connectivity):
    """The same by flooding, pixel by pixel."""
    steps = [(0, 1), (1, 0), (0, -1), (-1, 0)] + ([(1, 1), (1, -1), (-1, 1), (-1, -1)] if connectivity == 8 else [])
    labels = np.zeros(mask.shape, int)
    for start in zip(*np.nonzero(mask), strict=True):
        if labels[start]:
            continue
        number, stack = labels.max() + 1, [start]
        while stack:
            i, j = stack.pop()
            if 0 <= i < mask.shape[0] and 0 <= j < mask.shape[1] and mask[i, j] and not labels[i, j]:
                labels[i, j] = number
                stack += [(i + a, j + b) for a, b in steps]
    return labels


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("density", [0.3, 0.55, 0.7])
def test_components_are_those_of_flooding(connectivity, density):
    for seed in range(5):
        mask = np.random.default_rng(seed).random((17, 23)) < density
        assert np.array_equal(connected_components(mask, connectivity=connectivity), flooded(mask, connectivity))


def test_shapes_that_close_late_and_empty_ones():
    spiral = np.array([[1, 0, 1, 0, 1], [1, 0, 1, 0, 1], [1, 1, 1, 1, 1]])
    assert connected_components(spiral).max() == 1
    assert connected_components(np.zeros((0, 4))).shape == (0, 4)
    assert connected_components(np.zeros((3, 4))).sum() == 0
    assert connected_components(np.ones((1, 1), bool)).tolist() == [[1]]


def test_small_regions_are_dropped_and_the_rest_renumbered():
    assert connected_components([[1, 0, 1, 1, 0, 1, 1]], min_size=2).tolist() == [[0, 0, 1, 1, 0, 2, 2]]


def test_growth_stays_in_the_mask_and_stops():
    labels, mask = np.array([[1, 0, 0, 0, 0, 0]]), np.array([[1, 1, 1, 0, 1, 1]])
    assert grow(labels, mask).tolist() == [[1, 1, 1, 0, 0, 0]]
    assert grow(labels, mask, steps=1).tolist() == [[1, 1, 0, 0, 0, 0]]
    assert grow(labels, mask, steps=0).tolist() == labels.tolist()
    assert grow(labels, mask * 0).tolist() == labels.tolist()


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: connected_components(np.zeros((1, 2, 3))), ShapeError, r"expected a mask \(H, W\)"),
        (lambda: connected_components(np.zeros((2, 3)), connectivity=6), ArgumentError, "connectivity 4 or 8, got 6"),
        (lambda: grow(np.zeros((2, 3)), np.zeros((3, 3))), ShapeError, "of one shape"),
        (lambda: grow(np.zeros((2, 3)), np.zeros((2, 3)), steps=-1), DTypeError, "of at least 0, got -1"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()
