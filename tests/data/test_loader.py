import io
import multiprocessing
import threading
import time

import numpy as np
import pytest

import neurenix as nx
from neurenix import Tensor
from neurenix.data import (
    ArrayDataset,
    Compose,
    DataLoader,
    Dataset,
    ElasticTransform,
    GaussianNoise,
    RandomCrop,
    RandomRotate90,
    RandomRotation,
    RandomSampler,
    TensorDataset,
)
from neurenix.errors import ArgumentError, DTypeError, StateError
from neurenix.progress import Progress

IMAGES = np.random.default_rng(0).random((10, 1, 12, 12))


def dataset():
    return ArrayDataset(IMAGES, np.arange(10), transform=Augment())


class Augment:
    """A transform that also passes the label."""

    steps = Compose([ElasticTransform(20, 3), RandomRotation(90), RandomCrop(8), RandomRotate90(), GaussianNoise()])

    def __call__(self, image, label):
        return self.steps(image), label


def epochs(count=2, **kwargs):
    loader = DataLoader(dataset(), 4, shuffle=True, seed=3, **kwargs)
    return [(images.numpy().copy(), labels.tolist()) for _ in range(count) for images, labels in loader]


@pytest.mark.parametrize("workers", [{"num_workers": 1}, {"num_workers": 4, "prefetch_factor": 1}, {"num_workers": 2, "worker": "process"}])
def test_order_and_bits_do_not_depend_on_the_workers(workers):
    for (x, a), (y, b) in zip(epochs(), epochs(**workers), strict=True):
        assert a == b
        assert np.array_equal(x, y)


def test_every_epoch_is_another_order_and_another_augmentation():
    seen = epochs()
    orders = [[label for _, labels in part for label in labels] for part in (seen[:3], seen[3:])]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(10))
    assert orders[0] != orders[1]
    loader = DataLoader(dataset(), 10, seed=3)
    (first, _), (second, _) = next(iter(loader)), next(iter(loader))
    assert not np.array_equal(first.numpy(), second.numpy())
    loader.set_epoch(0)
    assert np.array_equal(next(iter(loader))[0].numpy(), first.numpy())


def test_an_items_augmentation_does_not_depend_on_its_batch():
    one = np.concatenate([x.numpy() for x, _ in DataLoader(dataset(), 1, seed=5)])
    four = np.concatenate([x.numpy() for x, _ in DataLoader(dataset(), 4, seed=5)])
    assert np.array_equal(one, four)


def test_lengths_and_last_batches():
    for kwargs, sizes in (({}, [4, 4, 2]), ({"drop_last": True}, [4, 4]), ({"sampler": [9, 1, 2]}, [3])):
        loader = DataLoader(dataset(), 4, **kwargs)
        assert [len(labels) for _, labels in loader] == sizes
        assert len(loader) == len(sizes)
    assert list(DataLoader([], 2)) == []
    assert len(DataLoader([1, 2], 3, drop_last=True)) == 0


def test_batches_are_float32_tensors_unless_told():
    x = next(iter(DataLoader(IMAGES, 2)))
    assert isinstance(x, Tensor)
    assert x.dtype == np.float32
    assert next(iter(DataLoader(IMAGES, 2, dtype=None))).dtype == np.float64
    images, labels = next(iter(DataLoader(TensorDataset(IMAGES, np.arange(10)), 3)))
    assert images.shape == (3, 1, 12, 12)
    assert labels.dtype == np.int64


def test_collate_fn_and_other_objects():
    loader = DataLoader(["a", "b", "c"], 2, collate_fn="".join)
    assert list(loader) == ["ab", "c"]
    assert list(DataLoader(["a", "b", "c"], 2)) == [["a", "b"], ["c"]]


class Slow(Dataset):
    """Counts how many items are read at once and in all."""

    def __init__(self, fail_at=None):
        self.lock, self.now, self.most, self.read, self.fail_at = threading.Lock(), 0, 0, 0, fail_at

    def __len__(self):
        return 40

    def __getitem__(self, index):
        with self.lock:
            self.now, self.read = self.now + 1, self.read + 1
            self.most = max(self.most, self.now)
        time.sleep(0.002)
        with self.lock:
            self.now -= 1
        if index == self.fail_at:
            raise KeyError("no such image")
        return index


