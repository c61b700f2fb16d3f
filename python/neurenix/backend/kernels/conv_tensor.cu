// conv_tensor.cu - convolution and its transpose as a product of matrices on tensor cores: pixels times (taps and channels) times
// outputs, where the left matrix is read from the map as it lies. Any size, stride, dilation, padding and number of groups.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. "fast" stays within 1.5e-6 of the exact
// result (relative L2), "tf32" within 1e-3; "bfloat16" and "float16" (autocast) round to these and sum within 2e-6 of exact; the same
// bits for any split of a batch. Under "fast" an infinity makes NaN of what it meets.
// max-registers: 168
// launch convolve as convolve_fast_part: type f32; precision fast; sm 80; let parts = min(8, kh * kw * channels / 1536);
//     where channels >= 8 and outputs >= 8 and n * h * w < 2147483648 and parts > 1 and n * oh * ow / 128 * groups * (outputs / 64) < 2 * processors;
//     blocks n * (oh / (1 + scatter * (stride_h - 1))) * (ow / (1 + scatter * (stride_w - 1))) / 128, groups * (outputs / 64),
//         parts * (1 + scatter * (stride_h * stride_w - 1)); scratch parts * n * oh * ow * groups * outputs; then convolve_joined
// launch convolve as convolve_fast_narrow: type f32; precision fast; sm 80; block 128; let parts = min(8, kh * kw * channels / 1536);
//     where channels >= 8 and outputs >= 8 and outputs < 33 and n * h * w < 2147483648;
//     blocks n * (oh / (1 + scatter * (stride_h - 1))) * (ow / (1 + scatter * (stride_w - 1))) / 128, groups,
//         1 + scatter * (stride_h * stride_w - 1)
// launch convolve as convolve_fast: type f32; precision fast; sm 80; let parts = min(8, kh * kw * channels / 1536);
//     where channels >= 8 and outputs >= 8 and n * h * w < 2147483648;
//     blocks n * (oh / (1 + scatter * (stride_h - 1))) * (ow / (1 + scatter * (stride_w - 1))) / 128, groups * (outputs / 64),
//         1 + scatter * (stride_h * stride_w - 1)
// launch convolve as convolve_tf32_part: type f32; precision tf32; sm 80; let parts = min(8, kh * kw * channels / 1536);
//     where channels >= 8 and outputs >= 8 and n * h * w < 2147483648 and parts > 1 and n * oh * ow / 128 * groups * (outputs / 64) < 2 * processors;
//     blocks n * (oh / (1 + scatter * (stride_h - 1))) * (ow / (1 + scatter * (stride_w - 1))) / 128, groups * (outputs / 64),
//         parts * (1 + scatter * (stride_h * stride_w - 1)); scratch parts * n * oh * ow * groups * outputs; then convolve_joined
// launch convolve as convolve_tf32_narrow: type f32; precision tf32; sm 80; block 128; let parts = min(8, kh * kw * channels / 1536);
//     where channels >= 8 and outputs >= 8 and outputs < 33 and n * h * w < 2147483648;
//     blocks n * (oh / (1 + scatter * (stride_h - 1))) * (ow / (1 + scatter * (stride_w - 1))) / 128, groups,
//         1 + scatter * (stride_h * stride_w - 1)
// launch convolve as convolve_tf32: type f32; precision tf32; sm 80; let parts = min(8, kh * kw * channels / 1536);
//     where channels >= 8 and outputs >= 8 and n * h * w < 2147483648;
//     blocks n * (oh / (1 + scatter * (stride_h - 1))) * (ow / (1 + scatter * (stride_w - 1))) / 128, groups * (outputs / 64),
//         1 + scatter * (stride_h * stride_w - 1)
// launch convolve as convolve_bfloat16_part: type f32; precision bfloat16; sm 80; let parts = min(8, kh * kw * channels / 1536);
//     where channels >= 8 and outputs >= 8 and n * h * w < 2147483648 and parts > 1 and n * oh * ow / 128 * groups * (outputs / 64) < 2 * processors;
//     blocks n * (oh / (1 + scatter * (stride_h - 1))) * (ow / (1 + scatter * (stride_w - 1))) / 128, groups * (outputs / 64),
//         parts * (1 + scatter * (stride_h * stride_w - 1)); scratch parts * n * oh * ow * groups * outputs; then convolve_joined
// launch convolve as convolve_bfloat16_narrow: type f32; precision bfloat16; sm 80; block 128; let parts = min(8, kh * kw * channels / 1536);
//     where channels >= 8 and outputs >= 8 and outputs < 33 and n * h * w < 2147483648;
//     blocks n * (oh / (1 + scatter * (stride_h - 1))) * (ow / (1 + scatter * (stride_w - 1))) / 128, groups,
//         1 + scatter * (stride_h * stride_w - 1)
// launch convolve as convolve_bfloat16: type f32; precision bfloat16; sm 80; let parts = min(8, kh * kw * channels / 1536);
//     where channels >= 8 and outputs >= 8 and n * h * w < 2147483648;
//     blocks n * (oh / (1 + scatter * (stride_h - 1))) * (ow / (1 + scatter * (stride_w - 1))) / 128, groups * (outputs / 64),
//         1 + scatter * (stride_h * stride_w - 1)
// launch convolve as convolve_float16_part: type f32; precision float16; sm 80; let parts = min(8, kh * kw * channels / 1536);
//     where channels >= 8 and outputs >= 8 and n * h * w < 2147483648 and parts > 1 and n * oh * ow / 128 * groups * (outputs / 64) < 2 * processors;
//     blocks n * (oh / (1 + scatter * (stride_h - 1))) * (ow / (1 + scatter * (stride_w - 1))) / 128, groups * (outputs / 64),
//         parts * (1 + scatter * (stride_h * stride_w - 1)); scratch parts * n * oh * ow * groups * outputs; then convolve_joined
// launch convolve as convolve_float16_narrow: type f32; precision float16; sm 80; block 128; let parts = min(8, kh * kw * channels / 1536);
//     where channels >= 8 and outputs >= 8 and outputs < 33 and n * h * w < 2147483648;
//     blocks n * (oh / (1 + scatter * (stride_h - 1))) * (ow / (1 + scatter * (stride_w - 1))) / 128, groups,
//         1 + scatter * (stride_h * stride_w - 1)
// launch convolve as convolve_float16: type f32; precision float16; sm 80; let parts = min(8, kh * kw * channels / 1536);
//     where channels >= 8 and outputs >= 8 and n * h * w < 2147483648;
//     blocks n * (oh / (1 + scatter * (stride_h - 1))) * (ow / (1 + scatter * (stride_w - 1))) / 128, groups * (outputs / 64),
//         1 + scatter * (stride_h * stride_w - 1)
#include "conv.cuh"
#include "packs.cuh"
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
template <class Tile> struct Pixels {
    typedef typename Tile::T T;
    static constexpr int APART = Tile::THREADS / 4, LOADS = Tile::ROWS / APART;
    const Depths& depths;
    const T *x, *second, *map;  // the second holds the channels from `first` on, null where there is none; the one that is read now
    int image[LOADS], row[LOADS], col[LOADS], h, w, down, right, pitch, first, rest;
    Place place;
    bool whole;  // whether 16 bytes can be copied at once

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
                copy_element(tile + i * APART * Tile::LEFT_PITCH + e, from, valid);
            }
        advance(Tile::DEPTH - Tile::VECTOR);
    }
};

