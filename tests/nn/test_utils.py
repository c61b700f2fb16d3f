"""Clipping of gradients."""

import numpy as np
import pytest

import neurenix as nx
from neurenix.errors import ArgumentError, DTypeError, GraphError, ShapeError
from neurenix.nn import utils
from neurenix.testing import random_array


def parameters(*arrays):
    made = []
    for a in arrays:
        p = nx.Tensor(np.zeros_like(a), requires_grad=True)
        p.grad = nx.Tensor(a.copy())
        made.append(p)
    return [*made, nx.tensor([1.0], requires_grad=True)]


@pytest.mark.parametrize("order", [2.0, 1.0, 3.0, np.inf])
def test_norm_over_all_and_scaled(order):
    arrays = [random_array(300, 101), random_array(7, seed=1), random_array(5, seed=2).astype(np.float32)]
    ps = parameters(*arrays)
    want = np.linalg.norm(np.concatenate([a.ravel().astype(np.float64) for a in arrays]), order)
    total = utils.clip_grad_norm_(ps, want / 2, order)
    assert total.shape == ()
    assert total.item() == pytest.approx(want, rel=1e-12)
    for p, a in zip(ps, arrays, strict=False):
        np.testing.assert_allclose(p.grad.numpy(), a * (want / 2 / (want + 1e-6)), rtol=1e-6)


def test_small_gradients_stay_in_bits():
    a = random_array(5, 4)
    (p, _) = parameters(a.T)
    utils.clip_grad_norm_(p, 1e6)
    np.testing.assert_array_equal(p.grad.numpy(), a.T)


def test_nothing_to_clip():
    assert utils.clip_grad_norm_([nx.tensor([1.0])], 1.0).item() == 0


def test_values():
    (p, _) = parameters(np.array([-3.0, 0.5, np.nan, 2.0]))
    utils.clip_grad_value_([p], 1.0)
    np.testing.assert_array_equal(p.grad.numpy(), [-1.0, 0.5, np.nan, 1.0])


def test_errors():
    (p, _) = parameters(np.array([np.nan, 1.0]))
    with pytest.raises(GraphError, match="clip_grad_norm_: expected a finite norm, got nan"):
        utils.clip_grad_norm_(p, 1.0, error_if_nonfinite=True)
    assert p.grad.tolist()[1] == 1.0
    with pytest.raises(ArgumentError, match="clip_grad_norm_: expected a norm_type above 0"):
        utils.clip_grad_norm_(p, 1.0, 0)
    with pytest.raises(ArgumentError, match="clip_grad_value_: expected a clip_value of at least 0"):
        utils.clip_grad_value_(p, -1)
    for limit in (-1.0, "1", None, np.nan):
        with pytest.raises(ArgumentError, match="clip_grad_norm_: expected a max_norm of at least 0"):
            utils.clip_grad_norm_(p, limit)
    for call in (utils.clip_grad_norm_, utils.clip_grad_value_):
        for given in (3, [3]):
            with pytest.raises(DTypeError, match=f"{call.__name__}: expected an iterable of parameters, got int; pass model.parameters"):
                call(given, 1.0)
    p.grad = np.ones(2)
    with pytest.raises(DTypeError, match="clip_grad_norm_: expected a tensor as grad, got ndarray"):
        utils.clip_grad_norm_(p, 1.0)
    with pytest.raises(DTypeError, match="parameters_to_vector: expected an iterable of parameters, got int"):
        utils.parameters_to_vector(3)


def test_parameters_as_a_vector():
    net = nx.nn.Linear(2, 3)
    vector = nx.nn.utils.parameters_to_vector(net.parameters())
    assert vector.shape == (9,)
    (vector * vector).sum().backward()
    assert net.bias.grad.tolist() == (2 * net.bias).tolist()
    nx.nn.utils.vector_to_parameters(nx.arange(9).double(), net.parameters())
    assert net.weight.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert net.bias.tolist() == [6, 7, 8]
    assert net.bias.dtype == "float32"
    with pytest.raises(ShapeError, match="vector_to_parameters: expected a vector of 9 elements, got shape"):
        nx.nn.utils.vector_to_parameters(nx.zeros(8), net.parameters())
    with pytest.raises(ArgumentError, match="parameters_to_vector: expected parameters, got none"):
        nx.nn.utils.parameters_to_vector([])


def test_clipping_takes_foreach():
    p = nx.tensor([0.0], requires_grad=True)
    p.grad = nx.tensor([4.0])
    nx.nn.utils.clip_grad_norm_([p], 2.0, foreach=True)
    assert p.grad.item() == pytest.approx(2.0)
    nx.nn.utils.clip_grad_value_([p], 1.0, foreach=False)
    assert p.grad.item() == 1.0
