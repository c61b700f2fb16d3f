// activations.cuh - activations by the numbers of their expressions: elementwise kernels and the epilogues of convolutions share
// them, so that an activation has the same bits in a pass of its own and at the end of another's.
#pragma once
#include "math.cuh"

constexpr int RELU = 40;

template <typename T> __device__ __forceinline__ T clamped(T x, T low, T high) {
    T y = x < low ? low : x;
    return y > high ? high : y;
}
template <typename T> __device__ __forceinline__ T gelu_inner(T x) { return (T)0.7978845608028654 * (x + (T)0.044715 * x * x * x); }
template <typename T> __device__ __forceinline__ T mish_of(T x) {
    T e = exp_of(x > 20 ? (T)20 : x), n = e * (e + 2);
    return x > 20 ? x : x * n / (n + 2);
}

// x itself where the number is none of these.
template <typename T> __device__ __forceinline__ T activation_of(int op, T x, T a, T b) {
    switch (op) {
        case 14: return tanh_of(x);
        case 15: return sigmoid_of(x);
        case 39: return clamped(x, a, b);
        case RELU: return x < 0 ? (T)0 : x;
        case 41: return x > 0 ? x : x * a;
        case 42: return x > 0 ? x * b : expm1_of(x) * a;
        case 43: return x > 0 ? x : expm1_of(x / a) * a;
        case 44: return (T)0.5 * x * (1 + erf_of(x * (T)0.70710678118654752440));
        case 45: return (T)0.5 * x * (1 + tanh_of(gelu_inner(x)));
        case 46: return x / (1 + exp_of(-x));
        case 47: return mish_of(x);
        case 52: return clamped(x + 3, (T)0, (T)6) / 6;
        case 53: return x * clamped(x + 3, (T)0, (T)6) / 6;
        default: return x;
    }
}

// Of N registers in turn, so that the code of an activation, which is long, stands once.
template <typename T, int N> __device__ __forceinline__ void activate(T (&x)[N], int op, T a, T b) {
    if (op == 0) return;
    if (op == RELU) {
#pragma unroll
        for (int n = 0; n < N; n++) x[n] = activation_of(RELU, x[n], a, b);
        return;
    }
#pragma unroll 1
    for (int n = 0; n < N; n++) {
        const T y = activation_of(op, x[0], a, b);
#pragma unroll
        for (int k = 0; k + 1 < N; k++) x[k] = x[k + 1];
        x[N - 1] = y;
    }
}
