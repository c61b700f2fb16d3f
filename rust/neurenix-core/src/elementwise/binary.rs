//! Expressions of two elements and up to two numbers: arithmetic, and the gradients of the unary ones.

use super::gelu::{gelu_grad, slope};
use super::{map2, pick};
use crate::error::Result;
use crate::levels;
use crate::math::Math;
use crate::view::{View, ViewMut};

macro_rules! expressions {
    ($($name:ident = $n:literal: |$x:ident, $y:ident, $a:ident, $b:ident| $value:expr;)*) => {
        #[inline(always)]
        fn expression<T: Math>(op: usize, x: T, y: T, a: T, b: T) -> T {
            $(#[inline(always)] #[allow(non_snake_case, unused_variables)] fn $name<T: Math>($x: T, $y: T, $a: T, $b: T) -> T { $value })*
            match op { $($n => $name(x, y, a, b),)* _ => x }
        }
        fn chosen<T: Math>(op: usize) -> Result<fn(&mut [T], &[T], &[T], T, T)> {
            Ok(pick!("binary", op, binary_loop::<T>, [$($n)*]))
        }
    };
}

fn c<T: Math>(x: f64) -> T {
    T::of(x)
}

#[inline(always)]
fn sign<T: Math>(x: T) -> T {
    if x > T::ZERO {
        T::ONE
    } else if x < T::ZERO {
        -T::ONE
    } else {
        T::ZERO
    }
}

/// Python's `x // y`: with its remainder it gives `x` again.
#[inline(always)]
fn floor_quotient<T: Math>(x: T, y: T) -> T {
    let r = T::of(libm::fmod(x.to_f64(), y.to_f64()));
    let q = (x - r) / y;
    let q = if r != T::ZERO && (r < T::ZERO) != (y < T::ZERO) { q - T::ONE } else { q };
    let down = q.floor();
    let down = if q - down > c(0.5) { down + T::ONE } else { down };
    if y == T::ZERO { x / y } else { down }
}

/// The derivative of gelu's tanh form.
#[inline(always)]
fn gelu_tanh_slope<T: Math>(x: T) -> T {
    let (scale, cubic) = (c::<T>(0.797_884_560_802_865_4), c::<T>(0.044715));
    let t = (scale * (x + cubic * x * x * x)).tanh_();
    let inner = scale * (T::ONE + c::<T>(3.0) * cubic * x * x);
    c::<T>(0.5) * (T::ONE + t) + c::<T>(0.5) * x * (T::ONE - t * t) * inner
}

#[inline(always)]
fn mish_slope<T: Math>(x: T) -> T {
    let e = (if x > c(20.0) { c(20.0) } else { x }).exp_();
    let n = e * (e + c(2.0));
    let t = n / (n + c(2.0));
    if x > c(20.0) { T::ONE } else { t + x * x.sigmoid_() * (T::ONE - t * t) }
}

/// The number of the expression that has a loop of its own.
const GELU_GRAD: usize = 39;

// The first operand of a gradient form, `g`, is the gradient of the result; `x` is the argument, `y` the result.
expressions! {
    add = 0: |x, y, a, b| x + y;
    sub = 1: |x, y, a, b| x - y;
    mul = 2: |x, y, a, b| x * y;
    div = 3: |x, y, a, b| x / y;
    add_scaled = 4: |x, y, a, b| y.mul_add(a, x);
    floor_div = 5: |x, y, a, b| floor_quotient(x, y);
    trunc_div = 6: |x, y, a, b| (x / y).trunc();
    remainder = 7: |x, y, a, b| {
        let r = T::of(libm::fmod(x.to_f64(), y.to_f64()));
        if r != T::ZERO && (r < T::ZERO) != (y < T::ZERO) { r + y } else { r }
    };
    fmod = 8: |x, y, a, b| T::of(libm::fmod(x.to_f64(), y.to_f64()));
    pow = 9: |x, y, a, b| x.pow_(y);
    maximum = 10: |x, y, a, b| if x > y || x.is_nan() { x } else { y };
    minimum = 11: |x, y, a, b| if x < y || x.is_nan() { x } else { y };
    atan2 = 12: |x, y, a, b| T::of(libm::atan2(x.to_f64(), y.to_f64()));
    scaled_mul = 13: |x, y, a, b| x * y * a;
    abs_grad = 14: |g, x, a, b| g * sign(x);
    sqrt_grad = 15: |g, y, a, b| g / (y + y);
    rsqrt_grad = 16: |g, y, a, b| g * c(-0.5) * y * y * y;
    reciprocal_grad = 17: |g, y, a, b| -g * y * y;
    log1p_grad = 18: |g, x, a, b| g / (T::ONE + x);
    tanh_grad = 19: |g, y, a, b| g * (T::ONE - y * y);
    sigmoid_grad = 20: |g, y, a, b| g * y * (T::ONE - y);
    erf_grad = 21: |g, x, a, b| g * c(std::f64::consts::FRAC_2_SQRT_PI) * (-x * x).exp_();
    sin_grad = 22: |g, x, a, b| g * x.rare(libm::cos);
    cos_grad = 23: |g, x, a, b| -g * x.rare(libm::sin);
    tan_grad = 24: |g, y, a, b| g * (T::ONE + y * y);
    asin_grad = 25: |g, x, a, b| g / (T::ONE - x * x).sqrt();
    acos_grad = 26: |g, x, a, b| -g / (T::ONE - x * x).sqrt();
    atan_grad = 27: |g, x, a, b| g / (T::ONE + x * x);
    sinh_grad = 28: |g, x, a, b| g * x.rare(libm::cosh);
    cosh_grad = 29: |g, x, a, b| g * x.rare(libm::sinh);
    asinh_grad = 30: |g, x, a, b| g / (x * x + T::ONE).sqrt();
    acosh_grad = 31: |g, x, a, b| g / (x * x - T::ONE).sqrt();
    atanh_grad = 32: |g, x, a, b| g / (T::ONE - x * x);
    pow_number_grad = 33: |g, x, a, b| if a == T::ZERO { T::ZERO } else { g * a * x.pow_(a - T::ONE) };
    clamp_grad = 34: |g, x, a, b| if x >= a && x <= b { g } else { T::ZERO };
    relu_grad = 35: |g, y, a, b| if y <= T::ZERO { T::ZERO } else { g };
    leaky_relu_grad = 36: |g, x, a, b| if x > T::ZERO { g } else { g * a };
    elu_grad = 37: |g, x, a, b| if x <= T::ZERO { g * a * x.exp_() } else { g * b };
    celu_grad = 38: |g, x, a, b| if x <= T::ZERO { g * a * b * (x * b).exp_() } else { g };
    gelu_grad = 39: |g, x, a, b| slope(g, x, (x * c(std::f64::consts::FRAC_1_SQRT_2)).erf(), (c::<T>(-0.5) * x * x).exp_());
    gelu_tanh_grad = 40: |g, x, a, b| g * gelu_tanh_slope(x);
    silu_grad = 41: |g, x, a, b| {
        let s = x.sigmoid_();
        g * s * (T::ONE + x * (T::ONE - s))
    };
    mish_grad = 42: |g, x, a, b| g * mish_slope(x);
    log_sigmoid_grad = 43: |g, x, a, b| g * (-x).sigmoid_();
    softplus_grad = 44: |g, x, a, b| if x * a > b { g } else { g * (x * a).sigmoid_() };
    softsign_grad = 45: |g, x, a, b| {
        let d = T::ONE + x.abs();
        g / (d * d) + (x / d - x / d) // NaN where the result is
    };
    tanhshrink_grad = 46: |g, x, a, b| {
        let t = x.tanh_();
        g * t * t
    };
    inside_grad = 47: |g, x, a, b| if x <= a || x >= b { T::ZERO } else { g };
    hardsigmoid_grad = 48: |g, x, a, b| if x > c(-3.0) && x < c(3.0) { g * a } else { T::ZERO };
    hardswish_grad = 49: |g, x, a, b| {
        if x <= c(-3.0) { T::ZERO } else if x < c(3.0) { g * (x / c(3.0) + c(0.5)) } else { g }
    };
    threshold_grad = 50: |g, x, a, b| if x <= a { T::ZERO } else { g };
    shrink_grad = 51: |g, x, a, b| if x >= -a && x <= a { T::ZERO } else { g };
    xlogy = 52: |x, y, a, b| if x == T::ZERO && !y.is_nan() { T::ZERO } else { x * y.ln_() };
    exp2_grad = 53: |g, y, a, b| g * y * c(std::f64::consts::LN_2);
    log2_grad = 54: |g, x, a, b| g / (x * c(std::f64::consts::LN_2));
    log10_grad = 55: |g, x, a, b| g / (x * c(std::f64::consts::LN_10));
    expm1_grad = 56: |g, y, a, b| g * (y + T::ONE);
    number_over_grad = 57: |g, x, a, b| -g * a / (x * x);
    square_grad = 58: |g, x, a, b| g * (x + x);
    cube_grad = 59: |g, x, a, b| g * c(3.0) * x * x;
}

levels! {
    fn binary_loop<T: Math, const OP: usize>(y: &mut [T], u: &[T], v: &[T], a: T, b: T) {
        for (y, (&u, &v)) in y.iter_mut().zip(u.iter().zip(v)) {
            *y = expression::<T>(OP, u, v, a, b);
        }
    }
}

/// `y = op(x, other, a, b)`, element by element.
///
/// # Errors
/// [`crate::error::Error::Shape`] unless all have one shape, [`crate::error::Error::Argument`] for an unknown expression.
pub fn binary<T: Math>(y: ViewMut<'_, T>, x: View<'_, T>, other: View<'_, T>, op: usize, a: f64, b: f64) -> Result {
    if op == GELU_GRAD {
        return map2("binary", &y, &x, &other, 8, |y, u, v| gelu_grad(y, u, v));
    }
    let run = chosen::<T>(op)?;
    let (a, b) = (T::of(a), T::of(b));
    let cost = if op < 5 || op == 35 { 1 } else { 8 };
    map2("binary", &y, &x, &other, cost, |y, u, v| run(y, u, v, a, b))
}
