"""Gates, residual blocks and blur: values by hand."""

import numpy as np
import pytest

import neurenix as nx
from neurenix.errors import DTypeError, ShapeError
from neurenix.multiscale import AttentionGate, BlurPool, ResidualBlock, SqueezeExcitation
from neurenix.testing import assert_same_bits, check_adjoint, random_array


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def test_squeeze_excitation_by_hand():
    gate = SqueezeExcitation(4, 2).double()
    assert list(gate.state_dict()) == ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]
    x = random_array(2, 4, 3, 5)
    w1, b1, w2, b2 = (t.numpy() for t in gate.state_dict().values())
    hidden = np.maximum(x.mean(axis=(2, 3)) @ w1[:, :, 0, 0].T + b1, 0)
    want = sigmoid(hidden @ w2[:, :, 0, 0].T + b2)
    np.testing.assert_allclose(gate.weights(nx.Tensor(x)).numpy()[:, :, 0, 0], want, rtol=1e-12)
    np.testing.assert_allclose(gate(x).numpy(), x * want[:, :, None, None], rtol=1e-12)
    assert SqueezeExcitation(8).squeeze_channels == 1
    assert SqueezeExcitation(64).squeeze_channels == 4


def test_attention_gate_by_hand():
    gate = AttentionGate(3, 2, 4).double()
    x, g = random_array(2, 3, 4, 5), random_array(2, 2, 4, 5, seed=1)
    state = {n: t.numpy() for n, t in gate.state_dict().items()}
    inner = np.einsum("ic,nchw->nihw", state["theta.0.weight"][:, :, 0, 0], x)
    inner += np.einsum("ic,nchw->nihw", state["phi.0.weight"][:, :, 0, 0], g) + state["phi.0.bias"][:, None, None]
    alpha = sigmoid(np.einsum("oi,nihw->nohw", state["psi.0.weight"][:, :, 0, 0], np.maximum(inner, 0)) + state["psi.0.bias"])
    np.testing.assert_allclose(gate.weights(nx.Tensor(x), nx.Tensor(g)).numpy(), alpha, rtol=1e-12)
    np.testing.assert_allclose(gate(x, g).numpy(), alpha * x, rtol=1e-12)


def test_attention_gate_refuses_other_images():
    gate, x = AttentionGate(3, 2), nx.Tensor(shape=(2, 3, 4, 4))
    with pytest.raises(ShapeError, match="AttentionGate: expected g of 2 images as x, got 1; pass maps of the same images"):
        gate(x, nx.Tensor(shape=(1, 2, 2, 2)))
    with pytest.raises(DTypeError, match=r"AttentionGate: expected g of float32 as x, got float64; convert one with .to\(\)"):
        gate(x, nx.Tensor(shape=(2, 2, 2, 2), dtype=nx.float64))


def test_a_residual_block_of_zeros_is_relu():
    block = ResidualBlock(3, 3, norm="batch").eval()
    block.second[1].weight.assign_(np.zeros(3, np.float32))
    x = random_array(2, 3, 4, 5, dtype=np.float32)
    assert_same_bits(block(x), np.maximum(x, 0))
    assert type(block.shortcut) is nx.nn.Identity
    assert len(list(ResidualBlock(3, 4).shortcut.parameters())) == 3


def test_blur_by_hand():
    x = random_array(1, 2, 7, 6)
    pool = BlurPool(2, 3).double()
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect")
    row = np.array([1, 2, 1]) / 4
    want = sum(a * b * padded[:, :, i : i + 7, j : j + 6] for i, a in enumerate(row) for j, b in enumerate(row))[:, :, ::2, ::2]
    np.testing.assert_allclose(pool(x).numpy(), want, rtol=1e-12, atol=1e-14)
    assert pool.filter.shape == (2, 1, 3, 3)
    assert pool.num_parameters() == 0


@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize("size", [(1, 1), (2, 5), (9, 8)])
def test_blur_keeps_constants_and_is_linear(kernel_size, size):
    pool = BlurPool(3, kernel_size).double()
    np.testing.assert_allclose(pool(np.full((1, 3, *size), 2.5)).numpy(), 2.5, rtol=1e-12)
    check_adjoint(pool, random_array(2, 3, *size))
