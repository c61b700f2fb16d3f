//! AVX2 + FMA vectors.

use std::arch::x86_64::*;

use super::pairs::Halves;
use super::{Float, Vector};

static FIRST_PS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
static FIRST_PD: [i64; 8] = [-1, -1, -1, -1, 0, 0, 0, 0];

/// A mask of the first `n <= 8` lanes.
#[inline(always)]
fn first_ps(n: usize) -> __m256i {
    debug_assert!(n <= 8);
    // SAFETY: eight entries from `8 - n` on lie inside the table.
    unsafe { _mm256_loadu_si256(FIRST_PS.as_ptr().add(8 - n).cast()) }
}

/// A mask of the first `n <= 4` lanes.
#[inline(always)]
fn first_pd(n: usize) -> __m256i {
    debug_assert!(n <= 4);
    // SAFETY: four entries from `4 - n` on lie inside the table.
    unsafe { _mm256_loadu_si256(FIRST_PD.as_ptr().add(4 - n).cast()) }
}

/// 8 lanes of `f32`.
#[derive(Clone, Copy)]
pub struct F32x8(__m256);

impl Vector<f32> for F32x8 {
    const N: usize = 8;
    const TILE: (usize, usize) = (6, 2);
    #[inline(always)]
    fn nearest_bfloat16(self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm256_castsi256_ps(nearest(self.0)) })
    }
    #[inline(always)]
    fn splat(x: f32) -> Self {
        // SAFETY: only reached inside `levels!`, on a processor that has the instruction; so below.
        Self(unsafe { _mm256_set1_ps(x) })
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for the memory.
        Self(unsafe { _mm256_loadu_ps(from) })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller vouches for the memory.
        unsafe { _mm256_storeu_ps(to, self.0) }
    }
    #[inline(always)]
    unsafe fn stream(self, to: *mut f32) {
        // SAFETY: the caller vouches for the memory and its alignment.
        unsafe { _mm256_stream_ps(to, self.0) }
    }
    #[inline(always)]
    unsafe fn load_first(from: *const f32, n: usize) -> Self {
        // SAFETY: masked lanes are not touched; the caller vouches for the others.
        unsafe { Self(_mm256_maskload_ps(from, first_ps(n))) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, n: usize) {
        // SAFETY: masked lanes are not touched; the caller vouches for the others.
        unsafe { _mm256_maskstore_ps(to, first_ps(n), self.0) }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm256_add_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm256_sub_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm256_mul_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn fma(self, factor: Self, addend: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm256_fmadd_ps(self.0, factor.0, addend.0) })
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm256_max_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn unless_below_zero(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm256_and_ps(_mm256_cmp_ps::<_CMP_NLE_UQ>(other.0, _mm256_setzero_ps()), self.0) })
    }
    #[inline(always)]
    unsafe fn pick(from: *const f32, index: *const i32) -> Self {
        // SAFETY: the caller vouches for the memory.
        unsafe {
            let index = _mm256_loadu_si256(index.cast());
            let low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(from), index);
            let high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(from.add(8)), index);
            Self(_mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32::<28>(index))))
        }
    }
    #[inline(always)]
    unsafe fn pick_of_two(self, high: Self, index: *const i32) -> Self {
        // SAFETY: the caller vouches for the indices.
        unsafe {
            let index = _mm256_loadu_si256(index.cast());
            let (low, high) = (_mm256_permutevar8x32_ps(self.0, index), _mm256_permutevar8x32_ps(high.0, index));
            Self(_mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32::<28>(index))))
        }
    }
    #[inline(always)]
    fn spread(self, span: usize, at: usize) -> Self {
        // SAFETY: see `splat`.
        unsafe {
            let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            let index = _mm256_or_si256(_mm256_and_si256(lanes, _mm256_set1_epi32(-(span as i32))), _mm256_set1_epi32(at as i32));
            Self(_mm256_permutevar8x32_ps(self.0, index))
        }
    }
    #[inline(always)]
    fn fma_where(self, factor: Self, addend: Self, lanes: u32) -> Self {
        // SAFETY: see `splat`.
        unsafe {
            let bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
            let on = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(lanes as i32), bits), bits);
            Self(_mm256_blendv_ps(addend.0, self.fma(factor, addend).0, _mm256_castsi256_ps(on)))
        }
    }
    #[inline(always)]
    unsafe fn transpose(from: *const f32, pitch: usize, columns: usize, to: *mut f32, step: isize) {
        let mut rows = [Self::splat(0.0).0; 8];
        for (i, row) in rows.iter_mut().enumerate() {
            // SAFETY: the caller vouches for `columns` elements of each row.
            unsafe {
                let from = from.add(i * pitch);
                *row = if columns < 8 { Self::load_first(from, columns).0 } else { Self::load(from).0 };
            }
        }
        for (j, column) in turn(rows).into_iter().enumerate().take(columns) {
            // SAFETY: the caller vouches for the places.
            unsafe { Self(column).store(to.offset(j as isize * step)) };
        }
    }
}

/// The nearest bfloat16 of each element, in the upper halves of its bits; see [`super::pairs::nearest`].
#[inline(always)]
fn nearest(x: __m256) -> __m256i {
    // SAFETY: see `splat`.
    unsafe {
        let bits = _mm256_castps_si256(x);
        let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
        let up = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
        let quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x0040_0000));
        let nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(x, x));
        _mm256_and_si256(_mm256_blendv_epi8(up, quiet, nan), _mm256_set1_epi32(0xffff_0000_u32 as i32))
    }
}

