//! Losses over classes: cross entropy, negative log likelihood, margins. Each row of a (rows, classes) array is one decision.

use crate::error::{Error, Result, expect_len, try_vec};
use crate::loss::close;
use crate::math::Math;
use crate::simd::LANES;
use crate::threads::{self, Shared};
use crate::{ensure_argument, ensure_shape, levels};

/// Rows that short rows are taken together in.
const ABREAST: usize = 64;
/// Up to this many classes a row is short.
const SHORT: usize = 64;

/// Rows of one task, about 4096 elements.
fn rows_of_a_task(classes: usize) -> usize {
    (4096 / classes.max(1)).max(1)
}

/// Calls `f(start, len)` for runs of rows in parallel.
fn over_rows(rows: usize, classes: usize, f: impl Fn(usize, usize) + Sync) {
    let step = rows_of_a_task(classes);
    threads::parallel(rows.div_ceil(step), step.min(rows) * classes * 8, |task| f(task * step, step.min(rows - task * step)));
}

/// Calls `f(row)` for every row in parallel.
fn each_row(rows: usize, classes: usize, f: impl Fn(usize) + Sync) {
    over_rows(rows, classes, |start, len| (start..start + len).for_each(&f));
}

pub(crate) fn check_targets(target: &[i64], rows: usize, classes: usize, ignore: Option<isize>) -> Result {
    expect_len("loss target", target.len(), &[rows])?;
    let wrong = target.iter().find(|&&t| ignore != Some(t as isize) && !(0..classes as i64).contains(&t));
    ensure_argument!(
        wrong.is_none(),
        "loss: expected target classes of 0 to {}{}, got {}; check the labels and the number of outputs",
        classes as i64 - 1,
        ignore.map_or(String::new(), |i| format!(" or ignore_index={i}")),
        wrong.copied().unwrap_or_default()
    );
    Ok(())
}

pub(crate) fn check_weight<T>(weight: Option<&[T]>, classes: usize) -> Result {
    weight.map_or(Ok(()), |w| expect_len("loss weight", w.len(), &[classes]))
}

/// What a gradient of a mean or sum is multiplied with in row `row`.
pub(crate) fn factor<T: Math>(g: &[T], denominator: Option<&[T]>, row: usize) -> T {
    let g = if g.len() == 1 { g[0] } else { g[row] };
    denominator.map_or(g, |d| g / d[0])
}

pub(crate) fn check_gradient<T>(g: &[T], denominator: Option<&[T]>, rows: usize) -> Result {
    ensure_shape!(g.len() == 1 || g.len() == rows, "loss g: expected 1 or {rows} elements, got {}", g.len());
    denominator.map_or(Ok(()), |d| expect_len("loss denominator", d.len(), &[1]))
}

/// A sum in 16 lanes of `f(i)` for i < n.
#[inline(always)]
fn lanes<T: Math>(n: usize, f: impl Fn(usize) -> T) -> T {
    let mut lanes = [T::ZERO; LANES];
    let whole = n / LANES * LANES;
    for start in (0..whole).step_by(LANES) {
        for (l, lane) in lanes.iter_mut().enumerate() {
            *lane += f(start + l);
        }
    }
    for l in 0..n - whole {
        lanes[l] += f(whole + l);
    }
    T::of(close(lanes))
}

/// The larger; NaN where either is.
#[inline(always)]
fn larger<T: Math>(a: T, b: T) -> T {
    if b > a || b.is_nan() { b } else { a }
}

/// The largest element, by 16 lanes.
#[inline(always)]
fn largest_of<T: Math>(x: &[T]) -> T {
    let mut lanes = [T::LOWEST; LANES];
    let runs = x.chunks_exact(LANES);
    for (lane, &v) in lanes.iter_mut().zip(runs.remainder()) {
        *lane = v;
    }
    for run in runs {
        for l in 0..LANES {
            lanes[l] = larger(lanes[l], run[l]);
        }
    }
    let mut half = LANES / 2;
    while half > 0 {
        for l in 0..half {
            lanes[l] = larger(lanes[l], lanes[l + half]);
        }
        half /= 2;
    }
    lanes[0]
}

