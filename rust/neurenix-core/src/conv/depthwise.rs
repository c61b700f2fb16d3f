//! Depthwise convolution, in either direction: each channel has its own window, and channels are the vector's lanes.

#![allow(clippy::needless_range_loop)] // a tile of registers reads best by its two indices

use super::direct::Problem;
use super::kernel::Epilogue;
use super::plan::{Axis, LANE, Panels, Phase, Tap, Window};
use super::{Direction, direction_of};
use crate::error::{Result, expect_len, try_vec};
use crate::levels;
use crate::simd::{Float, Vector};
use crate::threads::{self, Shared};

/// Weights as `[tap][channel]`.
fn by_tap<T: Float>(weight: &[T], channels: usize, taps: usize) -> Result<Vec<T>> {
    let mut turned = try_vec(weight.len(), T::ZERO)?;
    for (tap, row) in turned.chunks_exact_mut(channels.max(1)).enumerate() {
        row.iter_mut().enumerate().for_each(|(c, value)| *value = weight[c * taps + tap]);
    }
    Ok(turned)
}

/// Output rows that are summed together: an input row is loaded once for both.
const BAND: usize = 2;

/// An input row, and the rows of weights that it meets for each output row of a band.
struct Met<'a, T> {
    x: &'a [T],
    weights: [Option<&'a [T]>; BAND],
}

/// A band of output rows: the input rows that their taps meet, in order.
struct Band<'a, T> {
    met: &'a [Met<'a, T>],
    columns: &'a Axis,
    channels: usize,
    epilogue: Epilogue<'a, T>,
    /// Output rows that exist.
    height: usize,
}

/// Pixels from `i` on of a phase, and a vector of channels from `at` on.
#[derive(Clone, Copy)]
struct Place<'a> {
    phase: &'a Phase,
    i: usize,
    at: usize,
}

/// Loads a vector, or with `MASK` its first `left` elements.
#[inline(always)]
unsafe fn load<T: Float, V: Vector<T>, const MASK: bool>(from: *const T, left: usize) -> V {
    // SAFETY: as the caller says.
    unsafe { if MASK { V::load_first(from, left) } else { V::load(from) } }
}

/// Adds the products of an input row with the weights of output rows `A .. B` of a band.
#[inline(always)]
unsafe fn add<T: Float, V: Vector<T>, const P: usize, const A: usize, const B: usize, const EDGE: bool, const MASK: bool>(
    sums: &mut [[V; P]; BAND],
    band: &Band<'_, T>,
    place: Place<'_>,
    met: &Met<'_, T>,
) {
    let (n, step) = (band.channels, band.columns.in_step);
    let (left, width) = (n - place.at, band.columns.input);
    let zeros = [T::ZERO; LANE];
    for tap in &place.phase.taps {
        let first = (place.i * step) as isize + tap.offset;
        let from = met.x.as_ptr().wrapping_offset(first * n as isize).wrapping_add(place.at);
        // SAFETY: the weights have every tap's channels; the pixel is checked here, or the caller did for `P` of them.
        unsafe {
            let mut factors = [V::splat(T::ZERO); BAND];
            for row in A..B {
                if let Some(weights) = met.weights[row] {
                    factors[row] = load::<T, V, MASK>(weights.as_ptr().add(tap.index * n + place.at), left);
                }
            }
            for p in 0..P {
                let inside = !EDGE || ((first + (p * step) as isize) as usize) < width;
                let place = if inside { from.wrapping_add(p * step * n) } else { zeros.as_ptr() };
                let value = load::<T, V, MASK>(place, left);
                for row in A..B {
                    sums[row][p] = value.fma(factors[row], sums[row][p]);
                }
            }
        }
    }
}

