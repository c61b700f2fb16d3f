// reduce.cu - reductions of strided views over their last axes, accumulated in double for floats.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Sums are added in an order of their
// own, which follows from shape and strides alone: in double they agree with the CPU's to 1e-14 of the sum of magnitudes.
// Extremes and indices are the same bits.
// max-stack: 64
// launch reduce: blocks y
// launch arg_reduce: blocks index
#include "common.cuh"
#include "convert.cuh"
#include "math.cuh"

// How a block shares its threads among outputs: `lanes` threads fold the elements of one, `outputs` at a time.
struct Team {
    int64 count, total;  // elements of an output, outputs
    int lanes, outputs, lane, output;

    __device__ __forceinline__ Team(const View& view, int64 kept) {
        total = 1;
        for (int axis = 0; axis < (int)kept; axis++) total *= view.shape[axis];
        count = total ? view.size / total : 0;
        bool columns = kept > 0 && kept < view.axes && view.strides[kept - 1] == 1 && view.strides[view.axes - 1] != 1;
        lanes = 1;
        while (lanes < (columns ? 32 : 256) && lanes * 4 < count) lanes *= 2;
        outputs = 256 / lanes;
        // Neighbouring threads take neighbouring elements, whether those are folded or kept.
        lane = columns ? threadIdx.x / outputs : threadIdx.x % lanes;
        output = columns ? threadIdx.x % outputs : threadIdx.x / lanes;
    }
    __device__ __forceinline__ int slot(int of_lane) const { return of_lane * outputs + output; }
};

// The offset of position `i` of axes first .. last of a view.
__device__ __forceinline__ int64 along(const View& view, int64 first, int64 last, int64 i) {
    int64 offset = 0;
    for (int axis = (int)last - 1; axis >= (int)first; axis--) {
        int64 outer = i / view.shape[axis];
        offset += (i - outer * view.shape[axis]) * view.strides[axis];
        i = outer;
    }
    return offset;
}

#ifdef NX_WIDE
enum Op { SUM, MEAN, PROD, MAX, MIN, ABS_SUM, NORM, ABS_MAX, ABS_MIN, NONZERO, POWER, SQUARES_AROUND, EXP_FROM, VAR, STD, LOGSUMEXP };
#ifdef NX_FLOATS
typedef double Sum;
constexpr bool floats = true;
__device__ __forceinline__ Sum size_of(Sum x) { return fabs(x); }
__device__ __forceinline__ Sum power_of(Sum x, Sum p) { return pow(x, p); }
__device__ __forceinline__ Sum exponential(Sum x) { return exp_of(x); }
#else
typedef int64 Sum;  // sums, products, extremes and counts; the operations make floats of integers for the rest
constexpr bool floats = false;
__device__ __forceinline__ Sum size_of(Sum x) { return x < 0 ? minus((Sum)0, x) : x; }
__device__ __forceinline__ Sum power_of(Sum x, Sum) { return x; }
__device__ __forceinline__ Sum exponential(Sum x) { return x; }
#endif

__device__ __forceinline__ Sum larger(Sum a, Sum b) { return a > b || a != a ? a : b; }
__device__ __forceinline__ Sum smaller(Sum a, Sum b) { return a < b || a != a ? a : b; }

__device__ __forceinline__ Sum start(int op) {
    if (op == PROD) return 1;
    if (op == MAX) return Traits<Sum>::low();
    return op == MIN || op == ABS_MIN ? Traits<Sum>::high() : (Sum)0;
}

__device__ __forceinline__ Sum merge(int op, Sum a, Sum b) {
    if (op == PROD) return times(a, b);
    if (op == MAX || op == ABS_MAX) return larger(a, b);
    return op == MIN || op == ABS_MIN ? smaller(a, b) : plus(a, b);
}

// What of an element is merged in; `p` is a norm's exponent, a mean or a maximum.
__device__ __forceinline__ Sum part(int op, Sum x, Sum p) {
    switch (op) {
        case ABS_SUM: case ABS_MAX: case ABS_MIN: return size_of(x);
        case NORM: return times(x, x);
        case NONZERO: return x == 0 ? 0 : 1;
        case POWER: return power_of(size_of(x), p);
        case SQUARES_AROUND: { Sum d = minus(x, p); return times(d, d); }
        case EXP_FROM: return exponential(minus(x, p));
        default: return x;
    }
}

