//! Normalisation over channels-last maps: batch, instance and group norm are one set of kernels.
//!
//! Statistics are taken per fixed unit, eight 4x4 tiles of an image in raster order, as (mean, sum of squared distances)
//! per channel, and merged by Chan's formula in a fixed tree: first over the units of an image, then over images or over
//! the channels of a group. What is applied to a map is then `x * scale + shift`, rounded once, with tables of one row (batch
//! norm) or one row a sample. Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
//! variances", 1979.

use crate::blocks::Buffer;
use crate::error::{Result, expect_len};
use crate::simd::{Float, Vector};
use crate::{ensure_shape, levels, threads};

/// Side of a tile in pixels: that of Winograd's output, so that a convolution can take statistics as it writes.
pub const TILE: usize = 4;
/// Tiles of one unit.
pub const UNIT_TILES: usize = 8;
/// Channels that a merge handles together.
pub(crate) const LANES: usize = 16;

/// Pixels of one unit: up to 32 runs of up to 4 neighbouring pixels.
#[derive(Debug, Clone, Copy)]
pub struct Unit {
    runs: [(usize, usize); TILE * UNIT_TILES],
    len: usize,
    /// How many pixels there are.
    pub pixels: usize,
}

impl Unit {
    /// How many units an image of `h` x `w` pixels has.
    pub fn count(h: usize, w: usize) -> usize {
        (h.div_ceil(TILE) * w.div_ceil(TILE)).div_ceil(UNIT_TILES)
    }

    /// Unit `index` of an image of `h` x `w` pixels.
    pub fn new(index: usize, h: usize, w: usize) -> Self {
        let wide = w.div_ceil(TILE);
        let last = (h.div_ceil(TILE) * wide).min((index + 1) * UNIT_TILES);
        let mut unit = Self { runs: [(0, 0); TILE * UNIT_TILES], len: 0, pixels: 0 };
        for tile in index * UNIT_TILES..last {
            let (top, left) = (tile / wide * TILE, tile % wide * TILE);
            let width = TILE.min(w - left);
            for y in top..(top + TILE).min(h) {
                unit.runs[unit.len] = (y * w + left, width);
                unit.len += 1;
                unit.pixels += width;
            }
        }
        unit
    }

    /// (first pixel, pixels) of each run in order.
    pub fn runs(&self) -> &[(usize, usize)] {
        &self.runs[..self.len]
    }
}

/// `N` channels, or the first `left` of them.
///
/// # Safety
/// They are readable at `from`.
#[inline(always)]
unsafe fn take<T: Float, V: Vector<T>>(from: *const T, left: usize) -> V {
    // SAFETY: as the caller says.
    unsafe { if left >= V::N { V::load(from) } else { V::load_first(from, left) } }
}

/// # Safety
/// `N` channels, or the first `left` of them, are writable at `to`.
#[inline(always)]
unsafe fn put<T: Float, V: Vector<T>>(value: V, to: *mut T, left: usize) {
    // SAFETY: as the caller says.
    unsafe { if left >= V::N { value.store(to) } else { value.store_first(to, left) } }
}

