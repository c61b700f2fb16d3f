// conv_fused_tensor.cu - convolutions of a chain and the gradients of their weights on tensor cores: as conv_tensor.cu and
// conv_tensor_gradient.cu, with what conv_fused.cu adds. Copies to shared memory stay asynchronous: what is normalised is changed there
// by the thread that copied it.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Same bits as the plain kernels on tensor
// cores, norm_apply and norm_moments one by one.
// max-stack: 600
// max-registers: 208
// launch convolve_fused as convolve_fused_fast_part: type f32; precision fast; sm 80; let parts = min(8, kh * kw * channels / 1536); let units = (1 - scatter) * (oh / 4 * (ow / 4) / 8);
//     where channels >= 8 and outputs >= 8 and n * h * w < 2147483648 and parts > 1 and n * oh * ow / 128 * groups * (outputs / 64) < 2 * processors;
//     blocks n * units + scatter * (n * (oh / (1 + scatter * (stride_h - 1))) * (ow / (1 + scatter * (stride_w - 1))) / 128),
//         groups * (outputs / 64), parts * (1 + scatter * (stride_h * stride_w - 1));
//     doubles max(parts * n * oh * ow * groups * outputs / 2, 2 * n * units * groups * outputs * moments);
//     then convolve_fused_joined; threads n * oh * ow * groups * outputs; continues;
//     then convolve_fused_moments; continues; if moments > 0; threads n * units * groups * outputs;
//     then convolve_fused_merged; continues; if moments > 0; blocks n * (groups * outputs / 8)
// launch convolve_fused as convolve_fused_fast_narrow: type f32; precision fast; sm 80; block 128; let parts = min(8, kh * kw * channels / 1536); let units = (1 - scatter) * (oh / 4 * (ow / 4) / 8);
//     where channels >= 8 and outputs >= 8 and outputs < 33 and n * h * w < 2147483648;
//     blocks n * units + scatter * (n * (oh / (1 + scatter * (stride_h - 1))) * (ow / (1 + scatter * (stride_w - 1))) / 128),
//         groups, 1 + scatter * (stride_h * stride_w - 1); doubles 2 * n * units * groups * outputs * moments;
//     then convolve_fused_merged; continues; if moments > 0; blocks n * (groups * outputs / 8)
// launch convolve_fused as convolve_fused_fast: type f32; precision fast; sm 80; let parts = min(8, kh * kw * channels / 1536); let units = (1 - scatter) * (oh / 4 * (ow / 4) / 8);
//     where channels >= 8 and outputs >= 8 and n * h * w < 2147483648;
//     blocks n * units + scatter * (n * (oh / (1 + scatter * (stride_h - 1))) * (ow / (1 + scatter * (stride_w - 1))) / 128),
//         groups * (outputs / 64), 1 + scatter * (stride_h * stride_w - 1); doubles 2 * n * units * groups * outputs * moments;
//     then convolve_fused_merged; continues; if moments > 0; blocks n * (groups * outputs / 8)
// launch conv_weight_gradient_fused as conv_weight_gradient_fused_fast: type f32; precision fast; sm 80; block 128; where channels >= 8 and outputs >= 8;
//     let parts = max(1, min(1024 / (groups * (outputs / 64) * (channels / 64) * kh * kw), n * oh * ow / 512));
//     blocks groups * (outputs / 64) * (channels / 64), kh * kw, parts; scratch parts * dw; then conv_weight_gradient_fused_joined
// launch convolve_fused as convolve_fused_tf32_part: type f32; precision tf32; sm 80; let parts = min(8, kh * kw * channels / 1536); let units = (1 - scatter) * (oh / 4 * (ow / 4) / 8);
//     where channels >= 8 and outputs >= 8 and n * h * w < 2147483648 and parts > 1 and n * oh * ow / 128 * groups * (outputs / 64) < 2 * processors;
//     blocks n * units + scatter * (n * (oh / (1 + scatter * (stride_h - 1))) * (ow / (1 + scatter * (stride_w - 1))) / 128),
//         groups * (outputs / 64), parts * (1 + scatter * (stride_h * stride_w - 1));
//     doubles max(parts * n * oh * ow * groups * outputs / 2, 2 * n * units * groups * outputs * moments);
//     then convolve_fused_joined; threads n * oh * ow * groups * outputs; continues;
//     then convolve_fused_moments; continues; if moments > 0; threads n * units * groups * outputs;
//     then convolve_fused_merged; continues; if moments > 0; blocks n * (groups * outputs / 8)
// launch convolve_fused as convolve_fused_tf32_narrow: type f32; precision tf32; sm 80; block 128; let parts = min(8, kh * kw * channels / 1536); let units = (1 - scatter) * (oh / 4 * (ow / 4) / 8);
//     where channels >= 8 and outputs >= 8 and outputs < 33 and n * h * w < 2147483648;
//     blocks n * units + scatter * (n * (oh / (1 + scatter * (stride_h - 1))) * (ow / (1 + scatter * (stride_w - 1))) / 128),
//         groups, 1 + scatter * (stride_h * stride_w - 1); doubles 2 * n * units * groups * outputs * moments;
//     then convolve_fused_merged; continues; if moments > 0; blocks n * (groups * outputs / 8)
// launch convolve_fused as convolve_fused_tf32: type f32; precision tf32; sm 80; let parts = min(8, kh * kw * channels / 1536); let units = (1 - scatter) * (oh / 4 * (ow / 4) / 8);
//     where channels >= 8 and outputs >= 8 and n * h * w < 2147483648;
//     blocks n * units + scatter * (n * (oh / (1 + scatter * (stride_h - 1))) * (ow / (1 + scatter * (stride_w - 1))) / 128),
//         groups * (outputs / 64), 1 + scatter * (stride_h * stride_w - 1); doubles 2 * n * units * groups * outputs * moments;
//     then convolve_fused_merged; continues; if moments > 0; blocks n * (groups * outputs / 8)
// launch conv_weight_gradient_fused as conv_weight_gradient_fused_tf32: type f32; precision tf32; sm 80; block 128; where channels >= 8 and outputs >= 8;
//     let parts = max(1, min(1024 / (groups * (outputs / 64) * (channels / 64) * kh * kw), n * oh * ow / 512));
//     blocks groups * (outputs / 64) * (channels / 64), kh * kw, parts; scratch parts * dw; then conv_weight_gradient_fused_joined
// launch convolve_fused as convolve_fused_bfloat16_part: type f32; precision bfloat16; sm 80; let parts = min(8, kh * kw * channels / 1536); let units = (1 - scatter) * (oh / 4 * (ow / 4) / 8);
//     where channels >= 8 and outputs >= 8 and n * h * w < 2147483648 and parts > 1 and n * oh * ow / 128 * groups * (outputs / 64) < 2 * processors;
//     blocks n * units + scatter * (n * (oh / (1 + scatter * (stride_h - 1))) * (ow / (1 + scatter * (stride_w - 1))) / 128),
//         groups * (outputs / 64), parts * (1 + scatter * (stride_h * stride_w - 1));
//     doubles max(parts * n * oh * ow * groups * outputs / 2, 2 * n * units * groups * outputs * moments);
//     then convolve_fused_joined; threads n * oh * ow * groups * outputs; continues;
//     then convolve_fused_moments; continues; if moments > 0; threads n * units * groups * outputs;
//     then convolve_fused_merged; continues; if moments > 0; blocks n * (groups * outputs / 8)
// launch convolve_fused as convolve_fused_bfloat16_narrow: type f32; precision bfloat16; sm 80; block 128; let parts = min(8, kh * kw * channels / 1536); let units = (1 - scatter) * (oh / 4 * (ow / 4) / 8);
//     where channels >= 8 and outputs >= 8 and outputs < 33 and n * h * w < 2147483648;
//     blocks n * units + scatter * (n * (oh / (1 + scatter * (stride_h - 1))) * (ow / (1 + scatter * (stride_w - 1))) / 128),
//         groups, 1 + scatter * (stride_h * stride_w - 1); doubles 2 * n * units * groups * outputs * moments;
//     then convolve_fused_merged; continues; if moments > 0; blocks n * (groups * outputs / 8)
// launch convolve_fused as convolve_fused_bfloat16: type f32; precision bfloat16; sm 80; let parts = min(8, kh * kw * channels / 1536); let units = (1 - scatter) * (oh / 4 * (ow / 4) / 8);
//     where channels >= 8 and outputs >= 8 and n * h * w < 2147483648;
//     blocks n * units + scatter * (n * (oh / (1 + scatter * (stride_h - 1))) * (ow / (1 + scatter * (stride_w - 1))) / 128),
//         groups * (outputs / 64), 1 + scatter * (stride_h * stride_w - 1); doubles 2 * n * units * groups * outputs * moments;
//     then convolve_fused_merged; continues; if moments > 0; blocks n * (groups * outputs / 8)
// launch conv_weight_gradient_fused as conv_weight_gradient_fused_bfloat16: type f32; precision bfloat16; sm 80; block 128; where channels >= 8 and outputs >= 8;
//     let parts = max(1, min(1024 / (groups * (outputs / 64) * (channels / 64) * kh * kw), n * oh * ow / 512));
//     blocks groups * (outputs / 64) * (channels / 64), kh * kw, parts; scratch parts * dw; then conv_weight_gradient_fused_joined
// launch convolve_fused as convolve_fused_float16_part: type f32; precision float16; sm 80; let parts = min(8, kh * kw * channels / 1536); let units = (1 - scatter) * (oh / 4 * (ow / 4) / 8);
//     where channels >= 8 and outputs >= 8 and n * h * w < 2147483648 and parts > 1 and n * oh * ow / 128 * groups * (outputs / 64) < 2 * processors;
//     blocks n * units + scatter * (n * (oh / (1 + scatter * (stride_h - 1))) * (ow / (1 + scatter * (stride_w - 1))) / 128),
//         groups * (outputs / 64), parts * (1 + scatter * (stride_h * stride_w - 1));
//     doubles max(parts * n * oh * ow * groups * outputs / 2, 2 * n * units * groups * outputs * moments);
//     then convolve_fused_joined; threads n * oh * ow * groups * outputs; continues;
//     then convolve_fused_moments; continues; if moments > 0; threads n * units * groups * outputs;
//     then convolve_fused_merged; continues; if moments > 0; blocks n * (groups * outputs / 8)
// launch convolve_fused as convolve_fused_float16_narrow: type f32; precision float16; sm 80; block 128; let parts = min(8, kh * kw * channels / 1536); let units = (1 - scatter) * (oh / 4 * (ow / 4) / 8);
//     where channels >= 8 and outputs >= 8 and outputs < 33 and n * h * w < 2147483648;
//     blocks n * units + scatter * (n * (oh / (1 + scatter * (stride_h - 1))) * (ow / (1 + scatter * (stride_w - 1))) / 128),
//         groups, 1 + scatter * (stride_h * stride_w - 1); doubles 2 * n * units * groups * outputs * moments;
//     then convolve_fused_merged; continues; if moments > 0; blocks n * (groups * outputs / 8)
// launch convolve_fused as convolve_fused_float16: type f32; precision float16; sm 80; let parts = min(8, kh * kw * channels / 1536); let units = (1 - scatter) * (oh / 4 * (ow / 4) / 8);
//     where channels >= 8 and outputs >= 8 and n * h * w < 2147483648;
//     blocks n * units + scatter * (n * (oh / (1 + scatter * (stride_h - 1))) * (ow / (1 + scatter * (stride_w - 1))) / 128),
//         groups * (outputs / 64), 1 + scatter * (stride_h * stride_w - 1); doubles 2 * n * units * groups * outputs * moments;
//     then convolve_fused_merged; continues; if moments > 0; blocks n * (groups * outputs / 8)
// launch conv_weight_gradient_fused as conv_weight_gradient_fused_float16: type f32; precision float16; sm 80; block 128; where channels >= 8 and outputs >= 8;
//     let parts = max(1, min(1024 / (groups * (outputs / 64) * (channels / 64) * kh * kw), n * oh * ow / 512));
//     blocks groups * (outputs / 64) * (channels / 64), kh * kw, parts; scratch parts * dw; then conv_weight_gradient_fused_joined
#include "conv_fused.cuh"
#include "conv_tensor.cuh"
#include "conv_tensor_gradient.cuh"

