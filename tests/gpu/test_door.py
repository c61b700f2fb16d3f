"""The way to a GPU through CuPy: what is missing is said clearly, and launches go where the arrays are.

A stand-in for CuPy whose kernels run in the emulator exercises the door itself; with the real package installed and no GPU the
errors are seen for real (`make cuda-check`).
"""

import importlib.metadata
import subprocess
import sys
import types

import numpy as np
import pytest
from gpu import emulated
from gpu.emulated import EmulatedArray, EmulatedModule

import neurenix as nx
from neurenix.backend import cuda, doors, sources
from neurenix.errors import ArgumentError, BackendUnavailableError


def installed(name):
    try:
        return bool(importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return False


REAL = any(map(installed, ("cupy", "cupy-cuda12x", "cupy-cuda13x")))


@pytest.fixture(autouse=True)
def closed(monkeypatch):
    """Forget every door to a GPU, before and after."""
    monkeypatch.setattr(doors, "_BY_NAME", {k: v for k, v in doors._BY_NAME.items() if k != "cuda"})
    monkeypatch.setattr(doors, "_BY_TYPE", dict(doors._BY_TYPE))


class FakeArray(EmulatedArray):
    """What looks like cupy.ndarray to the door."""

    index = 0

    def __array_finalize__(self, parent):
        self.index = getattr(parent, "index", 0)

    @property
    def data(self):
        return types.SimpleNamespace(ptr=self.view(np.ndarray).__array_interface__["data"][0])

    @property
    def device(self):
        return types.SimpleNamespace(id=self.index)


class FakeCuPy(types.SimpleNamespace):
    """As much of CuPy as the door uses, with two devices; it records modules and the device of each launch."""

    def __init__(self, count=2):
        self.current, self.modules, self.launches, self.used = 0, [], [], 1000
        runtime = types.SimpleNamespace(getDeviceCount=lambda: count, getDevice=lambda: self.current)
        nvrtc = types.SimpleNamespace(getVersion=lambda: (12, 9))
        super().__init__(ndarray=FakeArray, cuda=types.SimpleNamespace(runtime=runtime, nvrtc=nvrtc, Device=self.on))
        self.freed = False

    def on(self, index):
        fake = self

        class Scope:
            def __enter__(self):
                self.before, fake.current = fake.current, index

            def __exit__(self, *_):
                fake.current = self.before

        return Scope()

    def placed(self, array):
        out = array.view(FakeArray)
        out.index = self.current
        return out

    def empty(self, shape, dtype):
        return self.placed(emulated.door.empty(shape, dtype, "emulated"))

    def asarray(self, array):
        return self.placed(emulated.door.from_numpy(array, "emulated"))

    def asnumpy(self, array):
        return emulated.door.to_numpy(array)

    def get_default_memory_pool(self):
        return types.SimpleNamespace(
            used_bytes=lambda: self.used, free_bytes=lambda: 24, free_all_blocks=lambda: setattr(self, "freed", True)
        )

    def RawModule(self, code, options):
        module = EmulatedModule(code)
        self.modules.append(options)

        def get_function(name):
            kernel = module.get_function(name)

            def run(grid, block, args):
                self.launches.append((name, self.current))
                kernel(grid, block, args)

            return run

        return types.SimpleNamespace(get_function=get_function)


@pytest.fixture
def fake(monkeypatch):
    emulated.require()
    made = FakeCuPy()
    monkeypatch.setattr(cuda, "_is_installed", lambda name: name == "cupy-cuda12x")
    monkeypatch.setattr(cuda, "import_module", lambda name: made)
    return made


def to_gpu(device="cuda"):
    return nx.tensor([1.0, 2.0, 3.0]).to(device)


def test_importing_the_library_never_imports_cupy():
    code = "import sys, neurenix, neurenix.nn, neurenix.backend.cuda; sys.exit('cupy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif(REAL, reason="CuPy is installed")
def test_without_cupy():
    with pytest.raises(BackendUnavailableError, match=r"cuda: expected CuPy, got none; pip install 'neurenix-multiscale\[cuda12\]'"):
        to_gpu()


def test_a_cupy_that_does_not_import(monkeypatch):
    def broken(name):
        raise ImportError("libcuda.so.1: cannot open shared object file", name="cupy_backends")

    monkeypatch.setattr(cuda, "_is_installed", lambda name: name == "cupy")
    monkeypatch.setattr(cuda, "import_module", broken)
    with pytest.raises(BackendUnavailableError, match=r"got one that cannot be imported \(libcuda"):
        to_gpu()


def test_two_cupy_packages(monkeypatch):
    monkeypatch.setattr(cuda, "_is_installed", lambda name: name in ("cupy-cuda12x", "cupy-cuda13x"))
    with pytest.raises(
        BackendUnavailableError, match=r"got cupy-cuda12x and cupy-cuda13x, which overwrite each other; pip uninstall cupy-cuda12x"
    ):
        to_gpu()


def test_no_driver_no_gpu_no_compiler(fake):
    def fails():
        raise RuntimeError("cudaErrorInsufficientDriver")

    fake.cuda.nvrtc.getVersion = fails
    with pytest.raises(BackendUnavailableError, match="expected the CUDA compiler NVRTC, got none"):
        to_gpu()
    fake.cuda.runtime.getDeviceCount = lambda: 0
    with pytest.raises(BackendUnavailableError, match="expected a GPU, got none; look at CUDA_VISIBLE_DEVICES"):
        to_gpu()
    fake.cuda.runtime.getDeviceCount = fails
    with pytest.raises(
        BackendUnavailableError, match=r"expected an NVIDIA driver and a GPU, got none that works \(cudaErrorInsufficientDriver\)"
    ):
        to_gpu()


def test_indices_of_devices(fake):
    assert to_gpu("cuda:1").device == "cuda:1"
    assert to_gpu("cuda").device == "cuda:0"
    with pytest.raises(BackendUnavailableError, match="expected one of the 2 devices of this machine, got 'cuda:7'; use cuda:0, cuda:1"):
        to_gpu("cuda:7")
    with pytest.raises(ArgumentError, match="device: expected"):
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
    assert fake.launches == [("cast_into_f64", 1), ("cast_into_i64", 1)]
    assert set(fake.modules) == {sources.OPTIONS} == {("-std=c++17", "-fmad=false")}
    x.to(nx.float64)
    assert len(fake.modules) == 2  # a file is compiled once an element type
    assert fake.current == 0


def test_memory_of_a_gpu(fake):
    x = to_gpu()
    x.to(nx.float64)
    fake.used = 200
    assert nx.memory_stats("cuda") == {"live": 200, "peak": 1000, "cached": 24}
    nx.reset_peak("cuda")
    assert nx.memory_stats("cuda")["peak"] == 200
    nx.empty_cache("cuda")
    assert fake.freed


@pytest.mark.skipif(not REAL, reason="the real CuPy is not installed; `make cuda-check` installs it")
def test_the_real_cupy():
    import cupy

    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except RuntimeError:
        count = 0
    if count:
        assert to_gpu().to(nx.float64).tolist() == [1, 2, 3]
        return
    with pytest.raises(BackendUnavailableError, match=r"cuda: expected (an NVIDIA driver and a|a) GPU, got none.*stay on device='cpu'"):
        to_gpu()
    with pytest.raises(BackendUnavailableError):
        nx.set_default_device("cuda")
    assert nx.tensor([1.0]).device == "cpu"
