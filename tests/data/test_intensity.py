"""What changes images and leaves labels: amounts, types, units."""

import numpy as np
import pytest

from neurenix.data import (
    ColorJitter,
    Compose,
    GaussianBlur,
    GaussianNoise,
    ImageTransform,
    Normalize,
    OneOf,
    PercentileNormalize,
    PoissonNoise,
    RandomBrightness,
    RandomContrast,
    RandomGamma,
    RandomHorizontalFlip,
)
from neurenix.data.draws import item
from neurenix.errors import ArgumentError, ShapeError

IMAGE = np.random.default_rng(0).random((3, 20, 30)).astype(np.float32)
MASK = np.arange(600).reshape(20, 30)
ALL = [
    RandomBrightness(0.5),
    RandomContrast(0.5),
    RandomGamma(2),
    ColorJitter(0.3, 0.3, 0.3),
    GaussianNoise(sigma=0.2),
    PoissonNoise(20),
    GaussianBlur(),
    PercentileNormalize(),
    Normalize(),
]


def apply(transform, *arrays, key=(0, 0, 0)):
    with item(*key):
        return transform(*arrays)


@pytest.mark.parametrize("transform", ALL, ids=lambda t: type(t).__name__)
def test_labels_stay_and_types_are_kept(transform):
    for kind in (np.float32, np.float64):
        image, mask = apply(transform, IMAGE.astype(kind), MASK)
        assert image.dtype == kind
        assert image.shape == IMAGE.shape
        assert mask is MASK
        assert not np.array_equal(image, IMAGE.astype(kind))
    again = apply(transform, IMAGE.astype(np.float64), MASK)[0]
    assert np.array_equal(image, again)
    assert apply(transform, IMAGE[0] if not isinstance(transform, ColorJitter) else IMAGE[:, 0, :, None]).size


@pytest.mark.parametrize("transform", ALL[:7], ids=lambda t: type(t).__name__)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_integers_count_as_fractions(transform, kind):
    most = np.iinfo(kind).max
    image = np.rint(IMAGE * most).astype(kind)
    out = apply(transform, image)
    assert out.dtype == kind
    same = apply(transform, (image / np.float32(most)).astype(np.float32))
    assert np.abs(out - np.clip(same, 0, 1) * np.float64(most)).max() <= 0.51


def test_amounts():
    assert np.allclose(RandomBrightness((1.5, 1.5))(IMAGE), IMAGE * 1.5)
    assert np.allclose(RandomContrast((0.5, 0.5))(IMAGE), IMAGE.mean() + 0.5 * (IMAGE - IMAGE.mean()), atol=1e-6)
    grey = ColorJitter(saturation=(0, 0))(IMAGE)
    assert np.allclose(grey, 0.299 * IMAGE[0] + 0.587 * IMAGE[1] + 0.114 * IMAGE[2], atol=1e-6)
    noise = apply(GaussianNoise(0.5, 0.1), np.zeros((200, 200)))
    assert noise.mean() == pytest.approx(0.5, abs=0.003)
    assert noise.std() == pytest.approx(0.1, rel=0.03)
    assert apply(GaussianNoise(0.5, 9, clip=True), np.zeros((9, 9))).max() <= 1
    counts = apply(PoissonNoise(50), np.full((200, 200), 0.4))
    assert counts.mean() == pytest.approx(0.4, rel=0.01)
    assert counts.var() == pytest.approx(0.4 / 50, rel=0.05)
    assert np.allclose(counts * 50, np.rint(counts * 50))
    assert (apply(PoissonNoise(50), np.full((4, 4), -1.0)) == 0).all()


def test_blur_beside_scipy():
    from scipy import ndimage

    wanted = ndimage.gaussian_filter(IMAGE[0].astype(np.float64), 1.7, mode="reflect")
    assert np.allclose(GaussianBlur(sigma=1.7)(IMAGE[0].astype(np.float64)), wanted, atol=1e-12)
    three = ndimage.gaussian_filter(IMAGE[0].astype(np.float64), 1.0, mode="reflect", radius=1)
    assert np.allclose(GaussianBlur(3, 1.0)(IMAGE[0].astype(np.float64)), three, atol=1e-12)
    assert np.array_equal(GaussianBlur(1, 1.0)(IMAGE), IMAGE)


