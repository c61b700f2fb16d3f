import numpy as np
import pytest

import neurenix as nx
from neurenix import Tensor
from neurenix.data import ArrayDataset, ConcatDataset, Dataset, Subset, TensorDataset, random_split
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


def test_parts_of_a_dataset():
    part = Subset("abcde", [4, -5, np.int64(1)])
    assert list(part) == ["e", "a", "b"]
    assert part[-1] == "b"
    assert list(Subset(part, [2, 0])) == ["b", "e"]
    with pytest.raises(RangeError, match="Subset: expected an index below 3, got 3"):
        part[3]
    with pytest.raises(RangeError, match="Subset: expected an index below 5, got 7"):
        Subset("abcde", [0, 7])
    for wrong in (3, [0.5], [True]):
        with pytest.raises(ArgumentError, match="Subset: expected item numbers"):
            Subset("abcde", wrong)


def test_datasets_as_one():
    both = ConcatDataset([[1, 2], [], range(3, 6)])
    assert list(both) == [1, 2, 3, 4, 5]
    assert (len(both), both[-1], both[-5]) == (5, 5, 1)
    with pytest.raises(RangeError, match="ConcatDataset: expected an index below 5, got 5"):
        both[5]
    with pytest.raises(ArgumentError, match="ConcatDataset: expected a dataset with __len__"):
        ConcatDataset([[1], iter([2])])


@pytest.mark.parametrize(
    ("lengths", "sizes"), [([6, 4], [6, 4]), ([0.75, 0.25], [8, 2]), ([0.5, 0.5], [5, 5]), ([0.35, 0.35, 0.3], [4, 3, 3]), ([10], [10])]
)
def test_a_random_split_is_all_of_the_dataset_once(lengths, sizes):
    parts = random_split(range(10), lengths, seed=3)
    assert [len(p) for p in parts] == sizes
    assert sorted(i for p in parts for i in p) == list(range(10))
    assert [list(p) for p in random_split(range(10), lengths, seed=3)] == [list(p) for p in parts]
    assert [list(p) for p in random_split(range(10), lengths, seed=4)] != [list(p) for p in parts]
    nx.manual_seed(0)
    first, second = (random_split(range(10), lengths)[0].indices for _ in range(2))
    assert first != second


@pytest.mark.parametrize("lengths", [[6, 5], [0.5, 0.4], [-1, 11], [6.0, 4.0], "ab", 3, []])
def test_lengths_that_do_not_fit(lengths):
    with pytest.raises(ArgumentError, match="random_split: expected lengths that sum to 10, or fractions that sum to 1"):
        random_split(range(10), lengths)
