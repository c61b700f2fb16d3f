"""Activation layers are their functions."""

import numpy as np
import pytest

import neurenix as nx
from neurenix import nn
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.nn import functional as F
from neurenix.testing import random_array

X = random_array(2, 4, 3, 3).astype(np.float32)
LAYERS = [
    (nn.ReLU(), F.relu), (nn.ReLU6(), F.relu6), (nn.SELU(), F.selu), (nn.SiLU(), F.silu), (nn.Mish(), F.mish), (nn.Hardswish(), F.hardswish),
    (nn.Hardsigmoid(), F.hardsigmoid), (nn.Sigmoid(), F.sigmoid), (nn.Tanh(), F.tanh), (nn.LogSigmoid(), F.logsigmoid),
    (nn.Softsign(), F.softsign), (nn.Tanhshrink(), F.tanhshrink), (nn.LeakyReLU(0.3), lambda x: F.leaky_relu(x, 0.3)),
    (nn.ELU(2.0), lambda x: F.elu(x, 2.0)), (nn.CELU(2.0), lambda x: F.celu(x, 2.0)), (nn.Hardtanh(-2, 2), lambda x: F.hardtanh(x, -2, 2)),
    (nn.Threshold(0.1, 5.0), lambda x: F.threshold(x, 0.1, 5.0)), (nn.Softplus(2.0, 5.0), lambda x: F.softplus(x, 2.0, 5.0)),
    (nn.Hardshrink(0.2), lambda x: F.hardshrink(x, 0.2)), (nn.Softshrink(0.2), lambda x: F.softshrink(x, 0.2)),
    (nn.GELU("tanh"), lambda x: F.gelu(x, "tanh")), (nn.GLU(1), lambda x: F.glu(x, 1)), (nn.Softmax(2), lambda x: F.softmax(x, 2)),
    (nn.LogSoftmax(1), lambda x: F.log_softmax(x, 1)), (nn.Softmin(1), lambda x: F.softmin(x, 1)), (nn.Softmax2d(), lambda x: F.softmax(x, 1)),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(LAYERS)), ids=[type(layer).__name__ for layer, _ in LAYERS])
def test_layers_are_their_functions(case):
    layer, fn = LAYERS[case]
    np.testing.assert_array_equal(layer(nx.tensor(X)).numpy(), fn(X).numpy())
    assert not layer.state_dict()


def test_prelu_learns():
    layer = nn.PReLU(4, 0.1)
    layer(nx.tensor(X)).sum().backward()
    np.testing.assert_allclose(layer.weight.grad.numpy(), np.minimum(X, 0).sum((0, 2, 3)), rtol=1e-5)
    assert list(layer.state_dict()) == ["weight"]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: nn.GELU("erf"), 'GELU: expected approximate "none" or "tanh"'),
        (lambda: nn.Hardtanh(1.0, 0.0), "Hardtanh: expected min_val up to max_val"),
        (lambda: nn.CELU(0.0), "CELU: expected alpha other than 0"),
        (lambda: nn.Softshrink(-1.0), "Softshrink: expected lambd of at least 0"),
        (lambda: nn.PReLU(0), "PReLU: expected num_parameters to be an integer of at least 1"),
    ],
)
def test_constructor_errors(make, text):
    with pytest.raises(ArgumentError, match=text):
        make()


def test_softmax2d_wants_a_map():
    with pytest.raises(ShapeError, match=r"Softmax2d: expected \(N, C, H, W\) or \(C, H, W\)"):
        nn.Softmax2d()(nx.zeros(2, 3))


def test_repr_says_inplace_where_it_is_asked_for():
    layers = [
        nn.LeakyReLU(0.1, True),
        nn.ELU(),
        nn.CELU(inplace=True),
        nn.Hardtanh(inplace=True),
        nn.Threshold(0.5, 2, True),
        nn.SELU(True),
    ]
    assert [repr(layer) for layer in layers] == [
        "LeakyReLU(negative_slope=0.1, inplace=True)", "ELU(alpha=1.0)", "CELU(alpha=1.0, inplace=True)",
        "Hardtanh(min_val=-1.0, max_val=1.0, inplace=True)", "Threshold(threshold=0.5, value=2, inplace=True)", "SELU(inplace=True)",
    ]  # fmt: skip
    assert repr(nn.TripletMarginLoss()) == "TripletMarginLoss(margin=1.0)"


@pytest.mark.parametrize("layer", [nn.Softmax, nn.LogSoftmax, nn.Softmin])
@pytest.mark.parametrize("dim", [1.0, True, "a", (1,)])
def test_axes_are_integers(layer, dim):
    with pytest.raises(DTypeError, match=f"{layer.__name__}: expected dim as an integer, got .*; pass e.g. dim=1"):
        layer(dim)
