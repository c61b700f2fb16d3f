"""What goes there and back comes back: pyramids and wavelets of any size, element type, memory order and number of levels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as arrays
from properties.draws import Draw
from properties.layouts import pair

from neurenix.multiscale import CDF53Wavelet, GaussianPyramid, HaarWavelet, LaplacianPyramid
from neurenix.testing import assert_same_bits

TRANSFORMS = [GaussianPyramid, LaplacianPyramid, HaarWavelet, CDF53Wavelet]
INTEGERS = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "int64"]
SHAPES = st.one_of(
    st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 40), st.integers(1, 40)),
)
ULPS = {GaussianPyramid: lambda n: 0, LaplacianPyramid: lambda n: 1, HaarWavelet: lambda n: 4 + n, CDF53Wavelet: lambda n: 8 + n}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("dtype", INTEGERS)
@given(data=st.data())
def test_integers_come_back_to_the_bit(transform, dtype, data):
    plain, strided = pair(data.draw(arrays.arrays(dtype, data.draw(SHAPES))), Draw(data.draw, False))
    there = transform(data.draw(st.integers(1, 8)))
    assert_same_bits(there.inverse(there(strided)), plain)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(data=st.data())
def test_floats_come_back_within_their_bound(transform, dtype, data):
    largest = data.draw(st.sampled_from([1e-30, 1.0, 255.0, 1e30]))
    bits = 32 if dtype == "float32" else 64
    largest = float(np.dtype(dtype).type(largest))
    numbers = st.floats(-largest, largest, width=bits, allow_subnormal=False)
    plain, strided = pair(data.draw(arrays.arrays(dtype, data.draw(SHAPES), elements=numbers)), Draw(data.draw, False))
    levels = data.draw(st.integers(1, 8))
    there = transform(levels)
    back = there.inverse(there(strided))
    assert back.dtype == dtype
    bound = ULPS[transform](levels) * np.spacing(np.abs(plain).max(initial=0))
    assert np.abs(back.astype(np.float64) - plain).max() <= bound
