//! Softmax and its gradient along one axis of (outer, n, inner).
//!
//! Some positions are taken together as columns, where they lie or collected in a small block. Each column is summed in its order
//! by itself, so every memory order gives the same bits.

use crate::columns::{Columns, Place, WIDE, row};
use crate::error::{Result, expect_len};
use crate::levels;
use crate::math::Math;
use crate::threads::Shared;

levels! {
    pub(crate) fn largest_into<T: Math>(most: &mut [T], x: &[T]) {
        for (m, &x) in most.iter_mut().zip(x) {
            *m = if x > *m || x.is_nan() { x } else { *m };
        }
    }
}

levels! {
    fn largest_of_four<T: Math>(most: &mut [T], x: &[T], x1: &[T], x2: &[T], x3: &[T]) {
        let n = most.len();
        let (x, x1, x2, x3) = (&x[..n], &x1[..n], &x2[..n], &x3[..n]);
        for i in 0..n {
            let mut m = most[i];
            for x in [x[i], x1[i], x2[i], x3[i]] {
                m = if x > m || x.is_nan() { x } else { m };
            }
            most[i] = m;
        }
    }
}

/// The largest of each of `most.len()` columns of `n` rows, and of what `most` holds.
pub(crate) fn largest<T: Math>(most: &mut [T], x: &[T], place: Place, n: usize) {
    let (width, fours) = (most.len(), n / 4 * 4);
    let at = |k: usize| row(x, place, k, width);
    (0..fours).step_by(4).for_each(|k| largest_of_four(most, at(k), at(k + 1), at(k + 2), at(k + 3)));
    (fours..n).for_each(|k| largest_into(most, at(k)));
}

levels! {
    fn exponentials<T: Math, const LOG: usize>(y: &mut [T], sum: &mut [T], x: &[T], most: &[T]) {
        let n = y.len();
        let (sum, x, most) = (&mut sum[..n], &x[..n], &most[..n]);
        for i in 0..n {
            let d = x[i] - most[i];
            let e = d.exp_();
            y[i] = if LOG == 1 { d } else { e };
            sum[i] += e;
        }
    }
}

levels! {
    /// Those of four rows, one after the other.
    fn four_exponentials<T: Math, const LOG: usize>(
        y: &mut [T], y1: &mut [T], y2: &mut [T], y3: &mut [T], sum: &mut [T], x: &[T], x1: &[T], x2: &[T], x3: &[T], most: &[T]
    ) {
        let n = y.len();
        let (y1, y2, y3, sum) = (&mut y1[..n], &mut y2[..n], &mut y3[..n], &mut sum[..n]);
        let (x, x1, x2, x3, most) = (&x[..n], &x1[..n], &x2[..n], &x3[..n], &most[..n]);
        for i in 0..n {
            let m = most[i];
            let d = [x[i] - m, x1[i] - m, x2[i] - m, x3[i] - m];
            let e = T::exps_(d);
            let kept = if LOG == 1 { d } else { e };
            (y[i], y1[i], y2[i], y3[i]) = (kept[0], kept[1], kept[2], kept[3]);
            sum[i] = sum[i] + e[0] + e[1] + e[2] + e[3];
        }
    }
}

levels! {
    /// What is taken off the distances, or the exponentials are multiplied with.
    fn shares<T: Math, const LOG: usize>(sum: &mut [T]) {
        for s in sum {
            *s = if LOG == 1 { s.ln_() } else { T::ONE / *s };
        }
    }
}

levels! {
    fn share<T: Math, const LOG: usize>(y: &mut [T], sum: &[T]) {
        for (y, &s) in y.iter_mut().zip(sum) {
            *y = if LOG == 1 { *y - s } else { *y * s };
        }
    }
}

/// Softmax of `n` rows of `width` columns.
///
/// # Safety
/// Nobody else touches these columns of `y`.
unsafe fn forward<T: Math, const LOG: usize>(y: &Shared<'_, T>, to: Place, x: &[T], from: Place, n: usize, width: usize) {
    let (mut most, mut sum) = ([T::LOWEST; WIDE], [T::ZERO; WIDE]);
    let (most, sum) = (&mut most[..width], &mut sum[..width]);
    // SAFETY: as the caller says.
    let target = |k: usize| unsafe { y.slice(to.start + k * to.pitch, width) };
    largest(most, x, from, n);
    let (source, fours) = (|k: usize| row(x, from, k, width), n / 4 * 4);
    for k in (0..fours).step_by(4) {
        let (y, y1, y2, y3) = (target(k), target(k + 1), target(k + 2), target(k + 3));
        four_exponentials::<T, LOG>(y, y1, y2, y3, sum, source(k), source(k + 1), source(k + 2), source(k + 3), most);
    }
    (fours..n).for_each(|k| exponentials::<T, LOG>(target(k), sum, source(k), most));
    shares::<T, LOG>(sum);
    (0..n).for_each(|k| share::<T, LOG>(target(k), sum));
}

