//! The element types of kernels.

use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

use super::Vector;
use super::portable::One;

/// Any number an array can hold, integers with wrapping arithmetic.
pub trait Number: Copy + Default + PartialOrd + Send + Sync + std::fmt::Debug + 'static {
    /// 0
    const ZERO: Self;
    /// 1
    const ONE: Self;
    /// The value nearest to `x`, as `as` converts.
    fn of(x: f64) -> Self;
    /// As a double.
    fn to_f64(self) -> f64;
    /// `self + other`
    fn plus(self, other: Self) -> Self;
    /// `self - other`
    fn minus(self, other: Self) -> Self;
    /// `self * other`
    fn times(self, other: Self) -> Self;
    /// Whether it is not a number.
    fn is_nan(self) -> bool;
    /// The lowest value: minus infinity for floats.
    const LOWEST: Self;
    /// The highest value: infinity for floats.
    const HIGHEST: Self;
}

macro_rules! number_int {
    ($($t:ty),*) => { $(impl Number for $t {
        const ZERO: Self = 0;
        const ONE: Self = 1;
        const LOWEST: Self = <$t>::MIN;
        const HIGHEST: Self = <$t>::MAX;
        #[inline(always)]
        fn of(x: f64) -> Self { x as $t }
        #[inline(always)]
        fn to_f64(self) -> f64 { self as f64 }
        #[inline(always)]
        fn plus(self, other: Self) -> Self { self.wrapping_add(other) }
        #[inline(always)]
        fn minus(self, other: Self) -> Self { self.wrapping_sub(other) }
        #[inline(always)]
        fn times(self, other: Self) -> Self { self.wrapping_mul(other) }
        #[inline(always)]
        fn is_nan(self) -> bool { false }
    })* };
}
number_int!(i8, i16, i32, i64, u8, u16, u32, u64);

/// float32 and float64.
pub trait Float:
    Number + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + Neg<Output = Self> + AddAssign + std::iter::Sum
{
    /// The vector of the AVX-512 level.
    #[cfg(target_arch = "x86_64")]
    type Avx512: Vector<Self>;
    /// The vector of the AVX2 level.
    #[cfg(target_arch = "x86_64")]
    type Avx2: Vector<Self>;
    /// The vector of the NEON level.
    #[cfg(target_arch = "aarch64")]
    type Neon: Vector<Self>;
    /// The vector of the portable level.
    type Portable: Vector<Self>;
    /// `self * factor + addend`, rounded once.
    fn mul_add(self, factor: Self, addend: Self) -> Self;
    /// Square root, correctly rounded.
    fn sqrt(self) -> Self;
    /// Absolute value.
    fn abs(self) -> Self;
    /// Largest integer not above.
    fn floor(self) -> Self;
    /// Smallest integer not below.
    fn ceil(self) -> Self;
    /// Nearest integer, halves to even.
    fn round_even(self) -> Self;
    /// Towards zero.
    fn trunc(self) -> Self;
    /// The nearest bfloat16.
    fn nearest_bfloat16(self) -> Self;
    /// Not a number.
    const NAN: Self;
    /// Distance from 1 to the next value.
    const EPSILON: Self;
}

macro_rules! float {
    ($t:ident, $avx512:ident, $avx2:ident, $neon:ident) => {
        impl Number for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const LOWEST: Self = $t::NEG_INFINITY;
            const HIGHEST: Self = $t::INFINITY;
            #[inline(always)]
            fn of(x: f64) -> Self {
                x as $t
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                self + other
            }
            #[inline(always)]
            fn minus(self, other: Self) -> Self {
                self - other
            }
            #[inline(always)]
            fn times(self, other: Self) -> Self {
                self * other
            }
            #[inline(always)]
            fn is_nan(self) -> bool {
                self.is_nan()
            }
        }
        impl Float for $t {
            #[cfg(target_arch = "x86_64")]
            type Avx512 = super::avx512::$avx512;
            #[cfg(target_arch = "x86_64")]
            type Avx2 = super::avx2::$avx2;
            #[cfg(target_arch = "aarch64")]
            type Neon = super::neon::$neon;
            type Portable = One<$t>;
            const NAN: Self = $t::NAN;
            const EPSILON: Self = $t::EPSILON;
            #[inline(always)]
            fn mul_add(self, factor: Self, addend: Self) -> Self {
                self.mul_add(factor, addend)
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                self.sqrt()
            }
            #[inline(always)]
            fn abs(self) -> Self {
                self.abs()
            }
            #[inline(always)]
            fn floor(self) -> Self {
                self.floor()
            }
            #[inline(always)]
            fn ceil(self) -> Self {
                self.ceil()
            }
            #[inline(always)]
            fn round_even(self) -> Self {
                self.round_ties_even()
            }
            #[inline(always)]
            fn trunc(self) -> Self {
                self.trunc()
            }
            #[inline(always)]
            fn nearest_bfloat16(self) -> Self {
                f32::from_bits(super::pairs::nearest(self as f32)) as $t
            }
        }
    };
}
float!(f32, F32x16, F32x8, F32x4);
float!(f64, F64x8, F64x4, F64x2);
