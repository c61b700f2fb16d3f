// packs.cuh - elements several at a time: neighbours in memory by one load where arrays allow, else ones a grid's length apart.
#pragma once
#include "common.cuh"

// Some elements, on a boundary of their size.
template <typename T, int N> struct alignas(N * sizeof(T)) Some {
    T v[N];
};
constexpr int FEW = sizeof(element) > 4 ? 2 : 4;  // at most 16 bytes

// Whether an array can be read some at a time: rows of whole packs on their boundary, or one element for each row.
template <int N, typename T> __device__ __forceinline__ bool packs(const T* array, const View& view) {
    const int last = (int)view.axes - 1;
    bool fits = view.strides[last] == 0 || (view.strides[last] == 1 && (uint64)array % (N * sizeof(T)) == 0);
    if (last > 0) fits = fits && view.shape[last] % N == 0;
    for (int axis = 0; axis < last; axis++) fits = fits && (view.strides[last] == 0 || view.strides[axis] % N == 0);
    return fits;
}
// And written: nothing is written through a stride of 0.
template <int N, typename T> __device__ __forceinline__ bool packs_to(const T* array, const View& view) {
    return view.strides[(int)view.axes - 1] == 1 && packs<N>(array, view);
}

// Drops the first, and puts one behind the last.
template <typename T, int N> __device__ __forceinline__ void shift(T (&some)[N], T last) {
#pragma unroll
    for (int k = 0; k + 1 < N; k++) some[k] = some[k + 1];
    some[N - 1] = last;
}

// The positions that a thread takes: N at a time from `i` on, in a loop over the grid.
template <int N> struct Walk {
    int64 first, apart, step, size;
    bool packed;
    __device__ __forceinline__ Walk(int64 size, bool packed) : size(size), packed(packed) {
        const int64 thread = (int64)blockIdx.x * blockDim.x + threadIdx.x, threads = (int64)gridDim.x * blockDim.x;
        first = packed ? thread * N : thread, apart = packed ? 1 : threads, step = threads * N;
    }
    __device__ __forceinline__ bool whole(int64 i) const { return packed && i + N <= size; }

    // Where in a view the positions are; beyond the last, where the first is. One after the other, so that the divisions stand once in
    // the code.
    __device__ __forceinline__ void find(int64 (&places)[N], const View& view, int64 i) const {
        if (view.axes == 1) {
#pragma unroll
            for (int k = 0; k < N; k++) places[k] = (i + k * apart < size ? i + k * apart : i) * view.strides[0];
            return;
        }
#pragma unroll 1
        for (int k = 0; k < N; k++) shift(places, at(view, i + k * apart < size ? i + k * apart : i));
    }
    template <typename T> __device__ __forceinline__ Some<T, N> taken(const T* x, const View& view, int64 i) const {
        Some<T, N> some;
        if (whole(i)) {
            x += view.axes == 1 ? i * view.strides[0] : at(view, i);
            if (view.strides[(int)view.axes - 1] == 1) return *(const Some<T, N>*)x;
#pragma unroll
            for (int k = 0; k < N; k++) some.v[k] = *x;
            return some;
        }
        int64 places[N];
        find(places, view, i);
#pragma unroll
        for (int k = 0; k < N; k++) some.v[k] = x[places[k]];
        return some;
    }
    template <typename T> __device__ __forceinline__ void put(T* y, const View& view, int64 i, const Some<T, N>& some) const {
        if (whole(i)) {
            *(Some<T, N>*)(y + (view.axes == 1 ? i : at(view, i))) = some;
            return;
        }
        int64 places[N];
        find(places, view, i);
#pragma unroll
        for (int k = 0; k < N; k++)
            if (i + k * apart < size) y[places[k]] = some.v[k];
    }
};
#define EACH_SOME(i, walk) int64 i = walk.first; i < walk.size; i += walk.step

// y[k] = f(x[k], others[k]...) one after the other, so that the code of f, which is long, stands once: what is to come moves to the front.
template <typename T, int N> __device__ __forceinline__ T shifted(Some<T, N>& some) {
    const T front = some.v[0];
#pragma unroll
    for (int k = 0; k + 1 < N; k++) some.v[k] = some.v[k + 1];
    return front;
}
template <typename Y, int N, typename F, typename... X> __device__ __forceinline__ Some<Y, N> each_of(F f, Some<X, N>... x) {
    Some<Y, N> y;
#pragma unroll
    for (int k = 0; k < N; k++) y.v[k] = 0;
#pragma unroll 1
    for (int n = 0; n < N; n++) {
        const Y value = f(shifted(x)...);
        shifted(y);
        y.v[N - 1] = value;
    }
    return y;
}
