//! Elements by index: gathers, and their gradients as sums of segments in a fixed order.

use crate::blocks::Buffer;
use crate::ensure_argument;
use crate::error::{Result, expect_len};
use crate::simd::Number;
use crate::threads::{Shared, parallel};

/// Elements of one task.
const TASK: usize = 1 << 14;
/// Columns that one task takes of a row.
const COLUMNS: usize = 1 << 10;

fn check(index: &[i64], n: usize) -> Result {
    ensure_argument!(
        index.iter().all(|&i| i >= 0 && (i as usize) < n),
        "internal: index: expected numbers below {n}; the operation above checks them"
    );
    Ok(())
}

/// `y[o, j, i] = x[o, index[j], i]`, slices moved as bits.
///
/// # Errors
/// [`crate::error::Error::Shape`] unless `y` is (outer, m, inner) and `x` (outer, n, inner), [`crate::error::Error::Argument`] for an index out of range.
pub fn take<T: Copy + Send + Sync>(y: &mut [T], x: &[T], index: &[i64], outer: usize, n: usize, inner: usize) -> Result {
    let m = index.len();
    expect_len("take y", y.len(), &[outer, m, inner])?;
    expect_len("take x", x.len(), &[outer, n, inner])?;
    check(index, n)?;
    if y.is_empty() {
        return Ok(());
    }
    let group = (TASK / inner).max(1);
    let shared = Shared::new(y);
    parallel((outer * m).div_ceil(group), group * inner, |task| {
        for row in task * group..(outer * m).min((task + 1) * group) {
            let from = (row / m * n + index[row % m] as usize) * inner;
            // SAFETY: each row is written by one task.
            unsafe { shared.slice(row * inner, inner) }.copy_from_slice(&x[from..from + inner]);
        }
    });
    Ok(())
}

/// The gradient of [`take`]: `gx[o, k, i]` is the sum of `g[o, j, i]` over all j with `index[j] = k`, in the order of j.
///
/// # Errors
/// As for [`take`].
pub fn take_sum<T: Number>(gx: &mut [T], g: &[T], index: &[i64], outer: usize, n: usize, inner: usize) -> Result {
    let m = index.len();
    expect_len("take_sum g", g.len(), &[outer, m, inner])?;
    expect_len("take_sum gx", gx.len(), &[outer, n, inner])?;
    check(index, n)?;
    if gx.is_empty() {
        return Ok(());
    }
    // A stable counting sort: the j of every k, in order.
    let mut ends = Buffer::<usize>::new(n + 1)?;
    let mut order = Buffer::<usize>::new(m)?;
    index.iter().for_each(|&k| ends[k as usize + 1] += 1);
    (0..n).for_each(|k| ends[k + 1] += ends[k]);
    for (j, &k) in index.iter().enumerate() {
        order[ends[k as usize]] = j;
        ends[k as usize] += 1;
    }
    // Now `ends[k]` is where k's segment ends and k + 1's starts.
    let group = (TASK / inner).max(1);
    let shared = Shared::new(gx);
    parallel((outer * n).div_ceil(group), group * inner * (m / n + 1), |task| {
        for row in task * group..(outer * n).min((task + 1) * group) {
            let (o, k) = (row / n, row % n);
            // SAFETY: each row is written by one task.
            let to = unsafe { shared.slice(row * inner, inner) };
            to.fill(T::ZERO);
            for &j in &order[if k == 0 { 0 } else { ends[k - 1] }..ends[k]] {
                let from = (o * m + j) * inner;
                to.iter_mut().zip(&g[from..from + inner]).for_each(|(t, &g)| *t = t.plus(g));
            }
        }
    });
    Ok(())
}

/// Calls `f(o, columns)` for blocks of columns of every outer slice, each block once.
fn by_columns(outer: usize, rows: usize, inner: usize, f: impl Fn(usize, std::ops::Range<usize>) + Sync) {
    let blocks = inner.div_ceil(COLUMNS);
    parallel(outer * blocks, rows * inner.min(COLUMNS) * 2, |task| {
        let first = task % blocks * COLUMNS;
        f(task / blocks, first..inner.min(first + COLUMNS));
    });
}

