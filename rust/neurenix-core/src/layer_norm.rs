//! Layer norm and RMS norm: each row of a (rows, size) array by its own statistics.

use crate::error::{Result, expect_len};
use crate::simd::{Float, LANES, Vector};
use crate::threads::{self, Shared};
use crate::{ensure_shape, levels};

/// Elements after which a sum's lanes are closed into the double-precision total.
const CLOSE: usize = 128 * LANES;
/// The most columns of one task of the parameters' gradients: short pieces of rows are read slowly.
const COLUMNS: usize = 512;

/// What a sum adds up; methods, not closures, which may be compiled apart without the level's instructions.
trait Terms<T, const K: usize> {
    /// A vector's from `i` on.
    fn some<V: Vector<T>>(&self, i: usize) -> [V; K];
    /// Those of element `i`.
    fn one(&self, i: usize) -> [T; K];
}

/// `K` sums over `i < n` in 16 lanes each, closed every [`CLOSE`] elements.
#[inline(always)]
fn lane_sums<T: Float, V: Vector<T>, const K: usize>(n: usize, terms: &impl Terms<T, K>) -> [f64; K] {
    let mut total = [0.0; K];
    for start in (0..n).step_by(CLOSE) {
        let len = CLOSE.min(n - start);
        let whole = len / LANES * LANES;
        let mut lanes = [[T::ZERO; LANES]; K];
        for v in (0..LANES).step_by(V::N) {
            let mut sums = [V::splat(T::ZERO); K];
            for i in (start + v..start + whole).step_by(LANES) {
                let terms = terms.some::<V>(i);
                for k in 0..K {
                    sums[k] = sums[k].add(terms[k]);
                }
            }
            for k in 0..K {
                // SAFETY: lanes `v .. v + N` of [`LANES`].
                unsafe { sums[k].store(lanes[k].as_mut_ptr().add(v)) };
            }
        }
        for l in 0..len - whole {
            let terms = terms.one(start + whole + l);
            for k in 0..K {
                lanes[k][l] += terms[k];
            }
        }
        for k in 0..K {
            let mut half = LANES / 2;
            while half > 0 {
                for l in 0..half {
                    lanes[k][l] = lanes[k][l] + lanes[k][l + half];
                }
                half /= 2;
            }
            total[k] += lanes[k][0].to_f64();
        }
    }
    total
}

/// Elements.
struct Plain<'a, T>(&'a [T]);

impl<T: Float> Terms<T, 1> for Plain<'_, T> {
    #[inline(always)]
    fn some<V: Vector<T>>(&self, i: usize) -> [V; 1] {
        [at(self.0, i)]
    }

    #[inline(always)]
    fn one(&self, i: usize) -> [T; 1] {
        [self.0[i]]
    }
}

/// Squared distances to a number.
struct Squares<'a, T>(&'a [T], T);

impl<T: Float> Terms<T, 1> for Squares<'_, T> {
    #[inline(always)]
    fn some<V: Vector<T>>(&self, i: usize) -> [V; 1] {
        let d = at::<T, V>(self.0, i).sub(V::splat(self.1));
        [d.mul(d)]
    }

    #[inline(always)]
    fn one(&self, i: usize) -> [T; 1] {
        let d = self.0[i] - self.1;
        [d * d]
    }
}

/// Weighted gradients, and these times distances to the mean; without `WEIGHT` all weights are 1.
struct Products<'a, T, const WEIGHT: bool> {
    g: &'a [T],
    x: &'a [T],
    weight: &'a [T],
    mean: T,
}

impl<T: Float, const WEIGHT: bool> Terms<T, 2> for Products<'_, T, WEIGHT> {
    #[inline(always)]
    fn some<V: Vector<T>>(&self, i: usize) -> [V; 2] {
        let g = at::<T, V>(self.g, i);
        let g = if WEIGHT { g.mul(at(self.weight, i)) } else { g };
        [g, g.mul(at::<T, V>(self.x, i).sub(V::splat(self.mean)))]
    }

    #[inline(always)]
    fn one(&self, i: usize) -> [T; 2] {
        let g = if WEIGHT { self.g[i] * self.weight[i] } else { self.g[i] };
        [g, g * (self.x[i] - self.mean)]
    }
}

/// A vector of `x` from `i` on.
#[inline(always)]
fn at<T: Float, V: Vector<T>>(x: &[T], i: usize) -> V {
    debug_assert!(i + V::N <= x.len());
    // SAFETY: [`lane_sums`] asks for whole vectors below its `n`, the length of every slice here.
    unsafe { V::load(x.as_ptr().add(i)) }
}

