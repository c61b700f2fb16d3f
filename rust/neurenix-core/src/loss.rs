//! Losses that look at one element at a time: value, sum and gradients of each from one place.
//!
//! Sums are taken over units of fixed size in 16 lanes, closed in double precision and merged in a fixed tree.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Result, expect_len};
use crate::math::Math;
use crate::norm::tree;
use crate::simd::LANES;
use crate::threads::{self, Shared};
use crate::{ensure_argument, ensure_shape, levels};

/// Elements of one unit of a sum.
const UNIT: usize = 1 << 12;
/// Elements whose losses are held at once on their way into a sum.
const HELD: usize = 256;

const MSE: usize = 0;
const L1: usize = 1;
const SMOOTH_L1: usize = 2;
const HUBER: usize = 3;
const BCE: usize = 4;
const BCE_LOGITS: usize = 5;
const BCE_OF_SIGMOID: usize = 6;
const KL: usize = 7;
const KL_LOG: usize = 8;
const POISSON_LOG: usize = 9;
const POISSON: usize = 10;
const SOFT_MARGIN: usize = 11;
const WAYS: usize = 12;

/// log(1 + exp(x))
#[inline(always)]
fn softplus<T: Math>(x: T) -> T {
    let above = if x > T::ZERO { x } else { T::ZERO };
    (-x.abs()).exp_().ln_1p_() + above
}

#[inline(always)]
fn at_most<T: Math>(x: T, most: f64) -> T {
    let most = T::of(most);
    if x > most { most } else { x }
}

#[inline(always)]
fn at_least<T: Math>(x: T, least: f64) -> T {
    let least = T::of(least);
    if x < least { least } else { x }
}

/// -1, 0 or 1; NaN stays.
#[inline(always)]
fn sign<T: Math>(x: T) -> T {
    let s = if x > T::ZERO { T::ONE } else { x };
    if x < T::ZERO { -T::ONE } else { s }
}

/// Stirling's approximation of log(t!), 0 up to 1 and where it is not `wanted`.
#[inline(always)]
fn stirling<T: Math>(t: T, wanted: T) -> T {
    let v = t * t.ln_() - t + T::of(0.5) * (T::of(std::f64::consts::TAU) * t).ln_();
    if t > T::ONE && wanted > T::ZERO { v } else { T::ZERO }
}

/// The loss of one element: prediction `x`, target `t`, weight of positives `p`, settings `a` and `b`.
#[inline(always)]
fn value<T: Math, const WAY: usize>(x: T, t: T, p: T, a: T, b: T) -> T {
    let (d, half) = (x - t, T::of(0.5));
    match WAY {
        MSE => d * d,
        L1 => d.abs(),
        SMOOTH_L1 => {
            let far = d.abs() - half * a;
            if d.abs() < a { half * d * d / a } else { far }
        }
        HUBER => {
            let far = a * (d.abs() - half * a);
            if d.abs() <= a { half * d * d } else { far }
        }
        BCE => (t - T::ONE) * at_least((-x).ln_1p_(), -100.0) - t * at_least(x.ln_(), -100.0),
        BCE_LOGITS => (T::ONE - t) * x + (p - T::ONE).mul_add(t, T::ONE) * softplus(-x),
        BCE_OF_SIGMOID => t * at_most(softplus(-x), 100.0) + (T::ONE - t) * at_most(softplus(x), 100.0),
        KL => {
            let v = t * (t.ln_() - x);
            if t == T::ZERO { T::ZERO } else { v }
        }
        KL_LOG => t.exp_() * (t - x),
        POISSON_LOG => x.exp_() - t * x + stirling(t, a),
        POISSON => x - t * (x + b).ln_() + stirling(t, a),
        _ => softplus(-(t * x)),
    }
}

