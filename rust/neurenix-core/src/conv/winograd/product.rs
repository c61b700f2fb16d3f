//! The products of matrices: tiles by channels times channels by outputs, one for each plane.

use std::ops::Range;

use super::PLANES;
use super::ahead::Ahead;
use super::patches::Patches;
use crate::levels;
use crate::simd::{Float, Vector, prefetch, prefetch_first};

/// Bytes of a cache line.
const LINE: usize = 64;

/// Where weights at the points lie for one strip of outputs: `[plane][block of channels][channel][output]`.
#[derive(Debug, Clone, Copy)]
pub struct Operand<T> {
    /// The first plane's weights of the first block that is read.
    pub start: *const T,
    /// Elements from one plane to the next.
    pub plane: usize,
    /// Elements from one block to the next.
    pub block: usize,
}

/// The products of some tiles with a strip of outputs.
#[derive(Debug)]
pub struct Multiply<T> {
    /// Patches at the points.
    pub patches: *const T,
    /// How they lie.
    pub layout: Patches,
    /// Place of the first tile there.
    pub place: usize,
    /// Tiles.
    pub tiles: usize,
    /// Blocks of channels.
    pub blocks: Range<usize>,
    /// Weights.
    pub weights: Operand<T>,
    /// Outputs of the strip, whole lanes.
    pub width: usize,
    /// Sums `[plane][tile][output]`; those of block 0 start them.
    pub sums: *mut T,
    /// Elements from one plane of the sums to the next.
    pub stride: usize,
}

/// Calls of [`Ahead::step`] for each plane, block of channels and panel, at least.
pub fn steps(tiles: usize) -> usize {
    tiles.div_ceil(8)
}

/// One plane and block of channels.
struct Plane<T> {
    v: *const T,
    depth: usize,
    steps: usize,
    u: *const T,
    width: usize,
    sums: *mut T,
    first: bool,
    /// The weights that are read behind these.
    next: *const T,
}

impl<T> Plane<T> {
    /// The weights of the outputs from `column` on, or those of the next plane or block.
    #[inline(always)]
    fn after(&self, column: usize) -> *const T {
        if column < self.width { self.u.wrapping_add(column) } else { self.next }
    }
}

/// What is read soon: a line for each channel, so many elements apart, that is brought nearest where vectors are narrow.
#[derive(Clone, Copy)]
struct Next<T> {
    start: *const T,
    apart: usize,
}

/// Whether vectors are halves of a cache line. Then rows of weights are read a line at a time and not whole, and no processor
/// foresees that. (Loops over several channels at once would do with fewer prefetches, but compilers run out of registers in them.)
const fn narrow<T: Float, V: Vector<T>>() -> bool {
    V::N > 1 && V::TILE.1 < 4
}

/// `M` tiles from `row` on times `R` vectors from output `column` on.
#[inline(always)]
unsafe fn tile<T: Float, V: Vector<T>, const M: usize, const R: usize>(plane: &Plane<T>, row: usize, column: usize, next: Next<T>) {
    let zero = V::splat(T::ZERO);
    let mut sums = [[zero; R]; M];
    let mut ahead = next.start;
    // SAFETY: the caller's tiles have `steps` values each, `steps` rows of weights are `width` long, and the sums have the tiles'
    // rows of `width`.
    unsafe {
        let mut v = [plane.v; M];
        for i in 0..M {
            v[i] = plane.v.add((row + i) * plane.depth);
        }
        let mut u = plane.u.add(column);
        for step in 0..plane.steps {
            if narrow::<T, V>() {
                prefetch_first(ahead);
                ahead = ahead.wrapping_add(next.apart);
            }
            let mut weights = [zero; R];
            for j in 0..R {
                weights[j] = V::load(u.add(j * V::N));
            }
            for i in 0..M {
                let value = V::splat(*v[i].add(step));
                for j in 0..R {
                    sums[i][j] = value.fma(weights[j], sums[i][j]);
                }
            }
            u = u.add(plane.width);
        }
        for i in 0..M {
            for j in 0..R {
                let place = plane.sums.add((row + i) * plane.width + column + j * V::N);
                if plane.first { sums[i][j].store(place) } else { V::load(place).add(sums[i][j]).store(place) }
            }
        }
    }
}