levels! {
    /// Of each row of `x`: its largest element, and the elements' distances to it.
    fn below_largest<T: Math>(d: &mut [T], largest: &mut [T], x: &[T], classes: usize) {
        for ((d, x), largest) in d.chunks_exact_mut(classes).zip(x.chunks_exact(classes)).zip(largest) {
            let most = largest_of(x);
            let shift = if most == T::LOWEST || most == T::HIGHEST { T::ZERO } else { most };
            for (d, &x) in d.iter_mut().zip(x) {
                *d = x - shift;
            }
            *largest = shift;
        }
    }
}
levels! {
    fn exp_all<T: Math>(x: &mut [T]) {
        for v in x {
            *v = v.exp_();
        }
    }
}
levels! {
    /// `largest` += log(sum of each row).
    fn add_logs<T: Math>(largest: &mut [T], exponentials: &[T], sums: &mut [T], classes: usize) {
        for (sum, row) in sums.iter_mut().zip(exponentials.chunks_exact(classes)) {
            *sum = lanes(classes, |i| row[i]);
        }
        for (largest, &sum) in largest.iter_mut().zip(sums.iter()) {
            *largest += sum.ln_();
        }
    }
}

levels! {
    /// log(sum of exp) of each of up to [`ABREAST`] short rows, side by side: a vector holds one class of many rows.
    fn short_rows<T: Math>(lse: &mut [T], x: &[T], classes: usize) {
        let mut held = [T::ZERO; ABREAST * SHORT];
        for (r, row) in x.chunks_exact(classes).enumerate() {
            for (c, &v) in row.iter().enumerate() {
                held[c * ABREAST + r] = v;
            }
        }
        let held = &held[..classes * ABREAST];
        let (mut shift, mut sum) = ([T::LOWEST; ABREAST], [T::ZERO; ABREAST]);
        for class in held.chunks_exact(ABREAST) {
            for r in 0..ABREAST {
                shift[r] = larger(shift[r], class[r]);
            }
        }
        for s in &mut shift {
            *s = if *s == T::LOWEST || *s == T::HIGHEST { T::ZERO } else { *s };
        }
        for class in held.chunks_exact(ABREAST) {
            for r in 0..ABREAST {
                sum[r] += (class[r] - shift[r]).exp_();
            }
        }
        for r in 0..ABREAST {
            sum[r] = shift[r] + sum[r].ln_();
        }
        lse.copy_from_slice(&sum[..lse.len()]);
    }
}

/// NaN for what is infinite: an infinite logit leaves no probabilities.
fn without_infinity<T: Math>(lse: &mut [T]) {
    lse.iter_mut().for_each(|l| *l = *l + T::ZERO * *l);
}

/// log(sum of exp) of each row; NaN with an infinite logit.
fn log_sum_exp<T: Math>(lse: &mut [T], x: &[T], classes: usize) -> Result {
    if classes == 0 {
        lse.fill(T::LOWEST);
        return Ok(());
    }
    if classes <= SHORT {
        threads::parallel_chunks(lse, ABREAST, classes * 8, |i, lse| {
            let start = i * ABREAST * classes;
            short_rows(lse, &x[start..start + lse.len() * classes], classes);
            without_infinity(lse);
        });
        return Ok(());
    }
    let lse = Shared::new(lse);
    let short = std::sync::atomic::AtomicBool::new(false);
    over_rows(lse.len(), classes, |start, len| {
        let (Ok(mut held), Ok(mut sums)) = (try_vec(len * classes, T::ZERO), try_vec(len, T::ZERO)) else {
            short.store(true, std::sync::atomic::Ordering::Relaxed);
            return;
        };
        // SAFETY: each task has its own rows.
        let lse = unsafe { lse.slice(start, len) };
        below_largest(&mut held, lse, &x[start * classes..(start + len) * classes], classes);
        exp_all(&mut held);
        add_logs(lse, &held, &mut sums, classes);
        without_infinity(lse);
    });
    if short.into_inner() { Err(Error::Memory { bytes: classes * size_of::<T>() }) } else { Ok(()) }
}

