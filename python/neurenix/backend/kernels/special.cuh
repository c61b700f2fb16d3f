// special.cuh - gamma and Bessel functions and the inverse of erf, in double, step by step as rust/neurenix-core/src/special.rs.
#pragma once

#define SPECIAL_PI 3.14159265358979323846

// Recurrence up to 10, then the asymptotic series.
__device__ inline double digamma_of(double x) {
    constexpr double series[7] = {-1.0 / 12, 691.0 / 32760, -1.0 / 132, 1.0 / 240, -1.0 / 252, 1.0 / 120, -1.0 / 12};
    if (x == 0) return copysign(Traits<double>::infinity(), -x);
    double sum = 0;
    if (x < 0) {
        if (x == trunc(x)) return Traits<double>::nan();
        sum = -(SPECIAL_PI / tan(SPECIAL_PI * (x - trunc(x))));
        x = 1 - x;
    }
    for (; x < 10; x += 1) sum -= 1 / x;
    double z = 1 / (x * x), tail = 0;
    for (int k = 0; k < 7; k++) tail = (tail + series[k]) * z;
    return sum + log(x) - 0.5 / x + tail;
}

__device__ inline double trigamma_of(double x) {
    constexpr double series[7] = {7.0 / 6, -691.0 / 2730, 5.0 / 66, -1.0 / 30, 1.0 / 42, -1.0 / 30, 1.0 / 6};
    double lead = 0, sign = 1, sum = 0;
    if (x < 0.5) {
        double s = sin(SPECIAL_PI * (x - round(x)));
        lead = SPECIAL_PI * SPECIAL_PI / (s * s), sign = -1, x = 1 - x;
    }
    for (; x < 12; x += 1) sum += 1 / (x * x);
    double z = 1 / (x * x), tail = 0;
    for (int k = 0; k < 7; k++) tail = (tail + series[k]) * z;
    return lead + sign * (sum + (1 + 0.5 / x + tail) / x);
}

// A first guess (S. Winitzki's), then Halley's steps.
__device__ inline double erfinv_of(double x) {
    double t = fabs(x);
    if (!(t < 1) || x == 0) return t == 1 ? copysign(Traits<double>::infinity(), x) : x == 0 ? x : Traits<double>::nan();
    double l = log1p(-t * t), q = 2 / (SPECIAL_PI * 0.147) + 0.5 * l, y = sqrt(sqrt(q * q - l / 0.147) - q);
    for (int k = 0; k < 3; k++) {
        // Where erf has almost reached 1, what is left of it tells more.
        double miss = t < 0.5 ? erf(y) - t : (1 - t) - erfc(y);
        double step = miss / (1.12837916709551257390 * exp(-y * y));
        y -= step / (1 + y * step);
    }
    return copysign(y, x);
}

// The number below which a standard normal number lies with probability p, by the same steps on erfc.
__device__ inline double ndtri_of(double p) {
    if (!(p >= 0 && p <= 1) || p == 0.5) return p == 0.5 ? 0 : Traits<double>::nan();
    double t = p < 0.5 ? p : 1 - p;
    if (t == 0) return p < 0.5 ? -Traits<double>::infinity() : Traits<double>::infinity();
    double l = log(4 * t * (1 - t)), q = 2 / (SPECIAL_PI * 0.147) + 0.5 * l, y = sqrt(sqrt(q * q - l / 0.147) - q);
    for (int k = 0; k < 4; k++) {
        double step = (2 * t - erfc(y)) / (1.12837916709551257390 * exp(-y * y));
        y -= step / (1 + y * step);
    }
    return 1.41421356237309504880 * (p < 0.5 ? -y : y);
}

// exp(-|x|) I_n(x) of order 0 or 1: the power series, and beyond 30 the asymptotic one.
__device__ inline double bessel_of(int order, double x) {
    double t = fabs(x), term = 1, sum = 1;
    if (t > 30) {
        for (double k = 1; k < 40; k += 1) {
            double odd = 2 * k - 1;
            term *= -(4.0 * order - odd * odd) / (8 * t * k);
            sum += term;
        }
        sum /= sqrt(2 * SPECIAL_PI * t);
    } else {
        for (double k = 1; k < 100; k += 1) {
            term *= t * t * 0.25 / (k * (k + order));
            sum += term;
        }
        sum *= (order ? 0.5 * t : 1) * exp(-t);
    }
    return order && x < 0 ? -sum : sum;
}
