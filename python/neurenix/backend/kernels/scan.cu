// scan.cu - running sums and products along the middle axis of (outer, n, inner), and gradients of products; a thread a line, a warp a
// long one.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Same bits as the CPU.
// max-registers: 144
// launch scan: threads outer * inner * (1 + 31 * (n > 63))
// launch prod_grad: threads outer * inner * (1 + 31 * (n > 63))
// launch cumprod_grad: threads outer * inner * (1 + 31 * (n > 63))
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

// What runs from the first end on, and what of it position k needs: of a product all that is before k, ...
struct Before {
    static constexpr double first = 1;
    static __device__ __forceinline__ double step(double& state, double x, double, double) {
        const double held = state;
        state = state * x;
        return held;
    }
};
// ... of running products t[k] = g[k] + x[k - 1] t[k - 1], counted from the back.
struct Tail {
    static constexpr double first = 0;
    static __device__ __forceinline__ double step(double& state, double, double g, double x_before) {
        state = g + x_before * state;
        return state;
    }
};

// gx[k] = held[k] * the product, times `last`, of all x behind k. term(k, which) is x, g or the x before; a thread a line.
template <class Rule, typename Term>
__device__ __forceinline__ void gradient_by_thread(element* gx, const Line& line, int64 n, double last, Term term) {
    double state = Rule::first, held[RUN];
    for (int64 k = 0; k < n; k++) {
        if (k > 0 && k % RUN == 0) keep(gx, line, k / RUN, state);
        Rule::step(state, term(k, 0), term(k, 1), term(k, 2));
    }
    for (int64 run = (n - 1) / RUN; run >= 0; run--) {
        state = run > 0 ? kept(gx, line, run) : Rule::first;
#pragma unroll
        for (int j = 0; j < RUN; j++) {
            const int64 k = run * RUN + j;
            held[j] = k < n ? Rule::step(state, term(k, 0), term(k, 1), term(k, 2)) : 0;
        }
#pragma unroll
        for (int j = RUN - 1; j >= 0; j--) {
            if (run * RUN + j >= n) continue;
            gx[line.at(run * RUN + j)] = (element)(held[j] * last);
            last = last * term(run * RUN + j, 0);
        }
    }
}

// What a warp holds of a line.
struct Held {
    element terms[3][PART];
    double values[PART];
};

// The same by a warp a line: it fetches PART elements at once, and each lane follows them all, in the same order.
template <class Rule, typename Term>
__device__ __forceinline__ void gradient_by_warp(element* gx, const Line& line, int64 n, double last, Term term, Held& held) {
    const int lane = threadIdx.x % 32;
    const auto fetch = [&](int64 from) {
        const int count = (int)(n - from < PART ? n - from : PART);
        for (int place = lane; place < count; place += 32)
            for (int which = 0; which < 3; which++) held.terms[which][place] = term(from + place, which);
        __syncwarp();
        return count;
    };
    const auto step = [&](double& state, int place) { return Rule::step(state, held.terms[0][place], held.terms[1][place], held.terms[2][place]); };
    double state = Rule::first;
    for (int64 from = 0; from < n; from += PART) {
        if (from > 0 && lane == 0) keep(gx, line, from / PART, state);
        const int count = fetch(from);
        for (int place = 0; place < count; place++) step(state, place);
        __syncwarp();
    }
    for (int64 from = (n - 1) / PART * PART; from >= 0; from -= PART) {
        state = from > 0 ? kept(gx, line, from / PART) : Rule::first;
        const int count = fetch(from);
        for (int place = 0; place < count; place++) {
            const double value = step(state, place);
            if (place % 32 == lane) held.values[place] = value;
        }
        for (int place = count - 1; place >= 0; place--) {
            if (place % 32 == lane) held.values[place] = held.values[place] * last;
            last = last * (double)held.terms[0][place];
        }
        for (int place = lane; place < count; place += 32) gx[line.at(from + place)] = (element)held.values[place];
        __syncwarp();
    }
}

template <class Rule, typename Term>
__device__ __forceinline__ void gradient_of_line(element* gx, const Line& line, int64 n, double last, Term term, Held (&held)[8]) {
    if (lanes_of(n) == 1) gradient_by_thread<Rule>(gx, line, n, last, term);
    else gradient_by_warp<Rule>(gx, line, n, last, term, held[threadIdx.x / 32]);
}

KERNEL NX_NAME(prod_grad)(element* gx, const element* g, const element* x, int64 outer, int64 n, int64 inner) {
    __shared__ Held held[8];
    for (EACH(i, outer * inner * lanes_of(n))) {
        const Line line(i / lanes_of(n), n, inner, false);
        const auto term = [&](int64 k, int which) { return which == 0 ? x[line.at(k)] : (element)0; };
        gradient_of_line<Before>(gx, line, n, (double)g[i / lanes_of(n)], term, held);
    }
}

// From the back t[k] = g[k] + x[k + 1] t[k + 1]; the gradient is the product before k times t[k].
KERNEL NX_NAME(cumprod_grad)(element* gx, const element* g, const element* x, int64 outer, int64 n, int64 inner) {
    __shared__ Held held[8];
    for (EACH(i, outer * inner * lanes_of(n))) {
        const Line line(i / lanes_of(n), n, inner, true);
        const auto term = [&](int64 k, int which) {
            if (which == 1) return g[line.at(k)];
            return which == 0 ? x[line.at(k)] : k > 0 ? x[line.at(k - 1)] : (element)0;
        };
        gradient_of_line<Tail>(gx, line, n, 1.0, term, held);
    }
}
#endif
