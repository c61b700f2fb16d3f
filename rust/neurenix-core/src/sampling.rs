//! Sampling a map at the points of a grid, in two or three dimensions.
//!
//! Each axis of a point gives up to four taps (a pixel, its weight, the weight's derivative); a sample is the sum over the
//! product of the axes' taps. Coordinates are computed in the element type, as PyTorch does.

use crate::error::{Result, expect_len};
use crate::simd::Float;
use crate::threads::{Shared, parallel};
use crate::{ensure_shape, levels};

/// Which pixels a sample is made of.
const NEAREST: usize = 1;
const BICUBIC: usize = 2;
/// What lies outside the map.
const BORDER: usize = 1;
const REFLECTION: usize = 2;
/// Channels of one task where addresses depend on data.
const BLOCK: usize = 16;

/// A pixel of one axis that a sample takes part of.
#[derive(Debug, Clone, Copy)]
struct Tap<T> {
    pixel: usize,
    weight: T,
    slope: T,
}

/// The taps of one axis; those outside the map are left out.
#[derive(Debug, Clone, Copy)]
struct Taps<T> {
    list: [Tap<T>; 4],
    count: usize,
}

/// How coordinates become taps.
#[derive(Debug, Clone, Copy)]
struct Rule {
    mode: usize,
    padding: usize,
    align: bool,
}

fn modulo<T: Float>(x: T, span: T) -> (T, bool) {
    let flips = (x / span).floor();
    let rest = T::of(libm::fmod(x.to_f64(), span.to_f64()));
    (rest, (flips - T::of(2.0) * (flips / T::of(2.0)).floor()) != T::ZERO)
}

impl Rule {
    /// From [-1, 1] to pixels, and the derivative.
    fn pixels<T: Float>(&self, x: T, size: usize) -> (T, T) {
        let n = T::of(size as f64);
        let half = T::of(0.5);
        if self.align { ((x + T::ONE) * half * (n - T::ONE), (n - T::ONE) * half) } else { (((x + T::ONE) * n - T::ONE) * half, n * half) }
    }

    fn reflect<T: Float>(&self, x: T, size: usize) -> (T, T) {
        let (low, span) = if self.align { (T::ZERO, T::of(size as f64 - 1.0)) } else { (T::of(-0.5), T::of(size as f64)) };
        if span == T::ZERO {
            return (T::ZERO, T::ZERO);
        }
        let x = x - low;
        let sign = if x < T::ZERO { -T::ONE } else { T::ONE };
        let (rest, odd) = modulo(x.abs(), span);
        if odd { (span - rest + low, -sign) } else { (rest + low, sign) }
    }

    /// A coordinate as the padding sees it, and the derivative.
    fn padded<T: Float>(&self, x: T, size: usize) -> (T, T) {
        let (x, slope) = if self.padding == REFLECTION { self.reflect(x, size) } else { (x, T::ONE) };
        if self.padding != BORDER && self.padding != REFLECTION {
            return (x, slope);
        }
        let last = T::of(size as f64 - 1.0);
        if x > T::ZERO && x < last {
            (x, slope)
        } else if x >= last && x > T::ZERO {
            (last, T::ZERO)
        } else {
            (T::ZERO, T::ZERO)
        }
    }

    fn taps<T: Float>(&self, x: T, size: usize) -> Taps<T> {
        let mut taps = Taps { list: [Tap { pixel: 0, weight: T::ZERO, slope: T::ZERO }; 4], count: 0 };
        let (x, scale) = self.pixels(x, size);
        let mut push = |pixel: T, weight: T, slope: T| {
            if pixel >= T::ZERO && pixel < T::of(size as f64) {
                taps.list[taps.count] = Tap { pixel: pixel.to_f64() as usize, weight, slope };
                taps.count += 1;
            }
        };
        if self.mode == BICUBIC {
            let first = x.floor();
            let (weights, slopes) = cubic(x - first);
            for n in 0..4 {
                let pixel = self.padded(first + T::of(n as f64 - 1.0), size).0;
                let pixel = if self.padding == REFLECTION { pixel.round_even() } else { pixel };
                push(pixel, weights[n], slopes[n] * scale);
            }
            return taps;
        }
        let (x, slope) = self.padded(x, size);
        if self.mode == NEAREST {
            push(x.round_even(), T::ONE, T::ZERO);
        } else {
            let first = x.floor();
            push(first, first + T::ONE - x, -(slope * scale));
            push(first + T::ONE, x - first, slope * scale);
        }
        taps
    }
}

