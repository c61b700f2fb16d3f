"""Operations on maps of any size, on a GPU: large ones, over memory full of NaN, the same bits again, under compute-sanitizer.

The cases run here on the emulated device at their smallest size, so that what a machine with a GPU runs is known to hold together.
None has run on a GPU yet.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import neurenix as nx
from neurenix import backend
from neurenix.nn import functional as F
from neurenix.ops import regions

SMALL, LARGE = 1, 64


def grid(s):
    return np.random.default_rng(5).uniform(-1.1, 1.1, (2, 5 * s, 7 * s, 2)).astype("f4")


# name: (function, shapes at a size, distance from the CPU relative to the norm)
CASES = {
    "conv2d": (lambda x, w: F.conv2d(x, w, padding=1), lambda s: [(2, 8, 5 * s, 6 * s), (12, 8, 3, 3)], 2e-6),
    "conv_transpose2d": (lambda x, w: F.conv_transpose2d(x, w, stride=2), lambda s: [(2, 8, 3 * s, 4 * s), (8, 4, 2, 2)], 2e-6),
    "batch_norm": (lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True), lambda s: [(2, 9, 6 * s, 7 * s), (9,), (9,)], 2e-6),
    "max_pool2d": (lambda x: F.max_pool2d(x, 3, 2, 1), lambda s: [(2, 3, 9 * s, 8 * s)], 0),
    "interpolate": (lambda x: F.interpolate(x, scale_factor=1.7, mode="bicubic"), lambda s: [(2, 3, 5 * s, 4 * s)], 2e-6),
    "grid_sample": (F.grid_sample, lambda s: [(2, 3, 6 * s, 5 * s), grid(s)], 2e-6),
    "gelu": (lambda x: F.gelu(x) * x, lambda s: [(3, 11 * s, 5 * s)], 2e-6),
    "softmax": (lambda x: F.softmax(x, dim=1), lambda s: [(2, 5, 4 * s, 3 * s)], 2e-6),
    "sum": (lambda x: x.sum(dim=(0, 2)) + x.mean() + x.amax(), lambda s: [(3, 7, 13 * s * s)], 1e-6),
    "cumsum": (lambda x: x.cumsum(dim=-1), lambda s: [(4 * s, 9 * s)], 1e-6),
    "matmul": (nx.matmul, lambda s: [(2, 5 * s, 20 * s), (2, 20 * s, 4 * s)], 4e-6),
    "sort": (lambda x: nx.sort(x, 1).values * x, lambda s: [(3, 70 * s)], 2e-6),
    "index": (lambda x: x[x.detach() > 0.3], lambda s: [(3, 50 * s, 30 * s)], 0),
    "softmax_of_rows": (lambda x: F.softmax(x, dim=2), lambda s: [(3, 2, 70 * s)], 2e-6),
    "cat": (lambda x, y: nx.cat([x, y, x[:, :4]], 1), lambda s: [(2, 8, 5 * s, 4 * s), (2, 3, 5 * s, 4 * s)], 2e-6),
    "max_unpool2d": (
        lambda x: F.max_unpool2d(*F.max_pool2d(x, 3, stride=1, return_indices=True), 3, stride=1),
        lambda s: [(1, 2, 18 * s, 19 * s)],
        2e-6,
    ),
    "index_select": (
        lambda x: x.index_select(0, nx.tensor(np.random.default_rng(6).integers(0, x.shape[0], 300 * x.shape[0])).to(x.device)),
        lambda s: [(3 * s, 5)],
        2e-6,
    ),
    "gather": (
        lambda x: x.gather(1, nx.tensor(np.random.default_rng(6).integers(0, x.shape[1], (2, 300))).to(x.device)),
        lambda s: [(2, 20 * s)],
        2e-6,
    ),
    "mse_loss": (F.mse_loss, lambda s: [(3, 17 * s, 9 * s), (3, 17 * s, 9 * s)], 2e-6),
}


def outcome(name, size, device):
    """The result and the gradients of one case."""
    function, shapes, _ = CASES[name]
    rng = np.random.default_rng(7)
    arrays = [rng.standard_normal(s).astype("f4") if isinstance(s, tuple) else s for s in shapes(size)]
    inputs = [nx.tensor(a).to(device).requires_grad_() for a in arrays]
    with nx.set_float32_precision("ieee"):
        y = function(*inputs)
        y.backward(nx.tensor(np.random.default_rng(8).standard_normal(y.shape).astype("f4")).to(device))
    return [y.detach().cpu().numpy(), *(x.grad.cpu().numpy() for x in inputs)]


def agree(name, size, device):
    for cpu, gpu in zip(outcome(name, size, "cpu"), outcome(name, size, device), strict=True):
        assert cpu.shape == gpu.shape
        assert np.linalg.norm((gpu - cpu).ravel().astype("f8")) <= CASES[name][2] * np.linalg.norm(cpu.ravel().astype("f8"))


def labelled(size, device):
    """Regions of noise at the density where they become large, and a flood of them."""
    shape, rng = (1, 20 * size, 17 * size), np.random.default_rng(9)
    values, image = (rng.random(shape) < 0.6).astype("u1"), rng.random(shape).astype("f4")
    labels, floods = (backend.to_device(np.zeros(shape, np.int64), device) for _ in range(2))
    regions.label_components(backend.to_device(values, device), labels, *shape, 1)
    open_to_floods = backend.to_device(np.ones(shape, bool), device)
    regions.watershed_flood(backend.to_device(image, device), labels, open_to_floods, floods, *shape, 1, 0)
    return [backend.to_numpy(a) for a in (labels, floods)]


@pytest.mark.parametrize("name", CASES)
def test_cases_hold_at_their_smallest(door, name):
    agree(name, SMALL, "emulated")


def test_regions_hold_at_their_smallest(door):
    for cpu, gpu in zip(labelled(1, "cpu"), labelled(1, "emulated"), strict=True):
        np.testing.assert_array_equal(gpu, cpu)


@pytest.fixture
def poisoned():
    """CuPy, with a pool whose free memory is all NaN, where there is a GPU."""
    if not nx.cuda.is_available():
        text = "needs a GPU"
        pytest.fail(text) if os.environ.get("NEURENIX_REQUIRE_GPU") else pytest.skip(text)
    import cupy

    free, _ = nx.cuda.mem_get_info()
    block = cupy.full(min(free // 4, 4 << 30), 0xFF, np.uint8)
    del block
    return cupy


@pytest.mark.gpu
@pytest.mark.parametrize("name", CASES)
def test_a_gpu_agrees_on_small_maps(poisoned, name):
    agree(name, SMALL, "cuda")


@pytest.mark.gpu
@pytest.mark.parametrize("size", [5, LARGE])
@pytest.mark.parametrize("name", CASES)
def test_a_gpu_agrees_with_the_cpu(poisoned, name, size):
    agree(name, size, "cuda")


@pytest.mark.gpu
@pytest.mark.parametrize("name", CASES)
def test_a_gpu_gives_the_same_bits_again(poisoned, name):
    first = outcome(name, LARGE, "cuda")
    with poisoned.cuda.Stream(non_blocking=True):
        second = outcome(name, LARGE, "cuda")
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.gpu
def test_regions_of_a_gpu(poisoned):
    for size in (1, 20):
        for cpu, gpu in zip(labelled(size, "cpu"), labelled(size, "cuda"), strict=True):
            np.testing.assert_array_equal(gpu, cpu)


@pytest.mark.gpu
def test_an_array_of_more_than_two_to_the_31_elements(poisoned):
    n = 2**31 + 1000
    if nx.cuda.mem_get_info()[0] < 3 * n:
        pytest.skip("needs 7 GB of GPU memory")
    x = poisoned.zeros(n, np.uint8)
    x[-3:] = 1
    y = nx.Tensor._wrap(x) + nx.Tensor._wrap(x)
    assert y._array[-4:].get().tolist() == [0, 2, 2, 2]


@pytest.mark.gpu
def test_small_cases_under_compute_sanitizer(poisoned):
    tool = shutil.which("compute-sanitizer")
    if tool is None or os.environ.get("NEURENIX_SANITIZED"):
        pytest.skip("needs compute-sanitizer, which comes with the CUDA toolkit")
    here = Path(__file__)
    for check in ("memcheck", "racecheck", "initcheck"):
        command = [
            tool,
            "--tool",
            check,
            "--error-exitcode",
            "9",
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-m",
            "gpu",
            "-k",
            "on_small_maps",
            str(here),
        ]
        environment = os.environ | {"NEURENIX_SANITIZED": "1", "CUPY_CUDA_MEMORY_POOL_LIMIT": "0"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=here.parents[2], check=False, timeout=1800)
        assert done.returncode == 0, f"{check}: {done.stdout[-4000:]}{done.stderr[-2000:]}"
