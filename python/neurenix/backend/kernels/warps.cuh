// warps.cuh - long lines whose order matters: a warp fetches some elements at once, and each of its lanes follows them all.
#pragma once
#include "common.cuh"

constexpr int PART = 128;  // elements that a warp holds in shared memory

// Threads of a line: a launch has as many for each.
__device__ __forceinline__ int lanes_of(int64 n) { return n > 63 ? 32 : 1; }

// For elements 0, 1, ... of a line: hold(element, place) by one lane each, then follow(place) by all lanes in order; after each part
// finish(element, place) by one lane each. What is held is read by the warp only.
template <typename Hold, typename Follow, typename Finish>
__device__ __forceinline__ void in_order(int64 n, Hold hold, Follow follow, Finish finish) {
    const int lane = threadIdx.x % 32;
    for (int64 from = 0; from < n; from += PART) {
        const int count = (int)(n - from < PART ? n - from : PART);
        for (int place = lane; place < count; place += 32) hold(from + place, place);
        __syncwarp();
#pragma unroll 4
        for (int place = 0; place < count; place++) follow(place);
        __syncwarp();
        for (int place = lane; place < count; place += 32) finish(from + place, place);
    }
}
template <typename Hold, typename Follow> __device__ __forceinline__ void in_order(int64 n, Hold hold, Follow follow) {
    in_order(n, hold, follow, [](int64, int) {});
}
