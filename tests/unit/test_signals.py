"""Ctrl-C stops a long kernel between its blocks and waits for the end of an optimizer's step."""

import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import neurenix as nx
from neurenix.signals import undisturbed

STOPPED = """
    import os, signal, sys, threading
    import numpy as np
    import neurenix as nx
    from neurenix.nn import functional as F

    nx.set_num_threads(int(sys.argv[1]))
    small = nx.Tensor(np.random.default_rng(0).standard_normal((1, 64, 20, 20)).astype(np.float32))
    large = nx.Tensor(shape=(1, 64, 512, 512))
    w = nx.Tensor(np.random.default_rng(1).standard_normal((64, 64, 7, 7)).astype(np.float32))
    want = F.conv2d(small, w, padding=3).numpy()
    live = nx.memory_stats()["live"]
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    try:
        F.conv2d(large, w, padding=3)
    except KeyboardInterrupt:
        stopped = True
    assert stopped and nx.memory_stats()["live"] == live
    assert np.array_equal(F.conv2d(small, w, padding=3).numpy(), want)
    print("stopped")
"""


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_long_kernel_stops_and_leaves_nothing_behind(threads, monkeypatch):
    """One call of several minutes, on the slowest level: the time limit is what fails where it runs to its end."""
    monkeypatch.setenv("NEURENIX_SIMD", "portable")
    command = [sys.executable, "-c", textwrap.dedent(STOPPED), threads]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "stopped", done.stderr


def test_a_step_is_whole():
    """A signal in the middle of a step is answered behind it."""

    class Interrupted(nx.optim.SGD):
        def update(self, group, batch):
            signal.raise_signal(signal.SIGINT)
            super().update(group, batch)

    parameters = [nx.tensor([1.0], requires_grad=True), nx.tensor([1.0], requires_grad=True)]
    for p in parameters:
        p.grad = nx.tensor([1.0])
    optimizer = Interrupted([{"params": [p]} for p in parameters], lr=0.5)
    with pytest.raises(KeyboardInterrupt):
        optimizer.step()
    assert [p.item() for p in parameters] == [0.5, 0.5]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_gradients_come_whole():
    a, b = nx.tensor([1.0, 2.0], requires_grad=True), nx.tensor([3.0, 4.0], requires_grad=True)
    a.register_hook(lambda _: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        (a * b).sum().backward()
    assert np.array_equal(a.grad.numpy(), [3.0, 4.0])
    assert np.array_equal(b.grad.numpy(), [1.0, 2.0])


def test_an_error_inside_passes_and_the_handler_is_back():
    with pytest.raises(ValueError, match="inside"), undisturbed():
        raise ValueError("inside")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
