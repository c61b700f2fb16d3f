//! AVX-512 vectors.

use std::arch::x86_64::*;

use super::pairs::{Halves, Pairs, Products};
use super::{Float, Vector};

/// 16 lanes of `f32`.
#[derive(Clone, Copy)]
pub struct F32x16(__m512);

impl Vector<f32> for F32x16 {
    const N: usize = 16;
    const TILE: (usize, usize) = (6, 4);
    #[inline(always)]
    fn nearest_bfloat16(self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_castsi512_ps(nearest(self.0)) })
    }
    #[inline(always)]
    fn splat(x: f32) -> Self {
        // SAFETY: only reached inside `levels!`, on a processor that has the instruction; so below.
        Self(unsafe { _mm512_set1_ps(x) })
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for the memory.
        Self(unsafe { _mm512_loadu_ps(from) })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller vouches for the memory.
        unsafe { _mm512_storeu_ps(to, self.0) }
    }
    #[inline(always)]
    unsafe fn stream(self, to: *mut f32) {
        // SAFETY: the caller vouches for the memory and its alignment.
        unsafe { _mm512_stream_ps(to, self.0) }
    }
    #[inline(always)]
    unsafe fn load_first(from: *const f32, n: usize) -> Self {
        // SAFETY: masked lanes are not touched; the caller vouches for the others.
        unsafe { Self(_mm512_maskz_loadu_ps(((1u32 << n) - 1) as __mmask16, from)) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, n: usize) {
        // SAFETY: masked lanes are not touched; the caller vouches for the others.
        unsafe { _mm512_mask_storeu_ps(to, ((1u32 << n) - 1) as __mmask16, self.0) }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_sub_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_mul_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn fma(self, factor: Self, addend: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_fmadd_ps(self.0, factor.0, addend.0) })
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_max_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn unless_below_zero(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_NLE_UQ>(other.0, _mm512_setzero_ps()), self.0) })
    }
    #[inline(always)]
    unsafe fn pick(from: *const f32, index: *const i32) -> Self {
        // SAFETY: the caller vouches for the memory.
        unsafe {
            let index = _mm512_loadu_si512(index.cast());
            Self(_mm512_permutex2var_ps(_mm512_loadu_ps(from), index, _mm512_loadu_ps(from.add(16))))
        }
    }
    #[inline(always)]
    unsafe fn pick_of_two(self, high: Self, index: *const i32) -> Self {
        // SAFETY: the caller vouches for the indices.
        unsafe { Self(_mm512_permutex2var_ps(self.0, _mm512_loadu_si512(index.cast()), high.0)) }
    }
    #[inline(always)]
    fn spread(self, span: usize, at: usize) -> Self {
        // SAFETY: see `splat`.
        unsafe {
            let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
            let index = _mm512_or_si512(_mm512_and_si512(lanes, _mm512_set1_epi32(-(span as i32))), _mm512_set1_epi32(at as i32));
            Self(_mm512_permutexvar_ps(index, self.0))
        }
    }
    #[inline(always)]
    fn fma_where(self, factor: Self, addend: Self, lanes: u32) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_mask3_fmadd_ps(self.0, factor.0, addend.0, lanes as __mmask16) })
    }
    #[inline(always)]
    unsafe fn transpose(from: *const f32, pitch: usize, columns: usize, to: *mut f32, step: isize) {
        if columns <= 8 {
            let mut rows = [zero(); 8];
            for (i, row) in rows.iter_mut().enumerate() {
                // SAFETY: the caller vouches for `columns` elements of each row; the processor has what this level needs.
                unsafe { *row = two_halves(from.add(i * pitch), from.add((i + 8) * pitch), columns) };
            }
            for (j, column) in turn_halves(rows).into_iter().enumerate().take(columns) {
                // SAFETY: the caller vouches for the places.
                unsafe { Self(column).store(to.offset(j as isize * step)) };
            }
            return;
        }
        let mut rows = [zero(); 16];
        for (i, row) in rows.iter_mut().enumerate() {
            // SAFETY: the caller vouches for `columns` elements of each row.
            unsafe {
                let from = from.add(i * pitch);
                *row = if columns < 16 { Self::load_first(from, columns).0 } else { Self::load(from).0 };
            }
        }
        for (j, column) in turn(rows).into_iter().enumerate().take(columns) {
            // SAFETY: the caller vouches for the places.
            unsafe { Self(column).store(to.offset(j as isize * step)) };
        }
    }
    #[inline(always)]
    unsafe fn transpose_some(from: *const f32, pitch: usize, rows: usize, to: *mut f32, step: isize) {
        let mut held = [zero(); 16];
        for (i, row) in held.iter_mut().enumerate().take(rows) {
            // SAFETY: the caller vouches for 16 elements of each row.
            *row = unsafe { Self::load(from.add(i * pitch)).0 };
        }
        if rows <= 8 {
            let mut some = [zero(); 8];
            some.copy_from_slice(&held[..8]);
            for (j, pixels) in turn_halves(some).into_iter().enumerate() {
                // SAFETY: the caller vouches for `rows` elements at each place; the processor has what this level needs.
                unsafe {
                    let mask = ((1u32 << rows) - 1) as __mmask8;
                    _mm256_mask_storeu_ps(to.offset(j as isize * step), mask, _mm512_castps512_ps256(pixels));
                    _mm256_mask_storeu_ps(to.offset((j as isize + 8) * step), mask, _mm512_extractf32x8_ps::<1>(pixels));
                }
            }
            return;
        }
        for (j, column) in turn(held).into_iter().enumerate() {
            // SAFETY: as above.
            unsafe { Self(column).store_first(to.offset(j as isize * step), rows) };
        }
    }
}

