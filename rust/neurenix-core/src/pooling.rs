//! Max pooling.
//!
//! Each axis has a table of windows: `table[2 * i]` is the first pixel of output `i`'s window, `table[2 * i + 1]` the number
//! of its taps, `step` pixels apart. Windows only hold pixels of the map; ordinary, padded and adaptive pooling differ in
//! nothing else. Of equal values the first is taken, of NaNs the last, as in PyTorch.

use crate::ensure_shape;
use crate::error::{Result, expect_len};
use crate::pooling_rows::{Scratch, Thin, wide_row};
use crate::simd::Float;
use crate::threads::{Shared, parallel};

/// Channels, or columns, that are compared at once.
pub(crate) const BLOCK: usize = 16;
/// The least outputs of a run whose places are kept.
const LEAST: usize = 4;
/// From more taps on rows and columns are pooled one after the other.
const SEPARATE: usize = 9;
/// From so many taps on, windows that slide by one pixel are put together from parts.
const SLIDE: usize = 10;
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
    pub(crate) fn blocks(&self) -> Vec<(usize, usize)> {
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

    /// Runs of outputs that have equally many taps and start 1 or 2 pixels apart: first, length, stride; stride 0 for one alone.
    pub(crate) fn runs(&self) -> Vec<(usize, usize, usize)> {
        let together = |j: usize, stride: usize| {
            let follows = |&l: &usize| self.at(j + l) == (self.at(j).0 + l * stride, self.at(j).1);
            1 + (1..self.len() - j).take_while(follows).count()
        };
        let (mut runs, mut j) = (Vec::new(), 0);
        while j < self.len() {
            let (len, stride) = (1..=2).map(|stride| (together(j, stride), stride)).max_by_key(|run| run.0).unwrap_or((1, 1));
            runs.push(if len >= LEAST { (j, len, stride) } else { (j, 1, 0) });
            j += if len >= LEAST { len } else { 1 };
        }
        runs
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
    pub(crate) fn code<P: Place>(&self, i: usize, j: usize, k: usize, l: usize) -> i32 {
        if P::TAP {
            (k * self.cols.taps + l) as i32
        } else {
            ((self.rows.at(i).0 + k * self.rows.step) * self.w + self.cols.at(j).0 + l * self.cols.step) as i32
        }
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
    if taps >= SLIDE && crate::pooling_sliding::slides(&s) {
        return crate::pooling_sliding::forward(y, place, x, outer, s);
    }
    if taps > SEPARATE && s.cols.step == 1 && s.rows.taps > 1 && s.cols.taps > 1 {
        return crate::pooling_separable::forward(y, place, x, outer, s);
    }
    let thin = Thin::new::<P>(&s);
    let (y, place) = (Shared::new(y), Shared::new(place));
    parallel(total.div_ceil(group), (group * opitch).saturating_mul(taps), |task| {
        let mut scratch = Scratch::default();
        for row in task * group..(task * group + group).min(total) {
            let (o, i) = (row / oh, row % oh);
            // SAFETY: a task owns its output rows.
            let (y, place) = unsafe { (y.slice(row * opitch, opitch), place.slice(row * opitch, opitch)) };
            let x = &x[o * plane..(o + 1) * plane];
            if s.inner >= BLOCK {
                wide_row::<Of<T, P>>(y, place, x, &s, i, (0, s.inner), &mut scratch.codes);
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
/// [`crate::error::Error::Shape`] when slices or windows do not fit the sizes, [`crate::error::Error::Memory`].
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
    crate::pooling_backward::backward(dx, dy, tap, outer, Shape { rows, cols, h, w, inner })
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
