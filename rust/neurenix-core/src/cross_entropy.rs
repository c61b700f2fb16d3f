//! Cross entropy with class numbers: maps of few classes in either memory order, rows of any number.
//!
//! The exponentials of up to [`SHORT`] classes are added in order, by vectors that hold one class of many positions; those of
//! more in 16 lanes along each row.

use crate::class_loss::{SHORT, check_gradient, check_targets, check_weight, factor, lanes, log_sum_exp, softmax};
use crate::columns::{Columns, Place, WIDE, row};
use crate::error::{Result, expect_len};
use crate::math::Math;
use crate::softmax::largest_into;
use crate::threads::{self, Shared};
use crate::{ensure_shape, levels};

/// Rows of one task where there are many classes.
const ROWS: usize = 16;

levels! {
    fn add_exponentials<T: Math>(sum: &mut [T], x: &[T], shift: &[T]) {
        for ((sum, &x), &shift) in sum.iter_mut().zip(x).zip(shift) {
            *sum += (x - shift).exp_();
        }
    }
}

levels! {
    /// `shift + log(sum)`, NaN for what is infinite: an infinite logit leaves no probabilities.
    fn add_logarithms<T: Math>(lse: &mut [T], shift: &[T], sum: &[T]) {
        for ((lse, &shift), &sum) in lse.iter_mut().zip(shift).zip(sum) {
            let total = shift + sum.ln_();
            *lse = total + T::ZERO * total;
        }
    }
}

/// log(sum of exp) of some columns of `classes` elements.
pub(crate) fn totals<T: Math>(lse: &mut [T], x: &[T], place: Place, classes: usize) {
    let width = lse.len();
    let (mut shift, mut sum) = ([T::LOWEST; WIDE], [T::ZERO; WIDE]);
    let (shift, sum) = (&mut shift[..width], &mut sum[..width]);
    (0..classes).for_each(|c| largest_into(shift, row(x, place, c, width)));
    shift.iter_mut().filter(|s| **s == T::LOWEST || **s == T::HIGHEST).for_each(|s| *s = T::ZERO);
    (0..classes).for_each(|c| add_exponentials(sum, row(x, place, c, width), shift));
    add_logarithms(lse, shift, sum);
}

/// What the loss of one position is made of.
struct Rule<'a, T> {
    target: &'a [i64],
    weight: Option<&'a [T]>,
    ignore: i64,
    rest: T,
    spread_by: T,
    most: T,
    smooth: bool,
}

impl<T: Math> Rule<'_, T> {
    /// Loss and share of a position; `x(c)` is its logit of class `c`.
    #[inline(always)]
    fn value(&self, position: usize, total: T, classes: usize, x: impl Fn(usize) -> T) -> (T, T) {
        let t = self.target[position];
        if t == self.ignore {
            return (T::ZERO, T::ZERO);
        }
        let w = self.weight.map_or(T::ONE, |w| w[t as usize]);
        let own = total - x(t as usize);
        let value = self.rest * w * if own > self.most { self.most } else { own };
        if !self.smooth {
            return (value, w);
        }
        let spread = match self.weight {
            None => lanes(classes, |c| total - x(c)),
            Some(weight) => lanes(classes, |c| weight[c] * (total - x(c))),
        };
        (value + self.spread_by * spread, w)
    }
}

fn check(rows: usize, classes: usize, inner: usize, target: &[i64], ignore: isize) -> Result {
    ensure_shape!(inner >= 1 && rows.is_multiple_of(inner), "loss: expected {rows} rows to be a multiple of {inner}");
    ensure_shape!(inner == 1 || classes <= SHORT, "loss: expected at most {SHORT} planes of classes, got {classes}");
    check_targets(target, rows, classes, Some(ignore))
}

/// loss = (1 - smoothing) w[t] (lse - x[t]) + smoothing / classes * sum over c of w[c] (lse - x[c]), at most `most`;
/// share = w[t]; both 0 where t is ignored. `x` is (rows / inner, classes, inner); `inner` is 1 for more than [`SHORT`] classes.
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
    inner: usize,
    smoothing: f64,
    ignore: isize,
    most: f64,
) -> Result {
    expect_len("loss x", x.len(), &[rows, classes])?;
    for out in [&loss, &lse, &share] {
        expect_len("loss", out.len(), &[rows])?;
    }
    check(rows, classes, inner, target, ignore)?;
    check_weight(weight, classes)?;
    let (rest, spread_by) = (T::of(1.0 - smoothing), T::of(smoothing / classes as f64));
    let rule = Rule { target, weight, ignore: ignore as i64, rest, spread_by, most: T::of(most), smooth: smoothing > 0.0 };
    if classes == 0 || classes > SHORT {
        log_sum_exp(lse, x, classes)?;
        let outputs = (Shared::new(loss), Shared::new(share));
        return over_long_rows(rows, classes, outputs, |r| rule.value(r, lse[r], classes, |c| x[r * classes + c]));
    }
    let (loss, lse, share) = (Shared::new(loss), Shared::new(lse), Shared::new(share));
    Columns { n: classes, inner, positions: rows }.each(None, [x], |_, _, [x], place, first, width| {
        // SAFETY: each position is given out once.
        let (loss, lse, share) = unsafe { (loss.slice(first, width), lse.slice(first, width), share.slice(first, width)) };
        totals(lse, x, place, classes);
        for (i, (loss, share)) in loss.iter_mut().zip(share).enumerate() {
            (*loss, *share) = rule.value(first + i, lse[i], classes, |c| x[place.start + c * place.pitch + i]);
        }
    })
}

