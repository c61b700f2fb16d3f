// derived.cu - whether a user wrote into an array behind our back.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. The checksum is compared with earlier
// ones of the same device only, and is another one than the CPU's: integers may be added in any order.
// launch checksum: lengths; let parts = min(1024, max(1, x / 16384)); doubles parts; blocks parts; then checksum_total; blocks 1; if parts > 1
#include "common.cuh"

#ifdef NX_BYTES
__device__ __forceinline__ uint64 mix(uint64 x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

// The sum of a number of each thread of the block; thread 0 gets it.
__device__ __forceinline__ uint64 block_sum(uint64 part) {
    __shared__ uint64 parts[256];
    parts[threadIdx.x] = part;
    __syncthreads();
    for (int half = 128; half > 0; half /= 2) {
        if (threadIdx.x < half) parts[threadIdx.x] += parts[threadIdx.x + half];
        __syncthreads();
    }
    return parts[0];
}

#define CHECKSUM const element* x, int64 x_size, int64* sum, int64 sum_size, double* scratch, int64 parts

KERNEL NX_NAME(checksum)(CHECKSUM) {
    uint64 part = 0;
    for (EACH(i, x_size)) part += mix(mix((uint64)i + 0x9e3779b97f4a7c15ull) ^ (uint64)x[i]);
    part = block_sum(part);
    if (threadIdx.x > 0) return;
    if (parts > 1) ((uint64*)scratch)[blockIdx.x] = part;
    else sum[0] = (int64)mix(part + (uint64)x_size);
}

KERNEL NX_NAME(checksum_total)(CHECKSUM) {
    uint64 part = 0;
    for (int64 i = threadIdx.x; i < parts; i += 256) part += ((uint64*)scratch)[i];
    part = block_sum(part);
    if (threadIdx.x == 0) sum[0] = (int64)mix(part + (uint64)x_size);
}
#endif
