"""The way to a GPU through CuPy: what is missing is said clearly, and launches go where the arrays are.

A stand-in for CuPy whose kernels run in the emulator exercises the door itself; with the real package installed and no GPU the
errors are seen for real (`make cuda-errors`).
"""

import importlib.metadata
import os
import subprocess
import sys

import numpy as np
import pytest
from gpu import emulated, fake_cupy
from gpu.fake_cupy import CUDARuntimeError, FakeCuPy

import neurenix as nx
from neurenix.backend import packages, sources
from neurenix.errors import ArgumentError, BackendUnavailableError, DeviceError


def installed(name):
    try:
        return bool(importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return False


REAL = any(map(installed, ("cupy", "cupy-cuda12x", "cupy-cuda13x")))


@pytest.fixture(autouse=True)
def _closed(monkeypatch, tmp_path):
    """Forget every door to a GPU, and keep compiled kernels apart."""
    monkeypatch.setenv("NEURENIX_CACHE_DIR", str(tmp_path / "kernels"))
    fake_cupy.in_place(monkeypatch, None)


@pytest.fixture
def fake(monkeypatch):
    emulated.require()
    return fake_cupy.in_place(monkeypatch, FakeCuPy())


def to_gpu(device="cuda"):
    return nx.tensor([1.0, 2.0, 3.0]).to(device)


def says(text):
    return pytest.raises(BackendUnavailableError, match=text)


def fails(text):
    def call(*_):
        raise CUDARuntimeError(text)

    return call


# --- what is missing


@pytest.mark.parametrize("room", ["", ", neurenix.cuda, neurenix.amp, neurenix.data, neurenix.backend.cuda, neurenix.diagnosis"])
def test_importing_the_library_never_imports_cupy(room):
    code = f"import sys, neurenix{room}; sys.exit('cupy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_fake_package_is_imported_only_when_a_gpu_is_asked_for(tmp_path):
    (tmp_path / "cupy.py").write_text("raise ImportError('libcuda.so.1: cannot open shared object file', name='cupy_backends')\n")
    code = """
import sys, neurenix as nx
nx.tensor([1.0]).sum(); nx.device("cuda:1"); nx.memory_stats()
assert "cupy" not in sys.modules
assert not nx.cuda.is_available() and nx.cuda.device_count() == 0
try:
    nx.tensor([1.0]).to("cuda")
except nx.errors.BackendUnavailableError as error:
    print(error)
"""
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": path})
    assert done.stdout.startswith(
        "cuda: expected CuPy, got one that cannot be imported (libcuda.so.1: cannot open shared object file); pip"
    )


@pytest.mark.skipif(REAL, reason="CuPy is installed")
def test_without_cupy():
    with says(r"cuda: expected CuPy, got none; pip install 'neurenix-multiscale\[cuda12\]'"):
        to_gpu()


def test_a_home_that_cannot_be_written(monkeypatch):
    def fails(name):
        raise PermissionError(13, "Permission denied", "/home/me/.cupy/kernel_cache")

    monkeypatch.setattr(packages, "installed", lambda: {"cupy-cuda12x": "14.2.0"})
    monkeypatch.setattr(packages, "import_module", fails)
    with says(r"expected a folder that CuPy can write, got none \(.*Permission denied.*kernel_cache'\); set CUPY_CACHE_DIR to one"):
        to_gpu()


def test_two_packages_as_pip_leaves_them(tmp_path):
    for name in ("cupy_cuda12x", "cupy_cuda13x"):
        folder = tmp_path / f"{name}-14.2.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 14.2.0\n")
    (tmp_path / "cupy.py").write_text("raise SystemExit('imported')\n")
    code = "import neurenix as nx; print(nx.cuda.is_available(), nx.diagnose().problems[0].fix)"
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": path})
    assert done.stdout.startswith("False pip uninstall cupy-cuda12x cupy-cuda13x, then pip install 'neurenix-multiscale[cuda12]'")


def test_two_cupy_packages(monkeypatch):
    monkeypatch.setattr(packages, "version_of", lambda name: "14.2" if name in ("cupy-cuda12x", "cupy-cuda13x") else None)
    with says(r"got cupy-cuda12x and cupy-cuda13x, which overwrite each other; pip uninstall cupy-cuda12x cupy-cuda13x, then pip install"):
        to_gpu()


def test_no_driver(fake):
    fake.cuda.runtime.driverGetVersion = lambda: 0
    with says(r"expected an NVIDIA driver, got none; install it \(in a container: --gpus all\), or stay on device='cpu'"):
        to_gpu()
    fake.cuda.runtime.driverGetVersion = fails("cudaErrorUnknown")
    with says("expected an NVIDIA driver, got none"):
        to_gpu()


def test_a_cupy_for_another_driver(fake):
    fake.cuda.runtime.runtimeGetVersion, fake.cuda.runtime.driverGetVersion = lambda: 13000, lambda: 12040
    with says(r"expected a driver for CUDA 13.0, .*, got one for CUDA 12.4; update the driver, or install cupy-cuda12x instead"):
        to_gpu()
    fake.cuda.runtime.driverGetVersion = lambda: 13020  # a newer one runs what is older
    assert to_gpu().device == "cuda:0"


