//! In which order tasks go over tiles, outputs and channels, and what of it stays in which cache.

use std::ops::Range;

use super::super::kernel::Epilogue;
use super::super::pack::Weight;
use super::super::plan::{BLOCK, Panels, WIDTH};
use super::super::scratch;
use super::ahead::Ahead;
use super::inverse::{Inverse, Places, finish};
use super::moments::Moments;
use super::patches::{Grid, Patches, Transform, transform_patches};
use super::product::{self, Multiply, Operand, multiply};
use super::source::{Map, Normal};
use super::weights::{Strip, pack, piece, rows, stage_len};
use super::{PATCH, PLANES, spaced};
use crate::blocks::Block;
use crate::error::{Error, Result};
use crate::machine::second_level_cache;
use crate::simd::Float;
use crate::threads;

/// Elements that a task's patches and sums should not pass, where the second-level cache holds 1 MiB or more: they stay there.
const NEAR: usize = 160 << 10;
/// Bytes of a smaller cache that are left to weights and to what comes next.
const PASSING: usize = 96 << 10;
/// Elements that the patches which all tasks share should not pass: they stay in the last-level cache.
const SHARED: usize = 4 << 20;
/// Tiles of a task at least, or weights would be read too often.
const FEWEST: usize = 12;
/// Tiles of a task at most, a multiple of what the micro-kernel takes at once.
const MOST: usize = 24;
/// Groups of tiles of a task at most.
const RUN: usize = 8;
/// Outputs of a task that transforms its own weights.
const NARROW: usize = 32;
/// Bytes of an output from which on it is written past the caches.
const STREAM: usize = 8 << 20;

/// [`NEAR`] with a second-level cache of so many bytes; never so few that weights would be read too often.
fn near(cache: usize) -> usize {
    (cache.saturating_sub(PASSING) / size_of::<f32>()).clamp(NEAR / 2, NEAR)
}

/// The order of work; decides speed only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A task takes a few tiles from the input to all outputs.
    Tiles,
    /// Tasks take patches to the points; when all have, each takes a panel of outputs.
    Panels,
    /// As `Panels`, but a task transforms its own weights, a block of channels at a time.
    Pieces,
}

/// The weights of a layer.
#[derive(Debug, Clone, Copy)]
pub enum Weights<'a, T> {
    /// As [`pack`] leaves them.
    Points(&'a [T]),
    /// As the user has them.
    Plain(Weight<'a, T>),
}

/// One run of a layer; the slices have the sizes of the grid and the panels.
pub struct Job<'a, T> {
    /// Tiles.
    pub grid: Grid,
    /// Channels and outputs, one group.
    pub panels: Panels,
    /// Output.
    pub y: Output<T>,
    /// Input.
    pub x: Map<'a, T>,
    /// How its pixels are normalised, if they are.
    pub normal: Option<Normal<'a, T>>,
    /// What is done to each sum.
    pub epilogue: Epilogue<'a, T>,
    /// Where the moments of the output go.
    pub moments: Option<Moments<'a, T>>,
}

/// An output in one array, or the two halves of its channels in two.
#[derive(Clone, Copy)]
pub struct Output<T> {
    places: Places<T>,
    bytes: usize,
}

// SAFETY: tasks write different tiles or channels.
unsafe impl<T: Send> Send for Output<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Output<T> {}

impl<T> Output<T> {
    /// The arrays, with so many channels each.
    pub fn new(first: &mut [T], second: Option<&mut [T]>, pitch: usize) -> Self {
        let arrays = if second.is_some() { 2 } else { 1 };
        let (start, bytes) = (first.as_mut_ptr(), arrays * size_of_val(first));
        Self { places: Places { parts: [start, second.map_or(start, <[T]>::as_mut_ptr)], pitch }, bytes }
    }

    /// Whether outputs are written past the caches: large ones, whose pixels start at whole cache lines.
    fn streams(&self) -> bool {
        let whole = |address: usize| address.is_multiple_of(64);
        self.bytes > STREAM && whole(self.places.pitch * size_of::<T>()) && self.places.parts.iter().all(|&p| whole(p as usize))
    }
}

/// Patches of some tiles at the points.
#[derive(Clone, Copy)]
struct Points<T> {
    start: *const T,
    layout: Patches,
    /// Place of the first tile.
    place: usize,
}

