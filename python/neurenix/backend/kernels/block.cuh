// block.cuh - sums over the threads of a block of 256, for counting, and a stable sort by a small number.
#pragma once
#include "common.cuh"

constexpr int BLOCK = 256, WARPS = BLOCK / 32;

// The lanes of the calling thread's warp with the same `bits` lowest bits of `digit`.
template <int bits> __device__ __forceinline__ unsigned peers(unsigned digit) {
    unsigned same = 0xffffffffu;
#pragma unroll
    for (int bit = 0; bit < bits; bit++) {
        const unsigned set = __ballot_sync(0xffffffffu, digit >> bit & 1);
        same &= digit >> bit & 1 ? set : ~set;
    }
    return same;
}

// The sum of `count` over the threads before this one; `total` is that over all. `shared` has WARPS + 1 places.
__device__ __forceinline__ unsigned sum_before(unsigned count, unsigned* shared, unsigned& total) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    unsigned sum = count;
#pragma unroll
    for (int step = 1; step < 32; step *= 2) {
        const unsigned before = __shfl_up_sync(0xffffffffu, sum, step);
        if (lane >= step) sum += before;
    }
    __syncthreads();  // an earlier call's places may still be read
    if (lane == 31) shared[warp] = sum;
    __syncthreads();
    unsigned start = 0;
    total = 0;
    for (int i = 0; i < WARPS; i++) {
        if (i == warp) start = total;
        total += shared[i];
    }
    return start + sum - count;
}

// Counts of chunks become where each chunk's part begins, by one block; `first` is where the first begins. Gives the end.
template <typename Number>
__device__ __forceinline__ Number start_after(Number* counts, int64 chunks, Number first, unsigned* shared) {
    for (int64 from = 0; from < chunks; from += BLOCK) {
        const int64 i = from + threadIdx.x;
        unsigned total, before = sum_before(i < chunks ? (unsigned)counts[i] : 0, shared, total);
        if (i < chunks) counts[i] = first + before;
        first += total;
    }
    return first;
}
