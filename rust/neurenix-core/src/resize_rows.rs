//! Row primitives of [`resize`](crate::resize): sums of rows, of wide pixels, of single elements.

use std::ops::Range;

use crate::levels;
use crate::resize::Axis;
use crate::simd::{Float, Vector, prefetch};

/// Elements behind a row that may be read, though nothing is taken from them.
pub(crate) const SLACK: usize = 64;

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
const AHEAD: usize = 1024;
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
    fn lanes<T, V>() -> usize {
        V::N
    }
}

/// A run of outputs that one vector holds.
struct Block {
    /// First output.
    to: usize,
    /// First input that a lane takes.
    base: usize,
    /// Where its taps begin in the plan's lists.
    at: usize,
    /// The most taps of a lane; 0 where the block is computed element by element.
    taps: usize,
    /// Whether all inputs lie within two vectors.
    near: bool,
}

/// The table of single elements, laid out for vectors: planes, and pixels of few channels.
pub(crate) struct Plan<T> {
    n: usize,
    blocks: Vec<Block>,
    index: Vec<i32>,
    weight: Vec<T>,
    lanes: Vec<u32>,
}

impl<T: Float> Plan<T> {
    /// Plans `a` over pixels of `inner` elements.
    pub(crate) fn new(a: &Axis<'_, T>, inner: usize) -> Self {
        let n = lanes::<T>();
        let mut plan = Self { n, blocks: Vec::new(), index: Vec::new(), weight: Vec::new(), lanes: Vec::new() };
        let total = a.len() * inner;
        let mut next = 0;
        while next < total {
            // The last block begins earlier where outputs are no multiple: it computes some again.
            let to = next.min(total.saturating_sub(n));
            let block = if n > 1 && total >= n { plan.block(a, inner, to) } else { None };
            plan.blocks.push(block.unwrap_or(Block { to, base: 0, at: 0, taps: 0, near: true }));
            next = to + n;
        }
        plan
    }

    fn block(&mut self, a: &Axis<'_, T>, inner: usize, to: usize) -> Option<Block> {
        let lane = |l: usize| (a.taps((to + l) / inner), (to + l) % inner);
        let taps = (0..self.n).map(|l| lane(l).0.0.len()).max().unwrap_or(0);
        let inputs = (0..self.n).flat_map(|l| lane(l).0.0.iter().map(move |&i| i as usize * inner + (to + l) % inner));
        let (base, last) = inputs.fold((usize::MAX, 0), |(low, high), i| (low.min(i), high.max(i)));
        if taps == 0 || last - base > i32::MAX as usize {
            return None;
        }
        let at = self.lanes.len();
        for k in 0..taps {
            let mut on = 0;
            for l in 0..self.n {
                let ((index, weight), c) = lane(l);
                on |= u32::from(k < index.len()) << l;
                self.index.push(index.get(k).map_or(0, |&i| (i as usize * inner + c - base) as i32));
                self.weight.push(weight.get(k).copied().unwrap_or(T::ZERO));
            }
            self.lanes.push(on);
        }
        Some(Block { to, base, at, taps, near: last - base < 2 * self.n })
    }
}

levels! {
    /// One row of single elements; [`SLACK`] elements behind `x`'s row are readable.
    pub(crate) fn thin_columns<T, V>(y: &mut [T], x: &[T], a: &Axis<'_, T>, plan: &Plan<T>, inner: usize) {
        assert!(y.len() == a.len() * inner && x.len() >= a.size * inner + SLACK && 2 * V::N <= SLACK);
        for block in &plan.blocks {
            if block.taps == 0 || plan.n != V::N {
                single_columns(y, x, a, inner, block.to..(block.to + plan.n).min(y.len()));
                continue;
            }
            // SAFETY: the plan was made for this table: `base + 2 N` elements of x are readable thanks to the slack, the lists
            // hold `taps` vectors from `at` on, and `to + N` outputs exist.
            unsafe {
                let from = x.as_ptr().add(block.base);
                let index = plan.index.as_ptr().add(block.at * V::N);
                let weight = plan.weight.as_ptr().add(block.at * V::N);
                let on = &plan.lanes[block.at..block.at + block.taps];
                let sum = if block.near {
                    sum_taps::<T, V>(weight, on, |k| V::pick(from, index.add(k * V::N)))
                } else {
                    sum_taps::<T, V>(weight, on, |k| far::<T, V>(from, index.add(k * V::N)))
                };
                sum.store(y.as_mut_ptr().add(block.to));
            }
        }
    }
}

/// The sum of a block's taps, lane by lane; bit `l` of `on[k]` says whether lane `l` has a tap `k`.
///
/// # Safety
/// A vector of weights is readable for every tap.
#[inline(always)]
unsafe fn sum_taps<T: Float, V: Vector<T>>(weight: *const T, on: &[u32], take: impl Fn(usize) -> V) -> V {
    let all = if V::N >= 32 { u32::MAX } else { (1 << V::N) - 1 };
    // SAFETY: the caller vouches for the memory.
    let load = |k: usize| unsafe { V::load(weight.add(k * V::N)) };
    let mut sum = if on[0] == all {
        load(0).mul(take(0))
    } else {
        // x - 0.0 keeps every x; lanes without taps become 0.0.
        let some = load(0).fma_where(take(0), V::splat(-T::ZERO), on[0]);
        V::splat(T::ZERO).fma_where(V::splat(T::ONE), some, !on[0])
    };
    for (k, &on) in on.iter().enumerate().skip(1) {
        let (v, w) = (take(k), load(k));
        sum = if on == all { w.fma(v, sum) } else { w.fma_where(v, sum, on) };
    }
    sum
}

/// Lanes from anywhere in a row.
///
/// # Safety
/// `N` indices are readable, and `from` at each of them.
#[inline(always)]
unsafe fn far<T: Float, V: Vector<T>>(from: *const T, index: *const i32) -> V {
    let mut lanes = [T::ZERO; SLACK];
    for (l, lane) in lanes[..V::N].iter_mut().enumerate() {
        // SAFETY: the caller vouches for the memory.
        *lane = unsafe { from.add(index.add(l).read() as usize).read() };
    }
    // SAFETY: `N` is at most [`SLACK`].
    unsafe { V::load(lanes.as_ptr()) }
}

#[inline(always)]
fn single_columns<T: Float>(y: &mut [T], x: &[T], a: &Axis<'_, T>, inner: usize, outputs: Range<usize>) {
    for e in outputs {
        let (index, weight) = a.taps(e / inner);
        let mut sum = T::ZERO;
        for (k, (&i, &w)) in index.iter().zip(weight).enumerate() {
            let v = x[i as usize * inner + e % inner];
            sum = if k == 0 { w * v } else { w.mul_add(v, sum) };
        }
        y[e] = sum;
    }
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
