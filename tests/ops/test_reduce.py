"""Sums, means, extremes, variances, norms, scans, truth."""

import numpy as np
import pytest
from slopes import same, slopes

import neurenix as nx
from neurenix import _rust
from neurenix.errors import ArgumentError, DTypeError, RangeError, ShapeError
from neurenix.testing import assert_same_bits, check_adjoint, check_gradient, random_array

pytestmark = pytest.mark.everywhere

DIMS = [None, 0, 1, -1, (0, 2), (1, 2), (0, 1, 2), (-1,), [0]]


def numpy_dim(dim):
    return None if dim is None else tuple(dim) if isinstance(dim, (tuple, list)) else dim


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("keepdim", [False, True])
def test_values(dim, keepdim):
    x, axis = random_array(4, 5, 37), numpy_dim(dim)
    pairs = [(nx.sum, np.sum), (nx.mean, np.mean), (nx.amax, np.max), (nx.amin, np.min)]
    for ours, theirs in pairs:
        got = ours(x, () if dim is None and ours in (nx.amax, nx.amin) else dim, keepdim)
        np.testing.assert_allclose(got.numpy(), theirs(x, axis=axis, keepdims=keepdim), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(nx.var(x, dim, keepdim=keepdim).numpy(), x.var(axis=axis, ddof=1, keepdims=keepdim), rtol=1e-12)
    np.testing.assert_allclose(nx.std(x, dim, correction=0, keepdim=keepdim).numpy(), x.std(axis=axis, keepdims=keepdim), rtol=1e-12)


@pytest.mark.parametrize("dim", [None, 1, (0, 2)])
def test_gradients(dim):
    x = random_array(3, 4, 5)
    check_adjoint(lambda t: nx.sum(t, dim), x)
    check_adjoint(lambda t: nx.mean(t, dim, keepdim=True), x)
    for fn in (
        nx.var,
        nx.std,
        lambda t, d: nx.amax(t, () if d is None else d),
        lambda t, d: nx.norm(t, 3, d),
        lambda t, d: nx.norm(t, 2, d),
    ):
        check_gradient(lambda t, f=fn: f(t, dim), x)


def test_memory_orders_agree():
    x = random_array(3, 70, 5, 9).astype(np.float32)
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    for dim in (None, 0, 1, (2, 3), (0, 2, 3), (1, 3)):
        for fn in (nx.sum, nx.var, nx.mean):
            np.testing.assert_allclose(fn(last, dim).numpy(), fn(x, dim).numpy(), rtol=2e-6, atol=2e-6)
        want = x.argmax(axis=dim) if dim in (None, 0, 1) else None
        if want is not None:
            np.testing.assert_array_equal(nx.argmax(last, dim).numpy(), want)
    np.testing.assert_allclose(nx.sum(x[:, ::-2, 1:], 1).numpy(), x[:, ::-2, 1:].sum(1), rtol=1e-5, atol=1e-5)


def test_a_megapixel_mean_is_exact_to_rounding():
    x = random_array(1000, 1000).astype(np.float32) + 10
    exact = x.astype(np.float64).mean()
    assert abs(nx.mean(x).item() - exact) / exact < 6e-8
    assert abs(nx.mean(x.T).item() - exact) / exact < 6e-8


def test_bits_do_not_depend_on_threads_or_levels(each_thread_count):
    x = random_array(64, 30_011).astype(np.float32)

    def run():
        t = nx.Tensor(x)
        return [v.numpy() for v in (t.sum(), t.sum(0), t.var(1), t.norm(), t.T.sum(0), t.mean(1), t.logsumexp(1))]

    want = run()
    results = each_thread_count(run)
    before = _rust.level()
    for level in _rust.levels():
        _rust.set_level(level)
        results.append(run())
    _rust.set_level(before)
    for result in results:
        for got, expected in zip(result, want, strict=True):
            assert_same_bits(got, expected)


def test_integers_bools_and_dtype():
    assert nx.sum(nx.tensor([True, True, False])).item() == 2
    assert nx.sum(nx.tensor(np.array([200, 100], np.uint8))).item() == 300
    assert nx.sum(nx.tensor([1, 2]), dtype=nx.float64).dtype == np.float64
    assert nx.amax(nx.tensor(np.array([3, 7], np.int8))).dtype == np.int8
    assert nx.argmax(nx.tensor([1, 9, 9])).item() == 1
    assert nx.prod(nx.tensor([2, 3])).item() == 6
    with pytest.raises(DTypeError, match="mean: expected float32 or float64, got int64"):
        nx.mean(nx.tensor([1]))


def test_empty_inputs():
    x = np.zeros((0, 3))
    assert nx.sum(x).item() == 0
    assert np.isnan(nx.mean(x).item())
    assert nx.sum(x, 0).tolist() == [0.0] * 3
    assert nx.sum(x, 1).shape == (0,)
    assert nx.prod(x, 0).tolist() == [1.0] * 3
    for fn in (nx.amax, nx.amin, nx.argmax, nx.max):
        with pytest.raises(ShapeError, match=r"expected elements along dim.*got shape \(0, 3\)"):
            fn(x, 0)


def test_scalars():
    x = nx.tensor(3.0)
    assert (x.sum().item(), x.mean(0).item(), x.amax().item(), x.argmax(0).item(), x.cumsum(0).item()) == (3.0, 3.0, 3.0, 0, 3.0)
    assert (x.max(0).values.item(), x.sort().indices.item(), x.prod().item()) == (3.0, 0, 3.0)


@pytest.mark.parametrize("p", [0, 1, 2, 3, 0.5, np.inf, -np.inf, "fro"])
def test_norms(p):
    x = random_array(3, 4)
    order = 2 if p == "fro" else p
    np.testing.assert_allclose(nx.norm(x, p, 1).numpy(), np.linalg.norm(x, order, 1), rtol=1e-13)
    assert nx.norm(nx.zeros(3, requires_grad=True), p).item() == 0
    if p != 0:
        check_gradient(lambda t: nx.norm(t, p, 1), x)


def test_nuclear_norm():
    x = random_array(3, 4, 5)
    want = np.linalg.svd(x.transpose(1, 0, 2), compute_uv=False).sum(-1)
    np.testing.assert_allclose(nx.norm(x, "nuc", (0, 2)).numpy(), want, rtol=1e-13)
    check_gradient(lambda t: nx.norm(t, "nuc", (1, 2), keepdim=True), x)
    with pytest.raises(ShapeError, match="norm: expected two axes of matrices"):
        nx.norm(x, "nuc")


def test_norm_of_large_numbers_does_not_overflow():
    assert nx.norm(nx.tensor([3e30, 4e30])).item() == pytest.approx(5e30)


def test_distances():
    a, b = random_array(4, 3), random_array(4, 3, seed=1)
    want = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    np.testing.assert_allclose(nx.nn.functional.cosine_similarity(a, b).numpy(), want, rtol=1e-13)
    check_gradient(nx.nn.functional.cosine_similarity, a, b)
    np.testing.assert_allclose(nx.nn.functional.pairwise_distance(a, b).numpy(), np.linalg.norm(a - b + 1e-6, axis=1))
    np.testing.assert_allclose(nx.norm(nx.nn.functional.normalize(a), dim=1).numpy(), 1)


def test_scans_and_products():
    x = random_array(3, 4, 2)
    for dim in (0, 1, 2):
        np.testing.assert_allclose(nx.cumsum(x, dim).numpy(), x.cumsum(dim))
        np.testing.assert_allclose(nx.cumprod(x, dim).numpy(), x.cumprod(dim))
        np.testing.assert_allclose(nx.prod(x, dim).numpy(), x.prod(dim))
        check_adjoint(lambda t, d=dim: nx.cumsum(t, d), x)
        check_gradient(lambda t, d=dim: nx.cumprod(t, d), x)
        check_gradient(lambda t, d=dim: nx.prod(t, d), x)
    zeros = np.array([0.0, 2.0, 0.0, 3.0])
    check_gradient(nx.prod, zeros)
    check_gradient(lambda t: nx.cumprod(t, 0), zeros)
    np.testing.assert_array_equal(nx.cumsum(np.asfortranarray(x), 1).numpy(), nx.cumsum(x, 1).numpy())


def test_truth():
    x = nx.tensor([[0, 1], [1, 1]])
    assert (x.any().item(), x.all().item(), x.any(0).tolist(), x.all(1).tolist()) == (True, False, [True, True], [False, True])
    assert x.all(1, keepdim=True).shape == (2, 1)
    for none in ((), []):  # PyTorch's own exception: no axis, where sums take all
        assert x.any(none).shape == x.all(none).shape == x.shape
    assert nx.count_nonzero(x, 0).tolist() == [1, 2]


def test_errors():
    x = nx.zeros(2, 3)
    with pytest.raises(RangeError, match="sum: expected dim from -2 to 1 for 2 axes, got 2"):
        x.sum(2)
    with pytest.raises(ArgumentError, match="sum: expected different axes"):
        x.sum((0, -2))
    with pytest.raises(DTypeError, match="sum: expected dim to be an integer, got 0.5"):
        x.sum(0.5)
    with pytest.raises(ArgumentError, match="norm: expected a number or"):
        x.norm("max")


def test_results_have_the_integer_type_that_was_named():
    x = nx.tensor([[1, 2], [3, 200]])
    for f in (nx.sum, lambda t, dtype: nx.cumsum(t, 0, dtype=dtype), lambda t, dtype: nx.cumprod(t, 0, dtype=dtype), nx.prod, nx.nansum):
        assert f(x, dtype=nx.int32).dtype == np.int32
        assert f(x, dtype=nx.float64).dtype == np.float64
    assert nx.sum(x, dtype=nx.uint8).item() == 206
    assert nx.sum(x, dtype=nx.bool_).item() is True
    assert nx.max(nx.tensor([1.0, 5.0]), other=nx.tensor([2.0, 3.0])).tolist() == [2, 5]


def test_extremes_of_bools_at_indices():
    x, at = nx.tensor([True, False]), nx.tensor([0, 1])
    assert nx.scatter_reduce(x, 0, at, nx.tensor([False, False]), "amax", include_self=False).tolist() == [False, False]
    assert nx.scatter_reduce(x, 0, at, nx.tensor([True, True]), "amin", include_self=False).tolist() == [True, True]


def test_spreads_without_freedom_have_pytorchs_slopes():
    inf, nan, x = np.inf, np.nan, [1.0, 2.0, 3.0]
    assert same(slopes(lambda a: nx.var(a, 0, correction=3), x), (inf, [[-inf, nan, inf]]))
    assert same(slopes(lambda a: nx.var(a, 0, correction=5), x), (inf, [[1, 0, -1]]))
    assert same(slopes(lambda a: nx.var(a, correction=5), x), (inf, [[inf, nan, inf]]))
    assert same(slopes(lambda a: nx.std(a, 0, correction=5), x), (inf, [[0, 0, 0]]))


def test_norms_below_order_one_of_infinite_vectors():
    assert same(slopes(lambda a: nx.norm(a, 0.5), [np.inf, 1.0]), (np.inf, [[np.nan, np.inf]]))