/// The first `n <= 8` elements at `low`, and behind 8 lanes those at `high`; zeros after them.
///
/// # Safety
/// They are readable, and the processor has AVX-512.
#[inline(always)]
unsafe fn two_halves(low: *const f32, high: *const f32, n: usize) -> __m512 {
    // SAFETY: as the caller says.
    unsafe {
        let mask = ((1u32 << n) - 1) as __mmask8;
        let (low, high) = (_mm256_maskz_loadu_ps(mask, low), _mm256_maskz_loadu_ps(mask, high));
        _mm512_insertf32x8::<1>(_mm512_castps256_ps512(low), high)
    }
}

/// Two squares of 8 side by side, each turned over: a bit more than a third of the work of one of 16.
#[inline(always)]
fn turn_halves(rows: [__m512; 8]) -> [__m512; 8] {
    let (mut pairs, mut fours, mut out) = (rows, rows, rows);
    // SAFETY: see `splat`.
    unsafe {
        for i in 0..4 {
            pairs[2 * i] = _mm512_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
            pairs[2 * i + 1] = _mm512_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
        }
        for i in 0..2 {
            for h in 0..2 {
                let (a, b) = (_mm512_castps_pd(pairs[4 * i + h]), _mm512_castps_pd(pairs[4 * i + 2 + h]));
                fours[4 * i + 2 * h] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
                fours[4 * i + 2 * h + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
            }
        }
        let (first, second) = (_mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13), _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15));
        for h in 0..4 {
            let (a, b) = (_mm512_castps_pd(fours[h]), _mm512_castps_pd(fours[4 + h]));
            out[h] = _mm512_castpd_ps(_mm512_permutex2var_pd(a, first, b));
            out[4 + h] = _mm512_castpd_ps(_mm512_permutex2var_pd(a, second, b));
        }
    }
    out
}

/// The nearest bfloat16 of each element, in the upper halves of its bits; see [`super::pairs::nearest`].
#[inline(always)]
fn nearest(x: __m512) -> __m512i {
    // SAFETY: see `splat`.
    unsafe {
        let bits = _mm512_castps_si512(x);
        let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
        let up = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
        let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x);
        let chosen = _mm512_mask_or_epi32(up, nan, bits, _mm512_set1_epi32(0x0040_0000));
        _mm512_and_si512(chosen, _mm512_set1_epi32(0xffff_0000_u32 as i32))
    }
}

impl Halves for F32x16 {
    #[inline(always)]
    fn first(self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_castps_si512(self.0))) })
    }
    #[inline(always)]
    fn second(self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_and_ps(self.0, _mm512_castsi512_ps(_mm512_set1_epi32(0xffff_0000_u32 as i32))) })
    }
    #[inline(always)]
    fn joined(self, second: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_castsi512_ps(_mm512_or_si512(_mm512_srli_epi32::<16>(nearest(self.0)), nearest(second.0))) })
    }
}

