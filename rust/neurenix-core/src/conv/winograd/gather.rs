//! From sums of products at the points back to the gradient of a weight.

use super::super::plan::LANE;
use super::{PATCH, transform};
use crate::levels;
use crate::simd::{self, Float, Vector};

/// Weights of an output and a channel.
const TAPS: usize = 9;
/// Weights of an output and a lane of channels.
const ROWS: usize = LANE * TAPS;
/// Elements that [`gather`] works in.
pub const STAGE: usize = 2 * ROWS * LANE;

/// Sums of at most a lane of channels, and the part of the gradient that they become.
#[derive(Debug)]
pub struct Gather<T> {
    /// `[plane][channel][output]`
    pub sums: *const T,
    /// Elements from one plane to the next.
    pub stride: usize,
    /// Elements from one channel to the next: outputs, whole lanes.
    pub width: usize,
    /// Channels.
    pub channels: usize,
    /// Outputs that exist.
    pub live: usize,
    /// The gradient `[output][channel][tap]`, at the first of these outputs and channels.
    pub dw: *mut T,
    /// Elements from one output to the next.
    pub pitch: usize,
    /// Whether to write past the caches; then there is a lane of channels, and it starts at a cache line.
    pub stream: bool,
}

/// A vector of outputs of one channel: from its sums to nine weights, a lane apart.
#[inline(always)]
unsafe fn square<T: Float, V: Vector<T>>(sums: *const T, stride: usize, to: *mut T) {
    let zero = V::splat(T::ZERO);
    let mut half = [[zero; PATCH]; 3];
    // SAFETY: the caller's sums have a vector in each plane, and there is room for nine lanes.
    unsafe {
        for j in 0..PATCH {
            let mut column = [zero; PATCH];
            for i in 0..PATCH {
                column[i] = V::load(sums.add((i * PATCH + j) * stride));
            }
            let weights = transform::weight_gradient(column);
            for i in 0..3 {
                half[i][j] = weights[i];
            }
        }
        for i in 0..3 {
            let weights = transform::weight_gradient(half[i]);
            for j in 0..3 {
                weights[j].store(to.add((i * 3 + j) * LANE));
            }
        }
    }
}

levels! {
    /// Writes a part of the gradient, working in `stage`.
    ///
    /// Safety is the caller's: the sums are there, and the gradient's elements are this thread's alone.
    pub fn gather<T, V>(job: &Gather<T>, stage: &mut [T]) {
        let (rows, columns) = stage[..STAGE].split_at_mut(ROWS * LANE);
        for start in (0..job.live).step_by(LANE) {
            // SAFETY: as the caller says; both halves of the stage hold a lane of outputs of a lane of channels.
            unsafe {
                for channel in 0..job.channels {
                    for at in (0..LANE).step_by(V::N) {
                        let sums = job.sums.add(channel * job.width + start + at);
                        square::<T, V>(sums, job.stride, rows.as_mut_ptr().add(channel * TAPS * LANE + at));
                    }
                }
                for row in (0..ROWS).step_by(V::N) {
                    for at in (0..LANE).step_by(V::N) {
                        let to = columns.as_mut_ptr().add(at * ROWS + row);
                        V::transpose(rows.as_ptr().add(row * LANE + at), LANE, V::N, to, ROWS as isize);
                    }
                }
                for (output, column) in columns.chunks_exact(ROWS).take(job.live - start).enumerate() {
                    let to = job.dw.add((start + output) * job.pitch);
                    if job.stream {
                        (0..ROWS).step_by(V::N).for_each(|i| V::load(column.as_ptr().add(i)).stream(to.add(i)));
                    } else {
                        to.copy_from_nonoverlapping(column.as_ptr(), job.channels * TAPS);
                    }
                }
            }
        }
        if job.stream {
            simd::settle();
        }
    }
}
