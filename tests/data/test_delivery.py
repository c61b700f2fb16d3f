"""Batches on a device: there when they are used, on their way before."""

import numpy as np
import pytest
from gpu import emulated, fake_cupy
from gpu.fake_cupy import FakeCuPy

import neurenix as nx
from neurenix.data import DataLoader, TensorDataset
from neurenix.errors import ArgumentError, OutOfMemoryError

X, Y = np.arange(40, dtype=np.float32).reshape(10, 4), np.arange(10)


@pytest.fixture
def fake(monkeypatch, tmp_path):
    emulated.require()
    monkeypatch.setenv("NEURENIX_CACHE_DIR", str(tmp_path))
    return fake_cupy.in_place(monkeypatch, FakeCuPy())


def loader(**arguments):
    return DataLoader(TensorDataset(X, Y), batch_size=3, **arguments)


@pytest.mark.parametrize("arguments", [{}, {"pin_memory": True}, {"pin_memory": True, "num_workers": 2}])
@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:1"])
def test_every_batch_is_whole_when_it_is_used(fake, device, arguments):
    found = []
    for x, y in loader(device=device, **arguments):
        assert x.device.type == y.device.type == device.partition(":")[0]
        found.append((x.to(nx.float64).to(device="cpu").numpy(), y.cpu().numpy()))  # a kernel reads it at once
    for got, whole in zip(map(np.concatenate, zip(*found, strict=True)), (X, Y), strict=True):
        np.testing.assert_array_equal(got, whole)
    on_device = {index for _, index, _ in fake.launches}
    assert on_device == ({} if device == "cpu" else {1 if device == "cuda:1" else 0}) or not on_device


def test_the_next_batch_is_copied_while_one_is_used(fake):
    order = []
    for x, _ in loader(device="cuda", pin_memory=True):
        fake.log.append(("use", len(order)))
        order.append(x)
    copies, use = [i for i, e in enumerate(fake.log) if e == ("copy", "copies")], [i for i, e in enumerate(fake.log) if e[0] == "use"]
    assert len(copies) == 8  # images and labels of four batches
    for batch in range(3):
        assert max(copies[2 * batch + 2 : 2 * batch + 4]) < use[batch], "queued before the batch ahead of it is used"
    first = fake.log.index(("wait", "default", "copies"))
    assert first > copies[3], "the first wait comes after the second batch is on its way"


def test_a_copy_waits_for_who_had_its_memory_before_and_no_kernel_of_the_host(fake):
    for _ in loader(device="cuda", pin_memory=True):
        pass
    for i, entry in enumerate(fake.log):
        if entry == ("copy", "copies"):
            assert fake.log[i - 1] == ("wait", "copies", "default")
    assert not [e for e in fake.log if e[0] == "synchronize"]


def test_batches_and_their_places_are_those_without_it(fake):
    plain, ahead = loader(shuffle=True, seed=4), loader(shuffle=True, seed=4, device="cuda", pin_memory=True)
    for (x, _), (z, _) in zip(plain, ahead, strict=True):
        np.testing.assert_array_equal(x.numpy(), z.cpu().numpy())
        assert plain.state_dict() == ahead.state_dict()
    again = loader(device="cuda", pin_memory=True, shuffle=True)
    batches = iter(ahead)
    next(batches)
    again.load_state_dict(ahead.state_dict())
    for (x, _), (z, _) in zip(batches, again, strict=True):
        np.testing.assert_array_equal(x.cpu().numpy(), z.cpu().numpy())


class Failing:
    def __len__(self):
        return 4

    def __getitem__(self, i):
        if i == 2:
            raise OSError("no such image")
        return np.float32(i)


def test_a_failure_comes_with_its_own_batch(fake):
    found = []
    with pytest.raises(OSError, match="no such image"):
        found.extend(x.item() for x in DataLoader(Failing(), device="cuda", pin_memory=True))
    assert found == [0.0, 1.0]


def test_structures_and_what_is_no_number(fake):
    items = [{"x": np.ones((2, 2)), "pair": (1, 2.0), "name": "a", "none": np.zeros((0, 3))}] * 3
    (batch,) = DataLoader(items, batch_size=3, device="cuda", pin_memory=True)
    assert batch["name"] == ["a"] * 3
    assert (batch["x"].shape, batch["pair"][0].tolist(), batch["none"].shape) == ((3, 2, 2), [1, 1, 1], (3, 0, 3))
    assert {t.device for t in (batch["x"], *batch["pair"], batch["none"])} == {"cuda:0"}


def test_a_loop_that_is_broken_off(fake):
    for _ in loader(device="cuda", pin_memory=True, num_workers=2):
        break
    assert len(list(loader(device="cuda", pin_memory=True))) == 4


def test_no_pinned_memory_left(fake):
    def full(nbytes):
        raise fake_cupy.CUDARuntimeError("cudaErrorMemoryAllocation: out of memory")

    fake.cuda.alloc_pinned_memory = full
    with pytest.raises(
        OutOfMemoryError, match=r"expected 48 bytes of pinned memory for a batch, got none \(.*out of memory\); use smaller"
    ):
        next(iter(loader(device="cuda", pin_memory=True)))


def test_refusals():
    with pytest.raises(ArgumentError, match="DataLoader: expected a device with pin_memory=True, got None; pass device='cuda'"):
        loader(pin_memory=True)
    with pytest.raises(ArgumentError, match="device: expected"):
        loader(device="gpu")
    assert len(list(loader(device="cpu", pin_memory=True))) == 4
