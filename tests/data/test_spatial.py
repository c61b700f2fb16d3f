"""Geometry: exact where pixels are only moved, one interpolation elsewhere, labels with their images."""

import numpy as np
import pytest

import neurenix as nx
from neurenix.data import (
    CenterCrop,
    Compose,
    ElasticTransform,
    ForegroundCrop,
    RandomAffine,
    RandomCrop,
    RandomGamma,
    RandomHorizontalFlip,
    RandomRotate90,
    RandomRotation,
    RandomVerticalFlip,
)
from neurenix.data.draws import item
from neurenix.errors import ArgumentError, DTypeError, ShapeError

LABELS = np.random.default_rng(0).integers(0, 2**40, (37, 50))
EVERYTHING = Compose(
    [
        RandomHorizontalFlip(),
        ElasticTransform(60, 6, "nearest"),
        RandomRotation(90, "nearest"),
        RandomRotate90(),
        ForegroundCrop(24),
        RandomHorizontalFlip(),
    ]
)


def apply(transform, *arrays, key=(0, 0, 0), **named):
    with item(*key):
        return transform(*arrays, **named)


@pytest.mark.parametrize("kind", ["u1", "u2", "i4", "i8", "f4", "f8", "?", ">f4", "f2"])
@pytest.mark.parametrize("axes", [(), (1,), (3,)])
def test_an_image_that_equals_its_labels_stays_so(kind, axes):
    values = (LABELS % 200).astype(kind)
    image = np.broadcast_to(values, (*axes, *values.shape))
    for number in range(6):
        out, labels = apply(EVERYTHING, image, LABELS % 200 if kind != "?" else values, key=(1, 2, number))
        assert out.shape == (*axes, 24, 24)
        assert (out == labels).all()
        assert out.dtype == (np.dtype(kind).newbyteorder("=") if kind != "f2" else np.float32)


def test_label_numbers_stay_whole():
    for interpolation in ("bilinear", "bicubic"):
        steps = Compose([ElasticTransform(100, 5, interpolation), RandomAffine(30, (0.1, 0.1), (0.7, 1.3), 10, interpolation)])
        for number in range(4):
            image, labels = apply(steps, LABELS.astype(np.float64), LABELS, key=(0, 0, number))
            assert np.isin(labels, LABELS).all()
            assert labels.dtype == np.int64
            assert not np.isin(image, LABELS).all()


def test_flips_and_quarter_turns_are_exact_and_make_no_copy():
    x = np.random.default_rng(1).random((2, 5, 8)).astype(np.float32)
    assert np.array_equal(RandomHorizontalFlip(1.0)(x), x[..., ::-1])
    assert np.array_equal(RandomVerticalFlip(1.0)(x), x[:, ::-1])
    turned = {apply(RandomRotate90(), x, key=(0, 0, i)).tobytes() for i in range(40)}
    assert turned == {np.rot90(x, k, (-2, -1)).tobytes() for k in range(4)}
    assert np.shares_memory(RandomHorizontalFlip(1.0)(x), x)
    for degrees, quarters in ((90, 1), (-90, 3), (180, 2), (360, 0), (450, 1)):
        square = x[:, :, :5]
        assert np.array_equal(RandomRotation((degrees, degrees))(square), np.rot90(square, quarters, (-2, -1)))
    assert RandomHorizontalFlip(0.0)(x) is x


def test_no_deformation_is_the_identity():
    x = np.random.default_rng(2).random((3, 9, 7))
    for transform in (ElasticTransform(0), RandomRotation(0), RandomAffine(), RandomAffine(0, (0, 0), (1, 1), 0), CenterCrop((9, 7))):
        assert np.array_equal(transform(x), x)
    bent = ElasticTransform(1e-9, 4)(x)  # a displacement below any pixel
    assert np.allclose(bent, x, atol=1e-7)


