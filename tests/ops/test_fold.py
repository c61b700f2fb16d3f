"""Patches as columns, and back."""

import numpy as np
import pytest
from orders import every_order

from neurenix.errors import ShapeError
from neurenix.nn import functional as F
from neurenix.testing import check_adjoint, random_array

pytestmark = pytest.mark.everywhere


def test_unfold_by_hand():
    x = random_array(2, 3, 4, 5)
    want = np.stack([x[:, :, i : i + 2, j : j + 3].reshape(2, 18) for i in range(3) for j in range(3)], axis=-1)
    for given in every_order(x):
        np.testing.assert_array_equal(F.unfold(given, (2, 3)).numpy(), want)
    np.testing.assert_array_equal(F.unfold(x[0], (2, 3)).numpy(), want[0])


def test_fold_is_the_adjoint_of_unfold():
    arguments = ((2, 3), (2, 1), (1, 2), (2, 1))
    x = random_array(2, 3, 6, 7)
    columns = F.unfold(x, *arguments)
    y = random_array(*columns.shape)
    np.testing.assert_allclose(np.vdot(columns.numpy(), y), np.vdot(x, F.fold(y, (6, 7), *arguments).numpy()))
    check_adjoint(lambda t: F.unfold(t, *arguments), x)
    check_adjoint(lambda t: F.fold(t, (6, 7), *arguments), y)
    assert F.fold(y[0], (6, 7), *arguments).shape == (3, 6, 7)


def test_errors():
    with pytest.raises(ShapeError, match="at least as large as the patch"):
        F.unfold(np.zeros((1, 2, 2, 2)), 3)
    with pytest.raises(ShapeError, match=r"expected x \(N, C \* 4, 4\)"):
        F.fold(np.zeros((1, 8, 5)), (3, 3), 2)
