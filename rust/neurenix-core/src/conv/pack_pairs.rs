//! Weights in pairs of channels, rounded to bfloat16.

use super::Direction;
use super::pack::{Weight, pitch};
use super::plan::{Axis, BLOCK, Panels, Phase, WIDTH};
use super::scratch;
use crate::error::Result;
use crate::simd::pairs::pair;
use crate::threads::{self, Shared};

impl Weight<'_, f32> {
    /// Packs one panel: `dst[tap][pair][output]`, zeros behind the last output and beside an odd last channel.
    fn panel_of_pairs(
        &self,
        dst: &mut [f32],
        stage: &mut [f32],
        panels: &Panels,
        channels: usize,
        phase: (&Phase, &Phase),
        at: (usize, usize, usize),
    ) {
        let (group, k, c) = at;
        let (width, live, pairs, from) = (panels.width(k), panels.live(k), panels.depth(c), 2 * c * BLOCK);
        let depth = (2 * pairs).min(channels - from);
        let taps = self.kh * self.kw;
        let (step_k, step_c) = match self.direction {
            Direction::Gather => (self.lay_out(stage, live, depth, (group * panels.outputs + k * WIDTH, from)), taps),
            Direction::Scatter => (taps, self.lay_out(stage, depth, live, (group * channels + from, k * WIDTH))),
        };
        let mut rows = dst.chunks_exact_mut(width);
        for tap in phase.0.taps.iter().flat_map(|row| phase.1.taps.iter().map(|column| row.index * self.kw + column.index)) {
            for (i, out) in rows.by_ref().take(pairs).enumerate() {
                let first = &stage[2 * i * step_c + tap..];
                let second = if 2 * i + 1 < depth { &first[step_c..] } else { &[] };
                for (j, value) in out[..live].iter_mut().enumerate() {
                    *value = pair(first[j * step_k], second.get(j * step_k).copied().unwrap_or(0.0));
                }
                out[live..].fill(0.0);
            }
        }
    }

    /// Packs all panels of all phases; the panels count pairs of the group's `channels`.
    ///
    /// # Errors
    /// [`crate::error::Error::Memory`].
    pub fn pack_pairs(&self, packed: &mut [f32], panels: &Panels, channels: usize, rows: &Axis, columns: &Axis) -> Result {
        if channels == 0 || packed.is_empty() {
            return Ok(());
        }
        let shared = Shared::new(packed);
        let taps = self.kh * self.kw;
        let most = (pitch(2 * BLOCK * taps) * WIDTH).max(pitch(WIDTH * taps) * 2 * BLOCK);
        let (blocks, count, failed) = (panels.blocks(), panels.count(), scratch::Failure::new());
        let mut start = 0;
        for phase in rows.phases.iter().flat_map(|y| columns.phases.iter().map(move |x| (y, x))) {
            let taps = phase.0.taps.len() * phase.1.taps.len();
            threads::parallel(panels.groups * count * blocks, taps * BLOCK * WIDTH, |task| {
                let (group, k, c) = (task / (count * blocks), task / blocks % count, task % blocks);
                // SAFETY: panels do not overlap.
                let dst = unsafe { shared.slice(start + panels.start(taps, group, k, c), panels.width(k) * panels.depth(c) * taps) };
                failed.note(scratch::with(most, |stage| self.panel_of_pairs(dst, stage, panels, channels, phase, (group, k, c))));
            });
            start += panels.len(taps);
        }
        failed.result()
    }
}
