"""Normalisation by neighbouring channels."""

import numpy as np
import pytest
from orders import every_order

from neurenix.errors import ShapeError
from neurenix.nn import functional as F
from neurenix.testing import check_gradient, random_array


@pytest.mark.parametrize("size", [1, 2, 3, 9])
def test_by_hand(size):
    x = random_array(2, 5, 3, 4)
    squares = np.pad(x**2, ((0, 0), (size // 2, (size - 1) // 2), (0, 0), (0, 0)))
    mean = sum(squares[:, i : i + 5] for i in range(size)) / size
    for given in every_order(x):
        np.testing.assert_allclose(F.local_response_norm(given, size, 0.3, 0.6, 1.2).numpy(), x / (1.2 + 0.3 * mean) ** 0.6, rtol=1e-12)
    check_gradient(lambda t: F.local_response_norm(t, size, 0.3), x)


def test_errors():
    with pytest.raises(ShapeError, match="at least 3 axes"):
        F.local_response_norm(np.zeros((2, 3)), 2)