#if defined(NX_TENSOR_CORES) && defined(NX_FLOAT32)
#define WAY(name, way, threads, blocks)                                                                                                  \
    KERNEL_OF(threads, blocks) name(FUSED, double* scratch, int64 parts, int64 units) {                                                  \
        const Chain chain = {second_y, (int)first_y, scale, shift, relu != 0, scratch, moments != 0};                                    \
        convolve_tile<way, threads / 4, false, true>(y, x, second_x, packed, {bias}, n, h, w, oh, ow, groups, outputs, channels, kh, kw, \
                                                     stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, first, scatter != 0,      \
                                                     parts, units, chain);                                                              \
    }
#define WAY_IN_PARTS(name, way, blocks)                                                                                                   \
    KERNEL_OF(256, blocks) name(FUSED, double* scratch, int64 parts, int64 units) {                                                       \
        const Chain chain = {nullptr, 0, scale, shift, relu != 0, nullptr, false};                                                      \
        convolve_tile<way, 64, true, true>((float*)scratch, x, second_x, packed, {}, n, h, w, oh, ow, groups, outputs, channels, kh, kw,  \
                                           stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, first, scatter != 0, parts, units,   \
                                           chain);                                                                                       \
    }
#define WAY_OF_GRADIENT(name, way)                                                                                                       \
    KERNEL_OF(128, 3) name(FUSED_WEIGHT_GRADIENT, element* scratch, int64 parts) {                                                       \
        const Large chain = {second_large, scale, shift, (int)first, relu != 0};                                                         \
        gradient_tile<way, true>(small, large, chain, n, h, w, oh, ow, groups, outputs, channels, kh, kw, stride_h, stride_w, pad_h,     \
                                 pad_w, dilation_h, dilation_w, scratch, parts);                                                         \
    }
