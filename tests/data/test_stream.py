"""Datasets of other libraries: iterables, PyTorch's base classes by their habits, items that give their values by ``__array__``."""

import threading

import numpy as np
import pytest

import neurenix as nx
from neurenix.data import DataLoader
from neurenix.errors import ArgumentError, DTypeError


class Foreign:
    """Another library's tensor."""

    def __init__(self, values, dtype=np.float32):
        self.values = np.asarray(values, dtype)

    def __array__(self, dtype=None, copy=None):
        return self.values


class Dataset:
    """PyTorch's base class: has ``__getitem__`` whatever it is."""

    def __getitem__(self, index):
        raise NotImplementedError("Subclasses of Dataset should implement __getitem__.")


class IterableDataset(Dataset):
    """PyTorch's, by name."""


class Numbered(Dataset):
    def __len__(self):
        return 5

    def __getitem__(self, index):
        return Foreign(np.full((2, 3), index)), Foreign(index, np.int64), {"weight": Foreign(1.0, np.float64)}


class Walked(IterableDataset):
    def __iter__(self):
        return ((Foreign([i]), i, nx.rand(1)) for i in range(5))


class WalkedWithLength(Walked):
    def __len__(self):
        return 5


class Plain:
    def __iter__(self):
        return iter(range(3))


@pytest.mark.parametrize("workers", [0, 2])
def test_foreign_items_become_tensors(workers):
    batches = list(DataLoader(Numbered(), 2, num_workers=workers))
    x, label, more = batches[0]
    assert (x.shape, x.dtype, label.dtype, more["weight"].dtype) == ((2, 2, 3), np.float32, np.int64, np.float32)
    assert label.tolist() == [0, 1] and batches[2][1].tolist() == [4]


def test_foreign_items_in_process_workers():
    assert [b[1].tolist() for b in DataLoader(Numbered(), 3, num_workers=1, worker="process")] == [[0, 1, 2], [3, 4]]


@pytest.mark.parametrize("kind", [Walked, WalkedWithLength])
def test_iterables_give_their_own_order_whatever_the_workers(kind):
    runs = [[[part.tolist() for part in b] for b in DataLoader(kind(), 2, num_workers=n, seed=3)] for n in (0, 1, 3)]
    assert [b[1] for b in runs[0]] == [[0, 1], [2, 3], [4]] and [b[0] for b in runs[0]] == [[[0.0], [1.0]], [[2.0], [3.0]], [[4.0]]]
    assert runs[0] == runs[1] == runs[2]
    loader = DataLoader(kind(), 2, drop_last=True, seed=3)
    first, second = ([b[2].tolist() for b in loader] for _ in range(2))
    assert len(first) == 2 and first != second


def test_lengths():
    assert len(DataLoader(WalkedWithLength(), 2)) == 3
    with pytest.raises(DTypeError, match="got the iterable Walked; count its batches"):
        len(DataLoader(Walked(), 2))
    assert [b.tolist() for b in DataLoader(Plain(), 2)] == [[0, 1], [2]]


def test_a_broken_off_iteration_leaves_no_thread():
    for _ in DataLoader(Walked(), 1, num_workers=2):
        break
    assert not [t for t in threading.enumerate() if t.name.startswith("neurenix-data")]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_failing_item_is_named(workers):
    class Failing:
        def __iter__(self):
            yield 1
            raise KeyError("no such image")

    with pytest.raises(KeyError, match="no such image") as caught:
        list(DataLoader(Failing(), 1, num_workers=workers))
    assert "read item 1 of Failing" in caught.value.__notes__[0]


@pytest.mark.parametrize("settings", [{"shuffle": True}, {"sampler": [0]}, {"worker": "process"}])
def test_what_an_iterable_cannot_do_is_said(settings):
    with pytest.raises(ArgumentError, match="expected no shuffle, sampler or worker='process' with an iterable, got a Walked"):
        DataLoader(Walked(), **settings)
