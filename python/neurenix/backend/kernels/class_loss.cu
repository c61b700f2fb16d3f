// class_loss.cu - losses over rows of classes, their gradients, and hinge losses; one thread a row.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Same bits as the CPU: sums over classes run in
// 16 lanes that are closed in a tree, up to 64 exponentials are added in order. A target outside the classes makes loss and gradient
// NaN: telling it otherwise would wait for the GPU.
// max-registers: 144
// launch cross_entropy_rows: threads rows
// launch cross_entropy_rows_backward: threads rows; lengths
// launch soft_cross_entropy_rows: threads rows
// launch soft_cross_entropy_rows_backward: threads rows; lengths
// launch likelihood_rows: threads rows
// launch likelihood_rows_backward: threads rows * classes; lengths
// launch multi_margin_rows: threads rows
// launch multilabel_margin_rows: threads rows
// launch scale_rows: threads rows * classes; lengths
#include "common.cuh"
#include "math.cuh"

#ifdef NX_FLOATS
constexpr int LANES = 16, SHORT = 64;  // up to so many classes a row is short

// The sum of all lanes, the upper half onto the lower.
template <int HALF> __device__ __forceinline__ element close(element (&lane)[LANES]) {
#pragma unroll
    for (int l = 0; l < HALF; l++) lane[l] = lane[l] + lane[l + HALF];
    if constexpr (HALF > 1) return close<HALF / 2>(lane);
    return lane[0];
}

// The sum of term(i) for i < n.
template <typename F> __device__ __forceinline__ element lane_sum(int64 n, F term) {
    element lane[LANES] = {};
    for (int64 start = 0; start < n; start += LANES) {
#pragma unroll
        for (int l = 0; l < LANES; l++)
            if (start + l < n) lane[l] = lane[l] + term(start + l);
    }
    return close<LANES / 2>(lane);
}

// The logits of a row: classes that lie `step` elements apart.
struct Logits {
    const element* start;
    int64 step;
    __device__ __forceinline__ element operator[](int64 c) const { return start[c * step]; }
};

__device__ __forceinline__ int64 start_of(int64 row, int64 classes, int64 inner) { return row / inner * classes * inner + row % inner; }

template <typename X> __device__ __forceinline__ element log_sum_exp(X x, int64 classes) {
    element most = Traits<element>::low(), sum = 0;
    for (int64 c = 0; c < classes; c++) most = x[c] > most || x[c] != x[c] ? x[c] : most;
    if (classes == 0) return most;
    if (most == Traits<element>::low() || most == Traits<element>::high()) most = 0;
    if (classes <= SHORT)
        for (int64 c = 0; c < classes; c++) sum = sum + exp_of(x[c] - most);
    else
        sum = lane_sum(classes, [=](int64 c) { return exp_of(x[c] - most); });
    const element total = most + log_of(sum);
    return total + 0 * total;  // an infinite logit leaves no probabilities
}

__device__ __forceinline__ bool is_class(int64 t, int64 classes) { return t >= 0 && t < classes; }

// The weight of a row's target, NaN where it is no class.
__device__ __forceinline__ element target_weight(const element* weight, int64 t, int64 classes) {
    return !is_class(t, classes) ? Traits<element>::nan() : weight ? weight[t] : (element)1;
}

// What a gradient of a mean or sum is multiplied with in a row.
__device__ __forceinline__ element factor(const element* g, int64 g_size, const element* denominator, int64 row) {
    return denominator ? g[g_size == 1 ? 0 : row] / denominator[0] : g[g_size == 1 ? 0 : row];
}

KERNEL NX_NAME(cross_entropy_rows)(element* loss, element* lse, element* share, const element* x, const int64* target, const element* weight,
                                   int64 rows, int64 classes, int64 inner, double smoothing, int64 ignore, double most) {
    const element rest = (element)(1.0 - smoothing), spread_by = (element)(smoothing / (double)classes);
    for (EACH(row, rows)) {
        const Logits from = {x + start_of(row, classes, inner), inner};
        const element total = log_sum_exp(from, classes);
        const int64 t = target[row];
        element value = 0, w = 0;
        if (t != ignore) {
            w = target_weight(weight, t, classes);
            const element own = is_class(t, classes) ? total - from[t] : (element)0;
            value = rest * w * (own > (element)most ? (element)most : own);
            if (smoothing > 0)
                value = value + spread_by * lane_sum(classes, [=](int64 c) {
                    return weight ? weight[c] * (total - from[c]) : total - from[c];
                });
        }
        loss[row] = value;
        lse[row] = total;
        share[row] = w;
    }
}

KERNEL NX_NAME(cross_entropy_rows_backward)(element* dx, int64 dx_size, const element* x, int64 x_size, const element* lse, int64 lse_size,
                                            const int64* target, int64 target_size, const element* weight, int64 weight_size,
                                            const element* g, int64 g_size, const element* denominator, int64 denominator_size, int64 rows,
                                            int64 classes, int64 inner, double smoothing, int64 ignore) {
    const element rest = (element)(1.0 - smoothing), spread_by = (element)(smoothing / (double)classes);
    const element all = weight ? lane_sum(classes, [=](int64 c) { return weight[c]; }) : (element)classes;
    for (EACH(row, rows)) {
        const int64 t = target[row];
        const element f = factor(g, g_size, denominator, row), w = target_weight(weight, t, classes);
        const element by_softmax = f * (rest * w + spread_by * all);
        for (int64 c = 0, i = start_of(row, classes, inner); c < classes; c++, i += inner) {
            element value = by_softmax * exp_of(x[i] - lse[row]) - f * spread_by * (weight ? weight[c] : (element)1);
            dx[i] = t == ignore ? (element)0 : c == t ? value - f * rest * w : value;
        }
    }
}