/// Its derivative in `x`.
#[inline(always)]
fn slope<T: Math, const WAY: usize>(x: T, t: T, p: T, a: T, b: T) -> T {
    let d = x - t;
    match WAY {
        MSE => d + d,
        L1 => sign(if d.is_nan() { T::ZERO } else { d }), // as in PyTorch, whose other losses' slopes stay NaN there
        SMOOTH_L1 => {
            let near = d / a;
            if d.abs() < a { near } else { sign(d) }
        }
        HUBER => {
            let far = a * sign(d);
            if d.abs() <= a { d } else { far }
        }
        BCE => d / at_least((T::ONE - x) * x, f64::from(1e-12f32)), // PyTorch's bound, in single precision also there
        BCE_LOGITS => (T::ONE - t) - (p - T::ONE).mul_add(t, T::ONE) * (-x).sigmoid_(),
        BCE_OF_SIGMOID => x.sigmoid_() - t,
        KL => -t,
        KL_LOG => -t.exp_(),
        POISSON_LOG => x.exp_() - t,
        POISSON => T::ONE - t / (x + b),
        _ => -t * (-(t * x)).sigmoid_(),
    }
}

/// Its derivative in `t`.
#[inline(always)]
fn target_slope<T: Math, const WAY: usize>(x: T, t: T, p: T, a: T, b: T) -> T {
    match WAY {
        BCE => (-x).ln_1p_() - x.ln_(),
        BCE_LOGITS => {
            let heavier = p * softplus(-x) - softplus(x);
            if p == T::ONE { -x } else { heavier }
        }
        BCE_OF_SIGMOID => at_most(softplus(-x), 100.0) - at_most(softplus(x), 100.0),
        KL => t.ln_() + T::ONE + T::ZERO / t - x, // NaN at 0, as in PyTorch
        KL_LOG => t.exp_() * (t - x + T::ONE),
        POISSON_LOG | POISSON => {
            let first = if WAY == POISSON { -(x + b).ln_() } else { -x };
            let full = a * (t.ln_() + T::of(0.5) / t);
            let masked = T::ZERO * full; // NaN at 0, where a masked term keeps its infinite slope, as in PyTorch
            if a > T::ZERO { first + if t > T::ONE { full } else { masked } } else { first }
        }
        SOFT_MARGIN => -x * (-(t * x)).sigmoid_(),
        _ => -slope::<T, WAY>(x, t, p, a, b),
    }
}

/// What a call looks at, element by element; an empty `weight` or `positive` counts as ones.
struct Given<'a, T> {
    x: &'a [T],
    t: &'a [T],
    weight: &'a [T],
    positive: &'a [T],
    a: T,
    b: T,
}

impl<'a, T: Math> Given<'a, T> {
    fn new(
        x: &'a [T],
        t: &'a [T],
        weight: Option<&'a [T]>,
        positive: Option<&'a [T]>,
        n: usize,
        way: usize,
        a: f64,
        b: f64,
    ) -> Result<Self> {
        expect_len("loss x", x.len(), &[n])?;
        expect_len("loss target", t.len(), &[n])?;
        for optional in [weight, positive].into_iter().flatten() {
            expect_len("loss weight", optional.len(), &[n])?;
        }
        ensure_argument!(way < WAYS, "loss: expected a way below {WAYS}, got {way}");
        Ok(Self { x, t, weight: weight.unwrap_or_default(), positive: positive.unwrap_or_default(), a: T::of(a), b: T::of(b) })
    }

    fn part(&self, start: usize, len: usize) -> Self {
        let cut = |s: &'a [T]| if s.is_empty() { s } else { &s[start..start + len] };
        Self { x: cut(self.x), t: cut(self.t), weight: cut(self.weight), positive: cut(self.positive), a: self.a, b: self.b }
    }
}

/// What is wanted of a loss: its value, its derivative in the prediction, or in the target.
const VALUE: usize = 0;
const SLOPE: usize = 1;
const TARGET_SLOPE: usize = 2;

/// The first ways are compiled for every level; the others once: they are rare.
const COMMON: usize = BCE_OF_SIGMOID + 1;

#[inline(always)]
fn weigh<T: Math>(y: &mut [T], weight: &[T]) {
    if weight.is_empty() {
        return;
    }
    let n = y.len();
    let weight = &weight[..n];
    for i in 0..n {
        let v = y[i] * weight[i];
        y[i] = if weight[i] == T::ZERO { T::ZERO } else { v };
    }
}

