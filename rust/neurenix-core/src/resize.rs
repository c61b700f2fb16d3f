//! The one kernel of everything separable and linear: resizing, average pooling, padding's gradient.
//!
//! Each axis has a sparse table: output `i` is the sum over `k` in `start[i] .. start[i + 1]` of `weight[k]` times input
//! `index[k]`. Rows are combined first, along whole rows of memory, then columns; so the bits do not depend on whether
//! channels lie innermost or outermost.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::blocks::Buffer;
use crate::ensure_shape;
use crate::error::{Error, Result, expect_len};
use crate::resize_rows::{Part, combine, combine_channels, divide, divide_each, parts, wide_columns, wide_windows};
use crate::resize_thin::{Plan, SLACK, thin_columns, thin_windows};
use crate::simd::{Float, settle};
use crate::threads::{Shared, parallel};
use crate::{streaming, threads};

/// Output elements of one task.
const TASK: usize = 1 << 15;
/// Channels of one task where there are too few rows to share out.
const BLOCK: usize = 128;
/// From this many channels on a pixel's channels are the vector.
pub(crate) const WIDE: usize = 8;

/// The sparse table of one axis.
pub(crate) struct Axis<'a, T> {
    start: &'a [i64],
    index: &'a [i64],
    weight: &'a [T],
    /// The number of inputs; indices are below it.
    pub size: usize,
}

impl<'a, T: Float> Axis<'a, T> {
    fn new(what: &str, start: &'a [i64], index: &'a [i64], weight: &'a [T], n: usize, m: usize) -> Result<Self> {
        expect_len(what, start.len(), &[m + 1])?;
        let rising = start[0] == 0 && start.windows(2).all(|s| s[0] <= s[1]);
        ensure_shape!(rising && start[m] as usize == index.len(), "{what}: expected starts that rise from 0 to {}", index.len());
        ensure_shape!(weight.len() == index.len(), "{what}: expected {} weights, got {}", index.len(), weight.len());
        ensure_shape!(index.iter().all(|&i| i >= 0 && (i as usize) < n), "{what}: expected indices below {n}");
        Ok(Self { start, index, weight, size: n })
    }

    /// The number of outputs.
    pub(crate) fn len(&self) -> usize {
        self.start.len() - 1
    }

    /// Inputs and weights of output `i`.
    #[inline(always)]
    pub(crate) fn taps(&self, i: usize) -> (&'a [i64], &'a [T]) {
        let (a, b) = (self.start[i] as usize, self.start[i + 1] as usize);
        (&self.index[a..b], &self.weight[a..b])
    }

    /// Whether each output is the input of the same number.
    fn is_identity(&self) -> bool {
        let n = self.size;
        self.index.len() == n
            && self.start.len() == n + 1
            && (0..n).all(|i| self.start[i] as usize == i && self.index[i] as usize == i && self.weight[i] == T::ONE)
    }
}

/// What one call holds, shared by its tasks.
struct Job<'a, T> {
    rows: Axis<'a, T>,
    cols: Axis<'a, T>,
    divisors: Option<(&'a [T], &'a [T])>,
    identity: bool,
    plan: Option<Plan<T>>,
    /// Whether the plan's inputs are always near.
    near: bool,
    parts: Vec<Part>,
    inner: usize,
    /// Channels of one task.
    channels: usize,
    /// Whether a task takes one of the parts of its rows.
    apart: bool,
    /// Whether each input column is in one window at most.
    windows: bool,
    /// Whether wide pixels are written past the caches.
    stream: bool,
}

impl<'a, T: Float> Job<'a, T> {
    /// Chooses how the work is shared out: nothing that a bit depends on.
    fn new(rows: Axis<'a, T>, cols: Axis<'a, T>, divisors: Option<(&'a [T], &'a [T])>, y: &[T], outer: usize, inner: usize) -> Self {
        let identity = cols.is_identity();
        let plan = (inner < WIDE && !identity).then(|| Plan::new(&cols, inner));
        let all = if plan.is_none() && !identity { parts(&cols, inner) } else { Vec::new() };
        // Where there are too few rows to share out, parts of them are, or where there are too few of these, channels.
        let few = outer * rows.len() < 64 && inner >= 2 * BLOCK;
        let apart = few && outer * rows.len() * all.len() >= threads::num_threads();
        let channels = if few && !apart { BLOCK } else { inner };
        let parts = if channels == inner { all } else { Vec::new() };
        let windows = cols.index.len() <= cols.size;
        let lines = y.as_ptr().addr().is_multiple_of(64) && (inner * size_of::<T>()).is_multiple_of(64);
        let stream = streaming::pays(size_of_val(y)) && lines && divisors.is_none();
        let near = plan.as_ref().is_some_and(Plan::is_near);
        Self { rows, cols, divisors, identity, plan, near, parts, inner, channels, apart, windows, stream }
    }