impl Halves for F32x8 {
    #[inline(always)]
    fn first(self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_castps_si256(self.0))) })
    }
    #[inline(always)]
    fn second(self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm256_and_ps(self.0, _mm256_castsi256_ps(_mm256_set1_epi32(0xffff_0000_u32 as i32))) })
    }
    #[inline(always)]
    fn joined(self, second: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm256_castsi256_ps(_mm256_or_si256(_mm256_srli_epi32::<16>(nearest(self.0)), nearest(second.0))) })
    }
}

/// The columns of a square of 8 rows: pairs of rows, then of pairs, then halves of vectors change places.
#[inline(always)]
fn turn(rows: [__m256; 8]) -> [__m256; 8] {
    let (mut pairs, mut fours, mut out) = (rows, rows, rows);
    // SAFETY: see `splat`.
    unsafe {
        for i in 0..4 {
            pairs[2 * i] = _mm256_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
            pairs[2 * i + 1] = _mm256_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
        }
        for i in 0..2 {
            for h in 0..2 {
                let (a, b) = (_mm256_castps_pd(pairs[4 * i + h]), _mm256_castps_pd(pairs[4 * i + 2 + h]));
                fours[4 * i + 2 * h] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
                fours[4 * i + 2 * h + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
            }
        }
        for h in 0..4 {
            out[h] = _mm256_permute2f128_ps::<0x20>(fours[h], fours[4 + h]);
            out[4 + h] = _mm256_permute2f128_ps::<0x31>(fours[h], fours[4 + h]);
        }
    }
    out
}

/// 4 lanes of `f64`.
#[derive(Clone, Copy)]
pub struct F64x4(__m256d);

impl Vector<f64> for F64x4 {
    const N: usize = 4;
    const TILE: (usize, usize) = (6, 2);
    #[inline(always)]
    fn nearest_bfloat16(self) -> Self {
        let mut lanes = [0.0; 4];
        // SAFETY: four lanes are four elements.
        unsafe {
            self.store(lanes.as_mut_ptr());
            lanes.iter_mut().for_each(|x| *x = x.nearest_bfloat16());
            Self::load(lanes.as_ptr())
        }
    }
    #[inline(always)]
    fn splat(x: f64) -> Self {
        // SAFETY: only reached inside `levels!`, on a processor that has the instruction; so below.
        Self(unsafe { _mm256_set1_pd(x) })
    }
    #[inline(always)]
    unsafe fn load(from: *const f64) -> Self {
        // SAFETY: the caller vouches for the memory.
        Self(unsafe { _mm256_loadu_pd(from) })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f64) {
        // SAFETY: the caller vouches for the memory.
        unsafe { _mm256_storeu_pd(to, self.0) }
    }
    #[inline(always)]
    unsafe fn stream(self, to: *mut f64) {
        // SAFETY: the caller vouches for the memory and its alignment.
        unsafe { _mm256_stream_pd(to, self.0) }
    }
    #[inline(always)]
    unsafe fn load_first(from: *const f64, n: usize) -> Self {
        // SAFETY: masked lanes are not touched; the caller vouches for the others.
        unsafe { Self(_mm256_maskload_pd(from, first_pd(n))) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f64, n: usize) {
        // SAFETY: masked lanes are not touched; the caller vouches for the others.
        unsafe { _mm256_maskstore_pd(to, first_pd(n), self.0) }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm256_add_pd(self.0, other.0) })
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm256_sub_pd(self.0, other.0) })
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm256_mul_pd(self.0, other.0) })
    }
    #[inline(always)]
    fn fma(self, factor: Self, addend: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm256_fmadd_pd(self.0, factor.0, addend.0) })
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm256_max_pd(self.0, other.0) })
    }
    #[inline(always)]
    fn unless_below_zero(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm256_and_pd(_mm256_cmp_pd::<_CMP_NLE_UQ>(other.0, _mm256_setzero_pd()), self.0) })
    }
    #[inline(always)]
    unsafe fn pick(from: *const f64, index: *const i32) -> Self {
        // SAFETY: the caller vouches for the memory.
        unsafe {
            let lane = |l: usize| from.add(index.add(l).read() as usize).read();
            Self(_mm256_setr_pd(lane(0), lane(1), lane(2), lane(3)))
        }
    }
    #[inline(always)]
    fn spread(self, span: usize, at: usize) -> Self {
        // SAFETY: see `splat`.
        unsafe {
            // Halves of elements: each is two indices.
            let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            let (whole, half) = (_mm256_set1_epi32(-2 * (span as i32)), _mm256_and_si256(lanes, _mm256_set1_epi32(1)));
            let first = _mm256_or_si256(_mm256_and_si256(lanes, whole), _mm256_set1_epi32(2 * at as i32));
            let index = _mm256_or_si256(first, half);
            Self(_mm256_castps_pd(_mm256_permutevar8x32_ps(_mm256_castpd_ps(self.0), index)))
        }
    }
    #[inline(always)]
    fn fma_where(self, factor: Self, addend: Self, lanes: u32) -> Self {
        // SAFETY: see `splat`.
        unsafe {
            let bits = _mm256_setr_epi64x(1, 2, 4, 8);
            let on = _mm256_cmpeq_epi64(_mm256_and_si256(_mm256_set1_epi64x(i64::from(lanes)), bits), bits);
            Self(_mm256_blendv_pd(addend.0, self.fma(factor, addend).0, _mm256_castsi256_pd(on)))
        }
    }
}
