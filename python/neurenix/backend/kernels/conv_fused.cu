// conv_fused.cu - convolutions of a chain: they normalise what they read, read or write two maps beside each other, and take the moments
// of what they write; the gradients of their weights read as they do. Any card, float32 and float64, without tensor cores.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Same bits as convolve, conv_weight_gradient,
// norm_apply and norm_moments one by one.
// max-stack: 600
// max-registers: 208
// launch convolve_fused: let units = (1 - scatter) * (oh / 4 * (ow / 4) / 8);
//     blocks n * units + scatter * (n * (oh / (1 + scatter * (stride_h - 1))) * (ow / (1 + scatter * (stride_w - 1))) / 64),
//     groups * (outputs / 64), 1 + scatter * (stride_h * stride_w - 1); doubles 2 * n * units * groups * outputs * moments;
//     then convolve_fused_merged; continues; if moments > 0; blocks n * (groups * outputs / 8)
// launch conv_weight_gradient_fused as conv_weight_gradient_fused_part:
//     let parts = max(1, min(1024 / (groups * (outputs / 64) * (channels / 64) * kh * kw), n * oh * ow / 512));
//     blocks groups * (outputs / 64) * (channels / 64), kh * kw, parts; scratch parts * dw; then conv_weight_gradient_fused_joined
#include "conv_direct.cuh"
#include "conv_fused.cuh"

#ifdef NX_FLOATS
// A block has 64 pixels in raster order, or the 128 of a unit of statistics, half by half.
KERNEL NX_NAME(convolve_fused)(FUSED, double* scratch, int64 units) {
    __shared__ Tile tile;
    __shared__ element lines[UNIT_TILES * SIDE * TILE];
    const Axis rows(h, oh, kh, stride_h, pad_h, dilation_h, scatter != 0), cols(w, ow, kw, stride_w, pad_w, dilation_w, scatter != 0);
    const Spots spots(rows, cols, blockIdx.z, n, units);
    const int panels = (int)((outputs + TILE - 1) / TILE), padded = (int)((outputs + 15) / 16 * 16), halves = units ? 2 : 1;
    const int group = blockIdx.y / panels, first_output = blockIdx.y % panels * TILE, tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    const int64 wide = groups * outputs;

    const Channels read = {x + group * channels, second_x, (int)first, second_x ? (int)first : (int)(groups * channels), (int)channels};
    const Normalised normalised = {scale, shift, relu != 0};
    const Direct<Normalised> direct(rows, cols, read, blockIdx.z, packed + group * kh * kw * channels * padded, padded, first_output, normalised);
    for (int half = 0; half < halves; half++) {
        const int64 place = ((int64)blockIdx.x * halves + half) * TILE;
        int image, row, col;
        if (place >= spots.places) break;
        spots.find(place + threadIdx.x / 4, image, row, col);
        element total[4][4] = {};
        direct.run(total, tile, image * h * w, row, col);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            if (!spots.find(place + ty * 4 + i, image, row, col)) continue;
            const int64 pixel = (image * oh + row) * ow + col, channel = group * outputs + first_output + tx * 4;
            const bool beside = second_y && channel >= first_y;  // four outputs are of one map
            element* to = beside ? second_y + pixel * (wide - first_y) - first_y : y + pixel * (second_y ? first_y : wide);
#pragma unroll
            for (int j = 0; j < 4; j++)
                if (first_output + tx * 4 + j < outputs) to[channel + j] = bias ? total[i][j] + bias[channel + j] : total[i][j];
        }
    }
    if (!moments) return;
    __syncthreads();  // the unit is written
    const int64 place = blockIdx.x * wide, channel = group * outputs + first_output;
    const UnitRows<256, TILE> unit(y + blockIdx.x / units * oh * ow * wide, blockIdx.x % units, channel, (group + 1) * outputs, oh, ow, wide);
    block_moments(scratch + place, scratch + n * units * wide + place, lines, unit, channel);
}

KERNEL NX_NAME(convolve_fused_merged)(FUSED, double* scratch, int64 units) {
    per_image<Union>(mean, square, scratch, n, oh, ow, groups * outputs, units);
}

KERNEL NX_NAME(conv_weight_gradient_fused_part)(FUSED_WEIGHT_GRADIENT, element* scratch, int64 parts) {
    __shared__ Tile tile;
    const Axis rows(h, oh, kh, stride_h, pad_h, dilation_h, false), cols(w, ow, kw, stride_w, pad_w, dilation_w, false);
    const Channels read = {large, second_large, (int)first, second_large ? (int)first : (int)(groups * channels), (int)channels};
    const Normalised normalised = {scale, shift, relu != 0};
    gradient_tile(tile, small, read, rows, cols, groups, outputs, scratch, Share(n * oh * ow, parts, blockIdx.z), normalised);
}

KERNEL NX_NAME(conv_weight_gradient_fused_joined)(FUSED_WEIGHT_GRADIENT, const element* scratch, int64 parts) {
    join_weight_gradient(dw, scratch, parts, groups, outputs, channels, kh * kw);
}
#endif
