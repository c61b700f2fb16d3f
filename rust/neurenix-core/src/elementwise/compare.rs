//! Questions about elements, and choices by them.

use super::{map2, map3, unknown};
use crate::error::Result;
use crate::levels;
use crate::simd::Number;
use crate::view::{View, ViewMut};

#[inline(always)]
fn question<T: Number>(op: usize, x: T, y: T) -> bool {
    match op {
        0 => x == y,
        1 => x != y,
        2 => x < y,
        3 => x <= y,
        4 => x > y,
        5 => x >= y,
        6 => x.is_nan(),
        7 => !x.is_nan() && (x == T::LOWEST || x == T::HIGHEST),
        _ => !x.is_nan() && x != T::LOWEST && x != T::HIGHEST,
    }
}

levels! {
    fn compare_loop<T: Number, const OP: usize>(y: &mut [u8], u: &[T], v: &[T]) {
        for (y, (&u, &v)) in y.iter_mut().zip(u.iter().zip(v)) {
            *y = u8::from(question::<T>(OP, u, v));
        }
    }
}

/// `y = op(x, other)`: equal, unequal, less, at most, greater, at least; and of floats `x` alone: NaN, infinite, finite.
///
/// # Errors
/// [`crate::error::Error::Shape`] unless all have one shape, [`crate::error::Error::Argument`] for an unknown question.
pub fn compare<T: Number>(x: View<'_, T>, other: View<'_, T>, y: ViewMut<'_, u8>, op: usize) -> Result {
    let run: fn(&mut [u8], &[T], &[T]) = match op {
        0 => compare_loop::<T, 0>,
        1 => compare_loop::<T, 1>,
        2 => compare_loop::<T, 2>,
        3 => compare_loop::<T, 3>,
        4 => compare_loop::<T, 4>,
        5 => compare_loop::<T, 5>,
        6 => compare_loop::<T, 6>,
        7 => compare_loop::<T, 7>,
        8 => compare_loop::<T, 8>,
        op => return unknown("compare", op),
    };
    map2("compare", &y, &x, &other, 1, run)
}

levels! {
    fn select_loop<T: Number>(y: &mut [T], mask: &[u8], u: &[T], v: &[T]) {
        for ((y, &m), (&u, &v)) in y.iter_mut().zip(mask).zip(u.iter().zip(v)) {
            *y = if m != 0 { u } else { v };
        }
    }
}

/// `y = x` where `mask`, else `other`; elements are moved as bits.
///
/// # Errors
/// [`crate::error::Error::Shape`] unless all have one shape.
pub fn select<T: Number>(y: ViewMut<'_, T>, mask: View<'_, u8>, x: View<'_, T>, other: View<'_, T>) -> Result {
    map3("select", &y, (&mask, &x, &other), 1, select_loop::<T>)
}
