// conv_tensor_gradient.cuh - the tiles of a weight gradient on tensor cores: outputs times pixels times channels, for each tap.
#pragma once
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
    // The columns from `split` on are those of another map, of the same pixels; a copy is of one map.
    __device__ __forceinline__ void beside(const T* map, const T* second, int size, int split) {
        const int column = size - columns;
        const bool other = columns && column >= split;
        whole = whole && split % Tile::VECTOR == 0 && (unsigned long long)second % 16 == 0;
        if (other) base = second + column - split;
        pitch = other ? size - split : split;
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

template <class Tile> struct Gradients : AsCopied {
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
template <class Tile, bool READS = false> struct Sources {
    typedef typename Tile::T T;
    typedef Neighbours<Tile> Columns;
    const Columns& columns;
    const T* somewhere;
    const Axis &rows, &cols;
    int row_tap, col_tap, image, row, col;  // the output pixel of this thread's first row of the tile
    int64 rest;
    Reading<Tile, Columns::LOADS, READS> reading;

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
            reading.note(i, valid);
            columns.copy(tile, ((int64)image * rows.input + r) * cols.input + c, valid, somewhere);
        }
        rest -= Tile::DEPTH;
    }
    // What this thread has copied to a stage has arrived.
    __device__ __forceinline__ void ready(T* tile) {
        reading.apply(tile + threadIdx.x / Columns::ACROSS * Tile::RIGHT_PITCH + threadIdx.x % Columns::ACROSS * Tile::VECTOR,
                      Columns::APART * Tile::RIGHT_PITCH, 0);  // the tables begin at its channels
    }
};

// The map that windows lie in: where there is a second one, that has the channels from `first` on; elements are normalised as they are
// read where there is a scale.
struct Large {
    const float *second, *scale, *shift;
    int first;
    bool relu;
};

// One part of the pixels into `scratch`, which holds [part][group][tap][output][channel]; partial sums close every 512 pixels.
template <class Way, bool CHAIN>
__device__ __forceinline__ void gradient_tile(const typename Way::stored* small, const typename Way::stored* large, const Large& chain, SIZES,
                                              float* scratch, int64 parts) {
    typedef Block<Way, 64, 64, false> Tile;
    __shared__ __align__(16) typename Tile::Stage stages[STAGES];
    const Axis rows(h, oh, kh, stride_h, pad_h, dilation_h, false), cols(w, ow, kw, stride_w, pad_w, dilation_w, false);
    const int across = (int)((channels + 63) / 64), down = (int)((outputs + 63) / 64);
    const int first_channel = blockIdx.x % across * 64, first_output = blockIdx.x / across % down * 64, group = blockIdx.x / (across * down);
    const Share share(n * oh * ow, parts, blockIdx.z);

    const Neighbours<Tile> up(small, groups, group, outputs, first_output);
    Neighbours<Tile> below(large, groups, group, channels, first_channel);
    if constexpr (CHAIN)
        if (chain.second) below.beside(large, chain.second, (int)channels, chain.first);
    Gradients<Tile> left(up, small, share);
    Sources<Tile, CHAIN> right(below, large, rows, cols, blockIdx.y, share);
    if constexpr (CHAIN) {
        // A thread's four channels are the same in every stage; one without channels reads none.
        const int64 channel = channels - below.columns;
        if (chain.scale && below.columns) right.reading.set(chain.scale + channel, chain.shift + channel, chain.relu);
    }
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

#endif
