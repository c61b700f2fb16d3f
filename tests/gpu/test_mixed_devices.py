"""Operands on two devices: every operation of the table refuses them with our error and both names, and moves nothing in silence."""

import pytest
from gpu import emulated
from properties.table import load
from tools.coverage import Seeded

import neurenix as nx
from neurenix.errors import DeviceError

ROWS = load()
VIEWS = {"broadcast_tensors", "meshgrid"}  # give views of each operand where it is
INDICES = {"index_put"}  # a list of indices may come from the CPU, as in x[i]


def examples(name):
    """Examples with several arrays."""
    for seed in range(4):
        fn, *arrays = ROWS[name].make(Seeded(seed))
        if len(arrays) > 1:
            yield fn, [nx.Tensor(a) for a in arrays]


@pytest.mark.parametrize("name", [name for name in ROWS if name not in VIEWS | INDICES and any(True for _ in examples(name))])
def test_operands_on_two_devices(name):
    emulated.require()
    for fn, tensors in examples(name):
        for stays in range(len(tensors)):
            mixed = [t if i == stays else t.to(device="emulated") for i, t in enumerate(tensors)]
            with pytest.raises(DeviceError, match=r"\w: expected .*(cpu and emulated|emulated and cpu).*; ") as caught:
                fn(*mixed)
            assert "internal" not in str(caught.value)


def test_indices_may_come_from_the_cpu_and_from_nowhere_else():
    emulated.require()
    x, i = nx.tensor([1.0, 2.0, 3.0]), nx.tensor([2, 0])
    assert x.to(device="emulated")[i].cpu().tolist() == [3.0, 1.0]
    with pytest.raises(DeviceError, match="getitem: expected arrays on one device, got cpu and emulated"):
        x[i.to(device="emulated")]
    with pytest.raises(DeviceError, match="index_put: expected arrays on one device"):
        nx.index_put(x.to(device="emulated"), (i,), x[:2])
