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
#include "conv_tensor.cuh"

#if defined(NX_TENSOR_CORES) && (defined(NX_FLOAT32) || defined(NX_HALF))
#define WAY(name, way, threads, blocks)                                                                                                 \
    KERNEL_OF(threads, blocks) name(CONVOLVE, int64 parts) {                                                                             \
        convolve_tile<way, threads / 4, false, false>(y, x, second, packed, END, n, h, w, oh, ow, groups, outputs, channels, kh, kw, stride_h,   \
                                               stride_w, pad_h, pad_w, dilation_h, dilation_w, first, scatter != 0, parts, 0, {});              \
    }
#define WAY_IN_PARTS(name, way, blocks)                                                                                                  \
    KERNEL_OF(256, blocks) name(CONVOLVE, element* scratch, int64 parts) {                                                               \
        convolve_tile<way, 64, true, false>(scratch, x, second, packed, {}, n, h, w, oh, ow, groups, outputs, channels, kh, kw, stride_h,        \
                                     stride_w, pad_h, pad_w, dilation_h, dilation_w, first, scatter != 0, parts, 0, {});                        \
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
