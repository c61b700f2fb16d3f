// conv_tensor_gradient.cu - the gradient of a convolution's weight on tensor cores: for each tap, outputs times pixels times channels.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Pixels are shared out among blocks, a
// number of parts that follows from the sizes, and a second pass adds the parts in order: no atomic additions, the same bits in each
// run. "fast" stays within 1.5e-6 of the exact result (relative L2), "tf32" within 1e-3; "bfloat16" and "float16" (autocast) round to
// these and sum within 2e-6 of exact.
// max-registers: 160
// launch conv_weight_gradient as conv_weight_gradient_fast: type f32; precision fast; sm 80; block 128; where channels >= 8 and outputs >= 8;
//     let parts = max(1, min(1024 / (groups * (outputs / 64) * (channels / 64) * kh * kw), n * oh * ow / 512));
//     blocks groups * (outputs / 64) * (channels / 64), kh * kw, parts; scratch parts * dw; then conv_weight_gradient_joined
// launch conv_weight_gradient as conv_weight_gradient_tf32: type f32; precision tf32; sm 80; block 128; where channels >= 8 and outputs >= 8;
//     let parts = max(1, min(1024 / (groups * (outputs / 64) * (channels / 64) * kh * kw), n * oh * ow / 512));
//     blocks groups * (outputs / 64) * (channels / 64), kh * kw, parts; scratch parts * dw; then conv_weight_gradient_joined
// launch conv_weight_gradient as conv_weight_gradient_bfloat16: type f32; precision bfloat16; sm 80; block 128; where channels >= 8 and outputs >= 8;
//     let parts = max(1, min(1024 / (groups * (outputs / 64) * (channels / 64) * kh * kw), n * oh * ow / 512));
//     blocks groups * (outputs / 64) * (channels / 64), kh * kw, parts; scratch parts * dw; then conv_weight_gradient_joined
// launch conv_weight_gradient as conv_weight_gradient_float16: type f32; precision float16; sm 80; block 128; where channels >= 8 and outputs >= 8;
//     let parts = max(1, min(1024 / (groups * (outputs / 64) * (channels / 64) * kh * kw), n * oh * ow / 512));
//     blocks groups * (outputs / 64) * (channels / 64), kh * kw, parts; scratch parts * dw; then conv_weight_gradient_joined
#include "conv.cuh"
#include "tensor.cuh"

#if defined(NX_TENSOR_CORES) && (defined(NX_FLOAT32) || defined(NX_HALF))
// What the columns of a tile are copied from: 64 neighbours (outputs or channels) at each pixel.
template <class Tile> struct Neighbours {
    typedef typename Tile::T T;
    static constexpr int ACROSS = 64 / Tile::VECTOR, APART = Tile::THREADS / ACROSS, LOADS = Tile::DEPTH / APART;
    const T* base;  // of this thread's first column
    int64 pitch;
    int columns;  // that this thread may copy
    bool whole;   // whether 16 bytes can be copied at once

    __device__ __forceinline__ Neighbours(const T* map, int64 groups, int64 group, int64 size, int first)
        : base(map + group * size + first + threadIdx.x % ACROSS * Tile::VECTOR), pitch(groups * size),
          columns((int)size - first - (int)threadIdx.x % ACROSS * Tile::VECTOR),
          whole(size % Tile::VECTOR == 0 && (unsigned long long)map % 16 == 0) {
        if (columns <= 0) base = map, columns = 0;
    }
    __device__ __forceinline__ void copy(T* to, int64 pixel, bool valid, const T* somewhere) const {
        const T* from = valid && columns ? base + pixel * pitch : somewhere;
        if (whole) {
            cp_async16(to, from, valid && columns);
            return;
        }
        for (int e = 0; e < Tile::VECTOR; e++) copy_element(to + e, valid && e < columns ? from + e : somewhere, valid && e < columns);
    }
};

template <class Tile> struct Gradients {
    typedef typename Tile::T T;
    typedef Neighbours<Tile> Columns;
    const Columns& columns;
    const T* somewhere;
    int64 pixel, stop;

    __device__ __forceinline__ Gradients(const Columns& columns, const T* small, const Share& share)
        : columns(columns), somewhere(small), pixel(share.start + threadIdx.x / Columns::ACROSS), stop(share.stop) {}
    __device__ __forceinline__ void load(T* tile) {
        tile += threadIdx.x / Columns::ACROSS * Tile::LEFT_PITCH + threadIdx.x % Columns::ACROSS * Tile::VECTOR;
#pragma unroll
        for (int i = 0; i < Columns::LOADS; i++, tile += Columns::APART * Tile::LEFT_PITCH)
            columns.copy(tile, pixel + i * Columns::APART, pixel + i * Columns::APART < stop, somewhere);
        pixel += Tile::DEPTH;
    }
};

