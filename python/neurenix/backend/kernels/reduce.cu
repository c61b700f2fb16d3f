// reduce.cu - reductions of strided views over their last axes, accumulated in double for floats.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Sums are added in an order of their
// own, which follows from shape and strides alone: in double they agree with the CPU's to 1e-14 of the sum of magnitudes.
// Extremes and indices are the same bits.
// max-stack: 64
// launch reduce: let parts = max(1, min(1024, x / max(1, y) / 8192)); doubles 2 * y * parts; blocks y * parts;
//     then reduce_again; blocks y * parts; if parts > 1 and op >= 13; then reduce_joined; blocks y; if parts > 1
// launch arg_reduce: let parts = max(1, min(1024, x / max(1, index) / 8192)); doubles 2 * index * parts; blocks index * parts;
//     then arg_joined; blocks index; if parts > 1
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
    if (last - first == 1) return i * view.strides[first];
    if (view.size < 0x7fffffff) {  // the common case, with the cheaper division
        unsigned rest = (unsigned)i;
        for (int axis = (int)last - 1; axis >= (int)first; axis--) {
            const unsigned n = (unsigned)view.shape[axis], outer = rest / n;
            offset += (int64)(rest - outer * n) * view.strides[axis];
            rest = outer;
        }
        return offset;
    }
    for (int axis = (int)last - 1; axis >= (int)first; axis--) {
        int64 outer = i / view.shape[axis];
        offset += (i - outer * view.shape[axis]) * view.strides[axis];
        i = outer;
    }
    return offset;
}

// Outputs of many elements are shared out: part k of output i is number k * total + i of the units that teams take.
struct Unit {
    int64 output, begin, stop, number;
    bool live;
    __device__ __forceinline__ Unit(const Team& team, int64 block, int64 parts) {
        number = block * team.outputs + team.output;
        live = number < team.total * parts;
        output = live ? number % team.total : 0;
        const int64 size = (team.count + parts - 1) / parts, part = live ? number / team.total : 0;
        begin = part * size;
        stop = !live ? begin : begin + size < team.count ? begin + size : team.count;
    }
};

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

