//! Moments of an output's channels, taken while its pixels are still near.
//!
//! Units of eight tiles, as a normalisation by itself takes them ([`crate::norm`]): a task takes those that end with the tiles that
//! it wrote, and those that two tasks share wait for the end.

use std::ops::Range;

use super::patches::Grid;
use crate::norm::{UNIT_TILES, Unit, channel_moments};
use crate::simd::Float;
use crate::threads::{self, Shared};

/// Where moments go: `[image][unit][mean, square][channel]`.
#[derive(Clone, Copy)]
pub struct Moments<'a, T> {
    /// The numbers of all units.
    pub numbers: Shared<'a, T>,
    /// The tiles.
    pub grid: &'a Grid,
    /// The output, in one array.
    pub y: *const T,
    /// Its channels.
    pub c: usize,
}

// SAFETY: the output is only read where no task writes any more.
unsafe impl<T: Send> Send for Moments<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Moments<'_, T> {}

/// A unit, by image and number, and its tiles.
type Place = (usize, usize, Range<usize>);

impl<T: Float> Moments<'_, T> {
    /// The unit of a tile.
    fn place(&self, tile: usize) -> Place {
        let each = self.grid.tiles() / self.grid.n;
        let (image, index) = (tile / each, tile % each / UNIT_TILES);
        let start = image * each + index * UNIT_TILES;
        (image, index, start..(start + UNIT_TILES).min((image + 1) * each))
    }

    /// Takes the moments of some channels of a unit.
    ///
    /// # Safety
    /// All tiles of the unit are written, and no other task takes these channels of it.
    unsafe fn unit(&self, (image, index, _): &Place, channels: &Range<usize>) {
        let (h, w) = self.grid.output;
        let at = (image * Unit::count(h, w) + index) * 2 * self.c + channels.start;
        // SAFETY: as the caller says; the image holds all its units.
        unsafe {
            let (mean, square) = (self.numbers.slice(at, channels.len()), self.numbers.slice(at + self.c, channels.len()));
            let x = self.y.add(image * h * w * self.c + channels.start);
            channel_moments(mean, square, x, self.c, &Unit::new(*index, h, w));
        }
    }

    /// Takes the moments of some channels of the units that end with the tiles `written` and start no earlier than `first`.
    ///
    /// # Safety
    /// This task wrote these channels of the tiles from `first` on.
    pub unsafe fn take(&self, first: usize, written: Range<usize>, channels: &Range<usize>) {
        let mut tile = written.start;
        while tile < written.end {
            let place = self.place(tile);
            tile = place.2.end;
            if place.2.start >= first && tile <= written.end {
                // SAFETY: as the caller says; a unit ends once.
                unsafe { self.unit(&place, channels) };
            }
        }
    }

    /// Takes the moments of all units that tasks shared, whose tiles began at `cuts`.
    pub fn rest(&self, cuts: impl Iterator<Item = usize>) {
        let mut shared: Vec<Place> = Vec::new();
        for cut in cuts {
            let place = self.place(cut);
            if place.2.start < cut && shared.last().is_none_or(|last| last.2 != place.2) {
                shared.push(place);
            }
        }
        threads::parallel(shared.len(), UNIT_TILES * 64 * self.c, |i| {
            // SAFETY: everything is written, and the units differ.
            unsafe { self.unit(&shared[i], &(0..self.c)) };
        });
    }
}
