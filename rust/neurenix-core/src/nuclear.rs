//! The nuclear norm of matrices, by one-sided Jacobi rotations in double.

use crate::error::{Result, expect_len};
use crate::simd::Float;

/// Sweeps after which any matrix has converged to rounding.
const SWEEPS: usize = 60;

/// The sum of singular values of each (rows, columns) matrix, its slope (the product of both singular bases), and what they were
/// found from: the singular `values`, the `left` basis times them, and the `right` one, both kept by columns.
///
/// # Errors
/// [`crate::error::Error::Shape`] unless `x`, `slope` and `left` are (batch, rows, columns), `right` is (batch, columns, columns),
/// `values` (batch, columns) and `y` (batch).
pub fn nuclear_norm<T: Float>(
    y: &mut [T],
    slope: &mut [T],
    values: &mut [f64],
    left: &mut [f64],
    right: &mut [f64],
    x: &[T],
    batch: usize,
    rows: usize,
    columns: usize,
) -> Result {
    expect_len("nuclear_norm y", y.len(), &[batch])?;
    expect_len("nuclear_norm values", values.len(), &[batch, columns])?;
    expect_len("nuclear_norm right", right.len(), &[batch, columns, columns])?;
    for (what, len) in [("slope", slope.len()), ("left", left.len()), ("x", x.len())] {
        expect_len(what, len, &[batch, rows, columns])?;
    }
    if y.is_empty() {
        return Ok(());
    }
    let (size, square) = (rows * columns, columns * columns);
    for (i, y) in y.iter_mut().enumerate() {
        let (u, v) = (&mut left[i * size..][..size], &mut right[i * square..][..square]);
        let lengths = &mut values[i * columns..][..columns];
        decompose(u, v, lengths, &x[i * size..][..size], rows, columns);
        *y = T::of(lengths.iter().fold(0.0, |sum, l| sum + l));
        let least = lengths.iter().fold(0.0, |m: f64, &l| m.max(l)) * 1e-14;
        for (j, to) in slope[i * size..][..size].iter_mut().enumerate() {
            let (row, column) = (j / columns, j % columns);
            let part = |k: usize| if lengths[k] > least { u[k * rows + row] * v[k * columns + column] / lengths[k] } else { 0.0 };
            *to = T::of((0..columns).fold(0.0, |sum, k| sum + part(k)));
        }
    }
    Ok(())
}

/// x = u v' with columns of `u` that are orthogonal, and their lengths.
fn decompose<T: Float>(u: &mut [f64], v: &mut [f64], lengths: &mut [f64], x: &[T], rows: usize, columns: usize) {
    // u = x v throughout.
    for (j, value) in u.iter_mut().enumerate() {
        *value = x[j % rows * columns + j / rows].to_f64();
    }
    v.iter_mut().enumerate().for_each(|(j, value)| *value = if j % (columns + 1) == 0 { 1.0 } else { 0.0 });
    for _ in 0..SWEEPS {
        if !sweep(u, v, rows, columns) {
            break;
        }
    }
    for (k, length) in lengths.iter_mut().enumerate() {
        *length = u[k * rows..][..rows].iter().fold(0.0, |sum, a| sum + a * a).sqrt();
    }
}

/// Rotates every pair of columns to be orthogonal; whether one was not yet.
fn sweep(u: &mut [f64], v: &mut [f64], rows: usize, columns: usize) -> bool {
    let mut changed = false;
    for p in 0..columns {
        for q in p + 1..columns {
            let (mut a, mut b, mut c) = (0.0, 0.0, 0.0);
            for k in 0..rows {
                let (s, t) = (u[p * rows + k], u[q * rows + k]);
                a += s * s;
                b += t * t;
                c += s * t;
            }
            if c.abs() <= 1e-15 * (a * b).sqrt() || !c.is_finite() {
                continue;
            }
            changed = true;
            let zeta = (b - a) / (2.0 * c);
            let tangent = zeta.signum() / (zeta.abs() + (1.0 + zeta * zeta).sqrt());
            let cosine = 1.0 / (1.0 + tangent * tangent).sqrt();
            let sine = cosine * tangent;
            for (matrix, n) in [(&mut *u, rows), (&mut *v, columns)] {
                for k in 0..n {
                    let (s, t) = (matrix[p * n + k], matrix[q * n + k]);
                    matrix[p * n + k] = cosine * s - sine * t;
                    matrix[q * n + k] = sine * s + cosine * t;
                }
            }
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagonal_matrix_has_its_entries_as_singular_values() {
        let (mut y, mut slope, mut values, mut left, mut right) = ([0.0f64], [0.0; 6], [0.0; 3], [0.0; 6], [0.0; 9]);
        nuclear_norm(&mut y, &mut slope, &mut values, &mut left, &mut right, &[3.0, 0.0, 0.0, 0.0, -4.0, 0.0], 1, 2, 3).unwrap();
        assert_eq!(values, [3.0, 4.0, 0.0]);
        assert!((y[0] - 7.0).abs() < 1e-14 && (slope[0] - 1.0).abs() < 1e-14 && (slope[4] + 1.0).abs() < 1e-14);
    }
}