    /// Elements of scratch memory of a task.
    fn room(&self) -> usize {
        match self.parts.iter().map(|p| p.inputs.len()).max() {
            Some(inputs) => inputs * self.inner,
            None if self.identity && self.channels == self.inner => 0,
            None => self.cols.size * self.channels + SLACK,
        }
    }

    /// All output rows.
    fn run(&self, y: &Shared<'_, T>, x: &[T], outer: usize) -> Result {
        let (h, w, oh, inner) = (self.rows.size, self.cols.size, self.rows.len(), self.inner);
        let blocks = if self.apart { self.parts.len() } else { inner.div_ceil(self.channels) };
        let (total, wide) = (outer * oh, self.cols.len().max(w) * self.channels);
        let group = (TASK / wide).clamp(1, total.div_ceil(8));
        let (plane, opitch, room) = (h * w * inner, self.cols.len() * inner, self.room());
        let failed = AtomicBool::new(false);
        let taps = (self.rows.index.len() / oh).max(1);
        parallel(total.div_ceil(group) * blocks, (group * wide).saturating_mul(taps), |task| {
            let (first, block) = (task / blocks * group, task % blocks);
            let Ok(mut scratch) = Buffer::new(room) else {
                failed.store(true, Ordering::Relaxed);
                return;
            };
            for row in first..(first + group).min(total) {
                let ((o, i), at) = ((row / oh, row % oh), row * opitch);
                let x = &x[o * plane..];
                if self.apart {
                    self.part(y, at, x, &mut scratch, i, &self.parts[block]);
                    continue;
                }
                let c = block * self.channels;
                self.row(y, at, x, &mut scratch, i, (c, self.channels.min(inner - c)), row > first && self.repeats(i));
            }
            settle();
        });
        if failed.load(Ordering::Relaxed) { Err(Error::Memory { bytes: room * size_of::<T>() }) } else { Ok(()) }
    }

    /// Whether output row `i` is the same sum as the one before it, and best copied.
    fn repeats(&self, i: usize) -> bool {
        self.plan.is_some() && i > 0 && self.divisors.is_none() && self.rows.taps(i) == self.rows.taps(i - 1)
    }

    /// Channels `c .. c + channels` of output row `i`, which begins at `at`; `repeats` where it is the same as the row before.
    fn row(&self, y: &Shared<'_, T>, at: usize, x: &[T], scratch: &mut [T], i: usize, (c, channels): (usize, usize), repeats: bool) {
        let (index, weight) = self.rows.taps(i);
        let pitch = self.cols.size * self.inner;
        if channels < self.inner {
            let held = &mut scratch[..self.cols.size * channels];
            combine_channels(held, x, index, weight, pitch, self.inner, c, channels);
            self.pieces(y, at + c, scratch, i, channels);
            return;
        }
        if repeats {
            let len = self.cols.len() * self.inner;
            // SAFETY: a task owns this output row and the one before it.
            unsafe { y.slice(at, len).copy_from_slice(y.slice(at - len, len)) };
            return;
        }
        // SAFETY: a task owns this output row.
        let row = || unsafe { y.slice(at, self.cols.len() * self.inner) };
        if self.identity {
            combine(row(), x, index, weight, pitch, 0);
        } else if let Some(plan) = &self.plan {
            self.thin(row(), x, scratch, i, plan);
        } else if self.windows && index.len() == 2 {
            wide_windows::<T, 2>(row(), x, index, weight, &self.cols, self.inner);
        } else if self.windows && index.len() == 3 {
            wide_windows::<T, 3>(row(), x, index, weight, &self.cols, self.inner);
        } else {
            self.parts.iter().for_each(|part| self.part(y, at, x, scratch, i, part));
            return;
        }
        self.divided(row(), i, 0..self.cols.len());
    }

    /// Narrow pixels of output row `i`.
    fn thin(&self, y: &mut [T], x: &[T], scratch: &mut [T], i: usize, plan: &Plan<T>) {
        let ((index, weight), pitch) = (self.rows.taps(i), self.cols.size * self.inner);
        let slack = index.iter().all(|&r| (r as usize + 1) * pitch + SLACK <= x.len());
        let windows = match index.len() {
            1 => thin_windows::<T, 1>,
            2 => thin_windows::<T, 2>,
            3 => thin_windows::<T, 3>,
            4 => thin_windows::<T, 4>,
            _ => return self.thin_combined(y, x, scratch, i, plan),
        };
        if slack && self.near {
            windows(y, x, index, weight, &self.cols, plan, self.inner);
        } else {
            self.thin_combined(y, x, scratch, i, plan);
        }
    }

    /// The same, by a row in which the rows are combined first.
    fn thin_combined(&self, y: &mut [T], x: &[T], scratch: &mut [T], i: usize, plan: &Plan<T>) {
        let ((index, weight), pitch) = (self.rows.taps(i), self.cols.size * self.inner);
        combine(&mut scratch[..pitch], x, index, weight, pitch, 0);
        thin_columns(y, scratch, &self.cols, plan, self.inner);
    }

