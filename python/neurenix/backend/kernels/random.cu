// random.cu - random numbers: element i is a function of seed, call and i alone.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Uniform numbers and integers are the
// same bits as the CPU's; normal ones go through the platform's log, sin and cos, 4e-15 apart in double.
// max-stack: 64
// launch random_uniform: threads y; lengths
// launch random_normal: threads y; lengths
// launch random_integers: threads y; lengths
#include "common.cuh"
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
        double radius = sqrt(-2.0 * log(u)), angle = 6.28318530717958647693 * v;
        y[i] = (element)fma(radius * (i % 2 ? sin(angle) : cos(angle)), deviation, mean);
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
#endif
