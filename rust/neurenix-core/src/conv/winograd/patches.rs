//! Patches of the input at the points.

use std::ops::Range;

use super::super::kernel::load;
use super::super::plan::{BLOCK, LANE};
use super::{PATCH, PLANES, SIDE, spaced, transform};
use crate::levels;
use crate::simd::{self, Float, Vector};

/// Channels of the patches between one and that which is brought near meanwhile: memory answers after as long as they take.
const SOON: usize = 128;

/// Where the tiles of a layer lie: the grid starts at output pixel 0 of each image.
#[derive(Debug, Clone, Copy)]
pub struct Grid {
    /// Images.
    pub n: usize,
    /// Rows and columns of the input.
    pub input: (usize, usize),
    /// Rows and columns of the output.
    pub output: (usize, usize),
    /// The input pixel that is the corner of the first tile's patch: minus the zeros before the first pixel.
    pub low: (isize, isize),
}

/// One tile: its image and its first output pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    /// Its image.
    pub image: usize,
    /// First row.
    pub row: usize,
    /// First column.
    pub column: usize,
}

impl Grid {
    /// Tiles of a column and of a row.
    fn sides(&self) -> (usize, usize) {
        (self.output.0.div_ceil(SIDE), self.output.1.div_ceil(SIDE))
    }

    /// Tiles of all images.
    pub fn tiles(&self) -> usize {
        let (down, across) = self.sides();
        self.n * down * across
    }

    /// Tile `index`, row by row, image by image.
    pub fn tile(&self, index: usize) -> Tile {
        let (down, across) = self.sides();
        let (line, column) = (index / across, index % across);
        Tile { image: line / down, row: line % down * SIDE, column: column * SIDE }
    }

    /// The corner of a tile's patch.
    pub fn corner(&self, tile: Tile) -> (isize, isize) {
        (tile.row as isize + self.low.0, tile.column as isize + self.low.1)
    }

    /// Whether a patch lies inside its image.
    fn covers(&self, corner: (isize, isize), side: usize) -> bool {
        let inside = |at: isize, size: usize| at >= 0 && at as usize + side <= size;
        inside(corner.0, self.input.0) && inside(corner.1, self.input.1)
    }
}

/// How patches at the points lie in memory: `[plane][block of channels][tile][channel]`, zeros behind the last channel up to a
/// whole lane.
#[derive(Debug, Clone, Copy)]
pub struct Patches {
    /// Tiles that there is room for.
    pub tiles: usize,
    /// Channels.
    pub channels: usize,
}

impl Patches {
    /// Elements from one plane to the next.
    pub fn stride(&self) -> usize {
        spaced(self.channels.div_ceil(LANE) * LANE * self.tiles)
    }

    /// Elements of all planes.
    pub fn len(&self) -> usize {
        PLANES * self.stride()
    }

    /// Channels that a tile has room for in a block: elements from one tile to the next.
    pub fn depth(&self, block: usize) -> usize {
        self.live(block).div_ceil(LANE) * LANE
    }

    /// Channels of a block.
    pub fn live(&self, block: usize) -> usize {
        BLOCK.min(self.channels - block * BLOCK)
    }

    /// Where a tile's channels of a block start in a plane.
    pub fn start(&self, block: usize, tile: usize) -> usize {
        block * BLOCK * self.tiles + tile * self.depth(block)
    }
}

/// Patches to take to the points.
#[derive(Debug)]
pub struct Transform<'a, T> {
    /// The grid.
    pub grid: &'a Grid,
    /// The input, channels last, as large as the grid and the layout say.
    pub x: &'a [T],
    /// Which tiles.
    pub tiles: Range<usize>,
    /// Which blocks of channels.
    pub blocks: Range<usize>,
    /// How they lie at `to`.
    pub layout: Patches,
    /// Room for the layout's planes, which nobody else touches in these tiles and blocks.
    pub to: *mut T,
    /// The place of the first of the tiles there.
    pub place: usize,
}

/// The pixels of a patch, from a block's first channel on.
trait Pixels<T: Float> {
    /// A vector of channels of pixel (i, j), of which only `left` exist.
    ///
    /// # Safety
    /// `channel + min(left, N)` does not pass the block's channels.
    unsafe fn at<V: Vector<T>>(&self, i: usize, j: usize, channel: usize, left: usize) -> V;

    /// Brings a lane of channels of a patch that follows near.
    #[inline(always)]
    fn bring_next(&self, _channel: usize) {}
}

/// A patch inside its image.
struct Inside<T, const P: usize> {
    corner: *const T,
    row: usize,
    pixel: usize,
    /// Elements to the patch that is brought near meanwhile.
    next: usize,
}

impl<T: Float, const P: usize> Pixels<T> for Inside<T, P> {
    #[inline(always)]
    fn bring_next(&self, channel: usize) {
        for i in 0..P {
            for j in 0..SIDE {
                simd::prefetch_first(self.corner.wrapping_add(self.next + i * self.row + j * self.pixel + channel));
            }
        }
    }

