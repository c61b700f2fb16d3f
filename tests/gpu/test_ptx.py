"""The models of the instructions in ptx.cuh against what the PTX manual says of them: register layouts, rounding, waiting.

An error that a kernel and the model of an instruction have in common would cancel out elsewhere; here the layouts are written
down again, from "Matrix multiply-accumulate operation using mma instruction" and "ldmatrix" of the PTX ISA.
"""

import numpy as np
import pytest
from gpu import emulated
from gpu.emulated import EmulatedModule, EmulatorError

from neurenix.backend import sources

SOURCE = """
#define MMA(name) extern "C" __global__ void __launch_bounds__(32) k_##name(const uint32* a, const uint32* b, float* d) { \\
    float c[4]; uint32 left[4], right[2]; \\
    for (int i = 0; i < 4; i++) c[i] = d[4 * threadIdx.x + i], left[i] = a[4 * threadIdx.x + i]; \\
    for (int i = 0; i < 2; i++) right[i] = b[2 * threadIdx.x + i]; \\
    name(c, left, right); for (int i = 0; i < 4; i++) d[4 * threadIdx.x + i] = c[i]; }
MMA(mma_tf32) MMA(mma_f16) MMA(mma_bf16)
#define LDMATRIX(name) extern "C" __global__ void __launch_bounds__(32) k_##name(const unsigned short* x, uint32* r) { \\
    __shared__ __align__(16) unsigned short s[256]; for (int i = threadIdx.x; i < 256; i += 32) s[i] = x[i]; __syncwarp(); \\
    uint32 t[4]; name(t, s + 8 * threadIdx.x); for (int i = 0; i < 4; i++) r[4 * threadIdx.x + i] = t[i]; }
LDMATRIX(ldmatrix_x4) LDMATRIX(ldmatrix_x4_trans)
extern "C" __global__ void __launch_bounds__(32) k_round(const float* x, uint32* tf32, unsigned short* f16, unsigned short* bf16) {
    round_tf32(tf32[threadIdx.x], x[threadIdx.x]); round_f16(f16[threadIdx.x], x[threadIdx.x]); round_bf16(bf16[threadIdx.x], x[threadIdx.x]); }
extern "C" __global__ void __launch_bounds__(32) k_copy(const float* x, float* y, int pending, int valid) {
    __shared__ __align__(16) float s[2][128];
    for (int i = 0; i < 2; i++) { cp_async16(s[i] + 4 * threadIdx.x, x + 128 * i + 4 * threadIdx.x, (int)threadIdx.x < valid); cp_async_commit(); }
    if (pending) cp_async_wait<1>(); else cp_async_wait<0>();
    for (int i = 0; i < 4; i++) y[4 * threadIdx.x + i] = s[0][4 * threadIdx.x + i], y[128 + 4 * threadIdx.x + i] = s[1][4 * threadIdx.x + i]; }
extern "C" __global__ void __launch_bounds__(32) k_astray(const float* x, float* y) {
    __shared__ __align__(16) float s[136]; cp_async16(s + 4 * threadIdx.x, x + 1, true); cp_async_commit(); cp_async_wait<0>(); y[threadIdx.x] = s[threadIdx.x]; }
"""
LANES = [(lane // 4, lane % 4) for lane in range(32)]


@pytest.fixture(scope="module")
def kernel():
    emulated.require()
    head = "#define NX_FLOATS 1\n#define NX_ELEMENT float\n#define NX_NAME(row) row\n"
    return EmulatedModule(head + sources._pasted("ptx.cuh", set()) + SOURCE).get_function


def registers(values, kind):
    """Pairs (for halves) or single values as 32-bit registers."""
    values = np.ascontiguousarray(values, "f4")
    if kind == "tf32":
        return values.view("u4")
    halves = (values.view("u4") >> 16).astype("u2") if kind == "bf16" else values.astype("f2").view("u2")
    return np.ascontiguousarray(halves).view("u4")


def fragments(a, b, kind):
    """What the lanes hold of a (16, k) and a (k, 8) matrix."""
    if kind == "tf32":
        left = [[a[g, t], a[g + 8, t], a[g, t + 4], a[g + 8, t + 4]] for g, t in LANES]
        right = [[b[t, g], b[t + 4, g]] for g, t in LANES]
    else:
        places = [(0, 0), (8, 0), (0, 8), (8, 8)]
        left = [[a[g + r, 2 * t + c + i] for r, c in places for i in (0, 1)] for g, t in LANES]
        right = [[b[2 * t + c + i, g] for c in (0, 8) for i in (0, 1)] for g, t in LANES]
    return registers(left, kind), registers(right, kind)


@pytest.mark.parametrize("kind", ["tf32", "f16", "bf16"])
def test_products_and_their_layouts(kernel, kind):
    rng, k = np.random.default_rng(1), 8 if kind == "tf32" else 16
    a, b, c = (rng.integers(-8, 9, shape).astype("f4") for shape in ((16, k), (k, 8), (16, 8)))  # exact in all types
    left, right = fragments(a, b, kind)
    d = np.array([[c[g, 2 * t], c[g, 2 * t + 1], c[g + 8, 2 * t], c[g + 8, 2 * t + 1]] for g, t in LANES], "f4")
    kernel(f"k_mma_{kind}")((1,), (32,), (left, right, d))
    found = np.zeros((16, 8))
    for (g, t), values in zip(LANES, d, strict=True):
        found[g, 2 * t : 2 * t + 2], found[g + 8, 2 * t : 2 * t + 2] = values[:2], values[2:]
    np.testing.assert_array_equal(found, a @ b + c)


def test_sums_of_a_tensor_core_are_cut_off_towards_zero(kernel):
    a, b = np.zeros((16, 8), "f4"), np.zeros((8, 8), "f4")
    a[0, 0], a[0, 1], b[0, 0], b[1, 0] = 1.0, 2.0**-12, 1.0, 1.75 * 2.0**-12  # 1 + 1.75 * 2^-24
    left, right = fragments(a, b, "tf32")
    d = np.zeros((32, 4), "f4")
    kernel("k_mma_tf32")((1,), (32,), (left, right, d))
    assert d[0, 0] == 1.0  # to the nearest it would be 1 + 2^-23


def test_matrices_from_shared_memory(kernel):
    x = np.arange(256, dtype="u2")
    rows = x.reshape(4, 8, 8)  # matrix, row, column
    for name, matrices in (("k_ldmatrix_x4", rows), ("k_ldmatrix_x4_trans", rows.transpose(0, 2, 1))):
        r = np.zeros((32, 4), "u4")
        kernel(name)((1,), (32,), (x, r))
        expected = [[matrices[m, g, 2 * t : 2 * t + 2] for m in range(4)] for g, t in LANES]
        np.testing.assert_array_equal(r.view("u2").reshape(32, 4, 2), expected)


def test_rounding(kernel):
    x = np.array([1.0, -1.0, 1 + 2.0**-11, 1 + 2.0**-12, -1 - 2.0**-11, 3.4e38, np.inf, np.nan, 0, 1e-3, 65519, 65520] + [0.1] * 20, "f4")
    tf32, f16, bf16 = np.zeros(32, "u4"), np.zeros(32, "u2"), np.zeros(32, "u2")
    kernel("k_round")((1,), (32,), (x, tf32, f16, bf16))
    assert tf32.view("f4")[[0, 1, 2, 3, 4]].tolist() == [1, -1, 1 + 2.0**-10, 1, -1 - 2.0**-10]  # halves away from zero
    assert np.isinf(tf32.view("f4")[6])
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(f16.view("f2"), x.astype("f2"))
    exact = (bf16.astype("u4") << 16).view("f4")
    assert (np.abs(exact[:5] - x[:5]) <= np.abs(x[:5]) * 2.0**-8).all()
    assert np.isnan(exact[7])


def test_copies_arrive_when_they_are_waited_for(kernel):
    x, y = np.arange(256, dtype="f4"), np.zeros(256, "f4")
    kernel("k_copy")((1,), (32,), (x, y, np.int32(0), np.int32(32)))
    np.testing.assert_array_equal(y, x)
    kernel("k_copy")((1,), (32,), (x, y, np.int32(1), np.int32(32)))
    assert np.isnan(y[128:]).all()  # the second group is still on its way
    kernel("k_copy")((1,), (32,), (x, y, np.int32(0), np.int32(8)))
    np.testing.assert_array_equal(y[32:128], 0)
    with pytest.raises(EmulatorError, match="not aligned"):
        kernel("k_astray")((1,), (32,), (x, y))
