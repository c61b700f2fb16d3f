// ordering.cu - stable sorting along the middle axis of (outer, n, inner): tiles in shared memory, then runs of tiles merged in pairs.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Same bits as the CPU.
// launch sort_rows: doubles 4 * values * (n > 2048); blocks outer * inner * n / 1024;
//     then sort_merge; times doublings(2048, n) - 1; blocks outer * inner * (n / 2048);
//     then sort_last; blocks outer * inner * (n / 2048); if n > 2048
#include "sorting.cuh"

#ifdef NX_NUMBERS
#define SORT element* values, int64* indices, const element* x, int64 outer, int64 n, int64 inner, int64 descending, double* scratch

// A tile is as many short lines as fit, or a part of a long one.
KERNEL NX_NAME(sort_rows)(SORT) {
    __shared__ element shared[TILE];
    __shared__ unsigned short places[TILE];
    int levels = 0;
    while (levels < 11 && (1 << levels) < n) levels++;
    const bool whole = n <= TILE;
    const int64 lines = outer * inner, together = TILE >> levels, cuts = whole ? 1 : (n + TILE - 1) / TILE;
    const Runs<element> runs(scratch, lines * n, 0);
    for (int64 unit = blockIdx.x; unit < (whole ? (lines + together - 1) / together : lines * cuts); unit += gridDim.x) {
        const int64 line = whole ? unit * together : unit / cuts, from = whole ? 0 : unit % cuts * TILE;
        const int length = (int)(n - from < TILE ? n - from : TILE), rows = (int)(lines - line < together ? lines - line : together);
        for (int slot = threadIdx.x; slot < TILE; slot += blockDim.x) {
            const int row = slot >> levels, k = slot - (row << levels);
            if (row >= rows || k >= length) continue;
            shared[slot] = x[((line + row) / inner * n + from + k) * inner + (line + row) % inner];
            places[slot] = (unsigned short)k;
        }
        sort_tile(shared, places, levels, length, whole ? rows : 1, descending == 1);
        for (int slot = threadIdx.x; slot < TILE; slot += blockDim.x) {
            const int row = slot >> levels, k = slot - (row << levels);
            if (row >= rows || k >= length) continue;
            const int64 dense = (line + row) * n + from + k, to = ((line + row) / inner * n + k) * inner + (line + row) % inner;
            if (whole) values[to] = shared[slot], indices[to] = places[slot];
            else runs.values[dense] = shared[slot], runs.places[dense] = from + places[slot];
        }
        __syncthreads();  // the next tile overwrites this one
    }
}

KERNEL NX_NAME(sort_merge)(SORT, int64 round) {
    __shared__ Part<element> part;
    const int64 size = outer * n * inner;
    const Runs<element> runs(scratch, size, round % 2), next(scratch, size, 1 - round % 2);
    merge(runs, part, n, (int64)TILE << round, descending == 1, [&](int64 line, int64 k, element value, int64 index) {
        next.values[line * n + k] = value, next.places[line * n + k] = index;
    });
}

KERNEL NX_NAME(sort_last)(SORT) {
    __shared__ Part<element> part;
    int64 round = 0;
    while (2 * ((int64)TILE << round) < n) round++;
    merge(Runs<element>(scratch, outer * n * inner, round % 2), part, n, (int64)TILE << round, descending == 1,
          [&](int64 line, int64 k, element value, int64 index) {
              const int64 to = (line / inner * n + k) * inner + line % inner;
              values[to] = value, indices[to] = index;
          });
}
#endif