/// All tiles times `R` vectors, in parts of nearly equal size of at most `most` tiles (2, 6 or 8).
#[inline(always)]
unsafe fn strip<T: Float, V: Vector<T>, const R: usize>(plane: &Plane<T>, tiles: usize, column: usize, most: usize, ahead: &mut Ahead<T>) {
    let (mut row, parts) = (0, tiles.div_ceil(most));
    for part in 0..parts {
        let some = (tiles - row).div_ceil(parts - part);
        ahead.step();
        // The tiles behind these, or the next block's first ones.
        let (from, some_more) = (plane.v.wrapping_add((row + some) * plane.depth), some * plane.depth);
        let mut next = Next { start: from, apart: LINE / size_of::<T>() };
        if !narrow::<T, V>() {
            for line in (0..some_more * size_of::<T>()).step_by(LINE) {
                prefetch(from.cast::<u8>().wrapping_add(line));
            }
        } else if part % 2 == 0 {
            next = Next { start: plane.after(column + R * V::N), apart: plane.width };
        }
        // SAFETY: as the caller says; `some` tiles from `row` on exist.
        unsafe {
            match some {
                1 => tile::<T, V, 1, R>(plane, row, column, next),
                2 => tile::<T, V, 2, R>(plane, row, column, next),
                3 if most > 2 => tile::<T, V, 3, R>(plane, row, column, next),
                4 if most > 2 => tile::<T, V, 4, R>(plane, row, column, next),
                5 if most > 2 => tile::<T, V, 5, R>(plane, row, column, next),
                6 if most > 2 => tile::<T, V, 6, R>(plane, row, column, next),
                7 if most > 6 => tile::<T, V, 7, R>(plane, row, column, next),
                _ if most > 6 => tile::<T, V, 8, R>(plane, row, column, next),
                _ => {}
            }
        }
        row += some;
    }
}

/// All tiles and outputs of a plane and block.
#[inline(always)]
unsafe fn whole<T: Float, V: Vector<T>>(plane: &Plane<T>, tiles: usize, ahead: &mut Ahead<T>) {
    let vectors = plane.width / V::N;
    let mut j = 0;
    while j < vectors {
        let column = j * V::N;
        // SAFETY: as the caller says; the vectors lie inside the strip, whose width is a multiple of them.
        unsafe {
            if V::N == 1 {
                strip::<T, V, 4>(plane, tiles, column, 2, ahead);
                j += 4;
            } else if V::TILE.1 < 4 {
                strip::<T, V, 2>(plane, tiles, column, 6, ahead);
                j += 2;
            } else {
                match vectors - j {
                    1 => strip::<T, V, 1>(plane, tiles, column, 8, ahead),
                    2 => strip::<T, V, 2>(plane, tiles, column, 8, ahead),
                    3 => strip::<T, V, 3>(plane, tiles, column, 8, ahead),
                    _ => strip::<T, V, 4>(plane, tiles, column, 6, ahead),
                }
                j += 4;
            }
        }
    }
}

levels! {
    /// Multiplies the planes; the sums of a block of channels are closed and added to those of the blocks before it. What `ahead`
    /// holds is brought near in between.
    pub fn multiply<T, V>(job: &Multiply<T>, ahead: &mut Ahead<T>) {
        let layout = &job.layout;
        for f in 0..PLANES {
            for b in job.blocks.clone() {
                // SAFETY: the layout has room for the tiles, the operand holds the planes and blocks, the sums as many planes of
                // tiles, and nobody else touches them. Behind the last plane nothing is read but asked for.
                unsafe {
                    let v = job.patches.add(f * layout.stride() + layout.start(b, job.place));
                    let u = job.weights.start.add(f * job.weights.plane + (b - job.blocks.start) * job.weights.block);
                    let sums = job.sums.add(f * job.stride);
                    let behind = job.weights.start.wrapping_add((f + 1) * job.weights.plane);
                    let next = if b + 1 < job.blocks.end { u.wrapping_add(job.weights.block) } else { behind };
                    let (depth, steps, width, first) = (layout.depth(b), layout.live(b), job.width, b == 0);
                    let plane = Plane { v, depth, steps, u, width, sums, first, next };
                    whole::<T, V>(&plane, job.tiles, ahead);
                }
            }
        }
    }
}
