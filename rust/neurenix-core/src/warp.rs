//! Geometry of images and label maps: where each output pixel lies in the source, and one interpolation there.
//!
//! A chain of flips, rotations, scalings and one smooth displacement is one map of points, so that an image is
//! interpolated once whatever the chain's length. Points are doubles and the same for every array that is warped, so an
//! image and its labels cannot part.

use crate::error::{Result, expect_len};
use crate::simd::{Float, Number};
use crate::threads::{Shared, parallel};
use crate::{ensure_shape, levels};

/// How many pixels a sample is made of.
const LINEAR: usize = 1;
const CUBIC: usize = 2;
/// What lies outside the source: `fill`, the edge's pixel, or the image mirrored with or without its edge's pixels.
const REPLICATE: usize = 1;
const SYMMETRIC: usize = 2;
const REFLECT: usize = 3;
/// No image is as large: points are clamped here before they become integers.
const FAR: f64 = 1e9;

/// `(row, column)` by a 2x3 matrix.
#[inline(always)]
fn affine(m: &[f64], y: f64, x: f64) -> (f64, f64) {
    (m[0].mul_add(y, m[1].mul_add(x, m[2])), m[3].mul_add(y, m[4].mul_add(x, m[5])))
}

/// A smooth field over the unit grid, and its size.
struct Field<'a, T> {
    values: &'a [T],
    h: usize,
    w: usize,
}

impl<T: Float> Field<'_, T> {
    /// Both components at a point, linear between pixels, constant beyond the edge.
    #[inline(always)]
    fn at(&self, y: f64, x: f64) -> (f64, f64) {
        let (y, x) = (y.clamp(0.0, (self.h - 1) as f64), x.clamp(0.0, (self.w - 1) as f64));
        let (top, left) = (y as usize, x as usize);
        let (ty, tx) = (y - top as f64, x - left as f64);
        let right = usize::from(left + 1 < self.w);
        let down = if top + 1 < self.h { self.w } else { 0 };
        let first = top * self.w + left;
        (self.cell(first, right, down, ty, tx), self.cell(first + self.h * self.w, right, down, ty, tx))
    }

    /// One component in the cell of four pixels that begins at `first`.
    #[inline(always)]
    fn cell(&self, first: usize, right: usize, down: usize, ty: f64, tx: f64) -> f64 {
        debug_assert!(first + down + right < self.values.len());
        // SAFETY: `at` clamps the point to the field, and steps right and down only where a pixel follows.
        let v = |i: usize| unsafe { self.values.get_unchecked(i) }.to_f64();
        let (above, below) = (between(v(first), v(first + right), tx), between(v(first + down), v(first + down + right), tx));
        between(above, below, ty)
    }
}

#[inline(always)]
fn between(a: f64, b: f64, t: f64) -> f64 {
    t.mul_add(b - a, a)
}

levels! {
    /// One row of points.
    fn points_row<T: Float>(rows: &mut [f64], cols: &mut [f64], i: usize, field: &Field<'_, T>, matrix: &[f64]) {
        let (after, before) = matrix.split_at(6);
        let y = i as f64;
        if field.values.is_empty() {
            for (j, (row, col)) in rows.iter_mut().zip(cols).enumerate() {
                (*row, *col) = affine(before, y, j as f64);
            }
            return;
        }
        let (w, count) = (field.w, rows.len());
        let own = after == [1.0, 0.0, 0.0, 0.0, 1.0, 0.0] && i < field.h && count <= w;
        if own {
            let down = &field.values[i * w..i * w + count];
            let right = &field.values[(field.h + i) * w..(field.h + i) * w + count];
            for (j, ((row, col), (&dy, &dx))) in rows.iter_mut().zip(cols).zip(down.iter().zip(right)).enumerate() {
                (*row, *col) = affine(before, y + dy.to_f64(), j as f64 + dx.to_f64());
            }
            return;
        }
        for (j, (row, col)) in rows.iter_mut().zip(cols).enumerate() {
            let (ey, ex) = affine(after, y, j as f64);
            let (dy, dx) = field.at(ey, ex);
            (*row, *col) = affine(before, ey + dy, ex + dx);
        }
    }
}

/// `points[:, i, j] = before(e + field(e))`, `e = after(i, j)`; `matrix` holds `after`, then `before`, 2x3 each.
///
/// Without a field (`fh` or `fw` 0) only `before` counts.
///
/// # Errors
/// [`crate::error::Error::Shape`] when slices do not fit the sizes.
pub fn points<T: Float>(field: &[T], points: &mut [f64], matrix: &[f64], fh: usize, fw: usize, oh: usize, ow: usize) -> Result {
    expect_len("warp: matrix", matrix.len(), &[12])?;
    expect_len("warp: field", field.len(), &[2, fh, fw])?;
    expect_len("warp: points", points.len(), &[2, oh, ow])?;
    let field = Field { values: field, h: fh, w: fw };
    let shared = Shared::new(points);
    parallel(if ow == 0 { 0 } else { oh }, ow.saturating_mul(8), |i| {
        // SAFETY: a task owns row `i` of both planes.
        let (rows, cols) = unsafe { (shared.slice(i * ow, ow), shared.slice((oh + i) * ow, ow)) };
        points_row(rows, cols, i, &field, matrix);
    });
    Ok(())
}

