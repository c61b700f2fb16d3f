//! Patches of the input at the points.

use std::ops::Range;

use super::super::plan::{BLOCK, LANE};
use super::source::{Border, Inside, Map, Normal, Normalised, Patch, Piece, Pixels, Plain};
use super::{PATCH, PLANES, SIDE, spaced, transform};
use crate::levels;
use crate::simd::{Float, Vector};

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
    pub x: Map<'a, T>,
    /// How its pixels are normalised, if they are.
    pub normal: Option<Normal<'a, T>>,
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

/// Pixels in a line to the points: six of an input, or four of a gradient.
#[inline(always)]
fn points<T: Float, V: Vector<T>, const P: usize>(line: [V; PATCH]) -> [V; PATCH] {
    if P == SIDE { transform::gradient([line[0], line[1], line[2], line[3]]) } else { transform::input(line) }
}

/// A vector of channels of a patch to all planes, first along columns, then along rows.
#[inline(always)]
unsafe fn square<T: Float, V: Vector<T>, const P: usize>(
    pixels: &impl Pixels<T>,
    patch: &impl Patch,
    left: usize,
    to: *mut T,
    stride: usize,
) {
    let zero = V::splat(T::ZERO);
    let mut half = [[zero; PATCH]; PATCH];
    // SAFETY: the caller's channels exist, and every plane has room for a vector at `to`.
    unsafe {
        for j in 0..P {
            let mut column = [zero; PATCH];
            for i in 0..P {
                if let Some(at) = patch.pixel(i, j) {
                    column[i] = pixels.take(at, left);
                }
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

/// Where channels of a patch go: how many there are, how many there is room for, the place in the first plane, from plane to plane.
#[derive(Clone, Copy)]
struct Target<T> {
    live: usize,
    depth: usize,
    to: *mut T,
    stride: usize,
}

/// Some channels of one patch.
#[inline(always)]
unsafe fn channels<T: Float, V: Vector<T>, const P: usize>(pixels: &impl Pixels<T>, patch: &impl Patch, target: Target<T>) {
    let Target { live, depth, to, stride } = target;
    let mut channel = 0;
    // SAFETY: channels below `live` exist, and there is room for `depth` of them.
    unsafe {
        while channel + V::N <= live {
            let pixels = pixels.from(channel);
            if channel.is_multiple_of(LANE) {
                pixels.bring_next(patch);
            }
            square::<T, V, P>(&pixels, patch, V::N, to.add(channel), stride);
            channel += V::N;
        }
        while channel < depth {
            square::<T, V, P>(&pixels.from(channel.min(live)), patch, live.saturating_sub(channel), to.add(channel), stride);
            channel += V::N;
        }
    }
}

/// A piece of a block of one patch, normalised where the job says so.
#[inline(always)]
unsafe fn piece<T: Float, V: Vector<T>, const P: usize>(
    job: &Transform<'_, T>,
    piece: &Piece<'_, T>,
    (image, channel): (usize, usize),
    patch: &impl Patch,
    target: Target<T>,
) {
    let (c, start) = (job.layout.channels, image * job.grid.input.0 * job.grid.input.1 * job.x.pitch + piece.from);
    let x = piece.array[start..].as_ptr();
    // SAFETY: as the caller says.
    unsafe {
        match &job.normal {
            Some(normal) if P == PATCH => channels::<T, V, P>(&Normalised::new(normal, x, image, channel, c), patch, target),
            _ => channels::<T, V, P>(&Plain(x), patch, target),
        }
    }
}

levels! {
    /// Takes patches of `P` pixels a side to the points: those of an input have six, those of a gradient four, their tile.
    pub fn transform_patches<T, V, const P: usize>(job: &Transform<'_, T>) {
        let (layout, pitch, w) = (&job.layout, job.x.pitch, job.grid.input.1);
        let (stride, next) = (layout.stride(), SIDE * pitch * (SOON / pitch).max(2));
        for (i, index) in job.tiles.clone().enumerate() {
            let tile = job.grid.tile(index);
            let corner = job.grid.corner(tile);
            let inside = job.grid.covers(corner, P).then(|| {
                Inside::<P> { corner: (corner.0 as usize * w + corner.1 as usize) * pitch, row: w * pitch, pixel: pitch, next }
            });
            let border = if inside.is_none() { Some(Border::<P>::new(job.grid, corner, pitch)) } else { None };
            for b in job.blocks.clone() {
                let (live, depth, first) = (layout.live(b), layout.depth(b), b * BLOCK);
                for part in job.x.pieces(first..first + live) {
                    let room = if part.at + part.live == live { depth - part.at } else { part.live };
                    // SAFETY: the job's tile and block have room at `to`; a patch inside its image is read where it lies.
                    unsafe {
                        let to = job.to.add(layout.start(b, job.place + i) + part.at);
                        let (target, from) = (Target { live: part.live, depth: room, to, stride }, (tile.image, first + part.at));
                        match (&inside, &border) {
                            (Some(patch), _) => piece::<T, V, P>(job, &part, from, patch, target),
                            (_, Some(patch)) => piece::<T, V, P>(job, &part, from, patch, target),
                            _ => {}
                        }
                    }
                }
            }
        }
    }
}
