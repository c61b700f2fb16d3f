//! The gradient of a 3x3 weight: at the points it is a sum over tiles of outer products, 36 where direct sums take 144.
//!
//! `dw = G^T (sum over tiles of (B^T x B) (A dy A^T)) G`, elements of the two tiles' planes multiplied. Tiles are summed in units of
//! [`UNIT`], units in chunks of [`CHUNK`], chunks in order: orders of work differ in who computes a chunk and where its tiles wait,
//! and in no bit.

use std::ops::Range;

use super::super::plan::{BLOCK, LANE, Panels, WIDTH};
use super::super::scratch::{self, Failure};
use super::gather::{Gather, STAGE, gather};
use super::outer::{Outer, add_products};
use super::patches::{Grid, Patches, Transform, transform_patches};
use super::source::{Map, Normal};
use super::{PATCH, PLANES, SIDE, spaced};
use crate::blocks::Block;
use crate::error::{Error, Result, expect_len};
use crate::machine::second_level_cache;
use crate::simd::Float;
use crate::threads::{self, Shared};
use crate::{ensure_shape, levels};

/// Tiles whose products are summed in registers.
const UNIT: usize = 32;
/// Tiles whose sums are added to the total at once.
const CHUNK: usize = 8 * UNIT;
/// Elements of a layer's sums that stay in a second-level cache of 1 MiB beside a unit of tiles.
const PRIVATE: usize = 3 << 16;
/// Chunks whose sums wait to be added, at most.
const ROUND: usize = 8;
/// Tiles of a transforming task.
const FEWEST: usize = 4;
/// Bytes of a gradient from which on it is written past the caches.
const STREAM: usize = 8 << 20;

/// [`PRIVATE`] with a second-level cache of so many bytes.
fn private(cache: usize) -> usize {
    PRIVATE.min(cache / 16 * 3)
}

/// Memory of tasks, each its own part.
struct Store<T> {
    block: Block,
    element: std::marker::PhantomData<fn() -> T>,
}

impl<T> Store<T> {
    fn new(len: usize) -> Result<Self> {
        let bytes = len.checked_mul(size_of::<T>()).ok_or(Error::Memory { bytes: usize::MAX })?;
        Ok(Self { block: Block::new(bytes)?, element: std::marker::PhantomData })
    }

    fn at(&self, element: usize) -> *mut T {
        self.block.as_ptr().cast::<T>().wrapping_add(element)
    }
}

/// Tiles of both maps at the points.
#[derive(Clone, Copy)]
struct Points<T> {
    x: *mut T,
    dy: *mut T,
    layouts: (Patches, Patches),
}

// SAFETY: tasks write different tiles, and read them in a later region.
unsafe impl<T: Send> Send for Points<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Points<T> {}

/// A block of channels of each map.
#[derive(Clone, Copy)]
struct Pair {
    c: usize,
    k: usize,
    depth: usize,
    width: usize,
}

impl Pair {
    /// Elements from one plane of its sums to the next.
    fn stride(&self) -> usize {
        spaced(self.depth * self.width)
    }
}

/// Everything that tasks share.
struct Job<'a, T> {
    panels: Panels,
    /// Grids of the input and of the gradient.
    grids: (Grid, Grid),
    x: Map<'a, T>,
    dy: Map<'a, T>,
    /// How the input's pixels are normalised, if they are.
    normal: Option<Normal<'a, T>>,
    dw: Shared<'a, T>,
    /// Whether the gradient is written past the caches.
    stream: bool,
}

