//! Weights at the points.

use super::super::Direction;
use super::super::pack::Weight;
use super::super::plan::{BLOCK, Panels, WIDTH};
use super::super::scratch;
use super::{PATCH, PLANES, spaced, transform};
use crate::error::Result;
use crate::levels;
use crate::simd::{Float, Vector};
use crate::threads::{self, Shared};

/// Weights of one output and channel.
const TAPS: usize = 9;

/// A run of outputs: the first one, how many there is room for, in whole lanes, and how many exist.
#[derive(Debug, Clone, Copy)]
pub struct Strip {
    /// First output.
    pub start: usize,
    /// Room.
    pub width: usize,
    /// Outputs.
    pub live: usize,
}

impl Strip {
    /// Outputs of panel `k`.
    pub fn panel(panels: &Panels, k: usize) -> Self {
        Self { start: k * WIDTH, width: panels.width(k), live: panels.live(k) }
    }
}

/// The weights of a strip and of the channels from `first` on, as they lie in memory.
pub fn rows<'a, T: Float>(weight: &Weight<'a, T>, strip: Strip, first: usize, channels: usize) -> impl Iterator<Item = &'a [T]> {
    let Weight { values, second, direction, .. } = *weight;
    let (outer, inner, start, next) = match direction {
        Direction::Gather => (strip.live, channels, strip.start, first),
        Direction::Scatter => (channels, strip.live, first, strip.start),
    };
    (start..start + outer).map(move |row| &values[(row * second + next) * TAPS..][..inner * TAPS])
}

/// Elements that the weights of a strip and a block take before they are transformed.
pub fn stage_len(width: usize) -> usize {
    BLOCK * TAPS * width
}

/// Weights to copy to `[channel][tap][output]`, taps in the order of the pixels that they meet, zeros behind the last output.
struct Stage<'a, T> {
    weight: &'a Weight<'a, T>,
    strip: Strip,
    /// The first channel.
    first: usize,
    /// Channels.
    channels: usize,
    to: &'a mut [T],
}

/// Writes `columns` elements of each of `rows` rows, `pitch` apart, side by side: `to[column * step + row]`.
#[inline(always)]
unsafe fn turn<T: Float, V: Vector<T>>(from: *const T, pitch: usize, rows: usize, columns: usize, to: *mut T, step: isize) {
    // SAFETY: the caller has these rows and places.
    unsafe {
        let whole = rows / V::N * V::N;
        for j in (0..columns).step_by(V::N) {
            for i in (0..whole).step_by(V::N) {
                let to = to.offset(j as isize * step).add(i);
                V::transpose(from.add(i * pitch + j), pitch, V::N.min(columns - j), to, step);
            }
        }
        for i in whole..rows {
            for j in 0..columns {
                *to.offset(j as isize * step).add(i) = *from.add(i * pitch + j);
            }
        }
    }
}

levels! {
    fn stage<T, V>(job: &mut Stage<'_, T>) {
        let Strip { start, width, live } = job.strip;
        let (values, second, first) = (job.weight.values, job.weight.second, job.first);
        let to = &mut job.to[..job.channels * TAPS * width];
        if live < width {
            to.fill(T::ZERO);
        }
        if job.weight.direction == Direction::Gather {
            let from = &values[(start * second + first) * TAPS..][..((live - 1) * second + job.channels) * TAPS];
            // SAFETY: the last of the outputs' rows ends with the slice; every channel and tap has `width` places.
            unsafe { turn::<T, V>(from.as_ptr(), second * TAPS, live, job.channels * TAPS, to.as_mut_ptr(), width as isize) };
            return;
        }
        for (channel, to) in to.chunks_exact_mut(TAPS * width).enumerate() {
            let from = &values[((first + channel) * second + start) * TAPS..][..live * TAPS];
            // SAFETY: a row for each output; the taps are written from the last place to the first.
            unsafe { turn::<T, V>(from.as_ptr(), TAPS, live, TAPS, to.as_mut_ptr().add((TAPS - 1) * width), -(width as isize)) };
        }
    }
}

