//! Layer norm and RMS norm: each row of a (rows, size) array by its own statistics.
//!
//! Sixteen rows at a time: their lanes are turned over, so that sixteen sums are closed by the additions of one.

use crate::error::{Result, expect_len};
use crate::levels;
use crate::simd::{Float, LANES, Vector, prefetch, settle};
use crate::threads::{self, Shared};

/// Elements after which a sum's lanes are closed into the double-precision total.
const CLOSE: usize = 128 * LANES;
/// Rows whose sums are closed together.
pub(crate) const ROWS: usize = 16;
/// Elements of rows that are taken together: they stay in a core's cache from pass to pass.
const NEAR: usize = 1 << 13;
/// Elements of one task, about.
const TASK: usize = 1 << 15;
/// From this many bytes on results are written past the caches.
const STREAM: usize = 8 << 20;

/// `N` elements of `x` from `i` on, or the first `left`.
#[inline(always)]
pub(crate) fn take<T: Float, V: Vector<T>>(x: &[T], i: usize, left: usize) -> V {
    debug_assert!(left > 0 && i + left.min(V::N) <= x.len());
    // SAFETY: every kernel here asks for elements below the length of its rows or tables.
    unsafe { if left >= V::N { V::load(x.as_ptr().add(i)) } else { V::load_first(x.as_ptr().add(i), left) } }
}

/// Writes what [`take`] takes; past the caches where asked to.
#[inline(always)]
pub(crate) fn put<T: Float, V: Vector<T>>(value: V, y: &mut [T], i: usize, left: usize, stream: bool) {
    debug_assert!(left > 0 && i + left.min(V::N) <= y.len());
    // SAFETY: as above; streams are asked for only where every row begins at a cache line and ends at one.
    unsafe {
        let to = y.as_mut_ptr().add(i);
        match (left >= V::N, stream) {
            (true, true) => value.stream(to),
            (true, false) => value.store(to),
            (false, _) => value.store_first(to, left),
        }
    }
}

/// What sums along rows add up; methods, not closures, which may be compiled apart without the level's instructions.
pub(crate) trait Terms<T, const K: usize> {
    /// Those of `row`'s elements from `i` on, of which `left` are there.
    fn some<V: Vector<T>>(&self, row: usize, i: usize, left: usize) -> [V; K];
}

/// `K` sums over the `n` elements of each row in 16 lanes, closed every [`CLOSE`] elements.
#[inline(always)]
pub(crate) fn row_sums<T: Float, V: Vector<T>, const K: usize>(rows: usize, n: usize, terms: &impl Terms<T, K>) -> [[f64; ROWS]; K] {
    let mut total = [[0.0; ROWS]; K];
    for start in (0..n).step_by(CLOSE) {
        let len = CLOSE.min(n - start);
        let (whole, rest) = (start + len / LANES * LANES, len % LANES);
        let mut lanes = [[[T::ZERO; LANES]; ROWS]; K];
        for row in 0..rows {
            for v in (0..LANES).step_by(V::N) {
                let mut sums = [V::splat(T::ZERO); K];
                for i in (start + v..whole).step_by(LANES) {
                    let terms = terms.some::<V>(row, i, V::N);
                    for k in 0..K {
                        sums[k] = sums[k].add(terms[k]);
                    }
                }
                for k in 0..K {
                    put(sums[k], &mut lanes[k][row], v, V::N, false);
                }
                if v < rest {
                    let left = rest - v;
                    let terms = terms.some::<V>(row, whole + v, left);
                    for k in 0..K {
                        put(sums[k].add(terms[k]), &mut lanes[k][row], v, left, false);
                    }
                }
            }
        }
        for k in 0..K {
            let sums = closed::<T, V>(&lanes[k]);
            for row in 0..ROWS {
                total[k][row] += sums[row].to_f64();
            }
        }
    }
    total
}

/// The sum of each row's lanes: halves are added to halves.
#[inline(always)]
fn closed<T: Float, V: Vector<T>>(lanes: &[[T; LANES]; ROWS]) -> [T; ROWS] {
    let mut turned = [[T::ZERO; ROWS]; LANES];
    for row in (0..ROWS).step_by(V::N) {
        for lane in (0..LANES).step_by(V::N) {
            // SAFETY: a square of `N` rows and lanes, on both sides.
            unsafe {
                V::transpose(
                    lanes.as_ptr().cast::<T>().add(row * LANES + lane),
                    LANES,
                    V::N,
                    turned.as_mut_ptr().cast::<T>().add(lane * ROWS + row),
                    ROWS as isize,
                )
            };
        }
    }
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            for row in (0..ROWS).step_by(V::N) {
                let sum = take::<T, V>(&turned[lane], row, V::N).add(take(&turned[lane + half], row, V::N));
                put(sum, &mut turned[lane], row, V::N, false);
            }
        }
        half /= 2;
    }
    turned[0]
}

/// Elements.
struct Plain<'a, T>(&'a [T], usize);

impl<T: Float> Terms<T, 1> for Plain<'_, T> {
    #[inline(always)]
    fn some<V: Vector<T>>(&self, row: usize, i: usize, left: usize) -> [V; 1] {
        [take(self.0, row * self.1 + i, left)]
    }
}

/// Squared distances to a number a row.
struct Squares<'a, T>(&'a [T], usize, [T; ROWS]);