WAY(NX_NAME(convolve_fused_fast), ThreeProducts, 256, 1)  // 2 would spill 8 bytes
WAY(NX_NAME(convolve_fused_tf32), OneProduct, 256, 2)
WAY(NX_NAME(convolve_fused_bfloat16), RoundedHalves<true>, 256, 2)
WAY(NX_NAME(convolve_fused_float16), RoundedHalves<false>, 256, 2)
WAY(NX_NAME(convolve_fused_fast_narrow), ThreeProducts, 128, 3)
WAY(NX_NAME(convolve_fused_tf32_narrow), OneProduct, 128, 3)
WAY(NX_NAME(convolve_fused_bfloat16_narrow), RoundedHalves<true>, 128, 3)
WAY(NX_NAME(convolve_fused_float16_narrow), RoundedHalves<false>, 128, 3)
WAY_IN_PARTS(NX_NAME(convolve_fused_fast_part), ThreeProducts, 2)
WAY_IN_PARTS(NX_NAME(convolve_fused_tf32_part), OneProduct, 2)
WAY_IN_PARTS(NX_NAME(convolve_fused_bfloat16_part), RoundedHalves<true>, 2)
WAY_IN_PARTS(NX_NAME(convolve_fused_float16_part), RoundedHalves<false>, 2)
WAY_OF_GRADIENT(NX_NAME(conv_weight_gradient_fused_fast), ThreeProducts)
WAY_OF_GRADIENT(NX_NAME(conv_weight_gradient_fused_tf32), OneProduct)
WAY_OF_GRADIENT(NX_NAME(conv_weight_gradient_fused_bfloat16), RoundedHalves<true>)
WAY_OF_GRADIENT(NX_NAME(conv_weight_gradient_fused_float16), RoundedHalves<false>)

