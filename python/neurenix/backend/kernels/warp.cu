// warp.cu - where each pixel of a warped image lies in its source, and the interpolation there; one thread a pixel.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Same bits as the CPU.
// launch warp_points: threads oh * ow
// launch warp_sample: threads planes * oh * ow
#include "common.cuh"
#include "convert.cuh"

__device__ __forceinline__ double between(double a, double b, double t) { return fma(t, b - a, a); }

// NaN stays.
__device__ __forceinline__ double within(double x, double low, double high) { return x < low ? low : x > high ? high : x; }

#ifdef NX_FLOATS
// (row, column) by a 2x3 matrix.
__device__ __forceinline__ void affine(const double* m, double y, double x, double& row, double& col) {
    row = fma(m[0], y, fma(m[1], x, m[2]));
    col = fma(m[3], y, fma(m[4], x, m[5]));
}

// One component of the field in the cell of four pixels that begins at `first`.
__device__ __forceinline__ double cell(const element* first, int64 right, int64 down, double ty, double tx) {
    const double above = between((double)first[0], (double)first[right], tx);
    return between(above, between((double)first[down], (double)first[down + right], tx), ty);
}

KERNEL NX_NAME(warp_points)(const element* field, double* points, const double* matrix, int64 fh, int64 fw, int64 oh, int64 ow) {
    const double *after = matrix, *before = matrix + 6;
    const bool plain = after[0] == 1 && after[1] == 0 && after[2] == 0 && after[3] == 0 && after[4] == 1 && after[5] == 0;
    for (EACH(n, oh * ow)) {
        const int64 i = n / ow, j = n - i * ow;
        double y = (double)i, x = (double)j;
        if (fh > 0 && fw > 0 && plain && i < fh && ow <= fw) {
            y += (double)field[i * fw + j];
            x += (double)field[(fh + i) * fw + j];
        } else if (fh > 0 && fw > 0) {
            double ey, ex;
            affine(after, y, x, ey, ex);
            const double fy = within(ey, 0, (double)(fh - 1)), fx = within(ex, 0, (double)(fw - 1));
            const int64 top = convert<int64>(fy), left = convert<int64>(fx);
            const int64 right = left + 1 < fw ? 1 : 0, down = top + 1 < fh ? fw : 0;
            const element* first = field + top * fw + left;
            y = ey + cell(first, right, down, fy - (double)top, fx - (double)left);
            x = ex + cell(first + fh * fw, right, down, fy - (double)top, fx - (double)left);
        }
        affine(before, y, x, points[n], points[oh * ow + n]);
    }
}
#endif

#ifdef NX_NUMBERS
enum Order { AT_NEAREST, AT_LINEAR, AT_CUBIC };
enum Outside { FILL, REPLICATE, SYMMETRIC, REFLECT };
constexpr double A = -0.75;

// `i` mirrored into 0 to n - 1; `shared` 1 where the mirrors stand on the last pixels, 0 where behind them.
__device__ __forceinline__ int64 mirrored(int64 i, int64 n, int64 shared) {
    const int64 left = shared - 1 - i, right = 2 * n - 1 - shared - i;
    if (left >= 0 && left < n && i < 0) return left;
    if (right >= 0 && right < n && i >= n) return right;
    const int64 period = 2 * (n - shared) > 1 ? 2 * (n - shared) : 1;
    const int64 rest = (i % period + period) % period, back = period - 1 + shared - rest;
    return rest < back ? rest : back;
}

// A pixel's number inside, negative where `fill` counts.
__device__ __forceinline__ int64 inside(int64 i, int64 n, int64 mode) {
    if (i >= 0 && i < n) return i;
    if (mode == REPLICATE) return i < 0 ? 0 : n - 1;
    return mode == SYMMETRIC || mode == REFLECT ? mirrored(i, n, mode == REFLECT) : -1;
}

__device__ __forceinline__ double near_of(double x) { return (((A + 2.0) * x - (A + 3.0)) * x * x) + 1.0; }
__device__ __forceinline__ double far_of(double x) { return ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A; }

struct Plane {
    const element* x;
    int64 h, w, mode;
    double fill;

    __device__ __forceinline__ double value(int64 row, int64 col) const {
        return row >= 0 && col >= 0 ? convert<double>(x[row * w + col]) : fill;
    }
    __device__ __forceinline__ double linear(double y, double x_at) const {
        const double top = floor(y), left = floor(x_at), tx = x_at - left;
        const int64 i = convert<int64>(top), j = convert<int64>(left);
        const int64 r = inside(i, h, mode), s = inside(i + 1, h, mode), c = inside(j, w, mode), d = inside(j + 1, w, mode);
        return between(between(value(r, c), value(r, d), tx), between(value(s, c), value(s, d), tx), y - top);
    }
    // Keys' kernel with a = -0.75.
    __device__ __forceinline__ double cubic(double y, double x_at) const {
        const double top = floor(y), left = floor(x_at), ty = y - top, tx = x_at - left, uy = 1.0 - ty, ux = 1.0 - tx;
        const double wy[4] = {far_of(ty + 1.0), near_of(ty), near_of(uy), far_of(uy + 1.0)};
        const double wx[4] = {far_of(tx + 1.0), near_of(tx), near_of(ux), far_of(ux + 1.0)};
        const int64 i = convert<int64>(top) - 1, j = convert<int64>(left) - 1;
        double sum = 0;
#pragma unroll
        for (int r = 0; r < 4; r++) {
            const int64 row = inside(i + r, h, mode);
            double line = 0;
#pragma unroll
            for (int c = 0; c < 4; c++) line = fma(wx[c], value(row, inside(j + c, w, mode)), line);
            sum = fma(wy[r], line, sum);
        }
        return sum;
    }
};

// Integers are rounded to the nearest and kept in their range.
__device__ __forceinline__ element finish(double v) { return convert<element>(Traits<element>::is_float ? v : rint(v)); }

KERNEL NX_NAME(warp_sample)(element* y, const element* x, const double* points, int64 planes, int64 h, int64 w, int64 oh, int64 ow,
                            int64 order, int64 mode, double fill) {
    for (EACH(n, planes * oh * ow)) {
        const int64 p = n / (oh * ow), at = n - p * oh * ow;
        const double row = within(points[at], -1e9, 1e9), col = within(points[oh * ow + at], -1e9, 1e9);
        const Plane plane = {x + p * h * w, h, w, mode, fill};
        if (order == AT_NEAREST) {
            const int64 r = inside(convert<int64>(floor(row + 0.5)), h, mode), c = inside(convert<int64>(floor(col + 0.5)), w, mode);
            y[n] = r >= 0 && c >= 0 ? plane.x[r * w + c] : convert<element>(fill);
        } else {
            y[n] = finish(order == AT_LINEAR ? plane.linear(row, col) : plane.cubic(row, col));
        }
    }
}
#endif
