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


def test_gradients_asked_for_leave_the_leaves_alone():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    y = x * w
    z = (y * y).sum() + x.sum()
    by_x, by_y, by_w = autograd.grad(z, [x, y, w], retain_graph=True)
    assert by_y.tolist() == [6.0, 16.0]  # 2 y
    assert by_x.tolist() == [19.0, 65.0]  # 2 y w + 1: what flows through y too
    assert by_w.tolist() == [6.0, 32.0]
    assert x.grad is w.grad is None
    assert autograd.grad(y, x, grad_outputs=nx.tensor([1.0, 0.5]), retain_graph=True)[0].tolist() == [3.0, 2.0]
    (twice,) = autograd.grad([y, y], [w], grad_outputs=[nx.ones(2), nx.ones(2)], retain_graph=True)
    assert twice.tolist() == [2.0, 4.0]
    x.register_hook(lambda g: g * 10)
    assert autograd.grad(z, x)[0].tolist() == [190.0, 650.0]
    with pytest.raises(GraphError, match="got one that was freed; pass retain_graph=True"):
        autograd.grad(z, x)


def test_gradients_asked_for_in_vain():
    x, other = leaf(1.0), leaf(2.0)
    assert autograd.grad(x * 2, [x, other], allow_unused=True)[1] is None
    with pytest.raises(GraphError, match="grad: expected inputs that the outputs depend on, got one of shape .1,. that was not used"):
        autograd.grad(x * 2, other)
    for outputs, inputs in ((nx.ones(1), x), (x * 2, nx.ones(1)), (x * 2, 3)):
        with pytest.raises(GraphError, match="grad: expected tensors that take a gradient"):
            autograd.grad(outputs, inputs)
    with pytest.raises(ShapeError, match="grad: expected one element, got shape .2,."):
        autograd.grad(leaf(1.0, 2.0) * 2, x)
    with pytest.raises(ShapeError, match="grad: expected 1 grad_outputs, one an output, got 2"):
        autograd.grad(x * 2, x, [None, None])


def test_recording_by_a_flag():
    x = leaf(1.0)
    for on in (True, False):
        with nx.set_grad_enabled(on):
            assert (x * 1).requires_grad is on
        assert nx.is_grad_enabled()
    nx.set_grad_enabled(False)
    try:
        assert not (x * 1).requires_grad
    finally:
        nx.set_grad_enabled(True)
    decorated = nx.set_grad_enabled(False)(nx.is_grad_enabled)
    assert (decorated(), decorated(), nx.is_grad_enabled()) == (False, False, True)
    with nx.inference_mode():
        assert not nx.is_grad_enabled()
    with nx.inference_mode(False):
        assert nx.is_grad_enabled()
    with nx.no_grad(), nx.inference_mode(False):
        assert not nx.is_grad_enabled()


@pytest.mark.parametrize("decorator", [nx.no_grad, nx.no_grad(), nx.inference_mode, nx.inference_mode(True)])
def test_decorators_with_and_without_parentheses(decorator):
    @decorator
    def plain(value):
        """What it says."""
        return value, nx.is_grad_enabled()

    assert (plain(3), plain.__name__, plain.__doc__) == ((3, False), "plain", "What it says.")

    @decorator
    def stepwise(count):
        try:
            for _ in range(count):
                yield nx.is_grad_enabled()
        except KeyError:
            yield "thrown"
        return "end"

    steps = stepwise(2)
    assert (next(steps), nx.is_grad_enabled()) == (False, True)  # its steps, not what its caller does between them
    assert steps.throw(KeyError) == "thrown"
    with pytest.raises(StopIteration, match="end"):
        next(steps)
    closed = stepwise(5)
    next(closed)
    closed.close()
    assert nx.is_grad_enabled()


def test_a_gradient_that_others_have_is_not_added_to():
    """Two rules hand on one array, or parts and views of it: each use has its own sum."""
    x, kept = leaf(1.0, 2.0), []

    def shared(g):
        kept.append(g)
        return (g,)

    y = scale(x, 1.0)
    first = autograd.record("shared", y._array, (y,), shared)
    second = autograd.record("shared", y._array, (y,), shared)
    autograd.backward([(first, np.full(2, 2, "f4")), (second, np.full(2, 3, "f4"))])
    assert x.grad.tolist() == [5.0, 5.0]
    assert sorted(g.tolist() for g in kept) == [[2.0, 2.0], [3.0, 3.0]]


def test_halves_of_one_gradient_are_summed_apart():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    ya, yb = scale(a, 1.0), scale(b, 1.0)
    joined = nx.cat([ya, yb])
    weight = nx.tensor([1.0, 10.0, 100.0, 1000.0])
    (joined * weight).sum().backward(retain_graph=True)
    ((joined * weight).sum() + (ya * 5.0).sum() + (yb * 7.0).sum()).backward()
    assert a.grad.tolist() == [7.0, 25.0] and b.grad.tolist() == [207.0, 2007.0]