#[inline(always)]
fn wanted<T: Math, const WAY: usize, const WHAT: usize>(x: T, t: T, p: T, a: T, b: T) -> T {
    match WHAT {
        VALUE => value::<T, WAY>(x, t, p, a, b),
        SLOPE => slope::<T, WAY>(x, t, p, a, b),
        _ => target_slope::<T, WAY>(x, t, p, a, b),
    }
}

levels! {
    /// Writes value or derivative times the weight; 0 where the weight is 0, whatever comes out there.
    fn common_run<T: Math, const WAY: usize, const WHAT: usize>(y: &mut [T], given: &Given<'_, T>) {
        let n = y.len();
        let (x, t, a, b) = (&given.x[..n], &given.t[..n], given.a, given.b);
        // Not a closure: a long one is compiled apart, without the level's instructions.
        if given.positive.is_empty() {
            for i in 0..n {
                y[i] = wanted::<T, WAY, WHAT>(x[i], t[i], T::ONE, a, b);
            }
        } else {
            let positive = &given.positive[..n];
            for i in 0..n {
                y[i] = wanted::<T, WAY, WHAT>(x[i], t[i], positive[i], a, b);
            }
        }
        weigh(y, given.weight);
    }
}

/// Any term of any loss.
fn term<T: Math>(way: usize, what: usize, x: T, t: T, p: T, a: T, b: T) -> T {
    macro_rules! by_way {
        ($function:ident) => {
            match way {
                MSE => $function::<T, MSE>(x, t, p, a, b),
                L1 => $function::<T, L1>(x, t, p, a, b),
                SMOOTH_L1 => $function::<T, SMOOTH_L1>(x, t, p, a, b),
                HUBER => $function::<T, HUBER>(x, t, p, a, b),
                BCE => $function::<T, BCE>(x, t, p, a, b),
                BCE_LOGITS => $function::<T, BCE_LOGITS>(x, t, p, a, b),
                BCE_OF_SIGMOID => $function::<T, BCE_OF_SIGMOID>(x, t, p, a, b),
                KL => $function::<T, KL>(x, t, p, a, b),
                KL_LOG => $function::<T, KL_LOG>(x, t, p, a, b),
                POISSON_LOG => $function::<T, POISSON_LOG>(x, t, p, a, b),
                POISSON => $function::<T, POISSON>(x, t, p, a, b),
                _ => $function::<T, SOFT_MARGIN>(x, t, p, a, b),
            }
        };
    }
    match what {
        VALUE => by_way!(value),
        SLOPE => by_way!(slope),
        _ => by_way!(target_slope),
    }
}

