//! Expressions of one element and up to two numbers.

use super::gelu::{gelu, value};
use super::{map1, pick};
use crate::error::Result;
use crate::levels;
use crate::math::Math;
use crate::special;
use crate::view::{View, ViewMut};

/// The list, each with its number as in `neurenix/ops/elementwise.py`.
macro_rules! expressions {
    ($($name:ident = $n:literal: |$x:ident, $a:ident, $b:ident| $value:expr;)*) => {
        #[inline(always)]
        fn expression<T: Math>(op: usize, x: T, a: T, b: T) -> T {
            $(#[inline(always)] #[allow(non_snake_case, unused_variables)] fn $name<T: Math>($x: T, $a: T, $b: T) -> T { $value })*
            match op { $($n => $name(x, a, b),)* _ => x }
        }
        fn chosen<T: Math>(op: usize) -> Result<fn(&mut [T], &[T], T, T)> {
            Ok(pick!("unary", op, unary_loop::<T>, [$($n)*]))
        }
    };
}

fn c<T: Math>(x: f64) -> T {
    T::of(x)
}

const SQRT_HALF: f64 = std::f64::consts::FRAC_1_SQRT_2;
/// sqrt(2 / pi)
const TANH_SCALE: f64 = 0.797_884_560_802_865_4;

#[inline(always)]
fn clamped<T: Math>(x: T, low: T, high: T) -> T {
    let y = if x < low { low } else { x };
    if y > high { high } else { y }
}

/// The largest bfloat16, `(2 - 2^-7) 2^127`.
const BFLOAT16_MOST: f64 = 3.389_531_389_251_535_5e38;

/// The nearest number with `DIGITS` significant bits, the even one of two; below `2^least` with the step that holds there, above
/// `most` infinite.
///
/// In double, where `1.5 * 2^52` steps added and taken away again leave whole steps.
#[inline(always)]
fn nearest<T: Math, const DIGITS: i32>(x: T, least: i32, most: f64) -> T {
    let wide = x.to_f64();
    let size = wide.abs();
    let power = f64::from_bits(size.to_bits() & 0x7ff0_0000_0000_0000);
    let smallest = f64::from_bits(((1023 + least) as u64) << 52);
    let steps = if power > smallest { power } else { smallest } * (1.5 * f64::from_bits(((1023 + 53 - DIGITS) as u64) << 52));
    let y = (size + steps) - steps;
    // The largest doubles, like infinity, have no room for the steps.
    let y = if size > 2.0 * most || y > most { f64::INFINITY } else { y };
    T::of(y.copysign(wide))
}

/// The number of the expression that has a loop of its own.
const GELU: usize = 44;

expressions! {
    neg = 0: |x, a, b| -x;
    abs = 1: |x, a, b| x.abs();
    sign = 2: |x, a, b| if x > T::ZERO { T::ONE } else if x < T::ZERO { -T::ONE } else { T::ZERO };
    sqrt = 3: |x, a, b| x.sqrt();
    rsqrt = 4: |x, a, b| T::ONE / x.sqrt();
    reciprocal = 5: |x, a, b| T::ONE / x;
    square = 6: |x, a, b| x * x;
    exp = 7: |x, a, b| x.exp_();
    expm1 = 8: |x, a, b| x.expm1_();
    exp2 = 9: |x, a, b| x.rare(libm::exp2);
    log = 10: |x, a, b| x.ln_();
    log1p = 11: |x, a, b| x.ln_1p_();
    log2 = 12: |x, a, b| x.log2_();
    log10 = 13: |x, a, b| x.log10_();
    tanh = 14: |x, a, b| x.tanh_();
    sigmoid = 15: |x, a, b| x.sigmoid_();
    erf = 16: |x, a, b| x.erf();
    floor = 17: |x, a, b| x.floor();
    ceil = 18: |x, a, b| x.ceil();
    round = 19: |x, a, b| x.round_even();
    trunc = 20: |x, a, b| x.trunc();
    sin = 21: |x, a, b| x.rare(libm::sin);
    cos = 22: |x, a, b| x.rare(libm::cos);
    tan = 23: |x, a, b| x.rare(libm::tan);
    asin = 24: |x, a, b| x.rare(libm::asin);
    acos = 25: |x, a, b| x.rare(libm::acos);
    atan = 26: |x, a, b| x.rare(libm::atan);
    sinh = 27: |x, a, b| x.rare(libm::sinh);
    cosh = 28: |x, a, b| x.rare(libm::cosh);
    asinh = 29: |x, a, b| x.rare(libm::asinh);
    acosh = 30: |x, a, b| if x < T::ONE { T::of(f64::NAN) } else { x.rare(libm::acosh) }; // libm's is finite far below 1
    atanh = 31: |x, a, b| x.rare(libm::atanh);
    add_number = 32: |x, a, b| x + a;
    mul_number = 33: |x, a, b| x * a;
    number_minus = 34: |x, a, b| a - x;
    div_number = 35: |x, a, b| x / a;
    number_over = 36: |x, a, b| a / x;
    pow_number = 37: |x, a, b| x.pow_(a);
    number_pow = 38: |x, a, b| a.pow_(x);
    clamp = 39: |x, a, b| clamped(x, a, b);
    relu = 40: |x, a, b| if x < T::ZERO { T::ZERO } else { x };
    leaky_relu = 41: |x, a, b| if x > T::ZERO { x } else { x * a };
    elu = 42: |x, a, b| if x > T::ZERO { x * b } else { x.expm1_() * a };
    celu = 43: |x, a, b| if x > T::ZERO { x } else { (x / a).expm1_() * a };
    gelu = 44: |x, a, b| value(x, (x * c(SQRT_HALF)).erf());
    gelu_tanh = 45: |x, a, b| c::<T>(0.5) * x * (T::ONE + (c::<T>(TANH_SCALE) * (x + c::<T>(0.044715) * x * x * x)).tanh_());
    silu = 46: |x, a, b| x / (T::ONE + (-x).exp_());
    mish = 47: |x, a, b| {
        let e = (if x > c(20.0) { c(20.0) } else { x }).exp_();
        let n = e * (e + c(2.0));
        if x > c(20.0) { x } else { x * n / (n + c(2.0)) }
    };
    log_sigmoid = 48: |x, a, b| (if x < T::ZERO { x } else { T::ZERO }) - (-x.abs()).exp_().ln_1p_();
    softplus = 49: |x, a, b| if x * a > b { x } else { (x * a).exp_().ln_1p_() / a };
    softsign = 50: |x, a, b| x / (T::ONE + x.abs());
    tanhshrink = 51: |x, a, b| x - x.tanh_();
    hardsigmoid = 52: |x, a, b| clamped(x + c(3.0), T::ZERO, c(6.0)) / c(6.0);
    hardswish = 53: |x, a, b| x * clamped(x + c(3.0), T::ZERO, c(6.0)) / c(6.0);
    threshold = 54: |x, a, b| if x <= a { b } else { x };
    hardshrink = 55: |x, a, b| if x >= -a && x <= a { T::ZERO } else { x };
    softshrink = 56: |x, a, b| if x > a { x - a } else if x < -a { x + a } else { x - x };
    frac = 57: |x, a, b| x - x.trunc();
    cube = 58: |x, a, b| x * x * x;
    erfc = 59: |x, a, b| x.rare(libm::erfc);
    nan_to = 60: |x, a, b| if x.is_nan() { a } else { x };
    erfinv = 61: |x, a, b| x.rare(special::erfinv);
    lgamma = 62: |x, a, b| x.rare(libm::lgamma);
    digamma = 63: |x, a, b| x.rare(special::digamma);
    trigamma = 64: |x, a, b| x.rare(special::trigamma);
    i0 = 65: |x, a, b| x.rare(special::i0);
    i0e = 66: |x, a, b| x.rare(special::i0e);
    i1 = 67: |x, a, b| x.rare(special::i1);
    i1e = 68: |x, a, b| x.rare(special::i1e);
    ndtri = 69: |x, a, b| x.rare(special::ndtri);
    nearest_bfloat16 = 70: |x, a, b| nearest::<T, 8>(x, -126, BFLOAT16_MOST);
    nearest_float16 = 71: |x, a, b| nearest::<T, 11>(x, -14, 65504.0);
}

levels! {
    fn unary_loop<T: Math, const OP: usize>(y: &mut [T], x: &[T], a: T, b: T) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = expression::<T>(OP, x, a, b);
        }
    }
}

/// `y = op(x, a, b)`, element by element.
///
/// # Errors
/// [`crate::error::Error::Shape`] unless both have one shape, [`crate::error::Error::Argument`] for an unknown expression.
pub fn unary<T: Math>(y: ViewMut<'_, T>, x: View<'_, T>, op: usize, a: f64, b: f64) -> Result {
    if op == GELU {
        return map1("unary", &y, &x, 8, |y, x| gelu(y, x));
    }
    let run = chosen::<T>(op)?;
    let (a, b) = (T::of(a), T::of(b));
    map1("unary", &y, &x, 8, |y, x| run(y, x, a, b))
}
