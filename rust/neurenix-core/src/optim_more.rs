//! More optimizers (RMSprop, Adagrad, Adadelta, Rprop, ASGD), averages of weights, and clipping of gradients.

use crate::error::Result;
use crate::norm::tree;
use crate::optim::{Gradient, update};
use crate::simd::{Float, LANES};
use crate::threads::{self, Shared};
use crate::{ensure_shape, levels};

/// Elements of one unit of a norm.
const UNIT: usize = 1 << 13;

struct RmsProp<T> {
    gradient: Gradient<T>,
    lr: T,
    new: T,
    eps: T,
    momentum: T,
}

levels! {
    fn rmsprop_run<T: Float>(p: &mut [T], g: &[T], square: &mut [T], mean: &mut [T], buffer: &mut [T], h: &RmsProp<T>) {
        let n = p.len();
        for i in 0..n {
            let d = h.gradient.of(g[i], p[i]);
            square[i] = (d * d - square[i]).mul_add(h.new, square[i]);
            let mut variance = square[i];
            if !mean.is_empty() {
                mean[i] = (d - mean[i]).mul_add(h.new, mean[i]);
                variance = (-mean[i]).mul_add(mean[i], variance);
            }
            let mut step = d / (variance.sqrt() + h.eps);
            if !buffer.is_empty() {
                buffer[i] = h.momentum.mul_add(buffer[i], step);
                step = buffer[i];
            }
            p[i] = (-h.lr).mul_add(step, p[i]);
        }
    }
}

/// s += (1 - alpha) (g^2 - s); p -= lr * g / (sqrt(s - mean^2) + eps), the mean only if centred, through a momentum buffer if given.
///
/// # Errors
/// [`crate::error::Error::Shape`] for lists that do not fit.
pub fn rmsprop<T: Float>(
    p: Vec<&mut [T]>,
    g: Vec<&[T]>,
    square: Vec<&mut [T]>,
    mean: Vec<&mut [T]>,
    buffer: Vec<&mut [T]>,
    lr: f64,
    alpha: f64,
    eps: f64,
    weight_decay: f64,
    momentum: f64,
    maximize: usize,
) -> Result {
    let h = RmsProp {
        gradient: Gradient::new(maximize, weight_decay),
        lr: T::of(lr),
        new: T::of(1.0 - alpha),
        eps: T::of(eps),
        momentum: T::of(momentum),
    };
    update(p, g, [square, mean, buffer], 1, |p, g, [square, mean, buffer]| rmsprop_run(p, g, square, mean, buffer, &h))
}

levels! {
    fn adagrad_run<T: Float>(p: &mut [T], g: &[T], sum: &mut [T], gradient: &Gradient<T>, lr: T, eps: T) {
        let n = p.len();
        let (g, sum) = (&g[..n], &mut sum[..n]);
        for i in 0..n {
            let d = gradient.of(g[i], p[i]);
            sum[i] = d.mul_add(d, sum[i]);
            p[i] = (-lr).mul_add(d / (sum[i].sqrt() + eps), p[i]);
        }
    }
}

/// sum += g^2, p -= lr * g / (sqrt(sum) + eps).
///
/// # Errors
/// [`crate::error::Error::Shape`] for lists that do not fit.
pub fn adagrad<T: Float>(
    p: Vec<&mut [T]>,
    g: Vec<&[T]>,
    sum: Vec<&mut [T]>,
    lr: f64,
    eps: f64,
    weight_decay: f64,
    maximize: usize,
) -> Result {
    let gradient = Gradient::new(maximize, weight_decay);
    update(p, g, [sum], 1, |p, g, [sum]| adagrad_run(p, g, sum, &gradient, T::of(lr), T::of(eps)))
}