/// Keys' kernel with a = -0.75 at the four pixels around a point `t` behind the second, and its derivative.
fn cubic<T: Float>(t: T) -> ([T; 4], [T; 4]) {
    let a = T::of(-0.75);
    let c = |x: f64| T::of(x);
    let near = |x: T| ((a + c(2.0)) * x - (a + c(3.0))) * x * x + T::ONE;
    let far = |x: T| ((a * x - c(5.0) * a) * x + c(8.0) * a) * x - c(4.0) * a;
    let near_slope = |x: T| (c(3.0) * (a + c(2.0)) * x - c(2.0) * (a + c(3.0))) * x;
    let far_slope = |x: T| (c(3.0) * a * x - c(10.0) * a) * x + c(8.0) * a;
    let u = T::ONE - t;
    let weights = [far(t + T::ONE), near(t), near(u), far(u + T::ONE)];
    (weights, [far_slope(t + T::ONE), near_slope(t), -near_slope(u), -far_slope(u + T::ONE)])
}

/// The sizes of one call. Maps are (n, outer, d, h, w, inner), grids (n, od * oh * ow, axes), x before y before z.
#[derive(Clone, Copy)]
struct Sizes {
    n: usize,
    outer: usize,
    size: [usize; 3],
    points: usize,
    inner: usize,
    axes: usize,
    rule: Rule,
}

impl Sizes {
    fn check(&self, x: usize, grid: usize, y: usize) -> Result {
        let [d, h, w] = self.size;
        ensure_shape!(self.axes == 2 && d == 1 || self.axes == 3, "grid_sample: expected 2 or 3 axes, got {}", self.axes);
        ensure_shape!(self.rule.mode <= BICUBIC && self.rule.padding <= REFLECTION, "grid_sample: expected known modes");
        ensure_shape!(self.axes == 2 || self.rule.mode != BICUBIC, "grid_sample: expected bicubic on 2 axes only");
        expect_len("grid_sample: x", x, &[self.n, self.outer, d, h, w, self.inner])?;
        expect_len("grid_sample: grid", grid, &[self.n, self.points, self.axes])?;
        expect_len("grid_sample: y", y, &[self.n, self.outer, self.points, self.inner])
    }

    fn pixels(&self) -> usize {
        self.size.iter().product()
    }

    /// Taps along depth, height and width of one point.
    fn taps<T: Float>(&self, point: &[T]) -> [Taps<T>; 3] {
        let [d, h, w] = self.size;
        let one = Taps { list: [Tap { pixel: 0, weight: T::ONE, slope: T::ZERO }; 4], count: 1 };
        let z = if self.axes == 3 { self.rule.taps(point[2], d) } else { one };
        [z, self.rule.taps(point[1], h), self.rule.taps(point[0], w)]
    }

    /// Pixels and weights of one point, and their number.
    fn list<T: Float>(&self, point: &[T]) -> ([(usize, T); 16], usize) {
        let (mut list, mut count) = ([(0, T::ZERO); 16], 0);
        self.each(&self.taps(point), |pixel, [z, r, c]| {
            list[count] = (pixel, z.weight * (r.weight * c.weight));
            count += 1;
        });
        (list, count)
    }

    /// Calls `f(pixel, taps)` for every product of taps, in the order of pixels' axes.
    fn each<T: Float>(&self, taps: &[Taps<T>; 3], mut f: impl FnMut(usize, [&Tap<T>; 3])) {
        for z in &taps[0].list[..taps[0].count] {
            for y in &taps[1].list[..taps[1].count] {
                for x in &taps[2].list[..taps[2].count] {
                    f((z.pixel * self.size[1] + y.pixel) * self.size[2] + x.pixel, [z, y, x]);
                }
            }
        }
    }
}

