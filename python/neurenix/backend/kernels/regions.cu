// regions.cu - connected regions, distances along one axis of (outer, n, inner), floods.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Regions and floods are the same as the
// CPU's. A distance is the least of the same values, so the same bits as the CPU's envelope where their order is exact: at
// spacing 1, and else but for the last place.
//
// Regions: union and find over all pixels at once, a root the first pixel of its region whatever the order of threads; roots are
// then numbered in order. A flood goes pixel by pixel, so one warp does it, with a heap of 32 children a node: right, but slower
// than a CPU. Its memory is 20 bytes a pixel, with a line 180 (490 in three dimensions).
// launch distance_pass: threads outer * n * inner
// launch label_components: let chunks = depth * height * width / 4096; doubles depth * height * width + chunks;
//     threads depth * height * width; then label_joins; threads depth * height * width; unordered;
//     then label_roots; threads depth * height * width; then label_counts; blocks chunks; then label_starts; blocks 1;
//     then label_numbers; blocks chunks; then label_writes; threads depth * height * width
// launch watershed_flood: let room = depth * height * width * (1 + line * min(26, 8 + 18 * (depth - 1)));
//     doubles room * 5 / 2 + depth * height * width / 8 + 8; blocks 1; block 32
#include "block.cuh"

#ifdef NX_FLOATS
// Away from k on both sides, until what is farther cannot be less: the squares so far are at least 0.
KERNEL NX_NAME(distance_pass)(element* y, const element* x, int64 outer, int64 n, int64 inner, double spacing) {
    for (EACH(at, outer * n * inner)) {
        const int64 k = at / inner % n, most = k > n - 1 - k ? k : n - 1 - k;
        double least = Traits<double>::high();
        for (int64 step = 0; step <= most; step++) {
            const double way = spacing * (double)step, square = way * way;
            if (square >= least) break;
            if (step <= k && (double)x[at - step * inner] + square < least) least = (double)x[at - step * inner] + square;
            if (step < n - k && (double)x[at + step * inner] + square < least) least = (double)x[at + step * inner] + square;
        }
        y[at] = (element)least;
    }
}
#endif

// Calls f(z, y, x) for the steps to neighbours that differ along at most `connectivity` axes: straight ones first, then in order of memory.
template <typename F> __device__ __forceinline__ void each_step(int64 connectivity, F f) {
    for (int axes = 1; axes <= (int)connectivity; axes++)
        for (int code = 0; code < 27; code++) {
            const int z = code / 9 - 1, y = code / 3 % 3 - 1, x = code % 3 - 1;
            if ((z != 0) + (y != 0) + (x != 0) == axes) f(z, y, x);
        }
}

// A pixel by depth, height and width.
struct Place {
    int64 z, y, x, depth, height, width;
    __device__ __forceinline__ Place(int64 at, int64 depth, int64 height, int64 width)
        : z(at / (height * width)), y(at / width % height), x(at % width), depth(depth), height(height), width(width) {}
    // The neighbour's number, negative where there is none.
    __device__ __forceinline__ int64 neighbour(int dz, int dy, int dx) const {
        const int64 a = z + dz, b = y + dy, c = x + dx;
        return a >= 0 && a < depth && b >= 0 && b < height && c >= 0 && c < width ? (a * height + b) * width + c : -1;
    }
};

#ifdef NX_INTEGERS
#define LABEL const element* values, int64* labels, int64 depth, int64 height, int64 width, int64 connectivity, double* scratch, int64 chunks

// The first pixel of the region that `at` belongs to so far; others may shorten the way meanwhile.
__device__ __forceinline__ int64 root_of(const volatile int64* parent, int64 at) {
    for (int64 above = parent[at]; above != at; above = parent[at]) at = above;
    return at;
}

KERNEL NX_NAME(label_components)(LABEL) {
    for (EACH(i, depth * height * width)) ((int64*)scratch)[i] = values[i] != 0 ? i : -1;
}

