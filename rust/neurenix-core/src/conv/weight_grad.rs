//! The gradient of a weight: sums of outer products over pixels.
//!
//! Both directions are one: a weight (small, large, kh, kw) joins a map at window positions (small: the output of a
//! convolution, the input of its transpose) and the map that the windows lie in (large). Pixels are summed in units, units
//! in a fixed number of chunks, chunks in order: who computes what changes no bit.

#![allow(clippy::needless_range_loop)] // a tile of registers reads best by its two indices

use super::direct::Problem;
use super::pack::{Image, Patch, gather};
use super::plan::{BLOCK, Pitch, Run, WIDTH, runs};
use super::scratch;
use crate::error::Result;
use crate::levels;
use crate::simd::{Float, Vector};
use crate::threads::{self, Shared};

/// Pixels of a unit: both maps' parts stay in the first-level cache.
const UNIT: usize = 64;
/// Pieces of work that a layer should give: chunks times pairs of channel blocks.
const PIECES: usize = 32;

/// Outputs up to which vectors lie along the large map's channels: along the outputs they would be empty for the most part.
const FEW: usize = 8;

/// A unit's part of both maps, and the sums that it is added to.
struct Outer<'a, T> {
    runs: &'a [Run],
    x: &'a [T],
    pitch: Pitch,
    dy: &'a [T],
    h: usize,
    w: usize,
    width: usize,
    /// Outputs that exist.
    live: usize,
    sums: *mut T,
    /// Whether the sums hold nothing yet; no tap is passed over then.
    first: bool,
}

impl<T> Outer<'_, T> {
    /// Rows of the sums.
    fn steps(&self) -> usize {
        self.runs.iter().map(|run| run.steps + run.skip).sum()
    }
}

