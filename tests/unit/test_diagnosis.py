"""What is wrong with a machine, and the fix."""

import os
from pathlib import Path

import pytest
from gpu import emulated, fake_cupy
from gpu.fake_cupy import FakeCuPy

import neurenix as nx
from neurenix import _rust, diagnosis
from neurenix.backend import packages
from neurenix.system import diagnose


@pytest.fixture(autouse=True)
def _apart(monkeypatch, tmp_path):
    monkeypatch.setenv("NEURENIX_CACHE_DIR", str(tmp_path / "kernels"))
    monkeypatch.setattr(packages, "installed", dict)
    fake_cupy.in_place(monkeypatch, None)


@pytest.fixture
def fake(monkeypatch):
    emulated.require()
    return fake_cupy.in_place(monkeypatch, FakeCuPy())


def line(found, what):
    (finding,) = [f for f in found if f.what == what]
    return finding


def test_without_a_gpu_nothing_is_wrong():
    found = diagnose()
    assert nx.diagnose is diagnose
    assert [f.what for f in found] == ["neurenix", "processor", "threads", "memory", "CuPy", "MPI", "temporary files"]
    assert "not installed, so no GPU; for one: pip install" in line(found, "CuPy").text
    assert not line(found, "CuPy").wrong
    assert line(found, "MPI").text.startswith("mpi4py 4")
    assert _rust.level() in line(found, "processor").text
    assert line(found, "threads").text == f"{_rust.num_threads()} on {len(os.sched_getaffinity(0))} cores"
    assert str(found).splitlines()[0].startswith("  neurenix ")


def test_processor_and_threads(level):
    before = _rust.num_threads()
    _rust.set_num_threads(1000)
    try:
        found = diagnose()
    finally:
        _rust.set_num_threads(before)
    assert line(found, "processor").wrong == (level != _rust.levels()[-1])
    assert "NEURENIX_NUM_THREADS=" in line(found, "threads").fix
    assert not found.ok
    assert "! threads" in str(found)
    assert "-> set NEURENIX_NUM_THREADS=" in str(found)


def test_memory_as_a_container_allows(tmp_path, monkeypatch):
    (tmp_path / "proc").mkdir()
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 99 kB\nMemAvailable: 3000000 kB\n")
    total, available = diagnosis.memory_limits(tmp_path)
    assert (total, available) == (os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), 3000000 * 1024)
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("max\n")
    assert diagnosis.memory_limits(tmp_path) == (total, available)
    (tmp_path / "sys/fs/cgroup/memory.max").write_text(f"{1 << 30}\n")
    (tmp_path / "sys/fs/cgroup/memory.current").write_text(f"{800 << 20}\n")
    assert diagnosis.memory_limits(tmp_path) == (1 << 30, 224 << 20)
    monkeypatch.setattr(diagnosis, "memory_limits", lambda: (1 << 30, 224 << 20))
    assert line(diagnose(), "memory") == ("memory", "224.0 MiB available of 1.0 GiB", "end what else runs: training takes gigabytes")


def test_with_gpus(fake, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    found = diagnose()
    assert {f.what for f in found.problems} <= {"threads", "memory", "processor"}, str(found)  # of the machine that tests
    assert line(found, "CuPy").text == "cupy-cuda12x 14.2.0"
    assert line(found, "CUDA_VISIBLE_DEVICES").text == "'2,3'"
    assert line(found, "driver").text == "for CUDA 12.9; CuPy is made for 12.9"
    assert line(found, "NVRTC").text == "12.9"
    assert line(found, "cuda:1").text == "Fake H100, kernels for sm_90, 80.0 GiB free of 80.0 GiB"
    assert "kernels, " in line(found, "compiled kernels").text
    assert not (Path(os.environ["NEURENIX_CACHE_DIR"])).exists(), "looking changes nothing"


def test_a_full_and_an_old_card(monkeypatch):
    fake = fake_cupy.in_place(monkeypatch, FakeCuPy(capabilities=("90", "61")))
    fake.cuda.runtime.memGetInfo = lambda: (1 << 30, 80 << 30)
    found = diagnose()
    assert line(found, "cuda:0").fix.startswith("end other processes")
    assert line(found, "cuda:1").text.startswith("expected a GPU of compute capability 7.0")
    assert line(found, "cuda:1").fix.startswith("choose another with CUDA_VISIBLE_DEVICES")
    assert {f.what for f in found.problems} >= {"cuda:0", "cuda:1"}


def test_no_driver_and_two_packages(fake, monkeypatch):
    fake.cuda.runtime.driverGetVersion = lambda: 0
    found = line(diagnose(), "GPU")
    assert (found.text, found.fix) == (
        "expected an NVIDIA driver, got none",
        "install it (in a container: --gpus all), or stay on device='cpu'",
    )
    monkeypatch.setattr(packages, "installed", lambda: {"cupy-cuda12x": "14.2", "cupy-cuda13x": "14.2"})
    assert line(diagnose(), "GPU").fix.startswith("pip uninstall cupy-cuda12x cupy-cuda13x")


def test_a_cache_folder_that_cannot_be_written_and_a_full_disk(fake, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NEURENIX_CACHE_DIR", str(tmp_path / "file" / "below"))
    found = line(diagnose(), "compiled kernels")
    assert found.text.endswith("below cannot be written")
    assert found.fix == "set NEURENIX_CACHE_DIR to a folder that can be written"
    monkeypatch.setattr(diagnosis.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    assert line(diagnose(), "temporary files").fix == "free some disk, or set TMPDIR to a folder that can be written"
