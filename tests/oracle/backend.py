"""The library under test, as the oracle's runners see it (see README.md in this folder)."""

import numpy as np

import neurenix as nx
import neurenix.nn.functional
import neurenix.optim
from neurenix import autograd, nn

FUNCTIONAL = "nn.functional."


def getitem(input, index):
    return input[index]


class Backend:
    """Operations, layers and optimizers by PyTorch's names; ``None`` for what the library lacks."""

    def call(self, op):
        if op == "__getitem__":
            return getitem
        if op.startswith(FUNCTIONAL):
            return getattr(nn.functional, op.removeprefix(FUNCTIONAL), None)
        room, _, name = op.rpartition(".")
        if room:
            return getattr(getattr(nx, room, None), name, None)
        found = getattr(nx, op, None) or getattr(nx.Tensor, op, None)
        return found.fget if isinstance(found, property) else found

    def tensor(self, array, requires_grad):
        return nx.Tensor(array, requires_grad=bool(requires_grad) and array.dtype.kind == "f")

    def numpy(self, t):
        return t.numpy() if isinstance(t, nx.Tensor) else np.asarray(t)

    def dtype(self, name):
        return np.dtype(name)

    def backward(self, outs, cots):
        autograd.backward([(o, nx.Tensor(np.asarray(c))._array) for o, c in zip(outs, cots, strict=True) if o.requires_grad])

    def grad(self, t):
        return None if t.grad is None else t.grad.numpy()

    # layers and optimizers: check_modules.py

    def module(self, name, args, kwargs, dtype):
        cls = getattr(nn, name, None)
        return None if cls is None else cls(*args, **kwargs).to(dtype)

    def load(self, m, arrays):
        m.load_state_dict({**m.state_dict(), **{n: a for n, a in arrays.items() if n in m.state_dict()}})

    def train(self, m, training):
        m.train(training)

    def forward(self, m, args, kwargs):
        return m(*args, **kwargs)

    def param_grads(self, m):
        return {n: None if p.grad is None else p.grad.numpy() for n, p in m.named_parameters()}

    def buffers(self, m):
        return {n: b.numpy() for n, b in m.named_buffers()}

    def optimizer(self, name, params, kwargs):
        cls = getattr(nx.optim, name, None)
        if cls is None:
            return None
        return cls([nn.Parameter(p) for p in params], **kwargs)

    def step(self, o, grads):
        params = [p for group in o.param_groups for p in group["params"]]
        for p, g in zip(params, grads, strict=True):
            p.grad = nx.Tensor(g)
        o.step()
        return [np.array(p.numpy()) for p in params]
