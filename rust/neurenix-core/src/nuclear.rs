//! The nuclear norm of matrices, by one-sided Jacobi rotations in double.

use crate::blocks::Buffer;
use crate::error::{Result, expect_len};
use crate::simd::Float;

/// Sweeps after which any matrix has converged to rounding.
const SWEEPS: usize = 60;

/// The sum of singular values of each (rows, columns) matrix, and its slope, the product of both singular bases.
///
/// # Errors
/// [`crate::error::Error::Shape`] unless `x` and `slope` are (batch, rows, columns) and `y` is (batch).
pub fn nuclear_norm<T: Float>(y: &mut [T], slope: &mut [T], x: &[T], batch: usize, rows: usize, columns: usize) -> Result {
    expect_len("nuclear_norm y", y.len(), &[batch])?;
    expect_len("nuclear_norm slope", slope.len(), &[batch, rows, columns])?;
    expect_len("nuclear_norm x", x.len(), &[batch, rows, columns])?;
    y.fill(T::ZERO);
    if x.is_empty() {
        return Ok(());
    }
    let (mut u, mut v) = (Buffer::<f64>::new(rows * columns)?, Buffer::<f64>::new(columns * columns)?);
    let size = rows * columns;
    for (i, y) in y.iter_mut().enumerate() {
        // `u` and `v` are kept by columns; u = x v throughout.
        for (j, value) in u.iter_mut().enumerate() {
            *value = x[i * size + j % rows * columns + j / rows].to_f64();
        }
        v.iter_mut().enumerate().for_each(|(j, value)| *value = if j % (columns + 1) == 0 { 1.0 } else { 0.0 });
        for _ in 0..SWEEPS {
            if !sweep(&mut u, &mut v, rows, columns) {
                break;
            }
        }
        let lengths: Vec<f64> = u.chunks_exact(rows).map(|c| c.iter().map(|a| a * a).sum::<f64>().sqrt()).collect();
        *y = T::of(lengths.iter().sum());
        let least = lengths.iter().fold(0.0, |m: f64, &l| m.max(l)) * 1e-14;
        for (j, to) in slope[i * size..(i + 1) * size].iter_mut().enumerate() {
            let (row, column) = (j / columns, j % columns);
            let part = |k: usize| if lengths[k] > least { u[k * rows + row] * v[k * columns + column] / lengths[k] } else { 0.0 };
            *to = T::of((0..columns).map(part).sum());
        }
    }
    Ok(())
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
        let (mut y, mut slope) = ([0.0f64], [0.0; 6]);
        nuclear_norm(&mut y, &mut slope, &[3.0, 0.0, 0.0, 0.0, -4.0, 0.0], 1, 2, 3).unwrap();
        assert!((y[0] - 7.0).abs() < 1e-14 && (slope[0] - 1.0).abs() < 1e-14 && (slope[4] + 1.0).abs() < 1e-14);
    }
}
