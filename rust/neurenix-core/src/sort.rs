//! Stable sorting along one axis of (outer, n, inner).

use std::cmp::Ordering;

use crate::error::{Result, expect_len};
use crate::simd::Number;
use crate::threads::{Shared, parallel};

/// Ascending order with NaN after all numbers.
fn order<T: Number>(a: T, b: T) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// The elements in order, and where each was; equals keep theirs, NaN counts as the largest.
///
/// # Errors
/// [`crate::error::Error::Shape`] unless all are (outer, n, inner).
pub fn sort<T: Number>(values: &mut [T], indices: &mut [i64], x: &[T], outer: usize, n: usize, inner: usize, descending: usize) -> Result {
    expect_len("sort values", values.len(), &[outer, n, inner])?;
    expect_len("sort indices", indices.len(), &[outer, n, inner])?;
    expect_len("sort x", x.len(), &[outer, n, inner])?;
    if x.is_empty() {
        return Ok(());
    }
    let lines = outer * inner;
    let group = (4096 / n).max(1);
    let (values, indices) = (Shared::new(values), Shared::new(indices));
    parallel(lines.div_ceil(group), group * n * 32, |task| {
        let mut line: Vec<(T, i64)> = Vec::with_capacity(n);
        for at in task * group..lines.min((task + 1) * group) {
            let start = at / inner * n * inner + at % inner;
            line.clear();
            line.extend((0..n).map(|k| (x[start + k * inner], k as i64)));
            if descending == 1 {
                line.sort_by(|a, b| order(b.0, a.0));
            } else {
                line.sort_by(|a, b| order(a.0, b.0));
            }
            for (k, &(value, index)) in line.iter().enumerate() {
                // SAFETY: each line is written by one task.
                unsafe {
                    values.slice(start + k * inner, 1)[0] = value;
                    indices.slice(start + k * inner, 1)[0] = index;
                }
            }
        }
    });
    Ok(())
}