/// `P` pixels of a band; at an edge, taps outside and pixels behind the last are left out.
#[inline(always)]
unsafe fn tile<T: Float, V: Vector<T>, const P: usize, const EDGE: bool, const MASK: bool>(
    band: &Band<'_, T>,
    y: &mut [T],
    place: Place<'_>,
) {
    let mut sums = [[V::splat(T::ZERO); P]; BAND];
    for met in band.met {
        // SAFETY: as the caller says.
        unsafe {
            match met.weights {
                [Some(_), Some(_)] => add::<T, V, P, 0, 2, EDGE, MASK>(&mut sums, band, place, met),
                [Some(_), None] => add::<T, V, P, 0, 1, EDGE, MASK>(&mut sums, band, place, met),
                _ => add::<T, V, P, 1, 2, EDGE, MASK>(&mut sums, band, place, met),
            }
        }
    }
    let (n, columns) = (band.channels, band.columns);
    let left = n - place.at;
    for row in 0..BAND {
        for p in 0..P {
            if row >= band.height || EDGE && place.i + p >= place.phase.count {
                continue;
            }
            let pixel = row * columns.output + place.phase.first + (place.i + p) * columns.out_step;
            // SAFETY: a pixel of the band, and lanes behind the last channel are not written.
            unsafe {
                let sum = band.epilogue.finish::<V>(sums[row][p], place.at, left);
                let to = y.as_mut_ptr().add(pixel * n + place.at);
                if MASK { sum.store_first(to, left) } else { sum.store(to) }
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
pub fn inside(axis: &Axis, count: usize, low: isize, high: isize) -> (usize, usize) {
    let first = low.min(0).unsigned_abs().div_ceil(axis.in_step).min(count);
    let room = axis.input as isize - 1 - high;
    let last = if room < 0 { first } else { (room as usize / axis.in_step + 1).clamp(first, count) };
    (first, last)
}

/// All channels of `P` pixels of a phase: whole vectors, then the rest of one.
#[inline(always)]
fn across<T: Float, V: Vector<T>, const P: usize, const EDGE: bool>(band: &Band<'_, T>, phase: &Phase, y: &mut [T], i: usize) {
    for at in (0..band.channels).step_by(V::N) {
        let place = Place { phase, i, at };
        // SAFETY: the caller says that all pixels' taps exist unless at an edge, the loop that the channels do.
        unsafe {
            if at + V::N <= band.channels {
                tile::<T, V, P, EDGE, false>(band, y, place);
            } else {
                tile::<T, V, P, EDGE, true>(band, y, place);
            }
        }
    }
}

/// All pixels of a phase: `P` or four at a time where all their taps exist, the last of these perhaps twice; else four or one.
#[inline(always)]
fn sweep<T: Float, V: Vector<T>, const P: usize>(band: &Band<'_, T>, phase: &Phase, y: &mut [T]) {
    const FEW: usize = 4;
    let (first, last) = interior(band.columns, phase);
    let mut i = 0;
    while i < phase.count {
        let inside = if (first..last).contains(&i) { last - i } else { 0 };
        let done = if inside > FEW && last - first >= P {
            let start = i.min(last - P);
            across::<T, V, P, false>(band, phase, y, start);
            start + P - i
        } else if inside > 0 && last - first >= FEW {
            let start = i.min(last - FEW);
            across::<T, V, FEW, false>(band, phase, y, start);
            start + FEW - i
        } else if i + 1 == first || i + 1 == phase.count {
            across::<T, V, 1, true>(band, phase, y, i);
            1
        } else {
            across::<T, V, FEW, true>(band, phase, y, i);
            FEW
        };
        i += done;
    }
}

levels! {
    fn rows<T, V>(band: &Band<'_, T>, y: &mut [T]) {
        for phase in &band.columns.phases {
            if V::TILE.1 >= 4 && V::N > 1 {
                sweep::<T, V, 8>(band, phase, y);
            } else {
                sweep::<T, V, 6>(band, phase, y);
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
    let bands = rows.output.div_ceil(BAND);
    let shared = Shared::new(y);
    let cost = (BAND * line).saturating_mul(taps.0 * taps.1 * taps.2);
    threads::parallel(problem.n * depth.output * bands, cost, |task| {
        let (plane, oy) = (task / bands, task % bands * BAND);
        let (image, oz) = (plane / depth.output, plane % depth.output);
        let height = BAND.min(rows.output - oy);
        let mut list = Vec::with_capacity(taps.0 * (taps.1 + BAND * rows.in_step));
        let pairs = together(rows, oy, height);
        for (down, z) in met(depth, oz) {
            let start = (image * depth.input + z) * rows.input;
            let weights = |tap: usize| &weights[(down * taps.1 + tap) * width..][..width];
            for &(row, found) in &pairs {
                let x = &x[(start + row) * pitch..][..pitch];
                list.push(Met { x, weights: found.map(|tap| tap.map(weights)) });
            }
        }
        // SAFETY: each task has its own rows of the output.
        let y = unsafe { shared.slice((plane * rows.output + oy) * line, height * line) };
        self::rows(&Band { met: &list, columns, channels, epilogue, height }, y);
    });
    Ok(())
}

/// The input rows that `height` output rows from `oy` on meet, in order, with the tap of each output row that does.
fn together(rows: &Axis, oy: usize, height: usize) -> Vec<(usize, [Option<usize>; BAND])> {
    let mut found: Vec<(usize, [Option<usize>; BAND])> = Vec::with_capacity(16);
    for line in 0..height {
        for (tap, row) in met(rows, oy + line) {
            match found.binary_search_by_key(&row, |f| f.0) {
                Ok(at) => found[at].1[line] = Some(tap),
                Err(at) => {
                    let mut taps = [None; BAND];
                    taps[line] = Some(tap);
                    found.insert(at, (row, taps));
                }
            }
        }
    }
    found
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
