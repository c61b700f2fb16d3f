"""Every row of the kernel table: Rust against CUDA on the same arguments, within the distance that parity.py states."""

import numpy as np
import pytest
from gpu import calls, emulated, kernel_list
from gpu.parity import CPU_ONLY, DISTANCES, GPU_ONLY, IN_PARTS, OWN, SAME

import neurenix as nx
from neurenix import backend
from neurenix.backend import launch, sources
from neurenix.backend.kernel import KERNELS
from neurenix.nn import functional as F
from neurenix.ops.loss import loss_ratio, loss_sum

kernel_list.import_everything()
WITH_KERNELS = [name for name in sorted(KERNELS) if name in sources.rules(KERNELS[name].stem)]


def written(row, args):
    """The arrays that a row writes, as they are on the CPU."""
    found = []
    for (_, role), value in zip(row.params, args, strict=True):
        if role.rstrip("]").rpartition("[")[2] in launch.WRITTEN - {"Scratch"} and value is not None:
            found += value if isinstance(value, list) else [value]
    return [emulated.door.to_numpy(a) if isinstance(a, emulated.EmulatedArray) else a for a in found]


def made_again(row, args, place):
    args = [calls.each(a, lambda x: calls.laid_out(x, place)) for a in args]
    row(*args)
    return written(row, args)


def far(cpu, gpu):
    """The largest difference over the largest magnitude; infinite where NaNs or infinities are in other places, or zeros have another sign."""
    if cpu.dtype.kind != "f":
        return 0.0 if np.array_equal(cpu, gpu) else np.inf
    if np.array_equal(cpu, gpu, equal_nan=True) and not np.array_equal(*(np.signbit(a) & ~np.isnan(a) for a in (cpu, gpu))):
        return np.inf
    finite = np.isfinite(cpu)
    if not np.array_equal(cpu[~finite], gpu[~finite], equal_nan=True) or not np.isfinite(gpu[finite]).all():
        return np.inf
    most = np.abs(cpu[finite]).max(initial=0)
    return float(np.abs(cpu[finite] - gpu[finite]).max(initial=0) / (most or 1))


def test_no_row_lacks_an_entry():
    assert set(DISTANCES) == set(KERNELS), "state in tests/gpu/parity.py how far each row's CUDA kernel may be from the Rust one"


def test_rows_said_to_have_no_kernel_have_none():
    assert {name for name, distance in DISTANCES.items() if distance is CPU_ONLY} == set(KERNELS) - set(WITH_KERNELS)


def test_rows_said_to_be_a_gpus_own_are():
    assert {name for name, distance in DISTANCES.items() if distance is GPU_ONLY} == {name for name, row in KERNELS.items() if row.gpu_only}


@pytest.mark.parametrize("name", [name for name in WITH_KERNELS if not KERNELS[name].gpu_only])
def test_rust_and_cuda_agree(door, name):
    row, distance = KERNELS[name], DISTANCES[name]
    if distance is IN_PARTS:
        distance = SAME  # the calls are of other layers; test_parity.py has both
    recorded = calls.recorded()[name]
    assert recorded, f"no operation of tests/gpu/calls.py reaches {name}: add one that does"
    for args in recorded:
        cpu = made_again(row, args, lambda memory: memory)
        gpu = made_again(row, args, lambda memory: door.from_numpy(memory, "emulated"))
        for c, g in zip(cpu, gpu, strict=True):
            assert (c.shape, c.dtype) == (g.shape, g.dtype)
            if distance not in OWN:
                assert far(c, g) <= (distance.f64 if c.dtype == np.float64 else distance.f32), (args, c, g)


@pytest.mark.parametrize("n", [4096, 4097, 16 * 4096 + 1, 37 * 4096 - 5])
def test_sums_of_many_units(door, n):
    x, share = calls.numbers(n), np.abs(calls.numbers(n, seed=1))
    found = []
    for device in ("cpu", "emulated"):
        ratio, below, total = (backend.empty((1,), "f4", device) for _ in range(3))
        loss_ratio(ratio, below, *(backend.to_device(a, device) for a in (x, share)))
        loss_sum(total, backend.to_device(x, device), 3.0)
        found.append([backend.to_numpy(a).tobytes() for a in (ratio, below, total)])
    assert found[0] == found[1]


@pytest.mark.parametrize("target", [-1, 3, 9])
def test_targets_outside_the_classes_make_the_loss_nan(door, target):
    x, t = (nx.Tensor(a).to(device="emulated") for a in (calls.numbers(2, 3), np.array([1, target])))
    lists = nx.Tensor(np.array([[0, -1, 5], [target - 1, -2, 0]])).to(device="emulated")
    losses = (F.cross_entropy, F.nll_loss, F.multi_margin_loss, lambda x, _: F.multilabel_margin_loss(x, lists))
    for loss in losses:
        leaf = x.detach().requires_grad_()
        y = loss(leaf, t)
        y.backward()
        assert np.isnan(y.numpy())
        assert np.isnan(leaf.grad.numpy()[1]).all()
