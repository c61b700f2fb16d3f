// unpooling.cu - the inverse of max pooling.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Same bits as the CPU: the order of pixels
// decides; those of a large plane are sorted by where they go, so that there is a thread a place, else one follows a plane.
// An index outside is left out; the CPU refuses it.
// launch unpool: doubles 4 * x * (pixels > 255); threads outer * inner * (pixels < 256);
//     then unpool_tiles; blocks x / 2048; if pixels > 255; then unpool_merge; times doublings(2048, x); blocks x / 2048; if pixels > 255;
//     then unpool_last; threads y; if pixels > 255
// launch unpool_add: doubles 4 * x * (pixels > 255); threads outer * inner * (pixels < 256);
//     then unpool_tiles; blocks x / 2048; if pixels > 255; then unpool_merge; times doublings(2048, x); blocks x / 2048; if pixels > 255;
//     then unpool_sum; threads y; if pixels > 255
// launch unpool_backward: threads outer * pixels * inner
#include "sorting.cuh"

#ifdef NX_FLOATS
#define UNPOOL element* y, const element* x, const int64* index, int64 outer, int64 pixels, int64 inner, int64 count, double* scratch

template <bool add>
__device__ __forceinline__ void spread(element* y, const element* x, const int64* index, int64 outer, int64 pixels, int64 inner, int64 count) {
    for (EACH(n, outer * inner)) {
        int64 c = n % inner, o = n / inner;
        for (int64 q = 0; q < count; q++) y[(o * count + q) * inner + c] = 0;
        for (int64 p = 0; p < pixels; p++) {
            int64 from = (o * pixels + p) * inner + c, to = index[from];
            if (to < 0 || to >= count) continue;
            element* place = y + (o * count + to) * inner + c;
            *place = add ? *place + x[from] : x[from];
        }
    }
}

KERNEL NX_NAME(unpool)(UNPOOL) { spread<false>(y, x, index, outer, pixels, inner, count); }
KERNEL NX_NAME(unpool_add)(UNPOOL) { spread<true>(y, x, index, outer, pixels, inner, count); }

// A key is where in `y` an element goes.
KERNEL NX_NAME(unpool_tiles)(UNPOOL) {
    sort_keys(scratch, outer * pixels * inner, [&](int64 place) {
        const int64 to = index[place];
        return to < 0 || to >= count ? -1 : (place / (pixels * inner) * count + to) * inner + place % inner;
    });
}
KERNEL NX_NAME(unpool_merge)(UNPOOL, int64 round) { merge_keys(scratch, outer * pixels * inner, round); }
KERNEL NX_NAME(unpool_last)(UNPOOL) {
    const Sorted sorted(scratch, outer * pixels * inner);
    for (EACH(i, outer * count * inner)) {
        const int64 behind = sorted.from(i + 1);
        y[i] = behind > 0 && sorted.keys[behind - 1] == i ? x[sorted.places[behind - 1]] : 0;
    }
}
KERNEL NX_NAME(unpool_sum)(UNPOOL) {
    const Sorted sorted(scratch, outer * pixels * inner);
    for (EACH(i, outer * count * inner)) {
        element sum = 0;
        sorted.each(i, [&](int64 place) { sum = sum + x[place]; });
        y[i] = sum;
    }
}

KERNEL NX_NAME(unpool_backward)(element* dx, const element* dy, const int64* index, int64 outer, int64 pixels, int64 inner, int64 count) {
    for (EACH(n, outer * pixels * inner)) {
        int64 q = index[n], o = n / (pixels * inner);
        dx[n] = q >= 0 && q < count ? dy[(o * count + q) * inner + n % inner] : 0;
    }
}
#endif
