//! Moving pixels by an index an axis: padding of every kind, cropping, nearest-neighbour sampling.

use crate::error::{Result, expect_len};
use crate::simd::Float;
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
    /// Element by element: for each the input element, negative for the fill value; and the vectors it can be done in.
    Each(Vec<i32>, Vec<Option<Near>>),
}

/// A vector of outputs whose inputs lie within two vectors from `base` on.
struct Near {
    to: usize,
    base: usize,
    index: [i32; 16],
}

levels! {
    fn lanes<T, V>() -> usize {
        V::N
    }
}

/// Plans vectors of `n` outputs over the elements of a row; `None` where one is filled or inputs lie far apart.
fn nears(elements: &[i32], n: usize) -> Vec<Option<Near>> {
    let starts = (0..elements.len().div_ceil(n)).map(|b| (b * n).min(elements.len() - n));
    let near = |to: usize| {
        let lanes = &elements[to..to + n];
        let (low, high) = (*lanes.iter().min()?, *lanes.iter().max()?);
        let fits = low >= 0 && ((high - low) as usize) < 2 * n;
        let index = std::array::from_fn(|l| lanes.get(l).map_or(0, |&e| e - low));
        fits.then_some(Near { to, base: low as usize, index })
    };
    starts.map(near).collect()
}

levels! {
    fn move_elements<T, V>(y: &mut [T], x: &[T], fill: T, elements: &[i32], nears: &[Option<Near>]) {
        if nears.is_empty() {
            for (y, &e) in y.iter_mut().zip(elements) {
                *y = if e < 0 { fill } else { x[e as usize] };
            }
        }
        for (b, near) in nears.iter().enumerate() {
            match near {
                Some(near) if near.base + 2 * V::N <= x.len() => {
                    let to = &mut y[near.to..near.to + V::N];
                    // SAFETY: `2 N` elements from `base` on, and `N` outputs, as just checked.
                    unsafe { V::pick(x.as_ptr().add(near.base), near.index.as_ptr()).store(to.as_mut_ptr()) };
                }
                _ => {
                    let to = (b * V::N).min(elements.len() - V::N);
                    for (y, &e) in y[to..to + V::N].iter_mut().zip(&elements[to..]) {
                        *y = if e < 0 { fill } else { x[e as usize] };
                    }
                }
            }
        }
    }
}

/// The same bits as floats, which vectors move without looking at them.
fn as_floats<T: Moved, F: Float>(x: &[T]) -> Option<&[F]> {
    // SAFETY: of the same size, and every pattern of bits is a float; numbers are aligned to their size.
    (size_of::<T>() == size_of::<F>() && align_of::<T>() == align_of::<F>())
        .then(|| unsafe { std::slice::from_raw_parts(x.as_ptr().cast(), x.len()) })
}

/// As [`as_floats`], to be written.
fn as_floats_mut<T: Moved, F: Float>(x: &mut [T]) -> Option<&mut [F]> {
    let fits = size_of::<T>() == size_of::<F>() && align_of::<T>() == align_of::<F>();
    // SAFETY: as above.
    fits.then(|| unsafe { std::slice::from_raw_parts_mut(x.as_mut_ptr().cast(), x.len()) })
}

/// Bits that are moved.
pub trait Moved: Copy + Send + Sync {}
impl<T: Copy + Send + Sync> Moved for T {}

fn move_as<F: Float, T: Moved>(y: &mut [T], x: &[T], fill: T, elements: &[i32], nears: &[Option<Near>]) -> bool {
    let fill = [fill];
    match (as_floats_mut::<T, F>(y), as_floats::<T, F>(x), as_floats::<T, F>(&fill)) {
        (Some(y), Some(x), Some(fill)) => move_elements(y, x, fill[0], elements, nears),
        _ => return false,
    }
    true
}

/// One row; `x` begins with the input row and may go on behind it.
fn move_row<T: Moved>(y: &mut [T], x: &[T], fill: T, way: &Way, inner: usize) {
    match way {
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
        Way::Each(elements, nears) => {
            if move_as::<f32, T>(y, x, fill, elements, nears) || move_as::<f64, T>(y, x, fill, elements, nears) {
                return;
            }
            for (y, &e) in y.iter_mut().zip(elements) {
                *y = if e < 0 { fill } else { x[e as usize] };
            }
        }
    }
}

/// The way for these columns of pixels of `inner` elements.
fn way_of<T: Moved>(cols: &[i64], w: usize, inner: usize) -> Way {
    let found = runs(cols);
    if found.len() * 16 <= cols.len() * inner || inner * size_of::<T>() >= 32 || w * inner > i32::MAX as usize {
        return Way::Runs(found);
    }
    let element = |e: usize| cols[e / inner] * inner as i64 + (e % inner) as i64;
    let elements: Vec<i32> = (0..cols.len() * inner).map(|e| if cols[e / inner] < 0 { -1 } else { element(e) as i32 }).collect();
    let n = if size_of::<T>() == 4 { lanes::<f32>() } else { lanes::<f64>() };
    let nears = if n > 1 && elements.len() >= n && size_of::<T>() >= 4 { nears(&elements, n) } else { Vec::new() };
    Way::Each(elements, nears)
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
    let way = way_of::<T>(cols, w, inner);
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
                move_row(y, &x[from..], fill[0], &way, inner);
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