    /// Wide pixels of a part of output row `i`, which begins at `at`.
    fn part(&self, y: &Shared<'_, T>, at: usize, x: &[T], scratch: &mut [T], i: usize, part: &Part) {
        let (index, weight) = self.rows.taps(i);
        let (pitch, inner) = (self.cols.size * self.inner, self.inner);
        // SAFETY: a task owns this part of this output row.
        let y = unsafe { y.slice(at + part.outputs.start * inner, part.outputs.len() * inner) };
        let (from, len) = (part.inputs.start * inner, part.inputs.len() * inner);
        if weight == [T::ONE] {
            let from = index[0] as usize * pitch + from;
            wide_columns(y, &x[from..from + len], &self.cols, part, inner, self.stream);
        } else {
            combine(&mut scratch[..len], x, index, weight, pitch, from);
            wide_columns(y, &scratch[..len], &self.cols, part, inner, self.stream);
        }
        self.divided(y, i, part.outputs.clone());
    }

    /// Divides outputs `columns` of row `i`, if there are divisors.
    fn divided(&self, y: &mut [T], i: usize, columns: Range<usize>) {
        let Some((r, c)) = self.divisors else { return };
        if self.inner == 1 {
            divide_each(y, r[i], &c[columns]);
        } else {
            y.chunks_exact_mut(self.inner).zip(&c[columns]).for_each(|(y, &c)| divide(y, r[i] * c));
        }
    }

    /// Output pixels of one row, some channels of each, which lie between those of other tasks.
    fn pieces(&self, y: &Shared<'_, T>, at: usize, x: &[T], i: usize, channels: usize) {
        for j in 0..self.cols.len() {
            // SAFETY: a task owns these channels of this output row.
            let y = unsafe { y.slice(at + j * self.inner, channels) };
            let (index, weight) = self.cols.taps(j);
            combine(y, x, index, weight, channels, 0);
            if let Some((r, c)) = self.divisors {
                divide(y, r[i] * c[j]);
            }
        }
    }
}

/// `y[o, i, j, c] = sum over k, l of row_weight[k] * col_weight[l] * x[o, row_index[k], col_index[l], c]`, divided by
/// `row_divisor[i] * col_divisor[j]` where they are given.
///
/// # Errors
/// [`Error::Shape`] when tables or slices do not fit the sizes, [`Error::Memory`] without scratch memory.
pub fn resize<T: Float>(
    y: &mut [T],
    x: &[T],
    row_start: &[i64],
    row_index: &[i64],
    row_weight: &[T],
    col_start: &[i64],
    col_index: &[i64],
    col_weight: &[T],
    row_divisor: Option<&[T]>,
    col_divisor: Option<&[T]>,
    outer: usize,
    h: usize,
    w: usize,
    inner: usize,
    oh: usize,
    ow: usize,
) -> Result {
    expect_len("resize: y", y.len(), &[outer, oh, ow, inner])?;
    expect_len("resize: x", x.len(), &[outer, h, w, inner])?;
    let rows = Axis::new("resize: rows", row_start, row_index, row_weight, h, oh)?;
    let cols = Axis::new("resize: columns", col_start, col_index, col_weight, w, ow)?;
    let divisors = row_divisor.zip(col_divisor);
    if let Some((r, c)) = divisors {
        ensure_shape!(r.len() == oh && c.len() == ow, "resize: expected {oh} and {ow} divisors, got {} and {}", r.len(), c.len());
    }
    if y.is_empty() {
        return Ok(());
    }
    let job = Job::new(rows, cols, divisors, y, outer, inner);
    job.run(&Shared::new(y), x, outer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_memory_orders_give_the_same_bits() {
        let (h, w, channels) = (3, 4, 70);
        let x: Vec<f32> = (0..h * w * channels).map(|i| (i as f32 * 0.37).sin()).collect();
        let planar: Vec<f32> = (0..channels).flat_map(|c| (0..h * w).map(move |p| p * channels + c)).map(|i| x[i]).collect();
        let table = (vec![0i64, 2, 4], vec![0i64, 1, 1, 2], vec![0.3f32, 0.7, 0.6, 0.4]);
        let run = |x: &[f32], outer, inner| {
            let mut y = vec![0.0; 4 * channels];
            resize(&mut y, x, &table.0, &table.1, &table.2, &table.0, &table.1, &table.2, None, None, outer, h, w, inner, 2, 2).unwrap();
            y
        };
        let (a, b) = (run(&x, 1, channels), run(&planar, channels, 1));
        assert!((0..channels).all(|c| (0..4).all(|p| a[p * channels + c] == b[c * 4 + p])));
    }

    #[test]
    fn refuses_an_index_outside() {
        let mut y = [0.0f64; 1];
        let result = resize(&mut y, &[1.0], &[0, 1], &[1], &[1.0], &[0, 1], &[0], &[1.0], None, None, 1, 1, 1, 1, 1, 1);
        assert!(matches!(result, Err(Error::Shape(_))));
    }
}