def test_threads_read_at_the_same_time_and_not_further_ahead_than_told():
    slow = Slow()
    iterator = iter(DataLoader(slow, 1, num_workers=2, prefetch_factor=2))
    next(iterator)
    time.sleep(0.05)
    assert slow.most == 2
    assert slow.read <= 6
    iterator.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("neurenix-data")]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_failing_item_is_named(workers):
    with pytest.raises(KeyError, match="no such image") as caught:
        list(DataLoader(Slow(fail_at=7), 4, num_workers=workers))
    assert "read item 7 of Slow" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: DataLoader(3), ArgumentError, "expected a dataset with __len__ and __getitem__, got int"),
        (lambda: DataLoader([1], 0), ArgumentError, "expected batch_size to be an integer of at least 1, got 0"),
        (lambda: DataLoader([1], 1.5), ArgumentError, "got 1.5"),
        (lambda: DataLoader([1], num_workers=-1), ArgumentError, "expected num_workers"),
        (lambda: DataLoader([1], worker="fork"), ArgumentError, r"worker to be one of \('thread', 'process'\), got 'fork'"),
        (lambda: DataLoader([1], shuffle=True, sampler=[0]), ArgumentError, "either a sampler or shuffle=True"),
        (lambda: list(DataLoader([1], batch_sampler=[0])), ArgumentError, "expected lists of item numbers from batch_sampler, got 0"),
        (lambda: DataLoader([1], collate_fn=1), ArgumentError, "expected collate_fn to be callable"),
        (lambda: DataLoader([1], seed=-1), ArgumentError, "expected seed"),
        (lambda: DataLoader([1], dtype=int), DTypeError, "expected dtype to be a float type or None"),
        (lambda: DataLoader([1], dtype="nonsense"), DTypeError, "got 'nonsense'"),
        (lambda: DataLoader([1]).set_epoch(-1), ArgumentError, "expected epoch"),
        (lambda: list(DataLoader([lambda: 1], num_workers=1, worker="process")), ArgumentError, "that can be pickled for worker='process'"),
    ],
)
def test_errors(make, error, text):
    with pytest.raises(error, match=text):
        make()


class Bad(Dataset):
    """Item 5 fails in one way or another."""

    def __init__(self, error):
        self.error = error

    def __len__(self):
        return 8

    def __getitem__(self, index):
        if index == 5:
            raise self.error("broken", "file") if self.error is AwkwardError else self.error("broken file")
        return index


class AwkwardError(Exception):
    """Cannot be pickled: two arguments, of which one is kept."""

    def __init__(self, first, second):
        super().__init__(first)


def test_a_failing_item_of_a_process_is_named():
    with pytest.raises(OSError, match="broken file") as caught:
        list(DataLoader(Bad(OSError), 2, num_workers=1, worker="process"))
    assert "read item 5 of Bad" in caught.value.__notes__[0]
    with pytest.raises(StateError, match=r"got AwkwardError: broken \(while a DataLoader read item 5 of Bad"):
        list(DataLoader(Bad(AwkwardError), 2, num_workers=1, worker="process"))


def test_a_broken_off_iteration_leaves_no_process():
    before = len(multiprocessing.active_children())
    for _ in DataLoader(list(range(20)), 2, num_workers=2, worker="process"):
        break
    assert len(multiprocessing.active_children()) == before


@pytest.mark.parametrize("workers", [{}, {"num_workers": 1}, {"num_workers": 4}])
@pytest.mark.parametrize("given", [0, 1, 2, 3])
def test_another_run_goes_on_with_the_next_batch(workers, given):
    whole = DataLoader(dataset(), 4, shuffle=True, seed=3)
    wanted = [[(x.numpy().tobytes(), y.tolist()) for x, y in whole] for _ in range(3)]
    loader = DataLoader(dataset(), 4, shuffle=True, seed=3, **workers)
    list(loader)
    iterator = iter(loader)
    for _ in range(given):
        next(iterator)
    state = loader.state_dict()
    assert state == {"epoch": 1, "batch": given, "seed": 3}
    iterator.close()
    again = DataLoader(dataset(), 4, shuffle=True, **workers)
    again.load_state_dict(state)
    assert again.state_dict() == state
    found = [[(x.numpy().tobytes(), y.tolist()) for x, y in again] for _ in range(2)]
    assert found == [wanted[1][given:], wanted[2]]
    assert again.state_dict() == {"epoch": 3, "batch": 0, "seed": 3}


