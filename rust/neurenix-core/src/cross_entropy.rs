//! Cross entropy with class numbers: maps of few classes in either memory order, rows of any number.
//!
//! The exponentials of up to [`SHORT`] classes are added in order, by vectors that hold one class of many positions; those of
//! more in 16 lanes along each row.

use crate::class_loss::{SHORT, check_gradient, check_targets, check_weight, factor, lanes, log_sum_exp, softmax};
use crate::columns::{Columns, Place, WIDE, row};
use crate::error::{Result, expect_len};
use crate::math::Math;
use crate::softmax::largest;
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
    /// Those of four classes, one after the other.
    fn add_four_exponentials<T: Math>(sum: &mut [T], x: &[T], x1: &[T], x2: &[T], x3: &[T], shift: &[T]) {
        let n = sum.len();
        let (x, x1, x2, x3, shift) = (&x[..n], &x1[..n], &x2[..n], &x3[..n], &shift[..n]);
        for i in 0..n {
            let s = shift[i];
            let e = T::exps_([x[i] - s, x1[i] - s, x2[i] - s, x3[i] - s]);
            sum[i] = sum[i] + e[0] + e[1] + e[2] + e[3];
        }
    }
}

levels! {
    /// Zero for what is infinite.
    fn without_infinity<T: Math>(shift: &mut [T]) {
        for s in shift {
            let finite = (*s > T::LOWEST) & (*s < T::HIGHEST) | s.is_nan();
            *s = if finite { *s } else { T::ZERO };
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
    largest(shift, x, place, classes);
    without_infinity(shift);
    let (class, fours) = (|c: usize| row(x, place, c, width), classes / 4 * 4);
    (0..fours).step_by(4).for_each(|c| add_four_exponentials(sum, class(c), class(c + 1), class(c + 2), class(c + 3), shift));
    (fours..classes).for_each(|c| add_exponentials(sum, class(c), shift));
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

/// The targets of some positions, -1 for what is ignored.
fn narrow<'a>(held: &'a mut [i32; WIDE], target: &[i64], ignore: i64) -> &'a [i32] {
    let held = &mut held[..target.len()];
    held.iter_mut().zip(target).for_each(|(held, &t)| *held = if t == ignore { -1 } else { t as i32 });
    held
}

levels! {
    /// Where `c` is the target: its logits to `own`, its weight to `share`.
    fn take_own<T: Math>(own: &mut [T], share: &mut [T], x: &[T], target: &[i32], c: i32, weight: T) {
        let n = own.len();
        let (share, x, target) = (&mut share[..n], &x[..n], &target[..n]);
        for i in 0..n {
            let (x, before, shared) = (x[i], own[i], share[i]);
            own[i] = if target[i] == c { x } else { before };
            share[i] = if target[i] == c { weight } else { shared };
        }
    }
}

levels! {
    /// The losses from the targets' logits, in their place.
    fn losses<T: Math>(own: &mut [T], share: &[T], lse: &[T], target: &[i32], rest: T, most: T) {
        let n = own.len();
        let (share, lse, target) = (&share[..n], &lse[..n], &target[..n]);
        for i in 0..n {
            let value = lse[i] - own[i];
            let value = rest * share[i] * if value > most { most } else { value };
            own[i] = if target[i] < 0 { T::ZERO } else { value };
        }
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
        if rule.smooth {
            for (i, (loss, share)) in loss.iter_mut().zip(share).enumerate() {
                (*loss, *share) = rule.value(first + i, lse[i], classes, |c| x[place.start + c * place.pitch + i]);
            }
            return;
        }
        let mut target = [0; WIDE];
        let target = narrow(&mut target, &rule.target[first..first + width], rule.ignore);
        loss.fill(T::ZERO);
        share.fill(T::ZERO);
        for c in 0..classes {
            take_own(loss, share, row(x, place, c, width), target, c as i32, weight.map_or(T::ONE, |w| w[c]));
        }
        losses(loss, share, lse, target, rule.rest, rule.most);
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

/// What the gradient at some positions is made of: f ((1 - s) w[t] + s / classes sum w), f s / classes, f (1 - s) w[t].
struct Factors<T> {
    by_softmax: [T; WIDE],
    by_weight: [T; WIDE],
    own: [T; WIDE],
}

impl<T: Math> Factors<T> {
    /// Of `width` positions; `of(i)` are those of one.
    fn new(width: usize, of: impl Fn(usize) -> [T; 3]) -> Self {
        let zero = [T::ZERO; WIDE];
        let mut f = Self { by_softmax: zero, by_weight: zero, own: zero };
        (0..width).for_each(|i| [f.by_softmax[i], f.by_weight[i], f.own[i]] = of(i));
        f
    }
}

/// The gradient of class `c` at one position from its softmax.
#[inline(always)]
fn class_gradient<T: Math>(e: T, by_softmax: T, spread: T, own: T, target: i32, c: i32) -> T {
    let all = by_softmax * e - spread;
    let less = all - own;
    let d = if target == c { less } else { all };
    if target < 0 { T::ZERO } else { d }
}

levels! {
    /// The gradients of class `c`.
    fn class_gradients<T: Math>(dx: &mut [T], x: &[T], lse: &[T], f: &Factors<T>, target: &[i32], c: i32, weight: T) {
        let n = dx.len();
        let (x, lse, target) = (&x[..n], &lse[..n], &target[..n]);
        let (by_softmax, by_weight, own) = (&f.by_softmax[..n], &f.by_weight[..n], &f.own[..n]);
        for i in 0..n {
            let e = (x[i] - lse[i]).exp_();
            dx[i] = class_gradient(e, by_softmax[i], by_weight[i] * weight, own[i], target[i], c);
        }
    }
}

levels! {
    /// Those of four classes from `c` on.
    fn four_class_gradients<T: Math>(
        dx: &mut [T], dx1: &mut [T], dx2: &mut [T], dx3: &mut [T], x: &[T], x1: &[T], x2: &[T], x3: &[T],
        lse: &[T], f: &Factors<T>, target: &[i32], c: i32, weight: [T; 4]
    ) {
        let n = dx.len();
        let (dx1, dx2, dx3) = (&mut dx1[..n], &mut dx2[..n], &mut dx3[..n]);
        let (x, x1, x2, x3, lse, target) = (&x[..n], &x1[..n], &x2[..n], &x3[..n], &lse[..n], &target[..n]);
        let (by_softmax, by_weight, own) = (&f.by_softmax[..n], &f.by_weight[..n], &f.own[..n]);
        for i in 0..n {
            let (l, t, s, b, o) = (lse[i], target[i], by_softmax[i], by_weight[i], own[i]);
            let e = T::exps_([x[i] - l, x1[i] - l, x2[i] - l, x3[i] - l]);
            dx[i] = class_gradient(e[0], s, b * weight[0], o, t, c);
            dx1[i] = class_gradient(e[1], s, b * weight[1], o, t, c + 1);
            dx2[i] = class_gradient(e[2], s, b * weight[2], o, t, c + 2);
            dx3[i] = class_gradient(e[3], s, b * weight[3], o, t, c + 3);
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
    // The same for all positions, unless those have their own gradients or weights.
    let same = (g.len() == 1 && weight.is_none() && rows > 0).then(|| Factors::new(WIDE, |_| parts(0)));
    Columns { n: classes, inner, positions: rows }.each(Some(dx), [x], |dx, to, [x], place, first, width| {
        let (mut made, mut target_) = (None, [0; WIDE]);
        let f = same.as_ref().unwrap_or_else(|| made.insert(Factors::new(width, |i| parts(first + i))));
        let target = narrow(&mut target_, &target[first..first + width], ignore as i64);
        let (lse, fours) = (&lse[first..first + width], classes / 4 * 4);
        let class = |c: usize| row(x, place, c, width);
        // SAFETY: each position is given out once.
        let to = |c: usize| unsafe { dx.slice(to.start + c * to.pitch, width) };
        for c in (0..fours).step_by(4) {
            let weights = [of(c), of(c + 1), of(c + 2), of(c + 3)];
            let (dx, dx1, dx2, dx3) = (to(c), to(c + 1), to(c + 2), to(c + 3));
            four_class_gradients(dx, dx1, dx2, dx3, class(c), class(c + 1), class(c + 2), class(c + 3), lse, f, target, c as i32, weights);
        }
        (fours..classes).for_each(|c| class_gradients(to(c), class(c), lse, f, target, c as i32, of(c)));
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Losses, shares and gradients of logits `x`, in the memory order that `inner` says.
    fn both(x: &[f32], target: &[i64], weight: Option<&[f32]>, classes: usize, inner: usize, smoothing: f64) -> [Vec<f32>; 3] {
        let rows = target.len();
        let (mut loss, mut lse, mut share, mut dx) = (vec![0.0; rows], vec![0.0; rows], vec![0.0; rows], vec![0.0; x.len()]);
        cross_entropy(&mut loss, &mut lse, &mut share, x, target, weight, rows, classes, inner, smoothing, 1, 4.0).unwrap();
        let d = Some(&[7.0][..]);
        cross_entropy_backward(&mut dx, x, &lse, target, weight, &[2.0], d, rows, classes, inner, smoothing, 1).unwrap();
        [loss, share, dx]
    }

    #[test]
    fn memory_orders_and_levels_give_the_same_bits_and_the_losses_of_double_precision() {
        for (classes, inner) in [(2usize, 37usize), (3, 70), (4, 300), (5, 33), (21, 37)] {
            let x: Vec<f32> = (0..classes * inner).map(|i| ((i * 7919) % 1000) as f32 / 100.0 - 5.0).collect();
            let last: Vec<f32> = (0..x.len()).map(|i| x[i % classes * inner + i / classes]).collect();
            let target: Vec<i64> = (0..inner).map(|i| (i * 31 % classes) as i64).collect();
            let weights: Vec<f32> = (0..classes).map(|c| 0.5 + c as f32 / 4.0).collect();
            for (weight, smoothing) in [(None, 0.0), (Some(&weights[..]), 0.0), (None, 0.1), (Some(&weights[..]), 0.1)] {
                crate::simd::set_level(0);
                let want = both(&x, &target, weight, classes, inner, smoothing);
                for level in 0..3 {
                    crate::simd::set_level(level);
                    assert_eq!(both(&x, &target, weight, classes, inner, smoothing), want, "{classes} {level}");
                    let [loss, share, dx] = both(&last, &target, weight, classes, 1, smoothing);
                    let dx: Vec<f32> = (0..dx.len()).map(|i| dx[i % inner * classes + i / inner]).collect();
                    assert_eq!([loss, share, dx], want, "{classes} {level}");
                }
                for i in (0..inner).filter(|_| smoothing == 0.0) {
                    let logit = |c: usize| f64::from(x[c * inner + i]);
                    let total = (0..classes).map(|c| logit(c).exp()).sum::<f64>().ln();
                    let w = weight.map_or(1.0, |w| f64::from(w[target[i] as usize]));
                    let exact = if target[i] == 1 { 0.0 } else { w * (total - logit(target[i] as usize)).min(4.0) };
                    assert!((f64::from(want[0][i]) - exact).abs() < 1e-5, "{classes} {i}: {} {exact}", want[0][i]);
                }
            }
        }
        crate::simd::set_level(2);
    }
}
