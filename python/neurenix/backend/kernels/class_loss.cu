// class_loss.cu - losses over rows of classes; one thread a row.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Sums over classes are added in order, the
// CPU's in 16 lanes: 2e-6 apart in float32. A target outside the classes makes the loss NaN: telling it otherwise would wait for the GPU.
// launch cross_entropy_rows: threads rows
// launch cross_entropy_rows_backward: threads rows; lengths
#include "common.cuh"
#include "math.cuh"

#ifdef NX_FLOATS
__device__ __forceinline__ element log_sum_exp(const element* x, int64 classes) {
    element most = Traits<element>::low();
    double sum = 0;
    for (int64 c = 0; c < classes; c++) most = x[c] > most || x[c] != x[c] ? x[c] : most;
    if (most == Traits<element>::low()) most = 0;  // an infinite logit makes it NaN
    for (int64 c = 0; c < classes; c++) sum += (double)exp_of(x[c] - most);
    return most + log_of((element)sum);
}

KERNEL NX_NAME(cross_entropy_rows)(element* loss, element* lse, element* share, const element* x, const int64* target, const element* weight,
                                   int64 rows, int64 classes, double smoothing, int64 ignore, double most) {
    const element rest = (element)(1.0 - smoothing), spread_by = (element)(smoothing / (double)classes);
    for (EACH(row, rows)) {
        const element *from = x + row * classes, total = log_sum_exp(from, classes);
        const int64 t = target[row];
        element value = 0, w = 0;
        if (t != ignore && (t < 0 || t >= classes)) {
            value = w = Traits<element>::nan();
        } else if (t != ignore) {
            w = weight ? weight[t] : (element)1;
            element own = total - from[t];
            value = rest * w * (own > (element)most ? (element)most : own);
            double spread = 0;
            for (int64 c = 0; smoothing > 0 && c < classes; c++) spread += (double)((weight ? weight[c] : (element)1) * (total - from[c]));
            value = value + spread_by * (element)spread;
        }
        loss[row] = value;
        lse[row] = total;
        share[row] = w;
    }
}

KERNEL NX_NAME(cross_entropy_rows_backward)(element* dx, int64 dx_size, const element* x, int64 x_size, const element* lse, int64 lse_size,
                                            const int64* target, int64 target_size, const element* weight, int64 weight_size,
                                            const element* g, int64 g_size, const element* denominator, int64 denominator_size, int64 rows,
                                            int64 classes, double smoothing, int64 ignore) {
    const element rest = (element)(1.0 - smoothing), spread_by = (element)(smoothing / (double)classes);
    double all = weight ? 0 : (double)classes;
    for (int64 c = 0; weight && c < classes; c++) all += (double)weight[c];
    for (EACH(row, rows)) {
        const int64 t = target[row];
        const element f = g[g_size == 1 ? 0 : row] / (denominator ? denominator[0] : (element)1);
        const bool known = t >= 0 && t < classes;
        const element w = !known ? Traits<element>::nan() : weight ? weight[t] : (element)1;
        const element by_softmax = f * (rest * w + spread_by * (element)all);
        for (int64 c = 0; c < classes; c++) {
            element value = by_softmax * exp_of(x[row * classes + c] - lse[row]) - f * spread_by * (weight ? weight[c] : (element)1);
            dx[row * classes + c] = t == ignore ? (element)0 : c == t ? value - f * rest * w : value;
        }
    }
}
#endif
