// units.cuh - sums of long arrays as on the CPU: units of 4096 elements in 16 lanes each, and a tree over units that depends on
// their number only. Units go to teams of 16 threads of as many blocks as there are; a last block follows the tree.
#pragma once
#include "common.cuh"

constexpr int LANES = 16, TEAMS = 256 / LANES, UNIT = 4096;

// Writes the sum of term(i) over each unit of i < n; `block` counts the blocks that share them.
template <typename F> __device__ __forceinline__ void unit_sums(double* sums, int64 block, int64 n, F term) {
    const int lane = threadIdx.x % LANES;
    const int64 unit = block * TEAMS + threadIdx.x / LANES, stop = (unit + 1) * UNIT < n ? (unit + 1) * UNIT : n;
    element sum = 0;
#pragma unroll 8
    for (int64 i = unit * UNIT + lane; i < stop; i += LANES) sum = sum + term(i);
#pragma unroll
    for (int half = LANES / 2; half > 0; half /= 2) sum = sum + __shfl_down_sync(0xffffffffu, sum, half, LANES);
    if (lane == 0 && unit * UNIT < n) sums[unit] = (double)sum;
}

// The sum of `count` numbers by one block, neighbours first; every thread gets it. Whole branches go to threads, the rest to all.
__device__ __forceinline__ double tree_sum(const double* sums, int64 count) {
    __shared__ double branches[256];
    int64 branch = 1;
    while (branch * 256 < count) branch *= 2;
    double stack = 0;
    __syncthreads();
    if (threadIdx.x * branch < count) {
        // The sums of 2, 4, 8, ... neighbours, as the bits of a counter; a branch has at most 2^23 of them.
        double held[24];
        int64 from = threadIdx.x * branch, size = count - from < branch ? count - from : branch;
        int depth = 0;
        for (int64 i = 0; i < size; i++) {
            double sum = sums[from + i];
            for (int64 bits = i; bits & 1; bits >>= 1) sum = held[--depth] + sum;
            held[depth++] = sum;
        }
        stack = held[--depth];
        while (depth > 0) stack = held[--depth] + stack;
    }
    branches[threadIdx.x] = stack;
    __syncthreads();
    for (int left = (int)((count + branch - 1) / branch); left > 1; left = (left + 1) / 2) {
        const int i = threadIdx.x;
        double sum = 0;
        if (2 * i < left) sum = 2 * i + 1 < left ? branches[2 * i] + branches[2 * i + 1] : branches[2 * i];
        __syncthreads();
        if (2 * i < left) branches[i] = sum;
        __syncthreads();
    }
    const double total = count > 0 ? branches[0] : 0;
    __syncthreads();
    return total;
}