/// Pairs of bfloat16 by the processor's instructions.
#[derive(Debug)]
pub struct Instruction;

impl Products<f32, F32x16> for Instruction {
    const ROUNDS: bool = true;
    #[inline(always)]
    unsafe fn step<const M: usize, const R: usize>(sums: &mut [[F32x16; R]; M], x: [*const f32; M], at: usize, w: *const f32) {
        let mut weights = [zero(); R];
        // SAFETY: as the caller says; only reached inside `pair_levels!`, on a processor that has the instruction.
        unsafe {
            for j in 0..R {
                weights[j] = _mm512_loadu_ps(w.add(j * 16));
            }
            for i in 0..M {
                let value = pairs(_mm512_set1_ps(*x[i].add(at)));
                for j in 0..R {
                    sums[i][j] = F32x16(_mm512_dpbf16_ps(sums[i][j].0, value, pairs(weights[j])));
                }
            }
        }
    }
}

impl Pairs<F32x16> for Instruction {
    #[inline(always)]
    fn joined(first: F32x16, second: F32x16) -> F32x16 {
        // The first numbers, then the second ones: they change places by turns.
        const TURNS: [i16; 32] = {
            let mut turns = [0; 32];
            let mut i = 0;
            while i < 32 {
                turns[i] = (i / 2 + i % 2 * 16) as i16;
                i += 1;
            }
            turns
        };
        // SAFETY: as in `step`; the table has a vector's places.
        unsafe {
            let turns = _mm512_loadu_si512(TURNS.as_ptr().cast());
            let rounded = elements(_mm512_cvtne2ps_pbh(second.0, first.0));
            F32x16(_mm512_castsi512_ps(_mm512_permutexvar_epi16(turns, rounded)))
        }
    }

    #[inline(always)]
    unsafe fn neighbours(from: *const f32, left: usize) -> F32x16 {
        // SAFETY: as in `step`, and the caller vouches for the memory.
        unsafe {
            let (low, high) = if left >= 32 {
                (_mm512_loadu_ps(from), _mm512_loadu_ps(from.add(16)))
            } else if left > 16 {
                (_mm512_loadu_ps(from), F32x16::load_first(from.add(16), left - 16).0)
            } else {
                (F32x16::load_first(from, left).0, zero())
            };
            F32x16(_mm512_castsi512_ps(elements(_mm512_cvtne2ps_pbh(high, low))))
        }
    }
}

/// A vector's bits as pairs.
#[inline(always)]
fn pairs(x: __m512) -> __m512bh {
    // SAFETY: both are 512 bits without a meaning of their own.
    unsafe { std::mem::transmute(x) }
}

/// Pairs as bits.
#[inline(always)]
fn elements(x: __m512bh) -> __m512i {
    // SAFETY: both are 512 bits without a meaning of their own.
    unsafe { std::mem::transmute(x) }
}

#[inline(always)]
fn zero() -> __m512 {
    // SAFETY: see `splat`.
    unsafe { _mm512_setzero_ps() }
}

