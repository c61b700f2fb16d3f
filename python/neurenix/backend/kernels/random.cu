// random.cu - random numbers: element i is a function of seed, call and i alone.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Same bits as the CPU, but for Poisson
// numbers: integers decided by the platform's exp, log and lgamma, the same but where a decision falls within 1e-15 of a draw.
// max-stack: 64
// launch random_uniform: threads y; lengths
// launch random_normal: threads y; lengths
// launch random_truncated_normal: threads y; lengths
// launch random_poisson: threads y; lengths
// launch random_integers: threads y; lengths
// launch random_permutation: blocks 1; lengths
#include "math.cuh"
#include "philox.cuh"

#ifdef NX_FLOATS
constexpr int PER = sizeof(element) == 4 ? 4 : 2;  // numbers of a block of words

KERNEL NX_NAME(random_uniform)(element* y, int64 y_size, double low, double high, uint64 seed, uint64 call) {
    for (EACH(i, y_size)) {
        Words c = philox((uint64)(i / PER), call, seed);
        int part = (int)(i % PER);
        double u = PER == 4 ? (double)(c.at(part) >> 8) * (1.0 / 16777216.0) : unit_of(c.at(part % 2 * 2), c.at(part % 2 * 2 + 1));
        y[i] = (element)fma(u, high - low, low);
    }
}

// Two normal numbers from two uniform ones (Box and Muller).
KERNEL NX_NAME(random_normal)(element* y, int64 y_size, double mean, double deviation, uint64 seed, uint64 call) {
    constexpr double step = 1.0 / 4294967296.0;
    for (EACH(i, y_size)) {
        Words c = philox((uint64)(i / PER), call, seed);
        int pair = (int)(i % PER / 2) * 2;
        double u = PER == 4 ? ((double)c.at(pair) + 1.0) * step : 1.0 - unit_of(c.w[0], c.w[1]);
        double v = PER == 4 ? (double)c.at(pair + 1) * step : unit_of(c.w[2], c.w[3]);
        double radius = sqrt(-2.0 * log_of(u)), sin_v, cos_v;
        sin_cos_turns(v, sin_v, cos_v);
        y[i] = (element)fma(radius * (i % 2 ? sin_v : cos_v), deviation, mean);
    }
}

// Draws outside [low, high] are repeated; the number of the attempt is the sample's.
KERNEL NX_NAME(random_truncated_normal)(element* y, int64 y_size, double mean, double deviation, double low, double high, uint64 seed,
                                        uint64 call) {
    for (EACH(i, y_size)) {
        double value = Traits<double>::nan();
        for (uint64 attempt = 0; attempt < 4000; attempt++) {
            Words c = philox(attempt << 32 ^ (uint64)i, call, seed);
            double radius = sqrt(-2.0 * log_of(1.0 - unit_of(c.w[0], c.w[1]))), sin_v, cos_v;
            sin_cos_turns(unit_of(c.w[2], c.w[3]), sin_v, cos_v);
            double first = fma(radius * cos_v, deviation, mean), second = fma(radius * sin_v, deviation, mean);
            bool hit = first >= low && first <= high, second_hit = second >= low && second <= high;
            value = hit ? first : second_hit ? second : first < low ? low : first > high ? high : first;
            if (hit || second_hit) break;
        }
        y[i] = (element)value;
    }
}

// The smallest k at which the distribution reaches u.
__device__ __forceinline__ double poisson_by_inversion(double rate, double u) {
    double k = 0, term = exp(-rate), total = term;
    while (u > total && k < 200) {
        k += 1;
        term *= rate / k;
        total += term;
    }
    return k;
}

// W. Hoermann, "The transformed rejection method for generating Poisson random variables", 1993 (PTRS).
__device__ __forceinline__ double poisson_by_rejection(double rate, uint64 element_number, uint64 seed, uint64 call) {
    const double log_rate = log(rate), b = fma(2.53, sqrt(rate), 0.931), a = fma(0.02483, b, -0.059);
    const double inverse = 1.1239 + 1.1328 / (b - 3.4), reach = 0.9277 - 3.6224 / (b - 2.0);
    for (uint64 attempt = 0; attempt < 200; attempt++) {
        Words c = philox(attempt << 32 ^ element_number, call, seed);
        double u = unit_of(c.w[0], c.w[1]) - 0.5, v = 1.0 - unit_of(c.w[2], c.w[3]), us = 0.5 - fabs(u);
        double k = floor(fma(2.0 * a / us + b, u, rate + 0.43));
        if (us >= 0.07 && v <= reach) return k;
        if (k < 0 || (us < 0.013 && v > us)) continue;
        if (log(v) + log(inverse) - log(a / (us * us) + b) <= fma(k, log_rate, -rate) - lgamma(k + 1.0)) return k;
    }
    return floor(rate);
}

KERNEL NX_NAME(random_poisson)(element* y, int64 y_size, const element* x, int64 x_size, double scale, uint64 seed, uint64 call) {
    for (EACH(i, y_size)) {
        const double rate = (double)x[i] * scale;
        double number = 0;
        if (rate >= 10) {
            number = poisson_by_rejection(rate, (uint64)i, seed, call);
        } else if (rate > 0) {
            Words c = philox((uint64)i, call, seed);
            number = poisson_by_inversion(rate, unit_of(c.w[0], c.w[1]));
        }
        y[i] = (element)(number / scale);
    }
}
#endif

#ifdef NX_NUMBERS
KERNEL NX_NAME(random_integers)(int64* y, int64 y_size, int64 low, uint64 span, uint64 seed, uint64 call) {
    for (EACH(i, y_size)) {
        Words c = philox((uint64)(i / 2), call, seed);
        int part = (int)(i % 2) * 2;
        y[i] = (int64)((uint64)low + high_product((uint64)c.at(part + 1) << 32 | c.at(part), span));
    }
}

// Fisher and Yates' exchanges of places i and j <= i, from the last i on, 256 at a time: each waits until those before it that touch
// its places are done.
KERNEL NX_NAME(random_permutation)(int64* y, int64 y_size, uint64 seed, uint64 call) {
    __shared__ int64 places[256];
    __shared__ bool waits[256];
    const int me = threadIdx.x;
    for (int64 i = me; i < y_size; i += 256) y[i] = i;
    for (int64 top = y_size - 1; top > 0; top -= 256) {
        const int64 i = top - me;
        Words c = philox((uint64)(i > 0 ? i : 0), call, seed);
        const int64 j = (int64)high_product((uint64)c.w[1] << 32 | c.w[0], (uint64)i + 1);
        bool pending = i > 0;
        places[me] = j;
        waits[me] = pending;
        __syncthreads();
        do {
            bool ready = pending;
            for (int k = 0; ready && k < me; k++) ready = !(waits[k] && (places[k] == i || places[k] == j));
            __syncthreads();
            if (ready) {
                const int64 held = y[i];
                y[i] = y[j];
                y[j] = held;
                waits[me] = pending = false;
            }
        } while (__syncthreads_or(pending));
    }
}
#endif
