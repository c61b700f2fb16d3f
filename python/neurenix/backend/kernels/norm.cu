// norm.cu - normalisation over channels-last maps: batch, instance and group norm are one set of kernels.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Same bits as the CPU.
//
// Statistics are taken per fixed unit, eight 4x4 tiles of an image in raster order, as (mean, sum of squared distances) per
// channel, by a thread each, and merged by Chan's formula in a fixed tree: of an image's units a thread merges a whole branch.
// max-stack: 1200
// max-registers: 144
// launch norm_moments: let units = h / 4 * (w / 4) / 8; doubles 2 * n * units * c; threads n * units * c;
//     then norm_moments_merged; blocks n * (c / 8)
// launch norm_tables: threads n * c + c
// launch norm_running_tables: threads c
// launch norm_apply: threads n * pixels * c
// launch norm_backward_sums: let units = h / 4 * (w / 4) / 8; doubles 2 * n * units * c; threads n * units * c;
//     then norm_backward_merged; blocks n * (c / 8)
// launch norm_backward_tables: threads n * c + c
// launch norm_backward_apply: threads n * pixels * c
#include "common.cuh"

#ifdef NX_FLOATS
constexpr int TILE = 4, UNIT_TILES = 8, TEAM = 32;  // TEAM threads share the units of a channel

// Two numbers over n elements: (mean, squares) or two sums.
struct Part {
    double n, first, second;
};

// Moments of the union (Chan's formula).
struct Union {
    static __device__ __forceinline__ Part merge(const Part& a, const Part& b) {
        if (a.n == 0 || b.n == 0) return a.n == 0 ? b : a;
        double n = a.n + b.n, share = b.n / n, product = a.n * b.n / n, d = b.first - a.first;
        return {n, a.first + d * share, a.second + b.second + d * d * product};
    }
};
struct Plus {
    static __device__ __forceinline__ Part merge(const Part& a, const Part& b) { return {a.n + b.n, a.first + b.first, a.second + b.second}; }
};

// Merges parts in a binary tree that depends on their number only: neighbours first, like carrying in a counter.
template <typename Rule> struct Tree {
    Part stack[24];
    int depth = 0;
    unsigned count = 0;

    __device__ __forceinline__ void add(Part part) {
        for (unsigned bits = count++; bits & 1; bits >>= 1) part = Rule::merge(stack[--depth], part);
        stack[depth++] = part;
    }
    __device__ __forceinline__ Part total() const {
        if (depth == 0) return {0, 0, 0};
        Part sum = stack[depth - 1];
        for (int i = depth - 2; i >= 0; i--) sum = Rule::merge(stack[i], sum);
        return sum;
    }
};

// The pixels of a unit, row by row of each of its tiles: f(first pixel, pixels).
template <typename F> __device__ __forceinline__ int each_run(int64 unit, int64 h, int64 w, F f) {
    int64 wide = (w + TILE - 1) / TILE, last = (h + TILE - 1) / TILE * wide, pixels = 0;
    if ((unit + 1) * UNIT_TILES < last) last = (unit + 1) * UNIT_TILES;
    for (int64 tile = unit * UNIT_TILES; tile < last; tile++) {
        int64 top = tile / wide * TILE, left = tile % wide * TILE;
        int width = (int)(w - left < TILE ? w - left : TILE);
        for (int64 y = top; y < top + TILE && y < h; y++) {
            f(y * w + left, width);
            pixels += width;
        }
    }
    return (int)pixels;
}

// A thread a unit and channel: its two numbers, those of all units one after the other.
template <typename F> __device__ __forceinline__ void each_unit(double* scratch, int64 n, int64 units, int64 c, F unit_part) {
    for (EACH(i, n * units * c)) {
        const Part part = unit_part(i / (units * c), i % c, i / c % units);
        scratch[i] = part.first;
        scratch[n * units * c + i] = part.second;
    }
}

// Merges the units of one channel of one image; every eight channels are a block, TEAM threads each.
template <typename Rule>
__device__ __forceinline__ void per_image(double* first, double* second, const double* scratch, int64 n, int64 h, int64 w, int64 c,
                                          int64 units) {
    __shared__ Part parts[TEAM][8];
    int64 blocks = (c + 7) / 8, image = blockIdx.x / blocks, channel = blockIdx.x % blocks * 8 + threadIdx.x % 8, branch = 1;
    int lane = threadIdx.x / 8;
    while (branch * TEAM < units) branch *= 2;
    Tree<Rule> tree;
    if (channel < c)
        for (int64 unit = lane * branch; unit < (lane + 1) * branch && unit < units; unit++) {
            const int64 i = (image * units + unit) * c + channel;
            tree.add({(double)each_run(unit, h, w, [](int64, int) {}), scratch[i], scratch[n * units * c + i]});
        }
    parts[lane][threadIdx.x % 8] = tree.total();
    __syncthreads();
    if (lane > 0 || channel >= c) return;
    tree = Tree<Rule>();
    for (int64 i = 0; i * branch < units; i++) tree.add(parts[i][threadIdx.x % 8]);
    Part total = tree.total();
    first[image * c + channel] = total.first;
    second[image * c + channel] = total.second;
}

#define MOMENTS const element* x, double* mean, double* square, int64 n, int64 h, int64 w, int64 c, double* scratch, int64 units

KERNEL NX_NAME(norm_moments)(MOMENTS) {
    each_unit(scratch, n, units, c, [=](int64 image, int64 channel, int64 unit) {
        const element* from = x + image * h * w * c + channel;
        element sum = 0, squares = 0;
        int pixels = each_run(unit, h, w, [&](int64 start, int count) {
            const element* p = from + start * c;
            if (count == TILE) sum = sum + ((p[0] + p[c]) + (p[2 * c] + p[3 * c]));
            else for (int i = 0; i < count; i++) sum = sum + p[i * c];
        });
        element middle = sum * ((element)1 / (element)pixels);
        each_run(unit, h, w, [&](int64 start, int count) {
            const element* p = from + start * c;
            if (count == TILE) {
                element a = p[0] - middle, b = p[c] - middle, d = p[2 * c] - middle, e = p[3 * c] - middle;
                squares = squares + (mul_add(a, a, b * b) + mul_add(d, d, e * e));
            } else {
                for (int i = 0; i < count; i++) { element a = p[i * c] - middle; squares = mul_add(a, a, squares); }
            }
        });
        return Part{(double)pixels, (double)middle, (double)squares};
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
            if (count == TILE) {
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
