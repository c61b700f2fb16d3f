"""A full GPU: our own error with sizes and advice, and a process that goes on."""

import numpy as np
import pytest
from gpu import emulated, fake_cupy
from gpu.fake_cupy import FakeCuPy

import neurenix as nx
from neurenix.backend import room
from neurenix.backend.room import Room
from neurenix.errors import OutOfMemoryError

GIB = 1 << 30


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A GPU of 200 KB."""
    emulated.require()
    monkeypatch.setenv("NEURENIX_CACHE_DIR", str(tmp_path))
    return fake_cupy.in_place(monkeypatch, FakeCuPy(memory=200_000))


def test_the_error_has_sizes_and_is_a_memory_error(small):
    x = nx.zeros(10_000).to("cuda")
    with pytest.raises(OutOfMemoryError) as caught:
        nx.zeros(8, 100, 100).to("cuda:1")
    text = str(caught.value)
    assert text.startswith(
        "cuda:1: expected 312.5 KiB for an array (8, 100, 100) of float32, got 195.3 KiB free of 195.3 KiB (this process: "
    )
    assert isinstance(caught.value, MemoryError)
    with pytest.raises(OutOfMemoryError, match=r"cuda:0: .*, got 156.2 KiB free .* 39.1 KiB in arrays, 24 bytes cached"):
        nx.zeros(45_000).to("cuda")
    del x


def test_training_goes_on_after_it(small):
    model = nx.nn.Sequential(nx.nn.Conv2d(1, 4, 3, padding=1), nx.nn.ReLU(), nx.nn.Conv2d(4, 1, 3, padding=1)).to("cuda")
    optimizer = nx.optim.SGD(model.parameters(), lr=0.1)

    def step(images):
        optimizer.zero_grad()
        loss = (model(nx.zeros(images, 1, 24, 24).to("cuda")) - 1.0).square().mean()
        loss.backward()
        optimizer.step()
        return loss.item()

    first = step(1)
    before = nx.memory_stats("cuda")["live"]
    with pytest.raises(OutOfMemoryError, match="use smaller batches, nx.enable_gradient_checkpointing"):
        step(16)
    assert nx.memory_stats("cuda")["live"] <= before  # the gradients were dropped before the step
    assert step(1) < first


@pytest.mark.parametrize(
    ("shape", "free", "total", "live", "cached", "recording", "advice"),
    [
        ((4, 64, 512, 512), 0, 8, 7, 0, True, "use smaller batches, nx.enable_gradient_checkpointing() in training"),
        ((1, 64, 512, 512), 0, 8, 7, 0, True, "use smaller images or tiles of them (multiscale.predict_tiled), nx.enable"),
        ((1, 64, 512, 512), 0, 8, 7, 0, False, "use smaller images or tiles of them (multiscale.predict_tiled), and delete results"),
        ((4, 64, 4096, 4096), 8, 8, 0, 0, False, "no GPU of this size holds that one array: use smaller batches"),
        ((4, 64, 512, 512), 0, 8, 1, 0, True, "other processes hold 7.0 GiB (nvidia-smi names them)"),
        ((1, 64, 512, 512), 0, 8, 4, 3, True, "there is room, but in pieces: call nx.empty_cache(device)"),
    ],
)
def test_advice_fits(monkeypatch, shape, free, total, live, cached, recording, advice):
    monkeypatch.setattr(room, "recording", lambda: recording)
    found = room.full("cuda:0", shape, "float32", int(np.prod(shape)) * 4, Room(free * GIB, total * GIB, live * GIB, cached * GIB))
    assert advice in str(found)


def test_the_advice_knows_whether_gradients_are_recorded():
    assert room.recording()
    with nx.no_grad():
        assert not room.recording()


def test_sizes_read_well():
    assert [room.size(n) for n in (12, 2048, 3 << 20, 5 << 30)] == ["12 bytes", "2.0 KiB", "3.0 MiB", "5.0 GiB"]