levels! {
    fn adadelta_run<T: Float>(p: &mut [T], g: &[T], square: &mut [T], delta: &mut [T], gradient: &Gradient<T>, h: [T; 3]) {
        let n = p.len();
        let (g, square, delta) = (&g[..n], &mut square[..n], &mut delta[..n]);
        let [lr, new, eps] = h;
        for i in 0..n {
            let d = gradient.of(g[i], p[i]);
            square[i] = (d * d - square[i]).mul_add(new, square[i]);
            let step = (delta[i] + eps).sqrt() / (square[i] + eps).sqrt() * d;
            delta[i] = (step * step - delta[i]).mul_add(new, delta[i]);
            p[i] = (-lr).mul_add(step, p[i]);
        }
    }
}

/// s += (1 - rho) (g^2 - s), step = sqrt(d + eps) / sqrt(s + eps) * g, d += (1 - rho) (step^2 - d), p -= lr * step.
///
/// # Errors
/// [`crate::error::Error::Shape`] for lists that do not fit.
pub fn adadelta<T: Float>(
    p: Vec<&mut [T]>,
    g: Vec<&[T]>,
    square: Vec<&mut [T]>,
    delta: Vec<&mut [T]>,
    lr: f64,
    rho: f64,
    eps: f64,
    weight_decay: f64,
    maximize: usize,
) -> Result {
    let gradient = Gradient::new(maximize, weight_decay);
    let h = [lr, 1.0 - rho, eps].map(T::of);
    update(p, g, [square, delta], 2, |p, g, [square, delta]| adadelta_run(p, g, square, delta, &gradient, h))
}

levels! {
    fn rprop_run<T: Float>(p: &mut [T], g: &[T], before: &mut [T], size: &mut [T], gradient: &Gradient<T>, h: [T; 4]) {
        let n = p.len();
        let (g, before, size) = (&g[..n], &mut before[..n], &mut size[..n]);
        let [slower, faster, least, most] = h;
        for i in 0..n {
            let d = gradient.of(g[i], p[i]);
            let agreement = d * before[i];
            let factor = if agreement > T::ZERO { faster } else { T::ONE };
            let factor = if agreement < T::ZERO { slower } else { factor };
            let s = size[i] * factor;
            let s = if s < least { least } else { s };
            size[i] = if s > most { most } else { s };
            let d = if agreement < T::ZERO { T::ZERO } else { d };
            let step = if d > T::ZERO { size[i] } else { T::ZERO };
            let step = if d < T::ZERO { -size[i] } else { step };
            p[i] = p[i] - step;
            before[i] = d;
        }
    }
}

/// Step sizes grow while the gradient keeps its sign and shrink when it turns; p -= sign(g) * size, nothing after a turn.
///
/// # Errors
/// [`crate::error::Error::Shape`] for lists that do not fit.
pub fn rprop<T: Float>(
    p: Vec<&mut [T]>,
    g: Vec<&[T]>,
    before: Vec<&mut [T]>,
    size: Vec<&mut [T]>,
    slower: f64,
    faster: f64,
    least: f64,
    most: f64,
    maximize: usize,
) -> Result {
    let h = [slower, faster, least, most].map(T::of);
    let gradient = Gradient::new(maximize, 0.0);
    update(p, g, [before, size], 2, |p, g, [before, size]| rprop_run(p, g, before, size, &gradient, h))
}

levels! {
    fn asgd_run<T: Float>(p: &mut [T], g: &[T], average: &mut [T], gradient: &Gradient<T>, h: [T; 3]) {
        let n = p.len();
        let (g, average) = (&g[..n], &mut average[..n]);
        let [keep, eta, mu] = h;
        for i in 0..n {
            let d = gradient.of(g[i], p[i]);
            p[i] = (-eta).mul_add(d, p[i] * keep);
            average[i] = (p[i] - average[i]).mul_add(mu, average[i]);
        }
    }
}

/// p = p (1 - lambda * eta) - eta * g, average += mu (p - average).
///
/// # Errors
/// [`crate::error::Error::Shape`] for lists that do not fit.
pub fn asgd<T: Float>(
    p: Vec<&mut [T]>,
    g: Vec<&[T]>,
    average: Vec<&mut [T]>,
    lambda: f64,
    eta: f64,
    mu: f64,
    weight_decay: f64,
    maximize: usize,
) -> Result {
    let gradient = Gradient::new(maximize, weight_decay);
    let h = [1.0 - lambda * eta, eta, mu].map(T::of);
    update(p, g, [average], 1, |p, g, [average]| asgd_run(p, g, average, &gradient, h))
}