/// One plane of the source.
#[derive(Clone, Copy)]
struct Plane<'a, T> {
    x: &'a [T],
    h: usize,
    w: usize,
    mode: usize,
    fill: f64,
}

/// A pixel number inside, or the size where `fill` counts.
#[inline(always)]
fn inside(i: i64, size: usize, mode: usize) -> usize {
    let n = size as i64;
    if (0..n).contains(&i) {
        return i as usize;
    }
    match mode {
        REPLICATE => i.clamp(0, n - 1) as usize,
        SYMMETRIC | REFLECT => mirrored(i, n, (mode == REFLECT) as i64),
        _ => size,
    }
}

/// `i` mirrored into 0 to `n - 1`; `shared` 1 where the mirrors stand on the last pixels, 0 where behind them.
#[inline(always)]
fn mirrored(i: i64, n: i64, shared: i64) -> usize {
    let (left, right) = (shared - 1 - i, 2 * n - 1 - shared - i);
    if (0..n).contains(&left) && i < 0 {
        return left as usize;
    }
    if (0..n).contains(&right) && i >= n {
        return right as usize;
    }
    let period = (2 * (n - shared)).max(1);
    let rest = i.rem_euclid(period);
    rest.min(period - 1 + shared - rest) as usize
}

impl<T: Number> Plane<'_, T> {
    #[inline(always)]
    fn value(&self, row: usize, col: usize) -> f64 {
        if row < self.h && col < self.w { self.x[row * self.w + col].to_f64() } else { self.fill }
    }

    #[inline(always)]
    fn nearest(&self, y: f64, x: f64) -> T {
        let row = inside((y + 0.5).floor() as i64, self.h, self.mode);
        let col = inside((x + 0.5).floor() as i64, self.w, self.mode);
        if row < self.h && col < self.w { self.x[row * self.w + col] } else { T::of(self.fill) }
    }

    #[inline(always)]
    fn linear(&self, y: f64, x: f64) -> f64 {
        let (top, left) = (y.floor(), x.floor());
        let (ty, tx) = (y - top, x - left);
        let (i, j) = (top as i64, left as i64);
        let four = if i >= 0 && j >= 0 && i + 1 < self.h as i64 && j + 1 < self.w as i64 {
            let at = i as usize * self.w + j as usize;
            let (up, down) = (&self.x[at..at + 2], &self.x[at + self.w..at + self.w + 2]);
            [up[0].to_f64(), up[1].to_f64(), down[0].to_f64(), down[1].to_f64()]
        } else {
            let (r, s) = (inside(i, self.h, self.mode), inside(i + 1, self.h, self.mode));
            let (c, d) = (inside(j, self.w, self.mode), inside(j + 1, self.w, self.mode));
            [self.value(r, c), self.value(r, d), self.value(s, c), self.value(s, d)]
        };
        between(between(four[0], four[1], tx), between(four[2], four[3], tx), ty)
    }

    #[inline(always)]
    fn cubic(&self, y: f64, x: f64) -> f64 {
        let (top, left) = (y.floor(), x.floor());
        let (wy, wx) = (keys(y - top), keys(x - left));
        let (i, j) = (top as i64 - 1, left as i64 - 1);
        let within = i >= 0 && j >= 0 && i + 3 < self.h as i64 && j + 3 < self.w as i64;
        let mut sum = 0.0;
        for r in 0..4 {
            let mut line = 0.0;
            if within {
                let at = (i as usize + r) * self.w + j as usize;
                for (&wx, &v) in wx.iter().zip(&self.x[at..at + 4]) {
                    line = wx.mul_add(v.to_f64(), line);
                }
            } else {
                let row = inside(i + r as i64, self.h, self.mode);
                for (c, &wx) in wx.iter().enumerate() {
                    line = wx.mul_add(self.value(row, inside(j + c as i64, self.w, self.mode)), line);
                }
            }
            sum = wy[r].mul_add(line, sum);
        }
        sum
    }
}

const A: f64 = -0.75;

/// Keys' weights with a = -0.75 of the four pixels around a point `t` behind the second.
#[inline(always)]
fn keys(t: f64) -> [f64; 4] {
    let u = 1.0 - t;
    [far(t + 1.0), near(t), near(u), far(u + 1.0)]
}

