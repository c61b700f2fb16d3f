// sampling.cu - sampling a map at the points of a grid, and both gradients.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Same bits as the CPU.
//
// The map's gradient: the taps of all points are sorted by the pixel that they fall on, stably, eight bits at a time, and each
// pixel's are added up in order by one thread a channel. Taps of one image are counted in 32 bits.
// max-registers: 192
// launch grid_sample_map: threads n * points * inner
// launch grid_sample_grid_backward: threads n * points * 16
// launch grid_sample_backward: let taps = 4 * (axes - 1) + 6 * mode; let chunks = points * taps / 2048;
//     let size = points * taps * 3 + 128 * chunks + d * h * w / 2 + 130; doubles n * size; threads n * points;
//     then grid_sample_count_0; blocks n * chunks; then grid_sample_starts_0; blocks n * 256; then grid_sample_move_0; blocks n * chunks;
//     then grid_sample_count_1; blocks n * chunks; if d * h * w >= 256;
//     then grid_sample_starts_1; blocks n * 256; if d * h * w >= 256;
//     then grid_sample_move_1; blocks n * chunks; if d * h * w >= 256;
//     then grid_sample_count_2; blocks n * chunks; if d * h * w >= 65536;
//     then grid_sample_starts_2; blocks n * 256; if d * h * w >= 65536;
//     then grid_sample_move_2; blocks n * chunks; if d * h * w >= 65536;
//     then grid_sample_count_3; blocks n * chunks; if d * h * w >= 16777216;
//     then grid_sample_starts_3; blocks n * 256; if d * h * w >= 16777216;
//     then grid_sample_move_3; blocks n * chunks; if d * h * w >= 16777216;
//     then grid_sample_segments; threads n * (d * h * w + 1); then grid_sample_add; threads n * outer * d * h * w * inner
#include "block.cuh"

#ifdef NX_FLOATS
#include "taps.cuh"

#define SIZES {n, outer, d, h, w, inner, points, axes, {padding, align != 0}}

// A thread a point and channel; maps that share their points (outer) are its inner loop.
template <int count> __device__ __forceinline__ void sample(element* y, const element* x, const element* grid, const Sizes& s) {
    for (EACH(i, s.n * s.points * s.inner)) {
        const int64 c = i % s.inner, row = i / s.inner, b = row / s.points, p = row - b * s.points;
        const Point<count> point(s, grid + row * s.axes);
        for (int64 o = 0; o < s.outer; o++) {
            const element* map = x + (b * s.outer + o) * s.pixels() * s.inner + c;
            element sum = 0;
            point.each(s, [&](int, int64 pixel, const Tap& z, const Tap& r, const Tap& t) {
                sum = mul_add(z.weight * (r.weight * t.weight), map[pixel * s.inner], sum);
            });
            y[((b * s.outer + o) * s.points + p) * s.inner + c] = sum;
        }
    }
}

KERNEL NX_NAME(grid_sample_map)(element* y, const element* x, const element* grid, int64 n, int64 outer, int64 d, int64 h, int64 w,
                                int64 inner, int64 points, int64 axes, int64 mode, int64 padding, int64 align) {
    const Sizes s = SIZES;
    BY_MODE(mode, sample, y, x, grid, s);
}

// 16 threads a point share its channels out as the CPU's lanes do; a map of one channel takes one.
template <int count>
__device__ __forceinline__ void slope(element* dgrid, const element* dy, const element* x, const element* grid, const Sizes& s) {
    const int lanes = s.inner == 1 ? 1 : 16, lane = s.inner == 1 ? 0 : threadIdx.x % 16;
    const unsigned team = 0xffffu << (threadIdx.x & 16);
    for (EACH(i, s.n * s.points * lanes)) {
        const int64 row = i / lanes, b = row / s.points, p = row - b * s.points;
        const Point<count> point(s, grid + row * s.axes);
        element sums[3] = {};
        for (int64 o = 0; o < s.outer; o++) {
            const int64 m = b * s.outer + o;
            const element *gs = dy + (m * s.points + p) * s.inner, *map = x + m * s.pixels() * s.inner;
            point.each(s, [&](int, int64 pixel, const Tap& z, const Tap& r, const Tap& t) {
                element product = 0;
                for (int64 c = lane; c < s.inner; c += lanes) product = mul_add(gs[c], map[pixel * s.inner + c], product);
                if (lanes > 1)
                    for (int half = 8; half > 0; half /= 2) product = product + __shfl_down_sync(team, product, half, 16);
                sums[0] = mul_add(z.weight * r.weight * t.slope, product, sums[0]);
                sums[1] = mul_add(z.weight * r.slope * t.weight, product, sums[1]);
                sums[2] = mul_add(z.slope * r.weight * t.weight, product, sums[2]);
            });
        }
        if (lane > 0) continue;
        dgrid[row * s.axes] = sums[0];
        dgrid[row * s.axes + 1] = sums[1];
        if (s.axes == 3) dgrid[row * s.axes + 2] = sums[2];
    }
}

