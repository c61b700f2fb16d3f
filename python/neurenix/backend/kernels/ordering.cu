// ordering.cu - stable sorting along the middle axis of (outer, n, inner): a bitonic network in place, one block a line.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Same bits as the CPU.
// launch sort_rows: blocks outer * inner
#include "common.cuh"

#ifdef NX_NUMBERS
// Whether element `a` from place `i` belongs behind `b` from place `k`: NaN is the largest, equals keep their order.
__device__ __forceinline__ bool behind(element a, int64 i, element b, int64 k, bool descending) {
    const bool a_nan = a != a, b_nan = b != b;
    const bool above = a_nan ? !b_nan : a > b, below = b_nan ? !a_nan : a < b;
    return (descending ? below : above) || (!above && !below && i > k);
}

// Every comparison puts what belongs behind at the higher place, so places from n on, which would hold the last of all, are never met.
KERNEL NX_NAME(sort_rows)(element* values, int64* indices, const element* x, int64 outer, int64 n, int64 inner, int64 descending) {
    int64 half = 1;
    while (half * 2 < n) half *= 2;
    for (int64 line = blockIdx.x; line < outer * inner; line += gridDim.x) {
        const int64 start = line / inner * n * inner + line % inner;
        for (int64 k = threadIdx.x; k < n; k += blockDim.x) {
            values[start + k * inner] = x[start + k * inner];
            indices[start + k * inner] = k;
        }
        __syncthreads();
        for (int64 run = 1; run < n; run *= 2) {  // sorted runs of so many are merged in pairs
            for (int64 step = run; step >= 1; step /= 2) {
                for (int64 pair = threadIdx.x; pair < half; pair += blockDim.x) {
                    const int64 first = pair / step * 2 * step, offset = pair % step;
                    const int64 low = first + offset, high = step == run ? first + 2 * step - 1 - offset : low + step;
                    if (high >= n) continue;
                    const int64 p = start + low * inner, q = start + high * inner;
                    const element a = values[p], b = values[q];
                    const int64 i = indices[p], k = indices[q];
                    if (!behind(a, i, b, k, descending == 1)) continue;
                    values[p] = b, values[q] = a;
                    indices[p] = k, indices[q] = i;
                }
                __syncthreads();
            }
        }
    }
}
#endif
