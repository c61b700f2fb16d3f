//! The gradient of a depthwise weight, and of one of small groups: sums of products over pixels, outputs in the vector's lanes.

#![allow(clippy::needless_range_loop)] // a tile of registers reads best by its indices

use super::depthwise_tile::inside;
use super::direct::Problem;
use super::plan::{Axis, LANE, Tap};
use crate::error::{Result, try_vec};
use crate::levels;
use crate::simd::{Float, Vector, prefetch_first};
use crate::threads;

/// Rows of the map that one partial sum of the weight gradient covers, at most; their number is fixed by the map.
const CHUNKS: usize = 32;

/// Elements from a channel to those that are asked for.
const AHEAD: usize = 2 * LANE;

/// Loads a vector, or with `MASK` its first `left` elements.
///
/// # Safety
/// So many elements at `from` are readable.
#[inline(always)]
unsafe fn load<T: Float, V: Vector<T>, const MASK: bool>(from: *const T, left: usize) -> V {
    // SAFETY: as the caller says.
    unsafe { if MASK { V::load_first(from, left) } else { V::load(from) } }
}

/// The channel of each lane's group with number `c`, from the first group on: with one channel a group, all of them.
///
/// # Safety
/// `C` elements at `from` are readable, and where a group is smaller than a vector, `N` or with `MASK` the first `left`.
#[inline(always)]
unsafe fn channel<T: Float, V: Vector<T>, const C: usize, const MASK: bool>(from: *const T, c: usize, left: usize) -> V {
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

/// One row of both maps, and the axis of the taps that join them.
struct Pair<'a, T> {
    large: &'a [T],
    small: &'a [T],
    columns: &'a Axis,
    /// Channels of all groups, of either map.
    channels: usize,
}

/// `K` taps from one on, and the pixels at which each lies inside.
struct Taps<const K: usize> {
    index: usize,
    offsets: [isize; K],
    inside: [(usize, usize); K],
}

impl<const K: usize> Taps<K> {
    fn new(columns: &Axis, taps: &[Tap], index: usize) -> Self {
        let (mut offsets, mut found) = ([0; K], [(0, 0); K]);
        for t in 0..K {
            offsets[t] = taps[index + t].offset;
            found[t] = inside(columns, columns.output, offsets[t], offsets[t]);
        }
        Self { index, offsets, inside: found }
    }

    /// The pixels at which any of them is inside, and between these those at which all are.
    fn ranges(&self) -> [usize; 4] {
        let (mut first, mut last, mut low, mut high) = (usize::MAX, 0, 0, usize::MAX);
        for &(a, b) in &self.inside {
            (first, last) = if a < b { (first.min(a), last.max(b)) } else { (first, last) };
            (low, high) = (low.max(a), high.min(b));
        }
        let (low, high) = (low.min(last), high.min(last));
        [first.min(last), low.max(first.min(last)), high.max(low), last]
    }
}

/// Adds to the sums of `K` taps, `C` channels and `R` vectors the products of some pixels; with `CHECK` those of taps that are inside.
#[inline(always)]
unsafe fn pixels<T, V, const C: usize, const K: usize, const R: usize, const MASK: bool, const CHECK: bool>(
    sums: &mut [[[V; R]; C]; K],
    pair: &Pair<'_, T>,
    taps: &Taps<K>,
    at: usize,
    (first, last): (usize, usize),
) where
    T: Float,
    V: Vector<T>,
{
    let (n, step) = (pair.channels, pair.columns.in_step);
    let (large, small, left) = (pair.large.as_ptr(), pair.small.as_ptr(), n - at);
    for pixel in first..last {
        // SAFETY: the caller gives pixels of the small map, at which the taps are inside the large one, or it is checked.
        unsafe {
            if C > 1 && !CHECK {
                prefetch_first(small.wrapping_add(pixel * n + at + AHEAD));
                prefetch_first(large.wrapping_add(pixel * step * n + at + AHEAD));
            }
            let mut gradient = [V::splat(T::ZERO); R];
            for j in 0..R {
                gradient[j] = load::<T, V, MASK>(small.add(pixel * n + at + j * V::N), left);
            }
            for t in 0..K {
                if CHECK && !(taps.inside[t].0..taps.inside[t].1).contains(&pixel) {
                    continue;
                }
                let from = large.wrapping_offset(((pixel * step) as isize + taps.offsets[t]) * n as isize).wrapping_add(at / C * C);
                for c in 0..C {
                    for j in 0..R {
                        let value = channel::<T, V, C, MASK>(from.wrapping_add(j * V::N), c, left);
                        sums[t][c][j] = value.fma(gradient[j], sums[t][c][j]);
                    }
                }
            }
        }
    }
}

