"""Random numbers that depend on tensors: shares, support, repeatable draws, refusals."""

import numpy as np
import pytest

import neurenix as nx
from neurenix.errors import ArgumentError, RangeError


def test_coins_and_normal_numbers():
    nx.manual_seed(1)
    p = nx.full((20000,), 0.3)
    x = nx.bernoulli(p)
    assert x.dtype == np.float32
    assert abs(x.mean().item() - 0.3) < 0.02
    assert set(nx.zeros(100, dtype=nx.int64).bernoulli(0.5).tolist()) == {0, 1}
    y = nx.normal(nx.tensor([[0.0], [10.0]]), nx.full((1, 5000), 2.0))
    np.testing.assert_allclose(y.mean(1).numpy(), [0, 10], atol=0.15)
    np.testing.assert_allclose(y.std(1).numpy(), [2, 2], atol=0.1)
    assert nx.normal(1.0, 0.0, (2, 3)).tolist() == [[1, 1, 1], [1, 1, 1]]
    nx.manual_seed(1)
    np.testing.assert_array_equal(nx.bernoulli(p).numpy(), x.numpy())


def test_classes_by_weight():
    nx.manual_seed(2)
    w = nx.tensor([[1.0, 0.0, 3.0, 4.0], [0.0, 5.0, 5.0, 0.0]])
    drawn = nx.multinomial(w, 8000, True).numpy()
    for row, weights in zip(drawn, w.numpy(), strict=True):
        np.testing.assert_allclose(np.bincount(row, minlength=4) / 8000, weights / weights.sum(), atol=0.02)
    once = nx.multinomial(w[0], 3)
    assert sorted(once.tolist()) == [0, 2, 3]
    firsts = np.array([nx.multinomial(w[0], 2)[0].item() for _ in range(800)])
    np.testing.assert_allclose(np.bincount(firsts, minlength=4) / 800, [0.125, 0, 0.375, 0.5], atol=0.06)


def test_gumbel_softmax():
    nx.manual_seed(3)
    x = nx.tensor([0.0, 1.0], requires_grad=True)
    soft = nx.nn.functional.gumbel_softmax(x, 0.5)
    assert soft.sum().item() == pytest.approx(1)
    hard = nx.nn.functional.gumbel_softmax(nx.zeros(500, 2) + x, hard=True)
    assert set(hard.detach().numpy().round(6).ravel().tolist()) == {0, 1}
    np.testing.assert_allclose(hard.mean(0).detach().numpy()[1], 1 / (1 + np.exp(-1)), atol=0.07)
    hard[:, 0].sum().backward()
    assert np.abs(x.grad.numpy()).sum() > 0


def test_refusals():
    with pytest.raises(RangeError, match="bernoulli: expected probabilities"):
        nx.bernoulli(nx.tensor([1.5]))
    with pytest.raises(RangeError, match="normal: expected standard deviations"):
        nx.normal(0.0, nx.tensor([-1.0]))
    with pytest.raises(ArgumentError, match="multinomial: expected finite weights"):
        nx.multinomial(nx.tensor([1.0, 0.0]), 2)
    for weights in ([np.inf, 1.0], [np.nan, 1.0], [-1.0, 2.0]):
        with pytest.raises(ArgumentError, match="multinomial: expected finite weights"):
            nx.multinomial(nx.tensor(weights), 1)
    with pytest.raises(RangeError, match="bernoulli: expected probabilities"):
        nx.bernoulli(nx.tensor([np.nan]))


def test_gumbel_noise_is_finite_whatever_is_drawn(monkeypatch):
    """A draw of 0 once gave an infinite noise, and NaN for the whole row."""
    monkeypatch.setattr(nx.random, "uniform", lambda size, **how: nx.zeros(size, dtype=how["dtype"]))
    for dtype in (nx.float32, nx.float64):
        assert nx.nn.functional.gumbel_softmax(nx.tensor([[0.0, 1.0]], dtype=dtype)).isfinite().all()


def test_randint_takes_the_whole_range_and_refuses_more():
    assert -(2**63) <= nx.randint(-(2**63), 2**63 - 1, (1,)).item() < 2**63
    with pytest.raises(ArgumentError, match="randint: expected integers low < high of 64 bits"):
        nx.randint(0, 2**70, (1,))
