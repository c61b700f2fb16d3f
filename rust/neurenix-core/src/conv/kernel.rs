//! The micro-kernel: a tile of pixels times vectors of outputs, summed over the runs of a channel block.

#![allow(clippy::needless_range_loop)] // a tile of registers reads best by its two indices

use std::mem::MaybeUninit;

use super::plan::{PIXELS, Run};
use crate::error::{Result, expect_len};
use crate::simd::pairs::{Fused, Products};
use crate::simd::{Float, Vector, prefetch_to_write};
use crate::{ensure_shape, levels, pair_levels};

/// Where an output pixel reads and writes, in elements.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pixel {
    /// From the start of the input of the block.
    pub x: usize,
    /// From the start of the output.
    pub y: usize,
}

/// What happens to a sum before it is stored: `(sum + bias) * scale + shift`, then max(0, .), then its nearest bfloat16.
#[derive(Debug, Clone, Copy)]
pub struct Epilogue<'a, T> {
    /// One value an output channel.
    pub bias: Option<&'a [T]>,
    /// Factor and addend, one an output channel.
    pub affine: Option<(&'a [T], &'a [T])>,
    /// Whether negative values become 0.
    pub relu: bool,
    /// Whether results are rounded to bfloat16.
    pub rounds: bool,
}

impl<'a, T: Float> Epilogue<'a, T> {
    /// An epilogue of `channels` channels.
    ///
    /// # Errors
    /// [`crate::error::Error::Shape`] unless every slice has one value a channel, and scale and shift come together.
    pub fn checked(bias: Option<&'a [T]>, scale: Option<&'a [T]>, shift: Option<&'a [T]>, relu: bool, channels: usize) -> Result<Self> {
        for (name, values) in [("bias", bias), ("scale", scale), ("shift", shift)] {
            if let Some(values) = values {
                expect_len(name, values.len(), &[channels])?;
            }
        }
        ensure_shape!(scale.is_some() == shift.is_some(), "scale and shift: expected both or neither");
        Ok(Self { bias, affine: scale.zip(shift), relu, rounds: false })
    }

    /// Finishes a vector of sums of the channels from `at` on, of which `left` exist.
    ///
    /// # Safety
    /// `at + min(left, N)` does not pass the number of channels.
    #[inline(always)]
    pub unsafe fn finish<V: Vector<T>>(&self, sum: V, at: usize, left: usize) -> V {
        let mut sum = sum;
        // SAFETY: as the caller says; every slice has one value a channel.
        unsafe {
            if let Some(bias) = self.bias {
                sum = sum.add(load(bias.as_ptr().add(at), left));
            }
            if let Some((scale, shift)) = self.affine {
                sum = sum.fma(load(scale.as_ptr().add(at), left), load(shift.as_ptr().add(at), left));
            }
        }
        self.end(sum)
    }

    /// What is the same for every channel.
    #[inline(always)]
    fn end<V: Vector<T>>(&self, sum: V) -> V {
        let sum = if self.relu { V::splat(T::ZERO).max(sum) } else { sum };
        if self.rounds { sum.nearest_bfloat16() } else { sum }
    }

    /// Finishes sums of channel `at`, of several pixels.
    #[inline(always)]
    pub fn finish_one<V: Vector<T>>(&self, sum: V, at: usize) -> V {
        let mut sum = sum;
        if let Some(bias) = self.bias {
            sum = sum.add(V::splat(bias[at]));
        }
        if let Some((scale, shift)) = self.affine {
            sum = sum.fma(V::splat(scale[at]), V::splat(shift[at]));
        }
        self.end(sum)
    }

    /// The part for channels `start .. start + len`.
    pub fn part(&self, start: usize, len: usize) -> Self {
        let affine = self.affine.map(|(scale, shift)| (&scale[start..start + len], &shift[start..start + len]));
        Self { bias: self.bias.map(|bias| &bias[start..start + len]), affine, ..*self }
    }
}

/// Steps of sums that take less time than memory.
const SHORT: usize = 64;

/// One panel of weights against the pixels of a block.
#[derive(Debug)]
pub struct Panel<'a, T> {
    /// Elements of the input that each pixel meets, in the order of the weights.
    pub runs: &'a [Run],
    /// `[step][width]`
    pub weights: &'a [T],
    /// Outputs that the panel has room for, a multiple of the lane.
    pub width: usize,
    /// Outputs that are stored.
    pub live: usize,
    /// Input of the block.
    pub x: *const T,
    /// Output, at the panel's first channel.
    pub y: *mut T,
    /// Pixels of the block.
    pub pixels: &'a [Pixel],
    /// Whether these are the first channels: the output holds nothing yet.
    pub first: bool,
    /// The last channels' epilogue, of the panel's outputs.
    pub last: Option<Epilogue<'a, T>>,
    /// Whether outputs are whole cache lines that are written past the caches.
    pub streams: bool,
}

