//! Depthwise convolution, in either direction: each channel has its own window, and channels are the vector's lanes.

#![allow(clippy::needless_range_loop)] // a tile of registers reads best by its two indices

use super::direct::Problem;
use super::kernel::Epilogue;
use super::plan::{Axis, Panels, Phase, Tap, Window};
use super::{Direction, direction_of};
use crate::error::{Result, expect_len, try_vec};
use crate::levels;
use crate::simd::{Float, Vector};
use crate::threads;

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

/// Pixels `i .. i + P` of a phase, `R` whole vectors of channels from `at` on, or with `R = 0` the `left` channels of one.
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
    let mut sums = [[V::splat(T::ZERO); 2]; P];
    let vectors = R.max(1);
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
                for j in 0..vectors {
                    let factor = if R == 0 { V::load_first(weight, left) } else { V::load(weight.add(j * V::N)) };
                    for p in 0..P {
                        let place = from.add(p * step * n + j * V::N);
                        let value = if R == 0 { V::load_first(place, left) } else { V::load(place) };
                        sums[p][j] = value.fma(factor, sums[p][j]);
                    }
                }
            }
        }
    }
    for p in 0..P {
        let place = (phase.first + (i + p) * line.columns.out_step) * n + at;
        for j in 0..vectors {
            let (at, left) = (at + j * V::N, left - j * V::N);
            // SAFETY: inside the output row, and lanes behind the last channel are not written.
            unsafe {
                let sum = line.epilogue.finish::<V>(sums[p][j], at, left);
                let to = y.as_mut_ptr().add(place + j * V::N);
                if R == 0 { sum.store_first(to, left) } else { sum.store(to) }
            }
        }
    }
}

/// The pixels of a phase whose taps all lie inside.
fn interior(axis: &Axis, phase: &Phase) -> (usize, usize) {
    let low = phase.taps.iter().map(|t| t.offset).min().unwrap_or(0);
    let high = phase.taps.iter().map(|t| t.offset).max().unwrap_or(0);
    inside(axis, phase.count, low, high)
}

/// The first `count` pixels of an axis from which the taps at both offsets lie inside.
fn inside(axis: &Axis, count: usize, low: isize, high: isize) -> (usize, usize) {
    let first = low.min(0).unsigned_abs().div_ceil(axis.in_step).min(count);
    let room = axis.input as isize - 1 - high;
    let last = if room < 0 { first } else { (room as usize / axis.in_step + 1).clamp(first, count) };
    (first, last)
}

/// All pixels of a phase, `R` vectors of channels from `at` on: four pixels at a time where all their taps exist.
#[inline(always)]
fn sweep<T: Float, V: Vector<T>, const R: usize>(line: &Line<'_, T>, phase: &Phase, y: &mut [T], at: usize) {
    let (first, last) = interior(line.columns, phase);
    let mut i = 0;
    while i < phase.count {
        let inside = i >= first && i + 4 <= last;
        // SAFETY: `inside` says that four pixels' taps exist, the caller that the channels do.
        unsafe {
            if inside {
                pixels::<T, V, 4, R>(line, phase, y, i, at);
            } else {
                pixels::<T, V, 1, R>(line, phase, y, i, at);
            }
        }
        i += if inside { 4 } else { 1 };
    }
}

levels! {
    fn row<T, V>(line: &Line<'_, T>, y: &mut [T]) {
        for phase in &line.columns.phases {
            let mut at = 0;
            while at < line.channels {
                let whole = (line.channels - at) / V::N;
                match whole {
                    0 => sweep::<T, V, 0>(line, phase, y, at),
                    1 => sweep::<T, V, 1>(line, phase, y, at),
                    _ => sweep::<T, V, 2>(line, phase, y, at),
                }
                at += whole.clamp(1, 2) * V::N;
            }
        }
    }
}

