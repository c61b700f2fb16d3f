// integers.cuh - the expressions of one and two integers by their numbers; they wrap, and division by zero gives zero.
#pragma once
#include "common.cuh"

typedef Traits<element>::wrapping wide;
constexpr bool is_signed = (element)-1 < (element)0;
constexpr int bit_count = 8 * (int)sizeof(element);

__device__ __forceinline__ element quotient(element x, element d) {
    if (d == 0) return 0;
    return is_signed && d == (element)-1 ? minus((element)0, x) : (element)(x / d);  // the lowest number by -1 wraps
}
__device__ __forceinline__ element floor_quotient(element x, element d) {
    element q = quotient(x, d);
    return d != 0 && minus(x, times(q, d)) != 0 && (x < 0) != (d < 0) ? minus(q, (element)1) : q;
}
// A negative power gives what the reciprocal rounds to.
__device__ __forceinline__ element power(element base, element exponent) {
    if (exponent < 0) return base == 1 ? (element)1 : base != (element)-1 ? (element)0 : exponent & 1 ? base : (element)1;
    element result = 1;
    for (; exponent > 0; exponent >>= 1) {
        if (exponent & 1) result = times(result, base);
        base = times(base, base);
    }
    return result;
}
__device__ __forceinline__ element shift_left(element x, element by) {
    return (unsigned)by >= (unsigned)bit_count ? (element)0 : (element)((wide)x << (unsigned)by);
}
__device__ __forceinline__ element shift_right(element x, element by) {
    if ((unsigned)by >= (unsigned)bit_count) return x < 0 ? (element)-1 : (element)0;
    return (element)(x >> (unsigned)by);
}

__device__ __forceinline__ element integer_unary_of(int op, element x) {
    switch (op) {
        case 0: return minus((element)0, x);
        case 1: return x < 0 ? minus((element)0, x) : x;
        case 2: return x > 0 ? (element)1 : x < 0 ? (element)-1 : (element)0;
        case 3: return (element)~x;
        default: return x == 0;
    }
}

__device__ __forceinline__ element integer_binary_of(int op, element x, element y) {
    switch (op) {
        case 0: return plus(x, y);
        case 1: return minus(x, y);
        case 2: return times(x, y);
        case 3: return floor_quotient(x, y);
        case 4: return quotient(x, y);
        case 5: return minus(x, times(floor_quotient(x, y), y));
        case 6: return minus(x, times(quotient(x, y), y));
        case 7: return power(x, y);
        case 8: return x > y ? x : y;
        case 9: return x < y ? x : y;
        case 10: return (element)(x & y);
        case 11: return (element)(x | y);
        case 12: return (element)(x ^ y);
        case 13: return shift_left(x, y);
        default: return shift_right(x, y);
    }
}
