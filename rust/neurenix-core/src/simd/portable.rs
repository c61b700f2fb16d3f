//! Vectors of one element, for processors without AVX2: slow, and right.

use super::pairs::{Halves, pair};
use super::{Float, Vector};

/// One lane.
#[derive(Clone, Copy)]
pub struct One<T>(T);

impl<T: Float> Vector<T> for One<T> {
    const N: usize = 1;
    const TILE: (usize, usize) = (2, 4);
    #[inline(always)]
    fn nearest_bfloat16(self) -> Self {
        Self(self.0.nearest_bfloat16())
    }
    #[inline(always)]
    fn splat(x: T) -> Self {
        Self(x)
    }
    #[inline(always)]
    unsafe fn load(from: *const T) -> Self {
        // SAFETY: the caller vouches for the memory.
        Self(unsafe { from.read() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut T) {
        // SAFETY: the caller vouches for the memory.
        unsafe { to.write(self.0) }
    }
    #[inline(always)]
    unsafe fn load_first(from: *const T, n: usize) -> Self {
        // SAFETY: the caller vouches for `n` elements.
        Self(if n > 0 { unsafe { *from } } else { T::ZERO })
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut T, n: usize) {
        if n > 0 {
            // SAFETY: the caller vouches for `n` elements.
            unsafe { *to = self.0 };
        }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(self.0 * other.0)
    }
    #[inline(always)]
    fn fma(self, factor: Self, addend: Self) -> Self {
        Self(self.0.mul_add(factor.0, addend.0))
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        if self.0 > other.0 { self } else { other }
    }
    #[inline(always)]
    fn unless_below_zero(self, other: Self) -> Self {
        if other.0 <= T::ZERO { Self(T::ZERO) } else { self }
    }
    #[inline(always)]
    unsafe fn pick(from: *const T, index: *const i32) -> Self {
        // SAFETY: the caller vouches for the memory.
        Self(unsafe { from.add(index.read() as usize).read() })
    }
    #[inline(always)]
    fn fma_where(self, factor: Self, addend: Self, lanes: u32) -> Self {
        if lanes & 1 == 1 { self.fma(factor, addend) } else { addend }
    }
}

impl Halves for One<f32> {
    #[inline(always)]
    fn first(self) -> Self {
        Self(f32::from_bits(self.0.to_bits() << 16))
    }
    #[inline(always)]
    fn second(self) -> Self {
        Self(f32::from_bits(self.0.to_bits() & 0xffff_0000))
    }
    #[inline(always)]
    fn joined(self, second: Self) -> Self {
        Self(pair(self.0, second.0))
    }
}
