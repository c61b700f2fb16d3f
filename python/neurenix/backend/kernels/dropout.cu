// dropout.cu - elements kept or dropped by Philox's words.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Same bits as the CPU.
// launch dropout_into: threads samples * size
#include "common.cuh"
#include "philox.cuh"

#ifdef NX_FLOATS
KERNEL NX_NAME(dropout_into)(element* y, const element* x, int64 samples, int64 size, int64 period, double drop, double scale,
                             double shift, double fill, uint64 seed, uint64 call, uint64 first) {
    const uint64 below = (uint64)(drop * 4294967296.0 + 0.5);
    for (EACH(i, samples * size)) {
        uint64 e = (uint64)(i % size % period), high = (first + (uint64)(i / size)) << 32;
        unsigned word = philox(high | e / 4, call, seed).at((int)(e % 4));
        y[i] = word >= below ? mul_add(x[i], (element)scale, (element)shift) : (element)fill;
    }
}
#endif
