// resize.cu - every separable linear map: resizing, average pooling, padding's gradient.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Same bits as the CPU.
// launch resize: threads outer * oh * ow * inner
#include "common.cuh"

#ifdef NX_FLOATS
// One column of the input through the table of rows: rows are combined first, as on the CPU.
__device__ __forceinline__ element column(const element* x, int64 pitch, int64 from, int64 to, const int64* index, const element* weight) {
    element sum = 0;
    for (int64 k = from; k < to; k++) {
        element value = x[index[k] * pitch];
        sum = k == from ? weight[k] * value : mul_add(weight[k], value, sum);
    }
    return sum;
}

KERNEL NX_NAME(resize)(element* y, const element* x, const int64* row_start, const int64* row_index, const element* row_weight,
                       const int64* col_start, const int64* col_index, const element* col_weight, const element* row_divisor,
                       const element* col_divisor, int64 outer, int64 h, int64 w, int64 inner, int64 oh, int64 ow) {
    for (EACH(n, outer * oh * ow * inner)) {
        const Spot spot(n, outer * oh * ow * inner, oh, ow, inner);
        const int64 c = spot.c, j = spot.j, i = spot.i, o = spot.o;
        const element* plane = x + o * h * w * inner + c;
        element sum = 0;
        for (int64 l = col_start[j]; l < col_start[j + 1]; l++) {
            element value = column(plane + col_index[l] * inner, w * inner, row_start[i], row_start[i + 1], row_index, row_weight);
            sum = l == col_start[j] ? col_weight[l] * value : mul_add(col_weight[l], value, sum);
        }
        y[n] = row_divisor ? sum / (row_divisor[i] * col_divisor[j]) : sum;
    }
}
#endif
