// common.cuh - what every kernel file includes: element types, strided views, loops over the grid.
// The library puts NX_NAME, NX_ELEMENT and one of NX_FLOATS, NX_INTEGERS, NX_HALF, NX_BYTES in front (backend/sources.py).
#pragma once

typedef long long int64;
typedef unsigned long long uint64;
struct half_bits { unsigned short bits; };  // a float16 as its bits; converted in software, so that no header is needed
typedef NX_ELEMENT element;

// Rows of the group "numbers" range over floats and integers, of "every" also over float16, of "wide" over floats and int64.
#if defined(NX_FLOATS) || defined(NX_INTEGERS)
#define NX_NUMBERS 1
#endif
#if defined(NX_NUMBERS) || defined(NX_HALF)
#define NX_EVERY 1
#endif
#if defined(NX_FLOATS) || defined(NX_INT64)
#define NX_WIDE 1
#endif

// A kernel of at most so many threads a block, with registers for so many blocks on a multiprocessor.
#define KERNEL_OF(threads, blocks) extern "C" __global__ void __launch_bounds__(threads, blocks)
#define KERNEL KERNEL_OF(256, 1)  // the 1: rather more registers than spills

// One position after the other for each thread: a loop over the grid.
#define EACH(i, count) \
    int64 i = (int64)blockIdx.x * blockDim.x + threadIdx.x; i < (count); i += (int64)gridDim.x * blockDim.x

// Four neighbours in memory, on a boundary of 16 bytes: one load where elements are that small.
struct alignas(16) Quad {
    element v[4];
};

// The geometry of a strided array; strides in elements.
struct View {
    int64 axes, size;
    int64 shape[16], strides[16];
};

// Where position `i`, counted in C order, is in a view.
__device__ __forceinline__ int64 at(const View& view, int64 i) {
    int64 offset = 0;
    if (view.size < 0x7fffffff) {  // the common case, with the cheaper division
        unsigned rest = (unsigned)i;
        for (int axis = (int)view.axes - 1; axis > 0; axis--) {
            unsigned n = (unsigned)view.shape[axis], outer = rest / n;
            offset += (int64)(rest - outer * n) * view.strides[axis];
            rest = outer;
        }
        return offset + (int64)rest * view.strides[0];
    }
    for (int axis = (int)view.axes - 1; axis > 0; axis--) {
        int64 outer = i / view.shape[axis];
        offset += (i - outer * view.shape[axis]) * view.strides[axis];
        i = outer;
    }
    return offset + i * view.strides[0];
}

// Where position `n` of (outer, h, w, inner) is, of `count` in all; below 2^31 with the cheaper division.
struct Spot {
    int64 o, i, j, c;
    __device__ __forceinline__ Spot(int64 n, int64 count, int64 h, int64 w, int64 inner) {
        if (count < 0x7fffffff) {
            const unsigned pixel = (unsigned)n / (unsigned)inner, row = pixel / (unsigned)w, map = row / (unsigned)h;
            o = map, i = row - map * (unsigned)h, j = pixel - row * (unsigned)w, c = (unsigned)n - pixel * (unsigned)inner;
        } else {
            const int64 pixel = n / inner, row = pixel / w;
            o = row / h, i = row - o * h, j = pixel - row * w, c = n - pixel * inner;
        }
    }
};

// What the compiler must know of the element types; the device compiler has no <type_traits> or <limits>.
template <typename T> struct Traits { static constexpr bool is_float = false; };
template <> struct Traits<float> {
    static constexpr bool is_float = true;
    static __device__ __forceinline__ float infinity() { return __int_as_float(0x7f800000); }
    static __device__ __forceinline__ float nan() { return __int_as_float(0x7fc00000); }
    static __device__ __forceinline__ float low() { return -infinity(); }
    static __device__ __forceinline__ float high() { return infinity(); }
};
template <> struct Traits<double> {
    static constexpr bool is_float = true;
    static __device__ __forceinline__ double infinity() { return __longlong_as_double(0x7ff0000000000000ll); }
    static __device__ __forceinline__ double nan() { return __longlong_as_double(0x7ff8000000000000ll); }
    static __device__ __forceinline__ double low() { return -infinity(); }
    static __device__ __forceinline__ double high() { return infinity(); }
};
#define INTEGER_TRAITS(type, unsigned_type, least, most)                       \
    template <> struct Traits<type> {                                          \
        static constexpr bool is_float = false;                                \
        static __device__ __forceinline__ type low() { return least; }         \
        static __device__ __forceinline__ type high() { return most; }         \
        typedef unsigned_type wrapping;                                        \
    };
INTEGER_TRAITS(signed char, unsigned, -128, 127)
INTEGER_TRAITS(short, unsigned, -32768, 32767)
INTEGER_TRAITS(int, unsigned, -2147483647 - 1, 2147483647)
INTEGER_TRAITS(long long, unsigned long long, -9223372036854775807LL - 1, 9223372036854775807LL)
INTEGER_TRAITS(unsigned char, unsigned, 0, 255)
INTEGER_TRAITS(unsigned short, unsigned, 0, 65535)
INTEGER_TRAITS(unsigned, unsigned, 0, 4294967295u)
INTEGER_TRAITS(unsigned long long, unsigned long long, 0, 18446744073709551615ull)

// Sums and products: integers wrap.
template <typename T> __device__ __forceinline__ T plus(T a, T b) { typedef typename Traits<T>::wrapping W; return (T)((W)a + (W)b); }
template <typename T> __device__ __forceinline__ T minus(T a, T b) { typedef typename Traits<T>::wrapping W; return (T)((W)a - (W)b); }
template <typename T> __device__ __forceinline__ T times(T a, T b) { typedef typename Traits<T>::wrapping W; return (T)((W)a * (W)b); }
template <> __device__ __forceinline__ float plus(float a, float b) { return a + b; }
template <> __device__ __forceinline__ float minus(float a, float b) { return a - b; }
template <> __device__ __forceinline__ float times(float a, float b) { return a * b; }
template <> __device__ __forceinline__ double plus(double a, double b) { return a + b; }
template <> __device__ __forceinline__ double minus(double a, double b) { return a - b; }
template <> __device__ __forceinline__ double times(double a, double b) { return a * b; }

// a * b + c, rounded once.
__device__ __forceinline__ float mul_add(float a, float b, float c) { return fmaf(a, b, c); }
__device__ __forceinline__ double mul_add(double a, double b, double c) { return fma(a, b, c); }
