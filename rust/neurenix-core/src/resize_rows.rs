//! Row primitives of [`resize`](crate::resize): sums of rows and of wide pixels.

use std::ops::Range;

use crate::levels;
use crate::resize::Axis;
use crate::simd::{Float, prefetch};

/// Rows that are read at once: more are more streams than a processor follows.
const STREAMS: usize = 8;
/// Rows so short that any number of them are read at once.
const SHORT: usize = 512;

/// Rows of `n` elements that are read at once.
fn streams(n: usize) -> usize {
    if n <= SHORT { usize::MAX } else { STREAMS }
}

/// `y = sum over k of weight[k] * x[index[k] * pitch + offset ..]`.
pub(crate) fn combine<T: Float>(y: &mut [T], x: &[T], index: &[i64], weight: &[T], pitch: usize, offset: usize) {
    let len = y.len();
    in_groups(y, x, index, weight, Pieces { pitch, offset, len, step: len }, streams(pitch));
}

/// The same for `channels` of every pixel of a row from channel `c` on; `y` holds them side by side.
pub(crate) fn combine_channels<T: Float>(
    y: &mut [T],
    x: &[T],
    index: &[i64],
    weight: &[T],
    pitch: usize,
    inner: usize,
    c: usize,
    channels: usize,
) {
    in_groups(y, x, index, weight, Pieces { pitch, offset: c, len: channels, step: inner }, STREAMS);
}

/// Where the rows that are combined lie: row `r` from `r * pitch + offset` on, in pieces of `len` elements, `step` apart.
#[derive(Clone, Copy)]
struct Pieces {
    pitch: usize,
    offset: usize,
    len: usize,
    step: usize,
}

/// Combines up to `some` rows at a time, and those in turn by groups whose sums stay in registers.
fn in_groups<T: Float>(y: &mut [T], x: &[T], index: &[i64], weight: &[T], p: Pieces, some: usize) {
    if index.is_empty() {
        y.fill(T::ZERO);
    }
    if p.len == 0 {
        return;
    }
    for (n, (index, weight)) in index.chunks(some).zip(weight.chunks(some)).enumerate() {
        let add = n > 0;
        match index.len() {
            1 => few_rows::<T, 1>(y, x, index, weight, p, add),
            2 => few_rows::<T, 2>(y, x, index, weight, p, add),
            3 => few_rows::<T, 3>(y, x, index, weight, p, add),
            4 => few_rows::<T, 4>(y, x, index, weight, p, add),
            8 => few_rows::<T, 8>(y, x, index, weight, p, add),
            _ => many_rows(y, x, index, weight, p, add),
        }
    }
}

/// Whether all rows lie inside `n` elements.
#[inline(always)]
fn fits(p: Pieces, pieces: usize, index: &[i64], n: usize) -> bool {
    let end = p.offset + pieces.saturating_sub(1) * p.step + p.len;
    index.iter().all(|&r| r as usize * p.pitch + end <= n)
}

levels! {
    /// `y = [y +] sum over k < K of weight[k] * x[index[k] * pitch + offset ..]`.
    fn few_rows<T, V, const K: usize>(y: &mut [T], x: &[T], index: &[i64], weight: &[T], p: Pieces, add: bool) {
        let pieces = y.len() / p.len;
        assert!(index.len() == K && weight.len() == K && fits(p, pieces, index, x.len()));
        let (mut rows, mut weights) = ([x.as_ptr(); K], [V::splat(T::ZERO); K]);
        for k in 0..K {
            rows[k] = rows[k].wrapping_add(index[k] as usize * p.pitch + p.offset);
            weights[k] = V::splat(weight[k]);
        }
        // Some rows on: a processor that follows K short streams loses them at their ends.
        let ahead = (K * p.pitch).max(AHEAD.next_multiple_of((K * p.pitch).max(1)));
        for piece in 0..pieces {
            let mut i = 0;
            // SAFETY: `i + N <= len` (or the first `len - i` lanes), and every row holds such pieces, as asserted.
            unsafe {
                let (from, to) = (piece * p.step, y.as_mut_ptr().add(piece * p.len));
                while i + V::N <= p.len {
                    let first = V::load(rows[0].add(from + i));
                    let mut sum = if add { weights[0].fma(first, V::load(to.add(i))) } else { weights[0].mul(first) };
                    for k in 1..K {
                        sum = weights[k].fma(V::load(rows[k].add(from + i)), sum);
                    }
                    for k in 0..K {
                        prefetch(rows[k].wrapping_add(ahead + from + i));
                    }
                    sum.store(to.add(i));
                    i += V::N;
                }
                let left = p.len - i;
                if left > 0 {
                    let first = V::load_first(rows[0].add(from + i), left);
                    let mut sum = if add { weights[0].fma(first, V::load_first(to.add(i), left)) } else { weights[0].mul(first) };
                    for k in 1..K {
                        sum = weights[k].fma(V::load_first(rows[k].add(from + i), left), sum);
                    }
                    sum.store_first(to.add(i), left);
                }
            }
        }
    }
}

