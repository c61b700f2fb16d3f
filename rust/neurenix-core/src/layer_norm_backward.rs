//! The gradients of [`layer_norm`](crate::layer_norm).
//!
//! Those of weight and bias are added over 16 rows in `T`, over 64 in double precision, and those in order: any thread may take a
//! run of rows, while what the map's gradient read is still near.

use crate::blocks::Buffer;
use crate::error::{Result, expect_len};
use crate::layer_norm::{ROWS, Terms, expect_rows, over_rows, put, row_sums, some_rows, streams, take};
use crate::simd::{Float, LANES, Vector, prefetch, settle};
use crate::threads::{self, Shared};
use crate::{ensure_shape, levels};

/// Rows whose terms of the parameters' gradients make one row of double-precision sums.
const RUN: usize = 4 * ROWS;
/// The most columns of one task of the parameters' gradients: short pieces of rows are read slowly.
const COLUMNS: usize = 512;
/// Weighted gradients, and these times distances to the mean; without weights all are 1.
struct Products<'a, T> {
    g: &'a [T],
    x: &'a [T],
    weight: Option<&'a [T]>,
    size: usize,
    mean: [T; ROWS],
}

impl<T: Float> Terms<T, 2> for Products<'_, T> {
    #[inline(always)]
    fn some<V: Vector<T>>(&self, row: usize, i: usize, left: usize) -> [V; 2] {
        let g = weighted::<T, V>(self.g, self.weight, row * self.size, i, left);
        [g, g.mul(take::<T, V>(self.x, row * self.size + i, left).sub(V::splat(self.mean[row])))]
    }
}

/// Gradients of the row that begins at `row`, times weights.
#[inline(always)]
fn weighted<T: Float, V: Vector<T>>(g: &[T], weight: Option<&[T]>, row: usize, i: usize, left: usize) -> V {
    let g = take::<T, V>(g, row + i, left);
    weight.map_or(g, |w| g.mul(take(w, i, left)))
}

/// What the backward pass reads.
#[derive(Clone, Copy)]
struct Backward<'a, T> {
    g: &'a [T],
    x: &'a [T],
    mean: &'a [f64],
    rstd: &'a [f64],
    weight: Option<&'a [T]>,
    size: usize,
    centred: bool,
    stream: bool,
}

levels! {
    fn backward_rows<T, V>(dx: &Shared<'_, T>, job: &Backward<'_, T>, first: usize, rows: usize) {
        let (size, at) = (job.size, first * job.size);
        let (g, x) = (&job.g[at..at + rows * size], &job.x[at..at + rows * size]);
        // SAFETY: each task has its own rows.
        let dx = unsafe { dx.slice(at, rows * size) };
        let mut mean = [T::ZERO; ROWS];
        mean.iter_mut().zip(&job.mean[first..first + rows]).for_each(|(m, &mean)| *m = T::of(mean));
        let [sums, products] = row_sums::<T, V, 2>(rows, size, &Products { g, x, weight: job.weight, size, mean });
        let n = size as f64;
        for row in 0..rows {
            let rstd = job.rstd[first + row];
            let subtracted = V::splat(T::of(if job.centred { sums[row] / n } else { 0.0 }));
            let slope = V::splat(T::of(products[row] / n * rstd * rstd));
            let (m, r) = (V::splat(mean[row]), V::splat(T::of(rstd)));
            for i in (0..size).step_by(V::N) {
                let (left, e) = (size - i, row * size + i);
                let v = weighted::<T, V>(g, job.weight, row * size, i, left).sub(subtracted);
                put(v.sub(take::<T, V>(x, e, left).sub(m).mul(slope)).mul(r), dx, e, left, job.stream);
                prefetch(x.as_ptr().wrapping_add(rows * size + e));
                prefetch(g.as_ptr().wrapping_add(rows * size + e));
            }
        }
    }
}

