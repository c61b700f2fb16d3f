import numpy as np
import pytest

from neurenix import Tensor
from neurenix.data import ArrayDataset, Dataset, TensorDataset
from neurenix.errors import ArgumentError, RangeError, ShapeError


def test_tensor_dataset_gives_rows_that_belong_together():
    x, y = np.arange(12.0).reshape(4, 3), np.arange(4)
    dataset = TensorDataset(x, Tensor(y))
    assert len(dataset) == 4
    a, b = dataset[-1]
    assert isinstance(a, Tensor)
    assert np.array_equal(a.numpy(), x[3])
    assert b.item() == 3


def test_array_dataset_takes_lists_of_different_sizes_and_counts_repeats():
    images = [np.zeros((1, 4, 5)), np.ones((1, 6, 7))]
    dataset = ArrayDataset(images, [0, 1], repeats=3, transform=lambda image, label: (image.shape, label))
    assert len(dataset) == 6
    assert dataset[5] == ((1, 6, 7), 1)
    assert ArrayDataset(images)[0] is images[0]


def test_datasets_end_like_sequences():
    dataset = ArrayDataset(np.arange(3))
    assert list(dataset) == [0, 1, 2]
    with pytest.raises(RangeError, match="ArrayDataset: expected an index below 3, got 3"):
        dataset[3]
    with pytest.raises(IndexError):
        TensorDataset(np.zeros(2))[-3]


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (TensorDataset, ArgumentError, "TensorDataset: expected at least one tensor"),
        (lambda: TensorDataset(np.zeros(3), np.zeros(4)), ShapeError, "got lengths 3, 4"),
        (lambda: TensorDataset(np.zeros(())), ShapeError, "expected arrays with an axis of items"),
        (ArrayDataset, ArgumentError, "ArrayDataset: expected at least one array"),
        (lambda: ArrayDataset([1], [1, 2]), ShapeError, "each image needs its mask"),
        (lambda: ArrayDataset([1], transform=3), ArgumentError, "expected transform to be callable, got int"),
        (lambda: ArrayDataset([1], repeats=0), ArgumentError, "expected repeats to be an integer of at least 1, got 0"),
        (lambda: ArrayDataset([1], repeats=True), ArgumentError, "got True"),
        (lambda: len(Dataset()), NotImplementedError, "define it to return the number of items"),
        (lambda: Dataset()[0], NotImplementedError, "define it to return item number"),
    ],
)
def test_errors(make, error, text):
    with pytest.raises(error, match=text):
        make()
