"""PyTorch's numbers on the second device: cases of every operation, layer and optimizer of the oracle, under IEEE precision."""

import warnings

import backend as library
import cases
import numpy as np
import pytest

import neurenix as nx
from neurenix import autograd, nn

DEVICE, OF_EACH = "emulated", 8


class OnTheGpu(library.Backend):
    """The library with all tensors on the emulated device."""

    def tensor(self, array, requires_grad):
        return nx.Tensor(array, device=DEVICE, requires_grad=bool(requires_grad) and array.dtype.kind == "f")

    def backward(self, outs, cots):
        pairs = [(o, nx.Tensor(np.asarray(c), device=DEVICE)._array) for o, c in zip(outs, cots, strict=True) if o.requires_grad]
        autograd.backward(pairs)

    def module(self, name, args, kwargs, dtype):
        found = super().module(name, args, kwargs, dtype)
        return None if found is None else found.to(device=DEVICE)

    def optimizer(self, name, params, kwargs):
        return super().optimizer(name, [nn.Parameter(nx.Tensor(p, device=DEVICE)) for p in params], kwargs)

    def step(self, o, grads):
        return super().step(o, [nx.Tensor(g, device=DEVICE) for g in grads])


GPU = OnTheGpu()


def chosen(found):
    """Some of an operation's cases, from its first to its last; all 1,655 pass too, in three times the time."""
    return [found[i * (len(found) - 1) // (OF_EACH - 1)] for i in range(OF_EACH)] if len(found) > OF_EACH else found


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, names in cases.CASES.items() for name in sorted(set(names) - cases.UNSUPPORTED)]
)
def test_agrees(door, kind, name):
    wrong = []
    with nx.set_float32_precision("ieee"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case, arrays in chosen(cases.CASES[kind][name]):
            try:
                result, detail = cases.RUN[kind](case, arrays, GPU)
            except Exception as error:
                result, detail = "error", f"{type(error).__name__}: {error}"
            wrong += [] if result == "pass" else [f"{case['id']}: {result} {detail}"]
    assert not wrong, "\n".join(wrong)