// The right matrix: packed weights of a tile's outputs.
template <class Tile> struct Weights {
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

// The depth is cut into `parts`, each a multiple of 32 long, summed by itself and added in order: by one block, or by one block
// each into `to`, which then holds an output-sized array a part. So the bits do not depend on who computes what.
template <class Way, int COLS, bool PART, typename Y>
__device__ __forceinline__ void convolve_tile(Y* to, const typename Way::stored* x, const typename Way::stored* second,
                                              const typename Way::stored* packed, const Epilogue<float>& end, SIZES, int64 first,
                                              bool scatter, int64 parts) {
    typedef Block<Way, 128, COLS, true> Tile;
    __shared__ __align__(16) typename Tile::Stage stages[STAGES];
    const Axis rows(h, oh, kh, stride_h, pad_h, dilation_h, scatter), cols(w, ow, kw, stride_w, pad_w, dilation_w, scatter);
    const int phase = blockIdx.z / (PART ? (int)parts : 1), part = PART ? blockIdx.z % (int)parts : 0;
    const int row_phase = phase / cols.phases(), col_phase = phase % cols.phases();
    const int across = cols.count(col_phase), plane = rows.count(row_phase) * across;
    const int64 first_pixel = (int64)blockIdx.x * Tile::ROWS, pixels = n * plane;
    if (first_pixel >= pixels) return;
    const int panels = (int)((outputs + Tile::COLS - 1) / Tile::COLS), group = blockIdx.y / panels, first_output = blockIdx.y % panels * Tile::COLS;
    const int padded = (int)(outputs + 15) / 16 * 16;

    const Depths depths = {rows.taps(row_phase), cols.taps(col_phase), (int)channels};
    const int all = depths.count(), length = (int)((kh * kw * channels + parts - 1) / parts + 31) / 32 * 32;
    const int from = PART ? (part * length < all ? part * length : all) : 0, to_depth = PART && from + length < all ? from + length : all;

    Pixels<Tile> left(depths, from, to_depth);
    left.x = x, left.map = x + group * channels, left.h = (int)h, left.w = (int)w, left.pitch = (int)(groups * channels);
    left.second = second, left.first = (int)first, left.choose();
    left.down = rows.step(depths.rows), left.right = cols.step(depths.cols);
    left.whole = channels % Tile::VECTOR == 0 && (unsigned long long)x % 16 == 0;
    if (second) left.whole = left.whole && first % Tile::VECTOR == 0 && (unsigned long long)second % 16 == 0;
#pragma unroll
    for (int i = 0; i < Pixels<Tile>::LOADS; i++) {
        const int64 p = first_pixel + threadIdx.x / 4 + i * Pixels<Tile>::APART, q = p < pixels ? p : 0;
        left.image[i] = (int)(q / plane * h * w);
        left.row[i] = p < pixels ? rows.source(rows.place(row_phase, (int)(q % plane / across)), depths.rows.first) : -(1 << 30);
        left.col[i] = cols.source(cols.place(col_phase, (int)(q % across)), depths.cols.first);
    }
    Weights<Tile> right(depths, from, to_depth);
    const int output = first_output + threadIdx.x % Weights<Tile>::ACROSS * Tile::VECTOR;
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
        const int64 p = first_pixel + e / ACROSS;
        const int k = first_output + e % ACROSS * 4, count = (int)outputs - k;
        if (p >= pixels || count <= 0) continue;
        const int64 r = rows.place(row_phase, (int)(p % plane / across)), s = cols.place(col_phase, (int)(p % across)), channel = group * outputs + k;
        Some<float, 4> some = *(const Some<float, 4>*)(product + e / ACROSS * PITCH + e % ACROSS * 4);
        if (!PART) {
#pragma unroll
            for (int j = 0; j < 4; j++)
                if (j < count) some.v[j] = end.moved(some.v[j], channel + j);
            activate(some.v, end.activation, end.a, end.b);
        }
        store<Way>(to + ((p / plane * oh + r) * ow + s) * wide + channel, some, count);
    }
}

