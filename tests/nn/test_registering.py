"""Registering and finding by name, buffers that are not saved, assignment, containers' whole interface, printing."""

import copy
import pickle
from collections import OrderedDict

import pytest

import neurenix as nx
from neurenix import nn
from neurenix.errors import ArgumentError, DTypeError


class Grid(nn.Module):
    def __init__(self, n):
        self.scale = nn.Parameter([1.0])
        self.register_buffer("mean", nx.zeros(n))
        self.register_buffer("grid", nx.ones(n), persistent=False)
        self.register_buffer("nothing", None)

    def forward(self, x):
        return x * self.scale + self.mean + self.grid


def buffers(module):
    return [name for name, _ in module.named_buffers()]


def test_buffers_that_are_not_saved(tmp_path):
    net = Grid(2)
    nx.save(net, tmp_path / "net.nx")
    for twin in (net, copy.deepcopy(net), pickle.loads(pickle.dumps(net)), nx.load(tmp_path / "net.nx", classes=[Grid])):
        assert list(twin.state_dict()) == ["scale", "mean"]
        assert buffers(twin) == ["mean", "grid"]
        assert twin.grid.tolist() == [1, 1]
        assert not twin.grid.persistent
    assert net.load_state_dict(net.state_dict()) == ([], [])
    assert net.double().grid.dtype == "float64"
    assert list(net.state_dict(prefix="a.")) == ["a.scale", "a.mean"]


def test_a_buffer_registered_afterwards_is_saved_with_the_model(tmp_path):
    net = nn.Sequential(nn.ReLU())
    net[0].register_buffer("late", nx.tensor([2.0]), persistent=False)
    nx.save(net, tmp_path / "net.nx")
    twin = nx.load(tmp_path / "net.nx")
    assert not list(twin.state_dict())
    assert twin[0].late.tolist() == [2.0]


def test_a_tensor_assigned_to_a_buffer_is_the_buffer():
    net = Grid(2)
    net.mean = net.mean * 0.5 + nx.tensor([1.0, 2.0])
    net.grid = nx.zeros(2)
    assert net.state_dict()["mean"].tolist() == [1, 2]
    assert buffers(net) == ["mean", "grid"]
    assert list(net.state_dict()) == ["scale", "mean"]
    with pytest.raises(DTypeError, match="Grid: expected a Parameter for 'scale', got a tensor"):
        net.scale = nx.zeros(1)
    net.scale = nn.Parameter([5.0])
    net.scale = None
    assert list(net.parameters()) == []


def test_registering_and_finding():
    net = nn.Module()
    net.register_parameter("p", nn.Parameter([1.0]))
    net.register_parameter("none", None)
    net.add_module("sub", nn.Linear(1, 2))
    net.register_module("sub", nn.Linear(2, 3))
    net.register_buffer("b", nx.zeros(1))
    net.register_buffer("b", nx.ones(1))
    assert [n for n, _ in net.named_parameters()] == ["p", "sub.weight", "sub.bias"]
    assert net.get_parameter("sub.weight").shape == (3, 2)
    assert net.get_buffer("b").tolist() == [1]
    for call, text in [
        (lambda: net.get_parameter("sub.no"), "get_parameter: expected the dotted name of a parameter, got 'sub.no'"),
        (lambda: net.get_parameter("b"), "get_parameter: expected the dotted name of a parameter"),
        (lambda: net.get_buffer("no.b"), "get_submodule: expected the dotted name of a module"),
        (lambda: net.register_buffer("a.b", nx.zeros(1)), "register_buffer: expected a name without '.'"),
        (lambda: net.register_buffer("_a", nx.zeros(1)), "register_buffer: expected a name without '.'"),
        (lambda: net.register_parameter("", None), "register_parameter: expected a name without '.'"),
        (lambda: net.register_buffer("train", nx.zeros(1)), "register_buffer: expected a new name, got 'train'"),
        (lambda: net.add_module("b", nn.ReLU()), "add_module: expected a new name, got 'b'"),
    ]:
        with pytest.raises(ArgumentError, match=text):
            call()
    for call, text in [
        (lambda: net.register_buffer("x", [1.0]), "register_buffer: expected a tensor or None, got list"),
        (lambda: net.register_parameter("x", nx.zeros(1)), "register_parameter: expected a Parameter or None, got Tensor"),
        (lambda: net.add_module("x", 3), "add_module: expected a module or None, got int"),
    ]:
        with pytest.raises(DTypeError, match=text):
            call()
    assert net.half().p.dtype == "float16"
    assert net.type("float64").p.dtype == "float64"


