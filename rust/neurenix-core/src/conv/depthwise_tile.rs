//! The micro-kernel of depthwise convolutions and of those of small groups: a vector of outputs, some pixels, two rows.

#![allow(clippy::needless_range_loop)] // a tile of registers reads best by its two indices

use super::kernel::Epilogue;
use super::plan::{Axis, LANE, Phase, Tap};
use crate::levels;
use crate::simd::{Float, Vector, prefetch_first};

/// Output rows that are summed together: an input row is loaded once for both.
pub const BAND: usize = 2;

/// Elements from a channel to those that are asked for.
pub const AHEAD: usize = 2 * LANE;

/// An input row, and the row of taps, by its first one's number, that it meets for each output row of a band.
pub struct Met<'a, T> {
    pub x: &'a [T],
    pub taps: [Option<usize>; BAND],
}

/// A band of output rows: the input rows that their taps meet, in order.
pub struct Band<'a, T> {
    pub met: &'a [Met<'a, T>],
    /// `[lanes of outputs][tap][channel of a group][output]`, zeros behind the last output.
    pub weights: &'a [T],
    /// Taps of all rows and planes.
    pub taps: usize,
    pub columns: &'a Axis,
    /// Channels of all groups.
    pub channels: usize,
    pub epilogue: Epilogue<'a, T>,
    /// Output rows that exist.
    pub height: usize,
}

impl<T> Band<'_, T> {
    /// Where the weights of `C` channels and a tap start for the outputs from `at` on; as many follow as a vector has elements.
    #[inline(always)]
    fn weights<const C: usize>(&self, tap: usize, at: usize) -> *const T {
        debug_assert!(tap < self.taps && at < self.channels);
        self.weights.as_ptr().wrapping_add((at / LANE * self.taps + tap) * C * LANE + at % LANE)
    }
}

/// Pixels from `i` on of a phase, and a vector of channels from `at` on.
#[derive(Clone, Copy)]
struct Place<'a> {
    phase: &'a Phase,
    /// See [`step_of_neighbours`].
    step: usize,
    /// Channels of a group, which the compiler shall not know: a loop over them that is unrolled spills the tile.
    group: usize,
    i: usize,
    at: usize,
}

/// Loads a vector, or with `MASK` its first `left` elements.
///
/// # Safety
/// So many elements at `from` are readable.
#[inline(always)]
pub unsafe fn load<T: Float, V: Vector<T>, const MASK: bool>(from: *const T, left: usize) -> V {
    // SAFETY: as the caller says.
    unsafe { if MASK { V::load_first(from, left) } else { V::load(from) } }
}

/// The channel of each lane's group with number `c`, from the first group on: with one channel a group, all of them.
///
/// # Safety
/// `C` elements at `from` are readable, and where a group is smaller than a vector, `N` or with `MASK` the first `left`.
#[inline(always)]
pub unsafe fn channel<T: Float, V: Vector<T>, const C: usize, const MASK: bool>(from: *const T, c: usize, left: usize) -> V {
    // SAFETY: as the caller says.
    unsafe {
        if C == 1 {
            load::<T, V, MASK>(from, left)
        } else if C >= V::N {
            V::splat(*from.add(c))
        } else {
            load::<T, V, MASK>(from, left).spread(C, c)
        }
    }
}

/// An input row, and the rows of taps that it meets.
#[derive(Clone, Copy)]
struct Row<'a, T> {
    x: &'a [T],
    taps: [usize; BAND],
}