def test_percentiles():
    low, high = np.percentile(IMAGE, [2, 95])
    assert np.allclose(PercentileNormalize(2, 95)(IMAGE), (IMAGE - low) / (high - low), atol=1e-6)
    clipped = PercentileNormalize(2, 95, -1, 1, clip=True)(IMAGE)
    assert (clipped.min(), clipped.max()) == (-1, 1)
    channels = PercentileNormalize(0, 100, channel_wise=True)(IMAGE)
    assert np.allclose(channels.min(axis=(1, 2)), 0)
    assert np.allclose(channels.max(axis=(1, 2)), 1)
    holed = IMAGE.copy()
    holed[0, 0, 0] = np.nan
    out = PercentileNormalize()(holed)
    assert np.isnan(out[0, 0, 0])
    assert np.isfinite(out).sum() == out.size - 1
    assert (PercentileNormalize()(np.full((3, 3), 7, np.uint8)) == 0).all()
    assert np.isnan(PercentileNormalize()(np.full((3, 3), np.nan))).all()
    assert PercentileNormalize(channel_wise=True)(IMAGE[0]).dtype == np.float32


def test_means_and_deviations():
    out = Normalize()(IMAGE)
    assert out.mean() == pytest.approx(0, abs=1e-6)
    assert out.std() == pytest.approx(1, rel=1e-5)
    each = Normalize([0.1, 0.2, 0.3], [1, 2, 4])(IMAGE)
    assert np.allclose(each[2], (IMAGE[2] - 0.3) / 4)
    assert (Normalize()(np.full((3, 3), 5.0)) == 0).all()


def test_one_of_and_probabilities():
    brighter, darker = RandomBrightness((2, 2)), RandomBrightness((0.5, 0.5))
    seen = [apply(OneOf([brighter, darker], [3, 1]), np.ones((1, 1)), key=(0, 0, i)).item() for i in range(300)]
    assert set(seen) == {2.0, 0.5}
    assert np.mean([s == 2 for s in seen]) == pytest.approx(0.75, abs=0.08)
    for transform in (OneOf([brighter], p=0.25), Compose([brighter], p=0.25), RandomBrightness((2, 2), p=0.25)):
        share = np.mean([apply(transform, np.ones((1, 1)), key=(0, 0, i)).item() == 2 for i in range(300)])
        assert share == pytest.approx(0.25, abs=0.08)
    plain = OneOf([lambda image, mask: (image + 1, mask)])(np.zeros((2, 2)), np.ones((2, 2)))
    assert plain[0].max() == 1


def test_a_transform_of_ones_own():
    class Shift(ImageTransform):
        def drawn(self):
            return lambda image: image + 0.25

    image, mask = Compose([Shift(), RandomHorizontalFlip(1)])(np.zeros((1, 4, 4)), MASK[:4, :4])
    assert (image == 0.25).all()
    assert np.array_equal(mask, MASK[:4, 3::-1])


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (
            lambda: RandomBrightness(-0.1),
            ArgumentError,
            "RandomBrightness: expected brightness to be a finite number of at least 0, got -0.1; pass e.g. brightness=0.2",
        ),
        (
            lambda: ColorJitter(saturation=0.5)(np.zeros((1, 4, 4))),
            ShapeError,
            "ColorJitter: expected an RGB image (3, H, W) for saturation, got (1, 4, 4); pass saturation=0",
        ),
        (
            lambda: GaussianBlur(4),
            ArgumentError,
            "GaussianBlur: expected an odd kernel_size, got 4; pass 5",
        ),
        (
            lambda: GaussianNoise(sigma=(0.2, 0.1)),
            ArgumentError,
            "GaussianNoise: expected sigma as a number or (low, high) of at least 0, got (0.2, 0.1); pass e.g. sigma=(0, 0.1)",
        ),
        (
            lambda: PercentileNormalize(50, 10),
            ArgumentError,
            "PercentileNormalize: expected percentiles 0 <= lower < upper <= 100, got 50 and 10; pass e.g. 1 and 99",
        ),
        (
            lambda: PercentileNormalize(b_min=1),
            ArgumentError,
            "PercentileNormalize: expected b_min below b_max, got 1 and 1.0; pass e.g. 0 and 1",
        ),
        (
            lambda: Normalize(0.5),
            ArgumentError,
            "Normalize: expected mean and std or neither, got one of them; pass e.g. mean=0.5, std=0.25",
        ),
        (lambda: Normalize(0.5, 0), ArgumentError, "Normalize: expected std above 0, got 0; pass e.g. std=1.0"),
        (
            lambda: Normalize([1, 2], [1, 2])(IMAGE),
            ShapeError,
            "Normalize: expected mean as one number or 3, got 2 for an image of shape (3, 20, 30); pass one a channel",
        ),
        (
            lambda: OneOf([]),
            ArgumentError,
            "OneOf: expected at least one transform, got none; pass e.g. [RandomHorizontalFlip(), RandomRotate90()]",
        ),
        (
            lambda: OneOf([RandomGamma()], [0]),
            ArgumentError,
            "OneOf: expected 1 weights of at least 0, not all 0, got [0]; pass one for each",
        ),
    ],
)
def test_errors(make, error, text):
    with pytest.raises(error) as caught:
        make()
    assert str(caught.value) == text
