// adaptive_pooling.cu - averages over the bins of several grids, and the map's gradient from all of them.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Same bits as the CPU.
// launch average_bins: threads y
// launch average_bins_backward: threads outer * h * w * inner
#include "common.cuh"

#ifdef NX_FLOATS
// Row l of a window's rows, added in order, each times one weight.
__device__ __forceinline__ element bin_column(const element* x, int64 pitch, int64 count, element weight) {
    element sum = weight * x[0];
    for (int64 k = 1; k < count; k++) sum = mul_add(weight, x[k * pitch], sum);
    return sum;
}

KERNEL NX_NAME(average_bins)(element* y, const element* x, const int64* windows, const element* weight, const element* divisor,
                             const int64* bins, int64 count, int64 outer, int64 h, int64 w, int64 inner) {
    int64 total = 0;
    for (int64 g = 0; g < count; g++) total += outer * bins[2 * g] * bins[2 * g + 1] * inner;
    for (EACH(n, total)) {
        int64 g = 0, at = 0, rest = n;
        for (;; g++) {
            const int64 size = outer * bins[2 * g] * bins[2 * g + 1] * inner;
            if (rest < size) break;
            rest -= size;
            at += bins[2 * g] + bins[2 * g + 1];
        }
        const int64 bh = bins[2 * g], bw = bins[2 * g + 1];
        const Spot spot(rest, outer * bh * bw * inner, bh, bw, inner);
        const int64 row = at + spot.i, col = at + bh + spot.j;
        const element* from = x + ((spot.o * h + windows[2 * row]) * w + windows[2 * col]) * inner + spot.c;
        element sum = 0;
        for (int64 l = 0; l < windows[2 * col + 1]; l++) {
            const element value = bin_column(from + l * inner, w * inner, windows[2 * row + 1], weight[row]);
            sum = l ? mul_add(weight[col], value, sum) : weight[col] * value;
        }
        y[n] = sum / (divisor[row] * divisor[col]);
    }
}

// The bins of one axis of a grid that a pixel lies in.
struct Holders {
    int64 first, count;
    const element* weight;
    __device__ __forceinline__ Holders(const int64* window, const element* weights) : first(window[0]), count(window[1]), weight(weights + window[0]) {}
};

// What one grid's gradients `dy` (bh, bw, inner) of a map send to a pixel: mostly one bin's, so that loops written out only take registers.
__device__ __forceinline__ element bins_sum(const element* dy, Holders rows, Holders cols, int64 bw, int64 inner) {
    const element* from = dy + (rows.first * bw + cols.first) * inner;
    element sum = 0;
#pragma unroll 1
    for (int64 j = 0; j < cols.count; j++) {
        element held = rows.weight[0] * from[j * inner];
#pragma unroll 1
        for (int64 i = 1; i < rows.count; i++) held = mul_add(rows.weight[i], from[(i * bw + j) * inner], held);
        sum = j ? mul_add(cols.weight[j], held, sum) : cols.weight[0] * held;
    }
    return sum;
}

KERNEL NX_NAME(average_bins_backward)(element* dx, const element* dy, const int64* windows, const element* weight, const int64* bins,
                                      int64 count, int64 outer, int64 h, int64 w, int64 inner) {
    int64 lines = 0, cells = 0;
    for (int64 g = 0; g < count; g++) {
        lines += bins[2 * g] + bins[2 * g + 1];
        cells += bins[2 * g] * bins[2 * g + 1];
    }
    for (EACH(n, outer * h * w * inner)) {
        const Spot spot(n, outer * h * w * inner, h, w, inner);
        element sum = 0;
        int64 line = lines, cell = cells;
        for (int64 g = count - 1; g >= 0; g--) {
            const int64 bh = bins[2 * g], bw = bins[2 * g + 1];
            line -= bh + bw;
            cell -= bh * bw;
            const int64* window = windows + 2 * (h + w) * g;
            const Holders rows(window + 2 * spot.i, weight + line), cols(window + 2 * (h + spot.j), weight + line + bh);
            const element part = bins_sum(dy + (cell * outer + spot.o * bh * bw) * inner + spot.c, rows, cols, bw, inner);
            sum = g == count - 1 ? part : sum + part;
        }
        dx[n] = sum;
    }
}
#endif
