//! Moving pixels by an index an axis: padding of every kind, cropping, nearest-neighbour sampling.

use crate::error::{Result, expect_len};
use crate::threads::{Shared, parallel};
use crate::{ensure_shape, levels};

/// Output elements of one task.
const TASK: usize = 1 << 15;

/// Output columns that are consecutive input columns, or all filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    to: usize,
    from: i64,
    len: usize,
}

fn runs(cols: &[i64]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (to, &from) in cols.iter().enumerate() {
        match runs.last_mut() {
            Some(run) if from < 0 && run.from < 0 => run.len += 1,
            Some(run) if from >= 0 && run.from >= 0 && from == run.from + run.len as i64 => run.len += 1,
            _ => runs.push(Run { to, from, len: 1 }),
        }
    }
    runs
}

/// How the columns of a row are moved.
enum Way {
    /// Few long runs, or wide pixels.
    Runs(Vec<Run>),
    /// Column `j` is input `j / 2`.
    Double,
    /// Column `j` is input `2 j`.
    Half,
    /// Anything else.
    Each,
}

levels! {
    fn doubled<T: Moved>(y: &mut [T], x: &[T]) {
        for (y, &x) in y.chunks_exact_mut(2).zip(x) {
            y[0] = x;
            y[1] = x;
        }
    }
}

levels! {
    fn halved<T: Moved>(y: &mut [T], x: &[T]) {
        for (y, x) in y.iter_mut().zip(x.chunks(2)) {
            *y = x[0];
        }
    }
}

/// Bits that are moved.
pub trait Moved: Copy + Send + Sync {}
impl<T: Copy + Send + Sync> Moved for T {}

fn move_row<T: Moved>(y: &mut [T], x: &[T], fill: T, cols: &[i64], way: &Way, inner: usize) {
    match way {
        Way::Double => doubled(y, x),
        Way::Half => halved(y, x),
        Way::Runs(runs) => {
            for run in runs {
                let y = &mut y[run.to * inner..(run.to + run.len) * inner];
                if run.from < 0 {
                    y.fill(fill);
                } else {
                    let from = run.from as usize * inner;
                    y.copy_from_slice(&x[from..from + run.len * inner]);
                }
            }
        }
        Way::Each => {
            for (y, &j) in y.chunks_exact_mut(inner).zip(cols) {
                for (c, y) in y.iter_mut().enumerate() {
                    *y = if j < 0 { fill } else { x[j as usize * inner + c] };
                }
            }
        }
    }
}

/// `y[o, i, j, c] = x[o, rows[i], cols[j], c]`, `fill[0]` where either index is negative.
///
/// # Errors
/// [`crate::error::Error::Shape`] when slices or indices do not fit the sizes.
pub fn take<T: Moved>(
    y: &mut [T],
    x: &[T],
    fill: &[T],
    rows: &[i64],
    cols: &[i64],
    outer: usize,
    h: usize,
    w: usize,
    inner: usize,
    oh: usize,
    ow: usize,
) -> Result {
    expect_len("take_map: y", y.len(), &[outer, oh, ow, inner])?;
    expect_len("take_map: x", x.len(), &[outer, h, w, inner])?;
    expect_len("take_map: fill", fill.len(), &[1])?;
    ensure_shape!(rows.len() == oh && cols.len() == ow, "take_map: expected {oh} rows and {ow} columns");
    ensure_shape!(rows.iter().all(|&i| i < h as i64), "take_map: expected rows below {h}");
    ensure_shape!(cols.iter().all(|&j| j < w as i64), "take_map: expected columns below {w}");
    if y.is_empty() {
        return Ok(());
    }
    let found = runs(cols);
    let way = if inner == 1 && ow == 2 * w && cols.iter().enumerate().all(|(j, &c)| c as usize == j / 2) {
        Way::Double
    } else if inner == 1 && ow == w.div_ceil(2) && cols.iter().enumerate().all(|(j, &c)| c as usize == 2 * j) {
        Way::Half
    } else if found.len() * 4 <= ow || inner * size_of::<T>() >= 32 {
        Way::Runs(found)
    } else {
        Way::Each
    };
    let (pitch, opitch) = (w * inner, ow * inner);
    let group = (TASK / opitch).max(1);
    let total = outer * oh;
    let shared = Shared::new(y);
    parallel(total.div_ceil(group), group * opitch, |task| {
        let first = task * group;
        let count = group.min(total - first);
        // SAFETY: tasks own different output rows.
        let part = unsafe { shared.slice(first * opitch, count * opitch) };
        for k in 0..count {
            let (o, i) = ((first + k) / oh, (first + k) % oh);
            let row = rows[i];
            let (done, rest) = part.split_at_mut(k * opitch);
            let y = &mut rest[..opitch];
            if row < 0 {
                y.fill(fill[0]);
            } else if k > 0 && i > 0 && rows[i - 1] == row {
                y.copy_from_slice(&done[(k - 1) * opitch..]);
            } else {
                let from = (o * h + row as usize) * pitch;
                move_row(y, &x[from..from + pitch], fill[0], cols, &way, inner);
            }
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consecutive_columns_are_one_run() {
        let want = [Run { to: 0, from: -1, len: 2 }, Run { to: 2, from: 0, len: 3 }, Run { to: 5, from: 1, len: 1 }];
        assert_eq!(runs(&[-1, -1, 0, 1, 2, 1]), want);
    }

    #[test]
    fn pads_with_the_fill_value() {
        let mut y = [0u32; 9];
        take(&mut y, &[5], &[7], &[-1, 0, -1], &[-1, 0, -1], 1, 1, 1, 1, 3, 3).unwrap();
        assert_eq!(y, [7, 7, 7, 7, 5, 7, 7, 7, 7]);
        assert!(take(&mut y, &[5], &[7], &[1, 0, -1], &[-1, 0, -1], 1, 1, 1, 1, 3, 3).is_err());
    }
}
