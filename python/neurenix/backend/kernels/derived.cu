// derived.cu - whether a user wrote into an array behind our back.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. The checksum is compared with earlier
// ones of the same device only, and is another one than the CPU's: integers may be added in any order.
// launch checksum: blocks 1; lengths
#include "common.cuh"

#ifdef NX_BYTES
__device__ __forceinline__ uint64 mix(uint64 x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

KERNEL NX_NAME(checksum)(const element* x, int64 x_size, int64* sum, int64 sum_size) {
    __shared__ uint64 parts[256];
    uint64 part = 0;
    for (int64 i = threadIdx.x; i < x_size; i += 256) part += mix(mix((uint64)i + 0x9e3779b97f4a7c15ull) ^ (uint64)x[i]);
    parts[threadIdx.x] = part;
    __syncthreads();
    for (int half = 128; half > 0; half /= 2) {
        if (threadIdx.x < half) parts[threadIdx.x] += parts[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x == 0) sum[0] = (int64)mix(parts[0] + (uint64)x_size);
}
#endif
