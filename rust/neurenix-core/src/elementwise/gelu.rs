//! GELU and its gradient, four runs of elements side by side: a processor waits for each step of an element's long chain, and has
//! those of the others to do meanwhile. The same bits as one by one.

use crate::levels;
use crate::math::Math;

/// Elements of a run.
const RUN: usize = 64;

fn c<T: Math>(x: f64) -> T {
    T::of(x)
}

/// GELU from the error function of `x / sqrt(2)`.
#[inline(always)]
pub(super) fn value<T: Math>(x: T, erf: T) -> T {
    c::<T>(0.5) * x * (T::ONE + erf)
}

/// Its gradient, from that and exp(-x^2 / 2).
#[inline(always)]
pub(super) fn slope<T: Math>(g: T, x: T, erf: T, exp: T) -> T {
    g * (c::<T>(0.5) * (T::ONE + erf) + x * (exp * c(0.398_942_280_401_432_7)))
}

#[inline(always)]
fn scaled<T: Math, const N: usize>(x: [T; N]) -> [T; N] {
    let mut y = x;
    for i in 0..N {
        y[i] = x[i] * c(std::f64::consts::FRAC_1_SQRT_2);
    }
    y
}

#[inline(always)]
fn exponents<T: Math, const N: usize>(x: [T; N]) -> [T; N] {
    let mut y = x;
    for i in 0..N {
        y[i] = c::<T>(-0.5) * x[i] * x[i];
    }
    y
}

// Slices as arguments, so that the compiler knows that none overlaps another.
#[inline(always)]
fn four_values<T: Math>(y: &mut [T], y1: &mut [T], y2: &mut [T], y3: &mut [T], x: &[T], x1: &[T], x2: &[T], x3: &[T]) {
    let n = y.len();
    let (y1, y2, y3) = (&mut y1[..n], &mut y2[..n], &mut y3[..n]);
    let (x, x1, x2, x3) = (&x[..n], &x1[..n], &x2[..n], &x3[..n]);
    for i in 0..n {
        let e = T::erfs(scaled([x[i], x1[i], x2[i], x3[i]]));
        (y[i], y1[i]) = (value(x[i], e[0]), value(x1[i], e[1]));
        (y2[i], y3[i]) = (value(x2[i], e[2]), value(x3[i], e[3]));
    }
}

levels! {
    /// `y = gelu(x)`.
    pub(super) fn gelu<T: Math>(y: &mut [T], x: &[T]) {
        let n = x.len().min(y.len());
        let (y, x) = (&mut y[..n], &x[..n]);
        let whole = n / (4 * RUN) * (4 * RUN);
        for (y, x) in y[..whole].chunks_exact_mut(4 * RUN).zip(x.chunks_exact(4 * RUN)) {
            let (low, high) = y.split_at_mut(2 * RUN);
            let ((y, y1), (y2, y3)) = (low.split_at_mut(RUN), high.split_at_mut(RUN));
            four_values(y, y1, y2, y3, &x[..RUN], &x[RUN..2 * RUN], &x[2 * RUN..3 * RUN], &x[3 * RUN..]);
        }
        for (y, &x) in y[whole..].iter_mut().zip(&x[whole..]) {
            let [e] = T::erfs(scaled([x]));
            *y = value(x, e);
        }
    }
}

#[inline(always)]
fn two_slopes<T: Math>(y: &mut [T], y1: &mut [T], g: &[T], g1: &[T], x: &[T], x1: &[T]) {
    let n = y.len();
    let (y1, g, g1, x, x1) = (&mut y1[..n], &g[..n], &g1[..n], &x[..n], &x1[..n]);
    for i in 0..n {
        let at = [x[i], x1[i]];
        let (e, p) = (T::erfs(scaled(at)), T::exps_(exponents(at)));
        (y[i], y1[i]) = (slope(g[i], at[0], e[0], p[0]), slope(g1[i], at[1], e[1], p[1]));
    }
}

levels! {
    /// `y = g * gelu'(x)`.
    pub(super) fn gelu_grad<T: Math>(y: &mut [T], g: &[T], x: &[T]) {
        let n = x.len().min(y.len()).min(g.len());
        let (y, g, x) = (&mut y[..n], &g[..n], &x[..n]);
        let whole = n / (2 * RUN) * (2 * RUN);
        let inputs = g.chunks_exact(2 * RUN).zip(x.chunks_exact(2 * RUN));
        for (y, (g, x)) in y[..whole].chunks_exact_mut(2 * RUN).zip(inputs) {
            let (y, y1) = y.split_at_mut(RUN);
            two_slopes(y, y1, &g[..RUN], &g[RUN..], &x[..RUN], &x[RUN..]);
        }
        for (y, (&g, &x)) in y[whole..].iter_mut().zip(g[whole..].iter().zip(&x[whole..])) {
            let ([e], [p]) = (T::erfs(scaled([x])), T::exps_(exponents([x])));
            *y = slope(g, x, e, p);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agree<T: Math>() {
        let x: Vec<T> = (0..1003).map(|i| T::of((f64::from(i) - 500.0) * 0.013)).chain([T::NAN, T::HIGHEST, T::LOWEST]).collect();
        let run = |level, x: &[T]| {
            crate::simd::set_level(level);
            let (mut y, mut d) = (vec![T::ZERO; x.len()], vec![T::ZERO; x.len()]);
            gelu(&mut y, x);
            gelu_grad(&mut d, x, x);
            crate::simd::set_level(2);
            y.into_iter().chain(d).map(|v| format!("{v:?}")).collect::<Vec<_>>()
        };
        let want: Vec<Vec<String>> = x.iter().map(|&x| run(0, &[x])).collect();
        for level in 0..3 {
            let found = run(level, &x);
            assert!((0..x.len()).all(|i| found[i] == want[i][0] && found[x.len() + i] == want[i][1]), "{level}");
        }
    }

    #[test]
    fn side_by_side_gives_the_bits_of_one_by_one_on_every_level() {
        agree::<f32>();
        agree::<f64>();
    }
}
