//! Direct convolution on channels-last buffers, in either direction.

use std::marker::PhantomData;
use std::ops::Range;

use super::arithmetic::Arithmetic;
use super::few::run_few;
use super::kernel::{Epilogue, Panel, Pixel};
use super::pack::{Image, Patch};
use super::plan::{Axis, BLOCK, LANE, PIXELS, Panels, Phase, Pitch, Run, WIDTH, runs};
use super::scratch;
use crate::error::Result;
use crate::simd::{Float, settle};
use crate::streaming;
use crate::threads::{self, Shared};

/// Columns of a block where rows are long: the copied halo stays small.
const COLUMNS: usize = 40;
/// Elements of a panel of weights, and of copied input, that one pass over a block's pixels should not pass.
const PASS: usize = 1 << 16;
/// Bytes of a cache line.
const LINE: usize = 64;
/// Elements that a block's copied input should not pass.
const INPUT: usize = 1 << 18;

/// Sizes of one run; channels and outputs are those of a group.
#[derive(Debug)]
pub struct Problem {
    /// Images.
    pub n: usize,
    /// Rows.
    pub rows: Axis,
    /// Columns.
    pub columns: Axis,
    /// Channels, as the micro-kernel reads them: together.
    pub panels: Panels,
    /// Channels of a group.
    pub channels: usize,
}

/// A block of output pixels, in pixels of a phase.
#[derive(Debug, Clone, Copy)]
struct Block {
    y: usize,
    h: usize,
    x: usize,
    w: usize,
}

/// How the outputs are cut into tasks; decides speed only.
#[derive(Debug)]
struct Cut {
    h: usize,
    w: usize,
    down: usize,
    across: usize,
    shares: usize,
    /// Channel blocks of one pass.
    together: usize,
    /// Whether the input is read where it lies.
    in_place: bool,
    /// Whether vectors lie along channels; all of them are in one pass then.
    few: bool,
}

impl Problem {
    /// Sizes of the copied input of a block, in pixels.
    pub fn patch(&self, h: usize, w: usize) -> (usize, usize) {
        let span = |axis: &Axis, n: usize| {
            let (low, high) = axis.reach();
            (n.max(1) - 1) * axis.in_step + (high - low) as usize + 1
        };
        (span(&self.rows, h), span(&self.columns, w))
    }

    /// Height and width of blocks of at most `pixels` pixels of a phase, about `columns` wide where rows are long.
    /// The input of a block has `depth` channels.
    pub fn block(&self, pixels: usize, columns: usize, depth: usize) -> (usize, usize) {
        let (height, width) = (self.rows.longest().max(1), self.columns.longest().max(1));
        let mut w = if width <= columns + columns / 2 || height == 1 { width.min(pixels) } else { width.div_ceil(width.div_ceil(columns)) };
        let mut h = height.div_ceil(height.div_ceil((pixels / w).max(1)));
        while h * w > 1 && {
            let (rows, columns) = self.patch(h, w);
            rows.saturating_mul(columns).saturating_mul(depth.max(1)) > INPUT
        } {
            if h >= w { h = h.div_ceil(2) } else { w = w.div_ceil(2) }
        }
        (h, w)
    }

    /// `together`: numbers in an element of the input that the micro-kernel reads.
    fn cut(&self, together: usize) -> Cut {
        let few = together == 1 && self.panels.few(&self.rows, &self.columns);
        let (h, w) = self.block(PIXELS, self.columns.narrow(COLUMNS), if few { self.panels.channels } else { self.panels.depth(0) });
        let h = self.rows.narrow(h);
        let (down, across) = (self.rows.longest().div_ceil(h), self.columns.longest().div_ceil(w));
        let blocks = (self.n * down * across * self.panels.groups).max(1);
        let shares = (4 * threads::num_threads()).div_ceil(blocks).clamp(1, self.panels.count().max(1));
        let in_place = together == 1 && self.rows.is_pointwise() && self.columns.is_pointwise();
        let taps = |axis: &Axis| axis.phases.iter().map(|p| p.taps.len()).max().unwrap_or(0);
        let (rows, columns) = if in_place { (0, 0) } else { self.patch(h, w) };
        let largest = BLOCK * (WIDTH * taps(&self.rows) * taps(&self.columns)).max(rows * columns).max(1);
        let together = if few { self.panels.blocks() } else { (PASS / largest).max(1) };
        Cut { h, w, down, across, shares, together, in_place, few }
    }

