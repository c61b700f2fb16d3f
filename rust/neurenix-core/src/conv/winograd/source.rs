//! What patches are made of: where their pixels lie, and what is done to them on the way in.

use std::ops::Range;

use super::super::kernel::load;
use super::SIDE;
use super::patches::Grid;
use crate::error::{Result, expect_len};
use crate::simd::{self, Float, Vector};
use crate::{ensure_shape, norm};

/// A map whose channels lie in one array, or the two halves of them in two.
#[derive(Debug, Clone, Copy)]
pub struct Map<'a, T> {
    parts: [&'a [T]; 2],
    /// Channels of each array: elements from one pixel to the next.
    pub pitch: usize,
}

/// Channels that lie side by side.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'a, T> {
    /// Where.
    pub array: &'a [T],
    /// The first of them there.
    pub from: usize,
    /// How many of those asked for lie before them.
    pub at: usize,
    /// How many there are.
    pub live: usize,
}

/// Channels of each array of a map that lies in one or two, whole lanes where there are two.
pub fn pitch(channels: usize, halved: bool) -> Result<usize> {
    ensure_shape!(!halved || channels.is_multiple_of(32), "expected two halves of whole lanes of 16 channels, got {channels} channels");
    Ok(if halved { channels / 2 } else { channels })
}

impl<'a, T: Float> Map<'a, T> {
    /// A map (n, h, w, channels).
    ///
    /// # Errors
    /// [`crate::error::Error::Shape`] for arrays that do not have these sizes.
    pub fn checked(what: &str, first: &'a [T], second: Option<&'a [T]>, n: usize, h: usize, w: usize, channels: usize) -> Result<Self> {
        let pitch = pitch(channels, second.is_some())?;
        for part in [Some(first), second].into_iter().flatten() {
            expect_len(what, part.len(), &[n, h, w, pitch])?;
        }
        Ok(Self { parts: [first, second.unwrap_or(&[])], pitch })
    }

    /// All channels of some pixels, array by array.
    pub fn pixels(&self, pixels: Range<usize>) -> impl Iterator<Item = &'a [T]> + use<'a, T> {
        let (pitch, parts) = (self.pitch, self.parts);
        parts.into_iter().filter(|part| !part.is_empty()).map(move |part| &part[pixels.start * pitch..pixels.end * pitch])
    }

    /// Where some channels lie.
    #[inline(always)]
    pub fn pieces(&self, channels: Range<usize>) -> impl Iterator<Item = Piece<'a, T>> + use<'a, T> {
        let (parts, pitch) = (self.parts, self.pitch);
        (0..2).filter_map(move |part| {
            let (low, high) = (channels.start.max(part * pitch), channels.end.min((part + 1) * pitch));
            let piece = || Piece { array: parts[part], from: low - part * pitch, at: low - channels.start, live: high - low };
            (low < high).then(piece)
        })
    }
}

/// A normalisation on the way in: `x * scale + shift`, then ReLU; the tables have one row, or one a sample.
#[derive(Debug, Clone, Copy)]
pub struct Normal<'a, T> {
    scale: &'a [T],
    shift: &'a [T],
    rows: usize,
    relu: bool,
}

impl<'a, T: Float> Normal<'a, T> {
    /// The normalisation of a map of `n` images, if there is one.
    ///
    /// # Errors
    /// [`crate::error::Error::Shape`] for tables of other sizes, or one without the other.
    pub fn checked(scale: Option<&'a [T]>, shift: Option<&'a [T]>, rows: usize, n: usize, c: usize, relu: bool) -> Result<Option<Self>> {
        ensure_shape!(scale.is_some() == shift.is_some(), "scale and shift on the way in: expected both or neither");
        let Some((scale, shift)) = scale.zip(shift) else { return Ok(None) };
        norm::expect_tables(rows, n, c, &[("scale", scale.len()), ("shift", shift.len())])?;
        Ok(Some(Self { scale, shift, rows, relu }))
    }
}

/// Where the pixels of a patch lie, in elements from those of the image's first pixel.
pub trait Patch {
    /// Pixel (i, j), unless it is outside the image.
    fn pixel(&self, i: usize, j: usize) -> Option<usize>;

    /// Brings a lane of a patch that follows near.
    #[inline(always)]
    fn bring_next<T>(&self, _lane: *const T) {}
}

/// A patch inside its image.
#[derive(Debug)]
pub struct Inside<const P: usize> {
    /// Its corner.
    pub corner: usize,
    /// From one row to the next.
    pub row: usize,
    /// From one pixel to the next.
    pub pixel: usize,
    /// To the patch that is brought near meanwhile.
    pub next: usize,
}

