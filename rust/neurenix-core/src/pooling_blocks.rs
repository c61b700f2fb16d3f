//! Max pooling over windows that slide by one pixel, of wide pixels: a cache line of channels at a time, whose maxima stay in registers.
//!
//! Both axes are pooled by van Herk's scans, as columns are in [`pooling_sliding`](crate::pooling_sliding): a window is the end of one
//! block of pixels and the beginning of the next. A row is pooled along itself as it is read, and goes on to the scan down the rows at
//! once. Only a block of pooled rows is kept, side by side: rows of the map itself often lie a power of two apart, and evict each other.

use std::ops::Range;

use crate::conv::scratch;
use crate::error::Result;
use crate::levels;
use crate::simd::{Float, LANES, Vector, prefetch, prefetch_first, prefetch_to_write};
use crate::threads::Shared;

/// Elements of a block of pooled rows, at most: they stay in the second cache.
const ROOM: usize = 1 << 15;
/// Pixels ahead that are asked for to be read soon, to be read later, and to be written to.
const SOON: usize = 8;
const LATER: usize = 64;
const WRITTEN: usize = 16;

/// Some outputs of an axis, and the pixels that their windows hold.
#[derive(Clone, Copy)]
pub(crate) struct Axis {
    /// The first pixel in the map, and the number of pixels.
    first: usize,
    n: usize,
    /// The first output in the map, and the number of outputs.
    output: usize,
    outputs: usize,
    /// Outputs whose windows begin before the map.
    cut: usize,
    taps: usize,
}

impl Axis {
    /// Windows of `taps` pixels of `n`, of which the map's first begins at `start`.
    pub(crate) fn new(start: isize, taps: usize, n: usize, outputs: Range<usize>) -> Self {
        let (low, high) = (start + outputs.start as isize, start + (outputs.end - 1 + taps) as isize);
        let first = low.max(0) as usize;
        Self { first, n: n.min(high as usize) - first, output: outputs.start, outputs: outputs.len(), cut: (-low).max(0) as usize, taps }
    }

    /// Whether no window is cut at both ends.
    fn is_wide(&self) -> bool {
        self.n >= self.taps && self.cut <= self.outputs
    }
}

/// Outputs of some channels that are made together.
struct Tile<'a, T> {
    y: Shared<'a, T>,
    x: &'a [T],
    rows: Axis,
    cols: Axis,
    /// The first element of the first pixel, and of the first output.
    at: [usize; 2],
    /// Elements between rows of pixels, and of outputs.
    pitches: [usize; 2],
    /// Elements between pixels.
    inner: usize,
}

impl<T: Float> Tile<'_, T> {
    /// Elements between the rows that are kept: not a power of two.
    fn kept(&self, wide: usize) -> usize {
        self.cols.outputs * wide + LANES
    }

    /// Elements that are held for `wide` channels.
    fn room(&self, wide: usize) -> usize {
        self.cols.taps * wide + (self.rows.taps + 1) * self.kept(wide)
    }

    /// Refuses pixels and outputs that do not lie in the map, and too little room.
    fn check(&self, wide: usize, held: usize) {
        let last = |i: usize, r: usize, c: usize| self.at[i] + (r - 1) * self.pitches[i] + (c - 1) * self.inner + wide;
        let (rows, cols) = (&self.rows, &self.cols);
        assert!(rows.is_wide() && cols.is_wide() && self.room(wide) <= held, "internal: windows of a tile");
        assert!(last(0, rows.n, cols.n) <= self.x.len(), "internal: pixels of a tile");
        assert!(last(1, rows.outputs, cols.outputs) <= self.y.len(), "internal: outputs of a tile");
    }
}

/// The larger of two maxima, the earlier one where they are equal; no NaN is among them.
#[inline(always)]
fn larger<T: Float, V: Vector<T>>(earlier: [V; 2], later: [V; 2]) -> [V; 2] {
    [later[0].max(earlier[0]), later[1].max(earlier[1])]
}

/// # Safety
/// `2 N` elements at `from` are readable.
#[inline(always)]
unsafe fn load<T: Float, V: Vector<T>>(from: *const T) -> [V; 2] {
    // SAFETY: the caller vouches for the memory.
    unsafe { [V::load(from), V::load(from.add(V::N))] }
}

/// # Safety
/// `2 N` elements at `to` are writable.
#[inline(always)]
unsafe fn store<T: Float, V: Vector<T>>(values: [V; 2], to: *mut T) {
    // SAFETY: the caller vouches for the memory.
    unsafe {
        values[0].store(to);
        values[1].store(to.add(V::N));
    }
}

/// NaN where one of the values was, or infinity: what has been seen so far, and these.
#[inline(always)]
fn seen_with<T: Float, V: Vector<T>>(seen: [V; 2], values: [V; 2]) -> [V; 2] {
    let zero = V::splat(T::ZERO);
    [zero.max(values[0]).fma(zero, seen[0]), zero.max(values[1]).fma(zero, seen[1])]
}

