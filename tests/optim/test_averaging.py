"""Exponential moving averages of weights."""

import numpy as np
import pytest

import neurenix as nx
from neurenix.errors import ArgumentError, FileError


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
    with pytest.raises(ArgumentError, match="expected parameters, got none"):
        nx.optim.ExponentialMovingAverage([])
    ema = nx.optim.ExponentialMovingAverage([nx.tensor([1.0])])
    with pytest.raises(FileError, match="expected averages of the parameters' shapes"):
        ema.load_state_dict({"decay": 0.5, "averages": [np.ones(2)]})
