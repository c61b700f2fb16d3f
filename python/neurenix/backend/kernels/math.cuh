// math.cuh - exp, log, tanh, erf and their kin: the polynomials of rust/neurenix-core/src/math.rs, so that both devices give
// the same bits. Functions too rare for a polynomial are the platform's, in double, rounded once.
#pragma once
#include "common.cuh"

__device__ __forceinline__ float root(float x) { return sqrtf(x); }
__device__ __forceinline__ double root(double x) { return sqrt(x); }
__device__ __forceinline__ float magnitude(float x) { return fabsf(x); }
__device__ __forceinline__ double magnitude(double x) { return fabs(x); }
__device__ __forceinline__ float with_sign(float x, float sign) { return copysignf(x, sign); }
__device__ __forceinline__ double with_sign(double x, double sign) { return copysign(x, sign); }
__device__ __forceinline__ float round_down(float x) { return floorf(x); }
__device__ __forceinline__ double round_down(double x) { return floor(x); }
__device__ __forceinline__ float round_up(float x) { return ceilf(x); }
__device__ __forceinline__ double round_up(double x) { return ceil(x); }
__device__ __forceinline__ float round_even(float x) { return rintf(x); }
__device__ __forceinline__ double round_even(double x) { return rint(x); }
__device__ __forceinline__ float round_to_zero(float x) { return truncf(x); }
__device__ __forceinline__ double round_to_zero(double x) { return trunc(x); }

// c[0] + c[1] x + c[2] x^2 + ...
template <typename T, int N> __device__ __forceinline__ T polynomial(T x, const double (&c)[N], int terms = N) {
    T sum = 0;  // with the first coefficient added exactly
#pragma unroll
    for (int k = N - 1; k >= 0; k--)
        if (k < terms) sum = mul_add(sum, x, (T)c[k]);
    return sum;
}

// What of a float's bits the functions need.
template <typename T> struct Bits;
template <> struct Bits<float> {
    static constexpr float magic = 12582912.f, ln2 = 0.69314718055994530942f, ln2_rest = -1.9046543e-9f, ln2_short = 0.6931381f,
                           ln2_short_rest = 9.058001e-6f, exp_low = -104.f, exp_high = 89.f, epsilon = 1.1920929e-7f;
    static constexpr int exp_terms = 6, log_terms = 5;
    static __device__ __forceinline__ float power(int k) { return __uint_as_float((unsigned)(k + 127) << 23); }
    static __device__ __forceinline__ void powers(float t, float& a, float& b) {
        int n = (int)(__float_as_uint(t) - __float_as_uint(magic)), half = n >> 1;
        a = power(half), b = power((int)((unsigned)n - (unsigned)half));
    }
    static __device__ __forceinline__ void split(float x, float& m, float& e) {
        bool denormal = x < 1.17549435e-38f;
        unsigned bits = __float_as_uint(denormal ? x * 8388608.f : x) - 0x3f3504f3u;
        m = __uint_as_float((bits & 0x007fffffu) + 0x3f3504f3u);
        e = __uint_as_float(__float_as_uint(magic) + (unsigned)((int)bits >> 23)) - magic;
        if (denormal) e -= 23.f;
    }
};
template <> struct Bits<double> {
    static constexpr double magic = 6755399441055744.0, ln2 = 0.69314718055994530942, ln2_rest = 2.3190468138462996e-17,
                            ln2_short = 6.931471803691238e-1, ln2_short_rest = 1.9082149292705877e-10, exp_low = -746.0,
                            exp_high = 710.0, epsilon = 2.220446049250313e-16;
    static constexpr int exp_terms = 12, log_terms = 10;
    static __device__ __forceinline__ uint64 bits_of(double x) { return (uint64)__double_as_longlong(x); }
    static __device__ __forceinline__ double from_bits(uint64 x) { return __longlong_as_double((int64)x); }
    static __device__ __forceinline__ double power(int64 k) { return from_bits((uint64)(k + 1023) << 52); }
    static __device__ __forceinline__ void powers(double t, double& a, double& b) {
        int64 n = (int64)(bits_of(t) - bits_of(magic)), half = n >> 1;
        a = power(half), b = power((int64)((uint64)n - (uint64)half));
    }
    static __device__ __forceinline__ void split(double x, double& m, double& e) {
        bool denormal = x < 2.2250738585072014e-308;
        uint64 bits = bits_of(denormal ? x * 4503599627370496.0 : x) - 0x3fe6a09e667f3bcdull;
        m = from_bits((bits & 0x000fffffffffffffull) + 0x3fe6a09e667f3bcdull);
        e = from_bits(bits_of(magic) + (uint64)((int64)bits >> 52)) - magic;
        if (denormal) e -= 52.0;
    }
};

