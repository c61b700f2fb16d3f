//! The micro-kernel of depthwise convolutions and of those of small groups: a vector of outputs, some pixels, two rows.

#![allow(clippy::needless_range_loop)] // a tile of registers reads best by its two indices

use super::kernel::Epilogue;
use super::plan::{Axis, LANE, Phase, Tap};
use crate::levels;
use crate::simd::{Float, Vector, prefetch_first};

/// Output rows that are summed together: an input row is loaded once for both.
pub const BAND: usize = 2;

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
    /// Channels of a group, which the compiler shall not know: a loop over them that is unrolled spills the tile.
    group: usize,
    i: usize,
    at: usize,
}

/// An input row, and the rows of taps that it meets.
#[derive(Clone, Copy)]
struct Row<'a, T> {
    x: &'a [T],
    taps: [usize; BAND],
}

impl<T: Float> Row<'_, T> {
    /// Loads the vector from channel `at` on of the pixel that comes `step` behind the column `first`: with `CHECK` its first `left` lanes,
    /// and zeros where there is no such pixel.
    ///
    /// # Safety
    /// So many lanes exist, and without `CHECK` the pixel does.
    #[inline(always)]
    unsafe fn load<V: Vector<T>, const CHECK: bool>(&self, axis: &Axis, n: usize, first: isize, step: usize, at: usize, left: usize) -> V {
        let pixel = self.x.as_ptr().wrapping_offset(first * n as isize).wrapping_add(step * n + at);
        let is_inside = ((first + step as isize) as usize) < axis.input; // a number below zero is a large one
        // SAFETY: as the caller says.
        unsafe { if CHECK { V::load_first(pixel, if is_inside { left } else { 0 }) } else { V::load(pixel) } }
    }

    /// The channel of each lane's group with number `c` of the pixel at `column`: in its vector, or, where a group fills one, in memory.
    ///
    /// # Safety
    /// As [`Row::load`].
    #[inline(always)]
    unsafe fn channel<V: Vector<T>, const C: usize, const CHECK: bool>(
        &self,
        pixel: V,
        axis: &Axis,
        n: usize,
        column: isize,
        at: usize,
        c: usize,
    ) -> V {
        if C == 1 {
            pixel
        } else if C < V::N {
            pixel.spread(C, c)
        } else if !CHECK || (column as usize) < axis.input {
            // SAFETY: as the caller says, or it is checked.
            V::splat(unsafe { *self.x.as_ptr().wrapping_offset(column * n as isize).add(at + c) })
        } else {
            V::splat(T::ZERO)
        }
    }
}

/// Adds the products of an input row with its taps to the sums of output rows `A .. B` of a band.
#[inline(always)]
unsafe fn add<T, V, const C: usize, const P: usize, const A: usize, const B: usize, const CHECK: bool>(
    sums: &mut [[V; P]; BAND],
    band: &Band<'_, T>,
    place: Place<'_>,
    row: Row<'_, T>,
) where
    T: Float,
    V: Vector<T>,
{
    let (n, axis, at) = (band.channels, band.columns, place.at / C * C);
    let left = (n - place.at).min(V::N);
    for tap in &place.phase.taps {
        let first = (place.i * axis.in_step) as isize + tap.offset;
        let mut weights = [std::ptr::null(); BAND];
        for i in A..B {
            weights[i] = band.weights::<C>(row.taps[i] + tap.index, place.at);
        }
        let mut pixels = [V::splat(T::ZERO); P];
        // SAFETY: every tap has weights for each channel; pixels are checked, or the caller did for `P` of them.
        unsafe {
            for p in 0..P {
                if C == 1 || C < V::N {
                    pixels[p] = row.load::<V, CHECK>(axis, n, first, p * axis.in_step, at, left);
                }
            }
            for c in 0..if C == 1 { 1 } else { place.group } {
                let mut factors = [V::splat(T::ZERO); BAND];
                for i in A..B {
                    factors[i] = V::load(weights[i].add(c * LANE));
                }
                for p in 0..P {
                    let column = first + (p * axis.in_step) as isize;
                    let value = row.channel::<V, C, CHECK>(pixels[p], axis, n, column, at, c);
                    for i in A..B {
                        sums[i][p] = value.fma(factors[i], sums[i][p]);
                    }
                }
            }
        }
    }
}

