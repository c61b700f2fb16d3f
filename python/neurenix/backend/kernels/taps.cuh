// taps.cuh - the pixels that a point of a grid samples, and their weights: what grid sampling and its gradients share.
#pragma once
#include "common.cuh"
#include "convert.cuh"
#include "math.cuh"

enum Mode { LINEAR, NEAREST, BICUBIC };
enum Padding { ZEROS, BORDER, REFLECTION };

// A pixel of one axis that a sample takes part of; negative where it lies outside the map.
struct Tap {
    int pixel;
    element weight, slope;
};

// How coordinates become taps.
struct Sampler {
    int64 padding;
    bool align;

    // From [-1, 1] to pixels, and the derivative.
    __device__ __forceinline__ element pixels(element x, int64 size, element& slope) const {
        const element n = (element)(double)size, half = (element)0.5;
        slope = align ? (n - 1) * half : n * half;
        return align ? (x + 1) * half * (n - 1) : ((x + 1) * n - 1) * half;
    }

    __device__ __forceinline__ element reflect(element x, int64 size, element& slope) const {
        const element low = align ? (element)0 : (element)-0.5, span = (element)(align ? (double)size - 1.0 : (double)size);
        slope = 0;
        if (span == 0) return 0;
        x = x - low;
        const element sign = x < 0 ? (element)-1 : (element)1, far = magnitude(x), flips = round_down(far / span);
        const element rest = (element)fmod((double)far, (double)span);
        const bool odd = flips - 2 * round_down(flips / 2) != 0;
        slope = odd ? -sign : sign;
        return odd ? span - rest + low : rest + low;
    }

    // A coordinate as the padding sees it, and the derivative.
    __device__ __forceinline__ element padded(element x, int64 size, element& slope) const {
        slope = 1;
        if (padding == REFLECTION) x = reflect(x, size, slope);
        if (padding != BORDER && padding != REFLECTION) return x;
        const element last = (element)((double)size - 1.0);
        if (x > 0 && x < last) return x;
        slope = 0;
        return x >= last && x > 0 ? last : (element)0;
    }

    static __device__ __forceinline__ Tap tap(element pixel, element weight, element slope, int64 size) {
        const bool inside = pixel >= 0 && pixel < (element)(double)size;
        return {inside ? (int)pixel : -1, weight, slope};
    }

    // The `count` taps of one axis: 4 bicubic, 2 linear, 1 nearest.
    template <int count> __device__ __forceinline__ void taps(Tap (&list)[count], element x, int64 size) const {
        element scale, slope, unused;
        x = pixels(x, size, scale);
        if constexpr (count == 4) {
            const element first = round_down(x);
            element weights[4], slopes[4];
            cubic(x - first, weights, slopes);
#pragma unroll
            for (int n = 0; n < 4; n++) {
                element pixel = padded(first + (element)(n - 1), size, unused);
                if (padding == REFLECTION) pixel = round_even(pixel);
                list[n] = tap(pixel, weights[n], slopes[n] * scale, size);
            }
        } else {
            x = padded(x, size, slope);
            if constexpr (count == 1) {
                list[0] = tap(round_even(x), 1, 0, size);
            } else {
                const element first = round_down(x);
                list[0] = tap(first, first + 1 - x, -(slope * scale), size);
                list[1] = tap(first + 1, x - first, slope * scale, size);
            }
        }
    }

    // Keys' kernel with a = -0.75 at the four pixels around a point `t` behind the second, and its derivative.
    static __device__ __forceinline__ void cubic(element t, element (&weights)[4], element (&slopes)[4]) {
        const element u = 1 - t;
        weights[0] = far_of(t + 1), weights[1] = near_of(t), weights[2] = near_of(u), weights[3] = far_of(u + 1);
        slopes[0] = far_slope(t + 1), slopes[1] = near_slope(t), slopes[2] = -near_slope(u), slopes[3] = -far_slope(u + 1);
    }
    static __device__ __forceinline__ element near_of(element x) {
        const element a = (element)-0.75;
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    }
    static __device__ __forceinline__ element far_of(element x) {
        const element a = (element)-0.75;
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
    }
    static __device__ __forceinline__ element near_slope(element x) {
        const element a = (element)-0.75;
        return (3 * (a + 2) * x - 2 * (a + 3)) * x;
    }
    static __device__ __forceinline__ element far_slope(element x) {
        const element a = (element)-0.75;
        return (3 * a * x - 10 * a) * x + 8 * a;
    }
};

// The sizes of one call. Maps are (n, outer, d, h, w, inner), grids (n, points, axes), x before y before z.
struct Sizes {
    int64 n, outer, d, h, w, inner, points, axes;
    Sampler sampler;
    __device__ __forceinline__ int64 pixels() const { return d * h * w; }
};

// The taps of a point along depth, height and width; a map has `deep` along depth.
template <int count> struct Point {
    static constexpr int deep = count == 4 ? 1 : count;
    Tap z[deep], y[count], x[count];

    __device__ __forceinline__ Point(const Sizes& s, const element* at) {
        s.sampler.taps(x, at[0], s.w);
        s.sampler.taps(y, at[1], s.h);
        if constexpr (count == 4) {
            z[0] = {0, 1, 0};
        } else if (s.axes == 3) {
            s.sampler.taps(z, at[2], s.d);
        } else {
            z[0] = {0, 1, 0};
            if constexpr (deep == 2) z[1] = {-1, 0, 0};
        }
    }

    // Calls f(number of the tap, pixel, along depth, along height, along width) for each product of taps inside, in the order of axes.
    template <typename F> __device__ __forceinline__ void each(const Sizes& s, F f) const {
#pragma unroll
        for (int k = 0; k < deep; k++)
#pragma unroll
            for (int i = 0; i < count; i++)
#pragma unroll
                for (int j = 0; j < count; j++)
                    if (z[k].pixel >= 0 && y[i].pixel >= 0 && x[j].pixel >= 0)
                        f((k * count + i) * count + j, ((int64)z[k].pixel * s.h + y[i].pixel) * s.w + x[j].pixel, z[k], y[i], x[j]);
    }
};

// Calls a template of the number of taps an axis.
#define BY_MODE(mode, function, ...)                       \
    do {                                                   \
        if (mode == LINEAR) function<2>(__VA_ARGS__);      \
        else if (mode == NEAREST) function<1>(__VA_ARGS__); \
        else function<4>(__VA_ARGS__);                     \
    } while (false)
