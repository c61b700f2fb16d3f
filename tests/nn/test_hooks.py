"""Hooks of modules and tensors: order, keyword arguments, failures, gradients; the expected values are PyTorch's."""

import copy

import numpy as np
import pytest

import neurenix as nx
from neurenix import nn
from neurenix.errors import ArgumentError, DTypeError, GraphError, ShapeError


class Times(nn.Module):
    def __init__(self):
        self.weight = nn.Parameter([3.0])

    def forward(self, x, by=1.0):
        return x * self.weight * by


def test_order_and_keyword_arguments():
    net, log = Times(), []
    net.register_forward_pre_hook(lambda m, a: log.append("second"))
    net.register_forward_pre_hook(lambda m, a: log.append("first"), prepend=True)
    net.register_forward_pre_hook(lambda m, a, k: (a, {**k, "by": k["by"] + 1}), with_kwargs=True)
    net.register_forward_hook(lambda m, a, k, out: log.append((m is net, k["by"], out.item())), with_kwargs=True)
    net.register_forward_hook(lambda m, a, out: log.append("before"), prepend=True)
    assert net(nx.tensor([1.0]), by=1.0).item() == 6
    assert log == ["first", "second", "before", (True, 2.0, 6.0)]
    assert net._is_hooked()
    broken = net.register_forward_pre_hook(lambda m, a, k: a, with_kwargs=True)
    with pytest.raises(DTypeError, match=r"forward pre-hook: expected None or \(args, kwargs\), got tuple"):
        net(nx.tensor([1.0]), by=1.0)
    broken.remove()


def test_a_handle_is_a_context():
    net, log = Times(), []
    with net.register_forward_hook(lambda m, a, out: log.append(1)):
        net(nx.tensor([1.0]))
    net(nx.tensor([1.0]))
    assert log == [1]
    assert not net._is_hooked()


def test_called_after_a_failure_if_asked():
    net, log = nn.Linear(2, 2), []
    net.register_forward_hook(lambda m, a, out: log.append(out is None), always_call=True)
    net.register_forward_hook(lambda m, a, out: log.append("not"))
    with pytest.raises(ShapeError):
        net(nx.zeros(1, 3))
    assert log == [True]


def test_backward_hooks_see_and_replace_gradients():
    net, log = Times(), []
    net.register_full_backward_hook(lambda m, gi, go: log.append((m is net, gi[0].tolist(), gi[1], go[0].tolist())))
    net.register_full_backward_hook(lambda m, gi, go: (gi[0] * 10, None))
    net.register_full_backward_hook(lambda m, gi, go: log.append(gi[0].tolist()))
    x = nx.tensor([1.0, 2.0], requires_grad=True)
    y = net(x, 2.0)
    (y * nx.tensor([1.0, 5.0])).sum().backward(retain_graph=True)
    assert log == [(True, [6.0, 30.0], None, [1.0, 5.0]), [60.0, 300.0]]
    assert x.grad.tolist() == [60.0, 300.0]
    assert net.weight.grad.tolist() == [22.0]
    y.sum().backward()
    assert log[-1] == [60.0, 60.0]


def test_backward_hooks_of_several_outputs_and_without_an_input():
    class Two(nn.Module):
        def __init__(self):
            self.w = nn.Parameter([2.0])

        def forward(self, x):
            return x * self.w, x + self.w

    net, log = Two(), []
    net.register_full_backward_hook(lambda m, gi, go: log.append((gi, [None if g is None else g.tolist() for g in go])))
    net(nx.tensor([1.0]))[1].sum().backward()
    assert log == [((None,), [None, [1.0]])]
    with nx.no_grad():
        net(nx.tensor([1.0]))
    assert not net.requires_grad_(False)(nx.tensor([1.0]))[0].requires_grad


def test_backward_hooks_refuse():
    class Table(nn.Module):
        def forward(self, x):
            return {"x": x}

    net = Table()
    net.register_full_backward_hook(lambda m, gi, go: None)
    with pytest.raises(ArgumentError, match="expected a module that returns tensors, got dict"):
        net(nx.tensor([1.0], requires_grad=True))
    net = Times()
    net.register_full_backward_hook(lambda m, gi, go: (gi[0], gi[0]))
    y = net(nx.tensor([1.0], requires_grad=True))
    with pytest.raises(ArgumentError, match="expected 1 gradients from the hook, got 2"):
        y.backward()
    with pytest.raises(DTypeError, match="register hook: expected a callable, got int"):
        net.register_full_backward_hook(3)


def test_hooked_models_give_the_same_bits():
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU())
    x = nx.randn(1, 2, 9, 9)
    want = net.eval()(x).numpy()
    for m in net.modules():
        m.register_full_backward_hook(lambda m, gi, go: None)
        m.register_forward_hook(lambda m, a, out: None)
    assert (net(x).numpy() == want).all()
    copy.deepcopy(nn.Sequential(Times()))