#define WAY(name, way, threads, blocks)                                                                                                 \
    KERNEL_OF(threads, blocks) name(CONVOLVE, int64 parts) {                                                                             \
        convolve_tile<way, threads / 4, false>(y, x, second, packed, END, n, h, w, oh, ow, groups, outputs, channels, kh, kw, stride_h,   \
                                               stride_w, pad_h, pad_w, dilation_h, dilation_w, first, scatter != 0, parts);              \
    }
#define WAY_IN_PARTS(name, way, blocks)                                                                                                  \
    KERNEL_OF(256, blocks) name(CONVOLVE, element* scratch, int64 parts) {                                                               \
        convolve_tile<way, 64, true>(scratch, x, second, packed, {}, n, h, w, oh, ow, groups, outputs, channels, kh, kw, stride_h,        \
                                     stride_w, pad_h, pad_w, dilation_h, dilation_w, first, scatter != 0, parts);                        \
    }
#ifdef NX_HALF
// Halves in, sums and what is added to them in float32, halves out; no row of the table takes them yet.
WAY(convolve_f16, Halves<false>, 256, 1)
WAY(convolve_bf16, Halves<true>, 256, 1)
#else
WAY(NX_NAME(convolve_fast), ThreeProducts, 256, 2)
WAY(NX_NAME(convolve_tf32), OneProduct, 256, 2)
WAY(NX_NAME(convolve_bfloat16), RoundedHalves<true>, 256, 2)
WAY(NX_NAME(convolve_float16), RoundedHalves<false>, 256, 2)
WAY(NX_NAME(convolve_fast_narrow), ThreeProducts, 128, 3)
WAY(NX_NAME(convolve_tf32_narrow), OneProduct, 128, 3)
WAY(NX_NAME(convolve_bfloat16_narrow), RoundedHalves<true>, 128, 3)
WAY(NX_NAME(convolve_float16_narrow), RoundedHalves<false>, 128, 3)
WAY_IN_PARTS(NX_NAME(convolve_fast_part), ThreeProducts, 2)
WAY_IN_PARTS(NX_NAME(convolve_tf32_part), OneProduct, 2)
WAY_IN_PARTS(NX_NAME(convolve_bfloat16_part), RoundedHalves<true>, 2)
WAY_IN_PARTS(NX_NAME(convolve_float16_part), RoundedHalves<false>, 2)

// y = the parts of each sum, in order, and what comes after a sum.
KERNEL NX_NAME(convolve_joined)(CONVOLVE, const element* scratch, int64 parts) {
    const Epilogue<float> end = END;
    const int64 wide = groups * outputs, size = n * oh * ow * wide;
    for (EACH(i, size)) {
        float sum = 0;
        for (int64 p = 0; p < parts; p++) sum = sum + scratch[p * size + i];
        y[i] = end.finish(sum, i % wide);
    }
}
#endif
#endif
