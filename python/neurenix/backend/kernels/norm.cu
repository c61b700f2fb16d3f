// norm.cu - normalisation over channels-last maps: batch, instance and group norm are one set of kernels.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Same bits as the CPU.
// max-stack: 1200
// max-registers: 144
// launch norm_moments: let units = h / 4 * (w / 4) / 8; doubles 2 * n * units * c; threads n * units * c;
//     then norm_moments_merged; blocks n * (c / 8)
// launch norm_tables: threads n * c + c
// launch norm_running_tables: threads c
// launch norm_apply: threads n * pixels * c
// launch norm_apply_pooled: threads n * (h / 2) * (w / 2) * c
// launch norm_backward_sums: let units = h / 4 * (w / 4) / 8; doubles 2 * n * units * c; threads n * units * c;
//     then norm_backward_merged; blocks n * (c / 8)
// launch norm_backward_tables: threads n * c + c
// launch norm_backward_apply: threads n * pixels * c
#include "moments.cuh"

#ifdef NX_FLOATS
#define MOMENTS const element* x, double* mean, double* square, int64 n, int64 h, int64 w, int64 c, double* scratch, int64 units

KERNEL NX_NAME(norm_moments)(MOMENTS) {
    each_unit(scratch, n, units, c, [=](int64 image, int64 channel, int64 unit) {
        return moments_of(x + image * h * w * c + channel, unit, h, w, c);
    });
}

KERNEL NX_NAME(norm_moments_merged)(MOMENTS) { per_image<Union>(mean, square, scratch, n, h, w, c, units); }

// g where a ReLU after x * scale + shift let something through; NaN passes.
__device__ __forceinline__ element passed(element g, element x, element scale, element shift, bool relu) {
    return relu && mul_add(x, scale, shift) <= 0 ? (element)0 : g;
}

#define BACKWARD_SUMS                                                                                                                   \
    const element* g, const element* x, double* sum_g, double* sum_gx, const double* mean, const element* scale, const element* shift,  \
        int64 rows, int64 n, int64 h, int64 w, int64 c, int64 relu, double* scratch, int64 units

KERNEL NX_NAME(norm_backward_sums)(BACKWARD_SUMS) {
    each_unit(scratch, n, units, c, [=](int64 image, int64 channel, int64 unit) {
        int64 row = (rows == 1 ? 0 : image) * c + channel, start_of = image * h * w * c + channel;
        element middle = (element)mean[row], factor = scale[row], addend = shift[row], first = 0, second = 0;
        int pixels = each_run(unit, h, w, [&](int64 start, int count) {
            const element *gs = g + start_of + start * c, *xs = x + start_of + start * c;
            if (count == SIDE) {
                element p = passed(gs[0], xs[0], factor, addend, relu), q = passed(gs[c], xs[c], factor, addend, relu);
                element r = passed(gs[2 * c], xs[2 * c], factor, addend, relu), s = passed(gs[3 * c], xs[3 * c], factor, addend, relu);
                first = first + ((p + q) + (r + s));
                second = second + (mul_add(p, xs[0] - middle, q * (xs[c] - middle)) + mul_add(r, xs[2 * c] - middle, s * (xs[3 * c] - middle)));
            } else {
                for (int i = 0; i < count; i++) {
                    element p = passed(gs[i * c], xs[i * c], factor, addend, relu);
                    first = first + p;
                    second = mul_add(p, xs[i * c] - middle, second);
                }
            }
        });
        return Part{(double)pixels, (double)first, (double)second};
    });
}

KERNEL NX_NAME(norm_backward_merged)(BACKWARD_SUMS) { per_image<Plus>(sum_g, sum_gx, scratch, n, h, w, c, units); }

__device__ __forceinline__ double value_or(const element* table, int64 c, double otherwise) { return table ? (double)table[c] : otherwise; }

// What shares a statistic with element (row, channel) of the tables: samples for groups = 0, else channels of the sample.
struct Sharing {
    int64 n, c, pixels, groups;
    __device__ __forceinline__ int64 rows() const { return groups ? n : 1; }
    __device__ __forceinline__ double count() const { return (double)(groups ? c / groups * pixels : n * pixels); }
    template <typename Rule, typename F> __device__ __forceinline__ Part total(int64 row, int64 channel, F part) const {
        Tree<Rule> tree;
        if (groups == 0) {
            for (int64 sample = 0; sample < n; sample++) tree.add(part(sample, channel));
        } else {
            int64 wide = c / groups, first = channel / wide * wide;
            for (int64 i = 0; i < wide; i++) tree.add(part(row, first + i));
        }
        return tree.total();
    }
};

KERNEL NX_NAME(norm_tables)(element* scale, element* shift, double* mean, double* rstd, element* running_mean, element* running_var,
                            const double* moment_mean, const double* moment_square, const element* weight, const element* bias, int64 n,
                            int64 c, int64 pixels, int64 groups, double eps, double momentum) {
    const Sharing sharing = {n, c, pixels, groups};
    const double count = sharing.count(), free = count - 1 > 1 ? count - 1 : 1;
    auto part = [=](int64 sample, int64 channel) {
        return Part{(double)pixels, moment_mean[sample * c + channel], moment_square[sample * c + channel]};
    };
    for (EACH(i, sharing.rows() * c)) {
        int64 channel = i % c;
        Part total = sharing.total<Union>(i / c, channel, part);
        double inverse = 1.0 / sqrt(total.second / count + eps), factor = value_or(weight, channel, 1) * inverse;
        mean[i] = total.first;
        rstd[i] = inverse;
        scale[i] = (element)factor;
        shift[i] = (element)(value_or(bias, channel, 0) - total.first * factor);
    }
    if (!running_mean && !running_var) return;
    for (EACH(channel, c)) {
        Tree<Plus> sums;
        for (int64 row = 0; row < sharing.rows(); row++) {
            Part total = sharing.total<Union>(row, channel, part);
            sums.add({0, total.first, total.second / free});
        }
        Part total = sums.total();
        double rows = (double)sharing.rows();
        if (running_mean) running_mean[channel] = (element)((double)running_mean[channel] * (1.0 - momentum) + momentum * (total.first / rows));
        if (running_var) running_var[channel] = (element)((double)running_var[channel] * (1.0 - momentum) + momentum * (total.second / rows));
    }
}

