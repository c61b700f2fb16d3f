// conv_tensor.cuh - a convolution's tile as a product of matrices on tensor cores: pixels times (taps and channels) times outputs, where
// the left matrix is read from the map as it lies, or normalised once it is in shared memory.
#pragma once
#include "conv.cuh"
#include "moments.cuh"
#include "tensor.cuh"

#if defined(NX_TENSOR_CORES) && (defined(NX_FLOAT32) || defined(NX_HALF))
// What a run of the depth counts: the taps of a phase, channels innermost.
struct Depths {
    Taps rows, cols;
    int channels;
    __device__ __forceinline__ int count() const { return rows.count * cols.count * channels; }
};

// One place in the depth.
struct Place {
    int row, col, channel;
    __device__ __forceinline__ Place(const Depths& of, int depth)
        : row(of.count() ? depth / of.channels / of.cols.count : 0), col(of.count() ? depth / of.channels % of.cols.count : 0),
          channel(depth % of.channels) {}
    __device__ __forceinline__ void advance(const Depths& of, int by) {
        channel += by;
        while (channel >= of.channels) {
            channel -= of.channels;
            if (++col == of.cols.count) col = 0, row++;
        }
    }
};

// The left matrix: four threads a pixel, each 16 bytes of its channels. The channels may lie in two maps, one after the other.
template <class Tile, bool READS = false> struct Pixels {
    typedef typename Tile::T T;
    static constexpr int APART = Tile::THREADS / 4, LOADS = Tile::ROWS / APART;
    const Depths& depths;
    const T *x, *second, *map;  // the second holds the channels from `first` on, null where there is none; the one that is read now
    int image[LOADS], row[LOADS], col[LOADS], h, w, down, right, pitch, first, rest;
    Place place;
    bool whole;  // whether 16 bytes can be copied at once
    Reading<Tile, LOADS, READS> reading;

    __device__ __forceinline__ Pixels(const Depths& depths, int from, int to)
        : depths(depths), rest(to - from - threadIdx.x % 4 * Tile::VECTOR), place(depths, from + threadIdx.x % 4 * Tile::VECTOR) {}
    __device__ __forceinline__ bool find(const T*& from, int i) const {
        const int r = row[i] + place.row * down, c = col[i] + place.col * right;
        const bool valid = rest > 0 && (unsigned)r < (unsigned)h && (unsigned)c < (unsigned)w;
        from = valid ? map + (int64)(image[i] + r * w + c) * pitch + place.channel : x;
        return valid;
    }
    // Which of two maps the channel is in.
    __device__ __forceinline__ void choose() {
        if (!second) return;
        const bool beside = place.channel >= first;
        map = beside ? second - first : x, pitch = beside ? depths.channels - first : first;
    }
    __device__ __forceinline__ void advance(int by) {
        place.advance(depths, by);
        rest -= by;
        choose();
    }
    __device__ __forceinline__ void load(T* tile) {
        const T* from;
        tile += threadIdx.x / 4 * Tile::LEFT_PITCH + threadIdx.x % 4 * Tile::VECTOR;
        if (whole) {
#pragma unroll
            for (int i = 0; i < LOADS; i++) {
                const bool valid = find(from, i);
                reading.note(i, valid);
                cp_async16(tile + i * APART * Tile::LEFT_PITCH, from, valid);
            }
            advance(Tile::DEPTH);
            return;
        }
#pragma unroll 1
        for (int e = 0; e < Tile::VECTOR; e++, advance(1))
#pragma unroll
            for (int i = 0; i < LOADS; i++) {
                const bool valid = find(from, i);
                if (e == 0) reading.note(i, valid);
                copy_element(tile + i * APART * Tile::LEFT_PITCH + e, from, valid);
            }
        advance(Tile::DEPTH - Tile::VECTOR);
    }
    // What this thread has copied to a stage has arrived.
    __device__ __forceinline__ void ready(T* tile) {
        int channel = place.channel - reading.stages() * Tile::DEPTH;
        while (channel < 0) channel += depths.channels;
        reading.apply(tile + threadIdx.x / 4 * Tile::LEFT_PITCH + threadIdx.x % 4 * Tile::VECTOR, APART * Tile::LEFT_PITCH, channel);
    }
};