/// Moments of `W` vectors of channels, held in registers over a unit's pixels; `left` channels are there.
///
/// # Safety
/// `x` is the first of the channels in an image of `c` channels that holds the unit, `mean` and `square` have `left` elements.
#[inline(always)]
unsafe fn moments_of_channels<T: Float, V: Vector<T>, const W: usize>(
    mean: *mut T,
    square: *mut T,
    x: *const T,
    c: usize,
    left: usize,
    unit: &Unit,
) {
    let zero = V::splat(T::ZERO);
    let (mut sums, mut squares) = ([zero; W], [zero; W]);
    for &(start, len) in unit.runs() {
        for k in 0..W {
            // SAFETY: the run's pixels lie inside the image, and `left` channels from `x` on inside each.
            let at = |pixel: usize| unsafe { take::<T, V>(x.add((start + pixel) * c + k * V::N), left - k * V::N) };
            if len == TILE {
                sums[k] = sums[k].add(at(0).add(at(1)).add(at(2).add(at(3))));
            } else {
                for pixel in 0..len {
                    sums[k] = sums[k].add(at(pixel));
                }
            }
        }
    }
    let scale = V::splat(T::ONE / T::of(unit.pixels as f64));
    let means = sums.map(|s| s.mul(scale));
    for &(start, len) in unit.runs() {
        for k in 0..W {
            // SAFETY: as above.
            let at = |pixel: usize| unsafe { take::<T, V>(x.add((start + pixel) * c + k * V::N), left - k * V::N) }.sub(means[k]);
            if len == TILE {
                let (p, q, r, s) = (at(0), at(1), at(2), at(3));
                squares[k] = squares[k].add(p.fma(p, q.mul(q)).add(r.fma(r, s.mul(s))));
            } else {
                for pixel in 0..len {
                    let d = at(pixel);
                    squares[k] = d.fma(d, squares[k]);
                }
            }
        }
    }
    for k in 0..W {
        // SAFETY: as the caller says.
        unsafe {
            put(means[k], mean.add(k * V::N), left - k * V::N);
            put(squares[k], square.add(k * V::N), left - k * V::N);
        }
    }
}

/// Some channels of a unit, and where their moments go.
struct UnitMoments<'a, T> {
    mean: &'a mut [T],
    square: &'a mut [T],
    /// The first of the channels in the image.
    x: *const T,
    /// Channels of the image.
    c: usize,
    unit: &'a Unit,
}

levels! {
    fn moments_run<T, V>(job: &mut UnitMoments<'_, T>) {
        let (mut first, live) = (0, job.mean.len());
        while first < live {
            let left = live - first;
            // SAFETY: the caller's unit has these channels, and both outputs are as long.
            unsafe {
                let (m, s, x) = (job.mean.as_mut_ptr().add(first), job.square.as_mut_ptr().add(first), job.x.add(first));
                if left >= 4 * V::N {
                    moments_of_channels::<T, V, 4>(m, s, x, job.c, left, job.unit);
                    first += 4 * V::N;
                } else {
                    moments_of_channels::<T, V, 1>(m, s, x, job.c, left, job.unit);
                    first += V::N;
                }
            }
        }
    }
}

/// Mean and sum of squared distances of a unit's pixels, channel by channel; `x` is the whole image.
///
/// # Panics
/// When the unit does not lie inside the image or the outputs differ in length.
pub fn unit_moments<T: Float>(mean: &mut [T], square: &mut [T], x: &[T], unit: &Unit) {
    let c = mean.len();
    let end = unit.runs().iter().map(|&(start, len)| start + len).max().unwrap_or(0);
    assert!(x.len() >= end * c, "unit_moments: {} channels of {end} pixels, {} elements", c, x.len());
    // SAFETY: the unit lies inside the image.
    unsafe { channel_moments(mean, square, x.as_ptr(), c, unit) }
}

/// As [`unit_moments`] of the channels of an image of `c` that start at `x`, as many as the outputs have.
///
/// # Safety
/// The image holds the unit and these channels.
///
/// # Panics
/// When the outputs differ in length.
pub(crate) unsafe fn channel_moments<T: Float>(mean: &mut [T], square: &mut [T], x: *const T, c: usize, unit: &Unit) {
    assert!(mean.len() == square.len(), "unit_moments: outputs of {} and {} channels", mean.len(), square.len());
    moments_run(&mut UnitMoments { mean, square, x, c, unit });
}

/// Two numbers a channel of up to `L` channels, over `n` elements: (mean, squares) or two sums.
#[derive(Clone, Copy)]
pub(crate) struct Part<const L: usize = LANES> {
    pub n: f64,
    pub first: [f64; L],
    pub second: [f64; L],
}

