"""NumPy's names of arguments: ``axis`` and ``keepdims`` wherever ``dim`` and ``keepdim`` are."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import neurenix as nx
from neurenix.errors import ArgumentError
from neurenix.nn import functional as F

X = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)


def taking(name: str) -> list[str]:
    return [n for n, f in vars(nx).items() if inspect.isfunction(f) and name in inspect.signature(f).parameters]


@pytest.mark.parametrize("name", ["sum", "mean", "amax", "amin", "prod", "std", "var", "logsumexp", "norm", "nansum", "median", "all"])
def test_reductions_take_axis_and_keepdims(name):
    def array(result):
        return (result.values if name == "median" else result).numpy()

    function, x = getattr(nx, name), nx.tensor(X > 0 if name == "all" else X)
    want = array(function(x, dim=1, keepdim=True))
    for got in (function(x, axis=1, keepdims=True), getattr(x, name)(axis=1, keepdims=True), function(x, dim=1, keepdims=True)):
        assert array(got).shape == (2, 1, 4)
        assert np.array_equal(array(got), want)


def test_other_operations_take_axis():
    x = nx.tensor(X, requires_grad=True)
    for got, want in [
        (nx.softmax(x, axis=1), nx.softmax(x, 1)),
        (nx.cat([x, x], axis=-1), nx.cat([x, x], -1)),
        (nx.stack([x, x], axis=1), nx.stack([x, x], 1)),
        (x.cumsum(axis=0), x.cumsum(0)),
        (x[None].squeeze(axis=0), x),
        (x.unsqueeze(axis=2), x.unsqueeze(2)),
        (nx.swapaxes(x, axis0=0, axis1=2), nx.transpose(x, 0, 2)),
        (F.log_softmax(x, axis=-1), F.log_softmax(x, -1)),
        (x.argmax(axis=1), x.argmax(1)),
    ]:
        assert np.array_equal(got.numpy(), want.numpy())
    x.sum(axis=(1, 2)).sum().backward()
    assert x.grad.numpy().min() == x.grad.numpy().max() == 1


def test_functions_that_take_dim_take_axis():
    for name in taking("dim"):
        with pytest.raises(ArgumentError, match=f"{name}: expected dim or axis, got both; pass one of them"):
            getattr(nx, name)(X, dim=1, axis=1)


@pytest.mark.parametrize("call", [lambda x: nx.sum(x, 1, axis=1), lambda x: x.mean(1, True, keepdims=True)])
def test_an_argument_is_given_once(call):
    with pytest.raises(ArgumentError, match="expected (dim or axis|keepdim or keepdims), got both; pass one of them"):
        call(nx.tensor(X))


def test_signatures_stay():
    assert list(inspect.signature(nx.sum).parameters) == ["input", "dim", "keepdim", "dtype"]
    assert list(inspect.signature(nx.Tensor.sum).parameters) == ["self", "dim", "keepdim", "dtype"]
