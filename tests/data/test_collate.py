from collections import namedtuple

import numpy as np
import pytest

from neurenix import Tensor
from neurenix.data import DataLoader, pad_collate
from neurenix.data.collate import collate
from neurenix.data.delivery import to_tensors
from neurenix.errors import ArgumentError, DTypeError, ShapeError

Pair = namedtuple("Pair", "image label")


def test_structures_survive():
    items = [{"pair": Pair(np.full((2,), float(i)), i), "name": f"{i}.png", "rest": [Tensor([i]), True]} for i in range(3)]
    batch = to_tensors(collate(items))
    assert type(batch["pair"]) is Pair
    assert batch["pair"].image.dtype == np.float32
    assert batch["pair"].image.shape == (3, 2)
    assert batch["pair"].label.tolist() == [0, 1, 2]
    assert batch["pair"].label.dtype == np.int64
    assert batch["name"] == ["0.png", "1.png", "2.png"]
    assert batch["rest"][0].shape == (3, 1)
    assert batch["rest"][1].dtype == np.bool_


def test_only_floats_are_converted_and_none_keeps_them():
    assert collate([np.zeros(2)]).dtype == np.float32
    assert collate([np.zeros(2)], None).dtype == np.float64
    assert collate([np.zeros(2, ">f8")], None).dtype.isnative
    assert collate([np.zeros(2, np.float32)], np.float64).dtype == np.float64
    assert collate([np.zeros(2, np.uint8)]).dtype == np.uint8
    assert collate([1.0, 2.5]).tolist() == [1.0, 2.5]


def test_views_of_any_order_are_stacked():
    x = np.arange(6.0).reshape(2, 3)
    assert np.array_equal(collate([x[:, ::-1], x[::-1]]), np.stack([x[:, ::-1], x[::-1]]))


@pytest.mark.parametrize(
    ("items", "error", "text"),
    [
        ([np.zeros(2), np.zeros(3)], ShapeError, r"got \(2,\) and, at place 1 of the batch, \(3,\)"),
        ([np.zeros(2), np.zeros(2, int)], DTypeError, "got float64 and int64"),
        ([(1, 2), (1,)], ShapeError, "same number of parts"),
        ([{"a": 1}, {"b": 1}], ShapeError, "same keys"),
        ([{"a": 1}, 1], ShapeError, "same keys"),
    ],
)
def test_errors(items, error, text):
    with pytest.raises(error, match=text):
        collate(items)


def pairs(mask_type=np.int64):
    return [(np.full((2, h, w), float(h)), np.full((h, w), 1, mask_type), h) for h, w in ((3, 7), (5, 4))]


def test_padding_fills_and_says_what_is_real():
    images, masks, numbers, valid = pad_collate(pairs(), fill=-1.0)
    assert (images.shape, masks.shape, valid.shape) == ((2, 2, 5, 7), (2, 5, 7), (2, 5, 7))
    assert (images.dtype, masks.dtype, valid.dtype) == (np.float32, np.int64, np.bool_)
    assert numbers.tolist() == [3, 5]
    assert (images == np.where(valid[:, None], images[:, :, :1, :1], -1)).all()
    assert (masks == np.where(valid, 1, -100)).all()
    assert valid.sum(axis=(1, 2)).tolist() == [21, 20]


def test_padding_to_a_multiple_names_and_single_images():
    assert pad_collate(pairs(), multiple=4)[0].shape == (2, 2, 8, 8)
    assert pad_collate(pairs(), multiple=(4, 10))[0].shape == (2, 2, 8, 10)
    batch = pad_collate([{"image": x, "mask": m > 0, "label": n} for x, m, n in pairs()])
    assert set(batch) == {"image", "mask", "label", "valid"}
    assert (batch["mask"] == batch["valid"]).all()
    assert pad_collate([{"image_name": "a", "image": x} for x, _, _ in pairs()], fill=-1.0)["image"].min() == -1
    images, valid = pad_collate([x for x, _, _ in pairs()], dtype=None)
    assert (images.dtype, valid.shape) == (np.float64, (2, 5, 7))
    images, valid = pad_collate([Tensor(np.ones((2, 2))), Tensor(np.ones((3, 1)))])
    assert images.shape == valid.shape == (2, 3, 2)
    floats = pad_collate([(x, x[:1]) for x, _, _ in pairs()])[1]
    assert floats[0, 0, 4, 6] == 0


def test_mixed_sizes_say_what_helps():
    with pytest.raises(ShapeError) as caught:
        next(iter(DataLoader([x for x, _, _ in pairs()], 2)))
    assert str(caught.value) == (
        "DataLoader: expected items of one shape, got (2, 3, 7) and, at place 1 of the batch, (2, 5, 4); "
        "use collate_fn=pad_collate, crop or resize them alike, or use batch_size=1"
    )
    images, _, _, valid = next(iter(DataLoader(pairs(), 2, collate_fn=pad_collate)))
    assert isinstance(valid, Tensor)
    assert images.shape == (2, 2, 5, 7)


@pytest.mark.parametrize(
    ("items", "error", "text"),
    [
        (
            pairs(np.uint8),
            ArgumentError,
            "pad_collate: expected an ignore_index that uint8 holds, got -100; pass partial(pad_collate, ignore_index=255) "
            "and ignore_index=255 to the loss, or store masks as int64",
        ),
        (
            [3, 4],
            ShapeError,
            "pad_collate: expected an image (..., H, W) as the first part of each item, got none; return (image, ...)",
        ),
        (
            [np.ones((1, 2, 2)), np.ones((3, 2, 2))],
            ShapeError,
            "pad_collate: expected items that differ in height and width only, got (1, 2, 2) float64 and, at place 1 of the batch, "
            "(3, 2, 2) float64; convert them in the dataset",
        ),
    ],
)
def test_padding_errors(items, error, text):
    with pytest.raises(error) as caught:
        pad_collate(items)
    assert str(caught.value) == text


def test_fillings_fit_their_images():
    with pytest.raises(
        ArgumentError, match="pad_collate: expected fill from 0 to 255 for an array of uint8, got -1; convert images to floats"
    ):
        pad_collate([np.ones((2, 2), np.uint8), np.ones((3, 3), np.uint8)], fill=-1)
