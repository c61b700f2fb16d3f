"""Softmax, its logarithm, logsumexp, and the logits that results carry."""

import numpy as np
import pytest
from scipy import special

import neurenix as nx
from neurenix.errors import DTypeError
from neurenix.nn import functional as F
from neurenix.testing import assert_same_bits, check_gradient, random_array


@pytest.mark.parametrize("shape", [(3, 5, 4), (2, 21, 3, 7), (4,), (1, 1), (17, 100)])
def test_values_and_gradients(shape):
    x = random_array(*shape) * 3
    for dim in range(-1, len(shape)):
        e = np.exp(x - x.max(dim, keepdims=True))
        want = e / e.sum(dim, keepdims=True)
        np.testing.assert_allclose(nx.softmax(x, dim).numpy(), want, rtol=1e-13)
        np.testing.assert_allclose(nx.log_softmax(x, dim).numpy(), np.log(want), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(nx.logsumexp(x, dim).numpy(), np.log(np.exp(x).sum(dim)), rtol=1e-13)
        for fn in (nx.softmax, nx.log_softmax, nx.logsumexp, F.softmin):
            check_gradient(lambda t, f=fn, d=dim: f(t, d), x)


def test_memory_orders_give_the_same_bits():
    x = random_array(2, 21, 9, 5).astype(np.float32)
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    for fn in (nx.softmax, nx.log_softmax):
        y = fn(nx.Tensor(last), 1)
        assert_same_bits(y.numpy(), fn(nx.Tensor(x), 1).numpy())
        assert y.numpy().transpose(0, 2, 3, 1).flags.c_contiguous


def test_edges():
    assert nx.softmax(nx.tensor([1000.0, 0.0]), 0).tolist() == [1.0, 0.0]
    assert nx.softmax(nx.tensor(3.0), 0).item() == 1.0
    assert nx.log_softmax(nx.tensor([-np.inf, 0.0]), 0).tolist() == [-np.inf, 0.0]
    assert np.isnan(nx.softmax(nx.tensor([np.nan, 0.0]), 0).numpy()).all()
    assert nx.softmax(nx.zeros(0, 3), 1).shape == (0, 3)
    assert nx.softmax(nx.zeros(3, 0), 1).shape == (3, 0)
    assert nx.logsumexp(nx.tensor([-np.inf, -np.inf]), 0).item() == -np.inf
    assert nx.softmax(nx.tensor([1, 2]), 0, dtype=nx.float64).dtype == np.float64
    with pytest.raises(DTypeError, match="softmax: expected float32 or float64, got int64"):
        nx.softmax(nx.tensor([1, 2]), 0)


def test_softmin_negates_before_it_converts():
    x = np.array([0, 1, 2], np.uint8)
    np.testing.assert_allclose(F.softmin(x, 0, dtype=np.float64).numpy(), special.softmax(-x.astype(float) % 256))
    got = F.softmin(x.astype(np.int8), 0, dtype=np.float64)
    np.testing.assert_allclose(got.numpy(), special.softmax(-x.astype(float)), rtol=1e-12)


def test_logits_are_carried_by_views_and_dropped_by_arithmetic():
    z = nx.tensor(random_array(2, 3, 4).astype(np.float32))
    p = nx.sigmoid(z)
    for y in (p, p.reshape(6, 4), p[0], p.permute(2, 0, 1), p.unsqueeze(1), p[:, 1:], p.flatten(), p.split([1, 2], 1)[1], p.unbind(0)[1]):
        kind, logits, _ = y._logits
        assert kind == "sigmoid"
        np.testing.assert_array_equal(nx.sigmoid(logits).numpy(), y.numpy())
    assert (p * 1)._logits is None
    s = nx.softmax(z, 1)
    for y, axis in (
        (s, 1),
        (s.permute(1, 0, 2), 0),
        (s[0], 0),
        (s.unsqueeze(0), 2),
        (s[:, :, 1:], 1),
        (s.flatten(2), 1),
        (s.unbind(0)[0], 0),
    ):
        assert y._logits[2] == axis
        np.testing.assert_allclose(nx.softmax(y._logits[1], axis).numpy(), y.numpy(), rtol=1e-6)
    for y in (s[:, 1:], s[:, 0], s.flatten(), s.split(1, 1)[0]):
        assert y._logits is None
