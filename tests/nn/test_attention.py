"""Multi-head attention against its formula, masks, forms, errors."""

import numpy as np
import pytest

from neurenix import nn
from neurenix.errors import ArgumentError, ShapeError
from neurenix.testing import assert_same_bits, check_gradient, random_array


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def by_hand(layer, q, k, v, mask=0.0):
    """Inputs (N, L, E); ``mask`` is added to (N, heads, L, S)."""
    heads, e = layer.num_heads, layer.embed_dim
    w, b = layer.in_proj_weight.numpy(), layer.in_proj_bias.numpy()
    q, k, v = (x @ w[i * e : (i + 1) * e].T + b[i * e : (i + 1) * e] for i, x in enumerate((q, k, v)))
    q, k, v = (x.reshape(*x.shape[:2], heads, -1).swapaxes(1, 2) for x in (q, k, v))
    weights = softmax(q @ k.swapaxes(-1, -2) / np.sqrt(e // heads) + mask)
    y = (weights @ v).swapaxes(1, 2).reshape(q.shape[0], q.shape[2], e)
    return y @ layer.out_proj.weight.numpy().T + layer.out_proj.bias.numpy(), weights


@pytest.fixture
def layer():
    return nn.MultiheadAttention(6, 2, batch_first=True, dtype="float64")


def test_formula(layer):
    q, k, v = (random_array(3, n, 6, seed=i) for i, n in enumerate((4, 5, 5)))
    y, weights = layer(q, k, v)
    want, heads = by_hand(layer, q, k, v)
    np.testing.assert_allclose(y.numpy(), want, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(weights.numpy(), heads.mean(axis=1), rtol=1e-11)
    np.testing.assert_allclose(layer(q, k, v, average_attn_weights=False)[1].numpy(), heads, rtol=1e-11)
    assert layer(q, k, v, need_weights=False)[1] is None
    check_gradient(lambda *x: layer(*x, need_weights=False)[0], q, k, v)


def test_orders_and_unbatched(layer):
    q, k, v = (random_array(3, n, 6, seed=i) for i, n in enumerate((4, 5, 5)))
    y, weights = layer(q, k, v)
    turned = nn.MultiheadAttention(6, 2, dtype="float64")
    turned.load_state_dict(layer.state_dict())
    other, same = turned(*(x.swapaxes(0, 1) for x in (q, k, v)))
    np.testing.assert_allclose(other.numpy().swapaxes(0, 1), y.numpy(), rtol=1e-12)
    np.testing.assert_allclose(same.numpy(), weights.numpy(), rtol=1e-12)
    one, w = layer(q[0], k[0], v[0])
    np.testing.assert_allclose(one.numpy(), y.numpy()[0], rtol=1e-12)
    np.testing.assert_allclose(w.numpy(), weights.numpy()[0], rtol=1e-12)


def test_masks(layer):
    q, k, v = (random_array(3, n, 6, seed=i) for i, n in enumerate((4, 5, 5)))
    closed = np.triu(np.ones((4, 5), bool), 2)
    added = np.where(closed, -np.inf, 0.0)
    np.testing.assert_allclose(layer(q, k, v, attn_mask=closed)[0].numpy(), by_hand(layer, q, k, v, added)[0], rtol=1e-11, atol=1e-12)
    assert_same_bits(layer(q, k, v, attn_mask=added)[0].numpy(), layer(q, k, v, attn_mask=closed)[0].numpy())
    each = random_array(6, 4, 5)  # one a sample and head
    want = by_hand(layer, q, k, v, each.reshape(3, 2, 4, 5))[0]
    np.testing.assert_allclose(layer(q, k, v, attn_mask=each)[0].numpy(), want, rtol=1e-11, atol=1e-12)
    padding = np.arange(5) >= np.array([[5], [3], [1]])
    got = layer(q, k, v, key_padding_mask=padding)[0].numpy()
    for i, n in enumerate((5, 3, 1)):
        np.testing.assert_allclose(got[i], layer(q[i], k[i, :n], v[i, :n])[0].numpy(), rtol=1e-11, atol=1e-12)


def test_added_keys():
    layer = nn.MultiheadAttention(6, 2, add_bias_kv=True, add_zero_attn=True, batch_first=True, kdim=3, vdim=4)
    names = ["q_proj_weight", "k_proj_weight", "v_proj_weight", "in_proj_bias", "bias_k", "bias_v", "out_proj.weight", "out_proj.bias"]
    assert [name for name, _ in layer.named_parameters()] == names
    y, weights = layer(random_array(2, 4, 6), random_array(2, 5, 3), random_array(2, 5, 4), attn_mask=np.zeros((4, 5), bool))
    assert y.shape == (2, 4, 6)
    assert weights.shape == (2, 4, 7)
    np.testing.assert_allclose(weights.numpy().sum(axis=-1), 1, rtol=1e-6)


def test_initial_values_are_xaviers():
    layer = nn.MultiheadAttention(32, 4)
    bound = np.sqrt(6 / (32 + 96))
    assert 0.95 * bound < np.abs(layer.in_proj_weight.numpy()).max() <= bound
    assert not layer.in_proj_bias.numpy().any()
    assert not layer.out_proj.bias.numpy().any()


def test_dropout_only_in_training():
    layer = nn.MultiheadAttention(4, 1, dropout=0.5)
    x = random_array(6, 1, 4, dtype=np.float32)
    assert (layer(x, x, x)[1].numpy() == 0).any()
    assert (layer.eval()(x, x, x)[1].numpy() > 0).all()


def test_errors(layer):
    x = np.zeros((1, 2, 6))
    with pytest.raises(ArgumentError, match="MultiheadAttention: expected num_heads that divide embed_dim=6, got 4"):
        nn.MultiheadAttention(6, 4)
    with pytest.raises(ArgumentError, match="MultiheadAttention: expected a probability dropout"):
        nn.MultiheadAttention(6, 2, dropout=2.0)
    with pytest.raises(ShapeError, match="MultiheadAttention: expected query, key and value with 3 axes"):
        layer(x, x[0], x)
    with pytest.raises(ArgumentError, match="MultiheadAttention: expected attn_mask with is_causal=True"):
        layer(x, x, x, is_causal=True)


def test_who_sees_nothing_attends_to_nothing():
    """A row of the mask without a True once gave NaN."""
    q, k, v = (random_array(*shape, dtype=np.float64) for shape in [(2, 3, 4), (2, 5, 4), (2, 5, 6)])
    mask = np.ones((3, 5), np.bool_)
    mask[1] = False
    y = nn.functional.scaled_dot_product_attention(q, k, v, mask).numpy()
    assert not y[:, 1].any()
    np.testing.assert_array_equal(y[:, [0, 2]], nn.functional.scaled_dot_product_attention(q, k, v).numpy()[:, [0, 2]])
    check_gradient(lambda *t: nn.functional.scaled_dot_product_attention(*t, mask), q, k, v)
