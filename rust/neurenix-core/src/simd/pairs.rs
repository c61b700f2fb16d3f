//! Products of pairs of bfloat16: the processor's instruction, or the same bits without it.
//!
//! A pair lies in the 32 bits of an `f32`: the nearest bfloat16 of a first number low, that of a second high. To a sum of float32 the
//! instruction adds the product of the second numbers, then that of the first, each addition rounded once (such products are exact),
//! and denormal numbers count as zero, read and written. So without it a pair is two fused multiply-adds in that order, in the
//! processor's mode that does the same ([`super::FloatMode::flushing`]).

use super::Vector;

/// The nearest bfloat16, the even one of two, in the upper half of its bits; NaN stays one.
#[inline(always)]
pub fn nearest(x: f32) -> u32 {
    const UPPER: u32 = 0xffff_0000;
    const QUIET: u32 = 0x0040_0000;
    let bits = x.to_bits();
    let up = bits.wrapping_add(0x7fff + ((bits >> 16) & 1));
    (if x.is_nan() { bits | QUIET } else { up }) & UPPER
}

/// Two numbers, rounded, as one element.
#[inline(always)]
pub fn pair(first: f32, second: f32) -> f32 {
    f32::from_bits((nearest(first) >> 16) | nearest(second))
}

/// Vectors whose elements are taken for pairs.
pub trait Halves: Vector<f32> {
    /// The first numbers of pairs.
    fn first(self) -> Self;
    /// The second ones.
    fn second(self) -> Self;
    /// Pairs of these numbers, rounded, and the `second` ones.
    fn joined(self, second: Self) -> Self;
}

/// How a micro-kernel multiplies.
pub trait Products<T, V: Vector<T>> {
    /// Whether results may be rounded to bfloat16, too.
    const ROUNDS: bool;
    /// Adds the products of an element of each of `M` lines and `R` vectors at `w`.
    ///
    /// # Safety
    /// The lines have an element `at`, and `R` vectors at `w` are readable.
    unsafe fn step<const M: usize, const R: usize>(sums: &mut [[V; R]; M], x: [*const T; M], at: usize, w: *const T);
}

/// Pairs, too.
pub trait Pairs<V: Vector<f32>>: Products<f32, V> {
    /// Pairs of two vectors' elements.
    fn joined(first: V, second: V) -> V;
    /// Pairs of neighbours among the first `left` numbers, or as many as a vector takes.
    ///
    /// # Safety
    /// `min(left, 2 N)` numbers at `from` are readable.
    unsafe fn neighbours(from: *const f32, left: usize) -> V;
}

/// Fused multiply-adds of elements.
#[derive(Debug)]
pub struct Fused;

impl<T: super::Float, V: Vector<T>> Products<T, V> for Fused {
    const ROUNDS: bool = false;
    #[inline(always)]
    unsafe fn step<const M: usize, const R: usize>(sums: &mut [[V; R]; M], x: [*const T; M], at: usize, w: *const T) {
        let mut weights = [V::splat(T::ZERO); R];
        // SAFETY: as the caller says.
        unsafe {
            for j in 0..R {
                weights[j] = V::load(w.add(j * V::N));
            }
            for i in 0..M {
                let value = V::splat(*x[i].add(at));
                for j in 0..R {
                    sums[i][j] = value.fma(weights[j], sums[i][j]);
                }
            }
        }
    }
}

/// Pairs by fused multiply-adds.
#[derive(Debug)]
pub struct Emulated;

impl<V: Halves> Products<f32, V> for Emulated {
    const ROUNDS: bool = true;
    #[inline(always)]
    unsafe fn step<const M: usize, const R: usize>(sums: &mut [[V; R]; M], x: [*const f32; M], at: usize, w: *const f32) {
        // SAFETY: as the caller says.
        unsafe {
            half::<V, M, R, true>(sums, x, at, w);
            half::<V, M, R, false>(sums, x, at, w);
        }
    }
}

/// The second or the first numbers' part of a step.
#[inline(always)]
unsafe fn half<V: Halves, const M: usize, const R: usize, const SECOND: bool>(
    sums: &mut [[V; R]; M],
    x: [*const f32; M],
    at: usize,
    w: *const f32,
) {
    let mut weights = [V::splat(0.0); R];
    // SAFETY: as the caller of the step says.
    unsafe {
        for j in 0..R {
            let pairs = V::load(w.add(j * V::N));
            weights[j] = if SECOND { pairs.second() } else { pairs.first() };
        }
        for i in 0..M {
            let pairs = V::splat(*x[i].add(at));
            let value = if SECOND { pairs.second() } else { pairs.first() };
            for j in 0..R {
                sums[i][j] = value.fma(weights[j], sums[i][j]);
            }
        }
    }
}

