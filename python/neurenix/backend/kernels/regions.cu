// regions.cu - distances along one axis of (outer, n, inner); one thread an element looks at its whole line.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. The least of the same values, so the same
// bits as the CPU's envelope where their order is exact: at spacing 1, and else but for the last place.
// launch distance_pass: threads outer * n * inner
#include "common.cuh"

#ifdef NX_FLOATS
KERNEL NX_NAME(distance_pass)(element* y, const element* x, int64 outer, int64 n, int64 inner, double spacing) {
    for (EACH(at, outer * n * inner)) {
        int64 k = at / inner % n, start = at / inner / n * n * inner + at % inner;
        double least = Traits<double>::high();
        for (int64 j = 0; j < n; j++) {
            double way = spacing * ((double)k - (double)j), value = (double)x[start + j * inner] + way * way;
            least = value < least ? value : least;
        }
        y[at] = (element)least;
    }
}
#endif