levels! {
    /// `y += weight * x`.
    fn add_times<T: Float>(y: &mut [T], x: &[T], weight: T) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = weight.mul_add(x, *y);
        }
    }
}

/// `y[b, p, c]`: x[b] sampled at grid[b, p]; `mode` 0 linear, 1 nearest, 2 bicubic; `padding` 0 zeros, 1 border, 2 reflection.
///
/// # Errors
/// [`crate::error::Error::Shape`] when slices do not fit the sizes.
pub fn grid_sample<T: Float>(
    y: &mut [T],
    x: &[T],
    grid: &[T],
    n: usize,
    outer: usize,
    d: usize,
    h: usize,
    w: usize,
    inner: usize,
    points: usize,
    axes: usize,
    mode: usize,
    padding: usize,
    align: usize,
) -> Result {
    let s = Sizes { n, outer, size: [d, h, w], points, inner, axes, rule: Rule { mode, padding, align: align != 0 } };
    s.check(x.len(), grid.len(), y.len())?;
    let (map, run) = (s.pixels() * inner, 64);
    let pieces = points.div_ceil(run);
    let shared = Shared::new(y);
    parallel(n * pieces, run * outer * inner * 8, |task| {
        let (b, first) = (task / pieces, task % pieces * run);
        for p in first..(first + run).min(points) {
            let at = (b * points + p) * axes;
            let (list, count) = s.list(&grid[at..at + axes]);
            for o in 0..outer {
                // SAFETY: a task owns its points of every map.
                let y = unsafe { shared.slice(((b * outer + o) * points + p) * inner, inner) };
                let x = &x[(b * outer + o) * map..(b * outer + o + 1) * map];
                if inner == 1 {
                    y[0] = list[..count].iter().fold(T::ZERO, |sum, &(pixel, weight)| weight.mul_add(x[pixel], sum));
                    continue;
                }
                y.fill(T::ZERO);
                for &(pixel, weight) in &list[..count] {
                    add_times(y, &x[pixel * inner..(pixel + 1) * inner], weight);
                }
            }
        }
    });
    Ok(())
}

/// The map's gradient: one task a map and block of channels, points in order.
///
/// # Errors
/// [`crate::error::Error::Shape`] when slices do not fit the sizes.
pub fn grid_sample_backward<T: Float>(
    dx: &mut [T],
    dy: &[T],
    grid: &[T],
    n: usize,
    outer: usize,
    d: usize,
    h: usize,
    w: usize,
    inner: usize,
    points: usize,
    axes: usize,
    mode: usize,
    padding: usize,
    align: usize,
) -> Result {
    let s = Sizes { n, outer, size: [d, h, w], points, inner, axes, rule: Rule { mode, padding, align: align != 0 } };
    s.check(dx.len(), grid.len(), dy.len())?;
    let pixels = s.pixels();
    let shared = Shared::new(dx);
    if inner == 1 {
        planes_backward(&shared, dy, grid, &s);
        return Ok(());
    }
    let blocks = inner.div_ceil(BLOCK);
    parallel(n * outer * blocks, (pixels + 8 * points) * inner.min(BLOCK), |task| {
        let (m, c) = (task / blocks, task % blocks * BLOCK);
        let channels = BLOCK.min(inner - c);
        // SAFETY: a task owns these channels of this map; pieces of different tasks do not overlap.
        let piece = |p: usize| unsafe { shared.slice((m * pixels + p) * inner + c, channels) };
        (0..pixels).for_each(|p| piece(p).fill(T::ZERO));
        for p in 0..points {
            let at = (m / outer * points + p) * axes;
            let (list, count) = s.list(&grid[at..at + axes]);
            let from = (m * points + p) * inner + c;
            for &(pixel, weight) in &list[..count] {
                add_times(piece(pixel), &dy[from..from + channels], weight);
            }
        }
    });
    Ok(())
}