def test_what_is_skipped_is_not_read():
    slow = Slow()
    loader = DataLoader(slow, 4)
    loader.load_state_dict({"epoch": 0, "batch": 9, "seed": 0})
    assert [b.tolist() for b in loader] == [[36, 37, 38, 39]]
    assert slow.read == 4


def test_an_iterable_goes_on_too():
    class Stream:
        def __iter__(self):
            return (nx.rand(1) for _ in range(7))

    wanted = [x.tolist() for x in DataLoader(Stream(), 2, seed=1)]
    again = DataLoader(Stream(), 2, seed=1)
    again.load_state_dict({"epoch": 0, "batch": 2, "seed": 1})
    assert [x.tolist() for x in again] == wanted[2:]


def test_batch_samplers_decide():
    loader = DataLoader(list(range(6)), batch_sampler=[[5, 0], [1], [2, 3, 4]], num_workers=2)
    assert [b.tolist() for b in loader] == [[5, 0], [1], [2, 3, 4]]
    assert len(loader) == 3

    class Numbered:
        def __getitem__(self, index):
            return 10 * index

    assert [b.tolist() for b in DataLoader(Numbered(), 2, sampler=(n for n in (4, 1, 7)))] == [[40, 10], [70]]


def test_a_sampler_is_told_the_epoch():
    sampler = RandomSampler(range(10), seed=5)
    first = [DataLoader(list(range(10)), 10, sampler=sampler) for _ in range(2)]
    assert [b.tolist() for b in first[0]] == [b.tolist() for b in first[1]] != [b.tolist() for b in first[0]]


def test_progress_shows_a_loader_with_and_without_length():
    for data, text in ((list(range(5)), "step 3/3"), ((n for n in range(5)), "step 3,")):
        out = io.StringIO()
        assert len(list(Progress(DataLoader(data, 2), stream=out))) == 3
        assert out.getvalue().startswith(text)


@pytest.mark.parametrize(
    "state", [None, {}, {"epoch": 1, "batch": 2}, {"epoch": 1, "batch": -1, "seed": 0}, {"epoch": 1.0, "batch": 1, "seed": 0}]
)
def test_a_state_that_is_none_is_refused(state):
    loader = DataLoader([1], seed=0)
    with pytest.raises(StateError, match="DataLoader: expected a state with the integers epoch, batch and seed, got .*; pass what"):
        loader.load_state_dict(state)
    assert loader.state_dict() == {"epoch": 0, "batch": 0, "seed": 0}


@pytest.mark.parametrize("settings", [{"batch_size": 2}, {"shuffle": True}, {"sampler": [0]}, {"drop_last": True}])
def test_a_batch_sampler_stands_alone(settings):
    with pytest.raises(ArgumentError) as caught:
        DataLoader([1], batch_sampler=[[0]], **settings)
    assert str(caught.value) == (
        "DataLoader: expected batch_sampler without batch_size, shuffle, sampler and drop_last, got one of them too; "
        "let the batch_sampler decide"
    )


def mixed(items):
    """A batch blended with itself, as mixup does: it draws when it is put together."""
    batch = np.stack(items)
    return batch + nx.rand(len(batch)).numpy()[:, None] * batch[::-1]


@pytest.mark.parametrize("dataset", [np.arange(12.0).reshape(6, 2), iter])
def test_what_a_collate_function_draws_is_the_same_for_any_workers(dataset):
    rows = np.arange(12.0).reshape(6, 2)
    source = (lambda: Walk(rows)) if dataset is iter else (lambda: dataset)
    runs = [[b.numpy() for b in DataLoader(source(), 2, collate_fn=mixed, num_workers=n, seed=3)] for n in (0, 1, 3)]
    assert all(np.array_equal(a, b) for run in runs[1:] for a, b in zip(runs[0], run, strict=True))
    shares = [(batch[0] - rows[2 * i]) / rows[2 * i + 1] for i, batch in enumerate(runs[0])]
    assert len({round(float(s[1]), 6) for s in shares}) == 3


class Walk:
    """Rows that can only be walked through."""

    def __init__(self, rows):
        self.rows = rows

    def __iter__(self):
        return iter(self.rows)
