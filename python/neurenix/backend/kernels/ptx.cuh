// ptx.cuh - instructions that CUDA C++ has no word for: each one function, its model for the emulator beside it.
// No other file holds inline PTX. They need sm_80; NX_TENSOR_CORES says that they are there.
#pragma once
#include "common.cuh"

typedef unsigned uint32;

#if defined(NX_EMU) ? __CUDA_ARCH__ >= 800 : defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#define NX_TENSOR_CORES 1

// An instruction: its model, its text and operands. VALUE says that it does nothing but compute its result.
#ifdef NX_EMU
#define PTX(model, ...) { model; }
#define VALUE(model, ...) { model; }
#else
#define PTX(model, ...) { asm volatile(__VA_ARGS__); }
#define VALUE(model, ...) { asm(__VA_ARGS__); }
#endif

// An address in shared memory as instructions take it.
#define SHARED(place) "r"((unsigned)__cvta_generic_to_shared(place))
#define D4(d) "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
#define A4(a) "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3])

// d += a b of a warp, 16 x k times k x 8. Lane l of g = l / 4, t = l % 4 holds d: (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1).
// k = 8, a: (g, t), (g + 8, t), (g, t + 4), (g + 8, t + 4), b: (t, g), (t + 4, g).
__device__ __forceinline__ void mma_tf32(float (&d)[4], const uint32 (&a)[4], const uint32 (&b)[2])
    VALUE(emu_mma_tf32(d, a, b, d, __LINE__), "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : D4(d) : A4(a), "r"(b[0]), "r"(b[1]))
// k = 16, two values a register: a: (g, 2t), (g + 8, 2t), (g, 2t + 8), (g + 8, 2t + 8), b: (2t, g), (2t + 8, g), and the next along k.
__device__ __forceinline__ void mma_f16(float (&d)[4], const uint32 (&a)[4], const uint32 (&b)[2])
    VALUE(emu_mma_f16(d, a, b, d, __LINE__), "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : D4(d) : A4(a), "r"(b[0]), "r"(b[1]))
__device__ __forceinline__ void mma_bf16(float (&d)[4], const uint32 (&a)[4], const uint32 (&b)[2])
    VALUE(emu_mma_bf16(d, a, b, d, __LINE__), "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : D4(d) : A4(a), "r"(b[0]), "r"(b[1]))

// Four 8 x 8 matrices of halves (8 x 4 of floats); lanes 8m .. 8m + 7 give the addresses of the rows of the m-th, 16 bytes each.
__device__ __forceinline__ void ldmatrix_x4(uint32 (&r)[4], const void* row)
    PTX(emu_ldmatrix(r, row, 4, false, __LINE__), "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
        : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : SHARED(row) : "memory")
// The same, each matrix of halves transposed.
__device__ __forceinline__ void ldmatrix_x4_trans(uint32 (&r)[4], const void* row)
    PTX(emu_ldmatrix(r, row, 4, true, __LINE__), "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
        : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : SHARED(row) : "memory")

// Copies to shared memory that go on in the background; zeros where there is nothing to copy. 16 aligned bytes, or 4.
__device__ __forceinline__ void cp_async16(void* to, const void* from, bool valid)
    PTX(emu::cp_async(to, from, 16, valid ? 16 : 0), "cp.async.cg.shared.global [%0], [%1], 16, %2;"
        :: SHARED(to), "l"(from), "r"(valid ? 16 : 0) : "memory")
__device__ __forceinline__ void cp_async4(void* to, const void* from, bool valid)
    PTX(emu::cp_async(to, from, 4, valid ? 4 : 0), "cp.async.ca.shared.global [%0], [%1], 4, %2;"
        :: SHARED(to), "l"(from), "r"(valid ? 4 : 0) : "memory")
// A thread's copies since the last commit are one group; wait until all but the last `pending` groups have arrived.
__device__ __forceinline__ void cp_async_commit() PTX(emu::cp_async_commit(), "cp.async.commit_group;" ::: "memory")
template <int pending> __device__ __forceinline__ void cp_async_wait()
    PTX(emu::cp_async_wait(pending), "cp.async.wait_group %0;" :: "n"(pending) : "memory")

// The nearest number with 10 bits of fraction (TF32), halves away from zero.
__device__ __forceinline__ void round_tf32(uint32& r, float x) VALUE(r = emu_cvt_tf32(x), "cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(x))
// The nearest half of either kind, halves to even.
__device__ __forceinline__ void round_f16(unsigned short& r, float x)
    VALUE(r = emu_bits<unsigned short>(__half(x)), "cvt.rn.f16.f32 %0, %1;" : "=h"(r) : "f"(x))
__device__ __forceinline__ void round_bf16(unsigned short& r, float x)
    VALUE(r = emu_bits<unsigned short>(__nv_bfloat16(x)), "cvt.rn.bf16.f32 %0, %1;" : "=h"(r) : "f"(x))
// Two of them, the first in the low bits.
__device__ __forceinline__ void round_pair_f16(uint32& r, float x, float y)
    VALUE(r = emu_bits<unsigned short>(__half(x)) | (uint32)emu_bits<unsigned short>(__half(y)) << 16, "cvt.rn.f16x2.f32 %0, %2, %1;"
        : "=r"(r) : "f"(x), "f"(y))
__device__ __forceinline__ void round_pair_bf16(uint32& r, float x, float y)
    VALUE(r = emu_bits<unsigned short>(__nv_bfloat16(x)) | (uint32)emu_bits<unsigned short>(__nv_bfloat16(y)) << 16, "cvt.rn.bf16x2.f32 %0, %2, %1;"
        : "=r"(r) : "f"(x), "f"(y))
#endif
