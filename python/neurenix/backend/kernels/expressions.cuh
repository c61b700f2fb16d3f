// expressions.cuh - the expressions of one, two and three floats by their numbers, as on the CPU.
#pragma once
#include "activations.cuh"
#include "special.cuh"

__device__ __forceinline__ element sign(element x) { return x > 0 ? 1 : x < 0 ? -1 : 0; }
__device__ __forceinline__ element remainder_of(element x, element y) { return (element)fmod((double)x, (double)y); }
__device__ __forceinline__ element floor_remainder(element x, element y) {
    element r = remainder_of(x, y);
    return r != 0 && (r < 0) != (y < 0) ? r + y : r;
}
// Python's x // y: with its remainder it gives x again.
__device__ __forceinline__ element floor_quotient(element x, element y) {
    element r = remainder_of(x, y), q = (x - r) / y;
    if (r != 0 && (r < 0) != (y < 0)) q = q - 1;
    element down = round_down(q);
    if (q - down > (element)0.5) down = down + 1;
    return y == 0 ? x / y : down;
}
__device__ __forceinline__ element gelu_tanh_slope(element x) {
    element t = tanh_of(gelu_inner(x));
    element inner = (element)0.7978845608028654 * (1 + (element)3 * (element)0.044715 * x * x);
    return (element)0.5 * (1 + t) + (element)0.5 * x * (1 - t * t) * inner;
}
__device__ __forceinline__ element gelu_slope(element x) {
    element cdf = (element)0.5 * (1 + erf_of(x * (element)0.70710678118654752440));
    return cdf + x * (exp_of((element)-0.5 * x * x) * (element)0.3989422804014327);
}
__device__ __forceinline__ element mish_slope(element x) {
    element e = exp_of(x > 20 ? (element)20 : x), n = e * (e + 2), t = n / (n + 2);
    return x > 20 ? (element)1 : t + x * sigmoid_of(x) * (1 - t * t);
}

// The nearest number with so many significant bits, the even one of two; below 2^least with the step that holds there, above most
// infinite. In double, where 1.5 * 2^52 steps added and taken away again leave whole steps.
__device__ __forceinline__ element nearest(element x, int digits, int least, double most) {
    double wide = (double)x, size = fabs(wide);
    double power = __longlong_as_double(__double_as_longlong(size) & 0x7ff0000000000000ll);
    double smallest = __longlong_as_double((long long)(1023 + least) << 52);
    double steps = (power > smallest ? power : smallest) * (1.5 * __longlong_as_double((long long)(1023 + 53 - digits) << 52));
    double y = (size + steps) - steps;
    if (size > 2 * most || y > most) y = __longlong_as_double(0x7ff0000000000000ll);  // the largest have no room for the steps
    return (element)copysign(y, wide);
}

__device__ __forceinline__ element unary_of(int op, element x, element a, element b) {
    switch (op) {
        case 0: return -x;
        case 1: return magnitude(x);
        case 2: return sign(x);
        case 3: return root(x);
        case 4: return 1 / root(x);
        case 5: return 1 / x;
        case 6: return x * x;
        case 7: return exp_of(x);
        case 8: return expm1_of(x);
        case 9: return (element)exp2((double)x);
        case 10: return log_of(x);
        case 11: return log1p_of(x);
        case 12: return log2_of(x);
        case 13: return log10_of(x);
        case 16: return erf_of(x);
        case 17: return round_down(x);
        case 18: return round_up(x);
        case 19: return round_even(x);
        case 20: return round_to_zero(x);
        case 21: return (element)sin((double)x);
        case 22: return (element)cos((double)x);
        case 23: return (element)tan((double)x);
        case 24: return (element)asin((double)x);
        case 25: return (element)acos((double)x);
        case 26: return (element)atan((double)x);
        case 27: return (element)sinh((double)x);
        case 28: return (element)cosh((double)x);
        case 29: return (element)asinh((double)x);
        case 30: return (element)acosh((double)x);
        case 31: return (element)atanh((double)x);
        case 32: return x + a;
        case 33: return x * a;
        case 34: return a - x;
        case 35: return x / a;
        case 36: return a / x;
        case 37: return pow_of(x, a);
        case 38: return pow_of(a, x);
        case 48: return (x < 0 ? x : (element)0) - log1p_of(exp_of(-magnitude(x)));
        case 49: return x * a > b ? x : log1p_of(exp_of(x * a)) / a;
        case 50: return x / (1 + magnitude(x));
        case 51: return x - tanh_of(x);
        case 54: return x <= a ? b : x;
        case 55: return x >= -a && x <= a ? (element)0 : x;
        case 56: return x > a ? x - a : x < -a ? x + a : x - x;
        case 57: return x - round_to_zero(x);
        case 58: return x * x * x;
        case 59: return (element)erfc((double)x);
        case 60: return x != x ? a : x;
        case 61: return (element)erfinv_of((double)x);
        case 62: return (element)lgamma((double)x);
        case 63: return (element)digamma_of((double)x);
        case 64: return (element)trigamma_of((double)x);
        case 65: return (element)(bessel_of(0, (double)x) * exp(fabs((double)x)));
        case 66: return (element)bessel_of(0, (double)x);
        case 67: return (element)(bessel_of(1, (double)x) * exp(fabs((double)x)));
        case 68: return (element)bessel_of(1, (double)x);
        case 69: return (element)ndtri_of((double)x);
        case 70: return nearest(x, 8, -126, 3.3895313892515355e38);
        case 71: return nearest(x, 11, -14, 65504.0);
        case 14: case 15: case 39: case 40: case 41: case 42: case 43: case 44: case 45: case 46: case 47: case 52: case 53:
            return activation_of(op, x, a, b);
        default: return Traits<element>::nan();
    }
}