/// Loads a vector of which only `left` elements exist.
///
/// # Safety
/// `min(left, N)` elements at `from` are readable.
#[inline(always)]
pub unsafe fn load<T: Float, V: Vector<T>>(from: *const T, left: usize) -> V {
    // SAFETY: as the caller says.
    unsafe { if left >= V::N { V::load(from) } else { V::load_first(from, left) } }
}

/// Finishes and stores vectors of one pixel.
#[inline(always)]
unsafe fn store<T: Float, V: Vector<T>, P: Products<T, V>, const R: usize>(
    panel: &Panel<'_, T>,
    pixel: Pixel,
    column: usize,
    sums: &[V; R],
) {
    for (j, &sum) in sums.iter().enumerate() {
        let mut sum = sum;
        let at = column + j * V::N;
        if at >= panel.live {
            return;
        }
        let left = panel.live - at;
        // SAFETY: `at + min(left, N) <= live`, and `live` channels from the pixel's place on lie inside the output, the bias and
        // the affine slices.
        unsafe {
            let y = panel.y.add(pixel.y + at);
            if let Some(last) = panel.last {
                // Known here: what rounding needs takes registers from the sums.
                sum = Epilogue { rounds: P::ROUNDS && last.rounds, ..last }.finish(sum, at, left);
            }
            match left >= V::N {
                true if panel.streams => sum.stream(y),
                true => sum.store(y),
                false => sum.store_first(y, left),
            }
        }
    }
}

/// Runs that a sweep over pixels takes together, and their weights.
struct Pass<'a, T, V> {
    runs: &'a [Run],
    /// The first run's first row, at the output that vectors start with.
    weights: *const T,
    /// Elements from one row of weights to the next.
    row: usize,
    /// The same for rows that are passed over; none where those were left out.
    passed: usize,
    /// Where totals lie between passes, those of the first pixel first; not used where the first pass is the last.
    totals: *mut V,
    /// Whether no pass was before it.
    starts: bool,
    /// Whether none comes after it.
    ends: bool,
}

/// Adds the products of a run to the sums of `M` pixels and `R` vectors; where the weights of the next run start.
#[inline(always)]
unsafe fn products<T: Float, V: Vector<T>, P: Products<T, V>, const M: usize, const R: usize>(
    sums: &mut [[V; R]; M],
    run: &Run,
    x: [*const T; M],
    weights: *const T,
    pass: &Pass<'_, T, V>,
) -> *const T {
    let mut w = weights;
    let mut from = x;
    // SAFETY: the caller gives a run inside the block's input for each pixel and as many rows of weights.
    unsafe {
        for place in &mut from {
            *place = place.add(run.offset);
        }
        for step in 0..run.steps {
            P::step(sums, from, step, w);
            w = w.add(pass.row);
        }
        w.add(run.skip * pass.passed)
    }
}

/// Asks for the output in time: where sums are short, that of the next tile.
#[inline(always)]
fn expect<T: Float, V: Vector<T>, const M: usize, const R: usize>(panel: &Panel<'_, T>, pixels: &[Pixel], column: usize) {
    let ahead = if panel.weights.len() < SHORT * panel.width { M } else { 0 };
    for pixel in pixels.iter().skip(ahead).take(if panel.streams { 0 } else { M }) {
        for j in 0..R {
            prefetch_to_write(panel.y.wrapping_add(pixel.y + column + j * V::N).cast_const());
        }
    }
}

