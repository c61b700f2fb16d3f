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
const BLOCK: usize = 16;
/// Output elements of one task.
const TASK: usize = 1 << 14;

/// The windows of one axis.
#[derive(Clone, Copy)]
pub(crate) struct Windows<'a> {
    table: &'a [i64],
    /// Distance between taps.
    pub step: usize,
    /// The most taps a window has.
    pub taps: usize,
}

impl<'a> Windows<'a> {
    pub(crate) fn new(what: &str, table: &'a [i64], n: usize, m: usize, taps: usize, step: usize) -> Result<Self> {
        expect_len(what, table.len(), &[m, 2])?;
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

    /// Whether outputs `j .. j + BLOCK` have equally many taps and start `stride` apart.
    #[inline(always)]
    fn even(&self, j: usize, stride: usize) -> bool {
        let (first, count) = self.at(j);
        (1..BLOCK).all(|l| self.at(j + l) == (first + l * stride, count))
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

/// The maximum over a window of [`BLOCK`] lanes whose elements lie `S` apart, and its number.
#[inline(always)]
fn block<K: Kind, const S: usize>(x: &[K::T], s: &Shape<'_>, i: usize, j: usize, c: usize) -> ([K::T; BLOCK], [i32; BLOCK]) {
    let ((top, rows), (left, cols)) = (s.rows.at(i), s.cols.at(j));
    let mut best = [K::T::LOWEST; BLOCK];
    let mut code = [s.code::<K::P>(i, j, 0, 0); BLOCK];
    for k in 0..rows {
        let row = (top + k * s.rows.step) * s.w;
        for l in 0..cols {
            let start = (row + left + l * s.cols.step) * s.inner + c;
            let v = &x[start..start + (BLOCK - 1) * S + 1];
            let number = s.code::<K::P>(i, j, k, l);
            for n in 0..BLOCK {
                let value = v[n * S];
                let better = value > best[n] || value.is_nan();
                best[n] = if better { value } else { best[n] };
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
    /// One output row with channels innermost.
    fn wide_row<K: Kind>(y: &mut [K::T], place: &mut [K::P], x: &[K::T], s: &Shape<'_>, i: usize) {
        for j in 0..s.cols.len() {
            let at = j * s.inner;
            let mut c = 0;
            while c < s.inner {
                // The last block begins earlier where channels are no multiple: it finds the same maxima again.
                c = c.min(s.inner - BLOCK);
                let (best, code) = block::<K, 1>(x, s, i, j, c);
                put::<K, BLOCK>(y, place, at + c, best, code, 0);
                c += BLOCK;
            }
        }
    }
}

levels! {
    /// One output row of a plane, or of few channels.
    fn thin_row<K: Kind>(y: &mut [K::T], place: &mut [K::P], x: &[K::T], s: &Shape<'_>, i: usize) {
        let ow = s.cols.len();
        let mut j = 0;
        while j < ow {
            if s.inner == 1 && ow >= BLOCK {
                let from = j.min(ow - BLOCK);
                let stride = s.cols.at(from + 1).0.wrapping_sub(s.cols.at(from).0);
                if (stride == 1 || stride == 2) && s.cols.even(from, stride) {
                    let (best, code) = if stride == 1 { block::<K, 1>(x, s, i, from, 0) } else { block::<K, 2>(x, s, i, from, 0) };
                    put::<K, BLOCK>(y, place, from, best, code, if K::P::TAP { 0 } else { stride as i32 });
                    j = from + BLOCK;
                    continue;
                }
            }
            for c in 0..s.inner {
                let (best, code) = single::<K>(x, s, i, j, c);
                put::<K, 1>(y, place, j * s.inner + c, [best], [code], 0);
            }
            j += 1;
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
    let (y, place) = (Shared::new(y), Shared::new(place));
    parallel(total.div_ceil(group), group * opitch * s.rows.taps.min(64) * s.cols.taps.min(64), |task| {
        for row in task * group..(task * group + group).min(total) {
            let (o, i) = (row / oh, row % oh);
            // SAFETY: a task owns its output rows.
            let (y, place) = unsafe { (y.slice(row * opitch, opitch), place.slice(row * opitch, opitch)) };
            let x = &x[o * plane..(o + 1) * plane];
            if s.inner >= BLOCK {
                wide_row::<Of<T, P>>(y, place, x, &s, i);
            } else {
                thin_row::<Of<T, P>>(y, place, x, &s, i);
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
