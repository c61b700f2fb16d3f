"""Moving pixels between space and channels."""

import numpy as np
import pytest
from orders import every_order

from neurenix.errors import ShapeError
from neurenix.nn import functional as F
from neurenix.testing import assert_same_bits, check_adjoint, random_array

pytestmark = pytest.mark.everywhere


def test_pixel_shuffle():
    x = random_array(2, 12, 3, 5)
    want = x.reshape(2, 3, 2, 2, 3, 5).transpose(0, 1, 4, 2, 5, 3).reshape(2, 3, 6, 10)
    for given in every_order(x):
        y = F.pixel_shuffle(given, 2)
        assert_same_bits(y, want)
        assert_same_bits(F.pixel_unshuffle(y, 2), x)
        check_adjoint(lambda t: F.pixel_shuffle(t, 2), given)
    for given in every_order(want):
        check_adjoint(lambda t: F.pixel_unshuffle(t, 2), given)
    assert_same_bits(F.pixel_shuffle(x[0], 2), want[0])
    assert F.pixel_shuffle(np.zeros((0, 4, 2, 2)), 2).shape == (0, 1, 4, 4)


def test_channel_shuffle():
    x = random_array(2, 6, 3, 5)
    want = x.reshape(2, 3, 2, 3, 5).swapaxes(1, 2).reshape(x.shape)
    for given in every_order(x):
        assert_same_bits(F.channel_shuffle(given, 3), want)
        check_adjoint(lambda t: F.channel_shuffle(t, 3), given)


def test_errors():
    x = np.zeros((1, 6, 3, 4))
    with pytest.raises(ShapeError, match="C a multiple of 4"):
        F.pixel_shuffle(x, 2)
    with pytest.raises(ShapeError, match="H and W multiples of 2"):
        F.pixel_unshuffle(x, 2)
    with pytest.raises(ShapeError, match="C a multiple of 4"):
        F.channel_shuffle(x, 4)
