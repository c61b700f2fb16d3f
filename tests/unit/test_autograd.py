"""The tape: order, sums, freed graphs, overwritten inputs."""

import numpy as np
import pytest

import neurenix as nx
from neurenix import autograd
from neurenix.errors import GraphError, InternalError, ShapeError


def scale(x, factor):
    y = nx.tensor(x.numpy() * factor)._array
    return autograd.record("scale", y, (x,), lambda g: (nx.tensor(g * np.asarray(factor, g.dtype))._array,))


def leaf(*values):
    return nx.tensor(list(values), requires_grad=True)


def test_a_diamond_adds_both_ways():
    x = leaf(1.0, 2.0)
    y = scale(x, 3.0)
    autograd.backward([(scale(y, 2.0), np.ones(2, "f4")), (scale(y, 5.0), np.ones(2, "f4"))])
    assert x.grad.tolist() == [21.0, 21.0]


def test_gradients_add_up_over_calls_and_do_not_alias():
    x = leaf(1.0)
    scale(x, 3.0).backward()
    first = x.grad.numpy().copy()
    scale(x, 4.0).backward()
    assert (first.tolist(), x.grad.tolist()) == ([3.0], [7.0])


def test_a_leaf_gets_its_own_array():
    x, weight = leaf(1.0, 2.0), np.ones(2, "f4")
    y = autograd.record("same", x._array, (x,), lambda g: (g,))
    y.backward(weight)
    weight[:] = 9
    assert x.grad.tolist() == [1.0, 1.0]


def test_a_long_chain_needs_no_recursion():
    y = x = leaf(1.0)
    for _ in range(5000):
        y = autograd.record("same", y._array, (y,), lambda g: (g,))
    y.backward()
    assert x.grad.tolist() == [1.0]


def test_second_backward_says_how():
    y = scale(leaf(1.0), 2.0)
    y.backward()
    with pytest.raises(GraphError, match="'scale'.*retain_graph=True"):
        y.backward()


def test_retained_graph_runs_twice():
    x = leaf(1.0)
    y = scale(x, 2.0)
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [4.0]


def test_an_overwritten_input_is_refused():
    x = leaf(1.0)
    y = scale(x, 2.0)
    x.assign_([5.0])
    with pytest.raises(GraphError, match="overwritten"):
        y.backward()


def test_a_rule_that_lies_is_caught():
    x = leaf(1.0, 2.0)
    y = autograd.record("bad", x._array, (x,), lambda g: (g[:1],))
    with pytest.raises(InternalError, match=r"rule of 'bad' gave float32\(1,\) for float32\(2,\)"):
        y.backward(np.ones(2, "f4"))


def test_no_grad_records_nothing_and_nests():
    x = leaf(1.0)

    @nx.no_grad()
    def run():
        with nx.enable_grad():
            inside = scale(x, 2.0)
        return inside, scale(x, 2.0)

    inside, outside = run()
    assert inside.requires_grad
    assert not outside.requires_grad
    assert nx.is_grad_enabled()


def test_backward_needs_a_scalar_or_a_weight():
    with pytest.raises(ShapeError, match=r"got shape \(2,\).*\.sum\(\)"):
        scale(leaf(1.0, 2.0), 2.0).backward()
    with pytest.raises(GraphError, match="requires_grad=True"):
        nx.tensor([1.0]).backward()


def test_several_outputs_run_one_rule():
    x = leaf(1.0, 2.0)
    runs = []

    def rule(gs):
        runs.append([None if g is None else g.tolist() for g in gs])
        return (gs[0] if gs[0] is not None else gs[1],)

    a, b = autograd.record_many("pair", [x._array, x._array], (x,), rule)
    autograd.backward([(a, np.full(2, 2, "f4")), (b, np.full(2, 3, "f4"))], retain_graph=True)
    b.backward(np.full(2, 5, "f4"))
    assert runs == [[[2.0, 2.0], [3.0, 3.0]], [None, [5.0, 5.0]]]
    assert x.grad.tolist() == [7.0, 7.0]


def test_leaves_are_told_when_their_gradient_is_whole():
    """Once each, the last layer's long before the first one's, a leaf of two uses after both, through a checkpoint as without."""
    for run in (lambda f, t: f(t), nx.checkpoint):
        first, last, spare = (nx.tensor([2.0], requires_grad=True) for _ in range(3))
        x = nx.tensor([3.0])
        y = run(lambda t, w=first: t * w * w, x)
        loss = run(lambda t, w=last: t * w, y)
        told = []

        def ready(leaf, known=(first, last), told=told):
            told.append(([leaf is w for w in known].index(True), [w.grad is not None for w in known], leaf.grad.item()))

        autograd.backward([(loss, np.ones(1, np.float32))], ready=ready)
        assert told == [(1, [False, True], 12.0), (0, [True, True], 24.0)]
        assert spare.grad is None