KERNEL NX_NAME(grid_sample_grid_backward)(element* dgrid, const element* dy, const element* x, const element* grid, int64 n, int64 outer,
                                          int64 d, int64 h, int64 w, int64 inner, int64 points, int64 axes, int64 mode, int64 padding,
                                          int64 align) {
    const Sizes s = SIZES;
    BY_MODE(mode, slope, dgrid, dy, x, grid, s);
}

// --- the map's gradient

// The memory of one image: weights of all taps; their pixels and numbers, twice; counts of chunks, digit by digit; where pixels begin.
// Taps outside fall on the pixel behind the last.
struct Work {
    double* weights;
    unsigned *copies, *counts, *starts;
    int64 per_point, count, chunks, room;

    __device__ __forceinline__ Work(double* scratch, int64 image, int64 points, int64 axes, int64 mode, int64 most, int64 most_chunks,
                                    int64 size) {
        per_point = mode == NEAREST ? 1 : mode == BICUBIC ? 16 : axes == 2 ? 4 : 8;
        count = points * per_point;
        chunks = (count + 2047) / 2048;
        weights = scratch + image * size;
        room = points * most;
        copies = (unsigned*)(weights + room);
        counts = copies + 4 * room;
        starts = counts + 256 * most_chunks + 256;
    }
    __device__ __forceinline__ unsigned* pixels(int copy) const { return copies + copy % 2 * room; }
    __device__ __forceinline__ unsigned* numbers(int copy) const { return copies + (2 + copy % 2) * room; }
    // Which copy holds the sorted taps.
    static __device__ __forceinline__ int sorted(int64 pixels) { return (pixels >= 256) + (pixels >= 65536) + (pixels >= 16777216) + 1; }
};

#define BACKWARD                                                                                                                        \
    element* dx, const element* dy, const element* grid, int64 n, int64 outer, int64 d, int64 h, int64 w, int64 inner, int64 points,    \
        int64 axes, int64 mode, int64 padding, int64 align, double* scratch, int64 taps, int64 chunks, int64 size
#define WORK(image) scratch, (image), points, axes, mode, taps, chunks, size

// The pixels and weights of a point's taps, in order.
template <int count>
__device__ __forceinline__ void list_taps(const Work& work, const Sizes& s, int64 first, const element* at) {
    for (int64 k = 0; k < work.per_point; k++) work.pixels(0)[first + k] = (unsigned)s.pixels();
    const Point<count> point(s, at);
    point.each(s, [&](int k, int64 pixel, const Tap& z, const Tap& r, const Tap& t) {
        work.pixels(0)[first + k] = (unsigned)pixel;
        work.weights[first + k] = (double)(z.weight * (r.weight * t.weight));
    });
}

KERNEL NX_NAME(grid_sample_backward)(BACKWARD) {
    const Sizes s = SIZES;
    for (EACH(row, n * points)) {
        const Work work(WORK(row / points));
        BY_MODE(mode, list_taps, work, s, row % points * work.per_point, grid + row * axes);
    }
}