impl<V: Halves> Pairs<V> for Emulated {
    #[inline(always)]
    fn joined(first: V, second: V) -> V {
        first.joined(second)
    }

    #[inline(always)]
    unsafe fn neighbours(from: *const f32, left: usize) -> V {
        let mut pairs = [0.0; super::LANES];
        let whole = (left / 2).min(V::N);
        // SAFETY: as the caller says; no vector is longer than the lanes.
        unsafe {
            for (i, place) in pairs.iter_mut().enumerate().take(whole) {
                *place = pair(from.add(2 * i).read(), from.add(2 * i + 1).read());
            }
            if whole < V::N && left % 2 == 1 {
                pairs[whole] = pair(from.add(2 * whole).read(), 0.0);
            }
            V::load(pairs.as_ptr())
        }
    }
}

/// Declares a function over pairs with a copy for every level: `V` is the level's vector of `f32`, `P` its [`Pairs`].
#[macro_export]
macro_rules! pair_levels {
    ($(#[$meta:meta])* $vis:vis fn $name:ident<$V:ident, $P:ident>($($arg:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$meta])*
        $vis fn $name($($arg: $type),*) {
            #[inline(always)]
            fn body<$V: $crate::simd::pairs::Halves, $P: $crate::simd::pairs::Pairs<$V>>($($arg: $type),*) $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $type),*) { body::<<f32 as $crate::simd::Float>::Avx2, $crate::simd::pairs::Emulated>($($arg),*) }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
            fn avx512($($arg: $type),*) { body::<<f32 as $crate::simd::Float>::Avx512, $crate::simd::pairs::Emulated>($($arg),*) }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512bf16,avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
            fn instruction($($arg: $type),*) { body::<<f32 as $crate::simd::Float>::Avx512, $crate::simd::Instruction>($($arg),*) }
            #[cfg(target_arch = "aarch64")]
            #[inline(never)] // what is in it shall not leave the mode
            fn neon($($arg: $type),*) { body::<<f32 as $crate::simd::Float>::Neon, $crate::simd::pairs::Emulated>($($arg),*) }
            #[inline(never)] // what is in it shall not leave the mode
            fn portable($($arg: $type),*) { body::<<f32 as $crate::simd::Float>::Portable, $crate::simd::pairs::Emulated>($($arg),*) }
            let _mode = $crate::simd::FloatMode::flushing();
            #[cfg(target_arch = "x86_64")]
            match $crate::simd::level() {
                // SAFETY: `level` says that the processor has these features.
                3 => return unsafe { instruction($($arg),*) },
                // SAFETY: as above.
                2 => return unsafe { avx512($($arg),*) },
                // SAFETY: as above.
                1 => return unsafe { avx2($($arg),*) },
                _ => {}
            }
            #[cfg(target_arch = "aarch64")]
            if $crate::simd::level() > 0 {
                return neon($($arg),*);
            }
            portable($($arg),*)
        }
    };
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::super::{Float, FloatMode, Instruction};
    use super::*;

    const COUNT: usize = 1 << 12;

    /// One step for each of `COUNT` pairs times 16 others, onto as many sums.
    #[inline(always)]
    fn products<V: Halves, P: Pairs<V>>(sums: &mut [f32], x: &[f32], w: &[f32]) {
        for (i, sums) in sums.chunks_exact_mut(16).enumerate() {
            for at in (0..16).step_by(V::N) {
                // SAFETY: sixteen elements behind each place.
                unsafe {
                    let place = sums.as_mut_ptr().add(at);
                    let mut sum = [[V::load(place)]];
                    P::step(&mut sum, [x.as_ptr()], i, w.as_ptr().add(i * 16 + at));
                    sum[0][0].store(place);
                }
            }
        }
    }

    #[target_feature(enable = "avx512bf16,avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
    fn by_instruction(sums: &mut [f32], x: &[f32], w: &[f32]) {
        products::<<f32 as Float>::Avx512, Instruction>(sums, x, w);
    }

    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
    fn by_avx512(sums: &mut [f32], x: &[f32], w: &[f32]) {
        products::<<f32 as Float>::Avx512, Emulated>(sums, x, w);
    }

    #[target_feature(enable = "avx2,fma")]
    fn by_avx2(sums: &mut [f32], x: &[f32], w: &[f32]) {
        products::<<f32 as Float>::Avx2, Emulated>(sums, x, w);
    }

    #[inline(never)]
    fn by_hand(sums: &mut [f32], x: &[f32], w: &[f32]) {
        products::<<f32 as Float>::Portable, Emulated>(sums, x, w);
    }

    /// Random bits whose exponents lie near each other in three of four rounds: in the middle, so that sums cancel, or at the low end.
    fn bits(state: &mut u64, round: usize, wide: bool) -> u32 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        let random = (*state >> 16) as u32;
        let exponent = match round % 4 {
            0 => return random,
            1 => 0x7f + (random >> 3) % 8,
            2 => (if wide { 0x6f } else { 0x78 }) + (random >> 3) % 32,
            _ => (if wide { 0 } else { 0x38 }) + (random >> 3) % 12,
        };
        (random & 0x807f_ffff) | (exponent << 23)
    }

    const SPECIAL: [f32; 12] =
        [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e-40, -1e-40, f32::MIN_POSITIVE, f32::MAX, f32::MIN, 1.0, -1.0];

    #[test]
    fn without_the_instruction_sums_are_the_same_bits() {
        let mut state = 88_172_645_463_325_252;
        for round in 0..64 {
            let mut values = |n: usize, wide: bool| -> Vec<f32> {
                (0..n)
                    .map(|i| {
                        if i % 31 == 0 && round >= 48 {
                            let some = |shift: usize| SPECIAL[(i / 31 + round) / shift % SPECIAL.len()];
                            return if wide { some(1) } else { pair(some(1), some(SPECIAL.len())) };
                        }
                        let (high, low) = (bits(&mut state, round, wide), bits(&mut state, round, wide));
                        f32::from_bits(if wide { high } else { (high & 0xffff_0000) | (low >> 16) })
                    })
                    .collect()
            };
            let (x, w, sums) = (values(COUNT, false), values(16 * COUNT, false), values(16 * COUNT, true));
            let run = |f: &dyn Fn(&mut [f32], &[f32], &[f32])| {
                let mut found = sums.clone();
                f(&mut found, &x, &w);
                found.iter().map(|x| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() }).collect::<Vec<_>>()
            };
            let mode = FloatMode::flushing();
            let want = run(&by_hand);
            if super::super::best_level() >= 1 {
                // SAFETY: the processor has these features.
                assert!(run(&|s, x, w| unsafe { by_avx2(s, x, w) }) == want, "AVX2, round {round}");
            }
            if super::super::best_level() >= 2 {
                // SAFETY: as above.
                assert!(run(&|s, x, w| unsafe { by_avx512(s, x, w) }) == want, "AVX-512, round {round}");
            }
            drop(mode);
            if super::super::best_level() >= 3 {
                // SAFETY: as above.
                assert!(run(&|s, x, w| unsafe { by_instruction(s, x, w) }) == want, "the instruction, round {round}");
            }
        }
    }

    #[test]
    fn rounding_is_to_the_nearest_even() {
        for (x, want) in [
            (1.0_f32, 1.0),
            (1.0 + 1.0 / 256.0, 1.0),
            (1.0 + 3.0 / 256.0, 1.015_625),
            (-1.004, -1.0 - 2.0 / 256.0),
            (f32::MAX, f32::INFINITY),
        ] {
            assert_eq!(f32::from_bits(nearest(x)), want);
        }
        assert!(f32::from_bits(nearest(f32::from_bits(0x7f80_0001))).is_nan());
    }

    crate::pair_levels! {
        fn paired<V, P>(to: &mut [f32], from: &[f32]) {
            // SAFETY: two vectors are read, with some left over; one is written at each place.
            unsafe {
                for at in (0..16).step_by(V::N) {
                    P::joined(V::load(from.as_ptr().add(at)), V::load(from.as_ptr().add(at + 16))).store(to.as_mut_ptr().add(at));
                    P::neighbours(from.as_ptr().add(2 * at), 29_usize.saturating_sub(2 * at)).store(to.as_mut_ptr().add(16 + at));
                }
            }
        }
    }

    #[test]
    fn pairs_are_made_alike_on_all_levels() {
        let from: Vec<f32> = (0..32).map(|i| (i as f32 - 9.3) * 1.37).collect();
        for level in 0..=super::super::best_level() {
            super::super::set_level(level);
            let mut found = [0.0; 32];
            paired(&mut found, &from);
            for i in 0..16 {
                assert_eq!(found[i].to_bits(), pair(from[i], from[i + 16]).to_bits(), "{level} {i}");
                let second = if 2 * i + 1 < 29 { from[2 * i + 1] } else { 0.0 };
                let want = if 2 * i < 29 { pair(from[2 * i], second).to_bits() } else { 0 };
                assert_eq!(found[16 + i].to_bits(), want, "{level} {i}");
            }
        }
    }
}