/// Loss and share of every row, some at a time.
fn over_long_rows<T: Math>(
    rows: usize,
    classes: usize,
    (loss, share): (Shared<'_, T>, Shared<'_, T>),
    value: impl Fn(usize) -> (T, T) + Sync,
) -> Result {
    threads::parallel(rows.div_ceil(ROWS), ROWS * classes, |task| {
        for r in task * ROWS..rows.min((task + 1) * ROWS) {
            // SAFETY: each task has its own rows.
            unsafe { (loss.slice(r, 1)[0], share.slice(r, 1)[0]) = value(r) };
        }
    });
    Ok(())
}

/// What the gradient at one position is made of: f ((1 - s) w[t] + s / classes sum w), f s / classes, f (1 - s) w[t], t; a
/// target of -1 is ignored.
struct Factors<T> {
    by_softmax: [T; WIDE],
    by_weight: [T; WIDE],
    own: [T; WIDE],
    target: [i32; WIDE],
}

levels! {
    /// The gradients of class `c`.
    fn class_gradients<T: Math>(dx: &mut [T], x: &[T], lse: &[T], f: &Factors<T>, c: i32, weight: T) {
        let n = dx.len();
        let (x, lse, by_softmax, by_weight) = (&x[..n], &lse[..n], &f.by_softmax[..n], &f.by_weight[..n]);
        let (own, target) = (&f.own[..n], &f.target[..n]);
        for i in 0..n {
            let all = by_softmax[i] * (x[i] - lse[i]).exp_() - by_weight[i] * weight;
            let less = all - own[i];
            let d = if target[i] == c { less } else { all };
            dx[i] = if target[i] < 0 { T::ZERO } else { d };
        }
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
    inner: usize,
    smoothing: f64,
    ignore: isize,
) -> Result {
    expect_len("loss dx", dx.len(), &[rows, classes])?;
    expect_len("loss x", x.len(), &[rows, classes])?;
    expect_len("loss lse", lse.len(), &[rows])?;
    check(rows, classes, inner, target, ignore)?;
    check_weight(weight, classes)?;
    check_gradient(g, denominator, rows)?;
    let (rest, spread_by) = (T::of(1.0 - smoothing), T::of(smoothing / classes as f64));
    let all = weight.map_or(T::of(classes as f64), |w| lanes(classes, |i| w[i]));
    let parts = |r: usize| {
        let (f, w) = (factor(g, denominator, r), weight.map_or(T::ONE, |w| w.get(target[r] as usize).copied().unwrap_or(T::ZERO)));
        [f * (rest * w + spread_by * all), f * spread_by, f * rest * w]
    };
    let of = |c: usize| weight.map_or(T::ONE, |w| w[c]);
    if classes == 0 || classes > SHORT {
        softmax(dx, x, lse, classes);
        threads::parallel_chunks(dx, classes.max(1), 2, |r, dx| {
            let [by_softmax, by_weight, own] = parts(r);
            for (c, d) in dx.iter_mut().enumerate() {
                let value = by_softmax * *d - by_weight * of(c);
                let value = if c as i64 == target[r] { value - own } else { value };
                *d = if target[r] == ignore as i64 { T::ZERO } else { value };
            }
        });
        return Ok(());
    }
    Columns { n: classes, inner, positions: rows }.each(Some(dx), [x], |dx, to, [x], place, first, width| {
        let zero = [T::ZERO; WIDE];
        let mut f = Factors { by_softmax: zero, by_weight: zero, own: zero, target: [0; WIDE] };
        for i in 0..width {
            let t = target[first + i];
            f.target[i] = if t == ignore as i64 { -1 } else { t as i32 };
            [f.by_softmax[i], f.by_weight[i], f.own[i]] = parts(first + i);
        }
        for c in 0..classes {
            // SAFETY: each position is given out once.
            let dx = unsafe { dx.slice(to.start + c * to.pitch, width) };
            class_gradients(dx, row(x, place, c, width), &lse[first..first + width], &f, c as i32, of(c));
        }
    })
}
