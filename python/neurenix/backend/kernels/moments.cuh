// moments.cuh - statistics of a map's channels: per fixed unit, eight 4x4 tiles of an image in raster order, as (mean, sum of squared
// distances) per channel, merged by Chan's formula in a fixed tree: of an image's units a thread merges a whole branch. A pass of its
// own takes them by a thread each (norm.cu); a convolution whose block writes a unit takes them there (conv_fused.cu): the same bits.
#pragma once
#include "common.cuh"

#ifdef NX_FLOATS
constexpr int SIDE = 4, UNIT_TILES = 8, TEAM = 32;  // TEAM threads share the units of a channel

// Two numbers over n elements: (mean, squares) or two sums.
struct Part {
    double n, first, second;
};

// Moments of the union (Chan's formula).
struct Union {
    static __device__ __forceinline__ Part merge(const Part& a, const Part& b) {
        if (a.n == 0 || b.n == 0) return a.n == 0 ? b : a;
        double n = a.n + b.n, share = b.n / n, product = a.n * b.n / n, d = b.first - a.first;
        return {n, a.first + d * share, a.second + b.second + d * d * product};
    }
};
struct Plus {
    static __device__ __forceinline__ Part merge(const Part& a, const Part& b) { return {a.n + b.n, a.first + b.first, a.second + b.second}; }
};

// Merges parts in a binary tree that depends on their number only: neighbours first, like carrying in a counter.
template <typename Rule> struct Tree {
    Part stack[24];
    int depth = 0;
    unsigned count = 0;

    __device__ __forceinline__ void add(Part part) {
        for (unsigned bits = count++; bits & 1; bits >>= 1) part = Rule::merge(stack[--depth], part);
        stack[depth++] = part;
    }
    __device__ __forceinline__ Part total() const {
        if (depth == 0) return {0, 0, 0};
        Part sum = stack[depth - 1];
        for (int i = depth - 2; i >= 0; i--) sum = Rule::merge(stack[i], sum);
        return sum;
    }
};

// The pixels of a unit, row by row of each of its tiles: f(first pixel, pixels).
template <typename F> __device__ __forceinline__ int each_run(int64 unit, int64 h, int64 w, F f) {
    int64 wide = (w + SIDE - 1) / SIDE, last = (h + SIDE - 1) / SIDE * wide, pixels = 0;
    if ((unit + 1) * UNIT_TILES < last) last = (unit + 1) * UNIT_TILES;
    for (int64 tile = unit * UNIT_TILES; tile < last; tile++) {
        int64 top = tile / wide * SIDE, left = tile % wide * SIDE;
        int width = (int)(w - left < SIDE ? w - left : SIDE);
        for (int64 y = top; y < top + SIDE && y < h; y++) {
            f(y * w + left, width);
            pixels += width;
        }
    }
    return (int)pixels;
}

// A thread a unit and channel: its two numbers, those of all units one after the other.
template <typename F> __device__ __forceinline__ void each_unit(double* scratch, int64 n, int64 units, int64 c, F unit_part) {
    for (EACH(i, n * units * c)) {
        const Part part = unit_part(i / (units * c), i % c, i / c % units);
        scratch[i] = part.first;
        scratch[n * units * c + i] = part.second;
    }
}

// Merges the units of one channel of one image; every eight channels are a block, TEAM threads each.
template <typename Rule>
__device__ __forceinline__ void per_image(double* first, double* second, const double* scratch, int64 n, int64 h, int64 w, int64 c,
                                          int64 units) {
    __shared__ Part parts[TEAM][8];
    int64 blocks = (c + 7) / 8, image = blockIdx.x / blocks, channel = blockIdx.x % blocks * 8 + threadIdx.x % 8, branch = 1;
    int lane = threadIdx.x / 8;
    while (branch * TEAM < units) branch *= 2;
    Tree<Rule> tree;
    if (channel < c)
        for (int64 unit = lane * branch; unit < (lane + 1) * branch && unit < units; unit++) {
            const int64 i = (image * units + unit) * c + channel;
            tree.add({(double)each_run(unit, h, w, [](int64, int) {}), scratch[i], scratch[n * units * c + i]});
        }
    parts[lane][threadIdx.x % 8] = tree.total();
    __syncthreads();
    if (lane > 0 || channel >= c) return;
    tree = Tree<Rule>();
    for (int64 i = 0; i * branch < units; i++) tree.add(parts[i][threadIdx.x % 8]);
    Part total = tree.total();
    first[image * c + channel] = total.first;
    second[image * c + channel] = total.second;
}

