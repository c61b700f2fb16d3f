//! Max pooling.
//!
//! Each axis has a table of windows: `table[2 * i]` is the first pixel of output `i`'s window, `table[2 * i + 1]` the number
//! of its taps, `step` pixels apart. Windows only hold pixels of the map; ordinary, padded and adaptive pooling differ in
//! nothing else. Of equal values the first is taken, of NaNs the last, as in PyTorch.

use crate::error::{Result, expect_len};
use crate::simd::{Float, Number};
use crate::threads::{Shared, parallel};
use crate::{ensure_shape, levels};

/// Channels, or columns, that are compared at once.
pub(crate) const BLOCK: usize = 16;
/// From more taps on rows and columns are pooled one after the other.
const SEPARATE: usize = 9;
/// Output elements of one task.
const TASK: usize = 1 << 14;

/// The windows of one axis.
#[derive(Clone, Copy)]
pub(crate) struct Windows<'a> {
    pub table: &'a [i64],
    /// Distance between taps.
    pub step: usize,
    /// The most taps a window has.
    pub taps: usize,
}

impl<'a> Windows<'a> {
    pub(crate) fn new(what: &str, table: &'a [i64], n: usize, m: usize, taps: usize, step: usize) -> Result<Self> {
        expect_len(what, table.len(), &[m, 2])?;
        ensure_shape!(taps >= 1, "{what}: expected at least one tap, got none");
        ensure_shape!(step >= 1 && step <= n.max(1) << 20, "{what}: expected steps of at least 1, got {step}");
        let fits = |w: &[i64]| {
            let reach = (w[1] - 1).checked_mul(step as i64).and_then(|r| r.checked_add(w[0]));
            w[1] == 0 || (w[0] >= 0 && w[1] > 0 && w[1] as usize <= taps && reach.is_some_and(|r| r < n as i64))
        };
        ensure_shape!(table.chunks_exact(2).all(fits), "{what}: expected windows of at most {taps} taps inside {n} pixels");
        Ok(Self { table, step, taps })
    }

    #[inline(always)]
    pub(crate) fn at(&self, i: usize) -> (usize, usize) {
        (self.table[2 * i] as usize, self.table[2 * i + 1] as usize)
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len() / 2
    }

    /// Blocks of outputs, each with its stride: 1 or 2 where all have equally many taps and start so far apart, else 0 and one
    /// output.
    fn blocks(&self) -> Vec<(usize, usize)> {
        let m = self.len();
        let even = |j: usize, stride: usize| (1..BLOCK).all(|l| self.at(j + l) == (self.at(j).0 + l * stride, self.at(j).1));
        let stride = |j: usize| if j + BLOCK <= m { (1..=2).find(|&s| even(j, s)).unwrap_or(0) } else { 0 };
        let (mut blocks, mut j) = (Vec::new(), 0);
        while j < m {
            // Towards the end a block may begin earlier: it finds the same maxima again.
            let from = (j.saturating_sub(BLOCK - 1)..=j).rev().find(|&from| stride(from) > 0);
            match from {
                Some(from) if from == j || m - j < BLOCK => {
                    blocks.push((from, stride(from)));
                    j = from + BLOCK;
                }
                _ => {
                    blocks.push((j, 0));
                    j += 1;
                }
            }
        }
        blocks
    }
}

/// How the place of a maximum is written down: a byte that counts taps, an int64 that counts pixels.
pub trait Place: Copy + Send + Sync {
    /// Whether places are wanted at all.
    const KEPT: bool;
    /// Whether it is the tap's number in the window rather than the pixel's in the map.
    const TAP: bool;
    /// From the number.
    fn of(code: i32) -> Self;
}

impl Place for () {
    const KEPT: bool = false;
    const TAP: bool = true;
    fn of(_: i32) -> Self {}
}

impl Place for u8 {
    const KEPT: bool = true;
    const TAP: bool = true;
    #[inline(always)]
    fn of(code: i32) -> Self {
        code as Self
    }
}

impl Place for i32 {
    const KEPT: bool = true;
    const TAP: bool = false;
    #[inline(always)]
    fn of(code: i32) -> Self {
        code
    }
}

impl Place for i64 {
    const KEPT: bool = true;
    const TAP: bool = false;
    #[inline(always)]
    fn of(code: i32) -> Self {
        Self::from(code)
    }
}

