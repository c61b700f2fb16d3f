//! Rows of [`pooling`](crate::pooling): maxima of wide pixels, of planes and of few channels.

use crate::levels;
use crate::pooling::{BLOCK, Kind, Place, Shape};
use crate::simd::{Float, Number};

/// The maximum over a window of [`BLOCK`] lanes; `at(k, l)` begins with the lanes of tap (k, l).
#[inline(always)]
fn block<'a, T: Float>(s: &Shape<'_>, i: usize, j: usize, at: impl Fn(usize, usize) -> &'a [T]) -> [T; BLOCK] {
    let (rows, cols) = (s.rows.at(i).1, s.cols.at(j).1);
    let mut best = [T::LOWEST; BLOCK];
    for k in 0..rows {
        for l in 0..cols {
            let v = &at(k, l)[..BLOCK];
            for n in 0..BLOCK {
                best[n] = if v[n] > best[n] || v[n].is_nan() { v[n] } else { best[n] };
            }
        }
    }
    best
}

/// Where elements `v` are larger, or NaN, takes them and their number. A loop over memory: in registers it would not be vectorised.
#[inline(always)]
fn compare<T: Float>(best: &mut [T], code: &mut [i32], v: &[T], number: i32) {
    let n = best.len();
    let (code, v) = (&mut code[..n], &v[..n]);
    for i in 0..n {
        // All are loaded before they are chosen from: a choice of addresses would not be vectorised.
        let (a, b, c) = (best[i], v[i], code[i]);
        let better = (b > a) | b.is_nan();
        best[i] = if better { b } else { a };
        code[i] = if better { number } else { c };
    }
}

/// The maximum over a window of a run of elements, with its numbers; `at(k, l)` begins with the elements of tap (k, l).
#[inline(always)]
fn run<'a, K: Kind>(best: &mut [K::T], code: &mut [i32], s: &Shape<'_>, (i, j): (usize, usize), at: impl Fn(usize, usize) -> &'a [K::T]) {
    best.fill(K::T::LOWEST);
    code.fill(s.code::<K::P>(i, j, 0, 0));
    for k in 0..s.rows.at(i).1 {
        for l in 0..s.cols.at(j).1 {
            compare(best, code, at(k, l), s.code::<K::P>(i, j, k, l));
        }
    }
}

/// The same for one element.
#[inline(always)]
fn single<K: Kind>(x: &[K::T], s: &Shape<'_>, i: usize, j: usize, c: usize) -> (K::T, i32) {
    let ((top, rows), (left, cols)) = (s.rows.at(i), s.cols.at(j));
    let (mut best, mut code) = (K::T::LOWEST, s.code::<K::P>(i, j, 0, 0));
    for k in 0..rows {
        for l in 0..cols {
            let value = x[((top + k * s.rows.step) * s.w + left + l * s.cols.step) * s.inner + c];
            if value > best || value.is_nan() {
                (best, code) = (value, s.code::<K::P>(i, j, k, l));
            }
        }
    }
    (best, code)
}

levels! {
    /// One output row of channels `channels.0 ..` of wide pixels; `y` and `place` hold `channels.1` of each pixel.
    pub(crate) fn wide_row<K: Kind>(y: &mut [K::T], place: &mut [K::P], x: &[K::T], s: &Shape<'_>, i: usize, channels: (usize, usize), codes: &mut Vec<i32>) {
        let (top, (c0, channels)) = (s.rows.at(i).0, channels);
        codes.resize(if K::P::KEPT { channels } else { 0 }, 0);
        for j in 0..s.cols.len() {
            let left = s.cols.at(j).0;
            let at = |k: usize, l: usize| &x[((top + k * s.rows.step) * s.w + left + l * s.cols.step) * s.inner + c0..];
            if K::P::KEPT {
                run::<K>(&mut y[j * channels..(j + 1) * channels], codes, s, (i, j), at);
                for (place, &code) in place[j * channels..(j + 1) * channels].iter_mut().zip(codes.iter()) {
                    *place = K::P::of(code);
                }
                continue;
            }
            let mut c = 0;
            while c < channels {
                // As in `blocks`, for channels.
                c = c.min(channels - BLOCK);
                y[j * channels + c..][..BLOCK].copy_from_slice(&block(s, i, j, |k, l| &at(k, l)[c..]));
                c += BLOCK;
            }
        }
    }
}

