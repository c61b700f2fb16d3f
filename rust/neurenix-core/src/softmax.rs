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
    fn logarithms<T: Math>(sum: &mut [T]) {
        for s in sum {
            *s = s.ln_();
        }
    }
}

levels! {
    fn share<T: Math, const LOG: usize>(y: &mut [T], sum: &[T]) {
        for (y, &s) in y.iter_mut().zip(sum) {
            *y = if LOG == 1 { *y - s } else { *y / s };
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
    (0..n).for_each(|k| largest_into(most, row(x, from, k, width)));
    (0..n).for_each(|k| exponentials::<T, LOG>(target(k), sum, row(x, from, k, width), most));
    if LOG == 1 {
        logarithms(sum);
    }
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
    fn both_memory_orders_give_the_same_bits_and_sum_to_one() {
        let (outer, n, inner) = (3, 21, 37);
        let x: Vec<f32> = (0..outer * n * inner).map(|i| ((i * 7919) % 1000) as f32 / 100.0 - 5.0).collect();
        let mut y = vec![0.0; x.len()];
        softmax(&mut y, &x, outer, n, inner, 0).unwrap();
        let last =
            |v: &[f32]| -> Vec<f32> { (0..v.len()).map(|i| v[i / (n * inner) * n * inner + i % n * inner + i / n % inner]).collect() };
        let mut z = vec![0.0; x.len()];
        softmax(&mut z, &last(&x), outer * inner, n, 1, 0).unwrap();
        assert_eq!(z, last(&y));
        assert!((z[..n].iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }
}