/// `M` pixels times `R` vectors from output `column` on; pixels behind the last repeat it and are not stored. Before it are `done`
/// pixels.
#[inline(always)]
unsafe fn tile<T: Float, V: Vector<T>, P: Products<T, V>, const M: usize, const R: usize>(
    panel: &Panel<'_, T>,
    pass: &Pass<'_, T, V>,
    done: usize,
    column: usize,
) {
    let zero = V::splat(T::ZERO);
    // Hidden from the compiler, so that it stays in memory: the registers hold the partial sums.
    let mut local = MaybeUninit::<[[V; R]; M]>::uninit();
    let local = std::hint::black_box(&mut local);
    let pixels = &panel.pixels[done..];
    // SAFETY: as the caller says; there is at least one pixel, and the totals are written before they are read.
    unsafe {
        let mut x = [panel.x; M];
        for i in 0..M {
            x[i] = panel.x.add(pixels[i.min(pixels.len() - 1)].x);
        }
        let alone = pass.starts && pass.ends;
        if pass.ends {
            expect::<T, V, M, R>(panel, pixels, column);
        }
        let total = if alone { local.as_mut_ptr().cast::<V>() } else { pass.totals.add(done * R) };
        let mut sums = [[zero; R]; M];
        let mut begun = !pass.starts;
        if pass.starts && (!panel.first || panel.runs.is_empty()) {
            total.cast::<[[V; R]; M]>().write(read(panel, pixels, column));
            begun = true;
        }
        let mut w = pass.weights;
        for run in pass.runs {
            w = products::<T, V, P, M, R>(&mut sums, run, x, w, pass);
            if run.close {
                for i in 0..M {
                    for j in 0..R {
                        let place = total.add(i * R + j);
                        place.write(if begun { place.read() } else { zero }.add(sums[i][j]));
                        sums[i][j] = zero;
                    }
                }
                begun = true;
            }
        }
        if pass.ends {
            for (i, pixel) in pixels.iter().enumerate().take(M) {
                store::<T, V, P, R>(panel, *pixel, column, &*total.add(i * R).cast::<[V; R]>());
            }
        }
    }
}

/// What the output holds of `M` pixels and `R` vectors, zeros where it holds nothing yet.
#[inline(always)]
unsafe fn read<T: Float, V: Vector<T>, const M: usize, const R: usize>(
    panel: &Panel<'_, T>,
    pixels: &[Pixel],
    column: usize,
) -> [[V; R]; M] {
    let mut held = [[V::splat(T::ZERO); R]; M];
    if panel.first {
        return held;
    }
    for (sums, pixel) in held.iter_mut().zip(pixels) {
        for (j, sum) in sums.iter_mut().enumerate() {
            let at = column + j * V::N;
            if at < panel.live {
                // SAFETY: `live` channels from the pixel's place on lie inside the output.
                *sum = unsafe { load(panel.y.add(pixel.y + at), panel.live - at) };
            }
        }
    }
    held
}

/// All pixels against `R` vectors: whole tiles of `M`, then half ones, then single pixels.
#[inline(always)]
unsafe fn sweep<T: Float, V: Vector<T>, P: Products<T, V>, const M: usize, const H: usize, const R: usize>(
    panel: &Panel<'_, T>,
    pass: &Pass<'_, T, V>,
    column: usize,
) {
    let mut done = 0;
    while done < panel.pixels.len() {
        let left = panel.pixels.len() - done;
        // SAFETY: the caller's promise about runs holds for every pixel.
        done += unsafe {
            if left > H {
                tile::<T, V, P, M, R>(panel, pass, done, column);
                M
            } else if left > 1 {
                tile::<T, V, P, H, R>(panel, pass, done, column);
                H
            } else {
                tile::<T, V, P, 1, R>(panel, pass, done, column);
                1
            }
        };
    }
}

/// All runs at once.
#[inline(always)]
unsafe fn whole<T: Float, V: Vector<T>, P: Products<T, V>, const M: usize, const H: usize, const R: usize>(
    panel: &Panel<'_, T>,
    column: usize,
) {
    let weights = panel.weights.as_ptr().wrapping_add(column);
    let (row, totals) = (panel.width, std::ptr::null_mut());
    let pass = Pass { runs: panel.runs, weights, row, passed: row, totals, starts: true, ends: true };
    // SAFETY: as the caller says.
    unsafe { sweep::<T, V, P, M, H, R>(panel, &pass, column) };
}

/// Steps whose weights for two vectors leave room for the input in a first-level cache of 32 KB.
const NEAR: usize = 256;
/// Steps that there is room for, since a row of taps is not divided.
const ROOM: usize = 448;
/// Pixels from which on weights are read so often that they are copied.
const OFTEN: usize = 24;

