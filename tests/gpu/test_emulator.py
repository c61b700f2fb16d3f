"""The emulator finds the faults it is there for: each is planted here once."""

import numpy as np
import pytest
from gpu import emulated
from gpu.emulated import EmulatedModule, EmulatorError

# One source, so that it is compiled once: a correct kernel and the faults.
SOURCE = """
#define KERNEL extern "C" __global__ void __launch_bounds__(1024)
KERNEL axpy(const float* x, float* y, float a, int n) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) y[i] = fmaf(a, x[i], y[i]);
}
KERNEL no_barrier(float* x) { __shared__ float s[64]; s[threadIdx.x] = x[threadIdx.x]; x[threadIdx.x] = s[63 - threadIdx.x]; }
KERNEL with_barrier(float* x) { __shared__ float s[64]; s[threadIdx.x] = x[threadIdx.x]; __syncthreads(); x[threadIdx.x] = s[63 - threadIdx.x]; }
KERNEL split_barrier(float* x) {
    if (threadIdx.x < 32) __syncthreads();
    else x[threadIdx.x] = __shfl_sync(0xffffffffu, x[threadIdx.x], 0);
    if (threadIdx.x >= 32)
        __syncthreads();
}
KERNEL half_warp(float* x) { if (threadIdx.x < 16) x[threadIdx.x] = __shfl_down_sync(0xffffffffu, x[threadIdx.x], 1); }
KERNEL behind(const float* x, float* y) { y[threadIdx.x] = x[threadIdx.x + 1]; }
KERNEL before(const float* x, float* y) { y[threadIdx.x] = x[(int)threadIdx.x - 1]; }
KERNEL writes_behind(float* y) { y[threadIdx.x + 1] = 1; }
KERNEL shared_bound(float* x) { __shared__ float s[32]; s[threadIdx.x + 1] = 0; __syncthreads(); x[threadIdx.x] = s[threadIdx.x]; }
KERNEL misaligned(float* x) { float4 v = *(float4*)(x + 1); x[0] = v.x; }
KERNEL unset_shared(float* x) { __shared__ float s[32]; if (threadIdx.x) s[threadIdx.x] = 1; __syncthreads(); x[threadIdx.x] = s[threadIdx.x]; }
KERNEL dynamic_shared(float* x, int n) { NX_DYN_SHARED(float, s); for (int i = threadIdx.x; i < n; i += blockDim.x) s[i] = x[i]; __syncthreads(); x[threadIdx.x] = s[0]; }
KERNEL leaves_last(float* y, int n) { if ((int)threadIdx.x < n - 1) y[threadIdx.x] = 1; }
KERNEL atomic_order(float* y) { atomicAdd(y, threadIdx.x == 0 ? 16777216.f : 1.f); }
"""
F = np.float32


@pytest.fixture(scope="module")
def kernel():
    emulated.require()
    return EmulatedModule(SOURCE).get_function


def test_a_correct_kernel_computes(kernel):
    x, y = np.arange(1000, dtype=F), np.ones(1000, F)
    kernel("axpy")((3,), (64,), (x, y, F(2), np.int32(1000)))
    np.testing.assert_array_equal(y, 2 * x + 1)


def test_strided_arrays_are_handed_over_as_they_lie(kernel):
    x = np.arange(8, dtype=F)
    kernel("axpy")((1,), (32,), (x[4:], x[:4], F(1), np.int32(4)))
    assert x.tolist() == [4, 6, 8, 10, 4, 5, 6, 7]


def test_a_missing_barrier_is_a_race(kernel):
    x = np.arange(64, dtype=F)
    kernel("with_barrier")((1,), (64,), (x,))
    assert x[0] == 63
    with pytest.raises(EmulatorError, match="race"):
        kernel("no_barrier")((1,), (64,), (np.arange(64, dtype=F),))


@pytest.mark.parametrize(
    ("name", "threads", "guard", "text"),
    [
        ("split_barrier", 64, "right", "while other threads"),
        ("half_warp", 32, "right", "deadlock.*__shfl_down_sync"),
        ("writes_behind", 1024, "right", "invalid memory access"),
        ("writes_behind", 1, "left", "wrote outside"),
        ("shared_bound", 32, "right", "undefined behaviour"),
        ("misaligned", 1, "right", "undefined behaviour"),
        ("atomic_order", 64, "right", "race"),
    ],
)
def test_planted_faults(kernel, name, threads, guard, text):
    with pytest.raises(EmulatorError, match=text):
        kernel(name)((1,), (threads,), (np.zeros(threads, F),), guard=guard)


@pytest.mark.parametrize(("name", "guard", "thread"), [("behind", "right", 1023), ("before", "left", 0)])
def test_reads_beyond_an_array(kernel, name, guard, thread):
    with pytest.raises(EmulatorError, match=rf"thread \({thread},0,0\).*invalid memory access"):
        kernel(name)((1,), (1024,), (np.zeros(1024, F), np.zeros(1024, F)), guard=guard)


def test_elements_never_written(kernel):
    with pytest.raises(EmulatorError, match="not written completely: element 7"):
        kernel("leaves_last")((1,), (32,), (np.zeros(8, F), np.int32(8)), poison=(0,))


def test_shared_memory_starts_as_nan(kernel):
    x = np.zeros(32, F)
    kernel("unset_shared")((1,), (32,), (x,))
    assert np.isnan(x[0])
    assert x[1] == 1


def test_too_little_dynamic_shared_memory(kernel):
    x = np.ones(70, F)
    kernel("dynamic_shared")((1,), (32,), (x, np.int32(70)), shared_mem=280)
    with pytest.raises(EmulatorError, match="invalid memory access"):
        kernel("dynamic_shared")((1,), (32,), (x, np.int32(70)), shared_mem=16)
    with pytest.raises(EmulatorError, match="max_dynamic_shared_size_bytes"):
        kernel("dynamic_shared")((1,), (32,), (x, np.int32(70)), shared_mem=50000)


def test_wrong_arguments(kernel):
    axpy, x, n = kernel("axpy"), np.ones(8, F), np.int32(8)
    with pytest.raises(EmulatorError, match="argument 2: kernel takes f4, CuPy would pass float64"):
        axpy((1,), (8,), (x, x, 2.0, n))
    with pytest.raises(EmulatorError, match="argument 3: kernel takes i4, CuPy would pass int64"):
        axpy((1,), (8,), (x, x, F(2), 8))
    with pytest.raises(EmulatorError, match=r"kernel takes f4\*, array is float64"):
        axpy((1,), (8,), (x.astype(float), x, F(2), n))
    with pytest.raises(EmulatorError, match="takes 4 arguments, got 3"):
        axpy((1,), (8,), (x, x, F(2)))
    with pytest.raises(EmulatorError, match="bad grid"):
        axpy((1, 70000), (8,), (x, x, F(2), n))
    with pytest.raises(EmulatorError, match="larger than its limit"):
        axpy((1,), (2048,), (x, x, F(2), n))
    with pytest.raises(EmulatorError, match="no kernel 'nothing'"):
        kernel("nothing")


def test_a_source_that_does_not_compile():
    emulated.require()
    with pytest.raises(EmulatorError, match="host compile failed"):
        EmulatedModule('extern "C" __global__ void k(float* x) { y[0] = 1; }')