def test_an_old_cupy(fake):
    fake.__version__ = "13.6.0"
    with says(r"expected CuPy 14 or newer, got 13.6.0; pip install -U 'neurenix-multiscale\[cuda12\]'"):
        to_gpu()
    fake.__version__ = "15.0.0rc1"
    assert to_gpu().device == "cuda:0"


def test_no_gpu(fake, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    fake.cuda.runtime.getDeviceCount = fails("cudaErrorNoDevice: no CUDA-capable device is detected")
    with says("expected a GPU, got none; look at nvidia-smi, or stay on device='cpu'"):
        to_gpu()
    fake.cuda.runtime.getDeviceCount = lambda: 0
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    with says("expected a GPU, got none; CUDA_VISIBLE_DEVICES is '7': change it"):
        to_gpu()
    fake.cuda.runtime.getDeviceCount = fails("cudaErrorECCUncorrectable")
    with says(r"expected an NVIDIA driver and a GPU, got none that works \(cudaErrorECCUncorrectable\)"):
        to_gpu()


def test_no_compiler(fake):
    fake.cuda.nvrtc.getVersion = fails("libnvrtc.so.12: cannot open")
    with says(r"expected the CUDA compiler NVRTC, got none \(libnvrtc.so.12: cannot open\); pip install"):
        to_gpu()


def test_an_old_card_beside_a_new_one(monkeypatch):
    fake_cupy.in_place(monkeypatch, FakeCuPy(capabilities=("61", "70")))
    with says(r"compute capability 7.0 or newer, got cuda:0 \(Fake H100\) with 6.1; choose another with CUDA_VISIBLE_DEVICES"):
        to_gpu("cuda:0")
    assert to_gpu("cuda:1").device == "cuda:1"


def test_a_card_that_cuda_13_forgot(monkeypatch):
    fake = fake_cupy.in_place(monkeypatch, FakeCuPy(capabilities=("70", "75")))
    fake.cuda.nvrtc.archs = [75, 80, 90, 100]
    with says(r"compute capability 7.5 or newer, got cuda:0 \(Fake H100\) with 7.0; cupy-cuda12x still knows cards from 7.0 on"):
        to_gpu("cuda:0")


# --- where things go


def test_indices_of_devices(fake):
    assert to_gpu("cuda:1").device == "cuda:1"
    assert to_gpu("cuda").device == "cuda:0"
    with says("expected one of the 2 devices of this machine, got 'cuda:7'; use cuda:0, cuda:1"):
        to_gpu("cuda:7")
    with pytest.raises(ArgumentError, match="to: expected"):
        to_gpu("cuda:one")


def test_an_array_stays_where_it_is(fake):
    x = to_gpu("cuda:1")
    assert x.to("cuda") is x
    assert x.to("cuda:1") is x
    np.testing.assert_array_equal(x.cpu().numpy(), [1, 2, 3])


def test_kernels_run_on_the_device_of_their_arrays(fake):
    x = to_gpu("cuda:1")
    y = x.to(nx.float64).to(nx.int64)
    assert (y.device, y.tolist()) == ("cuda:1", [1, 2, 3])
    assert fake.launches == [("cast_into_f64", 1, "default"), ("cast_into_i64", 1, "default")]
    options = (*sources.OPTIONS, "-arch=sm_90")
    assert fake.cuda.nvrtc.compiled == [("layout.cu", options)] * 2 == [("layout.cu", ("-std=c++17", "-fmad=false", "-arch=sm_90"))] * 2
    x.to(nx.float64)
    assert len(fake.cuda.nvrtc.compiled) == 2  # a file is compiled once an element type
    assert fake.current == 0


def test_each_card_gets_code_of_its_own_kind(monkeypatch):
    fake = fake_cupy.in_place(monkeypatch, FakeCuPy(capabilities=("80", "120")))
    for name in ("cuda:0", "cuda:1", "cuda:1"):
        to_gpu(name).to(nx.float64)
    assert [options[-1] for _, options in fake.cuda.nvrtc.compiled] == ["-arch=sm_80", "-arch=compute_90"]  # newer than this NVRTC


def test_launches_go_to_the_current_stream(fake):
    x, stream = to_gpu(), fake_cupy.FakeStream(fake, "mine")
    with stream:
        x.to(nx.float64)
    x.to(nx.float64)
    assert [name for _, _, name in fake.launches] == ["mine", "default"]


def test_what_is_kept_is_kept_for_one_stream(fake):
    w, stream = nx.nn.Parameter(nx.zeros(16, 3, 1, 1).to("cuda")), fake_cupy.FakeStream(fake, "mine")
    x = nx.zeros(1, 3, 4, 4).to("cuda")
    with nx.no_grad():
        for _ in range(2):
            nx.nn.functional.interpolate(nx.nn.functional.conv2d(x, w), (3, 3), mode="bilinear")
        copies = len(fake.log)
        with stream:
            nx.nn.functional.interpolate(nx.nn.functional.conv2d(x, w), (3, 3), mode="bilinear")
    packed = [name for row, _, name in fake.launches if row == "conv_pack_f32"]
    assert packed == ["default", "mine"]
    assert len(fake.log) == copies


def test_mixing_devices_names_both(fake):
    a, b = to_gpu("cuda:0"), to_gpu("cuda:1")
    with pytest.raises(DeviceError, match=r'add: expected arrays on one device, got cuda:0 and cuda:1; move one with .to\("cuda:0"\)'):
        a + b
    with pytest.raises(DeviceError, match="got cpu and cuda:1"):
        b * nx.tensor([1.0, 2.0, 3.0])
    from neurenix.layout import copy_into

    with pytest.raises(DeviceError, match="got cuda:0 and cuda:1"):  # what an operation lets through
        copy_into(a._array, b._array)


def test_from_one_gpu_to_another(fake):
    x = to_gpu("cuda:0")
    y = x.to("cuda:1")
    assert (y.device, y.tolist(), x.device) == ("cuda:1", [1.0, 2.0, 3.0], "cuda:0")
    assert [entry for entry in fake.log if entry[0] == "peer"] == [("peer", 0, 1, "default")]
    turned = nx.tensor([[1.0, 2.0], [3.0, 4.0]]).to("cuda:0").T
    assert turned.to("cuda:1").tolist() == [[1.0, 3.0], [2.0, 4.0]]


def test_a_block_in_which_cuda_is_another_gpu(fake):
    with nx.cuda.device(1):
        assert nx.cuda.current_device() == 1
        x = to_gpu("cuda")
        assert x.device == "cuda:1"
        assert nx.cuda.memory_allocated() == nx.memory_stats("cuda:1")["live"] == 12
    assert to_gpu("cuda").device == "cuda:0"
    with nx.device("cuda:1"):
        assert nx.zeros(2).device == "cuda:1"
        assert nx.tensor([1.0]).device.index == 1
    assert nx.zeros(2).device == "cpu"
    nx.cuda.set_device("cuda:1")
    assert nx.zeros(2, device="cuda").device == "cuda:1"
    nx.cuda.set_device(0)


def test_what_pytorch_calls_them(fake):
    assert nx.cuda.is_available()
    assert (nx.cuda.device_count(), nx.cuda.get_device_name(1), nx.cuda.get_device_capability("cuda:0")) == (2, "Fake H100", (9, 0))
    x = nx.zeros(1000).to("cuda")
    free, total = nx.cuda.mem_get_info()
    assert total - free == 4000 == nx.cuda.max_memory_allocated()
    nx.cuda.reset_peak_memory_stats()
    nx.cuda.synchronize(1)
    assert fake.log[-1] == ("synchronize", 1)
    nx.cuda.empty_cache()
    assert fake.freed == 4
    del x


def test_memory_of_a_gpu(fake):
    x = nx.zeros(1000).to("cuda")
    y = x.to(nx.float64)
    assert nx.memory_stats("cuda") == {"live": 12000, "peak": 12000, "cached": 24}
    del y
    assert nx.memory_stats("cuda") == {"live": 4000, "peak": 12000, "cached": 24}
    nx.reset_peak("cuda")
    assert nx.memory_stats("cuda:0")["peak"] == 4000
    nx.empty_cache("cuda")
    assert fake.freed == 2


@pytest.mark.skipif(not REAL, reason="the real CuPy is not installed; `make cuda-errors` installs it")
def test_the_real_cupy():
    import cupy

    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except RuntimeError:
        count = 0
    if count:
        assert to_gpu().to(nx.float64).tolist() == [1, 2, 3]
        return
    with says(r"cuda: expected (an NVIDIA driver|a GPU), got none.*or stay on device='cpu'"):
        to_gpu()
    with pytest.raises(BackendUnavailableError):
        nx.set_default_device("cuda")
    assert nx.tensor([1.0]).device == "cpu"
    assert not nx.cuda.is_available()


@pytest.mark.skipif(not REAL, reason="the real CuPy is not installed; `make cuda-errors` installs it")
def test_the_real_compiler_without_a_gpu():
    assert nx.cuda.warm_up(["layout"], dtype=nx.float32, architecture="sm_80") == 2
    assert nx.cuda.warm_up(["layout"], dtype=nx.float32, architecture="sm_80") == 0
    with pytest.raises(ArgumentError, match="expected an architecture among sm_70"):
        nx.cuda.warm_up(architecture="sm_61")


@pytest.mark.skipif(not REAL, reason="the real CuPy is not installed; `make cuda-errors` installs it")
def test_eight_ranks_compile_at_once(tmp_path):
    code = "import neurenix as nx; print(nx.cuda.warm_up(['unpooling'], dtype=nx.float32, architecture='sm_80'))"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "NEURENIX_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) for _ in range(8)
    ]
    made = []
    for rank in ranks:
        out, error = rank.communicate(timeout=600)
        assert error == ""
        made.append(int(out))
    files = [p for p in (tmp_path / "kernels").rglob("*") if p.is_file()]
    assert len(files) == 1 <= sum(made)
    assert all(p.suffix == ".cubin" and p.read_bytes()[:4] == b"\x7fELF" for p in files)
