//! One body for every instruction set.
//!
//! A kernel is written once, generic over its vector type, inside [`levels!`](crate::levels). The macro makes a copy for
//! AVX-512, one for AVX2 + FMA (on aarch64 one for NEON) and a portable one, and picks by [`level`] at run time; kernels over [`pairs`]
//! of bfloat16 have one more for processors that multiply them. All give the same bits:
//! multiply-adds are fused where written (`mul_add`, [`Vector::fma`]) and nowhere else, and sums along vectors use
//! [`LANES`] virtual lanes whatever the width.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod float;
#[cfg(target_arch = "aarch64")]
mod neon;
pub mod pairs;
mod portable;

use std::sync::atomic::{AtomicU8, Ordering};

#[cfg(target_arch = "x86_64")]
pub use avx512::Instruction;
pub use float::{Float, Number};

/// Virtual lanes of a sum along a vector.
pub const LANES: usize = 16;

/// A vector of `T`; only made inside [`levels!`](crate::levels), where the processor is known to have it.
pub trait Vector<T>: Copy {
    /// Elements of one vector.
    const N: usize;
    /// Registers that an accumulator tile may fill: (rows, vectors).
    const TILE: (usize, usize);
    /// Each element's nearest bfloat16.
    fn nearest_bfloat16(self) -> Self;
    /// All elements `x`.
    fn splat(x: T) -> Self;
    /// `N` elements from memory of any alignment.
    ///
    /// # Safety
    /// `N` elements at `from` are readable.
    unsafe fn load(from: *const T) -> Self;
    /// `N` elements to memory of any alignment.
    ///
    /// # Safety
    /// `N` elements at `to` are writable.
    unsafe fn store(self, to: *mut T);
    /// The first `n <= N` elements from memory, zeros behind them.
    ///
    /// # Safety
    /// `n` elements at `from` are readable.
    unsafe fn load_first(from: *const T, n: usize) -> Self;
    /// The first `n <= N` elements to memory.
    ///
    /// # Safety
    /// `n` elements at `to` are writable.
    unsafe fn store_first(self, to: *mut T, n: usize);
    /// `N` elements to memory past the caches; [`settle`] before anybody reads them.
    ///
    /// # Safety
    /// `N` elements at `to` are writable, and `to` is a multiple of the vector's bytes.
    #[inline(always)]
    unsafe fn stream(self, to: *mut T) {
        // SAFETY: as the caller says.
        unsafe { self.store(to) }
    }
    /// `self + other`
    fn add(self, other: Self) -> Self;
    /// `self - other`
    fn sub(self, other: Self) -> Self;
    /// `self * other`
    fn mul(self, other: Self) -> Self;
    /// `self * factor + addend`, rounded once.
    fn fma(self, factor: Self, addend: Self) -> Self;
    /// The larger, element by element; `other` where either is NaN.
    fn max(self, other: Self) -> Self;
    /// `self` unless `other` is 0 or below, element by element, else 0.
    fn unless_below_zero(self, other: Self) -> Self;
    /// Lane `l` is `from[index[l]]`.
    ///
    /// # Safety
    /// `2 N` elements at `from` and `N` indices from 0 to `2 N - 1` are readable.
    unsafe fn pick(from: *const T, index: *const i32) -> Self;
    /// The same of two vectors: `self`, and behind it `high`.
    ///
    /// # Safety
    /// `N` indices from 0 to `2 N - 1` are readable.
    #[inline(always)]
    unsafe fn pick_of_two(self, high: Self, index: *const i32) -> Self {
        let mut held = [const { std::mem::MaybeUninit::<T>::uninit() }; 2 * LANES];
        let held = held.as_mut_ptr().cast::<T>();
        // SAFETY: there is room for two vectors of at most `LANES` elements; indices are the caller's.
        unsafe {
            self.store(held);
            high.store(held.add(Self::N));
            Self::pick(held, index)
        }
    }
    /// Lane `l` is lane `l / span * span + at` of `self`; `span` is a power of two up to `N`, `at` lies below it.
    #[inline(always)]
    fn spread(self, span: usize, at: usize) -> Self {
        let index: [i32; LANES] = std::array::from_fn(|lane| (lane / span * span + at) as i32);
        // SAFETY: indices of `N` lanes, below `N`.
        unsafe { self.pick_of_two(self, index.as_ptr()) }
    }
    /// `self * factor + addend` in the lanes whose bit is set, `addend` in the others.
    fn fma_where(self, factor: Self, addend: Self, lanes: u32) -> Self;
    /// Writes column `j < columns <= N` of `N` rows, `pitch` elements apart, as a vector at `to + j * step`.
    ///
    /// # Safety
    /// `columns` elements of each row are readable, and `N` at each place written to are writable.
    #[inline(always)]
    unsafe fn transpose(from: *const T, pitch: usize, columns: usize, to: *mut T, step: isize) {
        for (i, j) in (0..Self::N).flat_map(|i| (0..columns).map(move |j| (i, j))) {
            // SAFETY: as the caller says.
            unsafe { to.offset(j as isize * step).add(i).write(from.add(i * pitch + j).read()) };
        }
    }
    /// Writes the first `rows <= N` elements of column `j < N` of rows that are `pitch` elements apart at `to + j * step`.
    ///
    /// # Safety
    /// `N` elements of each row are readable, and `rows` at each place written to are writable.
    #[inline(always)]
    unsafe fn transpose_some(from: *const T, pitch: usize, rows: usize, to: *mut T, step: isize) {
        for (i, j) in (0..rows).flat_map(|i| (0..Self::N).map(move |j| (i, j))) {
            // SAFETY: as the caller says.
            unsafe { to.offset(j as isize * step).add(i).write(from.add(i * pitch + j).read()) };
        }
    }
}

