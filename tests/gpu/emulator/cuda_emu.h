// cuda_emu.h - run CUDA C++ kernels on one CPU thread, for tests.
// Force-included (g++ -include) in front of an unchanged .cu file. Every CUDA thread is a fiber; it runs until it blocks
// (barrier, warp operation) or ends. The scheduler is cuda_emu_rt.inc, the Python side module.py.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <csetjmp>
#include <csignal>
#include <type_traits>
#include <utility>
#include <vector>
#include <algorithm>
#include <sys/mman.h>
#if !defined(__x86_64__) || defined(EMU_UCONTEXT)
#include <ucontext.h>
#endif

// ---------------------------------------------------------------- language
#define NX_EMU 1
#ifndef __CUDA_ARCH__
#define __CUDA_ARCH__ 900
#endif
#ifndef EMU_SCAN  // left alone while the host scans the source for kernels
#define __global__ __attribute__((used, noinline))
#define __launch_bounds__(...)
#endif
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __constant__
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ static __attribute__((section("emu_shared")))
// dynamic shared memory: write NX_DYN_SHARED(float, smem) instead of
// `extern __shared__ float smem[];`
#define NX_DYN_SHARED(T, name) T* name = reinterpret_cast<T*>(emu::dyn_shared)

struct dim3 { unsigned x, y, z; constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {} };
typedef unsigned int uint; typedef unsigned char uchar; typedef unsigned short ushort;

namespace emu {
enum State : uint8_t { READY, WAITING, DONE };
struct WarpOp { unsigned mask, arrived; uint64_t gen; alignas(16) uint8_t slot[2][32][64]; };
struct Async { void* dst; uint8_t data[16]; int n; const void* src; int srcn; };
struct Fiber {
    void* sp = nullptr; char* stack = nullptr; dim3 tid; int lin = 0; State st = READY;
    const char* why = ""; int line = 0;
    std::vector<std::vector<Async>> groups; std::vector<Async> open;  // cp.async
#if !defined(__x86_64__) || defined(EMU_UCONTEXT)
    ucontext_t ctx;
#endif
};
struct Bar { int arrived, line; };
extern Fiber* cur;
extern dim3 block_idx, block_dim, grid_dim;
extern char* dyn_shared;
extern int n_threads, n_live;
void wait_here(const char* why, int line);
void barrier(int id, int count, int line);
int barrier_red(int v, int op, int line);
// all lanes named in mask give n bytes; returns the 32 slots
typedef uint8_t Slots[32][64];
Slots& exchange(unsigned mask, const void* v, int n, const char* what, int line);
[[noreturn]] void fail(const char* fmt, ...);
inline int lane() { return cur->lin & 31; }
template <class T> inline T shfl(unsigned mask, T v, int src, int line, const char* what) {
    static_assert(sizeof(T) <= 16, "shuffle type");
    Slots& s = exchange(mask, &v, sizeof(T), what, line);
    if (!((mask >> (src & 31)) & 1)) fail("%s (line %d) reads lane %d, not in mask %08x", what, line, src & 31, mask);
    T r; memcpy(&r, s[src & 31], sizeof(T)); return r;
}
}  // namespace emu

#define threadIdx (emu::cur->tid)
#define blockIdx (emu::block_idx)
#define blockDim (emu::block_dim)
#define gridDim (emu::grid_dim)
static constexpr int warpSize = 32;

// ---------------------------------------------------------------- sync
#define __syncthreads() emu::barrier(0, emu::n_threads, __LINE__)
#define __syncthreads_count(p) emu::barrier_red((p) != 0, 0, __LINE__)
#define __syncthreads_or(p) (emu::barrier_red((p) != 0, 0, __LINE__) != 0)
#define __syncthreads_and(p) (emu::barrier_red((p) == 0, 0, __LINE__) == 0)
#define __syncwarp(...) (emu::exchange(emu_mask(__VA_ARGS__), "", 0, "__syncwarp", __LINE__), (void)0)
inline unsigned emu_mask(unsigned m = 0xffffffffu) { return m; }
inline void __threadfence() {} inline void __threadfence_block() {} inline void __threadfence_system() {}
inline void __nanosleep(unsigned) {}
inline long long clock64() { static long long t; return t += 100; }

