"""Embedding, bilinear and comparing layers, and modules that hold parameters."""

import numpy as np
import pytest

import neurenix as nx
from neurenix import nn
from neurenix.errors import ArgumentError, RangeError, ShapeError
from neurenix.nn import functional as F
from neurenix.testing import assert_same_bits, random_array


def test_embedding():
    layer = nn.Embedding(5, 3, padding_idx=-1)
    weight = layer.weight.numpy()
    assert not weight[4].any()
    assert weight[:4].all()
    y = layer(np.array([[1, 4], [0, 1]]))
    assert_same_bits(y.numpy(), weight[[[1, 4], [0, 1]]])
    y.sum().backward()
    assert layer.weight.grad.tolist() == [[1.0] * 3, [2.0] * 3, [0.0] * 3, [0.0] * 3, [0.0] * 3]
    assert repr(layer) == "Embedding(5, 3, padding_idx=4)"
    large = nn.Embedding(200, 100).weight.numpy()
    assert abs(large.std() - 1) < 0.02


def test_embedding_from_a_table():
    table = random_array(4, 2)
    layer = nn.Embedding.from_pretrained(table)
    assert not layer.weight.requires_grad
    assert_same_bits(layer(np.array([3])).numpy(), table[3:])
    assert nn.Embedding.from_pretrained(table, freeze=False).weight.requires_grad
    with pytest.raises(ShapeError, match=r"Embedding: expected embeddings \(count, size\)"):
        nn.Embedding.from_pretrained(table[0])


@pytest.mark.parametrize(
    ("text", "make"),
    [
        ("Embedding: expected num_embeddings of at least 1, got 0", lambda: nn.Embedding(0, 3)),
        ("Embedding: expected padding_idx from -5 to 4, got 5", lambda: nn.Embedding(5, 3, padding_idx=5)),
        ("Embedding: expected max_norm=None and sparse=False", lambda: nn.Embedding(5, 3, max_norm=1.0)),
        ("Bilinear: expected in2_features of at least 1", lambda: nn.Bilinear(2, 0, 3)),
        ("RReLU: expected lower <= upper", lambda: nn.RReLU(0.5, 0.1)),
        ("ParameterDict: expected a name without", lambda: nn.ParameterDict({"a.b": np.zeros(1)})),
    ],
)
def test_constructors_check(text, make):
    with pytest.raises(ArgumentError, match=text):
        make()


def test_layers_call_the_functions():
    x, y = random_array(4, 3), random_array(4, 3, seed=1)
    layer = nn.Bilinear(3, 3, 2, dtype="float64")
    assert_same_bits(layer(x, y).numpy(), F.bilinear(x, y, layer.weight, layer.bias).numpy())
    bound = 1 / np.sqrt(3)
    assert np.abs(nn.Bilinear(3, 50, 50).weight.numpy()).max() <= bound
    assert_same_bits(nn.PairwiseDistance(1, keepdim=True)(x, y).numpy(), F.pairwise_distance(x, y, 1, keepdim=True).numpy())
    assert_same_bits(nn.CosineSimilarity(0)(x, y).numpy(), F.cosine_similarity(x, y, 0).numpy())
    assert_same_bits(nn.RReLU().eval()(x).numpy(), F.rrelu(x).numpy())
    assert nn.Unflatten(1, (-1, 1))(x).shape == (4, 3, 1)


def test_prints_are_pytorchs():
    assert repr(nn.Bilinear(2, 3, 4, bias=False)) == "Bilinear(in1_features=2, in2_features=3, out_features=4, bias=False)"
    assert repr(nn.Unflatten(1, (2, 3))) == "Unflatten(dim=1, unflattened_size=(2, 3))"
    assert repr(nn.RReLU(0.25, 0.5)) == "RReLU(lower=0.25, upper=0.5)"
    assert repr(nn.PairwiseDistance()) == "PairwiseDistance()"
    assert repr(nn.LeakyReLU()) == "LeakyReLU(negative_slope=0.01)"
    assert repr(nn.GELU("tanh")) == "GELU(approximate='tanh')"
    assert repr(nn.Softplus()) == "Softplus(beta=1.0, threshold=20.0)"
    assert repr(nn.Hardshrink()) == "Hardshrink(0.5)"
    assert repr(nn.PReLU(3)) == "PReLU(num_parameters=3)"
    assert repr(nn.Softmax(1)) == "Softmax(dim=1)"
    assert repr(nn.PixelShuffle(2)) == "PixelShuffle(upscale_factor=2)"
    assert repr(nn.Unfold(2)) == "Unfold(kernel_size=2, dilation=1, padding=0, stride=1)"


def test_parameter_list():
    held = nn.ParameterList([nn.Parameter(np.ones(2)), np.zeros((2, 3))])
    assert [(n, p.shape) for n, p in held.named_parameters()] == [("0", (2,)), ("1", (2, 3))]
    assert len(held.append(nx.ones(1)).extend([np.ones(4)])) == 4
    assert held[-1].shape == (4,)
    assert isinstance(held[2], nn.Parameter)
    held[0] = np.full(2, 3.0)
    assert [p.numpy().ravel()[0] for p in held] == [3.0, 0.0, 1.0, 1.0]
    with pytest.raises(RangeError, match="ParameterList: expected an index from -4 to 3, got 4"):
        held[4]


def test_parameter_dict():
    held = nn.ParameterDict({"a": np.ones(2)})
    held["b"] = np.zeros(3)
    held.update({"c": np.zeros(1)})
    assert list(held) == list(held.keys()) == ["a", "b", "c"]
    assert len(list(held.values())) == len(dict(held.items())) == len(held) == 3
    assert held.pop("c").shape == (1,)
    del held["a"]
    assert "a" not in held
    assert list(held.state_dict()) == ["b"]
    with pytest.raises(KeyError):
        held["a"]
    with pytest.raises(KeyError):
        del held["a"]


def test_saved(tmp_path):
    class Model(nn.Module):
        def __init__(self):
            self.list = nn.ParameterList([nx.ones(2), nx.zeros(1)])
            self.dict = nn.ParameterDict({"x": nx.ones(3)})
            self.attention = nn.MultiheadAttention(4, 2)
            self.table = nn.Embedding(3, 4)

    model = Model()
    model.list[0].assign_(np.array([5.0, 6.0], np.float32))
    nx.save(model, tmp_path / "model.safetensors")
    again = nx.load(tmp_path / "model.safetensors", classes=(Model,))
    for (name, a), (other, b) in zip(model.state_dict().items(), again.state_dict().items(), strict=True):
        assert name == other
        assert_same_bits(a.numpy(), b.numpy())


def test_from_pretrained_has_the_arguments_of_pytorch_in_their_order():
    table = np.ones((3, 2), np.float32)
    assert nn.Embedding.from_pretrained(table, True, 1, None, 2.0, True, False).scale_grad_by_freq
    with pytest.raises(ArgumentError, match="Embedding: expected max_norm=None"):
        nn.Embedding.from_pretrained(table, max_norm=1.0)
