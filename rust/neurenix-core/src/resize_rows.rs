//! Row primitives of [`resize`](crate::resize): sums of rows, of wide pixels, of single elements.

use crate::levels;
use crate::resize::Axis;
use crate::simd::Float;

/// Elements behind a row that may be read, though nothing is taken from them.
pub(crate) const SLACK: usize = 64;

levels! {
    /// `y = sum over k of weight[k] * x[index[k] * pitch + offset ..]`.
    pub(crate) fn combine<T, V>(y: &mut [T], x: &[T], index: &[i64], weight: &[T], pitch: usize, offset: usize) {
        let n = y.len();
        if index.is_empty() {
            y.fill(T::ZERO);
            return;
        }
        assert!(index.len() == weight.len() && index.iter().all(|&r| r as usize * pitch + offset + n <= x.len()));
        let row = |k: usize| x.as_ptr().wrapping_add(index[k] as usize * pitch + offset);
        let mut p = 0;
        while p + V::N <= n {
            // SAFETY: `p + N <= n`, and every row holds `n` elements, as asserted.
            unsafe {
                let mut sum = V::splat(weight[0]).mul(V::load(row(0).add(p)));
                for k in 1..index.len() {
                    sum = V::splat(weight[k]).fma(V::load(row(k).add(p)), sum);
                }
                sum.store(y.as_mut_ptr().add(p));
            }
            p += V::N;
        }
        if p < n {
            // SAFETY: as above for the last `n - p` elements.
            unsafe {
                let mut sum = V::splat(weight[0]).mul(V::load_first(row(0).add(p), n - p));
                for k in 1..index.len() {
                    sum = V::splat(weight[k]).fma(V::load_first(row(k).add(p), n - p), sum);
                }
                sum.store_first(y.as_mut_ptr().add(p), n - p);
            }
        }
    }
}

levels! {
    /// Pixels of `channels` elements: pixel j of y, `pitch` apart, is the sum over its taps of pixels of x, `step` apart.
    pub(crate) fn wide_columns<T, V>(y: &mut [T], x: &[T], a: &Axis<'_, T>, step: usize, pitch: usize, channels: usize) {
        let m = a.len();
        assert!(m == 0 || y.len() >= (m - 1) * pitch + channels);
        assert!(x.len() >= (a.size - 1) * step + channels);
        for j in 0..m {
            let (index, weight) = a.taps(j);
            if index.is_empty() {
                y[j * pitch..j * pitch + channels].fill(T::ZERO);
                continue;
            }
            let mut c = 0;
            // SAFETY: `c + N <= channels` (or the first `channels - c` lanes), and the pixels lie inside as asserted: a table's
            // indices are below its size.
            unsafe {
                let to = y.as_mut_ptr().add(j * pitch);
                let from = |k: usize| x.as_ptr().add(*index.get_unchecked(k) as usize * step);
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
                        sum.store(to.add(c + n * V::N));
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
                    if left == V::N { sum.store(to.add(c)) } else { sum.store_first(to.add(c), left) }
                    c += V::N;
                }
            }
        }
    }
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
            plan.blocks.push(block.unwrap_or(Block { to, base: 0, at: 0, taps: 0 }));
            next = to + n;
        }
        plan
    }

    fn block(&mut self, a: &Axis<'_, T>, inner: usize, to: usize) -> Option<Block> {
        let lane = |l: usize| (a.taps((to + l) / inner), (to + l) % inner);
        let taps = (0..self.n).map(|l| lane(l).0.0.len()).max().unwrap_or(0);
        let inputs = (0..self.n).flat_map(|l| lane(l).0.0.iter().map(move |&i| i as usize * inner + (to + l) % inner));
        let (base, last) = inputs.fold((usize::MAX, 0), |(low, high), i| (low.min(i), high.max(i)));
        if (0..self.n).any(|l| lane(l).0.0.is_empty()) || last - base >= 2 * self.n {
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
        Some(Block { to, base, at, taps })
    }
}

levels! {
    /// One row of single elements; [`SLACK`] elements behind `x`'s row are readable.
    pub(crate) fn thin_columns<T, V>(y: &mut [T], x: &[T], a: &Axis<'_, T>, plan: &Plan<T>, inner: usize) {
        assert!(y.len() == a.len() * inner && x.len() >= a.size * inner + SLACK && 2 * V::N <= SLACK);
        let all = if V::N >= 32 { u32::MAX } else { (1 << V::N) - 1 };
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
                let mut sum = V::load(weight).mul(V::pick(from, index));
                for k in 1..block.taps {
                    let (v, w) = (V::pick(from, index.add(k * V::N)), V::load(weight.add(k * V::N)));
                    let on = *plan.lanes.get_unchecked(block.at + k);
                    sum = if on == all { w.fma(v, sum) } else { w.fma_where(v, sum, on) };
                }
                sum.store(y.as_mut_ptr().add(block.to));
            }
        }
    }
}

#[inline(always)]
fn single_columns<T: Float>(y: &mut [T], x: &[T], a: &Axis<'_, T>, inner: usize, outputs: std::ops::Range<usize>) {
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