def test_rotation_and_scaling_beside_scipy():
    from scipy import ndimage

    x = np.random.default_rng(3).random((40, 31))
    ours = RandomRotation((25, 25))(x)
    assert np.allclose(ours, ndimage.rotate(x, 25, reshape=False, order=1, mode="reflect"), atol=1e-10)
    ours = RandomRotation((25, 25), fill_mode="constant", fill=0.25)(x)
    assert np.allclose(ours, ndimage.rotate(x, 25, reshape=False, order=1, mode="grid-constant", cval=0.25), atol=1e-10)
    ours = RandomRotation((-100, -100), fill_mode="replicate")(x)
    assert np.allclose(ours, ndimage.rotate(x, -100, reshape=False, order=1, mode="nearest"), atol=1e-10)
    ours = RandomRotation((25, 25), fill_mode="reflect")(x)
    assert np.allclose(ours, ndimage.rotate(x, 25, reshape=False, order=1, mode="mirror"), atol=1e-10)
    zoomed = RandomAffine(0, scale=(0.5, 0.5))(x)
    matrix, centre = np.eye(2) * 2, (np.array(x.shape) - 1) / 2
    assert np.allclose(zoomed, ndimage.affine_transform(x, matrix, centre - matrix @ centre, order=1, mode="reflect"), atol=1e-10)


def test_affine_shifts_and_shears_the_way_it_says():
    x = np.zeros((9, 9))
    x[4, 4] = x[2, 4] = 1
    sheared = RandomAffine(0, shear=(45, 45))(x)  # two rows up: two columns left
    assert sheared[4, 4] == pytest.approx(1)
    assert sheared[2, 2] == pytest.approx(1)
    moved = [apply(RandomAffine(0, translate=(0.4, 0)), x, key=(0, 0, i)) for i in range(20)]
    assert all(np.allclose(m.sum(axis=1)[[0, 1, 3, 5]], 0) for m in moved)
    assert len({m.tobytes() for m in moved}) > 10


def test_elastic_displacements_have_the_variance_of_simards():
    ramp = np.broadcast_to(np.arange(400.0), (400, 400))
    for alpha, sigma in ((40, 1.5), (200, 8.0)):
        moves = [(apply(ElasticTransform(alpha, sigma), ramp, key=(0, 0, i)) - ramp)[100:300, 100:300] for i in range(6)]
        expected = alpha / np.sqrt(3) / (2 * np.sqrt(np.pi) * sigma)
        assert np.std(moves) == pytest.approx(expected, rel=0.15)
    small = apply(ElasticTransform((0, 300), (8, 12)), np.ones((3, 1, 1)))
    assert np.array_equal(small, np.ones((3, 1, 1)))


def test_neighbouring_geometry_is_one_interpolation():
    x = np.random.default_rng(4).random((64, 64))
    there_and_back = Compose([RandomRotation((17, 17)), RandomRotation((-17, -17))])
    assert np.allclose(there_and_back(x)[16:48, 16:48], x[16:48, 16:48], atol=1e-12)
    apart = Compose([RandomRotation((17, 17)), RandomGamma(1), RandomRotation((-17, -17))])
    assert abs(apart(x) - x)[16:48, 16:48].max() > 0.1


def test_a_crop_after_a_deformation_is_a_part_of_it():
    x = np.random.default_rng(5).random((60, 70))
    whole = apply(Compose([ElasticTransform(80, 6), RandomRotation((30, 30))]), x)
    part = apply(Compose([ElasticTransform(80, 6), RandomRotation((30, 30)), CenterCrop((20, 30))]), x)
    assert np.allclose(part, whole[20:40, 20:50], atol=1e-10)
    other = Compose([RandomRotation((30, 30)), CenterCrop(24), RandomHorizontalFlip(), ElasticTransform(80, 6), RandomCrop(16)])
    assert apply(other, x).shape == (16, 16)