#define __shfl_sync(m, v, s, ...) emu_shfl((m), (v), (s), __LINE__, ##__VA_ARGS__)
#define __shfl_down_sync(m, v, d, ...) emu_shfl_down((m), (v), (d), __LINE__, ##__VA_ARGS__)
#define __shfl_up_sync(m, v, d, ...) emu_shfl_up((m), (v), (d), __LINE__, ##__VA_ARGS__)
#define __shfl_xor_sync(m, v, d, ...) emu_shfl_xor((m), (v), (d), __LINE__, ##__VA_ARGS__)
template <class T> T emu_shfl(unsigned m, T v, int s, int ln, int w = 32) {
    int l = emu::lane(), base = l & ~(w - 1); return emu::shfl(m, v, base + (s & (w - 1)), ln, "__shfl_sync"); }
template <class T> T emu_shfl_down(unsigned m, T v, unsigned d, int ln, int w = 32) {
    int l = emu::lane(), t = l + (int)d; return emu::shfl(m, v, t > (l | (w - 1)) ? l : t, ln, "__shfl_down_sync"); }
template <class T> T emu_shfl_up(unsigned m, T v, unsigned d, int ln, int w = 32) {
    int l = emu::lane(), t = l - (int)d; return emu::shfl(m, v, t < (l & ~(w - 1)) ? l : t, ln, "__shfl_up_sync"); }
template <class T> T emu_shfl_xor(unsigned m, T v, int x, int ln, int w = 32) {
    int l = emu::lane(), t = l ^ x; return emu::shfl(m, v, t > (l | (w - 1)) ? l : t, ln, "__shfl_xor_sync"); }
inline unsigned emu_ballot(unsigned m, int p, int ln) {
    int v = p != 0; emu::Slots& s = emu::exchange(m, &v, 4, "__ballot_sync", ln);
    unsigned r = 0; for (int i = 0; i < 32; i++) if (m >> i & 1) { int t; memcpy(&t, s[i], 4); r |= (unsigned)t << i; } return r; }
#define __ballot_sync(m, p) emu_ballot((m), (p), __LINE__)
#define __any_sync(m, p) (emu_ballot((m), (p), __LINE__) != 0)
#define __all_sync(m, p) (emu_ballot((m), (p), __LINE__) == (m))
template <class T, class F> T emu_redux(unsigned m, T v, int ln, F f) {
    emu::Slots& s = emu::exchange(m, &v, sizeof v, "__reduce_sync", ln); bool first = true; T r{};
    for (int i = 0; i < 32; i++) if (m >> i & 1) { T t; memcpy(&t, s[i], sizeof t); r = first ? t : f(r, t); first = false; } return r; }
#define __reduce_add_sync(m, v) emu_redux((m), (v), __LINE__, [](auto a, auto b) { return a + b; })
#define __reduce_max_sync(m, v) emu_redux((m), (v), __LINE__, [](auto a, auto b) { return a > b ? a : b; })
#define __reduce_min_sync(m, v) emu_redux((m), (v), __LINE__, [](auto a, auto b) { return a < b ? a : b; })

// ---------------------------------------------------------------- vectors
#define EMU_VEC(T, N, A)                                                                      \
    struct alignas(A * 2) N##2 { T x, y; }; struct N##3 { T x, y, z; };                       \
    struct alignas(A * 4 > 16 ? 16 : A * 4) N##4 { T x, y, z, w; };                           \
    inline N##2 make_##N##2(T a, T b) { return {a, b}; }                                      \
    inline N##3 make_##N##3(T a, T b, T c) { return {a, b, c}; }                              \
    inline N##4 make_##N##4(T a, T b, T c, T d) { return {a, b, c, d}; }
EMU_VEC(float, float, 4) EMU_VEC(int, int, 4) EMU_VEC(unsigned, uint, 4) EMU_VEC(double, double, 8)
EMU_VEC(short, short, 2) EMU_VEC(unsigned short, ushort, 2) EMU_VEC(signed char, char, 1) EMU_VEC(unsigned char, uchar, 1)
EMU_VEC(long long, longlong, 8)

