// softmax.cu - softmax and its gradient along the middle axis of (outer, n, inner): a thread a line, a warp a long one.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Same bits as the CPU: a line is summed in
// its order; of a long one a warp computes the terms, and each lane adds them all.
// launch softmax_rows: threads outer * inner * (1 + 31 * (n > 63))
// launch softmax_grad: threads outer * inner * (1 + 31 * (n > 63))
#include "math.cuh"
#include "warps.cuh"

#ifdef NX_FLOATS
KERNEL NX_NAME(softmax_rows)(element* y, const element* x, int64 outer, int64 n, int64 inner, int64 log) {
    __shared__ element shared[8][PART];
    element* terms = shared[threadIdx.x / 32];
    const int lanes = lanes_of(n), lane = threadIdx.x % lanes;
    for (EACH(i, outer * inner * lanes)) {
        const int64 line = i / lanes, start = line / inner * n * inner + line % inner;
        element most = Traits<element>::low(), sum = 0;
        for (int64 k = lane; k < n; k += lanes) {
            const element value = x[start + k * inner];
            if (value > most || value != value) most = value;
        }
        for (int step = lanes / 2; step > 0; step /= 2) {
            const element value = __shfl_xor_sync(0xffffffffu, most, step);
            if (value > most || value != value) most = value;
        }
        if (lanes == 1)
            for (int64 k = 0; k < n; k++) sum = sum + exp_of(x[start + k * inner] - most);
        else
            in_order(n, [&](int64 k, int place) { terms[place] = exp_of(x[start + k * inner] - most); },
                     [&](int place) { sum = sum + terms[place]; });
        const element taken = log ? log_of(sum) : element(1) / sum;
        for (int64 k = lane; k < n; k += lanes) {
            const element d = x[start + k * inner] - most;
            y[start + k * inner] = log ? d - taken : exp_of(d) * taken;
        }
    }
}

KERNEL NX_NAME(softmax_grad)(element* gx, const element* g, const element* y, int64 outer, int64 n, int64 inner, int64 log) {
    __shared__ element shared[8][2][PART];
    element *left = shared[threadIdx.x / 32][0], *right = shared[threadIdx.x / 32][1];
    const int lanes = lanes_of(n), lane = threadIdx.x % lanes;
    for (EACH(i, outer * inner * lanes)) {
        const int64 line = i / lanes, start = line / inner * n * inner + line % inner;
        element sum = 0;
        if (lanes == 1)
            for (int64 k = 0; k < n; k++) sum = log ? sum + g[start + k * inner] : mul_add(g[start + k * inner], y[start + k * inner], sum);
        else
            in_order(n, [&](int64 k, int place) { left[place] = g[start + k * inner], right[place] = y[start + k * inner]; },
                     [&](int place) { sum = log ? sum + left[place] : mul_add(left[place], right[place], sum); });
        for (int64 k = lane; k < n; k += lanes) {
            const int64 at = start + k * inner;
            gx[at] = log ? g[at] - exp_of(y[at]) * sum : y[at] * (g[at] - sum);
        }
    }
}
#endif
