// scan.cu - running sums and products along the middle axis of (outer, n, inner), and gradients of products; a thread a line, of long
// running sums a warp.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Same bits as the CPU.
// max-registers: 144
// launch scan: threads outer * inner * (1 + 31 * (n > 63))
// launch prod_grad: threads outer * inner
// launch cumprod_grad: threads outer * inner
#include "warps.cuh"

#ifdef NX_WIDE
#ifdef NX_FLOATS
typedef double Sum;
#else
typedef int64 Sum;
#endif

KERNEL NX_NAME(scan)(element* y, const element* x, int64 outer, int64 n, int64 inner, int64 op, int64 reverse) {
    __shared__ Sum shared[8][2][PART];
    Sum *terms = shared[threadIdx.x / 32][0], *totals = shared[threadIdx.x / 32][1];
    const int lanes = lanes_of(n), lane = threadIdx.x % 32;
    for (EACH(i, outer * inner * lanes)) {
        const int64 line = i / lanes, start = line / inner * n * inner + line % inner;
        const auto at = [&](int64 k) { return start + (reverse ? n - 1 - k : k) * inner; };
        Sum total = op == 1 ? 1 : 0;
        const auto add = [&](Sum term) { total = op == 1 ? times(total, term) : plus(total, term); };
        if (lanes == 1) {
            for (int64 k = 0; k < n; k++) {
                add((Sum)x[at(k)]);
                y[at(k)] = (element)total;
            }
            continue;
        }
        in_order(
            n, [&](int64 k, int place) { terms[place] = (Sum)x[at(k)]; },
            [&](int place) {
                add(terms[place]);
                if (place % 32 == lane) totals[place] = total;
            },
            [&](int64 k, int place) { y[at(k)] = (element)totals[place]; });
    }
}
#endif

#ifdef NX_FLOATS
// A gradient needs what runs from one end of a line together with what runs from the other. The first is kept in double once every
// RUN elements, in places of the output that are written later than it is read, and computed again in between.
constexpr int RUN = 4;

// Positions along a line, counted from its front or its back.
struct Line {
    int64 start, step;
    __device__ __forceinline__ Line(int64 line, int64 n, int64 inner, bool from_back) {
        start = (line / inner * n + (from_back ? n - 1 : 0)) * inner + line % inner;
        step = from_back ? -inner : inner;
    }
    __device__ __forceinline__ int64 at(int64 k) const { return start + k * step; }
};

__device__ __forceinline__ void keep(double* y, const Line& line, int64 i, double value) { y[line.at(i)] = value; }
__device__ __forceinline__ double kept(const double* y, const Line& line, int64 i) { return y[line.at(i)]; }
__device__ __forceinline__ void keep(float* y, const Line& line, int64 i, double value) {  // its halves, as the bits of two floats
    const uint64 bits = (uint64)__double_as_longlong(value);
    y[line.at(2 * i)] = __uint_as_float((unsigned)bits);
    y[line.at(2 * i + 1)] = __uint_as_float((unsigned)(bits >> 32));
}
__device__ __forceinline__ double kept(const float* y, const Line& line, int64 i) {
    const uint64 high = __float_as_uint(y[line.at(2 * i + 1)]);
    return __longlong_as_double((int64)(high << 32 | __float_as_uint(y[line.at(2 * i)])));
}

KERNEL NX_NAME(prod_grad)(element* gx, const element* g, const element* x, int64 outer, int64 n, int64 inner) {
    for (EACH(i, outer * inner)) {
        const Line line(i, n, inner, false);
        double before = 1, after = (double)g[i], held[RUN];
        for (int64 k = 0; k < n; k++) {
            if (k > 0 && k % RUN == 0) keep(gx, line, k / RUN, before);
            before = before * (double)x[line.at(k)];
        }
        for (int64 run = (n - 1) / RUN; run >= 0; run--) {
            before = run > 0 ? kept(gx, line, run) : 1;
#pragma unroll
            for (int j = 0; j < RUN; j++) {
                held[j] = before;
                if (run * RUN + j < n) before = before * (double)x[line.at(run * RUN + j)];
            }
#pragma unroll
            for (int j = RUN - 1; j >= 0; j--) {
                if (run * RUN + j >= n) continue;
                gx[line.at(run * RUN + j)] = (element)(held[j] * after);
                after = after * (double)x[line.at(run * RUN + j)];
            }
        }
    }
}

// From the back t[k] = g[k] + x[k + 1] t[k + 1]; the gradient is the product before k times t[k].
KERNEL NX_NAME(cumprod_grad)(element* gx, const element* g, const element* x, int64 outer, int64 n, int64 inner) {
    for (EACH(i, outer * inner)) {
        const Line line(i, n, inner, true);
        double before = 1, tail = 0, held[RUN];
        for (int64 k = 0; k < n; k++) {
            if (k > 0 && k % RUN == 0) keep(gx, line, k / RUN, tail);
            tail = (double)g[line.at(k)] + (k > 0 ? (double)x[line.at(k - 1)] : 0.0) * tail;
        }
        for (int64 run = (n - 1) / RUN; run >= 0; run--) {
            tail = run > 0 ? kept(gx, line, run) : 0;
#pragma unroll
            for (int j = 0; j < RUN; j++) {
                const int64 k = run * RUN + j;
                if (k < n) tail = (double)g[line.at(k)] + (k > 0 ? (double)x[line.at(k - 1)] : 0.0) * tail;
                held[j] = tail;
            }
#pragma unroll
            for (int j = RUN - 1; j >= 0; j--) {
                if (run * RUN + j >= n) continue;
                gx[line.at(run * RUN + j)] = (element)(before * held[j]);
                before = before * (double)x[line.at(run * RUN + j)];
            }
        }
    }
}
#endif
