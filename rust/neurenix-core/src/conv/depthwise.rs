//! Depthwise convolution, in either direction: each channel has its own window, and channels are the vector's lanes.
//!
//! Groups of a few channels and as many outputs are computed the same way: outputs of several groups are the lanes, and each
//! channel of a group goes to all lanes of the group.

use super::depthwise_tile::{BAND, Band, Met, run_band};
use super::direct::Problem;
use super::kernel::Epilogue;
use super::plan::{Axis, LANE, Panels, Phase, Tap, Window};
use super::{Direction, direction_of};
use crate::error::{Result, expect_len, try_vec};
use crate::simd::Float;
use crate::threads::{self, Shared};

/// Tasks that each thread should have, and the most bands of one.
const TASKS: usize = 8;
const MOST: usize = 16;

/// Packs weights as `[lanes of outputs][tap][channel of a group][output]`, zeros behind the last output; `weight` says where each is.
fn by_lanes<T: Float>(packed: &mut [T], outputs: usize, taps: usize, group: usize, weight: impl Fn(usize, usize, usize) -> T) {
    for (i, row) in packed.chunks_exact_mut(LANE).enumerate() {
        let (step, first) = (i % (taps * group), i / (taps * group) * LANE);
        for (lane, value) in row.iter_mut().enumerate() {
            let output = first + lane;
            *value = if output < outputs { weight(output, step / group, step % group) } else { T::ZERO };
        }
    }
}

/// The weights of channels with one window each.
fn by_tap<T: Float>(weight: &[T], channels: usize, taps: usize) -> Result<Vec<T>> {
    let mut packed = try_vec(channels.div_ceil(LANE) * LANE * taps, T::ZERO)?;
    by_lanes(&mut packed, channels, taps, 1, |channel, tap, _| weight[channel * taps + tap]);
    Ok(packed)
}

/// Runs a depthwise convolution; the problem's groups are the channels, the slices have its sizes.
///
/// # Errors
/// [`crate::error::Error::Memory`].
pub fn run<T: Float>(y: &mut [T], x: &[T], weight: &[T], epilogue: Epilogue<'_, T>, taps: (usize, usize), problem: &Problem) -> Result {
    let weights = by_tap(weight, problem.panels.groups, taps.0 * taps.1)?;
    run_planes::<T, 1>(y, x, &weights, epilogue, (1, taps.0, taps.1), problem, &flat()?)
}

/// An axis of one plane.
fn flat() -> Result<Axis> {
    Window { kernel: 1, stride: 1, dilation: 1, pad: 0 }.gather(1, 1)
}

/// Runs a convolution whose groups lie [`Panels::side_by_side`]; the weights are those of [`pack`].
///
/// # Errors
/// [`crate::error::Error::Shape`].
pub fn run_groups<T: Float>(
    y: &mut [T],
    x: &[T],
    packed: &[T],
    epilogue: Epilogue<'_, T>,
    taps: (usize, usize),
    problem: &Problem,
) -> Result {
    let (taps, depth) = ((1, taps.0, taps.1), flat()?);
    match problem.panels.channels {
        2 => run_planes::<T, 2>(y, x, packed, epilogue, taps, problem, &depth),
        4 => run_planes::<T, 4>(y, x, packed, epilogue, taps, problem, &depth),
        _ => run_planes::<T, 8>(y, x, packed, epilogue, taps, problem, &depth),
    }
}