// e to the power x, in parts: p and the factors whose product with 1 + p it is.
template <typename T> __device__ __forceinline__ void exp_parts(T x, T low, T high, T& p, T& a, T& b) {
    constexpr double series[12] = {1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320, 1.0 / 362880, 1.0 / 3628800,
                                   1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800.0};
    typedef Bits<T> B;
    if (x < low) x = low;
    if (x > high) x = high;
    T t = mul_add(x, (T)1.44269504088896340736, B::magic), n = t - B::magic;
    T r = mul_add(n, -B::ln2_rest, mul_add(n, -B::ln2, x));
    p = mul_add(r * r, polynomial(r, series, B::exp_terms), r);
    B::powers(t, a, b);
}
template <typename T> __device__ __forceinline__ T exp_of(T x) {
    T p, a, b;
    exp_parts(x, Bits<T>::exp_low, Bits<T>::exp_high, p, a, b);
    return (1 + p) * a * b;
}
template <typename T> __device__ __forceinline__ T expm1_of(T x) {
    T p, a, b;
    exp_parts(x, (T)-40, Bits<T>::exp_high, p, a, b);
    T half = a * (T)0.5 * b, y = mul_add(half, p, half - (T)0.5);
    return magnitude(x) < Bits<T>::epsilon ? x : y + y;
}
template <typename T> __device__ __forceinline__ T log_of(T x) {
    constexpr double series[10] = {2.0 / 3, 2.0 / 5, 2.0 / 7, 2.0 / 9, 2.0 / 11, 2.0 / 13, 2.0 / 15, 2.0 / 17, 2.0 / 19, 2.0 / 21};
    typedef Bits<T> B;
    T m, e;
    B::split(x, m, e);
    T f = m - 1, s = f / (2 + f), half_square = (T)0.5 * f * f, z = s * s;
    T r = z * polynomial(z, series, B::log_terms);
    T y = e * B::ln2_short - ((half_square - mul_add(s, half_square + r, e * B::ln2_short_rest)) - f);
    if (x == 0) y = -Traits<T>::infinity();
    if (x == Traits<T>::infinity()) y = x;
    return x >= 0 ? y : Traits<T>::nan();
}
template <typename T> __device__ __forceinline__ T log1p_of(T x) {
    T u = 1 + x, y = log_of(u) + (x - (u - 1)) / u;
    if (u == 1) y = x;
    if (u == 0) y = -Traits<T>::infinity();
    return x == Traits<T>::infinity() ? x : y;
}
template <typename T> __device__ __forceinline__ T log2_of(T x) {
    T m, e;
    Bits<T>::split(x, m, e);
    T y = mul_add(log_of(m), (T)1.44269504088896340736, e);
    return x > 0 && x < Traits<T>::infinity() ? y : log_of(x);
}
template <typename T> __device__ __forceinline__ T log10_of(T x) {
    T m, e;
    Bits<T>::split(x, m, e);
    T y = mul_add(e, (T)0.30102999566398119521, log_of(m) * (T)0.43429448190325182765);
    return x > 0 && x < Traits<T>::infinity() ? y : log_of(x);
}
template <typename T> __device__ __forceinline__ T tanh_of(T given) {
    T x = magnitude(given);
    if (x > 20) x = 20;
    T t = expm1_of(x + x);
    return with_sign(t / (t + 2), given);
}
template <typename T> __device__ __forceinline__ T sigmoid_of(T x) { return 1 / (1 + exp_of(-x)); }