impl<const L: usize> Part<L> {
    pub(crate) const NONE: Self = Self { n: 0.0, first: [0.0; L], second: [0.0; L] };

    /// Moments of the union (Chan's formula).
    #[inline(always)]
    pub(crate) fn union(self, other: Self) -> Self {
        if self.n == 0.0 || other.n == 0.0 {
            return if self.n == 0.0 { other } else { self };
        }
        let n = self.n + other.n;
        let (share, product) = (other.n / n, self.n * other.n / n);
        let mut out = Self { n, ..self };
        for i in 0..L {
            let d = other.first[i] - self.first[i];
            out.first[i] = self.first[i] + d * share;
            out.second[i] = self.second[i] + other.second[i] + d * d * product;
        }
        out
    }

    /// Sums of the union.
    #[inline(always)]
    pub(crate) fn sum(self, other: Self) -> Self {
        let mut out = Self { n: self.n + other.n, ..self };
        for i in 0..L {
            out.first[i] += other.first[i];
            out.second[i] += other.second[i];
        }
        out
    }
}

/// Merges parts 0 to `count` - 1 in a binary tree that depends on `count` only: neighbours first, like carrying in a counter.
#[inline]
pub(crate) fn tree<P: Copy>(none: P, count: usize, part: impl Fn(usize) -> P, merge: impl Fn(P, P) -> P) -> P {
    let mut stack = [none; 64];
    let mut depth = 0;
    for index in 0..count {
        let (mut carried, mut bits) = (part(index), index);
        while bits & 1 == 1 {
            depth -= 1;
            carried = merge(stack[depth], carried);
            bits >>= 1;
        }
        stack[depth] = carried;
        depth += 1;
    }
    let Some(last) = depth.checked_sub(1) else { return none };
    (0..last).rev().fold(stack[last], |right, left| merge(stack[left], right))
}

/// Two numbers of every channel of every unit of a map.
pub(crate) struct Units<T> {
    /// `[image][unit][first, second][channel]`
    pub numbers: Buffer<T>,
    sizes: [usize; 4],
}

impl<T: Float> Units<T> {
    /// Room for a map (n, h, w, c).
    pub(crate) fn new(n: usize, h: usize, w: usize, c: usize) -> Result<Self> {
        Ok(Self { numbers: Buffer::new(n * Unit::count(h, w) * 2 * c)?, sizes: [n, h, w, c] })
    }

    /// Merges the numbers of each image's units.
    pub(crate) fn merge(&self, first: &mut [f64], second: &mut [f64], merge: impl Fn(Part, Part) -> Part + Sync) {
        let [n, h, w, c] = self.sizes;
        let units = Unit::count(h, w);
        let counts: Vec<f64> = (0..units).map(|index| Unit::new(index, h, w).pixels as f64).collect();
        let blocks = c.div_ceil(LANES);
        let (out_first, out_second) = (threads::Shared::new(first), threads::Shared::new(second));
        threads::parallel(n * blocks, units * LANES * 8, |task| {
            let (image, start) = (task / blocks, task % blocks * LANES);
            let len = LANES.min(c - start);
            let leaf = |index: usize| {
                let at = (image * units + index) * 2 * c + start;
                let mut part = Part { n: counts[index], ..Part::NONE };
                for i in 0..len {
                    (part.first[i], part.second[i]) = (self.numbers[at + i].to_f64(), self.numbers[at + c + i].to_f64());
                }
                part
            };
            let total = tree(Part::NONE, units, leaf, &merge);
            // SAFETY: each task has its own channels of its own image.
            unsafe {
                out_first.slice(image * c + start, len).copy_from_slice(&total.first[..len]);
                out_second.slice(image * c + start, len).copy_from_slice(&total.second[..len]);
            }
        });
    }
}

