"""Gradient checkpointing: the same bits, less memory; detection of NaN; precision and system settings."""

import threading

import numpy as np
import pytest

import neurenix as nx
from neurenix import nn
from neurenix.checkpoint import is_checkpointing, segment
from neurenix.errors import AnomalyError, ArgumentError, DTypeError, GraphError, OutOfMemoryError
from neurenix.nn import functional
from neurenix.testing import assert_same_bits, random_array


def grads(run, *arrays):
    """Value and gradients of a function of leaves."""
    leaves = [nx.Tensor(a.copy(), requires_grad=True) for a in arrays]
    out = run(*leaves)
    outs = list(out) if isinstance(out, (list, tuple)) else [out]
    total = sum((o * (i + 1)).sum() for i, o in enumerate(outs))
    total.backward()
    return [o.numpy() for o in outs], [t.grad if t.grad is None else t.grad.numpy() for t in leaves]


def assert_same_run(plain, checkpointed, *arrays):
    outs, want = grads(plain, *arrays)
    again, got = grads(checkpointed, *arrays)
    for a, b in zip([*outs, *want], [*again, *got], strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert_same_bits(b, a)


X, W = random_array(3, 4, dtype=np.float32), random_array(3, 4, seed=1, dtype=np.float32)


def test_same_bits():
    def part(x, w):
        return (x * w).tanh() + x.exp() * w

    assert_same_run(part, lambda x, w: nx.checkpoint(part, x, w), X, W)


def test_leaves_are_found():
    def make(wrap):
        def run(x, w):
            return wrap(lambda t: (t * w).tanh() * w + w, x * 2)

        return run

    assert_same_run(make(lambda f, x: f(x)), make(nx.checkpoint), X, W)


def test_contributions_are_added_in_the_plain_runs_order():
    def make(wrap):
        def run(x, w):
            y = x
            for i in range(4):
                y = wrap(lambda t, s, i=i: (t * s) * (w + i) + w * s.exp() + w, y, x) * 0.3
            return y + w * 1e3

        return run

    assert_same_run(make(lambda f, *t: f(*t)), make(nx.checkpoint), X, W)


def test_intermediate_tensors_from_outside():
    def make(wrap):
        def run(x, w):
            outside = (x * w).exp()
            return wrap(lambda t: t * outside + outside, x) + outside

        return run

    assert_same_run(make(lambda f, x: f(x)), make(nx.checkpoint), X, W)


def test_nested_and_structured():
    def inner(pair):
        return {"a": pair[0] * pair[1], "b": [pair[0].tanh()]}

    def make(wrap):
        def outer(x, w):
            found = wrap(inner, (x, w))
            return found["a"] + found["b"][0], wrap(inner, [x, w])["a"], 3, None

        def run(x, w):
            a, b, three, none = wrap(outer, x, w)
            assert (three, none) == (3, None)
            return a, b

        return run

    assert_same_run(make(lambda f, *t: f(*t)), make(nx.checkpoint), X, W)


def test_outputs_that_are_inputs_leaves_or_unused():
    def make(wrap):
        def run(x, w):
            same, leaf, made, _ = wrap(lambda t: (t, w, t * w, t.exp()), x)
            return same, leaf, made

        return run

    assert_same_run(make(lambda f, x: f(x)), make(nx.checkpoint), X, W)


def test_inputs_without_gradient_and_no_grad():
    x, w = nx.Tensor(X), nx.Tensor(W, requires_grad=True)
    y = nx.checkpoint(lambda t: t * w, x)
    y.sum().backward()
    assert_same_bits(w.grad, X)
    assert x.grad is None
    with nx.no_grad():
        assert not nx.checkpoint(lambda t: t * w, x).requires_grad
    assert not nx.checkpoint(lambda t: t * 2, x).requires_grad
    with pytest.raises(DTypeError, match="checkpoint: expected a callable, got int"):
        nx.checkpoint(3)


def test_backward_twice():
    x = nx.Tensor(X, requires_grad=True)
    y = nx.checkpoint(lambda t: t * t, x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert_same_bits(x.grad, 4 * X)
    with pytest.raises(GraphError, match="'checkpoint'|'sum'"):
        y.backward()


def test_overwritten_leaf_is_noticed():
    w = nx.Tensor(W, requires_grad=True)
    y = nx.checkpoint(lambda t: t * w, nx.Tensor(X)).sum()
    w.assign_(W + 1)
    with pytest.raises(GraphError, match="overwritten"):
        y.backward()


def test_a_function_that_does_something_else_is_noticed():
    x, sizes = nx.Tensor(X, requires_grad=True), [3, 2]
    y = nx.checkpoint(lambda t: t[: sizes.pop(0)] * 2, x).sum()
    with pytest.raises(GraphError, match=r"expected the second run to give \[\(3, 4\)\], got \[\(2, 4\)\]"):
        y.backward()


def test_random_numbers_repeat_and_go_on():
    def part(x):
        return functional.dropout(x, 0.5) * x

    def run(wrap):
        nx.manual_seed(5)
        x = nx.Tensor(X, requires_grad=True)
        y = wrap(part, x)
        state = nx.get_rng_state()
        y.sum().backward()
        assert nx.get_rng_state() == state
        return y, x.grad

    for a, b in zip(run(lambda f, x: f(x)), run(nx.checkpoint), strict=True):
        assert_same_bits(b, a)


class Remember(nn.Module):
    def __init__(self):
        self.weight = nn.Parameter(W[0].copy())
        self._last = None
        self._runs = 0

    def forward(self, x):
        self._last = x
        self._runs += 1
        return x * self.weight if self.training else x * self.weight * 2


def test_modes_and_remembered_features():
    net, x = Remember(), nx.Tensor(X, requires_grad=True)
    y = nx.checkpoint(lambda t: net(t) * 1, x)
    last = net._last
    net.eval()
    y.sum().backward()
    assert (net._last is last, net._runs, net.training) == (True, 1, False)
    assert_same_bits(x.grad, np.broadcast_to(W[0], X.shape).copy())


def test_running_statistics_move_once():
    mean, var = nx.Tensor(shape=(4,)), nx.ones(4)

    def part(x):
        return functional.batch_norm(x, mean, var, training=True)

    x = nx.Tensor(X, requires_grad=True)
    y = nx.checkpoint(part, x)
    after = mean.numpy().copy()
    assert after.any()
    (y * W).sum().backward()
    assert_same_bits(mean, after)


def test_logits_stay_with_probabilities():
    def make(wrap):
        def run(x, w):
            p = wrap(lambda t: (t * w * 3).sigmoid(), x)
            kind, logits, _ = p._logits
            assert kind == "sigmoid"
            return logits * w

        return run

    assert_same_run(make(lambda f, x: f(x)), make(nx.checkpoint), X, W)


def test_precision_of_the_first_run():
    seen = []

    def part(x):
        seen.append(nx.get_float32_precision())
        return x * 2

    with nx.set_float32_precision("ieee"):
        y = nx.checkpoint(part, nx.Tensor(X, requires_grad=True))
    y.sum().backward()
    assert seen == ["ieee", "ieee"]


def test_enabled_sequential():
    class Count(nn.Module):
        runs = 0

        def __init__(self):
            self.weight = nn.Parameter([2.0])

        def forward(self, x):
            Count.runs += 1
            return x * self.weight

    net = nn.Sequential(nn.Sequential(Count(), Count()), Count())
    x = nx.Tensor(X, requires_grad=True)
    with nx.enable_gradient_checkpointing():
        assert is_checkpointing()
        y = net(x)
    assert not is_checkpointing()
    y.sum().backward()
    assert Count.runs == 5  # the inner two again
    assert_same_bits(x.grad, np.full_like(X, 8))

    @nx.enable_gradient_checkpointing()
    def decorated():
        return is_checkpointing()

    assert decorated()
    seen = []
    with nx.enable_gradient_checkpointing():
        thread = threading.Thread(target=lambda: seen.append(is_checkpointing()))
        thread.start()
        thread.join()
    assert seen == [False]


def test_a_segment_is_one_part():
    seen = []

    def part(x):
        seen.append(is_checkpointing())
        return x * 2

    with nx.enable_gradient_checkpointing():
        y = segment(part, nx.Tensor(X, requires_grad=True))
    y.sum().backward()
    assert seen == [False, False]


def test_it_takes_less_memory():
    x = nx.Tensor(random_array(64, 1024, dtype=np.float32), requires_grad=True)

    def part(t):
        for _ in range(6):
            t = t.tanh() * t
        return t

    def peak(wrap):
        nx.reset_peak()
        before = nx.memory_stats()["live"]
        y = x
        for _ in range(6):
            y = wrap(part, y)
        y.sum().backward()
        x.grad = None
        return nx.memory_stats()["peak"] - before

    assert peak(nx.checkpoint) < 0.5 * peak(lambda f, t: f(t))


# --- NaN


def test_anomaly_forward():
    x = nx.tensor([1.0, -2.0])
    with nx.detect_anomaly():
        assert (x * 2).tolist() == [2, -4]
        with pytest.raises(AnomalyError, match=r"log: expected numbers, got 1 NaN of 2, made here from input 0 in \[-2, 1\]"):
            x.log()
        with pytest.raises(AnomalyError, match="which came in by input 0"):
            nx.tensor([float("nan")]) * 2
    assert np.isnan(x.log().numpy()[1])


def test_anomaly_backward():
    x = nx.tensor([0.0, 4.0], requires_grad=True)
    y = (x.sqrt() * 0.0).sum()

    @nx.detect_anomaly()
    def run():
        y.backward()

    with pytest.raises(AnomalyError, match="backward of sqrt: expected numbers, got 1 NaN of 2 in the gradient of input 0, made here"):
        run()


# --- settings


def test_precision():
    assert nx.get_float32_precision() == "fast"
    with nx.set_float32_precision("ieee"):
        assert nx.get_float32_precision() == "ieee"
        nx.set_float32_precision("tf32")
        assert nx.get_float32_precision() == "tf32"
        with nx.set_float32_precision("ieee"):
            assert nx.get_float32_precision() == "ieee"
        assert nx.get_float32_precision() == "tf32"
    assert nx.get_float32_precision() == "fast"
    nx.set_float32_precision("ieee")
    seen = []
    thread = threading.Thread(target=lambda: seen.append(nx.get_float32_precision()))
    thread.start()
    thread.join()
    nx.set_float32_precision("fast")
    assert seen == ["ieee"]
    with pytest.raises(ArgumentError, match="expected .*, got 'high'; pass one of them"):
        nx.set_float32_precision("high")
    assert nx.get_float32_precision() == "fast"


def test_threads():
    before = nx.get_num_threads()
    nx.set_num_threads(3)
    assert nx.get_num_threads() == 3
    nx.set_num_threads(before)
    for wrong in (0, 1025, 1.5, True, "2"):
        with pytest.raises(ArgumentError, match="set_num_threads: expected 1 to 1024 threads"):
            nx.set_num_threads(wrong)


def test_memory_limit():
    x = nx.Tensor(shape=(1 << 18,))
    nx.set_memory_limit(nx.memory_stats()["live"] + (1 << 16))
    try:
        with pytest.raises(OutOfMemoryError):
            x * 2
    finally:
        nx.set_memory_limit(None)
    assert (x * 2).shape == x.shape
    for wrong in (0, -1, 1.5, True, 1 << 70):
        with pytest.raises(ArgumentError, match="set_memory_limit: expected a positive number of bytes or None"):
            nx.set_memory_limit(wrong)
    nx.empty_cache()
    assert nx.memory_stats()["cached"] == 0


def test_show_config(capsys):
    nx.show_config()
    text = capsys.readouterr().out
    for word in ("neurenix", "numpy", "processor level", "threads", "float32 precision", "memory"):
        assert word in text
