"""Initial weights: ranges, deviations, errors."""

import math

import numpy as np
import pytest

import neurenix as nx
from neurenix import random
from neurenix.errors import ArgumentError, ShapeError
from neurenix.nn import init


@pytest.fixture(autouse=True)
def _own_stream():
    with random.replay((11, 0)):
        yield


def weight(*shape, dtype="float32"):
    return nx.Tensor(shape=shape or (64, 32, 3, 3), dtype=dtype)


@pytest.mark.parametrize(
    ("fill", "deviation"),
    [
        (init.kaiming_normal_, math.sqrt(2 / (32 * 9))),
        (lambda t: init.kaiming_normal_(t, mode="fan_out", nonlinearity="linear"), math.sqrt(1 / (64 * 9))),
        (init.xavier_normal_, math.sqrt(2 / (96 * 9))),
        (lambda t: init.normal_(t, 0.0, 3.0), 3.0),
    ],
)
def test_normal_deviations(fill, deviation):
    t = weight(dtype="float64")
    assert fill(t) is t
    assert abs(t.numpy().std() / deviation - 1) < 0.03 and abs(t.numpy().mean()) < 0.03 * deviation


@pytest.mark.parametrize(
    ("fill", "bound"),
    [
        (lambda t: init.kaiming_uniform_(t, a=math.sqrt(5)), 1 / math.sqrt(32 * 9)),
        (init.xavier_uniform_, math.sqrt(6 / (96 * 9))),
        (lambda t: init.uniform_(t, -2, 2), 2.0),
    ],
)
def test_uniform_bounds(fill, bound):
    values = fill(weight()).numpy()
    assert np.abs(values).max() <= bound * (1 + 1e-6) and np.abs(values).max() > 0.99 * bound


def test_truncated_normal():
    values = init.trunc_normal_(weight(), std=1.0, a=-0.5, b=1.0).numpy()
    assert values.min() >= -0.5 and values.max() <= 1 and values.max() > 0.98


def test_constants():
    assert (init.ones_(weight(3)).numpy() == 1).all() and (init.zeros_(weight(3)).numpy() == 0).all()
    assert (init.constant_(weight(2, 2), 0.5).numpy() == 0.5).all()
    np.testing.assert_array_equal(init.eye_(weight(2, 3)).numpy(), np.eye(2, 3))


def test_gains():
    assert init.calculate_gain("relu") == math.sqrt(2) and init.calculate_gain("leaky_relu", 1.0) == 1.0
    assert init.calculate_gain("conv2d") == 1.0 and init.calculate_gain("selu") == 0.75


def test_errors():
    with pytest.raises(ShapeError, match="xavier_uniform_: expected a weight of at least 2 axes"):
        init.xavier_uniform_(weight(3))
    with pytest.raises(ArgumentError, match="kaiming_normal_: expected mode 'fan_in' or 'fan_out', got 'in'"):
        init.kaiming_normal_(weight(), mode="in")
    with pytest.raises(ArgumentError, match="calculate_gain: expected one of"):
        init.calculate_gain("softmax")
    with pytest.raises(ArgumentError, match="trunc_normal_: expected a < b"):
        init.trunc_normal_(weight(), a=2.0, b=1.0)
    with pytest.raises(ShapeError, match="eye_: expected a matrix"):
        init.eye_(weight())


def test_uniform_refuses_an_empty_range():
    with pytest.raises(ArgumentError, match="uniform_: expected a <= b, got 1.0 and 0.0"):
        init.uniform_(nx.zeros(2), 1.0, 0.0)