def test_what_lies_outside():
    x, labels = np.ones((1, 8, 8)), np.ones((8, 8), np.uint8)
    image, mask = RandomRotation((45, 45), fill_mode="constant", fill=5, ignore_index=255)(x, labels)
    assert image[0, 0, 0] == 5
    assert mask[0, 0] == 255
    assert mask[4, 4] == 1
    image, mask = RandomRotation((45, 45), ignore_index=255)(x, labels)
    assert (image == 1).all()
    assert mask[0, 0] == 255
    assert (RandomRotation((45, 45))(x, labels)[1] == 1).all()
    signed = RandomRotation((45, 45), ignore_index=-100)(x, labels.astype(np.int64))[1]
    assert signed.min() == -100
    image, mask = RandomCrop((9, 8), "constant", 3.0, ignore_index=7)(x, labels)
    assert (image[0, 8] == 3).all()
    assert (mask[8] == 7).all()
    assert CenterCrop((1, 6), "replicate")(np.array([[1, 2]])).tolist() == [[1, 1, 1, 2, 2, 2]]
    assert CenterCrop((1, 6))(np.array([[1, 2]])).tolist() == [[2, 1, 1, 2, 2, 1]]
    assert CenterCrop((1, 6), "reflect")(np.array([[1, 2]])).tolist() == [[1, 2, 1, 2, 1, 2]]


def test_integer_images_are_rounded_and_stay_in_range():
    x = np.array([[0, 255], [255, 0]], np.uint8)
    assert RandomAffine(0, (0, 0), (2, 2))(x)[1, 1] in (63, 64, 95, 96)
    sharp = np.where(np.random.default_rng(0).random((40, 40)) > 0.5, 65535, 0).astype(np.uint16)
    out = RandomRotation((20, 20), "bicubic")(sharp)
    assert out.min() == 0
    assert out.max() == 65535


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("kind", ["f4", "u1"])
def test_same_bits_for_any_number_of_threads(threads, kind):
    x = (np.random.default_rng(0).random((3, 150, 160)) * 200).astype(kind)
    before = nx.get_num_threads()
    try:
        nx.set_num_threads(2)
        wanted = apply(EVERYTHING, x, x[0])
        nx.set_num_threads(threads)
        found = apply(EVERYTHING, x, x[0])
    finally:
        nx.set_num_threads(before)
    assert all(np.array_equal(a, b) for a, b in zip(wanted, found, strict=True))


def test_foreground_crop_finds_it_through_what_waits():
    mask = np.zeros((120, 160), np.uint8)
    mask[90:94, 30:34] = 3
    steps = Compose([RandomHorizontalFlip(), RandomRotation(30), ElasticTransform(100, 8), ForegroundCrop(32, foreground=1.0)])
    found = [apply(steps, mask.astype(np.float32), mask, key=(0, 0, i))[1].any() for i in range(20)]
    assert np.mean(found) >= 0.9
    plain = [apply(ForegroundCrop(20, foreground=0.0), mask, mask, key=(0, 0, i))[1].any() for i in range(40)]
    assert np.mean(plain) < 0.3
    assert apply(ForegroundCrop(20), mask, mask * 0)[0].shape == (20, 20)
    assert not apply(ForegroundCrop(20, 1.0, ignore_index=3), mask, mask, key=(0, 0, 1))[1].all()
    rare = np.ones((64, 64), np.uint8)
    rare[5, 60] = 2
    shares = [2 in apply(ForegroundCrop(8, 1.0, per_label=True), rare, rare, key=(0, 0, i))[1] for i in range(40)]
    assert 0.25 < np.mean(shares) < 0.75