levels! {
    /// Sum of `weight * (lse - x)`: minus the weighted log-probabilities of all classes.
    fn spread<T: Math>(x: &[T], lse: T, weight: &[T]) -> T {
        if weight.is_empty() { lanes(x.len(), |i| lse - x[i]) } else { lanes(x.len(), |i| weight[i] * (lse - x[i])) }
    }
}

/// loss = (1 - smoothing) w[t] (lse - x[t]) + smoothing / classes * sum over c of w[c] (lse - x[c]), at most `most`;
/// share = w[t]; both 0 where t is ignored.
///
/// # Errors
/// [`crate::error::Error::Argument`] for a target outside the classes.
pub fn cross_entropy<T: Math>(
    loss: &mut [T],
    lse: &mut [T],
    share: &mut [T],
    x: &[T],
    target: &[i64],
    weight: Option<&[T]>,
    rows: usize,
    classes: usize,
    smoothing: f64,
    ignore: isize,
    most: f64,
) -> Result {
    expect_len("loss x", x.len(), &[rows, classes])?;
    for out in [&loss, &lse, &share] {
        expect_len("loss", out.len(), &[rows])?;
    }
    check_targets(target, rows, classes, Some(ignore))?;
    check_weight(weight, classes)?;
    log_sum_exp(lse, x, classes)?;
    let (loss, share) = (Shared::new(loss), Shared::new(share));
    let (rest, spread_by, most) = (T::of(1.0 - smoothing), T::of(smoothing / classes as f64), T::of(most));
    each_row(rows, classes, |row| {
        let (x, t) = (&x[row * classes..(row + 1) * classes], target[row]);
        let total = lse[row];
        let (mut value, mut w) = (T::ZERO, T::ZERO);
        if t != ignore as i64 {
            w = weight.map_or(T::ONE, |w| w[t as usize]);
            let own = total - x[t as usize];
            value = rest * w * if own > most { most } else { own };
            if smoothing > 0.0 {
                value += spread_by * spread(x, total, weight.unwrap_or_default());
            }
        }
        // SAFETY: each task has its own rows.
        unsafe { (loss.slice(row, 1)[0], share.slice(row, 1)[0]) = (value, w) };
    });
    Ok(())
}

levels! {
    fn below_lse<T: Math>(dx: &mut [T], x: &[T], lse: &[T], classes: usize) {
        for ((dx, x), &lse) in dx.chunks_exact_mut(classes).zip(x.chunks_exact(classes)).zip(lse) {
            for (d, &x) in dx.iter_mut().zip(x) {
                *d = x - lse;
            }
        }
    }
}

/// dx = softmax of every row.
fn softmax<T: Math>(dx: &mut [T], x: &[T], lse: &[T], classes: usize) {
    if classes == 0 {
        return;
    }
    let dx = Shared::new(dx);
    over_rows(lse.len(), classes, |start, len| {
        // SAFETY: each task has its own rows.
        let dx = unsafe { dx.slice(start * classes, len * classes) };
        below_lse(dx, &x[start * classes..(start + len) * classes], &lse[start..start + len], classes);
        exp_all(dx);
    });
}

/// dx = by_softmax * dx - by_weight * weight
fn combine<T: Math>(dx: &mut [T], by_softmax: T, by_weight: T, weight: &[T]) {
    if weight.is_empty() {
        dx.iter_mut().for_each(|d| *d = by_softmax * *d - by_weight);
    } else {
        dx.iter_mut().zip(weight).for_each(|(d, &w)| *d = by_softmax * *d - by_weight * w);
    }
}

