//! From moments and sums to the small tables that a normalisation applies, in double precision.
//!
//! `groups` = 0 normalises each channel over the batch: tables of one row. Otherwise the channels of each sample fall into
//! that many groups: tables of one row a sample (`groups` = c is instance norm).

use crate::ensure_shape;
use crate::error::{Result, expect_len};
use crate::norm::{Part, tree};
use crate::simd::Float;

/// The two numbers of one channel.
type One = Part<1>;

/// How channels and samples share statistics.
#[derive(Clone, Copy)]
struct Sharing {
    n: usize,
    c: usize,
    pixels: usize,
    groups: usize,
}

impl Sharing {
    fn new(n: usize, c: usize, pixels: usize, groups: usize) -> Result<Self> {
        ensure_shape!(groups == 0 || c.is_multiple_of(groups), "norm: expected groups that divide {c} channels, got {groups}");
        Ok(Self { n, c, pixels, groups })
    }

    /// Rows of the tables.
    fn rows(self) -> usize {
        if self.groups == 0 { 1 } else { self.n }
    }

    /// The number of elements behind one statistic.
    fn count(self) -> f64 {
        if self.groups == 0 { (self.n * self.pixels) as f64 } else { (self.c / self.groups * self.pixels) as f64 }
    }

    /// Merges `part(sample, channel)` over what shares one statistic; `f(row, channels, merged)` takes it.
    fn each(
        self,
        part: impl Fn(usize, usize) -> One,
        merge: impl Fn(One, One) -> One,
        mut f: impl FnMut(usize, std::ops::Range<usize>, One),
    ) {
        if self.groups == 0 {
            for c in 0..self.c {
                f(0, c..c + 1, tree(One::NONE, self.n, |n| part(n, c), &merge));
            }
            return;
        }
        let wide = self.c / self.groups;
        for n in 0..self.n {
            for group in 0..self.groups {
                let first = group * wide;
                f(n, first..first + wide, tree(One::NONE, wide, |i| part(n, first + i), &merge));
            }
        }
    }
}

fn one(n: f64, first: f64, second: f64) -> One {
    One { n, first: [first], second: [second] }
}

fn at<T: Float>(table: Option<&[T]>, c: usize, otherwise: f64) -> f64 {
    table.map_or(otherwise, |t| t[c].to_f64())
}

fn expect_channels<T>(what: &str, table: Option<&[T]>, c: usize) -> Result {
    table.map_or(Ok(()), |t| expect_len(what, t.len(), &[c]))
}

/// scale = weight * rstd and shift = bias - mean * scale from the moments of samples and channels, and running statistics
/// moved towards them by `momentum` (unbiased variance; biased where there is one element).
///
/// # Errors
/// [`crate::error::Error::Shape`] for sizes that do not fit.
pub fn from_moments<T: Float>(
    scale: &mut [T],
    shift: &mut [T],
    mean: &mut [f64],
    rstd: &mut [f64],
    running_mean: Option<&mut [T]>,
    running_var: Option<&mut [T]>,
    moment_mean: &[f64],
    moment_square: &[f64],
    weight: Option<&[T]>,
    bias: Option<&[T]>,
    n: usize,
    c: usize,
    pixels: usize,
    groups: usize,
    eps: f64,
    momentum: f64,
) -> Result {
    let sharing = Sharing::new(n, c, pixels, groups)?;
    let rows = sharing.rows();
    for (what, len) in [("scale", scale.len()), ("shift", shift.len()), ("mean", mean.len()), ("rstd", rstd.len())] {
        expect_len(what, len, &[rows, c])?;
    }
    expect_len("norm moments", moment_mean.len(), &[n, c])?;
    expect_len("norm moments", moment_square.len(), &[n, c])?;
    expect_channels("norm weight", weight, c)?;
    expect_channels("norm bias", bias, c)?;
    expect_channels("norm running_mean", running_mean.as_deref(), c)?;
    expect_channels("norm running_var", running_var.as_deref(), c)?;
    let count = sharing.count();
    let mut unbiased = crate::error::try_vec(rows * c, 0.0)?;
    let part = |n: usize, ch: usize| one(pixels as f64, moment_mean[n * c + ch], moment_square[n * c + ch]);
    sharing.each(part, One::union, |row, channels, total| {
        let inverse = 1.0 / (total.second[0] / count + eps).sqrt();
        for ch in channels {
            let i = row * c + ch;
            (mean[i], rstd[i]) = (total.first[0], inverse);
            unbiased[i] = total.second[0] / (count - 1.0).max(1.0);
            let factor = at(weight, ch, 1.0) * inverse;
            scale[i] = T::of(factor);
            shift[i] = T::of(at(bias, ch, 0.0) - total.first[0] * factor);
        }
    });
    for (running, new) in [(running_mean, &*mean), (running_var, &unbiased)] {
        for (ch, value) in running.into_iter().flatten().enumerate() {
            let average = tree(0.0, rows, |row| new[row * c + ch], |a, b| a + b) / rows as f64;
            *value = T::of(value.to_f64() * (1.0 - momentum) + momentum * average);
        }
    }
    Ok(())
}