/// Where the maxima of a row go.
struct Row<T> {
    /// The row of the block that keeps them.
    kept: *mut T,
    /// The maxima of the rows since the block's end.
    below: *mut T,
    /// The maxima from a row to the block's end, and the output row which they and those below make.
    above: *const T,
    y: *mut T,
    inner: usize,
}

impl<T: Float> Row<T> {
    /// Takes the maxima of output `j`; only with `OUT` is there an output row.
    ///
    /// # Safety
    /// `2 N` elements of each output are there.
    #[inline(always)]
    unsafe fn put<V: Vector<T>, const OUT: bool>(&self, j: usize, values: [V; 2]) {
        let at = j * 2 * V::N;
        // SAFETY: as the caller says.
        unsafe {
            store(values, self.kept.add(at));
            let below = larger(load::<T, V>(self.below.add(at)), values);
            store(below, self.below.add(at));
            if OUT {
                let y = self.y.add(j * self.inner);
                prefetch_to_write(y.wrapping_add(WRITTEN * self.inner));
                store(larger(load::<T, V>(self.above.add(at)), below), y);
            }
        }
    }
}

/// The pixels `x` of a row, pooled along it: `to` gets each output. `ends` has room for a window; NaN is noted in `seen`.
///
/// # Safety
/// `2 N` elements of each of the axis's pixels and outputs are there.
#[inline(always)]
unsafe fn along<T: Float, V: Vector<T>, const OUT: bool>(x: *const T, a: &Axis, ends: *mut T, seen: &mut [V; 2], to: &Row<T>) {
    let (wide, inner, lowest) = (2 * V::N, to.inner, [V::splat(T::LOWEST); 2]);
    // SAFETY: pixels are below `n`, outputs below `outputs`, ends below `taps`.
    unsafe {
        let (mut begun, before) = (lowest, if a.cut > 0 { a.taps - 1 } else { 0 });
        for p in 0..before {
            begun = larger(begun, load::<T, V>(x.add(p * inner)));
            if p + 1 + a.cut >= a.taps {
                to.put::<V, OUT>(p + 1 + a.cut - a.taps, begun);
            }
        }
        let (mut first, mut j) = (0, a.cut);
        while j < a.outputs {
            let (last, mut end, mut begun) = (a.n.min(first + a.taps), lowest, lowest);
            for p in (first..last).rev() {
                let values = load::<T, V>(x.add(p * inner));
                *seen = seen_with(*seen, values);
                end = larger(values, end);
                store(end, ends.add((p - first) * wide));
            }
            for l in 0..a.taps.min(a.outputs - j) {
                if l > 0 && last + l - 1 < a.n {
                    let next = x.add((last + l - 1) * inner);
                    prefetch_first(next.wrapping_add(SOON * inner));
                    prefetch(next.wrapping_add(LATER * inner));
                    begun = larger(begun, load::<T, V>(next));
                }
                to.put::<V, OUT>(j + l, larger(load::<T, V>(ends.add(l * wide)), begun));
            }
            (first, j) = (first + a.taps, j + a.taps);
        }
        for p in first..a.n {
            *seen = seen_with(*seen, load::<T, V>(x.add(p * inner)));
        }
    }
}

/// A tile's first pixel and output, and its memory: ends of windows along a row, maxima below the block of rows, and that block.
struct Work<'a, T> {
    tile: &'a Tile<'a, T>,
    x: *const T,
    y: *mut T,
    ends: *mut T,
    below: *mut T,
    block: *mut T,
    pitch: usize,
}

impl<T: Float> Work<'_, T> {
    /// Pools row `r` along itself into row `k` of the block. With `OUT` output row `i` gets that and what follows row `k` in the block.
    ///
    /// # Safety
    /// The rows are there: see [`Tile::check`].
    #[inline(always)]
    unsafe fn row<V: Vector<T>, const OUT: bool>(&self, r: usize, k: usize, i: usize, seen: &mut [V; 2]) {
        let Tile { cols, pitches, inner, .. } = self.tile;
        // SAFETY: as the caller says.
        unsafe {
            let kept = self.block.add(k * self.pitch);
            let row = Row { kept, below: self.below, above: kept.wrapping_add(self.pitch), y: self.y.add(i * pitches[1]), inner: *inner };
            along::<T, V, OUT>(self.x.add(r * pitches[0]), cols, self.ends, seen, &row);
        }
    }

    /// Output row `i` gets the maxima `above`, and those below the block.
    ///
    /// # Safety
    /// The rows are there: see [`Tile::check`].
    #[inline(always)]
    unsafe fn join<V: Vector<T>>(&self, i: usize, above: *const T) {
        for j in 0..self.tile.cols.outputs {
            let at = j * 2 * V::N;
            // SAFETY: as the caller says.
            unsafe {
                let values = larger(load::<T, V>(above.add(at)), load(self.below.add(at)));
                store(values, self.y.add(i * self.tile.pitches[1] + j * self.tile.inner));
            }
        }
    }

    /// The block is complete, `rows` of them: each becomes its maxima with those behind it, and what lies below begins anew.
    ///
    /// # Safety
    /// The rows are there: see [`Tile::check`].
    #[inline(always)]
    unsafe fn finish<V: Vector<T>>(&self, rows: usize) {
        for j in 0..self.tile.cols.outputs {
            let (at, mut end) = (j * 2 * V::N, [V::splat(T::LOWEST); 2]);
            // SAFETY: as the caller says.
            unsafe {
                store(end, self.below.add(at));
                for k in (0..rows).rev() {
                    let own = self.block.add(k * self.pitch + at);
                    end = larger(load::<T, V>(own), end);
                    store(end, own);
                }
            }
        }
    }
}

