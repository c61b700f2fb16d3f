"""Dropout layers."""

import numpy as np
import pytest

import neurenix as nx
from neurenix import nn, random
from neurenix.errors import ArgumentError


def test_only_while_training():
    x = nx.Tensor(np.ones((4, 8, 5, 5), np.float32))
    with random.replay((0, 0)):
        for layer in (nn.Dropout(0.5), nn.Dropout2d(0.5), nn.AlphaDropout(0.5)):
            assert (layer(x).numpy() != 1).any()
            assert (layer.eval()(x).numpy() == 1).all()
    assert repr(nn.Dropout(0.25)) == "Dropout(p=0.25, inplace=False)"


def test_errors():
    with pytest.raises(ArgumentError, match=r"Dropout2d: expected a probability p in \[0, 1\], got -0.5"):
        nn.Dropout2d(-0.5)