levels! {
    /// The terms of up to [`ROWS`] rows from `first` on, for columns from `start` on: `[sum of g xhat, sum of g]`; `fetch`
    /// brings the next rows near.
    fn parameter_terms<T, V>(sums: [&mut [T]; 2], job: &Backward<'_, T>, first: usize, rows: usize, start: usize, fetch: bool) {
        let [by_weight, by_bias] = sums;
        let at = first * job.size + start;
        let (from, x) = (&job.g[at..], &job.x[at..]);
        let (mut m, mut r, mut rest) = ([T::ZERO; ROWS], [T::ZERO; ROWS], [T::ZERO; ROWS]);
        for row in 0..rows {
            let (mean, rstd) = (job.mean[first + row], job.rstd[first + row]);
            (m[row], r[row]) = (T::of(mean), T::of(rstd));
            // The mean was rounded to T: what it lost.
            rest[row] = T::of((m[row].to_f64() - mean) * rstd);
        }
        let n = by_weight.len();
        for i in (0..n).step_by(V::N) {
            let left = n - i;
            let (mut products, mut gradients) = (V::splat(T::ZERO), V::splat(T::ZERO));
            for row in 0..rows {
                let g = take::<T, V>(from, row * job.size + i, left);
                let d = take::<T, V>(x, row * job.size + i, left).sub(V::splat(m[row]));
                if fetch {
                    let next = job.size * ROWS + row * job.size + i;
                    prefetch(x.as_ptr().wrapping_add(next));
                    prefetch(from.as_ptr().wrapping_add(next));
                }
                products = g.fma(d.fma(V::splat(r[row]), V::splat(rest[row])), products);
                gradients = gradients.add(g);
            }
            put(products, by_weight, i, left, false);
            put(gradients, by_bias, i, left, false);
        }
    }
}

levels! {
    /// `total += sums`.
    fn close<T: Float>(total: &mut [f64], sums: &[T]) {
        for (total, sum) in total.iter_mut().zip(sums) {
            *total += sum.to_f64();
        }
    }
}

/// Adds the terms of one run's `rows` for columns from `start` on to `[by weight, by bias]`; `before(first, rows)` is called for
/// every [`ROWS`] of them.
fn close_run<T: Float>(
    total: [&mut [f64]; 2],
    sums: &mut [T],
    job: &Backward<'_, T>,
    rows: std::ops::Range<usize>,
    start: usize,
    fetch: bool,
    before: impl Fn(usize, usize),
) {
    let [by_weight, by_bias] = total;
    let (a, b) = sums.split_at_mut(by_weight.len());
    for first in rows.clone().step_by(ROWS) {
        let some = ROWS.min(rows.end - first);
        before(first, some);
        parameter_terms([&mut *a, &mut *b], job, first, some, start, fetch);
        close(by_weight, a);
        close(by_bias, b);
    }
}

/// What a call was given, its sizes checked; without `dx` nothing is streamed.
fn checked<'a, T: Float>(
    dx: Option<&[T]>,
    g: &'a [T],
    x: &'a [T],
    stats: [&'a [f64]; 2],
    weight: Option<&'a [T]>,
    rows: usize,
    size: usize,
    centred: usize,
) -> Result<Backward<'a, T>> {
    let [mean, rstd] = stats;
    let whole = [("layer_norm dx", dx.map_or(g.len(), <[T]>::len)), ("layer_norm g", g.len()), ("layer_norm x", x.len())];
    let stats = [("layer_norm mean", mean.len()), ("layer_norm rstd", rstd.len())];
    expect_rows(rows, size, &whole, &stats, &[("layer_norm weight", weight.map(<[T]>::len))])?;
    let stream = dx.is_some_and(|dx| streams(dx, size));
    Ok(Backward { g, x, mean, rstd, weight, size, centred: centred != 0, stream })
}

/// dx = (g w - mean(g w) - xhat mean(g w xhat)) rstd by row, xhat = (x - mean) rstd; RMS norm leaves out the first mean.
///
/// # Errors
/// [`crate::error::Error::Shape`] for sizes that do not fit.
pub fn backward<T: Float>(
    dx: &mut [T],
    g: &[T],
    x: &[T],
    mean: &[f64],
    rstd: &[f64],
    weight: Option<&[T]>,
    rows: usize,
    size: usize,
    centred: usize,
) -> Result {
    let job = checked(Some(dx), g, x, [mean, rstd], weight, rows, size, centred)?;
    let dx = Shared::new(dx);
    over_rows(rows, size, 6, |first, rows| backward_rows(&dx, &job, first, rows));
    Ok(())
}