/// The level in use, by its place in [`LEVEL_NAMES`].
static LEVEL: AtomicU8 = AtomicU8::new(u8::MAX);

/// Names of the levels, by number.
#[cfg(not(target_arch = "aarch64"))]
pub const LEVEL_NAMES: [&str; 4] = ["portable", "avx2", "avx512", "avx512_bf16"];
/// Names of the levels, by number.
#[cfg(target_arch = "aarch64")]
pub const LEVEL_NAMES: [&str; 2] = ["portable", "neon"];

/// The best level this processor has.
pub fn best_level() -> u8 {
    #[cfg(target_arch = "x86_64")]
    {
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq");
        if avx2 && avx512 {
            return if is_x86_feature_detected!("avx512bf16") { 3 } else { 2 };
        }
        if avx2 {
            return 1;
        }
    }
    u8::from(cfg!(target_arch = "aarch64"))
}

/// The level in use: `NEURENIX_SIMD` (a name of a level) where the processor has it, else the best.
#[inline]
pub fn level() -> u8 {
    match LEVEL.load(Ordering::Relaxed) {
        u8::MAX => {
            let best = best_level();
            let asked = std::env::var("NEURENIX_SIMD").ok();
            let chosen = asked.and_then(|name| LEVEL_NAMES.iter().position(|&l| l == name)).map_or(best, |l| (l as u8).min(best));
            LEVEL.store(chosen, Ordering::Relaxed);
            chosen
        }
        level => level,
    }
}

/// Forces a level, for tests; levels the processor lacks are lowered to its best.
pub fn set_level(level: u8) {
    LEVEL.store(level.min(best_level()), Ordering::Relaxed);
}

/// How this thread rounds, to nearest, and what becomes of denormal numbers, until dropped; a library built with -Ofast turns
/// them off in the thread that loads it, which would change results.
#[derive(Debug)]
pub struct FloatMode {
    before: control::Word,
    mode: control::Word,
}

impl FloatMode {
    /// Sets the IEEE default mode in this thread: denormal numbers are kept.
    #[inline]
    pub fn ieee() -> Self {
        Self::of(control::IEEE)
    }

    /// Denormal numbers count as zero, read and written.
    #[inline]
    pub fn flushing() -> Self {
        Self::of(control::FLUSHING)
    }

    #[inline]
    fn of(mode: control::Word) -> Self {
        let before = control::read();
        if before & control::MODE != mode {
            control::write(mode);
        }
        Self { before, mode }
    }
}

impl Drop for FloatMode {
    #[inline]
    fn drop(&mut self) {
        if self.before & control::MODE != self.mode {
            control::write(self.before);
        }
    }
}

/// The processor's control register for floats.
#[cfg(target_arch = "x86_64")]
mod control {
    pub type Word = u32;
    /// Bits that are no flags of what has happened.
    pub const MODE: Word = !0x3f;
    pub const IEEE: Word = 0x1f80;
    /// The same with both bits for denormal numbers.
    pub const FLUSHING: Word = 0x9fc0;

    #[inline]
    pub fn read() -> Word {
        if cfg!(miri) {
            return IEEE; // Miri knows no assembly, and only the default mode
        }
        let mut value = 0;
        // SAFETY: stores the control register to a local.
        unsafe { std::arch::asm!("stmxcsr [{}]", in(reg) &mut value, options(nostack)) };
        value
    }

