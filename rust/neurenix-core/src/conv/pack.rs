//! Weights and inputs as the micro-kernel reads them.

use super::Direction;
use super::plan::{Axis, BLOCK, Panels, Phase, WIDTH};
use super::scratch;
use crate::error::Result;
use crate::levels;
use crate::simd::{Float, prefetch_first};
use crate::threads::{self, Shared};

/// A weight (first, second, kh, kw) in memory, and which of its two channel axes are the outputs.
#[derive(Debug, Clone, Copy)]
pub struct Weight<'a, T> {
    /// The elements.
    pub values: &'a [T],
    /// Size of the second axis.
    pub second: usize,
    /// Rows of the kernel.
    pub kh: usize,
    /// Columns of the kernel.
    pub kw: usize,
    /// Gathering convolutions have their outputs first, scattering ones second.
    pub direction: Direction,
}

/// Elements between two outer rows of the transposing scratch: an odd number of cache lines apart.
pub fn pitch(inner: usize) -> usize {
    inner.div_ceil(32) * 32 + 16
}

impl<T: Float> Weight<'_, T> {
    /// Packs one panel: `dst[tap][channel][output]`, zeros behind the last output.
    fn panel(&self, dst: &mut [T], stage: &mut [T], panels: &Panels, phase: (&Phase, &Phase), at: (usize, usize, usize), few: bool) {
        let (group, k, c) = at;
        let (width, live, depth) = (panels.width(k), panels.live(k), panels.depth(c));
        let taps = self.kh * self.kw;
        let (outer, inner, first, second) = match self.direction {
            Direction::Gather => (live, depth, group * panels.outputs + k * WIDTH, c * BLOCK),
            Direction::Scatter => (depth, live, group * panels.channels + c * BLOCK, k * WIDTH),
        };
        let pitch = self.lay_out(stage, outer, inner, (first, second));
        let (step_k, step_c) = match self.direction {
            Direction::Gather => (pitch, taps),
            Direction::Scatter => (taps, pitch),
        };
        if few {
            let met = phase.0.taps.len() * phase.1.taps.len();
            return self.lines(dst, stage, phase, (live, depth), (step_k, step_c), (panels.channels * met, c * BLOCK * met));
        }
        let mut rows = dst.chunks_exact_mut(width);
        for row in &phase.0.taps {
            for column in &phase.1.taps {
                let tap = row.index * self.kw + column.index;
                for (channel, out) in rows.by_ref().take(depth).enumerate() {
                    let from = &stage[channel * step_c + tap..=channel * step_c + tap + (live - 1) * step_k];
                    for (i, value) in out[..live].iter_mut().enumerate() {
                        // SAFETY: `i * step_k` does not pass the slice's last element.
                        *value = unsafe { *from.get_unchecked(i * step_k) };
                    }
                    out[live..].fill(T::ZERO);
                }
            }
        }
    }

    /// Copies a part of the weight, from a first and a second channel on: whole rows, so many elements apart.
    pub fn lay_out(&self, stage: &mut [T], outer: usize, inner: usize, from: (usize, usize)) -> usize {
        let taps = self.kh * self.kw;
        let pitch = pitch(inner * taps);
        for (i, row) in stage.chunks_exact_mut(pitch).take(outer).enumerate() {
            let start = ((from.0 + i) * self.second + from.1) * taps;
            row[..inner * taps].copy_from_slice(&self.values[start..start + inner * taps]);
        }
        pitch
    }

    /// The same as `dst[output][tap][channel]`, for [`super::few`]: lines of so many elements, this block's from the second number on.
    fn lines(
        &self,
        dst: &mut [T],
        stage: &[T],
        phase: (&Phase, &Phase),
        size: (usize, usize),
        steps: (usize, usize),
        line: (usize, usize),
    ) {
        let taps = phase.0.taps.iter().flat_map(|row| phase.1.taps.iter().map(move |column| row.index * self.kw + column.index));
        for (output, line) in dst.chunks_exact_mut(line.0.max(1)).take(size.0).map(|whole| &mut whole[line.1..]).enumerate() {
            for (tap, part) in taps.clone().zip(line.chunks_exact_mut(size.1)) {
                for (channel, value) in part.iter_mut().enumerate() {
                    *value = stage[output * steps.0 + channel * steps.1 + tap];
                }
            }
        }
    }

    /// Packs all panels of all phases.
    ///
    /// # Errors
    /// [`crate::error::Error::Memory`].
    pub fn pack(&self, packed: &mut [T], panels: &Panels, rows: &Axis, columns: &Axis) -> Result {
        if panels.channels == 0 || packed.is_empty() {
            return Ok(());
        }
        let shared = Shared::new(packed);
        let most = pitch(BLOCK * self.kh * self.kw) * BLOCK;
        let (mut start, few) = (0, panels.few(rows, columns));
        let failed = scratch::Failure::new();
        for y in &rows.phases {
            for x in &columns.phases {
                let taps = y.taps.len() * x.taps.len();
                // Lines of few outputs run through all blocks of channels.
                let (blocks, together) = if few { (1, panels.blocks()) } else { (panels.blocks(), 1) };
                let count = panels.count();
                threads::parallel(panels.groups * count * blocks, taps * BLOCK * WIDTH, |task| {
                    let (group, k, c) = (task / (count * blocks), task / blocks % count, task % blocks);
                    let depth: usize = (c..c + together).map(|c| panels.depth(c)).sum();
                    // SAFETY: panels do not overlap.
                    let dst = unsafe { shared.slice(start + panels.start(taps, group, k, c), panels.width(k) * depth * taps) };
                    for c in c..c + together {
                        failed.note(scratch::with(most, |stage| self.panel(dst, stage, panels, (y, x), (group, k, c), few)));
                    }
                });
                start += panels.len(taps);
            }
        }
        failed.result()
    }
}