// A root that is not the first of two is hung below the other; a parent stands before its children.
KERNEL NX_NAME(label_joins)(LABEL) {
    int64* parent = (int64*)scratch;
    for (EACH(i, depth * height * width)) {
        const element value = values[i];
        if (value == 0) continue;
        const Place place(i, depth, height, width);
        each_step(connectivity, [&](int z, int y, int x) {
            const int64 other = place.neighbour(z, y, x);
            if (other < 0 || other > i || values[other] != value) return;
            int64 a = i, b = other;
            while (true) {
                a = root_of(parent, a), b = root_of(parent, b);
                if (a == b) return;
                const int64 low = a < b ? a : b, high = a < b ? b : a;
                const int64 was = (int64)atomicCAS((uint64*)parent + high, (uint64)high, (uint64)low);
                if (was == high) return;
                a = was, b = low;  // hung elsewhere meanwhile
            }
        });
    }
}

KERNEL NX_NAME(label_roots)(LABEL) {
    volatile int64* parent = (int64*)scratch;
    for (EACH(i, depth * height * width))
        if (parent[i] >= 0) parent[i] = root_of(parent, i);
}

// Which of a thread's 16 pixels of a chunk are roots, as bits.
__device__ __forceinline__ unsigned roots_of(const int64* parent, int64 pixels) {
    const int64 from = (int64)blockIdx.x * 4096 + threadIdx.x * 16;
    unsigned bits = 0;
    for (int i = 0; i < 16; i++) bits |= (from + i < pixels && parent[from + i] == from + i ? 1u : 0u) << i;
    return bits;
}

KERNEL NX_NAME(label_counts)(LABEL) {
    __shared__ unsigned shared[WARPS + 1];
    const int64 pixels = depth * height * width;
    unsigned total;
    sum_before(__popc(roots_of((int64*)scratch, pixels)), shared, total);
    if (threadIdx.x == 0) ((int64*)scratch)[pixels + blockIdx.x] = total;
}

KERNEL NX_NAME(label_starts)(LABEL) {
    __shared__ unsigned shared[WARPS + 1];
    start_after((int64*)scratch + depth * height * width, chunks, (int64)1, shared);
}

// A root's number n is kept in its place as -1 - n.
KERNEL NX_NAME(label_numbers)(LABEL) {
    __shared__ unsigned shared[WARPS + 1];
    int64* parent = (int64*)scratch;
    const int64 pixels = depth * height * width;
    unsigned total;
    const unsigned bits = roots_of(parent, pixels);
    int64 number = parent[pixels + blockIdx.x] + sum_before(__popc(bits), shared, total);
    for (int i = 0; i < 16; i++)
        if (bits >> i & 1) parent[(int64)blockIdx.x * 4096 + threadIdx.x * 16 + i] = -1 - number++;
}

KERNEL NX_NAME(label_writes)(LABEL) {
    const int64* parent = (int64*)scratch;
    for (EACH(i, depth * height * width)) {
        const int64 above = parent[i], number = above >= 0 ? parent[above] : above;
        labels[i] = -1 - number;
    }
}
#endif

#ifdef NX_FLOATS
// Doubles as integers of the same order, NaN last.
__device__ __forceinline__ uint64 rank_of(double level) {
    const uint64 bits = (uint64)__double_as_longlong(level);
    if (level != level) return ~0ull;
    return bits >> 63 ? ~bits : bits | 1ull << 63;
}

// Pixels that wait, lowest first, of equals the one that came first; a heap of 32 children a node that a warp works on together.
struct Waiting {
    uint64* level;
    unsigned *order, *place, *source;  // the number of its coming, and by that number the pixel and the marker that reached it
    int64 size;
    unsigned came;

