//! Arithmetic of integers; it wraps, and division by zero gives zero (the operations above refuse it).

use super::{map1, map2, unknown};
use crate::error::Result;
use crate::simd::Number;
use crate::view::{View, ViewMut};

/// What integers can do besides [`Number`]'s arithmetic.
pub trait Integer: Number + Eq + Ord {
    /// Rounded down.
    fn floor_div(self, other: Self) -> Self;
    /// Rounded towards zero.
    fn trunc_div(self, other: Self) -> Self;
    /// To a power that is not negative; a negative one gives what the reciprocal rounds to.
    fn power(self, other: Self) -> Self;
    /// Bit by bit.
    fn and(self, other: Self) -> Self;
    /// Bit by bit.
    fn or(self, other: Self) -> Self;
    /// Bit by bit.
    fn xor(self, other: Self) -> Self;
    /// All bits changed.
    fn not(self) -> Self;
    /// `self * 2^other`
    fn shift_left(self, other: Self) -> Self;
    /// `self / 2^other`, rounded down
    fn shift_right(self, other: Self) -> Self;
}

macro_rules! integer {
    ($($t:ident)*) => { $(impl Integer for $t {
        #[inline(always)]
        fn floor_div(self, other: Self) -> Self {
            let q = self.trunc_div(other);
            #[allow(unused_comparisons, reason = "the unsigned types are never below 0")]
            if other != 0 && self.wrapping_sub(q.wrapping_mul(other)) != 0 && (self < 0) != (other < 0) { q.wrapping_sub(1) } else { q }
        }
        #[inline(always)]
        fn trunc_div(self, other: Self) -> Self {
            if other == 0 { 0 } else { self.wrapping_div(other) }
        }
        #[inline(always)]
        fn power(self, other: Self) -> Self {
            #[allow(unused_comparisons, reason = "the unsigned types are never below 0")]
            if other < 0 {
                return match self { 1 => 1, 0 => 0, x if x == (0 as $t).wrapping_sub(1) => if other & 1 == 0 { 1 } else { x }, _ => 0 };
            }
            let (mut base, mut left, mut result) = (self, other, 1 as $t);
            while left > 0 {
                if left & 1 == 1 { result = result.wrapping_mul(base); }
                base = base.wrapping_mul(base);
                left >>= 1;
            }
            result
        }
        #[inline(always)]
        fn and(self, other: Self) -> Self { self & other }
        #[inline(always)]
        fn or(self, other: Self) -> Self { self | other }
        #[inline(always)]
        fn xor(self, other: Self) -> Self { self ^ other }
        #[inline(always)]
        fn not(self) -> Self { !self }
        #[inline(always)]
        fn shift_left(self, other: Self) -> Self { self.checked_shl(other as u32).unwrap_or(0) }
        #[inline(always)]
        #[allow(unused_comparisons, reason = "the unsigned types are never below 0")]
        fn shift_right(self, other: Self) -> Self {
            self.checked_shr(other as u32).unwrap_or(if self < 0 { (0 as $t).wrapping_sub(1) } else { 0 })
        }
    })* };
}
integer!(i8 i16 i32 i64 u8 u16 u32 u64);

/// `y = op(x)`: negated, absolute, sign, bits changed, logical not.
///
/// # Errors
/// [`crate::error::Error::Shape`] unless both have one shape, [`crate::error::Error::Argument`] for an unknown expression.
pub fn integer_unary<T: Integer>(y: ViewMut<'_, T>, x: View<'_, T>, op: usize) -> Result {
    let f: fn(T) -> T = match op {
        0 => |x| T::ZERO.minus(x),
        1 => |x| if x < T::ZERO { T::ZERO.minus(x) } else { x },
        2 => |x| {
            if x > T::ZERO {
                T::ONE
            } else if x < T::ZERO {
                T::ZERO.minus(T::ONE)
            } else {
                T::ZERO
            }
        },
        3 => T::not,
        4 => |x| if x == T::ZERO { T::ONE } else { T::ZERO },
        op => return unknown("integer_unary", op),
    };
    map1("integer_unary", &y, &x, 4, |y, x| y.iter_mut().zip(x).for_each(|(y, &x)| *y = f(x)))
}

fn apply<T: Integer>(y: &mut [T], u: &[T], v: &[T], f: impl Fn(T, T) -> T) {
    y.iter_mut().zip(u.iter().zip(v)).for_each(|(y, (&u, &v))| *y = f(u, v));
}

/// `y = op(x, other)`.
///
/// # Errors
/// [`crate::error::Error::Shape`] unless all have one shape, [`crate::error::Error::Argument`] for an unknown expression.
pub fn integer_binary<T: Integer>(y: ViewMut<'_, T>, x: View<'_, T>, other: View<'_, T>, op: usize) -> Result {
    let run: fn(&mut [T], &[T], &[T]) = match op {
        0 => |y, u, v| apply(y, u, v, T::plus),
        1 => |y, u, v| apply(y, u, v, T::minus),
        2 => |y, u, v| apply(y, u, v, T::times),
        3 => |y, u, v| apply(y, u, v, T::floor_div),
        4 => |y, u, v| apply(y, u, v, T::trunc_div),
        5 => |y, u, v| apply(y, u, v, |x, d| x.minus(x.floor_div(d).times(d))),
        6 => |y, u, v| apply(y, u, v, |x, d| x.minus(x.trunc_div(d).times(d))),
        7 => |y, u, v| apply(y, u, v, T::power),
        8 => |y, u, v| apply(y, u, v, Ord::max),
        9 => |y, u, v| apply(y, u, v, Ord::min),
        10 => |y, u, v| apply(y, u, v, T::and),
        11 => |y, u, v| apply(y, u, v, T::or),
        12 => |y, u, v| apply(y, u, v, T::xor),
        13 => |y, u, v| apply(y, u, v, T::shift_left),
        14 => |y, u, v| apply(y, u, v, T::shift_right),
        op => return unknown("integer_binary", op),
    };
    map2("integer_binary", &y, &x, &other, 2, run)
}
