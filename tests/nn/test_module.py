"""Modules: finding parameters, modes, state dicts, moves, hooks, plain arrays, containers."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

import neurenix as nx
from neurenix import nn
from neurenix.errors import ArgumentError, DTypeError, RangeError, ShapeError, StateError
from neurenix.testing import assert_same_bits


class Scale(nn.Module):
    def __init__(self, size, start=1.0):
        self.weight = nn.Parameter(np.full(size, start, np.float32))
        self.count = nn.Buffer(nx.tensor(0))

    def forward(self, x):
        return x * self.weight


class Net(nn.Module):
    def __init__(self):
        self.first = Scale(2)
        self.more = [Scale(3), (Scale(4), 5), {"k": Scale(5)}]
        self.bias = nn.Parameter([1.0, 2.0])
        self.plain = nx.tensor([1.0])
        self._hidden = nn.Parameter([1.0])
        self._cache = Scale(9)

    def forward(self, x):
        return self.first(x) + self.bias


NAMES = ["bias", "first.weight", "more.0.weight", "more.1.0.weight", "more.2.k.weight"]


def test_parameters_in_order_through_lists_tuples_and_dicts():
    net = Net()
    assert [n for n, _ in net.named_parameters()] == NAMES
    assert [n for n, _ in net.named_parameters("net")] == [f"net.{n}" for n in NAMES]
    assert [n for n, _ in net.named_parameters(recurse=False)] == ["bias"]
    assert [n for n, _ in net.named_buffers()] == [n.replace("weight", "count") for n in NAMES[1:]]
    assert [n for n, _ in net.named_modules()] == ["", "first", "more.0", "more.1.0", "more.2.k"]
    assert [n for n, _ in net.named_children()] == ["first", "more.0", "more.1.0", "more.2.k"]
    assert net.num_parameters() == 16
    net.first.requires_grad_(False)
    assert net.num_parameters(trainable_only=True) == 14
    assert net.get_submodule("more.2.k") is net.more[2]["k"]
    with pytest.raises(ArgumentError, match="get_submodule: expected the dotted name"):
        net.get_submodule("nothing")


def test_shared_modules_yield_their_parameters_once():
    shared = Scale(2)
    net = nn.Sequential(shared, nn.Sequential(shared))
    net[0].tied = shared.weight
    assert [n for n, _ in net.named_parameters()] == ["0.weight"]
    assert [n for n, _ in net.named_parameters(remove_duplicate=False)] == ["0.weight", "0.tied", "1.0.weight", "1.0.tied"]
    assert list(net.state_dict()) == ["0.weight", "0.tied", "0.count", "1.0.weight", "1.0.tied", "1.0.count"]
    shared.loop = net
    assert len(list(net.modules())) == 3


def test_modes_and_apply():
    net, seen = Net(), []
    assert net.training
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    assert net._cache.training
    net.train()
    assert all(m.training for m in net.modules())
    assert net.apply(seen.append) is net
    assert seen[-1] is net
    assert len(seen) == 5
    with pytest.raises(ArgumentError, match="train: expected mode True or False, got 'yes'"):
        net.train("yes")


def test_super_init_may_be_called():
    class Old(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter([1.0])

    assert Old().num_parameters() == 1


def test_gradients_are_dropped_or_zeroed():
    net = Net()
    net(nx.tensor([1.0, 1.0])).sum().backward()
    assert net.bias.grad.tolist() == [1, 1]
    net.zero_grad(set_to_none=False)
    assert net.bias.grad.tolist() == [0, 0]
    net.zero_grad()
    assert net.bias.grad is None
    net.requires_grad_(False)
    assert not net(nx.tensor([1.0, 1.0])).requires_grad


def test_without_forward():
    with pytest.raises(NotImplementedError, match="Module: expected a method forward"):
        nn.Module()(1)


# --- state


def test_state_dict_views_cannot_be_written():
    net = Scale(2)
    state = net.state_dict()
    with pytest.raises(ValueError, match="read-only"):
        state["weight"].data[0] = 5
    net.weight.data[0] = 7
    assert state["weight"].tolist() == [7, 1]
    assert not state["weight"].requires_grad


def test_load_state_dict_copies():
    net, other = Scale(2), Scale(2, 3.0)
    version = net.weight._version
    assert net.load_state_dict(other.state_dict()) == ([], [])
    other.weight.data[...] = 0
    assert net.weight.tolist() == [3, 3]
    assert net.weight._version > version


def test_load_state_dict_names_every_fault_and_writes_nothing():
    net = Net()
    state = {n: np.zeros(t.shape, t.dtype) for n, t in net.state_dict().items()}
    del state["bias"], state["first.count"]
    state |= {"extra": np.zeros(1), "more.0.weight": np.zeros(9, np.float32), "first.weight": np.zeros(2)}
    with pytest.raises(StateError) as caught:
        net.load_state_dict(state)
    text = str(caught.value)
    assert text.startswith("load_state_dict: expected the 9 entries of Net, got missing bias, first.count; unexpected extra; ")
    assert "wrong shape for more.0.weight: (9,) where the model has (3,)" in text
    assert "wrong type for first.weight: float64 where the model has float32" in text
    assert all((t.numpy() == (1 if "weight" in n else t.numpy())).all() for n, t in net.state_dict().items())
    with pytest.raises(StateError, match="wrong shape"):
        net.load_state_dict(state, strict=False)
    del state["more.0.weight"], state["first.weight"]
    result = net.load_state_dict(state, strict=False)
    assert result.missing_keys == ["bias", "first.weight", "first.count", "more.0.weight"]
    assert result.unexpected_keys == ["extra"]
    assert net.more[1][0].weight.tolist() == [0] * 4
    with pytest.raises(DTypeError, match="expected a mapping of names to arrays, got list"):
        net.load_state_dict([1])


def test_load_state_dict_from_another_librarys_tensors():
    class Foreign:
        def __init__(self, array):
            self.array = array

        def __array__(self, dtype=None, copy=None):
            return self.array

    net = Scale(2).double()
    net.load_state_dict({"weight": Foreign(np.array([1.5, 2.5])), "count": Foreign(np.array(3))})
    assert net.weight.tolist() == [1.5, 2.5]
    assert net.count.item() == 3


def test_a_graph_notices_loaded_weights():
    net = Scale(2)
    y = net(nx.tensor([1.0, 2.0], requires_grad=True)).sum()
    net.load_state_dict(Scale(2, 5.0).state_dict())
    with pytest.raises(RuntimeError, match="overwritten"):
        y.backward()


# --- moves


def test_to_changes_floats_in_place():
    net = Net()
    weight = net.first.weight
    net(nx.tensor([1.0, 1.0])).sum().backward()
    assert net.to(nx.float64) is net
    assert net.first.weight is weight
    assert weight.dtype == np.float64
    assert weight.grad.dtype == np.float64
    assert net.first.count.dtype == np.int64
    assert net.float().first.weight.dtype == np.float32
    assert net.to("cpu").double().cpu().first.weight.device == "cpu"
    assert net.to(nx.tensor([1.0])).first.weight.dtype == np.float32
    with pytest.raises(DTypeError, match="to: expected a floating type for a module"):
        net.to(nx.int64)


def test_copies_and_pickles_of_parameters_have_no_gradient():
    layer = nn.Linear(2, 1)
    layer(nx.ones(1, 2)).sum().backward()
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert all(p.grad is None for p in twin.parameters())
        twin(nx.ones(1, 2)).sum().backward()
        assert_same_bits(twin.weight.grad, layer.weight.grad)
    plain = nx.tensor([1.0], requires_grad=True)
    plain.sum().backward()
    assert copy.deepcopy(plain).grad.tolist() == [1.0]  # a tensor's copy has it, as in PyTorch


def test_a_shared_parameter_keeps_its_first_place():
    net = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3), nn.Linear(3, 3))
    net[2].weight, net[3].bias = net[0].weight, net[0].bias
    assert [n for n, _ in net.named_parameters()] == ["0.weight", "0.bias", "2.bias", "3.weight"]
    assert [n for n, _ in net.named_parameters(remove_duplicate=False)] == list(net.state_dict())
    assert len(net.state_dict()) == 6


def test_a_missing_count_of_batches_is_not_missing():
    """Files of old PyTorch, and of other libraries, have none."""
    norm = nn.BatchNorm2d(2)
    norm(nx.ones(2, 2, 3, 3))
    state = {n: t.numpy() * 0 + 3 for n, t in norm.state_dict().items() if n != "num_batches_tracked"}
    assert norm.load_state_dict(state) == ([], [])
    assert norm.num_batches_tracked.item() == 1
    assert norm.running_var.tolist() == [3.0, 3.0]


def test_deepcopy_and_pickle():
    net = Net()
    net(nx.tensor([1.0, 1.0])).sum().backward()
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert list(twin.state_dict()) == list(net.state_dict())
        assert_same_bits(twin.bias, net.bias)
        assert type(twin.bias) is nn.Parameter
        assert twin.bias.requires_grad
        twin.bias.data[...] = 9
        assert net.bias.tolist() == [1, 2]


def test_modules_are_freed_at_once():
    net = Net()
    gone = weakref.ref(net)
    gc.disable()
    try:
        del net
        assert gone() is None
    finally:
        gc.enable()


# --- calling


def test_plain_arrays_take_the_parameters_type():
    net = Scale(2)
    y = net(np.array([1.0, 2.0]))
    assert isinstance(y, nx.Tensor)
    assert y.dtype == np.float32
    assert net.double()(np.array([1.0, 2.0], np.float32)).dtype == np.float64
    assert nn.Sequential()(np.zeros(2)).dtype == np.float64
    assert nn.Sequential()(np.arange(3)).dtype == np.int64


def test_plain_arrays_beside_a_tensor_take_its_type():
    class Take(nn.Module):
        def forward(self, *args, **kwargs):
            return args, kwargs

    args, kwargs = Take()(nx.tensor([1.0]), [np.zeros(2), 3], mask=np.ones(2, bool), target=np.zeros(1))
    assert args[1][0].dtype == np.float32
    assert args[1][1] == 3
    assert kwargs["mask"].dtype == np.bool_
    assert kwargs["target"].dtype == np.float32


@pytest.mark.parametrize(("dtype", "scale"), [("uint8", 255), ("uint16", 65535)])
def test_raw_images_are_refused_with_the_scale(dtype, scale):
    for image in (np.zeros((1, 2, 2), dtype), nx.tensor(np.zeros((1, 1, 2, 2), dtype))):
        with pytest.raises(DTypeError, match=rf"Scale: expected a float image, got {dtype}.*divide it by {scale}"):
            Scale(2)(image)
    assert nn.Sequential()(np.zeros((1, 2, 2), dtype)).dtype == dtype


def test_hooks():
    net, seen = Scale(2), []
    first = net.register_forward_pre_hook(lambda m, args: (args[0] + 1,))
    second = net.register_forward_pre_hook(lambda m, args: args[0] * 2)
    third = net.register_forward_hook(lambda m, args, out: seen.append((m, args[0].tolist(), out.tolist())))
    fourth = net.register_forward_hook(lambda m, args, out: out * 10)
    assert net(nx.tensor([1.0, 2.0])).tolist() == [40, 60]
    assert seen == [(net, [4, 6], [4, 6])]
    for handle in (first, second, third, fourth):
        handle.remove()
        handle.remove()
    assert net(nx.tensor([1.0, 2.0])).tolist() == [1, 2]
    with pytest.raises(DTypeError, match="register hook: expected a callable"):
        net.register_forward_hook(3)


def test_repr():
    class Mix(nn.Module):
        def __init__(self, size, mode="x"):
            self.inner = [Scale(size)]

    assert repr(Scale(2, start=3.0)) == "Scale(2, start=3.0)"
    assert repr(Mix(2)) == "Mix(\n  (inner.0): Scale(2)\n)"
    assert repr(nn.Parameter([1.0])).startswith("Parameter containing:\ntensor([1.]")
    assert repr(nn.Buffer([1.0])).startswith("Buffer containing:\ntensor([1.]")


def test_parameters_are_floats():
    with pytest.raises(DTypeError, match="expected a float tensor, got int64"):
        nn.Parameter(np.arange(3))
    assert nn.Parameter(np.arange(3), requires_grad=False).dtype == np.int64
    assert nn.Buffer(np.arange(3)).dtype == np.int64


# --- containers


def scales(*sizes):
    return [Scale(n) for n in sizes]


def test_sequential():
    a, b, c = scales(2, 3, 4)
    net = nn.Sequential(a, b)
    assert net.append(c) is net
    assert list(net) == [a, b, c]
    assert net[-1] is c
    assert list(net[1:]) == [b, c]
    assert isinstance(net[1:], nn.Sequential)
    net[0] = c
    assert list(net) == [c, b, c]
    del net[0]
    assert net.pop() is c
    assert net.insert(0, a) is net
    assert list(net.extend([c])) == [a, b, c]
    assert list(net.__add__([a])) == [a, b, c, a]
    assert [n for n, _ in net.named_parameters()] == ["0.weight", "1.weight", "2.weight"]
    assert nn.Sequential(*scales(2, 2))(nx.tensor([1.0, 2.0])).tolist() == [1, 2]
    with pytest.raises(RangeError, match="Sequential: expected an index from -3 to 2, got 3"):
        net[3]
    with pytest.raises(DTypeError, match="Sequential: expected modules, got int"):
        nn.Sequential(3)
    with pytest.raises(DTypeError, match="Sequential: expected modules, got function"):
        net.append(lambda x: x)


def test_sequential_with_names():
    net = nn.Sequential({"conv": Scale(2), "act": Scale(2)})
    assert [n for n, _ in net.named_parameters()] == ["conv.weight", "act.weight"]
    net[1] = Scale(2, 3.0)
    assert net.act.weight.tolist() == [3, 3]
    for name in ("", "a.b", "_a", "forward", 3):
        with pytest.raises(ArgumentError, match="Sequential: expected a name without"):
            nn.Sequential({name: Scale(1)})


def test_subclass_of_sequential():
    class Block(nn.Sequential):
        def __init__(self, size):
            super().__init__(Scale(size))
            self.scale = nn.Parameter([2.0])

        def forward(self, x):
            return super().forward(x) * self.scale

    assert Block(2)(nx.tensor([1.0, 2.0])).tolist() == [2, 4]
    assert list(Block(2).state_dict()) == ["scale", "0.weight", "0.count"]


def test_module_list_and_dict():
    a, b = scales(1, 2)
    layers = nn.ModuleList([a])
    layers.append(b)
    assert list(layers) == [a, b]
    assert len(layers) == 2
    assert a in layers
    table = nn.ModuleDict({"a": a})
    table["b"] = b
    assert list(table) == ["a", "b"]
    assert "a" in table
    assert table["b"] is b
    assert dict(table.items()) == {"a": a, "b": b}
    assert list(table.values()) == [a, b]
    assert [n for n, _ in table.named_parameters()] == ["a.weight", "b.weight"]
    assert table.pop("a") is a
    del table["b"]
    assert len(table) == 0
    with pytest.raises(KeyError):
        table["b"]
    with pytest.raises(KeyError):
        del table["b"]
    with pytest.raises(DTypeError, match="ModuleDict: expected modules, got int"):
        table["x"] = 3
    with pytest.raises(ArgumentError, match="ModuleDict: expected a name"):
        table["update"] = a


def test_errors_of_a_layer_leave_the_model_as_it_was():
    net = Scale(2)
    with pytest.raises(ShapeError):
        net(nx.tensor([1.0, 2.0, 3.0]))
    assert net.weight.grad is None


def test_sequential_keeps_its_names_when_it_is_extended():
    chain = nn.Sequential({"first": nn.ReLU(), "second": nn.Tanh()}).extend([nn.Identity()])
    assert [name for name, _ in chain.named_children()] == ["first", "second", "2"]
    with pytest.raises(DTypeError, match="expected modules"):
        chain.extend([nn.ReLU(), 3])
    assert len(chain) == 3


def test_own_parameters_come_before_own_buffers_before_those_below_as_in_pytorch():
    class Mixed(nn.Module):
        def __init__(self):
            self.b = nn.Linear(2, 2)
            self.register_buffer("k", nx.zeros(1))
            self.w = nn.Parameter([0.0])
            self.a = nn.BatchNorm1d(2)
            self.v = nn.Parameter([0.0])

    net = Mixed()
    assert [n for n, _ in net.named_parameters()] == ["w", "v", "b.weight", "b.bias", "a.weight", "a.bias"]
    assert [n for n, _ in net.named_buffers()] == ["k", "a.running_mean", "a.running_var", "a.num_batches_tracked"]
    below = ["b.weight", "b.bias", "a.weight", "a.bias", "a.running_mean", "a.running_var", "a.num_batches_tracked"]
    assert list(net.state_dict()) == ["w", "v", "k", *below]


def test_layers_take_their_input_by_pytorchs_name():
    """Every layer of one map; three losses and RMSNorm have other names in PyTorch, attention three inputs."""
    x = nx.rand(1, 4, 6, 6)
    layers = (nn.ReLU(), nn.Tanh(), nn.ELU(), nn.Softmax(1), nn.Hardtanh(), nn.MaxPool2d(2), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(2), nn.LPPool2d(2, 2),
              nn.ZeroPad2d(1), nn.Upsample(scale_factor=2), nn.PixelShuffle(2), nn.Unfold(2), nn.Conv2d(4, 2, 3), nn.BatchNorm2d(4), nn.Dropout(),
              nn.Flatten(), nn.Identity(), nn.Sequential(nn.ReLU(), nn.Tanh()))  # fmt: skip
    for layer in layers:
        layer.eval()
        assert_same_bits(layer(input=x), layer(x))