levels! {
    /// Even elements to `even`, odd ones to `odd`.
    fn split<T, V>(even: &mut [T], odd: &mut [T], x: &[T]) {
        let index: [i32; 64] = std::array::from_fn(|n| ((n % V::N) * 2 + n / V::N) as i32);
        let mut p = 0;
        while (p + V::N) * 2 <= x.len() && p + V::N <= odd.len() {
            // SAFETY: `2 N` elements of x from `2 p` on, `N` of each half from `p` on; indices are below `2 N`.
            unsafe {
                V::pick(x.as_ptr().add(2 * p), index.as_ptr()).store(even.as_mut_ptr().add(p));
                V::pick(x.as_ptr().add(2 * p), index.as_ptr().add(V::N)).store(odd.as_mut_ptr().add(p));
            }
            p += V::N;
        }
        x[2 * p..].iter().step_by(2).zip(&mut even[p..]).for_each(|(&x, e)| *e = x);
        x[2 * p..].iter().skip(1).step_by(2).zip(&mut odd[p..]).for_each(|(&x, o)| *o = x);
    }
}

/// Outputs of a row that are compared together: the first, how many, and how far apart they start: 0 for one by itself.
#[derive(Clone, Copy)]
struct Part {
    from: usize,
    len: usize,
    stride: usize,
}

levels! {
    /// One output row of a plane, or of few channels; `halves` holds two rows of half the width for every row tap.
    fn thin_row<K: Kind>(y: &mut [K::T], place: &mut [K::P], x: &[K::T], s: &Shape<'_>, i: usize, parts: &[Part], halves: &[K::T], codes: &mut Vec<i32>) {
        let (top, half) = (s.rows.at(i).0, s.w.div_ceil(2));
        codes.resize(if K::P::KEPT { s.cols.len() } else { 0 }, 0);
        for &Part { from, len, stride } in parts {
            let left = s.cols.at(from).0;
            if stride == 0 {
                for c in 0..s.inner {
                    let (best, code) = single::<K>(x, s, i, from, c);
                    (y[from * s.inner + c], place[from * s.inner + c]) = (best, K::P::of(code));
                }
                continue;
            }
            let at = |k: usize, l: usize| {
                let column = left + l * s.cols.step;
                if stride == 1 { &x[(top + k * s.rows.step) * s.w + column..] } else { &halves[(2 * k + column % 2) * half + column / 2..] }
            };
            if K::P::KEPT {
                let codes = &mut codes[..len];
                run::<K>(&mut y[from..from + len], codes, s, (i, from), at);
                let apart = if K::P::TAP { 0 } else { stride as i32 };
                for (n, (place, &code)) in place[from..from + len].iter_mut().zip(codes.iter()).enumerate() {
                    *place = K::P::of(code + apart * n as i32);
                }
            } else {
                y[from..from + BLOCK].copy_from_slice(&block(s, i, from, at));
            }
        }
    }
}

/// Memory that rows share.
pub(crate) struct Scratch<T> {
    halves: Vec<T>,
    pub codes: Vec<i32>,
}

impl<T> Default for Scratch<T> {
    fn default() -> Self {
        Self { halves: Vec::new(), codes: Vec::new() }
    }
}

/// What rows of single elements need: made once a call.
pub(crate) struct Thin {
    parts: Vec<Part>,
    halves: bool,
}

impl Thin {
    /// For a place of type `P`: runs of any length where places are kept, blocks otherwise.
    pub(crate) fn new<P: Place>(s: &Shape<'_>) -> Self {
        let parts: Vec<Part> = if s.inner > 1 {
            (0..s.cols.len()).map(|from| Part { from, len: 1, stride: 0 }).collect()
        } else if P::KEPT {
            s.cols.runs().into_iter().map(|(from, len, stride)| Part { from, len, stride }).collect()
        } else {
            s.cols.blocks().into_iter().map(|(from, stride)| Part { from, len: if stride == 0 { 1 } else { BLOCK }, stride }).collect()
        };
        let halves = parts.iter().any(|part| part.stride == 2);
        Self { parts, halves }
    }

    /// One output row; `scratch` grows to what it needs.
    pub(crate) fn row<K: Kind>(
        &self,
        y: &mut [K::T],
        place: &mut [K::P],
        x: &[K::T],
        s: &Shape<'_>,
        i: usize,
        scratch: &mut Scratch<K::T>,
    ) {
        let (top, count) = s.rows.at(i);
        let half = s.w.div_ceil(2);
        if self.halves {
            // Lanes of the last block may lie behind the last column's half.
            scratch.halves.resize(2 * count * half + BLOCK, K::T::ZERO);
            for k in 0..count {
                let (even, odd) = scratch.halves[2 * k * half..2 * (k + 1) * half].split_at_mut(half);
                let row = (top + k * s.rows.step) * s.w;
                split(even, odd, &x[row..row + s.w]);
            }
        }
        thin_row::<K>(y, place, x, s, i, &self.parts, &scratch.halves, &mut scratch.codes);
    }
}