levels! {
    /// The same for any number of rows.
    fn many_rows<T, V>(y: &mut [T], x: &[T], index: &[i64], weight: &[T], p: Pieces, add: bool) {
        let pieces = y.len() / p.len;
        assert!(index.len() == weight.len() && fits(p, pieces, index, x.len()));
        for piece in 0..pieces {
            for i in (0..p.len).step_by(V::N) {
                let left = (p.len - i).min(V::N);
                // SAFETY: as above.
                unsafe {
                    let (from, to) = (x.as_ptr().add(p.offset + piece * p.step + i), y.as_mut_ptr().add(piece * p.len + i));
                    let mut sum = match (add, left == V::N) {
                        (false, _) => V::splat(T::ZERO),
                        (true, true) => V::load(to),
                        (true, false) => V::load_first(to, left),
                    };
                    for k in 0..index.len() {
                        let row = from.add(*index.get_unchecked(k) as usize * p.pitch);
                        let v = if left == V::N { V::load(row) } else { V::load_first(row, left) };
                        let w = V::splat(*weight.get_unchecked(k));
                        sum = if k == 0 && !add { w.mul(v) } else { w.fma(v, sum) };
                    }
                    if left == V::N { sum.store(to) } else { sum.store_first(to, left) }
                }
            }
        }
    }
}

levels! {
    /// Pixels of `channels` elements of a part of a row: each the sum over its taps of pixels of `x`, which begins at the part's
    /// first input; `y` with its first output; `stream` where they are whole cache lines that are written past the caches.
    pub(crate) fn wide_columns<T, V>(y: &mut [T], x: &[T], a: &Axis<'_, T>, part: &Part, channels: usize, stream: bool) {
        assert!(y.len() == part.outputs.len() * channels && x.len() >= part.inputs.len() * channels);
        for (n, j) in part.outputs.clone().enumerate() {
            let (index, weight) = a.taps(j);
            if index.is_empty() {
                y[n * channels..(n + 1) * channels].fill(T::ZERO);
                continue;
            }
            let mut c = 0;
            // SAFETY: `c + N <= channels` (or the first `channels - c` lanes), and the pixels lie inside as asserted: a part's
            // taps lie in its inputs.
            unsafe {
                let to = y.as_mut_ptr().add(n * channels);
                let from = |k: usize| x.as_ptr().add((*index.get_unchecked(k) as usize - part.inputs.start) * channels);
                while c + 4 * V::N <= channels {
                    let w = V::splat(weight[0]);
                    let p = from(0).add(c);
                    let mut sum = [w.mul(V::load(p)), w.mul(V::load(p.add(V::N))), w.mul(V::load(p.add(2 * V::N))), w.mul(V::load(p.add(3 * V::N)))];
                    for k in 1..index.len() {
                        let (w, p) = (V::splat(weight[k]), from(k).add(c));
                        for (n, sum) in sum.iter_mut().enumerate() {
                            *sum = w.fma(V::load(p.add(n * V::N)), *sum);
                        }
                    }
                    for (n, sum) in sum.into_iter().enumerate() {
                        let to = to.add(c + n * V::N);
                        if stream { sum.stream(to) } else { sum.store(to) }
                    }
                    c += 4 * V::N;
                }
                while c < channels {
                    let left = (channels - c).min(V::N);
                    let load = |p| if left == V::N { V::load(p) } else { V::load_first(p, left) };
                    let mut sum = V::splat(weight[0]).mul(load(from(0).add(c)));
                    for k in 1..index.len() {
                        sum = V::splat(weight[k]).fma(load(from(k).add(c)), sum);
                    }
                    match (left == V::N, stream) {
                        (true, true) => sum.stream(to.add(c)),
                        (true, false) => sum.store(to.add(c)),
                        (false, _) => sum.store_first(to.add(c), left),
                    }
                    c += V::N;
                }
            }
        }
    }
}

