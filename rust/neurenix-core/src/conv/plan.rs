//! Which input pixel meets which weight.
//!
//! Both directions of a convolution are one list of taps: output pixel `i` of a phase reads the input pixels
//! `i * in_step + offset`. A forward convolution gathers with one phase and steps by its stride in the input; its transpose
//! scatters, which, read from the output, is `stride` phases that step by the stride in the output.

use crate::ensure_shape;
use crate::error::Result;

/// Channels of one partial sum.
pub const BLOCK: usize = 64;
/// Outputs of one panel of weights.
pub const WIDTH: usize = 64;
/// A panel's width is a multiple of this many outputs: the widest vector.
pub const LANE: usize = 16;
/// Pixels of a block at most: its input and one panel of weights stay in the second-level cache.
pub const PIXELS: usize = 384;
/// Steps after which a partial sum inside a channel block closes, at the end of a row of taps.
const SEGMENT: usize = 256;

/// One axis of a convolution as the user says it; `pad` is what lies before the first pixel.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Number of weights.
    pub kernel: usize,
    /// Step between windows.
    pub stride: usize,
    /// Step between the weights of a window.
    pub dilation: usize,
    /// Zeros before the first pixel.
    pub pad: usize,
}

/// One weight of an axis and the input pixel it meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tap {
    /// Its index in the kernel.
    pub index: usize,
    /// Input pixel of output pixel 0 of the phase.
    pub offset: isize,
}

/// Output pixels `first + i * out_step`, `i < count`, that use the same taps; taps are sorted by offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phase {
    /// Output pixel of `i = 0`.
    pub first: usize,
    /// Number of output pixels.
    pub count: usize,
    /// Weights and the pixels they meet.
    pub taps: Vec<Tap>,
}

/// One axis of a run: sizes, steps, phases.
#[derive(Debug, Clone)]
pub struct Axis {
    /// Pixels read.
    pub input: usize,
    /// Pixels written.
    pub output: usize,
    /// Input pixels between neighbours of a phase.
    pub in_step: usize,
    /// Output pixels between neighbours of a phase.
    pub out_step: usize,
    /// Together they write each output pixel once.
    pub phases: Vec<Phase>,
}

impl Window {
    fn check(&self, input: usize, output: usize) -> Result {
        let limit = isize::MAX as usize / 8;
        let reach = self.kernel.saturating_mul(self.dilation).max(output.saturating_mul(self.stride)).max(input).max(self.pad);
        ensure_shape!(
            self.stride >= 1 && self.dilation >= 1 && reach < limit,
            "expected a stride and a dilation of at least 1 and sizes that fit memory, got {self:?}"
        );
        Ok(())
    }

    /// The axis of a convolution: output pixel `o` meets weight `k` at input pixel `o * stride + k * dilation - pad`.
    ///
    /// # Errors
    /// [`crate::error::Error::Shape`] for sizes that overflow.
    pub fn gather(&self, input: usize, output: usize) -> Result<Axis> {
        self.check(input, output)?;
        let taps = (0..self.kernel).map(|k| Tap { index: k, offset: (k * self.dilation) as isize - self.pad as isize }).collect();
        let phases = if output == 0 { Vec::new() } else { vec![Phase { first: 0, count: output, taps }] };
        Ok(Axis { input, output, in_step: self.stride, out_step: 1, phases })
    }

    /// The axis of its transpose: input pixel `i` meets weight `k` at output pixel `i * stride + k * dilation - pad`.
    ///
    /// # Errors
    /// [`crate::error::Error::Shape`] for sizes that overflow.
    pub fn scatter(&self, input: usize, output: usize) -> Result<Axis> {
        self.check(input, output)?;
        let stride = self.stride as isize;
        let distance = |first: usize, k: usize| first as isize + self.pad as isize - (k * self.dilation) as isize;
        // Phases that have taps or pixels: those with taps stand in the same order for every size.
        let mut starts: Vec<usize> = (0..self.kernel).map(|k| (-distance(0, k)).rem_euclid(stride) as usize).collect();
        starts.extend(0..self.stride.min(output));
        starts.sort_unstable();
        starts.dedup();
        let phase = |first: usize| {
            let taps = (0..self.kernel).rev().filter(|&k| distance(first, k) % stride == 0);
            let taps = taps.map(|k| Tap { index: k, offset: distance(first, k) / stride }).collect();
            Phase { first, count: output.saturating_sub(first).div_ceil(self.stride), taps }
        };
        let phases = starts.into_iter().map(phase).collect();
        Ok(Axis { input, output, in_step: 1, out_step: self.stride, phases })
    }
}

