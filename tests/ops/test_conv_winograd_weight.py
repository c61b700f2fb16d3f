"""The weight gradient by Winograd's algorithm: against direct sums in double, bits, the choice by layer."""

import numpy as np
import pytest

import neurenix as nx
from neurenix import _rust
from neurenix.nn import functional as F
from neurenix.ops import _conv
from neurenix.testing import assert_same_bits, gradients, random_array

PLAIN = _conv.Window((3, 3), (1, 1), (1, 1), (1, 1), 1)
# images, channels, outputs, rows, columns, zeros around
CASES = [
    (1, 16, 16, 4, 4, 1),
    (2, 16, 16, 1, 1, 1),
    (1, 16, 48, 3, 3, 0),
    (3, 17, 35, 5, 9, 1),
    (2, 64, 64, 16, 16, 1),
    (1, 80, 130, 13, 22, (0, 2)),
    (5, 31, 16, 7, 2, (2, 1)),
    (1, 65, 64, 66, 70, 2),
    (1, 20, 18, 131, 133, 1),
    (2, 16, 33, 129, 67, (1, 0)),
    (1, 200, 150, 11, 11, 1),
    (1, 16, 16, 200, 205, 1),
]


def maps(case, dtype=np.float32, kind="normal"):
    """Both maps as the kernels take them, and the weight."""
    n, c, k, h, w, pad = case
    pad = pad if isinstance(pad, tuple) else (pad, pad)
    large = random_array(n, h, w, c, seed=1)
    small = random_array(n, h + 2 * pad[0] - 2, w + 2 * pad[1] - 2, k, seed=2)
    if kind == "relu":
        large, small = np.maximum(large, 0), small * (random_array(*small.shape, seed=3) > 0)
    return small.astype(dtype), large.astype(dtype), nx.Tensor(np.zeros((k, c, 3, 3), dtype)), PLAIN._replace(pad=pad)


def gradient(case, precision, **options):
    with nx.set_float32_precision(precision):
        return _conv.weight_gradient(*maps(case, **options))


def exact(case, **options):
    small, large, weight, window = maps(case, **options)
    return _conv.weight_gradient(small.astype("f8"), large.astype("f8"), nx.Tensor(weight.numpy().astype("f8")), window)


def distance(got, want):
    return np.linalg.norm(got - want) / np.linalg.norm(want)


@pytest.mark.parametrize("kind", ["normal", "relu"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_error_beside_direct_sums(case, kind):
    want = exact(case, kind=kind)
    direct, fast = gradient(case, "ieee", kind=kind), gradient(case, "fast", kind=kind)
    assert (fast != direct).any()
    assert distance(fast, want) <= min(1.5e-6, 6 * max(distance(direct, want), 1e-7))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_in_double_it_is_the_same_gradient(case):
    small, large, weight, window = maps(case, np.float64)
    dw = np.empty_like(weight.numpy())
    n, oh, ow, k = small.shape
    sizes = (n, *large.shape[1:3], oh, ow, k, large.shape[3], 1, *window.pad)
    _conv.winograd_weight_gradient(dw, small, large, None, None, None, *sizes, False)
    assert distance(dw, exact(case, dtype=np.float64)) <= 1e-13


@pytest.mark.parametrize("case", CASES, ids=str)
def test_bits_depend_neither_on_threads_nor_on_the_level(case):
    want, before = gradient(case, "fast"), (_rust.level(), _rust.num_threads())
    try:
        for level in _rust.levels():
            _rust.set_level(level)
            for threads in (1, 2, 3, 8):
                _rust.set_num_threads(threads)
                assert_same_bits(gradient(case, "fast"), want)
    finally:
        _rust.set_level(before[0])
        _rust.set_num_threads(before[1])


def test_the_layer_and_the_precision_choose_the_algorithm():
    def same(case, precision, window=PLAIN, dtype=np.float32):
        small, large, weight, _ = maps(case, dtype)
        got = []
        for p in (precision, "ieee"):
            with nx.set_float32_precision(p):
                got.append(_conv.weight_gradient(small, large, weight, window))
        return np.array_equal(*got)

    case = (1, 16, 16, 12, 12, 1)
    assert not same(case, "fast")
    assert not same(case, "tf32")
    assert same(case, "fast", dtype=np.float64)
    assert same((1, 15, 16, 12, 12, 1), "fast")
    assert same((1, 16, 15, 12, 12, 1), "fast")
    small, large, _, _ = maps((1, 16, 16, 12, 12, 1))
    for window, shape in [
        (_conv.Window((3, 3), (1, 1), (2, 2), (2, 2), 1), (16, 16, 3, 3)),
        (_conv.Window((3, 1), (1, 1), (1, 0), (1, 1), 1), (16, 16, 3, 1)),
        (_conv.Window((3, 3), (1, 1), (1, 1), (1, 1), 2), (16, 8, 3, 3)),
    ]:
        weight = nx.Tensor(np.zeros(shape, np.float32))
        got = []
        for precision in ("fast", "ieee"):
            with nx.set_float32_precision(precision):
                got.append(_conv.weight_gradient(small, large, weight, window))
        assert_same_bits(*got)


def test_through_convolutions_and_their_transposes():
    x, w = random_array(2, 18, 9, 7, dtype=np.float32), random_array(20, 18, 3, 3, dtype=np.float32)
    y = random_array(2, 20, 9, 7, seed=4, dtype=np.float32)
    for fn, inputs, out in [(F.conv2d, (x, w), y), (F.conv_transpose2d, (y, w), x)]:
        _, got = gradients(lambda a, b, fn=fn: fn(a, b, padding=1), list(inputs), [out])
        _, want = gradients(lambda a, b, fn=fn: fn(a, b, padding=1), [a.astype("f8") for a in inputs], [out.astype("f8")])
        assert 0 < distance(got, want) < 1e-6


def test_no_pixels_no_gradient():
    for n, h in [(0, 5), (2, 2)]:
        large, small = np.ones((n, h, 5, 16), np.float32), np.ones((n, h - 2, 3, 16), np.float32)
        dw = _conv.weight_gradient(small, large, nx.Tensor(np.ones((16, 16, 3, 3), np.float32)), PLAIN._replace(pad=(0, 0)))
        assert not dw.any()


def test_a_sum_over_many_tiles_stays_exact():
    case = (2, 16, 16, 512, 384, 1)
    want = exact(case, kind="relu")
    assert distance(gradient(case, "fast", kind="relu"), want) <= 6 * distance(gradient(case, "ieee", kind="relu"), want)