/// Adds the products of an input row with some taps of output rows `A .. B` of a band.
#[inline(always)]
unsafe fn add<T, V, const C: usize, const P: usize, const A: usize, const B: usize, const EDGE: bool, const MASK: bool>(
    sums: &mut [[V; P]; BAND],
    band: &Band<'_, T>,
    place: Place<'_>,
    row: Row<'_, T>,
    taps: &[Tap],
) where
    T: Float,
    V: Vector<T>,
{
    let (n, step) = (band.channels, band.columns.in_step);
    let (left, width) = (n - place.at, band.columns.input);
    let zeros = [T::ZERO; LANE];
    for tap in taps {
        let first = (place.i * step) as isize + tap.offset;
        let from = row.x.as_ptr().wrapping_offset(first * n as isize).wrapping_add(place.at / C * C);
        let mut weights = [std::ptr::null(); BAND];
        for i in A..B {
            weights[i] = band.weights::<C>(row.taps[i] + tap.index, place.at);
        }
        for c in 0..if C == 1 { 1 } else { place.group } {
            let mut factors = [V::splat(T::ZERO); BAND];
            // SAFETY: every tap has weights for each channel; the pixel is checked here, or the caller did for `P` of them.
            unsafe {
                for row in A..B {
                    factors[row] = V::load(weights[row].add(c * LANE));
                }
                for p in 0..P {
                    let inside = !EDGE || ((first + (p * step) as isize) as usize) < width;
                    let place = if inside { from.wrapping_add(p * step * n) } else { zeros.as_ptr() };
                    let value = channel::<T, V, C, MASK>(place, c, left);
                    for row in A..B {
                        sums[row][p] = value.fma(factors[row], sums[row][p]);
                    }
                }
            }
        }
    }
}

/// As [`add`] for three neighbouring taps, `S` pixels apart from output to output, all inside: each pixel is loaded once.
#[inline(always)]
unsafe fn add_three<T, V, const S: usize, const P: usize, const A: usize, const B: usize, const MASK: bool>(
    sums: &mut [[V; P]; BAND],
    band: &Band<'_, T>,
    place: Place<'_>,
    row: Row<'_, T>,
    taps: &[Tap],
) where
    T: Float,
    V: Vector<T>,
{
    let (n, left) = (band.channels, band.channels - place.at);
    let mut factors = [[V::splat(T::ZERO); 3]; BAND];
    // SAFETY: every tap has weights; the caller checked the pixels.
    unsafe {
        for i in A..B {
            for t in 0..3 {
                factors[i][t] = V::load(band.weights::<1>(row.taps[i] + taps[t].index, place.at));
            }
        }
        let from = row.x.as_ptr().wrapping_offset(((place.i * S) as isize + taps[0].offset) * n as isize).wrapping_add(place.at);
        for p in 0..P {
            for t in 0..3 {
                let value = load::<T, V, MASK>(from.wrapping_add((p * S + t) * n), left);
                for i in A..B {
                    sums[i][p] = value.fma(factors[i][t], sums[i][p]);
                }
            }
        }
    }
}

/// Asks for the channels that the tile after next reads: pixels a power of two apart come from the second-level cache. Where each
/// channel has a window of its own this costs more than it gains.
#[inline(always)]
fn bring_near<T, const P: usize>(band: &Band<'_, T>, place: Place<'_>, x: &[T]) {
    let (n, step, taps) = (band.channels, band.columns.in_step, &place.phase.taps);
    if let (Some(first), Some(last)) = (taps.first(), taps.last()) {
        let from = x.as_ptr().wrapping_offset(((place.i * step) as isize + first.offset) * n as isize).wrapping_add(place.at + AHEAD);
        for q in 0..(P - 1) * step + (last.offset - first.offset) as usize + 1 {
            prefetch_first(from.wrapping_add(q * n));
        }
    }
}

/// Adds a row in the way that suits its taps.
#[inline(always)]
unsafe fn add_row<T, V, const C: usize, const P: usize, const A: usize, const B: usize, const EDGE: bool, const MASK: bool>(
    sums: &mut [[V; P]; BAND],
    band: &Band<'_, T>,
    place: Place<'_>,
    row: Row<'_, T>,
) where
    T: Float,
    V: Vector<T>,
{
    let mut taps = &place.phase.taps[..];
    if C > 1 && !EDGE {
        bring_near::<T, P>(band, place, row.x);
    }
    // SAFETY: as the caller says.
    unsafe {
        while C == 1 && !EDGE && place.step > 0 && taps.len() >= 3 {
            if place.step == 1 {
                add_three::<T, V, 1, P, A, B, MASK>(sums, band, place, row, taps);
            } else {
                add_three::<T, V, 2, P, A, B, MASK>(sums, band, place, row, taps);
            }
            taps = &taps[3..];
        }
        add::<T, V, C, P, A, B, EDGE, MASK>(sums, band, place, row, taps);
    }
}