impl Axis {
    /// The lowest and highest offset of any tap; (0, 0) without taps.
    pub fn reach(&self) -> (isize, isize) {
        let offsets = || self.phases.iter().flat_map(|p| p.taps.iter().map(|t| t.offset));
        (offsets().min().unwrap_or(0), offsets().max().unwrap_or(0))
    }

    /// Whether any of `count` outputs of a phase from `first` on meets a pixel of the input at an offset.
    pub fn seen(&self, first: usize, count: usize) -> impl Fn(isize) -> bool {
        let (step, input) = (self.in_step as isize, self.input as isize);
        let (first, last) = (first as isize * step, (first + count).saturating_sub(1) as isize * step);
        move |offset| last + offset >= 0 && first + offset < input
    }

    /// `block` outputs, or fewer where taps lie so far apart that those of many outputs are outside: blocks of a margin's size
    /// pass over them.
    pub fn narrow(&self, block: usize) -> usize {
        const LEAST: usize = 8;
        let (margin, count) = (self.reach().0.min(0).unsigned_abs() / self.in_step, self.longest());
        if margin < LEAST || count > LEAST * margin { block } else { block.min(count.div_ceil(count.div_ceil(margin))) }
    }

    /// Whether every input pixel that any tap meets is inside.
    pub fn is_inside(&self) -> bool {
        let (low, high) = self.reach();
        low >= 0 && self.phases.iter().all(|p| p.count == 0 || (p.count - 1) * self.in_step + (high as usize) < self.input)
    }

    /// The most output pixels of a phase.
    pub fn longest(&self) -> usize {
        self.phases.iter().map(|p| p.count).max().unwrap_or(0)
    }

    /// Whether every input pixel that is read is its output pixel times the step and inside: then nothing needs padding.
    pub fn is_pointwise(&self) -> bool {
        self.reach() == (0, 0) && self.phases.iter().all(|p| p.count == 0 || (p.count - 1) * self.in_step < self.input)
    }
}

/// Consecutive steps of a tap list: `steps` elements of the input from `offset` on, against as many rows of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Element of the packed input, from the output pixel's place.
    pub offset: usize,
    /// Elements.
    pub steps: usize,
    /// Rows of weights to pass over behind them: those of taps that meet zeros only.
    pub skip: usize,
    /// Whether the partial sum is added to the total behind this run.
    pub close: bool,
}

/// How the input of a block lies in memory: one pixel every `pixel` elements, one row every `row`.
#[derive(Debug, Clone, Copy)]
pub struct Pitch {
    /// Elements between pixels.
    pub pixel: usize,
    /// Elements between rows.
    pub row: usize,
}

/// Appends the runs over `channels` channels of a phase, from the corner that lies `low` pixels from output pixel 0.
///
/// `total` is the number of input channels of a group: the partial sums are a function of the layer. Rows and columns of taps
/// that are not `seen` meet zeros only; they are passed over, which changes no sum.
pub fn runs(
    list: &mut Vec<Run>,
    phase: (&Phase, &Phase),
    corner: (usize, (isize, isize)),
    channels: usize,
    total: usize,
    pitch: Pitch,
    seen: (impl Fn(isize) -> bool, impl Fn(isize) -> bool),
) {
    let (rows, columns) = phase;
    let (start, low) = corner;
    let per_segment = (SEGMENT / (columns.taps.len() * total.min(BLOCK)).max(1)).max(1);
    let first = list.len();
    for (i, row) in rows.taps.iter().enumerate() {
        let above = start + (row.offset - low.0) as usize * pitch.row;
        let row_used = seen.0(row.offset);
        for (j, column) in columns.taps.iter().enumerate() {
            let follows = j > 0 && column.offset == columns.taps[j - 1].offset + 1 && pitch.pixel == channels;
            let used = row_used && seen.1(column.offset);
            let (steps, skip) = if used { (channels, 0) } else { (0, channels) };
            match list.last_mut() {
                Some(run) if follows && (run.skip == 0 || !used) => (run.steps, run.skip) = (run.steps + steps, run.skip + skip),
                _ => list.push(Run { offset: above + (column.offset - low.1) as usize * pitch.pixel, steps, skip, close: false }),
            }
        }
        let closes = (i + 1) % per_segment == 0 || i + 1 == rows.taps.len();
        if let Some(run) = list[first..].last_mut()
            && closes
        {
            run.close = true;
        }
    }
}