/// Staged weights, and where they go.
struct Piece<'a, T> {
    stage: &'a [T],
    channels: usize,
    width: usize,
    to: *mut T,
    plane: usize,
}

/// A vector of outputs' weights to all planes, first along columns, then along rows.
#[inline(always)]
unsafe fn square<T: Float, V: Vector<T>>(from: *const T, width: usize, to: *mut T, plane: usize) {
    let zero = V::splat(T::ZERO);
    let mut half = [[zero; 3]; PATCH];
    // SAFETY: the caller's weights have a vector for each tap, and every plane has room for one.
    unsafe {
        for j in 0..3 {
            let tap = |i: usize| from.add((i * 3 + j) * width);
            let points = transform::weight([V::load(tap(0)), V::load(tap(1)), V::load(tap(2))]);
            for i in 0..PATCH {
                half[i][j] = points[i];
            }
        }
        for i in 0..PATCH {
            let points = transform::weight(half[i]);
            for j in 0..PATCH {
                points[j].store(to.add((i * PATCH + j) * plane));
            }
        }
    }
}

levels! {
    fn transform_weights<T, V>(piece: &Piece<'_, T>) {
        for channel in 0..piece.channels {
            let from = &piece.stage[channel * TAPS * piece.width..(channel + 1) * TAPS * piece.width];
            let mut at = 0;
            while at < piece.width {
                // SAFETY: a strip is a multiple of a vector; the planes have room for the piece's channels.
                unsafe {
                    square::<T, V>(from.as_ptr().add(at), piece.width, piece.to.add(channel * piece.width + at), piece.plane);
                }
                at += V::N;
            }
        }
    }
}

/// Takes the weights of a strip and of the channels from `first` on, at most a block, to the points: `to[plane][channel][output]`.
///
/// # Safety
/// There is room at `to` for all planes, `plane` elements apart, and nobody else touches it.
pub unsafe fn piece<T: Float>(weight: &Weight<'_, T>, memory: &mut [T], strip: Strip, first: usize, channels: usize, to: (*mut T, usize)) {
    stage(&mut Stage { weight, strip, first, channels, to: memory });
    transform_weights(&Piece { stage: memory, channels, width: strip.width, to: to.0, plane: to.1 });
}

/// Takes all weights to the points: `[panel of outputs][plane][channel][output]`.
///
/// # Errors
/// [`crate::error::Error::Memory`].
pub fn pack<T: Float>(to: &mut [T], weight: &Weight<'_, T>, panels: &Panels) -> Result {
    let (blocks, shared) = (panels.blocks(), Shared::new(to));
    let failed = scratch::Failure::new();
    threads::parallel(panels.count() * blocks, PLANES * BLOCK * WIDTH, |task| {
        let (strip, block) = (Strip::panel(panels, task / blocks), task % blocks);
        // Planes of a piece lie apart, so that all of it stays in the cache until whole rows are copied.
        let (len, plane) = (panels.depth(block) * strip.width, spaced(BLOCK * strip.width));
        failed.note(scratch::with(PLANES * plane + stage_len(strip.width), |memory| {
            let (planes, memory) = memory.split_at_mut(PLANES * plane);
            // SAFETY: there is room for the planes.
            unsafe { piece(weight, memory, strip, block * BLOCK, panels.depth(block), (planes.as_mut_ptr(), plane)) };
            for (f, from) in planes.chunks_exact(plane).enumerate() {
                let start = (PLANES * strip.start + f * strip.width) * panels.channels + block * BLOCK * strip.width;
                // SAFETY: panels and blocks do not overlap.
                unsafe { shared.slice(start, len) }.copy_from_slice(&from[..len]);
            }
        }));
    });
    failed.result()
}
