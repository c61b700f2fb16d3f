// loss.cu - losses that look at one element at a time: value, sum and gradients of each from one place.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Same bits as the CPU: sums are
// taken in units of 4096 elements and a tree over units. Probabilities outside [0, 1] make the loss NaN: telling it
// otherwise would wait for the GPU.
// max-stack: 192
// launch loss_elements: threads n
// launch loss_elements_sum: let units = n / 4096; doubles units; blocks max(1, units / 16); then loss_elements_total; blocks 1; if units > 16
// launch loss_elements_backward: threads n; lengths
// launch loss_sum: lengths; let units = x / 4096; doubles units; blocks max(1, units / 16); then loss_total; blocks 1; if units > 16
// launch loss_ratio: lengths; let units = x / 4096; let shares = share / 4096; doubles units + shares;
//     blocks units / 16 + shares / 16; then loss_quotient; blocks 1
#include "common.cuh"
#include "math.cuh"

#ifdef NX_FLOATS
#include "units.cuh"

enum Way { MSE, L1, SMOOTH_L1, HUBER, BCE, BCE_LOGITS, BCE_OF_SIGMOID, KL, KL_LOG, POISSON_LOG, POISSON, SOFT_MARGIN };

// log(1 + exp(x))
__device__ __forceinline__ element softplus(element x) { return log1p_of(exp_of(-magnitude(x))) + (x > 0 ? x : (element)0); }
__device__ __forceinline__ element at_most(element x, element most) { return x > most ? most : x; }
__device__ __forceinline__ element at_least(element x, element least) { return x < least ? least : x; }
__device__ __forceinline__ element sign(element x) { return x < 0 ? (element)-1 : x > 0 ? (element)1 : x; }
// Stirling's approximation of log(t!), 0 up to 1 and where it is not wanted.
__device__ __forceinline__ element stirling(element t, element wanted) {
    element v = t * log_of(t) - t + (element)0.5 * log_of((element)6.28318530717958647693 * t);
    return t > 1 && wanted > 0 ? v : (element)0;
}

// The loss of one element: prediction x, target t, weight of positives p, settings a and b.
__device__ __forceinline__ element value_of(int way, element x, element t, element p, element a, element b) {
    const element d = x - t, half = (element)0.5;
    switch (way) {
        case MSE: return d * d;
        case L1: return magnitude(d);
        case SMOOTH_L1: return magnitude(d) < a ? half * d * d / a : magnitude(d) - half * a;
        case HUBER: return magnitude(d) <= a ? half * d * d : a * (magnitude(d) - half * a);
        case BCE: return (t - 1) * at_least(log1p_of(-x), -100) - t * at_least(log_of(x), -100);
        case BCE_LOGITS: return (1 - t) * x + mul_add(p - 1, t, (element)1) * softplus(-x);
        case BCE_OF_SIGMOID: return t * at_most(softplus(-x), 100) + (1 - t) * at_most(softplus(x), 100);
        case KL: return t == 0 ? (element)0 : t * (log_of(t) - x);
        case KL_LOG: return exp_of(t) * (t - x);
        case POISSON_LOG: return exp_of(x) - t * x + stirling(t, a);
        case POISSON: return x - t * log_of(x + b) + stirling(t, a);
        default: return softplus(-(t * x));
    }
}

// Its derivative in x.
__device__ __forceinline__ element slope_of(int way, element x, element t, element p, element a, element b) {
    const element d = x - t;
    switch (way) {
        case MSE: return d + d;
        case L1: return d != d ? (element)0 : sign(d);
        case SMOOTH_L1: return magnitude(d) < a ? d / a : sign(d);
        case HUBER: return magnitude(d) <= a ? d : a * sign(d);
        case BCE: return d / at_least((1 - x) * x, (element)1e-12f);
        case BCE_LOGITS: return (1 - t) - mul_add(p - 1, t, (element)1) * sigmoid_of(-x);
        case BCE_OF_SIGMOID: return sigmoid_of(x) - t;
        case KL: return -t;
        case KL_LOG: return -exp_of(t);
        case POISSON_LOG: return exp_of(x) - t;
        case POISSON: return 1 - t / (x + b);
        default: return -t * sigmoid_of(-(t * x));
    }
}