// What the threads of a team have, merged; every thread of it gets the result.
__device__ __forceinline__ Sum together(int op, Sum sum, const Team& team, Sum* shared) {
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

// One pass over elements begin .. stop of an output; every thread of its team gets the result.
__device__ __forceinline__ Sum pass(int op, const element* x, const View& view, int64 kept, const Team& team, int64 begin, int64 stop, Sum p,
                                    Sum* shared) {
    Sum sum = start(op);
    for (int64 i = begin + team.lane; i < stop; i += team.lanes)
        sum = merge(op, sum, part(op, (Sum)x[along(view, kept, view.axes, i)], p));
    return together(op, sum, team, shared);
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

#define REDUCE element* y, const element* x, const View x_view, int64 kept, int64 op, double a, double* scratch, int64 parts

__device__ __forceinline__ bool is_spread(int64 op) { return floats && (op == VAR || op == STD); }
__device__ __forceinline__ bool is_soft(int64 op) { return floats && op == LOGSUMEXP; }
// What the first pass finds: a sum for a mean, a maximum for exponentials.
__device__ __forceinline__ int first_of(int64 op) { return is_spread(op) || op == MEAN ? SUM : is_soft(op) ? MAX : (int)op; }
// What the second pass takes away from each element.
__device__ __forceinline__ Sum centre_of(int64 op, Sum first, double count) {
    const double x = (double)first;
    if (is_spread(op)) return of(x / count);
    return of(x == Traits<double>::high() || x == Traits<double>::low() ? 0 : x);
}
__device__ __forceinline__ int second_of(int64 op) { return is_spread(op) ? SQUARES_AROUND : EXP_FROM; }
__device__ __forceinline__ Sum finished(int64 op, Sum sum, Sum centre, double count, double a) {
    return is_soft(op) ? of(log_of((double)sum) + (double)centre) : finish((int)op, sum, count, a);
}

KERNEL NX_NAME(reduce)(REDUCE) {
    __shared__ Sum shared[256];
    const Team team(x_view, kept);
    for (int64 block = blockIdx.x; block * team.outputs < team.total * parts; block += gridDim.x) {
        const Unit unit(team, block, parts);
        const element* from = x + along(x_view, 0, kept, unit.output);
        Sum sum = pass(first_of(op), from, x_view, kept, team, unit.begin, unit.stop, of(a), shared), centre = 0;
        if (parts > 1) {
            if (unit.live && team.lane == 0) ((Sum*)scratch)[unit.number] = sum;
            continue;
        }
        if (team.count == 0) {
            sum = finish((int)op, start((int)op), 0, a);
        } else {
            if (is_spread(op) || is_soft(op)) {
                centre = centre_of(op, sum, (double)team.count);
                sum = pass(second_of(op), from, x_view, kept, team, unit.begin, unit.stop, centre, shared);
            }
            sum = finished(op, sum, centre, (double)team.count, a);
        }
        if (unit.live && team.lane == 0) y[unit.output] = (element)sum;
    }
}

// The parts of an output, merged by its team.
__device__ __forceinline__ Sum parts_of(int op, const Sum* found, const Team& team, int64 output, int64 parts, Sum* shared) {
    Sum sum = start(op);
    for (int64 k = team.lane; k < parts; k += team.lanes) sum = merge(op, sum, found[k * team.total + output]);
    return together(op, sum, team, shared);
}

// The second pass over the elements of variances and sums of exponentials, part by part.
KERNEL NX_NAME(reduce_again)(REDUCE) {
    __shared__ Sum shared[256];
    const Team team(x_view, kept);
    for (int64 block = blockIdx.x; block * team.outputs < team.total * parts; block += gridDim.x) {
        const Unit unit(team, block, parts);
        const Sum first = parts_of(first_of(op), (Sum*)scratch, team, unit.output, parts, shared);
        const element* from = x + along(x_view, 0, kept, unit.output);
        const Sum centre = centre_of(op, first, (double)team.count);
        const Sum sum = pass(second_of(op), from, x_view, kept, team, unit.begin, unit.stop, centre, shared);
        if (unit.live && team.lane == 0) ((Sum*)scratch)[team.total * parts + unit.number] = sum;
    }
}

KERNEL NX_NAME(reduce_joined)(REDUCE) {
    __shared__ Sum shared[256];
    const Team team(x_view, kept);
    const bool twice = is_spread(op) || is_soft(op);
    for (int64 block = blockIdx.x; block * team.outputs < team.total; block += gridDim.x) {
        const Unit unit(team, block, 1);
        Sum sum = parts_of(first_of(op), (Sum*)scratch, team, unit.output, parts, shared), centre = 0;
        if (twice) {
            centre = centre_of(op, sum, (double)team.count);
            sum = parts_of(second_of(op), (Sum*)scratch + team.total * parts, team, unit.output, parts, shared);
        }
        sum = finished(op, sum, centre, (double)team.count, a);
        if (unit.live && team.lane == 0) y[unit.output] = (element)sum;
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

#define ARG_REDUCE const element* x, const View x_view, int64* index, int64 kept, int64 op, double* scratch, int64 parts

// The first of what a team has found: an element and its place, `team.count` where a thread has none. Its first thread gets the result.
struct Found {
    element value;
    int64 place;
    __device__ __forceinline__ void meet(int64 op, element other, int64 at, int64 none) {
        if (at < none && (place == none || before(op, other, at, value, place))) value = other, place = at;
    }
};
__device__ __forceinline__ Found first_of_team(int64 op, Found found, const Team& team, element* values, int64* places) {
    values[team.slot(team.lane)] = found.value;
    places[team.slot(team.lane)] = found.place;
    __syncthreads();
    for (int half = team.lanes / 2; half > 0; half /= 2) {
        const int here = team.slot(team.lane), there = team.slot(team.lane + half);
        if (team.lane < half) {
            found.meet(op, values[there], places[there], team.count);
            values[here] = found.value, places[here] = found.place;
        }
        __syncthreads();
    }
    return found;
}

KERNEL NX_NAME(arg_reduce)(ARG_REDUCE) {
    __shared__ element values[256];
    __shared__ int64 places[256];
    const Team team(x_view, kept);
    for (int64 block = blockIdx.x; block * team.outputs < team.total * parts; block += gridDim.x) {
        const Unit unit(team, block, parts);
        const element* from = x + along(x_view, 0, kept, unit.output);
        Found found = {0, team.count};
        for (int64 i = unit.begin + team.lane; i < unit.stop; i += team.lanes) found.meet(op, from[along(x_view, kept, x_view.axes, i)], i, team.count);
        found = first_of_team(op, found, team, values, places);
        if (!unit.live || team.lane > 0) continue;
        if (parts == 1) index[unit.output] = found.place;
        else ((element*)scratch)[unit.number] = found.value, ((int64*)scratch)[team.total * parts + unit.number] = found.place;
    }
}

KERNEL NX_NAME(arg_joined)(ARG_REDUCE) {
    __shared__ element values[256];
    __shared__ int64 places[256];
    const Team team(x_view, kept);
    for (int64 block = blockIdx.x; block * team.outputs < team.total; block += gridDim.x) {
        const Unit unit(team, block, 1);
        Found found = {0, team.count};
        for (int64 k = team.lane; k < parts; k += team.lanes) {
            const int64 at = k * team.total + unit.output;
            found.meet(op, ((element*)scratch)[at], ((int64*)scratch)[team.total * parts + at], team.count);
        }
        found = first_of_team(op, found, team, values, places);
        if (unit.live && team.lane == 0) index[unit.output] = found.place;
    }
}
#endif
