//! The gradient of a weight: sums of outer products over pixels.
//!
//! Both directions are one: a weight (small, large, kh, kw) joins a map at window positions (small: the output of a
//! convolution, the input of its transpose) and the map that the windows lie in (large). Pixels are summed in units, units
//! in a fixed number of chunks, chunks in order: who computes what changes no bit.

use std::marker::PhantomData;
use std::ops::Range;

use super::arithmetic::Arithmetic;
use super::direct::Problem;
use super::outer::{Outer, add_few};
use super::pack::{Image, Patch, gather};
use super::plan::{BLOCK, Pitch, Run, WIDTH, runs};
use super::scratch;
use crate::error::Result;
use crate::levels;
use crate::simd::Float;
use crate::threads::{self, Shared};

/// Pixels of a unit: both maps' parts stay in the first-level cache.
const UNIT: usize = 64;
/// Pieces of work that a layer should give: chunks times pairs of channel blocks.
const PIECES: usize = 32;

/// Elements of sums up to which a task takes four pairs of channel blocks: each part of a map that it copies serves two of them.
const SUMS: usize = 1 << 16;

/// Outputs up to which vectors lie along the large map's channels: along the outputs they would be empty for the most part.
const FEW: usize = 8;

/// Everything that tasks share; the problem's channels are the large map's, its outputs the small map's.
struct Job<'a, T, A> {
    problem: Problem,
    h: usize,
    w: usize,
    chunks: usize,
    /// Panels and blocks of a task, along each of both sides.
    together: usize,
    /// Elements of the largest pair's sums.
    most: usize,
    /// Whether vectors lie along channels, since outputs are few.
    few: bool,
    /// Whether the large map is read where it lies: no window reaches over its edges.
    in_place: bool,
    small: &'a [T],
    large: &'a [T],
    taps: usize,
    arithmetic: PhantomData<A>,
}

