//! NEON vectors, which every aarch64 processor has.

use std::arch::aarch64::*;

use super::pairs::{Halves, pair};
use super::{Float, Vector};

macro_rules! neon {
    ($(#[$doc:meta])* $name:ident($vector:ident of $lanes:literal $t:ident) {
        $splat:ident, $load:ident, $store:ident, $add:ident, $sub:ident, $mul:ident, $fma:ident, $greater:ident, $choose:ident, $test:ident,
        $dup:ident, $load_bits:ident, $bits:expr
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub struct $name($vector);

        impl Vector<$t> for $name {
            const N: usize = $lanes;
            const TILE: (usize, usize) = (6, 4);
            #[inline(always)]
            fn nearest_bfloat16(self) -> Self {
                let mut lanes = [0.0; $lanes];
                // SAFETY: as many lanes as a vector has.
                unsafe {
                    self.store(lanes.as_mut_ptr());
                    lanes.iter_mut().for_each(|x: &mut $t| *x = x.nearest_bfloat16());
                    Self::load(lanes.as_ptr())
                }
            }
            #[inline(always)]
            fn splat(x: $t) -> Self {
                // SAFETY: every processor of this architecture has the instruction; so below.
                Self(unsafe { $splat(x) })
            }
            #[inline(always)]
            unsafe fn load(from: *const $t) -> Self {
                // SAFETY: the caller vouches for the memory.
                Self(unsafe { $load(from) })
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $t) {
                // SAFETY: the caller vouches for the memory.
                unsafe { $store(to, self.0) }
            }
            #[inline(always)]
            unsafe fn load_first(from: *const $t, n: usize) -> Self {
                debug_assert!(n <= Self::N);
                let mut lanes = [0.0; $lanes];
                // SAFETY: the caller vouches for `n` elements, for which there is room.
                unsafe {
                    std::ptr::copy_nonoverlapping(from, lanes.as_mut_ptr(), n);
                    Self::load(lanes.as_ptr())
                }
            }
            #[inline(always)]
            unsafe fn store_first(self, to: *mut $t, n: usize) {
                debug_assert!(n <= Self::N);
                let mut lanes = [0.0; $lanes];
                // SAFETY: the caller vouches for `n` elements, which there are.
                unsafe {
                    self.store(lanes.as_mut_ptr());
                    std::ptr::copy_nonoverlapping(lanes.as_ptr(), to, n);
                }
            }
            #[inline(always)]
            fn add(self, other: Self) -> Self {
                // SAFETY: see `splat`.
                Self(unsafe { $add(self.0, other.0) })
            }
            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                // SAFETY: see `splat`.
                Self(unsafe { $sub(self.0, other.0) })
            }
            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                // SAFETY: see `splat`.
                Self(unsafe { $mul(self.0, other.0) })
            }
            #[inline(always)]
            fn fma(self, factor: Self, addend: Self) -> Self {
                // SAFETY: see `splat`.
                Self(unsafe { $fma(addend.0, self.0, factor.0) })
            }
            #[inline(always)]
            fn max(self, other: Self) -> Self {
                // SAFETY: see `splat`. The instruction for maxima gives NaN for a NaN, wherever it stands.
                Self(unsafe { $choose($greater(self.0, other.0), self.0, other.0) })
            }
            #[inline(always)]
            fn unless_below_zero(self, other: Self) -> Self {
                let least = <$t>::from_bits(1); // whatever is below the least positive number is 0 or below
                // SAFETY: see `splat`.
                Self(unsafe { $choose($greater($splat(least), other.0), $splat(0.0), self.0) })
            }
            #[inline(always)]
            unsafe fn pick(from: *const $t, index: *const i32) -> Self {
                let mut lanes = [0.0; $lanes];
                for (l, lane) in lanes.iter_mut().enumerate() {
                    // SAFETY: the caller vouches for the indices and what they name.
                    *lane = unsafe { from.add(index.add(l).read() as usize).read() };
                }
                // SAFETY: as many lanes as a vector has.
                unsafe { Self::load(lanes.as_ptr()) }
            }
            #[inline(always)]
            fn fma_where(self, factor: Self, addend: Self, lanes: u32) -> Self {
                let bits = $bits;
                // SAFETY: see `splat`.
                unsafe {
                    let on = $test($dup(lanes.into()), $load_bits(bits.as_ptr()));
                    Self($choose(on, self.fma(factor, addend).0, addend.0))
                }
            }
        }
    };
}

neon! {
    /// 4 lanes of `f32`.
    F32x4(float32x4_t of 4 f32) {
        vdupq_n_f32, vld1q_f32, vst1q_f32, vaddq_f32, vsubq_f32, vmulq_f32, vfmaq_f32, vcgtq_f32, vbslq_f32, vtstq_u32, vdupq_n_u32,
        vld1q_u32, [1u32, 2, 4, 8]
    }
}
neon! {
    /// 2 lanes of `f64`.
    F64x2(float64x2_t of 2 f64) {
        vdupq_n_f64, vld1q_f64, vst1q_f64, vaddq_f64, vsubq_f64, vmulq_f64, vfmaq_f64, vcgtq_f64, vbslq_f64, vtstq_u64, vdupq_n_u64,
        vld1q_u64, [1u64, 2]
    }
}

impl Halves for F32x4 {
    #[inline(always)]
    fn first(self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { vreinterpretq_f32_u32(vshlq_n_u32::<16>(vreinterpretq_u32_f32(self.0))) })
    }
    #[inline(always)]
    fn second(self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(self.0), vdupq_n_u32(0xffff_0000))) })
    }
    #[inline(always)]
    fn joined(self, second: Self) -> Self {
        let (mut a, mut b) = ([0.0; 4], [0.0; 4]);
        // SAFETY: as many lanes as a vector has.
        unsafe {
            self.store(a.as_mut_ptr());
            second.store(b.as_mut_ptr());
            a.iter_mut().zip(b).for_each(|(a, b)| *a = pair(*a, b));
            Self::load(a.as_ptr())
        }
    }
}
