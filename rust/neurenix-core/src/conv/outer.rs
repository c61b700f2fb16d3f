//! Outer products over the pixels of a unit, added to the sums of a weight's gradient.

#![allow(clippy::needless_range_loop)] // a tile of registers reads best by its two indices

use super::plan::{Pitch, Run};
use crate::simd::pairs::{Fused, Products};
use crate::simd::{Float, Vector};
use crate::{levels, pair_levels};

/// A unit's part of both maps, and the sums that it is added to.
#[derive(Debug)]
pub struct Outer<'a, T> {
    /// Elements of the large map beside each other.
    pub runs: &'a [Run],
    /// The large map's part.
    pub x: &'a [T],
    /// How its pixels lie.
    pub pitch: Pitch,
    /// The small map's part.
    pub dy: &'a [T],
    /// Rows of the unit.
    pub h: usize,
    /// Pixels of a row.
    pub w: usize,
    /// Outputs, whole lanes.
    pub width: usize,
    /// Outputs that exist.
    pub live: usize,
    /// What is added to.
    pub sums: *mut T,
    /// Whether the sums hold nothing yet; no tap is passed over then.
    pub first: bool,
}

impl<T> Outer<'_, T> {
    /// Rows of the sums.
    fn steps(&self) -> usize {
        self.runs.iter().map(|run| run.steps + run.skip).sum()
    }
}

/// Adds `M` rows of the large map times `R` vectors of the small one, over all pixels of the unit.
#[inline(always)]
unsafe fn tile<T: Float, V: Vector<T>, P: Products<T, V>, const M: usize, const R: usize>(
    outer: &Outer<'_, T>,
    x: usize,
    column: usize,
    to: *mut T,
) {
    let mut sums = [[V::splat(T::ZERO); R]; M];
    // SAFETY: the caller gives a run's elements inside the copied maps, and sums of as many rows.
    unsafe {
        let mut dy = outer.dy.as_ptr().add(column);
        for row in 0..outer.h {
            let mut from = outer.x.as_ptr().add(x + row * outer.pitch.row);
            for _ in 0..outer.w {
                let mut rows = [from; M];
                for i in 0..M {
                    rows[i] = from.add(i);
                }
                P::step(&mut sums, rows, 0, dy);
                dy = dy.add(outer.width);
                from = from.add(outer.pitch.pixel);
            }
        }
        for i in 0..M {
            for j in 0..R {
                let place = to.add(i * outer.width + column + j * V::N);
                if outer.first { sums[i][j].store(place) } else { V::load(place).add(sums[i][j]).store(place) }
            }
        }
    }
}

/// All rows of all runs against `R` vectors: tiles of `M`, then of `H`, then single rows.
#[inline(always)]
unsafe fn sweep<T: Float, V: Vector<T>, P: Products<T, V>, const M: usize, const H: usize, const R: usize>(
    outer: &Outer<'_, T>,
    column: usize,
) {
    let mut to = outer.sums;
    for run in outer.runs {
        let mut step = 0;
        while step < run.steps {
            let (x, left) = (run.offset + step, run.steps - step);
            // SAFETY: the run's rows lie inside the copied map and the sums.
            unsafe {
                let done = if left >= M {
                    tile::<T, V, P, M, R>(outer, x, column, to);
                    M
                } else if left >= H {
                    tile::<T, V, P, H, R>(outer, x, column, to);
                    H
                } else {
                    tile::<T, V, P, 1, R>(outer, x, column, to);
                    1
                };
                to = to.add(done * outer.width);
                step += done;
            }
        }
        // SAFETY: so are those of taps that meet zeros only.
        to = unsafe { to.add(run.skip * outer.width) };
    }
}