/// Where the panels of packed weights lie: `[phase][group][panel of outputs][block of channels][tap][channel][output]`.
#[derive(Debug, Clone, Copy)]
pub struct Panels {
    /// Groups of channels.
    pub groups: usize,
    /// Input channels of a group.
    pub channels: usize,
    /// Output channels of a group.
    pub outputs: usize,
}

impl Panels {
    /// Whether outputs are so few that vectors lie along the channels: a matter of the layer, by what both ways cost.
    pub fn few(&self, rows: &Axis, columns: &Axis) -> bool {
        /// What it costs to add the parts of a sum, in products of vectors.
        const PARTS: usize = 10;
        let taps = |axis: &Axis| axis.phases.iter().map(|p| p.taps.len()).max().unwrap_or(0);
        let length = self.channels * taps(rows) * taps(columns);
        self.outputs <= LANE / 2 && self.outputs * (length / LANE + PARTS) <= length
    }

    /// Whether groups are so small that vectors lie across them: a matter of the layer. The sum is one, so that its order is
    /// that of any other convolution.
    pub fn side_by_side(&self, rows: &Axis, columns: &Axis) -> bool {
        let taps = |axis: &Axis| axis.phases.iter().map(|p| p.taps.len()).max().unwrap_or(0);
        let small = matches!(self.channels, 2 | 4 | 8) && self.channels == self.outputs;
        self.groups > 1 && small && self.channels * taps(rows) * taps(columns) <= SEGMENT
    }

    /// Outputs of a group, rounded up to whole lanes.
    pub fn padded(&self) -> usize {
        self.outputs.div_ceil(LANE) * LANE
    }

    /// Panels of a group.
    pub fn count(&self) -> usize {
        self.outputs.div_ceil(WIDTH)
    }

    /// Outputs that panel `k` has room for.
    pub fn width(&self, k: usize) -> usize {
        WIDTH.min(self.padded() - k * WIDTH)
    }

    /// Outputs that panel `k` holds.
    pub fn live(&self, k: usize) -> usize {
        WIDTH.min(self.outputs - k * WIDTH)
    }

    /// Blocks of channels; one, empty, where there are none.
    pub fn blocks(&self) -> usize {
        self.channels.div_ceil(BLOCK).max(1)
    }

    /// Channels of block `c`.
    pub fn depth(&self, c: usize) -> usize {
        BLOCK.min(self.channels - c * BLOCK)
    }

    /// Elements of a phase with `taps` taps.
    pub fn len(&self, taps: usize) -> usize {
        self.groups * self.padded() * self.channels * taps
    }

    /// Where the panel of a group, panel and block starts inside a phase.
    pub fn start(&self, taps: usize, group: usize, k: usize, c: usize) -> usize {
        ((group * self.padded() + k * WIDTH) * self.channels + c * BLOCK * self.width(k)) * taps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_weight_meets_the_same_pixels_both_ways() {
        for (kernel, stride, dilation, pad, input) in [(3, 1, 1, 1, 7), (3, 2, 1, 1, 9), (4, 3, 2, 2, 20), (2, 2, 2, 0, 9), (1, 3, 1, 0, 8)]
        {
            let window = Window { kernel, stride, dilation, pad };
            let output = (input + 2 * pad - dilation * (kernel - 1) - 1) / stride + 1;
            let pairs = |axis: Axis, flip: bool| {
                let mut found = Vec::new();
                for phase in &axis.phases {
                    for i in 0..phase.count {
                        for tap in &phase.taps {
                            let read = (i * axis.in_step) as isize + tap.offset;
                            let written = phase.first + i * axis.out_step;
                            if read >= 0 && (read as usize) < axis.input {
                                let pair = if flip { (written, read as usize) } else { (read as usize, written) };
                                found.push((pair.0, pair.1, tap.index));
                            }
                        }
                    }
                }
                found.sort_unstable();
                found
            };
            assert_eq!(pairs(window.gather(input, output).unwrap(), false), pairs(window.scatter(output, input).unwrap(), true));
        }
    }

    #[test]
    fn neighbouring_taps_join_into_one_run() {
        let axis = Window { kernel: 3, stride: 1, dilation: 1, pad: 1 }.gather(8, 8).unwrap();
        let phase = (&axis.phases[0], &axis.phases[0]);
        let mut found = Vec::new();
        runs(&mut found, phase, (0, (-1, -1)), 64, 128, Pitch { pixel: 64, row: 640 }, (|_| true, |_| true));
        assert_eq!(
            found.iter().map(|r| (r.offset, r.steps, r.close)).collect::<Vec<_>>(),
            [(0, 192, true), (640, 192, true), (1280, 192, true)]
        );
    }
}
