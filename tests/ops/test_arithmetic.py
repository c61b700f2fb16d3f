"""Arithmetic: values against NumPy, gradients, types, memory orders, errors."""

import numpy as np
import pytest
from slopes import same, slopes

import neurenix as nx
from neurenix import _rust
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.testing import assert_same_bits, check_gradient, check_used_twice, random_array

SHAPES = [((4, 5), (4, 5)), ((4, 1), (5,)), ((2, 3, 1, 4), (3, 7, 1)), ((0, 3), (1, 3)), ((1,), (1,))]
PAIRS = [
    (nx.add, np.add),
    (nx.sub, np.subtract),
    (nx.mul, np.multiply),
    (nx.maximum, np.maximum),
    (nx.minimum, np.minimum),
    (nx.atan2, np.arctan2),
]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
@pytest.mark.parametrize(("a", "b"), SHAPES)
def test_broadcast_values_and_gradients(ours, theirs, a, b):
    x, y = random_array(*a), random_array(*b, seed=1)
    np.testing.assert_allclose(ours(x, y).numpy(), theirs(x, y), rtol=1e-14)
    check_gradient(ours, x, y)
    check_used_twice(ours, x, y)


def test_division_and_powers():
    x, y = np.abs(random_array(3, 5)) + 0.5, np.abs(random_array(5, seed=1)) + 0.5
    np.testing.assert_array_equal(nx.div(x, y).numpy(), x / y)
    np.testing.assert_allclose(nx.pow(x, y).numpy(), x**y, rtol=1e-15)
    for fn in (nx.div, nx.pow, nx.remainder, nx.fmod):
        check_gradient(fn, x, y)
    for number in (2, 0.5, -1, 3, 2.7, 0, -2):
        np.testing.assert_allclose(nx.pow(x, number).numpy(), x ** float(number), rtol=1e-14)
        check_gradient(lambda a, n=number: a**n, x)
    check_gradient(lambda a: 2.0**a, x)
    check_gradient(lambda a: 3 / a - (1 - a) * 2, x)