/// The tables from stored statistics: scale = weight / sqrt(var + eps), shift = bias - mean * scale.
///
/// # Errors
/// [`crate::error::Error::Shape`] for sizes that do not fit.
pub fn from_running<T: Float>(
    scale: &mut [T],
    shift: &mut [T],
    mean: &mut [f64],
    rstd: &mut [f64],
    running_mean: &[T],
    running_var: &[T],
    weight: Option<&[T]>,
    bias: Option<&[T]>,
    c: usize,
    eps: f64,
) -> Result {
    let lens = [scale.len(), shift.len(), mean.len(), rstd.len(), running_mean.len(), running_var.len()];
    ensure_shape!(lens.iter().all(|&l| l == c), "norm: expected tables of {c} channels, got {lens:?}");
    expect_channels("norm weight", weight, c)?;
    expect_channels("norm bias", bias, c)?;
    for i in 0..c {
        mean[i] = running_mean[i].to_f64();
        rstd[i] = 1.0 / (running_var[i].to_f64() + eps).sqrt();
        let factor = at(weight, i, 1.0) * rstd[i];
        scale[i] = T::of(factor);
        shift[i] = T::of(at(bias, i, 0.0) - mean[i] * factor);
    }
    Ok(())
}

/// The tables of dx = g * a + x * b + d, and the gradients of weight and bias, from the sums over each sample's channels.
///
/// Where the statistics are constants (`training` = 0), a = weight * rstd, b = d = 0. Otherwise, with m elements behind a
/// statistic and S1, S2 the sums of weight * g and of weight * g * (x - mean) over them,
/// b = -rstd^3 * S2 / m and d = -rstd * S1 / m - b * mean.
///
/// # Errors
/// [`crate::error::Error::Shape`] for sizes that do not fit.
pub fn backward<T: Float>(
    a: &mut [T],
    b: &mut [T],
    d: &mut [T],
    dweight: Option<&mut [T]>,
    dbias: Option<&mut [T]>,
    sum_g: Option<&[f64]>,
    sum_gx: Option<&[f64]>,
    mean: &[f64],
    rstd: &[f64],
    weight: Option<&[T]>,
    n: usize,
    c: usize,
    pixels: usize,
    groups: usize,
    training: usize,
) -> Result {
    let sharing = Sharing::new(n, c, pixels, groups)?;
    let rows = sharing.rows();
    for (what, len) in [("a", a.len()), ("b", b.len()), ("d", d.len()), ("mean", mean.len()), ("rstd", rstd.len())] {
        expect_len(what, len, &[rows, c])?;
    }
    for sums in [sum_g, sum_gx].into_iter().flatten() {
        expect_len("norm sums", sums.len(), &[n, c])?;
    }
    expect_channels("norm weight", weight, c)?;
    expect_channels("norm dweight", dweight.as_deref(), c)?;
    expect_channels("norm dbias", dbias.as_deref(), c)?;
    let sum = |table: Option<&[f64]>, n: usize, ch: usize| table.map_or(0.0, |t| t[n * c + ch]);
    // The sums were taken around the mean rounded to T; this moves them to the mean itself.
    let centred = |n: usize, ch: usize| {
        let m = mean[n.min(rows - 1) * c + ch];
        sum(sum_gx, n, ch) + (T::of(m).to_f64() - m) * sum(sum_g, n, ch)
    };
    let part = |n: usize, ch: usize| {
        let w = at(weight, ch, 1.0);
        one(0.0, w * sum(sum_g, n, ch), w * centred(n, ch))
    };
    let count = sharing.count();
    sharing.each(part, One::sum, |row, channels, total| {
        for ch in channels {
            let i = row * c + ch;
            a[i] = T::of(at(weight, ch, 1.0) * rstd[i]);
            let slope = if training == 0 { 0.0 } else { -rstd[i] * rstd[i] * rstd[i] * total.second[0] / count };
            b[i] = T::of(slope);
            d[i] = T::of(if training == 0 { 0.0 } else { -rstd[i] * total.first[0] / count - slope * mean[i] });
        }
    });
    for (ch, value) in dweight.into_iter().flatten().enumerate() {
        *value = T::of(tree(0.0, n, |n| rstd[n.min(rows - 1) * c + ch] * centred(n, ch), |a, b| a + b));
    }
    for (ch, value) in dbias.into_iter().flatten().enumerate() {
        *value = T::of(tree(0.0, n, |n| sum(sum_g, n, ch), |a, b| a + b));
    }
    Ok(())
}