/// [`common_run`] for any way and term.
fn run<T: Math>(y: &mut [T], given: &Given<'_, T>, way: usize, what: usize) {
    macro_rules! table {
        ($what:ident: $($way:ident)*) => {
            [$(common_run::<T, $way, $what>),*] as [fn(&mut [T], &Given<'_, T>); COMMON]
        };
    }
    if way < COMMON {
        let terms = [
            table!(VALUE: MSE L1 SMOOTH_L1 HUBER BCE BCE_LOGITS BCE_OF_SIGMOID),
            table!(SLOPE: MSE L1 SMOOTH_L1 HUBER BCE BCE_LOGITS BCE_OF_SIGMOID),
            table!(TARGET_SLOPE: MSE L1 SMOOTH_L1 HUBER BCE BCE_LOGITS BCE_OF_SIGMOID),
        ];
        terms[what][way](y, given);
        return;
    }
    for (i, y) in y.iter_mut().enumerate() {
        let p = given.positive.get(i).copied().unwrap_or(T::ONE);
        *y = term(way, what, given.x[i], given.t[i], p, given.a, given.b);
    }
    weigh(y, given.weight);
}

levels! {
    fn outside<T: Math>(x: &[T], weight: &[T]) -> bool {
        let wrong = |v: T| !(v >= T::ZERO && v <= T::ONE);
        if weight.is_empty() {
            return x.iter().fold(false, |any, &v| any | wrong(v));
        }
        x.iter().zip(weight).fold(false, |any, (&v, &w)| any | (wrong(v) & (w != T::ZERO)))
    }
}
levels! {
    fn lane_sum<T, V>(lanes: &mut [T; LANES], run: &[T]) {
        let (whole, rest) = run.as_chunks::<LANES>();
        for l in (0..LANES).step_by(V::N) {
            // SAFETY: lanes `l .. l + N` of [`LANES`].
            unsafe {
                let sum = whole.iter().fold(V::load(lanes.as_ptr().add(l)), |sum, part| sum.add(V::load(part.as_ptr().add(l))));
                sum.store(lanes.as_mut_ptr().add(l));
            }
        }
        for (lane, &v) in lanes.iter_mut().zip(rest) {
            *lane += v;
        }
    }
}
levels! {
    /// Multiplies by `g * scale`, where `g` is one number or one for each.
    fn times<T: Math>(y: &mut [T], g: &[T], scale: T) {
        if let [g] = g {
            y.iter_mut().for_each(|y| *y = *y * (*g * scale));
        } else {
            y.iter_mut().zip(g).for_each(|(y, &g)| *y = *y * (g * scale));
        }
    }
}

/// Adds lanes pairwise.
pub(crate) fn close<T: Math>(mut lanes: [T; LANES]) -> f64 {
    let mut half = LANES / 2;
    while half > 0 {
        for l in 0..half {
            lanes[l] = lanes[l] + lanes[l + half];
        }
        half /= 2;
    }
    lanes[0].to_f64()
}

/// The sum of `n` numbers by units: `unit(start, len)` gives the sum of one.
pub(crate) fn sum_by_units(n: usize, cost: usize, unit: impl Fn(usize, usize) -> f64 + Sync) -> Result<f64> {
    let count = n.div_ceil(UNIT);
    let mut partial = crate::error::try_vec(count, 0.0f64)?;
    let shared = Shared::new(&mut partial);
    threads::parallel(count, UNIT * cost, |task| {
        // SAFETY: each task has its own number.
        unsafe { shared.slice(task, 1)[0] = unit(task * UNIT, UNIT.min(n - task * UNIT)) };
    });
    Ok(tree(0.0, count, |i| partial[i], |a, b| a + b))
}

/// The sum of a dense array in units.
pub(crate) fn total_of<T: Math>(x: &[T]) -> Result<f64> {
    sum_by_units(x.len(), 1, |start, len| {
        let mut lanes = [T::ZERO; LANES];
        lane_sum(&mut lanes, &x[start..start + len]);
        close(lanes)
    })
}

fn check_probabilities(bad: &AtomicBool) -> Result {
    ensure_argument!(
        !bad.load(Ordering::Relaxed),
        "binary_cross_entropy: expected probabilities in [0, 1], got values outside; apply sigmoid, or use binary_cross_entropy_with_logits"
    );
    Ok(())
}

/// `y` = the loss of every element times its weight.
///
/// # Errors
/// [`crate::error::Error::Argument`] for probabilities outside [0, 1].
pub fn elements<T: Math>(
    y: &mut [T],
    x: &[T],
    t: &[T],
    weight: Option<&[T]>,
    positive: Option<&[T]>,
    n: usize,
    way: usize,
    a: f64,
    b: f64,
) -> Result {
    let given = Given::new(x, t, weight, positive, n, way, a, b)?;
    expect_len("loss y", y.len(), &[n])?;
    let bad = AtomicBool::new(false);
    threads::parallel_chunks(y, UNIT, 8, |i, y| {
        let part = given.part(i * UNIT, y.len());
        if way == BCE && outside(part.x, part.weight) {
            bad.store(true, Ordering::Relaxed);
        }
        run(y, &part, way, VALUE);
    });
    check_probabilities(&bad)
}

/// `total` = the sum of the elements' losses over `divisor`, without writing them.
///
/// # Errors
/// [`crate::error::Error::Argument`] for probabilities outside [0, 1].
pub fn elements_sum<T: Math>(
    total: &mut [T],
    x: &[T],
    t: &[T],
    weight: Option<&[T]>,
    positive: Option<&[T]>,
    n: usize,
    way: usize,
    a: f64,
    b: f64,
    divisor: f64,
) -> Result {
    let given = Given::new(x, t, weight, positive, n, way, a, b)?;
    expect_len("loss total", total.len(), &[1])?;
    let bad = AtomicBool::new(false);
    let sum = sum_by_units(n, 8, |start, len| {
        let (mut lanes, mut held) = ([T::ZERO; LANES], [T::ZERO; HELD]);
        for at in (start..start + len).step_by(HELD) {
            let part = given.part(at, HELD.min(start + len - at));
            if way == BCE && outside(part.x, part.weight) {
                bad.store(true, Ordering::Relaxed);
            }
            let held = &mut held[..part.x.len()];
            run(held, &part, way, VALUE);
            lane_sum(&mut lanes, held);
        }
        close(lanes)
    })?;
    total[0] = T::of(sum / divisor);
    check_probabilities(&bad)
}

/// `dx = g / divisor` times the derivative of each element's weighted loss, in the target if `of_target`; `g` has n elements or one.
///
/// # Errors
/// [`crate::error::Error::Shape`] for sizes that do not fit.
pub fn elements_backward<T: Math>(
    dx: &mut [T],
    g: &[T],
    x: &[T],
    t: &[T],
    weight: Option<&[T]>,
    positive: Option<&[T]>,
    n: usize,
    way: usize,
    a: f64,
    b: f64,
    divisor: f64,
    of_target: usize,
) -> Result {
    let given = Given::new(x, t, weight, positive, n, way, a, b)?;
    expect_len("loss dx", dx.len(), &[n])?;
    ensure_shape!(g.len() == 1 || g.len() == n, "loss g: expected 1 or {n} elements, got {}", g.len());
    let what = if of_target == 0 { SLOPE } else { TARGET_SLOPE };
    let scale = T::of(1.0 / divisor);
    threads::parallel_chunks(dx, UNIT, 8, |i, dx| {
        let start = i * UNIT;
        run(dx, &given.part(start, dx.len()), way, what);
        times(dx, if g.len() == 1 { g } else { &g[start..start + dx.len()] }, scale);
    });
    Ok(())
}

/// `total` = the sum of `x` over `divisor`.
///
/// # Errors
/// [`crate::error::Error::Shape`] unless `total` is one number.
pub fn sum<T: Math>(total: &mut [T], x: &[T], divisor: f64) -> Result {
    expect_len("loss total", total.len(), &[1])?;
    total[0] = T::of(total_of(x)? / divisor);
    Ok(())
}

/// `ratio` = the sum of `x` over that of `share`, `denominator` = the latter.
///
/// # Errors
/// [`crate::error::Error::Shape`] for sizes that do not fit.
pub fn ratio<T: Math>(ratio: &mut [T], denominator: &mut [T], x: &[T], share: &[T]) -> Result {
    expect_len("loss ratio", ratio.len(), &[1])?;
    expect_len("loss denominator", denominator.len(), &[1])?;
    let below = total_of(share)?;
    ratio[0] = T::of(total_of(x)? / below);
    denominator[0] = T::of(below);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_derivatives() {
        fn check<const WAY: usize>() {
            let (x, t, p, a, b) = (0.37f64, 0.62, 1.7, 0.8, 1e-3);
            let h = 1e-6;
            let by_x = (value::<f64, WAY>(x + h, t, p, a, b) - value::<f64, WAY>(x - h, t, p, a, b)) / (2.0 * h);
            let by_t = (value::<f64, WAY>(x, t + h, p, a, b) - value::<f64, WAY>(x, t - h, p, a, b)) / (2.0 * h);
            assert!((by_x - slope::<f64, WAY>(x, t, p, a, b)).abs() < 1e-7, "{WAY}");
            assert!((by_t - target_slope::<f64, WAY>(x, t, p, a, b)).abs() < 1e-7, "{WAY}");
        }
        check::<MSE>();
        check::<SMOOTH_L1>();
        check::<HUBER>();
        check::<BCE>();
        check::<BCE_LOGITS>();
        check::<BCE_OF_SIGMOID>();
        check::<KL>();
        check::<KL_LOG>();
        check::<POISSON_LOG>();
        check::<POISSON>();
        check::<SOFT_MARGIN>();
    }
}
