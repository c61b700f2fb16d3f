// convert.cuh - changes of element type with Rust's meaning of `as`: floats to integers towards zero, saturating, NaN to 0;
// integers wrap; anything to float16 goes through a double and is rounded once.
#pragma once
#include "common.cuh"

__device__ __forceinline__ double widen(half_bits x) {
    uint64 sign = (uint64)(x.bits >> 15) << 63;
    unsigned exponent = (x.bits >> 10) & 31, fraction = x.bits & 1023;
    if (exponent == 31) return __longlong_as_double((int64)(sign | 0x7ff0000000000000ull | (uint64)fraction << 42));
    double magnitude = exponent == 0 ? fraction * 5.9604644775390625e-8  // 2^-24
                                     : __longlong_as_double((int64)((uint64)(exponent + 1008) << 52 | (uint64)fraction << 42));
    return sign ? -magnitude : magnitude;
}

__device__ __forceinline__ half_bits narrow(double x) {
    uint64 bits = (uint64)__double_as_longlong(x);
    unsigned sign = (unsigned)(bits >> 48) & 0x8000u;
    bits &= 0x7fffffffffffffffull;
    if (bits > 0x7ff0000000000000ull) return {(unsigned short)(sign | 0x7e00u | (unsigned)(bits >> 42) & 0x3ffu)};
    if (bits >= 0x40effe0000000000ull) return {(unsigned short)(sign | 0x7c00u)};  // 65520 and above
    int exponent = (int)(bits >> 52) - 1023;
    if (exponent < -25) return {(unsigned short)sign};
    uint64 fraction = bits & 0xfffffffffffffull | 0x10000000000000ull;
    int shift = exponent >= -14 ? 42 : 28 - exponent;  // bits that are rounded away, halves to even
    uint64 half = 1ull << (shift - 1), kept = fraction >> shift, rest = fraction & (2 * half - 1);
    kept += rest > half || (rest == half && (kept & 1));
    unsigned base = exponent >= -14 ? (unsigned)(exponent + 14) << 10 : 0;  // `kept` carries the leading one of a normal number
    return {(unsigned short)(sign | (base + (unsigned)kept))};
}

template <typename X> __device__ __forceinline__ bool is_zero(X x) { return x == 0; }
__device__ __forceinline__ bool is_zero(half_bits x) { return (x.bits & 0x7fffu) == 0; }

// The pair of types decides: To<Y>::from(x).
template <typename Y> struct To {  // integers
    template <typename X> static __device__ __forceinline__ Y from(X x) { return (Y)x; }
    static __device__ __forceinline__ Y from(double x) {
        if (x != x) return 0;
        if (x <= (double)Traits<Y>::low()) return Traits<Y>::low();
        return x >= (double)Traits<Y>::high() ? Traits<Y>::high() : (Y)x;
    }
    static __device__ __forceinline__ Y from(float x) { return from((double)x); }
    static __device__ __forceinline__ Y from(half_bits x) { return from(widen(x)); }
};
template <> struct To<float> {
    template <typename X> static __device__ __forceinline__ float from(X x) { return (float)x; }
    static __device__ __forceinline__ float from(half_bits x) { return (float)widen(x); }
};
template <> struct To<double> {
    template <typename X> static __device__ __forceinline__ double from(X x) { return (double)x; }
    static __device__ __forceinline__ double from(half_bits x) { return widen(x); }
};
template <> struct To<half_bits> {
    template <typename X> static __device__ __forceinline__ half_bits from(X x) { return narrow((double)x); }
    static __device__ __forceinline__ half_bits from(half_bits x) { return narrow(widen(x)); }
};
template <typename Y, typename X> __device__ __forceinline__ Y convert(X x) { return To<Y>::from(x); }