#[inline(always)]
fn near(x: f64) -> f64 {
    (((A + 2.0) * x - (A + 3.0)) * x * x) + 1.0
}

#[inline(always)]
fn far(x: f64) -> f64 {
    ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A
}

/// Integers are rounded to the nearest and kept in their range; `of` alone would cut towards zero.
#[inline(always)]
fn finish<T: Number>(v: f64, whole: bool) -> T {
    if whole { T::of(v.round_ties_even()) } else { T::of(v) }
}

levels! {
    fn sample_row<T: Number>(y: &mut [T], plane: &Plane<'_, T>, rows: &[f64], cols: &[f64], order: usize) {
        let whole = T::of(0.5) == T::ZERO;
        if order == CUBIC {
            for ((y, r), c) in y.iter_mut().zip(rows).zip(cols) {
                *y = finish(plane.cubic(r.clamp(-FAR, FAR), c.clamp(-FAR, FAR)), whole);
            }
        } else if order == LINEAR {
            for ((y, r), c) in y.iter_mut().zip(rows).zip(cols) {
                *y = finish(plane.linear(r.clamp(-FAR, FAR), c.clamp(-FAR, FAR)), whole);
            }
        } else {
            for ((y, r), c) in y.iter_mut().zip(rows).zip(cols) {
                *y = plane.nearest(r.clamp(-FAR, FAR), c.clamp(-FAR, FAR));
            }
        }
    }
}

/// `y[p, i, j]` = `x[p]` at `points[:, i, j]`: `order` 0 nearest, 1 linear, 2 cubic; outside by `mode` 0 `fill`, 1 replicate, 2 symmetric, 3 reflect.
///
/// # Errors
/// [`crate::error::Error::Shape`] when slices do not fit the sizes, or the source is empty.
pub fn sample<T: Number>(
    y: &mut [T],
    x: &[T],
    points: &[f64],
    planes: usize,
    h: usize,
    w: usize,
    oh: usize,
    ow: usize,
    order: usize,
    mode: usize,
    fill: f64,
) -> Result {
    expect_len("warp: x", x.len(), &[planes, h, w])?;
    expect_len("warp: y", y.len(), &[planes, oh, ow])?;
    expect_len("warp: points", points.len(), &[2, oh, ow])?;
    ensure_shape!(order <= CUBIC && mode <= REFLECT, "warp: expected known modes, got {order} and {mode}");
    ensure_shape!(y.is_empty() || !x.is_empty(), "warp: expected an image with pixels, got {h} x {w}");
    if y.is_empty() {
        return Ok(());
    }
    let cost = [4, 12, 60][order];
    let shared = Shared::new(y);
    parallel(planes * oh, ow.saturating_mul(cost), |task| {
        let (p, i) = (task / oh, task % oh);
        // SAFETY: a task owns one row of one plane.
        let y = unsafe { shared.slice(task * ow, ow) };
        let plane = Plane { x: &x[p * h * w..(p + 1) * h * w], h, w, mode, fill };
        sample_row(y, &plane, &points[i * ow..(i + 1) * ow], &points[(oh + i) * ow..(oh + i + 1) * ow], order);
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_gives_the_image() {
        let matrix = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0];
        let x: Vec<u8> = (0..12).collect();
        let mut p = vec![0.0; 24];
        points::<f32>(&[], &mut p, &matrix, 0, 0, 3, 4).unwrap();
        for order in 0..3 {
            let mut y = vec![0u8; 12];
            sample(&mut y, &x, &p, 1, 3, 4, 3, 4, order, 0, 0.0).unwrap();
            assert_eq!(y, x);
        }
    }

    #[test]
    fn mirrors_stand_on_or_behind_the_edge() {
        assert_eq!((-4..7).map(|i| inside(i, 3, SYMMETRIC)).collect::<Vec<_>>(), [2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0]);
        assert_eq!((-4..7).map(|i| inside(i, 3, REFLECT)).collect::<Vec<_>>(), [0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2]);
        assert_eq!((inside(-7, 1, SYMMETRIC), inside(-7, 1, REFLECT), inside(8, 1, REFLECT)), (0, 0, 0));
        assert_eq!((inside(-1, 3, 0), inside(9, 3, REPLICATE)), (3, 2));
    }

    #[test]
    fn nothing_is_read_outside() {
        let p = [f64::NAN, f64::INFINITY, -1e300, 1e300, 0.0, 5.0];
        for order in 0..3 {
            for mode in 0..4 {
                let mut y = [0i64; 3];
                sample(&mut y, &[1, 2, 3, 4], &p, 1, 2, 2, 1, 3, order, mode, -1.0).unwrap();
            }
        }
    }
}