def test_set_submodule():
    net = nn.Sequential(nn.Sequential(nn.ReLU()), nn.Tanh())
    net.set_submodule("0.0", nn.ELU())
    assert isinstance(net[0][0], nn.ELU)
    with pytest.raises(ArgumentError, match="set_submodule: expected the dotted name of a module, got '0.5'"):
        net.set_submodule("0.5", nn.ReLU())
    with pytest.raises(DTypeError, match="set_submodule: expected a module, got int"):
        net.set_submodule("1", 3)


def test_sequential_slices_keep_their_names():
    net = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 3))
    assert list(net[1:].state_dict()) == ["2.weight", "2.bias"]
    assert repr(net[::2]).splitlines()[2] == "  (2): Linear(in_features=2, out_features=3, bias=True)"
    assert repr(nn.Sequential(OrderedDict(a=nn.ReLU(), b=nn.Tanh(), c=nn.ELU()))[:2]) == "Sequential(\n  (a): ReLU()\n  (b): Tanh()\n)"
    assert [type(m) for m in nn.Sequential(nn.ReLU()) * 2] == [nn.ReLU, nn.ReLU]
    assert repr(nn.Sequential(nn.ReLU()) + nn.Sequential(nn.Tanh())) == "Sequential(\n  (0): ReLU()\n  (1): Tanh()\n)"


def test_module_list_and_dict_whole():
    layers = nn.ModuleList([nn.ReLU()])
    layers += [nn.Tanh()]
    layers.insert(0, nn.ELU())
    assert [type(m).__name__ for m in layers] == ["ELU", "ReLU", "Tanh"]
    assert [n for n, _ in layers.named_modules()] == ["", "0", "1", "2"]
    table = nn.ModuleDict([("a", nn.ReLU())])
    table.update([["b", nn.Tanh()]])
    table.update(nn.ModuleDict({"c": nn.ELU()}))
    assert list(table) == ["a", "b", "c"]
    table.clear()
    assert repr(table) == "ModuleDict()"
    with pytest.raises(DTypeError, match="ModuleDict: expected a mapping, or pairs of name and module"):
        table.update([1])


def test_printed_as_pytorch_prints():
    layers = [nn.ReLU(), nn.ReLU(), nn.ReLU(), nn.Linear(1, 1), nn.Sequential(nn.Tanh()), nn.Sequential(nn.Tanh())]
    assert repr(nn.ModuleList(layers)).splitlines() == [
        "ModuleList(",
        "  (0-2): 3 x ReLU()",
        "  (3): Linear(in_features=1, out_features=1, bias=True)",
        "  (4-5): 2 x Sequential(",
        "    (0): Tanh()",
        "  )",
        ")",
    ]
    assert repr(nn.ModuleList()) == "ModuleList()"

    class Told(nn.Module):
        def __init__(self, children):
            if children:
                self.act = nn.ReLU()

        def extra_repr(self):
            return "a=1,\nb=2"

    assert repr(Told(True)) == "Told(\n  a=1,\n  b=2\n  (act): ReLU()\n)"
    assert repr(Told(False)) == "Told(\n  a=1,\n  b=2\n)"
    assert repr(nn.CrossEntropyLoss()) == "CrossEntropyLoss()"
    assert repr(nn.MSELoss(reduction="sum")) == "MSELoss(reduction='sum')"