// Its derivative in t.
__device__ __forceinline__ element target_slope_of(int way, element x, element t, element p, element a, element b) {
    switch (way) {
        case BCE: return log1p_of(-x) - log_of(x);
        case BCE_LOGITS: return p == 1 ? -x : p * softplus(-x) - softplus(x);
        case BCE_OF_SIGMOID: return at_most(softplus(-x), 100) - at_most(softplus(x), 100);
        case KL: return log_of(t) + t / t - x;  // NaN at 0
        case KL_LOG: return exp_of(t) * (t - x + 1);
        case POISSON_LOG: case POISSON: {
            element first = way == POISSON ? -log_of(x + b) : -x, full = a * (log_of(t) + (element)0.5 / t);
            return a > 0 ? first + (t > 1 ? full : 0 * full) : first;  // NaN at 0
        }
        case SOFT_MARGIN: return -x * sigmoid_of(-(t * x));
        default: return -slope_of(way, x, t, p, a, b);
    }
}

// Zero where the weight is, whatever the loss gives there.
__device__ __forceinline__ element weighted(element v, const element* weight, int64 i) {
    return !weight ? v : weight[i] == 0 ? (element)0 : v * weight[i];
}

KERNEL NX_NAME(loss_elements)(element* y, const element* x, const element* t, const element* weight, const element* positive, int64 n,
                              int64 way, double a, double b) {
    for (EACH(i, n))
        y[i] = weighted(value_of((int)way, x[i], t[i], positive ? positive[i] : (element)1, (element)a, (element)b), weight, i);
}

#define SUM_OF_ELEMENTS                                                                                                                  \
    element* total, const element* x, const element* t, const element* weight, const element* positive, int64 n, int64 way, double a,    \
        double b, double divisor, double* scratch, int64 units

__device__ __forceinline__ void write_total(element* total, const double* sums, int64 units, double divisor) {
    const double sum = tree_sum(sums, units);
    if (threadIdx.x == 0) total[0] = (element)(sum / divisor);
}

KERNEL NX_NAME(loss_elements_sum)(SUM_OF_ELEMENTS) {
    unit_sums(scratch, blockIdx.x, n, [=](int64 i) {
        return weighted(value_of((int)way, x[i], t[i], positive ? positive[i] : (element)1, (element)a, (element)b), weight, i);
    });
    __syncthreads();
    if (units <= TEAMS) write_total(total, scratch, units, divisor);
}

KERNEL NX_NAME(loss_elements_total)(SUM_OF_ELEMENTS) { write_total(total, scratch, units, divisor); }

KERNEL NX_NAME(loss_elements_backward)(element* dx, int64 dx_size, const element* g, int64 g_size, const element* x, int64 x_size,
                                       const element* t, int64 t_size, const element* weight, int64 weight_size, const element* positive,
                                       int64 positive_size, int64 n, int64 way, double a, double b, double divisor, int64 of_target) {
    const element scale = (element)(1.0 / divisor);
    for (EACH(i, n)) {
        element p = positive ? positive[i] : (element)1;
        element slope = of_target ? target_slope_of((int)way, x[i], t[i], p, (element)a, (element)b)
                                  : slope_of((int)way, x[i], t[i], p, (element)a, (element)b);
        dx[i] = weighted(slope, weight, i) * (g[g_size == 1 ? 0 : i] * scale);
    }
}

#define SUM element* total, int64 total_size, const element* x, int64 x_size, double divisor, double* scratch, int64 units

KERNEL NX_NAME(loss_sum)(SUM) {
    unit_sums(scratch, blockIdx.x, x_size, [=](int64 i) { return x[i]; });
    __syncthreads();
    if (units <= TEAMS) write_total(total, scratch, units, divisor);
}

KERNEL NX_NAME(loss_total)(SUM) { write_total(total, scratch, units, divisor); }

#define RATIO                                                                                                                           \
    element* ratio, int64 ratio_size, element* denominator, int64 denominator_size, const element* x, int64 x_size, const element* share, \
        int64 share_size, double* scratch, int64 units, int64 shares

KERNEL NX_NAME(loss_ratio)(RATIO) {
    const int64 blocks = (units + TEAMS - 1) / TEAMS;
    if (blockIdx.x < blocks) unit_sums(scratch, blockIdx.x, x_size, [=](int64 i) { return x[i]; });
    else unit_sums(scratch + units, blockIdx.x - blocks, share_size, [=](int64 i) { return share[i]; });
}

KERNEL NX_NAME(loss_quotient)(RATIO) {
    const double below = tree_sum(scratch + units, shares), above = tree_sum(scratch, units);
    if (threadIdx.x > 0) return;
    ratio[0] = (element)(above / below);
    denominator[0] = (element)below;
}
#endif