/// Adds `M` rows of the large map times `R` vectors of the small one, over all pixels of the unit.
#[inline(always)]
unsafe fn tile<T: Float, V: Vector<T>, const M: usize, const R: usize>(outer: &Outer<'_, T>, x: usize, column: usize, to: *mut T) {
    let mut sums = [[V::splat(T::ZERO); R]; M];
    // SAFETY: the caller gives a run's elements inside the copied maps, and sums of as many rows.
    unsafe {
        let mut dy = outer.dy.as_ptr().add(column);
        for row in 0..outer.h {
            let mut from = outer.x.as_ptr().add(x + row * outer.pitch.row);
            for _ in 0..outer.w {
                let mut gradient = [V::splat(T::ZERO); R];
                for j in 0..R {
                    gradient[j] = V::load(dy.add(j * V::N));
                }
                for i in 0..M {
                    let value = V::splat(*from.add(i));
                    for j in 0..R {
                        sums[i][j] = value.fma(gradient[j], sums[i][j]);
                    }
                }
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
unsafe fn sweep<T: Float, V: Vector<T>, const M: usize, const H: usize, const R: usize>(outer: &Outer<'_, T>, column: usize) {
    let mut to = outer.sums;
    for run in outer.runs {
        let mut step = 0;
        while step < run.steps {
            let (x, left) = (run.offset + step, run.steps - step);
            // SAFETY: the run's rows lie inside the copied map and the sums.
            unsafe {
                let done = if left >= M {
                    tile::<T, V, M, R>(outer, x, column, to);
                    M
                } else if left >= H {
                    tile::<T, V, H, R>(outer, x, column, to);
                    H
                } else {
                    tile::<T, V, 1, R>(outer, x, column, to);
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
    fn add_few<T, V>(outer: &Outer<'_, T>) {
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

levels! {
    /// Adds a unit to the sums of a panel; the sums hold `width` elements for each step of each run.
    fn add_unit<T, V>(outer: &Outer<'_, T>) {
        let vectors = outer.width / V::N;
        let most = if V::N > 1 { V::TILE.1 } else { 4 };
        let mut j = 0;
        while j < vectors {
            let column = j * V::N;
            // SAFETY: the copied maps and the sums have these sizes.
            unsafe {
                if V::TILE.1 >= 4 && V::N > 1 {
                    match vectors - j {
                        1 => sweep::<T, V, 8, 4, 1>(outer, column),
                        2 => sweep::<T, V, 8, 4, 2>(outer, column),
                        3 => sweep::<T, V, 8, 4, 3>(outer, column),
                        _ => sweep::<T, V, 6, 2, 4>(outer, column),
                    }
                } else if V::N > 1 {
                    sweep::<T, V, 6, 2, 2>(outer, column);
                } else {
                    sweep::<T, V, 2, 1, 4>(outer, column);
                }
            }
            j += most;
        }
    }
}

/// Everything that tasks share; the problem's channels are the large map's, its outputs the small map's.
struct Job<'a, T> {
    problem: Problem,
    h: usize,
    w: usize,
    chunks: usize,
    /// Whether vectors lie along channels, since outputs are few.
    few: bool,
    /// Whether the large map is read where it lies: no window reaches over its edges.
    in_place: bool,
    small: &'a [T],
    large: &'a [T],
    taps: usize,
}

impl<T: Float> Job<'_, T> {
    fn units(&self) -> (usize, usize) {
        (self.problem.rows.output.div_ceil(self.h), self.problem.columns.output.div_ceil(self.w))
    }

    /// Sums a chunk's units into `sums[tap][channel][output]` of one pair of channel blocks.
    fn chunk(&self, sums: *mut T, copy: &mut [T], chunk: usize, at: (usize, usize, usize)) {
        let (group, k, c) = at;
        let panels = &self.problem.panels;
        let (width, depth) = (if self.few { panels.live(k) } else { panels.width(k) }, panels.depth(c));
        let (down, across) = self.units();
        let total = self.problem.n * down * across;
        let first = total * chunk / self.chunks;
        let (ph, pw) = self.problem.patch(self.h, self.w);
        let (x, dy) = copy.split_at_mut(ph * pw * depth);
        let mut list = Vec::new();
        for unit in first..total * (chunk + 1) / self.chunks {
            let (image, oy, ox) = (unit / (down * across), unit / across % down * self.h, unit % across * self.w);
            let (h, w) = (self.h.min(self.problem.rows.output - oy), self.w.min(self.problem.columns.output - ox));
            let (x, pitch) = self.large(x, (image, oy, ox), (h, w), group * panels.channels + c * BLOCK, depth);
            self.copy_small(dy, (image, oy, ox), (h, w), group * panels.outputs + k * WIDTH, (width, panels.live(k)));
            let (rows, columns) = (&self.problem.rows, &self.problem.columns);
            let low = (rows.reach().0, columns.reach().0);
            list.clear();
            let (first, seen) = (unit == first, (rows.seen(oy, h), columns.seen(ox, w)));
            let seen = (|offset| first || seen.0(offset), |offset| first || seen.1(offset));
            runs(&mut list, (&rows.phases[0], &columns.phases[0]), (0, low), depth, panels.channels, pitch, seen);
            let step = Pitch { pixel: columns.in_step * pitch.pixel, row: rows.in_step * pitch.row };
            let outer = Outer { runs: &list, x, pitch: step, dy, h, w, width, live: panels.live(k), sums, first };
            if self.few { add_few(&outer) } else { add_unit(&outer) }
        }
    }

    /// A unit's part of some channels of the large map: a copy with the zeros around it, or where it lies.
    fn large<'b>(
        &'b self,
        x: &'b mut [T],
        at: (usize, usize, usize),
        size: (usize, usize),
        channel: usize,
        depth: usize,
    ) -> (&'b [T], Pitch) {
        let (rows, columns) = (&self.problem.rows, &self.problem.columns);
        let channels = self.problem.panels.groups * self.problem.panels.channels;
        let elements = rows.input * columns.input * channels;
        let image = Image { values: &self.large[at.0 * elements..(at.0 + 1) * elements], h: rows.input, w: columns.input, channels };
        let row = (at.1 * rows.in_step) as isize + rows.reach().0;
        let column = (at.2 * columns.in_step) as isize + columns.reach().0;
        if self.in_place {
            let start = (row as usize * columns.input + column as usize) * channels + channel;
            return (&image.values[start..], Pitch { pixel: channels, row: columns.input * channels });
        }
        let (ph, pw) = self.problem.patch(size.0, size.1);
        image.copy(x, Patch { row, rows: ph, column, columns: pw }, channel, depth);
        (x, Pitch { pixel: depth, row: pw * depth })
    }

    fn copy_small(&self, dy: &mut [T], at: (usize, usize, usize), size: (usize, usize), channel: usize, widths: (usize, usize)) {
        let (rows, columns) = (self.problem.rows.output, self.problem.columns.output);
        let channels = self.problem.panels.groups * self.problem.panels.outputs;
        for (row, out) in dy.chunks_exact_mut(size.1 * widths.0).take(size.0).enumerate() {
            let place = (at.0 * rows + at.1 + row) * columns + at.2;
            if widths == (channels, channels) {
                out.copy_from_slice(&self.small[place * channels..place * channels + out.len()]);
                continue;
            }
            gather(out, widths.0, &self.small[place * channels + channel..], channels, widths.1);
        }
    }

    /// Writes the sums of one pair of channel blocks into the weight's order.
    fn write(&self, dw: Shared<'_, T>, sums: &[T], at: (usize, usize, usize)) {
        const NEAR: usize = 32;
        let (group, k, c) = at;
        let panels = &self.problem.panels;
        let (width, depth, taps) = (panels.width(k), panels.depth(c), self.taps);
        let steps = if self.few { (1, taps * depth) } else { (width, 1) };
        for near in (0..depth).step_by(NEAR) {
            let some = NEAR.min(depth - near);
            for out in 0..panels.live(k) {
                let row = (group * panels.outputs + k * WIDTH + out) * panels.channels + c * BLOCK + near;
                // SAFETY: each pair of channel blocks has its own elements of the weight.
                let to = unsafe { dw.slice(row * taps, some * taps) };
                for (i, channel) in to.chunks_exact_mut(taps).enumerate() {
                    for (tap, value) in channel.iter_mut().enumerate() {
                        *value = sums[(tap * depth + near + i) * steps.0 + out * steps.1];
                    }
                }
            }
        }
    }
}

levels! {
    fn add_to<T: Float>(total: &mut [T], part: &[T]) {
        for (t, &p) in total.iter_mut().zip(part) {
            *t += p;
        }
    }
}

/// `dw[s, l, tap] = sum over pixels of small[pixel, s] * large[pixel at tap, l]`; the slices have the problem's sizes.
///
/// # Errors
/// [`crate::error::Error::Memory`].
pub fn run<T: Float>(dw: &mut [T], small: &[T], large: &[T], problem: Problem) -> Result {
    if small.is_empty() || large.is_empty() || dw.is_empty() {
        dw.fill(T::ZERO);
        return Ok(());
    }
    let problem = problem.flattened();
    let panels = problem.panels;
    let taps = problem.rows.phases[0].taps.len() * problem.columns.phases[0].taps.len();
    let (h, w) = problem.block(UNIT, problem.columns.narrow(UNIT), panels.depth(0));
    let (blocks, count) = (panels.blocks(), panels.count());
    let pieces = panels.groups * blocks * count;
    let few = panels.outputs <= FEW;
    let in_place = few && problem.rows.is_inside() && problem.columns.is_inside();
    let mut job = Job { problem, h, w, chunks: 1, few, in_place, small, large, taps };
    let (down, across) = job.units();
    let units = job.problem.n * down * across;
    job.chunks = PIECES.div_ceil(pieces).min(units).max(1);
    let piece = |i: usize| (i / (blocks * count), i / blocks % count, i % blocks);
    let most = taps * BLOCK.min(panels.channels) * WIDTH.min(panels.padded());
    let length = |(_, k, c): (usize, usize, usize)| taps * panels.depth(c) * panels.width(k);
    let dw = Shared::new(dw);
    let (ph, pw) = job.problem.patch(h, w);
    let copied = ph * pw * panels.depth(0) + h * w * panels.width(0);
    let cost = (units / job.chunks + 1).saturating_mul(h * w * most / 8 + 1);
    let failed = scratch::Failure::new();
    if job.chunks == 1 {
        threads::parallel(pieces, cost, |i| {
            failed.note(scratch::with(copied + most, |memory| {
                let (copy, sums) = memory.split_at_mut(copied);
                job.chunk(sums.as_mut_ptr(), copy, 0, piece(i));
                job.write(dw, &sums[..length(piece(i))], piece(i));
            }));
        });
        return failed.result();
    }
    let parts = crate::blocks::Block::new(most * size_of::<T>() * pieces * job.chunks)?;
    let address = parts.as_ptr() as usize;
    // SAFETY: the block holds `most` elements for each pair of a piece and a chunk.
    let part = |i: usize, chunk: usize| unsafe { (address as *mut T).add((i * job.chunks + chunk) * most) };
    threads::parallel(pieces * job.chunks, cost, |task| {
        let (i, chunk) = (task / job.chunks, task % job.chunks);
        failed.note(scratch::with(copied, |copy| job.chunk(part(i, chunk), copy, chunk, piece(i))));
    });
    failed.result()?;
    threads::parallel(pieces, most * job.chunks, |i| {
        let len = length(piece(i));
        // SAFETY: the tasks above wrote these elements, and only this task reads them now.
        let (total, others) = unsafe {
            let view = |chunk| std::slice::from_raw_parts_mut(part(i, chunk), len);
            (view(0), (1..job.chunks).map(view))
        };
        others.for_each(|other| add_to(total, other));
        job.write(dw, total, piece(i));
    });
    Ok(())
}