/// As [`add`] for `K` neighbouring taps, `S` pixels apart from output to output, of channels with a window each: a pixel is loaded once.
#[inline(always)]
unsafe fn add_near<T, V, const S: usize, const K: usize, const P: usize, const A: usize, const B: usize, const CHECK: bool>(
    sums: &mut [[V; P]; BAND],
    band: &Band<'_, T>,
    place: Place<'_>,
    row: Row<'_, T>,
    taps: &[Tap],
) where
    T: Float,
    V: Vector<T>,
{
    let (n, left) = (band.channels, (band.channels - place.at).min(V::N));
    let first = (place.i * S) as isize + taps[0].offset;
    let mut factors = [[V::splat(T::ZERO); K]; BAND];
    let mut pixels = [V::splat(T::ZERO); K];
    // SAFETY: every tap has weights; pixels are checked, or the caller did.
    unsafe {
        for i in A..B {
            for t in 0..K {
                factors[i][t] = V::load(band.weights::<1>(row.taps[i] + taps[t].index, place.at));
            }
        }
        for p in 0..P {
            for t in 0..K {
                let is_there = p > 0 && t + S < K;
                pixels[t] = if is_there { pixels[t + S] } else { row.load::<V, CHECK>(band.columns, n, first, p * S + t, place.at, left) };
                for i in A..B {
                    sums[i][p] = pixels[t].fma(factors[i][t], sums[i][p]);
                }
            }
        }
    }
}

/// Adds a row in the way that suits its taps: neighbours that lie `S` pixels apart from output to output, any for 0.
#[inline(always)]
unsafe fn add_row<T, V, const C: usize, const S: usize, const P: usize, const A: usize, const B: usize, const CHECK: bool>(
    sums: &mut [[V; P]; BAND],
    band: &Band<'_, T>,
    place: Place<'_>,
    row: Row<'_, T>,
) where
    T: Float,
    V: Vector<T>,
{
    if C > 1 && !CHECK {
        bring_near::<T, P>(band, place, row.x);
    }
    let mut taps = &place.phase.taps[..];
    // SAFETY: as the caller says.
    unsafe {
        if S == 0 {
            return add::<T, V, C, P, A, B, CHECK>(sums, band, place, row);
        }
        while taps.len() >= 3 {
            add_near::<T, V, S, 3, P, A, B, CHECK>(sums, band, place, row, taps);
            taps = &taps[3..];
        }
        match taps.len() {
            2 => add_near::<T, V, S, 2, P, A, B, CHECK>(sums, band, place, row, taps),
            1 => add_near::<T, V, S, 1, P, A, B, CHECK>(sums, band, place, row, taps),
            _ => {}
        }
    }
}

/// Asks for what the next pixels read: pixels a power of two apart come from the second-level cache. Where each channel has a window of
/// its own this costs more than it gains.
#[inline(always)]
fn bring_near<T, const P: usize>(band: &Band<'_, T>, place: Place<'_>, x: &[T]) {
    let (n, step, taps) = (band.channels, band.columns.in_step, &place.phase.taps);
    if let Some(last) = taps.last() {
        let from =
            x.as_ptr().wrapping_offset(((place.i + P) * step) as isize * n as isize + last.offset * n as isize).wrapping_add(place.at);
        for q in 0..P * step {
            prefetch_first(from.wrapping_add(q * n));
        }
    }
}