/// The gradient of [`cross_entropy`]: g / denominator times
/// ((1 - smoothing) w[t] + smoothing / classes * sum w) softmax[c] - (1 - smoothing) w[t] [c = t] - smoothing / classes * w[c].
///
/// # Errors
/// [`crate::error::Error::Argument`] for a target outside the classes.
pub fn cross_entropy_backward<T: Math>(
    dx: &mut [T],
    x: &[T],
    lse: &[T],
    target: &[i64],
    weight: Option<&[T]>,
    g: &[T],
    denominator: Option<&[T]>,
    rows: usize,
    classes: usize,
    smoothing: f64,
    ignore: isize,
) -> Result {
    expect_len("loss dx", dx.len(), &[rows, classes])?;
    expect_len("loss x", x.len(), &[rows, classes])?;
    expect_len("loss lse", lse.len(), &[rows])?;
    check_targets(target, rows, classes, Some(ignore))?;
    check_weight(weight, classes)?;
    check_gradient(g, denominator, rows)?;
    softmax(dx, x, lse, classes);
    let dx = Shared::new(dx);
    let (rest, spread_by) = (T::of(1.0 - smoothing), T::of(smoothing / classes as f64));
    let all = weight.map_or(T::of(classes as f64), |w| lanes(classes, |i| w[i]));
    each_row(rows, classes, |row| {
        let (at, t) = (row * classes, target[row]);
        // SAFETY: each task has its own rows.
        let dx = unsafe { dx.slice(at, classes) };
        if t == ignore as i64 {
            dx.fill(T::ZERO);
            return;
        }
        let (f, w) = (factor(g, denominator, row), weight.map_or(T::ONE, |w| w[t as usize]));
        let by_softmax = f * (rest * w + spread_by * all);
        combine(dx, by_softmax, f * spread_by, weight.unwrap_or_default());
        dx[t as usize] = dx[t as usize] - f * rest * w;
    });
    Ok(())
}

levels! {
    fn soft_row<T: Math>(x: &[T], t: &[T], weight: &[T], lse: T, keep: T, spread_by: T) -> T {
        let n = x.len();
        let t = &t[..n];
        let smooth = |i: usize| t[i].mul_add(keep, spread_by);
        if weight.is_empty() {
            return lanes(n, |i| smooth(i) * (lse - x[i]));
        }
        let weight = &weight[..n];
        lanes(n, |i| weight[i] * smooth(i) * (lse - x[i]))
    }
}

/// Cross entropy with class probabilities: loss = sum over c of w[c] s[c] (lse - x[c]), s = (1 - smoothing) t + smoothing / classes.
///
/// # Errors
/// [`crate::error::Error::Shape`] for sizes that do not fit.
pub fn soft_cross_entropy<T: Math>(
    loss: &mut [T],
    lse: &mut [T],
    x: &[T],
    t: &[T],
    weight: Option<&[T]>,
    rows: usize,
    classes: usize,
    smoothing: f64,
) -> Result {
    expect_len("loss x", x.len(), &[rows, classes])?;
    expect_len("loss target", t.len(), &[rows, classes])?;
    expect_len("loss", loss.len(), &[rows])?;
    expect_len("loss lse", lse.len(), &[rows])?;
    check_weight(weight, classes)?;
    log_sum_exp(lse, x, classes)?;
    let loss = Shared::new(loss);
    let (keep, spread_by) = (T::of(1.0 - smoothing), T::of(smoothing / classes as f64));
    each_row(rows, classes, |row| {
        let at = row * classes..(row + 1) * classes;
        let value = soft_row(&x[at.clone()], &t[at], weight.unwrap_or_default(), lse[row], keep, spread_by);
        // SAFETY: each task has its own rows.
        unsafe { loss.slice(row, 1)[0] = value };
    });
    Ok(())
}