// Squared distances of a tile's row of four.
__device__ __forceinline__ element squares_of(const element* p, int64 c, element middle) {
    element a = p[0] - middle, b = p[c] - middle, d = p[2 * c] - middle, e = p[3 * c] - middle;
    return mul_add(a, a, b * b) + mul_add(d, d, e * e);
}

// The moments of a channel over a unit, in order; x is the channel's element of the image's first pixel.
__device__ __forceinline__ Part moments_of(const element* x, int64 unit, int64 h, int64 w, int64 c) {
    element sum = 0, squares = 0;
    int pixels = each_run(unit, h, w, [&](int64 start, int count) {
        const element* p = x + start * c;
        if (count == SIDE) sum = sum + ((p[0] + p[c]) + (p[2 * c] + p[3 * c]));
        else for (int i = 0; i < count; i++) sum = sum + p[i * c];
    });
    element middle = sum * ((element)1 / (element)pixels);
    each_run(unit, h, w, [&](int64 start, int count) {
        const element* p = x + start * c;
        if (count == SIDE) squares = squares + squares_of(p, c, middle);
        else for (int i = 0; i < count; i++) { element a = p[i * c] - middle; squares = mul_add(a, a, squares); }
    });
    return Part{(double)pixels, (double)middle, (double)squares};
}

// The rows of a unit's tiles as the threads of a block take them: COLS channels from `first` on, or as many as there are of `count`.
// y is the image's first pixel, c its channels.
template <int THREADS, int COLS> struct UnitRows {
    static constexpr int ROWS = UNIT_TILES * SIDE, APART = THREADS / COLS;
    const element* y;
    int64 unit, h, w, c, wide;
    int column;
    bool live;
    __device__ __forceinline__ UnitRows(const element* y, int64 unit, int64 first, int64 count, int64 h, int64 w, int64 c)
        : y(y), unit(unit), h(h), w(w), c(c), wide((w + SIDE - 1) / SIDE), column(threadIdx.x % COLS), live(first + column < count) {
        if (live) this->y += first + column;
    }
    // The width of a row, which is not positive beyond the map, and its first pixel.
    __device__ __forceinline__ int width(int row, const element*& at) const {
        const int64 tile = unit * UNIT_TILES + row / SIDE, top = tile / wide * SIDE + row % SIDE, left = tile % wide * SIDE;
        at = y + (top * w + left) * c;
        return top < h && live ? (int)(w - left < SIDE ? w - left : SIDE) : 0;
    }
    // The sum of a channel's terms, in order: rows of four become one number each, by all threads, the others are added element by
    // element. Of the first COLS threads.
    template <class Term> __device__ __forceinline__ element total(element* shared, Term term) const {
        const element* p;
        for (int row = threadIdx.x / COLS; row < ROWS; row += APART)
            if (width(row, p) == SIDE) shared[row * COLS + column] = term.four(p, c);
        __syncthreads();
        element sum = 0;
        if (threadIdx.x < COLS)
            for (int row = 0; row < ROWS; row++) {
                const int count = width(row, p);
                if (count == SIDE) sum = sum + shared[row * COLS + column];
                else for (int i = 0; i < count; i++) sum = term.added(sum, p[i * c]);
            }
        __syncthreads();
        return sum;
    }
    __device__ __forceinline__ int pixels() const {
        const element* p;
        int found = 0;
        for (int row = 0; row < ROWS; row++) found += width(row, p);
        return found;
    }
};

// What is added of an element, and of a row of four.
struct Itself {
    __device__ __forceinline__ element four(const element* p, int64 c) const { return (p[0] + p[c]) + (p[2 * c] + p[3 * c]); }
    __device__ __forceinline__ element added(element sum, element x) const { return sum + x; }
};
struct Square {
    element middle;
    __device__ __forceinline__ element four(const element* p, int64 c) const { return squares_of(p, c, middle); }
    __device__ __forceinline__ element added(element sum, element x) const { const element a = x - middle; return mul_add(a, a, sum); }
};

// The moments of a unit that the calling block has written; `shared` has 32 * COLS elements that nobody else uses.
template <int THREADS, int COLS>
__device__ __forceinline__ void block_moments(double* means, double* squares, element* shared, const UnitRows<THREADS, COLS>& rows, int64 channel) {
    const element sum = rows.total(shared, Itself());
    if (threadIdx.x < COLS) shared[rows.column] = sum * ((element)1 / (element)rows.pixels());
    __syncthreads();
    const element middle = shared[rows.column];
    __syncthreads();
    const element spread = rows.total(shared, Square{middle});
    if (threadIdx.x < COLS && rows.live) means[channel + rows.column] = (double)middle, squares[channel + rows.column] = (double)spread;
}
#endif
