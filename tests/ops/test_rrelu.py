"""The leaky ReLU whose slopes are drawn."""

import numpy as np
import pytest

import neurenix as nx
from neurenix import random
from neurenix.errors import ArgumentError
from neurenix.nn import functional as F
from neurenix.testing import check_gradient, random_array


def test_evaluation_takes_the_mean_slope():
    x = random_array(4, 5)
    np.testing.assert_allclose(F.rrelu(x, 0.1, 0.3).numpy(), np.where(x > 0, x, 0.2 * x), rtol=1e-12)
    check_gradient(lambda x: F.rrelu(x, 0.1, 0.3), x)


def test_training_draws_slopes():
    x = -np.ones(10000)
    t = nx.Tensor(x, requires_grad=True)
    y = F.rrelu(t, 0.25, 0.75, training=True)
    slopes = -y.numpy()
    assert slopes.min() >= 0.25
    assert slopes.max() <= 0.75
    assert abs(slopes.mean() - 0.5) < 0.01
    y.backward(nx.Tensor(np.ones(10000)))
    np.testing.assert_array_equal(t.grad.numpy(), slopes)
    np.testing.assert_array_equal(F.rrelu(-x, training=True).numpy(), -x)
    with random.replay((3, 4)):
        again = F.rrelu(x, training=True).numpy()
    with random.replay((3, 4)):
        np.testing.assert_array_equal(F.rrelu(x, training=True).numpy(), again)


def test_slopes_in_order():
    with pytest.raises(ArgumentError, match="rrelu: expected lower <= upper"):
        F.rrelu(np.zeros(3), 0.5, 0.25)
