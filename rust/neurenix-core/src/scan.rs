//! Running sums and products along one axis of (outer, n, inner), and gradients of products.

use crate::error::{Result, expect_len};
use crate::reduce::Reducible;
use crate::simd::{Float, Number};
use crate::threads::{Shared, parallel};

/// Calls `f(start)` for every line along the middle axis; its elements are `start + k * inner`.
fn by_lines(outer: usize, n: usize, inner: usize, f: impl Fn(usize) + Sync) {
    if n == 0 {
        return;
    }
    let lines = outer * inner;
    let group = (4096 / n).max(1);
    parallel(lines.div_ceil(group), group * n * 4, |task| {
        for at in task * group..lines.min((task + 1) * group) {
            f(at / inner * n * inner + at % inner);
        }
    });
}

/// Running sums (`op` 0) or products (1), from the front or in `reverse` (1).
///
/// # Errors
/// [`crate::error::Error::Shape`] unless both are (outer, n, inner).
pub fn scan<T: Reducible>(y: &mut [T], x: &[T], outer: usize, n: usize, inner: usize, op: usize, reverse: usize) -> Result {
    expect_len("scan y", y.len(), &[outer, n, inner])?;
    expect_len("scan x", x.len(), &[outer, n, inner])?;
    let shared = Shared::new(y);
    by_lines(outer, n, inner, |start| {
        let mut total = if op == 1 { T::Sum::ONE } else { T::Sum::ZERO };
        for k in 0..n {
            let at = start + if reverse == 1 { n - 1 - k } else { k } * inner;
            total = if op == 1 { total.times(x[at].widen()) } else { total.plus(x[at].widen()) };
            // SAFETY: each line is written by one task.
            unsafe { shared.slice(at, 1)[0] = T::narrow(total) };
        }
    });
    Ok(())
}

/// The gradient of a product along the middle axis: `gx = g` times the product of all other elements.
///
/// # Errors
/// [`crate::error::Error::Shape`] unless `gx` and `x` are (outer, n, inner) and `g` is (outer, inner).
pub fn prod_grad<T: Float>(gx: &mut [T], g: &[T], x: &[T], outer: usize, n: usize, inner: usize) -> Result {
    expect_len("prod_grad gx", gx.len(), &[outer, n, inner])?;
    expect_len("prod_grad x", x.len(), &[outer, n, inner])?;
    expect_len("prod_grad g", g.len(), &[outer, inner])?;
    let shared = Shared::new(gx);
    by_lines(outer, n, inner, |start| {
        let g = g[start / (n * inner) * inner + start % inner].to_f64();
        let at = |k: usize| start + k * inner;
        let mut before = vec![1.0f64; n];
        for k in 1..n {
            before[k] = before[k - 1] * x[at(k - 1)].to_f64();
        }
        let mut after = g;
        for k in (0..n).rev() {
            // SAFETY: each line is written by one task.
            unsafe { shared.slice(at(k), 1)[0] = T::of(before[k] * after) };
            after *= x[at(k)].to_f64();
        }
    });
    Ok(())
}

/// The gradient of running products along the middle axis: `gx[k] = sum over j >= k of g[j] * product of x[..=j] without x[k]`.
///
/// # Errors
/// [`crate::error::Error::Shape`] unless all are (outer, n, inner).
pub fn cumprod_grad<T: Float>(gx: &mut [T], g: &[T], x: &[T], outer: usize, n: usize, inner: usize) -> Result {
    expect_len("cumprod_grad gx", gx.len(), &[outer, n, inner])?;
    expect_len("cumprod_grad g", g.len(), &[outer, n, inner])?;
    expect_len("cumprod_grad x", x.len(), &[outer, n, inner])?;
    let shared = Shared::new(gx);
    by_lines(outer, n, inner, |start| {
        let at = |k: usize| start + k * inner;
        // With t[k] = g[k] + x[k + 1] t[k + 1], the gradient is the product before k times t[k].
        let mut tails = vec![0.0f64; n + 1];
        for k in (0..n).rev() {
            let next = if k + 1 < n { x[at(k + 1)].to_f64() } else { 0.0 };
            tails[k] = g[at(k)].to_f64() + next * tails[k + 1];
        }
        let mut before = 1.0;
        for k in 0..n {
            // SAFETY: each line is written by one task.
            unsafe { shared.slice(at(k), 1)[0] = T::of(before * tails[k]) };
            before *= x[at(k)].to_f64();
        }
    });
    Ok(())
}