levels! {
    fn add_products<T: Math, const LOG: usize>(sum: &mut [T], g: &[T], y: &[T]) {
        for ((s, &g), &y) in sum.iter_mut().zip(g).zip(y) {
            *s = if LOG == 1 { *s + g } else { g.mul_add(y, *s) };
        }
    }
}

levels! {
    fn slopes<T: Math, const LOG: usize>(gx: &mut [T], g: &[T], y: &[T], sum: &[T]) {
        let n = gx.len();
        let (g, y, sum) = (&g[..n], &y[..n], &sum[..n]);
        for i in 0..n {
            gx[i] = if LOG == 1 { g[i] - y[i].exp_() * sum[i] } else { y[i] * (g[i] - sum[i]) };
        }
    }
}

/// The gradient of [`forward`] from the result and its gradient.
///
/// # Safety
/// Nobody else touches these columns of `gx`.
unsafe fn backward<T: Math, const LOG: usize>(gx: &Shared<'_, T>, to: Place, [g, y]: [&[T]; 2], from: Place, n: usize, width: usize) {
    let mut sum = [T::ZERO; WIDE];
    let sum = &mut sum[..width];
    (0..n).for_each(|k| add_products::<T, LOG>(sum, row(g, from, k, width), row(y, from, k, width)));
    for k in 0..n {
        // SAFETY: as the caller says.
        let gx = unsafe { gx.slice(to.start + k * to.pitch, width) };
        slopes::<T, LOG>(gx, row(g, from, k, width), row(y, from, k, width), sum);
    }
}

/// `y = softmax(x)` along the middle axis of (outer, n, inner), or its logarithm (`log` 1).
///
/// # Errors
/// [`crate::error::Error::Shape`] unless both have these sizes.
pub fn softmax<T: Math>(y: &mut [T], x: &[T], outer: usize, n: usize, inner: usize, log: usize) -> Result {
    expect_len("softmax y", y.len(), &[outer, n, inner])?;
    expect_len("softmax x", x.len(), &[outer, n, inner])?;
    let run = if log == 1 { forward::<T, 1> } else { forward::<T, 0> };
    // SAFETY: each column is given out once.
    Columns { n, inner, positions: outer * inner }.each(Some(y), [x], |y, to, [x], from, _, width| unsafe { run(y, to, x, from, n, width) })
}

/// The gradient of [`softmax`] from its result `y` and the result's gradient `g`.
///
/// # Errors
/// [`crate::error::Error::Shape`] unless all have these sizes.
pub fn softmax_grad<T: Math>(gx: &mut [T], g: &[T], y: &[T], outer: usize, n: usize, inner: usize, log: usize) -> Result {
    expect_len("softmax gradient gx", gx.len(), &[outer, n, inner])?;
    expect_len("softmax gradient g", g.len(), &[outer, n, inner])?;
    expect_len("softmax gradient y", y.len(), &[outer, n, inner])?;
    let run = if log == 1 { backward::<T, 1> } else { backward::<T, 0> };
    // SAFETY: each column is given out once.
    Columns { n, inner, positions: outer * inner }
        .each(Some(gx), [g, y], |gx, to, x, from, _, width| unsafe { run(gx, to, x, from, n, width) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_orders_and_levels_give_the_same_bits_and_sum_to_one() {
        for (n, inner) in [(1, 20), (2, 37), (3, 70), (4, 300), (5, 37), (8, 16), (21, 37), (70, 17)] {
            let outer = 3;
            let x: Vec<f32> = (0..outer * n * inner).map(|i| ((i * 7919) % 1000) as f32 / 100.0 - 5.0).collect();
            let last =
                |v: &[f32]| -> Vec<f32> { (0..v.len()).map(|i| v[i / (n * inner) * n * inner + i % n * inner + i / n % inner]).collect() };
            let run = |x: &[f32], outer: usize, inner: usize, log: usize| {
                let (mut y, mut gx) = (vec![0.0; x.len()], vec![0.0; x.len()]);
                softmax(&mut y, x, outer, n, inner, log).unwrap();
                softmax_grad(&mut gx, x, &y, outer, n, inner, log).unwrap();
                (y, gx)
            };
            for log in 0..2 {
                crate::simd::set_level(0);
                let (want, slope) = run(&x, outer, inner, log);
                for level in 0..3 {
                    crate::simd::set_level(level);
                    assert_eq!(run(&x, outer, inner, log), (want.clone(), slope.clone()), "{n} {inner} {log} {level}");
                    assert_eq!(run(&last(&x), outer * inner, 1, log), (last(&want), last(&slope)), "{n} {inner} {log} {level}");
                }
                let sums =
                    last(&want).chunks(n).map(|p| p.iter().map(|&p| if log == 1 { p.exp() } else { p }).sum::<f32>()).collect::<Vec<_>>();
                assert!(sums.iter().all(|s| (s - 1.0).abs() < 4e-6), "{n} {inner} {log}");
            }
        }
        crate::simd::set_level(2);
    }
}
