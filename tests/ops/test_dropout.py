"""Dropout: masks, scales, gradients, errors."""

import numpy as np
import pytest

import neurenix as nx
from neurenix import random
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.nn import functional as F


@pytest.fixture(autouse=True)
def _own_stream():
    with random.replay((3, 0)):
        yield


def test_keeps_the_mean_and_scales():
    y = F.dropout(np.ones((4, 3, 20, 21), np.float32), 0.25).numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs((y == 0).mean() - 0.25) < 0.03


def test_gradient_has_the_same_mask():
    x = nx.tensor(np.ones((2, 3, 5, 4)), requires_grad=True)
    y = F.dropout(x, 0.5)
    y.backward(np.full(y.shape, 3.0))
    np.testing.assert_array_equal(x.grad.numpy(), y.numpy() * 3)


def test_the_mask_does_not_depend_on_order_batch_place_or_type():
    x = np.ones((3, 4, 5, 6), np.float32)
    state = nx.get_rng_state()
    want = F.dropout(x).numpy()
    for other in (np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2), x.astype(np.float64)):
        nx.set_rng_state(state)
        np.testing.assert_array_equal(F.dropout(other).numpy(), want)
    nx.set_rng_state(state)
    with random.first_sample(2):
        np.testing.assert_array_equal(F.dropout(x[:1]).numpy(), want[2:])


def test_the_ends():
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(F.dropout(x, 1.0).numpy(), np.zeros((2, 3)))
    np.testing.assert_array_equal(F.dropout(x, 0.0).numpy(), x)
    np.testing.assert_array_equal(F.dropout(x, 0.5, False).numpy(), x)
    assert F.dropout(np.float32(2)).shape == () and F.dropout(np.zeros((0, 3), np.float32)).shape == (0, 3)


def test_dropout2d_drops_channels():
    y = F.dropout2d(np.ones((8, 16, 3, 5), np.float32), 0.5).numpy()
    assert (y == y[:, :, :1, :1]).all() and 20 < (y[:, :, 0, 0] == 0).sum() < 108


def test_alpha_dropout_keeps_mean_and_variance():
    x = nx.randn(200, 500).numpy()
    y = F.alpha_dropout(x, 0.3, training=True).numpy()
    assert abs(y.mean()) < 0.02 and abs(y.std() - 1) < 0.02
    assert (F.alpha_dropout(x, 1.0, training=True).numpy() == 0).all()


def test_errors():
    with pytest.raises(ArgumentError, match=r"dropout: expected a probability p in \[0, 1\], got 1.5"):
        F.dropout(np.ones(3, np.float32), 1.5)
    with pytest.raises(DTypeError, match="dropout: expected float32 or float64, got int64"):
        F.dropout(np.ones(3, np.int64))
    with pytest.raises(ShapeError, match=r"dropout2d: expected \(N, C, H, W\)"):
        F.dropout2d(np.ones((2, 3), np.float32))
