//! The products of a weight's gradient: in one plane, channels times outputs, summed over tiles.

use super::super::plan::LANE;
use crate::levels;
use crate::simd::{self, Float, Vector};

/// Tiles of both maps in one plane, a block of channels of each, and the sums that their products are added to.
#[derive(Debug)]
pub struct Outer<T> {
    /// The input, `[tile][channel]`.
    pub x: *const T,
    /// The gradient, `[tile][output]`.
    pub dy: *const T,
    /// What is read next of both, brought near meanwhile.
    pub next: [*const T; 2],
    /// Tiles.
    pub tiles: usize,
    /// Channels, whole lanes.
    pub depth: usize,
    /// Outputs, whole lanes.
    pub width: usize,
    /// `[channel][output]`
    pub sums: *mut T,
    /// Whether the sums hold nothing yet.
    pub first: bool,
}

/// `M` channels from `row` on times `R` vectors from output `column` on, over all tiles.
#[inline(always)]
unsafe fn tile<T: Float, V: Vector<T>, const M: usize, const R: usize>(outer: &Outer<T>, row: usize, column: usize) {
    let mut sums = [[V::splat(T::ZERO); R]; M];
    let mut next = outer.next[row / M % 2].wrapping_add(row / LANE * LANE * outer.tiles);
    // SAFETY: the caller's tiles have these channels and outputs, and the sums as many.
    unsafe {
        let (mut x, mut dy) = (outer.x.add(row), outer.dy.add(column));
        for _ in 0..outer.tiles {
            simd::prefetch(next);
            let mut gradient = [V::splat(T::ZERO); R];
            for j in 0..R {
                gradient[j] = V::load(dy.add(j * V::N));
            }
            for i in 0..M {
                let value = V::splat(*x.add(i));
                for j in 0..R {
                    sums[i][j] = value.fma(gradient[j], sums[i][j]);
                }
            }
            (x, dy, next) = (x.wrapping_add(outer.depth), dy.wrapping_add(outer.width), next.wrapping_add(LANE));
        }
        for i in 0..M {
            for j in 0..R {
                let place = outer.sums.add((row + i) * outer.width + column + j * V::N);
                if outer.first { sums[i][j].store(place) } else { V::load(place).add(sums[i][j]).store(place) }
            }
        }
    }
}

/// All channels against `R` vectors, lane by lane in parts of `M` and a rest.
#[inline(always)]
unsafe fn sweep<T: Float, V: Vector<T>, const M: usize, const REST: usize, const R: usize>(outer: &Outer<T>, column: usize) {
    for lane in (0..outer.depth).step_by(LANE) {
        let mut row = lane;
        // SAFETY: as the caller says; these channels are the lane's.
        unsafe {
            while row + M <= lane + LANE {
                tile::<T, V, M, R>(outer, row, column);
                row += M;
            }
            if row < lane + LANE {
                tile::<T, V, REST, R>(outer, row, column);
            }
        }
    }
}

levels! {
    /// Adds the products of all tiles to the sums.
    ///
    /// Safety is the caller's: tiles and sums have the sizes that are said, and nobody else touches the sums.
    pub fn add_products<T, V>(outer: &Outer<T>) {
        let vectors = outer.width / V::N;
        let mut j = 0;
        while j < vectors {
            let column = j * V::N;
            // SAFETY: as the caller says; the width is a whole number of vectors.
            unsafe {
                if V::TILE.1 >= 4 && V::N > 1 {
                    match vectors - j {
                        1 => sweep::<T, V, 16, 16, 1>(outer, column),
                        2 => sweep::<T, V, 8, 8, 2>(outer, column),
                        3 => sweep::<T, V, 8, 8, 3>(outer, column),
                        _ => sweep::<T, V, 4, 4, 4>(outer, column),
                    }
                } else if V::N > 1 {
                    sweep::<T, V, 6, 4, 2>(outer, column);
                } else {
                    sweep::<T, V, 2, 2, 4>(outer, column);
                }
            }
            j += if V::N > 1 { V::TILE.1 } else { 4 };
        }
    }
}
