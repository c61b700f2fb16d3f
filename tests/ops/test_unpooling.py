"""The inverse of max pooling."""

import numpy as np
import pytest
from orders import channels_last

from neurenix.errors import ArgumentError, ShapeError
from neurenix.nn import functional as F
from neurenix.testing import check_adjoint, random_array


@pytest.mark.parametrize("channels", [1, 3, 20])
def test_undoes_a_pool_of_distinct_windows(channels):
    x = np.abs(random_array(2, channels, 6, 8))
    for given in (x, channels_last(x)):
        y, index = F.max_pool2d(given, 2, return_indices=True)
        back = F.max_unpool2d(y, index, 2).numpy()
        np.testing.assert_array_equal(back, np.where(back > 0, x, 0))
        assert (back > 0).sum() == y.numpy().size
        check_adjoint(lambda t, index=index: F.max_unpool2d(t, index, 2), y.numpy())


def test_output_size_and_unbatched():
    y, index = F.max_pool2d(random_array(1, 1, 7, 7), 2, return_indices=True)
    assert F.max_unpool2d(y, index, 2, output_size=(7, 7)).shape == (1, 1, 7, 7)
    assert F.max_unpool2d(y, index, 2, output_size=(1, 1, 7, 7)).shape == (1, 1, 7, 7)
    assert F.max_unpool2d(y.numpy()[0], index.numpy()[0], 2, output_size=(7, 6)).shape == (1, 7, 6)


def test_errors():
    y, index = np.zeros((1, 1, 2, 2)), np.zeros((1, 1, 2, 2), np.int64)
    with pytest.raises(ShapeError, match="expected int64 indices of shape"):
        F.max_unpool2d(y, index[..., :1], 2)
    with pytest.raises(ShapeError, match="expected output_size within a stride"):
        F.max_unpool2d(y, index, 2, output_size=(9, 4))
    with pytest.raises(ArgumentError, match="expected indices from 0 to 15"):
        F.max_unpool2d(y, index + 16, 2)
