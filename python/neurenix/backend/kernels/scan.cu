// scan.cu - running sums and products along the middle axis of (outer, n, inner); one thread a line.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Same bits as the CPU.
// launch scan: threads outer * inner
#include "common.cuh"

#ifdef NX_WIDE
#ifdef NX_FLOATS
typedef double Sum;
#else
typedef int64 Sum;
#endif

KERNEL NX_NAME(scan)(element* y, const element* x, int64 outer, int64 n, int64 inner, int64 op, int64 reverse) {
    for (EACH(line, outer * inner)) {
        Sum total = op == 1 ? 1 : 0;
        for (int64 k = 0; k < n; k++) {
            int64 at = (line / inner * n + (reverse ? n - 1 - k : k)) * inner + line % inner;
            total = op == 1 ? times(total, (Sum)x[at]) : plus(total, (Sum)x[at]);
            y[at] = (element)total;
        }
    }
}
#endif