/// Adds a row's sums for `K` taps and `R` vectors of outputs from `at` on.
#[inline(always)]
unsafe fn products<T: Float, V: Vector<T>, const C: usize, const K: usize, const R: usize, const MASK: bool>(
    sums: &mut [T],
    pair: &Pair<'_, T>,
    taps: &Taps<K>,
    at: usize,
) {
    let mut part = [[[V::splat(T::ZERO); R]; C]; K];
    let ([first, low, high, last], left) = (taps.ranges(), pair.channels - at);
    // SAFETY: the ranges are those of pixels at which taps, between the middle ones all taps, are inside; sums have every tap's outputs.
    unsafe {
        pixels::<T, V, C, K, R, MASK, true>(&mut part, pair, taps, at, (first, low));
        pixels::<T, V, C, K, R, MASK, false>(&mut part, pair, taps, at, (low, high));
        pixels::<T, V, C, K, R, MASK, true>(&mut part, pair, taps, at, (high, last));
        for t in 0..K {
            for c in 0..C {
                for j in 0..R {
                    let to = sums.as_mut_ptr().add(((taps.index + t) * C + c) * pair.channels + at + j * V::N);
                    let sum = load::<T, V, MASK>(to, left).add(part[t][c][j]);
                    if MASK { sum.store_first(to, left) } else { sum.store(to) }
                }
            }
        }
    }
}

/// All outputs of `K` taps: `R` vectors at a time, single ones, and the rest of one.
#[inline(always)]
fn across<T: Float, V: Vector<T>, const C: usize, const K: usize, const R: usize>(sums: &mut [T], pair: &Pair<'_, T>, taps: &Taps<K>) {
    let (mut at, n) = (0, pair.channels);
    while at < n {
        // SAFETY: so many outputs follow.
        unsafe {
            if at + R * V::N <= n {
                products::<T, V, C, K, R, false>(sums, pair, taps, at);
                at += R * V::N;
            } else if at + V::N <= n {
                products::<T, V, C, K, 1, false>(sums, pair, taps, at);
                at += V::N;
            } else {
                products::<T, V, C, K, 1, true>(sums, pair, taps, at);
                at = n;
            }
        }
    }
}

levels! {
    /// Adds a pair of rows to `sums[tap][channel of a group][output]`; how many taps share what they read depends on the registers.
    fn add_rows<T, V, const C: usize>(pair: &Pair<'_, T>, sums: &mut [T]) {
        let taps = &pair.columns.phases[0].taps;
        let mut index = 0;
        while index < taps.len() {
            let room = V::N > 1 && (C <= 4 || V::TILE.1 >= 4);
            if room && index + 3 <= taps.len() {
                let three = Taps::<3>::new(pair.columns, taps, index);
                if C == 1 { across::<T, V, C, 3, 2>(sums, pair, &three) } else { across::<T, V, C, 3, 1>(sums, pair, &three) }
                index += 3;
            } else {
                let one = Taps::<1>::new(pair.columns, taps, index);
                if C == 1 { across::<T, V, C, 1, 4>(sums, pair, &one) } else { across::<T, V, C, 1, 1>(sums, pair, &one) }
                index += 1;
            }
        }
    }
}

levels! {
    fn add_to<T: Float>(total: &mut [T], part: &[T]) {
        for (t, &p) in total.iter_mut().zip(part) {
            *t += p;
        }
    }
}

/// `dw[s, l, tap] = sum over pixels of small[pixel, s] * large[pixel at tap, l]` for groups of 1, 2, 4 or 8 channels and as many outputs, in
/// fixed chunks of rows added in order.
///
/// # Errors
/// [`crate::error::Error::Memory`].
pub fn weight_gradient<T: Float>(dw: &mut [T], small: &[T], large: &[T], problem: &Problem) -> Result {
    match problem.panels.channels {
        1 => of_groups::<T, 1>(dw, small, large, problem),
        2 => of_groups::<T, 2>(dw, small, large, problem),
        4 => of_groups::<T, 4>(dw, small, large, problem),
        _ => of_groups::<T, 8>(dw, small, large, problem),
    }
}

fn of_groups<T: Float, const C: usize>(dw: &mut [T], small: &[T], large: &[T], problem: &Problem) -> Result {
    dw.fill(T::ZERO);
    if small.is_empty() || large.is_empty() || dw.is_empty() {
        return Ok(());
    }
    let (rows, columns, channels) = (&problem.rows, &problem.columns, problem.panels.groups * C);
    let (down, across) = (&rows.phases[0], &columns.phases[0]);
    let (lines, taps) = (problem.n * rows.output, down.taps.len() * across.taps.len());
    let (chunks, size, width) = (CHUNKS.min(lines), taps * C * channels, across.taps.len() * C * channels);
    let mut parts = try_vec(chunks * size, T::ZERO)?;
    threads::parallel_chunks(&mut parts, size, lines / chunks * columns.output, |chunk, part| {
        for line in lines * chunk / chunks..lines * (chunk + 1) / chunks {
            let (image, oy) = (line / rows.output, line % rows.output);
            for row in &down.taps {
                let iy = (oy * rows.in_step) as isize + row.offset;
                if !(0..rows.input as isize).contains(&iy) {
                    continue;
                }
                let x = &large[(image * rows.input + iy as usize) * columns.input * channels..][..columns.input * channels];
                let small = &small[line * columns.output * channels..(line + 1) * columns.output * channels];
                let sums = &mut part[row.index * width..(row.index + 1) * width];
                add_rows::<T, C>(&Pair { large: x, small, columns, channels }, sums);
            }
        }
    });
    let (total, others) = parts.split_at_mut(size);
    others.chunks_exact(size).for_each(|part| add_to(total, part));
    for (i, row) in total.chunks_exact(channels).enumerate() {
        let (tap, channel) = (i / C, i % C);
        row.iter().enumerate().for_each(|(output, &value)| dw[(output * C + channel) * taps + tap] = value);
    }
    Ok(())
}