levels! {
    /// Channels that are pooled side by side.
    fn width<T, V>() -> usize {
        2 * V::N
    }
}

levels! {
    /// All outputs of a tile, which are this task's own. Whether there was no NaN: they are not the maxima where there was.
    fn pool<T, V>(tile: &Tile<'_, T>, held: &mut [T]) -> bool {
        let (wide, rows, pitch) = (2 * V::N, tile.rows, tile.kept(2 * V::N));
        tile.check(wide, held.len());
        let (mut seen, mut all) = ([V::splat(T::ZERO); 2], [T::ZERO; 2 * LANES]);
        let (ends, below) = (held.as_mut_ptr(), held.as_mut_ptr().wrapping_add(tile.cols.taps * wide));
        let (x, y) = (tile.x.as_ptr().wrapping_add(tile.at[0]), tile.y.as_ptr().wrapping_add(tile.at[1]));
        let work = Work { tile, x, y, ends, below, block: below.wrapping_add(pitch), pitch };
        // SAFETY: `check` says that pixels below `n`, outputs below `outputs` and `taps` rows of the block are there.
        unsafe {
            work.finish::<V>(0);
            for r in 0..rows.taps {
                work.row::<V, false>(r, r, 0, &mut seen);
                if r + 1 < rows.taps && r + 1 + rows.cut >= rows.taps {
                    work.join::<V>(r + 1 + rows.cut - rows.taps, below);
                }
            }
            let (mut last, mut i) = (rows.taps, rows.cut);
            while i < rows.outputs {
                work.finish::<V>(rows.taps.min(rows.n + rows.taps - last));
                for l in 0..rows.taps.min(rows.outputs - i) {
                    if l > 0 && last + l - 1 < rows.n {
                        work.row::<V, true>(last + l - 1, l - 1, i + l, &mut seen);
                    } else {
                        work.join::<V>(i + l, work.block.add(l * pitch));
                    }
                }
                (last, i) = (last + rows.taps, i + rows.taps);
                if i < rows.outputs && last - 1 < rows.n {
                    work.row::<V, false>(last - 1, rows.taps - 1, 0, &mut seen);
                }
            }
            store(seen, all.as_mut_ptr());
        }
        all.iter().all(|v| !v.is_nan())
    }
}

/// Whether pixels of so many channels are pooled this way: where two vectors are a cache line. Wider vectors have not been measured.
pub(crate) fn pays<T: Float>(inner: usize) -> bool {
    let wide = width::<T>();
    wide * size_of::<T>() == 64 && inner >= wide
}

/// A map, its result, and where the first window of columns begins.
pub(crate) struct Map<'a, T> {
    pub y: Shared<'a, T>,
    pub x: &'a [T],
    pub size: [usize; 2],
    pub inner: usize,
    /// Output rows and columns.
    pub outputs: [usize; 2],
    pub left: isize,
    /// Taps of a window along a row.
    pub taps: usize,
}

impl<T: Float> Map<'_, T> {
    /// Outputs of `rows` of map `o`, of those `channels` that fill whole vectors: how many did. The rest is left to others, all
    /// of them where there is NaN.
    ///
    /// # Errors
    /// [`crate::error::Error::Memory`].
    pub(crate) fn strip(&self, o: usize, rows: Axis, channels: Range<usize>) -> Result<usize> {
        let (&Self { y, x, size: [h, w], inner, outputs: [oh, ow], left, taps }, wide) = (self, width::<T>());
        let parts = ow.div_ceil((ROOM / (rows.taps + 1) / wide).max(8 * taps));
        let mut c = channels.start;
        while c + wide <= channels.end {
            for part in 0..parts {
                let cols = Axis::new(left, taps, w, ow * part / parts..ow * (part + 1) / parts);
                if !rows.is_wide() || !cols.is_wide() {
                    return Ok(0);
                }
                let pixel = ((o * h + rows.first) * w + cols.first) * inner + c;
                let output = ((o * oh + rows.output) * ow + cols.output) * inner + c;
                let tile = Tile { y, x, rows, cols, at: [pixel, output], pitches: [w * inner, ow * inner], inner };
                if !scratch::with(tile.room(wide), |held| pool(&tile, held))? {
                    return Ok(0);
                }
            }
            c += wide;
        }
        Ok(c - channels.start)
    }
}