levels! {
    /// Copies the first `depth` of every `pitch` elements to `dst`, `width` elements a pixel with zeros behind the last.
    fn copy_pixels<T, V>(dst: &mut [T], width: usize, from: &[T], pitch: usize, depth: usize) {
        const AHEAD: usize = 8;
        const LINE: usize = 64;
        for (i, pixel) in dst.chunks_exact_mut(width).enumerate() {
            let from = &from[i * pitch..i * pitch + depth];
            let next = from.as_ptr().wrapping_add(AHEAD * pitch);
            for line in (0..depth).step_by(LINE / size_of::<T>()) {
                prefetch_first(next.wrapping_add(line));
            }
            let mut at = 0;
            // SAFETY: `at + min(N, left)` elements lie inside the pixel of either side.
            unsafe {
                while at + V::N <= depth {
                    V::load(from.as_ptr().add(at)).store(pixel.as_mut_ptr().add(at));
                    at += V::N;
                }
                if at < depth {
                    V::load_first(from.as_ptr().add(at), depth - at).store_first(pixel.as_mut_ptr().add(at), depth - at);
                }
            }
            pixel[depth..].fill(T::ZERO);
        }
    }
}

/// A channel block of some pixels; see [`copy_pixels`].
pub fn gather<T: Float>(dst: &mut [T], width: usize, from: &[T], pitch: usize, depth: usize) {
    if width > 0 {
        copy_pixels(dst, width, from, pitch, depth);
    }
}

/// A rectangle of an image's pixels; it may reach over the edges, where zeros are.
#[derive(Debug, Clone, Copy)]
pub struct Patch {
    /// First row.
    pub row: isize,
    /// Number of rows.
    pub rows: usize,
    /// First column.
    pub column: isize,
    /// Number of columns.
    pub columns: usize,
}

/// An image (h, w, channels) in memory.
#[derive(Debug, Clone, Copy)]
pub struct Image<'a, T> {
    /// The elements.
    pub values: &'a [T],
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
    /// Channels of a pixel.
    pub channels: usize,
}

impl<T: Float> Image<'_, T> {
    /// Copies `depth` channels from `channel` on of a patch into `dst[row][column][depth]`.
    pub fn copy(&self, dst: &mut [T], patch: Patch, channel: usize, depth: usize) {
        self.copy_with(dst, patch, channel, (depth, depth), |out, from, pitch| {
            if depth == pitch {
                out.copy_from_slice(&from[..out.len()]);
            } else {
                gather(out, depth, from, pitch, depth);
            }
        });
    }

    /// The same into `dst[row][column][depth.1]` through a function of a row's pixels, the `depth.0` channels of the first and what is
    /// behind them, and the elements from one to the next.
    pub fn copy_with(&self, dst: &mut [T], patch: Patch, channel: usize, depth: (usize, usize), copy: impl Fn(&mut [T], &[T], usize)) {
        let (live, depth) = depth;
        let line = patch.columns * depth;
        if line == 0 {
            return;
        }
        let left = patch.column.min(0).unsigned_abs().min(patch.columns);
        let inside = (self.w as isize - patch.column.max(0)).clamp(0, (patch.columns - left) as isize) as usize;
        for (i, out) in dst.chunks_exact_mut(line).take(patch.rows).enumerate() {
            let row = patch.row + i as isize;
            if row < 0 || row >= self.h as isize || inside == 0 || live == 0 {
                out.fill(T::ZERO);
                continue;
            }
            out[..left * depth].fill(T::ZERO);
            out[(left + inside) * depth..].fill(T::ZERO);
            let start = (row as usize * self.w + patch.column.max(0) as usize) * self.channels + channel;
            copy(&mut out[left * depth..(left + inside) * depth], &self.values[start..], self.channels);
        }
    }
}