// The right matrix: packed weights of a tile's outputs.
template <class Tile> struct Weights : AsCopied {
    typedef typename Tile::T T;
    static constexpr int ACROSS = Tile::COLS / Tile::VECTOR;
    const Depths& depths;
    const T* packed;  // of the first output that this thread copies
    int padded, rest, row_apart, col_apart;  // rows of packed weights between neighbouring taps
    bool valid;
    Place place;

    __device__ __forceinline__ Weights(const Depths& depths, int from, int to)
        : depths(depths), rest(to - from - threadIdx.x / ACROSS), place(depths, from + threadIdx.x / ACROSS) {}
    __device__ __forceinline__ void load(T* tile) {
        static_assert(Tile::THREADS / ACROSS == Tile::DEPTH, "each thread copies one row's part");
        const int from = place.row * row_apart + place.col * col_apart + place.channel;
        const bool copied = valid && rest > 0;
        cp_async16(tile + threadIdx.x / ACROSS * Tile::RIGHT_PITCH + threadIdx.x % ACROSS * Tile::VECTOR,
                   copied ? packed + (int64)from * padded : packed, copied);
        place.advance(depths, Tile::DEPTH);
        rest -= Tile::DEPTH;
    }
};

template <class Way> __device__ __forceinline__ float rounded(float x, const float*) { return x; }
template <class Way> __device__ __forceinline__ half_bits rounded(float x, const half_bits*) { return Way::rounded(x); }

// Four neighbouring results, or as many as there are.
template <class Way, typename Y> __device__ __forceinline__ void store(Y* to, const Some<float, 4>& sums, int count) {
    Some<Y, 4> some;
#pragma unroll
    for (int j = 0; j < 4; j++) some.v[j] = rounded<Way>(sums.v[j], to);
    if (count >= 4 && (unsigned long long)to % sizeof(some) == 0) *(Some<Y, 4>*)to = some;
    else {
#pragma unroll
        for (int j = 0; j < 4; j++)
            if (j < count) to[j] = some.v[j];
    }
}

// What a convolution of a chain does besides: normalise what it reads, write two maps, take moments of what it writes.
struct Chain {
    float* second_y;         // gets the outputs from first_y on, null where there is none
    int first_y;
    const float *scale, *shift;  // of what is read, null: as it is; one group
    bool relu;
    double* scratch;          // gets the moments of units,
    bool moments;             // where somebody asks
};

