//! Depthwise convolution, in either direction: each channel has its own window, and channels are the vector's lanes.

use super::direct::Problem;
use super::kernel::{Epilogue, load};
use super::plan::{Axis, Phase};
use crate::error::{Result, try_vec};
use crate::levels;
use crate::simd::{Float, Vector};
use crate::threads::{self, Shared};

/// Rows of the map that one partial sum of the weight gradient covers, at most; their number is fixed by the map.
const CHUNKS: usize = 32;

/// Weights as `[tap][channel]`.
fn by_tap<T: Float>(weight: &[T], channels: usize, taps: usize) -> Result<Vec<T>> {
    let mut turned = try_vec(weight.len(), T::ZERO)?;
    for (tap, row) in turned.chunks_exact_mut(channels.max(1)).enumerate() {
        row.iter_mut().enumerate().for_each(|(c, value)| *value = weight[c * taps + tap]);
    }
    Ok(turned)
}

/// One output row: the input rows that its row taps meet, with their rows of weights.
struct Line<'a, T> {
    rows: &'a [(&'a [T], &'a [T])],
    columns: &'a Axis,
    channels: usize,
    epilogue: Epilogue<'a, T>,
}

/// Pixels `i .. i + P` of a phase, `R` vectors of channels from `at` on.
#[inline(always)]
unsafe fn pixels<T: Float, V: Vector<T>, const P: usize, const R: usize>(
    line: &Line<'_, T>,
    phase: &Phase,
    y: &mut [T],
    i: usize,
    at: usize,
) {
    let (n, step) = (line.channels, line.columns.in_step);
    let left = n - at;
    let mut sums = [[V::splat(T::ZERO); R]; P];
    for (x, w) in line.rows {
        for tap in &phase.taps {
            let first = (i * step) as isize + tap.offset;
            if P == 1 && (first < 0 || first >= line.columns.input as isize) {
                continue;
            }
            // SAFETY: the pixel was just checked, or the caller did for `P` of them; a vector's missing lanes are not read.
            unsafe {
                let from = x.as_ptr().add(first as usize * n + at);
                let weight = w.as_ptr().add(tap.index * n + at);
                for j in 0..R {
                    let factor: V = load(weight.add(j * V::N), left - j * V::N);
                    for (p, sum) in sums.iter_mut().enumerate() {
                        let value: V = load(from.add(p * step * n + j * V::N), left - j * V::N);
                        sum[j] = value.fma(factor, sum[j]);
                    }
                }
            }
        }
    }
    for (p, sum) in sums.into_iter().enumerate() {
        let place = (phase.first + (i + p) * line.columns.out_step) * n + at;
        for (j, sum) in sum.into_iter().enumerate() {
            let left = left - j * V::N;
            // SAFETY: inside the output row, and lanes behind the last channel are not written.
            unsafe {
                let sum = line.epilogue.finish::<V>(sum, at + j * V::N, left);
                let to = y.as_mut_ptr().add(place + j * V::N);
                if left >= V::N { sum.store(to) } else { sum.store_first(to, left) }
            }
        }
    }
}

/// The pixels of a phase whose taps all lie inside.
fn interior(axis: &Axis, phase: &Phase) -> (usize, usize) {
    let low = phase.taps.iter().map(|t| t.offset).min().unwrap_or(0);
    let high = phase.taps.iter().map(|t| t.offset).max().unwrap_or(0);
    let first = low.min(0).unsigned_abs().div_ceil(axis.in_step).min(phase.count);
    let room = axis.input as isize - 1 - high;
    let last = if room < 0 { first } else { (room as usize / axis.in_step + 1).clamp(first, phase.count) };
    (first, last)
}

levels! {
    fn row<T, V>(line: &Line<'_, T>, y: &mut [T]) {
        for phase in &line.columns.phases {
            let (first, last) = interior(line.columns, phase);
            let mut at = 0;
            while at < line.channels {
                let pair = line.channels - at >= 2 * V::N;
                let mut i = 0;
                while i < phase.count {
                    let inside = i >= first && i + 4 <= last;
                    // SAFETY: `inside` says that four pixels' taps exist.
                    unsafe {
                        match (inside, pair) {
                            (true, true) => pixels::<T, V, 4, 2>(line, phase, y, i, at),
                            (true, false) => pixels::<T, V, 4, 1>(line, phase, y, i, at),
                            (false, true) => pixels::<T, V, 1, 2>(line, phase, y, i, at),
                            (false, false) => pixels::<T, V, 1, 1>(line, phase, y, i, at),
                        }
                    }
                    i += if inside { 4 } else { 1 };
                }
                at += if pair { 2 * V::N } else { V::N };
            }
        }
    }
}