/// average += (1 - decay) (p - average), for every parameter.
///
/// # Errors
/// [`crate::error::Error::Shape`] for lists that do not fit.
pub fn average<T: Float>(average: Vec<&mut [T]>, p: Vec<&[T]>, decay: f64) -> Result {
    let new = T::of(1.0 - decay);
    update(average, p, [], 0, |a, p, []| a.iter_mut().zip(p).for_each(|(a, &p)| *a = (p - *a).mul_add(new, *a)))
}

levels! {
    fn unit_power<T: Float>(x: &[T], order: f64) -> f64 {
        let mut lanes = [0.0f64; LANES];
        for run in x.chunks(LANES) {
            for (lane, &v) in lanes.iter_mut().zip(run) {
                let v = v.to_f64().abs();
                *lane += if order == 2.0 { v * v } else if order == 1.0 { v } else { libm::pow(v, order) };
            }
        }
        let mut half = LANES / 2;
        while half > 0 {
            for l in 0..half {
                lanes[l] += lanes[l + half];
            }
            half /= 2;
        }
        lanes[0]
    }
}

fn largest<T: Float>(x: &[T]) -> f64 {
    x.iter().map(|v| v.to_f64().abs()).fold(0.0, |a, b| if b > a || b.is_nan() { b } else { a })
}

/// total = (sum of |g|^order over all arrays)^(1 / order), the largest |g| for an infinite order; in double precision, in units.
///
/// # Errors
/// [`crate::error::Error::Shape`] unless `total` is one number.
pub fn total_norm<T: Float>(g: Vec<&[T]>, total: &mut [f64], order: f64) -> Result {
    ensure_shape!(total.len() == 1, "total_norm: expected one number, got {}", total.len());
    let units: Vec<&[T]> = g.iter().flat_map(|g| g.chunks(UNIT)).collect();
    let mut partial = crate::error::try_vec(units.len(), 0.0f64)?;
    let shared = Shared::new(&mut partial);
    threads::parallel(units.len(), UNIT, |task| {
        // SAFETY: each task has its own number.
        let out = unsafe { &mut shared.slice(task, 1)[0] };
        *out = if order.is_infinite() { largest(units[task]) } else { unit_power(units[task], order) };
    });
    total[0] = if order.is_infinite() {
        largest(&partial)
    } else {
        let sum = tree(0.0, partial.len(), |i| partial[i], |a, b| a + b);
        if order == 2.0 { sum.sqrt() } else { libm::pow(sum, 1.0 / order) }
    };
    Ok(())
}

/// g *= min(1, most / (norm + 1e-6)), for every array.
///
/// # Errors
/// [`crate::error::Error::Shape`] unless `norm` is one number.
pub fn clip_norm<T: Float>(g: Vec<&mut [T]>, norm: &[f64], most: f64) -> Result {
    ensure_shape!(norm.len() == 1, "clip_norm: expected one number, got {}", norm.len());
    let factor = most / (norm[0] + 1e-6);
    let factor = T::of(if factor > 1.0 { 1.0 } else { factor });
    each(g, |x| x * factor);
    Ok(())
}

/// g = min(max(g, -most), most), for every array; NaN stays.
///
/// # Errors
/// None.
pub fn clip_value<T: Float>(g: Vec<&mut [T]>, most: f64) -> Result {
    let most = T::of(most);
    each(g, |x| {
        let x = if x > most { most } else { x };
        if x < -most { -most } else { x }
    });
    Ok(())
}

fn each<T: Float>(g: Vec<&mut [T]>, f: impl Fn(T) -> T + Sync) {
    for array in g {
        threads::parallel_chunks(array, UNIT, 1, |_, run| run.iter_mut().for_each(|x| *x = f(*x)));
    }
}
