//! The exact Euclidean distance transform, one axis at a time: lower envelopes of parabolas (Felzenszwalb and Huttenlocher).

use crate::error::{Result, expect_len};
use crate::simd::Float;
use crate::threads::{Shared, parallel};

/// One line's envelope: which parabolas it is made of, and where each begins.
struct Envelope {
    apex: Vec<usize>,
    begin: Vec<f64>,
}

impl Envelope {
    /// Of parabolas of curvature `spacing^2` whose apices are at `f`; those that are not finite are left out.
    fn of(&mut self, f: &[f64], spacing: f64) {
        let square = spacing * spacing;
        self.apex.clear();
        self.begin.clear();
        for (q, &height) in f.iter().enumerate() {
            if !height.is_finite() {
                continue;
            }
            let mut from = f64::NEG_INFINITY;
            while let (Some(&v), Some(&start)) = (self.apex.last(), self.begin.last()) {
                let (near, far) = (v as f64, q as f64);
                from = ((height - f[v]) / square + (far * far - near * near)) / (2.0 * (far - near));
                if from > start {
                    break;
                }
                self.apex.pop();
                self.begin.pop();
                from = f64::NEG_INFINITY;
            }
            self.apex.push(q);
            self.begin.push(from);
        }
    }
}

/// `y[o, k, i]` = the least of `x[o, j, i] + (spacing (k - j))^2` over all j; infinity where a line has no finite element.
///
/// # Errors
/// [`crate::error::Error::Shape`] unless both are (outer, n, inner), [`crate::error::Error::Argument`] unless spacing is a
/// finite number above 0.
pub fn pass<T: Float>(y: &mut [T], x: &[T], outer: usize, n: usize, inner: usize, spacing: f64) -> Result {
    expect_len("distance_pass y", y.len(), &[outer, n, inner])?;
    expect_len("distance_pass x", x.len(), &[outer, n, inner])?;
    crate::ensure_argument!(spacing.is_finite() && spacing > 0.0, "distance_pass: expected spacing above 0, got {spacing}");
    if x.is_empty() {
        return Ok(());
    }
    let lines = outer * inner;
    let group = (8192 / n).max(1);
    let shared = Shared::new(y);
    parallel(lines.div_ceil(group), group * n * 16, |task| {
        let mut line: Vec<f64> = Vec::with_capacity(n);
        let mut envelope = Envelope { apex: Vec::with_capacity(n), begin: Vec::with_capacity(n) };
        for at in task * group..lines.min((task + 1) * group) {
            let start = at / inner * n * inner + at % inner;
            line.clear();
            line.extend((0..n).map(|k| x[start + k * inner].to_f64()));
            envelope.of(&line, spacing);
            let mut piece = 0;
            for k in 0..n {
                while envelope.begin.get(piece + 1).is_some_and(|&begin| begin < k as f64) {
                    piece += 1;
                }
                let least = envelope.apex.get(piece).map_or(f64::INFINITY, |&v| {
                    let way = spacing * (k as f64 - v as f64);
                    line[v] + way * way
                });
                // SAFETY: each line is written by one task.
                unsafe { shared.slice(start + k * inner, 1)[0] = T::of(least) };
            }
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_least_over_all() {
        let far = f64::INFINITY;
        let x = [far, 3.0, 0.0, far, 9.0, 1.0, far, 40.0, far, far, 2.0, 2.0];
        for spacing in [1.0, 0.5, 3.0] {
            let mut y = [0.0; 12];
            pass(&mut y, &x, 2, 3, 2, spacing).unwrap();
            for (at, got) in y.iter().enumerate() {
                let (o, k, i) = (at / 6, at / 2 % 3, at % 2);
                let want = (0..3).map(|j| x[o * 6 + j * 2 + i] + (spacing * (k as f64 - j as f64)).powi(2)).fold(far, f64::min);
                assert_eq!(*got, want);
            }
        }
    }

    #[test]
    fn nothing_to_be_near_to_is_infinitely_far() {
        let mut y = [0.0f32; 3];
        pass(&mut y, &[f32::INFINITY; 3], 1, 3, 1, 1.0).unwrap();
        assert_eq!(y, [f32::INFINITY; 3]);
        assert!(pass(&mut y, &[0.0; 3], 1, 3, 1, 0.0).is_err());
    }
}