impl<const P: usize> Patch for Inside<P> {
    #[inline(always)]
    fn pixel(&self, i: usize, j: usize) -> Option<usize> {
        Some(self.corner + i * self.row + j * self.pixel)
    }

    #[inline(always)]
    fn bring_next<T>(&self, lane: *const T) {
        for i in 0..P {
            for j in 0..SIDE {
                simd::prefetch_first(lane.wrapping_add(self.corner + self.next + i * self.row + j * self.pixel));
            }
        }
    }
}

/// A patch that reaches over an edge; pixels outside are far away.
#[derive(Debug)]
pub struct Border<const P: usize>([[usize; P]; P]);

impl<const P: usize> Border<P> {
    /// The patch at a corner of a grid's images.
    pub fn new(grid: &Grid, corner: (isize, isize), pitch: usize) -> Self {
        let (h, w) = grid.input;
        let mut pixels = [[usize::MAX; P]; P];
        for (i, line) in pixels.iter_mut().enumerate() {
            let row = corner.0 + i as isize;
            for (j, pixel) in line.iter_mut().enumerate() {
                let column = corner.1 + j as isize;
                if (0..h as isize).contains(&row) && (0..w as isize).contains(&column) {
                    *pixel = (row as usize * w + column as usize) * pitch;
                }
            }
        }
        Self(pixels)
    }
}

impl<const P: usize> Patch for Border<P> {
    #[inline(always)]
    fn pixel(&self, i: usize, j: usize) -> Option<usize> {
        let pixel = self.0[i][j];
        (pixel != usize::MAX).then_some(pixel)
    }
}

/// The pixels of an image, from a channel on.
pub trait Pixels<T: Float> {
    /// A vector of channels of the pixel at `at`, of which only `left` exist.
    ///
    /// # Safety
    /// `at` is a pixel's, and `min(left, N)` of its channels from the first one on exist.
    unsafe fn take<V: Vector<T>>(&self, at: usize, left: usize) -> V;

    /// The same from a channel further on.
    ///
    /// # Safety
    /// There are so many channels.
    unsafe fn from(&self, channel: usize) -> Self;

    /// Brings a lane of a patch that follows near.
    fn bring_next(&self, patch: &impl Patch);
}

/// Pixels as they are.
#[derive(Debug, Clone, Copy)]
pub struct Plain<T>(pub *const T);

impl<T: Float> Pixels<T> for Plain<T> {
    #[inline(always)]
    unsafe fn take<V: Vector<T>>(&self, at: usize, left: usize) -> V {
        // SAFETY: as the caller says.
        unsafe { load(self.0.add(at), left) }
    }

    #[inline(always)]
    unsafe fn from(&self, channel: usize) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { self.0.add(channel) })
    }

    #[inline(always)]
    fn bring_next(&self, patch: &impl Patch) {
        patch.bring_next(self.0);
    }
}

/// Pixels that are normalised.
#[derive(Debug, Clone, Copy)]
pub struct Normalised<T> {
    x: *const T,
    scale: *const T,
    shift: *const T,
    /// What smaller values become.
    floor: T,
}

impl<T: Float> Normalised<T> {
    /// The pixels at `x` of an image and from a channel on.
    pub fn new(normal: &Normal<'_, T>, x: *const T, image: usize, channel: usize, c: usize) -> Self {
        let start = image.min(normal.rows - 1) * c + channel;
        let floor = if normal.relu { T::ZERO } else { T::of(f64::NEG_INFINITY) };
        Self { x, scale: normal.scale[start..].as_ptr(), shift: normal.shift[start..].as_ptr(), floor }
    }
}

impl<T: Float> Pixels<T> for Normalised<T> {
    #[inline(always)]
    unsafe fn take<V: Vector<T>>(&self, at: usize, left: usize) -> V {
        // SAFETY: as the caller says; the tables have as many channels.
        unsafe {
            let x: V = load(self.x.add(at), left);
            V::splat(self.floor).max(x.fma(load(self.scale, left), load(self.shift, left)))
        }
    }

    #[inline(always)]
    unsafe fn from(&self, channel: usize) -> Self {
        // SAFETY: as the caller says.
        unsafe { Self { x: self.x.add(channel), scale: self.scale.add(channel), shift: self.shift.add(channel), floor: self.floor } }
    }

    #[inline(always)]
    fn bring_next(&self, patch: &impl Patch) {
        patch.bring_next(self.x);
    }
}
