// layer_norm.cu - layer norm and RMS norm: each row of a (rows, size) array by its own statistics.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Same bits as the CPU: sums run in 16 lanes
// that are closed every 2048 elements; the parameters' gradients are added over 16 rows as elements, over 64 in double, and those in order.
// max-registers: 144
// launch layer_norm_forward: blocks rows / 16
// launch layer_norm_backward: blocks rows / 16
// launch layer_norm_backward_parameters: threads size
#include "common.cuh"

#ifdef NX_FLOATS
constexpr int LANES = 16, CLOSE = 128 * LANES;

struct Lanes {
    element part[16][LANES];
};

// The sum of term(i) for i < n, for each of the block's 16 rows; every thread of a row gets it.
template <typename F> __device__ __forceinline__ double lane_sum(Lanes& shared, int64 n, F term) {
    const int row = threadIdx.x / LANES, lane = threadIdx.x % LANES;
    double total = 0;
    for (int64 start = 0; start < n; start += CLOSE) {
        const int64 stop = start + CLOSE < n ? start + CLOSE : n;
        element sum = 0;
        for (int64 i = start + lane; i < stop; i += LANES) sum = sum + term(i);
        shared.part[row][lane] = sum;
        __syncthreads();
        for (int half = LANES / 2; half > 0; half /= 2) {
            if (lane < half) shared.part[row][lane] = shared.part[row][lane] + shared.part[row][lane + half];
            __syncthreads();
        }
        total += (double)shared.part[row][0];
        __syncthreads();
    }
    return total;
}

KERNEL NX_NAME(layer_norm_forward)(element* y, double* mean, double* rstd, const element* x, const element* weight, const element* bias,
                                   int64 rows, int64 size, double eps, int64 centred) {
    __shared__ Lanes shared;
    const int64 row = (int64)blockIdx.x * 16 + threadIdx.x / LANES;
    const int lane = threadIdx.x % LANES;
    const bool live = row < rows;
    const element* from = x + (live ? row : 0) * size;
    const double middle = centred ? lane_sum(shared, size, [=](int64 i) { return from[i]; }) / (double)size : 0;
    const element m = (element)middle;
    const double square = lane_sum(shared, size, [=](int64 i) { return (from[i] - m) * (from[i] - m); }) / (double)size;
    // The mean was rounded to an element: move the squares to the mean itself.
    const double inverse = 1.0 / sqrt(square - ((double)m - middle) * ((double)m - middle) + eps);
    if (!live) return;
    if (lane == 0) mean[row] = middle, rstd[row] = inverse;
    for (int64 i = lane; i < size; i += LANES) {
        element value = (from[i] - m) * (element)inverse;
        if (weight) value = value * weight[i];
        if (bias) value = value + bias[i];
        y[row * size + i] = value;
    }
}

KERNEL NX_NAME(layer_norm_backward)(element* dx, const element* g, const element* x, const double* mean, const double* rstd,
                                    const element* weight, int64 rows, int64 size, int64 centred) {
    __shared__ Lanes shared;
    const int64 row = (int64)blockIdx.x * 16 + threadIdx.x / LANES, safe = row < rows ? row : 0;
    const element *xs = x + safe * size, *gs = g + safe * size, m = (element)mean[safe], r = (element)rstd[safe];
    auto scaled = [=](int64 i) { return weight ? gs[i] * weight[i] : gs[i]; };
    const element first = (element)(centred ? lane_sum(shared, size, scaled) / (double)size : 0);
    const double product = lane_sum(shared, size, [=](int64 i) { return scaled(i) * (xs[i] - m); });
    const element second = (element)(product / (double)size * rstd[safe] * rstd[safe]);
    if (row >= rows) return;
    for (int64 i = threadIdx.x % LANES; i < size; i += LANES)
        dx[row * size + i] = ((scaled(i) - first) - (xs[i] - m) * second) * r;
}

KERNEL NX_NAME(layer_norm_backward_parameters)(element* dweight, element* dbias, const element* g, const element* x, const double* mean,
                                               const double* rstd, int64 rows, int64 size) {
    constexpr int64 ROWS = 16, RUN = 4 * ROWS;
    for (EACH(i, size)) {
        double by_weight = 0, by_bias = 0;
        for (int64 start = 0; start < rows; start += RUN) {
            double run_weight = 0, run_bias = 0;
            for (int64 first = start; first < rows && first < start + RUN; first += ROWS) {
                element products = 0, gradients = 0;
#pragma unroll 8
                for (int64 row = first; row < rows && row < first + ROWS; row++) {
                    // The mean is rounded to an element: what it loses.
                    const element m = (element)mean[row], rest = (element)(((double)m - mean[row]) * rstd[row]);
                    const element gradient = g[row * size + i];
                    products = mul_add(gradient, mul_add(x[row * size + i] - m, (element)rstd[row], rest), products);
                    gradients = gradients + gradient;
                }
                run_weight += (double)products;
                run_bias += (double)gradients;
            }
            by_weight += run_weight;
            by_bias += run_bias;
        }
        dweight[i] = (element)by_weight;
        if (dbias) dbias[i] = (element)by_bias;
    }
}
#endif
