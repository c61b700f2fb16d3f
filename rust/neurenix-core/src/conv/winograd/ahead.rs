//! Input that is read soon, brought near while products are computed: they need no memory, and transforms would wait for it.

use std::ops::Range;

use super::patches::Grid;
use super::source::Map;
use super::{PATCH, SIDE};
use crate::simd::{Float, prefetch};

/// Bytes of a cache line.
const LINE: usize = 64;

/// Rows of pixels to bring near, a few lines at a time.
#[derive(Debug)]
pub struct Ahead<T> {
    /// First element and lines of each run of pixels.
    runs: Vec<(*const T, usize)>,
    run: usize,
    line: usize,
    /// Lines of each step.
    each: usize,
}

impl<T: Float> Ahead<T> {
    /// Nothing.
    pub fn nothing() -> Self {
        Self { runs: Vec::new(), run: 0, line: 0, each: 0 }
    }

    /// Runs of elements, in `steps` steps.
    pub fn runs<'a>(runs: impl Iterator<Item = &'a [T]>, steps: usize) -> Self {
        let runs: Vec<_> = runs.map(|run| (run.as_ptr(), size_of_val(run).div_ceil(LINE))).collect();
        let lines: usize = runs.iter().map(|run| run.1).sum();
        Self { runs, run: 0, line: 0, each: lines.div_ceil(steps.max(1)) }
    }

    /// What the patches of `tiles` read and those of the row of tiles above them do not, in `steps` steps.
    pub fn patches(grid: &Grid, x: &Map<'_, T>, tiles: Range<usize>, steps: usize) -> Self {
        const SEEN: usize = PATCH - SIDE; // rows and columns of a patch that the one before it holds too
        let (h, w) = grid.input;
        let mut runs = Vec::new();
        let mut index = tiles.start;
        while index < tiles.end {
            let tile = grid.tile(index);
            let some = (grid.output.1 - tile.column).div_ceil(SIDE).min(tiles.end - index);
            let (top, left) = grid.corner(tile);
            let inside = |column: isize| column.clamp(0, w as isize) as usize;
            let (left, right) = (inside(left + SEEN as isize), inside(left + (SEEN + some * SIDE) as isize));
            for row in top + SEEN as isize..top + PATCH as isize {
                if (0..h as isize).contains(&row) && right > left {
                    let line = (tile.image * h + row as usize) * w;
                    runs.extend(x.pixels(line + left..line + right));
                }
            }
            index += some;
        }
        Self::runs(runs.into_iter(), steps)
    }

    /// Brings the next few lines near.
    #[inline(always)]
    pub fn step(&mut self) {
        let mut left = self.each;
        while left > 0 && self.run < self.runs.len() {
            let (start, lines) = self.runs[self.run];
            let some = left.min(lines - self.line);
            for line in self.line..self.line + some {
                prefetch(start.cast::<u8>().wrapping_add(line * LINE));
            }
            left -= some;
            self.line += some;
            if self.line == lines {
                (self.run, self.line) = (self.run + 1, 0);
            }
        }
    }
}