/// `P` pixels of a band; at an edge, taps outside and pixels behind the last are left out.
#[inline(always)]
unsafe fn tile<T: Float, V: Vector<T>, const C: usize, const P: usize, const EDGE: bool, const MASK: bool>(
    band: &Band<'_, T>,
    y: &mut [T],
    place: Place<'_>,
) {
    let mut sums = [[V::splat(T::ZERO); P]; BAND];
    for met in band.met {
        // SAFETY: as the caller says.
        unsafe {
            match met.taps {
                [Some(a), Some(b)] => add_row::<T, V, C, P, 0, 2, EDGE, MASK>(&mut sums, band, place, Row { x: met.x, taps: [a, b] }),
                [Some(a), None] => add_row::<T, V, C, P, 0, 1, EDGE, MASK>(&mut sums, band, place, Row { x: met.x, taps: [a, a] }),
                [None, Some(b)] => add_row::<T, V, C, P, 1, 2, EDGE, MASK>(&mut sums, band, place, Row { x: met.x, taps: [b, b] }),
                [None, None] => {}
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

/// The step between outputs, 1 or 2, of a phase whose taps are neighbours, in order; else 0.
fn step_of_neighbours(columns: &Axis, phase: &Phase) -> usize {
    let near = columns.in_step <= 2 && phase.taps.windows(2).all(|t| t[1].offset == t[0].offset + 1);
    if near { columns.in_step } else { 0 }
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
fn across<T: Float, V: Vector<T>, const C: usize, const P: usize, const EDGE: bool>(
    band: &Band<'_, T>,
    place: Place<'_>,
    y: &mut [T],
    i: usize,
) {
    for at in (0..band.channels).step_by(V::N) {
        let place = Place { i, at, ..place };
        // SAFETY: the caller says that all pixels' taps exist unless at an edge, the loop that the channels do.
        unsafe {
            if at + V::N <= band.channels {
                tile::<T, V, C, P, EDGE, false>(band, y, place);
            } else {
                tile::<T, V, C, P, EDGE, true>(band, y, place);
            }
        }
    }
}

/// All pixels of a phase: `P` or four at a time where all their taps exist, the last of these perhaps twice; else four or one.
#[inline(always)]
fn sweep<T: Float, V: Vector<T>, const C: usize, const P: usize>(band: &Band<'_, T>, phase: &Phase, y: &mut [T]) {
    const FEW: usize = 4;
    let (first, last) = interior(band.columns, phase);
    let (group, step, count) = (std::hint::black_box(C), step_of_neighbours(band.columns, phase), phase.count);
    let place = Place { phase, step, group, i: 0, at: 0 };
    let mut i = 0;
    while i < count {
        let inside = if (first..last).contains(&i) { last - i } else { 0 };
        let done = if inside > FEW && last - first >= P {
            let start = i.min(last - P);
            across::<T, V, C, P, false>(band, place, y, start);
            start + P - i
        } else if inside > 0 && last - first >= FEW {
            let start = i.min(last - FEW);
            across::<T, V, C, FEW, false>(band, place, y, start);
            start + FEW - i
        } else if i + 1 == first || i + 1 == count {
            across::<T, V, C, 1, true>(band, place, y, i);
            1
        } else {
            across::<T, V, C, FEW, true>(band, place, y, i);
            FEW
        };
        i += done;
    }
}

levels! {
    /// Computes a band, whose output rows `y` holds, of groups of `C` channels.
    pub fn run_band<T, V, const C: usize>(band: &Band<'_, T>, y: &mut [T]) {
        for phase in &band.columns.phases {
            if V::TILE.1 >= 4 && V::N > 1 {
                sweep::<T, V, C, 8>(band, phase, y);
            } else {
                sweep::<T, V, C, 6>(band, phase, y);
            }
        }
    }
}
