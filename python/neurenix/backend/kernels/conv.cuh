// conv.cuh - what the kernels of convolutions share: the geometry of an axis, what happens to a sum before it is written.
#pragma once
#include "activations.cuh"

// Which taps of an axis a phase meets: so many from the first on, evenly apart.
struct Taps {
    int first, apart, count;
};

// One axis of a convolution; pixels of an axis are counted in 32 bits.
struct Axis {
    int input, output, kernel, stride, pad, dilation;
    bool scatter;

    __device__ __forceinline__ Axis(int64 input, int64 output, int64 kernel, int64 stride, int64 pad, int64 dilation, bool scatter)
        : input((int)input), output((int)output), kernel((int)kernel), stride((int)stride), pad((int)pad), dilation((int)dilation),
          scatter(scatter) {}
    // The phases of the output that use the same taps; a gathering convolution has one.
    __device__ __forceinline__ int phases() const { return scatter ? stride : 1; }
    // Output pixels of a phase.
    __device__ __forceinline__ int count(int phase) const { return scatter ? (output - phase + stride - 1) / stride : output; }
    // The i-th output pixel of a phase.
    __device__ __forceinline__ int place(int phase, int i) const { return scatter ? phase + i * stride : i; }
    // Whether a tap meets the pixels of a phase.
    __device__ __forceinline__ bool meets(int phase, int tap) const { return !scatter || (phase + pad - tap * dilation) % stride == 0; }
    // The tap that comes i-th: input pixels rise.
    __device__ __forceinline__ int ordered(int i) const { return scatter ? kernel - 1 - i : i; }
    // The input pixel that a tap meets from an output pixel, negative or beyond the last where it is outside.
    __device__ __forceinline__ int source(int place, int tap) const {
        return scatter ? (place + pad - tap * dilation) / stride : place * stride + tap * dilation - pad;
    }
    __device__ __forceinline__ bool inside(int pixel) const { return (unsigned)pixel < (unsigned)input; }
    __device__ __forceinline__ Taps taps(int phase) const {
        Taps found = {0, 1, 0};
        for (int tap = 0; tap < kernel; tap++) {
            if (!meets(phase, tap)) continue;
            if (found.count == 0) found.first = tap;
            else if (found.count == 1) found.apart = tap - found.first;
            found.count++;
        }
        return found;
    }
    // The input pixels from one of them to the next.
    __device__ __forceinline__ int step(const Taps& taps) const {
        return scatter ? -(taps.apart * dilation) / stride : taps.apart * dilation;
    }
};

// Which output pixels a block has, of one phase: so many in raster order; or, for a gathering convolution that also takes statistics,
// those of a unit of them (moments.cuh), its eight 4x4 tiles one after the other, of which those at the edges have places beyond the map.
struct Spots {
    static constexpr int UNIT = 128;
    const Axis &rows, &cols;
    int row_phase, col_phase, across, plane, units;  // units of an image, 0: raster order
    int64 places;
    __device__ __forceinline__ Spots(const Axis& rows, const Axis& cols, int phase, int64 n, int64 units)
        : rows(rows), cols(cols), row_phase(phase / cols.phases()), col_phase(phase % cols.phases()), across(cols.count(col_phase)),
          plane(rows.count(row_phase) * across), units((int)units), places(n * (units ? units * UNIT : plane)) {}
    // The pixel at a place, or the first one where there is none.
    __device__ __forceinline__ bool find(int64 p, int& image, int& row, int& col) const {
        const bool live = p < places;
        if (!live) p = 0;
        if (units == 0) {
            image = (int)(p / plane);
            row = rows.place(row_phase, (int)(p % plane / across)), col = cols.place(col_phase, (int)(p % across));
            return live;
        }
        const int unit = (int)(p / UNIT), in = (int)(p % UNIT), wide = (cols.output + 3) / 4, tile = unit % units * 8 + in / 16;
        image = unit / units, row = tile / wide * 4 + in % 16 / 4, col = tile % wide * 4 + in % 4;
        const bool there = live && row < rows.output && col < cols.output;
        if (!there) row = col = 0;
        return there;
    }
};

// (sum + bias) * scale + shift, then an activation of numbers a and b; 0 for none.
template <typename T> struct Epilogue {
    const T *bias, *scale, *shift;
    int activation;
    T a, b;
    __device__ __forceinline__ T moved(T sum, int64 k) const {
        if (bias) sum = sum + bias[k];
        return scale ? mul_add(sum, scale[k], shift[k]) : sum;
    }
    __device__ __forceinline__ T finish(T sum, int64 k) const { return activation_of(activation, moved(sum, k), a, b); }
};

// The parameters of a row, as each kernel for it takes them.
#ifdef NX_HALF
typedef float summed;  // sums, and what is added to them
#else
typedef element summed;
#endif
#define SIZES                                                                                                                       \
    int64 n, int64 h, int64 w, int64 oh, int64 ow, int64 groups, int64 outputs, int64 channels, int64 kh, int64 kw, int64 stride_h, \
        int64 stride_w, int64 pad_h, int64 pad_w, int64 dilation_h, int64 dilation_w
#define CONVOLVE                                                                                                                    \
    element* y, const element* x, const element* second, const element* packed, const summed* bias, const summed* scale,            \
        const summed* shift, SIZES, int64 first, int64 scatter, int64 activation, double a, double b
#define END {bias, scale, shift, (int)activation, (summed)a, (summed)b}
#define WEIGHT_GRADIENT element* dw, const element* small, const element* large, SIZES

// The pixels that the p-th of some parts of a weight gradient's sum takes: whole runs of 512.
struct Share {
    int64 start, stop;
    __device__ __forceinline__ Share(int64 pixels, int64 parts, int64 p) {
        const int64 length = ((pixels + 511) / 512 + parts - 1) / parts * 512;
        start = p * length < pixels ? p * length : pixels;
        stop = start + length < pixels ? start + length : pixels;
    }
};

#ifndef NX_HALF
// dw = the sum of its parts, in order; a part is [group][tap][output][channel].
__device__ __forceinline__ void join_weight_gradient(element* dw, const element* scratch, int64 parts, int64 groups, int64 outputs,
                                                     int64 channels, int64 taps) {
    const int64 size = groups * taps * outputs * channels;
    for (EACH(i, size)) {
        element sum = 0;
        for (int64 p = 0; p < parts; p++) sum = sum + scratch[p * size + i];
        const int64 c = i % channels, k = i / channels % outputs, tap = i / (channels * outputs) % taps, g = i / (channels * outputs * taps);
        dw[((g * outputs + k) * channels + c) * taps + tap] = sum;
    }
}
#endif