impl<T: Float> Job<'_, T> {
    /// Tiles whose patches and sums stay in the cache.
    fn fit(&self) -> usize {
        let fit = near(second_level_cache()) / (PLANES * (self.panels.channels + self.panels.padded().min(WIDTH)));
        if fit > 6 { fit.min(MOST) / 6 * 6 } else { fit.max(1) }
    }

    /// Tiles of a group in the mode `Tiles`; fewer than the micro-kernel takes at once would read all weights for little.
    fn together(&self) -> usize {
        self.fit().min(self.grid.tiles().div_ceil(threads::num_threads()).max(FEWEST / 2))
    }

    /// The mode `Tiles` reads all weights for each group: they are few, or the groups are large beside the whole.
    fn mode(&self, plain: bool) -> Mode {
        let few = PLANES * self.panels.channels * self.panels.padded() <= NEAR * 2; // in the last-level cache
        let enough = self.fit() >= FEWEST && self.grid.tiles() >= 8 * self.fit();
        match (few || enough, plain) {
            (true, _) => Mode::Tiles,
            (false, false) => Mode::Panels,
            (false, true) => Mode::Pieces,
        }
    }

    /// Takes patches to the points.
    ///
    /// # Safety
    /// The tiles and blocks have room at `to`, and nobody else touches it.
    unsafe fn patches(&self, tiles: Range<usize>, blocks: Range<usize>, to: *mut T, at: (Patches, usize)) {
        transform_patches::<T, PATCH>(&Transform {
            grid: &self.grid,
            x: self.x,
            normal: self.normal,
            tiles,
            blocks,
            layout: at.0,
            to,
            place: at.1,
        });
    }

    /// Takes sums of a strip back to pixels.
    fn pixels(&self, tiles: Range<usize>, sums: &[T], stride: usize, strip: Strip) {
        finish(&Inverse {
            grid: &self.grid,
            tiles,
            sums,
            stride,
            width: strip.width,
            live: strip.live,
            y: self.y.places,
            start: strip.start,
            epilogue: self.epilogue.part(strip.start, strip.live),
            stream: self.moments.is_none() && self.y.streams(),
        });
    }

    /// Takes the moments of some outputs of the units that end with the tiles `written` and start no earlier than `first`.
    ///
    /// # Safety
    /// This task wrote these outputs of the tiles from `first` on.
    unsafe fn moments(&self, first: usize, written: Range<usize>, outputs: Range<usize>) {
        if let Some(moments) = &self.moments {
            // SAFETY: as the caller says.
            unsafe { moments.take(first, written, &outputs) };
        }
    }

    /// Weights of a strip that is a whole panel.
    fn operand(&self, points: &[T], strip: Strip) -> Operand<T> {
        let start = points[PLANES * self.panels.channels * strip.start..].as_ptr();
        Operand { start, plane: self.panels.channels * strip.width, block: BLOCK * strip.width }
    }

    /// Some tiles against a panel.
    ///
    /// # Safety
    /// The patches of these tiles are there.
    unsafe fn panel(&self, tiles: Range<usize>, patches: Points<T>, weights: &[T], strip: Strip, sums: &mut [T], ahead: &mut Ahead<T>) {
        let stride = spaced(tiles.len() * strip.width);
        let job = Multiply {
            patches: patches.start,
            layout: patches.layout,
            place: patches.place,
            tiles: tiles.len(),
            blocks: 0..self.panels.blocks(),
            weights: self.operand(weights, strip),
            width: strip.width,
            sums: sums.as_mut_ptr(),
            stride,
        };
        multiply(&job, ahead);
        self.pixels(tiles, sums, stride, strip);
    }

    /// The mode `Tiles`: tasks are runs of groups of tiles, so that a group's input can be brought near during the one before it.
    fn by_tiles(&self, weights: &[T]) -> Result {
        let (tiles, together, threads) = (self.grid.tiles(), self.together(), threads::num_threads());
        let (channels, width) = (self.panels.channels, self.panels.padded().min(WIDTH));
        let run = (tiles / (together * 4 * threads)).clamp(1, RUN) * together;
        let cost = PLANES * run * channels * self.panels.outputs;
        let room = Patches { tiles: together, channels }.len();
        let failed = scratch::Failure::new();
        threads::parallel(tiles.div_ceil(run), cost, |task| {
            let end = tiles.min((task + 1) * run);
            failed.note(scratch::with(room + PLANES * spaced(together * width), |memory| {
                let (patches, sums) = memory.split_at_mut(room);
                for first in (task * run..end).step_by(together) {
                    let group = first..end.min(first + together);
                    let next = group.end..tiles.min(group.end + together); // a thread is likely to take the next task too
                    self.group(group.clone(), next, weights, patches, sums);
                    // SAFETY: this task wrote all outputs of its groups.
                    unsafe { self.moments(task * run, group, 0..self.panels.outputs) };
                }
            }));
        });
        if let Some(moments) = &self.moments {
            moments.rest((0..tiles).step_by(run));
        }
        failed.result()
    }

    /// Takes a group of tiles from the input to the outputs; `next` is read after it.
    fn group(&self, tiles: Range<usize>, next: Range<usize>, weights: &[T], patches: &mut [T], sums: &mut [T]) {
        let (channels, blocks, panels) = (self.panels.channels, self.panels.blocks(), self.panels.count());
        let layout = Patches { tiles: tiles.len(), channels };
        let steps = PLANES * blocks * panels * product::steps(tiles.len());
        let mut ahead = Ahead::patches(&self.grid, &self.x, next, steps);
        // SAFETY: the patches have room for the layout, and all of them are transformed before they are read.
        unsafe {
            self.patches(tiles.clone(), 0..blocks, patches.as_mut_ptr(), (layout, 0));
            let points = Points { start: patches.as_ptr(), layout, place: 0 };
            for k in 0..panels {
                self.panel(tiles.clone(), points, weights, Strip::panel(&self.panels, k), sums, &mut ahead);
            }
        }
    }

    /// The modes with shared patches, in chunks of tiles; `strip` runs one strip over some tiles of a chunk.
    fn by_strips(&self, strips: &[Strip], strip: impl Fn(Range<usize>, Points<T>, Strip) -> Result + Sync) -> Result {
        let (tiles, channels) = (self.grid.tiles(), self.panels.channels);
        let most = (SHARED / (PLANES * channels)).max(2 * FEWEST);
        let chunk = tiles.div_ceil(tiles.div_ceil(most));
        let layout = Patches { tiles: chunk, channels };
        let memory = Block::new(layout.len() * size_of::<T>())?;
        let address = memory.as_ptr() as usize;
        let parts = (2 * threads::num_threads()).div_ceil(strips.len()).clamp(1, chunk.div_ceil(FEWEST));
        let (failed, mut cuts) = (scratch::Failure::new(), Vec::new());
        for first in (0..tiles).step_by(chunk) {
            let some = first..tiles.min(first + chunk);
            // SAFETY: the block has room for the layout; tasks take different tiles and blocks of channels.
            unsafe { self.chunk(some.clone(), address, layout) };
            let part = |i: usize| first + some.len() * i / parts..first + some.len() * (i + 1) / parts;
            let cost = PLANES * some.len() * channels * strips[0].width / parts;
            threads::parallel(strips.len() * parts, cost, |task| {
                let (tiles, outputs) = (part(task % parts), strips[task / parts]);
                let points = Points { start: address as *const T, layout, place: tiles.start - first };
                failed.note(strip(tiles.clone(), points, outputs));
                // SAFETY: this task wrote these outputs of its tiles.
                unsafe { self.moments(tiles.start, tiles, outputs.start..outputs.start + outputs.live) };
            });
            cuts.extend((0..parts).map(|i| part(i).start));
        }
        if let Some(moments) = &self.moments {
            moments.rest(cuts.into_iter());
        }
        failed.result()
    }

    /// Takes the patches of a chunk to the points.
    ///
    /// # Safety
    /// There is room for the layout at `address`, and nobody else touches it.
    unsafe fn chunk(&self, tiles: Range<usize>, address: usize, layout: Patches) {
        let blocks = self.panels.blocks();
        let groups = tiles.len().div_ceil(FEWEST);
        threads::parallel(groups * blocks, PLANES * FEWEST * BLOCK, |task| {
            let (group, block) = (task / blocks, task % blocks);
            let first = tiles.start + group * FEWEST;
            let some = first..tiles.end.min(first + FEWEST);
            // SAFETY: as the caller says; tasks take different tiles or blocks.
            unsafe { self.patches(some, block..block + 1, address as *mut T, (layout, group * FEWEST)) };
        });
    }

    /// The mode `Panels`.
    fn by_panels(&self, weights: &[T]) -> Result {
        let strips: Vec<Strip> = (0..self.panels.count()).map(|k| Strip::panel(&self.panels, k)).collect();
        self.by_strips(&strips, |tiles, points, strip| {
            scratch::with(PLANES * spaced(tiles.len() * strip.width), |sums| {
                // SAFETY: the chunk's patches are there.
                unsafe { self.panel(tiles, points, weights, strip, sums, &mut Ahead::nothing()) };
            })
        })
    }

    /// The mode `Pieces`.
    fn by_pieces(&self, weight: &Weight<'_, T>) -> Result {
        let outputs = self.panels.outputs;
        let strip = |i: usize| {
            let (start, live) = (i * NARROW, NARROW.min(outputs - i * NARROW));
            Strip { start, width: live.div_ceil(16) * 16, live }
        };
        let strips: Vec<Strip> = (0..outputs.div_ceil(NARROW)).map(strip).collect();
        self.by_strips(&strips, |tiles, points, strip| {
            let (stride, plane) = (spaced(tiles.len() * strip.width), spaced(BLOCK * strip.width));
            scratch::with(PLANES * (stride + plane) + stage_len(strip.width), |memory| {
                let (sums, rest) = memory.split_at_mut(PLANES * stride);
                let (at_points, stage) = rest.split_at_mut(PLANES * plane);
                for block in 0..self.panels.blocks() {
                    // SAFETY: there is room for a block of the strip's weights.
                    unsafe { piece(weight, stage, strip, block * BLOCK, self.panels.depth(block), (at_points.as_mut_ptr(), plane)) };
                    let job = Multiply {
                        patches: points.start,
                        layout: points.layout,
                        place: points.place,
                        tiles: tiles.len(),
                        blocks: block..block + 1,
                        weights: Operand { start: at_points.as_ptr(), plane, block: 0 },
                        width: strip.width,
                        sums: sums.as_mut_ptr(),
                        stride,
                    };
                    multiply(&job, &mut self.weights_ahead(weight, strip, block + 1, tiles.len()));
                }
                self.pixels(tiles, sums, stride, strip);
            })
        })
    }

    /// The weights that a strip in the mode `Pieces` reads for a block of channels, if there is one.
    fn weights_ahead(&self, weight: &Weight<'_, T>, strip: Strip, block: usize, tiles: usize) -> Ahead<T> {
        if block >= self.panels.blocks() {
            return Ahead::nothing();
        }
        Ahead::runs(rows(weight, strip, block * BLOCK, self.panels.depth(block)), PLANES * product::steps(tiles))
    }

    /// Runs the layer, in a mode that is asked for or in the one that its sizes choose.
    ///
    /// # Errors
    /// [`Error::Memory`]; [`Error::Argument`] for a mode that needs weights as the user has them.
    pub fn run(&self, weights: Weights<'_, T>, mode: Option<Mode>) -> Result {
        let mode = mode.unwrap_or_else(|| self.mode(matches!(weights, Weights::Plain(_))));
        match (weights, mode) {
            (Weights::Points(points), Mode::Tiles) => self.by_tiles(points),
            (Weights::Points(points), Mode::Panels) => self.by_panels(points),
            (Weights::Plain(weight), Mode::Pieces) => self.by_pieces(&weight),
            (Weights::Plain(weight), mode) => {
                let len = PLANES * self.panels.channels * self.panels.padded();
                let memory = Block::new(len * size_of::<T>())?;
                // SAFETY: the block holds as many elements, and `pack` writes them all before they are read.
                let points = unsafe { std::slice::from_raw_parts_mut(memory.as_ptr().cast::<T>(), len) };
                pack(points, &weight, &self.panels)?;
                self.run(Weights::Points(points), Some(mode))
            }
            (Weights::Points(_), Mode::Pieces) => {
                Err(Error::Argument("conv: expected weights as they are in this mode, got transformed ones".into()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smaller_caches_hold_fewer_tiles() {
        assert_eq!([1 << 20, 2 << 20, 1 << 30].map(near), [NEAR; 3]);
        assert_eq!(near(512 << 10), (416 << 10) / 4);
        assert_eq!([0, 256 << 10].map(near), [NEAR / 2; 2]);
    }
}