levels! {
    fn row_moments<T, V>(x: &[T], centred: bool) -> (f64, f64) {
        let n = x.len() as f64;
        let mean = if centred { lane_sums::<T, V, 1>(x.len(), &Plain(x))[0] / n } else { 0.0 };
        let m = T::of(mean);
        let square = lane_sums::<T, V, 1>(x.len(), &Squares(x, m))[0] / n;
        // The mean was rounded to T: move the squares to the mean itself.
        (mean, square - (m.to_f64() - mean) * (m.to_f64() - mean))
    }
}

levels! {
    fn row_apply<T: Float, const WEIGHT: bool, const BIAS: bool>(y: &mut [T], x: &[T], weight: &[T], bias: &[T], mean: T, rstd: T) {
        let n = y.len();
        let (x, weight, bias) = (&x[..n], if WEIGHT { &weight[..n] } else { x }, if BIAS { &bias[..n] } else { x });
        for i in 0..n {
            let v = (x[i] - mean) * rstd;
            let v = if WEIGHT { v * weight[i] } else { v };
            y[i] = if BIAS { v + bias[i] } else { v };
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
    let apply = match (weight, bias) {
        (None, None) => row_apply::<T, false, false>,
        (None, Some(_)) => row_apply::<T, false, true>,
        (Some(_), None) => row_apply::<T, true, false>,
        (Some(_), Some(_)) => row_apply::<T, true, true>,
    };
    threads::parallel(rows, size * 4, |row| {
        let x = &x[row * size..(row + 1) * size];
        let (m, variance) = row_moments(x, centred != 0);
        let inverse = 1.0 / (variance + eps).sqrt();
        // SAFETY: each task has its own row.
        unsafe {
            (mean.slice(row, 1)[0], rstd.slice(row, 1)[0]) = (m, inverse);
            apply(y.slice(row * size, size), x, weight.unwrap_or_default(), bias.unwrap_or_default(), T::of(m), T::of(inverse));
        }
    });
    Ok(())
}

levels! {
    fn row_backward<T, V>(dx: &mut [T], g: &[T], x: &[T], weight: Option<&[T]>, mean: f64, rstd: f64, centred: bool) {
        let n = dx.len();
        let (g, x) = (&g[..n], &x[..n]);
        let (m, r) = (T::of(mean), T::of(rstd));
        let [sum, product] = match weight.map(|w| &w[..n]) {
            None => lane_sums::<T, V, 2>(n, &Products::<T, false> { g, x, weight: &[], mean: m }),
            Some(weight) => lane_sums::<T, V, 2>(n, &Products::<T, true> { g, x, weight, mean: m }),
        };
        let first = T::of(if centred { sum / n as f64 } else { 0.0 });
        let second = T::of(product / n as f64 * rstd * rstd);
        if let Some(w) = weight.map(|w| &w[..n]) {
            for i in 0..n {
                dx[i] = ((g[i] * w[i] - first) - (x[i] - m) * second) * r;
            }
        } else {
            for i in 0..n {
                dx[i] = ((g[i] - first) - (x[i] - m) * second) * r;
            }
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

levels! {
    /// Adds the terms of a run of columns, row after row.
    fn parameter_sums<T: Float>(by_weight: &mut [f64], by_bias: &mut [f64], g: &[T], x: &[T], stats: [&[f64]; 2], size: usize, start: usize) {
        let n = by_weight.len();
        let by_bias = &mut by_bias[..n];
        for (row, (&mean, &rstd)) in stats[0].iter().zip(stats[1]).enumerate() {
            let at = row * size + start;
            let (g, x) = (&g[at..at + n], &x[at..at + n]);
            for i in 0..n {
                by_weight[i] += g[i].to_f64() * (x[i].to_f64() - mean) * rstd;
                by_bias[i] += g[i].to_f64();
            }
        }
    }
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
    let columns = size.div_ceil(threads::num_threads()).next_multiple_of(LANES).clamp(LANES, COLUMNS);
    threads::parallel(size.div_ceil(columns), rows * columns * 4, |task| {
        let start = task * columns;
        let len = columns.min(size - start);
        let (mut by_weight, mut by_bias) = ([0.0f64; COLUMNS], [0.0f64; COLUMNS]);
        parameter_sums(&mut by_weight[..len], &mut by_bias[..len], g, x, [mean, rstd], size, start);
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