    static __device__ __forceinline__ bool before(uint64 level, unsigned order, uint64 than, unsigned than_order) {
        return level < than || (level == than && order < than_order);
    }
    __device__ __forceinline__ void put(int64 at, uint64 l, unsigned o) const {
        if (threadIdx.x == 0) level[at] = l, order[at] = o;
        __syncwarp();
    }
    // Puts an entry where it belongs among node `at` and what is below it.
    __device__ __forceinline__ void sink(int64 at, uint64 l, unsigned o) const {
        while (at * 32 + 1 < size) {
            const int64 child = at * 32 + 1 + threadIdx.x;
            uint64 least = child < size ? level[child] : ~0ull;
            unsigned first = child < size ? order[child] : ~0u, which = threadIdx.x;
            for (int step = 16; step > 0; step /= 2) {
                const uint64 other = __shfl_xor_sync(0xffffffffu, least, step);
                const unsigned other_first = __shfl_xor_sync(0xffffffffu, first, step), other_which = __shfl_xor_sync(0xffffffffu, which, step);
                if (before(other, other_first, least, first)) least = other, first = other_first, which = other_which;
            }
            which = __shfl_sync(0xffffffffu, which, 0);
            if (!before(least, first, l, o)) break;
            put(at, least, first);
            at = at * 32 + 1 + which;
        }
        put(at, l, o);
    }
    // Puts an entry behind the last, and up to where it belongs.
    __device__ __forceinline__ void rise(uint64 l, unsigned o) {
        int64 at = size++;
        if (threadIdx.x == 0) {
            for (; at > 0 && before(l, o, level[(at - 1) / 32], order[(at - 1) / 32]); at = (at - 1) / 32)
                level[at] = level[(at - 1) / 32], order[at] = order[(at - 1) / 32];
            level[at] = l, order[at] = o;
        }
        __syncwarp();
    }
    // Takes the first.
    __device__ __forceinline__ unsigned take() {
        const unsigned first = order[0];
        size--;
        const uint64 l = level[size];
        const unsigned o = order[size];
        __syncwarp();
        if (size > 0) sink(0, l, o);
        return first;
    }
};

KERNEL NX_NAME(watershed_flood)(const element* image, const int64* markers, const unsigned char* mask, int64* labels, int64 depth,
                                int64 height, int64 width, int64 connectivity, int64 line, double* scratch, int64 room) {
    const int64 pixels = depth * height * width;
    const int lane = threadIdx.x;
    const unsigned below = (1u << lane) - 1;
    Waiting waiting = {(uint64*)scratch, (unsigned*)(scratch + room), 0, 0, 0, 0};
    waiting.place = waiting.order + room, waiting.source = waiting.place + room;
    unsigned char* open = (unsigned char*)(waiting.source + room);
    int dz = 0, dy = 0, dx = 0, steps = 0;
    each_step(connectivity, [&](int z, int y, int x) {
        if (steps++ == lane) dz = z, dy = y, dx = x;
    });
    for (int64 from = 0; from < pixels; from += 32) {  // markers, in order
        const int64 i = from + lane;
        const bool inside = i < pixels && mask[i], marked = inside && markers[i] != 0;
        if (i < pixels) open[i] = inside, labels[i] = inside ? markers[i] : 0;
        const unsigned all = __ballot_sync(0xffffffffu, marked), to = waiting.came + __popc(all & below);
        if (marked) {
            waiting.place[to] = waiting.source[to] = (unsigned)i;
            waiting.level[to] = rank_of((double)image[i]), waiting.order[to] = to;
        }
        waiting.came += __popc(all);
    }
    __syncwarp();
    waiting.size = waiting.came;
    for (int64 at = (waiting.size + 30) / 32 - 1; at >= 0; at--) {
        const uint64 l = waiting.level[at];
        const unsigned o = waiting.order[at];
        __syncwarp();
        waiting.sink(at, l, o);
    }
    while (waiting.size > 0) {
        const unsigned turn = waiting.take(), here = waiting.place[turn], source = waiting.source[turn];
        const Place place(here, depth, height, width);
        const int64 other = lane < steps ? place.neighbour(dz, dy, dx) : -1;
        if (line) {  // a pixel gets its label when its turn comes, else when it is reached
            if (!open[here] || (labels[here] != 0 && here != source)) continue;  // reached from another side before
            const int64 label = labels[source];
            const bool between = __any_sync(0xffffffffu, other >= 0 && open[other] && labels[other] != 0 && labels[other] != label);
            if (lane == 0 && between) open[here] = 0;
            if (lane == 0 && !between) labels[here] = label;
            __syncwarp();
        }
        const bool reached = other >= 0 && open[other] && labels[other] == 0;
        const uint64 level = reached ? rank_of((double)image[other]) : 0;
        const unsigned all = __ballot_sync(0xffffffffu, reached), to = waiting.came + __popc(all & below);
        if (reached) {
            waiting.place[to] = (unsigned)other, waiting.source[to] = source;
            if (!line) labels[other] = labels[here];
        }
        waiting.came += __popc(all);
        __syncwarp();
        for (unsigned rest = all; rest; rest &= rest - 1) {
            const int k = __ffs((int)rest) - 1;
            waiting.rise(__shfl_sync(0xffffffffu, level, k), __shfl_sync(0xffffffffu, to, k));
        }
    }
}
#endif
