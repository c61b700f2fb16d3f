// conv.cu - direct convolution and its transpose on channels-last buffers, and their gradients: any size, stride, dilation and
// number of groups, float32 and float64, without tensor cores.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Convolutions give the same bits as the
// CPU's direct ones; weight gradients share the pixels out among blocks and add the parts in a second pass, 2e-6 apart.
// max-registers: 176
// launch conv_pack: threads packed
// launch convolve: blocks n * (oh / (1 + scatter * (stride_h - 1))) * (ow / (1 + scatter * (stride_w - 1))) / 64,
//     groups * (outputs / 64), 1 + scatter * (stride_h * stride_w - 1)
// launch convolve_depthwise: threads n * oh * ow * channels
// launch conv_weight_gradient as conv_weight_gradient_part:
//     let parts = max(1, min(1024 / (groups * (outputs / 64) * (channels / 64) * kh * kw), n * oh * ow / 512));
//     blocks groups * (outputs / 64) * (channels / 64), kh * kw, parts; scratch parts * dw; then conv_weight_gradient_joined
// launch bias_gradient: blocks k / 32
#include "conv_direct.cuh"

#ifdef NX_FLOATS
// packed[g][tap][c][k]: outputs innermost, padded with zeros to a multiple of 16.
KERNEL NX_NAME(conv_pack)(element* packed, const element* weight, int64 groups, int64 outputs, int64 channels, int64 kh, int64 kw,
                          int64 stride_h, int64 stride_w, int64 pad_h, int64 pad_w, int64 dilation_h, int64 dilation_w, int64 scatter) {
    int64 padded = (outputs + 15) / 16 * 16, taps = kh * kw;
    for (EACH(i, groups * taps * channels * padded)) {
        int64 k = i % padded, c = i / padded % channels, tap = i / (padded * channels) % taps, g = i / (padded * channels * taps);
        int64 from = scatter ? (g * channels + c) * outputs + k : (g * outputs + k) * channels + c;
        packed[i] = k < outputs ? weight[from * taps + tap] : (element)0;
    }
}

KERNEL NX_NAME(convolve)(CONVOLVE) {
    __shared__ Tile tile;
    const Axis rows(h, oh, kh, stride_h, pad_h, dilation_h, scatter != 0), cols(w, ow, kw, stride_w, pad_w, dilation_w, scatter != 0);
    const int row_phase = blockIdx.z / cols.phases(), col_phase = blockIdx.z % cols.phases();
    const int across = cols.count(col_phase), plane = rows.count(row_phase) * across;
    const int64 first_pixel = (int64)blockIdx.x * TILE, pixels = n * plane;
    if (first_pixel >= pixels) return;
    const int panels = (int)((outputs + TILE - 1) / TILE), padded = (int)((outputs + 15) / 16 * 16);
    const int group = blockIdx.y / panels, first_output = blockIdx.y % panels * TILE, tx = threadIdx.x % 16, ty = threadIdx.x / 16;

    const Channels read = {x + group * channels, second, (int)first, second ? (int)first : (int)(groups * channels), (int)channels};
    const Direct<AsTheyAre> direct(rows, cols, read, blockIdx.z, packed + group * kh * kw * channels * padded, padded, first_output, {});
    const int64 loaded = first_pixel + threadIdx.x / 4 < pixels ? first_pixel + threadIdx.x / 4 : first_pixel;
    const int row = rows.place(row_phase, (int)(loaded % plane / across)), col = cols.place(col_phase, (int)(loaded % across));
    element total[4][4] = {};
    direct.run(total, tile, loaded / plane * h * w, row, col);

    const Epilogue<element> end = END;
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const int k = first_output + tx * 4 + j;
            if (k < outputs) total[i][j] = end.moved(total[i][j], group * outputs + k);
        }
    activate(reinterpret_cast<element(&)[16]>(total), end.activation, end.a, end.b);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int64 p = first_pixel + ty * 4 + i;
        if (p >= pixels) break;
        const int64 r = rows.place(row_phase, (int)(p % plane / across)), s = cols.place(col_phase, (int)(p % across));
        element* place = y + ((p / plane * oh + r) * ow + s) * groups * outputs + group * outputs;
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const int k = first_output + tx * 4 + j;
            if (k < outputs) place[k] = total[i][j];
        }
    }
}

KERNEL NX_NAME(convolve_depthwise)(element* y, const element* x, const element* weight, const element* bias, const element* scale,
                                   const element* shift, int64 n, int64 h, int64 w, int64 oh, int64 ow, int64 channels, int64 kh, int64 kw,
                                   int64 stride_h, int64 stride_w, int64 pad_h, int64 pad_w, int64 dilation_h, int64 dilation_w,
                                   int64 scatter, int64 activation, double a, double b) {
    const Axis rows(h, oh, kh, stride_h, pad_h, dilation_h, scatter != 0), cols(w, ow, kw, stride_w, pad_w, dilation_w, scatter != 0);
    const Epilogue<element> end = END;
    for (EACH(i, n * oh * ow * channels)) {
        int64 c = i % channels, image = i / (channels * ow * oh);
        int q = (int)(i / channels % ow), p = (int)(i / (channels * ow) % oh);
        element sum = 0;
        for (int a = 0; a < rows.kernel; a++) {
            int row_tap = rows.ordered(a), r = rows.source(p, row_tap);
            if (!rows.meets(p, row_tap) || !rows.inside(r)) continue;
            for (int b = 0; b < cols.kernel; b++) {
                int col_tap = cols.ordered(b), s = cols.source(q, col_tap);
                if (!cols.meets(q, col_tap) || !cols.inside(s)) continue;
                sum = mul_add(x[((image * h + r) * w + s) * channels + c], weight[(c * kh + row_tap) * kw + col_tap], sum);
            }
        }
        y[i] = end.finish(sum, c);
    }
}

KERNEL NX_NAME(conv_weight_gradient_part)(WEIGHT_GRADIENT, element* scratch, int64 parts) {
    __shared__ Tile tile;
    const Axis rows(h, oh, kh, stride_h, pad_h, dilation_h, false), cols(w, ow, kw, stride_w, pad_w, dilation_w, false);
    const Channels read = {large, nullptr, 0, (int)(groups * channels), (int)channels};
    gradient_tile(tile, small, read, rows, cols, groups, outputs, scratch, Share(n * oh * ow, parts, blockIdx.z), AsTheyAre());
}

KERNEL NX_NAME(conv_weight_gradient_joined)(WEIGHT_GRADIENT, const element* scratch, int64 parts) {
    join_weight_gradient(dw, scratch, parts, groups, outputs, channels, kh * kw);
}

// Runs of 512 pixels, eight at a time, added in order: the CPU's sums.
KERNEL NX_NAME(bias_gradient)(element* db, const element* dy, int64 pixels, int64 k) {
    __shared__ element parts[8][32];
    int lane = threadIdx.x / 32, column = threadIdx.x % 32;
    int64 channel = (int64)blockIdx.x * 32 + column;
    element total = 0;
    for (int64 from = 0; from < pixels; from += 8 * 512) {
        element sum = 0;
        int64 start = from + lane * 512, stop = start + 512 < pixels ? start + 512 : pixels;
        if (channel < k)
            for (int64 p = start; p < stop; p++) sum += dy[p * k + channel];
        parts[lane][column] = sum;
        __syncthreads();
        if (lane == 0)
            for (int i = 0; i < 8 && from + i * 512 < pixels; i++) total += parts[i][column];
        __syncthreads();
    }
    if (lane == 0 && channel < k) db[channel] = total;
}
#endif
