"""Memory order: dense copies, channels last, casts between views of any strides."""

import numpy as np
import pytest

from neurenix import backend, layout
from neurenix.testing import assert_same_bits, random_array


def views(a):
    """The same values in several memory orders."""
    yield a
    yield np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    yield np.asfortranarray(a)
    big = np.zeros((*a.shape[:-1], 2 * a.shape[-1]), a.dtype)
    big[..., ::2] = a
    yield big[..., ::2]
    yield np.ascontiguousarray(a[:, :, ::-1])[:, :, ::-1]


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 1, 7, 1), (2, 16, 33, 17), (0, 3, 2, 2), (1, 1, 1, 1)])
@pytest.mark.parametrize("dtype", ["f4", "f8", "u1", "i8"])
def test_channels_last_of_any_order(shape, dtype):
    a = (100 * random_array(*shape)).astype(dtype)
    for view in views(a):
        buffer = layout.channels_last(view)
        assert buffer.flags.c_contiguous
        assert_same_bits(buffer, a.transpose(0, 2, 3, 1))
        assert_same_bits(layout.contiguous(view), a)
        assert_same_bits(layout.copy(view), a)


def test_a_copy_keeps_the_order_of_a_dense_array():
    a = random_array(2, 4, 5, 3, dtype=np.float32).transpose(0, 3, 1, 2)
    assert layout.copy(a).strides == a.strides
    assert layout.empty_like(a, np.float64).strides == tuple(2 * s for s in a.strides)


def test_accumulate_adds_any_order():
    a = random_array(2, 3, 4, 5)
    for view in views(a):
        total = layout.copy(a)
        layout.accumulate(total, view)
        assert_same_bits(total, a + a)


@pytest.mark.parametrize("source", ["f2", "f4", "f8", "u1", "i4", "i8", "?"])
@pytest.mark.parametrize("target", ["f2", "f4", "f8", "u1", "i4", "i8", "?"])
def test_cast_as_numpy_does(source, target):
    a = np.array([[0, 1, 2], [3, 100, 5]]).astype(source)
    assert_same_bits(layout.cast(a.T, np.dtype(target)), a.T.astype(target))


def test_same_bits_for_any_thread_count(each_thread_count):
    a = random_array(3, 32, 65, 67, dtype="f4")
    first, *others = each_thread_count(lambda: layout.channels_last(a))
    for other in others:
        assert_same_bits(other, first)


def test_only_ours_is_what_nobody_else_can_reach():
    kept = []
    fresh = backend.empty((2, 3), np.float32, "cpu")
    assert layout.is_only_ours(fresh)
    kept.append(fresh)
    assert not layout.is_only_ours(fresh)
    kept.clear()
    view = fresh.T
    assert not layout.is_only_ours(view) and not layout.is_only_ours(fresh)
    del fresh
    assert layout.is_only_ours(view)
    half = view[:1]
    assert not layout.is_only_ours(half) and not layout.is_only_ours(view)
    expanded = np.lib.stride_tricks.as_strided(np.zeros(1, "f4"), (3,), (0,))
    same = np.broadcast_to(np.zeros(3, "f4"), (3,))
    assert not layout.is_only_ours(expanded) and not layout.is_only_ours(same)
