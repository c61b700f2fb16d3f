"""Comparisons, logic, bits."""

import numpy as np
import pytest

import neurenix as nx
from neurenix.errors import DTypeError, ShapeError
from neurenix.testing import random_array

pytestmark = pytest.mark.everywhere


def test_comparisons():
    x, y = np.array([1.0, 2.0, np.nan]), np.array([[1.0], [3.0]])
    a, b = nx.Tensor(x), nx.Tensor(y)
    for ours, theirs in ((a == b, x == y), (a != b, x != y), (a < b, x < y), (a <= b, x <= y), (a > b, x > y), (a >= b, x >= y)):
        assert ours.dtype == np.bool_
        np.testing.assert_array_equal(ours.numpy(), theirs)
    assert (nx.tensor([1, 2]) > 1.5).tolist() == [False, True]
    assert (nx.tensor([1, 2]) < 2).tolist() == [True, False]
    assert not (nx.tensor([1.0], requires_grad=True) > 0).requires_grad


def test_kinds_of_floats():
    x = nx.tensor([np.nan, np.inf, 1.0])
    assert (x.isnan().tolist(), x.isinf().tolist(), x.isfinite().tolist()) == (
        [True, False, False],
        [False, True, False],
        [False, False, True],
    )
    assert nx.isfinite(nx.tensor([1])).tolist() == [True]
    assert nx.isnan(nx.tensor([1])).tolist() == [False]


def test_logic():
    x, y = nx.tensor([0.0, 2.0]), nx.tensor([[1], [0]])
    assert nx.logical_and(x, y).tolist() == [[False, True], [False, False]]
    assert nx.logical_or(x, y).tolist() == [[True, True], [False, True]]
    assert nx.logical_xor(x, y).tolist() == [[True, False], [False, True]]
    assert nx.logical_not(x).tolist() == [True, False]
    with pytest.raises(ShapeError, match="logical_and: expected shapes that broadcast"):
        nx.logical_and(nx.zeros(2), nx.zeros(3))


def test_bits():
    m = nx.tensor([True, False])
    assert (~m).tolist() == [False, True]
    assert (m & nx.tensor([True, True])).tolist() == [True, False]
    assert (m | True).tolist() == [True, True]
    assert (m ^ True).tolist() == [False, True]
    i = nx.tensor([6, -1])
    assert ((i & 3).tolist(), (i << 1).tolist(), (i >> 1).tolist(), (~i).tolist()) == ([2, 3], [12, -2], [3, -1], [-7, 0])
    with pytest.raises(DTypeError, match="bitwise_and: expected integers or bools, got float32"):
        nx.zeros(1) & nx.zeros(1)


def test_close_and_equal():
    x = random_array(3)
    assert nx.allclose(x, x + 1e-9)
    assert not nx.allclose(x, x + 1e-3)
    assert nx.equal(x, x.copy())
    assert not nx.equal(x, x[:2])
    assert nx.allclose(nx.tensor([np.inf, np.nan]), nx.tensor([np.inf, np.nan]), equal_nan=True)
