//! Layer norm and RMS norm: each row of a (rows, size) array by its own statistics.

use crate::error::{Result, expect_len};
use crate::simd::{Float, LANES};
use crate::threads::{self, Shared};
use crate::{ensure_shape, levels};

/// Elements after which a sum's lanes are closed into the double-precision total.
const CLOSE: usize = 128 * LANES;
/// Columns of one task of the parameters' gradients.
const COLUMNS: usize = 64;

/// Sum of `term(i)` for i < n in 16 lanes, closed every [`CLOSE`] elements.
#[inline(always)]
fn lane_sum<T: Float>(n: usize, term: impl Fn(usize) -> T) -> f64 {
    let mut total = 0.0;
    for start in (0..n).step_by(CLOSE) {
        let len = CLOSE.min(n - start);
        let mut lanes = [T::ZERO; LANES];
        let whole = len / LANES * LANES;
        for i in (start..start + whole).step_by(LANES) {
            for (l, lane) in lanes.iter_mut().enumerate() {
                *lane += term(i + l);
            }
        }
        for l in 0..len - whole {
            lanes[l] += term(start + whole + l);
        }
        let mut half = LANES / 2;
        while half > 0 {
            for l in 0..half {
                lanes[l] = lanes[l] + lanes[l + half];
            }
            half /= 2;
        }
        total += lanes[0].to_f64();
    }
    total
}

levels! {
    fn row_moments<T: Float>(x: &[T], centred: bool) -> (f64, f64) {
        let n = x.len() as f64;
        let mean = if centred { lane_sum(x.len(), |i| x[i]) / n } else { 0.0 };
        let m = T::of(mean);
        let square = lane_sum(x.len(), |i| (x[i] - m) * (x[i] - m)) / n;
        // The mean was rounded to T: move the squares to the mean itself.
        (mean, square - (m.to_f64() - mean) * (m.to_f64() - mean))
    }
}

levels! {
    fn row_apply<T: Float>(y: &mut [T], x: &[T], weight: Option<&[T]>, bias: Option<&[T]>, mean: T, rstd: T) {
        let n = y.len();
        let x = &x[..n];
        for i in 0..n {
            y[i] = (x[i] - mean) * rstd;
        }
        if let Some(weight) = weight {
            let weight = &weight[..n];
            for i in 0..n {
                y[i] = y[i] * weight[i];
            }
        }
        if let Some(bias) = bias {
            let bias = &bias[..n];
            for i in 0..n {
                y[i] += bias[i];
            }
        }
    }
}

fn expect_rows(rows: usize, size: usize, whole: &[(&str, usize)], stats: &[(&str, usize)], columns: &[(&str, Option<usize>)]) -> Result {
    whole.iter().try_for_each(|&(what, len)| expect_len(what, len, &[rows, size]))?;
    stats.iter().try_for_each(|&(what, len)| expect_len(what, len, &[rows]))?;
    columns.iter().try_for_each(|&(what, len)| len.map_or(Ok(()), |len| expect_len(what, len, &[size])))
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
    let (y, mean, rstd) = (Shared::new(y), Shared::new(mean), Shared::new(rstd));
    threads::parallel(rows, size * 4, |row| {
        let x = &x[row * size..(row + 1) * size];
        let (m, variance) = row_moments(x, centred != 0);
        let inverse = 1.0 / (variance + eps).sqrt();
        // SAFETY: each task has its own row.
        unsafe {
            (mean.slice(row, 1)[0], rstd.slice(row, 1)[0]) = (m, inverse);
            row_apply(y.slice(row * size, size), x, weight, bias, T::of(m), T::of(inverse));
        }
    });
    Ok(())
}

levels! {
    fn row_backward<T: Float>(dx: &mut [T], g: &[T], x: &[T], weight: Option<&[T]>, mean: f64, rstd: f64, centred: bool) {
        let n = dx.len();
        let (g, x) = (&g[..n], &x[..n]);
        let (m, r) = (T::of(mean), T::of(rstd));
        for i in 0..n {
            dx[i] = weight.map_or(g[i], |w| g[i] * w[i]);
        }
        let first = if centred { lane_sum(n, |i| dx[i]) / n as f64 } else { 0.0 };
        let second = lane_sum(n, |i| dx[i] * (x[i] - m)) / n as f64 * rstd * rstd;
        let (first, second) = (T::of(first), T::of(second));
        for i in 0..n {
            dx[i] = ((dx[i] - first) - (x[i] - m) * second) * r;
        }
    }
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
    let whole = [("layer_norm dx", dx.len()), ("layer_norm g", g.len()), ("layer_norm x", x.len())];
    let stats = [("layer_norm mean", mean.len()), ("layer_norm rstd", rstd.len())];
    expect_rows(rows, size, &whole, &stats, &[("layer_norm weight", weight.map(<[T]>::len))])?;
    let dx = Shared::new(dx);
    threads::parallel(rows, size * 6, |row| {
        let at = row * size..(row + 1) * size;
        // SAFETY: each task has its own row.
        let dx = unsafe { dx.slice(row * size, size) };
        row_backward(dx, &g[at.clone()], &x[at], weight, mean[row], rstd[row], centred != 0);
    });
    Ok(())
}

/// dweight = sum over rows of g xhat, dbias = sum over rows of g; sums in double precision, row after row.
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
    let stats = [("layer_norm mean", mean.len()), ("layer_norm rstd", rstd.len())];
    let columns = [("layer_norm dweight", Some(dweight.len())), ("layer_norm dbias", dbias.as_ref().map(|d| d.len()))];
    expect_rows(rows, size, &[("layer_norm g", g.len()), ("layer_norm x", x.len())], &stats, &columns)?;
    ensure_shape!(dweight.len() == size, "layer_norm dweight: expected {size} elements, got {}", dweight.len());
    let (dweight, dbias) = (Shared::new(dweight), dbias.map(Shared::new));
    threads::parallel(size.div_ceil(COLUMNS), rows * COLUMNS * 4, |task| {
        let start = task * COLUMNS;
        let len = COLUMNS.min(size - start);
        let (mut by_weight, mut by_bias) = ([0.0f64; COLUMNS], [0.0f64; COLUMNS]);
        for row in 0..rows {
            let at = row * size + start..row * size + start + len;
            for (i, (&g, &x)) in g[at.clone()].iter().zip(&x[at]).enumerate() {
                by_weight[i] += g.to_f64() * (x.to_f64() - mean[row]) * rstd[row];
                by_bias[i] += g.to_f64();
            }
        }
        // SAFETY: each task has its own columns.
        unsafe {
            dweight.slice(start, len).iter_mut().zip(by_weight).for_each(|(d, v)| *d = T::of(v));
            if let Some(dbias) = &dbias {
                dbias.slice(start, len).iter_mut().zip(by_bias).for_each(|(d, v)| *d = T::of(v));
            }
        }
    });
    Ok(())
}