/// dweight = sum over rows of g xhat, dbias = sum over rows of g.
///
/// # Errors
/// [`crate::error::Error::Shape`] for sizes that do not fit.
pub fn backward_parameters<T: Float>(
    dweight: &mut [T],
    dbias: Option<&mut [T]>,
    g: &[T],
    x: &[T],
    mean: &[f64],
    rstd: &[f64],
    rows: usize,
    size: usize,
) -> Result {
    let job = checked(None, g, x, [mean, rstd], None, rows, size, 1)?;
    let outputs = outputs(dweight, dbias, size)?;
    let columns = size.div_ceil(threads::num_threads()).next_multiple_of(LANES).clamp(LANES, COLUMNS);
    threads::parallel(size.div_ceil(columns), rows * columns * 4, |task| {
        let start = task * columns;
        let len = columns.min(size - start);
        let (mut sums, mut run, mut total) = ([T::ZERO; 2 * COLUMNS], [0.0; 2 * COLUMNS], [0.0; 2 * COLUMNS]);
        for first in (0..rows).step_by(RUN) {
            run.fill(0.0);
            let (by_weight, by_bias) = run[..2 * len].split_at_mut(len);
            close_run([by_weight, by_bias], &mut sums[..2 * len], &job, first..rows.min(first + RUN), start, true, |_, _| {});
            total.iter_mut().zip(&run).for_each(|(total, run)| *total += run);
        }
        let (by_weight, by_bias) = total[..2 * len].split_at(len);
        outputs.write(start, by_weight, by_bias);
    });
    Ok(())
}

/// Both in one pass: [`backward`] and [`backward_parameters`].
///
/// # Errors
/// [`crate::error::Error::Shape`] for sizes that do not fit.
pub fn backward_whole<T: Float>(
    dx: &mut [T],
    dweight: &mut [T],
    dbias: Option<&mut [T]>,
    g: &[T],
    x: &[T],
    mean: &[f64],
    rstd: &[f64],
    weight: Option<&[T]>,
    rows: usize,
    size: usize,
    centred: usize,
) -> Result {
    let runs = rows.div_ceil(RUN);
    if runs < 2 * threads::num_threads() {
        backward(dx, g, x, mean, rstd, weight, rows, size, centred)?;
        return backward_parameters(dweight, dbias, g, x, mean, rstd, rows, size);
    }
    let job = checked(Some(dx), g, x, [mean, rstd], weight, rows, size, centred)?;
    let outputs = outputs(dweight, dbias, size)?;
    let mut sums = Buffer::<f64>::new(runs * 2 * size)?;
    let (dx, shared) = (Shared::new(dx), Shared::new(&mut sums));
    threads::parallel(runs, RUN * size * 10, |run| {
        // SAFETY: each run has its own sums.
        let (by_weight, by_bias) = unsafe { shared.slice(run * 2 * size, 2 * size) }.split_at_mut(size);
        let rows = run * RUN..rows.min((run + 1) * RUN);
        let some = some_rows(size);
        close_run([by_weight, by_bias], &mut vec![T::ZERO; 2 * size], &job, rows, 0, false, |first, rows| {
            (first..first + rows).step_by(some).for_each(|from| backward_rows(&dx, &job, from, some.min(first + rows - from)));
        });
        settle();
    });
    let sums = &sums;
    threads::parallel(size.div_ceil(COLUMNS), runs * COLUMNS * 2, |task| {
        let start = task * COLUMNS;
        let len = COLUMNS.min(size - start);
        let mut total = [[0.0; COLUMNS]; 2];
        for run in 0..runs {
            for (k, total) in total.iter_mut().enumerate() {
                let at = (2 * run + k) * size + start;
                total[..len].iter_mut().zip(&sums[at..at + len]).for_each(|(total, run)| *total += run);
            }
        }
        outputs.write(start, &total[0][..len], &total[1][..len]);
    });
    Ok(())
}

/// The gradients of weight and bias, which tasks write by columns.
struct Outputs<'a, T> {
    dweight: Shared<'a, T>,
    dbias: Option<Shared<'a, T>>,
}

fn outputs<'a, T: Float>(dweight: &'a mut [T], dbias: Option<&'a mut [T]>, size: usize) -> Result<Outputs<'a, T>> {
    ensure_shape!(dweight.len() == size, "layer_norm dweight: expected {size} elements, got {}", dweight.len());
    dbias.as_ref().map_or(Ok(()), |dbias| expect_len("layer_norm dbias", dbias.len(), &[size]))?;
    Ok(Outputs { dweight: Shared::new(dweight), dbias: dbias.map(Shared::new) })
}

impl<T: Float> Outputs<'_, T> {
    /// Writes the columns from `start` on; each is written once.
    fn write(&self, start: usize, by_weight: &[f64], by_bias: &[f64]) {
        for (to, sums) in [(Some(&self.dweight), by_weight), (self.dbias.as_ref(), by_bias)] {
            let Some(to) = to else { continue };
            // SAFETY: each task has its own columns.
            unsafe { to.slice(start, sums.len()) }.iter_mut().zip(sums).for_each(|(d, &v)| *d = T::of(v));
        }
    }
}