/// `y[o, j, i] = x[o, index[o, j, i], i]`, elements moved as bits.
///
/// # Errors
/// [`crate::error::Error::Shape`] unless `y` and `index` are (outer, m, inner) and `x` (outer, n, inner), [`crate::error::Error::Argument`] for an index out of range.
pub fn gather<T: Copy + Send + Sync>(y: &mut [T], x: &[T], index: &[i64], outer: usize, m: usize, n: usize, inner: usize) -> Result {
    expect_len("gather y", y.len(), &[outer, m, inner])?;
    expect_len("gather index", index.len(), &[outer, m, inner])?;
    expect_len("gather x", x.len(), &[outer, n, inner])?;
    check(index, n)?;
    if inner == 1 {
        let pieces = m.div_ceil(TASK);
        let shared = Shared::new(y);
        parallel(outer * pieces, m.min(TASK) * 2, |task| {
            let (o, first) = (task / pieces, task % pieces * TASK);
            let (at, line) = (o * m + first, &x[o * n..(o + 1) * n]);
            let len = TASK.min(m - first);
            // SAFETY: each piece of a line is written by one task.
            let to = unsafe { shared.slice(at, len) };
            to.iter_mut().zip(&index[at..at + len]).for_each(|(to, &k)| *to = line[k as usize]);
        });
        return Ok(());
    }
    let shared = Shared::new(y);
    by_columns(outer, m, inner, |o, columns| {
        for j in 0..m {
            let row = (o * m + j) * inner + columns.start;
            // SAFETY: each block of columns is written by one task.
            let to = unsafe { shared.slice(row, columns.len()) };
            for ((i, to), &k) in columns.clone().zip(to).zip(&index[row..row + columns.len()]) {
                *to = x[(o * n + k as usize) * inner + i];
            }
        }
    });
    Ok(())
}

/// `y[o, index[o, j, i], i] += src[o, j, i]`, in the order of j.
///
/// # Errors
/// [`crate::error::Error::Shape`] unless `src` and `index` are (outer, m, inner) and `y` (outer, n, inner), [`crate::error::Error::Argument`] for an index out of range.
pub fn scatter_add<T: Number>(y: &mut [T], index: &[i64], src: &[T], outer: usize, m: usize, n: usize, inner: usize) -> Result {
    scatter_with(y, index, src, [outer, m, n, inner], T::plus)
}

/// `y[o, index[o, j, i], i] = src[o, j, i]`; the last j wins.
///
/// # Errors
/// As for [`scatter_add`].
pub fn scatter<T: Copy + Send + Sync>(y: &mut [T], index: &[i64], src: &[T], outer: usize, m: usize, n: usize, inner: usize) -> Result {
    scatter_with(y, index, src, [outer, m, n, inner], |_, s| s)
}

fn scatter_with<T: Copy + Send + Sync>(
    y: &mut [T],
    index: &[i64],
    src: &[T],
    [outer, m, n, inner]: [usize; 4],
    f: impl Fn(T, T) -> T + Sync,
) -> Result {
    expect_len("scatter src", src.len(), &[outer, m, inner])?;
    expect_len("scatter index", index.len(), &[outer, m, inner])?;
    expect_len("scatter y", y.len(), &[outer, n, inner])?;
    check(index, n)?;
    let shared = Shared::new(y);
    by_columns(outer, m, inner, |o, columns| {
        if inner == 1 {
            // SAFETY: each line is written by one task.
            let to = unsafe { shared.slice(o * n, n) };
            for (&k, &s) in index[o * m..(o + 1) * m].iter().zip(&src[o * m..(o + 1) * m]) {
                to[k as usize] = f(to[k as usize], s);
            }
            return;
        }
        for j in 0..m {
            for i in columns.clone() {
                let at = (o * m + j) * inner + i;
                // SAFETY: a task writes its own columns only.
                let to = unsafe { &mut shared.slice((o * n + index[at] as usize) * inner + i, 1)[0] };
                *to = f(*to, src[at]);
            }
        }
    });
    Ok(())
}

/// The positions at which `mask` holds, in order; there are as many as `index` has room for.
///
/// # Errors
/// [`crate::error::Error::Shape`] unless that many hold.
pub fn nonzero(mask: &[u8], index: &mut [i64]) -> Result {
    let count = mask.iter().filter(|&&m| m != 0).count();
    expect_len("nonzero index", index.len(), &[count])?;
    let found = mask.iter().enumerate().filter(|(_, m)| **m != 0);
    index.iter_mut().zip(found).for_each(|(to, (i, _))| *to = i as i64);
    Ok(())
}