impl<T: Float, A: Arithmetic<T>> Job<'_, T, A> {
    fn units(&self) -> (usize, usize) {
        (self.problem.rows.output.div_ceil(self.h), self.problem.columns.output.div_ceil(self.w))
    }

    /// The panels and blocks of a task from its first ones on.
    fn pairs(&self, k: usize, c: usize) -> (Range<usize>, Range<usize>) {
        let panels = &self.problem.panels;
        (k..panels.count().min(k + self.together), c..panels.blocks().min(c + self.together))
    }

    /// Elements of the copies of a unit's part of a block of the large map, and of a panel of the small one.
    fn copies(&self) -> (usize, usize) {
        let (ph, pw) = self.problem.patch(self.h, self.w);
        (ph * pw * self.problem.panels.depth(0), self.h * self.w * self.problem.panels.width(0))
    }

    /// Outputs for which sums have room.
    fn width(&self, k: usize) -> usize {
        if self.few { self.problem.panels.live(k) } else { self.problem.panels.width(k) }
    }

    /// Where the sums of a pair lie among those of its task.
    fn place(&self, at: (usize, usize, usize), k: usize, c: usize) -> usize {
        ((k - at.1) * self.together + c - at.2) * self.most
    }

    /// Sums a chunk's units into `sums[pair][tap][channel][output]` of the pairs of channel blocks of a task.
    fn chunk(&self, sums: *mut T, copy: &mut [T], chunk: usize, at: (usize, usize, usize)) {
        let panels = &self.problem.panels;
        let (ks, cs) = self.pairs(at.1, at.2);
        let (down, across) = self.units();
        let total = self.problem.n * down * across;
        let start = total * chunk / self.chunks;
        let (large, small) = self.copies();
        let (xs, rest) = copy.split_at_mut(large * cs.len());
        let (dys, stage) = rest.split_at_mut(small * ks.len());
        for unit in start..total * (chunk + 1) / self.chunks {
            let place = (unit / (down * across), unit / across % down * self.h, unit % across * self.w);
            let (h, w) = (self.h.min(self.problem.rows.output - place.1), self.w.min(self.problem.columns.output - place.2));
            for (dy, k) in dys.chunks_exact_mut(small).zip(ks.clone()) {
                self.copy_small((dy, stage), place, (h, w), at.0 * panels.outputs + k * WIDTH, (self.width(k), panels.live(k)));
            }
            for (x, c) in xs.chunks_exact_mut(large).zip(cs.clone()) {
                let (x, pitch) = self.large((x, stage), place, (h, w), at.0 * panels.channels + c * BLOCK, panels.depth(c));
                let first = unit == start;
                let list = self.runs((place.1, h), (place.2, w), panels.depth(c), pitch, first);
                let step =
                    Pitch { pixel: A::TOGETHER * self.problem.columns.in_step * pitch.pixel, row: self.problem.rows.in_step * pitch.row };
                for (dy, k) in dys.chunks_exact(small).zip(ks.clone()) {
                    let sums = sums.wrapping_add(self.place(at, k, c));
                    let outer = Outer {
                        runs: &list,
                        x,
                        pitch: step,
                        dy,
                        h,
                        w: w.div_ceil(A::TOGETHER),
                        width: self.width(k),
                        live: panels.live(k),
                        sums,
                        first,
                    };
                    if self.few { add_few(&outer) } else { A::add(&outer) }
                }
            }
        }
    }

    /// The taps that a unit of rows and columns, each from one on, meets; the first unit of a chunk meets all.
    fn runs(&self, down: (usize, usize), across: (usize, usize), depth: usize, pitch: Pitch, first: bool) -> Vec<Run> {
        let (rows, columns) = (&self.problem.rows, &self.problem.columns);
        let (mut list, low) = (Vec::new(), (rows.reach().0, columns.reach().0));
        let seen = (rows.seen(down.0, down.1), columns.seen(across.0, across.1));
        let seen = (|offset| first || seen.0(offset), |offset| first || seen.1(offset));
        runs(&mut list, (&rows.phases[0], &columns.phases[0]), (0, low), depth, self.problem.panels.channels, pitch, seen);
        list
    }

    /// A unit's part of some channels of the large map: a copy with the zeros around it, or where it lies.
    fn large<'b>(
        &'b self,
        to: (&'b mut [T], &mut [T]),
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
        let (x, stage) = to;
        let patch = Patch { row, rows: ph, column, columns: pw };
        if A::TOGETHER == 1 {
            image.copy(x, patch, channel, depth);
        } else {
            image.copy(stage, patch, channel, depth);
            for (to, from) in x.chunks_exact_mut(pw * depth).zip(stage.chunks_exact(pw * depth)).take(ph) {
                A::join(to, pw * depth, from, 0, columns.in_step * depth);
            }
        }
        (x, Pitch { pixel: depth, row: pw * depth })
    }

    /// A unit's part of some channels of the small map.
    fn copy_small(
        &self,
        to: (&mut [T], &mut [T]),
        at: (usize, usize, usize),
        size: (usize, usize),
        channel: usize,
        widths: (usize, usize),
    ) {
        let (dy, stage) = to;
        if A::TOGETHER == 1 {
            return self.copy_pixels(dy, at, size, channel, widths);
        }
        self.copy_pixels(stage, at, size, channel, widths);
        let (row, pairs) = (size.1 * widths.0, size.1.div_ceil(A::TOGETHER) * widths.0);
        for (to, from) in dy.chunks_exact_mut(pairs).zip(stage.chunks_exact(row)).take(size.0) {
            A::join(to, widths.0, from, A::TOGETHER * widths.0, widths.0);
        }
    }

    fn copy_pixels(&self, dy: &mut [T], at: (usize, usize, usize), size: (usize, usize), channel: usize, widths: (usize, usize)) {
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

    /// Writes the sums of a task's pairs of channel blocks into the weight's order.
    fn write(&self, dw: Shared<'_, T>, sums: &[T], at: (usize, usize, usize)) {
        let (ks, cs) = self.pairs(at.1, at.2);
        for (k, c) in ks.flat_map(|k| cs.clone().map(move |c| (k, c))) {
            self.write_pair(dw, &sums[self.place(at, k, c)..], (at.0, k, c));
        }
    }

    /// Writes those of one pair.
    fn write_pair(&self, dw: Shared<'_, T>, sums: &[T], at: (usize, usize, usize)) {
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
                        let sum = sums[(tap * depth + near + i) * steps.0 + out * steps.1];
                        *value = if A::TOGETHER > 1 { sum.nearest_bfloat16() } else { sum };
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
pub fn run<T: Float, A: Arithmetic<T>>(dw: &mut [T], small: &[T], large: &[T], problem: Problem) -> Result {
    if small.is_empty() || large.is_empty() || dw.is_empty() {
        dw.fill(T::ZERO);
        return Ok(());
    }
    let problem = problem.flattened();
    let panels = problem.panels;
    let taps = problem.rows.phases[0].taps.len() * problem.columns.phases[0].taps.len();
    let (h, w) = problem.block(UNIT, problem.columns.narrow(UNIT), panels.depth(0));
    let few = panels.outputs <= FEW && A::TOGETHER == 1;
    let in_place = few && problem.rows.is_inside() && problem.columns.is_inside();
    let most = taps * BLOCK.min(panels.channels) * WIDTH.min(panels.padded());
    let mut job = Job { problem, h, w, chunks: 1, together: 1, most, few, in_place, small, large, taps, arithmetic: PhantomData::<A> };
    let (down, across) = job.units();
    let (blocks, count, units) = (panels.blocks(), panels.count(), job.problem.n * down * across);
    job.chunks = PIECES.div_ceil(panels.groups * blocks * count).min(units).max(1);
    let tasks = |job: &Job<'_, T, A>| panels.groups * blocks.div_ceil(job.together) * count.div_ceil(job.together);
    job.together = if few || 4 * most > SUMS { 1 } else { 2 };
    if tasks(&job) * job.chunks < 2 * threads::num_threads() {
        job.together = 1;
    }
    summed(&job, dw, tasks(&job), units)
}

/// Sums all tasks, and their chunks.
fn summed<T: Float, A: Arithmetic<T>>(job: &Job<'_, T, A>, dw: &mut [T], tasks: usize, units: usize) -> Result {
    let (panels, some) = (&job.problem.panels, job.together);
    let (blocks, count) = (panels.blocks().div_ceil(some), panels.count().div_ceil(some));
    let task = |i: usize| (i / (blocks * count), i / blocks % count * some, i % blocks * some);
    let (dw, all) = (Shared::new(dw), some * some * job.most);
    let (large, small) = job.copies();
    let stage = if A::TOGETHER > 1 { large.max(small) } else { 0 };
    let copied = some * (large + small) + stage;
    let cost = (units / job.chunks + 1).saturating_mul(job.h * job.w * all / 8 + 1);
    let failed = scratch::Failure::new();
    if job.chunks == 1 {
        threads::parallel(tasks, cost, |i| {
            failed.note(scratch::with(copied + all, |memory| {
                let (copy, sums) = memory.split_at_mut(copied);
                job.chunk(sums.as_mut_ptr(), copy, 0, task(i));
                job.write(dw, sums, task(i));
            }));
        });
        return failed.result();
    }
    let parts = crate::blocks::Block::new(all * size_of::<T>() * tasks * job.chunks)?;
    let address = parts.as_ptr() as usize;
    // SAFETY: the block holds `all` elements for each pair of a task and a chunk.
    let part = |i: usize, chunk: usize| unsafe { (address as *mut T).add((i * job.chunks + chunk) * all) };
    threads::parallel(tasks * job.chunks, cost, |work| {
        let (i, chunk) = (work / job.chunks, work % job.chunks);
        failed.note(scratch::with(copied, |copy| job.chunk(part(i, chunk), copy, chunk, task(i))));
    });
    failed.result()?;
    threads::parallel(tasks, all * job.chunks, |i| {
        let (ks, cs) = job.pairs(task(i).1, task(i).2);
        for (k, c) in ks.flat_map(|k| cs.clone().map(move |c| (k, c))) {
            let len = job.taps * panels.depth(c) * job.width(k);
            // SAFETY: the tasks above wrote these elements, and only this task reads them now.
            let (total, others) = unsafe {
                let view = |chunk| std::slice::from_raw_parts_mut(part(i, chunk).add(job.place(task(i), k, c)), len);
                (view(0), (1..job.chunks).map(view))
            };
            others.for_each(|other| add_to(total, other));
            job.write_pair(dw, total, (task(i).0, k, c));
        }
    });
    Ok(())
}