// One chunk of 2048 taps by one digit of their pixels: counts of digits, or (move) each tap to its place among all.
template <bool move> __device__ __forceinline__ void by_digit(const Work& work, int64 chunk, int pass) {
    __shared__ unsigned next[256], before[WARPS][256], shared[WARPS + 1];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const unsigned *pixels = work.pixels(pass), *numbers = work.numbers(pass);
    unsigned start = 0;
    if (move) {  // all of lower digits come first; a digit's number stands behind its chunks
        unsigned total;
        start = sum_before(work.counts[256 * work.chunks + threadIdx.x], shared, total) + work.counts[threadIdx.x * work.chunks + chunk];
    }
    next[threadIdx.x] = start;
    for (int round = 0; round < 8; round++) {
        const int64 i = chunk * 2048 + round * 256 + threadIdx.x;
        const bool live = i < work.count;
        const unsigned pixel = live ? pixels[i] : 0, digit = pixel >> (8 * pass) & 255, same = peers<9>(live ? digit : 256);
        for (int k = 0; k < WARPS; k++) before[k][threadIdx.x] = 0;
        __syncthreads();
        if (live && __popc(same & ((1u << lane) - 1)) == 0) before[warp][digit] = __popc(same);
        __syncthreads();
        unsigned sum = next[threadIdx.x];
        for (int k = 0; k < WARPS; k++) {
            const unsigned more = before[k][threadIdx.x];
            before[k][threadIdx.x] = sum;
            sum += more;
        }
        next[threadIdx.x] = sum;
        __syncthreads();
        if (move && live) {
            const unsigned to = before[warp][digit] + __popc(same & ((1u << lane) - 1));
            work.pixels(pass + 1)[to] = pixel;
            work.numbers(pass + 1)[to] = pass == 0 ? (unsigned)i : numbers[i];
        }
        __syncthreads();
    }
    if (!move) work.counts[threadIdx.x * work.chunks + chunk] = next[threadIdx.x];
}

template <bool move> __device__ __forceinline__ void chunk_by_digit(BACKWARD, int pass) {
    const Work work(WORK(blockIdx.x / chunks));
    const int64 chunk = blockIdx.x % chunks;
    if (chunk < work.chunks) by_digit<move>(work, chunk, pass);
}

// A block a digit: where each chunk's taps of it begin among those of that digit, and how many there are.
__device__ __forceinline__ void digit_starts(BACKWARD) {
    __shared__ unsigned shared[WARPS + 1];
    const Work work(WORK(blockIdx.x / 256));
    const int digit = blockIdx.x % 256;
    const unsigned all = start_after(work.counts + digit * work.chunks, work.chunks, 0u, shared);
    if (threadIdx.x == 0) work.counts[256 * work.chunks + digit] = all;
}

#define GIVEN dx, dy, grid, n, outer, d, h, w, inner, points, axes, mode, padding, align, scratch, taps, chunks, size
#define PASS(count_name, starts_name, move_name, pass)                            \
    KERNEL NX_NAME(count_name)(BACKWARD) { chunk_by_digit<false>(GIVEN, pass); }  \
    KERNEL NX_NAME(starts_name)(BACKWARD) { digit_starts(GIVEN); }                \
    KERNEL NX_NAME(move_name)(BACKWARD) { chunk_by_digit<true>(GIVEN, pass); }
PASS(grid_sample_count_0, grid_sample_starts_0, grid_sample_move_0, 0)
PASS(grid_sample_count_1, grid_sample_starts_1, grid_sample_move_1, 1)
PASS(grid_sample_count_2, grid_sample_starts_2, grid_sample_move_2, 2)
PASS(grid_sample_count_3, grid_sample_starts_3, grid_sample_move_3, 3)

// Where each pixel's taps begin among the sorted: found by halving.
KERNEL NX_NAME(grid_sample_segments)(BACKWARD) {
    const int64 all = d * h * w;
    for (EACH(i, n * (all + 1))) {
        const Work work(WORK(i / (all + 1)));
        const unsigned pixel = (unsigned)(i % (all + 1)), *pixels = work.pixels(Work::sorted(all));
        int64 low = 0, high = work.count;
        while (low < high) {
            const int64 middle = (low + high) / 2;
            if (pixels[middle] < pixel) low = middle + 1; else high = middle;
        }
        work.starts[pixel] = (unsigned)low;
    }
}

KERNEL NX_NAME(grid_sample_add)(BACKWARD) {
    const int64 all = d * h * w;
    for (EACH(i, n * outer * all * inner)) {
        const int64 c = i % inner, pixel = i / inner % all, m = i / (inner * all);
        const Work work(WORK(m / outer));
        const unsigned* sorted = work.numbers(Work::sorted(all));
        element sum = 0;
        for (unsigned k = work.starts[pixel]; k < work.starts[pixel + 1]; k++) {
            const unsigned at = sorted[k];
            sum = mul_add((element)work.weights[at], dy[(m * points + at / (unsigned)work.per_point) * inner + c], sum);
        }
        dx[i] = sum;
    }
}
#endif