/// The element and the place type of one instance.
pub(crate) trait Kind {
    type T: Float;
    type P: Place;
}

pub(crate) struct Of<T, P>(std::marker::PhantomData<(T, P)>);

impl<T: Float, P: Place> Kind for Of<T, P> {
    type T = T;
    type P = P;
}

/// Sizes of a map and its windows.
#[derive(Clone, Copy)]
pub(crate) struct Shape<'a> {
    pub rows: Windows<'a>,
    pub cols: Windows<'a>,
    pub h: usize,
    pub w: usize,
    pub inner: usize,
}

impl Shape<'_> {
    /// The number of tap (k, l) of output (i, j): in the window, or in the map.
    #[inline(always)]
    fn code<P: Place>(&self, i: usize, j: usize, k: usize, l: usize) -> i32 {
        if P::TAP {
            (k * self.cols.taps + l) as i32
        } else {
            ((self.rows.at(i).0 + k * self.rows.step) * self.w + self.cols.at(j).0 + l * self.cols.step) as i32
        }
    }
}

/// The maximum over a window of [`BLOCK`] lanes, and its number; `at(k, l)` begins with the lanes of tap (k, l).
#[inline(always)]
fn block<'a, K: Kind>(s: &Shape<'_>, i: usize, j: usize, at: impl Fn(usize, usize) -> &'a [K::T]) -> ([K::T; BLOCK], [i32; BLOCK]) {
    let (rows, cols) = (s.rows.at(i).1, s.cols.at(j).1);
    let mut best = [K::T::LOWEST; BLOCK];
    let mut code = [s.code::<K::P>(i, j, 0, 0); BLOCK];
    for k in 0..rows {
        for l in 0..cols {
            let v = &at(k, l)[..BLOCK];
            let number = s.code::<K::P>(i, j, k, l);
            for n in 0..BLOCK {
                let better = v[n] > best[n] || v[n].is_nan();
                best[n] = if better { v[n] } else { best[n] };
                if K::P::KEPT {
                    code[n] = if better { number } else { code[n] };
                }
            }
        }
    }
    (best, code)
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

#[inline(always)]
fn put<K: Kind, const N: usize>(y: &mut [K::T], place: &mut [K::P], at: usize, best: [K::T; N], code: [i32; N], lane: i32) {
    y[at..at + N].copy_from_slice(&best);
    if K::P::KEPT {
        let place = &mut place[at..at + N];
        for n in 0..N {
            place[n] = K::P::of(code[n] + lane * n as i32);
        }
    }
}

