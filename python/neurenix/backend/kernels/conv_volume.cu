// conv_volume.cu - depthwise convolution of volumes and its transpose on channels-last buffers.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Same bits as the CPU.
// max-registers: 168
// launch convolve_depthwise_volume: threads n * od * oh * ow * channels
#include "conv.cuh"

#ifdef NX_FLOATS
KERNEL NX_NAME(convolve_depthwise_volume)(element* y, const element* x, const element* weight, const element* bias, int64 n, int64 d, int64 h,
                                          int64 w, int64 od, int64 oh, int64 ow, int64 channels, int64 kd, int64 kh, int64 kw, int64 stride_d,
                                          int64 stride_h, int64 stride_w, int64 pad_d, int64 pad_h, int64 pad_w, int64 dilation_d,
                                          int64 dilation_h, int64 dilation_w, int64 scatter) {
    const Axis depth(d, od, kd, stride_d, pad_d, dilation_d, scatter != 0);
    const Axis rows(h, oh, kh, stride_h, pad_h, dilation_h, scatter != 0), cols(w, ow, kw, stride_w, pad_w, dilation_w, scatter != 0);
    const Epilogue<element> end = {bias, nullptr, nullptr, 0, 0, 0};
    for (EACH(i, n * od * oh * ow * channels)) {
        int64 c = i % channels, image = i / (channels * ow * oh * od);
        int q = (int)(i / channels % ow), p = (int)(i / (channels * ow) % oh), o = (int)(i / (channels * ow * oh) % od);
        element sum = 0;
        for (int e = 0; e < depth.kernel; e++) {
            int tap = depth.ordered(e), z = depth.source(o, tap);
            if (!depth.meets(o, tap) || !depth.inside(z)) continue;
            for (int a = 0; a < rows.kernel; a++) {
                int row_tap = rows.ordered(a), r = rows.source(p, row_tap);
                if (!rows.meets(p, row_tap) || !rows.inside(r)) continue;
                for (int b = 0; b < cols.kernel; b++) {
                    int col_tap = cols.ordered(b), s = cols.source(q, col_tap);
                    if (!cols.meets(q, col_tap) || !cols.inside(s)) continue;
                    element factor = weight[((c * kd + tap) * kh + row_tap) * kw + col_tap];
                    sum = mul_add(x[(((image * d + z) * h + r) * w + s) * channels + c], factor, sum);
                }
            }
        }
        y[i] = end.finish(sum, c);
    }
}
#endif