levels! {
    /// Pixels of a row whose taps are few: `K` rows are combined in registers, tap by tap, as [`combine`] and [`wide_columns`] do.
    pub(crate) fn wide_windows<T, V, const K: usize>(y: &mut [T], x: &[T], index: &[i64], weight: &[T], a: &Axis<'_, T>, channels: usize) {
        let pitch = a.size * channels;
        assert!(index.len() == K && weight.len() == K && y.len() == a.len() * channels);
        assert!(index.iter().all(|&r| (r as usize + 1) * pitch <= x.len()));
        let mut rows = [x.as_ptr(); K];
        for k in 0..K {
            rows[k] = rows[k].wrapping_add(index[k] as usize * pitch);
        }
        for j in 0..a.len() {
            let (taps, weights) = a.taps(j);
            for c in (0..channels).step_by(V::N) {
                let left = (channels - c).min(V::N);
                // SAFETY: `c + N <= channels` (or the first `channels - c` lanes) of pixels of each row, as asserted: indices of a
                // table are below its size.
                unsafe {
                    let load = |p| if left == V::N { V::load(p) } else { V::load_first(p, left) };
                    let mut sum = V::splat(T::ZERO);
                    for l in 0..taps.len() {
                        let at = *taps.get_unchecked(l) as usize * channels + c;
                        let mut held = V::splat(weight[0]).mul(load(rows[0].add(at)));
                        for k in 1..K {
                            held = V::splat(weight[k]).fma(load(rows[k].add(at)), held);
                        }
                        for k in 0..K {
                            prefetch(rows[k].wrapping_add(at + AHEAD));
                        }
                        let w = V::splat(*weights.get_unchecked(l));
                        sum = if l == 0 { w.mul(held) } else { w.fma(held, sum) };
                    }
                    let to = y.as_mut_ptr().add(j * channels + c);
                    if left == V::N { sum.store(to) } else { sum.store_first(to, left) }
                }
            }
        }
    }
}

/// Elements from those that are read to those that are asked for ahead.
pub(crate) const AHEAD: usize = 1024;
/// Elements of inputs that a part of a row has room for, unless one output needs more: a quarter of the first cache.
const ROOM: usize = 2048;

/// Neighbouring outputs of a row, and the inputs that they are made of.
pub(crate) struct Part {
    pub outputs: Range<usize>,
    pub inputs: Range<usize>,
}

/// Parts whose inputs stay in the first cache.
pub(crate) fn parts<T: Float>(a: &Axis<'_, T>, channels: usize) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for j in 0..a.len() {
        let taps = a.taps(j).0.iter().map(|&i| i as usize);
        let (low, high) = taps.fold((usize::MAX, 0), |(low, high), i| (low.min(i), high.max(i + 1)));
        let joined = |p: &Part| if low > high { p.inputs.clone() } else { p.inputs.start.min(low)..p.inputs.end.max(high) };
        match parts.last_mut() {
            Some(p) if joined(p).len() * channels <= ROOM => (p.inputs, p.outputs.end) = (joined(p), j + 1),
            _ => parts.push(Part { outputs: j..j + 1, inputs: low.min(high)..high }),
        }
    }
    parts
}

levels! {
    /// `y /= divisor`.
    pub(crate) fn divide<T: Float>(y: &mut [T], divisor: T) {
        for y in y {
            *y = *y / divisor;
        }
    }
}

levels! {
    /// `y[j] /= row * columns[j]`.
    pub(crate) fn divide_each<T: Float>(y: &mut [T], row: T, columns: &[T]) {
        for (y, &c) in y.iter_mut().zip(columns) {
            *y = *y / (row * c);
        }
    }
}
