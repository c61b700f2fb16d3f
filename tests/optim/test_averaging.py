"""Exponential moving averages of weights."""

import numpy as np
import pytest

import neurenix as nx
from neurenix.errors import ArgumentError, DTypeError, FileError


def test_follows_and_is_applied_and_saved():
    p, q = nx.tensor([1.0, 2.0]), nx.tensor(np.array([4.0]))
    ema = nx.optim.ExponentialMovingAverage([p, q], decay=0.75)
    p.assign_(np.array([5.0, 6.0], np.float32))
    ema.update()
    assert ema.averages[0].tolist() == [2.0, 3.0]
    with ema.applied():
        assert p.tolist() == [2.0, 3.0]
        assert q.tolist() == [4.0]
    assert p.tolist() == [5.0, 6.0]
    other = nx.optim.ExponentialMovingAverage([p, q], decay=0.5)
    other.load_state_dict(ema.state_dict())
    assert other.decay == 0.75
    other.copy_to()
    assert p.tolist() == [2.0, 3.0]


def test_errors():
    with pytest.raises(ArgumentError, match=r"expected a decay in \[0, 1\], got 2"):
        nx.optim.ExponentialMovingAverage([nx.tensor([1.0])], decay=2)
    for given in (3, nx.tensor([1.0]), [3]):
        with pytest.raises(DTypeError, match="ExponentialMovingAverage: expected an iterable of parameters"):
            nx.optim.ExponentialMovingAverage(given)
    with pytest.raises(ArgumentError, match="expected parameters, got none"):
        nx.optim.ExponentialMovingAverage([])
    ema = nx.optim.ExponentialMovingAverage([nx.tensor([1.0])])
    with pytest.raises(FileError, match="expected averages of the parameters' shapes"):
        ema.load_state_dict({"decay": 0.5, "averages": [np.ones(2)]})
    with pytest.raises(FileError, match="expected a dict with 'decay' and 'averages', got {}"):
        ema.load_state_dict({})


def test_by_the_formula_and_resumed_to_the_same_bits(tmp_path):
    start, steps = np.arange(5.0), [np.cos(np.arange(5.0) * t) for t in range(8)]
    p = nx.tensor(start)
    ema = nx.optim.ExponentialMovingAverage([p], decay=0.9)
    want = start.copy()
    for t, value in enumerate(steps):
        p.assign_(value)
        ema.update()
        want += 0.1 * (value - want)
        if t == 3:
            nx.save(ema.state_dict(), tmp_path / "ema.nx")
    np.testing.assert_allclose(ema.averages[0], want, rtol=1e-13)
    other = nx.optim.ExponentialMovingAverage([p])
    other.load_state_dict(nx.load(tmp_path / "ema.nx"))
    for value in steps[4:]:
        p.assign_(value)
        other.update()
    np.testing.assert_array_equal(other.averages[0], ema.averages[0])