// ---------------------------------------------------------------- atomics
template <class T, class U> T atomicAdd(T* p, U v) { T o = *p; *p = (T)(o + (T)v); return o; }
template <class T, class U> T atomicSub(T* p, U v) { T o = *p; *p = (T)(o - (T)v); return o; }
template <class T, class U> T atomicMax(T* p, U v) { T o = *p; if ((T)v > o) *p = (T)v; return o; }
template <class T, class U> T atomicMin(T* p, U v) { T o = *p; if ((T)v < o) *p = (T)v; return o; }
template <class T, class U> T atomicExch(T* p, U v) { T o = *p; *p = (T)v; return o; }
template <class T, class U> T atomicOr(T* p, U v) { T o = *p; *p = o | (T)v; return o; }
template <class T, class U> T atomicAnd(T* p, U v) { T o = *p; *p = o & (T)v; return o; }
template <class T, class U, class W> T atomicCAS(T* p, U c, W v) { T o = *p; if (o == (T)c) *p = (T)v; return o; }
inline unsigned atomicInc(unsigned* p, unsigned v) { unsigned o = *p; *p = o >= v ? 0 : o + 1; return o; }

// ---------------------------------------------------------------- intrinsics
template <class T> T __ldg(const T* p) { return *p; }
template <class T> T __ldcs(const T* p) { return *p; }
template <class T> void __stcs(T* p, T v) { *p = v; }
template <class A, class B> inline std::common_type_t<A, B> min(A a, B b) { using C = std::common_type_t<A, B>; return (C)a < (C)b ? (C)a : (C)b; }
template <class A, class B> inline std::common_type_t<A, B> max(A a, B b) { using C = std::common_type_t<A, B>; return (C)a > (C)b ? (C)a : (C)b; }
template <class D, class S> D emu_bits(S s) { static_assert(sizeof(D) == sizeof(S)); D d; memcpy(&d, &s, sizeof d); return d; }
inline unsigned __float_as_uint(float f) { return emu_bits<unsigned>(f); }
inline int __float_as_int(float f) { return emu_bits<int>(f); }
inline float __uint_as_float(unsigned u) { return emu_bits<float>(u); }
inline float __int_as_float(int u) { return emu_bits<float>(u); }
inline double __longlong_as_double(long long v) { return emu_bits<double>(v); }
inline long long __double_as_longlong(double d) { return emu_bits<long long>(d); }
inline int __popc(unsigned v) { return __builtin_popcount(v); }
inline int __clz(int v) { return v ? __builtin_clz((unsigned)v) : 32; }
inline int __ffs(int v) { return __builtin_ffs(v); }
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)(((uint64_t)a * b) >> 32); }
inline int __mulhi(int a, int b) { return (int)(((int64_t)a * b) >> 32); }
inline float __expf(float x) { return expf(x); } inline float __logf(float x) { return logf(x); }
inline float __powf(float x, float y) { return powf(x, y); } inline float __tanhf(float x) { return tanhf(x); }
inline float __sinf(float x) { return sinf(x); } inline float __cosf(float x) { return cosf(x); }
inline float __fdividef(float a, float b) { return a / b; } inline float __frcp_rn(float a) { return 1.0f / a; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }
inline float __fadd_rn(float a, float b) { return a + b; } inline float __fmul_rn(float a, float b) { return a * b; }
inline float __saturatef(float x) { return x < 0 ? 0 : x > 1 ? 1 : x; }
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); } inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float __frsqrt_rn(float x) { return rsqrtf(x); } inline float exp10f_(float x) { return powf(10.f, x); }
inline float normcdff(float x) { return 0.5f * erfcf(-x * 0.70710678f); }
inline unsigned __activemask() { return 0xffffffffu; }
inline int __float2int_rn(float x) { return (int)rintf(x); } inline int __float2int_rd(float x) { return (int)floorf(x); }
inline float __int2float_rn(int x) { return (float)x; }
inline size_t __cvta_generic_to_shared(const void* p) { return (size_t)p; }

// ---------------------------------------------------------------- half types
struct __half {  // stored as binary16; arithmetic in float, one rounding: what HADD/HMUL give
    _Float16 h; __half() = default; __half(float f) : h((_Float16)f) {} operator float() const { return (float)h; } };
struct __nv_bfloat16 {
    uint16_t u; __nv_bfloat16() = default;
    __nv_bfloat16(float f) { uint32_t b = emu_bits<uint32_t>(f); u = (b & 0x7fffffffu) > 0x7f800000u ? 0x7fff : (uint16_t)((b + 0x7fffu + ((b >> 16) & 1)) >> 16); }
    operator float() const { return __uint_as_float((unsigned)u << 16); } };