/// Per image and channel the two merged numbers of its units; `unit(image, index, first, second)` fills one unit's.
fn per_image<T: Float>(
    first: &mut [f64],
    second: &mut [f64],
    n: usize,
    h: usize,
    w: usize,
    c: usize,
    unit: impl Fn(usize, &Unit, &mut [T], &mut [T]) + Sync,
    merge: impl Fn(Part, Part) -> Part + Sync,
) -> Result {
    if n == 0 || c == 0 {
        return Ok(());
    }
    let (units, mut parts) = (Unit::count(h, w), Units::new(n, h, w, c)?);
    let shared = threads::Shared::new(&mut parts.numbers);
    threads::parallel(n * units, h * w * c / units.max(1), |task| {
        // SAFETY: each unit has its own 2 * c elements.
        let (a, b) = unsafe { shared.slice(task * 2 * c, 2 * c) }.split_at_mut(c);
        unit(task / units, &Unit::new(task % units, h, w), a, b);
    });
    parts.merge(first, second, merge);
    Ok(())
}

/// Mean and sum of squared distances to it of every channel of every image of an (n, h, w, c) map.
///
/// # Errors
/// [`crate::error::Error::Shape`] for sizes that do not fit.
pub fn moments<T: Float>(x: &[T], mean: &mut [f64], square: &mut [f64], n: usize, h: usize, w: usize, c: usize) -> Result {
    expect_len("norm x", x.len(), &[n, h, w, c])?;
    expect_len("norm mean", mean.len(), &[n, c])?;
    expect_len("norm square", square.len(), &[n, c])?;
    if c == 1 {
        return crate::norm_planes::moments(x, mean, square, n, (h, w));
    }
    let size = h * w * c;
    let unit = |image: usize, unit: &Unit, a: &mut [T], b: &mut [T]| unit_moments(a, b, &x[image * size..(image + 1) * size], unit);
    per_image(mean, square, n, h, w, c, unit, Part::union)
}

/// `g` where a ReLU after `x * scale + shift` let something through; NaN passes.
#[inline(always)]
pub(crate) fn passed<T: Float, const RELU: bool>(g: T, x: T, scale: T, shift: T) -> T {
    if RELU && x.mul_add(scale, shift) <= T::ZERO { T::ZERO } else { g }
}

levels! {
    fn unit_sums<T: Float, const RELU: bool>(sums: [&mut [T]; 2], g: &[T], x: &[T], mean: &[T], scale: &[T], shift: &[T], unit: &Unit) {
        let [first, second] = sums;
        let c = first.len();
        let (second, mean, scale, shift) = (&mut second[..c], &mean[..c], &scale[..c], &shift[..c]);
        first.fill(T::ZERO);
        second.fill(T::ZERO);
        for &(start, len) in unit.runs() {
            let (g, x) = (&g[start * c..(start + len) * c], &x[start * c..(start + len) * c]);
            if len == TILE {
                let (g0, g1, g2, g3) = (&g[..c], &g[c..2 * c], &g[2 * c..3 * c], &g[3 * c..4 * c]);
                let (x0, x1, x2, x3) = (&x[..c], &x[c..2 * c], &x[2 * c..3 * c], &x[3 * c..4 * c]);
                for i in 0..c {
                    let p = passed::<T, RELU>(g0[i], x0[i], scale[i], shift[i]);
                    let q = passed::<T, RELU>(g1[i], x1[i], scale[i], shift[i]);
                    let r = passed::<T, RELU>(g2[i], x2[i], scale[i], shift[i]);
                    let s = passed::<T, RELU>(g3[i], x3[i], scale[i], shift[i]);
                    first[i] += (p + q) + (r + s);
                    let (left, right) = (q * (x1[i] - mean[i]), s * (x3[i] - mean[i]));
                    second[i] += p.mul_add(x0[i] - mean[i], left) + r.mul_add(x2[i] - mean[i], right);
                }
            } else {
                for pixel in 0..len {
                    let (g, x) = (&g[pixel * c..(pixel + 1) * c], &x[pixel * c..(pixel + 1) * c]);
                    for i in 0..c {
                        let p = passed::<T, RELU>(g[i], x[i], scale[i], shift[i]);
                        first[i] += p;
                        second[i] = p.mul_add(x[i] - mean[i], second[i]);
                    }
                }
            }
        }
    }
}

