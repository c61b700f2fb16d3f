"""Products of matrices, einsum, attention, bilinear forms."""

import numpy as np
import pytest

import neurenix as nx
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.nn import functional as F
from neurenix.testing import assert_same_bits, check_gradient, random_array

SHAPES = [((3, 4), (4, 5)), ((4,), (4, 5)), ((3, 4), (4,)), ((4,), (4,)), ((2, 3, 4), (4, 5)), ((3, 4), (2, 4, 5)), ((2, 1, 3, 4), (6, 4, 5)),
          ((0, 4), (4, 5)), ((3, 0), (0, 5)), ((2, 3, 4), (4,)), ((1, 1), (1, 1))]  # fmt: skip


@pytest.mark.parametrize(("a", "b"), SHAPES)
def test_matmul(a, b):
    x, y = random_array(*a), random_array(*b, seed=1)
    np.testing.assert_allclose((nx.Tensor(x) @ nx.Tensor(y)).numpy(), x @ y, rtol=1e-13, atol=1e-13)
    check_gradient(nx.matmul, x, y)


def test_transposed_operands_and_threads(each_thread_count):
    x, y = random_array(200, 300).astype(np.float32), random_array(250, 300, seed=1).astype(np.float32)
    np.testing.assert_allclose((nx.Tensor(x) @ nx.Tensor(y).T).numpy(), x @ y.T, rtol=1e-4, atol=1e-4)
    first, *rest = each_thread_count((nx.Tensor(x) @ nx.Tensor(y).T).numpy)
    for other in rest:
        assert_same_bits(other, first)


def test_named_products():
    m, v, b = random_array(3, 3), random_array(3, seed=1), random_array(2, 3, 3, seed=2)
    np.testing.assert_allclose(nx.mm(m, m).numpy(), m @ m)
    np.testing.assert_allclose(nx.mv(m, v).numpy(), m @ v)
    np.testing.assert_allclose(nx.dot(v, v).numpy(), v @ v)
    np.testing.assert_allclose(nx.bmm(b, b).numpy(), b @ b)
    np.testing.assert_allclose(nx.outer(v, v).numpy(), np.outer(v, v))
    np.testing.assert_allclose(nx.inner(m, m).numpy(), np.inner(m, m))
    np.testing.assert_allclose(nx.addmm(v, m, m, beta=0.5, alpha=2).numpy(), 0.5 * v + 2 * m @ m)
    np.testing.assert_allclose(nx.addmv(v, m, v).numpy(), v + m @ v)
    np.testing.assert_allclose(nx.baddbmm(m, b, b).numpy(), m + b @ b)
    np.testing.assert_allclose(nx.addbmm(m, b, b).numpy(), m + (b @ b).sum(0))
    np.testing.assert_allclose(nx.tensordot(b, m, ([2], [0])).numpy(), np.tensordot(b, m, ([2], [0])))
    np.testing.assert_allclose(nx.tensordot(b, m).numpy(), np.tensordot(b, m))


EQUATIONS = [
    ("ij,jk->ik", (3, 4), (4, 5)), ("ij,jk", (3, 4), (4, 5)), ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)), ("ij->ji", (3, 4)), ("ij->", (3, 4)),
    ("ii->i", (4, 4)), ("ii", (4, 4)), ("i,j->ij", (3,), (4,)), ("...ij,...jk->...ik", (2, 3, 4), (4, 5)), ("bhqd,bhkd->bhqk", (2, 3, 4, 5), (2, 3, 6, 5)),
    ("ij,ij->ij", (3, 4), (3, 4)), ("ab,bc,cd->ad", (2, 3), (3, 4), (4, 5)), ("i,i,i->", (3,), (3,), (3,)), ("abc,cd->bad", (2, 3, 4), (4, 5)),
    ("...a->...", (2, 3)), ("ij,kl->", (2, 3), (3, 2)),
]  # fmt: skip


@pytest.mark.parametrize("case", EQUATIONS, ids=[c[0] for c in EQUATIONS])
def test_einsum(case):
    equation, *shapes = case
    arrays = [random_array(*s, seed=i) for i, s in enumerate(shapes)]
    np.testing.assert_allclose(nx.einsum(equation, *arrays).numpy(), np.einsum(equation, *arrays), rtol=1e-12, atol=1e-13)
    check_gradient(lambda *ts: nx.einsum(equation, *ts), *arrays)


def test_attention():
    q, k, v = random_array(2, 3, 4, 8), random_array(2, 3, 5, 8, seed=1), random_array(2, 3, 5, 6, seed=2)
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(8)
    e = np.exp(scores)
    np.testing.assert_allclose(F.scaled_dot_product_attention(q, k, v).numpy(), e / e.sum(-1, keepdims=True) @ v, rtol=1e-12)
    e = np.exp(scores) * np.tri(4, 5)
    np.testing.assert_allclose(
        F.scaled_dot_product_attention(q, k, v, is_causal=True).numpy(), e / e.sum(-1, keepdims=True) @ v, rtol=1e-12
    )
    mask = random_array(4, 5, seed=3)
    check_gradient(F.scaled_dot_product_attention, q, k, v, mask)
    with pytest.raises(ArgumentError, match="expected a mask or is_causal, got both"):
        F.scaled_dot_product_attention(q, k, v, mask, is_causal=True)
    with pytest.raises(ArgumentError, match="expected dropout_p=0"):
        F.scaled_dot_product_attention(q, k, v, dropout_p=0.1)


