//! AVX-512 vectors.

use std::arch::x86_64::*;

use super::Vector;

/// 16 lanes of `f32`.
#[derive(Clone, Copy)]
pub struct F32x16(__m512);

impl Vector<f32> for F32x16 {
    const N: usize = 16;
    const TILE: (usize, usize) = (6, 4);
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
    unsafe fn pick(from: *const f32, index: *const i32) -> Self {
        // SAFETY: the caller vouches for the memory.
        unsafe {
            let index = _mm512_loadu_si512(index.cast());
            Self(_mm512_permutex2var_ps(_mm512_loadu_ps(from), index, _mm512_loadu_ps(from.add(16))))
        }
    }
    #[inline(always)]
    fn fma_where(self, factor: Self, addend: Self, lanes: u32) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_mask3_fmadd_ps(self.0, factor.0, addend.0, lanes as __mmask16) })
    }
}

/// 8 lanes of `f64`.
#[derive(Clone, Copy)]
pub struct F64x8(__m512d);

impl Vector<f64> for F64x8 {
    const N: usize = 8;
    const TILE: (usize, usize) = (6, 4);
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
    unsafe fn pick(from: *const f64, index: *const i32) -> Self {
        // SAFETY: the caller vouches for the memory.
        unsafe {
            let index = _mm512_cvtepi32_epi64(_mm256_loadu_si256(index.cast()));
            Self(_mm512_permutex2var_pd(_mm512_loadu_pd(from), index, _mm512_loadu_pd(from.add(8))))
        }
    }
    #[inline(always)]
    fn fma_where(self, factor: Self, addend: Self, lanes: u32) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_mask3_fmadd_pd(self.0, factor.0, addend.0, lanes as __mmask8) })
    }
}