levels! {
    /// One output row of channels `c0 ..` of wide pixels; `y` and `place` hold `channels` of each pixel.
    pub(crate) fn wide_row<K: Kind>(y: &mut [K::T], place: &mut [K::P], x: &[K::T], s: &Shape<'_>, i: usize, c0: usize, channels: usize) {
        let top = s.rows.at(i).0;
        for j in 0..s.cols.len() {
            let left = s.cols.at(j).0;
            let mut c = 0;
            while c < channels {
                // As in `blocks`, for channels.
                c = c.min(channels - BLOCK);
                let (best, code) = block::<K>(s, i, j, |k, l| {
                    &x[((top + k * s.rows.step) * s.w + left + l * s.cols.step) * s.inner + c0 + c..]
                });
                put::<K, BLOCK>(y, place, j * channels + c, best, code, 0);
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

levels! {
    /// One output row of a plane, or of few channels; `halves` holds two rows of half the width for every row tap.
    fn thin_row<K: Kind>(y: &mut [K::T], place: &mut [K::P], x: &[K::T], s: &Shape<'_>, i: usize, blocks: &[(usize, usize)], halves: &[K::T]) {
        let (top, half) = (s.rows.at(i).0, s.w.div_ceil(2));
        for &(from, stride) in blocks {
            let left = if stride == 0 { 0 } else { s.cols.at(from).0 };
            let (best, code) = match stride {
                1 => block::<K>(s, i, from, |k, l| &x[(top + k * s.rows.step) * s.w + left + l * s.cols.step..]),
                2 => block::<K>(s, i, from, |k, l| {
                    let column = left + l * s.cols.step;
                    &halves[(2 * k + column % 2) * half + column / 2..]
                }),
                _ => {
                    for c in 0..s.inner {
                        let (best, code) = single::<K>(x, s, i, from, c);
                        put::<K, 1>(y, place, from * s.inner + c, [best], [code], 0);
                    }
                    continue;
                }
            };
            put::<K, BLOCK>(y, place, from, best, code, if K::P::TAP { 0 } else { stride as i32 });
        }
    }
}

/// What rows of single elements need: made once a call.
pub(crate) struct Thin {
    blocks: Vec<(usize, usize)>,
    halves: bool,
}

impl Thin {
    pub(crate) fn new(s: &Shape<'_>) -> Self {
        let blocks = if s.inner == 1 { s.cols.blocks() } else { (0..s.cols.len()).map(|j| (j, 0)).collect() };
        let halves = blocks.iter().any(|b| b.1 == 2);
        Self { blocks, halves }
    }

    /// One output row; `scratch` grows to what it needs.
    pub(crate) fn row<K: Kind>(&self, y: &mut [K::T], place: &mut [K::P], x: &[K::T], s: &Shape<'_>, i: usize, scratch: &mut Vec<K::T>) {
        let (top, count) = s.rows.at(i);
        let half = s.w.div_ceil(2);
        if self.halves {
            // Lanes of the last block may lie behind the last column's half.
            scratch.resize(2 * count * half + BLOCK, K::T::ZERO);
            for k in 0..count {
                let (even, odd) = scratch[2 * k * half..2 * (k + 1) * half].split_at_mut(half);
                let row = (top + k * s.rows.step) * s.w;
                split(even, odd, &x[row..row + s.w]);
            }
        }
        thin_row::<K>(y, place, x, s, i, &self.blocks, scratch);
    }
}

fn forward<T: Float, P: Place>(y: &mut [T], place: &mut [P], x: &[T], outer: usize, s: Shape<'_>) -> Result {
    let (oh, ow) = (s.rows.len(), s.cols.len());
    expect_len("max_pool: y", y.len(), &[outer, oh, ow, s.inner])?;
    expect_len("max_pool: x", x.len(), &[outer, s.h, s.w, s.inner])?;
    expect_len("max_pool: places", place.len(), &[outer, oh, ow, s.inner])?;
    let counted = if P::TAP { s.rows.taps.saturating_mul(s.cols.taps) } else { s.h.saturating_mul(s.w) };
    ensure_shape!(!P::KEPT || counted <= if P::TAP { 256 } else { i32::MAX as usize }, "max_pool: expected fewer taps than {counted}");
    if y.is_empty() {
        return Ok(());
    }
    let (plane, opitch) = (s.h * s.w * s.inner, ow * s.inner);
    let group = (TASK / opitch).max(1);
    let total = outer * oh;
    ensure_shape!(s.h > 0 && s.w > 0, "max_pool: expected a map that is not empty");
    let taps = s.rows.taps.saturating_mul(s.cols.taps);
    if taps > SEPARATE && s.cols.step == 1 && s.rows.taps > 1 && s.cols.taps > 1 {
        return crate::pooling_separable::forward(y, place, x, outer, s);
    }
    let thin = Thin::new(&s);
    let (y, place) = (Shared::new(y), Shared::new(place));
    parallel(total.div_ceil(group), (group * opitch).saturating_mul(taps), |task| {
        let mut scratch = Vec::new();
        for row in task * group..(task * group + group).min(total) {
            let (o, i) = (row / oh, row % oh);
            // SAFETY: a task owns its output rows.
            let (y, place) = unsafe { (y.slice(row * opitch, opitch), place.slice(row * opitch, opitch)) };
            let x = &x[o * plane..(o + 1) * plane];
            if s.inner >= BLOCK {
                wide_row::<Of<T, P>>(y, place, x, &s, i, 0, s.inner);
            } else {
                thin.row::<Of<T, P>>(y, place, x, &s, i, &mut scratch);
            }
        }
    });
    Ok(())
}

/// `y[o, i, j, c]`: the maximum of x over window (i, j); `tap` its number in the window, counted `k * col_taps + l`.
///
/// # Errors
/// [`crate::error::Error::Shape`] when slices or windows do not fit the sizes.
pub fn max_pool<T: Float>(
    y: &mut [T],
    tap: Option<&mut [u8]>,
    x: &[T],
    row_windows: &[i64],
    col_windows: &[i64],
    outer: usize,
    h: usize,
    w: usize,
    inner: usize,
    oh: usize,
    ow: usize,
    row_taps: usize,
    col_taps: usize,
    row_step: usize,
    col_step: usize,
) -> Result {
    let rows = Windows::new("max_pool: rows", row_windows, h, oh, row_taps, row_step)?;
    let cols = Windows::new("max_pool: columns", col_windows, w, ow, col_taps, col_step)?;
    let shape = Shape { rows, cols, h, w, inner };
    match tap {
        Some(tap) => forward(y, tap, x, outer, shape),
        None => {
            let mut nothing = vec![(); y.len()];
            forward(y, &mut nothing, x, outer, shape)
        }
    }
}

/// The same, with `index` the pixel's number in the map, counted `row * w + column`.
///
/// # Errors
/// [`crate::error::Error::Shape`] when slices or windows do not fit the sizes.
pub fn max_pool_indices<T: Float>(
    y: &mut [T],
    index: &mut [i64],
    x: &[T],
    row_windows: &[i64],
    col_windows: &[i64],
    outer: usize,
    h: usize,
    w: usize,
    inner: usize,
    oh: usize,
    ow: usize,
    row_taps: usize,
    col_taps: usize,
    row_step: usize,
    col_step: usize,
) -> Result {
    let rows = Windows::new("max_pool_indices: rows", row_windows, h, oh, row_taps, row_step)?;
    let cols = Windows::new("max_pool_indices: columns", col_windows, w, ow, col_taps, col_step)?;
    forward(y, index, x, outer, Shape { rows, cols, h, w, inner })
}

/// The map's gradient: each output's gradient goes to the pixel it was taken from.
///
/// # Errors
/// [`crate::error::Error::Shape`] when slices or windows do not fit the sizes.
pub fn max_pool_backward<T: Float>(
    dx: &mut [T],
    dy: &[T],
    tap: &[u8],
    row_windows: &[i64],
    col_windows: &[i64],
    outer: usize,
    h: usize,
    w: usize,
    inner: usize,
    oh: usize,
    ow: usize,
    row_taps: usize,
    col_taps: usize,
    row_step: usize,
    col_step: usize,
) -> Result {
    let rows = Windows::new("max_pool_backward: rows", row_windows, h, oh, row_taps, row_step)?;
    let cols = Windows::new("max_pool_backward: columns", col_windows, w, ow, col_taps, col_step)?;
    expect_len("max_pool_backward: dx", dx.len(), &[outer, h, w, inner])?;
    expect_len("max_pool_backward: dy", dy.len(), &[outer, oh, ow, inner])?;
    expect_len("max_pool_backward: tap", tap.len(), &[outer, oh, ow, inner])?;
    crate::pooling_backward::backward(dx, dy, tap, outer, Shape { rows, cols, h, w, inner });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_and_channels_agree_on_every_level() {
        let (h, w, c) = (6, 40, 20);
        let wide: Vec<f32> = (0..h * w * c).map(|i| (i * 7919 % 101) as f32).collect();
        let planes: Vec<f32> = (0..c).flat_map(|k| (0..h * w).map(move |p| p * c + k)).map(|i| wide[i]).collect();
        let rows: Vec<i64> = (0..3).flat_map(|i| [2 * i, 2]).collect();
        let cols: Vec<i64> = (0..20).flat_map(|i| [2 * i, 2]).collect();
        for level in 0..3 {
            crate::simd::set_level(level);
            let run = |x: &[f32], outer, inner| {
                let (mut y, mut index) = (vec![0.0; 60 * c], vec![0; 60 * c]);
                max_pool_indices(&mut y, &mut index, x, &rows, &cols, outer, h, w, inner, 3, 20, 2, 2, 1, 1).unwrap();
                (y, index)
            };
            let ((a, i), (b, k)) = (run(&wide, 1, c), run(&planes, c, 1));
            assert!((0..c).all(|n| (0..60).all(|p| a[p * c + n] == b[n * 60 + p] && i[p * c + n] == k[n * 60 + p])));
        }
        crate::simd::set_level(2);
    }
}
