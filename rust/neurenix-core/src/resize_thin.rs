//! Columns of [`resize`](crate::resize) where pixels are narrow: planes, and maps of few channels. A vector holds neighbouring outputs,
//! whose inputs are picked from a row.

use std::ops::Range;

use crate::levels;
use crate::resize::Axis;
use crate::resize_rows::AHEAD;
use crate::simd::{Float, Vector, prefetch};

/// Elements behind a row that may be read, though nothing is taken from them.
pub(crate) const SLACK: usize = 64;

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
    /// Whether they lie within one.
    one: bool,
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
            plan.blocks.push(block.unwrap_or(Block { to, base: 0, at: 0, taps: 0, near: false, one: false }));
            next = to + n;
        }
        plan
    }

    /// Whether every block's inputs are loaded as two vectors.
    pub(crate) fn is_near(&self) -> bool {
        self.blocks.iter().all(|b| b.near)
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
        Some(Block { to, base, at, taps, near: last - base < 2 * self.n, one: last - base < self.n })
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

levels! {
    /// The same of `K` rows of `x`, `pitch` elements apart, which are combined in registers: as [`combine`](crate::resize_rows::combine)
    /// and [`thin_columns`] do, without a row in between, whose loads would wait for its stores. The plan is near, and [`SLACK`]
    /// elements behind each row are readable.
    pub(crate) fn thin_windows<T, V, const K: usize>(
        y: &mut [T], x: &[T], index: &[i64], weight: &[T], a: &Axis<'_, T>, plan: &Plan<T>, inner: usize
    ) {
        let pitch = a.size * inner;
        assert!(y.len() == a.len() * inner && index.len() == K && weight.len() == K && plan.n == V::N && 2 * V::N <= SLACK);
        assert!(index.iter().all(|&r| (r as usize + 1) * pitch + SLACK <= x.len()));
        let (mut rows, mut weights) = ([x.as_ptr(); K], [V::splat(T::ZERO); K]);
        for k in 0..K {
            rows[k] = rows[k].wrapping_add(index[k] as usize * pitch);
            weights[k] = V::splat(weight[k]);
        }
        let ahead = (K * pitch).max(AHEAD.next_multiple_of((K * pitch).max(1)));
        for block in &plan.blocks {
            // SAFETY: the plan was made for this table: it is near, so `base + 2 N` elements of each row are readable thanks to the
            // slack, the lists hold `taps` vectors from `at` on, and `to + N` outputs exist.
            unsafe {
                let combined = |at: usize| {
                    let mut sum = weights[0].mul(V::load(rows[0].add(at)));
                    for k in 1..K {
                        sum = weights[k].fma(V::load(rows[k].add(at)), sum);
                    }
                    sum
                };
                for k in 0..K {
                    prefetch(rows[k].wrapping_add(ahead + block.base));
                    prefetch(rows[k].wrapping_add(ahead + block.base + V::N));
                }
                let low = combined(block.base);
                let high = if block.one { low } else { combined(block.base + V::N) };
                let index = plan.index.as_ptr().add(block.at * V::N);
                let weight = plan.weight.as_ptr().add(block.at * V::N);
                let on = &plan.lanes[block.at..block.at + block.taps];
                let sum = sum_taps::<T, V>(weight, on, |k| low.pick_of_two(high, index.add(k * V::N)));
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