/// Runs a depthwise convolution; the problem's groups are the channels, the slices have its sizes.
///
/// # Errors
/// [`crate::error::Error::Memory`].
pub fn run<T: Float>(y: &mut [T], x: &[T], weight: &[T], epilogue: Epilogue<'_, T>, taps: (usize, usize), problem: &Problem) -> Result {
    let depth = Window { kernel: 1, stride: 1, dilation: 1, pad: 0 }.gather(1, 1)?;
    run_planes(y, x, weight, epilogue, (1, taps.0, taps.1), problem, &depth)
}

/// The phase of output `o` of an axis, and where its windows stand in the input.
fn phase_of(axis: &Axis, o: usize) -> (&Phase, isize) {
    (&axis.phases[o % axis.out_step], (o / axis.out_step * axis.in_step) as isize)
}

/// The taps of output `o` that lie inside, with the inputs that they meet.
fn met(axis: &Axis, o: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
    let (phase, place) = phase_of(axis, o);
    let inside = move |t: &&Tap| (0..axis.input as isize).contains(&(place + t.offset));
    phase.taps.iter().filter(inside).map(move |t| (t.index, (place + t.offset) as usize))
}

/// The same over volumes, planes along `depth`: a sum runs over taps of depth, of rows, of columns in the order of offsets.
fn run_planes<T: Float>(
    y: &mut [T],
    x: &[T],
    weight: &[T],
    epilogue: Epilogue<'_, T>,
    taps: (usize, usize, usize),
    problem: &Problem,
    depth: &Axis,
) -> Result {
    if y.is_empty() {
        return Ok(());
    }
    let channels = problem.panels.groups;
    let weights = by_tap(weight, channels, taps.0 * taps.1 * taps.2)?;
    let (rows, columns) = (&problem.rows, &problem.columns);
    let (line, pitch, width) = (columns.output * channels, columns.input * channels, taps.2 * channels);
    threads::parallel_chunks(y, line, taps.0 * taps.1 * taps.2, |task, y| {
        let (plane, oy) = (task / rows.output, task % rows.output);
        let (image, oz) = (plane / depth.output, plane % depth.output);
        let mut lines: Vec<(&[T], &[T])> = Vec::with_capacity(taps.0 * taps.1);
        for (down, z) in met(depth, oz) {
            for (tap, row) in met(rows, oy) {
                let start = ((image * depth.input + z) * rows.input + row) * pitch;
                lines.push((&x[start..start + pitch], &weights[(down * taps.1 + tap) * width..][..width]));
            }
        }
        row(&Line { rows: &lines, columns, channels, epilogue }, y);
    });
    Ok(())
}

/// `y[n, oz, oy, ox, c] = sum over taps of x[n, iz, iy, ix, c] * w[c, tap]`, plus the bias; see [`Direction`].
///
/// # Errors
/// [`crate::error::Error::Shape`] for slices that do not have these sizes, [`crate::error::Error::Memory`].
pub fn convolve_depthwise_volume<T: Float>(
    y: &mut [T],
    x: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    n: usize,
    d: usize,
    h: usize,
    w: usize,
    od: usize,
    oh: usize,
    ow: usize,
    channels: usize,
    kd: usize,
    kh: usize,
    kw: usize,
    stride_d: usize,
    stride_h: usize,
    stride_w: usize,
    pad_d: usize,
    pad_h: usize,
    pad_w: usize,
    dilation_d: usize,
    dilation_h: usize,
    dilation_w: usize,
    scatter: usize,
) -> Result {
    expect_len("y", y.len(), &[n, od, oh, ow, channels])?;
    expect_len("x", x.len(), &[n, d, h, w, channels])?;
    expect_len("weight", weight.len(), &[channels, kd, kh, kw])?;
    let epilogue = Epilogue::checked(bias, None, None, false, channels)?;
    let direction = direction_of(scatter)?;
    let axis = |kernel, stride, dilation, pad, input, output| {
        let window = Window { kernel, stride, dilation, pad };
        if direction == Direction::Gather { window.gather(input, output) } else { window.scatter(input, output) }
    };
    let depth = axis(kd, stride_d, dilation_d, pad_d, d, od)?;
    let (rows, columns) = (axis(kh, stride_h, dilation_h, pad_h, h, oh)?, axis(kw, stride_w, dilation_w, pad_w, w, ow)?);
    let problem = Problem { n, rows, columns, panels: Panels { groups: channels, channels: 1, outputs: 1 } };
    run_planes(y, x, weight, epilogue, (kd, kh, kw), &problem, &depth)
}

