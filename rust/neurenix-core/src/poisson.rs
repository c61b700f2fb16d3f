//! Poisson numbers, each a function of (seed, call, element).

use crate::ensure_shape;
use crate::error::Result;
use crate::random::{Stream, unit};
use crate::simd::Float;
use crate::threads;

/// Elements of one task.
const RUN: usize = 1 << 10;
/// From this rate on by rejection from a transformed uniform number, below by inversion.
const LARGE: f64 = 10.0;
/// Attempts before the mean is taken; each is accepted with a probability above 0.8.
const ATTEMPTS: u64 = 200;

/// The smallest k at which the distribution reaches `u`.
fn by_inversion(rate: f64, u: f64) -> f64 {
    let (mut k, mut term) = (0.0, libm::exp(-rate));
    let mut total = term;
    while u > total && k < 200.0 {
        k += 1.0;
        term *= rate / k;
        total += term;
    }
    k
}

/// W. Hörmann, "The transformed rejection method for generating Poisson random variables", 1993 (PTRS).
fn by_rejection(rate: f64, stream: Stream, element: u64) -> f64 {
    let root = rate.sqrt();
    let b = 2.53f64.mul_add(root, 0.931);
    let a = 0.024_83f64.mul_add(b, -0.059);
    let inverse = 1.1239 + 1.1328 / (b - 3.4);
    let reach = 0.9277 - 3.6224 / (b - 2.0);
    for attempt in 0..ATTEMPTS {
        let w = stream.block((attempt << 32) ^ element);
        let (u, v) = (unit(w[0], w[1]) - 0.5, 1.0 - unit(w[2], w[3]));
        let us = 0.5 - u.abs();
        let k = (2.0 * a / us + b).mul_add(u, rate + 0.43).floor();
        if us >= 0.07 && v <= reach {
            return k;
        }
        if k < 0.0 || (us < 0.013 && v > us) {
            continue;
        }
        let bound = k.mul_add(libm::log(rate), -rate) - libm::lgamma(k + 1.0); // asked for rarely
        if libm::log(v) + libm::log(inverse) - libm::log(a / (us * us) + b) <= bound {
            return k;
        }
    }
    rate.floor()
}

/// `y` = a Poisson number of mean `x * scale`, over `scale`; 0 where the mean is not above 0.
///
/// # Errors
/// [`crate::error::Error::Shape`] when the lengths differ.
pub fn poisson<T: Float>(y: &mut [T], x: &[T], scale: f64, seed: u64, call: u64) -> Result {
    ensure_shape!(y.len() == x.len(), "poisson: expected {} rates, got {}", y.len(), x.len());
    let stream = Stream::new(seed, call);
    threads::parallel_chunks(y, RUN, 100, |task, run| {
        for (i, out) in run.iter_mut().enumerate() {
            let element = task * RUN + i;
            let rate = x[element].to_f64() * scale;
            let number = if rate >= LARGE {
                by_rejection(rate, stream, element as u64)
            } else if rate > 0.0 {
                let w = stream.block(element as u64);
                by_inversion(rate, unit(w[0], w[1]))
            } else {
                0.0
            };
            *out = T::of(number / scale);
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_variance_are_the_rate() {
        for rate in [0.3, 4.0, 12.0, 300.0] {
            let x = vec![rate; 40_000];
            let mut y = vec![0.0f64; x.len()];
            poisson(&mut y, &x, 1.0, 1, 2).unwrap();
            let mean = y.iter().sum::<f64>() / y.len() as f64;
            let variance = y.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / y.len() as f64;
            assert!((mean - rate).abs() < 0.02 * rate + 0.01 && (variance - rate).abs() < 0.05 * rate, "{rate}: {mean} {variance}");
        }
    }
}