impl<T: Float> Job<'_, T> {
    fn tiles(&self) -> usize {
        self.grids.1.tiles()
    }

    fn pairs(&self) -> usize {
        self.panels.blocks() * self.panels.count()
    }

    fn pair(&self, i: usize) -> Pair {
        let (c, k) = (i % self.panels.blocks(), i / self.panels.blocks());
        Pair { c, k, depth: self.panels.depth(c).div_ceil(LANE) * LANE, width: self.panels.width(k) }
    }

    /// Elements of the sums of a pair, at most.
    fn room(&self) -> usize {
        PLANES * self.pair(0).stride()
    }

    fn layouts(&self, tiles: usize) -> (Patches, Patches) {
        (Patches { tiles, channels: self.panels.channels }, Patches { tiles, channels: self.panels.outputs })
    }

    /// Elements of so many tiles at the points.
    fn points_len(&self, tiles: usize) -> usize {
        let (x, dy) = self.layouts(tiles);
        x.len() + dy.len()
    }

    fn points(&self, start: *mut T, tiles: usize) -> Points<T> {
        let layouts = self.layouts(tiles);
        Points { x: start, dy: start.wrapping_add(layouts.0.len()), layouts }
    }

    /// Takes tiles of the input to the points.
    ///
    /// # Safety
    /// There is room for them from `place` on, and nobody else touches it.
    unsafe fn large(&self, tiles: Range<usize>, to: &Points<T>, place: usize) {
        let (layout, blocks) = (to.layouts.0, 0..self.panels.blocks());
        let (grid, x, normal) = (&self.grids.0, self.x, self.normal);
        transform_patches::<T, PATCH>(&Transform { grid, x, normal, tiles, blocks, layout, to: to.x, place });
    }

    /// Takes tiles of the gradient to the points.
    ///
    /// # Safety
    /// As [`Job::large`].
    unsafe fn small(&self, tiles: Range<usize>, to: &Points<T>, place: usize) {
        let (layout, blocks) = (to.layouts.1, 0..self.panels.count());
        let (grid, x) = (&self.grids.1, self.dy);
        transform_patches::<T, SIDE>(&Transform { grid, x, normal: None, tiles, blocks, layout, to: to.dy, place });
    }

    /// Takes tiles of both maps to the points, in one region.
    fn transform(&self, tiles: Range<usize>, to: &Points<T>) {
        let groups = tiles.len().div_ceil(FEWEST);
        let channels = self.panels.channels.max(self.panels.outputs);
        threads::parallel(2 * groups, 8 * PLANES * FEWEST * channels, |task| {
            let place = task % groups * FEWEST;
            let first = tiles.start + place;
            let some = first..tiles.end.min(first + FEWEST);
            // SAFETY: each group of each map is one task's.
            unsafe { if task < groups { self.large(some, to, place) } else { self.small(some, to, place) } }
        });
    }

    /// Sums the products of the first `tiles` tiles in one plane, unit by unit; `first` says that the sums hold nothing yet.
    ///
    /// # Safety
    /// The tiles are at the points, and nobody else touches the sums.
    unsafe fn products(&self, points: &Points<T>, tiles: usize, plane: usize, pair: Pair, sums: *mut T, first: bool) {
        let (x, dy) = points.layouts;
        let place = |plane: usize, tile: usize| -> [*const T; 2] {
            let x = points.x.wrapping_add(plane * x.stride() + x.start(pair.c, tile));
            [x, points.dy.wrapping_add(plane * dy.stride() + dy.start(pair.k, tile))]
        };
        for tile in (0..tiles).step_by(UNIT) {
            let next = if tile + UNIT < tiles { place(plane, tile + UNIT) } else { place(plane + 1, 0) };
            let ([x, dy], tiles) = (place(plane, tile), UNIT.min(tiles - tile));
            let first = first && tile == 0;
            add_products(&Outer { x, dy, next, tiles, depth: pair.depth, width: pair.width, sums, first });
        }
    }

    /// Writes the part of the gradient that a lane of channels of a pair's sums becomes.
    ///
    /// # Safety
    /// The sums are there, and no other task writes these channels.
    unsafe fn write(&self, pair: Pair, lane: usize, sums: *const T, stage: &mut [T]) {
        let channels = self.panels.channels;
        let channel = pair.c * BLOCK + lane * LANE;
        let job = Gather {
            sums: sums.wrapping_add(lane * LANE * pair.width),
            stride: pair.stride(),
            width: pair.width,
            channels: LANE.min(channels - channel),
            live: self.panels.live(pair.k),
            dw: self.dw.as_ptr().wrapping_add((pair.k * WIDTH * channels + channel) * 9),
            pitch: channels * 9,
            stream: self.stream,
        };
        gather(&job, stage);
    }

    /// One chunk, one task a pair: its sums never leave the cache.
    fn by_pairs(&self) -> Result {
        let tiles = self.tiles();
        let store = Store::new(self.points_len(tiles))?;
        let points = self.points(store.at(0), tiles);
        self.transform(0..tiles, &points);
        let failed = Failure::new();
        threads::parallel(self.pairs(), self.room() * tiles / 8, |i| {
            let pair = self.pair(i);
            failed.note(scratch::with(self.room() + STAGE, |memory: &mut [T]| {
                let (sums, stage) = memory.split_at_mut(self.room());
                // SAFETY: the sums are this task's, and so is the pair's part of the gradient.
                unsafe {
                    for plane in 0..PLANES {
                        self.products(&points, tiles, plane, pair, sums.as_mut_ptr().add(plane * pair.stride()), true);
                    }
                    (0..pair.depth / LANE).for_each(|lane| self.write(pair, lane, sums.as_ptr(), stage));
                }
            }));
        });
        failed.result()
    }

    /// Chunk after chunk, one task a pair and plane.
    fn by_planes(&self) -> Result {
        let (tiles, room) = (self.tiles(), self.room());
        let store = Store::new(self.points_len(CHUNK.min(tiles)))?;
        let points = self.points(store.at(0), CHUNK.min(tiles));
        let total = Store::new(self.pairs() * room)?;
        for start in (0..tiles).step_by(CHUNK) {
            let count = CHUNK.min(tiles - start);
            self.transform(start..start + count, &points);
            let failed = Failure::new();
            threads::parallel(self.pairs() * PLANES, room / PLANES * count / 8, |task| {
                let (i, plane) = (task / PLANES, task % PLANES);
                let pair = self.pair(i);
                let (total, len) = (total.at(i * room + plane * pair.stride()), pair.depth * pair.width);
                // SAFETY: each plane of each pair has its own sums.
                unsafe {
                    if start == 0 {
                        self.products(&points, count, plane, pair, total, true);
                        return;
                    }
                    failed.note(scratch::with(len, |part| {
                        self.products(&points, count, plane, pair, part.as_mut_ptr(), true);
                        add_to(std::slice::from_raw_parts_mut(total, len), part);
                    }));
                }
            });
            failed.result()?;
        }
        self.write_all(&total)
    }

    /// Some chunks at a time, one task each, with sums and tiles of its own.
    fn by_chunks(&self) -> Result {
        let (chunks, size) = (self.tiles().div_ceil(CHUNK), self.pairs() * self.room());
        // The first chunk's sums are the total that the others are added to.
        let (total, parts) = (Store::new(size)?, Store::new(size * ROUND.min(chunks))?);
        for round in (0..chunks).step_by(ROUND) {
            let some = ROUND.min(chunks - round);
            let place = |i: usize| if round + i == 0 { total.at(0) } else { parts.at(i * size) };
            let failed = Failure::new();
            threads::parallel(some, CHUNK / 8 * size, |i| failed.note(self.chunk(round + i, place(i))));
            failed.result()?;
            threads::parallel(self.pairs() * PLANES, some * self.room() / PLANES, |task| {
                let (i, pair) = (task / PLANES, self.pair(task / PLANES));
                let start = i * self.room() + task % PLANES * pair.stride();
                // SAFETY: the tasks above wrote these elements, each task here takes its own.
                let view = |from: *mut T| unsafe { std::slice::from_raw_parts_mut(from.add(start), pair.depth * pair.width) };
                (usize::from(round == 0)..some).for_each(|i| add_to(view(total.at(0)), view(place(i))));
            });
        }
        self.write_all(&total)
    }

    /// Sums a chunk's products unit by unit: a unit's tiles stay in the cache.
    fn chunk(&self, chunk: usize, sums: *mut T) -> Result {
        let (first, last) = (chunk * CHUNK, self.tiles().min((chunk + 1) * CHUNK));
        scratch::with(self.points_len(UNIT), |memory: &mut [T]| {
            let points = self.points(memory.as_mut_ptr(), UNIT);
            for unit in (first..last).step_by(UNIT) {
                let tiles = unit..last.min(unit + UNIT);
                // SAFETY: tiles and sums are this task's.
                unsafe {
                    self.large(tiles.clone(), &points, 0);
                    self.small(tiles.clone(), &points, 0);
                    for task in 0..PLANES * self.pairs() {
                        let (plane, i) = (task / self.pairs(), task % self.pairs());
                        let pair = self.pair(i);
                        let sums = sums.add(i * self.room() + plane * pair.stride());
                        self.products(&points, tiles.len(), plane, pair, sums, unit == first);
                    }
                }
            }
        })
    }

    /// The gradient from the sums of all pairs.
    fn write_all(&self, total: &Store<T>) -> Result {
        const LANES: usize = BLOCK / LANE;
        let failed = Failure::new();
        threads::parallel(self.pairs() * LANES, self.room() / LANES, |task| {
            let (i, lane) = (task / LANES, task % LANES);
            let pair = self.pair(i);
            if lane * LANE < pair.depth {
                failed.note(scratch::with(STAGE, |stage| {
                    // SAFETY: each task has its own channels.
                    unsafe { self.write(pair, lane, total.at(i * self.room()), stage) };
                }));
            }
        });
        failed.result()
    }

    /// In the order of work that suits the sizes.
    fn run(&self) -> Result {
        let (tiles, threads) = (self.tiles(), threads::num_threads());
        if tiles.div_ceil(CHUNK) >= 2 * threads && self.pairs() * self.room() <= private(second_level_cache()) {
            self.by_chunks()
        } else if tiles <= CHUNK && (threads == 1 || self.pairs() >= 2 * threads) {
            self.by_pairs()
        } else {
            self.by_planes()
        }
    }
}

