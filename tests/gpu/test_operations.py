"""Every differentiable operation on the second device, forward and backward, as on the CPU; nothing computes behind the kernels' back."""

import numpy as np
import pytest
from properties.draws import Seeded
from properties.table import load
from properties.test_operations import results

import neurenix as nx

ROWS = load()


@pytest.mark.parametrize("name", sorted(ROWS))
def test_as_on_the_cpu(door, name):
    fn, *arrays = ROWS[name].make(Seeded(len(name)))
    found = []
    for device in ("cpu", "emulated"):
        nx.manual_seed(0)
        outs, grads = results(fn, arrays, np.float64, device)
        found.append([*outs, *(g for g in grads if g is not None)])
    assert len(found[0]) == len(found[1])
    for cpu, gpu in zip(*found, strict=True):
        np.testing.assert_allclose(gpu, cpu, rtol=1e-11, atol=1e-12)