// y = the parts of each sum, in order, and the bias; of two maps each gets its outputs.
KERNEL NX_NAME(convolve_fused_joined)(FUSED, double* scratch, int64 parts, int64 units) {
    const float* sums = (const float*)scratch;
    const Epilogue<float> end = {bias};
    const int64 wide = groups * outputs, size = n * oh * ow * wide;
    for (EACH(i, size)) {
        float sum = 0;
        for (int64 p = 0; p < parts; p++) sum = sum + sums[p * size + i];
        const int64 pixel = i / wide, channel = i % wide;
        const bool beside = second_y && channel >= first_y;
        (beside ? second_y + pixel * (wide - first_y) - first_y : y + pixel * (second_y ? first_y : wide))[channel] = end.moved(sum, channel);
    }
}

// Moments of units where the sums came in parts.
KERNEL NX_NAME(convolve_fused_moments)(FUSED, double* scratch, int64 parts, int64 units) {
    const int64 wide = groups * outputs;
    each_unit(scratch, n, units, wide, [=](int64 image, int64 channel, int64 unit) {
        return moments_of(y + image * oh * ow * wide + channel, unit, oh, ow, wide);
    });
}

KERNEL NX_NAME(convolve_fused_merged)(FUSED, double* scratch, int64 parts, int64 units) {
    per_image<Union>(mean, square, scratch, n, oh, ow, groups * outputs, units);
}

KERNEL NX_NAME(conv_weight_gradient_fused_joined)(FUSED_WEIGHT_GRADIENT, const element* scratch, int64 parts) {
    join_weight_gradient(dw, scratch, parts, groups, outputs, channels, kh * kw);
}
#endif
