//! Columns of (outer, n, inner): some positions side by side, where they lie or collected in a small block, so that a vector
//! holds one element of many columns in either memory order.

use crate::blocks::Buffer;
use crate::error::Result;
use crate::math::Math;
use crate::simd::LANES;
use crate::threads::{Shared, parallel};
use crate::turning::{collect, spread};

/// Columns that are taken together where they lie side by side, at most: their rows stay in the first cache.
pub(crate) const WIDE: usize = 256;
/// Columns that are collected together are a multiple of this, of up to so many elements; longer ones are [`LANES`].
const COLLECTED: (usize, usize) = (64, 256);
/// Elements of a block of collected columns, unless that is fewer than [`COLLECTED`] columns.
const BLOCK: usize = 3072;

/// Some columns side by side: row `k` begins at `start + k * pitch`.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub start: usize,
    pub pitch: usize,
}

/// Row `k` of `width` columns.
#[inline(always)]
pub(crate) fn row<T>(x: &[T], place: Place, k: usize, width: usize) -> &[T] {
    &x[place.start + k * place.pitch..][..width]
}

/// Where the columns lie: `positions` of them, each with `n` elements `inner` apart.
#[derive(Clone, Copy)]
pub(crate) struct Columns {
    pub n: usize,
    pub inner: usize,
    pub positions: usize,
}

impl Columns {
    fn start(self, position: usize) -> usize {
        position / self.inner * self.n * self.inner + position % self.inner
    }

    /// Collects `width` columns from `first` on as rows.
    fn load<T: Math>(self, block: &mut [T], x: &[T], first: usize, width: usize) {
        if self.inner == 1 {
            return collect(block, &x[first * self.n..(first + width) * self.n], self.n, width);
        }
        for lane in 0..width {
            let start = self.start(first + lane);
            let column = x[start..start + (self.n - 1) * self.inner + 1].iter().step_by(self.inner);
            block[lane..].iter_mut().step_by(width).zip(column).for_each(|(to, &x)| *to = x);
        }
    }

    /// Puts the columns back.
    fn store<T: Math>(self, y: &Shared<'_, T>, block: &[T], first: usize, width: usize) {
        if self.inner == 1 {
            // SAFETY: each position belongs to one block, each block to one task.
            return spread(unsafe { y.slice(first * self.n, width * self.n) }, block, self.n, width);
        }
        for lane in 0..width {
            let start = self.start(first + lane);
            for (k, &value) in block[lane..].iter().step_by(width).take(self.n).enumerate() {
                // SAFETY: as above; the position is inside `y`, which has (positions, n) elements.
                unsafe { y.as_ptr().add(start + k * self.inner).write(value) };
            }
        }
    }

    /// Calls `f(y, to, inputs, from, first, width)` for all columns, some at a time from position `first` on, in parallel; without a
    /// `y` what is written is lost.
    pub(crate) fn each<T: Math, const N: usize>(
        self,
        y: Option<&mut [T]>,
        x: [&[T]; N],
        f: impl Fn(&Shared<'_, T>, Place, [&[T]; N], Place, usize, usize) + Sync,
    ) -> Result {
        if self.n * self.positions == 0 {
            return Ok(());
        }
        let shared = y.map(Shared::new);
        if let (Some(shared), true) = (&shared, self.inner >= LANES) {
            self.in_place(|place, first, width| f(shared, place, x, place, first, width));
            return Ok(());
        }
        if self.inner >= LANES {
            self.in_place(|place, first, width| f(&Shared::new(&mut []), place, x, place, first, width));
            return Ok(());
        }
        let few = (BLOCK / self.n / COLLECTED.0 * COLLECTED.0).clamp(COLLECTED.0, WIDE);
        let width = if self.n <= COLLECTED.1 { few } else { LANES };
        let blocks = self.positions.div_ceil(width);
        let tasks = blocks.min(64);
        let size = self.n.next_multiple_of(LANES) * width;
        let mut scratch = Buffer::<T>::new(tasks * size * (N + 1))?;
        let scratch = Shared::new(&mut scratch);
        // Each of at most 64 tasks has its own scratch and every 64th block.
        parallel(tasks, blocks.div_ceil(tasks) * size * 8, |task| {
            // SAFETY: each task has its own part.
            let (out, held) = unsafe { scratch.slice(task * size * (N + 1), size * (N + 1)) }.split_at_mut(size);
            for first in (task..blocks).step_by(tasks).map(|block| block * width) {
                let width = width.min(self.positions - first);
                held.chunks_exact_mut(size).zip(x).for_each(|(held, x)| self.load(held, x, first, width));
                let mut inputs = [&[][..]; N];
                held.chunks_exact(size).zip(&mut inputs).for_each(|(held, input)| *input = held);
                let place = Place { start: 0, pitch: width };
                f(&Shared::new(out), place, inputs, place, first, width);
                if let Some(shared) = &shared {
                    self.store(shared, out, first, width);
                }
            }
        });
        Ok(())
    }

    /// Calls `f(place, first, width)` for columns that lie side by side.
    fn in_place(self, f: impl Fn(Place, usize, usize) + Sync) {
        let pieces = self.inner.div_ceil(WIDE);
        parallel(self.positions / self.inner * pieces, self.inner.min(WIDE) * self.n * 8, |task| {
            let (o, first) = (task / pieces, task % pieces * WIDE);
            let place = Place { start: o * self.n * self.inner + first, pitch: self.inner };
            f(place, o * self.inner + first, WIDE.min(self.inner - first));
        });
    }
}