    /// A convolution of single pixels with step 1 is one long row: nothing depends on where a row ends.
    pub fn flattened(self) -> Self {
        let plain = |axis: &Axis| axis.is_pointwise() && axis.in_step == 1 && axis.out_step == 1 && axis.input == axis.output;
        if !(plain(&self.rows) && plain(&self.columns)) || self.rows.phases.is_empty() || self.columns.phases.is_empty() {
            return self;
        }
        let long = |axis: &Axis, size: usize| {
            let mut axis = axis.clone();
            (axis.input, axis.output, axis.phases[0].count) = (size, size, size);
            axis
        };
        let size = self.n * self.rows.input * self.columns.input;
        Self { n: 1, rows: long(&self.rows, 1), columns: long(&self.columns, size), panels: self.panels, channels: self.channels }
    }
}

/// Everything that tasks share.
struct Job<'a, T, A> {
    problem: Problem,
    cut: Cut,
    y: Shared<'a, T>,
    x: &'a [T],
    packed: &'a [T],
    epilogue: Epilogue<'a, T>,
    /// Whether outputs are written past the caches.
    streams: bool,
    arithmetic: PhantomData<A>,
}

/// One block of one image and group, against a share of the panels.
#[derive(Debug, Clone, Copy)]
struct Task {
    image: usize,
    group: usize,
    share: usize,
    block: Block,
}

