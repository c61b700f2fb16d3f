"""Orders and batches: every item, the same for the same seed and epoch."""

import numpy as np
import pytest

from neurenix.data import BucketBatchSampler, BucketSampler, DataLoader, RandomSampler, WeightedRandomSampler, pad_collate
from neurenix.errors import ArgumentError

SIZES = [(int(h), int(w)) for h, w in np.random.default_rng(0).integers(20, 90, (23, 2))]
IMAGES = [np.full((1, *size), i, np.float32) for i, size in enumerate(SIZES)]


@pytest.mark.parametrize(
    "make",
    [
        lambda: RandomSampler(range(9), seed=3),
        lambda: RandomSampler(range(9), replacement=True, num_samples=20, seed=3),
        lambda: WeightedRandomSampler([1, 2, 3, 4, 5, 6], 9, seed=3),
        lambda: WeightedRandomSampler([1, 2, 3, 4, 5, 6], 4, replacement=False, seed=3),
        lambda: BucketBatchSampler(SIZES, 4, seed=3),
        lambda: BucketSampler(SIZES, 4, seed=3),
    ],
)
def test_an_epoch_is_a_function_of_seed_and_number(make):
    sampler, again = make(), make()
    first, second = list(sampler), list(sampler)
    assert len(first) == len(sampler) == len(second)
    assert first != second
    again.set_epoch(1)
    assert list(again) == second


def test_buckets_hold_every_item_once_and_pad_little():
    sampler = BucketBatchSampler(SIZES, 4, seed=0)
    batches = list(sampler)
    assert sorted(n for b in batches for n in b) == list(range(23))
    assert sorted(map(len, batches)) == [3, 4, 4, 4, 4, 4]

    def area(chosen):
        return sum(len(b) * max(SIZES[n][0] for n in b) * max(SIZES[n][1] for n in b) for b in chosen)

    plain = [list(range(23))[i : i + 4] for i in range(0, 23, 4)]
    assert area(batches) < area(plain)
    assert len(list(BucketBatchSampler(SIZES, 4, drop_last=True, seed=0))) == len(BucketBatchSampler(SIZES, 4, drop_last=True)) == 5
    even = list(BucketBatchSampler(SIZES, 4, multiple=1000, shuffle=False))
    assert even == plain


def test_a_loader_of_buckets_resumes():
    def loader():
        return DataLoader(IMAGES, batch_sampler=BucketBatchSampler(SIZES, 4, seed=1), collate_fn=pad_collate, num_workers=2)

    wanted = [(x.shape, x.numpy().tobytes()) for x, _ in loader()]
    running = loader()
    iterator = iter(running)
    next(iterator)
    again = loader()
    again.load_state_dict(running.state_dict())
    assert [(x.shape, x.numpy().tobytes()) for x, _ in again] == wanted[1:]
    by_items = DataLoader(IMAGES, 4, sampler=BucketSampler(SIZES, 4, seed=1), collate_fn=pad_collate)
    assert sorted(x.shape for x, _ in by_items) == sorted(shape for shape, _ in wanted)


def test_weights():
    counts = np.bincount(list(WeightedRandomSampler([1, 0, 3], 4000, seed=0)), minlength=3)
    assert counts[1] == 0
    assert counts[2] / counts[0] == pytest.approx(3, rel=0.15)
    assert sorted(WeightedRandomSampler([1, 0, 3], 2, replacement=False, seed=0)) == [0, 2]
    firsts = [next(iter(WeightedRandomSampler([1, 3], 1, replacement=False, seed=i))) for i in range(400)]
    assert np.mean(firsts) == pytest.approx(0.75, abs=0.07)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: RandomSampler([1], num_samples=2),
            "RandomSampler: expected num_samples of at most 1 without replacement, got 2; pass replacement=True",
        ),
        (
            lambda: WeightedRandomSampler([-1, 2], 1),
            "WeightedRandomSampler: expected weights of at least 0, not all 0, got [-1, 2]; pass one for each",
        ),
        (
            lambda: WeightedRandomSampler([0, 2], 2, replacement=False),
            "WeightedRandomSampler: expected num_samples of at most 1 without replacement, got 2; pass replacement=True",
        ),
        (
            lambda: BucketBatchSampler([3, 4], 2),
            "BucketBatchSampler: expected sizes as a list of (height, width), one an item, got others; pass e.g. [(512, 400), (300, 300)]",
        ),
        (
            lambda: BucketSampler([(3, 4)], 0),
            "BucketSampler: expected batch_size to be an integer of at least 1, got 0; pass e.g. batch_size=1",
        ),
    ],
)
def test_errors(make, text):
    with pytest.raises(ArgumentError) as caught:
        make()
    assert str(caught.value) == text


def test_no_items_make_no_batches():
    assert list(BucketBatchSampler([], 2)) == []
    assert len(BucketBatchSampler([], 2)) == 0