    #[inline]
    pub fn write(value: Word) {
        if cfg!(miri) {
            return;
        }
        // SAFETY: `value` was read from the register or is the documented default, with denormal numbers on or off.
        unsafe { std::arch::asm!("ldmxcsr [{}]", in(reg) &value, options(nostack, readonly)) };
    }
}

/// The processor's control register for floats.
#[cfg(target_arch = "aarch64")]
mod control {
    pub type Word = u64;
    /// Default NaN, flush to zero, rounding.
    pub const MODE: Word = 0xf << 22;
    pub const IEEE: Word = 0;
    /// Flush to zero. Whether a result is denormal is found before it is rounded here, elsewhere behind.
    pub const FLUSHING: Word = 1 << 24;

    #[inline]
    pub fn read() -> Word {
        let mut value;
        // SAFETY: reads the control register.
        unsafe { std::arch::asm!("mrs {}, fpcr", out(reg) value, options(nomem, nostack)) };
        value
    }

    #[inline]
    pub fn write(value: Word) {
        // SAFETY: `value` was read from the register or is the documented default.
        unsafe { std::arch::asm!("msr fpcr, {}", in(reg) value, options(nostack)) };
    }
}

/// Elsewhere the mode is taken as it is.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod control {
    pub type Word = u32;
    pub const MODE: Word = 0;
    pub const IEEE: Word = 0;
    pub const FLUSHING: Word = 0;

    pub fn read() -> Word {
        IEEE
    }

    pub fn write(_: Word) {}
}

/// Waits until what [`Vector::stream`] wrote is there for everybody.
#[inline(always)]
pub fn settle() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every processor of this architecture has the instruction; it touches no memory.
    unsafe {
        std::arch::x86_64::_mm_sfence();
    }
}

