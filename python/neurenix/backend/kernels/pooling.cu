// pooling.cu - max pooling.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Same bits as the CPU.
//
// A window table holds (first pixel, number of taps) for each output; taps outside the map are not in it. Of equal values the
// first is taken, of NaNs the last.
// launch max_pool: threads outer * oh * ow * inner
// launch max_pool_indices: threads outer * oh * ow * inner
// launch max_pool_backward: threads outer * h * w * inner
// launch max_pool_backward_add: threads outer * h * w * inner
#include "common.cuh"

#ifdef NX_FLOATS
// The tap of a window's maximum; `best` is that value.
__device__ __forceinline__ int64 largest(element& best, const element* x, const int64* row, const int64* col, int64 w, int64 inner,
                                         int64 col_taps, int64 row_step, int64 col_step) {
    int64 tap = 0;
    best = -Traits<element>::infinity();
    for (int64 k = 0; k < row[1]; k++)
        for (int64 l = 0; l < col[1]; l++) {
            element value = x[((row[0] + k * row_step) * w + col[0] + l * col_step) * inner];
            if (value > best || value != value) best = value, tap = k * col_taps + l;
        }
    return tap;
}

KERNEL NX_NAME(max_pool)(element* y, unsigned char* tap, const element* x, const int64* row_windows, const int64* col_windows, int64 outer,
                         int64 h, int64 w, int64 inner, int64 oh, int64 ow, int64 row_taps, int64 col_taps, int64 row_step, int64 col_step) {
    for (EACH(n, outer * oh * ow * inner)) {
        const Spot spot(n, outer * oh * ow * inner, oh, ow, inner);
        int64 at = largest(y[n], x + spot.o * h * w * inner + spot.c, row_windows + 2 * spot.i, col_windows + 2 * spot.j, w, inner, col_taps, row_step, col_step);
        if (tap) tap[n] = (unsigned char)at;
    }
}

KERNEL NX_NAME(max_pool_indices)(element* y, int64* index, const element* x, const int64* row_windows, const int64* col_windows,
                                 int64 outer, int64 h, int64 w, int64 inner, int64 oh, int64 ow, int64 row_taps, int64 col_taps,
                                 int64 row_step, int64 col_step) {
    for (EACH(n, outer * oh * ow * inner)) {
        const Spot spot(n, outer * oh * ow * inner, oh, ow, inner);
        int64 at = largest(y[n], x + spot.o * h * w * inner + spot.c, row_windows + 2 * spot.i, col_windows + 2 * spot.j, w, inner, col_taps, row_step, col_step);
        index[n] = (row_windows[2 * spot.i] + at / col_taps * row_step) * w + col_windows[2 * spot.j] + at % col_taps * col_step;
    }
}

// The first output whose window may hold pixel `p`. First pixels rise, but for windows cut at the map's start, which begin
// less than a step late; the search therefore ends at or before the one that is looked for.
__device__ __forceinline__ int64 first_holder(const int64* windows, int64 p, int64 outputs, int64 taps, int64 step) {
    int64 low = 0, high = outputs;
    while (low < high) {
        int64 middle = (low + high) / 2;
        if (windows[2 * middle] > p - taps * step) high = middle; else low = middle + 1;
    }
    return low;
}

// The tap that pixel `p` is in a window; negative where it is in none.
__device__ __forceinline__ int64 tap_in(const int64* window, int64 p, int64 step) {
    int64 steps = p - window[0];
    return steps < 0 || steps % step || steps / step >= window[1] ? -1 : steps / step;
}

KERNEL NX_NAME(max_pool_backward)(element* dx, const element* dy, const unsigned char* tap, const int64* row_windows,
                                  const int64* col_windows, int64 outer, int64 h, int64 w, int64 inner, int64 oh, int64 ow, int64 row_taps,
                                  int64 col_taps, int64 row_step, int64 col_step) {
    for (EACH(n, outer * h * w * inner)) {
        const Spot spot(n, outer * h * w * inner, h, w, inner);
        const int64 c = spot.c, s = spot.j, r = spot.i, o = spot.o;
        int64 first_row = first_holder(row_windows, r, oh, row_taps, row_step), first_col = first_holder(col_windows, s, ow, col_taps, col_step);
        element sum = 0;
        for (int64 i = first_row; i < oh && row_windows[2 * i] <= r + row_step; i++) {
            int64 k = tap_in(row_windows + 2 * i, r, row_step);
            if (k < 0) continue;
            for (int64 j = first_col; j < ow && col_windows[2 * j] <= s + col_step; j++) {
                int64 l = tap_in(col_windows + 2 * j, s, col_step), at = ((o * oh + i) * ow + j) * inner + c;
                if (l >= 0 && tap[at] == k * col_taps + l) sum += dy[at];
            }
        }
        dx[n] = sum;
    }
}

KERNEL NX_NAME(max_pool_backward_add)(element* dx, const element* dy, const unsigned char* tap, int64 outer, int64 h, int64 w, int64 inner,
                                      int64 oh, int64 ow) {
    for (EACH(n, outer * h * w * inner)) {
        const Spot spot(n, outer * h * w * inner, h, w, inner);
        const int64 i = spot.i / 2, j = spot.j / 2, at = ((spot.o * oh + i) * ow + j) * inner + spot.c;
        element sum = 0;
        if (i < oh && j < ow && tap[at] == spot.i % 2 * (w > 1 ? 2 : 1) + spot.j % 2) sum += dy[at];
        dx[n] = dx[n] + sum;
    }
}
#endif