__device__ __forceinline__ float erf_of(float x) {
    constexpr double series[6] = {1.2837917e-1, -3.7612534e-1, 1.12819925e-1, -2.6768135e-2, 4.991194e-3, -5.967617e-4};
    float t = magnitude(x), s = x * x, near = mul_add(polynomial(s, series), x, x);
    bool is_far = t > 0.9277344f;
    if (t > 10) t = 10;
    if (is_far) s = t * t;
    float low = mul_add(-3.8839644e-3f, t, 2.4254622e-2f), high = mul_add(-1.7285347e-5f, t, 3.8319713e-4f);
    float tail = mul_add(mul_add(-1.0677788e-1f, t, -6.348467e-1f), t, -1.2871751e-1f) + mul_add(high, s, low) * t * s;
    return is_far ? with_sign(1 - exp_of(mul_add(tail, t, -t)), x) : near;
}
__device__ __forceinline__ double erf_of(double x) {
    constexpr double near[20] = {
        0.12837916709551256, -0.37612638903183754, 0.11283791670955126, -0.026866170645131252, 0.005223977625442188, -0.0008548327023450852,
        0.00012055332981789664, -1.492565035840625e-05, 1.6462114365889246e-06, -1.6365844691234924e-07, 1.4807192815879218e-08,
        -1.2290555301717926e-09, 9.422759064650411e-11, -6.7113668551641105e-12, 4.4632242632864775e-13, -2.7835162072109212e-14,
        1.6342614095367152e-15, -9.063970842808673e-17, 4.763348040515068e-18, -2.3784598852774293e-19};
    constexpr double far[27] = {
        13.751548646652532, 18.282132987892282, 6.281128332507251, 0.08960807119892601, -0.03853811686383858, 0.016692974205647353,
        -0.007090636268680672, 0.0028963998632907805, -0.0011138316521631048, 0.00039008173473962984, -0.00011570102753610555,
        2.2340366655500316e-05, 3.5457780652133476e-06, -7.257886480207644e-06, 5.338262301940258e-06, -2.998675796011016e-06,
        1.4373472440925545e-06, -6.171273688250116e-07, 2.1799785823062638e-07, -2.7374527063692212e-08, -1.6140051650020096e-08,
        -4.655367196411081e-09, 1.163707022953972e-09, 1.3949257627252485e-08, -8.687200681326548e-09, -1.6922514135980736e-10,
        8.318641960645072e-10};
    double t = magnitude(x), u = ((t > 6 ? 6 : t) - 3.45) / 2.55;
    double outer = with_sign(1 - exp_of(-polynomial(u, far)), x);
    return t > 0.9 ? outer : mul_add(polynomial(x * x, near), x, x);
}

// x to the power y by C's rules: a float's through exp and log in double, as the CPU does; a double's by the platform.
__device__ __forceinline__ double pow_of(double x, double y) { return pow(x, y); }
__device__ __forceinline__ float pow_of(float base, float exponent) {
    double x = base, y = exponent, r = exp_of(y * log_of(magnitude(x))), half = 0.5 * y;
    bool whole = round_even(y) == y;
    if (whole && round_down(half) != half) r = with_sign(r, x);
    if (x < 0 && x > -Traits<double>::infinity() && !whole) r = Traits<double>::nan();
    bool one = y == 0 || x == 1 || (x == -1 && magnitude(y) == Traits<double>::infinity());
    return one ? 1.f : (float)r;
}

// Sine and cosine of v turns, v in [0, 1].
__device__ __forceinline__ void sin_cos_turns(double v, double& sin_v, double& cos_v) {
    constexpr double sines[7] = {-1.0 / 6, 1.0 / 120, -1.0 / 5040, 1.0 / 362880, -1.0 / 39916800, 1.0 / 6227020800.0, -1.0 / 1307674368000.0};
    constexpr double cosines[7] = {1.0 / 24,          -1.0 / 720,           1.0 / 40320, -1.0 / 3628800, 1.0 / 479001600,
                                   -1.0 / 87178291200.0, 1.0 / 20922789888000.0};
    double n = round_even(4 * v), t = 6.28318530717958647693 * (v - 0.25 * n), z = t * t;
    double s = mul_add(t * z, polynomial(z, sines), t), c = mul_add(z * z, polynomial(z, cosines), 1 - 0.5 * z);
    bool odd = n == 1 || n == 3;
    sin_v = odd ? c : s, cos_v = odd ? s : c;
    if (n == 2 || n == 3) sin_v = -sin_v;
    if (n == 1 || n == 2) cos_v = -cos_v;
}