/// Asks for the cache line at an address to be brought near.
#[inline(always)]
pub fn prefetch<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every processor of this architecture has the instruction; it takes any address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Asks for the cache line at an address to be brought nearest, to be written to.
#[inline(always)]
pub fn prefetch_to_write<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint that takes any address; processors without it do nothing.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_ET0 }>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// As [`prefetch`], into the first-level cache: it is read at once.
#[inline(always)]
pub fn prefetch_first<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every processor of this architecture has the instruction; it takes any address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Declares a function with a copy for every level.
///
/// `fn name<T: Bound>(...)` relies on the compiler to vectorise its plain loops; `fn name<T, V>(...)` writes with the
/// level's vector type `V: Vector<T>` of a `T: Float`.
#[macro_export]
macro_rules! levels {
    ($(#[$meta:meta])* $vis:vis fn $name:ident<$T:ident: $B:path $(, const $C:ident: $CT:ty)*>($($arg:ident: $type:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        #[inline]
        $vis fn $name<$T: $B $(, const $C: $CT)*>($($arg: $type),*) $(-> $ret)? {
            #[inline(always)]
            fn body<$T: $B $(, const $C: $CT)*>($($arg: $type),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2<$T: $B $(, const $C: $CT)*>($($arg: $type),*) $(-> $ret)? { body::<$T $(, $C)*>($($arg),*) }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
            fn avx512<$T: $B $(, const $C: $CT)*>($($arg: $type),*) $(-> $ret)? { body::<$T $(, $C)*>($($arg),*) }
            #[cfg(target_arch = "x86_64")]
            match $crate::simd::level() {
                // SAFETY: `level` says that the processor has these features.
                2.. => return unsafe { avx512::<$T $(, $C)*>($($arg),*) },
                // SAFETY: as above.
                1 => return unsafe { avx2::<$T $(, $C)*>($($arg),*) },
                _ => {}
            }
            body::<$T $(, $C)*>($($arg),*)
        }
    };
    ($(#[$meta:meta])* $vis:vis fn $name:ident<$T:ident, $V:ident $(, const $C:ident: $CT:ty)*>($($arg:ident: $type:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        #[inline]
        $vis fn $name<$T: $crate::simd::Float $(, const $C: $CT)*>($($arg: $type),*) $(-> $ret)? {
            #[inline(always)]
            fn body<$T: $crate::simd::Float, $V: $crate::simd::Vector<$T> $(, const $C: $CT)*>($($arg: $type),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2<$T: $crate::simd::Float $(, const $C: $CT)*>($($arg: $type),*) $(-> $ret)? { body::<$T, $T::Avx2 $(, $C)*>($($arg),*) }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
            fn avx512<$T: $crate::simd::Float $(, const $C: $CT)*>($($arg: $type),*) $(-> $ret)? { body::<$T, $T::Avx512 $(, $C)*>($($arg),*) }
            #[cfg(target_arch = "x86_64")]
            match $crate::simd::level() {
                // SAFETY: `level` says that the processor has these features.
                2.. => return unsafe { avx512::<$T $(, $C)*>($($arg),*) },
                // SAFETY: as above.
                1 => return unsafe { avx2::<$T $(, $C)*>($($arg),*) },
                _ => {}
            }
            #[cfg(target_arch = "aarch64")]
            if $crate::simd::level() > 0 {
                return body::<$T, $T::Neon $(, $C)*>($($arg),*);
            }
            body::<$T, $T::Portable $(, $C)*>($($arg),*)
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    crate::levels! {
        fn axpy<T, V>(a: T, x: &[T], y: &mut [T]) {
            let n = x.len().min(y.len());
            let mut i = 0;
            while i < n {
                let left = n - i;
                // SAFETY: `i + min(N, left)` elements lie inside both slices.
                unsafe {
                    let (p, q) = (x.as_ptr().add(i), y.as_mut_ptr().add(i));
                    if left >= V::N {
                        V::splat(a).fma(V::load(p), V::load(q)).store(q);
                    } else {
                        V::splat(a).fma(V::load_first(p, left), V::load_first(q, left)).store_first(q, left);
                    }
                }
                i += V::N;
            }
        }
    }

    fn same_on_all_levels<T: Float>() {
        let x: Vec<T> = (0..61).map(|i| T::of(0.1 + f64::from(i) / 7.0)).collect();
        let run = |level| {
            set_level(level);
            let mut y: Vec<T> = x.iter().map(|&v| v * v).collect();
            axpy(T::of(1.0 / 3.0), &x, &mut y);
            set_level(2);
            y
        };
        let want = run(0);
        assert!(run(1) == want && run(2) == want);
    }

    crate::levels! {
        fn turned<T, V>(x: &[T], pitch: usize, columns: usize) -> Vec<T> {
            let mut y = vec![T::ZERO; 16 * columns];
            for i in (0..16).step_by(V::N) {
                for j in (0..columns).step_by(V::N) {
                    let some = V::N.min(columns - j);
                    // SAFETY: 16 rows of at least `columns` elements, as many places of 16; the last column is written first.
                    unsafe {
                        let to = y.as_mut_ptr().add((columns - 1 - j) * 16 + i);
                        V::transpose(x.as_ptr().add(i * pitch + j), pitch, some, to, -16);
                    }
                }
            }
            y
        }
    }

    #[test]
    fn rows_become_columns_on_all_levels() {
        for (pitch, columns) in [(9, 9), (20, 16), (33, 33), (5, 1)] {
            let x: Vec<f32> = (0..16 * pitch).map(|i| i as f32).collect();
            for level in 0..3 {
                set_level(level);
                let y = turned(&x, pitch, columns);
                let want = |i: usize| x[i % 16 * pitch + columns - 1 - i / 16];
                assert!((0..y.len()).all(|i| y[i] == want(i)), "{level} {pitch} {columns}");
            }
            set_level(2);
        }
    }

    crate::levels! {
        fn spread_out<T, V>(x: &[T], y: &mut [T], span: usize, at: usize) {
            for i in (0..x.len().min(y.len()) / V::N * V::N).step_by(V::N) {
                // SAFETY: `i + N` elements lie inside both slices.
                unsafe {
                    let from = x.as_ptr().add(if span < V::N { i } else { i / span * span });
                    let value = if span < V::N { V::load(from).spread(span, at) } else { V::splat(*from.add(at)) };
                    value.store(y.as_mut_ptr().add(i));
                }
            }
        }
    }

    fn spreads<T: Float>() {
        let x: Vec<T> = (0..32).map(|i| T::of(f64::from(i))).collect();
        for (level, span) in [2, 4, 8].into_iter().flat_map(|span| (0..3).map(move |level| (level, span))) {
            for at in 0..span {
                set_level(level);
                let mut y = vec![T::ZERO; 32];
                spread_out(&x, &mut y, span, at);
                set_level(2);
                assert!((0..32).all(|i| y[i] == x[i / span * span + at]), "{level} {span} {at}");
            }
        }
    }

    #[test]
    fn one_element_of_a_span_goes_to_all_its_lanes() {
        spreads::<f32>();
        spreads::<f64>();
    }

    #[test]
    fn levels_agree_in_bits() {
        same_on_all_levels::<f32>();
        same_on_all_levels::<f64>();
    }
}