/// `sums[c] += sum over pixels of x[pixel, c] * dy[pixel, c]` for `R` vectors of channels, or the first `left` with `R = 0`.
#[inline(always)]
unsafe fn products<T: Float, V: Vector<T>, const R: usize>(
    sums: &mut [T],
    x: *const T,
    dy: *const T,
    pixels: usize,
    steps: (usize, usize),
) {
    let mut part = [V::splat(T::ZERO); 4];
    let (left, vectors) = (sums.len(), R.max(1));
    // SAFETY: the caller has so many pixels with the channels of `sums`.
    unsafe {
        for pixel in 0..pixels {
            let (a, b) = (x.add(pixel * steps.0), dy.add(pixel * steps.1));
            for j in 0..vectors {
                let (a, b) = (a.add(j * V::N), b.add(j * V::N));
                let (a, b): (V, V) = if R == 0 { (V::load_first(a, left), V::load_first(b, left)) } else { (V::load(a), V::load(b)) };
                part[j] = a.fma(b, part[j]);
            }
        }
        for j in 0..vectors {
            let to = sums.as_mut_ptr().add(j * V::N);
            if R == 0 {
                V::load_first(to, left).add(part[j]).store_first(to, left);
            } else {
                V::load(to).add(part[j]).store(to);
            }
        }
    }
}

/// One row of both maps, and the sums of the row of taps that joins them.
struct Pair<'a, T> {
    large: &'a [T],
    small: &'a [T],
    columns: &'a Axis,
    channels: usize,
}

levels! {
    /// Adds a pair of rows to `sums[tap][channel]`.
    fn add_rows<T, V>(pair: &Pair<'_, T>, sums: &mut [T]) {
        let n = pair.channels;
        let mut at = 0;
        while at < n {
            let whole = ((n - at) / V::N).min(4);
            let some = if whole == 0 { n - at } else { whole * V::N };
            for (index, tap) in pair.columns.phases[0].taps.iter().enumerate() {
                let (first, last) = inside(pair.columns, pair.columns.output, tap.offset, tap.offset);
                if first == last {
                    continue;
                }
                let from = ((first * pair.columns.in_step) as isize + tap.offset) as usize * n + at;
                let (x, dy) = (&pair.large[from..], &pair.small[first * n + at..]);
                let sums = &mut sums[index * n + at..index * n + at + some];
                let steps = (pair.columns.in_step * n, n);
                // SAFETY: `inside` says that the tap exists from pixel `first` to `last`.
                unsafe {
                    match whole {
                        0 => products::<T, V, 0>(sums, x.as_ptr(), dy.as_ptr(), last - first, steps),
                        1 => products::<T, V, 1>(sums, x.as_ptr(), dy.as_ptr(), last - first, steps),
                        2 => products::<T, V, 2>(sums, x.as_ptr(), dy.as_ptr(), last - first, steps),
                        3 => products::<T, V, 3>(sums, x.as_ptr(), dy.as_ptr(), last - first, steps),
                        _ => products::<T, V, 4>(sums, x.as_ptr(), dy.as_ptr(), last - first, steps),
                    }
                }
            }
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
                let small = &small[line * columns.output * channels..(line + 1) * columns.output * channels];
                let sums = &mut part[row.index * across.taps.len() * channels..(row.index + 1) * across.taps.len() * channels];
                add_rows(&Pair { large: x, small, columns, channels }, sums);
            }
        }
    });
    for part in parts.chunks_exact(taps * channels) {
        for (tap, row) in part.chunks_exact(channels).enumerate() {
            row.iter().enumerate().for_each(|(c, &value)| dw[c * taps + tap] += value);
        }
    }
    Ok(())
}