def test_attention_of_a_query_that_may_look_nowhere():
    q, k, v = random_array(2, 3, 4), random_array(2, 5, 4, seed=1), random_array(2, 5, 6, seed=2)
    seen = np.array([[1, 0, 1, 0, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]], bool)
    tensors = [nx.tensor(a, requires_grad=True) for a in (q, k, v)]
    for mask in (seen, np.where(seen, 0.0, -np.inf)):
        y = F.scaled_dot_product_attention(*tensors, mask)
        assert not y.numpy()[:, 1].any()
        np.testing.assert_allclose(y.numpy()[:, ::2], F.scaled_dot_product_attention(q[:, ::2], k, v, seen[::2]).numpy(), rtol=1e-14)
        y.sum().backward()
        assert all(np.isfinite(t.grad.numpy()).all() for t in tensors) and not tensors[0].grad.numpy()[:, 1].any()
    check_gradient(lambda *ts: F.scaled_dot_product_attention(*ts, seen), q, k, v)
    assert F.scaled_dot_product_attention(q, k[:, :0], v[:, :0], seen[:, :0]).tolist() == np.zeros((2, 3, 6)).tolist()


def test_bilinear():
    x, y, w, b = random_array(2, 5, 3), random_array(2, 5, 4, seed=1), random_array(6, 3, 4, seed=2), random_array(6, seed=3)
    np.testing.assert_allclose(F.bilinear(x, y, w, b).numpy(), np.einsum("...i,oij,...j->...o", x, w, y) + b, rtol=1e-12)
    check_gradient(F.bilinear, x, y, w, b)
    with pytest.raises(ShapeError, match="bilinear: expected"):
        F.bilinear(x, y, w[:, :2])


def test_errors():
    with pytest.raises(ShapeError, match=r"matmul: expected as many columns as rows, got \(2, 3\) and \(2, 3\)"):
        nx.zeros(2, 3) @ nx.zeros(2, 3)
    with pytest.raises(DTypeError, match="matmul: expected operands of one type"):
        nx.zeros(2, 2) @ nx.zeros(2, 2).double()
    with pytest.raises(DTypeError, match="matmul: expected float32 or float64, got int64"):
        nx.tensor([[1]]) @ nx.tensor([[1]])
    with pytest.raises(ShapeError, match="mm: expected 2 axes"):
        nx.mm(nx.zeros(2), nx.zeros(2))
    with pytest.raises(ShapeError, match="bmm: expected batches of one size"):
        nx.bmm(nx.zeros(2, 1, 1), nx.zeros(3, 1, 1))
    with pytest.raises(ArgumentError, match="einsum: expected a letter for each of 2 axes"):
        nx.einsum("i->i", nx.zeros(2, 2))
    with pytest.raises(ArgumentError, match="einsum: expected 2 terms"):
        nx.einsum("i->i", nx.zeros(2), nx.zeros(2))
    with pytest.raises(ShapeError, match="einsum: expected one size for 'j'"):
        nx.einsum("ij,jk->ik", nx.zeros(2, 3), nx.zeros(4, 2))


SIZES = [(1, 5), (2, 70), (3, 3), (16, 16), (64, 1), (64, 33), (511, 1), (513, 20), (1300, 7), (1300, 1030)]


@pytest.mark.parametrize("layout", ["plain", "left"])
@pytest.mark.parametrize(("k", "n"), SIZES)
def test_a_row_is_the_same_beside_any_others(k, n, layout):
    a, b = random_array(300, k).astype(np.float32), random_array(k, n, seed=1).astype(np.float32)
    if layout == "left":
        a = np.asfortranarray(a)
    whole = nx.matmul(a, b).numpy()
    np.testing.assert_allclose(whole, a.astype(np.float64) @ b, rtol=1e-3, atol=1e-4)
    for first, last in ((0, 1), (7, 8), (7, 9), (3, 6), (0, 16), (100, 164), (40, 105), (0, 257)):
        assert_same_bits(nx.matmul(a[first:last], b).numpy(), whole[first:last])
    stacked = np.ascontiguousarray(a.reshape(60, 5, k))
    assert_same_bits(
        nx.matmul(stacked, np.broadcast_to(b, (60, k, n))).numpy().reshape(300, n), nx.matmul(stacked, b).numpy().reshape(300, n)
    )


def test_single_rows_and_columns_on_each_level_and_any_threads(level, each_thread_count):
    for shapes in (((1, 700), (700, 2100)), ((2100, 700), (700, 1)), ((2, 9, 40), (2, 40, 9)), ((900, 2), (2, 900))):
        a, b = random_array(*shapes[0]), random_array(*shapes[1], seed=1)
        first, *others = each_thread_count(lambda a=a, b=b: nx.matmul(a, b).numpy())
        np.testing.assert_allclose(first, a @ b, rtol=1e-10, atol=1e-12)
        for other in others:
            assert_same_bits(other, first)
