// unpooling.cu - the inverse of max pooling.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Same bits as the CPU.
// launch unpool: threads outer * inner
// launch unpool_add: threads outer * inner
// launch unpool_backward: threads outer * pixels * inner
#include "common.cuh"

#ifdef NX_FLOATS
// One thread a plane, since addresses depend on data: the order of pixels decides. An index outside is left out; the CPU refuses it.
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

KERNEL NX_NAME(unpool)(element* y, const element* x, const int64* index, int64 outer, int64 pixels, int64 inner, int64 count) {
    spread<false>(y, x, index, outer, pixels, inner, count);
}

KERNEL NX_NAME(unpool_add)(element* y, const element* x, const int64* index, int64 outer, int64 pixels, int64 inner, int64 count) {
    spread<true>(y, x, index, outer, pixels, inner, count);
}

KERNEL NX_NAME(unpool_backward)(element* dx, const element* dy, const int64* index, int64 outer, int64 pixels, int64 inner, int64 count) {
    for (EACH(n, outer * pixels * inner)) {
        int64 q = index[n], o = n / (pixels * inner);
        dx[n] = q >= 0 && q < count ? dy[(o * count + q) * inner + n % inner] : 0;
    }
}
#endif