typedef __half half; typedef __nv_bfloat16 nv_bfloat16;
#define EMU_HALF(T, T2, h)                                                                                              \
    struct alignas(4) T2 { T x, y; };                                                                                   \
    inline T operator+(T a, T b) { return T((float)a + (float)b); } inline T operator-(T a, T b) { return T((float)a - (float)b); } \
    inline T operator*(T a, T b) { return T((float)a * (float)b); } inline T operator/(T a, T b) { return T((float)a / (float)b); } \
    inline T& operator+=(T& a, T b) { return a = a + b; } inline T operator-(T a) { return T(-(float)a); }             \
    inline bool operator<(T a, T b) { return (float)a < (float)b; } inline bool operator>(T a, T b) { return (float)a > (float)b; } \
    inline bool operator==(T a, T b) { return (float)a == (float)b; }                                                   \
    inline T __##h##add(T a, T b) { return a + b; } inline T __##h##mul(T a, T b) { return a * b; }                     \
    inline T2 __##h##add2(T2 a, T2 b) { return {a.x + b.x, a.y + b.y}; } inline T2 __##h##mul2(T2 a, T2 b) { return {a.x * b.x, a.y * b.y}; }
EMU_HALF(__half, __half2, h) EMU_HALF(__nv_bfloat16, __nv_bfloat162, b)
typedef __half2 half2;
inline float __half2float(__half h) { return h; } inline __half __float2half(float f) { return __half(f); }
inline __half __float2half_rn(float f) { return __half(f); }
inline float __bfloat162float(__nv_bfloat16 h) { return h; } inline __nv_bfloat16 __float2bfloat16(float f) { return __nv_bfloat16(f); }
inline __nv_bfloat16 __float2bfloat16_rn(float f) { return __nv_bfloat16(f); }
inline __half2 __floats2half2_rn(float a, float b) { return {__half(a), __half(b)}; }
inline float2 __half22float2(__half2 h) { return {(float)h.x, (float)h.y}; }
inline __nv_bfloat162 __floats2bfloat162_rn(float a, float b) { return {__nv_bfloat16(a), __nv_bfloat16(b)}; }
inline float2 __bfloat1622float2(__nv_bfloat162 h) { return {(float)h.x, (float)h.y}; }

// ---------------------------------------------------------------- tensor cores, cp.async
// Models of what ptx.cuh writes as inline PTX on the device.
namespace emu {
inline float tf32(uint32_t b) { return __uint_as_float(b & 0xffffe000u); }  // the unit reads 19 bits
// A tensor core's sum of exact products: all are cut off 24 bits below the largest, and so is the result, towards zero. The cards
// that were studied keep up to three bits more (Fasi, Higham, Mikaitis and Pranesh, "Numerical behavior of NVIDIA tensor cores", 2021).
inline float sum_cut_off(const double* terms, int n) {
    double largest = 0, plain = 0;
    for (int i = 0; i < n; i++) { plain += terms[i]; double a = fabs(terms[i]); if (!(a <= largest)) largest = a; }
    if (largest == 0 || !std::isfinite(largest)) return (float)plain;
    int e = (int)(emu_bits<uint64_t>(largest) >> 52) - 1022;  // largest < 2^e
    auto power = [](int k) { return emu_bits<double>((uint64_t)(1023 + k) << 52); };
    double scale = power(24 - e); long long sum = 0; int shift = 0;
    for (int i = 0; i < n; i++) sum += (long long)(terms[i] * scale);
    for (; sum >= 1 << 24 || sum <= -(1 << 24); shift++) sum /= 2;
    return (float)((double)sum * power(e - 24 + shift));
}
// D(16xN8) = A(16xK)*B(Kx8)+C, float accumulate.  GET(reg, half) -> float.
template <int K, int PER, class DEC>
inline void mma_16x8(float* d, const uint32_t* a, const uint32_t* b, const float* c, DEC dec, int line) {
    constexpr int NA = K * PER == 0 ? 0 : (16 * K / 32) / PER, NB = (8 * K / 32) / PER;  // registers a lane
    struct Frag { uint32_t a[4], b[2]; float c[4]; } f{};
    static_assert(sizeof(Frag) <= 64 && NA <= 4 && NB <= 2);
    memcpy(f.a, a, 4 * NA); memcpy(f.b, b, 4 * NB); memcpy(f.c, c, 16);
    Slots& s = exchange(0xffffffffu, &f, sizeof f, "mma.sync", line);
    auto fr = [&](int l) { return reinterpret_cast<const Frag*>(s[l]); };
    int g = lane() >> 2, t = lane() & 3; float r[4];
    for (int i = 0; i < 4; i++) {
        int row = g + (i >= 2 ? 8 : 0), col = 2 * t + (i & 1); double terms[K / 2 + 1];
        r[i] = c[i];
        for (int k = 0; k < K; k++) {  // half an instruction's depth is one sum
            // A: register order (row g, k lo) (row g+8, k lo) (row g, k hi) (row g+8, k hi); PER packed values a register
            int kin = k % (4 * PER), kh = k / (4 * PER);
            float av = dec(fr((row & 7) * 4 + kin / PER)->a[(row >> 3) + 2 * kh], kin % PER);
            float bv = dec(fr(col * 4 + kin / PER)->b[kh], kin % PER);
            terms[k % (K / 2)] = (double)av * (double)bv;
            if (k % (K / 2) == K / 2 - 1) { terms[K / 2] = r[i]; r[i] = sum_cut_off(terms, K / 2 + 1); }
        }
    }
    memcpy(d, r, 16);
}
void cp_async(void* dst, const void* src, int n, int srcn);
void cp_async_commit();
void cp_async_wait(int n);
}  // namespace emu
inline void emu_mma_tf32(float* d, const uint32_t* a, const uint32_t* b, const float* c, int line) {
    emu::mma_16x8<8, 1>(d, a, b, c, [](uint32_t r, int) { return emu::tf32(r); }, line); }
