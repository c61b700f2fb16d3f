//! The gradient of a map's averages over the bins of several grids, in one write: each grid's is that of [`resize`](crate::resize) with
//! its tables turned around.

use crate::adaptive_pooling::{Grid, Map, averages, grids};
use crate::conv::scratch;
use crate::ensure_shape;
use crate::error::{Result, expect_len};
use crate::levels;
use crate::resize_rows::combine;
use crate::simd::Float;
use crate::threads::{Shared, parallel};

/// Elements of one task.
const TASK: usize = 1 << 15;

levels! {
    /// `y = [y +] sum over j of weight[j] * x[j]`, of `y.len()` channels.
    fn add_bins<T: Float>(y: &mut [T], x: &[T], weight: &[T], begins: bool) {
        let channels = y.len();
        for c in 0..channels {
            let mut sum = weight[0] * x[c];
            for j in 1..weight.len() {
                sum = weight[j].mul_add(x[j * channels + c], sum);
            }
            y[c] = if begins { sum } else { y[c] + sum };
        }
    }
}

/// Columns of pixels that lie in the same bins of all grids: first and end.
fn runs<T: Float>(grids: &[Grid<'_, T>], w: usize) -> Vec<(usize, usize)> {
    let same = |l: usize| grids.iter().all(|g| g.cols.at(l) == g.cols.at(l - 1));
    let firsts: Vec<usize> = (0..w).filter(|&l| l == 0 || !same(l)).collect();
    (0..firsts.len()).map(|n| (firsts[n], firsts.get(n + 1).copied().unwrap_or(w))).collect()
}

/// One row of the gradient; `held` takes a row of each grid's.
fn back_row<T: Float>(
    dx: &mut [T],
    dy: &[T],
    grids: &[Grid<'_, T>],
    runs: &[(usize, usize)],
    held: &mut [T],
    m: Map,
    (o, r): (usize, usize),
) {
    let inner = m.inner;
    let numbers: [i64; 64] = std::array::from_fn(|i| i as i64);
    let mut at = 0;
    for g in grids {
        let ((first, count), pitch) = (g.rows.at(r), g.cols.bins() * inner);
        let dy = &dy[g.first + (o * g.rows.bins() + first) * pitch..][..count * pitch];
        let weight = &g.rows.weight[first..first + count];
        let held = &mut held[at..at + pitch];
        match numbers.get(..count) {
            Some(index) => combine(held, dy, index, weight, pitch, 0),
            None => combine(held, dy, &(0..count as i64).collect::<Vec<_>>(), weight, pitch, 0),
        }
        at += pitch;
    }
    for &(first, end) in runs {
        let (pixel, others) = dx[first * inner..end * inner].split_at_mut(inner);
        let mut behind = at;
        for (n, g) in grids.iter().enumerate().rev() {
            behind -= g.cols.bins() * inner;
            let (j, count) = g.cols.at(first);
            add_bins(pixel, &held[behind + j * inner..], &g.cols.weight[j..j + count], n + 1 == grids.len());
        }
        if inner == 1 {
            others.fill(pixel[0]);
        } else {
            others.chunks_exact_mut(inner).for_each(|other| other.copy_from_slice(pixel));
        }
    }
}

/// The map's gradient, of all grids together, the last grid's first; `windows` holds the bins that each row and column of the map
/// lies in, grid by grid.
///
/// # Errors
/// [`Error::Shape`] when tables or slices do not fit the sizes, [`Error::Memory`] without scratch memory.
pub fn average_bins_backward<T: Float>(
    dx: &mut [T],
    dy: &[T],
    windows: &[i64],
    weight: &[T],
    bins: &[i64],
    count: usize,
    outer: usize,
    h: usize,
    w: usize,
    inner: usize,
) -> Result {
    let m = Map { outer, h, w, inner };
    expect_len("average_bins_backward: dx", dx.len(), &[outer, h, w, inner])?;
    expect_len("average_bins_backward: bins", bins.len(), &[count, 2])?;
    let grids = grids("average_bins_backward", windows, weight, &[], bins, m, true)?;
    expect_len("average_bins_backward: dy", dy.len(), &[averages(&grids, m)])?;
    ensure_shape!(!grids.is_empty(), "average_bins_backward: expected at least one grid");
    if dx.is_empty() {
        return Ok(());
    }
    let (pitch, runs) = (w * inner, runs(&grids, w));
    let room = grids.iter().map(|g| g.cols.bins() * inner).sum();
    let same = |r: usize| r > 0 && grids.iter().all(|g| g.rows.at(r) == g.rows.at(r - 1));
    let (total, group, failed) = (outer * h, (TASK / pitch).max(1), scratch::Failure::new());
    let dx = Shared::new(dx);
    parallel(total.div_ceil(group), group * pitch, |task| {
        let (first, last) = (task * group, total.min(task * group + group));
        // SAFETY: a task owns its rows.
        let dx = unsafe { dx.slice(first * pitch, (last - first) * pitch) };
        failed.note(scratch::with(room, |held: &mut [T]| {
            for row in first..last {
                let (done, dx) = dx[..(row - first + 1) * pitch].split_at_mut((row - first) * pitch);
                if row > first && same(row % h) {
                    dx.copy_from_slice(&done[done.len() - pitch..]);
                } else {
                    back_row(dx, dy, &grids, &runs, held, m, (row / h, row % h));
                }
            }
        }));
    });
    failed.result()
}