// One pass over the elements of an output; every thread of its team gets the result.
__device__ __forceinline__ Sum pass(int op, const element* x, const View& view, int64 kept, const Team& team, bool live, Sum p, Sum* shared) {
    Sum sum = start(op);
    if (live)
        for (int64 i = team.lane; i < team.count; i += team.lanes)
            sum = merge(op, sum, part(op, (Sum)x[along(view, kept, view.axes, i)], p));
    shared[team.slot(team.lane)] = sum;
    __syncthreads();
    for (int half = team.lanes / 2; half > 0; half /= 2) {
        if (team.lane < half) shared[team.slot(team.lane)] = merge(op, shared[team.slot(team.lane)], shared[team.slot(team.lane + half)]);
        __syncthreads();
    }
    sum = shared[team.slot(0)];
    __syncthreads();
    return sum;
}

__device__ __forceinline__ Sum of(double x) { return convert<Sum>(x); }

__device__ __forceinline__ Sum finish(int op, Sum s, double count, double a) {
    if (!floats) return op == MEAN ? of((double)s / count) : s;
    double free = count - a > 0 ? count - a : 0, x = (double)s;
    switch (op) {
        case MEAN: return of(x / count);
        case NORM: return of(sqrt(x));
        case POWER: return of(pow(x, 1 / a));
        case VAR: return of(x / free);
        case STD: return of(sqrt(x / free));
        case LOGSUMEXP: return of(log_of(x));
        default: return s;
    }
}

KERNEL NX_NAME(reduce)(element* y, const element* x, const View x_view, int64 kept, int64 op, double a) {
    __shared__ Sum shared[256];
    Team team(x_view, kept);
    bool spread = floats && (op == VAR || op == STD), softly = floats && op == LOGSUMEXP;
    int first = spread || op == MEAN ? SUM : softly ? MAX : (int)op;
    for (int64 block = blockIdx.x; block * team.outputs < team.total; block += gridDim.x) {
        int64 output = block * team.outputs + team.output;
        bool live = output < team.total;
        const element* from = live ? x + along(x_view, 0, kept, output) : x;
        Sum sum = pass(first, from, x_view, kept, team, live, of(a), shared), result;
        if (team.count == 0) {
            result = finish((int)op, start((int)op), 0, a);
        } else if (spread) {
            Sum centre = of((double)sum / team.count);
            result = finish((int)op, pass(SQUARES_AROUND, from, x_view, kept, team, live, centre, shared), (double)team.count, a);
        } else if (softly) {
            double top = (double)sum;
            Sum centre = of(top == Traits<double>::high() || top == Traits<double>::low() ? 0 : top);
            result = of(log_of((double)pass(EXP_FROM, from, x_view, kept, team, live, centre, shared)) + (double)centre);
        } else {
            result = finish((int)op, sum, (double)team.count, a);
        }
        if (live && team.lane == 0) y[output] = (element)result;
    }
}
#endif

#ifdef NX_NUMBERS
// Whether a comes before b: NaN first, then the larger (op 0) or smaller element, then the earlier place.
__device__ __forceinline__ bool before(int64 op, element a, int64 place_a, element b, int64 place_b) {
    bool nan_a = a != a, nan_b = b != b;
    if (nan_a != nan_b) return nan_a;
    if (!nan_a && a != b) return op == 0 ? a > b : a < b;
    return place_a < place_b;
}

KERNEL NX_NAME(arg_reduce)(const element* x, const View x_view, int64* index, int64 kept, int64 op) {
    __shared__ element values[256];
    __shared__ int64 places[256];
    Team team(x_view, kept);
    for (int64 block = blockIdx.x; block * team.outputs < team.total; block += gridDim.x) {
        int64 output = block * team.outputs + team.output, place = team.count;
        bool live = output < team.total;
        element best = 0;
        if (live)
            for (int64 i = team.lane; i < team.count; i += team.lanes) {
                element value = x[along(x_view, 0, kept, output) + along(x_view, kept, x_view.axes, i)];
                if (place == team.count || before(op, value, i, best, place)) best = value, place = i;
            }
        values[team.slot(team.lane)] = best;
        places[team.slot(team.lane)] = place;
        __syncthreads();
        for (int half = team.lanes / 2; half > 0; half /= 2) {
            int here = team.slot(team.lane), there = team.slot(team.lane + half);
            if (team.lane < half && places[there] < team.count &&
                (places[here] == team.count || before(op, values[there], places[there], values[here], places[here]))) {
                values[here] = values[there];
                places[here] = places[there];
            }
            __syncthreads();
        }
        if (live && team.lane == 0) index[output] = places[team.slot(0)];
        __syncthreads();
    }
}
#endif