/// Adds `R` vectors of the large map, or with `MASK` the first `left` elements of one, times `M` outputs, over all pixels.
#[inline(always)]
unsafe fn strip<T: Float, V: Vector<T>, const M: usize, const R: usize, const MASK: bool>(
    outer: &Outer<'_, T>,
    x: usize,
    output: usize,
    to: *mut T,
    left: usize,
) {
    let steps = outer.steps();
    let mut sums = [[V::splat(T::ZERO); R]; M];
    // SAFETY: the caller gives a run's elements inside the large map, outputs that exist, and sums of as many rows.
    unsafe {
        let mut dy = outer.dy.as_ptr().add(output);
        for row in 0..outer.h {
            let mut from = outer.x.as_ptr().add(x + row * outer.pitch.row);
            for _ in 0..outer.w {
                let mut values = [V::splat(T::ZERO); R];
                for j in 0..R {
                    let place = from.add(j * V::N);
                    values[j] = if MASK { V::load_first(place, left) } else { V::load(place) };
                }
                for i in 0..M {
                    let gradient = V::splat(*dy.add(i));
                    for j in 0..R {
                        sums[i][j] = values[j].fma(gradient, sums[i][j]);
                    }
                }
                dy = dy.add(outer.width);
                from = from.add(outer.pitch.pixel);
            }
        }
        for i in 0..M {
            for j in 0..R {
                let place = to.add(i * steps + j * V::N);
                let held = |place| if MASK { V::load_first(place, left) } else { V::load(place) };
                let sum = if outer.first { sums[i][j] } else { held(place).add(sums[i][j]) };
                if MASK { sum.store_first(place, left) } else { sum.store(place) }
            }
        }
    }
}

/// All runs against `M` outputs: `[output][step]`.
#[inline(always)]
unsafe fn strips<T: Float, V: Vector<T>, const M: usize>(outer: &Outer<'_, T>, output: usize) {
    // SAFETY: the runs' elements lie inside the large map and the sums.
    unsafe {
        let mut to = outer.sums.add(output * outer.steps());
        for run in outer.runs {
            let mut step = 0;
            while step < run.steps {
                let (x, left) = (run.offset + step, run.steps - step);
                let done = if left >= 4 * V::N {
                    strip::<T, V, M, 4, false>(outer, x, output, to.add(step), left);
                    4 * V::N
                } else if left >= V::N {
                    strip::<T, V, M, 1, false>(outer, x, output, to.add(step), left);
                    V::N
                } else {
                    strip::<T, V, M, 1, true>(outer, x, output, to.add(step), left);
                    left
                };
                step += done;
            }
            to = to.add(run.steps + run.skip);
        }
    }
}

levels! {
    /// As [`add_unit`] where outputs are few: vectors lie along the large map's channels, and the sums are `[output][step]`.
    pub fn add_few<T, V>(outer: &Outer<'_, T>) {
        let mut output = 0;
        while output < outer.live {
            let some = (outer.live - output).min(4);
            // SAFETY: the maps and the sums have these sizes.
            unsafe {
                match some {
                    1 => strips::<T, V, 1>(outer, output),
                    2 => strips::<T, V, 2>(outer, output),
                    3 => strips::<T, V, 3>(outer, output),
                    _ => strips::<T, V, 4>(outer, output),
                }
            }
            output += some;
        }
    }
}

/// Adds a unit to the sums of a panel; the sums hold `width` elements for each step of each run.
#[inline(always)]
fn add<T: Float, V: Vector<T>, P: Products<T, V>>(outer: &Outer<'_, T>) {
    let vectors = outer.width / V::N;
    let most = if V::N > 1 { V::TILE.1 } else { 4 };
    let mut j = 0;
    while j < vectors {
        let column = j * V::N;
        // SAFETY: the copied maps and the sums have these sizes.
        unsafe {
            if V::TILE.1 >= 4 && V::N > 1 {
                match vectors - j {
                    1 => sweep::<T, V, P, 8, 4, 1>(outer, column),
                    2 => sweep::<T, V, P, 8, 4, 2>(outer, column),
                    3 => sweep::<T, V, P, 8, 4, 3>(outer, column),
                    _ => sweep::<T, V, P, 6, 2, 4>(outer, column),
                }
            } else if V::N > 1 {
                sweep::<T, V, P, 6, 2, 2>(outer, column);
            } else {
                sweep::<T, V, P, 2, 1, 4>(outer, column);
            }
        }
        j += most;
    }
}

levels! {
    /// Adds a unit of elements.
    pub fn add_unit<T, V>(outer: &Outer<'_, T>) {
        add::<T, V, Fused>(outer);
    }
}

pair_levels! {
    /// Adds a unit whose elements are pairs of pixels.
    pub fn add_pairs<V, P>(outer: &Outer<'_, f32>) {
        add::<f32, V, P>(outer);
    }
}