impl<T: Float, A: Arithmetic<T>> Job<'_, T, A> {
    fn task(&self, task: usize) -> Result {
        let (cut, problem) = (&self.cut, &self.problem);
        let (share, rest) = (task % cut.shares, task / cut.shares);
        let (across, rest) = (rest % cut.across, rest / cut.across);
        let (down, rest) = (rest % cut.down, rest / cut.down);
        let (group, image) = (rest % problem.panels.groups, rest / problem.panels.groups);
        let (y, x) = (down * cut.h, across * cut.w);
        let block = Block { y, h: cut.h.min(problem.rows.longest() - y), x, w: cut.w.min(problem.columns.longest() - x) };
        let task = Task { image, group, share, block };
        let blocks = problem.panels.blocks();
        let (rows, columns) = problem.patch(block.h, block.w);
        let depth = problem.panels.channels.min(BLOCK * cut.together);
        let len = if cut.in_place { 0 } else { rows * columns * depth };
        scratch::with(len, |copy| {
            for c in (0..blocks).step_by(cut.together) {
                self.pass(task, &(c..blocks.min(c + cut.together)), copy);
            }
            if self.streams {
                settle();
            }
        })
    }

    /// Where a pixel of a block reads and writes.
    fn pixels(&self, task: Task, phase: (&Phase, &Phase), pitch: Pitch, list: &mut [Pixel]) -> usize {
        let (rows, columns) = (&self.problem.rows, &self.problem.columns);
        let channels = self.problem.panels.groups * self.problem.panels.outputs;
        let block = task.block;
        let h = block.h.min(phase.0.count.saturating_sub(block.y));
        let w = block.w.min(phase.1.count.saturating_sub(block.x));
        for i in 0..h {
            let line = (task.image * rows.output + phase.0.first + (block.y + i) * rows.out_step) * columns.output;
            for j in 0..w {
                let y = (line + phase.1.first + (block.x + j) * columns.out_step) * channels;
                list[i * w + j] = Pixel { x: i * rows.in_step * pitch.row + j * columns.in_step * pitch.pixel, y };
            }
        }
        h * w
    }

    /// The input of a block as far as some channel blocks of its group go: where it lies, or a copy with the zeros around it.
    fn input(&self, task: Task, pass: &Range<usize>, copy: &mut [T]) -> (*const T, Pitch) {
        let (panels, rows, columns) = (&self.problem.panels, &self.problem.rows, &self.problem.columns);
        let channels = panels.groups * self.problem.channels;
        let from = A::TOGETHER * pass.start * BLOCK;
        let channel = task.group * self.problem.channels + from;
        let (y, x) = (task.block.y * rows.in_step, task.block.x * columns.in_step);
        if self.cut.in_place {
            let start = ((task.image * rows.input + y) * columns.input + x) * channels + channel;
            return (self.x[start.min(self.x.len())..].as_ptr(), Pitch { pixel: channels, row: columns.input * channels });
        }
        let (h, w) = self.problem.patch(task.block.h, task.block.w);
        let patch = Patch { row: y as isize + rows.reach().0, rows: h, column: x as isize + columns.reach().0, columns: w };
        let size = rows.input * columns.input * channels;
        let depth: usize = pass.clone().map(|c| panels.depth(c)).sum();
        let image = Image { values: &self.x[task.image * size..(task.image + 1) * size], h: rows.input, w: columns.input, channels };
        A::copy(&image, copy, patch, channel, (A::TOGETHER * depth).min(self.problem.channels - from));
        (copy.as_ptr(), Pitch { pixel: depth, row: w * depth })
    }

    /// Some channel blocks: all phases of the block, all panels of the share.
    fn pass(&self, task: Task, pass: &Range<usize>, copy: &mut [T]) {
        let (panels, rows, columns) = (&self.problem.panels, &self.problem.rows, &self.problem.columns);
        let (block, low) = (task.block, (rows.reach().0, columns.reach().0));
        let (x, pitch) = self.input(task, pass, copy);
        let seen = (rows.seen(block.y, block.h), columns.seen(block.x, block.w));
        let mut start = 0;
        let (mut pixels, mut list) = ([Pixel::default(); PIXELS], Vec::new());
        for phase in rows.phases.iter().flat_map(|y| columns.phases.iter().map(move |x| (y, x))) {
            let taps = phase.0.taps.len() * phase.1.taps.len();
            let count = self.pixels(task, phase, pitch, &mut pixels);
            list.clear();
            for c in pass.clone() {
                runs(
                    &mut list,
                    phase,
                    ((c - pass.start) * BLOCK, low),
                    panels.depth(c),
                    panels.channels,
                    pitch,
                    (&seen.0, |offset| self.cut.few || seen.1(offset)),
                );
            }
            self.panels(&self.packed[start..start + panels.len(taps)], x, &list, &pixels[..count], (task, pass, taps));
            start += panels.len(taps);
        }
    }

    /// A share of the panels against the pixels of a phase.
    fn panels(&self, packed: &[T], x: *const T, runs: &[Run], pixels: &[Pixel], at: (Task, &Range<usize>, usize)) {
        let (task, pass, taps) = at;
        let panels = &self.problem.panels;
        let depth: usize = pass.clone().map(|c| panels.depth(c)).sum();
        let share = |i: usize| panels.count() * i / self.cut.shares;
        for k in share(task.share)..share(task.share + 1) {
            let (width, weights) = (panels.width(k), panels.start(taps, task.group, k, pass.start));
            let output = task.group * panels.outputs + k * WIDTH;
            let epilogue = self.epilogue.part(output, panels.live(k));
            let run = if self.cut.few { run_few } else { A::panel };
            run(&Panel {
                runs,
                weights: &packed[weights..weights + width * depth * taps],
                width,
                live: panels.live(k),
                x,
                y: self.y.as_ptr().wrapping_add(output),
                pixels,
                first: pass.start == 0,
                last: (pass.end == panels.blocks()).then_some(epilogue),
                streams: self.streams,
            });
        }
    }
}

/// Runs a convolution; the slices have the problem's sizes.
///
/// # Errors
/// [`crate::error::Error::Memory`].
pub fn run<T: Float, A: Arithmetic<T>>(y: &mut [T], x: &[T], packed: &[T], epilogue: Epilogue<'_, T>, problem: Problem) -> Result {
    if y.is_empty() {
        return Ok(());
    }
    let problem = problem.flattened();
    let cut = problem.cut(A::TOGETHER);
    let tasks = problem.n * problem.panels.groups * cut.down * cut.across * cut.shares;
    let work = problem.panels.channels * problem.panels.outputs / cut.shares;
    let cost = (cut.h * cut.w).saturating_mul(work.max(1)) / 4 + 1;
    // In one pass, and each vector of outputs is whole.
    let whole = problem.panels.outputs.is_multiple_of(LANE) && y.as_ptr().addr().is_multiple_of(LINE);
    let streams = streaming::pays(size_of_val(y)) && whole && !cut.few && cut.together >= problem.panels.blocks();
    let job = Job { problem, cut, y: Shared::new(y), x, packed, epilogue, streams, arithmetic: PhantomData::<A> };
    let failed = scratch::Failure::new();
    threads::parallel(tasks, cost, |task| failed.note(job.task(task)));
    failed.result()
}