/// The columns of a square of 16 rows: pairs of rows, then of pairs, then quarters of vectors change places.
#[inline(always)]
fn turn(rows: [__m512; 16]) -> [__m512; 16] {
    let (mut pairs, mut fours, mut eights, mut out) = (rows, rows, rows, rows);
    // SAFETY: see `splat`.
    unsafe {
        for i in 0..8 {
            pairs[2 * i] = _mm512_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
            pairs[2 * i + 1] = _mm512_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
        }
        for i in 0..4 {
            for h in 0..2 {
                let (a, b) = (_mm512_castps_pd(pairs[4 * i + h]), _mm512_castps_pd(pairs[4 * i + 2 + h]));
                fours[4 * i + 2 * h] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
                fours[4 * i + 2 * h + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
            }
        }
        for i in 0..2 {
            for h in 0..4 {
                let (a, b) = (fours[8 * i + h], fours[8 * i + 4 + h]);
                eights[8 * i + h] = _mm512_shuffle_f32x4::<0x88>(a, b);
                eights[8 * i + 4 + h] = _mm512_shuffle_f32x4::<0xdd>(a, b);
            }
        }
        for h in 0..8 {
            out[h] = _mm512_shuffle_f32x4::<0x88>(eights[h], eights[8 + h]);
            out[8 + h] = _mm512_shuffle_f32x4::<0xdd>(eights[h], eights[8 + h]);
        }
    }
    out
}

/// 8 lanes of `f64`.
#[derive(Clone, Copy)]
pub struct F64x8(__m512d);

impl Vector<f64> for F64x8 {
    const N: usize = 8;
    const TILE: (usize, usize) = (6, 4);
    #[inline(always)]
    fn nearest_bfloat16(self) -> Self {
        let mut lanes = [0.0; 8];
        // SAFETY: eight lanes are eight elements.
        unsafe {
            self.store(lanes.as_mut_ptr());
            lanes.iter_mut().for_each(|x| *x = x.nearest_bfloat16());
            Self::load(lanes.as_ptr())
        }
    }
    #[inline(always)]
    fn splat(x: f64) -> Self {
        // SAFETY: only reached inside `levels!`, on a processor that has the instruction; so below.
        Self(unsafe { _mm512_set1_pd(x) })
    }
    #[inline(always)]
    unsafe fn load(from: *const f64) -> Self {
        // SAFETY: the caller vouches for the memory.
        Self(unsafe { _mm512_loadu_pd(from) })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f64) {
        // SAFETY: the caller vouches for the memory.
        unsafe { _mm512_storeu_pd(to, self.0) }
    }
    #[inline(always)]
    unsafe fn stream(self, to: *mut f64) {
        // SAFETY: the caller vouches for the memory and its alignment.
        unsafe { _mm512_stream_pd(to, self.0) }
    }
    #[inline(always)]
    unsafe fn load_first(from: *const f64, n: usize) -> Self {
        // SAFETY: masked lanes are not touched; the caller vouches for the others.
        unsafe { Self(_mm512_maskz_loadu_pd(((1u32 << n) - 1) as __mmask8, from)) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f64, n: usize) {
        // SAFETY: masked lanes are not touched; the caller vouches for the others.
        unsafe { _mm512_mask_storeu_pd(to, ((1u32 << n) - 1) as __mmask8, self.0) }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_add_pd(self.0, other.0) })
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_sub_pd(self.0, other.0) })
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_mul_pd(self.0, other.0) })
    }
    #[inline(always)]
    fn fma(self, factor: Self, addend: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_fmadd_pd(self.0, factor.0, addend.0) })
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_max_pd(self.0, other.0) })
    }
    #[inline(always)]
    fn unless_below_zero(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_maskz_mov_pd(_mm512_cmp_pd_mask::<_CMP_NLE_UQ>(other.0, _mm512_setzero_pd()), self.0) })
    }
    #[inline(always)]
    unsafe fn pick(from: *const f64, index: *const i32) -> Self {
        // SAFETY: the caller vouches for the memory.
        unsafe {
            let index = _mm512_cvtepi32_epi64(_mm256_loadu_si256(index.cast()));
            Self(_mm512_permutex2var_pd(_mm512_loadu_pd(from), index, _mm512_loadu_pd(from.add(8))))
        }
    }
    #[inline(always)]
    unsafe fn pick_of_two(self, high: Self, index: *const i32) -> Self {
        // SAFETY: the caller vouches for the indices.
        unsafe { Self(_mm512_permutex2var_pd(self.0, _mm512_cvtepi32_epi64(_mm256_loadu_si256(index.cast())), high.0)) }
    }
    #[inline(always)]
    fn spread(self, span: usize, at: usize) -> Self {
        // SAFETY: see `splat`.
        unsafe {
            let lanes = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
            let index = _mm512_or_si512(_mm512_and_si512(lanes, _mm512_set1_epi64(-(span as i64))), _mm512_set1_epi64(at as i64));
            Self(_mm512_permutexvar_pd(index, self.0))
        }
    }
    #[inline(always)]
    fn fma_where(self, factor: Self, addend: Self, lanes: u32) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_mask3_fmadd_pd(self.0, factor.0, addend.0, lanes as __mmask8) })
    }
}