/// Two narrow vectors: some runs at a time, whose weights lie side by side in the first-level cache meanwhile. They would be read
/// from the second for every tile else, from rows of four lines of which two vectors take one.
#[inline(always)]
unsafe fn near<T: Float, V: Vector<T>, P: Products<T, V>>(panel: &Panel<'_, T>, column: usize) {
    assert!(panel.pixels.len() <= PIXELS, "more pixels than a block has");
    let mut copy = MaybeUninit::<[[V; 2]; ROOM]>::uninit();
    let mut totals = MaybeUninit::<[[V; 2]; PIXELS + 6]>::uninit();
    let (mut first, mut weights) = (0, panel.weights.as_ptr().wrapping_add(column));
    while first < panel.runs.len() {
        let (some, steps) = together(&panel.runs[first..]);
        let (runs, row) = (&panel.runs[first..first + some], panel.width);
        let mut pass = Pass {
            runs,
            weights,
            row,
            passed: row,
            totals: totals.as_mut_ptr().cast(),
            starts: first == 0,
            ends: first + some == panel.runs.len(),
        };
        if steps <= ROOM && panel.pixels.len() >= OFTEN {
            let place: *mut V = copy.as_mut_ptr().cast();
            // SAFETY: the caller's rows of weights; there is room for the steps' vectors.
            weights = unsafe { side_by_side(place, runs, weights, row) };
            (pass.weights, pass.row, pass.passed) = (place.cast::<T>().cast_const(), 2 * V::N, 0);
        } else {
            weights = weights.wrapping_add(runs.iter().map(|run| run.steps + run.skip).sum::<usize>() * row);
        }
        // SAFETY: as the caller says.
        unsafe { sweep::<T, V, P, 6, 3, 2>(panel, &pass, column) };
        first += some;
    }
}

/// How many runs make a pass, up to one that closes a sum (the last one does), and their steps.
#[inline(always)]
fn together(runs: &[Run]) -> (usize, usize) {
    let (mut some, mut steps, mut sum) = (0, 0, 0);
    for (i, run) in runs.iter().enumerate() {
        sum += run.steps;
        if some > 0 && sum > NEAR {
            break;
        }
        if run.close {
            (some, steps) = (i + 1, sum);
        }
    }
    (some, steps)
}

/// Copies two vectors of each step's row of weights; where the rows behind the runs start.
///
/// # Safety
/// There are as many rows from `weights` on, and there is room for the vectors.
#[inline(always)]
unsafe fn side_by_side<T: Float, V: Vector<T>>(to: *mut V, runs: &[Run], weights: *const T, row: usize) -> *const T {
    let (mut to, mut from) = (to, weights);
    for run in runs {
        for _ in 0..run.steps {
            // SAFETY: as the caller says.
            unsafe {
                to.write(V::load(from));
                to.add(1).write(V::load(from.add(V::N)));
                (to, from) = (to.add(2), from.add(row));
            }
        }
        from = from.wrapping_add(run.skip * row);
    }
    from
}

/// Runs a panel over the pixels of a block.
#[inline(always)]
fn run<T: Float, V: Vector<T>, P: Products<T, V>>(panel: &Panel<'_, T>) {
    let vectors = panel.width / V::N;
    let mut j = 0;
    while j < vectors && j * V::N < panel.live {
        let column = j * V::N;
        // SAFETY: as the caller says.
        unsafe {
            if V::TILE.1 >= 4 && V::N > 1 {
                match vectors - j {
                    1 => whole::<T, V, P, 8, 4, 1>(panel, column),
                    2 => whole::<T, V, P, 8, 4, 2>(panel, column),
                    3 => whole::<T, V, P, 8, 4, 3>(panel, column),
                    _ => whole::<T, V, P, 6, 3, 4>(panel, column),
                }
            } else if V::N > 1 && panel.runs.len() > 1 {
                near::<T, V, P>(panel, column);
            } else if V::N > 1 {
                whole::<T, V, P, 6, 3, 2>(panel, column);
            } else {
                whole::<T, V, P, 2, 1, 4>(panel, column);
            }
        }
        j += if V::N > 1 { V::TILE.1 } else { 4 };
    }
}

levels! {
    /// Runs a panel over the pixels of a block.
    ///
    /// Safety is the caller's: every run of every pixel lies inside the input at `x`, `live` channels of every pixel inside
    /// the output at `y`, nobody else touches them, and there are as many rows of weights as steps, of which the last run's close a sum.
    pub fn run_panel<T, V>(panel: &Panel<'_, T>) {
        run::<T, V, Fused>(panel);
    }
}

pair_levels! {
    /// The same where elements of the input and the weights are pairs of bfloat16.
    pub fn run_pairs<V, P>(panel: &Panel<'_, f32>) {
        run::<f32, V, P>(panel);
    }
}
