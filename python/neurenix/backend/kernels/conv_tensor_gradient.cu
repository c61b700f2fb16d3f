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
#include "conv_tensor_gradient.cuh"

#if defined(NX_TENSOR_CORES) && (defined(NX_FLOAT32) || defined(NX_HALF))
#define WAY(name, way)                                                                                                                   \
    KERNEL_OF(128, 3) name(WEIGHT_GRADIENT, summed* scratch, int64 parts) {                                                                         \
        gradient_tile<way, false>(small, large, {}, n, h, w, oh, ow, groups, outputs, channels, kh, kw, stride_h, stride_w, pad_h, pad_w, dilation_h, \
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