// The input pixels that one tap meets.
template <class Tile> struct Sources {
    typedef typename Tile::T T;
    typedef Neighbours<Tile> Columns;
    const Columns& columns;
    const T* somewhere;
    const Axis &rows, &cols;
    int row_tap, col_tap, image, row, col;  // the output pixel of this thread's first row of the tile
    int64 rest;

    __device__ __forceinline__ Sources(const Columns& columns, const T* large, const Axis& rows, const Axis& cols, int tap, const Share& share)
        : columns(columns), somewhere(large), rows(rows), cols(cols), row_tap(tap / cols.kernel), col_tap(tap % cols.kernel) {
        const int64 pixel = share.start + threadIdx.x / Columns::ACROSS;
        rest = share.stop - pixel;
        col = rest > 0 ? (int)(pixel % cols.output) : 0, row = rest > 0 ? (int)(pixel / cols.output % rows.output) : 0;
        image = rest > 0 ? (int)(pixel / cols.output / rows.output) : 0;
    }
    __device__ __forceinline__ void advance() {
        col += Columns::APART;
        while (col >= cols.output) {
            col -= cols.output;
            if (++row == rows.output) row = 0, image++;
        }
    }
    __device__ __forceinline__ void load(T* tile) {
        tile += threadIdx.x / Columns::ACROSS * Tile::RIGHT_PITCH + threadIdx.x % Columns::ACROSS * Tile::VECTOR;
#pragma unroll
        for (int i = 0; i < Columns::LOADS; i++, tile += Columns::APART * Tile::RIGHT_PITCH, advance()) {
            const int r = rows.source(row, row_tap), c = cols.source(col, col_tap);
            const bool valid = rest > i * Columns::APART && rows.inside(r) && cols.inside(c);
            columns.copy(tile, ((int64)image * rows.input + r) * cols.input + c, valid, somewhere);
        }
        rest -= Tile::DEPTH;
    }
};

// One part of the pixels into `scratch`, which holds [part][group][tap][output][channel]; partial sums close every 512 pixels.
template <class Way> __device__ __forceinline__ void gradient_tile(const typename Way::stored* small, const typename Way::stored* large, SIZES,
                                                                   float* scratch, int64 parts) {
    typedef Block<Way, 64, 64, false> Tile;
    __shared__ __align__(16) typename Tile::Stage stages[STAGES];
    const Axis rows(h, oh, kh, stride_h, pad_h, dilation_h, false), cols(w, ow, kw, stride_w, pad_w, dilation_w, false);
    const int across = (int)((channels + 63) / 64), down = (int)((outputs + 63) / 64);
    const int first_channel = blockIdx.x % across * 64, first_output = blockIdx.x / across % down * 64, group = blockIdx.x / (across * down);
    const Share share(n * oh * ow, parts, blockIdx.z);

    const Neighbours<Tile> up(small, groups, group, outputs, first_output), below(large, groups, group, channels, first_channel);
    Gradients<Tile> left(up, small, share);
    Sources<Tile> right(below, large, rows, cols, blockIdx.y, share);
    Tile tile;
    tile.run(stages, left, right, (int)((share.stop - share.start + Tile::DEPTH - 1) / Tile::DEPTH), 512 / Tile::DEPTH);

    float* part = scratch + ((blockIdx.z * groups + group) * kh * kw + blockIdx.y) * outputs * channels;
    tile.each_pair([&](int row, int col, float first, float second) {
        const int64 k = first_output + row, c = first_channel + col;
        if (k >= outputs || c >= channels) return;
        part[k * channels + c] = first;
        if (c + 1 < channels) part[k * channels + c + 1] = second;
    });
}

#define WAY(name, way)                                                                                                                   \
    KERNEL_OF(128, 3) name(WEIGHT_GRADIENT, summed* scratch, int64 parts) {                                                                         \
        gradient_tile<way>(small, large, n, h, w, oh, ow, groups, outputs, channels, kh, kw, stride_h, stride_w, pad_h, pad_w, dilation_h, \
                           dilation_w, scratch, parts);                                                                                  \
    }
#ifdef NX_HALF
// Halves in, parts in float32; no row of the table takes them yet.
WAY(conv_weight_gradient_f16, Halves<false>)
WAY(conv_weight_gradient_bf16, Halves<true>)
#else
WAY(NX_NAME(conv_weight_gradient_fast), ThreeProducts)
WAY(NX_NAME(conv_weight_gradient_tf32), OneProduct)
WAY(NX_NAME(conv_weight_gradient_bfloat16), RoundedHalves<true>)
WAY(NX_NAME(conv_weight_gradient_float16), RoundedHalves<false>)

KERNEL NX_NAME(conv_weight_gradient_joined)(WEIGHT_GRADIENT, const element* scratch, int64 parts) {
    join_weight_gradient(dw, scratch, parts, groups, outputs, channels, kh * kw);
}
#endif
#endif
