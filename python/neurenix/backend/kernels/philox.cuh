// philox.cuh - Philox4x32-10, a function of a key and a counter: rust/neurenix-core/src/random.rs has the same.
// Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
#pragma once
#include "common.cuh"

struct Words {
    unsigned w[4];
    __device__ __forceinline__ unsigned at(int i) const { return i & 2 ? (i & 1 ? w[3] : w[2]) : (i & 1 ? w[1] : w[0]); }
};

// Four random words of one call under a seed; `position` is the sample's number in the high half, the block's in the low half.
__device__ __forceinline__ Words philox(uint64 position, uint64 call, uint64 seed) {
    Words c = {{(unsigned)position, (unsigned)(position >> 32), (unsigned)call, (unsigned)(call >> 32)}};
    unsigned first = (unsigned)seed, second = (unsigned)(seed >> 32);
#pragma unroll
    for (int round = 0; round < 10; round++) {
        uint64 a = 0xd2511f53ull * c.w[0], b = 0xcd9e8d57ull * c.w[2];
        c = {{(unsigned)(b >> 32) ^ c.w[1] ^ first, (unsigned)b, (unsigned)(a >> 32) ^ c.w[3] ^ second, (unsigned)a}};
        first += 0x9e3779b9u;
        second += 0xbb67ae85u;
    }
    return c;
}

// A number in [0, 1) with 53 random bits.
__device__ __forceinline__ double unit_of(unsigned low, unsigned high) {
    return (double)(((uint64)high << 32 | low) >> 11) * (1.0 / 9007199254740992.0);
}

// The high 64 bits of a product.
__device__ __forceinline__ uint64 high_product(uint64 a, uint64 b) {
    uint64 a0 = (unsigned)a, a1 = a >> 32, b0 = (unsigned)b, b1 = b >> 32;
    uint64 middle = a1 * b0 + (a0 * b0 >> 32), other = a0 * b1 + (unsigned)middle;
    return a1 * b1 + (middle >> 32) + (other >> 32);
}
