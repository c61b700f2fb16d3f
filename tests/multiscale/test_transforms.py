"""Transforms: sizes, round trips, kinds that come back, what is remembered."""

import numpy as np
import pytest

import neurenix as nx
from neurenix.errors import ArgumentError, DTypeError, GraphError, RangeError, ShapeError
from neurenix.multiscale import MultiScaleTransform, PyramidDownsample, Rescale
from neurenix.nn import functional
from neurenix.testing import assert_same_bits, check_adjoint, random_array


@pytest.mark.parametrize(
    ("size", "scale", "want"),
    [
        (100, 0.29, 29),
        (100, 0.57, 57),
        (10, 0.5, 5),
        (7, 0.5, 3),
        (1, 0.5, 1),
        (3, 0.1, 1),
        (5, 2, 10),
        (3, 1 / 3, 1),
        (224, 0.125, 28),
        (49, 1 / 49, 1),
    ],
)
def test_sizes_round_down_guarded(size, scale, want):
    x = np.zeros((1, 1, size, 1), np.float32)
    assert Rescale(scale)(x).shape == (1, 1, want, max(1, int(scale)))
    assert MultiScaleTransform([scale])(x)[0].shape[2] == want


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rescale_is_interpolate(mode, dtype):
    x = random_array(2, 3, 9, 7, dtype=dtype)
    assert_same_bits(Rescale(0.5, mode)(nx.Tensor(x)), functional.interpolate(x, size=(4, 3), mode=mode))
    got = [MultiScaleTransform([2, 0.5], mode)(nx.Tensor(x)), PyramidDownsample(2, mode)(nx.Tensor(x))]
    assert_same_bits(got[0][1], functional.interpolate(x, size=(4, 3), mode=mode))
    assert_same_bits(got[1][1], functional.interpolate(x, size=(5, 4), mode=mode))
    if mode != "nearest":
        smooth = Rescale(0.5, mode, antialias=True)(nx.Tensor(x))
        assert_same_bits(smooth, functional.interpolate(x, size=(4, 3), mode=mode, antialias=True))


def test_scale_of_one_changes_nothing():
    x = nx.Tensor(random_array(1, 2, 5, 5))
    assert Rescale(1.0)(x) is x
    assert MultiScaleTransform([1])(x)[0] is x
    assert PyramidDownsample(1)(x)[0] is x


@pytest.mark.parametrize("scale", [0.29, 0.3, 0.5, 0.75, 1.5, 3, 1 / 3])
def test_a_round_trip_is_never_off_by_one(scale):
    rescale = Rescale(scale)
    for size in range(1, 60):
        x = np.zeros((1, 1, size, 61 - size), np.float32)
        assert rescale.inverse(rescale(x)).shape == x.shape


def test_inverse_without_a_pass_and_with_a_size():
    small = np.zeros((3, 5, 4), np.float32)
    assert Rescale(0.5).inverse(small).shape == (3, 10, 8)
    assert Rescale(0.5).inverse(small, original_size=(11, 9)).shape == (3, 11, 9)
    assert MultiScaleTransform().inverse(small, (11, 9)).shape == (3, 11, 9)
    rescale = Rescale(0.5)
    rescale(np.zeros((3, 11, 9), np.float32))
    rescale(np.zeros((3, 20, 20), np.float32))
    assert rescale.inverse(small).shape == (3, 11, 9)


def test_the_kind_that_came_goes():
    array, tensor = random_array(2, 3, 8, 6, dtype=np.float32), nx.Tensor(random_array(2, 3, 8, 6), requires_grad=True)
    for transform in (Rescale(0.5), Rescale(1.0)):
        assert type(transform(array)) is np.ndarray
        assert isinstance(transform(tensor), nx.Tensor)
        assert type(transform.inverse(array)) is np.ndarray
    for transform in (MultiScaleTransform(), PyramidDownsample()):
        assert all(type(y) is np.ndarray for y in transform(array))
        assert all(y.requires_grad for y in transform(tensor))
    multi = MultiScaleTransform()
    back = multi.inverse(multi(array), (8, 6))
    assert isinstance(back, list)
    assert [type(y) for y in back] == [np.ndarray] * 3
    assert {y.shape for y in back} == {array.shape}
    assert isinstance(multi.inverse(tensor, (4, 4)), nx.Tensor)
    assert_same_bits(Rescale(0.5)(array[0]), Rescale(0.5)(array)[0])
    Rescale(0.5)(array)[...] = 0  # memory of its own, to be written


def test_integers_go_through_nearest_only():
    mask = np.arange(16, dtype=np.uint8).reshape(1, 4, 4)
    assert Rescale(0.5, "nearest")(mask).tolist() == [[[0, 2], [8, 10]]]
    assert Rescale(0.5, "nearest")(mask).dtype == np.uint8
    with pytest.raises(DTypeError, match="expected float32 or float64, got uint8"):
        Rescale(0.5)(mask)


def test_gradient():
    for transform in (Rescale(0.4, "bicubic"), Rescale(2.5), PyramidDownsample(3), MultiScaleTransform([0.5])):
        check_adjoint(lambda t, f=transform: f(t)[-1] if isinstance(f(t), list) else f(t), random_array(2, 2, 9, 7))


def test_pyramid():
    pyramid = PyramidDownsample(5)
    with pytest.raises(GraphError, match="get_level: expected a forward pass before it, got none; call the transform"):
        pyramid.get_level(0)
    x = nx.Tensor(random_array(1, 2, 9, 5))
    found = pyramid(x)
    assert [y.shape[2:] for y in found] == [(9, 5), (5, 3), (3, 2), (2, 1), (1, 1)]
    for i, y in enumerate(found):
        assert pyramid.get_level(i) is y
    for wrong in (5, -1):
        with pytest.raises(RangeError, match=rf"get_level: expected a level from 0 to 4, got {wrong}"):
            pyramid.get_level(wrong)
    found.clear()
    assert pyramid.get_level(0) is x


def test_defaults_are_not_shared():
    transform = MultiScaleTransform()
    transform.scales.append(7.0)
    assert MultiScaleTransform().scales == [1.0, 0.5, 0.25]


@pytest.mark.parametrize("transform", [Rescale(), MultiScaleTransform(), PyramidDownsample()])
@pytest.mark.parametrize(
    "wrong", [np.zeros((4, 4), np.float32), np.zeros((1, 1, 0, 4), np.float32), np.zeros((1, 1, 1, 1, 1)), [1, 2], "x"]
)
def test_wrong_images(transform, wrong):
    with pytest.raises(ShapeError, match=r"expected x \(N, C, H, W\) or \(C, H, W\)"):
        transform(wrong)


@pytest.mark.parametrize("size", [3, (3,), (3, 0), (3, 4, 5), (3.5, 4), "ab", None])
def test_wrong_original_sizes(size):
    with pytest.raises(ArgumentError, match="MultiScaleTransform: expected original_size"):
        MultiScaleTransform().inverse(np.zeros((1, 1, 2, 2), np.float32), size)