inline void emu_mma_bf16(float* d, const uint32_t* a, const uint32_t* b, const float* c, int line) {
    emu::mma_16x8<16, 2>(d, a, b, c, [](uint32_t r, int h) { return __uint_as_float((h ? r >> 16 : r & 0xffffu) << 16); }, line); }
inline void emu_mma_f16(float* d, const uint32_t* a, const uint32_t* b, const float* c, int line) {
    emu::mma_16x8<16, 2>(d, a, b, c, [](uint32_t r, int h) { return (float)emu_bits<_Float16>((uint16_t)(h ? r >> 16 : r & 0xffffu)); }, line); }
inline void emu_ldmatrix(uint32_t* r, const void* row, int n, bool trans, int line) {
    if ((size_t)row & 15) emu::fail("ldmatrix (line %d): row address not 16-byte aligned", line);
    emu::Slots& s = emu::exchange(0xffffffffu, &row, sizeof row, "ldmatrix", line);
    int l = emu::lane();
    for (int m = 0; m < n; m++) {
        uint16_t v[2];
        for (int h = 0; h < 2; h++) {
            int i = trans ? 2 * (l & 3) + h : l >> 2, j = trans ? l >> 2 : 2 * (l & 3) + h;
            const uint16_t* p; memcpy(&p, s[8 * m + i], sizeof p); v[h] = p[j];
        }
        r[m] = v[0] | (uint32_t)v[1] << 16;
    }
}
inline uint32_t emu_cvt_tf32(float f) {  // cvt.rna.tf32.f32
    uint32_t b = __float_as_uint(f); if ((b & 0x7f800000u) == 0x7f800000u) return b; return (b + 0x1000u) & 0xffffe000u; }

// ---------------------------------------------------------------- trampolines, called by emu.py
namespace emu {
template <class T> struct code { static void put(char* o) { sprintf(o, "%c%zu", std::is_floating_point_v<T> ? 'f' : std::is_integral_v<T> ? (std::is_signed_v<T> ? 'i' : 'u') : 's', sizeof(T)); } };
template <> struct code<void> { static void put(char* o) { strcpy(o, "v0"); } };
template <> struct code<__half> { static void put(char* o) { strcpy(o, "f2"); } };
template <class T> struct code<T*> { static void put(char* o) { *o = std::is_const_v<T> ? 'C' : 'P'; code<std::remove_cv_t<T>>::put(o + 1); } };
template <class... A> void sig(void (*)(A...), char* out) { *out = 0; ((code<std::remove_cv_t<A>>::put(out + strlen(out)), strcat(out, ",")), ...); }
template <class... A, size_t... I> void inv(void (*f)(A...), void** a, std::index_sequence<I...>) { f(*reinterpret_cast<std::remove_cv_t<std::remove_reference_t<A>>*>(a[I])...); }
template <class... A> void invoke(void (*f)(A...), void** a) { inv(f, a, std::index_sequence_for<A...>{}); }
}  // namespace emu
#define EMU_KERNEL(name)                                                          \
    extern "C" void emu_call_##name(void** a) { emu::invoke(&name, a); }          \
    extern "C" void emu_sig_##name(char* o) { emu::sig(&name, o); }