def test_rounded_division_is_pythons():
    x, y = np.array([7.0, -7.0, 7.0, -7.0, 1.0]), np.array([2.0, 2.0, -2.0, -2.0, 0.1])
    assert nx.floor_divide(x, y).tolist() == [float(a // b) for a, b in zip(x, y, strict=True)]
    assert nx.remainder(x, y).tolist() == [a % b for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    assert nx.div(x, y, rounding_mode="trunc").tolist() == [3.0, -3.0, -3.0, 3.0, 10.0]
    i, j = np.array([7, -7, 7, -7]), np.array([2, 2, -2, -2])
    np.testing.assert_array_equal((nx.tensor(i) // nx.tensor(j)).numpy(), i // j)
    np.testing.assert_array_equal((nx.tensor(i) % nx.tensor(j)).numpy(), i % j)
    np.testing.assert_array_equal(nx.fmod(i, j).numpy(), np.fmod(i, j))


def test_number_operands_are_weak():
    x = nx.tensor([1.0, 2.0])
    for y in (x * np.float64(2), 2 * x, x + 1, 1 - x, x / 3, np.float64(3) / x, x**2, x // 2):
        assert y.dtype == np.float32
    assert (nx.tensor([1, 2]) + 1).dtype == np.int64
    assert (nx.tensor(np.array([1, 2], np.int8)) + 1).dtype == np.int8
    assert (nx.tensor([1, 2]) * 0.5).tolist() == [0.5, 1.0]
    assert (nx.tensor([1, 2]) * 0.5).dtype == np.float32
    assert (nx.tensor([True, False]) + 1).tolist() == [2, 1]


def test_types_of_mixed_tensors():
    i8, i64 = nx.tensor(np.array([3], np.int8)), nx.tensor([4])
    f, b = nx.tensor([0.5]), nx.tensor([True])
    assert (i8 + i64).dtype == np.int64
    assert (i8 + f).dtype == np.float32
    assert (b + f).tolist() == [1.5]
    assert (i8 + nx.tensor(4)).dtype == np.int8
    assert (i64 / i8).dtype == np.float32
    assert (b + b).dtype == np.bool_
    assert (b * nx.tensor([False])).tolist() == [False]
    with pytest.raises(DTypeError, match=r"add: expected operands of one float type, got float32 and float64; convert one"):
        f + nx.tensor(np.ones(1))
    with pytest.raises(DTypeError, match=r"mul: expected float32, float64, integers or bool, got float16; convert it with .float"):
        f.half() * f.half()
    with pytest.raises(DTypeError, match="sub: expected numbers, got bools"):
        b - b


def test_integers_wrap():
    x = nx.tensor(np.array([250, 5], np.uint8))
    assert (x + x).tolist() == [244, 10]
    assert (x - 6).tolist() == [244, 255]
    assert (-nx.tensor([3])).tolist() == [-3]
    assert (nx.tensor([3]) ** 4).tolist() == [81]
    assert nx.add(nx.tensor([1]), nx.tensor([2]), alpha=-3).tolist() == [-5]
    assert nx.sub(x, x, alpha=2).tolist() == [6, 251]
    assert nx.rsub(x, x, alpha=2).tolist() == [6, 251]
    assert nx.add(x, x, alpha=-3).tolist() == [12, 246]
    assert nx.addcmul(nx.tensor([1]), nx.tensor([2]), nx.tensor([3]), value=2.9).tolist() == [13]
    for call in (nx.add, nx.sub):
        with pytest.raises(DTypeError, match=f"{call.__name__}: expected a whole alpha for integers, got 0.5; convert the tensors"):
            call(x, x, alpha=0.5)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_sums_of_products_of_integers_keep_their_type(dtype):
    a, b, w = (np.arange(n, dtype=dtype) for n in (3, 3, 9))
    for found in (nx.dot(a, b), nx.inner(a, b), nx.vdot(a, b), nx.einsum("i,i->", a, b)):
        assert (found.dtype, found.item()) == (dtype, 5)
    assert nx.nn.functional.bilinear(a, b, w.reshape(1, 3, 3)).dtype == dtype
    assert nx.linalg.vander(a).dtype == np.int64  # powers are widened, as PyTorch's are


def test_alpha():
    x, y = random_array(3), random_array(3, seed=1)
    np.testing.assert_allclose(nx.add(x, y, alpha=-1).numpy(), x - y)
    np.testing.assert_allclose(nx.sub(x, y, alpha=2.5).numpy(), x - 2.5 * y)
    np.testing.assert_allclose(nx.rsub(x, y, alpha=2).numpy(), y - 2 * x)
    check_gradient(lambda a, b: nx.add(a, b, alpha=1.5), x, y)
    check_gradient(lambda a: nx.rsub(a, 3.0, alpha=2), x)


def test_clamp():
    x = random_array(5, 3)
    np.testing.assert_array_equal(nx.clamp(x, -0.5, 0.5).numpy(), np.clip(x, -0.5, 0.5))
    low, high = random_array(3, seed=1) - 1, random_array(5, 1, seed=2) + 1
    np.testing.assert_array_equal(nx.clamp(x, low, high).numpy(), np.minimum(np.maximum(x, low), high))
    check_gradient(nx.clamp, x, low, high)
    check_gradient(lambda a, b: nx.clamp(a, max=b), x, high)
    assert nx.clamp(nx.tensor([1, 5]), 2, 3).tolist() == [2, 3]
    assert nx.clamp(nx.tensor([1.0]), 3.0, 2.0).tolist() == [2.0]
    assert nx.clamp(nx.tensor([np.nan]), 0, 1).isnan().item()
    with pytest.raises(ArgumentError, match="clamp: expected min, max or both, got neither"):
        nx.clamp(x)


def test_nan_to_num():
    x = nx.tensor([np.nan, np.inf, -np.inf, 1.0])
    assert nx.nan_to_num(x, 2.0, 3.0, 4.0).tolist() == [2.0, 3.0, 4.0, 1.0]
    assert np.isfinite(nx.nan_to_num(x).numpy()).all()


def test_any_memory_order_gives_the_same_elements():
    x = random_array(2, 5, 6, 7).astype(np.float32)
    b = random_array(5, 1, 1, seed=1).astype(np.float32)
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    want = x * b
    for view in (last, x[:, :, ::-1][:, :, ::-1], np.asfortranarray(x)):
        assert_same_bits((nx.Tensor(view) * nx.Tensor(b)).numpy(), want)
    y = nx.Tensor(last) * nx.Tensor(b)
    assert y.numpy().transpose(0, 2, 3, 1).flags.c_contiguous
    np.testing.assert_array_equal((nx.Tensor(x[::2, ::-1, :, 1:]) + 1).numpy(), x[::2, ::-1, :, 1:] + 1)


def test_bits_do_not_depend_on_threads_or_levels(each_thread_count):
    x, y = random_array(300_000).astype(np.float32), random_array(300_000, seed=1).astype(np.float32)

    def run():
        a, b = nx.tensor(x), nx.tensor(y)
        return (a * b / (b * b + 1) - a).tanh().exp().numpy()

    want = run()
    results = each_thread_count(run)
    before = _rust.level()
    for level in _rust.levels():
        _rust.set_level(level)
        results.append(run())
    _rust.set_level(before)
    for got in results:
        assert_same_bits(got, want)


def test_errors():
    with pytest.raises(ShapeError, match=r"add: expected shapes that broadcast, got \(2, 3\) and \(2, 4\); axis -1 has sizes 3 and 4"):
        nx.zeros(2, 3) + nx.zeros(2, 4)
    with pytest.raises(ArgumentError, match="floor_divide: expected integer divisors other than 0"):
        nx.tensor([1]) // 0
    with pytest.raises(ArgumentError, match='div: expected rounding_mode None, "trunc" or "floor"'):
        nx.div(1.0, nx.ones(1), rounding_mode="up")
    with pytest.raises(ArgumentError, match="pow: expected an exponent of at least 0"):
        nx.tensor([2]) ** -1
    with pytest.raises(DTypeError, match="add: expected a tensor, an array or a number, got NoneType"):
        nx.zeros(2) + None


def test_inverse_roots_are_those_of_rsqrt():
    inf, nan = np.inf, np.nan
    want = [nan, -inf, inf, 0.5, 0], [[0, -inf, -inf, -0.0625, 0]]
    assert same(slopes(lambda a: a**-0.5, [-inf, -0.0, 0.0, 4.0, inf]), want)


def test_bounds_that_are_nan():
    for bounds in ((np.nan, 1.0), (None, np.nan)):
        assert same(slopes(lambda a, b=bounds: nx.clamp(a, *b), [-1.0, 2.0]), ([np.nan] * 2, [[0, 0]]))
    assert nx.nan_to_num(nx.tensor([np.nan, 1.0]), nan=None).tolist() == [0, 1]
