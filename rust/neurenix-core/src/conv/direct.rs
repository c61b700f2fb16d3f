//! Direct convolution on channels-last buffers, in either direction.

use super::kernel::{Epilogue, Panel, Pixel, run_panel};
use super::pack::{Image, Patch};
use super::plan::{Axis, Panels, Phase, Pitch, Run, runs};
use super::scratch;
use crate::error::Result;
use crate::simd::Float;
use crate::threads::{self, Shared};

/// Pixels of a block: whole tiles, few enough that a block's input and one panel of weights stay in the second-level cache.
const PIXELS: usize = 240;
/// Columns of a block where rows are long: the copied halo stays small.
const COLUMNS: usize = 40;
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
    /// Channels.
    pub panels: Panels,
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
    /// Whether the input is read where it lies.
    in_place: bool,
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
    pub fn block(&self, pixels: usize, columns: usize) -> (usize, usize) {
        let (height, width) = (self.rows.longest().max(1), self.columns.longest().max(1));
        let mut w = if width <= columns + columns / 2 || height == 1 { width.min(pixels) } else { width.div_ceil(width.div_ceil(columns)) };
        let mut h = (pixels / w).clamp(1, height);
        let depth = self.panels.depth(0).max(1);
        while h * w > 1 && {
            let (rows, columns) = self.patch(h, w);
            rows.saturating_mul(columns).saturating_mul(depth) > INPUT
        } {
            if h >= w { h = h.div_ceil(2) } else { w = w.div_ceil(2) }
        }
        (h, w)
    }

    fn cut(&self) -> Cut {
        let (h, w) = self.block(PIXELS, COLUMNS);
        let (down, across) = (self.rows.longest().div_ceil(h), self.columns.longest().div_ceil(w));
        let blocks = (self.n * down * across * self.panels.groups).max(1);
        let shares = (4 * threads::num_threads()).div_ceil(blocks).clamp(1, self.panels.count().max(1));
        Cut { h, w, down, across, shares, in_place: self.rows.is_pointwise() && self.columns.is_pointwise() }
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
        Self { n: 1, rows: long(&self.rows, 1), columns: long(&self.columns, size), panels: self.panels }
    }
}

/// Everything that tasks share.
struct Job<'a, T> {
    problem: Problem,
    cut: Cut,
    y: Shared<'a, T>,
    x: &'a [T],
    packed: &'a [T],
    epilogue: Epilogue<'a, T>,
}

/// The pixels of a phase inside a block, and how many input elements apart they lie.
fn pixels<T>(job: &Job<'_, T>, image: usize, block: Block, phase: (&Phase, &Phase), pitch: Pitch, list: &mut [Pixel]) -> usize {
    let (rows, columns) = (&job.problem.rows, &job.problem.columns);
    let channels = job.problem.panels.groups * job.problem.panels.outputs;
    let h = block.h.min(phase.0.count.saturating_sub(block.y));
    let w = block.w.min(phase.1.count.saturating_sub(block.x));
    for i in 0..h {
        let line = (image * rows.output + phase.0.first + (block.y + i) * rows.out_step) * columns.output;
        for j in 0..w {
            let y = (line + phase.1.first + (block.x + j) * columns.out_step) * channels;
            list[i * w + j] = Pixel { x: i * rows.in_step * pitch.row + j * columns.in_step * pitch.pixel, y };
        }
    }
    h * w
}