/// For every channel of every image: the sum of `g`, and of `g` times (x - mean), where `relu` means that `g` counts only
/// where `x * scale + shift` is positive. The tables have `rows` rows, 1 or n; the mean is rounded to `T` first.
///
/// # Errors
/// [`crate::error::Error::Shape`] for sizes that do not fit.
pub fn backward_sums<T: Float>(
    g: &[T],
    x: &[T],
    sum_g: &mut [f64],
    sum_gx: &mut [f64],
    mean: &[f64],
    scale: &[T],
    shift: &[T],
    rows: usize,
    n: usize,
    h: usize,
    w: usize,
    c: usize,
    relu: usize,
) -> Result {
    expect_len("norm g", g.len(), &[n, h, w, c])?;
    expect_len("norm x", x.len(), &[n, h, w, c])?;
    expect_len("norm sum_g", sum_g.len(), &[n, c])?;
    expect_len("norm sum_gx", sum_gx.len(), &[n, c])?;
    expect_tables(rows, n, c, &[("mean", mean.len()), ("scale", scale.len()), ("shift", shift.len())])?;
    let mut rounded = crate::error::try_vec(rows * c, T::ZERO)?;
    rounded.iter_mut().zip(mean).for_each(|(r, &m)| *r = T::of(m));
    if c == 1 && n > 0 {
        return crate::norm_planes::backward_sums(g, x, [sum_g, sum_gx], [&rounded, scale, shift], n, (h, w), relu != 0);
    }
    let size = h * w * c;
    let unit = |image: usize, unit: &Unit, a: &mut [T], b: &mut [T]| {
        let row = image.min(rows - 1) * c;
        let (mean, scale, shift) = (&rounded[row..row + c], &scale[row..row + c], &shift[row..row + c]);
        let at = image * size..(image + 1) * size;
        let sums = if relu == 0 { unit_sums::<T, false> } else { unit_sums::<T, true> };
        sums([a, b], &g[at.clone()], &x[at], mean, scale, shift, unit);
    };
    per_image(sum_g, sum_gx, n, h, w, c, unit, Part::sum)
}

pub(crate) fn expect_tables(rows: usize, n: usize, c: usize, tables: &[(&str, usize)]) -> Result {
    ensure_shape!(rows == 1 || rows == n, "norm: expected tables of 1 or {n} rows, got {rows}");
    for &(what, len) in tables {
        ensure_shape!(rows.checked_mul(c) == Some(len), "norm {what}: expected ({rows}, {c}), got {len} elements");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_cover_every_pixel_once() {
        for (h, w) in [(1, 1), (3, 5), (4, 4), (9, 33), (17, 70)] {
            let mut seen = vec![0; h * w];
            for index in 0..Unit::count(h, w) {
                for &(start, len) in Unit::new(index, h, w).runs() {
                    seen[start..start + len].iter_mut().for_each(|s| *s += 1);
                }
            }
            assert!(seen.iter().all(|&s| s == 1), "{h} x {w}");
        }
    }

    #[test]
    fn the_tree_keeps_the_order() {
        let text = |i: usize| i as u64 + 1;
        for count in 0..40 {
            assert_eq!(tree(0, count, text, |a, b| a + b), (1..=count as u64).sum());
        }
    }

    #[test]
    fn moments_of_a_known_map() {
        let x: Vec<f64> = (0..2 * 5 * 6).map(f64::from).collect();
        let (mut mean, mut square) = ([0.0; 4], [0.0; 4]);
        moments(&x, &mut mean, &mut square, 2, 3, 5, 2).unwrap();
        assert_eq!(mean, [14.0, 15.0, 44.0, 45.0]);
        assert!(square.iter().all(|s| (s - 4.0 * 280.0).abs() < 1e-9));
    }
}
