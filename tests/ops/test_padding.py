"""Padding of every kind, cropping, gradients, errors."""

import numpy as np
import pytest
from orders import channels_last, every_order

from neurenix.errors import ArgumentError, ShapeError
from neurenix.nn import functional as F
from neurenix.testing import assert_same_bits, check_adjoint, check_used_twice, random_array

pytestmark = pytest.mark.everywhere

NUMPY = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


@pytest.mark.parametrize("mode", NUMPY)
@pytest.mark.parametrize("channels", [1, 3, 17])
def test_as_numpy_pads(mode, channels, level):
    x = random_array(2, channels, 5, 21, dtype=np.float32)
    want = np.pad(x, ((0, 0), (0, 0), (3, 4), (1, 2)), NUMPY[mode])
    for given in every_order(x):
        assert_same_bits(F.pad(given, (1, 2, 3, 4), mode), want)


@pytest.mark.parametrize("mode", NUMPY)
def test_the_adjoint(mode):
    for x in every_order(random_array(2, 3, 5, 6)):
        for ends in ((1, 2, 3, 4), (-1, 2, 0, -2), (0, 0, 1, 0)):
            check_adjoint(lambda t, ends=ends: F.pad(t, ends, mode), x)
    check_used_twice(lambda t: F.pad(t, (1, 1, 1, 1), mode), random_array(1, 2, 3, 3))


def test_negative_numbers_crop():
    x = random_array(1, 2, 5, 6)
    assert_same_bits(F.pad(x, (-1, -2, -3, 0)), x[..., 3:, 1:-2])
    wrapped = F.pad(x, (-1, 2, 0, 0), "circular").numpy()
    assert_same_bits(wrapped, np.concatenate([x[..., 1:], x[..., 1:3]], axis=-1))


def test_any_number_of_axes():
    x = random_array(2, 3, 4, 5)
    want = np.pad(x, ((1, 0), (2, 0), (0, 1), (2, 1)), constant_values=7)
    assert_same_bits(F.pad(x, (2, 1, 0, 1, 2, 0, 1, 0), value=7), want)
    assert_same_bits(F.pad(channels_last(x), (2, 1, 0, 1, 2, 0, 1, 0), value=7), want)
    check_adjoint(lambda t: F.pad(t, (2, 1, 0, 1, 2, 0, 1, 0)), x)
    volume = random_array(1, 2, 3, 4, 5)
    assert_same_bits(F.pad(volume, (1, 1, 2, 2, 1, 2), "reflect"), np.pad(volume, ((0, 0), (0, 0), (1, 2), (2, 2), (1, 1)), "reflect"))
    assert_same_bits(F.pad(volume[0, 0, 0], (1, 2), "constant"), np.pad(volume[0, 0, 0], ((0, 0), (1, 2))))


@pytest.mark.parametrize("dtype", ["uint8", "int64", "bool", "float16"])
def test_any_type(dtype):
    x = np.ones((1, 2, 3, 20), dtype)
    y = F.pad(x, (1, 2, 0, 3))
    assert y.dtype == dtype
    assert_same_bits(y, np.pad(x, ((0, 0), (0, 0), (0, 3), (1, 2))))


def test_empty_arrays():
    assert F.pad(np.zeros((0, 3, 4)), (1, 2)).shape == (0, 3, 7)
    np.testing.assert_array_equal(F.pad(np.zeros((2, 0)), (1, 2), value=3).numpy(), np.full((2, 3), 3))


def test_errors():
    x = np.zeros((1, 2, 4, 4))
    for call, error, text in [
        (lambda: F.pad(x, (1,)), ArgumentError, "expected two numbers an axis"),
        (lambda: F.pad(x, (1, 1.5)), ArgumentError, "expected pad as an integer"),
        (lambda: F.pad(x, (1, 1), "mirror"), ArgumentError, "expected mode one of 'constant', 'reflect'"),
        (lambda: F.pad(x, (4, 0, 0, 0), "reflect"), ShapeError, "expected padding of at most 3 along axis 3"),
        (lambda: F.pad(x, (5, 0, 0, 0), "circular"), ShapeError, "expected padding of at most 4"),
        (lambda: F.pad(x, (-3, -2)), ShapeError, "crop less"),
        (lambda: F.pad(x, (1, 1), "reflect"), ShapeError, "for the spatial axes in mode 'reflect'"),
        (lambda: F.pad(x, (1, 1, 1, 1), "reflect", 2.0), ArgumentError, "expected a value only in mode 'constant'"),
    ]:
        with pytest.raises(error) as raised:
            call()
        assert text in str(raised.value)
