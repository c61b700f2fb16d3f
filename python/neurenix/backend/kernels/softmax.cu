// softmax.cu - softmax and its gradient along the middle axis of (outer, n, inner); one thread a line.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Same bits as the CPU.
// launch softmax_rows: threads outer * inner
// launch softmax_grad: threads outer * inner
#include "common.cuh"
#include "math.cuh"

#ifdef NX_FLOATS
KERNEL NX_NAME(softmax_rows)(element* y, const element* x, int64 outer, int64 n, int64 inner, int64 log) {
    for (EACH(line, outer * inner)) {
        const int64 start = line / inner * n * inner + line % inner;
        element most = Traits<element>::low(), sum = 0;
        for (int64 k = 0; k < n; k++) {
            element value = x[start + k * inner];
            if (value > most || value != value) most = value;
        }
        for (int64 k = 0; k < n; k++) sum = sum + exp_of(x[start + k * inner] - most);
        if (log) sum = log_of(sum);
        for (int64 k = 0; k < n; k++) {
            element d = x[start + k * inner] - most;
            y[start + k * inner] = log ? d - sum : exp_of(d) / sum;
        }
    }
}

KERNEL NX_NAME(softmax_grad)(element* gx, const element* g, const element* y, int64 outer, int64 n, int64 inner, int64 log) {
    for (EACH(line, outer * inner)) {
        const int64 start = line / inner * n * inner + line % inner;
        element sum = 0;
        for (int64 k = 0; k < n; k++) {
            int64 at = start + k * inner;
            sum = log ? sum + g[at] : mul_add(g[at], y[at], sum);
        }
        for (int64 k = 0; k < n; k++) {
            int64 at = start + k * inner;
            gx[at] = log ? g[at] - exp_of(y[at]) * sum : y[at] * (g[at] - sum);
        }
    }
}
#endif
