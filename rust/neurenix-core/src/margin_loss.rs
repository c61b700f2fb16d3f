//! Hinge losses over classes: rare and small, so each computes its gradient with its value.

use crate::class_loss::{check_gradient, check_targets, check_weight, factor};
use crate::error::{Result, expect_len};
use crate::math::Math;

/// loss = sum over c other than t of w[t] max(0, margin - x[t] + x[c])^p / classes, and its gradient; p is 1 or 2.
///
/// # Errors
/// [`crate::error::Error::Argument`] for a target outside the classes.
pub fn multi_margin<T: Math>(
    loss: &mut [T],
    dx: &mut [T],
    x: &[T],
    target: &[i64],
    weight: Option<&[T]>,
    rows: usize,
    classes: usize,
    p: usize,
    margin: f64,
) -> Result {
    expect_len("loss x", x.len(), &[rows, classes])?;
    expect_len("loss dx", dx.len(), &[rows, classes])?;
    expect_len("loss", loss.len(), &[rows])?;
    check_targets(target, rows, classes, None)?;
    check_weight(weight, classes)?;
    let (margin, n) = (T::of(margin), T::of(classes as f64));
    for row in 0..rows {
        let (x, dx, t) = (&x[row * classes..][..classes], &mut dx[row * classes..][..classes], target[row] as usize);
        let w = weight.map_or(T::ONE, |w| w[t]) / n;
        let (mut sum, mut own) = (T::ZERO, T::ZERO);
        for c in 0..classes {
            let z = margin - x[t] + x[c];
            let active = c != t && z > T::ZERO;
            let (v, slope) = if p == 1 { (z, T::ONE) } else { (z * z, z + z) };
            dx[c] = if active { w * slope } else { T::ZERO };
            sum += if active { w * v } else { T::ZERO };
            own += dx[c];
        }
        dx[t] = -own;
        loss[row] = sum;
    }
    Ok(())
}

/// loss = sum over listed j and unlisted i of max(0, 1 - x[j] + x[i]) / classes, and its gradient; a list ends at its first -1.
///
/// # Errors
/// [`crate::error::Error::Argument`] for a target outside the classes.
pub fn multilabel_margin<T: Math>(loss: &mut [T], dx: &mut [T], x: &[T], target: &[i64], rows: usize, classes: usize) -> Result {
    expect_len("loss x", x.len(), &[rows, classes])?;
    expect_len("loss dx", dx.len(), &[rows, classes])?;
    expect_len("loss", loss.len(), &[rows])?;
    check_targets(target, rows * classes, classes, Some(-1))?;
    let n = T::of(classes as f64);
    for row in 0..rows {
        let (x, dx) = (&x[row * classes..][..classes], &mut dx[row * classes..][..classes]);
        let listed: Vec<usize> = target[row * classes..][..classes].iter().take_while(|&&t| t >= 0).map(|&t| t as usize).collect();
        dx.fill(T::ZERO);
        let mut sum = T::ZERO;
        for &j in &listed {
            for i in (0..classes).filter(|i| !listed.contains(i)) {
                let z = T::ONE - x[j] + x[i];
                if z > T::ZERO {
                    sum += z / n;
                    dx[i] += T::ONE / n;
                    dx[j] = dx[j] - T::ONE / n;
                }
            }
        }
        loss[row] = sum;
    }
    Ok(())
}

/// y = x * g / divisor by row; `g` has a number a row or one.
///
/// # Errors
/// [`crate::error::Error::Shape`] for sizes that do not fit.
pub fn scale_rows<T: Math>(y: &mut [T], x: &[T], g: &[T], rows: usize, classes: usize, divisor: f64) -> Result {
    expect_len("loss y", y.len(), &[rows, classes])?;
    expect_len("loss x", x.len(), &[rows, classes])?;
    check_gradient(g, None, rows)?;
    let divisor = T::of(divisor);
    for row in 0..rows {
        let (f, at) = (factor(g, None, row) / divisor, row * classes..(row + 1) * classes);
        y[at.clone()].iter_mut().zip(&x[at]).for_each(|(y, &x)| *y = x * f);
    }
    Ok(())
}