    #[inline(always)]
    unsafe fn at<V: Vector<T>>(&self, i: usize, j: usize, channel: usize, left: usize) -> V {
        // SAFETY: the caller's channels of a pixel of the patch, which lies inside the image.
        unsafe { load(self.corner.add(i * self.row + j * self.pixel + channel), left) }
    }
}

/// A patch that reaches over an edge: pixels outside are a block of zeros.
struct Border<T, const P: usize>([[*const T; P]; P]);

impl<T: Float, const P: usize> Pixels<T> for Border<T, P> {
    #[inline(always)]
    unsafe fn at<V: Vector<T>>(&self, i: usize, j: usize, channel: usize, left: usize) -> V {
        // SAFETY: the caller's channels of a pixel of the image, or of as many zeros.
        unsafe { load(self.0[i][j].add(channel), left) }
    }
}

impl<T: Float, const P: usize> Border<T, P> {
    fn new(job: &Transform<'_, T>, corner: (isize, isize), start: usize, zeros: &[T; BLOCK]) -> Self {
        let (h, w) = job.grid.input;
        let mut pixels = [[zeros.as_ptr(); P]; P];
        for (i, line) in pixels.iter_mut().enumerate() {
            let row = corner.0 + i as isize;
            for (j, pixel) in line.iter_mut().enumerate() {
                let column = corner.1 + j as isize;
                if (0..h as isize).contains(&row) && (0..w as isize).contains(&column) {
                    *pixel = job.x[start + (row as usize * w + column as usize) * job.layout.channels..].as_ptr();
                }
            }
        }
        Self(pixels)
    }
}

/// Pixels in a line to the points: six of an input, or four of a gradient.
#[inline(always)]
fn points<T: Float, V: Vector<T>, const P: usize>(line: [V; PATCH]) -> [V; PATCH] {
    if P == SIDE { transform::gradient([line[0], line[1], line[2], line[3]]) } else { transform::input(line) }
}

/// A vector of channels of a patch to all planes, first along columns, then along rows.
#[inline(always)]
unsafe fn square<T: Float, V: Vector<T>, const P: usize>(pixels: &impl Pixels<T>, channel: usize, left: usize, to: *mut T, stride: usize) {
    let zero = V::splat(T::ZERO);
    let mut half = [[zero; PATCH]; PATCH];
    // SAFETY: the caller's channels exist, and every plane has room for a vector at `to`.
    unsafe {
        for j in 0..P {
            let mut column = [zero; PATCH];
            for i in 0..P {
                column[i] = pixels.at(i, j, channel, left);
            }
            let points = points::<T, V, P>(column);
            for i in 0..PATCH {
                half[i][j] = points[i];
            }
        }
        for i in 0..PATCH {
            let points = points::<T, V, P>(half[i]);
            for j in 0..PATCH {
                points[j].store(to.add((i * PATCH + j) * stride));
            }
        }
    }
}

/// All channels of a block, of one patch.
#[inline(always)]
unsafe fn block<T: Float, V: Vector<T>, const P: usize>(pixels: &impl Pixels<T>, live: usize, depth: usize, to: *mut T, stride: usize) {
    let mut channel = 0;
    // SAFETY: channels below `live` exist, and there is room for `depth` of them.
    unsafe {
        while channel + V::N <= live {
            if channel.is_multiple_of(LANE) {
                pixels.bring_next(channel);
            }
            square::<T, V, P>(pixels, channel, V::N, to.add(channel), stride);
            channel += V::N;
        }
        while channel < depth {
            square::<T, V, P>(pixels, channel.min(live), live.saturating_sub(channel), to.add(channel), stride);
            channel += V::N;
        }
    }
}

levels! {
    /// Takes patches of `P` pixels a side to the points: those of an input have six, those of a gradient four, their tile.
    pub fn transform_patches<T, V, const P: usize>(job: &Transform<'_, T>) {
        let (layout, (h, w)) = (&job.layout, job.grid.input);
        let (channels, stride) = (layout.channels, layout.stride());
        let (zeros, next) = ([T::ZERO; BLOCK], SIDE * channels * (SOON / channels).max(2));
        for (i, index) in job.tiles.clone().enumerate() {
            let tile = job.grid.tile(index);
            let corner = job.grid.corner(tile);
            let (image, inside) = (tile.image * h * w * channels, job.grid.covers(corner, P));
            for b in job.blocks.clone() {
                let (live, depth, start) = (layout.live(b), layout.depth(b), image + b * BLOCK);
                // SAFETY: the job's tile and block have room at `to`; a patch inside its image is read where it lies.
                unsafe {
                    let to = job.to.add(layout.start(b, job.place + i));
                    if inside {
                        let corner = start + (corner.0 as usize * w + corner.1 as usize) * channels;
                        let corner = job.x.as_ptr().add(corner);
                        let pixels = Inside::<T, P> { corner, row: w * channels, pixel: channels, next };
                        block::<T, V, P>(&pixels, live, depth, to, stride);
                    } else {
                        block::<T, V, P>(&Border::<T, P>::new(job, corner, start, &zeros), live, depth, to, stride);
                    }
                }
            }
        }
    }
}