/// `P` pixels of a band; with `CHECK` taps outside, pixels behind the last and lanes behind the last channel are left out.
#[inline(always)]
unsafe fn tile<T: Float, V: Vector<T>, const C: usize, const S: usize, const P: usize, const CHECK: bool>(
    band: &Band<'_, T>,
    y: &mut [T],
    place: Place<'_>,
) {
    let mut sums = [[V::splat(T::ZERO); P]; BAND];
    for met in band.met {
        // SAFETY: as the caller says.
        unsafe {
            match met.taps {
                [Some(a), Some(b)] => add_row::<T, V, C, S, P, 0, 2, CHECK>(&mut sums, band, place, Row { x: met.x, taps: [a, b] }),
                [Some(a), None] => add_row::<T, V, C, S, P, 0, 1, CHECK>(&mut sums, band, place, Row { x: met.x, taps: [a, a] }),
                [None, Some(b)] => add_row::<T, V, C, S, P, 1, 2, CHECK>(&mut sums, band, place, Row { x: met.x, taps: [b, b] }),
                [None, None] => {}
            }
        }
    }
    let (n, columns) = (band.channels, band.columns);
    let left = (n - place.at).min(V::N);
    let end = Epilogue { rounds: false, ..band.epilogue }; // as it is: what rounding needs would take registers from the sums
    for row in 0..BAND {
        for p in 0..P {
            if row >= band.height || CHECK && place.i + p >= place.phase.count {
                continue;
            }
            let pixel = row * columns.output + place.phase.first + (place.i + p) * columns.out_step;
            // SAFETY: a pixel of the band, and lanes behind the last channel are not written.
            unsafe {
                let sum = end.finish::<V>(sums[row][p], place.at, left);
                let to = y.as_mut_ptr().add(pixel * n + place.at);
                if CHECK { sum.store_first(to, left) } else { sum.store(to) }
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

/// The channels from one on, up to another, of `P` pixels of a phase from `i` on, of which those in a range have all their taps inside.
#[inline(always)]
fn across<T: Float, V: Vector<T>, const C: usize, const S: usize, const P: usize>(
    band: &Band<'_, T>,
    place: Place<'_>,
    y: &mut [T],
    inside: (usize, usize),
    channels: (usize, usize),
) {
    let is_inside = inside.0 <= place.i && place.i + P <= inside.1;
    for at in (channels.0..channels.1).step_by(V::N) {
        // SAFETY: without a check all pixels' taps and all lanes exist.
        unsafe {
            if is_inside && at + V::N <= band.channels {
                tile::<T, V, C, S, P, false>(band, y, Place { at, ..place });
            } else {
                tile::<T, V, C, S, P, true>(band, y, Place { at, ..place });
            }
        }
    }
}

/// All pixels of a phase: `P` at a time, the last of them perhaps twice, or four where there are no more.
///
/// Groups of several channels have many weights: a vector of outputs takes all pixels, so that its own stay near.
#[inline(always)]
fn sweep<T: Float, V: Vector<T>, const C: usize, const S: usize, const P: usize>(band: &Band<'_, T>, phase: &Phase, y: &mut [T]) {
    const FEW: usize = 4;
    let (inside, group, count) = (interior(band.columns, phase), std::hint::black_box(C), phase.count);
    let some = if C > 1 { V::N } else { band.channels };
    for at in (0..band.channels).step_by(some) {
        let channels = (at, band.channels.min(at + some));
        let mut done = 0;
        while done < count {
            let few = count - done <= FEW;
            let i = done.min(count.saturating_sub(if few { FEW } else { P }));
            let place = Place { phase, group, i, at };
            if few {
                across::<T, V, C, S, FEW>(band, place, y, inside, channels);
            } else {
                across::<T, V, C, S, P>(band, place, y, inside, channels);
            }
            done = i + if few { FEW } else { P };
        }
    }
}

/// The same in the way that suits the phase's taps, `NEAR` pixels at a time where these are neighbours, whose weights take registers too.
#[inline(always)]
fn sweep_by_step<T: Float, V: Vector<T>, const C: usize, const P: usize, const NEAR: usize>(
    band: &Band<'_, T>,
    phase: &Phase,
    y: &mut [T],
) {
    match step_of_neighbours(band.columns, phase) {
        1 if C == 1 => sweep::<T, V, C, 1, NEAR>(band, phase, y),
        2 if C == 1 => sweep::<T, V, C, 2, NEAR>(band, phase, y),
        _ => sweep::<T, V, C, 0, P>(band, phase, y),
    }
}

levels! {
    /// Computes a band, whose output rows `y` holds, of groups of `C` channels.
    pub fn run_band<T, V, const C: usize>(band: &Band<'_, T>, y: &mut [T]) {
        for phase in &band.columns.phases {
            if V::TILE.1 >= 4 && V::N > 1 {
                sweep_by_step::<T, V, C, 8, 8>(band, phase, y);
            } else {
                sweep_by_step::<T, V, C, 6, 4>(band, phase, y);
            }
        }
    }
}
