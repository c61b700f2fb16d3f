//! The transforms of F(4, 3) along one axis: six points, of which one is infinity, so a polynomial's value there is its leading
//! coefficient.
//!
//! Points are 0, a, -a, b, -b with `a * b = 1` and `b = 2 * a`; then the products of points that stand in the formulas are 1/2, 2
//! and 1, which are exact.

use std::f64::consts::{FRAC_1_SQRT_2 as A, SQRT_2 as B};

use super::{PATCH, SIDE};
use crate::simd::{Float, Vector};

/// `1 / (2 a^2 (a^2 - b^2))`
const NEAR: f64 = -2.0 / 3.0;
/// `1 / (2 b^2 (b^2 - a^2))`
const FAR: f64 = 1.0 / 6.0;

#[inline(always)]
fn of<T: Float, V: Vector<T>>(x: f64) -> V {
    V::splat(T::of(x))
}

/// Six pixels to the points.
#[inline(always)]
pub fn input<T: Float, V: Vector<T>>(d: [V; PATCH]) -> [V; PATCH] {
    let (even, odd) = (d[2].fma(of(-2.0), d[4]), d[1].fma(of(-2.0), d[3]));
    let (even2, odd2) = (d[2].fma(of(-0.5), d[4]), d[1].fma(of(-0.5), d[3]));
    [
        d[2].fma(of(-2.5), d[0].add(d[4])),
        odd.fma(of(A), even),
        odd.fma(of(-A), even),
        odd2.fma(of(B), even2),
        odd2.fma(of(-B), even2),
        d[3].fma(of(-2.5), d[1].add(d[5])),
    ]
}

/// Three weights to the points.
#[inline(always)]
pub fn weight<T: Float, V: Vector<T>>(w: [V; 3]) -> [V; PATCH] {
    let (even, odd) = (w[2].fma(of(0.5), w[0]).mul(of(NEAR)), w[1].mul(of(NEAR * A)));
    let (even2, odd2) = (w[2].fma(of(2.0), w[0]).mul(of(FAR)), w[1].mul(of(FAR * B)));
    [w[0], even.add(odd), even.sub(odd), even2.add(odd2), even2.sub(odd2), w[2]]
}

/// Products at the points to four outputs.
#[inline(always)]
pub fn output<T: Float, V: Vector<T>>(m: [V; PATCH]) -> [V; SIDE] {
    let (sum, difference) = (m[1].add(m[2]), m[1].sub(m[2]));
    let (sum2, difference2) = (m[3].add(m[4]), m[3].sub(m[4]));
    [
        m[0].add(sum.add(sum2)),
        difference2.fma(of(B), difference.mul(of(A))),
        sum2.fma(of(2.0), sum.mul(of(0.5))),
        m[5].add(difference2.fma(of(2.0 * B), difference.mul(of(0.5 * A)))),
    ]
}

/// Four pixels of a gradient to the points: the transpose of [`output`].
#[inline(always)]
pub fn gradient<T: Float, V: Vector<T>>(y: [V; SIDE]) -> [V; PATCH] {
    let (even, odd) = (y[2].fma(of(0.5), y[0]), y[3].fma(of(0.5), y[1]));
    let (even2, odd2) = (y[2].fma(of(2.0), y[0]), y[3].fma(of(2.0), y[1]));
    [y[0], odd.fma(of(A), even), odd.fma(of(-A), even), odd2.fma(of(B), even2), odd2.fma(of(-B), even2), y[3]]
}

/// Sums of products at the points to the gradient of three weights: the transpose of [`weight`].
#[inline(always)]
pub fn weight_gradient<T: Float, V: Vector<T>>(u: [V; PATCH]) -> [V; 3] {
    let (sum, difference) = (u[1].add(u[2]).mul(of(NEAR)), u[1].sub(u[2]).mul(of(NEAR * A)));
    let (sum2, difference2) = (u[3].add(u[4]).mul(of(FAR)), u[3].sub(u[4]));
    [u[0].add(sum.add(sum2)), difference2.fma(of(FAR * B), difference), sum2.fma(of(2.0), sum.fma(of(0.5), u[5]))]
}

#[cfg(test)]
mod tests {
    use super::*;

    type One = <f64 as Float>::Portable;

    fn vector(x: f64) -> One {
        One::splat(x)
    }

    fn value(x: One) -> f64 {
        let mut out = 0.0;
        // SAFETY: one lane, one element.
        unsafe { x.store(&raw mut out) };
        out
    }

    #[test]
    fn products_at_the_points_are_a_convolution() {
        let (d, w) = ([0.3, -1.2, 2.5, 0.7, -0.4, 1.9], [1.5, -0.8, 0.6]);
        let (points, weights) = (input::<f64, One>(d.map(vector)), weight::<f64, One>(w.map(vector)));
        let mut products = points;
        for (p, u) in products.iter_mut().zip(weights) {
            *p = p.mul(u);
        }
        for (i, y) in output::<f64, One>(products).into_iter().enumerate() {
            let want: f64 = (0..3).map(|t| d[i + t] * w[t]).sum();
            assert!((value(y) - want).abs() < 1e-14, "{i}: {} {want}", value(y));
        }
    }

    #[test]
    fn gradients_go_the_transposed_way() {
        let dot = |a: &[One], b: &[f64]| -> f64 { a.iter().zip(b).map(|(&a, b)| value(a) * b).sum() };
        let (m, y) = ([0.3, -1.2, 2.5, 0.7, -0.4, 1.9], [1.1, 0.2, -0.9, 0.5]);
        let (there, back) = (output::<f64, One>(m.map(vector)), gradient::<f64, One>(y.map(vector)));
        assert!((dot(&there, &y) - dot(&back, &m)).abs() < 1e-14);
        let w = [1.5, -0.8, 0.6];
        let (there, back) = (weight::<f64, One>(w.map(vector)), weight_gradient::<f64, One>(m.map(vector)));
        assert!((dot(&there, &m) - dot(&back, &w)).abs() < 1e-14);
    }
}
