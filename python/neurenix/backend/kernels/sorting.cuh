// sorting.cuh - stable sorting by many blocks: tiles in shared memory by a bitonic network, then runs of tiles merged in pairs.
#pragma once
#include "common.cuh"

constexpr int TILE = 2048;

// Whether element `a` from place `i` belongs behind `b` from place `k`: NaN is the largest, equals keep their order.
template <typename T> __device__ __forceinline__ bool behind(T a, int64 i, T b, int64 k, bool descending) {
    const bool a_nan = a != a, b_nan = b != b;
    const bool above = a_nan ? !b_nan : a > b, below = b_nan ? !a_nan : a < b;
    return (descending ? below : above) || (!above && !below && i > k);
}

// Sorted runs of a line between two passes, one of two copies.
template <typename T> struct Runs {
    T* values;
    int64* places;
    __device__ __forceinline__ Runs(double* scratch, int64 size, int64 copy)
        : values((T*)(scratch + 2 * size * copy)), places((int64*)(scratch + 2 * size * copy + size)) {}
};

// A bitonic network over the rows of a tile, 2^levels places each. Every comparison puts what belongs behind at the higher place, so
// places from a row's end on, which would hold the last of all, are never met.
template <typename T>
__device__ __forceinline__ void sort_tile(T* values, unsigned short* places, int levels, int length, int rows, bool descending) {
    for (int run = 0; run < levels; run++) {  // sorted runs of 2^run are merged in pairs
        for (int step = run; step >= 0; step--) {
            __syncthreads();
            for (int pair = threadIdx.x; pair < TILE / 2; pair += blockDim.x) {
                const int row = pair >> (levels - 1), q = pair - (row << (levels - 1)), first = q >> step << (step + 1);
                const int offset = q & ((1 << step) - 1), low = first + offset;
                const int high = step == run ? first + (2 << step) - 1 - offset : low + (1 << step);
                if (row >= rows || high >= length) continue;
                const int p = (row << levels) + low, r = (row << levels) + high;
                const T a = values[p], b = values[r];
                const unsigned short i = places[p], k = places[r];
                if (!behind(a, i, b, k, descending)) continue;
                values[p] = b, values[r] = a;
                places[p] = k, places[r] = i;
            }
        }
    }
    __syncthreads();
}

// Part of two neighbouring runs of a line in shared memory: `left` elements of the first, then those of the second.
template <typename T> struct Part {
    T values[TILE];
    int64 places[TILE];
    int64 cut[2];
};

// How many of the first `d` elements of two merged runs are the left one's.
template <typename T>
__device__ __forceinline__ int64 split(const Runs<T>& runs, int64 left, int64 right, int64 lefts, int64 rights, int64 d, bool descending) {
    int64 low = d > rights ? d - rights : 0, high = d < lefts ? d : lefts;
    while (low < high) {
        const int64 i = (low + high) / 2, l = left + i, r = right + d - 1 - i;
        if (behind(runs.values[l], runs.places[l], runs.values[r], runs.places[r], descending)) high = i;
        else low = i + 1;
    }
    return low;
}

// The place of each element of a part among all: its own among its run's and that among the other run's. put(place, value, index).
template <typename T, typename Put>
__device__ __forceinline__ void merge(const Runs<T>& runs, Part<T>& part, int64 n, int64 run, bool descending, Put put) {
    const int64 cuts = (n + TILE - 1) / TILE, line = blockIdx.x / cuts, from = blockIdx.x % cuts * TILE, begin = from / (2 * run) * 2 * run;
    const int64 middle = begin + run < n ? begin + run : n, end = begin + 2 * run < n ? begin + 2 * run : n;
    const int64 to = from + TILE < end ? from + TILE : end, first = line * n;
    if (threadIdx.x < 2)
        part.cut[threadIdx.x] = split(runs, first + begin, first + middle, middle - begin, end - middle, (threadIdx.x ? to : from) - begin, descending);
    __syncthreads();
    const int lefts = (int)(part.cut[1] - part.cut[0]), all = (int)(to - from);
    const int64 left = first + begin + part.cut[0], right = first + middle + (from - begin - part.cut[0]);
    for (int e = threadIdx.x; e < all; e += blockDim.x) {
        const int64 place = e < lefts ? left + e : right + (e - lefts);
        part.values[e] = runs.values[place], part.places[e] = runs.places[place];
    }
    __syncthreads();
    for (int e = threadIdx.x; e < all; e += blockDim.x) {
        const T value = part.values[e];
        const int64 index = part.places[e];
        int low = e < lefts ? lefts : 0, high = e < lefts ? all : lefts;
        const int start = low;
        while (low < high) {
            const int i = (low + high) / 2;
            if (behind(value, index, part.values[i], part.places[i], descending)) low = i + 1;
            else high = i;
        }
        put(line, from + (e < lefts ? e : e - lefts) + (low - start), value, index);
    }
}

// One list of int64 keys, sorted with their places, in as many doubles of scratch memory as four times its length.
// key(place) gives the keys; negative ones come first and are nobody's.
template <typename Key> __device__ __forceinline__ void sort_keys(double* scratch, int64 count, Key key) {
    __shared__ int64 keys[TILE];
    __shared__ unsigned short places[TILE];
    const Runs<int64> runs(scratch, count, 0);
    const int64 from = (int64)blockIdx.x * TILE;
    const int length = (int)(count - from < TILE ? count - from : TILE);
    for (int k = threadIdx.x; k < length; k += blockDim.x) keys[k] = key(from + k), places[k] = (unsigned short)k;
    sort_tile(keys, places, 11, length, 1, false);
    for (int k = threadIdx.x; k < length; k += blockDim.x) runs.values[from + k] = keys[k], runs.places[from + k] = from + places[k];
}

__device__ __forceinline__ void merge_keys(double* scratch, int64 count, int64 round) {
    __shared__ Part<int64> part;
    const Runs<int64> runs(scratch, count, round % 2), next(scratch, count, 1 - round % 2);
    merge(runs, part, count, (int64)TILE << round, false,
          [&](int64, int64 k, int64 key, int64 place) { next.values[k] = key, next.places[k] = place; });
}

// The list when all rounds are done.
struct Sorted {
    const int64 *keys, *places;
    int64 count;
    __device__ __forceinline__ Sorted(double* scratch, int64 count) : count(count) {
        int64 round = 0;
        while (((int64)TILE << round) < count) round++;
        const Runs<int64> runs(scratch, count, round % 2);
        keys = runs.values, places = runs.places;
    }
    // Where the first key of at least so much is.
    __device__ __forceinline__ int64 from(int64 key) const {
        int64 low = 0, high = count;
        while (low < high) {
            const int64 i = (low + high) / 2;
            if (keys[i] < key) low = i + 1;
            else high = i;
        }
        return low;
    }
    // f(place) for each place with this key, in order.
    template <typename F> __device__ __forceinline__ void each(int64 key, F f) const {
        for (int64 i = from(key); i < count && keys[i] == key; i++) f(places[i]);
    }
};
