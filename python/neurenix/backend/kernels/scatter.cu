// scatter.cu - elements by an index, and what goes back; the operation has checked the index.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Same bits as the CPU: where several
// elements go to one place, one thread follows their order; long lists of places are sorted first, so that there is a thread a place.
// launch take: threads y; lengths
// launch take_sum: lengths; doubles 4 * index * (index > 255); threads outer * inner * (index < 256);
//     then take_tiles; blocks index / 2048; if index > 255; then take_merge; times doublings(2048, index); blocks index / 2048; if index > 255;
//     then take_add; threads gx; if index > 255
// launch gather_rows: threads outer * m * inner
// launch scatter_rows: threads outer * inner
// launch scatter_add_rows: doubles 4 * src * (m > 255); threads outer * inner * (m < 256);
//     then scatter_tiles; blocks src / 2048; if m > 255; then scatter_merge; times doublings(2048, src); blocks src / 2048; if m > 255;
//     then scatter_add; threads y; if m > 255
// launch nonzero_rows: lengths; let chunks = mask / 4096; doubles chunks; blocks chunks; then nonzero_starts; blocks 1;
//     then nonzero_places; blocks chunks
#include "block.cuh"
#include "sorting.cuh"

#ifdef NX_BYTES
KERNEL NX_NAME(take)(element* y, int64 y_size, const element* x, int64 x_size, const int64* index, int64 index_size, int64 outer, int64 n,
                     int64 inner) {
    for (EACH(i, y_size)) {
        int64 row = i / inner;
        y[i] = x[(row / index_size * n + index[row % index_size]) * inner + i % inner];
    }
}

KERNEL NX_NAME(gather_rows)(element* y, const element* x, const int64* index, int64 outer, int64 m, int64 n, int64 inner) {
    for (EACH(i, outer * m * inner)) y[i] = x[(i / (m * inner) * n + index[i]) * inner + i % inner];
}

KERNEL NX_NAME(scatter_rows)(element* y, const int64* index, const element* src, int64 outer, int64 m, int64 n, int64 inner) {
    for (EACH(line, outer * inner))
        for (int64 j = 0; j < m; j++) {
            int64 from = (line / inner * m + j) * inner + line % inner;
            y[(line / inner * n + index[from]) * inner + line % inner] = src[from];
        }
}

#define NONZERO const unsigned char* mask, int64 mask_size, int64* index, int64 index_size, double* scratch, int64 chunks

// Which of a thread's 16 bytes of a chunk hold, as bits.
__device__ __forceinline__ unsigned holding(const unsigned char* mask, int64 size) {
    const int64 from = (int64)blockIdx.x * 4096 + threadIdx.x * 16;
    unsigned bits = 0;
    if (from + 16 <= size && (uint64)(mask + from) % 16 == 0) {
        const uint4 four = *(const uint4*)(mask + from);
        const unsigned words[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
        for (int i = 0; i < 16; i++) bits |= (words[i / 4] >> (i % 4 * 8) & 255 ? 1u : 0u) << i;
    } else {
        for (int i = 0; i < 16; i++) bits |= (from + i < size && mask[from + i] ? 1u : 0u) << i;
    }
    return bits;
}

// How many of each chunk hold; where each chunk's begin; the places themselves.
KERNEL NX_NAME(nonzero_rows)(NONZERO) {
    __shared__ unsigned shared[WARPS + 1];
    unsigned total;
    sum_before(__popc(holding(mask, mask_size)), shared, total);
    if (threadIdx.x == 0) ((int64*)scratch)[blockIdx.x] = total;
}

KERNEL NX_NAME(nonzero_starts)(NONZERO) {
    __shared__ unsigned shared[WARPS + 1];
    start_after((int64*)scratch, chunks, (int64)0, shared);
}

KERNEL NX_NAME(nonzero_places)(NONZERO) {
    __shared__ unsigned shared[WARPS + 1];
    unsigned bits = holding(mask, mask_size), total;
    int64 to = ((int64*)scratch)[blockIdx.x] + sum_before(__popc(bits), shared, total);
    for (int i = 0; i < 16; i++)
        if (bits >> i & 1) {
            if (to < index_size) index[to] = (int64)blockIdx.x * 4096 + threadIdx.x * 16 + i;
            to++;
        }
}
#endif

#ifdef NX_WIDE
#define TAKE_SUM                                                                                                                            \
    element* gx, int64 gx_size, const element* g, int64 g_size, const int64* index, int64 index_size, int64 outer, int64 n, int64 inner, double* scratch
#define SCATTER_ADD element* y, const int64* index, const element* src, int64 outer, int64 m, int64 n, int64 inner, double* scratch

KERNEL NX_NAME(take_sum)(TAKE_SUM) {
    for (EACH(line, outer * inner)) {
        element* to = gx + line / inner * n * inner + line % inner;
        const element* from = g + line / inner * index_size * inner + line % inner;
        for (int64 k = 0; k < n; k++) to[k * inner] = 0;
        for (int64 j = 0; j < index_size; j++) to[index[j] * inner] = plus(to[index[j] * inner], from[j * inner]);
    }
}

KERNEL NX_NAME(take_tiles)(TAKE_SUM) { sort_keys(scratch, index_size, [&](int64 place) { return index[place]; }); }
KERNEL NX_NAME(take_merge)(TAKE_SUM, int64 round) { merge_keys(scratch, index_size, round); }
KERNEL NX_NAME(take_add)(TAKE_SUM) {
    const Sorted sorted(scratch, index_size);
    for (EACH(i, gx_size)) {
        const int64 row = i / inner, c = i - row * inner, o = row / n;
        element sum = 0;
        sorted.each(row - o * n, [&](int64 place) { sum = plus(sum, g[(o * index_size + place) * inner + c]); });
        gx[i] = sum;
    }
}

KERNEL NX_NAME(scatter_add_rows)(SCATTER_ADD) {
    for (EACH(line, outer * inner))
        for (int64 j = 0; j < m; j++) {
            int64 from = (line / inner * m + j) * inner + line % inner, to = (line / inner * n + index[from]) * inner + line % inner;
            y[to] = plus(y[to], src[from]);
        }
}

// A key is where in `y` an element goes.
KERNEL NX_NAME(scatter_tiles)(SCATTER_ADD) {
    sort_keys(scratch, outer * m * inner, [&](int64 place) { return (place / (m * inner) * n + index[place]) * inner + place % inner; });
}
KERNEL NX_NAME(scatter_merge)(SCATTER_ADD, int64 round) { merge_keys(scratch, outer * m * inner, round); }
KERNEL NX_NAME(scatter_add)(SCATTER_ADD) {
    const Sorted sorted(scratch, outer * m * inner);
    for (EACH(i, outer * n * inner)) {
        element sum = y[i];
        sorted.each(i, [&](int64 place) { sum = plus(sum, src[place]); });
        y[i] = sum;
    }
}
#endif
