// scatter.cu - elements by an index, and what goes back; the operation has checked the index.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Same bits as the CPU: where several
// elements go to one place, one thread follows their order.
// launch take: threads y; lengths
// launch take_sum: threads outer * inner; lengths
// launch gather_rows: threads outer * m * inner
// launch scatter_rows: threads outer * inner
// launch scatter_add_rows: threads outer * inner
#include "common.cuh"

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
#endif

#ifdef NX_WIDE
KERNEL NX_NAME(take_sum)(element* gx, int64 gx_size, const element* g, int64 g_size, const int64* index, int64 index_size, int64 outer,
                         int64 n, int64 inner) {
    for (EACH(line, outer * inner)) {
        element* to = gx + line / inner * n * inner + line % inner;
        const element* from = g + line / inner * index_size * inner + line % inner;
        for (int64 k = 0; k < n; k++) to[k * inner] = 0;
        for (int64 j = 0; j < index_size; j++) to[index[j] * inner] = plus(to[index[j] * inner], from[j * inner]);
    }
}

KERNEL NX_NAME(scatter_add_rows)(element* y, const int64* index, const element* src, int64 outer, int64 m, int64 n, int64 inner) {
    for (EACH(line, outer * inner))
        for (int64 j = 0; j < m; j++) {
            int64 from = (line / inner * m + j) * inner + line % inner, to = (line / inner * n + index[from]) * inner + line % inner;
            y[to] = plus(y[to], src[from]);
        }
}
#endif