/// Runs a depthwise convolution; the problem's groups are the channels, the slices have its sizes.
///
/// # Errors
/// [`crate::error::Error::Memory`].
pub fn run<T: Float>(y: &mut [T], x: &[T], weight: &[T], epilogue: Epilogue<'_, T>, taps: (usize, usize), problem: &Problem) -> Result {
    if y.is_empty() {
        return Ok(());
    }
    let channels = problem.panels.groups;
    let weights = by_tap(weight, channels, taps.0 * taps.1)?;
    let (rows, columns) = (&problem.rows, &problem.columns);
    let line = columns.output * channels;
    threads::parallel_chunks(y, line, taps.0 * taps.1, |task, y| {
        let (image, oy) = (task / rows.output, task % rows.output);
        let phase = &rows.phases[oy % rows.out_step];
        let place = (oy / rows.out_step * rows.in_step) as isize;
        let inside = phase.taps.iter().filter(|t| (0..rows.input as isize).contains(&(place + t.offset)));
        let met: Vec<(&[T], &[T])> = inside
            .map(|t| {
                let start = (image * rows.input + (place + t.offset) as usize) * columns.input * channels;
                (&x[start..start + columns.input * channels], &weights[t.index * taps.1 * channels..(t.index + 1) * taps.1 * channels])
            })
            .collect();
        row(&Line { rows: &met, columns, channels, epilogue }, y);
    });
    Ok(())
}

levels! {
    /// `sums[c] += sum over pixels of x[pixel, c] * dy[pixel, c]`, the pixels `step` elements apart in `x`.
    fn add_products<T: Float>(sums: &mut [T], x: &[T], dy: &[T], step: usize) {
        const NEAR: usize = 64;
        let n = sums.len();
        let mut at = 0;
        while at < n {
            let some = NEAR.min(n - at);
            let mut part = [T::ZERO; NEAR];
            for (pixel, gradient) in dy.chunks_exact(n).enumerate() {
                let (a, b) = (&x[pixel * step + at..], &gradient[at..]);
                if some == NEAR {
                    for ((sum, &a), &b) in part.iter_mut().zip(&a[..NEAR]).zip(&b[..NEAR]) {
                        *sum = a.mul_add(b, *sum);
                    }
                } else {
                    for ((sum, &a), &b) in part.iter_mut().zip(&a[..some]).zip(b) {
                        *sum = a.mul_add(b, *sum);
                    }
                }
            }
            sums[at..at + some].iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
            at += some;
        }
    }
}

/// `dw[c, tap] = sum over pixels of small[pixel, c] * large[pixel at tap, c]`, in fixed chunks of rows added in order.
///
/// # Errors
/// [`crate::error::Error::Memory`].
pub fn weight_gradient<T: Float>(dw: &mut [T], small: &[T], large: &[T], problem: &Problem) -> Result {
    dw.fill(T::ZERO);
    if small.is_empty() || large.is_empty() || dw.is_empty() {
        return Ok(());
    }
    let (rows, columns, channels) = (&problem.rows, &problem.columns, problem.panels.groups);
    let (down, across) = (&rows.phases[0], &columns.phases[0]);
    let (lines, taps) = (problem.n * rows.output, down.taps.len() * across.taps.len());
    let chunks = CHUNKS.min(lines);
    let mut parts = try_vec(chunks * taps * channels, T::ZERO)?;
    threads::parallel_chunks(&mut parts, taps * channels, lines / chunks * columns.output, |chunk, part| {
        for line in lines * chunk / chunks..lines * (chunk + 1) / chunks {
            let (image, oy) = (line / rows.output, line % rows.output);
            for row in &down.taps {
                let iy = (oy * rows.in_step) as isize + row.offset;
                if !(0..rows.input as isize).contains(&iy) {
                    continue;
                }
                let x = &large[(image * rows.input + iy as usize) * columns.input * channels..][..columns.input * channels];
                for tap in &across.taps {
                    let single = Phase { first: 0, count: columns.output, taps: vec![*tap] };
                    let (first, last) = interior(columns, &single);
                    if first == last {
                        continue;
                    }
                    let from = ((first * columns.in_step) as isize + tap.offset) as usize * channels;
                    let dy = &small[(line * columns.output + first) * channels..(line * columns.output + last) * channels];
                    let index = row.index * across.taps.len() + tap.index;
                    add_products(&mut part[index * channels..(index + 1) * channels], &x[from..], dy, columns.in_step * channels);
                }
            }
        }
    });
    let dw = Shared::new(dw);
    for part in parts.chunks_exact(taps * channels) {
        for (i, &value) in part.iter().enumerate() {
            // SAFETY: one element at a time, by this thread alone.
            unsafe { dw.slice(i % channels * taps + i / channels, 1)[0] += value };
        }
    }
    Ok(())
}