impl<T: Float> Terms<T, 1> for Squares<'_, T> {
    #[inline(always)]
    fn some<V: Vector<T>>(&self, row: usize, i: usize, left: usize) -> [V; 1] {
        let d = take::<T, V>(self.0, row * self.1 + i, left).sub(V::splat(self.2[row]));
        [d.mul(d)]
    }
}

/// What the forward pass reads and writes.
struct Forward<'a, T> {
    y: Shared<'a, T>,
    mean: Shared<'a, f64>,
    rstd: Shared<'a, f64>,
    x: &'a [T],
    weight: Option<&'a [T]>,
    bias: Option<&'a [T]>,
    size: usize,
    eps: f64,
    centred: bool,
    stream: bool,
}

levels! {
    fn forward_rows<T, V>(job: &Forward<'_, T>, first: usize, rows: usize) {
        let (size, at) = (job.size, first * job.size);
        let x = &job.x[at..at + rows * size];
        // SAFETY: each task has its own rows.
        let (y, means, rstds) = unsafe { (job.y.slice(at, rows * size), job.mean.slice(first, rows), job.rstd.slice(first, rows)) };
        let n = size as f64;
        let (mut mean, mut m, mut inverse) = ([0.0; ROWS], [T::ZERO; ROWS], [0.0; ROWS]);
        if job.centred {
            let [sums] = row_sums::<T, V, 1>(rows, size, &Plain(x, size));
            for row in 0..ROWS {
                mean[row] = sums[row] / n;
                m[row] = T::of(mean[row]);
            }
        }
        let [squares] = row_sums::<T, V, 1>(rows, size, &Squares(x, size, m));
        for row in 0..ROWS {
            // The mean was rounded to T: move the squares to the mean itself.
            let off = m[row].to_f64() - mean[row];
            inverse[row] = 1.0 / (squares[row] / n - off * off + job.eps).sqrt();
        }
        means.copy_from_slice(&mean[..rows]);
        rstds.copy_from_slice(&inverse[..rows]);
        for row in 0..rows {
            let (middle, scale) = (V::splat(m[row]), V::splat(T::of(inverse[row])));
            for i in (0..size).step_by(V::N) {
                let (left, e) = (size - i, row * size + i);
                let mut v = take::<T, V>(x, e, left).sub(middle).mul(scale);
                if let Some(weight) = job.weight {
                    v = v.mul(take(weight, i, left));
                }
                if let Some(bias) = job.bias {
                    v = v.add(take(bias, i, left));
                }
                put(v, y, e, left, job.stream);
                // The next rows come near while these are written.
                prefetch(x.as_ptr().wrapping_add(rows * size + e));
            }
        }
    }
}

pub(crate) fn expect_rows(
    rows: usize,
    size: usize,
    whole: &[(&str, usize)],
    stats: &[(&str, usize)],
    columns: &[(&str, Option<usize>)],
) -> Result {
    whole.iter().try_for_each(|&(what, len)| expect_len(what, len, &[rows, size]))?;
    stats.iter().try_for_each(|&(what, len)| expect_len(what, len, &[rows]))?;
    columns.iter().try_for_each(|&(what, len)| len.map_or(Ok(()), |len| expect_len(what, len, &[size])))
}

/// Whether rows of `size` elements are written past the caches: large results whose rows are whole cache lines.
pub(crate) fn streams<T>(y: &[T], size: usize) -> bool {
    size_of_val(y) > STREAM && y.as_ptr().addr().is_multiple_of(64) && (size * size_of::<T>()).is_multiple_of(64)
}

/// Rows that are taken together: as many as stay near.
pub(crate) fn some_rows(size: usize) -> usize {
    (NEAR / size.max(1)).clamp(1, ROWS)
}

/// Calls `f(first, rows)` for all rows, in parallel.
pub(crate) fn over_rows(rows: usize, size: usize, cost: usize, f: impl Fn(usize, usize) + Sync) {
    let some = some_rows(size);
    let group = (TASK / (some * size).max(1)).max(1) * some;
    threads::parallel(rows.div_ceil(group), group * size * cost, |task| {
        let last = rows.min((task + 1) * group);
        (task * group..last).step_by(some).for_each(|first| f(first, some.min(last - first)));
        settle();
    });
}

/// y = (x - mean) * rstd * weight + bias by row, rstd = 1 / sqrt(mean((x - mean)^2) + eps); `centred` = 0 takes 0 as the mean (RMS norm).
///
/// # Errors
/// [`crate::error::Error::Shape`] for sizes that do not fit.
pub fn forward<T: Float>(
    y: &mut [T],
    mean: &mut [f64],
    rstd: &mut [f64],
    x: &[T],
    weight: Option<&[T]>,
    bias: Option<&[T]>,
    rows: usize,
    size: usize,
    eps: f64,
    centred: usize,
) -> Result {
    let columns = [("layer_norm weight", weight.map(<[T]>::len)), ("layer_norm bias", bias.map(<[T]>::len))];
    let stats = [("layer_norm mean", mean.len()), ("layer_norm rstd", rstd.len())];
    expect_rows(rows, size, &[("layer_norm y", y.len()), ("layer_norm x", x.len())], &stats, &columns)?;
    let (stream, centred) = (streams(y, size), centred != 0);
    let (y, mean, rstd) = (Shared::new(y), Shared::new(mean), Shared::new(rstd));
    let job = Forward { y, mean, rstd, x, weight, bias, size, eps, centred, stream };
    over_rows(rows, size, 4, |first, rows| forward_rows(&job, first, rows));
    Ok(())
}
