"""Products, norms and moments of vectors and matrices against NumPy."""

import numpy as np
import pytest

import neurenix as nx
from neurenix import linalg
from neurenix.errors import ArgumentError, ShapeError
from neurenix.testing import check_gradient, random_array

pytestmark = pytest.mark.everywhere

A, B, M = random_array(4, 3), random_array(4, 3, seed=1), random_array(3, 3, seed=2)


def test_products():
    np.testing.assert_allclose(nx.cross(A, B, 1).numpy(), np.cross(A, B), rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(linalg.cross(A, B[:1]).numpy(), np.cross(A, B[:1]), rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(nx.kron(A, M[:2]).numpy(), np.kron(A, M[:2]), rtol=1e-14)
    np.testing.assert_allclose(nx.trace(M).item(), np.trace(M), rtol=1e-14)
    np.testing.assert_allclose(nx.addr(M, M[0], M[1], beta=2, alpha=3).numpy(), 2 * M + 3 * np.outer(M[0], M[1]), rtol=1e-13)
    np.testing.assert_allclose(nx.matrix_power(M, 5).numpy(), np.linalg.matrix_power(M, 5), rtol=1e-12)
    np.testing.assert_array_equal(nx.matrix_power(M, 0).numpy(), np.eye(3))
    np.testing.assert_allclose(linalg.multi_dot([M[0], M, A.T, A[:, 0]]).item(), M[0] @ M @ A.T @ A[:, 0], rtol=1e-12)
    np.testing.assert_allclose(linalg.vecdot(A, B).numpy(), (A * B).sum(1), rtol=1e-13)
    np.testing.assert_allclose(linalg.vander(M[0], N=4).numpy(), np.vander(M[0], 4, increasing=True), rtol=1e-13)
    np.testing.assert_allclose(nx.tensordot(A, B[:1], ([0], [0])).numpy(), np.tensordot(A, np.repeat(B[:1], 4, 0), ([0], [0])), rtol=1e-13)


@pytest.mark.parametrize("order", [None, "fro", "nuc", 1, -1, np.inf, -np.inf])
def test_matrix_norms(order):
    np.testing.assert_allclose(linalg.norm(A, order).item(), np.linalg.norm(A, order), rtol=1e-12)
    if order is not None:
        x = random_array(2, 4, 3)
        want = [np.linalg.norm(m, order) for m in x]
        np.testing.assert_allclose(linalg.matrix_norm(x, order).numpy(), want, rtol=1e-12)
        check_gradient(lambda t: linalg.matrix_norm(t, order), x)


@pytest.mark.parametrize("order", [0, 1, 2, 3, 0.5, np.inf, -np.inf])
def test_vector_norms(order):
    np.testing.assert_allclose(linalg.vector_norm(A, order, 1).numpy(), np.linalg.norm(A, order, 1), rtol=1e-12)


def test_types_of_addr():
    """One type of all three, before the numbers are applied; of bools whether either holds."""
    a, b = np.eye(2, dtype=bool), np.array([True, False])
    for kwargs in ({}, {"beta": 2}, {"alpha": 3, "beta": 2}):
        got = nx.addr(nx.tensor(a), nx.tensor(b), nx.tensor(b), **kwargs)
        assert got.dtype == bool and (got.numpy() == a).all()
    assert not nx.addr(nx.tensor(a), nx.tensor(b), nx.tensor(b), beta=0, alpha=0).numpy().any()
    small, large = nx.tensor(np.array([1, 2], np.uint8)), nx.tensor(np.ones((2, 2), np.int16))
    for kwargs in ({"beta": 0}, {"beta": 2}):
        assert nx.addr(large, small, small, **kwargs).dtype == np.int16
    assert nx.addr(nx.tensor(a), small, small, beta=2).dtype == np.uint8


def test_moments():
    np.testing.assert_allclose(nx.cov(A).numpy(), np.cov(A), rtol=1e-12)
    f, a = np.array([1, 2, 3]), np.array([0.5, 1.0, 2.0])
    np.testing.assert_allclose(nx.cov(A, fweights=f, aweights=a).numpy(), np.cov(A, fweights=f, aweights=a), rtol=1e-12)
    np.testing.assert_allclose(nx.corrcoef(A).numpy(), np.corrcoef(A), rtol=1e-12)
    assert nx.cov(A[0]).shape == ()


def test_gradients():
    check_gradient(lambda x, y: nx.cross(x, y, 1), A, B)
    check_gradient(nx.kron, A, M)
    check_gradient(nx.cov, A)
    check_gradient(nx.corrcoef, A)
    check_gradient(lambda t: nx.matrix_power(t, 3), M)


def test_refusals():
    with pytest.raises(ShapeError, match="cross: expected an axis of size 3"):
        nx.cross(np.zeros((2, 2)), np.zeros((2, 2)))
    with pytest.raises(ArgumentError, match="matrix_norm: expected ord"):
        linalg.matrix_norm(A, 2)
    with pytest.raises(ArgumentError, match="matrix_power: expected a whole power"):
        nx.matrix_power(M, -1)
    with pytest.raises(ArgumentError, match="cov: expected weights"):
        nx.cov(A, aweights=[-1.0, 1.0, 1.0])
    with pytest.raises(ArgumentError, match="multi_dot: expected at least 2"):
        linalg.multi_dot([A])


def test_power_0_is_the_identity_whatever_the_matrix_holds():
    for dtype in (np.float32, np.float64, np.int64):
        y = nx.matrix_power(nx.ones(2, 2, 2, dtype=dtype), 0)
        assert y.dtype == dtype and y.tolist() == [[[1, 0], [0, 1]]] * 2
    assert nx.matrix_power(nx.tensor([[np.nan, np.inf], [1.0, 2.0]]), 0).tolist() == [[1, 0], [0, 1]]


def test_negative_norms_of_nothing_are_refused():
    with pytest.raises(ShapeError, match="norm: expected elements for the order -1.0"):
        linalg.vector_norm(nx.zeros(0), ord=-1)
    assert linalg.vector_norm(nx.zeros(2, 0), ord=1, dim=1).tolist() == [0, 0]


def test_norms_of_orders_below_1_have_no_slope_at_0():
    """It is infinite there, and was once NaN."""
    for order in (0.5, -1.0):
        x = nx.tensor([0.0, 1.0, -2.0], dtype=nx.float64, requires_grad=True)
        nx.norm(x, order).backward()
        assert x.grad[0].item() == 0 and x.grad.isfinite().all()


def test_norms_of_matrices_of_nothing_are_0():
    for order in (1, np.inf):
        assert linalg.matrix_norm(nx.zeros(0, 0), order).item() == 0
        assert linalg.norm(nx.zeros(2, 0, 0), order, (1, 2), keepdim=True).tolist() == [[[0]], [[0]]]
    with pytest.raises(ShapeError, match="matrix_norm: expected elements"):
        linalg.matrix_norm(nx.zeros(0, 0), -1)