// The depth is cut into `parts`, each a multiple of 32 long, summed by itself and added in order: by one block, or by one block
// each into `to`, which then holds an output-sized array a part. So the bits do not depend on who computes what. `units` of statistics
// say which pixels a block has.
template <class Way, int COLS, bool PART, bool CHAIN, typename Y>
__device__ __forceinline__ void convolve_tile(Y* to, const typename Way::stored* x, const typename Way::stored* second,
                                              const typename Way::stored* packed, const Epilogue<float>& end, SIZES, int64 first,
                                              bool scatter, int64 parts, int64 units, const Chain& chain) {
    typedef Block<Way, 128, COLS, true> Tile;
    typedef Pixels<Tile, CHAIN> Left;
    typedef Weights<Tile> Right;
    __shared__ __align__(16) typename Tile::Stage stages[STAGES];
    const Axis rows(h, oh, kh, stride_h, pad_h, dilation_h, scatter), cols(w, ow, kw, stride_w, pad_w, dilation_w, scatter);
    const int part = PART ? blockIdx.z % (int)parts : 0;
    const Spots spots(rows, cols, blockIdx.z / (PART ? (int)parts : 1), n, CHAIN ? units : 0);
    const int64 first_place = (int64)blockIdx.x * Tile::ROWS;
    if (first_place >= spots.places) return;
    const int panels = (int)((outputs + Tile::COLS - 1) / Tile::COLS), group = blockIdx.y / panels, first_output = blockIdx.y % panels * Tile::COLS;
    const int padded = (int)(outputs + 15) / 16 * 16;

    const Depths depths = {rows.taps(spots.row_phase), cols.taps(spots.col_phase), (int)channels};
    const int all = depths.count(), length = (int)((kh * kw * channels + parts - 1) / parts + 31) / 32 * 32;
    const int from = PART ? (part * length < all ? part * length : all) : 0, to_depth = PART && from + length < all ? from + length : all;

    Left left(depths, from, to_depth);
    left.x = x, left.map = x + group * channels, left.h = (int)h, left.w = (int)w, left.pitch = (int)(groups * channels);
    left.second = second, left.first = (int)first, left.choose();
    left.down = rows.step(depths.rows), left.right = cols.step(depths.cols);
    left.whole = channels % Tile::VECTOR == 0 && (unsigned long long)x % 16 == 0;
    if (second) left.whole = left.whole && first % Tile::VECTOR == 0 && (unsigned long long)second % 16 == 0;
    if (CHAIN) left.reading.set(chain.scale, chain.shift, chain.relu);
#pragma unroll
    for (int i = 0; i < Left::LOADS; i++) {
        int image, row, col;
        const bool live = spots.find(first_place + threadIdx.x / 4 + i * Left::APART, image, row, col);
        left.image[i] = (int)(image * h * w);
        left.row[i] = live ? rows.source(row, depths.rows.first) : -(1 << 30);
        left.col[i] = cols.source(col, depths.cols.first);
    }
    Right right(depths, from, to_depth);
    const int output = first_output + threadIdx.x % Right::ACROSS * Tile::VECTOR;
    const int first_tap = depths.rows.first * (int)kw + depths.cols.first;
    right.packed = packed + (group * kh * kw + first_tap) * channels * padded + (output < padded ? output : 0);
    right.padded = padded, right.valid = output < padded;
    right.row_apart = depths.rows.apart * (int)(kw * channels), right.col_apart = depths.cols.apart * (int)channels;

    Tile tile;
    tile.template run<PART>(stages, left, right, (to_depth - from + Tile::DEPTH - 1) / Tile::DEPTH, length / Tile::DEPTH);

    // By way of shared memory: stores of 16 bytes, and what comes after a sum stands once in the code.
    constexpr int PITCH = Tile::COLS + 8, ACROSS = Tile::COLS / 4;
    static_assert(Tile::ROWS * PITCH * sizeof(float) <= sizeof(stages), "the product fits where its factors were");
    float* product = (float*)stages;
    __syncthreads();  // all have read the last stage
    tile.each_pair([&](int row, int col, float first, float second) { *(Some<float, 2>*)(product + row * PITCH + col) = {first, second}; });
    __syncthreads();
    const int wide = (int)(groups * outputs);
    if (PART) to += part * n * oh * ow * wide;
#pragma unroll 1
    for (int e = threadIdx.x; e < Tile::ROWS * ACROSS; e += Tile::THREADS) {
        int image, r, s;
        const int k = first_output + e % ACROSS * 4, count = (int)outputs - k;
        if (!spots.find(first_place + e / ACROSS, image, r, s) || count <= 0) continue;
        const int64 channel = group * outputs + k, pixel = ((int64)image * oh + r) * ow + s;
        Some<float, 4> some = *(const Some<float, 4>*)(product + e / ACROSS * PITCH + e % ACROSS * 4);
        if (!PART) {
#pragma unroll
            for (int j = 0; j < 4; j++)
                if (j < count) some.v[j] = end.moved(some.v[j], channel + j);
            if (!CHAIN) activate(some.v, end.activation, end.a, end.b);
        }
        if constexpr (CHAIN && !PART) {
            const bool beside = chain.second_y && channel >= chain.first_y;  // four outputs are of one map
            const int pitch = !chain.second_y ? wide : beside ? wide - chain.first_y : chain.first_y;
            store<Way>((beside ? chain.second_y - chain.first_y : to) + pixel * pitch + channel, some, count);
        } else {
            store<Way>(to + pixel * wide + channel, some, count);
        }
    }
#ifdef NX_FLOATS
    if constexpr (CHAIN && !PART) {
        if (!chain.moments) return;
        __syncthreads();  // the unit is written, and the product read
        const int64 place = (int64)blockIdx.x * wide, channel = group * outputs + first_output;
        const UnitRows<Tile::THREADS, Tile::COLS> unit(to + blockIdx.x / units * oh * ow * wide, blockIdx.x % units, channel,
                                                       (group + 1) * outputs, oh, ow, wide);
        block_moments(chain.scratch + place, chain.scratch + n * units * wide + place, product, unit, channel);
    }
#endif
}
#endif