KERNEL NX_NAME(norm_running_tables)(element* scale, element* shift, double* mean, double* rstd, const element* running_mean,
                                    const element* running_var, const element* weight, const element* bias, int64 c, double eps) {
    for (EACH(i, c)) {
        double inverse = 1.0 / sqrt((double)running_var[i] + eps), factor = value_or(weight, i, 1) * inverse;
        mean[i] = (double)running_mean[i];
        rstd[i] = inverse;
        scale[i] = (element)factor;
        shift[i] = (element)(value_or(bias, i, 0) - (double)running_mean[i] * factor);
    }
}

KERNEL NX_NAME(norm_apply)(element* y, const element* x, const element* scale, const element* shift, int64 rows, int64 n, int64 pixels,
                           int64 c, int64 relu) {
    for (EACH(i, n * pixels * c)) {
        int64 row = (rows == 1 ? 0 : i / (pixels * c)) * c + i % c;
        element value = mul_add(x[i], scale[row], shift[row]);
        y[i] = relu && value < 0 ? (element)0 : value;
    }
}

// A thread takes the window of an output, or what an odd size leaves beside the last: each pixel is read and written once.
KERNEL NX_NAME(norm_apply_pooled)(element* pooled, element* y, unsigned char* tap, const element* x, const element* scale,
                                  const element* shift, int64 n, int64 h, int64 w, int64 c, int64 oh, int64 ow, int64 relu) {
    const int64 high = (h + 1) / 2, wide = (w + 1) / 2, count = n * high * wide * c;
    for (EACH(at, count)) {
        const Spot spot(at, count, high, wide, c);
        const element factor = scale[spot.c], addend = shift[spot.c];
        const int64 first = ((spot.o * h + 2 * spot.i) * w + 2 * spot.j) * c + spot.c;
        const bool below = 2 * spot.i + 1 < h, beside = 2 * spot.j + 1 < w;
        element best = -Traits<element>::infinity();
        int place = 0;
#pragma unroll
        for (int number = 0; number < 4; number++) {
            const int k = number / 2, l = number % 2;
            if ((k && !below) || (l && !beside)) continue;
            const int64 pixel = first + (k * w + l) * c;
            element value = mul_add(x[pixel], factor, addend);
            value = relu && value < 0 ? (element)0 : value;
            if (y) y[pixel] = value;
            if (value > best || value != value) best = value, place = k * (w > 1 ? 2 : 1) + l;
        }
        if (spot.i < oh && spot.j < ow) {
            const int64 output = ((spot.o * oh + spot.i) * ow + spot.j) * c + spot.c;
            pooled[output] = best;
            tap[output] = (unsigned char)place;
        }
    }
}

KERNEL NX_NAME(norm_backward_tables)(element* a, element* b, element* d, element* dweight, element* dbias, const double* sum_g,
                                     const double* sum_gx, const double* mean, const double* rstd, const element* weight, int64 n, int64 c,
                                     int64 pixels, int64 groups, int64 training) {
    const Sharing sharing = {n, c, pixels, groups};
    const double count = sharing.count();
    auto sum = [=](int64 sample, int64 channel) { return sum_g ? sum_g[sample * c + channel] : 0.0; };
    // The sums were taken around the mean rounded to an element; this moves them to the mean itself.
    auto centred = [=](int64 sample, int64 channel) {
        double m = mean[(groups ? sample : 0) * c + channel];
        return (sum_gx ? sum_gx[sample * c + channel] : 0.0) + ((double)(element)m - m) * sum(sample, channel);
    };
    auto part = [=](int64 sample, int64 channel) {
        double factor = value_or(weight, channel, 1);
        return Part{0, factor * sum(sample, channel), factor * centred(sample, channel)};
    };
    for (EACH(i, sharing.rows() * c)) {
        Part total = sharing.total<Plus>(i / c, i % c, part);
        double slope = training ? -rstd[i] * rstd[i] * rstd[i] * total.second / count : 0;
        a[i] = (element)(value_or(weight, i % c, 1) * rstd[i]);
        b[i] = (element)slope;
        d[i] = (element)(training ? -rstd[i] * total.first / count - slope * mean[i] : 0);
    }
    if (!dweight && !dbias) return;
    for (EACH(channel, c)) {
        Tree<Plus> sums;
        for (int64 sample = 0; sample < n; sample++)
            sums.add({0, rstd[(groups ? sample : 0) * c + channel] * centred(sample, channel), sum(sample, channel)});
        Part total = sums.total();
        if (dweight) dweight[channel] = (element)total.first;
        if (dbias) dbias[channel] = (element)total.second;
    }
}

KERNEL NX_NAME(norm_backward_apply)(element* dx, const element* g, const element* x, const element* a, const element* b, const element* d,
                                    const element* scale, const element* shift, int64 rows, int64 n, int64 pixels, int64 c, int64 relu) {
    for (EACH(i, n * pixels * c)) {
        int64 row = (rows == 1 ? 0 : i / (pixels * c)) * c + i % c;
        dx[i] = mul_add(passed(g[i], x[i], scale[row], shift[row], relu != 0), a[row], mul_add(x[i], b[row], d[row]));
    }
}
#endif