// Of a gradient the first operand, here x, is the result's gradient; the second is the argument or the result.
__device__ __forceinline__ element gradient_of(int op, element g, element x, element a, element b) {
    switch (op) {
        case 14: return g * sign(x);
        case 15: return g / (x + x);
        case 16: return g * (element)-0.5 * x * x * x;
        case 17: return -g * x * x;
        case 18: return g / (1 + x);
        case 19: return g * (1 - x * x);
        case 20: return g * x * (1 - x);
        case 21: return g * (element)1.12837916709551257390 * exp_of(-x * x);
        case 22: return g * (element)cos((double)x);
        case 23: return -g * (element)sin((double)x);
        case 24: return g * (1 + x * x);
        case 25: return g / root(1 - x * x);
        case 26: return -g / root(1 - x * x);
        case 27: return g / (1 + x * x);
        case 28: return g * (element)cosh((double)x);
        case 29: return g * (element)sinh((double)x);
        case 30: return g / root(x * x + 1);
        case 31: return g / root(x * x - 1);
        case 32: return g / (1 - x * x);
        case 33: return a == 0 ? (element)0 : g * a * pow_of(x, a - 1);
        case 34: return x >= a && x <= b ? g : (element)0;
        case 35: return x <= 0 ? (element)0 : g;
        case 36: return x > 0 ? g : g * a;
        case 37: return x <= 0 ? g * a * exp_of(x) : g * b;
        case 38: return x <= 0 ? g * a * b * exp_of(x * b) : g;
        case 39: return g * gelu_slope(x);
        case 40: return g * gelu_tanh_slope(x);
        case 41: { element s = sigmoid_of(x); return g * s * (1 + x * (1 - s)); }
        case 42: return g * mish_slope(x);
        case 43: return g * sigmoid_of(-x);
        case 44: return x * a > b ? g : g * sigmoid_of(x * a);
        case 45: { element d = 1 + magnitude(x); return g / (d * d) + (x / d - x / d); }
        case 46: { element t = tanh_of(x); return g * t * t; }
        case 47: return x <= a || x >= b ? (element)0 : g;
        case 48: return x > -3 && x < 3 ? g * a : (element)0;
        case 49: return x <= -3 ? (element)0 : x < 3 ? g * (x / 3 + (element)0.5) : g;
        case 50: return x <= a ? (element)0 : g;
        case 51: return x >= -a && x <= a ? (element)0 : g;
        case 53: return g * x * (element)0.69314718055994530942;
        case 54: return g / (x * (element)0.69314718055994530942);
        case 55: return g / (x * (element)2.30258509299404568402);
        case 56: return g * (x + 1);
        case 57: return -g * a / (x * x);
        case 58: return g * (x + x);
        case 59: return g * 3 * x * x;
        default: return Traits<element>::nan();
    }
}

__device__ __forceinline__ element binary_of(int op, element x, element y, element a, element b) {
    switch (op) {
        case 0: return x + y;
        case 1: return x - y;
        case 2: return x * y;
        case 3: return x / y;
        case 4: return mul_add(y, a, x);
        case 5: return floor_quotient(x, y);
        case 6: return round_to_zero(x / y);
        case 7: return floor_remainder(x, y);
        case 8: return remainder_of(x, y);
        case 9: return pow_of(x, y);
        case 10: return x > y || x != x ? x : y;
        case 11: return x < y || x != x ? x : y;
        case 12: return (element)atan2((double)x, (double)y);
        case 13: return x * y * a;
        case 52: return x == 0 && y == y ? (element)0 : x * log_of(y);
        default: return gradient_of(op, x, y, a, b);
    }
}

__device__ __forceinline__ element angle(element g, element y, element x) {
    element square = x * x + y * y;
    return square == 0 ? (element)0 : g * y / square;
}

// Gradients of operations on two elements: g is the result's gradient, x the operand whose gradient this is, y the other.
__device__ __forceinline__ element ternary_of(int op, element g, element x, element y) {
    switch (op) {
        case 0: return x > y || x != x || y != y ? g : x == y ? g * (element)0.5 : (element)0;
        case 1: return x < y || x != x || y != y ? g : x == y ? g * (element)0.5 : (element)0;
        case 2: return -g * (y / x) / x;
        case 3: return y == 0 ? (element)0 : g * y * pow_of(x, y - 1);
        case 4: return y == 0 && x >= 0 ? (element)0 : g * pow_of(y, x) * log_of(y);
        case 5: return x >= y ? g : (element)0;
        case 6: return x > y ? g : (element)0;
        case 7: return angle(g, y, x);
        case 8: return angle(-g, y, x);
        default: return g * x * y;
    }
}
