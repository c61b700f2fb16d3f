import numpy as np
import pytest

import neurenix as nx
from neurenix.data import (
    Compose,
    GaussianNoise,
    Normalize,
    PairedTransform,
    PercentileNormalize,
    RandomContrast,
    RandomCrop,
    RandomGamma,
    RandomHorizontalFlip,
    RandomRotate90,
    RandomVerticalFlip,
    item_seed,
)
from neurenix.data.draws import item
from neurenix.errors import ArgumentError, ShapeError

IMAGE = np.arange(30, dtype=np.float32).reshape(1, 5, 6) / 30


def apply(transform, *arrays, key=(0, 0, 0)):
    with item(*key):
        return transform(*arrays)


@pytest.mark.parametrize(
    "transform",
    [
        RandomHorizontalFlip(),
        RandomRotate90(),
        RandomCrop(3),
        RandomCrop((9, 4)),
        Compose([RandomCrop(4), RandomRotate90(), RandomVerticalFlip()]),
    ],
)
def test_geometry_is_the_same_for_image_and_masks(transform):
    seen = set()
    for index in range(30):
        image, mask, weight = apply(transform, IMAGE, IMAGE[0], np.stack([IMAGE[0]] * 2), key=(0, 0, index))
        assert np.array_equal(image[0], mask)
        assert np.array_equal(weight[1], mask)
        seen.add(image.tobytes())
    assert len(seen) > 1


def test_square_images_take_all_four_turns_and_oblong_ones_two_where_they_keep_their_shape():
    turn = RandomRotate90(keep_shape=True)
    square = {apply(turn, np.arange(4).reshape(2, 2), key=(0, 0, i)).tobytes() for i in range(40)}
    oblong = {apply(turn, IMAGE, key=(0, 0, i)).shape for i in range(40)}
    assert (len(square), oblong) == (4, {(1, 5, 6)})
    assert {apply(RandomRotate90(), IMAGE, key=(0, 0, i)).shape for i in range(40)} == {(1, 5, 6), (1, 6, 5)}


def test_flips_mirror_one_axis_only():
    row = np.arange(3).reshape(1, 1, 3)
    assert {apply(RandomVerticalFlip(), row, key=(0, 0, i)).tobytes() for i in range(20)} == {row.tobytes()}
    assert len({apply(RandomHorizontalFlip(), row, key=(0, 0, i)).tobytes() for i in range(20)}) == 2


def test_crop_mirrors_small_images_outwards():
    image = apply(RandomCrop((1, 6)), np.array([[1, 2, 3]]))
    assert image.tolist() == [[1, 2, 3, 3, 2, 1]]
    assert apply(RandomCrop(5), np.array([[7]])).tolist() == [[7] * 5] * 5


def test_gamma_and_noise_change_the_image_alone_and_keep_its_type():
    for transform in (RandomGamma(2.0), GaussianNoise(sigma=0.1)):
        for kind in (np.float32, np.float64):
            image, mask = apply(transform, IMAGE.astype(kind), IMAGE)
            assert image.dtype == kind
            assert not np.array_equal(image, IMAGE.astype(kind))
            assert mask is IMAGE
    assert np.allclose(apply(RandomGamma(1), IMAGE), IMAGE)
    assert np.array_equal(apply(GaussianNoise(sigma=0), IMAGE), IMAGE)
    powers = [np.log(apply(RandomGamma(2), np.array([[0.5]]), key=(0, 0, i)))[0, 0] / np.log(0.5) for i in range(200)]
    assert 0.5 <= min(powers) < 0.6
    assert 1.8 < max(powers) <= 2
    noise = apply(GaussianNoise(sigma=(0, 0.1)), np.zeros((100, 100)))
    assert abs(noise.mean()) < 0.01
    assert noise.std() < 0.11


def test_outside_a_loader_the_global_seed_counts():
    nx.manual_seed(1)
    first = [RandomRotate90()(IMAGE).tobytes() for _ in range(20)]
    nx.manual_seed(1)
    assert [RandomRotate90()(IMAGE).tobytes() for _ in range(20)] == first
    assert len(set(first)) == 4