impl<T: Float> Job<'_, T> {
    /// One block of one image and group, against a share of the panels.
    fn task(&self, task: usize) -> Result {
        let (cut, problem) = (&self.cut, &self.problem);
        let (share, rest) = (task % cut.shares, task / cut.shares);
        let (across, rest) = (rest % cut.across, rest / cut.across);
        let (down, rest) = (rest % cut.down, rest / cut.down);
        let (group, image) = (rest % problem.panels.groups, rest / problem.panels.groups);
        let block = Block { y: down * cut.h, h: cut.h, x: across * cut.w, w: cut.w };
        let (rows, columns) = problem.patch(cut.h, cut.w);
        let len = if cut.in_place { 0 } else { rows * columns * problem.panels.depth(0) };
        scratch::with(len, |copy| {
            for c in 0..problem.panels.blocks() {
                self.channels(image, group, block, share, c, copy);
            }
        })
    }

    /// One block of channels.
    fn channels(&self, image: usize, group: usize, block: Block, share: usize, c: usize, copy: &mut [T]) {
        let problem = &self.problem;
        let (panels, rows, columns) = (&problem.panels, &problem.rows, &problem.columns);
        let (channels, depth) = (panels.groups * panels.channels, panels.depth(c));
        let channel = group * panels.channels + c * super::plan::BLOCK;
        let low = (rows.reach().0, columns.reach().0);
        let (x, pitch) = if self.cut.in_place {
            let row = image * rows.input + block.y * rows.in_step;
            let start = (row * columns.input + block.x * columns.in_step) * channels + channel;
            (self.x[start.min(self.x.len())..].as_ptr(), Pitch { pixel: channels, row: columns.input * channels })
        } else {
            let (h, w) = problem.patch(block.h, block.w);
            let (row, column) = ((block.y * rows.in_step) as isize + low.0, (block.x * columns.in_step) as isize + low.1);
            let size = rows.input * columns.input * channels;
            let source = Image { values: &self.x[image * size..(image + 1) * size], h: rows.input, w: columns.input, channels };
            source.copy(copy, Patch { row, rows: h, column, columns: w }, channel, depth);
            (copy.as_ptr(), Pitch { pixel: depth, row: w * depth })
        };
        let mut start = 0;
        let mut list = [Pixel::default(); PIXELS];
        for y in &rows.phases {
            for x_phase in &columns.phases {
                let taps = y.taps.len() * x_phase.taps.len();
                let count = pixels(self, image, block, (y, x_phase), pitch, &mut list);
                let found = runs(y, x_phase, low, depth, panels.channels, pitch);
                let packed = &self.packed[start..start + panels.len(taps)];
                self.panels(packed, x, &found, &list[..count], (group, share, c, taps));
                start += panels.len(taps);
            }
        }
    }

    /// A share of the panels against the pixels of a phase.
    fn panels(&self, packed: &[T], x: *const T, runs: &[Run], pixels: &[Pixel], at: (usize, usize, usize, usize)) {
        let (group, share, c, taps) = at;
        let panels = &self.problem.panels;
        let (first, last) = (panels.count() * share / self.cut.shares, panels.count() * (share + 1) / self.cut.shares);
        for k in first..last {
            let width = panels.width(k);
            let weights = panels.start(taps, group, k, c);
            let output = group * panels.outputs + k * super::plan::WIDTH;
            let epilogue = self.epilogue.part(output, panels.live(k));
            run_panel(&Panel {
                runs,
                weights: &packed[weights..weights + width * panels.depth(c) * taps],
                width,
                live: panels.live(k),
                x,
                y: self.y.as_ptr().wrapping_add(output),
                pixels,
                first: c == 0,
                last: (c + 1 == panels.blocks()).then_some(epilogue),
            });
        }
    }
}

/// Runs a convolution; the slices have the problem's sizes.
///
/// # Errors
/// [`crate::error::Error::Memory`].
pub fn run<T: Float>(y: &mut [T], x: &[T], packed: &[T], epilogue: Epilogue<'_, T>, problem: Problem) -> Result {
    if y.is_empty() {
        return Ok(());
    }
    let problem = problem.flattened();
    let cut = problem.cut();
    let tasks = problem.n * problem.panels.groups * cut.down * cut.across * cut.shares;
    let work = problem.panels.channels * problem.panels.outputs / cut.shares;
    let cost = (cut.h * cut.w).saturating_mul(work.max(1)) / 4 + 1;
    let job = Job { problem, cut, y: Shared::new(y), x, packed, epilogue };
    let failed = scratch::Failure::new();
    threads::parallel(tasks, cost, |task| failed.note(job.task(task)));
    failed.result()
}