def test_a_probability_keeps_its_logits_through_a_hook():
    net = nn.Sequential(nn.Sigmoid())
    net.register_full_backward_hook(lambda m, gi, go: None)
    x = nx.tensor([80.0, -80.0], requires_grad=True)
    nn.functional.binary_cross_entropy(net(x), nx.tensor([0.0, 1.0])).backward()
    assert x.grad.tolist() == [0.5, -0.5]


# --- tensors


def test_a_tensors_hook_sees_the_whole_gradient():
    x, log = nx.tensor([1.0, 1.0], requires_grad=True), []
    y = x * 3
    y.register_hook(lambda g: log.append(g.tolist()))
    handle = x.register_hook(lambda g: g * 2)
    y.retain_grad()
    y.retain_grad()
    (y * y).sum().backward()
    assert log == [[6.0, 6.0]]
    assert y.grad.tolist() == [6.0, 6.0]
    assert x.grad.tolist() == [36.0, 36.0]
    handle.remove()
    x.grad = None
    y = x * 3
    y.register_hook(lambda g: g * 0 + 1)
    (y * y).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
    x.retain_grad()


def test_a_kept_gradient_adds_up_and_is_a_copy():
    x = nx.tensor([1.0], requires_grad=True)
    y = x * 2
    y.retain_grad()
    z = y.sum()
    z.backward(retain_graph=True)
    z.backward()
    assert y.grad.tolist() == [2.0]
    assert x.grad.tolist() == [4.0]


def test_a_tensors_hook_refuses():
    x = nx.tensor([1.0], requires_grad=True)
    with pytest.raises(DTypeError, match="register_hook: expected a callable, got int"):
        x.register_hook(3)
    for call in (lambda t: t.register_hook(abs), lambda t: t.retain_grad()):
        with pytest.raises(GraphError, match="expected a tensor that takes a gradient, got one that does not"):
            call(nx.tensor([1.0]))
    x.register_hook(lambda g: nx.zeros(2))
    with pytest.raises(GraphError, match=r"register_hook: expected None or a gradient float32\(1,\)"):
        (x * 2).backward()


def test_hooks_see_a_checkpointed_part_once():
    net, seen = nn.Sequential(nn.Linear(2, 2), nn.Tanh()), []
    x = nx.tensor([[1.0, 2.0]], requires_grad=True)
    net[1].register_full_backward_hook(lambda m, gi, go: seen.append(gi[0].tolist()))
    net[0].weight.register_hook(lambda g: g * 2)
    net(x).sum().backward()
    plain, gradient = list(seen), net[0].weight.grad.tolist()
    net.zero_grad()
    with nx.enable_gradient_checkpointing():
        y = net(x)
    y.sum().backward()
    assert seen == plain * 2
    assert net[0].weight.grad.tolist() == gradient


def test_pre_hooks_of_backward_replace_what_comes():
    net, order = nn.Sequential(nn.Linear(2, 2), nn.Tanh()), []
    x = nx.tensor([[1.0, 2.0]], requires_grad=True)
    net(x).sum().backward()
    plain, weight = x.grad.numpy(), net[0].weight.grad.numpy()
    handles = [net[1].register_full_backward_pre_hook(lambda m, go: order.append("first") or (go[0] * 2,)),
               net[1].register_full_backward_pre_hook(lambda m, go: order.append("before"), prepend=True),
               net[1].register_full_backward_hook(lambda m, gi, go: order.append(go[0].tolist()))]  # fmt: skip
    x.grad = None
    net.zero_grad()
    net(x).sum().backward()
    assert order == ["before", "first", [[2.0, 2.0]]]
    np.testing.assert_allclose(x.grad.numpy(), 2 * plain, rtol=1e-6)
    np.testing.assert_allclose(net[0].weight.grad.numpy(), 2 * weight, rtol=1e-6)
    for handle in handles:
        handle.remove()
    x.grad = None
    net(x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), plain)
    for given, refused in (((x.grad, x.grad), ArgumentError), ((nx.zeros(3),), GraphError)):
        with net[1].register_full_backward_pre_hook(lambda m, go, given=given: given):
            y = net(x).sum()
            with pytest.raises(refused, match="register_full_backward_pre_hook: expected"):
                y.backward()


@pytest.mark.parametrize("given", [nx.zeros(3), nx.zeros(2, dtype=nx.float64), "text"])
def test_a_backward_hook_whose_gradient_does_not_fit_is_named(given):
    layer = nn.ReLU()
    layer.register_full_backward_hook(lambda *_: (given,))
    x = nx.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(GraphError, match="register_full_backward_hook: expected None or a gradient"):
        layer(x).sum().backward()
    assert x.grad is None