def test_an_item_has_one_stream_and_other_keys_have_others():
    def draw(key):
        with item(*key):
            return nx.rand(1).item(), item_seed()

    assert draw((1, 2, 3)) == draw((1, 2, 3))
    assert len({draw(key) for key in [(1, 2, 3), (2, 2, 3), (1, 3, 3), (1, 2, 4), (1, 0, 3)]}) == 5


def test_compose_takes_plain_functions():
    image, mask = apply(Compose([lambda image, mask: (image + 1, mask), RandomCrop(2)]), IMAGE, IMAGE)
    assert np.allclose(image, mask + 1)
    assert apply(Compose([lambda image: image * 0]), IMAGE).sum() == 0


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: RandomVerticalFlip()(np.zeros(3)), ShapeError, "RandomVerticalFlip: expected arrays"),
        (RandomVerticalFlip(), ShapeError, "pass an image and its mask"),
        (lambda: RandomRotate90()(IMAGE, np.zeros((4, 6))), ShapeError, "expected one height and width"),
        (lambda: RandomCrop(0), ArgumentError, "expected size to be an integer of at least 1"),
        (lambda: RandomCrop((1, 2, 3)), ArgumentError, "one integer or"),
        (lambda: RandomCrop(2)(np.zeros((0, 4))), ShapeError, "expected an image with pixels"),
        (lambda: RandomGamma(0.5), ArgumentError, "expected strength to be a finite number of at least 1, got 0.5"),
        (lambda: RandomGamma(float("nan")), ArgumentError, "got nan"),
        (
            lambda: RandomGamma()(np.zeros((2, 2), bool)),
            ArgumentError,
            "RandomGamma: expected an image of floats or integers up to 32 bits, got bool",
        ),
        (lambda: GaussianNoise(sigma=-1), ArgumentError, "of at least 0"),
        (
            lambda: RandomCrop(5, ignore_index=-100)(IMAGE[:, :3, :3], np.zeros((3, 3), np.uint8)),
            ArgumentError,
            "ignore_index from 0 to 255",
        ),
        (lambda: RandomCrop(5, ignore_index=2)(IMAGE[:, :3, :3], np.zeros((3, 3), bool)), ArgumentError, "ignore_index from 0 to 1"),
        (lambda: RandomCrop(5, "constant", -1)(np.zeros((3, 3), np.uint8)), ArgumentError, "fill from 0 to 255 for an array of uint8"),
        (lambda: RandomCrop(5, ignore_index=1.5), ArgumentError, "expected ignore_index to be an integer or None, got 1.5"),
        (lambda: Compose([3]), ArgumentError, "Compose: expected a list of callables"),
        (lambda: PairedTransform()(IMAGE), NotImplementedError, "define apply"),
    ],
)
def test_errors(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_signed_images_keep_their_negative_values():
    scan = np.array([[-1000, 0], [400, 32767]], np.int16)  # as a computed tomograph gives them
    assert np.array_equal(GaussianNoise(sigma=0)(scan), scan)
    with pytest.raises(ArgumentError, match="GaussianNoise: expected an image of floats or integers up to 32 bits, got int64"):
        GaussianNoise()(scan.astype(np.int64))


def test_constant_images_are_normalised_to_zeros_or_the_lower_end():
    for constant in (0.1, 0.7, 1e9):
        assert not Normalize()(np.full((1, 7, 7), constant)).any()  # the mean of 49 times 0.1 is not 0.1
    holes = np.array([[0.0, 2.0, np.nan, np.inf]])
    assert np.array_equal(Normalize()(holes), [[-1.0, 1.0, np.nan, np.inf]], equal_nan=True)
    assert np.array_equal(RandomContrast((2, 2))(holes), [[-1.0, 3.0, np.nan, np.inf]], equal_nan=True)
    spoilt = np.array([[3.0, 3.0, np.inf, np.nan]])
    assert np.array_equal(PercentileNormalize(b_min=-1)(spoilt), [[-1.0, -1.0, np.inf, np.nan]], equal_nan=True)
