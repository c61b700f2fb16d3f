//! Expressions of three elements: gradients of operations on two.

use super::{map3, pick};
use crate::error::Result;
use crate::levels;
use crate::math::Math;
use crate::view::{View, ViewMut};

/// `g` is the gradient of the result, `x` the operand whose gradient this is, `y` the other one.
#[inline(always)]
fn expression<T: Math>(op: usize, g: T, x: T, y: T) -> T {
    match op {
        // maximum: all to the larger, halves at a tie, all to both where one is NaN
        0 => choice(g, x > y || x.is_nan() || y.is_nan(), x == y),
        // minimum
        1 => choice(g, x < y || x.is_nan() || y.is_nan(), x == y),
        // the divisor of a quotient: y / x
        2 => -g * (y / x) / x,
        // the base of a power: x^y
        3 => {
            if y == T::ZERO {
                T::ZERO
            } else {
                g * y * x.pow_(y - T::ONE)
            }
        }
        // the exponent of a power: y^x
        4 => {
            if y == T::ZERO && x >= T::ZERO {
                T::ZERO
            } else {
                g * y.pow_(x) * y.ln_()
            }
        }
        // clamp's argument, where it is not below the lower bound y (the same for the upper one with signs changed)
        5 => choice(g, x >= y, false),
        // clamp's bound x, where the argument y is below it
        6 => choice(g, x > y, false),
        // atan2(x, y): first and second argument; nothing at the origin
        7 => angle(g, y, x),
        8 => angle(-g, y, x),
        // g x y
        _ => g * x * y,
    }
}

#[inline(always)]
fn angle<T: Math>(g: T, y: T, x: T) -> T {
    let square = x * x + y * y;
    if square == T::ZERO { T::ZERO } else { g * y / square }
}

#[inline(always)]
fn choice<T: Math>(g: T, all: bool, half: bool) -> T {
    if all {
        g
    } else if half {
        g * T::of(0.5)
    } else {
        T::ZERO
    }
}

levels! {
    fn ternary_loop<T: Math, const OP: usize>(y: &mut [T], u: &[T], v: &[T], w: &[T]) {
        for ((y, &u), (&v, &w)) in y.iter_mut().zip(u).zip(v.iter().zip(w)) {
            *y = expression::<T>(OP, u, v, w);
        }
    }
}

/// `y = op(g, x, other)`, element by element.
///
/// # Errors
/// [`crate::error::Error::Shape`] unless all have one shape, [`crate::error::Error::Argument`] for an unknown expression.
pub fn ternary<T: Math>(y: ViewMut<'_, T>, g: View<'_, T>, x: View<'_, T>, other: View<'_, T>, op: usize) -> Result {
    let run: fn(&mut [T], &[T], &[T], &[T]) = pick!("ternary", op, ternary_loop::<T>, [0 1 2 3 4 5 6 7 8 9]);
    map3("ternary", &y, (&g, &x, &other), 8, run)
}