/// Packs a weight for [`run_groups`]; what is left of `packed` becomes zeros.
pub fn pack<T: Float>(packed: &mut [T], weight: &[T], panels: &Panels, taps: usize, direction: Direction) {
    let (c, n) = (panels.channels, panels.groups * panels.outputs);
    let (lanes, behind) = packed.split_at_mut(n.div_ceil(LANE) * LANE * c * taps);
    by_lanes(lanes, n, taps, c, |output, tap, channel| {
        let (first, second) = match direction {
            Direction::Gather => (output, channel),
            Direction::Scatter => (output / c * c + channel, output % c),
        };
        weight[(first * c + second) * taps + tap]
    });
    behind.fill(T::ZERO);
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

/// A convolution over volumes, planes along `depth`, of groups of `C` channels and outputs: a sum runs over taps of depth, of rows,
/// of columns in the order of offsets, and over channels. The weights are those of [`by_lanes`].
fn run_planes<T: Float, const C: usize>(
    y: &mut [T],
    x: &[T],
    weights: &[T],
    epilogue: Epilogue<'_, T>,
    taps: (usize, usize, usize),
    problem: &Problem,
    depth: &Axis,
) -> Result {
    if y.is_empty() {
        return Ok(());
    }
    let channels = problem.panels.groups * C;
    let (rows, columns) = (&problem.rows, &problem.columns);
    let (line, pitch) = (columns.output * channels, columns.input * channels);
    let (bands, all) = (rows.output.div_ceil(BAND), taps.0 * taps.1 * taps.2);
    let (total, shared) = (problem.n * depth.output * bands, Shared::new(y));
    let cost = (BAND * line).saturating_mul(all * C) / LANE + 1;
    // What a task has in lists serves some bands.
    let some = (total / (TASKS * threads::num_threads())).clamp(1, MOST);
    threads::parallel(total.div_ceil(some), some * cost, |task| {
        let (mut pairs, mut list) = (Vec::with_capacity(2 * BAND * taps.1), Vec::with_capacity(2 * BAND * taps.0 * taps.1));
        for band in task * some..total.min((task + 1) * some) {
            let (plane, oy) = (band / bands, band % bands * BAND);
            let (image, oz) = (plane / depth.output, plane % depth.output);
            let height = BAND.min(rows.output - oy);
            together(&mut pairs, rows, oy, height);
            list.clear();
            for (down, z) in met(depth, oz) {
                let start = (image * depth.input + z) * rows.input;
                for &(row, mut met) in &pairs {
                    for tap in met.iter_mut().flatten() {
                        *tap = (down * taps.1 + *tap) * taps.2;
                    }
                    list.push(Met { x: &x[(start + row) * pitch..][..pitch], taps: met });
                }
            }
            // SAFETY: each band has its own rows of the output.
            let y = unsafe { shared.slice((plane * rows.output + oy) * line, height * line) };
            run_band::<T, C>(&Band { met: &list, weights, taps: all, columns, channels, epilogue, height }, y);
        }
    });
    Ok(())
}

/// The input rows that `height` output rows from `oy` on meet, in order, with the tap of each output row that does.
fn together(found: &mut Vec<(usize, [Option<usize>; BAND])>, rows: &Axis, oy: usize, height: usize) {
    found.clear();
    let mut left: [(&[Tap], isize); BAND] = [(&[], 0); BAND];
    for (line, left) in left.iter_mut().enumerate().take(height) {
        let (phase, place) = phase_of(rows, oy + line);
        *left = (&phase.taps, place);
    }
    while let Some(row) = left.iter().filter_map(|(taps, place)| taps.first().map(|tap| place + tap.offset)).min() {
        let mut met = [None; BAND];
        for (met, (taps, place)) in met.iter_mut().zip(&mut left) {
            if let Some((tap, behind)) = taps.split_first()
                && *place + tap.offset == row
            {
                (*met, *taps) = (Some(tap.index), behind);
            }
        }
        if (0..rows.input as isize).contains(&row) {
            found.push((row as usize, met));
        }
    }
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
    let problem = Problem { n, rows, columns, panels: Panels { groups: channels, channels: 1, outputs: 1 }, channels: 1 };
    let weights = by_tap(weight, channels, kd * kh * kw)?;
    run_planes::<T, 1>(y, x, &weights, epilogue, (kd, kh, kw), &problem, &depth)
}
