//! Columns of (outer, n, inner): some positions side by side, where they lie or collected in a small block, so that a vector
//! holds one element of many columns in either memory order.

use crate::blocks::Buffer;
use crate::conv::scratch;
use crate::error::Result;
use crate::math::Math;
use crate::simd::{LANES, prefetch};
use crate::threads::{Shared, parallel};
use crate::turning::{collect, rows_to_spread, spread};

/// Columns that are taken together where they lie side by side, at most: their rows stay in the first cache.
pub(crate) const WIDE: usize = 256;
/// Columns of one task: a page of each row.
const RUN: usize = 1024;
/// Columns that are collected together are a multiple of this, of up to so many elements; longer ones are [`LANES`].
const COLLECTED: (usize, usize) = (64, 256);
/// Elements of a block of collected columns, unless that is fewer than [`COLLECTED`] columns.
const BLOCK: usize = 3072;

/// Tasks that blocks of collected columns are divided among, at most.
const TASKS: usize = 64;

/// Elements a column above which the next ones are asked for: rows are more streams than a processor follows, and columns are
/// turned over in bursts.
const STREAMS: usize = 4;

/// Asks for some elements of `x`, those that are there.
fn ask_for<T>(x: &[T], first: usize, len: usize) {
    let part = &x[first.min(x.len())..(first + len).min(x.len())];
    part.iter().step_by((64 / size_of::<T>()).max(1)).for_each(|x| prefetch(x));
}

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
            if self.n > STREAMS {
                ask_for(x, (first + width) * self.n, width * self.n);
            }
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
        if self.inner >= LANES {
            let nothing = Shared::new(&mut []);
            let asked = if self.n > STREAMS { self.n } else { 0 };
            self.in_place(|place, first, width| {
                for k in 0..asked {
                    x.iter().for_each(|x| ask_for(x, place.start + k * self.inner + width, width));
                }
                f(shared.as_ref().unwrap_or(&nothing), place, x, place, first, width);
            });
            return Ok(());
        }
        let few = (BLOCK / self.n / COLLECTED.0 * COLLECTED.0).clamp(COLLECTED.0, WIDE);
        let width = if self.n <= COLLECTED.1 { few } else { LANES };
        let size = rows_to_spread(self.n) * width;
        let block = |memory: &mut [T], first: usize, width: usize| {
            let (out, held) = memory.split_at_mut(size);
            held.chunks_exact_mut(size).zip(x).for_each(|(held, x)| self.load(held, x, first, width));
            let mut inputs = [&[][..]; N];
            held.chunks_exact(size).zip(&mut inputs).for_each(|(held, input)| *input = held);
            let place = Place { start: 0, pitch: width };
            f(&Shared::new(out), place, inputs, place, first, width);
            if let Some(shared) = &shared {
                self.store(shared, out, first, width);
            }
        };
        self.in_blocks(size * (N + 1), width, block)
    }

    /// Calls `block(memory, first, width)` for all blocks of at most `wide` columns, each with `room` elements of memory.
    fn in_blocks<T: Math>(self, room: usize, wide: usize, block: impl Fn(&mut [T], usize, usize) + Sync) -> Result {
        let blocks = self.positions.div_ceil(wide);
        let some = blocks.div_ceil(TASKS);
        let (tasks, work) = (blocks.div_ceil(some), some * room * 4);
        let run = |memory: &mut [T], task: usize| {
            for first in (task * some..blocks.min((task + 1) * some)).map(|i| i * wide) {
                block(memory, first, wide.min(self.positions - first));
            }
        };
        if self.n <= COLLECTED.1 {
            let failed = scratch::Failure::new();
            parallel(tasks, work, |task| failed.note(scratch::with(room, |memory| run(memory, task))));
            return failed.result();
        }
        // Threads do not keep what long columns need.
        let mut memory = Buffer::<T>::new(tasks * room)?;
        let memory = Shared::new(&mut memory);
        // SAFETY: each task has its own part.
        parallel(tasks, work, |task| run(unsafe { memory.slice(task * room, room) }, task));
        Ok(())
    }

    /// Calls `f(place, first, width)` for columns that lie side by side.
    fn in_place(self, f: impl Fn(Place, usize, usize) + Sync) {
        let runs = self.inner.div_ceil(RUN);
        parallel(self.positions / self.inner * runs, self.inner.min(RUN) * self.n * 8, |task| {
            let (o, start) = (task / runs, task % runs * RUN);
            for first in (start..self.inner.min(start + RUN)).step_by(WIDE) {
                let place = Place { start: o * self.n * self.inner + first, pitch: self.inner };
                f(place, o * self.inner + first, WIDE.min(self.inner - first));
            }
        });
    }
}
