//! Losses over classes: cross entropy with probabilities, negative log likelihood, margins, and what cross entropy with class
//! numbers shares. Each row of a (rows, classes) array is one decision.

use crate::columns::Columns;
use crate::cross_entropy::totals;
use crate::error::{Error, Result, expect_len, try_vec};
use crate::loss::close;
use crate::math::Math;
use crate::simd::{LANES, Number};
use crate::threads::{self, Shared};
use crate::{ensure_argument, ensure_shape, levels};

/// Up to this many classes a row is short.
pub(crate) const SHORT: usize = 64;

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

levels! {
    fn any_outside<T: Number>(target: &[T], classes: T, ignored: T) -> bool {
        target.iter().fold(false, |any, &t| any | ((t != ignored) & ((t < T::ZERO) | (t >= classes))))
    }
}

pub(crate) fn check_targets(target: &[i64], rows: usize, classes: usize, ignore: Option<isize>) -> Result {
    expect_len("loss target", target.len(), &[rows])?;
    let ignored = ignore.map_or(-1, |i| i as i64); // -1 lies outside the classes: ignoring it must be asked for
    let some = any_outside(target, classes as i64, ignored) || (ignore.is_none() && target.contains(&-1));
    let wrong = if some { target.iter().find(|&&t| ignore != Some(t as isize) && !(0..classes as i64).contains(&t)) } else { None };
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
pub(crate) fn lanes<T: Math>(n: usize, f: impl Fn(usize) -> T) -> T {
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

/// NaN for what is infinite: an infinite logit leaves no probabilities.
fn without_infinity<T: Math>(lse: &mut [T]) {
    lse.iter_mut().for_each(|l| *l = *l + T::ZERO * *l);
}

/// log(sum of exp) of each row; NaN with an infinite logit.
pub(crate) fn log_sum_exp<T: Math>(lse: &mut [T], x: &[T], classes: usize) -> Result {
    if classes == 0 {
        lse.fill(T::LOWEST);
        return Ok(());
    }
    if classes <= SHORT {
        let lse = Shared::new(lse);
        return Columns { n: classes, inner: 1, positions: lse.len() }.each(None, [x], |_, _, [x], place, first, width| {
            // SAFETY: each row is given out once.
            totals(unsafe { lse.slice(first, width) }, x, place, classes);
        });
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
    fn below_lse<T: Math>(dx: &mut [T], x: &[T], lse: &[T], classes: usize) {
        for ((dx, x), &lse) in dx.chunks_exact_mut(classes).zip(x.chunks_exact(classes)).zip(lse) {
            for (d, &x) in dx.iter_mut().zip(x) {
                *d = x - lse;
            }
        }
    }
}

/// dx = softmax of every row.
pub(crate) fn softmax<T: Math>(dx: &mut [T], x: &[T], lse: &[T], classes: usize) {
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
