from collections import namedtuple

import numpy as np
import pytest

from neurenix import Tensor
from neurenix.data.collate import collate, to_tensors
from neurenix.errors import DTypeError, ShapeError

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