levels! {
    fn add_to<T: Float>(total: &mut [T], part: &[T]) {
        for (t, &p) in total.iter_mut().zip(part) {
            *t += p;
        }
    }
}

/// As [`super::super::weight_gradient`] with one group and windows of 3x3 whose stride and dilation are 1.
///
/// `large` may lie in two arrays, and is normalised on the way in by `scale` and `shift`, as in [`super::convolve_winograd`].
///
/// # Errors
/// [`Error::Shape`] for slices that do not have these sizes, [`Error::Memory`].
pub fn winograd_weight_gradient<T: Float>(
    dw: &mut [T],
    small: &[T],
    large: &[T],
    second_large: Option<&[T]>,
    scale: Option<&[T]>,
    shift: Option<&[T]>,
    n: usize,
    h: usize,
    w: usize,
    oh: usize,
    ow: usize,
    outputs: usize,
    channels: usize,
    rows: usize,
    pad_h: usize,
    pad_w: usize,
    relu: usize,
) -> Result {
    expect_len("dw", dw.len(), &[outputs, channels, 3, 3])?;
    let (x, dy) = (Map::checked("large", large, second_large, n, h, w, channels)?, Map::checked("small", small, None, n, oh, ow, outputs)?);
    let normal = Normal::checked(scale, shift, rows, n, channels, relu != 0)?;
    let (limit, sizes) = (isize::MAX as usize / 8, [h, w, oh, ow, pad_h, pad_w]);
    ensure_shape!(sizes.iter().all(|&size| size < limit), "expected sizes that fit memory, got {sizes:?}");
    if small.is_empty() || large.is_empty() || dw.is_empty() {
        dw.fill(T::ZERO);
        return Ok(());
    }
    let grid = |input, low| Grid { n, input, output: (oh, ow), low };
    let grids = (grid((h, w), (-(pad_h as isize), -(pad_w as isize))), grid((oh, ow), (0, 0)));
    let aligned = (dw.as_ptr() as usize).is_multiple_of(64) && channels.is_multiple_of(LANE);
    let stream = aligned && size_of_val(dw) >= STREAM;
    let panels = Panels { groups: 1, channels, outputs };
    Job { panels, grids, x, dy, normal, dw: Shared::new(dw), stream }.run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smaller_caches_hold_fewer_sums() {
        assert_eq!([1 << 20, 2 << 20].map(private), [PRIVATE; 2]);
        assert_eq!(private(512 << 10), PRIVATE / 2);
    }
}
