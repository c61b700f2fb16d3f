// padding.cu - moving pixels by an index an axis: padding of every kind, cropping, nearest-neighbour sampling.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Same bits as the CPU.
// launch take_map: threads outer * oh * ow * inner
#include "common.cuh"

#ifdef NX_BYTES
KERNEL NX_NAME(take_map)(element* y, const element* x, const element* fill, const int64* rows, const int64* cols, int64 outer, int64 h,
                         int64 w, int64 inner, int64 oh, int64 ow) {
    for (EACH(n, outer * oh * ow * inner)) {
        const Spot spot(n, outer * oh * ow * inner, oh, ow, inner);
        const int64 c = spot.c, j = spot.j, i = spot.i, o = spot.o;
        int64 row = rows[i], col = cols[j];
        y[n] = row < 0 || col < 0 ? fill[0] : x[((o * h + row) * w + col) * inner + c];
    }
}
#endif