/// The gradient of planes: a task owns a few of them, and computes a point's taps once for all.
fn planes_backward<T: Float>(dx: &Shared<'_, T>, dy: &[T], grid: &[T], s: &Sizes) {
    let (pixels, planes) = (s.pixels(), 8);
    let groups = s.outer.div_ceil(planes);
    parallel(s.n * groups, (pixels + 8 * s.points) * planes, |task| {
        let (b, first) = (task / groups, task % groups * planes);
        let maps = b * s.outer + first..b * s.outer + (first + planes).min(s.outer);
        // SAFETY: a task owns these planes.
        let part = unsafe { dx.slice(maps.start * pixels, maps.len() * pixels) };
        if part.is_empty() {
            return;
        }
        part.fill(T::ZERO);
        for p in 0..s.points {
            let at = (b * s.points + p) * s.axes;
            let (list, count) = s.list(&grid[at..at + s.axes]);
            for (plane, m) in part.chunks_exact_mut(pixels).zip(maps.clone()) {
                let dy = dy[m * s.points + p];
                list[..count].iter().for_each(|&(pixel, weight)| plane[pixel] = weight.mul_add(dy, plane[pixel]));
            }
        }
    });
}

/// A sum of products in 16 virtual lanes, whatever the level.
fn dot<T: Float>(x: &[T], y: &[T]) -> T {
    let mut lanes = [T::ZERO; 16];
    for (x, y) in x.chunks(16).zip(y.chunks(16)) {
        for ((lane, &x), &y) in lanes.iter_mut().zip(x).zip(y) {
            *lane = x.mul_add(y, *lane);
        }
    }
    let mut width = 8;
    while width > 0 {
        (0..width).for_each(|i| lanes[i] = lanes[i] + lanes[i + width]);
        width /= 2;
    }
    lanes[0]
}

/// The grid's gradient: at each point the sum over channels, and the derivative of each axis' weights.
///
/// # Errors
/// [`crate::error::Error::Shape`] when slices do not fit the sizes.
pub fn grid_sample_grid_backward<T: Float>(
    dgrid: &mut [T],
    dy: &[T],
    x: &[T],
    grid: &[T],
    n: usize,
    outer: usize,
    d: usize,
    h: usize,
    w: usize,
    inner: usize,
    points: usize,
    axes: usize,
    mode: usize,
    padding: usize,
    align: usize,
) -> Result {
    let s = Sizes { n, outer, size: [d, h, w], points, inner, axes, rule: Rule { mode, padding, align: align != 0 } };
    s.check(x.len(), grid.len(), dy.len())?;
    expect_len("grid_sample: dgrid", dgrid.len(), &[n, points, axes])?;
    let pixels = s.pixels();
    crate::threads::parallel_chunks(dgrid, 64 * axes, outer * inner * 8, |task, part| {
        for (q, out) in part.chunks_exact_mut(axes).enumerate() {
            let row = task * 64 + q;
            let (b, p) = (row / points, row % points);
            let taps = s.taps(&grid[row * axes..(row + 1) * axes]);
            let mut sums = [T::ZERO; 3];
            for o in 0..outer {
                let m = b * outer + o;
                let dy = &dy[(m * points + p) * inner..(m * points + p + 1) * inner];
                s.each(&taps, |pixel, [z, r, c]| {
                    let at = (m * pixels + pixel) * inner;
                    let product = dot(dy, &x[at..at + inner]);
                    sums[0] = (z.weight * r.weight * c.slope).mul_add(product, sums[0]);
                    sums[1] = (z.weight * r.slope * c.weight).mul_add(product, sums[1]);
                    sums[2] = (z.slope * r.weight * c.weight).mul_add(product, sums[2]);
                });
            }
            out.copy_from_slice(&sums[..axes]);
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cubic_weights_sum_to_one() {
        let (weights, slopes) = cubic(0.3f64);
        assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12 && slopes.iter().sum::<f64>().abs() < 1e-12);
    }

    #[test]
    fn nothing_is_read_outside() {
        let mut y = [0.0f32; 4];
        let grid = [f32::NAN, 0.0, f32::INFINITY, 0.0, -1e30, 1e30, 0.0, 0.0];
        for mode in 0..3 {
            for padding in 0..3 {
                grid_sample(&mut y, &[1.0, 2.0, 3.0, 4.0], &grid, 1, 1, 1, 2, 2, 1, 4, 2, mode, padding, 0).unwrap();
            }
        }
    }
}