/// The gradients of [`soft_cross_entropy`]: dx = g / divisor (softmax[c] sum of w s - w[c] s[c]), dt = g / divisor (1 - smoothing) w[c] (lse - x[c]).
///
/// # Errors
/// [`crate::error::Error::Shape`] for sizes that do not fit.
pub fn soft_cross_entropy_backward<T: Math>(
    dx: &mut [T],
    dt: Option<&mut [T]>,
    x: &[T],
    lse: &[T],
    t: &[T],
    weight: Option<&[T]>,
    g: &[T],
    rows: usize,
    classes: usize,
    smoothing: f64,
    divisor: f64,
) -> Result {
    for (what, len) in [("dx", dx.len()), ("x", x.len()), ("target", t.len()), ("dt", dt.as_ref().map_or(x.len(), |d| d.len()))] {
        expect_len(what, len, &[rows, classes])?;
    }
    expect_len("loss lse", lse.len(), &[rows])?;
    check_weight(weight, classes)?;
    check_gradient(g, None, rows)?;
    softmax(dx, x, lse, classes);
    let (dx, dt) = (Shared::new(dx), dt.map(Shared::new));
    let (keep, spread_by, divisor) = (T::of(1.0 - smoothing), T::of(smoothing / classes as f64), T::of(divisor));
    each_row(rows, classes, |row| {
        let at = row * classes;
        let (x, t, f) = (&x[at..at + classes], &t[at..at + classes], factor(g, None, row) / divisor);
        let weighed = |i: usize| weight.map_or(T::ONE, |w| w[i]);
        let smooth = |i: usize| t[i].mul_add(keep, spread_by);
        let mass = lanes(classes, |i| weighed(i) * smooth(i));
        // SAFETY: each task has its own rows.
        let out = unsafe { dx.slice(at, classes) };
        (0..classes).for_each(|i| out[i] = f * mass * out[i] - f * weighed(i) * smooth(i));
        if let Some(dt) = &dt {
            // SAFETY: as above.
            let out = unsafe { dt.slice(at, classes) };
            (0..classes).for_each(|i| out[i] = f * keep * weighed(i) * (lse[row] - x[i]));
        }
    });
    Ok(())
}

/// loss = -w[t] x[t], share = w[t]; both 0 where t is ignored.
///
/// # Errors
/// [`crate::error::Error::Argument`] for a target outside the classes.
pub fn likelihood<T: Math>(
    loss: &mut [T],
    share: &mut [T],
    x: &[T],
    target: &[i64],
    weight: Option<&[T]>,
    rows: usize,
    classes: usize,
    ignore: isize,
) -> Result {
    expect_len("loss x", x.len(), &[rows, classes])?;
    expect_len("loss", loss.len(), &[rows])?;
    expect_len("loss share", share.len(), &[rows])?;
    check_targets(target, rows, classes, Some(ignore))?;
    check_weight(weight, classes)?;
    for row in 0..rows {
        let t = target[row];
        let chosen = (t != ignore as i64).then_some(t as usize);
        share[row] = chosen.map_or(T::ZERO, |t| weight.map_or(T::ONE, |w| w[t]));
        loss[row] = chosen.map_or(T::ZERO, |t| -share[row] * x[row * classes + t]);
    }
    Ok(())
}

/// The gradient of [`likelihood`]: -w[t] g / denominator at t, 0 elsewhere.
///
/// # Errors
/// [`crate::error::Error::Argument`] for a target outside the classes.
pub fn likelihood_backward<T: Math>(
    dx: &mut [T],
    target: &[i64],
    weight: Option<&[T]>,
    g: &[T],
    denominator: Option<&[T]>,
    rows: usize,
    classes: usize,
    ignore: isize,
) -> Result {
    expect_len("loss dx", dx.len(), &[rows, classes])?;
    check_targets(target, rows, classes, Some(ignore))?;
    check_weight(weight, classes)?;
    check_gradient(g, denominator, rows)?;
    let dx = Shared::new(dx);
    each_row(rows, classes, |row| {
        // SAFETY: each task has its own rows.
        let dx = unsafe { dx.slice(row * classes, classes) };
        dx.fill(T::ZERO);
        let t = target[row];
        if t != ignore as i64 {
            dx[t as usize] = -weight.map_or(T::ONE, |w| w[t as usize]) * factor(g, denominator, row);
        }
    });
    Ok(())
}