KERNEL NX_NAME(soft_cross_entropy_rows)(element* loss, element* lse, const element* x, const element* t, const element* weight, int64 rows,
                                        int64 classes, double smoothing) {
    const element keep = (element)(1.0 - smoothing), spread_by = (element)(smoothing / (double)classes);
    for (EACH(row, rows)) {
        const element *from = x + row * classes, *share = t + row * classes, total = log_sum_exp(from, classes);
        loss[row] = lane_sum(classes, [=](int64 c) {
            const element part = mul_add(share[c], keep, spread_by);
            return (weight ? weight[c] * part : part) * (total - from[c]);
        });
        lse[row] = total;
    }
}

KERNEL NX_NAME(soft_cross_entropy_rows_backward)(element* dx, int64 dx_size, element* dt, int64 dt_size, const element* x, int64 x_size,
                                                 const element* lse, int64 lse_size, const element* t, int64 t_size, const element* weight,
                                                 int64 weight_size, const element* g, int64 g_size, int64 rows, int64 classes,
                                                 double smoothing, double divisor) {
    const element keep = (element)(1.0 - smoothing), spread_by = (element)(smoothing / (double)classes);
    for (EACH(row, rows)) {
        const int64 start = row * classes;
        const element f = factor(g, g_size, nullptr, row) / (element)divisor, total = lse[row];
        auto part = [=](int64 c) { return (weight ? weight[c] : (element)1) * mul_add(t[start + c], keep, spread_by); };
        const element mass = lane_sum(classes, part);
        for (int64 c = 0; c < classes; c++) {
            const element w = weight ? weight[c] : (element)1, below = x[start + c] - total;
            dx[start + c] = f * mass * exp_of(below) - f * w * mul_add(t[start + c], keep, spread_by);
            if (dt) dt[start + c] = f * keep * w * (total - x[start + c]);
        }
    }
}

KERNEL NX_NAME(likelihood_rows)(element* loss, element* share, const element* x, const int64* target, const element* weight, int64 rows,
                                int64 classes, int64 ignore) {
    for (EACH(row, rows)) {
        const int64 t = target[row];
        const element w = t == ignore ? (element)0 : target_weight(weight, t, classes);
        share[row] = w;
        loss[row] = t == ignore ? (element)0 : is_class(t, classes) ? -w * x[row * classes + t] : w;
    }
}

KERNEL NX_NAME(likelihood_rows_backward)(element* dx, int64 dx_size, const int64* target, int64 target_size, const element* weight,
                                         int64 weight_size, const element* g, int64 g_size, const element* denominator,
                                         int64 denominator_size, int64 rows, int64 classes, int64 ignore) {
    for (EACH(i, rows * classes)) {
        const int64 row = i / classes, t = target[row];
        const bool counts = t != ignore && (i - row * classes == t || !is_class(t, classes));
        dx[i] = counts ? -target_weight(weight, t, classes) * factor(g, g_size, denominator, row) : (element)0;
    }
}

KERNEL NX_NAME(multi_margin_rows)(element* loss, element* dx, const element* x, const int64* target, const element* weight, int64 rows,
                                  int64 classes, int64 p, double margin) {
    for (EACH(row, rows)) {
        const element* from = x + row * classes;
        element* slope = dx + row * classes;
        const int64 t = target[row];
        const bool known = is_class(t, classes);
        const element w = target_weight(weight, t, classes) / (element)classes, own = known ? from[t] : (element)0;
        element sum = known ? (element)0 : w, back = sum;
        for (int64 c = 0; c < classes; c++) {
            const element z = (element)margin - own + from[c];
            const bool active = (c != t && z > 0) || !known;
            slope[c] = active ? w * (p == 1 ? (element)1 : z + z) : (element)0;
            sum = sum + (active ? w * (p == 1 ? z : z * z) : (element)0);
            back = back + slope[c];
        }
        if (known) slope[t] = -back;
        loss[row] = sum;
    }
}

// Whether a class is among the first `listed` targets of a row.
__device__ __forceinline__ bool is_listed(const int64* list, int64 listed, int64 c) {
    for (int64 k = 0; k < listed; k++)
        if (list[k] == c) return true;
    return false;
}

KERNEL NX_NAME(multilabel_margin_rows)(element* loss, element* dx, const element* x, const int64* target, int64 rows, int64 classes) {
    for (EACH(row, rows)) {
        const element *from = x + row * classes, n = (element)classes;
        const int64* list = target + row * classes;
        element* slope = dx + row * classes;
        int64 listed = 0;
        bool known = true;
        for (int64 c = 0; c < classes; c++) known = known && list[c] >= -1 && list[c] < classes;
        while (known && listed < classes && list[listed] >= 0) listed++;
        element sum = known ? (element)0 : Traits<element>::nan();
        for (int64 c = 0; c < classes; c++) slope[c] = sum;
        for (int64 k = 0; k < listed; k++) {
            const int64 j = list[k];
            for (int64 i = 0; i < classes; i++) {
                const element z = 1 - from[j] + from[i];
                if (!(z > 0) || is_listed(list, listed, i)) continue;
                sum = sum + z / n;
                slope[i] = slope[i] + 1 / n;
                slope[j] = slope[j] - 1 / n;
            }
        }
        loss[row] = sum;
    }
}

KERNEL NX_NAME(scale_rows)(element* y, int64 y_size, const element* x, int64 x_size, const element* g, int64 g_size, int64 rows,
                           int64 classes, double divisor) {
    for (EACH(i, rows * classes)) y[i] = x[i] * (factor(g, g_size, nullptr, i / classes) / (element)divisor);
}
#endif
