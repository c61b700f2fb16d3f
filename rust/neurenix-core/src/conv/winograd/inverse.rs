//! From sums at the points back to pixels, and what follows a convolution.

use std::ops::Range;

use super::super::kernel::Epilogue;
use super::{Grid, PATCH, SIDE, transform};
use crate::levels;
use crate::simd::{self, Float, Vector};

/// Bytes of half a cache line.
const HALF: usize = 32;

/// Sums of some tiles and a strip of outputs, and where the outputs go.
#[derive(Debug)]
pub struct Inverse<'a, T> {
    /// The grid.
    pub grid: &'a Grid,
    /// Which tiles.
    pub tiles: Range<usize>,
    /// Sums `[plane][tile][output]`.
    pub sums: &'a [T],
    /// Elements from one plane to the next.
    pub stride: usize,
    /// Outputs of the strip, whole lanes: elements from one tile to the next.
    pub width: usize,
    /// Outputs of the strip that exist.
    pub live: usize,
    /// The output.
    pub y: Places<T>,
    /// The strip's first channel.
    pub start: usize,
    /// What is done to each sum, for the strip's outputs.
    pub epilogue: Epilogue<'a, T>,
    /// Whether to write past the caches; then every vector starts at a multiple of its size.
    pub stream: bool,
}

/// Where the pixels of an output lie, whose channels are in one array, or the two halves of them in two.
#[derive(Debug, Clone, Copy)]
pub struct Places<T> {
    /// The arrays.
    pub parts: [*mut T; 2],
    /// Channels of each: elements from one pixel to the next.
    pub pitch: usize,
}

impl<T> Places<T> {
    /// A channel of a pixel.
    #[inline(always)]
    fn at(&self, pixel: usize, channel: usize) -> *mut T {
        let second = usize::from(channel >= self.pitch);
        self.parts[second].wrapping_add(pixel * self.pitch + channel - second * self.pitch)
    }
}

/// A vector of outputs of one tile: from its sums to 4x4 pixels.
#[inline(always)]
unsafe fn square<T: Float, V: Vector<T>>(sums: *const T, stride: usize) -> [[V; SIDE]; SIDE] {
    let zero = V::splat(T::ZERO);
    let mut half = [[zero; PATCH]; SIDE];
    for j in 0..PATCH {
        let mut column = [zero; PATCH];
        for i in 0..PATCH {
            // SAFETY: the caller's sums have a vector in each plane.
            column[i] = unsafe { V::load(sums.add((i * PATCH + j) * stride)) };
        }
        let pixels = transform::output(column);
        for i in 0..SIDE {
            half[i][j] = pixels[i];
        }
    }
    let mut pixels = [[zero; SIDE]; SIDE];
    for i in 0..SIDE {
        pixels[i] = transform::output(half[i]); // `map` would be a call
    }
    pixels
}

/// Where a tile's pixels go: the first one's number, elements between rows and between pixels, how many rows and pixels exist.
struct Place {
    first: usize,
    row: usize,
    pixel: usize,
    rows: usize,
    pixels: usize,
}

/// Finishes and writes `H` vectors of outputs of one tile, side by side: a line that is written past the caches must be whole soon.
#[inline(always)]
unsafe fn write<T: Float, V: Vector<T>, const H: usize>(job: &Inverse<'_, T>, place: &Place, values: &[[[V; SIDE]; SIDE]; H], at: usize) {
    let y = job.y.at(place.first, job.start + at);
    for i in 0..place.rows {
        for j in 0..place.pixels {
            let to = y.wrapping_add(i * place.row + j * place.pixel);
            for h in 0..H {
                let (at, left) = (at + h * V::N, job.live.saturating_sub(at + h * V::N));
                if h > 0 && left == 0 {
                    break;
                }
                // SAFETY: the pixel exists, and so do `min(left, N)` of its channels and of the epilogue's, in one array.
                unsafe {
                    let (value, to) = (job.epilogue.finish(values[h][i][j], at, left), to.add(h * V::N));
                    match (left >= V::N, job.stream) {
                        (true, true) => value.stream(to),
                        (true, false) => value.store(to),
                        (false, _) => value.store_first(to, left),
                    }
                }
            }
        }
    }
}

/// Takes all outputs of one tile back to pixels, `H` vectors at a time, and writes them.
#[inline(always)]
unsafe fn tile<T: Float, V: Vector<T>, const H: usize>(job: &Inverse<'_, T>, place: &Place, sums: &[T]) {
    for at in (0..job.live).step_by(H * V::N) {
        // SAFETY: the sums have whole lanes of every plane; the output's pixels and the strip's outputs exist.
        unsafe {
            let mut values = [square::<T, V>(sums.as_ptr().add(at), job.stride); H];
            for h in 1..H {
                values[h] = square::<T, V>(sums.as_ptr().add(at + h * V::N), job.stride);
            }
            write::<T, V, H>(job, place, &values, at);
        }
    }
}

/// Brings the pixels of a tile near that is written soon: stores that miss would wait for each other.
#[inline(always)]
fn expect<T: Float>(job: &Inverse<'_, T>, index: usize) {
    let (place, line) = (job.place(index), 64 / size_of::<T>());
    for channel in (0..job.live).step_by(line) {
        let y = job.y.at(place.first, job.start + channel);
        for i in 0..place.rows {
            for j in 0..place.pixels {
                simd::prefetch_to_write(y.wrapping_add(i * place.row + j * place.pixel));
            }
        }
    }
}

impl<T: Float> Inverse<'_, T> {
    /// Where a tile's pixels go.
    #[inline(always)]
    fn place(&self, index: usize) -> Place {
        let (h, w) = self.grid.output;
        let tile = self.grid.tile(index);
        let first = (tile.image * h + tile.row) * w + tile.column;
        let (rows, pixels) = (SIDE.min(h - tile.row), SIDE.min(w - tile.column));
        Place { first, row: w * self.y.pitch, pixel: self.y.pitch, rows, pixels }
    }
}

levels! {
    /// Takes sums back to pixels, finishes and writes them.
    pub fn finish<T, V>(job: &Inverse<'_, T>) {
        /// Tiles from one that is brought near to the one that is written.
        const SOON: usize = 2;
        for (i, index) in job.tiles.clone().enumerate() {
            if !job.stream && index + SOON < job.tiles.end {
                expect(job, index + SOON);
            }
            let place = job.place(index);
            let sums = &job.sums[i * job.width..];
            // SAFETY: the sums have whole lanes of every plane, and the outputs are this task's.
            unsafe {
                match V::N * size_of::<T>() {
                    HALF => tile::<T, V, 2>(job, &place, sums),
                    _ => tile::<T, V, 1>(job, &place, sums),
                }
            }
        }
        if job.stream {
            simd::settle();
        }
    }
}