def test_names_choose_what_is_interpolated():
    x = np.random.default_rng(0).random((1, 12, 12))
    item_of_names = {"image": x, "mask": (x[0] > 0.5).astype(int), "name": "a.png", "label": 3}
    out = apply(RandomRotation(45), item_of_names)
    assert out.keys() == item_of_names.keys()
    assert (out["name"], out["label"]) == ("a.png", 3)
    assert set(np.unique(out["mask"])) == {0, 1}
    again = apply(RandomRotation(45), x, item_of_names["mask"])
    assert np.array_equal(out["image"], again[0])
    assert np.array_equal(apply(RandomRotation(45), image=x, mask=nx.Tensor(x[0]))["mask"], apply(RandomRotation(45), x, x[0])[1])


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (
            lambda: RandomHorizontalFlip(1.5),
            ArgumentError,
            "RandomHorizontalFlip: expected p from 0 to 1, got 1.5; pass e.g. p=0.5",
        ),
        (lambda: RandomVerticalFlip(p=True), ArgumentError, "RandomVerticalFlip: expected p from 0 to 1, got True; pass e.g. p=0.5"),
        (
            lambda: RandomRotation("x"),
            ArgumentError,
            "RandomRotation: expected degrees to be a finite number of at least 0, got 'x'; pass e.g. degrees=0.2",
        ),
        (
            lambda: RandomRotation((3, 1)),
            ArgumentError,
            "RandomRotation: expected degrees as a number or (low, high), got (3, 1); pass e.g. degrees=(0.8, 1.2)",
        ),
        (
            lambda: RandomRotation(3, "lanczos"),
            ArgumentError,
            "RandomRotation: expected interpolation to be one of ('nearest', 'bilinear', 'bicubic'), got 'lanczos'; pass one of them",
        ),
        (
            lambda: RandomRotation(3, fill_mode="wrap"),
            ArgumentError,
            "RandomRotation: expected fill_mode to be one of ('constant', 'replicate', 'symmetric', 'reflect'), got 'wrap'; pass one of them",
        ),
        (
            lambda: RandomRotation(3, ignore_index=0.5),
            ArgumentError,
            "RandomRotation: expected ignore_index to be an integer or None, got 0.5; pass e.g. 255",
        ),
        (
            lambda: RandomAffine(translate=(2, 0)),
            ArgumentError,
            "RandomAffine: expected translate as two parts of 0 to 1, got (2, 0); pass e.g. translate=(0.1, 0.1)",
        ),
        (
            lambda: RandomAffine(scale=(0, 1)),
            ArgumentError,
            "RandomAffine: expected scale as a number or (low, high) of at least 0.001, got (0, 1); pass e.g. scale=(0.8, 1.2)",
        ),
        (
            lambda: RandomAffine(shear=90),
            ArgumentError,
            "RandomAffine: expected shear within 90 degrees, got 90; pass e.g. shear=10",
        ),
        (
            lambda: ElasticTransform(-1),
            ArgumentError,
            "ElasticTransform: expected alpha as a number or (low, high) of at least 0, got -1; pass e.g. alpha=(100, 300)",
        ),
        (
            lambda: ElasticTransform(1, 0.1),
            ArgumentError,
            "ElasticTransform: expected sigma as a number or (low, high) of at least 0.5, got 0.1; pass e.g. sigma=(8, 12)",
        ),
        (
            lambda: ForegroundCrop(3)(np.zeros((4, 4))),
            ArgumentError,
            "ForegroundCrop: expected an image and a mask, got an image alone; pass both, or use RandomCrop",
        ),
        (
            lambda: RandomHorizontalFlip()(np.zeros((4, 4, 3)), np.zeros((4, 4))),
            ShapeError,
            "RandomHorizontalFlip: expected one height and width, got shapes [(4, 4, 3), (4, 4)]; move channels to the front with x.transpose(2, 0, 1)",
        ),
        (
            lambda: RandomHorizontalFlip()(np.zeros((4, 4), object)),
            DTypeError,
            "RandomHorizontalFlip: expected arrays of numbers, got object; convert them with .astype(...)",
        ),
        (
            lambda: RandomHorizontalFlip()(np.zeros((4, 4)), mask=np.zeros((4, 4))),
            ArgumentError,
            "RandomHorizontalFlip: expected arrays or names, got both; pass e.g. image=..., mask=...",
        ),
    ],
)
def test_errors(make, error, text):
    with pytest.raises(error) as caught:
        make()
    assert str(caught.value) == text


def test_planes_of_a_volume_move_alike():
    volume = np.random.default_rng(0).random((2, 5, 30, 28))
    labels = (volume[0] > 0.5).astype(np.uint8)
    moved, mask = apply(EVERYTHING, volume, labels, key=(0, 0, 3))
    assert (moved.shape, mask.shape) == ((2, 5, 24, 24), (5, 24, 24))
    one, plane = apply(EVERYTHING, volume[:, 3], labels, key=(0, 0, 3))
    assert np.array_equal(moved[:, 3], one)
    assert np.array_equal(mask, plane)
